package device

import (
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestNumbers: a packet of the pool's has a number from its first ring on, and keeps it.
func TestNumbers(t *testing.T) {
	pool := &Pool{Audit: true}
	n := NewNIC(Config{Pool: pool})
	p := packetOf(pool, 40, 1, 0)
	require.Zero(t, p.state&^liveBit)
	require.Equal(t, TxOK, n.Transmit(0, p))
	require.Equal(t, uint32(1), p.state&^liveBit)
	require.True(t, n.Ring(0))
	n.Poll(0, 0, 0, func(got *Packet) {
		require.Same(t, p, got)
		got.Release()
	})
	require.Same(t, p, pool.NewPacket(), "one with a number goes first")
	require.Equal(t, liveBit|uint32(1), p.state)
	require.NotSame(t, p, pool.NewPacket())
	require.Equal(t, TxOK, n.Transmit(0, p))
	require.Equal(t, []numberBlock{{1, blockLen}}, pool.numbers.fresh)
}

// TestPacketSize: no cache line of a packet is another packet's too.
func TestPacketSize(t *testing.T) {
	require.Zero(t, unsafe.Sizeof(Packet{})%64)
	require.LessOrEqual(t, unsafe.Offsetof(Packet{}.pool), uintptr(56), "what every small packet writes to")
	require.Zero(t, unsafe.Offsetof(Packet{}.inline)%64)
}

// TestNumbersOfStrangers: packets of another pool, or of none, have a number while they are on a ring.
func TestNumbersOfStrangers(t *testing.T) {
	n := NewNIC(Config{RingSize: 2})
	other := new(Pool)
	for range 5 {
		strangers := []*Packet{other.NewPacket(), new(Packet), other.NewPacket()}
		for i, p := range strangers {
			p.SetHead(20)
			want := TxOK
			if i == 2 {
				want = TxFull
			}
			require.Equal(t, want, n.Transmit(0, p))
		}
		var got []*Packet
		require.True(t, n.Ring(0))
		n.Poll(0, 0, 0, func(p *Packet) { got = append(got, p) })
		require.True(t, n.Rest(0))
		require.Equal(t, strangers[:2], got)
		require.Same(t, strangers[1], got[1])
		for _, p := range strangers {
			require.Zero(t, p.state&^liveBit)
			p.Release()
		}
	}
	lone := other.NewPacket()
	require.Equal(t, TxOK, n.Transmit(0, lone))
	require.Equal(t, 1, n.Poll(0, 0, 0, func(p *Packet) { require.Same(t, lone, p) }))
	given := n.pool.numbers.fresh[0].next
	require.LessOrEqual(t, given, Desc(3), "numbers are used again")
	require.Len(t, n.pool.numbers.unused, int(given))
}

// TestNumbersBounded: what many packets at a time needed goes back, but for maxNumbered of them.
func TestNumbersBounded(t *testing.T) {
	n := NewNIC(Config{RingSize: 4 * maxNumbered})
	for range 3 {
		for range 3 * maxNumbered {
			require.Equal(t, TxOK, n.Transmit(0, n.pool.NewPacket()))
		}
		require.True(t, n.Ring(0))
		require.Equal(t, 3*maxNumbered, drain(n, 0, (*Packet).Release))
		require.Len(t, n.pool.numbers.free, maxNumbered)
		require.Len(t, n.pool.numbers.unused, 2*maxNumbered)
		for _, p := range n.pool.numbers.free {
			require.Same(t, p, n.pool.numbers.packets.Load().by[p.state-1])
		}
	}
	packets := 0
	for _, p := range n.pool.numbers.packets.Load().by {
		if p != nil {
			packets++
		}
	}
	require.Equal(t, maxNumbered, packets, "the rest is not held")
}

// TestNumbersConcurrent: packets of one pool on the rings of several NICs, taken and released by everybody.
func TestNumbersConcurrent(t *testing.T) {
	pool := &Pool{Audit: true}
	a, b := NewNIC(Config{Pool: pool, RingSize: 8}), NewNIC(Config{Pool: pool, RingSize: 8})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			n := a
			if i%2 == 0 {
				n = b
			}
			for range stress(10000) {
				p := packetOf(pool, 40, byte(i), 0)
				if n.Transmit(0, p) != TxOK {
					p.Release()
				}
				if n.Ring(0) {
					for done := false; !done; done = n.Rest(0) {
						n.Poll(0, 0, 0, (*Packet).Release)
					}
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, pool.Stats().PacketsOut)
	require.LessOrEqual(t, pool.numbers.fresh[0].next, Desc(64))
}

// TestFewLines: what a packet alone needs to know lies together.
func TestFewLines(t *testing.T) {
	const line, allocators = 64, 8 // bytes; those of a large object come before it
	require.LessOrEqual(t, unsafe.Offsetof(Pool{}.numbers)+unsafe.Offsetof(numbers{}.packets)+8, uintptr(32), "as socket.TestLinesApart has it")
	require.LessOrEqual(t, unsafe.Offsetof(NIC{}.plain)+1, uintptr(line))
	require.LessOrEqual(t, allocators+unsafe.Offsetof(rings{}.back)+unsafe.Offsetof(backlog{}.end)+8, uintptr(line))
	at := func(within uintptr) uintptr { return (allocators + unsafe.Offsetof(rings{}.tx) + within) / line }
	require.Equal(t, at(unsafe.Offsetof(Ring{}.links)), at(unsafe.Offsetof(Ring{}.lag)))
	require.Equal(t, at(unsafe.Offsetof(Ring{}.word)), at(unsafe.Offsetof(Ring{}.seen)))
	require.Equal(t, at(unsafe.Offsetof(Ring{}.pos)), at(unsafe.Offsetof(Ring{}.freed)))
}

// TestQueuesApart: what the holders of two batons write for each packet lies on different cache lines, and what they
// both read on others.
func TestQueuesApart(t *testing.T) {
	const queues, packets = 3, 40
	n := NewNIC(Config{Queues: queues})
	owner := map[uintptr]int{} // of a cache line, -1 for all
	claim := func(q int, p unsafe.Pointer, what string) {
		line := uintptr(p) / 64
		if was, ok := owner[line]; ok {
			require.Equal(t, was, q, what)
		}
		owner[line] = q
	}
	for q := range queues {
		n.ReleaseHeld(q, n.NewPacket(q, true))
		require.GreaterOrEqual(t, cap(n.queues[q].rings.Load().spare), cacheLine/8, "what is smaller may share a line")
	}
	for range 2 { // the second time with packets that have been there
		for i := range packets {
			for q := range queues {
				p := n.NewPacket(q, true)
				p.SetHead(20)
				p.Queue, p.Flags = uint8(q), FlagSteered
				require.Equal(t, TxOK, n.Transmit(0, p))
				d, ok := p.number(n.pool)
				require.True(t, ok)
				claim(q, unsafe.Pointer(n.pool.numbers.links.of(d)), "links")
				if i > 0 {
					continue
				}
				claim(q, unsafe.Pointer(&n.queues[q].bell), "bells")
				claim(q, unsafe.Pointer(&n.queues[q].both), "counters")
				claim(q, unsafe.Pointer(&n.queues[q].spare), "the first spare packet")
				claim(q, unsafe.Pointer(&n.queues[q].tx), "counters of one direction")
				claim(q, unsafe.Pointer(&n.queues[q].rx), "the same")
			}
		}
		for q := range queues {
			require.True(t, n.Ring(q))
			require.Equal(t, packets, drain(n, q, func(p *Packet) { n.ReleaseHeld(q, p) }))
			r := n.queues[q].rings.Load()
			require.NotEmpty(t, r.spare)
			claim(q, unsafe.Pointer(unsafe.SliceData(r.spare)), "spare packets")
			claim(q, unsafe.Pointer(&r.tx.word), "tails")
			claim(q, unsafe.Pointer(&r.tx.pos), "heads")
		}
	}
	const allocators = 8 // bytes of an object, before the queues
	require.LessOrEqual(t, unsafe.Offsetof(queue{}.spare)+8+allocators, uintptr(cacheLine), "what a lone packet needs of its queue is one line")
	require.Zero(t, unsafe.Sizeof(queue{})%cacheLine)
	s := &n.pool.numbers
	table, byNumber := s.links.table.Load(), s.packets.Load()
	require.GreaterOrEqual(t, cap(table.chunks), cacheLine/8)
	require.Zero(t, unsafe.Sizeof(*table)%cacheLine)
	require.Zero(t, unsafe.Sizeof(*byNumber)%cacheLine)
	claim(-1, unsafe.Pointer(table), "the table of links")
	claim(-1, unsafe.Pointer(unsafe.SliceData(table.chunks)), "the chunks' addresses")
	claim(-1, unsafe.Pointer(table.chunks[0]), "a chunk's first bytes")
	claim(-1, unsafe.Pointer(byNumber), "the table of packets")
	claim(-1, unsafe.Pointer(s), "where the tables are")
	claim(-2, unsafe.Pointer(&s.mu), "where packets are given back")
}
