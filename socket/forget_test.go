package socket_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/socket"
)

// Forget drops the sockets of one address, of every kind, and sends nothing; those of others are as they were.
func TestForget(t *testing.T) {
	s := socket.New(socket.Config{Seed: 1})
	defer s.Close()
	dead := netip.MustParseAddr("127.0.0.2")
	listen := func(address string) net.Listener {
		l, err := s.Listen("tcp", address)
		require.NoError(t, err)
		return l
	}
	l, other := listen("127.0.0.2:80"), listen("127.0.0.3:80")
	lazy := listen("127.0.0.2:81")
	waiting, err := s.Dial("tcp", "127.0.0.2:81") // nobody accepts it
	require.NoError(t, err)
	c, err := s.Dial("tcp", "127.0.0.3:80")
	require.NoError(t, err)
	defer c.Close()
	u, err := s.ListenPacket("udp", "127.0.0.2:53")
	require.NoError(t, err)
	raw, err := s.ListenPacket("ip4:icmp", "127.0.0.2")
	require.NoError(t, err)
	inTimeWait(t, s, l)

	done := make(chan error, 3)
	go func() { _, err := l.Accept(); done <- err }()
	go func() { _, _, err := u.ReadFrom(make([]byte, 9)); done <- err }()
	go func() { _, _, err := raw.ReadFrom(make([]byte, 9)); done <- err }()

	sent := 0
	s.NIC().AddTap(func(dir device.Direction, _ time.Duration, _ *device.NIC, _ *device.Packet) { sent++ })
	n := s.Forget(func(a netip.Addr) bool { return a == dead })
	require.Equal(t, 6, n, "two listeners, connection, TIME-WAIT, UDP and raw socket")
	for range 3 {
		require.ErrorIs(t, <-done, net.ErrClosed)
	}
	require.Zero(t, sent, "packets")
	require.ErrorIs(t, lazy.Close(), net.ErrClosed)
	for _, k := range s.Sockets() {
		require.NotEqual(t, dead, k.Local.Addr(), "%+v", k)
	}
	require.NoError(t, listen("127.0.0.2:80").Close(), "the port is free")
	require.Zero(t, s.Forget(func(a netip.Addr) bool { return a == dead }))

	_, err = waiting.Write([]byte("x"))
	require.NoError(t, err)
	_, err = waiting.Read(make([]byte, 1))
	require.ErrorContains(t, err, "connection reset by peer")
	_, err = c.Write([]byte("x"))
	require.NoError(t, err)
	a, err := other.Accept()
	require.NoError(t, err)
	_, err = a.Read(make([]byte, 1))
	require.NoError(t, err)
}

// inTimeWait leaves a connection of l's address in TIME-WAIT.
func inTimeWait(t *testing.T, s *socket.Stack, l net.Listener) {
	t.Helper()
	c, err := s.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	a, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.NoError(t, c.Close())
}

// TestGoneHaveNoTimers: nothing is due for connections that are gone, forgotten or reset.
func TestGoneHaveNoTimers(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(s *socket.Stack, c *socket.TCPConn) error
	}{
		{"forgotten", func(s *socket.Stack, _ *socket.TCPConn) error {
			s.Forget(func(netip.Addr) bool { return true })
			return nil
		}},
		{"reset", func(_ *socket.Stack, c *socket.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := socket.New(socket.Config{Seed: 1})
			defer s.Close()
			l, err := s.Listen("tcp", "127.0.0.2:80")
			require.NoError(t, err)
			c, err := s.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
			require.NoError(t, err)
			_, err = l.Accept()
			require.NoError(t, err)
			_, ok := s.NextTimer()
			require.True(t, ok, "keep-alive")
			require.NoError(t, tt.end(s, c))
			next, ok := s.NextTimer()
			require.False(t, ok, "%+v", next)
		})
	}
}
