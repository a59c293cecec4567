//go:build linux

package socket_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestDatagramsLikeTheKernel has what can happen to a UDP socket.
func TestDatagramsLikeTheKernel(t *testing.T) {
	compareWithKernel(t, datagramSituations)
	compareWithKernel(t, udpCloseSituations)
}

// readFrom reads one datagram and writes down what came, from whom.
func (s *scene) readFrom(c net.PacketConn, size int) {
	b := make([]byte, size)
	n, from, err := c.ReadFrom(b)
	s.tell("ReadFrom(%d): n=%d %q from %v %s", size, n, b[:max(n, 0)], from, describe(err))
}

// readMsg is readFrom with flags.
func (s *scene) readMsg(c udpConn, size int) {
	b := make([]byte, size)
	n, oobn, flags, from, err := c.ReadMsgUDP(b, nil)
	if err != nil {
		// We differ: package net returns -1 and 0.0.0.0:0 here, ours 0 and nil as its other methods do.
		n, from = 0, nil
	}
	s.tell("ReadMsgUDP(%d): n=%d oobn=%d flags=%#x %q from %v %s", size, n, oobn, flags, b[:max(n, 0)], from, describe(err))
}

func (s *scene) writeTo(c net.PacketConn, text string, to net.Addr) {
	n, err := c.WriteTo([]byte(text), to)
	s.tell("WriteTo(%q, %v): n=%d %s", text, to, n, describe(err))
}

func addrPortOf(a net.Addr) netip.AddrPort { return a.(*net.UDPAddr).AddrPort() }

var datagramSituations = []situation{
	{name: "to both families", play: func(s *scene) {
		a := s.bound()
		s.writeTo(a, "four", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
		s.writeTo(a, "six", &net.UDPAddr{IP: net.IPv6loopback, Port: 9})
	}},
	{name: "there and back", play: func(s *scene) {
		a, b := s.bound(), s.bound()
		s.writeTo(a, "hello", b.LocalAddr())
		s.readFrom(b, 100)
		c := s.connected(b.LocalAddr())
		s.write(c, "connected")
		s.readFrom(b, 100)
		s.writeTo(b, "answer", c.LocalAddr())
		s.read(c, 100)
		s.tell("%v -> %v; %v -> %v", c.LocalAddr(), c.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
	}},
	{name: "every way to read and write", play: func(s *scene) {
		a, b := s.bound(), s.bound()
		to := b.LocalAddr().(*net.UDPAddr)
		n, err := a.WriteToUDP([]byte("1"), to)
		s.result("WriteToUDP", n, err)
		n, err = a.WriteToUDPAddrPort([]byte("2"), to.AddrPort())
		s.result("WriteToUDPAddrPort", n, err)
		n, _, err = a.WriteMsgUDP([]byte("3"), nil, to)
		s.result("WriteMsgUDP", n, err)
		n, _, err = a.WriteMsgUDPAddrPort([]byte("4"), nil, to.AddrPort())
		s.result("WriteMsgUDPAddrPort", n, err)
		buf := make([]byte, 10)
		n, from, err := b.ReadFromUDP(buf)
		s.tell("%d %v %v %#v", n, from, err, len(from.IP))
		n, ap, err := b.ReadFromUDPAddrPort(buf)
		s.tell("%d %v %v", n, ap, err)
		n, oobn, flags, from, err := b.ReadMsgUDP(buf, make([]byte, 100))
		s.tell("%d %d %d %v %v %#v", n, oobn, flags, from, err, len(from.IP))
		n, oobn, flags, ap, err = b.ReadMsgUDPAddrPort(buf, nil)
		s.tell("%d %d %d %v %v", n, oobn, flags, ap, err)
	}},
	{name: "size", play: func(s *scene) {
		a, b := s.bound(), s.bound()
		_ = b.SetReadBuffer(1 << 20)
		for _, size := range []int{0, 1, 16408, 16409, 65507, 65508, 65527, 65528, 65535, 65536, 100000} {
			n, err := a.WriteTo(make([]byte, size), b.LocalAddr())
			s.result(fmt.Sprint("WriteTo ", size), n, err)
			if err == nil {
				n, _, err := b.ReadFrom(make([]byte, 1<<17))
				s.result("ReadFrom", n, err)
			}
		}
		c := s.connected(b.LocalAddr())
		for _, size := range []int{65507, 65508, 65527, 65528} {
			n, err := c.Write(make([]byte, size))
			s.result(fmt.Sprint("Write ", size), n, err)
		}
	}},
	{name: "truncated", play: func(s *scene) {
		a, b := s.bound(), s.bound()
		for range 5 {
			s.writeTo(a, "0123456789", b.LocalAddr())
		}
		s.read(b, 4)
		s.readFrom(b, 4)
		s.readMsg(b, 4)
		s.readMsg(b, 10)
		s.readFrom(b, 0)
		s.writeTo(a, "next", b.LocalAddr())
		s.readMsg(b, 0)
	}},
	{name: "empty datagrams", play: func(s *scene) {
		a, b := s.bound(), s.bound()
		s.writeTo(a, "", b.LocalAddr())
		s.readFrom(b, 10)
		c := s.connected(b.LocalAddr())
		s.write(c, "")
		s.readFrom(b, 10)
		s.writeTo(b, "", c.LocalAddr())
		s.read(c, 10)
		s.writeTo(b, "after", c.LocalAddr())
		s.read(c, 0)
		s.read(c, 10)
	}},
	{name: "connected to a closed port", play: func(s *scene) {
		c := s.connected(s.closedUDP())
		s.write(c, "1")
		s.read(c, 10)
		s.write(c, "2")
		s.write(c, "3")
		s.write(c, "4")
		s.readFrom(c, 10)
		s.write(c, "5")
		s.readMsg(c, 10)
		s.write(c, "6")
		_, from, err := c.ReadFromUDPAddrPort(make([]byte, 10))
		s.tell("ReadFromUDPAddrPort: %v %s", from, describe(err))
	}},
	{name: "refused while a read waits", play: func(s *scene) {
		c := s.connected(s.closedUDP())
		join := s.aside(func(s *scene) { s.read(c, 10) })
		join2 := s.aside(func(s *scene) { _, _ = c.Write([]byte("x")) })
		join()
		join2()
	}},
	{name: "unconnected to a closed port", play: func(s *scene) {
		a := s.bound()
		for range 3 {
			s.writeTo(a, "x", s.closedUDP())
		}
		_ = a.SetReadDeadline(time.Now().Add(time.Millisecond))
		s.readFrom(a, 10)
	}},
	{name: "with and without a peer", play: func(s *scene) {
		a, b := s.bound(), s.bound()
		c := s.connected(b.LocalAddr())
		s.write(a, "no peer")
		s.writeTo(c, "x", b.LocalAddr())
		s.writeTo(a, "x", nil)
		s.writeTo(c, "x", nil)
		s.writeTo(a, "x", (*net.UDPAddr)(nil))
		s.writeTo(c, "x", (*net.UDPAddr)(nil))
		s.writeTo(a, "x", &net.TCPAddr{IP: s.ip(), Port: 5})
		s.writeTo(a, "x", &net.UDPAddr{IP: s.ip()})
		for _, u := range []udpConn{a, c} {
			n, err := u.WriteToUDP([]byte("x"), nil)
			s.result("WriteToUDP nil", n, err)
			n, err = u.WriteToUDPAddrPort([]byte("x"), netip.AddrPort{})
			s.result("WriteToUDPAddrPort zero", n, err)
			n, err = u.WriteToUDPAddrPort([]byte("x"), addrPortOf(b.LocalAddr()))
			s.result("WriteToUDPAddrPort", n, err)
			n, _, err = u.WriteMsgUDP([]byte("x"), nil, nil)
			s.result("WriteMsgUDP nil", n, err)
			n, _, err = u.WriteMsgUDP([]byte("x"), nil, b.LocalAddr().(*net.UDPAddr))
			s.result("WriteMsgUDP", n, err)
			n, _, err = u.WriteMsgUDPAddrPort([]byte("x"), nil, netip.AddrPort{})
			s.result("WriteMsgUDPAddrPort zero", n, err)
			n, _, err = u.WriteMsgUDPAddrPort([]byte("x"), nil, addrPortOf(b.LocalAddr()))
			s.result("WriteMsgUDPAddrPort", n, err)
		}
	}},
	{name: "to the other family", play: func(s *scene) {
		for _, network := range []string{"udp", "udp4", "udp6"} {
			var ip net.IP
			if network == s.of("udp") {
				ip = s.ip()
			}
			a := guarded(s, must(s.ListenUDP(network, &net.UDPAddr{IP: ip})))
			for _, to := range []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4zero, net.IPv6zero, nil, {1, 2, 3}} {
				s.writeTo(a, "x", &net.UDPAddr{IP: to, Port: 9})
			}
			for _, to := range []string{"127.0.0.1:9", "[::ffff:127.0.0.1]:9", "[::1]:9", "0.0.0.0:9", "[::1%lo]:9"} {
				n, err := a.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort(to))
				s.result("WriteToUDPAddrPort", n, err)
			}
		}
	}},
	{name: "source on a wildcard", play: func(s *scene) {
		b := guarded(s, must(s.ListenUDP("udp", nil)))
		c := s.connected(&net.UDPAddr{IP: s.ip(), Port: b.LocalAddr().(*net.UDPAddr).Port})
		s.write(c, "x")
		n, from, err := b.ReadFromUDP(make([]byte, 10))
		s.tell("%d %v %v, IP of %d bytes", n, from, err, len(from.IP))
		s.write(c, "x")
		n, ap, err := b.ReadFromUDPAddrPort(make([]byte, 10))
		s.tell("%d %v %v", n, ap, err)
		s.writeTo(b, "answer", from)
		s.readFrom(c, 10)
	}},
	{name: "a peer keeps strangers out", play: func(s *scene) {
		a, b := s.bound(), s.bound()
		c := s.connected(b.LocalAddr())
		s.writeTo(a, "stranger", c.LocalAddr())
		s.writeTo(b, "friend", c.LocalAddr())
		s.read(c, 10)
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		s.read(c, 10)
	}},
	{name: "what came before the peer was chosen", play: func(s *scene) {
		a := s.bound()
		c := s.connected(a.LocalAddr())
		s.write(c, "1")
		s.write(c, "2")
		s.outcome("Close", c.Close())
		s.readFrom(a, 10)
		s.readFrom(a, 10)
	}},
	{name: "the network in errors", play: func(s *scene) {
		for _, network := range []string{"udp", s.of("udp")} {
			c := must(s.ListenUDP(network, &net.UDPAddr{IP: s.ip()}))
			_ = c.Close()
			s.readFrom(c, 1)
			d := must(s.DialUDP(network, nil, &net.UDPAddr{IP: s.ip(), Port: 9}))
			_ = d.Close()
			s.write(d, "x")
			s.tell("%s %s", c.LocalAddr().Network(), d.RemoteAddr().Network())
		}
	}},
}

var udpCloseSituations = []situation{
	{name: "everything on a closed UDP socket", play: func(s *scene) {
		for _, c := range []udpConn{s.bound(), s.connected(&net.UDPAddr{IP: s.ip(), Port: 9})} {
			s.outcome("Close", c.Close())
			s.outcome("Close again", c.Close())
			s.read(c, 1)
			s.read(c, 0)
			s.readFrom(c, 1)
			s.readMsg(c, 1)
			s.write(c, "x")
			s.writeTo(c, "x", &net.UDPAddr{IP: s.ip(), Port: 9})
			n, err := c.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("127.0.0.1:9"))
			s.result("WriteToUDPAddrPort", n, err)
			n, _, err = c.WriteMsgUDP([]byte("x"), nil, nil)
			s.result("WriteMsgUDP", n, err)
			n, ap, err := c.ReadFromUDPAddrPort(nil)
			s.tell("%v %s", ap, describe(err))
			s.result("ReadFromUDPAddrPort", n, err)
			s.outcome("SetDeadline", c.SetDeadline(past()))
			s.outcome("SetReadDeadline", c.SetReadDeadline(past()))
			s.outcome("SetWriteDeadline", c.SetWriteDeadline(past()))
			s.outcome("SetReadBuffer", c.SetReadBuffer(4096))
			s.outcome("SetWriteBuffer", c.SetWriteBuffer(4096))
		}
	}},
	{name: "UDP closed while a read waits", play: func(s *scene) {
		c := s.bound()
		join := s.aside(func(s *scene) { s.readFrom(c, 10) })
		_ = c.Close()
		join()
	}},
	{name: "UDP deadlines", play: func(s *scene) {
		a, b := s.bound(), s.bound()
		c := s.connected(a.LocalAddr())
		s.outcome("SetDeadline", a.SetDeadline(past()))
		s.readFrom(a, 10)
		s.readMsg(a, 10)
		s.writeTo(a, "x", b.LocalAddr())
		s.write(c, "waiting")
		s.readFrom(a, 10)
		s.read(a, 0)
		_ = a.SetDeadline(time.Now().Add(patience))
		s.readFrom(a, 10)
		_ = a.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		s.readFrom(a, 10)
		s.readFrom(a, 10)
		join := s.aside(func(s *scene) { s.readFrom(b, 10) })
		_ = b.SetReadDeadline(past())
		join()
	}},
	{name: "UDP refusal and a deadline that has passed", play: func(s *scene) {
		c := s.connected(s.closedUDP())
		s.write(c, "x")
		_ = c.SetReadDeadline(past())
		s.read(c, 10)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		s.read(c, 10)
	}},
	{name: "UDP buffers", play: func(s *scene) {
		c := s.bound()
		s.outcome("SetReadBuffer", c.SetReadBuffer(1<<16))
		s.outcome("SetReadBuffer 0", c.SetReadBuffer(0))
		s.outcome("SetWriteBuffer", c.SetWriteBuffer(1<<16))
	}},
}
