package capture_test

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// An act makes the computers of a lab send packets of some kind. want are facts (see factsOf) that tshark must find, each
// in at least one of its packets; may are expert messages that are no surprise.
type act struct {
	name   string
	only   int // family; 0: both
	play   func(l *lab)
	want   []string
	may    []string
	config tcp.Config // of both computers
}

// acts are all kinds of packets that a stack sends.
func acts() (all []act) {
	for _, list := range [][]act{tcpActs(), quietActs(), lossActs(), resetActs(), optionActs(), datagramActs(), problemActs4(), problemActs6()} {
		all = append(all, list...)
	}
	return all
}

func tcpActs() []act {
	return []act{
		{
			name: "data both ways, closed by the client",
			play: func(l *lab) {
				c, d := l.connect()
				l.send(c, 5000, time.Second)
				l.receive(d)
				l.send(d, 4000, time.Second)
				l.receive(c)
				require.NoError(l.t, c.Close())
				l.run(time.Second)
				require.NoError(l.t, d.Close())
				l.run(time.Second)
			},
			want: []string{
				"tcp [S]", "tcp [S.]", "tcp [.]", "tcp [P.]", "tcp [F.]",
				"options MSS,SACK permitted,Timestamps,No-Operation (NOP),Window scale", "options No-Operation (NOP),No-Operation (NOP),Timestamps",
			},
		},
		{
			name: "a last ACK that is lost",
			play: func(l *lab) {
				c, d := l.connect()
				require.NoError(l.t, c.Close())
				l.run(time.Second)
				l.lose = func(from int, _ gopacket.Packet) bool { return from == 0 }
				require.NoError(l.t, d.Close())
				l.run(50 * time.Millisecond)
				l.lose = nil
				l.run(10 * time.Second)
			},
			want: []string{"This frame is a (suspected) retransmission"},
			may:  []string{"Duplicate ACK (#1)", "D-SACK Sequence"},
		},
		{
			name: "simultaneous open",
			play: func(l *lab) {
				a := [2]netip.AddrPort{netip.AddrPortFrom(addrs[l.family][0], 46000), netip.AddrPortFrom(addrs[l.family][1], 46001)}
				for i := range a {
					k := l.socket(i, "tcp")
					require.NoError(l.t, k.Bind(a[i]))
					require.Equal(l.t, syscall.EINPROGRESS, k.Connect(a[1-i]))
				}
				l.run(time.Second)
			},
			want: []string{"tcp [S]", "tcp [S.]", "D-SACK Sequence"}, // as Linux acknowledges the second SYN
			may:  []string{"This frame is a (suspected) retransmission", "TCP window update"},
		},
		{
			name: "a closed window, probes and an update",
			play: func(l *lab) {
				c, d := l.connectWith(nil, func(k *socket.Socket) { require.NoError(l.t, k.Conn().SetReadBuffer(4096)) })
				l.send(c, 15_000, 10*time.Second)
				for range 10 {
					l.receive(d)
					l.run(5 * time.Second)
				}
			},
			// Zero-window probes of Linux look like keep-alives: no data, the sequence number before the window.
			want: []string{"TCP Zero Window segment", "TCP window update", "TCP keep-alive segment", "TCP window specified by the receiver is now completely full"},
			// Where the window cannot move the second segment is acknowledged late, as by Linux, and a tail loss probe
			// comes first.
			may: []string{"ACK to a TCP keep-alive segment", "This frame is a (suspected) retransmission",
				"This frame is a (suspected) spurious retransmission", "D-SACK Sequence"},
		},
	}
}

// quietActs are about connections that send for other reasons than data.
func quietActs() []act {
	return []act{
		{
			name: "keep-alive",
			play: func(l *lab) {
				l.connectWith(func(k *socket.Socket) {
					require.NoError(l.t, k.Conn().SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 10 * time.Second, Count: 3}))
				}, nil)
				l.run(3 * time.Minute)
			},
			want: []string{"TCP keep-alive segment", "ACK to a TCP keep-alive segment"},
			may:  []string{"TCP window update"},
		},
		{
			name: "a challenge ACK",
			play: challenge,
			want: []string{"Duplicate ACK (#1)"},
		},
		{
			name: "SYN cookies", play: cookies,
			want: []string{"tcp [S.]", "tcp [P.]"},
			may:  []string{"This frame is a (suspected) retransmission"},
		},
		{
			name:   "explicit congestion notification",
			config: tcp.Config{ECN: tcp.ECNActive},
			play: func(l *lab) {
				c, d := l.connect()
				l.mark = true
				l.send(c, 20_000, time.Second)
				l.mark = false
				l.receive(d)
				l.send(c, 20_000, time.Second)
				l.receive(d)
			},
			want: []string{"tcp [SEW]", "tcp [S.E]", "tcp [.E]", "CWR", "ECT(0)"},
			may:  []string{"TCP window update"},
		},
	}
}

// challenge sends a SYN into a connection.
func challenge(l *lab) {
	c, d := l.connect()
	l.send(c, 10, time.Second)
	l.receive(d)
	syn := &layers.TCP{SrcPort: layers.TCPPort(d.LocalAddr().Port()), DstPort: layers.TCPPort(c.LocalAddr().Port()), SYN: true, Seq: 1, Window: 1}
	h := l.fromGhost(layers.IPProtocolTCP)
	switch h := h.(type) {
	case *layers.IPv4:
		h.SrcIP = addrs[4][1].AsSlice()
	case *layers.IPv6:
		h.SrcIP = addrs[6][1].AsSlice()
	}
	l.inject(serialize(h, syn))
	l.run(time.Second)
}

// cookies fills the half-open queue of a listener and connects by a cookie.
func cookies(l *lab) {
	l.port++
	k := l.socket(1, "tcp")
	require.NoError(l.t, k.Bind(netip.AddrPortFrom(addrs[l.family][1], l.port)))
	require.NoError(l.t, k.Listen(1))
	connect := func() *socket.Socket {
		c := l.socket(0, "tcp")
		require.Equal(l.t, syscall.EINPROGRESS, c.Connect(netip.AddrPortFrom(addrs[l.family][1], l.port)))
		l.run(20 * time.Millisecond)
		return c
	}
	l.lose = func(from int, _ gopacket.Packet) bool { return from == 1 }
	for range 4 {
		connect()
	}
	l.lose = nil
	before := l.counter(1, "SyncookiesRecv")
	c := connect()
	l.send(c, 100, 100*time.Millisecond)
	require.Greater(l.t, l.counter(1, "SyncookiesRecv"), before)
}

// counter returns a counter of a computer's stack.
func (l *lab) counter(end int, name string) uint64 {
	l.t.Helper()
	for _, c := range l.ends[end].Stack().Counters() {
		if c.Name == name {
			return c.Value
		}
	}
	l.t.Fatalf("there is no counter %s", name)
	return 0
}

// transfer sends data in a window of some size, of which something is lost.
func transfer(lose func(int, gopacket.Packet) bool) func(l *lab) {
	return func(l *lab) {
		c, d := l.connect()
		for range 4 { // opens the window
			l.send(c, 14_480, 200*time.Millisecond)
			l.receive(d)
		}
		l.lose = lose
		l.send(c, 40_000, 5*time.Second)
		l.lose = nil
		require.Equal(l.t, 40_000, l.receive(d))
	}
}

func lossActs() []act {
	return []act{
		{
			name: "a lost segment",
			play: transfer(losing(0, 5, 5)),
			want: []string{"SACK", "Duplicate ACK (#3)", "This frame is a (suspected) fast retransmission"},
			may:  lossTalk,
		},
		{
			name: "three lost segments apart",
			play: transfer(func() func(int, gopacket.Packet) bool {
				a, b, c := losing(0, 5, 5), losing(0, 8, 8), losing(0, 11, 11)
				return func(from int, p gopacket.Packet) bool {
					x, y, z := a(from, p), b(from, p), c(from, p)
					return x || y || z
				}
			}()),
			want: []string{"SACK", "SACK of 2 blocks", "SACK of 3 blocks"},
			may:  lossTalk,
		},
		{
			name: "a lost tail",
			play: transfer(losing(0, 26, 28)),
			want: []string{"This frame is a (suspected) retransmission"},
			may:  lossTalk,
		},
		{
			name: "everything lost for a while",
			play: transfer(losing(0, 1, 24)),
			want: []string{"This frame is a (suspected) retransmission"},
			may:  lossTalk,
		},
		{
			name: "ACKs lost, so that data come twice",
			play: func(l *lab) {
				c, d := l.connect()
				l.lose = func(from int, _ gopacket.Packet) bool { return from == 1 }
				l.send(c, 3000, time.Second)
				l.lose = nil
				l.run(5 * time.Second)
				l.receive(d)
			},
			want: []string{"D-SACK Sequence"},
			may:  lossTalk,
		},
		{
			name: "a SYN-ACK lost",
			play: func(l *lab) {
				n := 0
				l.lose = func(from int, _ gopacket.Packet) bool { n++; return from == 1 && n < 5 }
				listener := l.listen(nil)
				c := l.socket(0, "tcp")
				require.Equal(l.t, syscall.EINPROGRESS, c.Connect(netip.AddrPortFrom(addrs[l.family][1], l.port)))
				l.run(20 * time.Second)
				l.lose = nil
				_, _, err := listener.Accept()
				require.NoError(l.t, err)
			},
			want: []string{"This frame is a (suspected) retransmission"},
			may:  lossTalk,
		},
	}
}

// lossTalk is what tshark may say when something is lost.
var lossTalk = []string{
	"Duplicate ACK", "This frame is a (suspected) retransmission", "This frame is a (suspected) fast retransmission",
	"This frame is a (suspected) spurious retransmission", "This frame is a (suspected) out-of-order segment", "D-SACK Sequence", "TCP window update",
}

func resetActs() []act {
	segment := func(change func(s *layers.TCP)) func(l *lab) {
		return func(l *lab) {
			s := &layers.TCP{SrcPort: 45000, DstPort: 45001, Seq: 1000, Window: 100}
			change(s)
			l.inject(serialize(l.fromGhost(layers.IPProtocolTCP), s))
		}
	}
	rst, rstAck := []string{"tcp [R]"}, []string{"tcp [R.]"}
	return []act{
		{name: "a connection refused", want: rstAck, play: func(l *lab) {
			c := l.socket(0, "tcp")
			require.Equal(l.t, syscall.EINPROGRESS, c.Connect(netip.AddrPortFrom(addrs[l.family][1], 44000)))
			l.run(time.Second)
		}},
		{name: "SYN to a closed port", want: rstAck, play: segment(func(s *layers.TCP) { s.SYN = true })},
		{name: "ACK to a closed port", want: rst, play: segment(func(s *layers.TCP) { s.ACK, s.Ack = true, 5 })},
		{name: "FIN to a closed port", want: rstAck, play: segment(func(s *layers.TCP) { s.FIN = true })},
		{name: "closed with linger 0", want: rstAck, play: func(l *lab) {
			c, d := l.connect()
			l.send(c, 100, time.Second)
			require.NoError(l.t, c.Conn().SetLinger(0))
			require.NoError(l.t, c.Close())
			l.run(time.Second)
			l.receive(d)
		}},
		{name: "closed with unread data", want: rstAck, play: func(l *lab) {
			c, d := l.connect()
			l.send(c, 100, time.Second)
			require.NoError(l.t, d.Close())
			l.run(time.Second)
		}},
		{name: "data after the peer has closed", want: rst, play: func(l *lab) {
			c, d := l.connect()
			require.NoError(l.t, d.Close())
			l.run(time.Second)
			l.send(c, 100, time.Second)
		}},
	}
}

func optionActs() []act {
	exchange := func(l *lab) {
		c, d := l.connect()
		l.send(c, 3000, time.Second)
		l.receive(d)
		require.NoError(l.t, c.Close())
		l.run(time.Second)
		require.NoError(l.t, d.Close())
		l.run(time.Second)
	}
	return []act{
		{
			name: "no timestamps", play: exchange, config: tcp.Config{Timestamps: tcp.Off},
			want: []string{"options MSS,No-Operation (NOP),No-Operation (NOP),SACK permitted,No-Operation (NOP),Window scale", "options "},
		},
		{
			name: "no SACK", play: exchange, config: tcp.Config{SACK: tcp.Off},
			want: []string{"options MSS,No-Operation (NOP),No-Operation (NOP),Timestamps,No-Operation (NOP),Window scale"},
		},
		{
			name: "no options but MSS", play: exchange,
			config: tcp.Config{Timestamps: tcp.Off, SACK: tcp.Off, WindowScaling: tcp.Off},
			want:   []string{"options MSS", "options "},
		},
	}
}
