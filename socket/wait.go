package socket

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// A Parker makes the condition variables that goroutines of a Stack's users
// wait on: the second of the two things a stack asks of its surroundings.
// The zero [Config] uses sync.NewCond; a simulation that runs its users as
// coroutines supplies its own.
type Parker interface {
	NewCond(l sync.Locker) Cond
}

// A Cond is a condition variable with the meaning of *sync.Cond: Wait is
// called with the lock held; Signal and Broadcast with or without it. Wait may
// also not return but panic or end its goroutine (runtime.Goexit), with the
// lock held: the call that waits then gives the lock up, and the socket can
// still be used.
type Cond interface {
	Wait()
	Signal()
	Broadcast()
}

// waitq is where the users of one socket wait for one thing (data, room, a
// connection). It costs a pointer until somebody really waits. It belongs to
// the lock of its socket.
//
// This file is the only one in which a goroutine of a user blocks.
type waitq struct{ *waiter }

// A waiter is a condition variable and how many wait for it. It has whole cache lines, or it would share one with another, of a connection that
// is at work on another processor (TestLinesApart).
type waiter struct {
	// What every wait writes to is on the first of them.
	waiting int32
	behind  int16  // how many wait in letRun
	runs    uint8  // how often one who waited went on
	woken   bool   // one was told to, and has yet to
	buf     []byte // where the only one who waits would have what he waits for
	got     int32  // how much of buf was filled, with late
	direct  bool   // buf may be used
	owed    bool   // late is not empty
	rest    rest   // how waits of the only one begin

	s        *Stack
	cond     Cond      // &own, or the Parker's
	late     []byte    // is still to be copied to buf
	lateAt   int32     // where
	seen     uint32    // how many segments had come when the last block of rests was over
	own      sync.Cond // begins another line
	borrower *TCPConn  // who has borrowed what a writer lends, for him
}

// alone returns where the caller may park as the only one who waits; if it is nil waitAny is what he calls.
func (w *waitq) alone() *waiter {
	if w.waiter == nil || !w.direct || w.waiting > 0 {
		return nil
	}
	return w.waiter
}

// waitAny is waitOrUnlock for one who may wait alone the next time. It returns at once if that has just become so.
func (w *waitq) waitAny(s *Stack, l sync.Locker) {
	if w.waiter == nil {
		if w.waiter = s.newWaiter(l); w.direct {
			return
		}
	}
	w.waitOrUnlock(s, l)
}

// park waits until somebody wakes the caller, if nobody has told him to go on while he rested.
func (w *waiter) park() {
	if !w.rest.told {
		w.rest.parked = true
		w.own.Wait()
		w.rest.parked = false
	}
}

// served ends what await began, after goOn if the caller was woken, and returns how many bytes there are.
func (w *waiter) served() (n int) {
	w.waiting--
	w.fillUp()
	n = int(w.got)
	w.buf, w.got = nil, 0
	return n
}

// into is the room that is left where the only one who waits would have what he waits
// for; nil when there is none.
func (w *waitq) into() []byte {
	if w.waiter == nil || w.waiting != 1 || w.buf == nil {
		return nil
	}
	if w.got == 0 {
		return w.buf
	}
	return w.buf[w.got:]
}

// filled notes that n bytes were put there.
func (w *waitq) filled(n int) { w.got += int32(n) }

// fill copies text to what into returned, or does so later if that is true, by fillUp or when the one who waits is served.
func (w *waiter) fill(text []byte, later bool) {
	n := len(w.late)
	switch {
	case !later:
		copy(w.buf[w.got:], text)
	case n > 0 && int(w.lateAt)+n == int(w.got) && cap(w.late)-n >= len(text) && &w.late[:n+1][n] == &text[0]: // it lies behind what came before
		w.late = w.late[:n+len(text)]
	default:
		w.fillUp()
		w.late, w.lateAt, w.owed = text, w.got, true
	}
	w.got += int32(len(text))
}

// copyAtOnce is the most that is copied by one call, in bytes. From a megabyte on the runtime's copy passes by the cache, and takes nearly twice as long.
const copyAtOnce = 512 << 10

// fillUp copies what is still to be copied. It is small enough to be part of the caller.
func (w *waiter) fillUp() {
	if w.owed {
		w.copyLate()
	}
}

//go:noinline
func (w *waiter) copyLate() {
	for to := w.buf[w.lateAt:]; len(w.late) > 0; {
		n := copy(to, w.late[:min(len(w.late), copyAtOnce)])
		to, w.late = to[n:], w.late[n:]
	}
	w.late, w.owed = nil, false // and not what lies behind it
}

// busy reports whether somebody waits.
func (w *waitq) busy() bool { return w.waiter != nil && w.waiting > 0 }

// wait parks the caller until wake, giving up l meanwhile.
func (w *waitq) wait(s *Stack, l sync.Locker) {
	if w.waiter == nil {
		w.waiter = s.newWaiter(l)
	}
	if s.parker == nil { // Wait returns always: no need for a deferred function, which costs as much as a lock
		if w.waiting > 0 {
			w.waiting++
			w.own.Wait()
			w.waiting--
			if w.woken {
				w.goOn()
			}
			return
		}
		if w.await(nil) {
			l.Unlock()
			runtime.Gosched()
			l.Lock()
			w.rested()
		}
		w.park()
		if w.woken {
			w.goOn()
		}
		w.served()
		return
	}
	w.waiting++
	defer func() { w.waiting-- }()
	w.cond.Wait()
}

// waitOrUnlock is wait for callers that do not give up l by a defer statement:
// it is given up when the wait does not return.
func (w *waitq) waitOrUnlock(s *Stack, l sync.Locker) {
	if s.parker == nil {
		w.wait(s, l)
		return
	}
	returns := false
	defer func() {
		if !returns {
			l.Unlock()
		}
	}()
	w.wait(s, l)
	returns = true
}

// waiters returns whom to wake after the socket's lock has been given up, nil
// for nobody. A socket decides under its lock and wakes without it, so that
// the woken does not run into the lock at once.
func (w *waitq) waiters() *waiter {
	if !w.busy() {
		return nil
	}
	w.woken, w.rest.told = true, true
	return w.waiter
}

// goOn notes that one who was woken runs.
func (w *waiter) goOn() {
	w.woken = false
	w.runs++
	if w.behind > 0 {
		w.own.Broadcast()
	}
}

// letRun returns when one of those that the caller has woken by broadcast runs, at once if one does
// already. No lock is held. The scheduler then has the caller as the next to run on the processor of the woken,
// where runtime.Gosched would leave it to any processor to take up the caller, away from what it has in its cache.
func (w *waiter) letRun() {
	w.own.L.Lock()
	w.behind++
	for runs := w.runs; w.woken && w.runs == runs; {
		w.own.Wait()
	}
	w.behind--
	w.own.L.Unlock()
}

// signal and broadcast wake one and all of those who wait.
func (w *waiter) signal()    { w.cond.Signal() }
func (w *waiter) broadcast() { w.cond.Broadcast() }

// wakeAll wakes everybody; for the paths where holding the lock is no matter.
func (w *waitq) wakeAll() {
	if w.busy() {
		w.woken, w.rest.told = true, true
		w.cond.Broadcast()
	}
}

// yield lets the woken run, or others if there is none, where that is for the scheduler of the real computer to
// arrange. A simulation decides itself who runs when. single says that there is one processor.
func (s *Stack) yield(woken *waiter, single bool) {
	switch {
	case s.parker != nil || s.clock != nil:
	case woken != nil && !single:
		woken.letRun()
	default:
		runtime.Gosched()
		if woken != nil && !woken.ran() {
			runtime.Gosched() // every 61st time the scheduler prefers those who have let others run
		}
	}
}

// ran reports whether one of those that the caller has woken by broadcast runs or ran.
func (w *waiter) ran() bool {
	w.own.L.Lock()
	woken := w.woken
	w.own.L.Unlock()
	return !woken
}

// oneProcessor reports whether goroutines share a single processor.
func oneProcessor() bool { return runtime.GOMAXPROCS(0) == 1 }

// oneProcessor is the same as of one of the last 64 looks: to ask the runtime takes the scheduler's lock. The caller has the baton.
func (r *receiver) oneProcessor() bool {
	if r.looks%64 == 0 {
		r.single = oneProcessor()
	}
	r.looks++
	return r.single
}

// A turn says who is to run before the caller goes on.
type turn uint8

const (
	callersTurn turn = iota // nobody
	wokensTurn              // one who was woken
	othersTurn              // who can run
)

// turnAtClose says who is to run when c is closed, so that its peer sees that and closes its side while everything is in
// the cache: that is for who dialled, if the other side has not closed already. Otherwise hundreds of connections that are
// over pile up in the time slice of one who dials again and again: each that he wakes is the next to run, at the expense of
// the one before.
//
// On a single processor only one who has never waited has to let others run. (On each connection the first wait begins with
// a rest, so who waits does so without this.) Where there are more processors they would take up what is left lying, and with
// it the cache lines of the stack that is at work here; so the peer who is woken runs first.
//
// c's lock is held; held says that the baton is, too.
func (c *TCPConn) turnAtClose(held bool) turn {
	if c.tcb.IsPassive() || c.tcb.PeerClosed() {
		return callersTurn
	}
	single := false
	if held {
		single = c.s.receivers[c.node.queue].oneProcessor()
	} else {
		single = oneProcessor()
	}
	switch {
	case !single:
		return wokensTurn
	case c.rd.waiter == nil:
		return othersTurn
	}
	return callersTurn
}

func (s *Stack) newWaiter(l sync.Locker) *waiter {
	w := &waiter{s: s}
	if s.parker != nil {
		w.cond = s.parker.NewCond(l)
		return w
	}
	w.own.L = l
	w.cond = &w.own
	w.direct = !s.staged
	w.rest.begin(s.clock == nil && !s.staged, oneProcessor(), s.recent()+recentGrain)
	return w
}

// expired reports whether the deadline due has passed.
func (s *Stack) expired(due time.Duration) bool {
	return due != never && s.now() >= due
}

// onDone arranges for wake to be called when ctx ends, and returns what undoes
// it. A context without an end costs nothing.
//
// A simulation's context says itself when it ends, as context.AfterFunc would
// do that in a goroutine of its own.
func onDone(ctx context.Context, wake func()) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	if c, ok := ctx.(interface {
		AfterFunc(f func()) (stop func() bool)
	}); ok {
		return c.AfterFunc(wake)
	}
	return context.AfterFunc(ctx, wake)
}
