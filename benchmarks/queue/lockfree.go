package queue

import "sync/atomic"

// line is the distance that keeps two cores out of each other's cache lines: a pair of lines of
// 64 bytes, which processors prefetch together.
const line = 128

// Vyukov is the bounded queue of Dmitry Vyukov for many producers and many consumers: every cell
// has a sequence number that says whose turn it is.
type Vyukov struct {
	cells []cell
	_     [line]byte
	tail  atomic.Uint64
	_     [line]byte
	head  atomic.Uint64
	_     [line]byte
}

type cell struct {
	turn atomic.Uint64 // == position: free; == position + 1: filled
	it   Item
}

// NewVyukov returns a queue of size items, a power of two.
func NewVyukov(size int) *Vyukov {
	q := &Vyukov{cells: make([]cell, size)}
	for i := range q.cells {
		q.cells[i].turn.Store(uint64(i))
	}
	return q
}

// Put adds an item.
func (q *Vyukov) Put(it Item) bool {
	pos := q.tail.Load()
	for {
		c := &q.cells[pos&uint64(len(q.cells)-1)]
		switch d := int64(c.turn.Load() - pos); {
		case d == 0:
			if q.tail.CompareAndSwap(pos, pos+1) {
				c.it = it
				c.turn.Store(pos + 1)
				return true
			}
			pos = q.tail.Load()
		case d < 0:
			return false
		default:
			pos = q.tail.Load()
		}
	}
}

// Get takes the oldest item.
func (q *Vyukov) Get() (Item, bool) {
	pos := q.head.Load()
	for {
		c := &q.cells[pos&uint64(len(q.cells)-1)]
		switch d := int64(c.turn.Load() - (pos + 1)); {
		case d == 0:
			if q.head.CompareAndSwap(pos, pos+1) {
				it := c.it
				c.turn.Store(pos + uint64(len(q.cells)))
				return it, true
			}
			pos = q.head.Load()
		case d < 0:
			return 0, false
		default:
			pos = q.head.Load()
		}
	}
}

// PutBatch adds items one by one: the algorithm has no batches.
func (q *Vyukov) PutBatch(items []Item) int { return putEach(q, items) }

// GetBatch takes items one by one: the algorithm has no batches.
func (q *Vyukov) GetBatch(items []Item) int { return getEach(q, items) }

// Lamport is the queue of Leslie Lamport for one producer and one consumer, in today's form: each
// side remembers where the other was and looks again only when that says full or empty.
type Lamport struct {
	buf []Item
	_   [line]byte

	tail    atomic.Uint64
	oldHead uint64 // the producer's memory of head
	_       [line]byte

	head    atomic.Uint64
	oldTail uint64 // the consumer's memory of tail
	_       [line]byte
}

// NewLamport returns a queue of size items, a power of two.
func NewLamport(size int) *Lamport { return &Lamport{buf: make([]Item, size)} }

// Put adds an item. Only one goroutine may put.
func (q *Lamport) Put(it Item) bool {
	t := q.tail.Load()
	if t-q.oldHead == uint64(len(q.buf)) {
		if q.oldHead = q.head.Load(); t-q.oldHead == uint64(len(q.buf)) {
			return false
		}
	}
	q.buf[t&uint64(len(q.buf)-1)] = it
	q.tail.Store(t + 1)
	return true
}

// Get takes the oldest item. Only one goroutine may get.
func (q *Lamport) Get() (Item, bool) {
	h := q.head.Load()
	if h == q.oldTail {
		if q.oldTail = q.tail.Load(); h == q.oldTail {
			return 0, false
		}
	}
	it := q.buf[h&uint64(len(q.buf)-1)]
	q.head.Store(h + 1)
	return it, true
}

// PutBatch adds items and publishes them with one store.
func (q *Lamport) PutBatch(items []Item) int {
	t := q.tail.Load()
	free := len(q.buf) - int(t-q.oldHead)
	if free < len(items) {
		q.oldHead = q.head.Load()
		free = len(q.buf) - int(t-q.oldHead)
	}
	n := min(len(items), free)
	if n == 0 {
		return 0
	}
	for i, it := range items[:n] {
		q.buf[(t+uint64(i))&uint64(len(q.buf)-1)] = it
	}
	q.tail.Store(t + uint64(n))
	return n
}

// GetBatch takes items and frees their places with one store.
func (q *Lamport) GetBatch(items []Item) int {
	h := q.head.Load()
	if q.oldTail-h < uint64(len(items)) {
		q.oldTail = q.tail.Load()
	}
	n := min(len(items), int(q.oldTail-h))
	if n == 0 {
		return 0
	}
	for i := range items[:n] {
		items[i] = q.buf[(h+uint64(i))&uint64(len(q.buf)-1)]
	}
	q.head.Store(h + uint64(n))
	return n
}
