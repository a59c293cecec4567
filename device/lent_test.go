package device

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// keeper is a link that keeps what it is given.
type keeper struct{ kept []*Packet }

func (k *keeper) Send(n *NIC, q int, now time.Duration, ps []*Packet) { k.kept = append(k.kept, ps...) }

// lentPacket is a packet of 40 bytes and text, which is lent.
func lentPacket(n *NIC, text []byte) *Packet {
	p := packetOf(n.Pool(), 40, 'x', 0)
	p.Frags[0].B, p.Flags = text, FlagLent
	return p
}

// TestLent: who receives a packet in the poll that moves it sees what was lent itself, whatever lies between; and Lent
// says when it has been seen, or never will be.
func TestLent(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(n *NIC)
		before  func(n *NIC) // the poll
		want    int          // how many arrive
	}{
		{"plain", func(n *NIC) {}, func(n *NIC) {}, 3},
		{"tapped", func(n *NIC) { n.AddTap(func(Direction, time.Duration, *NIC, *Packet) {}) }, func(n *NIC) {}, 3},
		{"tapped while on the ring", func(n *NIC) {}, func(n *NIC) { n.AddTap(func(Direction, time.Duration, *NIC, *Packet) {}) }, 3},
		{"filtered", func(n *NIC) { n.SetFilter(func([]byte) int { return 0 }) }, func(n *NIC) {}, 0},
		{"down behind a tap", func(n *NIC) {
			n.AddTap(func(Direction, time.Duration, *NIC, *Packet) { n.SetUp(false) })
		}, func(n *NIC) {}, 0},
		{"down", func(n *NIC) {}, func(n *NIC) { n.SetUp(false) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := NewNIC(Config{Pool: &Pool{Audit: true}})
			tt.prepare(n)
			require.True(t, n.Ring(0))
			require.False(t, n.Lent(0))
			text := []byte("lent text")
			for range 3 {
				require.Equal(t, TxOK, n.Transmit(0, lentPacket(n, text)))
			}
			require.True(t, n.Lent(0))
			require.True(t, n.Busy(0))
			tt.before(n)
			arrived := 0
			for budget := 2; n.Busy(0); budget = 0 {
				before := arrived
				n.Poll(0, 0, budget, func(p *Packet) {
					arrived++
					require.Same(t, &text[0], &p.Frags[0].B[0])
					p.Release()
				})
				require.Equal(t, n.Busy(0), n.Lent(0), "%d arrived, %d before", arrived, before)
			}
			require.True(t, n.Rest(0))
			require.Equal(t, tt.want, arrived)
			require.Zero(t, n.Pool().Stats().PacketsOut)
			require.Zero(t, n.Pool().Stats().BufsAllocated, "nothing was copied")
		})
	}
}

// TestLentIsNotKept: a link, which may keep packets, gets a copy.
func TestLentIsNotKept(t *testing.T) {
	link := new(keeper)
	n := NewNIC(Config{Link: link, Pool: &Pool{Audit: true}})
	require.True(t, n.Ring(0))
	text := []byte("lent text")
	require.Equal(t, TxOK, n.Transmit(0, lentPacket(n, text)))
	n.Poll(0, 0, 0, func(p *Packet) { t.Error("nothing comes back") })
	require.False(t, n.Lent(0))
	require.True(t, n.Rest(0))
	clear(text)
	require.Len(t, link.kept, 1)
	p := link.kept[0]
	require.Equal(t, "lent text", string(p.Frags[0].B))
	require.Zero(t, p.Flags&FlagLent)
	p.Release()
	require.Zero(t, n.Pool().Stats().BufsOut)
}

// TestLentRefused: a packet that the ring did not take was not lent.
func TestLentRefused(t *testing.T) {
	n := NewNIC(Config{RingSize: 2})
	require.True(t, n.Ring(0))
	for range 2 {
		require.Equal(t, TxOK, n.Transmit(0, packetOf(n.Pool(), 40, 'x', 0)))
	}
	p := lentPacket(n, []byte("lent text"))
	require.Equal(t, TxFull, n.Transmit(0, p))
	require.False(t, n.Lent(0))
	p.Own(n.Pool())
	require.NotNil(t, p.Frags[0].Owner)
	p.Release()
}
