package sim

import (
	"cmp"
	"math"
	"sync"
	"time"
)

// A Scheduler calls functions at a time to come. Functions that are due at the same instant are called in the
// order of their keys, which never depends on the order in which they were scheduled.
type Scheduler interface {
	// Now returns the time since the scheduler's epoch. It never goes backwards.
	Now() time.Duration
	// At arranges for f to be called once when it is due, or as soon as possible if that has passed, but never
	// from within At itself. Functions are called one at a time.
	At(due time.Duration, key Key, f func())
}

// A Key says in which order events of one instant happen: by kind, then by flow, then by their number in the flow.
// It must be made of nothing that varies from run to run.
type Key struct {
	Kind uint8 // deliveries are 0 and come first
	Flow Flow
	Seq  uint64
}

// Compare returns -1, 0 or 1.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Kind, o.Kind), k.Flow.Compare(o.Flow), cmp.Compare(k.Seq, o.Seq))
}

// A Queue is a Scheduler: events ordered by (due time, key), one at a time. Its zero value runs in virtual time,
// which starts at 0 and moves when Step or Run is called. A Queue made by NewQueue runs by itself on the clock it
// was given. It is safe for concurrent use; events may schedule others.
//
// A Queue that has nothing to do has no timer and no goroutine.
type Queue struct {
	mu     sync.Mutex
	events eventHeap
	order  uint64
	now    time.Duration // virtual time; on a clock, when the latest event was handled
	busy   bool          // somebody is in the loop of run

	clock func() time.Duration
	wake  func(d time.Duration, f func()) (stop func() bool)
	gap   time.Duration
	armed time.Duration // when wake will call; never if not
	stop  func() bool
	fire  func()
}

const never = time.Duration(math.MaxInt64)

// NewQueue returns a Queue on a clock: now tells the time, and after calls f when d has passed (never from within
// after itself) unless stop is called before. gap is the least time between two events; a nanosecond makes events
// of one instant distinct instants, between which a testing/synctest bubble comes to rest.
func NewQueue(now func() time.Duration, after func(d time.Duration, f func()) (stop func() bool), gap time.Duration) *Queue {
	q := &Queue{clock: now, wake: after, gap: gap, armed: never}
	q.fire = q.run
	return q
}

// NewTimeQueue returns a Queue on package time: the wall clock, or the fake time of the testing/synctest bubble that it
// is made in. Its epoch is now. For gap see NewQueue.
func NewTimeQueue(gap time.Duration) *Queue {
	epoch := time.Now()
	return NewQueue(
		func() time.Duration { return time.Since(epoch) },
		func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop },
		gap)
}

// event is an entry of the heap.
type event struct {
	due   time.Duration
	key   Key
	order uint64 // of scheduling: decides between equal keys, which the users should not have
	f     func()
}

// before reports whether e happens before o.
func (e *event) before(o *event) bool {
	if e.due != o.due {
		return e.due < o.due
	}
	if c := e.key.Compare(o.key); c != 0 {
		return c < 0
	}
	return e.order < o.order
}

// eventHeap is a binary heap of values: container/heap would allocate for every event.
type eventHeap []event

func (h *eventHeap) push(e event) {
	*h = append(*h, e)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s[i].before(&s[parent]) {
			break
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

func (h *eventHeap) pop() event {
	s := *h
	first, last := s[0], len(s)-1
	s[0] = s[last]
	s[last] = event{} // for the garbage collector
	*h = s[:last]
	s = s[:last]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(s); c++ {
			if s[c].before(&s[least]) {
				least = c
			}
		}
		if least == i {
			return first
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}

// Now implements Scheduler.
func (q *Queue) Now() time.Duration {
	if q.clock != nil {
		return q.clock()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.now
}

// At implements Scheduler.
func (q *Queue) At(due time.Duration, key Key, f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.order++
	q.events.push(event{due, key, q.order, f})
	if !q.busy {
		q.arm()
	}
}

// Len returns the number of events to come.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events)
}

// Next returns when the next event is due; ok is false when there is none.
func (q *Queue) Next() (due time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		return 0, false
	}
	return q.events[0].due, true
}

// arm sees to it that a Queue with a clock is woken when the next event is due.
func (q *Queue) arm() {
	if q.clock == nil {
		return
	}
	due := never
	if len(q.events) > 0 {
		due = max(q.events[0].due, q.now+q.gap)
	}
	if due == q.armed {
		return
	}
	if q.stop != nil {
		q.stop()
		q.stop = nil
	}
	if q.armed = due; due != never {
		q.stop = q.wake(due-q.clock(), q.fire)
	}
}

// run is what a Queue's clock calls: it handles what is due.
func (q *Queue) run() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy {
		return
	}
	q.armed, q.stop = never, nil
	q.busy = true
	now := q.clock()
	for len(q.events) > 0 && q.events[0].due <= now {
		if q.gap > 0 && now < q.now+q.gap {
			break
		}
		q.now = now
		q.handle(q.events.pop())
		if q.gap == 0 {
			now = q.clock()
		}
	}
	q.busy = false
	q.arm()
}

// handle calls an event's function without the lock.
func (q *Queue) handle(e event) {
	q.mu.Unlock()
	defer q.mu.Lock()
	e.f()
}

// Step moves a Queue in virtual time to its next event and handles that one. It returns false, and nothing moves,
// when there is none. It must not be called by an event.
func (q *Queue) Step() bool {
	return q.step(never)
}

// Run handles all events due until then, in order, and moves virtual time to that instant (it stays where the last
// event left it if that is later). It returns how many events there were. It must not be called by an event.
func (q *Queue) Run(until time.Duration) int {
	n := 0
	for q.step(until) {
		n++
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.now = max(q.now, until)
	return n
}

func (q *Queue) step(until time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.clock != nil {
		panic("sim: Step or Run of a Queue that has a clock")
	}
	if q.busy {
		panic("sim: Step or Run within an event")
	}
	if len(q.events) == 0 || q.events[0].due > until {
		return false
	}
	e := q.events.pop()
	q.now = max(q.now, e.due)
	q.busy = true
	defer func() { q.busy = false }()
	q.handle(e)
	return true
}
