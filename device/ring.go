package device

import (
	"math/bits"
	"sync/atomic"
)

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
// Put, PutBatch, Len, Room and Cap are safe for concurrent use. PutOwn, Get, GetBatch and Ready are for the
// consumer; the consumer's role may pass from one goroutine to another by anything that
// synchronises the two.
//
// # How it works
//
// One word says both where the next item goes and how many places before that are claimed but not yet
// filled. So claiming is one compare-and-swap and publishing one addition, on the same cache line and for a
// batch of any size. The consumer takes what lies before the unfilled places; it looks at the word only
// when it has taken all that it knows of, and tells of free places now and then. Producers that finish
// out of turn, and only these, leave a mark for the one whose turn it is.
type Ring[T any] struct {
	slots []T
	mask  uint64 // len(slots) - 1
	lag   uint64 // how far head may be behind the consumer
	marks atomic.Pointer[[]atomic.Uint64]

	_ [cacheLine]byte
	// word is the tail, the next position to claim, plus the number of positions before it from the
	// first one on that is not filled: those are pending.
	word atomic.Uint64
	seen atomic.Uint64 // a value that head had: producers read head only when this says full
	_    [cacheLine - 16]byte
	head atomic.Uint64 // positions before it are free again
	_    [cacheLine - 8]byte

	// The consumer's own.
	pos   uint64 // the next position to take
	ready uint64 // positions before it are known to be filled
	freed uint64 // the value of head
	_     [cacheLine - 24]byte
}

// A position is the number of a place since the ring was made, times onePosition: the bits below are room
// for the number of pending ones. Positions wrap around, after some weeks at full speed.
const (
	pendingBits = 17 // room for MaxRingSize
	pendingMask = 1<<pendingBits - 1
	onePosition = 1 << pendingBits
)

// filled returns the position before which all is filled.
func filled(word uint64) uint64 { return word - word&pendingMask*(onePosition+1) }

// Init makes r an empty ring for at least n items, rounded up to a power of two, at most MaxRingSize.
func (r *Ring[T]) Init(n int) {
	size := 1 << bits.Len(uint(min(max(n, 1), MaxRingSize)-1))
	*r = Ring[T]{slots: make([]T, size), mask: uint64(size - 1), lag: uint64(max(size/8, 1)) * onePosition}
}

// Cap returns the number of items the ring can hold.
func (r *Ring[T]) Cap() int { return len(r.slots) }

// Len returns the number of places that are claimed and not yet given back. It is exact when nobody
// else uses the ring and Get has found it empty, else up to Cap/8 - 1 too high.
func (r *Ring[T]) Len() int {
	h := r.head.Load() // first: tail only grows, so the difference cannot be negative
	return min(int((r.word.Load()-h)>>pendingBits), len(r.slots))
}

// Room returns how many items Put would take now, under the same conditions as Len.
func (r *Ring[T]) Room() int { return len(r.slots) - r.Len() }

// room returns how many places are free, or a negative number when the tail is no longer that of word.
func (r *Ring[T]) room(word uint64) int {
	h := r.head.Load()
	r.seen.Store(h)
	if int64(word-h) < 0 {
		return -1
	}
	return len(r.slots) - int((word-h)>>pendingBits)
}

// Put puts v into the ring and returns true, or returns false when the ring is full.
func (r *Ring[T]) Put(v T) bool {
	for spins := firstPause; ; spins = pause(spins) {
		w := r.word.Load()
		if (w-r.seen.Load())>>pendingBits > r.mask {
			if n := r.room(w); n == 0 {
				return false
			} else if n < 0 {
				continue
			}
		}
		if r.word.CompareAndSwap(w, w+onePosition+1) {
			r.slots[w>>pendingBits&r.mask] = v
			if w&pendingMask != 0 || r.word.Add(^uint64(0))&pendingMask != 0 {
				r.settle(w, 1)
			}
			return true
		}
	}
}

// PutOwn is Put for the consumer himself. Nobody but he looks at what is on the ring, so for him claiming a
// place and publishing it are one step: one locked instruction instead of two. While others are filling
// places it is Put.
func (r *Ring[T]) PutOwn(v T) bool {
	w := r.word.Load()
	if w&pendingMask != 0 || (w-r.seen.Load())>>pendingBits > r.mask || !r.word.CompareAndSwap(w, w+onePosition) {
		return r.Put(v)
	}
	r.slots[w>>pendingBits&r.mask] = v
	return true
}

// PutBatch puts the first items of vs into the ring, as many as there is room for, as one run that no
// other producer's item divides. It returns how many.
func (r *Ring[T]) PutBatch(vs []T) int {
	for spins := firstPause; ; spins = pause(spins) {
		w := r.word.Load()
		n := len(r.slots) - int((w-r.seen.Load())>>pendingBits)
		if uint(n) > uint(len(r.slots)) || n < len(vs) {
			if n = r.room(w); n < 0 {
				continue
			}
		}
		n = min(n, len(vs))
		if n == 0 {
			return 0
		}
		if r.word.CompareAndSwap(w, w+uint64(n)*(onePosition+1)) {
			first := copy(r.slots[w>>pendingBits&r.mask:], vs[:n])
			copy(r.slots, vs[first:n])
			if w&pendingMask != 0 || r.word.Add(-uint64(n))&pendingMask != 0 {
				r.settle(w, uint64(n))
			}
			return n
		}
	}
}

// settle does the rest of publishing the n places from the tail of w on, w being the word of which they
// were claimed, when others are at it too. A run whose places are filled is published by taking its length off the number of
// pending ones, which only he may do whose run is the first of these. All others leave the end of their
// run as a mark at its start; whoever makes the run the first, or finds it first after marking it, takes
// the mark away, and only one of them can, and publishes it.
func (r *Ring[T]) settle(w, n uint64) {
	at := w &^ pendingMask
	if w&pendingMask == 0 { // was the first, and is published
		at += n * onePosition
	} else {
		r.mark(at).Store(at + n*onePosition | 1)
		if filled(r.word.Load()) != at {
			return // somebody before us has yet to finish, and will find the mark
		}
	}
	for {
		// A mark that is not of a run that begins here is of a later lap: we were late, and the run
		// that began here has been seen to.
		mark := r.mark(at)
		end := mark.Load()
		n := (end - at) >> pendingBits
		if end == 0 || n > r.mask+1 || !mark.CompareAndSwap(end, 0) {
			return
		}
		if r.word.Add(-n)&pendingMask == 0 {
			return
		}
		at = end &^ pendingMask
	}
}

// mark returns the mark of a position: the end of a run that begins there, with the lowest bit set, or 0.
// Few rings ever need one, so their memory is made when the first does.
func (r *Ring[T]) mark(at uint64) *atomic.Uint64 {
	marks := r.marks.Load()
	if marks == nil {
		fresh := make([]atomic.Uint64, len(r.slots))
		r.marks.CompareAndSwap(nil, &fresh)
		marks = r.marks.Load()
	}
	return &(*marks)[at>>pendingBits&r.mask]
}

// A producer that lost a race lets about a cache line's journey pass before it tries again, and twice as
// long each time up to a limit, so that the winner can put some more before the line with the tail leaves
// its core.
const (
	firstPause = 300
	lastPause  = 2400
)

func pause(spins int) (next int) {
	for range spins {
	}
	return min(2*spins, lastPause)
}

// Ready reports whether Get would find an item.
func (r *Ring[T]) Ready() bool { return r.pos != r.ready || r.look() }

// Claimed returns how many items have been put, and are being put, since Init, modulo 1<<47.
func (r *Ring[T]) Claimed() uint64 { return r.word.Load() >> pendingBits }

// look takes note of what has been published, when all that was known is taken, and reports whether there
// is any.
func (r *Ring[T]) look() bool {
	r.ready = filled(r.word.Load())
	return r.pos != r.ready
}

// giveBack lets producers have the places of all items taken so far.
func (r *Ring[T]) giveBack() {
	r.freed = r.pos
	r.head.Store(r.pos)
}

// Get takes the oldest item out of the ring; ok is false when there is none.
func (r *Ring[T]) Get() (v T, ok bool) {
	if r.pos == r.ready && !r.look() {
		if r.freed != r.pos {
			r.giveBack()
		}
		return v, false
	}
	var zero T
	s := &r.slots[r.pos>>pendingBits&r.mask]
	v, *s = *s, zero
	r.pos += onePosition
	if r.pos-r.freed >= r.lag {
		r.giveBack()
	}
	return v, true
}

// GetBatch takes the oldest items out of the ring, as many as there are and vs has room for, and puts
// them into vs in order. It returns how many.
func (r *Ring[T]) GetBatch(vs []T) int {
	n := int((r.ready - r.pos) >> pendingBits)
	if n < len(vs) {
		r.look()
		n = int((r.ready - r.pos) >> pendingBits)
	}
	if n = min(n, len(vs)); n > 0 {
		part := r.slots[r.pos>>pendingBits&r.mask:]
		first := copy(vs[:n], part)
		clear(part[:first])
		rest := r.slots[:n-first]
		copy(vs[first:n], rest)
		clear(rest)
		r.pos += uint64(n) * onePosition
	}
	if owed := r.pos - r.freed; owed >= r.lag || n == 0 && len(vs) > 0 && owed > 0 {
		r.giveBack()
	}
	return n
}
