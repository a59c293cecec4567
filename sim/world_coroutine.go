package sim

import (
	"runtime"
	"runtime/debug"
)

// A Coroutine is a function that was started by World.Go.
type Coroutine struct {
	w      *World
	name   string
	id     uint64
	f      func()
	event  event                   // its start, the end of a Sleep
	next   func() (struct{}, bool) // resumes it; nil: not started
	yield  func(struct{}) bool
	turn   uint64 // see World.turns
	state  state
	behind *Coroutine // in the lineUp that it is in
	done   lineUp     // who waits for its end
	killed bool       // it ends where it waits
	normal bool       // f has returned

	older, younger *Coroutine // in the World's roster
}

// state is what a coroutine is at.
type state uint8

const (
	stateNew     state = iota // its start is an event to come
	stateReady                // it is in World.ready
	stateRunning              //
	stateParked               // it waits
	stateEnded                //
)

// Name returns the name that the coroutine was given.
func (c *Coroutine) Name() string { return c.name }

// Ended reports whether the coroutine's function has returned, panicked or exited.
func (c *Coroutine) Ended() bool { return c.state == stateEnded }

// Go starts f as a coroutine: its beginning is an event of the present instant. It may be called by coroutines and by the
// functions of At, too. The name is for people and need not be the only one of its kind. In a World that was closed nothing is
// started.
func (w *World) Go(name string, f func()) *Coroutine {
	if !w.ours() {
		w.foreign()
		runtime.Goexit()
	}
	w.ids++
	c := &Coroutine{w: w, name: name, id: w.ids, f: f}
	if w.closing.Load() {
		c.state = stateEnded
		return c
	}
	w.live.add(c)
	c.event.key, c.event.f = Key{Kind: kindStart, Seq: c.id}, c.wake
	w.queue.set(&c.event, w.Now())
	return c
}

// Wait waits until the coroutine has ended. The error is nil then; for the goroutine that drives the World it may also be
// a *DeadlockError, since no event is left that might lead there, and the errors of Run.
func (c *Coroutine) Wait() error {
	w := c.w
	self := w.caller()
	for !c.Ended() {
		if w.closing.Load() && self == &w.main {
			return nil
		}
		w.mu.Lock()
		self.state = stateParked
		c.done.add(self)
		w.mu.Unlock()
		if self != &w.main {
			self.park()
		} else if err := w.drive(goal{until: Never, main: true}); err != nil {
			w.mu.Lock()
			c.done.drop(self)
			w.mu.Unlock()
			return err
		}
	}
	return nil
}

// wake makes a coroutine that waits go on when its turn comes.
func (c *Coroutine) wake() {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake(c)
}

// wake is Coroutine.wake with the lock held.
func (w *World) wake(c *Coroutine) {
	if c.state != stateNew && c.state != stateParked || c.killed {
		return
	}
	c.state = stateReady
	if c != &w.main {
		w.ready.add(c)
	}
}

// park gives up the processor until somebody has woken the coroutine, which has said that it is parked and where it can be
// found.
func (c *Coroutine) park() {
	if !c.leave() {
		runtime.Goexit() // the World went on without us
	}
	c.yield(struct{}{})
	c.begin()
	if c.killed {
		runtime.Goexit()
	}
}

// body is what the goroutine of a coroutine does. Stacks are searched for its name.
func (c *Coroutine) body(yield func(struct{}) bool) {
	debug.SetPanicOnFault(true) // the mark: see World.ours
	c.yield = yield
	c.begin()
	defer c.end()
	c.f()
	c.normal = true
}

// end is deferred by body: f has returned, panicked or called runtime.Goexit.
func (c *Coroutine) end() {
	w := c.w
	v := recover()
	if !c.leave() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case v != nil:
		w.raise = &PanicError{Name: c.name, Value: v, Stack: string(debug.Stack())}
		w.fail(w.raise)
	case !c.normal && !c.killed:
		w.fail(&ExitError{Name: c.name})
	}
	c.state = stateEnded
	w.live.remove(c)
	for waiting := c.done.take(); waiting != nil; waiting = c.done.take() {
		w.wake(waiting)
	}
	if w.watch != nil && w.watch.on {
		w.watch.note(c.name + " ends")
	}
}

// A lineUp is a queue of coroutines; one is in at most one of them.
type lineUp struct{ first, last *Coroutine }

func (l *lineUp) add(c *Coroutine) {
	c.behind = nil
	if l.first == nil {
		l.first = c
	} else {
		l.last.behind = c
	}
	l.last = c
}

func (l *lineUp) take() *Coroutine {
	c := l.first
	if c != nil {
		l.first, c.behind = c.behind, nil
	}
	return c
}

// drop takes c out if it is in.
func (l *lineUp) drop(c *Coroutine) {
	all := *l
	*l = lineUp{}
	for o := all.take(); o != nil; o = all.take() {
		if o != c {
			l.add(o)
		}
	}
}

// A roster is a list of all coroutines that have not ended, in the order of their making.
type roster struct{ first, last *Coroutine }

func (r *roster) add(c *Coroutine) {
	if c.older = r.last; r.last == nil {
		r.first = c
	} else {
		r.last.younger = c
	}
	r.last = c
}

func (r *roster) remove(c *Coroutine) {
	if c.older == nil {
		r.first = c.younger
	} else {
		c.older.younger = c.younger
	}
	if c.younger == nil {
		r.last = c.older
	} else {
		c.younger.older = c.older
	}
	// What c knows of its neighbours stays: somebody may be walking along.
}
