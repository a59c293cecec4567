package socket_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// The tests of this package ask the same questions of the real package net on the real loopback device and of a
// Stack. This file has what both have in common.

// tcpConn is what *net.TCPConn and *socket.TCPConn can do.
type tcpConn interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	CloseRead() error
	CloseWrite() error
	SetLinger(sec int) error
	SetNoDelay(noDelay bool) error
	SetKeepAlive(keepalive bool) error
	SetKeepAlivePeriod(d time.Duration) error
	SetKeepAliveConfig(config net.KeepAliveConfig) error
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}

// tcpListener is what *net.TCPListener and *socket.TCPListener can do; AcceptTCP differs in its result.
type tcpListener interface {
	net.Listener
	SetDeadline(t time.Time) error
	File() (*os.File, error)
}

// udpConn is what *net.UDPConn and *socket.UDPConn can do.
type udpConn interface {
	net.Conn
	net.PacketConn
	ReadFromUDP(b []byte) (n int, addr *net.UDPAddr, err error)
	ReadFromUDPAddrPort(b []byte) (n int, addr netip.AddrPort, err error)
	ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error)
	ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error)
	WriteToUDP(b []byte, addr *net.UDPAddr) (int, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
	WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error)
	WriteMsgUDPAddrPort(b, oob []byte, addr netip.AddrPort) (n, oobn int, err error)
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}

// netAPI is package net's functions, of the kernel or of a Stack. A net.Dialer and a net.ListenConfig serve as
// plain structs of options.
type netAPI interface {
	Dial(network, address string) (net.Conn, error)
	DialTimeout(network, address string, timeout time.Duration) (net.Conn, error)
	DialContext(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error)
	Listen(network, address string) (net.Listener, error)
	ListenContext(ctx context.Context, network, address string) (net.Listener, error)
	ListenPacket(network, address string) (net.PacketConn, error)
	DialTCP(network string, laddr, raddr *net.TCPAddr) (tcpConn, error)
	ListenTCP(network string, laddr *net.TCPAddr) (tcpListener, error)
	DialUDP(network string, laddr, raddr *net.UDPAddr) (udpConn, error)
	ListenUDP(network string, laddr *net.UDPAddr) (udpConn, error)
	// ZeroConns are zero values of the concrete types, which nobody opened.
	ZeroConns() (tcpConn, tcpListener, udpConn)
}

// some keeps the nil pointer of a failed call from becoming an interface that is not nil.
func some[I any, P interface {
	*C
}, C any](c P, err error) (I, error) {
	var none I
	if c == nil {
		return none, err
	}
	return any(c).(I), err
}

// kernel is the real package net.
type kernel struct{}

func (kernel) Dial(network, address string) (net.Conn, error) { return net.Dial(network, address) }

func (kernel) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout(network, address, timeout)
}

func (kernel) DialContext(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	return d.DialContext(ctx, network, address)
}

func (kernel) Listen(network, address string) (net.Listener, error) {
	return net.Listen(network, address)
}

func (kernel) ListenContext(ctx context.Context, network, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, network, address)
}

func (kernel) ListenPacket(network, address string) (net.PacketConn, error) {
	return net.ListenPacket(network, address)
}

func (kernel) DialTCP(network string, laddr, raddr *net.TCPAddr) (tcpConn, error) {
	return some[tcpConn](net.DialTCP(network, laddr, raddr))
}

func (kernel) ListenTCP(network string, laddr *net.TCPAddr) (tcpListener, error) {
	return some[tcpListener](net.ListenTCP(network, laddr))
}

func (kernel) DialUDP(network string, laddr, raddr *net.UDPAddr) (udpConn, error) {
	return some[udpConn](net.DialUDP(network, laddr, raddr))
}

func (kernel) ListenUDP(network string, laddr *net.UDPAddr) (udpConn, error) {
	return some[udpConn](net.ListenUDP(network, laddr))
}

func (kernel) ZeroConns() (tcpConn, tcpListener, udpConn) {
	return new(net.TCPConn), new(net.TCPListener), new(net.UDPConn)
}

// patience is how long a test waits for what ought to happen at once.
const patience = time.Minute

// endless is a reader without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// past is a deadline that has passed.
func past() time.Time { return time.Unix(1, 0) }
