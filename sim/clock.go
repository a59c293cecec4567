package sim

import (
	"sync"
	"time"

	"example.com/loopback/socket"
)

// Clock is virtual time for a socket.Stack: a socket.Clock on a Queue, so that
// the stack's timers and the link's deliveries are events of one order. Its
// time of day begins at Epoch. It is safe for concurrent use.
type Clock struct {
	q *Queue
}

// Epoch is what virtual clocks show when they begin: the time of day at which
// testing/synctest's bubbles begin as well, midnight UTC 2000-01-01.
var Epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// NewClock returns a clock that shows the time of q.
func NewClock(q *Queue) *Clock { return &Clock{q} }

// Now implements socket.Clock.
func (c *Clock) Now() time.Time { return Epoch.Add(c.q.Now()) }

// kindTimer tells the events of clocks from deliveries that are due at the same
// instant: those come first.
const kindTimer = 255

// AfterFunc implements socket.Clock.
func (c *Clock) AfterFunc(d time.Duration, f func()) socket.Timer {
	t := &clockTimer{c: c, f: f}
	t.Reset(d)
	return t
}

// clockTimer is a socket.Timer: an entry of the queue that does nothing if it
// is stopped or set anew before it is due.
type clockTimer struct {
	c   *Clock
	f   func()
	mu  sync.Mutex
	gen uint64 // of the latest Reset; entries of others are void
	due bool   // pending
}

// Reset implements socket.Timer.
func (t *clockTimer) Reset(d time.Duration) bool {
	t.mu.Lock()
	t.gen++
	gen, was := t.gen, t.due
	t.due = true
	t.mu.Unlock()
	t.c.q.At(t.c.q.Now()+max(d, 0), Key{Kind: kindTimer}, func() { t.fire(gen) })
	return was
}

// Stop implements socket.Timer.
func (t *clockTimer) Stop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.due
	t.due = false
	return was
}

func (t *clockTimer) fire(gen uint64) {
	t.mu.Lock()
	if !t.due || gen != t.gen {
		t.mu.Unlock()
		return
	}
	t.due = false
	t.mu.Unlock()
	t.f()
}
