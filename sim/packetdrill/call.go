package packetdrill

import (
	"errors"
	"syscall"
	"time"
)

// call is a system call under way.
type call struct {
	r    *runner
	ev   *event
	spec *callSpec
	do   func(*call) (int64, error)

	wait    bool          // "a...b": it may sleep
	until   time.Duration // b: script time at which it is to return
	tol     time.Duration
	timeout time.Duration // script time at which it wakes by itself; Never
	asleep  bool          // it was tried before
	moved   int64         // bytes moved so far
}

// errSleep is what a call gives that would sleep on a blocking descriptor.
var errSleep = errors.New("the call would block")

// begin makes a system call.
func (r *runner) begin(spec *callSpec) {
	c := &call{r: r, ev: r.ev, spec: spec, do: systemCall(spec.name), timeout: Never}
	if c.do == nil {
		r.fail("unknown system call %s", spec.name)
	}
	if w := r.ev.when; w.blocking {
		c.wait, c.until = true, w.end
		if w.kind == timeRelative {
			// Relative to the same origin as the beginning, which is past now.
			c.until += r.now() - w.from
		}
		c.tol = r.cfg.toleranceAt(w.end - w.from)
	}
	if !c.try() {
		r.blocked = c
	}
}

// try makes the call, or goes on with it; false: it sleeps.
func (c *call) try() bool {
	r := c.r
	event := r.ev
	r.ev = c.ev
	defer func() { r.ev = event }()
	if !c.asleep {
		r.note(r.now(), "%s", squeeze(c.ev.text))
	}
	n, err := c.do(c)
	if errors.Is(err, errSleep) {
		if !c.wait {
			r.fail("%s would block: give it a time to return, as in +0...0.1", c.spec.name)
		}
		c.asleep = true
		return false
	}
	c.check(n, err)
	if c.asleep || c.spec.any {
		r.note(r.now(), "%s returns %s", c.spec.name, result(n, err))
	}
	if now := r.now(); c.wait && (now < c.until-c.tol || now > c.until+c.tol) {
		r.fail("%s returned at %s, expected at %s", c.spec.name, seconds(now), expectedTime(c.until, c.until, c.tol))
	}
	return true
}

// retry goes on with the call that sleeps, after something happened.
func (r *runner) retry() {
	c := r.blocked
	if c == nil {
		return
	}
	r.blocked = nil
	if !c.try() {
		r.blocked = c
		return
	}
	r.capture()
}

// awaitIdle waits until no call sleeps.
func (r *runner) awaitIdle() {
	for r.blocked != nil {
		c := r.blocked
		if !r.step(c.until + c.tol) {
			r.ev = c.ev
			r.fail("%s has not returned by %s", c.spec.name, seconds(c.until+c.tol))
		}
	}
}

// result writes the outcome of a call as in a script.
func result(n int64, err error) string {
	if err == nil {
		return itoa(n)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return "-1 " + errnoName(errno)
	}
	return "-1 (" + err.Error() + ")"
}

// check compares the outcome with the script's.
func (c *call) check(n int64, err error) {
	r := c.r
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		r.fail("%s failed with an error that is no errno: %v", c.spec.name, err)
	}
	if c.spec.any {
		return
	}
	want := r.intValue(&c.spec.result)
	wantText := itoa(want)
	if c.spec.errno != "" {
		wantText += " " + c.spec.errno
	}
	bad := false
	switch wantErrno, _ := errnoByName(c.spec.errno); {
	case err != nil:
		bad = want != -1 || c.spec.errno != "" && wantErrno != errno
	default:
		bad = n != want || c.spec.errno != ""
	}
	if bad {
		r.fail("%s = %s, expected %s", c.spec.name, result(n, err), wantText)
	}
}

// arg is argument i; a missing one fails the run.
func (c *call) arg(i int) *expr {
	if i >= len(c.spec.args) {
		c.r.fail("%s needs at least %d arguments", c.spec.name, i+1)
	}
	return &c.spec.args[i]
}

func (c *call) int(i int) int64 { return c.r.intValue(c.arg(i)) }

// file is the open socket that argument i names; nil if there is none.
func (c *call) file(i int) *file {
	f := c.r.files[c.int(i)]
	if f == nil || f.closed || f.isEpoll || f.plain != nil {
		return nil
	}
	return f
}

// open enters a new descriptor under the number that the script expects.
func (c *call) open(f *file) int64 {
	r := c.r
	f.script = -1
	if !c.spec.any {
		f.script = r.intValue(&c.spec.result)
	}
	if f.script < 0 { // a failure is expected, or anything: the lowest number
		for f.script = 3; r.files[f.script] != nil && !r.files[f.script].closed; f.script++ {
		}
	}
	if old := r.files[f.script]; old != nil && !old.closed {
		r.fail("%s = %d: descriptor %d is open already", c.spec.name, f.script, f.script)
	}
	f.order = len(r.conns) + len(r.files)
	r.files[f.script] = f
	return f.script
}

// sleeps turns EAGAIN into sleep on a blocking descriptor, until its time-out
// if it has one.
func (c *call) sleeps(f *file, err error, flags MsgFlags, which int) error {
	if !errors.Is(err, syscall.EAGAIN) || f.nonblock || flags&MsgDontWait != 0 {
		return err
	}
	if limit := f.timeouts[which]; limit > 0 {
		return c.sleepFor(time.Duration(limit), err)
	}
	return errSleep
}

// sleepFor sleeps for at most d; then it gives the error.
func (c *call) sleepFor(d time.Duration, after error) error {
	now := c.r.now()
	if c.timeout == Never {
		c.timeout = now + d
	}
	if now >= c.timeout {
		return after
	}
	return errSleep
}
