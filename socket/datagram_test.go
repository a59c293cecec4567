package socket_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/socket"
	"example.com/loopback/udp"
	"github.com/stretchr/testify/require"
)

// udpPair is a UDP server and a socket connected to it.
func udpPair(t *testing.T, s *socket.Stack, addr string) (server *socket.UDPConn, client net.Conn) {
	t.Helper()
	pc, err := s.ListenPacket("udp", addr)
	require.NoError(t, err)
	client, err = s.Dial("udp", pc.LocalAddr().String())
	require.NoError(t, err)
	return pc.(*socket.UDPConn), client
}

// requireBalance asserts that no packet got lost without a name. Outside of a bubble a timer may just be at
// work, so it has some time to become true.
func requireBalance(t *testing.T, s *socket.Stack) {
	t.Helper()
	if s.Conservation().Holds() {
		return
	}
	require.Eventually(t, func() bool { return s.Conservation().Holds() }, patience, time.Millisecond,
		"conservation: %+v", s.Conservation())
}

func TestDatagramsOfAllSizes(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			s := socket.New(socket.Config{})
			server, client := udpPair(t, s, addr)
			most := udp.MaxPayload4
			if addr[0] == '[' {
				most = udp.MaxPayload6
			}
			payload := make([]byte, most)
			r := rand.New(rand.NewPCG(1, 1))
			for i := range payload {
				payload[i] = byte(r.Uint32())
			}
			buf := make([]byte, most+1)
			for _, n := range []int{0, 1, 2, 100, 1471, 16388, 16389, 16408, 16409, 32000, 65000, most} {
				got, err := client.Write(payload[:n])
				require.NoError(t, err)
				require.Equal(t, n, got)
				got, from, err := server.ReadFrom(buf)
				require.NoError(t, err)
				require.Equal(t, client.LocalAddr().String(), from.String())
				require.True(t, bytes.Equal(payload[:n], buf[:got]), "%d bytes", n)
			}
			_, err := client.Write(make([]byte, most+1))
			require.ErrorIs(t, err, syscall.EMSGSIZE)
			requireBalance(t, s)
		})
	}
}

// TestFragmentsAreWhatIPSays: a long datagram crosses the MTU in fragments
// that a decoder of its own recognises.
func TestFragmentsOnTheWire(t *testing.T) {
	s := socket.New(socket.Config{MTU: 1500})
	server, client := udpPair(t, s, "127.0.0.1:0")
	var sizes []int
	var offsets []int
	s.NIC().AddTap(func(dir device.Direction, _ time.Duration, n *device.NIC, p *device.Packet) {
		if dir == device.DirTX {
			h, _, why := ipv4.Parse(n.AppendWire(nil, p))
			require.Equal(t, ipv4.OK, why)
			sizes = append(sizes, h.TotalLen())
			offsets = append(offsets, h.FragmentOffset())
		}
	})
	_, err := client.Write(make([]byte, 4000))
	require.NoError(t, err)
	require.Equal(t, []int{1500, 1500, 1068}, sizes)
	require.Equal(t, []int{0, 1480, 2960}, offsets)
	n, err := server.Read(make([]byte, 5000))
	require.NoError(t, err)
	require.Equal(t, 4000, n)
}

func TestUDPReceiveBufferIsBounded(t *testing.T) {
	s := socket.New(socket.Config{UDPRecvBuf: 10000})
	server, client := udpPair(t, s, "127.0.0.1:0")
	for range 100 {
		_, err := client.Write(make([]byte, 744)) // 1000 with the bookkeeping
		require.NoError(t, err, "a full receiver is none of the sender's business")
	}
	require.EqualValues(t, 90, counter(s, "Udp", "RcvbufErrors"))
	require.NoError(t, server.SetReadDeadline(time.Unix(1, 0)))
	_, err := server.Read(make([]byte, 1))
	require.Error(t, err)
	require.NoError(t, server.SetReadDeadline(time.Time{}))
	for range 10 {
		n, err := server.Read(make([]byte, 1000))
		require.NoError(t, err)
		require.Equal(t, 744, n)
	}
	requireBalance(t, s)
}

// counter returns a counter of the stack.
func counter(s *socket.Stack, group, name string) uint64 {
	for _, c := range s.Counters() {
		if c.Group == group && c.Name == name {
			return c.Value
		}
	}
	panic("no counter " + group + " " + name)
}

func TestUDPDelivery(t *testing.T) {
	s := socket.New(socket.Config{})
	listen := func(network, addr string) *socket.UDPConn {
		c, err := s.ListenPacket(network, addr)
		require.NoError(t, err)
		return c.(*socket.UDPConn)
	}
	any6 := listen("udp", ":5000")
	one := listen("udp4", "127.0.0.7:5001")
	from := listen("udp4", "127.0.0.1:0")
	six := listen("udp6", "[::1]:0")
	for _, tt := range []struct {
		name string
		from *socket.UDPConn
		to   string
		at   *socket.UDPConn
	}{
		{"the wildcard takes 127.0.0.1", from, "127.0.0.1:5000", any6},
		{"the wildcard takes all of 127/8", from, "127.200.3.4:5000", any6},
		{"the wildcard takes ::1", six, "[::1]:5000", any6},
		{"a socket on one address takes it", from, "127.0.0.7:5001", one},
		{"a socket on one address takes no other", from, "127.0.0.8:5001", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(tt.to))
			before := counter(s, "Udp", "NoPorts")
			_, err := tt.from.WriteTo([]byte(tt.name), to)
			require.NoError(t, err)
			if tt.at == nil {
				require.Equal(t, before+1, counter(s, "Udp", "NoPorts"))
				return
			}
			buf := make([]byte, 100)
			n, src, err := tt.at.ReadFromUDPAddrPort(buf)
			require.NoError(t, err)
			require.Equal(t, tt.name, string(buf[:n]))
			require.Equal(t, tt.from.LocalAddr().(*net.UDPAddr).Port, int(src.Port()))
		})
	}
	requireBalance(t, s)
}

func TestUDPAllocatesNothing(t *testing.T) {
	s := socket.New(socket.Config{})
	server, client := udpPair(t, s, "127.0.0.1:0")
	to := server.LocalAddr().(*net.UDPAddr).AddrPort()
	from, err := s.ListenUDP("udp4", nil)
	require.NoError(t, err)
	buf := make([]byte, 2000)
	exchange := func() {
		if _, err := from.WriteToUDPAddrPort(buf[:1400], to); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write(buf[:64]); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, _, err := server.ReadFromUDPAddrPort(buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	exchange()
	if underRace {
		return
	}
	require.Zero(t, testing.AllocsPerRun(1000, exchange))
}

// TestPing sends echoes through a raw socket, as ping does.
func TestPing(t *testing.T) {
	for _, tt := range []struct {
		network, addr string
		request, want byte
	}{
		{"ip4:icmp", "127.0.0.1", 8, 0},
		{"ip6:ipv6-icmp", "::1", 128, 129},
	} {
		t.Run(tt.network, func(t *testing.T) {
			s := socket.New(socket.Config{})
			c, err := s.ListenPacket(tt.network, tt.addr)
			require.NoError(t, err)
			for _, size := range []int{8, 64, 1500, 40000} {
				m := make([]byte, size)
				m[0] = tt.request
				for i := 8; i < size; i++ {
					m[i] = byte(i)
				}
				if tt.request == 8 {
					binary.BigEndian.PutUint16(m[2:], icmpSum(m))
				}
				_, err = c.WriteTo(m, &net.IPAddr{IP: net.ParseIP(tt.addr)})
				require.NoError(t, err)
				buf := make([]byte, 65536)
				for {
					require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
					n, from, err := c.ReadFrom(buf)
					require.NoError(t, err)
					require.Equal(t, tt.addr, from.String())
					if buf[0] == tt.request {
						continue // a raw socket sees the request as well
					}
					require.Equal(t, tt.want, buf[0])
					require.Equal(t, m[8:], buf[8:n])
					break
				}
			}
			requireBalance(t, s)
		})
	}
}

func icmpSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// TestDown: with lo down nothing works, and afterwards all does again.
func TestDown(t *testing.T) {
	s := socket.New(socket.Config{})
	server, client := udpPair(t, s, "127.0.0.1:0")
	s.NIC().SetUp(false)
	_, err := client.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.ENETUNREACH)
	_, err = s.Dial("tcp", "127.0.0.1:80")
	require.ErrorIs(t, err, syscall.ENETUNREACH)
	_, err = server.WriteTo([]byte("x"), client.LocalAddr())
	require.ErrorIs(t, err, syscall.ENETUNREACH)
	s.NIC().SetUp(true)
	_, err = client.Write([]byte("back"))
	require.NoError(t, err)
	buf := make([]byte, 10)
	n, err := server.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "back", string(buf[:n]))
}

func TestLocalAddresses(t *testing.T) {
	s := socket.New(socket.Config{})
	_, err := s.Dial("udp", "10.0.0.1:53")
	require.ErrorIs(t, err, syscall.ENETUNREACH, "not local, and no way out")
	_, err = s.ListenPacket("udp", "10.0.0.1:53")
	require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
	for _, a := range []string{"10.0.0.1/32", "2001:db8::1/128"} {
		require.NoError(t, s.NIC().AddAddr(netip.MustParsePrefix(a)))
	}
	for _, a := range []string{"10.0.0.1:53", "[2001:db8::1]:53"} {
		server, client := udpPair(t, s, a)
		require.Equal(t, server.LocalAddr().(*net.UDPAddr).IP, client.LocalAddr().(*net.UDPAddr).IP, "a local address talks to itself")
		_, err = client.Write([]byte("x"))
		require.NoError(t, err)
		_, err = server.Read(make([]byte, 1))
		require.NoError(t, err)
	}
}

// TestReassemblyTimeout: the first fragment alone is answered after 30 s.
func TestReassemblyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.New(socket.Config{})
		c, err := s.ListenPacket("ip4:icmp", "127.0.0.1")
		require.NoError(t, err)
		h := ipv4.Repr{
			TTL: 64, Protocol: 17, MoreFragments: true, ID: 77, PayloadLen: 64,
			Src: netip.MustParseAddr("127.0.0.1"), Dst: netip.MustParseAddr("127.0.0.1"),
		}
		raw := make([]byte, 84)
		h.Marshal(raw)
		require.NoError(t, s.NIC().Inject(0, raw))
		start := time.Now()
		buf := make([]byte, 1000)
		_, _, err = c.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, []byte{11, 1}, buf[:2], "time exceeded, fragment reassembly")
		require.Equal(t, 30*time.Second, time.Since(start))
		synctest.Wait() // the timer's goroutine is still counting
		requireBalance(t, s)
	})
}

// TestMartians: what an injected packet's addresses may be on the loopback
// wire and on an open one.
func TestMartians(t *testing.T) {
	port := device.NewPort(0)
	closed := socket.New(socket.Config{})
	open := socket.New(socket.Config{Link: port})
	require.NoError(t, open.NIC().AddAddr(netip.MustParsePrefix("192.0.2.1/24")))
	for _, tt := range []struct {
		name     string
		s        *socket.Stack
		src, dst string
		drop     string
	}{
		{"loopback to itself", closed, "127.0.0.1", "127.0.0.1", ""},
		{"all of 127/8", closed, "127.9.9.9", "127.8.8.8", ""},
		{"a stranger on the loopback wire", closed, "192.0.2.7", "127.0.0.1", "IPReversePathFilter"},
		{"for a stranger on the loopback wire", closed, "127.0.0.1", "192.0.2.7", "IpInAddrErrors"},
		{"a neighbour on the open wire", open, "192.0.2.7", "192.0.2.1", ""},
		{"ourselves from the open wire", open, "192.0.2.1", "192.0.2.1", "IPReversePathFilter"},
		{"loopback from the open wire", open, "127.0.0.1", "192.0.2.1", "IPReversePathFilter"},
		{"for loopback from the open wire", open, "192.0.2.7", "127.0.0.1", "IPReversePathFilter"},
		{"from nowhere", open, "0.0.0.0", "192.0.2.1", "IPReversePathFilter"},
		{"from a group", open, "224.0.0.1", "192.0.2.1", "IPReversePathFilter"},
		{"for another computer", open, "192.0.2.7", "192.0.2.9", "IpInAddrErrors"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := echoRequest(tt.src, tt.dst)
			delivered := counter(tt.s, "Ip", "InDelivers")
			var dropped uint64
			if tt.drop != "" {
				dropped = counter(tt.s, "Drop", tt.drop)
			}
			require.NoError(t, tt.s.NIC().Inject(0, raw))
			if tt.drop != "" {
				require.Equal(t, dropped+1, counter(tt.s, "Drop", tt.drop))
			} else {
				require.Greater(t, counter(tt.s, "Ip", "InDelivers"), delivered)
			}
			requireBalance(t, tt.s)
		})
	}
	answer, ok := port.Next()
	require.True(t, ok, "the neighbour's echo was answered by the wire")
	require.Equal(t, "192.0.2.7", net.IP(answer[16:20]).String())
	_, ok = port.Next()
	require.False(t, ok, "and nothing else left")
}

func echoRequest(src, dst string) []byte {
	raw := make([]byte, 28)
	h := ipv4.Repr{TTL: 64, Protocol: 1, PayloadLen: 8, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst)}
	h.Marshal(raw)
	m := ipv4.ICMP{Type: ipv4.ICMPEchoRequest, ID: 1, Seq: 1}
	m.Marshal(raw[20:])
	return raw
}

// FuzzInject throws packets at a computer with sockets of every kind. Nothing
// may panic or hang, and every packet has to be accounted for.
func FuzzInject(f *testing.F) {
	f.Add(echoRequest("127.0.0.1", "127.0.0.1"), uint8(1))
	f.Add([]byte{0x45}, uint8(3))
	f.Add([]byte{0x60, 0, 0, 0, 0, 0, 59, 64}, uint8(1))
	for _, i := range injections {
		f.Add(i.packet, uint8(10))
	}
	f.Fuzz(func(t *testing.T, raw []byte, times uint8) {
		if raw = append([]byte(nil), raw...); times&8 != 0 {
			repairChecksums(raw) // or hardly anything gets beyond them
		}
		s := socket.New(socket.Config{Seed: 1})
		for _, addr := range []string{":80", "127.0.0.1:81"} {
			_, err := s.Listen("tcp", addr)
			require.NoError(t, err)
			_, err = s.ListenPacket("udp", addr)
			require.NoError(t, err)
		}
		for range times % 8 {
			err := s.NIC().Inject(0, raw)
			if err != nil && !errors.Is(err, device.ErrEmpty) && !errors.Is(err, device.ErrTooLong) {
				t.Fatal(fmt.Errorf("inject: %w", err))
			}
		}
		requireBalance(t, s)
		require.NoError(t, s.Close())
	})
}
