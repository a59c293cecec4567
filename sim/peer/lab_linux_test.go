package peer

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/socket"
)

// A host is a computer at an end of a wire: a kernel or a Stack. Its errors are those of package net.
type host interface {
	String() string
	dial(network string, local, remote netip.AddrPort, timeout time.Duration) (net.Conn, error)
	listen(network string, local netip.AddrPort) (net.Listener, error)
	listenPacket(network, local string) (net.PacketConn, error)
	states(local netip.AddrPort) []string // of the connections with this local port, listeners left out
}

// tcpConn is what *net.TCPConn and *socket.TCPConn have in common.
type tcpConn interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
	SetLinger(sec int) error
	SetReadBuffer(bytes int) error
}

// A stack is a Stack as a host and as an end of a wire.
type stack struct {
	t testing.TB
	*socket.Stack
	out  func(raw []byte)
	made time.Time
}

// newStack makes a Stack with the given addresses on an open wire. wrap, if not nil, makes its link of that wire.
func newStack(t testing.TB, cfg socket.Config, wrap func(device.Link) device.Link, addrs ...netip.Prefix) *stack {
	t.Helper()
	s := &stack{t: t, made: time.Now()}
	cfg.Link = device.NewPortFunc(func(_ time.Duration, raw []byte) { s.out(raw) })
	if wrap != nil {
		cfg.Link = wrap(cfg.Link)
	}
	s.Stack = socket.New(cfg)
	for _, a := range addrs {
		require.NoError(t, s.NIC().AddAddr(a))
	}
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.Eventually(t, func() bool { return s.Conservation().Holds() }, time.Minute, time.Millisecond,
			"%+v", s.Conservation())
	})
	return s
}

func (s *stack) plug(out func(raw []byte)) { s.out = out }

func (s *stack) start() {}

func (s *stack) deliver(raw []byte) {
	// A full ring is a loss like others, counted by the NIC.
	_ = s.NIC().Inject(time.Since(s.made), raw)
}

func (s *stack) String() string { return "stack" }

func (s *stack) dial(network string, local, remote netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	d := socket.Dialer{Stack: s.Stack, Timeout: timeout, KeepAlive: -1, LocalAddr: netAddr(network, local)}
	return d.Dial(network, remote.String())
}

func (s *stack) listen(network string, local netip.AddrPort) (net.Listener, error) {
	cfg := socket.ListenConfig{Stack: s.Stack, KeepAlive: -1}
	return cfg.Listen(context.Background(), network, local.String())
}

func (s *stack) listenPacket(network, local string) (net.PacketConn, error) {
	return s.ListenPacket(network, local)
}

func (s *stack) states(local netip.AddrPort) (states []string) {
	for _, i := range s.Sockets() {
		if i.Proto == "tcp" && i.Local.Port() == local.Port() && i.State != "LISTEN" {
			states = append(states, i.State)
		}
	}
	return states
}

// A lab is two hosts and the wire between them.
type lab struct {
	t    testing.TB
	a, b host
	wire *wire

	turns uint16 // simultaneous opens so far
}

// Addresses of a lab, of the ranges for documentation, by family.
var (
	addrA = map[int]netip.Addr{4: netip.MustParseAddr("192.0.2.1"), 6: netip.MustParseAddr("2001:db8::1")}
	addrB = map[int]netip.Addr{4: netip.MustParseAddr("192.0.2.2"), 6: netip.MustParseAddr("2001:db8::2")}
)

// prefixes are a host's addresses with the lengths of their networks.
func prefixes(addrs map[int]netip.Addr) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(addrs[4], 24), netip.PrefixFrom(addrs[6], 64)}
}

// families is what most tests are run for.
var families = []int{4, 6}

// newLab makes a lab of the kinds "kernel" and "stack", at the MTU of Ethernet.
func newLab(t testing.TB, kindA, kindB string) *lab {
	t.Helper()
	l := &lab{t: t}
	var ends [2]end
	l.a, ends[0] = newHost(t, kindA, addrA)
	l.b, ends[1] = newHost(t, kindB, addrB)
	l.wire = join(t, ends[0], ends[1])
	return l
}

func newHost(t testing.TB, kind string, addrs map[int]netip.Addr) (host, end) {
	t.Helper()
	if kind == "stack" {
		s := newStack(t, socket.Config{MTU: mtu}, nil, prefixes(addrs)...)
		return s, s
	}
	k := newKernel(t)
	return k, k.tun("tun0", mtu, prefixes(addrs)...)
}

const mtu = 1500

// pairs are the labs in which a Stack takes either part.
var pairs = [][2]string{{"stack", "kernel"}, {"kernel", "stack"}}

// eachPair runs a test with the Stack as a and as b, for both families.
func eachPair(t *testing.T, test func(t *testing.T, l *lab, family int)) {
	for _, p := range pairs {
		t.Run(p[0]+"-"+p[1], func(t *testing.T) {
			t.Parallel()
			l := newLab(t, p[0], p[1])
			for _, family := range families {
				t.Run(familyName(family), func(t *testing.T) {
					l.wire.forget()
					test(t, l, family)
				})
			}
		})
	}
}

func familyName(family int) string { return map[int]string{4: "IPv4", 6: "IPv6"}[family] }

// connect makes a TCP connection from a to a listener of b. Both listener and connections are closed at the end.
func (l *lab) connect(t *testing.T, family int) (a, b tcpConn) {
	t.Helper()
	listener, err := l.b.listen("tcp", netip.AddrPortFrom(addrB[family], 0))
	require.NoError(t, err)
	defer listener.Close()
	a = l.dial(t, family, listener)
	c, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return a, c.(tcpConn)
}

// dial connects from a to a listener of b.
func (l *lab) dial(t *testing.T, family int, to net.Listener) tcpConn {
	t.Helper()
	port := to.Addr().(*net.TCPAddr).Port
	c, err := l.a.dial("tcp", netip.AddrPort{}, netip.AddrPortFrom(addrB[family], uint16(port)), patience)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c.(tcpConn)
}

// patience bounds every wait. It is long, for busy machines: no test waits for it to pass.
const patience = time.Minute
