package queue

import (
	"github.com/puzpuzpuz/xsync/v4"

	"example.com/loopback/device"
)

// Kind is one way to queue descriptors.
type Kind struct {
	Name      string
	Producers int // how many goroutines may put at once; 0: any number
	New       func(size int) Queue
}

// Kinds returns every queue, in the order of the tables. Sizes are powers of two.
func Kinds() []Kind {
	return []Kind{
		{Name: "channel", New: func(n int) Queue { return NewChannel(n) }},
		{Name: "mutex", New: func(n int) Queue { return NewMutex(n) }},
		{Name: "vyukov", New: func(n int) Queue { return NewVyukov(n) }},
		{Name: "xsync", New: func(n int) Queue { return newXsync(n) }},
		{Name: "lamport", Producers: 1, New: func(n int) Queue { return NewLamport(n) }},
		{Name: "loopback", New: func(n int) Queue { return newDevice(n) }},
	}
}

// xsyncQueue is the queue for many producers and consumers of puzpuzpuz/xsync.
type xsyncQueue struct{ q *xsync.MPMCQueue[Item] }

func newXsync(size int) xsyncQueue { return xsyncQueue{xsync.NewMPMCQueue[Item](size)} }

func (x xsyncQueue) Put(it Item) bool          { return x.q.TryEnqueue(it) }
func (x xsyncQueue) Get() (Item, bool)         { return x.q.TryDequeue() }
func (x xsyncQueue) PutBatch(items []Item) int { return putEach(x, items) }
func (x xsyncQueue) GetBatch(items []Item) int { return getEach(x, items) }

// newDevice returns the ring of our NIC: many producers, one consumer.
func newDevice(size int) *device.Ring[Item] {
	r := new(device.Ring[Item])
	r.Init(size)
	return r
}
