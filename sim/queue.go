package sim

import (
	"cmp"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"example.com/loopback/socket"
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

// The kinds of the events of this package, in the order in which they happen within an instant.
const (
	kindDelivery = 0
	kindPlan     = 128 // what At of a Net has planned
	kindStart    = 129 // of a coroutine of a World
	kindWake     = 130 // of one that sleeps
	kindTimeout  = 131 // of a context
	kindTimer    = 255 // of a Clock
)

// Compare returns -1, 0 or 1.
func (k Key) Compare(o Key) int {
	if k.Kind != o.Kind {
		return cmp.Compare(k.Kind, o.Kind)
	}
	return cmp.Or(k.Flow.Compare(o.Flow), cmp.Compare(k.Seq, o.Seq))
}

// A Queue is a Scheduler: events ordered by (due time, key), one at a time. It runs on one of three clocks: virtual time of
// its own, which starts at 0 and moves when Step or Run is called (the zero Queue); the wall clock; and the fake time of a
// testing/synctest bubble (both NewTimeQueue). It is safe for concurrent use; events may schedule others.
//
// A Queue that has nothing to do has no timer and no goroutine, and an event that is taken back (Clock's timers) leaves
// nothing behind.
type Queue struct {
	mu     sync.Mutex
	events eventHeap
	spare  *event // events of At that are free
	order  uint64
	now    atomic.Int64  // virtual time; not used on a clock
	free   time.Duration // the earliest time that the next event can have: a gap after the one before
	gap    time.Duration
	busy   bool   // somebody is handling events
	check  func() // if not nil, is called when an event is entered

	clock socket.Clock // nil: virtual time
	epoch time.Time    // zero: Epoch
	timer socket.Timer // the clock's, once made
	armed time.Duration
}

const never = time.Duration(math.MaxInt64)

// NewQueue returns a Queue that runs by itself on a clock; its epoch is the clock's present time. gap is the least time
// between two events; a nanosecond makes events of one instant distinct instants, between which a testing/synctest bubble
// comes to rest.
func NewQueue(clock socket.Clock, gap time.Duration) *Queue {
	return &Queue{clock: clock, epoch: clock.Now(), gap: gap, armed: never}
}

// NewTimeQueue returns a Queue on package time: the wall clock, or the fake time of the testing/synctest bubble that it
// is made in. Its epoch is now. For gap see NewQueue.
func NewTimeQueue(gap time.Duration) *Queue { return NewQueue(timeClock{}, gap) }

// Now implements Scheduler.
func (q *Queue) Now() time.Duration {
	if q.clock != nil {
		return q.clock.Now().Sub(q.epoch)
	}
	return time.Duration(q.now.Load())
}

// At implements Scheduler.
func (q *Queue) At(due time.Duration, key Key, f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.spare
	if e == nil {
		e = &event{ours: true}
	} else {
		q.spare, e.spare = e.spare, nil
	}
	e.key, e.f = key, f
	q.enter(e, due)
}

// set makes e due at a time, whether it was pending or not, and reports whether it was.
func (q *Queue) set(e *event, due time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := e.pos > 0
	if was {
		q.events.remove(e.pos - 1)
	}
	q.enter(e, due)
	return was
}

// enter puts an event in; the lock is held.
func (q *Queue) enter(e *event, due time.Duration) {
	if q.check != nil {
		q.check()
	}
	q.order++
	e.due, e.order = due, q.order
	q.events.push(e)
	if !q.busy {
		q.arm()
	}
}

// cancel takes e out and reports whether it was pending.
func (q *Queue) cancel(e *event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.pos == 0 {
		return false
	}
	q.events.remove(e.pos - 1)
	if !q.busy {
		q.arm()
	}
	return true
}

// clear takes all events out.
func (q *Queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, x := range q.events {
		x.e.pos = 0
	}
	q.events = nil
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
		due = max(q.ripe(q.Now()), q.free)
	}
	if due == q.armed {
		return
	}
	q.armed = due
	switch d := due - q.Now(); {
	case due == never:
		q.timer.Stop()
	case q.timer == nil:
		q.timer = q.clock.AfterFunc(d, q.run)
	default:
		q.timer.Reset(d)
	}
}

// ripe is when the first event can happen: on a clock with a gap, a gap after the instant for which it was planned, or in
// which it was. What goroutines do in that instant by themselves is over then.
func (q *Queue) ripe(now time.Duration) time.Duration {
	if due := q.events[0].due; q.clock == nil || q.gap == 0 {
		return due
	} else {
		return later(max(due, now), q.gap)
	}
}

// run is what a Queue's clock calls: it handles what is due.
func (q *Queue) run() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy {
		return
	}
	q.armed = never
	q.busy = true
	for now := q.Now(); ; {
		e := q.take(now, now)
		if e == nil {
			break
		}
		q.handle(e)
		if q.gap == 0 {
			now = q.Now()
		}
	}
	q.busy = false
	q.arm()
}

// take takes out the first event if it can happen until then, and says that it happens now; the lock is held.
func (q *Queue) take(now, until time.Duration) *event {
	if len(q.events) == 0 || max(q.ripe(0), q.free) > until {
		return nil
	}
	q.free = max(now, q.events[0].due) + q.gap
	return q.events.pop()
}

// handle calls an event's function without the lock, which is held before and after.
func (q *Queue) handle(e *event) {
	f := e.f
	q.recycle(e)
	q.mu.Unlock()
	defer q.mu.Lock()
	f()
}

// recycle keeps an event of the Queue's for its next use.
func (q *Queue) recycle(e *event) {
	if e.ours {
		e.f = nil
		e.spare, q.spare = q.spare, e
	}
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
	q.advance(until)
	return n
}

// advance moves virtual time forward.
func (q *Queue) advance(to time.Duration) { q.now.Store(max(q.now.Load(), int64(to))) }

func (q *Queue) step(until time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.clock != nil {
		panic("sim: Step or Run of a Queue that has a clock")
	}
	if q.busy {
		panic("sim: Step or Run within an event")
	}
	e := q.begin(until)
	if e == nil {
		return false
	}
	q.busy = true
	defer func() { q.busy = false }()
	q.handle(e)
	return true
}

// begin moves virtual time to the first event and takes it out, if that is possible until then; the lock is held.
func (q *Queue) begin(until time.Duration) *event {
	now := max(time.Duration(q.now.Load()), q.free)
	e := q.take(now, until)
	if e != nil {
		q.now.Store(int64(max(now, e.due)))
	}
	return e
}

// peek returns the key of the event that begin would take out.
func (q *Queue) peek(until time.Duration) (k Key, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 || max(q.events[0].due, q.free) > until {
		return k, false
	}
	return q.events[0].e.key, true
}
