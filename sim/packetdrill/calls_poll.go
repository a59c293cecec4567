package packetdrill

import (
	"syscall"
	"time"
)

// epollEntry is a descriptor in an epoll set.
type epollEntry struct {
	script        int64
	events        PollEvents
	edge, oneshot bool
	seen          PollEvents // edge-triggered: reported, and so since
	inq           int        // bytes to be read then
}

// pollTimeout turns the time-out of poll, in milliseconds, into sleep.
func (c *call) pollTimeout(ms int64) (int64, error) {
	switch {
	case ms == 0:
		return 0, nil
	case ms < 0:
		return -1, errSleep
	}
	// A nil error after the time-out would look like success to sleepFor's
	// callers, so it is told by a value of its own.
	if err := c.sleepFor(time.Duration(ms)*time.Millisecond, syscall.ETIMEDOUT); err == errSleep {
		return -1, err
	}
	return 0, nil
}

// pollMask are the events that poll reports, as scripts name them.
const pollMask = 0xffff

func (c *call) poll() (int64, error) {
	r := c.r
	set := c.arg(0)
	if set.kind != exprList {
		r.exprFail(set, "expected an array of {fd=N, events=POLLIN, revents=POLLIN}")
	}
	ready := int64(0)
	got := make([]PollEvents, len(set.list))
	for i := range set.list {
		e := &set.list[i]
		fd := r.memberInt(e, -1, "fd")
		f := r.files[fd]
		switch {
		case fd < 0:
			continue
		case f == nil || f.closed || f.isEpoll:
			got[i] = PollNval
		default:
			ev, err := r.ready(f, PollEvents(r.memberInt(e, 0, "events")))
			if err != nil {
				return -1, err
			}
			got[i] = ev & pollMask
		}
		if got[i] != 0 {
			ready++
		}
	}
	if ready == 0 {
		if n, err := c.pollTimeout(c.int(2)); err != nil {
			return n, err
		}
	}
	for i := range set.list {
		want := set.list[i].member("revents")
		if want != nil && want.kind != exprEllipsis && PollEvents(r.intValue(want)) != got[i] {
			r.exprFail(want, "revents is %s, expected %s", got[i], PollEvents(r.intValue(want)))
		}
	}
	return ready, nil
}

// String writes events as in a script.
func (e PollEvents) String() string {
	names := []struct {
		bit  PollEvents
		name string
	}{{PollIn, "POLLIN"}, {PollPri, "POLLPRI"}, {PollOut, "POLLOUT"}, {PollErr, "POLLERR"}, {PollHup, "POLLHUP"}, {PollNval, "POLLNVAL"},
		{PollRdNorm, "POLLRDNORM"}, {PollWrNorm, "POLLWRNORM"}, {PollRdHup, "POLLRDHUP"}}
	text := ""
	for _, n := range names {
		if e&n.bit != 0 {
			text += "|" + n.name
		}
	}
	if text == "" {
		return "0"
	}
	return text[1:]
}

func (c *call) epollCreate() (int64, error) {
	return c.open(&file{isEpoll: true}), nil
}

const (
	epollAdd = 1
	epollDel = 2
	epollMod = 3
)

// epollSet is the open epoll descriptor of the call; nil if it is none.
func (c *call) epollSet() *file {
	f := c.r.files[c.int(0)]
	if f == nil || f.closed || !f.isEpoll {
		return nil
	}
	return f
}

func (c *call) epollCtl() (int64, error) {
	set, target := c.epollSet(), c.file(2)
	if set == nil || target == nil {
		return -1, syscall.EBADF
	}
	at := -1
	for i, e := range set.epoll {
		if e.script == target.script {
			at = i
		}
	}
	switch op := c.int(1); {
	case op == epollAdd && at >= 0:
		return -1, syscall.EEXIST
	case op == epollAdd:
		set.epoll = append(set.epoll, c.epollEntry(target))
	case at < 0:
		return -1, syscall.ENOENT
	case op == epollMod:
		set.epoll[at] = c.epollEntry(target)
	case op == epollDel:
		set.epoll = append(set.epoll[:at], set.epoll[at+1:]...)
	default:
		return -1, syscall.EINVAL
	}
	return 0, nil
}

const (
	epollOneshot = 1 << 30
	epollET      = 1 << 31
)

func (c *call) epollEntry(f *file) *epollEntry {
	flags := c.r.memberInt(c.arg(3), 0, "events")
	return &epollEntry{script: f.script, events: PollEvents(flags) & pollMask, edge: flags&epollET != 0, oneshot: flags&epollOneshot != 0}
}

// ready asks the kernel what a descriptor is ready for, and adds what only the interpreter knows.
func (r *runner) ready(f *file, events PollEvents) (PollEvents, error) {
	if f.plain != nil {
		return events & (PollIn | PollOut), nil
	}
	ev, err := r.k.Poll(f.fd, events)
	if err == nil && (r.completed(f) > 0 || len(f.stamps.queue) > 0) {
		ev |= PollErr
	}
	return ev, err
}

// watch keeps the edge-triggered descriptors: what is no longer so, or is so anew, can be reported again.
func (r *runner) watch() {
	if !r.watching {
		return
	}
	for _, set := range r.files {
		if !set.isEpoll || set.closed {
			continue
		}
		for _, e := range set.epoll {
			f := r.files[e.script]
			if !e.edge || f == nil || f.closed {
				continue
			}
			if ev, err := r.ready(f, e.events); err == nil {
				e.seen &= ev
			}
			n, _ := r.k.Ioctl(f.fd, "SIOCINQ")
			if n > e.inq {
				e.seen &^= PollIn | PollRdNorm
			}
			e.inq = n
		}
	}
}

// epollWait reports readiness in the order of addition.
func (c *call) epollWait() (int64, error) {
	r := c.r
	set := c.epollSet()
	if set == nil {
		return -1, syscall.EBADF
	}
	r.watching = true
	r.watch()
	limit := int(max(c.int(2), 0))
	var got []epollEntry
	for _, e := range set.epoll {
		f := r.files[e.script]
		if f == nil || f.closed || e.events == 0 || len(got) == limit {
			continue
		}
		ev, err := r.ready(f, e.events)
		if err != nil {
			return -1, err
		}
		if ev &= pollMask; ev == 0 || e.edge && ev&^e.seen == 0 {
			continue
		}
		got = append(got, epollEntry{script: e.script, events: ev})
		e.seen = ev
		if e.oneshot {
			e.events = 0
		}
	}
	if len(got) == 0 {
		if n, err := c.pollTimeout(c.int(3)); err != nil {
			return n, err
		}
	}
	c.checkEpoll(got)
	return int64(len(got)), nil
}

// checkEpoll compares the events that were ready with the script's struct or
// array of them.
func (c *call) checkEpoll(got []epollEntry) {
	e := c.arg(1)
	list := e.list
	if e.kind == exprStruct {
		list = []expr{*e}
	}
	for i := range list {
		want := &list[i]
		if i >= len(got) || want.kind != exprStruct {
			return
		}
		events := PollEvents(c.r.memberInt(want, int64(got[i].events), "events")) & pollMask
		if fd := c.r.memberInt(want, got[i].script, "fd", "ptr"); fd != got[i].script || events != got[i].events {
			c.r.exprFail(want, "descriptor %d has %s, expected %d with %s", got[i].script, got[i].events, fd, events)
		}
	}
}
