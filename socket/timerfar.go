package socket

import (
	"math/bits"
	"slices"
	"time"
)

// farTimers holds the timers that are not due soon, of which a stack with a
// million connections has a million: in buckets, so that entering one and taking
// one out cost the same however many there are. A bucket covers a span of time,
// the longer the farther away it is, and its timers are in no order. It is a
// calendar queue with the geometry of a hierarchical timing wheel (Varghese and
// Lauck, 1987), but nothing turns: buckets have their place in absolute time,
// and one is split into shorter ones when its time comes near.
//
// Unlike a wheel it rounds nothing: what comes near is put in exact order by the
// heap that it is handed to.
type farTimers struct {
	n       int
	buckets map[farKey]*farBucket
	heap    []*farBucket // all of them, by beginning: a binary heap
}

// A farKey says which span a bucket covers: its level, in the highest bits, and
// its number among those of that level.
type farKey uint64

const farNumBits = 63 - tickBits

func farKeyOf(due time.Duration, level uint8) farKey {
	return farKey(level)<<farNumBits | farKey(due>>spanBits(level))
}

func (k farKey) level() uint8 { return uint8(k >> farNumBits) }
func (k farKey) num() int64   { return int64(k & (1<<farNumBits - 1)) }

type farBucket struct {
	key    farKey
	timers []*timer
}

// A timer's level says where it is queued: in the heap, or in a bucket.
const nearLevel = 0

// Spans of level l are tick << (l-1)*levelBits long. A timer is put into one
// that is at most a sixteenth of the time until it is near, so that it is
// moved but a few times.
const (
	tickBits   = 23 // a tick is 2^23 ns, about 8 ms
	levelBits  = 4
	fineEnough = 4
)

func spanBits(level uint8) int { return tickBits + levelBits*int(level-1) }

// farLevel is the level for a timer that is d away.
func farLevel(d time.Duration) uint8 {
	return uint8(1 + max(bits.Len64(uint64(d))-1-fineEnough-tickBits, 0)/levelBits)
}

func (b *farBucket) start() time.Duration {
	return time.Duration(b.key.num() << spanBits(b.key.level()))
}

// end is the first instant that is beyond b.
func (b *farBucket) end() time.Duration {
	if end := time.Duration((b.key.num() + 1) << spanBits(b.key.level())); end > b.start() {
		return end
	}
	return never
}

// add enters t at a level.
func (f *farTimers) add(t *timer, level uint8) {
	k := farKeyOf(t.due, level)
	b := f.buckets[k]
	if b == nil {
		b = &farBucket{key: k}
		if f.buckets == nil {
			f.buckets = map[farKey]*farBucket{}
		}
		f.buckets[k] = b
		f.push(b)
	}
	b.timers = append(b.timers, t)
	t.pos, t.level = int32(len(b.timers)), level
	f.n++
}

// remove takes t out. Its bucket stays until its time comes.
func (f *farTimers) remove(t *timer) {
	b := f.buckets[farKeyOf(t.due, t.level)]
	last := len(b.timers) - 1
	moved := b.timers[last]
	b.timers[t.pos-1] = moved
	moved.pos = t.pos
	b.timers[last] = nil
	b.timers = b.timers[:last]
	if last == 0 {
		b.timers = nil
	}
	t.pos = 0
	f.n--
}

// pop takes out the bucket that begins first, whose timers the caller takes over.
func (f *farTimers) pop() *farBucket {
	h := f.heap
	b, last := h[0], len(h)-1
	h[0], h[last] = h[last], nil
	f.heap = h[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c+1 < last && h[c+1].start() < h[c].start() {
			c++
		}
		if c >= last || h[i].start() <= h[c].start() {
			break
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
	delete(f.buckets, b.key)
	f.n -= len(b.timers)
	return b
}

func (f *farTimers) push(b *farBucket) {
	f.heap = append(f.heap, b)
	for i := len(f.heap) - 1; i > 0; {
		p := (i - 1) / 2
		if f.heap[p].start() <= f.heap[i].start() {
			break
		}
		f.heap[p], f.heap[i] = f.heap[i], f.heap[p]
		i = p
	}
}

// all returns every timer, in no order.
func (f *farTimers) all() []*timer {
	var list []*timer
	for _, b := range f.heap {
		list = append(list, b.timers...)
	}
	return list
}

// Bounds of the near heap of a timerQueue.
const (
	pourMost = 64  // timers of a bucket that are not worth splitting it
	spillMin = 256 // timers that may be near whenever they are due
)

// set queues t, or moves it if it is queued for a later time.
func (q *timerQueue) set(t *timer, due time.Duration) {
	switch {
	case t.pos == 0:
	case t.level == nearLevel:
		t.due = due
		q.near.up(int(t.pos) - 1)
		return
	case due >= q.horizon && farKeyOf(due, t.level) == farKeyOf(t.due, t.level):
		t.due = due
		return
	default:
		q.far.remove(t)
	}
	t.due = due
	q.add(t)
}

// add queues t: near if it is due before the horizon.
func (q *timerQueue) add(t *timer) {
	if t.due >= q.horizon {
		q.far.add(t, farLevel(t.due-q.horizon))
		return
	}
	q.near.push(t)
	if len(q.near) > q.spillAt {
		q.spill()
	}
}

// remove takes t out, wherever it is.
func (q *timerQueue) remove(t *timer) {
	if t.level != nearLevel {
		q.far.remove(t)
		return
	}
	q.near.remove(int(t.pos) - 1)
	if len(q.near) == 0 {
		q.fill()
	}
}

// spill draws the horizon nearer, to the end of the tick of the first timer.
// Whatever is due later is far then.
func (q *timerQueue) spill() {
	horizon := (q.near[0].due>>tickBits + 1) << tickBits
	if horizon < q.horizon {
		q.horizon = horizon
		all := slices.Clone(q.near)
		clear(q.near)
		q.near = q.near[:0]
		for _, t := range all {
			if t.due >= horizon {
				q.far.add(t, farLevel(t.due-horizon))
			} else {
				q.near.push(t)
			}
		}
	}
	q.spillAt = max(spillMin, 2*len(q.near))
}

// fill moves the horizon on until at least one timer is near, if there is one.
func (q *timerQueue) fill() {
	f := &q.far
	for f.n > 0 && (len(q.near) == 0 || f.heap[0].start() < q.horizon) {
		b := f.pop()
		if len(b.timers) > pourMost && b.key.level() > 1 {
			for _, t := range b.timers {
				f.add(t, min(farLevel(t.due-b.start()), b.key.level()-1))
			}
			continue
		}
		if len(b.timers) > 0 {
			q.horizon = max(q.horizon, b.end())
		}
		for _, t := range b.timers {
			q.near.push(t)
		}
	}
	q.spillAt = max(spillMin, 2*len(q.near))
	if f.n == 0 { // what is left of buckets is empty
		*f = farTimers{}
		q.horizon = never
	}
}
