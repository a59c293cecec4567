package socket_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// TestTimestampsDoNotGoBack: one who handles packets has looked at the clock before, another writes meanwhile; what
// the connection sends afterwards carries no older timestamp, or the peer's PAWS would drop it.
func TestTimestampsDoNotGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.New(socket.Config{})
		l, err := s.Listen("tcp", "127.0.0.1:631")
		require.NoError(t, err)
		a, err := s.Dial("tcp", "127.0.0.1:631")
		require.NoError(t, err)
		b, err := l.Accept()
		require.NoError(t, err)

		const head = 20 // of IPv4
		latest := map[uint16]uint32{}
		slow := true
		remove := s.NIC().AddTap(func(dir device.Direction, _ time.Duration, n *device.NIC, p *device.Packet) {
			var seg tcp.Segment
			raw := n.AppendWire(nil, p)
			_, why := tcp.ParseHeader(raw[head:], &seg)
			require.Equal(t, tcp.ReasonOK, why)
			if dir == device.DirTX {
				require.False(t, int32(seg.Opts.TSVal-latest[seg.SrcPort]) < 0 && latest[seg.SrcPort] != 0,
					"port %d sends timestamp %d after %d", seg.SrcPort, seg.Opts.TSVal, latest[seg.SrcPort])
				latest[seg.SrcPort] = seg.Opts.TSVal
				return
			}
			if slow && len(raw) > head+seg.HeaderLen() { // the first data on its way to b
				slow = false
				time.Sleep(10 * time.Millisecond)
				_, err := b.Write([]byte("written while the packet is being handled"))
				require.NoError(t, err)
			}
		})
		defer remove()
		_, err = a.Write([]byte("hello"))
		require.NoError(t, err)
		buf := make([]byte, 100)
		_, err = b.Read(buf)
		require.NoError(t, err)
		_, err = a.Read(buf)
		require.NoError(t, err)
		require.False(t, slow)
		require.Len(t, latest, 2)
		for _, c := range []interface{ Close() error }{a, b, l} {
			require.NoError(t, c.Close())
		}
		time.Sleep(2 * time.Minute) // TIME-WAIT
	})
}
