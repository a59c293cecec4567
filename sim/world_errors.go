package sim

import (
	"fmt"
	"strings"
	"time"
)

// A BlockedError says that a coroutine of a World waited for something that is not the World's, or did not end when the World
// was closed. The World has stopped for good, as the coroutine may use what belongs to it whenever its wait ends; its
// coroutines, and a goroutine of the World's, are left behind as they are. When the one that blocked comes to wait for
// something of the World's it is ended by runtime.Goexit.
type BlockedError struct {
	Name  string        // of the coroutine
	Stack string        // of its goroutine, whose first line says what it waits for
	After time.Duration // of real time
	Err   error         // if not nil, what happened before, and probably why
}

// Error implements error; it includes the stack.
func (e *BlockedError) Error() string {
	s := fmt.Sprintf("sim: coroutine %q has waited for %v for something that is not the World's:\n%s", e.Name, e.After, e.Stack)
	if e.Err != nil {
		s += "\nbefore that, " + e.Err.Error()
	}
	return s
}

// Unwrap returns what happened before.
func (e *BlockedError) Unwrap() error { return e.Err }

// A ForeignError says that a goroutine which is not one of a World's used it while it was being driven. The World has stopped for
// good.
type ForeignError struct {
	Stack string // of the goroutine, when it did so
}

// Error implements error; it includes the stack.
func (e *ForeignError) Error() string {
	return "sim: a goroutine that the World has not started uses it (programs with goroutines run in package simtest):\n" + e.Stack
}

// A PanicError is what the call that drives a World panics with when a coroutine has panicked. The World has stopped for good.
type PanicError struct {
	Name  string // of the coroutine
	Value any    // of the panic
	Stack string // of the coroutine, when it panicked
}

// Error implements error; it includes the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("sim: coroutine %q: panic: %v\n\n%s", e.Name, e.Value, e.Stack)
}

// Unwrap returns the value of the panic if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// An ExitError says that a coroutine called runtime.Goexit, and so stopped the World for good.
type ExitError struct {
	Name string // of the coroutine
}

// Error implements error.
func (e *ExitError) Error() string {
	return fmt.Sprintf("sim: coroutine %q called runtime.Goexit", e.Name)
}

// A DeadlockError says that the goroutine that drives a World waits for what cannot come: no event is left, and so nobody
// will do anything. The World goes on if something new is done in it.
type DeadlockError struct {
	Waiting []Waiting // all coroutines that have not ended, in the order of their making
}

// Waiting is a coroutine that waits.
type Waiting struct {
	Name  string
	Stack string // of its goroutine
}

// Error implements error; it includes the stacks.
func (e *DeadlockError) Error() string {
	var s strings.Builder
	s.WriteString("sim: deadlock: no event is left")
	for _, c := range e.Waiting {
		fmt.Fprintf(&s, "\ncoroutine %q waits:\n%s", c.Name, c.Stack)
	}
	return s.String()
}

// deadlock says who waits.
func (w *World) deadlock() *DeadlockError {
	all := stacks()
	var e DeadlockError
	for c := w.live.first; c != nil; c = c.younger {
		stack := ""
		if c.next != nil {
			stack = c.find(all, false)
		}
		e.Waiting = append(e.Waiting, Waiting{c.name, stack})
	}
	return &e
}
