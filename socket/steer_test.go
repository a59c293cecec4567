package socket_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/socket"
)

// TestSteering: connections take turns on the queues, and both directions of one travel on the same.
func TestSteering(t *testing.T) {
	const queues, conns = 4, 8
	s := socket.New(socket.Config{Queues: queues})
	defer s.Close()
	l, err := s.Listen("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	on := make(map[netip.AddrPort]map[uint8]bool) // by the client's end: the queues its packets were seen on
	remove := s.NIC().AddTap(func(dir device.Direction, _ time.Duration, n *device.NIC, p *device.Packet) {
		h := n.AppendWire(nil, p)
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte(h[12:16])), uint16(h[20])<<8|uint16(h[21]))
		dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte(h[16:20])), uint16(h[22])<<8|uint16(h[23]))
		if src.Port() == 80 {
			src = dst
		}
		if on[src] == nil {
			on[src] = map[uint8]bool{}
		}
		on[src][p.Queue] = true
	})
	for range conns {
		c, err := s.Dial("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		a, err := l.Accept()
		require.NoError(t, err)
		_, err = c.Write([]byte("ping"))
		require.NoError(t, err)
		_, err = io.ReadFull(a, make([]byte, 4))
		require.NoError(t, err)
		_, err = a.Write([]byte("pong"))
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 4))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.NoError(t, a.Close())
	}
	remove()
	require.Len(t, on, conns)
	count := map[uint8]int{}
	for end, seen := range on {
		require.Len(t, seen, 1, "%v travelled on %v", end, seen)
		for q := range seen {
			count[q]++
		}
	}
	for q := range uint8(queues) {
		require.Equal(t, conns/queues, count[q], "connections on queue %d", q)
	}
	require.True(t, s.Conservation().Holds(), "%+v", s.Conservation())
}

// TestAnswersOnOtherQueues: an answer that travels on another queue than the packet it is for does not wait
// there until somebody happens to pass.
func TestAnswersOnOtherQueues(t *testing.T) {
	for _, queues := range []int{1, 2, 7} {
		s := socket.New(socket.Config{Queues: queues})
		defer s.Close()
		for port := range 20 {
			c, err := s.Dial("udp", fmt.Sprintf("127.0.0.1:%d", 1000+port))
			require.NoError(t, err)
			_, err = c.Write([]byte("anybody?"))
			require.NoError(t, err)
			require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
			_, err = c.Read(make([]byte, 10))
			require.ErrorIs(t, err, syscall.ECONNREFUSED, "port unreachable")
			_, err = s.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", 1000+port))
			require.ErrorIs(t, err, syscall.ECONNREFUSED, "reset")
		}
	}
}

// TestWireQueues: connections across a wire between computers with different numbers of queues.
func TestWireQueues(t *testing.T) {
	for _, queues := range [][2]int{{1, 3}, {4, 4}, {5, 2}} {
		a, b := socket.New(socket.Config{Queues: queues[0]}), socket.New(socket.Config{Queues: queues[1]})
		defer a.Close()
		defer b.Close()
		device.NewWire(a.NIC(), b.NIC())
		require.NoError(t, a.NIC().AddAddr(netip.MustParsePrefix("10.0.0.1/24")))
		require.NoError(t, b.NIC().AddAddr(netip.MustParsePrefix("10.0.0.2/24")))
		l, err := b.Listen("tcp", "10.0.0.2:80")
		require.NoError(t, err)
		go echoAll(l)
		for range 10 {
			c, err := a.Dial("tcp", "10.0.0.2:80")
			require.NoError(t, err)
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
			_, err = c.Write([]byte("hello"))
			require.NoError(t, err)
			_, err = io.ReadFull(c, make([]byte, 5))
			require.NoError(t, err)
			require.NoError(t, c.Close())
		}
	}
}

func echoAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}
