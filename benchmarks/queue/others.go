package queue

import (
	"github.com/puzpuzpuz/xsync/v4"

	"example.com/loopback/device"
)

// Size is the number of descriptors in the comparison: the NIC's default.
const Size = device.DefaultRingSize

// Kind is one way to queue descriptors.
type Kind struct {
	Name      string
	Producers int // how many goroutines may put at once; 0: any number
	New       func(size int) Queue
	// Single puts and gets one item n times on one goroutine, calling the queue directly: through
	// the interface two calls would be a good part of what is measured.
	Single func(n int)
}

// Kinds returns every queue, in the order of the tables. Sizes are powers of two.
func Kinds() []Kind {
	return []Kind{
		{Name: "channel", New: func(n int) Queue { return NewChannel(n) }, Single: singleChannel},
		{Name: "mutex", New: func(n int) Queue { return NewMutex(n) }, Single: singleMutex},
		{Name: "vyukov", New: func(n int) Queue { return NewVyukov(n) }, Single: singleVyukov},
		{Name: "xsync", New: func(n int) Queue { return newXsync(n) }, Single: singleXsync},
		{Name: "lamport", Producers: 1, New: func(n int) Queue { return NewLamport(n) }, Single: singleLamport},
		{Name: "loopback", New: func(n int) Queue { return newDevice(n) }, Single: singleDevice},
	}
}

// xsyncQueue is the queue for many producers and consumers of puzpuzpuz/xsync.
type xsyncQueue struct{ q *xsync.MPMCQueue[Item] }

func newXsync(size int) xsyncQueue { return xsyncQueue{xsync.NewMPMCQueue[Item](size)} }

func (x xsyncQueue) Put(it Item) bool          { return x.q.TryEnqueue(it) }
func (x xsyncQueue) Get() (Item, bool)         { return x.q.TryDequeue() }
func (x xsyncQueue) PutBatch(items []Item) int { return putEach(x, items) }
func (x xsyncQueue) GetBatch(items []Item) int { return getEach(x, items) }

// MaxItems bounds the items: they are the numbers below it.
const MaxItems = 16 * Size

// newDevice returns the ring of our NIC: many producers, one consumer.
func newDevice(size int) *device.Ring {
	l, r := new(device.Links), new(device.Ring)
	l.Reserve(MaxItems)
	r.Init(size, l)
	return r
}

func singleChannel(n int) {
	q, it := NewChannel(Size), Item(1)
	for range n {
		q.Put(it)
		q.Get()
	}
}

func singleMutex(n int) {
	q, it := NewMutex(Size), Item(1)
	for range n {
		q.Put(it)
		q.Get()
	}
}

func singleVyukov(n int) {
	q, it := NewVyukov(Size), Item(1)
	for range n {
		q.Put(it)
		q.Get()
	}
}

func singleXsync(n int) {
	q, it := newXsync(Size).q, Item(1)
	for range n {
		q.TryEnqueue(it)
		q.TryDequeue()
	}
}

func singleLamport(n int) {
	q, it := NewLamport(Size), Item(1)
	for range n {
		q.Put(it)
		q.Get()
	}
}

func singleDevice(n int) {
	q, it := newDevice(Size), Item(1)
	for range n {
		q.Put(it)
		q.Get()
	}
}
