package socket

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// A flowNode is a socket's place in a flowTable.
type flowNode[T any] struct {
	key   flowKey
	hash  uint32
	queue uint8  // of the NIC: where its packets go, if it is a connection's
	baton bool   // who holds the socket's lock has that queue's baton, too; guarded by the lock
	sum   uint16 // the key's; insert sets it
	next  atomic.Pointer[flowNode[T]]
	val   T // set before the node is inserted
}

// A flowTable finds the socket of a packet. Look-ups take no lock and do not
// write; inserts and removals take one.
//
// It grows and shrinks by a bucket at a time (linear hashing, Litwin 1980), so
// that nobody waits while a million nodes are moved. With size buckets, half of
// them, rounded up to a power of two, being known by as many bits of the hash, a
// node is in the bucket that one more bit names if there is that bucket already.
//
// A look-up that runs while a bucket is split or merged may be led into
// another chain and miss; a miss therefore counts only if nothing moved
// meanwhile, and is repeated under the lock otherwise. A hit is always right,
// because nodes carry their key.
type flowTable[T any] struct {
	changes  atomic.Uint32 // one more when a node has come or gone: what was found before may be something else
	moves    atomic.Uint32 // changes before nodes move to other chains; odd while they do
	shape    atomic.Uint64 // buckets in use, 0: none yet; above that, in 32 bits, mask of them
	mu       sync.Mutex
	proto    uint8 // of the packets it is asked for
	count    int
	segments [flowSegments]atomic.Pointer[flowSegment[T]]
}

// A flowSegment is some of a table's buckets, the heads of chains: the first has
// minBuckets, and every other as many as there are before it.
type flowSegment[T any] []atomic.Pointer[flowNode[T]]

const (
	minBuckets   = 16
	flowSegments = 24 // up to 128 Mi buckets
	maxBuckets   = minBuckets << (flowSegments - 1)
	shrinkBelow  = 4 // buckets for each node: with more, some go
)

// shapeOf is shape for a table of size buckets.
func shapeOf(size uint32) uint64 {
	if size == 0 {
		return 0
	}
	return (1<<bits.Len32(size-1)-1)<<32 | uint64(size)
}

// bucketOf is the number of the bucket for hash h in a table of that shape.
func bucketOf(h uint32, shape uint64) uint32 {
	if i := h & uint32(shape>>32); i < uint32(shape) {
		return i
	}
	return h & uint32(shape>>33)
}

// size is how many buckets are in use.
func (t *flowTable[T]) size() uint32 { return uint32(t.shape.Load()) }

// segmentOf says where bucket i is, and where its segment begins.
func segmentOf(i uint32) (segment int, first uint32) {
	segment = bits.Len32(i / minBuckets)
	return segment, minBuckets << segment >> 1 &^ (minBuckets - 1)
}

// bucket returns the head of chain i, nil if its segment has just gone.
func (t *flowTable[T]) bucket(i uint32) *atomic.Pointer[flowNode[T]] {
	k, first := segmentOf(i)
	s := t.segments[k].Load()
	if s == nil {
		return nil
	}
	return &(*s)[i-first]
}

// find returns the node under k, whose hash is h; nil when there is none.
func (t *flowTable[T]) find(k *flowKey, h uint32) *flowNode[T] {
	before := t.moves.Load()
	if n := t.look(k, h); n != nil {
		return n
	}
	if before&1 == 0 && t.moves.Load() == before {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.look(k, h)
}

func (t *flowTable[T]) look(k *flowKey, h uint32) *flowNode[T] {
	b := t.bucket(bucketOf(h, t.shape.Load()))
	if b == nil {
		return nil
	}
	for n := b.Load(); n != nil; n = n.next.Load() {
		if n.key.same(k) {
			return n
		}
	}
	return nil
}

// insert enters n under its key and reports false when the key is taken.
func (t *flowTable[T]) insert(n *flowNode[T]) bool {
	n.hash = n.key.hash(t.proto)
	return t.insertHashed(n)
}

// insertHashed is insert for a node that knows its hash.
func (t *flowTable[T]) insertHashed(n *flowNode[T]) bool {
	n.sum = n.key.sum()
	t.mu.Lock()
	if t.look(&n.key, n.hash) != nil {
		t.mu.Unlock()
		return false
	}
	if t.count >= int(t.size()) {
		t.grow()
	}
	if n.next.Load() != nil {
		t.moves.Add(2) // it was in before, and somebody may still stand on it
	}
	push(t.bucket(bucketOf(n.hash, t.shape.Load())), n)
	t.changes.Add(1)
	t.count++
	t.mu.Unlock()
	return true
}

func push[T any](head *atomic.Pointer[flowNode[T]], n *flowNode[T]) {
	n.next.Store(head.Load())
	head.Store(n)
}

// remove takes n out and reports whether it was in.
func (t *flowTable[T]) remove(n *flowNode[T]) bool {
	t.mu.Lock()
	at := t.place(n)
	if at == nil {
		t.mu.Unlock()
		return false
	}
	at.Store(n.next.Load()) // n.next stays: a look-up standing on n goes on from it
	t.changes.Add(1)
	t.count--
	for range shrinkBelow { // as many as keep up
		size := t.size()
		if size <= minBuckets || t.count >= int(size)/shrinkBelow {
			break
		}
		t.shrink()
	}
	t.mu.Unlock()
	return true
}

// place returns the pointer that leads to n; the lock is held.
func (t *flowTable[T]) place(n *flowNode[T]) *atomic.Pointer[flowNode[T]] {
	size := t.size()
	if size == 0 {
		return nil
	}
	at := t.bucket(bucketOf(n.hash, shapeOf(size)))
	for m := at.Load(); m != nil; m = at.Load() {
		if m == n {
			return at
		}
		at = &m.next
	}
	return nil
}

// grow adds a bucket, or the first ones: those nodes of an older bucket move to
// it that have one more bit of its number. The lock is held.
func (t *flowTable[T]) grow() {
	size := t.size()
	if size == maxBuckets {
		return
	}
	k, first := segmentOf(size)
	if t.segments[k].Load() == nil {
		s := make(flowSegment[T], max(first, minBuckets))
		t.segments[k].Store(&s)
	}
	if size == 0 {
		t.shape.Store(shapeOf(minBuckets))
		return
	}
	t.moves.Add(1)
	defer t.moves.Add(1)
	t.shape.Store(shapeOf(size + 1))
	old, added := t.bucket(bucketOf(size, shapeOf(size))), t.bucket(size)
	for at, n := old, old.Load(); n != nil; n = at.Load() {
		if bucketOf(n.hash, shapeOf(size+1)) != size {
			at = &n.next
			continue
		}
		at.Store(n.next.Load())
		push(added, n)
	}
}

// shrink takes the last bucket away, whose nodes go back to where they would be
// without it. A segment goes when the table is but half of what is before it, so
// that it does not come and go. The lock is held.
func (t *flowTable[T]) shrink() {
	t.moves.Add(1)
	defer t.moves.Add(1)
	last := t.size() - 1
	from, to := t.bucket(last), t.bucket(bucketOf(last, shapeOf(last)))
	t.shape.Store(shapeOf(last))
	for n := from.Load(); n != nil; n = from.Load() {
		from.Store(n.next.Load())
		push(to, n)
	}
	if k, first := segmentOf(2 * last); first == 2*last && k < flowSegments {
		t.segments[k].Store(nil)
	}
}

// all returns every value, in no particular order.
func (t *flowTable[T]) all() []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]T, 0, t.count)
	for i := range t.size() {
		for n := t.bucket(i).Load(); n != nil; n = n.next.Load() {
			out = append(out, n.val)
		}
	}
	return out
}
