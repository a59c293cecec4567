// Package queue holds the queues that the NIC's descriptor ring is compared with, each in its
// textbook form and written for this comparison, behind one interface.
//
// They carry numbers, as the NIC's ring does: its packets are in a table. A call through the interface costs
// the same for all of them; the benchmarks beside the ring itself, in package device, have none.
//
//	var q queue.Queue = queue.NewVyukov(256)
//	q.Put(7)
//	d, ok := q.Get()
package queue

import (
	"sync"

	"example.com/loopback/device"
)

// Item is what the queues carry: a descriptor, less than MaxItems.
type Item = device.Desc

// Queue is a bounded queue of descriptors. Nothing waits: a full or an empty queue says so. An item is in one
// place at a time, so not twice in a queue.
type Queue interface {
	Put(Item) bool
	Get() (Item, bool)
	// PutBatch takes as many of items as there is room for, and returns how many that was.
	PutBatch(items []Item) int
	// GetBatch fills a start of items and returns how long it is.
	GetBatch(items []Item) int
}

// putEach and getEach are batches for queues that have none.
func putEach(q Queue, items []Item) int {
	for i, it := range items {
		if !q.Put(it) {
			return i
		}
	}
	return len(items)
}

func getEach(q Queue, items []Item) int {
	for i := range items {
		it, ok := q.Get()
		if !ok {
			return i
		}
		items[i] = it
	}
	return len(items)
}

// Channel is a buffered Go channel. Any number of goroutines may use either end.
type Channel chan Item

// NewChannel returns a channel of size items.
func NewChannel(size int) Channel { return make(Channel, size) }

// Put adds an item.
func (c Channel) Put(it Item) bool {
	select {
	case c <- it:
		return true
	default:
		return false
	}
}

// Get takes the oldest item.
func (c Channel) Get() (Item, bool) {
	select {
	case it := <-c:
		return it, true
	default:
		return 0, false
	}
}

// PutBatch adds items one by one: a channel has no batches.
func (c Channel) PutBatch(items []Item) int { return putEach(c, items) }

// GetBatch takes items one by one: a channel has no batches.
func (c Channel) GetBatch(items []Item) int { return getEach(c, items) }

// Mutex is a ring under a mutex. Any number of goroutines may use either end.
type Mutex struct {
	mu   sync.Mutex
	buf  []Item // its length is a power of two
	head uint
	tail uint
}

// NewMutex returns a ring of size items, a power of two.
func NewMutex(size int) *Mutex { return &Mutex{buf: make([]Item, size)} }

// Put adds an item.
func (m *Mutex) Put(it Item) bool {
	m.mu.Lock()
	ok := m.tail-m.head < uint(len(m.buf))
	if ok {
		m.buf[m.tail&uint(len(m.buf)-1)] = it
		m.tail++
	}
	m.mu.Unlock()
	return ok
}

// Get takes the oldest item.
func (m *Mutex) Get() (it Item, ok bool) {
	m.mu.Lock()
	if ok = m.tail != m.head; ok {
		it = m.buf[m.head&uint(len(m.buf)-1)]
		m.head++
	}
	m.mu.Unlock()
	return it, ok
}

// PutBatch adds items in one critical section.
func (m *Mutex) PutBatch(items []Item) int {
	m.mu.Lock()
	n := min(len(items), len(m.buf)-int(m.tail-m.head))
	for _, it := range items[:n] {
		m.buf[m.tail&uint(len(m.buf)-1)] = it
		m.tail++
	}
	m.mu.Unlock()
	return n
}

// GetBatch takes items in one critical section.
func (m *Mutex) GetBatch(items []Item) int {
	m.mu.Lock()
	n := min(len(items), int(m.tail-m.head))
	for i := range items[:n] {
		items[i] = m.buf[m.head&uint(len(m.buf)-1)]
		m.head++
	}
	m.mu.Unlock()
	return n
}
