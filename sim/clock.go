package sim

import (
	"time"

	"example.com/loopback/socket"
)

// Clock is the time of a Queue for a socket.Stack: a socket.Clock whose timers are events of the Queue, in one order with
// the deliveries of its link. A timer that is stopped or set anew leaves nothing behind: an entry that does nothing would
// still take its share of time, and whether there is one may depend on which of two goroutines was first. It is safe for
// concurrent use.
type Clock struct {
	q *Queue
}

// Epoch is what virtual clocks show when they begin: the time of day at which
// testing/synctest's bubbles begin as well, midnight UTC 2000-01-01.
var Epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// NewClock returns a clock that shows the time of q: the time of day is that of q's own clock, or in virtual time begins
// at Epoch.
func NewClock(q *Queue) *Clock { return &Clock{q} }

// Now implements socket.Clock.
func (c *Clock) Now() time.Time { return c.q.start().Add(c.q.Now()) }

// start is the time of day at which the Queue's time is 0.
func (q *Queue) start() time.Time {
	if q.epoch.IsZero() {
		return Epoch
	}
	return q.epoch
}

// AfterFunc implements socket.Clock.
func (c *Clock) AfterFunc(d time.Duration, f func()) socket.Timer {
	t := &clockTimer{q: c.q}
	t.key.Kind, t.f = kindTimer, f
	t.Reset(d)
	return t
}

// clockTimer is a socket.Timer: an event of the queue, while it is pending.
type clockTimer struct {
	event
	q *Queue
}

// Reset implements socket.Timer.
func (t *clockTimer) Reset(d time.Duration) bool { return t.q.set(&t.event, later(t.q.Now(), d)) }

// Stop implements socket.Timer.
func (t *clockTimer) Stop() bool { return t.q.cancel(&t.event) }

// later is d after now: not before now, and at the end of time rather than beyond it.
func later(now, d time.Duration) time.Duration {
	if d > never-now {
		return never
	}
	return now + max(d, 0)
}

// timeClock is package time.
type timeClock struct{}

func (timeClock) Now() time.Time { return time.Now() }

func (timeClock) AfterFunc(d time.Duration, f func()) socket.Timer { return time.AfterFunc(d, f) }
