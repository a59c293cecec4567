package peer

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

// narrow is the MTU of the link behind the router.
const narrow = 1300

// Addresses behind the router, and the router's own.
var (
	farAddr   = map[int]netip.Addr{4: netip.MustParseAddr("198.51.100.2"), 6: netip.MustParseAddr("2001:db8:1::2")}
	farToo    = map[int]netip.Addr{4: netip.MustParseAddr("198.51.100.3"), 6: netip.MustParseAddr("2001:db8:1::3")}
	routerIn  = map[int]netip.Addr{4: netip.MustParseAddr("192.0.2.254"), 6: netip.MustParseAddr("2001:db8::fe")}
	routerOut = map[int]netip.Addr{4: netip.MustParseAddr("198.51.100.254"), 6: netip.MustParseAddr("2001:db8:1::fe")}
)

// newRoutedLab makes a lab whose b, a kernel, is behind a router, another kernel, with a narrow link between the two:
//
//	a ── wire ── router ── MTU 1300 ── b
//
// b believes its link has the MTU of Ethernet, and so lets a send packets that the router has to refuse.
func newRoutedLab(t *testing.T, kindA string) *lab {
	t.Helper()
	l := &lab{t: t}
	router, far := newKernel(t), newKernel(t)
	in := router.tun("tun0", mtu, prefixes(routerIn)...)
	out := router.tun("tun1", narrow, prefixes(routerOut)...)
	farEnd := far.tun("tun0", mtu, append(prefixes(farAddr), prefixes(farToo)...)...)
	far.ip("route add default dev tun0", "route add ::/0 dev tun0")
	join(t, out, farEnd)
	l.b = far
	var aEnd end
	if kindA == "stack" {
		s := newStack(t, socket.Config{MTU: mtu}, nil, prefixes(addrA)...)
		l.a, aEnd = s, s
	} else {
		k := newKernel(t)
		l.a, aEnd = k, k.tun("tun0", mtu, prefixes(addrA)...)
		k.ip("route add default dev tun0", "route add ::/0 dev tun0")
	}
	l.wire = join(t, aEnd, in)
	return l
}

// TestPathMTU sends through a router with a narrow link behind it: the router refuses what is too big, by ICMP, and
// the sender sends smaller packets from then on. The kernel is the sender first, to see that the test is right.
func TestPathMTU(t *testing.T) {
	for _, sender := range []string{"kernel", "stack"} {
		t.Run(sender, func(t *testing.T) {
			t.Parallel()
			l := newRoutedLab(t, sender)
			for _, family := range families {
				t.Run("TCP/"+familyName(family), func(t *testing.T) {
					errors, big := l.sendThrough(t, family)
					require.NotZero(t, errors, "the router refuses what is too big")
					require.LessOrEqual(t, big, 20, "packets of 1500 bytes: no more than the first flight")
				})
				t.Run("TCP again/"+familyName(family), func(t *testing.T) {
					errors, big := l.sendThrough(t, family)
					require.Zero(t, errors+big, "it is known by now")
				})
				t.Run("UDP/"+familyName(family), func(t *testing.T) { l.pathMTUofUDP(t, family) })
			}
		})
	}
}

// refusals counts the ICMP errors about size on the wire, and the packets that a sent and that are too long for the
// narrow link.
func (l *lab) refusals() (errors, big int) {
	for _, s := range l.wire.packets() {
		if text := readable(s.raw); strings.Contains(text, "need to frag (mtu 1300)") || strings.Contains(text, "packet too big, mtu 1300") {
			errors++
		} else if s.from == 0 && len(s.raw) > narrow {
			big++
		}
	}
	return errors, big
}

// sendThrough sends some data by TCP, which arrives, and returns what refusals counts.
func (l *lab) sendThrough(t *testing.T, family int) (errors, big int) {
	t.Helper()
	l.wire.forget()
	listener, err := l.b.listen("tcp", netip.AddrPortFrom(farAddr[family], 0))
	require.NoError(t, err)
	defer listener.Close()
	c, err := l.a.dial("tcp", netip.AddrPort{}, listener.Addr().(*net.TCPAddr).AddrPort(), patience)
	require.NoError(t, err)
	defer c.Close()
	deadline := time.Now().Add(patience)
	require.NoError(t, c.SetDeadline(deadline))
	d, err := listener.Accept()
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, d.SetDeadline(deadline))

	data := pattern(300_000)
	sent := make(chan error, 1)
	began := time.Now()
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.(tcpConn).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(d)
	require.NoError(t, err)
	require.NoError(t, <-sent)
	require.True(t, bytes.Equal(data, got))
	errors, big = l.refusals()
	t.Logf("%d packets were too big; %d errors; %v%s", big, errors, time.Since(began).Round(time.Millisecond), about(c.(tcpConn)))
	return errors, big
}

// pathMTUofUDP sends datagrams that the router refuses: the first is lost, the sender is told by the next call, and
// from then on they are fragmented.
func (l *lab) pathMTUofUDP(t *testing.T, family int) {
	l.wire.forget()
	to, err := l.b.listenPacket("udp", netip.AddrPortFrom(farToo[family], 0).String()) // TCP has learned of the other
	require.NoError(t, err)
	defer to.Close()
	require.NoError(t, to.SetDeadline(time.Now().Add(patience)))
	c, err := l.a.dial("udp", netip.AddrPort{}, to.LocalAddr().(*net.UDPAddr).AddrPort(), patience)
	require.NoError(t, err)
	defer c.Close()
	data := pattern(1400)
	var notes []string
	for range 4 {
		_, err = c.Write(data)
		notes = append(notes, errText(err))
		l.wire.settle()
	}
	buf := make([]byte, 2000)
	n, _, err := to.ReadFrom(buf)
	require.NoError(t, err)
	require.Equal(t, data, buf[:n])
	errors, big := l.refusals()
	require.Equal(t, 1, errors)
	require.Equal(t, 1, big)
	require.Equal(t, []string{"ok", "write: EMSGSIZE", "ok", "ok"}, notes)
}
