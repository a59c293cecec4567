package device

import "sync/atomic"

// cacheLine is the distance in bytes at which two cores do not disturb each other: two lines of 64
// bytes, because Intel's prefetcher fetches lines in pairs.
const cacheLine = 128

// A Ring is a bounded first-in-first-out queue for many producers and one consumer at a time, without
// locks. Init makes it ready.
//
// Order: items come out in the order in which their Puts claimed their places. So the items of one
// producer come out in the order in which it put them, a batch comes out as one run, and an item
// whose Put returned before another Put began comes out before it.
//
// Progress: no operation waits for another. Of the producers that compete, one always succeeds
// (lock-free); a consumer's operations end after a bounded number of steps (wait-free). But a producer
// that is suspended between claiming its place and filling it hides what lies behind it: Get then
// finds nothing, although later Puts have returned. Those items appear as soon as the suspended Put
// ends. Who tells the consumer of every item after Put returns therefore never leaves one unseen.
//
// Full: Put takes nothing and returns false, and PutBatch takes what there is room for. The consumer
// gives places back in bursts: after every Cap/8 items (Cap below 8: after each item), and whenever it
// finds the ring empty. So a Put may be refused while the ring holds only more than Cap - Cap/8 items,
// and never while it holds fewer; it never holds more than Cap.
//
// Put, PutBatch, Len, Room and Cap are safe for concurrent use. Get, GetBatch and Ready are for the
// consumer; the consumer's role may pass from one goroutine to another by anything that
// synchronises the two.
type Ring[T any] struct {
	vals []T
	// ends[pos%cap] is end+1 of the run of filled places that starts at position pos; a value not
	// above pos belongs to an earlier lap. One store publishes a whole batch.
	ends []atomic.Uint64
	mask uint64
	lag  uint64

	_    [cacheLine]byte
	tail atomic.Uint64 // the next position to claim
	seen atomic.Uint64 // a value that head had: producers read head only when this says full
	_    [cacheLine - 16]byte
	head atomic.Uint64 // positions below it are free again
	_    [cacheLine - 8]byte

	// The consumer's own.
	pos   uint64 // the next position to take
	ready uint64 // positions below it are known to be filled
	freed uint64 // the value of head
	_     [cacheLine - 24]byte
}

// Init makes r an empty ring for at least n items, rounded up to a power of two.
func (r *Ring[T]) Init(n int) {
	size := uint64(1)
	for size < uint64(max(n, 1)) {
		size *= 2
	}
	*r = Ring[T]{
		vals: make([]T, size),
		ends: make([]atomic.Uint64, size),
		mask: size - 1,
		lag:  max(size/8, 1),
	}
}

// Cap returns the number of items the ring can hold.
func (r *Ring[T]) Cap() int { return len(r.vals) }

// Len returns the number of places that are claimed and not yet given back. It is exact when nobody
// else uses the ring and the consumer found it empty or full, else up to Cap/8 too high.
func (r *Ring[T]) Len() int {
	h := r.head.Load() // first: tail only grows, so the difference cannot be negative
	return min(int(r.tail.Load()-h), len(r.vals))
}

// Room returns the number of items that Put would take now, under the same conditions as Len.
func (r *Ring[T]) Room() int { return len(r.vals) - r.Len() }

// room returns how many places from position t on are free, or a negative number when t is no longer
// the tail.
func (r *Ring[T]) room(t uint64) int64 {
	h := r.head.Load()
	r.seen.Store(h)
	if h > t {
		return -1
	}
	return int64(uint64(len(r.vals)) - (t - h))
}

// Put puts v into the ring and returns true, or returns false when the ring is full.
func (r *Ring[T]) Put(v T) bool {
	for {
		t := r.tail.Load()
		if t-r.seen.Load() > r.mask {
			if n := r.room(t); n == 0 {
				return false
			} else if n < 0 {
				continue
			}
		}
		if r.tail.CompareAndSwap(t, t+1) {
			i := t & r.mask
			r.vals[i] = v
			r.ends[i].Store(t + 1)
			return true
		}
	}
}

// PutBatch puts the first items of vs into the ring, as many as there is room for, as one run that no
// other producer's item divides. It returns how many.
func (r *Ring[T]) PutBatch(vs []T) int {
	for {
		t := r.tail.Load()
		n := int64(len(r.vals)) - int64(t-r.seen.Load())
		if n < int64(len(vs)) {
			if n = r.room(t); n < 0 {
				continue
			}
		}
		n = min(n, int64(len(vs)))
		if n == 0 {
			return 0
		}
		if r.tail.CompareAndSwap(t, t+uint64(n)) {
			i := t & r.mask
			m := copy(r.vals[i:], vs[:n])
			copy(r.vals, vs[m:n])
			r.ends[i].Store(t + uint64(n))
			return int(n)
		}
	}
}

// Ready reports whether Get would find an item.
func (r *Ring[T]) Ready() bool {
	return r.pos < r.ready || r.look()
}

// look finds out how far the ring is filled. It gives all places back when there is nothing.
func (r *Ring[T]) look() bool {
	end := r.ready // where a run begins: never inside one of which a part was taken
	for end-r.pos <= r.mask {
		e := r.ends[end&r.mask].Load()
		if e <= end {
			break
		}
		end = e
	}
	r.ready = end
	if end > r.pos {
		return true
	}
	if r.freed != r.pos {
		r.giveBack()
	}
	return false
}

// giveBack lets producers have the places of all items taken so far.
func (r *Ring[T]) giveBack() {
	r.freed = r.pos
	r.head.Store(r.pos)
}

// Get takes the oldest item out of the ring; ok is false when there is none.
func (r *Ring[T]) Get() (v T, ok bool) {
	if r.pos == r.ready && !r.look() {
		return v, false
	}
	slot := &r.vals[r.pos&r.mask]
	v = *slot
	var zero T
	*slot = zero
	r.pos++
	if r.pos-r.freed >= r.lag {
		r.giveBack()
	}
	return v, true
}

// GetBatch takes the oldest items out of the ring and puts them into vs. It returns how many.
func (r *Ring[T]) GetBatch(vs []T) int {
	if r.ready-r.pos < uint64(len(vs)) && !r.look() {
		return 0
	}
	n := min(len(vs), int(r.ready-r.pos))
	i := r.pos & r.mask
	m := copy(vs[:n], r.vals[i:])
	clear(r.vals[i : i+uint64(m)])
	if m < n {
		copy(vs[m:n], r.vals)
		clear(r.vals[:n-m])
	}
	r.pos += uint64(n)
	if r.pos-r.freed >= r.lag {
		r.giveBack()
	}
	return n
}
