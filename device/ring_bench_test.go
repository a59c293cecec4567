package device

import (
	"runtime"
	"sync"
	"testing"
)

// ringBatch is the batch size of the benchmarks.
const ringBatch = 32

// ringSize is the ring size of the benchmarks: a NIC's default.
const ringSize = DefaultRingSize

// A benchQueue is what the ring is compared with, and the ring itself.
type benchQueue struct {
	name     string
	put      func(p *Packet) bool
	get      func() bool
	putBatch func(ps []*Packet) int
	getBatch func(ps []*Packet) int
}

// benchQueues returns a new queue of each kind.
func benchQueues() []benchQueue {
	return []benchQueue{newRingQueue(), newMutexQueue(), newChanQueue()}
}

func newRingQueue() benchQueue {
	r := new(Ring[*Packet])
	r.Init(ringSize)
	return benchQueue{
		name:     "ring",
		put:      r.Put,
		get:      func() bool { _, ok := r.Get(); return ok },
		putBatch: r.PutBatch,
		getBatch: r.GetBatch,
	}
}

// A mutexRing is the plain bounded queue: a lock around a circular array.
type mutexRing struct {
	mu         sync.Mutex
	head, tail uint
	slots      [ringSize]*Packet
}

func (r *mutexRing) putBatch(ps []*Packet) int {
	r.mu.Lock()
	n := min(len(ps), int(ringSize-(r.tail-r.head)))
	for _, p := range ps[:n] {
		r.slots[r.tail%ringSize] = p
		r.tail++
	}
	r.mu.Unlock()
	return n
}

func (r *mutexRing) getBatch(ps []*Packet) int {
	r.mu.Lock()
	n := min(len(ps), int(r.tail-r.head))
	for i := range ps[:n] {
		ps[i] = r.slots[r.head%ringSize]
		r.slots[r.head%ringSize] = nil
		r.head++
	}
	r.mu.Unlock()
	return n
}

func (r *mutexRing) put(p *Packet) bool {
	r.mu.Lock()
	ok := r.tail-r.head < ringSize
	if ok {
		r.slots[r.tail%ringSize] = p
		r.tail++
	}
	r.mu.Unlock()
	return ok
}

func (r *mutexRing) get() (p *Packet, ok bool) {
	r.mu.Lock()
	if ok = r.tail != r.head; ok {
		p = r.slots[r.head%ringSize]
		r.slots[r.head%ringSize] = nil
		r.head++
	}
	r.mu.Unlock()
	return p, ok
}

func newMutexQueue() benchQueue {
	r := new(mutexRing)
	return benchQueue{
		name:     "mutex",
		put:      r.put,
		get:      func() bool { _, ok := r.get(); return ok },
		putBatch: r.putBatch,
		getBatch: r.getBatch,
	}
}

func newChanQueue() benchQueue {
	c := make(chan *Packet, ringSize)
	q := benchQueue{name: "chan"}
	q.put = func(p *Packet) bool {
		select {
		case c <- p:
			return true
		default:
			return false
		}
	}
	q.get = func() bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	q.putBatch = func(ps []*Packet) int {
		for i, p := range ps {
			if !q.put(p) {
				return i
			}
		}
		return len(ps)
	}
	q.getBatch = func(ps []*Packet) int {
		for i := range ps {
			if !q.get() {
				return i
			}
		}
		return len(ps)
	}
	return q
}

// BenchmarkRing reports ns per descriptor that goes in and comes out, on one goroutine and from one or
// four producers to a consumer on other goroutines, one by one and in batches of 32.
func BenchmarkRing(b *testing.B) {
	// These call directly: a call through a function value is a tenth of what they measure.
	benchSame := map[string]func(*testing.B){"ring": benchSameRing, "mutex": benchSameMutex, "chan": benchSameChan}
	for i := range benchQueues() {
		name := benchQueues()[i].name
		b.Run("same/single/"+name, benchSame[name])
		b.Run("same/batch/"+name, func(b *testing.B) { benchSameBatch(b, benchQueues()[i]) })
		for _, producers := range []int{1, 4} {
			cores := map[int]string{1: "1P1C", 4: "4P1C"}[producers]
			b.Run(cores+"/single/"+name, func(b *testing.B) { benchAcross(b, benchQueues()[i], producers, 1) })
			b.Run(cores+"/batch/"+name, func(b *testing.B) { benchAcross(b, benchQueues()[i], producers, ringBatch) })
		}
	}
}

func benchSameRing(b *testing.B) {
	r, p := new(Ring[*Packet]), new(Packet)
	r.Init(ringSize)
	for range b.N {
		r.Put(p)
		r.Get()
	}
}

func benchSameMutex(b *testing.B) {
	r, p := new(mutexRing), new(Packet)
	for range b.N {
		r.put(p)
		r.get()
	}
}

func benchSameChan(b *testing.B) {
	c, p := make(chan *Packet, ringSize), new(Packet)
	for range b.N {
		select {
		case c <- p:
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

func benchSameBatch(b *testing.B, q benchQueue) {
	var in, out [ringBatch]*Packet
	for i := range in {
		in[i] = new(Packet)
	}
	for n := 0; n < b.N; n += ringBatch {
		q.putBatch(in[:])
		q.getBatch(out[:])
	}
}

// benchAcross moves b.N descriptors from producers on goroutines of their own. Who finds the queue full
// or empty lets others run: with more goroutines than cores nothing else makes progress.
func benchAcross(b *testing.B, q benchQueue, producers, size int) {
	var wg sync.WaitGroup
	share := (b.N + producers - 1) / producers
	for range producers {
		wg.Go(func() { produce(q, share, size) })
	}
	consume(q, share*producers, size)
	wg.Wait()
}

func produce(q benchQueue, n, size int) {
	ps := make([]*Packet, size)
	for i := range ps {
		ps[i] = new(Packet)
	}
	for n > 0 {
		m := 0
		if size == 1 {
			if q.put(ps[0]) {
				m = 1
			}
		} else {
			m = q.putBatch(ps[:min(size, n)])
		}
		if n -= m; m == 0 {
			runtime.Gosched()
		}
	}
}

func consume(q benchQueue, n, size int) {
	ps := make([]*Packet, size)
	for n > 0 {
		m := 0
		if size == 1 {
			if q.get() {
				m = 1
			}
		} else {
			m = q.getBatch(ps)
		}
		if n -= m; m == 0 {
			runtime.Gosched()
		}
	}
}
