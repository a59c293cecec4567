package device

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// out returns a packet of the given length for outside.
func out(n *NIC, length int, tag byte) *Packet {
	p := n.Pool().NewPacket()
	p.SetHead(20)[0] = tag
	p.Flags = FlagOutside
	if length > 20 {
		b := n.Pool().Get(length - 20)
		p.Frags[0] = Piece{b.Bytes()[:length-20], b}
	}
	return p
}

func TestLoopbackOrder(t *testing.T) {
	n := NewNIC(Config{Pool: &Pool{Audit: true}})
	for i := range byte(100) {
		transmit(t, n, i)
		if i%10 == 3 {
			require.Equal(t, TxOK, n.Transmit(0, out(n, 20, 200)))
		}
	}
	require.True(t, n.Ring(0))
	var got []byte
	require.Equal(t, 100, drain(n, 0, collect(&got)))
	for i := range got {
		require.EqualValues(t, i, got[i])
	}
	require.Equal(t, Drops{DropUnreachable: 10}, n.Drops())
	require.Equal(t, TXCounters{Packets: 110, Bytes: 100*40 + 10*20, Dropped: 10}, n.Counters().TX)
	require.Zero(t, n.Pool().Stats().PacketsOut)
}

// TestWire: what is for outside arrives at the other computer, as a copy and with its checksum; the rest
// loops back.
func TestWire(t *testing.T) {
	var got [2][]string
	var nics [2]*NIC
	for i := range nics {
		nics[i] = NewNIC(Config{
			Name: fmt.Sprint("lo", i), Queues: 2, Pool: &Pool{Audit: true},
			FillChecksum: func(b []byte, start, offset int) { b[start+offset] = 0xcc },
			Interrupt: func(q int) {
				drain(nics[i], q, func(p *Packet) {
					got[i] = append(got[i], fmt.Sprintf("%d/%d %x f%x q%d", p.Head[0], p.Len(), p.Head[19], p.Flags, q))
					p.Release()
				})
			},
		})
	}
	a, b := nics[0], nics[1]
	w := NewWire(a, b)
	require.Same(t, w, a.Link())
	require.True(t, a.Open())
	send := func(n *NIC, p *Packet) {
		p.CsumStart, p.CsumOffset = 10, 9
		p.Flags |= FlagCsumPartial
		require.Equal(t, TxOK, n.Transmit(0, p))
	}
	send(a, out(a, 20, 1))
	local := packetOf(a.Pool(), 20, 2, 0)
	local.Head[19] = 0
	send(a, local)
	impaired := out(a, 300, 3)
	impaired.Flags |= FlagImpaired
	impaired.Hash = 2
	send(a, impaired)
	a.Kick(0)
	other := out(b, MaxPacket, 4)
	other.Hash = 1
	send(b, other)
	b.Kick(1)
	require.Equal(t, []string{"1/20 cc f4 q0", "3/300 cc fc q0"}, got[1])
	require.Equal(t, []string{"2/20 0 f1 q0", "4/65535 cc f4 q1"}, got[0])
	for _, n := range nics {
		require.Zero(t, n.Drops().Total())
		require.Zero(t, n.Pool().Stats().PacketsOut)
		require.Zero(t, n.Pool().Stats().BufsOut)
	}

	b.SetUp(false)
	send(a, out(a, 20, 9))
	a.Kick(0)
	require.Len(t, got[1], 2)
	require.Equal(t, Drops{DropRxDown: 1}, b.Drops(), "counted where it was lost")
	require.Zero(t, a.Drops().Total())

	a.SetLink(nil)
	require.Equal(t, Loopback{}, a.Link(), "unplugged")
	send(a, out(a, 20, 9))
	a.Kick(0)
	require.Equal(t, Drops{DropUnreachable: 1}, a.Drops())
}

// TestWireAnswers: a computer that answers within the interrupt, several times to and fro, ends in the
// right order and with no baton left over.
func TestWireAnswers(t *testing.T) {
	var nics [2]*NIC
	var log []string
	for i := range nics {
		nics[i] = NewNIC(Config{Interrupt: func(q int) {
			drain(nics[i], q, func(p *Packet) {
				tag := p.Head[0]
				p.Release()
				log = append(log, fmt.Sprintf("%d:%d", i, tag))
				if tag < 6 {
					require.Equal(t, TxOK, nics[i].Transmit(0, out(nics[i], 20, tag+1)))
					require.False(t, nics[i].Ring(0))
				}
			})
		}})
	}
	NewWire(nics[0], nics[1])
	require.Equal(t, TxOK, nics[0].Transmit(0, out(nics[0], 20, 1)))
	nics[0].Kick(0)
	require.Equal(t, []string{"1:1", "0:2", "1:3", "0:4", "1:5", "0:6"}, log)
	require.True(t, nics[0].Idle(0))
	require.True(t, nics[1].Idle(0))
}

func TestPort(t *testing.T) {
	port := NewPort(3)
	n := NewNIC(Config{
		Link: port, Pool: &Pool{Audit: true},
		FillChecksum: func(b []byte, start, offset int) { b[start+offset] = 0xcc },
	})
	require.True(t, n.Open())
	_, ok := port.Next()
	require.False(t, ok)
	_, ok = port.AppendNext(nil)
	require.False(t, ok)
	var got []byte
	send := func(tags ...byte) {
		for _, tag := range tags {
			p := out(n, 20+int(tag), tag)
			p.Flags |= FlagCsumPartial
			p.CsumOffset = 1
			require.Equal(t, TxOK, n.Transmit(0, p))
		}
		require.True(t, n.Ring(0))
		drain(n, 0, collect(&got))
	}
	transmit(t, n, 77)
	send(1, 2, 3, 4, 5)
	require.Equal(t, []byte{77}, got, "local packets loop back")
	require.Equal(t, 3, port.Len())
	require.Equal(t, Drops{DropWireFull: 2}, n.Drops())
	require.Equal(t, TXCounters{Packets: 6, Bytes: 40 + 5*20 + 15, Dropped: 2, Overruns: 2}, n.Counters().TX)

	raw, ok := port.Next()
	require.True(t, ok)
	require.Len(t, raw, 21)
	require.Equal(t, []byte{1, 0xcc}, raw[:2])
	send(6)
	b, ok := port.AppendNext([]byte{9})
	require.True(t, ok)
	require.Equal(t, []byte{9, 2, 0xcc}, b[:3])
	require.Len(t, b, 23)
	var tags []byte
	require.Equal(t, 2, port.Drain(func(raw []byte) { tags = append(tags, raw[0]) }))
	require.Equal(t, []byte{3, 6}, tags)
	require.Zero(t, port.Len())
	require.Zero(t, n.Pool().Stats().BufsOut)
	require.Zero(t, n.Pool().Stats().PacketsOut)
}

// TestPortGrows: the queue keeps its order through growth and wrapping round.
func TestPortGrows(t *testing.T) {
	port := NewPort(0)
	n := NewNIC(Config{Link: port, RingSize: 2048})
	next, want := 0, 0
	send := func(k int) {
		for range k {
			p := out(n, 20, 0)
			p.Head[1], p.Head[2] = byte(next), byte(next>>8)
			require.Equal(t, TxOK, n.Transmit(0, p))
			next++
		}
		require.True(t, n.Ring(0))
		drain(n, 0, nil)
	}
	take := func(k int) {
		for range k {
			raw, ok := port.Next()
			require.True(t, ok)
			require.Equal(t, want, int(raw[1])|int(raw[2])<<8)
			want++
		}
	}
	send(6)
	take(5)
	send(7)
	send(1)
	take(6)
	send(DefaultPortSize - 3)
	require.Equal(t, DefaultPortSize, port.Len())
	send(1)
	require.Equal(t, Drops{DropWireFull: 1}, n.Drops())
	take(DefaultPortSize)
}

func TestPortFunc(t *testing.T) {
	type packet struct {
		at  time.Duration
		len int
		tag byte
	}
	var got []packet
	n := NewNIC(Config{Pool: &Pool{Audit: true}, Link: NewPortFunc(func(now time.Duration, raw []byte) {
		got = append(got, packet{now, len(raw), raw[0]})
	})})
	for i := range byte(3) {
		require.Equal(t, TxOK, n.Transmit(1, out(n, 1000*int(i)+20, i)))
	}
	require.True(t, n.Ring(0))
	n.Poll(0, 5, 10, nil)
	require.True(t, n.Rest(0))
	require.Equal(t, []packet{{5, 20, 0}, {5, 1020, 1}, {5, 2020, 2}}, got)
	require.Zero(t, n.Pool().Stats().BufsOut)
}

// TestWireAllocs: in the long run neither the wire nor the port allocates.
func TestWireAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool forgets at random")
	}
	port := NewPort(0)
	n := NewNIC(Config{Link: port})
	var buf []byte
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for range 10 {
			n.Transmit(0, out(n, 1000, 1))
		}
		n.Ring(0)
		drain(n, 0, nil)
		for range 10 {
			buf, _ = port.AppendNext(buf[:0])
		}
	}))
	require.Len(t, buf, 1000)

	var b *NIC
	b = NewNIC(Config{Interrupt: func(q int) { drain(b, q, (*Packet).Release) }})
	NewWire(n, b)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for range 10 {
			n.Transmit(0, out(n, 1000, 1))
		}
		n.Ring(0)
		drain(n, 0, nil)
	}))
	require.NotZero(t, b.Counters().RX.Packets)
}

// TestLate: packets that a link delivers outside of a poll come by the RX ring, from any number of goroutines, while
// the holder of the baton polls.
func TestLate(t *testing.T) {
	const senders, each = 4, 500
	n := NewNIC(Config{Queues: 2, RingSize: senders * each})
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				p := n.Pool().NewPacket()
				p.SetHead(20)
				Loopback{}.Send(n, Late(1), 0, []*Packet{p})
				n.Kick(1)
			}
		})
	}
	got := 0
	for got < senders*each {
		if n.Ring(1) {
			got += drain(n, 1, (*Packet).Release)
		}
		runtime.Gosched()
	}
	wg.Wait()
	require.True(t, n.Ring(0))
	require.Zero(t, drain(n, 0, (*Packet).Release), "they are queue 1's")
	require.Equal(t, 1, Late(Late(1)))
}
