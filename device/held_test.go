package device

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTransmitOrder: packets leave in the order in which they were accepted, however often a poll comes between.
func TestTransmitOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	n := NewNIC(Config{RingSize: 16})
	require.True(t, n.Ring(0))
	var want, got []byte
	for tag := range byte(200) {
		p := packetOf(n.Pool(), 40, tag, 0)
		if n.Transmit(0, p) == TxOK {
			want = append(want, tag)
		} else {
			p.Release()
		}
		if rng.IntN(6) == 0 {
			n.Poll(0, 0, rng.IntN(20), collect(&got))
		}
	}
	for !n.Rest(0) {
		n.Poll(0, 0, 0, collect(&got))
	}
	require.Equal(t, want, got)
	require.Equal(t, uint64(len(want)), n.Transmitted())
	require.Equal(t, uint64(200-len(want)), n.Counters().TX.Busy)
}

func TestTransmitRefuses(t *testing.T) {
	n := NewNIC(Config{RingSize: 4})
	require.True(t, n.Ring(0))
	for range 4 {
		require.Equal(t, TxOK, n.Transmit(0, n.NewPacket(0, true)))
	}
	require.False(t, n.Rest(0), "there are packets")
	p := n.NewPacket(0, true)
	require.Equal(t, TxFull, n.Transmit(0, p))
	n.SetUp(false)
	require.Equal(t, TxDown, n.Transmit(0, p))
	n.ReleaseHeld(0, p)
	require.Zero(t, n.Poll(0, 0, 0, func(*Packet) { t.Error("down") }))
	require.True(t, n.Rest(0))
	require.Equal(t, uint64(4), n.Drops()[DropTxDown])
	require.Equal(t, uint64(4), n.Transmitted())
}

// TestHeldPackets: packets of the holder of the baton are as clean as the pool's and are accounted for like them.
func TestHeldPackets(t *testing.T) {
	pool := &Pool{Audit: true}
	n := NewNIC(Config{Pool: pool})
	require.True(t, n.Ring(0))
	p := n.NewPacket(0, true)
	b := pool.Get(100)
	p.SetHead(40)
	p.HeadOwner, p.Frags[1] = pool.Get(1), Piece{b.Bytes(), b}
	p.At, p.Hash, p.Flags, p.Queue, p.Cause, p.CsumStart = 1, 2, 3, 4, 5, 6
	n.ReleaseHeld(0, p)
	require.Zero(t, pool.Stats().PacketsOut)
	require.Zero(t, pool.Stats().BufsOut)

	again := n.NewPacket(0, true)
	require.Same(t, p, again)
	require.Empty(t, again.Head)
	require.Equal(t, MaxHead, cap(again.Head))
	clean := Packet{pool: pool, state: liveBit, inline: again.inline, Head: again.Head}
	require.Equal(t, clean, *again)
	require.Equal(t, int64(1), pool.Stats().PacketsOut)
	again.Retire()
	require.PanicsWithValue(t, "device: Packet released twice", func() { again.Release() })
	for _, stranger := range []*Packet{new(Pool).NewPacket(), new(Packet)} {
		n.ReleaseHeld(0, stranger)
		n.Recycle(0, stranger)
		require.Nil(t, n.queues[0].spare, "strangers are not kept")
	}
	n.Recycle(0, again)
	require.Same(t, again, n.queues[0].spare)
	for range 10 {
		n.ReleaseHeld(0, pool.NewPacket())
	}
	require.Same(t, again, n.queues[0].spare)
	require.Len(t, n.queues[0].rings.Load().spare, 1, "one was missed beside the first")
	var held []*Packet
	for range maxSpare + 10 {
		held = append(held, n.NewPacket(0, true))
	}
	for _, p := range held {
		n.ReleaseHeld(0, p)
	}
	require.Len(t, n.queues[0].rings.Load().spare, maxSpare)
	require.Zero(t, pool.Stats().PacketsOut)
}

// TestHeldAllocs: a packet of the holder's takes no memory and, once there are some, no pool.
func TestHeldAllocs(t *testing.T) {
	n := NewNIC(Config{})
	h := func(p *Packet) { n.ReleaseHeld(0, p) }
	require.Zero(t, testing.AllocsPerRun(100, func() {
		n.Ring(0)
		p := n.NewPacket(0, true)
		p.SetHead(40)
		n.Transmit(0, p)
		n.Poll(0, 0, 0, h)
		n.Rest(0)
	}))
	require.Equal(t, int64(1), n.Pool().Stats().PacketsAllocated)
}

// TestHeldConcurrent: goroutines that ring before they transmit and such that ring afterwards send on one
// queue. Everybody's packets arrive once and in order.
func TestHeldConcurrent(t *testing.T) {
	const senders = 4
	each := stress(20000)
	pool := &Pool{Audit: true}
	n := NewNIC(Config{Pool: pool, RingSize: 64})
	var next [senders]uint32 // belongs to the holder of the baton
	h := func(p *Packet) {
		who, i := p.Hash>>24, p.Hash&0xffffff
		if next[who] != i {
			t.Errorf("sender %d: %d where %d was due", who, i, next[who])
		}
		next[who] = i + 1
		n.ReleaseHeld(0, p)
	}
	poll := func() {
		for done := false; !done; done = n.Rest(0) {
			n.Poll(0, 0, 0, h)
		}
	}
	var wg sync.WaitGroup
	for who := range uint32(senders) {
		wg.Go(func() {
			for i := uint32(0); i < uint32(each); {
				held := who%2 == 0 && n.Ring(0)
				var p *Packet
				if held {
					p = n.NewPacket(0, true)
				} else {
					p = pool.NewPacket()
				}
				p.SetHead(20)
				p.Hash = who<<24 | i
				if n.Transmit(0, p) == TxOK {
					i++
				} else {
					p.Release()
					runtime.Gosched()
				}
				if held || n.Ring(0) {
					poll()
				}
			}
		})
	}
	wg.Wait()
	require.True(t, n.Idle(0))
	require.Equal(t, [senders]uint32{uint32(each), uint32(each), uint32(each), uint32(each)}, next)
	require.Zero(t, pool.Stats().PacketsOut)
	require.Equal(t, uint64(senders*each), n.Transmitted())
	require.Equal(t, uint64(senders*each), n.Counters().RX.Packets)
}
