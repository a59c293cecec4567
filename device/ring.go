package device

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// cacheLine is the distance in bytes at which two cores do not disturb each other: two lines of 64
// bytes, because Intel's prefetcher fetches lines in pairs.
const cacheLine = 128

// A Desc is a descriptor, what a Ring carries: the number of something that its owner keeps in a table, as
// the descriptors of a real NIC are places in memory that its driver knows. A descriptor is at one place at a
// time: not in two rings, and not twice in one.
type Desc uint32

// MaxDescs is how many descriptors there can be: they are the numbers below it.
const MaxDescs = 1 << descBits

// Links is what rings need to know of descriptors: each descriptor's neighbours in the ring it is in. Rings
// that share descriptors share it. The zero value is for none (see Reserve).
type Links struct {
	table atomic.Pointer[linkTable]
	mu    sync.Mutex // guards growing
}

// linkTable is where the links are. Every packet's way reads it, so nothing that is written lies beside it.
type linkTable struct {
	first  []Desc       // the links of the first chunk, for most are there: without the address of the chunk
	chunks []*linkChunk // has cache lines of its own, too
	runs   []*runChunk  // as many
	_      [cacheLine - 72]byte
}

// linkChunk is the links of some descriptors. Those of a descriptor belong to its owner.
type linkChunk struct {
	_ [cacheLine]byte // who uses any of the links reads the first byte, by which the compiler sees that there is a chunk
	// link is what was put before a descriptor, or before the run that it ends, and then also endsRun.
	link [1 << chunkBits]Desc
}

// runChunk is the others of the runs that descriptors of a chunk end, in order; made when there is one.
type runChunk struct {
	runs atomic.Pointer[[1 << chunkBits][]Desc]
}

const (
	chunkBits = 8
	chunkMask = 1<<chunkBits - 1
	endsRun   = 1 << 31
)

// Reserve makes room for the descriptors below n, at most MaxDescs. It is safe for concurrent use, also
// while rings are in use.
func (l *Links) Reserve(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var old linkTable
	if t := l.table.Load(); t != nil {
		old = *t
	}
	want := (min(n, MaxDescs) + chunkMask) >> chunkBits
	if want <= len(old.chunks) {
		return
	}
	grown := &linkTable{
		chunks: append(make([]*linkChunk, 0, max(want, cacheLine/8)), old.chunks...),
		runs:   append(make([]*runChunk, 0, want), old.runs...),
	}
	for len(grown.chunks) < want {
		grown.chunks = append(grown.chunks, new(linkChunk))
		grown.runs = append(grown.runs, new(runChunk))
	}
	grown.first = grown.chunks[0].link[:]
	l.table.Store(grown)
}

// of returns the link of d. It is small enough to be part of the caller.
func (l *Links) of(d Desc) *Desc {
	t := l.table.Load()
	if int(d) < len(t.first) {
		return &t.first[d]
	}
	return t.further(d)
}

// further is of for what is not in the first chunk.
func (t *linkTable) further(d Desc) *Desc { return &t.chunks[d>>chunkBits].link[d&chunkMask] }

// run returns the run that d ends.
func (l *Links) run(d Desc) *[]Desc {
	c := l.table.Load().runs[d>>chunkBits]
	runs := c.runs.Load()
	if runs == nil {
		c.runs.CompareAndSwap(nil, new([1 << chunkBits][]Desc))
		runs = c.runs.Load()
	}
	return &runs[d&chunkMask]
}

// A Ring is a bounded first-in-first-out queue of descriptors for many producers and one consumer at a
// time, without locks. Init makes it ready.
//
// Order: descriptors come out in the order in which they were put. A batch comes out as one run.
//
// Progress: no operation waits for another. Of the producers that compete, one always succeeds
// (lock-free); a consumer's operations end after a bounded number of steps (wait-free). A Put happens in
// one step: a producer that is suspended in the middle of one hides nothing and holds nobody up.
//
// Full: Put takes nothing and returns false, and PutBatch takes what there is room for. The ring never
// holds more than Cap descriptors. The consumer gives places back in bursts, of Cap/8 at the latest (Cap
// below 16: at once) and whenever Get or GetBatch finds the ring empty. So a Put is refused only if the ring
// held more than Cap - Cap/8 descriptors (Cap below 16: Cap) at some time during the call.
//
// Put, PutBatch, Len, Room and Cap are safe for concurrent use. Get, GetBatch and Ready are for the
// consumer; the consumer's role may pass from one goroutine to another by anything that
// synchronises the two.
//
// # How it works
//
// One word says how many descriptors have been put so far and which was the last. A producer notes the
// last one as the link of his own, which nobody else looks at yet, and replaces the word by one
// compare-and-swap: that is the only locked instruction of a Put. A batch is noted with its last descriptor
// and costs no more. The consumer, when he has taken all he knows of, reads the word and follows the links
// back to what he knows, as far as the count says. What he found he keeps in order for the Gets that follow;
// they need no atomic operation at all, and he tells producers of free places only now and then. If it pays he
// lets some descriptors come together before he looks (see moderation); what he finds is what is there then.
//
// The count makes the word differ from all that it was before, though descriptors come and go: a producer's
// compare-and-swap succeeds only if nobody has put anything since he read the word. (It wraps around after
// 2^40 descriptors, hours at full speed.) In the terms of Go's memory model the successful compare-and-swap
// is synchronised before the consumer's load of the word that it, or one that came after it, wrote; so
// links, runs, and what the descriptors stand for, need no atomic operations.
type Ring struct {
	links *Links
	size  uint64 // Cap, in positions
	lag   uint64 // how far head may be behind the consumer

	_ [cacheLine]byte
	// word is the tail, the position behind the last descriptor, and in the bits below it that descriptor.
	word atomic.Uint64
	seen atomic.Uint64 // a value that head had: producers read head only when this says full
	_    [cacheLine - 16]byte
	head atomic.Uint64 // positions before it are free again
	_    [cacheLine - 8]byte

	// The consumer's own.
	pos   uint64 // the next position to take
	ready uint64 // positions before it are in found
	freed uint64 // the value of head
	mod   moderation
	found []Desc // descriptors by position, modulo its length
	_     [cacheLine - 80]byte
}

// A position is the number of descriptors that were put before, times onePosition: the bits below are
// room for a descriptor.
const (
	descBits    = 24
	descMask    = 1<<descBits - 1
	onePosition = 1 << descBits
)

// tailOf returns the position that word says.
func tailOf(word uint64) uint64 { return word &^ descMask }

// Init makes r an empty ring for at least n descriptors, rounded up to a power of two, at most MaxRingSize.
// It carries descriptors for which l has room.
func (r *Ring) Init(n int, l *Links) {
	size := 1 << bits.Len(uint(min(max(n, 1), MaxRingSize)-1))
	*r = Ring{
		links: l,
		found: make([]Desc, size),
		size:  uint64(size) * onePosition,
		lag:   uint64(max(size/8, 1)) * onePosition,
	}
}

// Cap returns the number of descriptors the ring can hold.
func (r *Ring) Cap() int { return int(r.size / onePosition) }

// Len returns the number of places that are taken and not yet given back. It is exact when nobody
// else uses the ring and Get has found it empty, else up to Cap/8 - 1 too high.
func (r *Ring) Len() int {
	h := r.head.Load() // first: tail only grows, so the difference cannot be negative
	return min(int((tailOf(r.word.Load())-h)/onePosition), r.Cap())
}

// Claimed returns how many descriptors have been put since Init, modulo claimedLap.
func (r *Ring) Claimed() uint64 { return r.word.Load() / onePosition }

// claimedLap is where Claimed wraps around.
const claimedLap = 1 << (64 - descBits)

// Room returns how many descriptors Put would take now, under the same conditions as Len.
func (r *Ring) Room() int { return r.Cap() - r.Len() }

// room returns how many places are free, or a negative number when word is no longer the ring's.
func (r *Ring) room(word uint64) int {
	h := r.head.Load()
	r.seen.Store(h)
	used := int64(tailOf(word) - h)
	if used < 0 {
		return -1
	}
	return int((int64(r.size) - used) / onePosition)
}

// Put puts d into the ring and returns true, or returns false when the ring is full.
func (r *Ring) Put(d Desc) bool {
	link := r.links.of(d)
	for spins := firstPause; ; spins = pause(spins) {
		w := r.word.Load()
		if tailOf(w)-r.seen.Load() >= r.size {
			if n := r.room(w); n == 0 {
				return false
			} else if n < 0 {
				continue
			}
		}
		*link = Desc(w & descMask)
		if r.word.CompareAndSwap(w, tailOf(w)+onePosition+uint64(d)) {
			return true
		}
	}
}

// tryPut is Put if there surely is room and no other producer is in the way; link is d's. It is small enough to be part of the
// caller.
func (r *Ring) tryPut(d Desc, link *Desc) bool {
	w := r.word.Load()
	if tailOf(w)-r.seen.Load() >= r.size {
		return false
	}
	if last := Desc(w & descMask); *link != last { // it mostly is the last: a packet that goes around alone
		*link = last
	}
	return r.word.CompareAndSwap(w, tailOf(w)+onePosition+uint64(d))
}

// PutBatch puts the first of ds into the ring, as many as there is room for, as one run that no
// other producer's descriptor divides. It returns how many.
func (r *Ring) PutBatch(ds []Desc) int {
	noted := 0 // as a run of so many
	for spins := firstPause; ; spins = pause(spins) {
		w := r.word.Load()
		n := int(int64(r.size-(tailOf(w)-r.seen.Load())) / onePosition)
		if n < len(ds) || n > r.Cap() {
			if n = r.room(w); n < 0 {
				continue
			}
		}
		if n = min(n, len(ds)); n == 0 {
			return 0
		}
		last, link := ds[n-1], Desc(w&descMask)
		if n > 1 {
			link |= endsRun
			if n != noted {
				run := r.links.run(last)
				*run = append((*run)[:0], ds[:n-1]...)
				noted = n
			}
		}
		*r.links.of(last) = link
		if r.word.CompareAndSwap(w, tailOf(w)+uint64(n)*onePosition+uint64(last)) {
			return n
		}
	}
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

// Ready reports whether Get would find a descriptor.
func (r *Ring) Ready() bool { return r.pos != r.ready || tailOf(r.word.Load()) != r.pos }

// waiting returns how many descriptors Get would find.
func (r *Ring) waiting() uint64 { return (r.word.Load() - r.pos) / onePosition }

// last returns the last descriptor that was put, and how many wait. If it waits alone it need not be found by
// links, and takeLast takes it.
func (r *Ring) last() (d Desc, waiting uint64) {
	w := r.word.Load()
	return Desc(w & descMask), (w - r.pos) / onePosition
}

func (r *Ring) takeLast() {
	r.pos += onePosition
	r.ready = r.pos
	if r.pos-r.freed >= r.lag {
		r.giveBack()
	}
}

// look finds what was put since the last look, and reports whether there is anything to take. If there was nothing
// left to take it waits first, if that pays.
func (r *Ring) look() bool {
	dry := r.pos == r.ready
	if dry && r.mod.spins != 0 {
		r.mod.wait()
	}
	w := r.word.Load()
	tail := tailOf(w)
	if dry {
		if n := (tail - r.ready) / onePosition; n > 1 || r.mod.spins != 0 {
			r.mod.note(n)
		}
	}
	if tail == r.ready {
		return !dry
	}
	d, mask := Desc(w&descMask), uint64(len(r.found)-1)
	chunks := r.links.table.Load().chunks
	for at := tail; at != r.ready; {
		link := chunks[d>>chunkBits].link[d&chunkMask]
		at -= onePosition
		r.found[at/onePosition&mask] = d
		if link&endsRun != 0 {
			run := *r.links.run(d)
			at -= uint64(len(run)) * onePosition
			first := copy(r.found[at/onePosition&mask:], run)
			copy(r.found, run[first:])
		}
		d = link &^ endsRun
	}
	r.ready = tail
	return true
}

// giveBack lets producers have the places of all descriptors taken so far.
func (r *Ring) giveBack() {
	r.freed = r.pos
	r.head.Store(r.pos)
}

// Get takes the oldest descriptor out of the ring; ok is false when there is none.
func (r *Ring) Get() (d Desc, ok bool) {
	if r.pos == r.ready {
		if r.mod.spins == 0 {
			if d, waiting := r.last(); waiting == 1 {
				r.takeLast()
				return d, true
			}
		}
		if !r.look() {
			if r.freed != r.pos {
				r.giveBack()
			}
			return 0, false
		}
	}
	d = r.found[r.pos/onePosition&uint64(len(r.found)-1)]
	r.pos += onePosition
	if r.pos-r.freed >= r.lag {
		r.giveBack()
	}
	return d, true
}

// GetBatch takes the oldest descriptors out of the ring, as many as there are and ds has room for, and puts
// them into ds in order. It returns how many.
func (r *Ring) GetBatch(ds []Desc) int {
	n := int((r.ready - r.pos) / onePosition)
	if n == 0 && len(ds) > 0 && r.mod.spins == 0 {
		if d, waiting := r.last(); waiting == 1 {
			r.takeLast()
			ds[0] = d
			return 1
		}
	}
	if n < len(ds) {
		r.look()
		n = int((r.ready - r.pos) / onePosition)
	}
	n = min(n, len(ds))
	first := copy(ds[:n], r.found[r.pos/onePosition&uint64(len(r.found)-1):])
	copy(ds[first:n], r.found)
	r.pos += uint64(n) * onePosition
	if owed := r.pos - r.freed; owed >= r.lag || n == 0 && len(ds) > 0 && owed > 0 {
		r.giveBack()
	}
	return n
}
