package sim

import (
	"runtime"
	"runtime/debug"
	"sync"

	"example.com/loopback/socket"
)

// NewCond makes a condition variable that coroutines, and the goroutine that drives the World, can wait on: with the meaning
// of sync.NewCond. It implements socket.Parker, and is what sockets of the World wait on.
func (w *World) NewCond(l sync.Locker) socket.Cond { return &worldCond{w: w, l: l} }

// worldCond is a condition variable.
type worldCond struct {
	w       *World
	l       sync.Locker
	waiting lineUp // guarded by w.mu
}

// Wait implements socket.Cond.
func (d *worldCond) Wait() {
	w := d.w
	c := w.caller()
	w.mu.Lock()
	c.state = stateParked
	d.waiting.add(c)
	w.mu.Unlock()
	d.l.Unlock()
	defer d.l.Lock() // also when the wait does not return
	if c != &w.main {
		c.park()
		return
	}
	if err := w.drive(goal{until: Never, main: true}); err != nil {
		w.mu.Lock()
		d.waiting.drop(c)
		w.mu.Unlock()
		panic(err)
	}
}

// Signal implements socket.Cond.
func (d *worldCond) Signal() {
	w := d.w
	w.checkCaller()
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := d.waiting.take(); c != nil {
		w.wake(c)
	}
}

// Broadcast implements socket.Cond.
func (d *worldCond) Broadcast() {
	w := d.w
	w.checkCaller()
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := d.waiting.take(); c != nil; c = d.waiting.take() {
		w.wake(c)
	}
}

// ours reports whether the calling goroutine may use the World now: while it is driven those that belong to it, otherwise
// anyone, as that can only be who drives it. Goroutines that belong to Worlds are marked by a flag that package runtime
// keeps for each goroutine, which others are not likely to set, and which new goroutines do not inherit: that a fault at an
// address other than nil is a panic.
func (w *World) ours() bool {
	if debug.SetPanicOnFault(true) {
		return true
	}
	debug.SetPanicOnFault(false)
	return !w.looping.Load()
}

// checkCaller notes when a goroutine uses the World that may not.
func (w *World) checkCaller() {
	if !w.ours() {
		w.foreign()
	}
}

// foreign notes that the calling goroutine uses the World and may not.
func (w *World) foreign() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.fail(&ForeignError{Stack: string(debug.Stack())})
	}
}

// fail stops the World for good; the lock is held. What comes first counts.
func (w *World) fail(err error) {
	if w.failed == nil {
		w.failed = err
	}
}

// caller returns who is about to wait: a coroutine or, for the goroutine that drives the World, its main one. It does not
// return to those that may not wait.
func (w *World) caller() *Coroutine {
	if !w.ours() {
		w.foreign()
		runtime.Goexit()
	}
	if !w.looping.Load() {
		if w.lost.Load() != nil && debug.SetPanicOnFault(true) {
			runtime.Goexit() // it is the one that was lost: only coroutines are marked while nobody drives
		}
		debug.SetPanicOnFault(false)
		return &w.main
	}
	c := w.current.Load()
	switch {
	case c == nil:
		panic("sim: a function that was planned by At waits for the World")
	case c.killed || w.lost.Load() != nil:
		runtime.Goexit()
	}
	return c
}
