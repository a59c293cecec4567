//go:build linux

package socket_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRawLikeTheKernel has raw sockets, with which ping is made. In a namespace nobody else's ICMP gets in between.
func TestRawLikeTheKernel(t *testing.T) {
	compareWithKernel(t, rawSituations)
}

// echoRequest is an echo request of ICMP or ICMPv6, complete with the checksum that ICMP needs.
func (s *scene) echoRequest(text string) []byte {
	m := append([]byte{8, 0, 0, 0, 0x12, 0x34, 0, 1}, text...)
	if s.family == 6 {
		m[0] = 128
		return m // the kernel fills the checksum in
	}
	putChecksum(m[2:], m)
	return m
}

// putChecksum computes the Internet checksum of b (RFC 1071), slowly and plainly.
func putChecksum(at, b []byte) {
	sum := uint32(0)
	for i, x := range b {
		sum += uint32(x) << (8 - i%2*8)
	}
	sum = sum>>16 + sum&0xffff
	sum = ^(sum + sum>>16)
	at[0], at[1] = byte(sum>>8), byte(sum)
}

// icmp is the raw network of the family.
func (s *scene) icmp() string {
	if s.family == 4 {
		return "ip4:icmp"
	}
	return "ip6:ipv6-icmp"
}

// bare is the family's loopback address without brackets.
func (s *scene) bare() string { return s.ip().String() }

// raw is a raw socket bound to loopback.
func (s *scene) raw() net.PacketConn {
	return guarded(s, must(s.ListenPacket(s.icmp(), s.bare())))
}

// readRaw reads a packet and writes down what it is; the checksum of ICMPv6 depends on nothing else.
func (s *scene) readRaw(c net.PacketConn, size int) {
	b := make([]byte, size)
	n, from, err := c.ReadFrom(b)
	s.tell("ReadFrom(%d): n=%d %x from %v %s", size, n, b[:max(n, 0)], from, describe(err))
}

var rawSituations = []situation{
	{name: "ping", isolated: true, play: func(s *scene) {
		c := s.raw()
		s.tell("%v %s", c.LocalAddr(), c.LocalAddr().Network())
		n, err := c.WriteTo(s.echoRequest("hello"), &net.IPAddr{IP: s.ip()})
		s.result("WriteTo", n, err)
		s.readRaw(c, 100) // the request, which is for us too
		s.readRaw(c, 100) // the reply of the computer
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		s.readRaw(c, 100)
	}},
	{name: "ping with a peer", isolated: true, play: func(s *scene) {
		c := guarded(s, must(s.Dial(s.icmp(), s.bare())))
		s.tell("%v -> %v %s", c.LocalAddr(), c.RemoteAddr(), c.RemoteAddr().Network())
		n, err := c.Write(s.echoRequest("to the peer"))
		s.result("Write", n, err)
		s.readRaw(c.(net.PacketConn), 100)
		s.readRaw(c.(net.PacketConn), 100)
		_, err = c.(net.PacketConn).WriteTo([]byte("x"), c.RemoteAddr())
		s.outcome("WriteTo", err)
	}},
	{name: "raw errors", isolated: true, play: func(s *scene) {
		c := s.raw()
		n, err := c.WriteTo([]byte("x"), nil)
		s.result("WriteTo nil", n, err)
		n, err = c.WriteTo([]byte("x"), (*net.IPAddr)(nil))
		s.result("WriteTo nil *net.IPAddr", n, err)
		n, err = c.WriteTo([]byte("x"), &net.UDPAddr{IP: s.ip(), Port: 5})
		s.result("WriteTo a UDP address", n, err)
		n, err = c.WriteTo(make([]byte, 66000), &net.IPAddr{IP: s.ip()})
		s.result("WriteTo, too long", n, err)
		n, err = c.(net.Conn).Write([]byte("x"))
		s.result("Write without a peer", n, err)
		_ = c.SetDeadline(past())
		s.readRaw(c, 10)
		n, err = c.WriteTo([]byte("x"), &net.IPAddr{IP: s.ip()})
		s.result("WriteTo, too late", n, err)
		buffers := c.(interface {
			SetReadBuffer(int) error
			SetWriteBuffer(int) error
		})
		s.outcome("SetReadBuffer", buffers.SetReadBuffer(4096))
		s.outcome("SetWriteBuffer", buffers.SetWriteBuffer(4096))
		s.outcome("Close", c.Close())
		s.outcome("Close again", c.Close())
		s.outcome("SetReadBuffer", buffers.SetReadBuffer(4096))
		s.outcome("SetWriteBuffer", buffers.SetWriteBuffer(4096))
		s.outcome("SetWriteDeadline", c.SetWriteDeadline(past()))
		s.readRaw(c, 10)
		n, err = c.(net.Conn).Read(nil)
		s.result("Read", n, err)
		n, err = c.WriteTo([]byte("x"), &net.IPAddr{IP: s.ip()})
		s.result("WriteTo", n, err)
		s.outcome("SetDeadline", c.SetDeadline(time.Time{}))
	}},
	{name: "raw addresses", isolated: true, play: func(s *scene) {
		far, other := "192.0.2.1", "::1"
		if s.family == 6 {
			far, other = "2001:db8::1", "127.0.0.1"
		}
		for _, address := range []string{far, other, "", "no..such"} {
			_, err := s.Dial(s.icmp(), address)
			s.outcome("Dial "+address, err)
		}
		for _, address := range []string{far, other, "no..such"} {
			_, err := s.ListenPacket(s.icmp(), address)
			s.outcome("ListenPacket "+address, err)
		}
		w := guarded(s, must(s.ListenPacket(s.icmp(), "")))
		s.tell("%v", w.LocalAddr())
		n, err := w.WriteTo(s.echoRequest("x"), &net.IPAddr{IP: net.ParseIP(far)})
		s.result("WriteTo "+far, n, err)
		n, err = w.WriteTo(s.echoRequest("x"), &net.IPAddr{IP: net.ParseIP(other)})
		s.result("WriteTo "+other, n, err)
	}},
	{name: "a raw socket sees what comes, once each", isolated: true, play: func(s *scene) {
		a, b := s.raw(), s.raw()
		_, err := a.WriteTo(s.echoRequest("x"), &net.IPAddr{IP: s.ip()})
		s.outcome("WriteTo", err)
		for _, c := range []net.PacketConn{a, b} {
			s.readRaw(c, 100)
			s.readRaw(c, 100)
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			s.readRaw(c, 100)
		}
	}},
	{name: "ICMP about a datagram to a closed port", isolated: true, play: func(s *scene) {
		c := s.raw()
		u := s.bound()
		s.writeTo(u, "is anybody there?", s.closedUDP())
		b := make([]byte, 200)
		n, from, err := c.ReadFrom(b)
		s.tell("n=%d type and code %x from %v %s", n, b[:2], from, describe(err))
		// Behind eight bytes of ICMP: the header of the datagram that caused it, and its beginning.
		s.tell("%q", b[max(n-len("is anybody there?"), 0):n])
	}},
}

// TestICMPErrorsLikeTheKernel sends every ICMP error about a datagram of a connected UDP socket, through a raw socket, and
// looks at what the UDP socket says.
func TestICMPErrorsLikeTheKernel(t *testing.T) {
	var all []situation
	for icmpType, codes := range map[byte]byte{3: 17, 4: 2, 5: 4, 11: 2, 12: 3} {
		for code := range codes {
			all = append(all, icmpErrorSituation(4, icmpType, code))
		}
	}
	for icmpType, codes := range map[byte]byte{1: 9, 2: 1, 3: 2, 4: 4} {
		for code := range codes {
			all = append(all, icmpErrorSituation(6, icmpType, code))
		}
	}
	compareWithKernel(t, all)
}

func icmpErrorSituation(family int, icmpType, code byte) situation {
	name := fmt.Sprintf("type %d code %d", icmpType, code)
	return situation{name: name, only: family, isolated: true, play: func(s *scene) {
		peer := s.bound()
		c, stranger := s.connected(peer.LocalAddr()), s.bound()
		raw := s.raw()
		for _, about := range []udpConn{c, stranger} {
			n, err := raw.WriteTo(s.icmpError(icmpType, code, about.LocalAddr(), peer.LocalAddr()), &net.IPAddr{IP: s.ip()})
			s.tell("sent: %t %s", n > 0, describe(err))
		}
		for _, u := range []udpConn{c, stranger} {
			_ = u.SetReadDeadline(time.Now().Add(time.Millisecond))
			s.readFrom(u, 10)
			_ = u.SetReadDeadline(time.Now().Add(time.Millisecond))
			s.readFrom(u, 10)
		}
		s.write(c, "still works")
		s.readFrom(peer, 20)
	}}
}

// icmpError is an ICMP error about a datagram from one address to another, with the whole headers of it.
func (s *scene) icmpError(icmpType, code byte, from, to net.Addr) []byte {
	src, dst := from.(*net.UDPAddr), to.(*net.UDPAddr)
	quoted := []byte{byte(src.Port >> 8), byte(src.Port), byte(dst.Port >> 8), byte(dst.Port), 0, 8, 0, 0}
	m := []byte{icmpType, code, 0, 0, 0, 0, 0x05, 0xdc} // "next-hop MTU 1500", where that is asked
	if s.family == 6 {
		header := []byte{0x60, 0, 0, 0, 0, 8, 17, 64}
		header = append(append(header, src.IP.To16()...), dst.IP.To16()...)
		return append(append(m, header...), quoted...)
	}
	header := []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0}
	header = append(append(header, src.IP.To4()...), dst.IP.To4()...)
	putChecksum(header[10:], header)
	m = append(append(m, header...), quoted...)
	putChecksum(m[2:], m)
	return m
}

// TestPingOfManySizes: what is too long for the MTU is fragmented, and comes back whole.
func TestPingOfManySizes(t *testing.T) {
	onBoth(t, func(t *testing.T, api netAPI) {
		for _, family := range []int{4, 6} {
			s := &scene{netAPI: api, family: family, ports: map[string]string{}}
			c, err := api.ListenPacket(s.icmp(), s.bare())
			if err != nil {
				t.Skip(err)
			}
			defer c.Close()
			require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
			for _, size := range []int{0, 1, 56, 1400, 16408, 16409, 40000, 65000} {
				text := string(packet(size, max(size, 4)))
				request := s.echoRequest(text)
				_, err := c.WriteTo(request, &net.IPAddr{IP: s.ip()})
				require.NoError(t, err)
				buf := make([]byte, 1<<16)
				for reply := byte(0); buf[0] != reply || string(buf[4:8]) != string(request[4:8]); {
					if reply = 0; family == 6 {
						reply = 129
					}
					buf[0] = 0xff
					n, _, err := c.ReadFrom(buf)
					require.NoError(t, err)
					if buf[0] == reply {
						require.Equal(t, fmt.Sprintf("%x", text), fmt.Sprintf("%x", buf[8:n]))
					}
				}
			}
		}
	})
}
