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
	put      func(d Desc) bool
	get      func() bool
	putBatch func(ds []Desc) int
	getBatch func(ds []Desc) int
}

// benchQueues returns a new queue of each kind.
func benchQueues() []benchQueue {
	return []benchQueue{newRingQueue(), newMutexQueue(), newChanQueue()}
}

// benchRing is a ring for the descriptors of the benchmarks.
func benchRing() *Ring {
	l, r := new(Links), new(Ring)
	l.Reserve(5 * 2 * ringSize)
	r.Init(ringSize, l)
	return r
}

func newRingQueue() benchQueue {
	r := benchRing()
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
	slots      [ringSize]Desc
}

func (r *mutexRing) putBatch(ps []Desc) int {
	r.mu.Lock()
	n := min(len(ps), int(ringSize-(r.tail-r.head)))
	for _, p := range ps[:n] {
		r.slots[r.tail%ringSize] = p
		r.tail++
	}
	r.mu.Unlock()
	return n
}

func (r *mutexRing) getBatch(ps []Desc) int {
	r.mu.Lock()
	n := min(len(ps), int(r.tail-r.head))
	for i := range ps[:n] {
		ps[i] = r.slots[r.head%ringSize]
		r.head++
	}
	r.mu.Unlock()
	return n
}

func (r *mutexRing) put(p Desc) bool {
	r.mu.Lock()
	ok := r.tail-r.head < ringSize
	if ok {
		r.slots[r.tail%ringSize] = p
		r.tail++
	}
	r.mu.Unlock()
	return ok
}

func (r *mutexRing) get() (p Desc, ok bool) {
	r.mu.Lock()
	if ok = r.tail != r.head; ok {
		p = r.slots[r.head%ringSize]
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
	c := make(chan Desc, ringSize)
	q := benchQueue{name: "chan"}
	q.put = func(p Desc) bool {
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
	q.putBatch = func(ps []Desc) int {
		for i, p := range ps {
			if !q.put(p) {
				return i
			}
		}
		return len(ps)
	}
	q.getBatch = func(ps []Desc) int {
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
	r := benchRing()
	for range b.N {
		r.Put(1)
		r.Get()
	}
}

func benchSameMutex(b *testing.B) {
	r := new(mutexRing)
	for range b.N {
		r.put(1)
		r.get()
	}
}

func benchSameChan(b *testing.B) {
	c, p := make(chan Desc, ringSize), Desc(1)
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
	var in, out [ringBatch]Desc
	for i := range in {
		in[i] = Desc(i)
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
	for i := range producers {
		wg.Go(func() { produce(q, Desc(i*2*ringSize), share, size) })
	}
	consume(q, share*producers, size)
	wg.Wait()
}

// produce puts n descriptors, of twice as many as the queue holds by turns: so none is in it twice.
func produce(q benchQueue, first Desc, n, size int) {
	ds := make([]Desc, 2*ringSize+size)
	for i := range ds {
		ds[i] = first + Desc(i%(2*ringSize))
	}
	for at := 0; n > 0; {
		m := 0
		if size == 1 {
			if q.put(ds[at]) {
				m = 1
			}
		} else {
			m = q.putBatch(ds[at : at+min(size, n)])
		}
		at = (at + m) % (2 * ringSize)
		if n -= m; m == 0 {
			runtime.Gosched()
		}
	}
}

func consume(q benchQueue, n, size int) {
	ds := make([]Desc, size)
	for n > 0 {
		m := 0
		if size == 1 {
			if q.get() {
				m = 1
			}
		} else {
			m = q.getBatch(ds)
		}
		if n -= m; m == 0 {
			runtime.Gosched()
		}
	}
}
