package sim

import (
	"iter"
	"runtime"
	"runtime/debug"
	"time"
)

// A goal says when a call that drives the World is done.
type goal struct {
	until   time.Duration // no event later than that
	one     bool          // one event
	main    bool          // until somebody has woken World.main
	closing bool          // no event: only those that are ready
	begun   uint64        // World.events when the call began
}

// enter checks that the World may be driven by the calling goroutine.
func (w *World) enter() {
	if !w.looping.Load() {
		return
	}
	if !w.ours() {
		w.foreign()
		runtime.Goexit()
	}
	panic("sim: a World is driven by one of its own coroutines or planned functions")
}

// drive makes things happen until the goal is reached, no event is left, or something stops the World. It is the event
// loop.
func (w *World) drive(g goal) error {
	w.enter()
	if err := w.Err(); err != nil && !g.closing {
		return err
	}
	g.begun = w.events
	w.goal = g
	w.looping.Store(true)
	marked := debug.SetPanicOnFault(true)
	w.watchDog()
	defer func() {
		debug.SetPanicOnFault(marked)
		w.current.Store(nil)
		w.looping.Store(false)
	}()
	err := w.spin()
	if p := w.takePanic(); p != nil {
		panic(p)
	}
	if err == errIdle {
		if g.main {
			return w.deadlock()
		}
		return nil
	}
	return err
}

// takePanic returns a panic that nobody has been told of yet.
func (w *World) takePanic() *PanicError {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.raise
	w.raise = nil
	return p
}

// signal is an error that does not leave this file.
type signal string

func (s signal) Error() string { return string(s) }

const errIdle signal = "no event is left"

// spin resumes coroutines and handles events.
func (w *World) spin() error {
	g := &w.goal
	for {
		for {
			c, err := w.take()
			if err != nil {
				return err
			}
			if c == nil {
				break
			}
			w.resume(c)
		}
		switch {
		case g.closing, g.main && w.main.state == stateReady, g.one && w.events > g.begun:
			return nil
		case w.MaxEvents > 0 && w.events >= w.MaxEvents:
			return ErrEvents
		}
		if !w.happen() {
			return errIdle
		}
	}
}

// take returns the next coroutine to resume, nil if all wait. The error is what has stopped the World.
func (w *World) take() (*Coroutine, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil && (!w.goal.closing || w.lost.Load() != nil) {
		return nil, w.failed
	}
	c := w.ready.take()
	if c != nil {
		c.state = stateRunning
	}
	return c, nil
}

// happen handles the next event, if there is one until then.
func (w *World) happen() bool {
	q := w.queue
	if w.watch != nil && w.watch.on {
		if key, ok := q.peek(w.goal.until); ok {
			w.watch.begin(key)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.begin(w.goal.until)
	if e == nil {
		return false
	}
	w.events++
	q.handle(e)
	return true
}

// resume lets a coroutine run until it waits or ends. When it ends by runtime.Goexit, so does the calling goroutine.
func (w *World) resume(c *Coroutine) {
	if c.next == nil {
		c.next, _ = iter.Pull(c.body)
	}
	if w.watch != nil && w.watch.on {
		w.watch.note(c.name + " runs")
	}
	w.current.Store(c)
	c.next()
	w.current.Store(nil)
}

// close ends all coroutines: those that wait for sockets have been told that they are closed, and what waits then, or again, is
// killed.
func (w *World) close() error {
	if err := w.drive(goal{closing: true}); err != nil {
		return err
	}
	for c := w.live.first; c != nil; c = c.younger {
		if c.state != stateParked {
			continue // an event to come, or the one that was lost
		}
		c.killed, c.state = true, stateReady
		w.ready.add(c)
		// It will take the goroutine that resumes it along.
		done := make(chan error, 1)
		go func() {
			err := w.Err()
			defer func() { done <- err }()
			err = w.drive(goal{closing: true})
		}()
		if err := <-done; w.lost.Load() != nil {
			return err
		}
	}
	return nil
}
