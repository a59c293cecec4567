package device

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// twin is a NIC and what its handler got: each packet's tag, and the counters at that time.
type twin struct {
	nic *NIC
	log []string
}

// handler answers every third packet with two more.
func (w *twin) handler(p *Packet) {
	c := w.nic.Counters()
	w.log = append(w.log, fmt.Sprint(p.Head[0], p.Len(), c.RX.Packets, c.RX.Bytes))
	if tag := p.Head[0]; tag%3 == 0 {
		for i := range byte(2) {
			w.transmit(tag+1+i, 30+int(tag), 0)
		}
	}
	w.nic.ReleaseHeld(0, p)
}

func (w *twin) transmit(tag byte, n int, flags PacketFlags) {
	p := packetOf(w.nic.Pool(), n, tag, 0)
	p.Flags = flags
	if w.nic.Transmit(0, p) != TxOK {
		p.Release()
	}
}

// TestPlainIsTheLongWay: on a plain NIC a packet goes a shorter way; nobody can tell it from the long one.
func TestPlainIsTheLongWay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		short, long := twin{nic: NewNIC(Config{RingSize: 64})}, twin{nic: NewNIC(Config{RingSize: 64})}
		long.nic.AddTap(func(Direction, time.Duration, *NIC, *Packet) {})
		require.True(t, short.nic.plain.Load())
		require.False(t, long.nic.plain.Load())
		both := func(f func(w *twin)) { f(&short); f(&long) }
		for tag := range byte(60) {
			what, n, outside := rnd.IntN(12), 20+rnd.IntN(200), PacketFlags(rnd.IntN(5)/4)*FlagOutside
			budget := rnd.IntN(40)
			both(func(w *twin) {
				switch {
				case what < 6:
					w.transmit(tag, n, outside)
				case what < 7:
					for i := range byte(2 * budget) {
						w.transmit(i, n, outside*PacketFlags(i/2%2))
					}
				case what < 8:
					w.nic.Inject(0, []byte{tag, 1, 2, 3})
				case what < 9 && w.nic.Ring(0):
					w.log = append(w.log, fmt.Sprint("poll ", w.nic.Poll(0, 0, budget, w.handler)))
					fallthrough
				case w.nic.Ring(0):
					w.log = append(w.log, fmt.Sprint("drain ", drain(w.nic, 0, w.handler)))
				}
			})
			require.Equal(t, long.log, short.log)
		}
		both(func(w *twin) {
			if w.nic.Ring(0) {
				drain(w.nic, 0, w.handler)
			}
		})
		require.Equal(t, long.log, short.log)
		require.Equal(t, long.nic.Counters(), short.nic.Counters())
		require.Equal(t, long.nic.Drops(), short.nic.Drops())
		require.Equal(t, long.nic.Transmitted(), short.nic.Transmitted())
	}
}

// TestPlain: what comes between TX and RX works from the next packet on, and the short way is open again
// when it is gone.
func TestPlain(t *testing.T) {
	n := NewNIC(Config{})
	var seen []byte
	var remove func()
	wire := NewPortFunc(func(_ time.Duration, raw []byte) { seen = append(seen, raw[0]) })
	for _, c := range []struct {
		name         string
		set, unset   func()
		seen, passed []byte
	}{
		{"tap", func() {
			remove = n.AddTap(func(_ Direction, _ time.Duration, _ *NIC, p *Packet) { seen = append(seen, p.Head[0]) })
		}, func() { remove() }, []byte{2, 2}, []byte{1, 2, 3}},
		{"filter", func() {
			n.SetFilter(func(b []byte) int { seen = append(seen, b[0]); return 0 })
		}, func() { n.SetFilter(nil) }, []byte{2}, []byte{1, 3}},
		{"link", func() { n.SetLink(wire) }, func() { n.SetLink(nil) }, []byte{2}, []byte{1, 3}},
		{"down", func() { n.SetUp(false) }, func() { n.SetUp(true) }, nil, []byte{1, 3}},
		{"nothing", func() { n.SetUp(true) }, func() { n.SetLink(Loopback{}) }, nil, []byte{1, 2, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []byte
			seen = nil
			send := func(tag byte, plain bool) {
				require.Equal(t, plain, n.plain.Load())
				p := packetOf(n.Pool(), 40, tag, 0)
				if c.name == "link" && tag == 2 {
					p.Flags = FlagOutside
				}
				if n.Transmit(0, p) != TxOK {
					p.Release()
				}
				require.True(t, n.Ring(0))
				drain(n, 0, collect(&got))
			}
			send(1, true)
			c.set()
			send(2, c.name == "nothing")
			c.unset()
			send(3, true)
			require.Equal(t, c.seen, seen)
			require.Equal(t, c.passed, got)
		})
	}
}
