package sim

import (
	"context"
	"time"
)

// WithTimeout is context.WithTimeout in the time of the World, for Host.DialContext and others that take its contexts.
// Those of package context count real time, which in a World does not pass, and end in goroutines of their own, which
// may not use it: a dial under way does not notice when one that is not made by the World is cancelled.
func (w *World) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	c := w.newContext(parent)
	due := w.Time().Add(max(d, 0))
	if old, ok := parent.Deadline(); !ok || due.Before(old) {
		c.deadline = due
		w.ids++
		c.event.key, c.event.f = Key{Kind: kindTimeout, Seq: w.ids}, func() { c.end(context.DeadlineExceeded) }
		w.queue.set(&c.event, later(w.Now(), d))
	}
	return c, func() { c.end(context.Canceled) }
}

// WithCancel is context.WithCancel for contexts that a dial in the World notices the end of.
func (w *World) WithCancel(parent context.Context) (context.Context, context.CancelFunc) {
	c := w.newContext(parent)
	return c, func() { c.end(context.Canceled) }
}

// worldContext is a context whose end is an event, or what somebody in the World does.
type worldContext struct {
	context.Context // the parent's values, and Done
	w               *World
	cancel          context.CancelCauseFunc
	event           event
	deadline        time.Time
	err             error
	calls           []*func() // of AfterFunc; nil: not any more
	leave           func() bool
}

func (w *World) newContext(parent context.Context) *worldContext {
	c := &worldContext{w: w}
	c.Context, c.cancel = context.WithCancelCause(parent)
	if p, ok := parent.(*worldContext); ok {
		c.leave = p.AfterFunc(func() { c.end(p.Err()) })
	}
	return c
}

// Deadline implements context.Context.
func (c *worldContext) Deadline() (time.Time, bool) {
	if !c.deadline.IsZero() {
		return c.deadline, true
	}
	return c.Context.Deadline()
}

// Err implements context.Context.
func (c *worldContext) Err() error {
	if c.err != nil {
		return c.err
	}
	return c.Context.Err()
}

// AfterFunc calls f when the context ends, in whatever ends it, and not in a goroutine of its own as context.AfterFunc
// does. Package socket and context.AfterFunc itself look for it.
func (c *worldContext) AfterFunc(f func()) (stop func() bool) {
	if c.err != nil {
		f()
		return func() bool { return false }
	}
	call := &f
	c.calls = append(c.calls, call)
	return func() bool {
		for i, o := range c.calls {
			if o == call {
				c.calls = append(c.calls[:i], c.calls[i+1:]...)
				return true
			}
		}
		return false
	}
}

// end ends the context, once.
func (c *worldContext) end(why error) {
	if c.err != nil {
		return
	}
	c.err = why
	c.w.queue.cancel(&c.event)
	if c.leave != nil {
		c.leave()
	}
	c.cancel(why)
	calls := c.calls
	c.calls = nil
	for _, f := range calls {
		(*f)()
	}
}
