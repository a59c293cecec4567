package device

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPass: who has the baton takes off the ring what he has just put there, if that is all and nobody is to see it on its way;
// what stands for several packets is counted as those.
func TestPass(t *testing.T) {
	text := make([]byte, 300)
	for _, tt := range []struct {
		name    string
		cfg     Config
		prepare func(n *NIC)
		quiet   bool
		between func(n *NIC) // Quiet and Pass
		pass    bool
	}{
		{name: "ordinary", quiet: true, pass: true},
		{name: "somebody else's is there", prepare: func(n *NIC) { n.Transmit(0, lentPacket(n, text)) }},
		{name: "somebody else's comes", quiet: true, between: func(n *NIC) { n.Transmit(0, lentPacket(n, text)) }},
		{name: "something has come in", prepare: func(n *NIC) { n.Receive(0, packetOf(n.Pool(), 40, 'x', 0)) }},
		{name: "tapped", prepare: func(n *NIC) { n.AddTap(func(Direction, time.Duration, *NIC, *Packet) {}) }},
		{name: "tapped meanwhile", quiet: true, between: func(n *NIC) { n.AddTap(func(Direction, time.Duration, *NIC, *Packet) {}) }},
		{name: "filtered meanwhile", quiet: true, between: func(n *NIC) { n.SetFilter(func([]byte) int { return 1 }) }},
		{name: "down", prepare: func(n *NIC) { n.SetUp(false) }},
		{name: "another link", cfg: Config{Link: new(keeper)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Pool = &Pool{Audit: true}
			n := NewNIC(tt.cfg)
			require.Nil(t, n.Pass(0), "never used")
			require.True(t, n.Ring(0))
			n.Transmit(0, lentPacket(n, text))
			n.Poll(0, 0, 0, (*Packet).Release)
			if tt.prepare != nil {
				tt.prepare(n)
			}
			require.Equal(t, tt.quiet, n.Quiet(0))
			before := n.Counters()
			p := lentPacket(n, text)
			p.Segs = 3
			if res := n.Transmit(0, p); res != TxOK {
				require.Equal(t, TxDown, res)
				return
			}
			if tt.between != nil {
				tt.between(n)
			}
			own := n.Pass(0)
			require.Equal(t, tt.pass, own != nil)
			if own == nil {
				require.Equal(t, before, n.Counters())
				require.True(t, n.Busy(0))
				return
			}
			require.Same(t, p, own)
			require.False(t, n.Lent(0))
			require.False(t, n.Busy(0))
			c := n.Counters()
			require.EqualValues(t, 3, c.TX.Packets-before.TX.Packets)
			require.EqualValues(t, 3*40+300, c.TX.Bytes-before.TX.Bytes)
			require.EqualValues(t, 3, c.RX.Packets-before.RX.Packets)
			require.EqualValues(t, 3*40+300, c.RX.Bytes-before.RX.Bytes)
			own.Release()
			require.Zero(t, n.Pool().NewPacket().Segs)
		})
	}
}

// TestExchange: it is Transmit and Pass, whether it goes the short way or not.
func TestExchange(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     Config
		prepare func(n *NIC, p *Packet)
		res     TxResult
		back    bool
	}{
		{name: "ordinary", back: true},
		{name: "somebody else's is there", prepare: func(n *NIC, _ *Packet) { n.Transmit(0, packetOf(n.Pool(), 40, 'y', 0)) }},
		{name: "something has come in", prepare: func(n *NIC, _ *Packet) { n.Receive(0, packetOf(n.Pool(), 40, 'y', 0)) }},
		{name: "lent", prepare: func(_ *NIC, p *Packet) { p.Flags |= FlagLent }, back: true},
		{name: "several segments", prepare: func(_ *NIC, p *Packet) { p.Segs = 3 }, back: true},
		{name: "outside", prepare: func(_ *NIC, p *Packet) { p.Flags |= FlagOutside }},
		{name: "tapped", prepare: func(n *NIC, _ *Packet) { n.AddTap(func(Direction, time.Duration, *NIC, *Packet) {}) }},
		{name: "filtered", prepare: func(n *NIC, _ *Packet) { n.SetFilter(func([]byte) int { return 1 }) }},
		{name: "down", prepare: func(n *NIC, _ *Packet) { n.SetUp(false) }, res: TxDown},
		{name: "full", cfg: Config{RingSize: 2}, prepare: func(n *NIC, _ *Packet) {
			for n.TxRoom(0) > 0 {
				n.Transmit(0, packetOf(n.Pool(), 40, 'y', 0))
			}
		}, res: TxFull},
		{name: "another link", cfg: Config{Link: new(keeper)}},
	} {
		for _, used := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, used before %v", tt.name, used), func(t *testing.T) {
				tt.cfg.Pool = &Pool{Audit: true}
				n := NewNIC(tt.cfg)
				require.True(t, n.Ring(0))
				if used {
					n.Transmit(0, packetOf(n.Pool(), 40, 'x', 0))
					n.Poll(0, 0, 0, (*Packet).Release)
				}
				p := n.NewPacket(0, true)
				copy(p.SetHead(60), "exchanged")
				if tt.prepare != nil {
					tt.prepare(n, p)
				}
				busy, before := n.Busy(0), n.Counters()
				back, res := n.Exchange(7, p)
				require.Equal(t, tt.res, res)
				after := n.Counters()
				if tt.back {
					require.Same(t, p, back)
					require.Equal(t, time.Duration(7), p.At)
					require.False(t, n.Busy(0))
					require.False(t, n.Lent(0))
					segs := max(uint64(p.Segs), 1)
					require.Equal(t, [4]uint64{segs, 60 * segs, segs, 60 * segs}, [4]uint64{
						after.TX.Packets - before.TX.Packets, after.TX.Bytes - before.TX.Bytes,
						after.RX.Packets - before.RX.Packets, after.RX.Bytes - before.RX.Bytes,
					})
					require.Equal(t, "exchanged", string(back.Head[:9]))
					back.Release()
					return
				}
				require.Nil(t, back)
				if res != TxOK {
					require.Equal(t, busy, n.Busy(0))
					p.Release()
				} else {
					require.Equal(t, before.TX, after.TX)
					require.True(t, n.Busy(0))
				}
				got := 0
				n.Poll(0, 8, 0, func(p *Packet) {
					if string(p.Head[:9]) == "exchanged" {
						got++
					}
					p.Release()
				})
				require.Equal(t, res == TxOK && tt.name != "another link" && tt.name != "outside", got == 1)
			})
		}
	}
}

// TestExchangeAmongOthers: nothing is lost, and nothing received twice, when others put packets on the queue meanwhile.
func TestExchangeAmongOthers(t *testing.T) {
	const others, each = 3, 10000
	n := NewNIC(Config{Pool: &Pool{Audit: true}, RingSize: 4096})
	require.True(t, n.Ring(0))
	var sent sync.WaitGroup
	for range others {
		sent.Go(func() {
			for range each {
				p := packetOf(n.Pool(), 40, 'y', 0)
				for n.Transmit(0, p) != TxOK {
					runtime.Gosched()
				}
				n.Ring(0)
			}
		})
	}
	got, mine, passed := 0, 0, 0
	h := func(p *Packet) {
		if got++; p.Head[0] == 'x' {
			mine++
		}
		n.ReleaseHeld(0, p)
	}
	for range each {
		p := n.NewPacket(0, true)
		p.SetHead(40)[0] = 'x'
		switch back, res := n.Exchange(0, p); {
		case back != nil:
			require.Same(t, p, back)
			passed++
			h(back)
		case res == TxOK:
			n.Poll(0, 0, 0, h)
		default:
			require.Equal(t, TxFull, res)
			n.Poll(0, 0, 0, h)
			mine++ // was refused
			got++
			p.Release()
		}
	}
	all := make(chan struct{})
	go func() { sent.Wait(); close(all) }()
	for done := false; !done; {
		select {
		case <-all:
			done = true
		default:
			runtime.Gosched()
		}
		for n.Poll(0, 0, 0, h) > 0 {
		}
	}
	require.Equal(t, (others+1)*each, got)
	require.Equal(t, each, mine)
	require.NotZero(t, passed)
	require.False(t, n.Busy(0))
	require.Zero(t, n.Pool().Stats().PacketsOut)
}
