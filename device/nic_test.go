package device

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// drain polls queue q until it rests and returns how many packets h saw. The caller has rung.
func drain(n *NIC, q int, h func(*Packet)) int {
	total := 0
	for {
		total += n.Poll(q, 0, 64, h)
		if n.Rest(q) {
			return total
		}
	}
}

func TestLoopbackDeliversInOrder(t *testing.T) {
	pool := &Pool{Audit: true}
	n := NewNIC(Config{Pool: pool})
	for i := range 100 {
		p := pool.NewPacket()
		p.SetHead(20)[0] = byte(i)
		require.Equal(t, TxOK, n.Transmit(0, p))
	}
	require.True(t, n.Ring(0))
	var got []byte
	require.Equal(t, 100, drain(n, 0, func(p *Packet) {
		got = append(got, p.Head[0])
		p.Release()
	}))
	for i := range got {
		require.Equal(t, byte(i), got[i])
	}
	c := n.Counters()
	require.Equal(t, RXCounters{Packets: 100, Bytes: 2000}, c.RX)
	require.Equal(t, TXCounters{Packets: 100, Bytes: 2000}, c.TX)
	require.True(t, n.Idle(0))
	require.Zero(t, pool.Stats().PacketsOut)
}

// sendLocal sends count packets of size bytes over the wire of n and wants all of them back.
func sendLocal(t *testing.T, n *NIC, count, size int) {
	t.Helper()
	for range count {
		p := n.Pool().NewPacket()
		p.SetHead(size)
		require.Equal(t, TxOK, n.Transmit(0, p))
	}
	require.True(t, n.Ring(0))
	require.Equal(t, count, drain(n, 0, (*Packet).Release))
}
