package sim

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"example.com/loopback/socket"
)

// A World is a Net in virtual time without a test: programs written against net.Conn run as coroutines on one event loop,
// exactly one at a time, so that a seed gives the same run to the last byte on any number of processors. It is for the
// command line, for fuzzing and for teaching.
//
//	w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
//	defer w.Close()
//	server, client := w.Host("server"), w.Host("client")
//	w.Link(client, server, sim.Impairment{Delay: 20 * time.Millisecond, Loss: 0.05})
//	l, err := server.Listen("tcp", ":80")
//	w.Go("server", func() { c, _ := l.Accept(); io.Copy(c, c); c.Close() })
//	c, err := client.Dial("tcp", "server:80")    // runs the World until it is connected
//	io.WriteString(c, "hello")
//	w.Run(w.Now() + time.Second)
//
// # Who runs when
//
// The goroutine that holds the World drives it: nothing happens, and no time passes, but in its calls of Run, Step, Sleep,
// Coroutine.Wait and of sockets' methods that have to wait (the Dial above). Each event (the arrival of a packet, a
// timer, a function planned by At, the start or the end of a sleep of a coroutine) has a nanosecond of its own; what it wakes runs, in the order of
// waking, until all of it waits again; then comes the next. Within an instant deliveries come first, ordered by flow, then
// what At has planned, coroutines in the order of their making, and timers, ordered by address.
//
// # What a coroutine may do
//
// It may compute, and wait for sockets of the World (with deadlines by Time, whose clock begins at Epoch), in Sleep, in
// Coroutine.Wait, and on condition variables of NewCond. It may start others and use mutexes that nobody holds while
// waiting. It may not wait for anything else: a channel, a WaitGroup, a mutex that another coroutine holds, time.Sleep,
// a socket of the kernel. Such a wait stops the World, and nobody in it can end it. When it has lasted for Patience of
// real time, the call that drives the World returns a *BlockedError, with the coroutine's name and stack. (What comes
// back sooner, such as the result of a computation in other goroutines, does no harm.)
//
// Other goroutines may not use the World. So libraries that start goroutines of their own which use connections, as
// net/http, gRPC and x/crypto/ssh do, cannot run in it; they can in package simtest. One that tries is ended
// (runtime.Goexit), and the call that drives the World returns a *ForeignError with its stack. Code that reads and writes
// a net.Conn where it stands, such as bufio, crypto/tls (without a context), encoding/gob and most protocol parsers, can.
//
// # How it ends
//
// A coroutine that panics stops the World, and the call that drives it panics in its turn, with a *PanicError that has the
// coroutine's name and stack. One that calls runtime.Goexit, as t.FailNow does, ends the goroutine that drives the World as well.
//
// When no event is left, Run returns although coroutines may be waiting, as servers do; a call that waits for a
// certain thing, which now can never come, does not return: Coroutine.Wait returns a *DeadlockError that names everybody
// who waits, and a method of a socket panics with it.
//
// Close closes all sockets, so that the coroutines that wait for one get net.ErrClosed and go on; those that wait for
// something else, or wait again, are ended there as by runtime.Goexit: their deferred functions run. One that does neither end nor
// wait is given up after Patience. A closed World has no goroutines and no timer; one that is not closed keeps the goroutines
// of its coroutines.
//
// Methods of a World must not be called concurrently. Run, Step and Close must not be called by a coroutine.
type World struct {
	Net

	// Patience is how long, in real time, a coroutine may wait for something that is not the World's; 1 s if 0.
	Patience time.Duration
	// MaxEvents is how many events there may be, so that a program that never comes to rest can be told from one that
	// takes its time; no bound if 0. The call that would go beyond returns, or panics with, ErrEvents.
	MaxEvents uint64

	events  uint64
	ids     uint64 // coroutines made, contexts with time-outs
	live    roster
	main    Coroutine // stands for the goroutine that drives the World, when that waits
	current atomic.Pointer[Coroutine]
	goal    goal
	looping atomic.Bool   // somebody drives
	turns   atomic.Uint64 // of coroutines: odd during one (see dog)
	dog     dog
	lost    atomic.Pointer[Coroutine] // the one whose turn was taken away
	closing atomic.Bool
	watch   *watcher // of Step

	mu     sync.Mutex  // guards what foreign goroutines may touch
	ready  lineUp      // coroutines to resume, in order
	failed error       // what stopped the World for good
	raise  *PanicError // one that is still to be raised
}

// ErrEvents says that a World has had MaxEvents events.
var ErrEvents = errors.New("sim: the World has had as many events as it may")

// NewWorld makes a World at virtual time 0. Its errors are those of the configuration.
func NewWorld(cfg NetConfig) (*World, error) {
	w := &World{}
	w.main = Coroutine{w: w, name: "main"}
	q := &Queue{gap: 1, check: w.checkCaller}
	cfg.Stack.Observer = &worldObserver{w, cfg.Stack.Observer}
	observe := cfg.Impair.Observe
	cfg.Impair.Observe = func(d *Decision) {
		w.watch.decided(d)
		if observe != nil {
			observe(d)
		}
	}
	if err := w.Net.init(cfg, q, w); err != nil {
		return nil, err
	}
	return w, nil
}

var _ socket.Parker = (*World)(nil)

// Time returns the time of day in the World, which begins at Epoch: what deadlines are made of.
func (w *World) Time() time.Time { return Epoch.Add(w.Now()) }

// Events returns how many events there were.
func (w *World) Events() uint64 { return w.events }

// Err returns what stopped the World: nil, *BlockedError, *ForeignError or *PanicError.
func (w *World) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// Run handles all events due until then (since the World was made), with all that follows from them, and moves time to
// that instant. Run(Never) goes on until no event is left, and leaves time at the last one; beware of connections that keep each
// other alive for ever. Its errors are *BlockedError, *ForeignError and ErrEvents; see World for panics.
func (w *World) Run(until time.Duration) error {
	if err := w.drive(goal{until: until}); err != nil {
		return err
	}
	if until != Never {
		w.queue.advance(until)
	}
	return nil
}

// Step handles the next event, with all that follows from it, and returns what it was. ok is false, and no time passes,
// when no event is left or the World has stopped; see Err.
func (w *World) Step() (e Event, ok bool) {
	if w.watch == nil {
		w.startWatching()
	}
	w.watch.on = true
	defer func() { w.watch.on = false }()
	before := w.events
	if err := w.drive(goal{until: Never, one: true}); err != nil && w.events == before {
		return Event{}, false
	}
	return w.watch.take(), w.events > before
}

// Sleep lets a coroutine, or the goroutine that drives the World, wait until d of virtual time has passed.
func (w *World) Sleep(d time.Duration) {
	c := w.caller()
	due := later(w.Now(), d)
	if c != &w.main {
		c.event.key.Kind = kindWake
		w.mu.Lock()
		c.state = stateParked
		w.mu.Unlock()
		w.queue.set(&c.event, due)
		c.park()
		return
	}
	if w.closing.Load() {
		return
	}
	if err := w.Run(due); err != nil {
		panic(err)
	}
}

// Close ends the World: its sockets, what is on the way, and its coroutines, in the order of their making. See World for
// how they end. The error is a *BlockedError if one of them does not.
func (w *World) Close() error {
	if w.closing.Load() {
		return nil
	}
	w.enter()
	w.closing.Store(true)
	w.Net.Close()
	err := w.close()
	w.queue.clear()
	if w.dog.timer != nil && w.dog.timer.Stop() {
		w.dog.awake.Store(false)
	}
	return err
}
