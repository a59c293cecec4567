package socket

import (
	"net/netip"
	"sync"
	"time"
	"weak"
)

// A timer is one socket's place in the stack's timerQueue. A socket has one
// for everything it waits for; it is lazy: when the true deadline moves to a
// later time the entry stays, fires early, and is put where it belongs then.
// A connection that sends a million segments thus moves its entry a few times
// a second, not a million times.
//
// due is written with the owner's lock and the queue's held, so that either is
// enough to read it; set is guarded by the owner's lock, pos and level by the
// queue's.
type timer struct {
	owner timed
	due   time.Duration
	pos   int32 // index in its heap or bucket plus one; 0: not queued
	level uint8 // of the bucket; nearLevel: it is in the heap
	set   bool  // an entry due no later than due exists
}

// timed is what a timer wakes. expire is called without locks held.
type timed interface {
	expire(now time.Duration)
	timerKey() *flowKey // stable tie-break between entries due together; not copied, as that needs much stack (stackroom.go)
}

// A timerQueue holds the timers of a stack, ordered by due time, then key, behind
// one lock, with at most one armed Timer of the clock. Those due before a horizon
// are near and in exact order, the others are far: see farTimers. The first one
// is always near, and few are: all of those of a small stack, or a few milliseconds'
// of a large one.
type timerQueue struct {
	mu      sync.Mutex
	near    timerHeap
	far     farTimers
	horizon time.Duration // never: nothing is far
	spillAt int           // how many may be near
	clock   Timer         // the clock's timer, once made
	at      time.Duration // when it is due; never: not armed
	shut    bool
}

func (q *timerQueue) init() { q.at, q.horizon, q.spillAt = never, never, spillMin }

// arm makes sure that t fires no later than due. The owner's lock is held.
func (s *Stack) arm(t *timer, due time.Duration) {
	if due == never || t.set && t.due <= due {
		return
	}
	t.set = true
	q := &s.timers
	q.mu.Lock() // given up without a deferred function: connections come here all the time
	if !q.shut {
		q.set(t, due)
		if due < q.at {
			s.armClock(due)
		}
	}
	q.mu.Unlock()
}

// disarm takes t out. The owner's lock is held.
func (s *Stack) disarm(t *timer) {
	if !t.set {
		return
	}
	t.set = false
	q := &s.timers
	q.mu.Lock()
	if t.pos != 0 {
		q.remove(t)
		if len(q.near) == 0 && q.clock != nil {
			q.clock.Stop()
			q.at = never
		}
	}
	q.mu.Unlock()
}

// armClock sets the clock's one timer; the queue's lock is held.
func (s *Stack) armClock(due time.Duration) {
	q := &s.timers
	q.at = due
	d := max(due-s.now(), 0)
	if q.clock == nil {
		// A pending call must not keep a stack that everybody has dropped.
		dropped := weak.Make(s)
		q.clock = s.afterFunc(d, func() {
			if s := dropped.Value(); s != nil {
				s.onClock()
			}
		})
		return
	}
	q.clock.Reset(d)
}

// onClock runs when the clock's timer fires: it expires what is due, earliest
// first, ties in the order of keys.
func (s *Stack) onClock() {
	q := &s.timers
	q.mu.Lock()
	q.at = never
	q.mu.Unlock()
	for {
		now := s.now()
		q.mu.Lock()
		if q.shut || len(q.near) == 0 {
			q.mu.Unlock()
			return
		}
		t := q.near[0]
		if t.due > now {
			if t.due < q.at {
				s.armClock(t.due)
			}
			q.mu.Unlock()
			return
		}
		q.remove(t)
		owner := t.owner
		q.mu.Unlock()
		owner.expire(now)
		if s.serial {
			s.next()
			return
		}
	}
}

// next arms the clock for the earliest entry left.
func (s *Stack) next() {
	q := &s.timers
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.shut && len(q.near) > 0 && q.near[0].due < q.at {
		s.armClock(q.near[0].due)
	}
}

// stop forgets all timers for good.
func (q *timerQueue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shut = true
	for _, t := range append(q.far.all(), q.near...) {
		t.pos = 0
	}
	q.near, q.far = nil, farTimers{}
	if q.clock != nil {
		q.clock.Stop()
	}
}

// TimerInfo says whose timer is due when. A connection's may be due earlier
// than anything that it waits for: then it is put where it belongs.
type TimerInfo struct {
	Due   time.Duration // since the stack was made
	Proto uint8         // 6 is TCP, 17 is UDP; 0: a raw socket, or the reassembly of fragments
	// The addresses of the socket; zero if it has none.
	Local, Remote netip.AddrPort
}

// NextTimer returns the timer that is due next; ok is false when there is none. A timer may be due earlier than anything is,
// and, with as many connections in TIME-WAIT as may be (Config.MaxTWBuckets), be of one that is gone.
// It is for those who watch a stack in virtual time.
func (s *Stack) NextTimer() (t TimerInfo, ok bool) {
	q := &s.timers
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.near) == 0 {
		return t, false
	}
	t.Due = q.near[0].due
	owner := q.near[0].owner
	switch owner.(type) {
	case tcpEnd, *twTable, *oddTimeWait:
		t.Proto = protoTCP
	case *UDPConn:
		t.Proto = protoUDP
	}
	if k := owner.timerKey(); *k != (flowKey{}) {
		t.Local = k.localAddr()
		if k.remote != (ip{}) {
			t.Remote = k.remoteAddr()
		}
	}
	return t, true
}

// earliest returns when the next timer is due, or never.
func (q *timerQueue) earliest() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.near) == 0 {
		return never
	}
	return q.near[0].due
}
