package socket_test

import (
	"context"
	"net"
	"testing"
	"time"

	"example.com/loopback/socket"
	"github.com/stretchr/testify/require"
)

// stackAPI is a Stack behind the interface of package net's functions.
type stackAPI struct{ s *socket.Stack }

// newStackAPI makes a Stack for one test.
func newStackAPI(t testing.TB, cfg socket.Config) netAPI {
	t.Helper()
	s := socket.New(cfg)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return stackAPI{s}
}

func (a stackAPI) Dial(network, address string) (net.Conn, error) { return a.s.Dial(network, address) }

func (a stackAPI) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	return a.s.DialTimeout(network, address, timeout)
}

func (a stackAPI) DialContext(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	//lint:ignore SA1019 programs still use Cancel
	cancel := d.Cancel
	ours := socket.Dialer{
		Stack: a.s, Timeout: d.Timeout, Deadline: d.Deadline, LocalAddr: d.LocalAddr, FallbackDelay: d.FallbackDelay,
		KeepAlive: d.KeepAlive, KeepAliveConfig: d.KeepAliveConfig, Cancel: cancel,
	}
	return ours.DialContext(ctx, network, address)
}

func (a stackAPI) Listen(network, address string) (net.Listener, error) {
	return a.s.Listen(network, address)
}

func (a stackAPI) ListenContext(ctx context.Context, network, address string) (net.Listener, error) {
	lc := socket.ListenConfig{Stack: a.s}
	return lc.Listen(ctx, network, address)
}

func (a stackAPI) ListenPacket(network, address string) (net.PacketConn, error) {
	return a.s.ListenPacket(network, address)
}

func (a stackAPI) DialTCP(network string, laddr, raddr *net.TCPAddr) (tcpConn, error) {
	return some[tcpConn](a.s.DialTCP(network, laddr, raddr))
}

func (a stackAPI) ListenTCP(network string, laddr *net.TCPAddr) (tcpListener, error) {
	return some[tcpListener](a.s.ListenTCP(network, laddr))
}

func (a stackAPI) DialUDP(network string, laddr, raddr *net.UDPAddr) (udpConn, error) {
	return some[udpConn](a.s.DialUDP(network, laddr, raddr))
}

func (a stackAPI) ListenUDP(network string, laddr *net.UDPAddr) (udpConn, error) {
	return some[udpConn](a.s.ListenUDP(network, laddr))
}

func (a stackAPI) ZeroConns() (tcpConn, tcpListener, udpConn) {
	return new(socket.TCPConn), new(socket.TCPListener), new(socket.UDPConn)
}

// onBoth runs a test on the kernel and on a fresh Stack.
func onBoth(t *testing.T, test func(t *testing.T, api netAPI)) {
	t.Run("kernel", func(t *testing.T) { test(t, kernel{}) })
	t.Run("stack", func(t *testing.T) { test(t, newStackAPI(t, socket.Config{})) })
}
