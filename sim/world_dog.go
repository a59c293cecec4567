package sim

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// A coroutine that blocks takes the goroutine that has resumed it along: the one that drives the World. What can still be
// done is done by a timer, the World's watch-dog: it looks at the coroutine that runs from time to time, and when that
// does not get on it yields in the coroutine's place. Then the goroutine that drives goes on, and the coroutine is lost.
//
// Who has the turn is decided by World.turns: a coroutine makes it odd when it gets the turn and even before it gives it back; the
// watch-dog, when it takes the turn away, makes it another odd number, which the coroutine notices should it ever come back.

// begin takes the turn. It is the coroutine's own, so that what happened before it was resumed, in package iter as well,
// happened before what the watch-dog does.
func (c *Coroutine) begin() { c.turn = c.w.turns.Add(1) }

// leave gives the turn back, and reports false when it was taken away.
func (c *Coroutine) leave() bool { return c.w.turns.CompareAndSwap(c.turn, c.turn+1) }

// watchDog sees to it that the dog is awake.
func (w *World) watchDog() {
	d := &w.dog
	if d.awake.Swap(true) {
		return
	}
	if d.timer == nil {
		d.timer = time.AfterFunc(never, w.bark)
	}
	d.timer.Reset(w.patience() / 2) // the dog knows the timer by then
}

func (w *World) patience() time.Duration {
	if w.Patience <= 0 {
		return time.Second
	}
	return w.Patience
}

// bark is what the dog's timer calls.
func (w *World) bark() {
	if !w.looping.Load() {
		w.dog.awake.Store(false) // the next one to drive wakes it
		if !w.looping.Load() || w.dog.awake.Swap(true) {
			return
		}
	}
	c := w.suspect()
	if c == nil {
		w.dog.timer.Reset(w.patience() / 4)
		return
	}
	c.yield(struct{}{}) // until the coroutine comes back, if it does
}

// dog is what the watch-dog remembers.
type dog struct {
	timer *time.Timer
	awake atomic.Bool
	turn  uint64    // that it has seen
	since time.Time // when it saw it first
	stack string    // what the coroutine was at
}

// suspect looks at the coroutine that runs. When it has had the turn for as long as Patience, and was seen twice to wait at the
// same place for something that the runtime knows of, or will not end when the World does, its turn is taken away and it is returned.
func (w *World) suspect() *Coroutine {
	d := &w.dog
	turn := w.turns.Load()
	if turn%2 == 0 || turn != d.turn {
		d.turn, d.since, d.stack = turn, time.Now(), ""
		return nil
	}
	took := time.Since(d.since)
	if took < w.patience()/4 {
		return nil
	}
	c := w.current.Load() // another, if the turn has ended: it is asked again below
	if c == nil {
		return nil
	}
	stack := c.find(stacks(), true)
	stuck := stack != "" && !busy(stack) && stripTime(stack) == stripTime(d.stack)
	d.stack = stack
	if took < w.patience() || !stuck && !w.closing.Load() || !w.turns.CompareAndSwap(turn, turn+2) {
		return nil
	}
	w.lost.Store(c)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = &BlockedError{Name: c.name, Stack: stack, After: took.Round(time.Millisecond), Err: w.failed}
	return c
}

// stacks returns the stacks of all goroutines, as in a crash.
func stacks() [][]byte {
	for size := 1 << 16; ; size *= 4 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size || size >= 1<<26 {
			return bytes.Split(b[:n], []byte("\n\n"))
		}
	}
}

// find returns the stack of a coroutine: of those whose outermost function is body the one with our address among its
// arguments or, as the compiler need not keep arguments, the only one. If it runs, those that have yielded do not count.
func (c *Coroutine) find(all [][]byte, runs bool) string {
	ours := fmt.Appendf(nil, "sim.(*Coroutine).body(%p", c)
	var likely []string
	for _, g := range all {
		if !bytes.Contains(g, []byte("sim.(*Coroutine).body(")) || runs && goroutineState(string(g)) == "coroutine" {
			continue
		}
		if bytes.Contains(g, ours) {
			return string(g)
		}
		likely = append(likely, string(g))
	}
	if len(likely) == 1 {
		return likely[0]
	}
	return ""
}

// goroutineState returns what a stack says the goroutine is doing: "chan receive" of "goroutine 7 [chan receive, 2 minutes]:".
func goroutineState(stack string) string {
	_, rest, _ := strings.Cut(stack, "[")
	state, _, _ := strings.Cut(rest, "]")
	state, _, _ = strings.Cut(state, ",")
	return strings.TrimSuffix(state, " (durable)")
}

// busy reports whether a goroutine is doing something, or is kept from it by the runtime only.
func busy(stack string) bool {
	switch s := goroutineState(stack); s {
	case "running", "runnable", "preempted", "waiting":
		return true
	default:
		return strings.HasPrefix(s, "GC ")
	}
}

// stripTime takes the first line off, which may say for how long the goroutine has been waiting.
func stripTime(stack string) string {
	_, rest, _ := strings.Cut(stack, "\n")
	return rest
}
