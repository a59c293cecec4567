package socket_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

// outside is a computer with the address 192.0.2.1 and a wire whose other end is the test: 192.0.2.2.
type outside struct {
	*socket.Stack
	port *device.Port
	t    *testing.T
}

func newOutside(t *testing.T, cfg socket.Config) *outside {
	port := device.NewPort(0)
	cfg.Link = port
	o := &outside{socket.New(cfg), port, t}
	t.Cleanup(func() { _ = o.Close() })
	require.NoError(t, o.NIC().AddAddr(netip.MustParsePrefix("192.0.2.1/24")))
	return o
}

// say sends a segment from 192.0.2.2 to port 80 and returns what comes back.
func (o *outside) say(seg *layers.TCP, payload string) []*layers.TCP {
	seg.DstPort, seg.Window = 80, 5000
	head := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{192, 0, 2, 2}, DstIP: net.IP{192, 0, 2, 1}}
	require.NoError(o.t, o.NIC().Inject(0, build(head, seg, gopacket.Payload(payload))))
	var answers []*layers.TCP
	o.port.Drain(func(raw []byte) {
		p := gopacket.NewPacket(raw, layers.LayerTypeIPv4, gopacket.Default)
		answers = append(answers, p.Layer(layers.LayerTypeTCP).(*layers.TCP))
	})
	return answers
}

func (o *outside) counter(group, name string) (n uint64) {
	for _, c := range o.Counters() {
		if c.Group == group && c.Name == name {
			return c.Value
		}
	}
	o.t.Fatalf("no counter %s %s", group, name)
	return 0
}

// shortListener listens on port 80 with a backlog, without accepting.
func (o *outside) shortListener(backlog int) *socket.Socket {
	k, err := o.Socket("tcp4")
	require.NoError(o.t, err)
	require.NoError(o.t, k.Bind(netip.MustParseAddrPort("192.0.2.1:80")))
	require.NoError(o.t, k.Listen(backlog))
	return k
}

// TestSynCookies: when the half-open queue is full, a SYN is answered with a cookie; the ACK that brings it back opens
// the connection, a forged one is reset; without cookies the SYN is dropped.
func TestSynCookies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t, socket.Config{})
		k := o.shortListener(1)
		syn := func(port int) *layers.TCP {
			answers := o.say(&layers.TCP{SrcPort: layers.TCPPort(port), Seq: 1000, SYN: true}, "")
			require.Len(t, answers, 1)
			require.True(t, answers[0].SYN && answers[0].ACK)
			require.Equal(t, uint32(1001), answers[0].Ack)
			return answers[0]
		}
		syn(1001)
		require.Zero(t, o.counter("TcpExt", "TCPReqQFullDoCookies"))
		var last *layers.TCP
		for port := 2000; port < 2100; port++ {
			last = syn(port)
		}
		require.Equal(t, uint64(99), o.counter("TcpExt", "TCPReqQFullDoCookies"), "the queue takes one more than the backlog")
		require.Equal(t, 2, len(o.Sockets())-1, "two half-open connections beside the listener")

		forged := o.say(&layers.TCP{SrcPort: 2050, Seq: 1001, Ack: last.Seq + 2, ACK: true}, "")
		require.Len(t, forged, 1)
		require.True(t, forged[0].RST)
		require.Equal(t, last.Seq+2, forged[0].Seq)
		require.Equal(t, uint64(1), o.counter("TcpExt", "SyncookiesFailed"))

		require.Empty(t, o.say(&layers.TCP{SrcPort: 2099, Seq: 1001, Ack: last.Seq + 1, ACK: true}, ""))
		s, from, err := k.Accept()
		require.NoError(t, err)
		require.Equal(t, "192.0.2.2:2099", from.String())
		require.Len(t, o.say(&layers.TCP{SrcPort: 2099, Seq: 1001, Ack: last.Seq + 1, ACK: true, PSH: true}, "hello"), 1)
		buf := make([]byte, 10)
		n, _, err := s.Recv(buf, 0)
		require.NoError(t, err)
		require.Equal(t, "hello", string(buf[:n]))

		silent := newOutside(t, socket.Config{SynCookies: tcp.Off})
		silent.shortListener(1)
		require.Len(t, silent.say(&layers.TCP{SrcPort: 1, SYN: true}, ""), 1)
		require.Len(t, silent.say(&layers.TCP{SrcPort: 2, SYN: true}, ""), 1)
		require.Empty(t, silent.say(&layers.TCP{SrcPort: 3, SYN: true}, ""))
		require.Equal(t, uint64(1), silent.counter("Drop", "TCPReqQFullDrop"))
	})
}

// TestAcceptQueueOverflow: Linux lets one more wait than the backlog says. The ACK of the next is ignored, and taken
// once Accept has made room.
func TestAcceptQueueOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t, socket.Config{})
		k := o.shortListener(1)
		open := func(port layers.TCPPort) *layers.TCP {
			answers := o.say(&layers.TCP{SrcPort: port, Seq: 1000, SYN: true}, "")
			require.Len(t, answers, 1)
			return answers[0]
		}
		ack := func(port layers.TCPPort, synack *layers.TCP) {
			require.Empty(t, o.say(&layers.TCP{SrcPort: port, Seq: 1001, Ack: synack.Seq + 1, ACK: true}, ""))
		}
		ack(1, open(1))
		third := open(3) // half open while there still is room
		k.Listen(2)
		second := open(2)
		k.Listen(1)
		ack(2, second)
		overflows := o.counter("TcpExt", "ListenOverflows")
		ack(3, third)
		require.Equal(t, overflows+1, o.counter("TcpExt", "ListenOverflows"))
		require.Empty(t, o.say(&layers.TCP{SrcPort: 4, Seq: 1000, SYN: true}, ""), "a SYN is ignored as well")
		require.Equal(t, overflows+2, o.counter("TcpExt", "ListenOverflows"))
		for _, port := range []uint16{1, 2} {
			_, from, err := k.Accept()
			require.NoError(t, err)
			require.Equal(t, port, from.Port())
		}
		_, _, err := k.Accept()
		require.Equal(t, syscall.EAGAIN, err)
		ack(3, third)
		_, from, err := k.Accept()
		require.NoError(t, err)
		require.Equal(t, uint16(3), from.Port())
	})
}

// TestVerifyChecksums: without offload checksums are complete on the wire and a damaged packet does not arrive.
func TestVerifyChecksums(t *testing.T) {
	s := socket.New(socket.Config{VerifyChecksums: true})
	defer s.Close()
	seen := 0
	s.NIC().AddTap(func(dir device.Direction, _ time.Duration, n *device.NIC, p *device.Packet) {
		if dir != device.DirTX {
			return
		}
		require.Zero(t, p.Flags&device.FlagCsumPartial, "nothing is left to the device")
		requireChecksums(t, p.AppendTo(nil))
		seen++
	})
	for _, network := range []string{"tcp4", "tcp6"} {
		a, b, stop, err := pipe(s, network)
		require.NoError(t, err)
		_, err = a.Write([]byte("an odd number of bytes!"))
		require.NoError(t, err)
		buf := make([]byte, 100)
		n, err := b.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "an odd number of bytes!", string(buf[:n]))
		stop()
	}
	require.Greater(t, seen, 8)
	u, err := s.ListenUDP("udp4", &net.UDPAddr{Port: 80})
	require.NoError(t, err)
	defer u.Close()
	damaged := build(hdr4(layers.IPProtocolUDP), udpTo(80), gopacket.Payload("x"))
	damaged[len(damaged)-1] ^= 1
	require.NoError(t, s.NIC().Inject(0, damaged))
	found := false
	for _, c := range s.Counters() {
		found = found || c.Group == "Drop" && c.Name == "UdpInCsumErrors" && c.Value == 1
	}
	require.True(t, found)
}

// TestDatagramChecksums: datagrams have the right checksums on the wire, whoever computes them, on sockets with a peer and
// without, whether all of one lies in the packet or not.
func TestDatagramChecksums(t *testing.T) {
	for _, verify := range []bool{false, true} {
		for _, network := range []string{"udp4", "udp6"} {
			t.Run(fmt.Sprint(network, ", computed by the stack: ", verify), func(t *testing.T) {
				s := socket.New(socket.Config{VerifyChecksums: verify})
				defer s.Close()
				seen := 0
				s.NIC().AddTap(func(dir device.Direction, _ time.Duration, n *device.NIC, p *device.Packet) {
					if dir == device.DirTX {
						requireChecksums(t, n.AppendWire(nil, p))
						seen++
					}
				})
				from, err := s.ListenUDP(network, nil)
				require.NoError(t, err)
				to, err := s.ListenUDP(network, nil)
				require.NoError(t, err)
				at := to.LocalAddr().(*net.UDPAddr)
				at.IP = map[string]net.IP{"udp4": net.IPv4(127, 1, 2, 3), "udp6": net.IPv6loopback}[network]
				with, err := s.Dial(network, at.String())
				require.NoError(t, err)
				for _, size := range []int{0, 1, 64, 1401} {
					for range 2 { // the second goes the way of the first
						_, err := from.WriteTo(make([]byte, size), at)
						require.NoError(t, err)
						_, err = with.Write(make([]byte, size))
						require.NoError(t, err)
					}
				}
				require.Equal(t, 16, seen)
			})
		}
	}
}

// no6 swallows IPv6.
type no6 struct{ syns int }

func (l *no6) Send(n *device.NIC, q int, now time.Duration, ps []*device.Packet) {
	for _, p := range ps {
		if p.Head[0]>>4 == 6 {
			l.syns++
			p.Release()
			continue
		}
		n.ReceiveBatch(q, now, []*device.Packet{p})
	}
}

// TestDialFallback: an IPv6 that does not answer costs FallbackDelay, no more.
func TestDialFallback(t *testing.T) {
	for _, delay := range []time.Duration{0, 50 * time.Millisecond, -1} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				link := &no6{}
				s := socket.New(socket.Config{Link: link, Hosts: "::1 both\n127.0.0.1 both\n"})
				defer s.Close()
				l, err := s.Listen("tcp", ":80")
				require.NoError(t, err)
				defer l.Close()
				d := socket.Dialer{Stack: s, FallbackDelay: delay, Timeout: 10 * time.Second}
				start := time.Now()
				c, err := d.DialContext(context.Background(), "tcp", "both:80")
				require.NoError(t, err)
				defer c.Close()
				want := map[time.Duration]time.Duration{0: 300 * time.Millisecond, -1: 5 * time.Second}[delay] // -1: half of the time is each address's share
				if delay > 0 {
					want = delay
				}
				require.Equal(t, want, time.Since(start))
				require.Equal(t, "127.0.0.1:80", c.RemoteAddr().String())
				require.NotZero(t, link.syns)
			})
		})
	}
}

// TestDialShare: each of several addresses gets its share of the time, but at least two seconds if there are as many.
func TestDialShare(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{9 * time.Second: 3 * time.Second, 3 * time.Second: 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutside(t, socket.Config{Hosts: "192.0.2.7 all\n192.0.2.8 all\n192.0.2.9 all\n"})
			d := socket.Dialer{Stack: o.Stack, Timeout: timeout}
			start, first := time.Now(), map[string]time.Duration{}
			done := make(chan error, 1)
			go func() { _, err := d.Dial("tcp", "all:80"); done <- err }()
			for err := error(nil); err == nil; {
				o.port.Drain(func(raw []byte) {
					if dst := net.IP(raw[16:20]).String(); first[dst] == 0 {
						first[dst] = time.Since(start) + 1
					}
				})
				select {
				case err = <-done:
					require.True(t, err.(net.Error).Timeout())
				case <-time.After(100 * time.Millisecond):
				}
			}
			require.InDelta(t, want, first["192.0.2.8"], float64(150*time.Millisecond), "%v", first)
			require.InDelta(t, timeout, time.Since(start), float64(150*time.Millisecond))
		})
	}
}

// TestSetTCP: new parameters hold for connections that begin from then on.
func TestSetTCP(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	offers := func() uint8 {
		a, _, stop, err := pipe(s, "tcp4")
		require.NoError(t, err)
		defer stop()
		return a.(*socket.TCPConn).Info().Options
	}
	before := offers()
	require.NotZero(t, before)
	require.Error(t, s.SetTCP(&tcp.Config{CongestionControl: "no such"}))
	require.Equal(t, before, offers(), "a refused configuration changes nothing")
	require.NoError(t, s.SetTCP(&tcp.Config{Timestamps: tcp.Off, SACK: tcp.Off, WindowScaling: tcp.Off}))
	require.Zero(t, offers())
}

// TestReuseOfTimeWait: a name in TIME-WAIT can be dialled again when timestamps tell the connections apart, a second
// after (tcp_tw_reuse).
func TestReuseOfTimeWait(t *testing.T) {
	for _, reuse := range []tcp.Switch{tcp.On, tcp.Off} {
		synctest.Test(t, func(t *testing.T) {
			s := socket.New(socket.Config{TWReuse: reuse, EphemeralPorts: [2]uint16{40000, 40000}})
			defer s.Close()
			l, err := s.Listen("tcp4", "127.0.0.1:80")
			require.NoError(t, err)
			defer l.Close()
			dial := func() error {
				c, err := s.Dial("tcp4", "127.0.0.1:80")
				if err != nil {
					return err
				}
				d, err := l.Accept()
				require.NoError(t, err)
				require.NoError(t, c.Close()) // first: TIME-WAIT is the dialler's
				return d.Close()
			}
			require.NoError(t, dial())
			require.ErrorIs(t, dial(), syscall.EADDRNOTAVAIL)
			time.Sleep(1100 * time.Millisecond) // virtual
			if reuse == tcp.Off {
				require.ErrorIs(t, dial(), syscall.EADDRNOTAVAIL)
				time.Sleep(time.Minute) // virtual
			}
			require.NoError(t, dial())
		})
	}
}

// TestSocketsListed: every kind of socket shows itself.
func TestSocketsListed(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	l, err := s.Listen("tcp", ":80")
	require.NoError(t, err)
	defer l.Close()
	a, err := s.ListenPacket("udp4", "127.0.0.1:53")
	require.NoError(t, err)
	defer a.Close()
	b, err := s.Dial("udp4", "127.0.0.1:53")
	require.NoError(t, err)
	defer b.Close()
	_, err = b.Write([]byte("hello"))
	require.NoError(t, err)
	r, err := s.ListenPacket("ip4:253", "127.0.0.1")
	require.NoError(t, err)
	defer r.Close()
	q, err := s.Dial("ip4:253", "127.0.0.1")
	require.NoError(t, err)
	defer q.Close()
	got := map[string]socket.SocketInfo{}
	for _, i := range s.Sockets() {
		got[i.Proto+" "+i.State] = i
	}
	require.Len(t, got, 5)
	require.True(t, got["tcp LISTEN"].Dual)
	require.Equal(t, 4096, got["tcp LISTEN"].SendQ)
	require.Equal(t, "127.0.0.1:53", got["udp UNCONN"].Local.String())
	require.NotZero(t, got["udp UNCONN"].RecvQ)
	require.Equal(t, "127.0.0.1:53", got["udp ESTAB"].Remote.String())
	require.Equal(t, "127.0.0.1:253", got["raw UNCONN"].Local.String())
	require.Equal(t, "127.0.0.1:0", got["raw ESTAB"].Remote.String())
	require.Equal(t, 5, s.OpenSockets())
}
