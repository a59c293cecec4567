package capture_test

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

func datagramActs() []act {
	udp := func(sizes ...int) func(l *lab) {
		return func(l *lab) {
			k := l.socket(0, "udp")
			d := l.socket(1, "udp")
			require.NoError(l.t, d.Bind(netip.AddrPortFrom(addrs[l.family][1], 43000)))
			defer d.Close()
			for _, n := range sizes {
				_, err := k.Send(make([]byte, n), 0, netip.AddrPortFrom(addrs[l.family][1], 43000))
				require.NoError(l.t, err)
				l.run(time.Second)
				require.Equal(l.t, n, l.receiveOne(d))
			}
		}
	}
	return []act{
		{name: "datagrams", play: udp(0, 1, 100, 1452), want: []string{"udp"}},
		{name: "a datagram with the checksum zero", play: zeroChecksum, want: []string{"udp"}},
		{name: "a datagram in fragments", play: udp(8000), want: []string{"udp", "fragment"}},
		{name: "the largest datagram", play: udp(65507), want: []string{"udp", "fragment"}},
		{
			name: "echo", want: []string{"echo request", "echo reply"},
			play: func(l *lab) { l.ping(56); l.ping(0); l.ping(1) },
		},
		{
			name: "echo in fragments", want: []string{"echo request", "echo reply", "fragment"},
			play: func(l *lab) { l.ping(10_000) },
		},
		{
			name: "port unreachable", want: []string{"port unreachable"},
			play: func(l *lab) {
				k := l.socket(0, "udp")
				for _, n := range []int{0, 1, 1400} {
					_, err := k.Send(make([]byte, n), 0, netip.AddrPortFrom(addrs[l.family][1], 43001))
					require.NoError(l.t, err)
					l.run(2 * time.Second)
				}
			},
		},
		{
			name: "a datagram that does not get complete", want: []string{"reassembly time exceeded"},
			play: func(l *lab) { l.inject(l.firstFragment(1000)); l.run(2 * time.Minute) },
		},
	}
}

// zeroChecksum sends a datagram whose checksum comes out as zero, which would mean that there is none: it is sent as
// all ones (RFC 768).
func zeroChecksum(l *lab) {
	k, d := l.socket(0, "udp"), l.socket(1, "udp")
	require.NoError(l.t, k.Bind(netip.AddrPortFrom(addrs[l.family][0], 43010)))
	require.NoError(l.t, d.Bind(netip.AddrPortFrom(addrs[l.family][1], 43010)))
	sum := []byte{0, 0}
	for range 2 {
		_, err := k.Send(sum, 0, netip.AddrPortFrom(addrs[l.family][1], 43010))
		require.NoError(l.t, err)
		l.run(time.Second)
		l.receiveOne(d)
		raw := l.frames[len(l.frames)-1].raw
		sum = raw[len(raw)-4 : len(raw)-2] // with this as the data the sum is all ones
	}
	require.Equal(l.t, []byte{0xff, 0xff}, sum)
}

// receiveOne reads a datagram.
func (l *lab) receiveOne(k *socket.Socket) int {
	n, _, err := k.Recv(make([]byte, 1<<16), 0)
	require.NoError(l.t, err)
	return n
}

// ping sends an echo request with n bytes of data.
func (l *lab) ping(n int) {
	l.t.Helper()
	kind := byte(8)
	if l.family == 6 {
		kind = 128
	}
	m := append([]byte{kind, 0, 0, 0, 0, 7, 0, 1}, make([]byte, n)...)
	if l.family == 4 {
		whole := serialize(l.fromGhost(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7, Seq: 1}, gopacket.Payload(m[8:]))
		m = whole[20:] // with the checksum, which is the sender's affair
	}
	k := l.socket(0, "icmp")
	_, err := k.Send(m, 0, netip.AddrPortFrom(addrs[l.family][1], 0))
	require.NoError(l.t, err)
	l.run(time.Second)
	require.NoError(l.t, k.Close())
}

// firstFragment is the first fragment of a datagram from the ghost.
func (l *lab) firstFragment(n int) []byte {
	if l.family == 4 {
		h := l.fromGhost(layers.IPProtocolUDP).(*layers.IPv4)
		h.Flags = layers.IPv4MoreFragments
		return serialize(h, gopacket.Payload(append([]byte{0xa8, 0xc8, 0xa8, 0xc9, 0x10, 0, 1, 1}, make([]byte, n)...)))
	}
	return l.extended(44, append([]byte{17, 0, 0, 1, 0, 0, 0, 5, 0xa8, 0xc8, 0xa8, 0xc9, 0x10, 0, 1, 1}, make([]byte, n)...))
}

// extended is an IPv6 packet from the ghost whose payload begins with an extension header.
func (l *lab) extended(first layers.IPProtocol, payload []byte) []byte {
	return serialize(l.fromGhost(first), gopacket.Payload(payload))
}

func problemActs4() []act {
	options := func(opts ...byte) func(l *lab) {
		return func(l *lab) {
			b := serialize(l.fromGhost(layers.IPProtocolUDP), &layers.UDP{SrcPort: 43200, DstPort: 43201})
			b = append(append(append([]byte(nil), b[:20]...), opts...), b[20:]...)
			b[0] += byte(len(opts) / 4)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			b[10], b[11] = 0, 0
			var sum uint32
			for i := 0; i < 20+len(opts); i += 2 {
				sum += uint32(binary.BigEndian.Uint16(b[i:]))
			}
			sum = sum>>16 + sum&0xffff
			binary.BigEndian.PutUint16(b[10:], ^uint16(sum>>16+sum))
			l.inject(b)
		}
	}
	quoted := []string{"Unknown (0x99) (option length = 9 bytes says option goes past end", "Unknown (0x99) (length byte past end of options)"}
	return []act{
		{
			name: "an unknown protocol", only: 4, want: []string{"unknown protocol"},
			play: func(l *lab) { l.inject(serialize(l.fromGhost(253), gopacket.Payload("hello"))) },
		},
		{name: "an option that is too long", only: 4, play: options(0x99, 9, 1, 1), want: []string{"parameter problem 0"}, may: quoted},
		{name: "an option without length", only: 4, play: options(1, 1, 1, 0x99), want: []string{"parameter problem 0"}, may: quoted},
	}
}

func problemActs6() []act {
	echo := []byte{128, 0, 0, 0, 0, 1, 0, 1}
	packet := func(first layers.IPProtocol, ext ...byte) func(l *lab) {
		return func(l *lab) { l.inject(l.extended(first, append(ext, echo...))) }
	}
	return []act{
		{
			name: "an unknown next header", only: 6, want: []string{"parameter problem 1"},
			play: func(l *lab) { l.inject(serialize(l.fromGhost(253), gopacket.Payload("hello"))) },
		},
		{name: "an unknown option", only: 6, play: packet(60, 58, 0, 0x9e, 4, 0, 0, 0, 0), want: []string{"parameter problem 2"}},
		{
			name: "hop-by-hop options late", only: 6, play: packet(60, 0, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0), want: []string{"parameter problem 1"},
			may: []string{"IPv6 Hop-by-Hop extension header must appear immediately after IPv6 header"}, // of what is quoted
		},
		{
			name: "a routing header of an unknown type", only: 6, play: packet(43, 58, 0, 200, 1, 0, 0, 0, 0), want: []string{"parameter problem 0"},
			may: []string{"Undecoded IPv6 routing header field"},
		},
		{
			name: "a fragment of a wrong length", only: 6, want: []string{"parameter problem 0"},
			play: func(l *lab) { l.inject(l.extended(44, append([]byte{17, 0, 0, 1, 0, 0, 0, 6}, make([]byte, 12)...))) },
		},
		{
			name: "a fragment that would make the datagram too long", only: 6, want: []string{"parameter problem 0"},
			play: func(l *lab) {
				l.inject(l.extended(44, append([]byte{17, 0, 0xff, 0xf8, 0, 0, 0, 7}, make([]byte, 16)...)))
			},
		},
		{
			name: "a first fragment without the headers", only: 6, want: []string{"parameter problem 3"},
			play: func(l *lab) { l.inject(l.extended(44, []byte{60, 0, 0, 1, 0, 0, 0, 8, 17, 2, 1, 4, 0, 0, 0, 0})) },
		},
	}
}
