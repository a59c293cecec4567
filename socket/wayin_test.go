package socket

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
	"github.com/stretchr/testify/require"
)

// theLongWay is what input makes of p before it looks for the connection.
func theLongWay(t *testing.T, r *receiver, p *device.Packet) {
	t.Helper()
	d := datagram{trusted: true}
	if version(p.Head) == 4 {
		require.True(t, r.input4(p, &d))
	} else {
		require.True(t, r.input6(p, &d))
	}
	require.EqualValues(t, protoTCP, d.proto)
	n, why := tcp.ParseHeader(d.head, &r.seg)
	require.Equal(t, tcp.ReasonOK, why)
	r.seg.ECN = d.ecn
	r.payload(p, d.head[n:])
	r.flow = flowKey{local: d.dst, remote: d.src, lport: r.seg.DstPort, rport: r.seg.SrcPort}
}

// bytesOf joins a payload, whose pieces may be told apart by nobody.
func bytesOf(p tcp.Payload) []byte {
	b := make([]byte, p.N)
	p.CopyTo(b, 0)
	return b
}

// TestPlain flips every bit of segments: whatever of them is still plain is to the shorter way what it is to the longer.
func TestPlain(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	buf := s.pool.Get(100)
	defer buf.Release()
	addr := func(a string) ip { return ipOf(netip.MustParseAddr(a)) }
	flow4 := flowKey{local: addr("127.0.0.1"), remote: addr("127.0.0.2"), lport: 1000, rport: 2000}
	flow6 := flowKey{local: addr("::1"), remote: addr("::1"), lport: 1000, rport: 2000}
	stamps := tcp.Options{HasTS: true, TSVal: 0x1234, TSEcr: 0x8765}
	sack := stamps
	sack.NSACK, sack.SACK[0] = 1, tcp.Range{Start: 1, End: 2}
	const ack = tcp.ACK
	for _, tt := range []struct {
		name  string
		flow  flowKey
		seg   tcp.Segment
		plain bool
	}{
		{"bare ACK", flow4, tcp.Segment{Flags: ack, Opts: stamps}, true},
		{"IPv6 ACK", flow6, tcp.Segment{Flags: ack, Opts: stamps}, true},
		{"little text", flow4, tcp.Segment{Flags: ack | tcp.PSH, ECN: 2, Opts: stamps,
			Payload: tcp.Payload{Pieces: [2]tcp.Piece{{B: []byte("abc")}}, N: 3, Lent: true}}, true},
		{"text with an owner", flow6, tcp.Segment{Flags: ack | tcp.PSH, ECN: 1, Opts: stamps,
			Payload: tcp.Payload{Pieces: [2]tcp.Piece{{B: buf.Bytes(), Owner: buf}}, N: len(buf.Bytes())}}, true},
		{"two pieces", flow4, tcp.Segment{Flags: ack, Opts: stamps,
			Payload: tcp.Payload{Pieces: [2]tcp.Piece{{B: buf.Bytes()[:9], Owner: buf}, {B: buf.Bytes()[9:10], Owner: buf}}, N: 10}}, false},
		{"SYN", flow4, tcp.Segment{Flags: tcp.SYN, Opts: stamps}, false},
		{"SYN-ACK", flow6, tcp.Segment{Flags: tcp.SYN | ack, Opts: tcp.Options{MSS: 1000, HasMSS: true}}, false},
		{"FIN", flow4, tcp.Segment{Flags: tcp.FIN | ack, Opts: stamps}, true},
		{"SYN and FIN", flow4, tcp.Segment{Flags: tcp.FIN | tcp.SYN, Opts: stamps}, false},
		{"RST", flow4, tcp.Segment{Flags: tcp.RST | ack, Opts: stamps}, false},
		{"urgent", flow4, tcp.Segment{Flags: tcp.URG | ack, Urg: 1, Opts: stamps}, false},
		{"without timestamps", flow4, tcp.Segment{Flags: ack}, false},
		{"SACK", flow6, tcp.Segment{Flags: ack, Opts: sack}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.seg.Seq, tt.seg.Ack, tt.seg.Wnd = 0x81828384, 0x71727374, 0x6162
			node := nameless(&tt.flow, tt.flow.hash(protoTCP), 0)
			p := s.tcpPacket(&node, &tt.seg, 7, false)
			if tt.seg.Payload.Lent { // as writeLone leaves it
				p.Head, p.Frags[0] = append(p.Head, p.Frags[0].B...), device.Piece{}
			}
			short, long := new(receiver), new(receiver)
			short.init(s, 0, s.nic.IsLocal)
			long.init(s, 0, s.nic.IsLocal)
			require.Equal(t, tt.plain, short.plain(p))
			taken := 0
			for bit := -1; bit < 8*len(p.Head); bit++ {
				flip := func() {
					if bit >= 0 {
						p.Head[bit/8] ^= 1 << (bit % 8)
					}
				}
				flip()
				if short.odd = short.odd || bit%2 == 0; short.plain(p) {
					taken++
					theLongWay(t, long, p)
					require.Equal(t, bytesOf(long.seg.Payload), bytesOf(short.seg.Payload), "bit %d", bit)
					require.Equal(t, long.seg.Payload.Pieces[0].Owner, short.seg.Payload.Pieces[0].Owner)
					require.Equal(t, &long.flow, short.names())
					a, b := long.seg, short.seg
					a.Payload, b.Payload = tcp.Payload{}, tcp.Payload{}
					require.Equal(t, a, b, "bit %d", bit)
				}
				flip()
			}
			require.Equal(t, tt.plain, taken > 100, "%d of %d", taken, 8*len(p.Head))
			for _, flag := range []device.PacketFlags{device.FlagFromWire, device.FlagImpaired} {
				p.Flags ^= flag
				require.False(t, short.plain(p), "flag %d", flag)
				p.Flags ^= flag
			}
		})
	}
}

// TestSegmentForgets: what the receiver of the last segment said of it is not said of the next one's.
func TestSegmentForgets(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	r := &s.receivers[0]
	seg := &r.seg
	seg.Steady, seg.Into, seg.Taken = true, make([]byte, 10), 3
	at := ipOf(netip.MustParseAddr("127.0.0.1"))
	node := nameless(&flowKey{local: at, remote: at, lport: 1000, rport: 2000}, 0, 0)
	r.input(s.tcpPacket(&node, &tcp.Segment{Flags: tcp.ACK}, 7, false))
	require.EqualValues(t, 1, s.count.dropped[DropTCPNoSocket].Load())
	require.Zero(t, seg.Taken)
	require.False(t, seg.Steady)
	require.Nil(t, seg.Into)
}

// TestAcquaintances: as many are remembered as are at work, up to a limit; those that have gone make room.
func TestAcquaintances(t *testing.T) {
	s := New(Config{Queues: 1})
	defer s.Close()
	meet := func(a *acquaintances, cs []*TCPConn) (known int) {
		for i, c := range cs {
			addrs, ports, hash := uint64(i+1), uint32(2000+i)<<16|80, uint32(i)*0x9e3779b9>>7
			if a.conn(addrs, ports, hash) == c {
				known++
			} else {
				a.note(addrs, ports, hash, c)
				require.Same(t, c, a.conn(addrs, ports, hash))
			}
			require.Nil(t, a.conn(addrs+1000, ports, hash))
			require.Nil(t, a.conn(addrs, ports+1, hash))
		}
		return known
	}
	conns := func(n int, gone bool) (cs []*TCPConn) {
		for range n {
			cs = append(cs, &TCPConn{s: s, detached: gone})
		}
		return cs
	}
	var a acquaintances
	require.Nil(t, a.conn(1, 2, 3))
	a.note(0, 1, 2, new(TCPConn))
	require.Empty(t, a.slots, "IPv6")
	many := conns(60, false)
	for range 60 {
		meet(&a, many)
	}
	require.Greater(t, meet(&a, many), 40)
	require.LessOrEqual(t, len(a.slots), mostAcquaintances)
	for range 60 {
		meet(&a, conns(2000, false))
	}
	require.Len(t, a.slots, mostAcquaintances)

	a = acquaintances{}
	for range 60 {
		meet(&a, conns(60, true))
	}
	require.Len(t, a.slots, fewAcquaintances, "those that have gone need no room")
	a.forget(a.slots[0].c)
	require.Nil(t, a.slots[0].c)
}

// TestOldAcquaintance: a connection that took the name of one that has gone gets its packets, also the plain ones.
func TestOldAcquaintance(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	l, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	from, to := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4000}, l.Addr().(*net.TCPAddr)
	met := func() (n int) {
		for _, a := range s.receivers[0].met.slots {
			if a.c != nil {
				n++
			}
		}
		return n
	}
	for round := range 3 {
		a, err := s.DialTCP("tcp4", from, to)
		require.NoError(t, err)
		b, err := l.Accept()
		require.NoError(t, err)
		for range 3 {
			for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
				_, err = ends[0].Write([]byte("hello"))
				require.NoError(t, err)
				got := make([]byte, 5)
				_, err = io.ReadFull(ends[1], got)
				require.NoError(t, err, "round %d", round)
				require.Equal(t, "hello", string(got))
			}
		}
		require.Equal(t, 2, met(), "both ends, and none of those that are gone")
		require.NoError(t, a.SetLinger(0))
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	}
	require.Zero(t, s.count.dropped[DropTCPNoSocket].Load())
}

// TestSound: of a plain packet whose checksum was not left to the device every bit is checked that the checksum covers.
func TestSound(t *testing.T) {
	s := New(Config{VerifyChecksums: true})
	defer s.Close()
	for _, addr := range []string{"127.0.0.1", "::1"} {
		for _, text := range []string{"", "abc", "text of some length, in a piece of its own"} {
			t.Run(fmt.Sprintf("%s %d bytes", addr, len(text)), func(t *testing.T) {
				a := ipOf(netip.MustParseAddr(addr))
				flow := flowKey{local: a, remote: a, lport: 1000, rport: 2000}
				seg := tcp.Segment{Flags: tcp.ACK, Opts: tcp.Options{HasTS: true, TSVal: 1}}
				if seg.Payload.N = len(text); len(text) > 0 {
					seg.Payload.Pieces[0].B = []byte(text)
				}
				node := nameless(&flow, flow.hash(protoTCP), 0)
				p := s.tcpPacket(&node, &seg, 7, false)
				require.Zero(t, p.Flags&device.FlagCsumPartial)
				require.True(t, sound(p))
				from := 12 // where the addresses begin
				if !a.is4() {
					from = 8
				}
				for _, b := range [][]byte{p.Head[from:], p.Frags[0].B} {
					for i := range 8 * len(b) {
						b[i/8] ^= 1 << (i % 8)
						require.False(t, sound(p), "bit %d", i)
						b[i/8] ^= 1 << (i % 8)
					}
				}
			})
		}
	}
}
