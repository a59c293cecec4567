package device

import (
	"sync"
	"sync/atomic"
)

// The sizes of pool memory in bytes: headers and small datagrams; an Ethernet-sized packet; a whole
// packet of DefaultMTU with room to spare; the longest IP packet. Each is a size that Go's allocator
// hands out without rounding up.
const (
	size0 = 512
	size1 = 2 << 10
	size2 = 18 << 10
	size3 = 64 << 10

	numClasses = 4
	noClass    = numClasses // memory larger than the largest class: not pooled
)

// MaxBuf is the largest chunk in bytes that a Pool recycles.
const MaxBuf = size3

// A Buf is a chunk of memory with a reference count. Whoever got it from Pool.Get holds one
// reference. Retain and Release are safe for concurrent use; the bytes are not guarded.
type Buf struct {
	b     []byte
	pool  *Pool
	refs  atomic.Int32
	class uint8
}

// Bytes returns all of the chunk's memory. Its length is that of its size class. The content is
// whatever the last user left there.
func (b *Buf) Bytes() []byte { return b.b }

// Retain adds a reference. Only who holds a reference may add one.
func (b *Buf) Retain() { b.refs.Add(1) }

// Release gives up one reference. The last one returns the chunk to its pool. It panics when there
// is no reference left to give up (always in an audited pool, else when it can be seen).
func (b *Buf) Release() {
	// Who sees the count at one holds the only reference, so nobody else can change it: no need for
	// a locked instruction, and the count is already right for the next user.
	if b.refs.Load() == 1 {
		b.pool.putBuf(b)
		return
	}
	switch n := b.refs.Add(-1); {
	case n == 0: // two holders released at the same time
		b.refs.Store(1)
		b.pool.putBuf(b)
	case n < 0:
		panic("device: Buf released more often than retained")
	}
}

// A Pool recycles the memory of one stack: chunks of several sizes (Buf) and packets. The zero value
// is ready. It is safe for concurrent use and meant to be fast on every core: its free lists are
// sync.Pools of its own, so a Get and Release on one core take no lock and touch no line of another
// core. It holds at most what was once in use at the same time, and what lies idle through two
// garbage collections goes back to the collector. Packets that were on a ring have numbers there; up to
// maxNumbered of those are kept with their numbers, by a lock, and the holders of batons keep some more.
//
// A Pool must not be copied after first use.
type Pool struct {
	// Audit, set before first use, makes the pool count what is out (see Stats) and panic when
	// something is released twice. It costs a few shared atomic operations for each Get and Release,
	// which is why it is off by default; programs built with the race detector always have it on.
	Audit bool

	numbers numbers // begins with what each packet's way reads
	bufs    [numClasses]sync.Pool
	packets sync.Pool

	outBufs, outPackets, allocBufs, allocPackets atomic.Int64
}

// PoolStats is a snapshot of a pool's account. BufsOut and PacketsOut are counted only in an audited
// pool (see Pool.Audit); they are zero when every buffer and packet has been released.
type PoolStats struct {
	Audited                         bool
	BufsOut, PacketsOut             int64 // handed out and not yet released
	BufsAllocated, PacketsAllocated int64 // made anew because none was free, since the pool's first use
}

// Stats returns a snapshot of the pool's account.
func (p *Pool) Stats() PoolStats {
	return PoolStats{
		Audited:          p.audited(),
		BufsOut:          p.outBufs.Load(),
		PacketsOut:       p.outPackets.Load(),
		BufsAllocated:    p.allocBufs.Load(),
		PacketsAllocated: p.allocPackets.Load(),
	}
}

func (p *Pool) audited() bool { return raceEnabled || p.Audit }

// classOf returns the smallest size class that holds n bytes.
func classOf(n int) uint8 {
	switch {
	case n <= size0:
		return 0
	case n <= size1:
		return 1
	case n <= size2:
		return 2
	case n <= size3:
		return 3
	}
	return noClass
}

// classSize returns the size in bytes of a class's chunks.
func classSize(class uint8) int {
	return [numClasses]int{size0, size1, size2, size3}[class]
}

// Get returns a chunk with at least n bytes, not zeroed, with one reference held by the caller. More
// than MaxBuf bytes come from the garbage collector and go back to it.
func (p *Pool) Get(n int) *Buf {
	class := classOf(n)
	if class == noClass {
		return p.newBuf(n, class)
	}
	b, _ := p.bufs[class].Get().(*Buf)
	if b == nil {
		return p.newBuf(classSize(class), class)
	}
	if p.audited() {
		b.refs.Store(1)
		p.outBufs.Add(1)
	}
	return b
}

// newBuf makes a chunk with one reference.
func (p *Pool) newBuf(size int, class uint8) *Buf {
	b := &Buf{b: make([]byte, size), pool: p, class: class}
	b.refs.Store(1)
	p.allocBufs.Add(1)
	if p.audited() {
		p.outBufs.Add(1)
	}
	return b
}

// putBuf takes back a chunk whose last reference was given up; its count stands at one.
func (p *Pool) putBuf(b *Buf) {
	if p.audited() {
		if !b.refs.CompareAndSwap(1, 0) {
			panic("device: Buf released more often than retained")
		}
		p.outBufs.Add(-1)
	}
	if b.class != noClass {
		p.bufs[b.class].Put(b)
	}
}

// NewPacket returns a packet whose fields are zero, except that Head is the empty start of the
// packet's own room for headers (capacity MaxHead; its bytes are not zeroed).
func (p *Pool) NewPacket() *Packet {
	k := p.numbers.take() // it will have use for its number
	if k == nil {
		k, _ = p.packets.Get().(*Packet)
	}
	if k == nil {
		k = &Packet{pool: p}
		k.Head = k.inline[:0]
		p.allocPackets.Add(1)
	}
	p.handOut(k)
	return k
}

// putPacket takes back a packet that was retired.
func (p *Pool) putPacket(k *Packet) {
	if k.state != 0 {
		if p.numbers.keep(k) {
			return
		}
		p.numbers.takeBack(Desc(k.state - 1))
		k.state = 0
	}
	p.packets.Put(k)
}

// handOut notes that k leaves the pool.
func (p *Pool) handOut(k *Packet) {
	if p.audited() {
		p.outPackets.Add(1)
		atomic.StoreUint32(&k.state, k.state|liveBit)
	}
}

// takeBack notes that k was given up.
func (p *Pool) takeBack(k *Packet) {
	if p.audited() {
		state := atomic.LoadUint32(&k.state)
		if state&liveBit == 0 || !atomic.CompareAndSwapUint32(&k.state, state, state&^liveBit) {
			panic("device: Packet released twice")
		}
		p.outPackets.Add(-1)
	}
}

// desc returns the number by which rings know k; ok is false when there are none left. A packet that is not of the
// pool's has it only until it leaves the ring.
func (p *Pool) desc(k *Packet) (d Desc, ok bool) {
	if d, ok = k.number(p); ok {
		return d, ok
	}
	if d, ok = p.numbers.give(k); ok && k.pool == p {
		k.state |= uint32(d) + 1
	}
	return d, ok
}

// undesc takes the number back, if there was one, that desc gave k, which did not get into the ring.
func (p *Pool) undesc(k *Packet, d Desc, ok bool) {
	if ok && k.pool != p {
		p.numbers.takeBack(d)
	}
}

// put puts k on a ring of packets of the pool's numbers.
func (p *Pool) put(r *Ring, k *Packet) bool {
	d, ok := p.desc(k)
	if ok && r.Put(d) {
		return true
	}
	p.undesc(k, d, ok)
	return false
}

// putBatch puts the first of ks on a ring, in runs of a batch at most, and returns how many.
func (p *Pool) putBatch(r *Ring, ks []*Packet) (taken int) {
	var ds [batch]Desc
	for len(ks) > 0 {
		n := 0
		for ok := true; n < min(len(ks), batch); n++ {
			if ds[n], ok = p.desc(ks[n]); !ok {
				break
			}
		}
		put := r.PutBatch(ds[:n])
		for i := put; i < n; i++ {
			p.undesc(ks[i], ds[i], true)
		}
		if taken += put; put < batch {
			break
		}
		ks = ks[put:]
	}
	return taken
}
