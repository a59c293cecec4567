package device

import (
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
