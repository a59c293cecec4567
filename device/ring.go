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
// Full: Put takes nothing and returns false, and PutBatch takes what there is room for. The ring never
// holds more than Cap items. The consumer gives places back in bursts, of Cap/8 at the latest (Cap below
// 16: at once) and whenever Get or GetBatch finds the ring empty. So a Put is refused only if the ring
// held more than Cap - Cap/8 items (Cap below 16: Cap) at some time during the call.
//
// Put, PutBatch, Len, Room and Cap are safe for concurrent use. Get, GetBatch and Ready are for the
// consumer; the consumer's role may pass from one goroutine to another by anything that
// synchronises the two.
type Ring[T any] struct {
	slots []slot[T]
	mask  uint64 // len(slots) - 1
	lag   uint64 // how many places the consumer may owe to the producers

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

// A slot is one place. Value and mark share a cache line, so that a lone item costs one transfer from
// core to core.
type slot[T any] struct {
	// end, if above the position the place has in this lap, says that the places from here up to
	// position end are filled: one store publishes a whole batch. Lower values are of earlier laps.
	end atomic.Uint64
	v   T
}

// Init makes r an empty ring for at least n items, rounded up to a power of two.
func (r *Ring[T]) Init(n int) {
	size := uint64(1)
	for size < uint64(max(n, 1)) {
		size *= 2
	}
	*r = Ring[T]{slots: make([]slot[T], size), mask: size - 1, lag: max(size/8, 1)}
}

// Cap returns the number of items the ring can hold.
func (r *Ring[T]) Cap() int { return len(r.slots) }

// Len returns the number of places that are claimed and not yet given back. It is exact when nobody
// else uses the ring and Get has found it empty, else up to Cap/8 - 1 too high.
func (r *Ring[T]) Len() int {
	h := r.head.Load() // first: tail only grows, so the difference cannot be negative
	return min(int(r.tail.Load()-h), len(r.slots))
}

// Room returns how many items Put would take now, under the same conditions as Len.
func (r *Ring[T]) Room() int { return len(r.slots) - r.Len() }

// room returns how many places from position t on are free, or a negative number when t is no longer
// the tail.
func (r *Ring[T]) room(t uint64) int64 {
	h := r.head.Load()
	r.seen.Store(h)
	if h > t {
		return -1
	}
	return int64(r.mask + 1 - (t - h))
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
			s := &r.slots[t&r.mask]
			s.v = v
			s.end.Store(t + 1)
			return true
		}
		pause()
	}
}

// PutBatch puts the first items of vs into the ring, as many as there is room for, as one run that no
// other producer's item divides. It returns how many.
func (r *Ring[T]) PutBatch(vs []T) int {
	for {
		t := r.tail.Load()
		n := int64(r.mask+1) - int64(t-r.seen.Load())
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
			for i, v := range vs[:n] {
				r.slots[(t+uint64(i))&r.mask].v = v
			}
			r.slots[t&r.mask].end.Store(t + uint64(n))
			return int(n)
		}
		pause()
	}
}

// pause lets about a cache line's journey pass. A producer that lost a race waits it out, so that the
// winner can put some more before the line with the tail leaves its core.
func pause() {
	for range 300 {
	}
}

// Ready reports whether Get would find an item.
func (r *Ring[T]) Ready() bool {
	return r.pos < r.ready || r.slots[r.pos&r.mask].end.Load() > r.pos
}

// giveBack lets producers have the places of all items taken so far.
func (r *Ring[T]) giveBack() {
	r.freed = r.pos
	r.head.Store(r.pos)
}

// Get takes the oldest item out of the ring; ok is false when there is none.
func (r *Ring[T]) Get() (v T, ok bool) {
	pos := r.pos
	s := &r.slots[pos&r.mask]
	if pos == r.ready {
		end := s.end.Load()
		if end <= pos {
			if r.freed != pos {
				r.giveBack()
			}
			return v, false
		}
		r.ready = end
	}
	var zero T
	v, s.v = s.v, zero
	r.pos = pos + 1
	if pos+1-r.freed >= r.lag {
		r.giveBack()
	}
	return v, true
}

// GetBatch takes the oldest items out of the ring, as many as there are and vs has room for, and puts
// them into vs in order. It returns how many.
func (r *Ring[T]) GetBatch(vs []T) int {
	n, pos := 0, r.pos
	for n < len(vs) {
		if pos == r.ready {
			end := r.slots[pos&r.mask].end.Load()
			if end <= pos {
				break
			}
			r.ready = end
		}
		var zero T
		for end := pos + min(r.ready-pos, uint64(len(vs)-n)); pos < end; pos++ {
			s := &r.slots[pos&r.mask]
			vs[n], s.v = s.v, zero
			n++
		}
	}
	r.pos = pos
	if owed := pos - r.freed; owed >= r.lag || n == 0 && len(vs) > 0 && owed > 0 {
		r.giveBack()
	}
	return n
}
