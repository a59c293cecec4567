package device

import (
	"sync"
	"sync/atomic"
)

// numbers gives packets the numbers by which rings know them. A packet of the pool's keeps its number; while it
// has one it is not left to the garbage collector but to free.
type numbers struct {
	links   Links
	packets atomic.Pointer[packetTable]
	_       [cacheLine]byte // above is what every packet's way reads, below what is written

	mu     sync.Mutex
	unused []Desc        // numbers that were given back
	fresh  []numberBlock // by queue: those that were never given
	next   Desc          // those from here on belong to no queue

	idle atomic.Int32 // len(free), for those who do not hold mu
	free []*Packet    // released packets that have a number
}

// packetTable is the packets by number. Like linkTable it has cache lines of its own.
type packetTable struct {
	by []*Packet
	_  [cacheLine - 24]byte
}

// numberBlock are numbers that only packets of one queue are given, so that the holders of two batons do not write links
// on the same cache line for every packet.
type numberBlock struct{ next, end Desc }

// blockLen is how many numbers there are in a block: as many as have their links on one line.
const blockLen = cacheLine / 4

// maxNumbered is how many released packets with numbers are kept, 384 bytes each.
const maxNumbered = 1024

// give returns a number for k; ok is false when there are none left.
func (s *numbers) give(k *Packet) (d Desc, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.unused) - 1; last >= 0 {
		d = s.unused[last]
		s.unused = s.unused[:last]
	} else if d, ok = s.first(int(k.Queue)); !ok {
		return 0, false
	}
	s.packets.Load().by[d] = k
	return d, true
}

// first returns a number for a packet of queue q that was never given.
func (s *numbers) first(q int) (d Desc, ok bool) {
	for q >= len(s.fresh) {
		s.fresh = append(s.fresh, numberBlock{})
	}
	b := &s.fresh[q]
	if b.next == b.end {
		if s.next >= MaxDescs {
			return 0, false
		}
		b.next = s.next
		s.next += blockLen
		b.end = s.next
		s.reserve(b.next)
	}
	d = b.next
	b.next++
	return d, true
}

// reserve makes room for the number d.
func (s *numbers) reserve(d Desc) {
	var old []*Packet
	if packets := s.packets.Load(); packets != nil {
		old = packets.by
	}
	if int(d) < len(old) {
		return
	}
	size := max(1<<chunkBits, 2*len(old))
	s.links.Reserve(size)
	packets := make([]*Packet, size)
	copy(packets, old)
	s.packets.Store(&packetTable{by: packets})
}

// takeBack makes d free for another packet.
func (s *numbers) takeBack(d Desc) {
	s.mu.Lock()
	s.packets.Load().by[d] = nil
	s.unused = append(s.unused, d)
	s.mu.Unlock()
}

// keep keeps a released packet with its number, and reports whether there was room for it.
func (s *numbers) keep(k *Packet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) >= maxNumbered {
		return false
	}
	s.free = append(s.free, k)
	s.idle.Store(int32(len(s.free)))
	return true
}

// take returns a packet that was kept, nil if there is none.
func (s *numbers) take() *Packet {
	if s.idle.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.free) - 1
	if last < 0 {
		return nil
	}
	k := s.free[last]
	s.free[last] = nil
	s.free = s.free[:last]
	s.idle.Store(int32(last))
	return k
}
