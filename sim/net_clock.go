package sim

import (
	"sync"
	"time"

	"example.com/loopback/socket"
)

// netClock is package time for the stack of a Net, with its timers in the Net's queue. Unlike those of Clock, its
// timers leave the queue when they are stopped or set anew: an entry that does nothing would still take a nanosecond
// of its own, and whether there is one may depend on which of two goroutines was first.
type netClock struct {
	q     *Queue
	epoch time.Time // when q began
}

// Now implements socket.Clock.
func (c *netClock) Now() time.Time { return c.epoch.Add(c.q.Now()) }

// AfterFunc implements socket.Clock.
func (c *netClock) AfterFunc(d time.Duration, f func()) socket.Timer {
	t := &netTimer{c: c, f: f}
	t.Reset(d)
	return t
}

// netTimer is an entry of the queue while it is pending.
type netTimer struct {
	c  *netClock
	f  func()
	mu sync.Mutex
	id uint64 // of the entry; 0: not pending
}

// Reset implements socket.Timer.
func (t *netTimer) Reset(d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.stop()
	t.id = t.c.q.enter(t.c.q.Now()+max(d, 0), Key{Kind: kindTimer}, t.fire)
	return was
}

// Stop implements socket.Timer.
func (t *netTimer) Stop() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stop()
}

func (t *netTimer) stop() bool {
	was := t.id != 0 && t.c.q.remove(t.id)
	t.id = 0
	return was
}

func (t *netTimer) fire() {
	t.mu.Lock()
	t.id = 0
	t.mu.Unlock()
	t.f()
}

// enter is At; it returns what remove knows the event by.
func (q *Queue) enter(due time.Duration, key Key, f func()) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.order++
	q.events.push(event{due, key, q.order, f})
	if !q.busy {
		q.arm()
	}
	return q.order
}

// remove takes an event out and reports whether it was still to come.
func (q *Queue) remove(id uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.events {
		if q.events[i].order == id {
			q.events.remove(i)
			if !q.busy {
				q.arm()
			}
			return true
		}
	}
	return false
}

// clear takes all events out.
func (q *Queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = nil
	if !q.busy {
		q.arm()
	}
}

// remove takes out the i-th entry.
func (h *eventHeap) remove(i int) {
	s := *h
	last := len(s) - 1
	s[i] = s[last]
	s[last] = event{} // for the garbage collector
	s = s[:last]
	*h = s
	for i > 0 && i < last && s[i].before(&s[(i-1)/2]) {
		s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
		i = (i - 1) / 2
	}
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < last; c++ {
			if s[c].before(&s[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}
