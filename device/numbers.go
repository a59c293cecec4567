package device

import (
	"sync"
	"sync/atomic"
)

// numbers gives packets the numbers by which rings know them. A packet of the pool's keeps its number; while it
// has one it is not left to the garbage collector but to free.
type numbers struct {
	links   Links
	packets atomic.Pointer[[]*Packet] // by number

	mu     sync.Mutex
	unused []Desc // numbers that were given back
	next   Desc   // those from here on were never given

	idle atomic.Int32 // len(free), for those who do not hold mu
	free []*Packet    // released packets that have a number
}

// maxNumbered is how many released packets with numbers are kept, 384 bytes each.
const maxNumbered = 1024

// give returns a number for k; ok is false when there are none left.
func (s *numbers) give(k *Packet) (d Desc, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.unused) - 1; last >= 0 {
		d = s.unused[last]
		s.unused = s.unused[:last]
	} else if d = s.next; d < MaxDescs {
		s.next++
		s.reserve(d)
	} else {
		return 0, false
	}
	(*s.packets.Load())[d] = k
	return d, true
}

// reserve makes room for the number d.
func (s *numbers) reserve(d Desc) {
	var old []*Packet
	if packets := s.packets.Load(); packets != nil {
		old = *packets
	}
	if int(d) < len(old) {
		return
	}
	size := max(1<<chunkBits, 2*len(old))
	s.links.Reserve(size)
	packets := make([]*Packet, size)
	copy(packets, old)
	s.packets.Store(&packets)
}

// takeBack makes d free for another packet.
func (s *numbers) takeBack(d Desc) {
	s.mu.Lock()
	(*s.packets.Load())[d] = nil
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
