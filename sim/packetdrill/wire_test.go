package packetdrill

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

func address4() (src, dst netip.Addr) {
	return netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.168.0.1")
}

func address6() (src, dst netip.Addr) {
	return netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fd3d:a0b:17d6::1")
}

func samplePackets() []*packet {
	s4, d4 := address4()
	s6, d6 := address6()
	var list []*packet
	for _, a := range [][2]netip.Addr{{s4, d4}, {s6, d6}} {
		icmp := protoICMP
		if a[0].Is6() {
			icmp = protoICMPv6
		}
		list = append(list,
			&packet{src: a[0], dst: a[1], proto: protoTCP, ttl: 64, tos: 0x12, srcPort: 1000, dstPort: 8080, flags: flagSYN | flagACK | flagECE, seq: 0xfffffff0, ack: 7, win: 500, urg: 3,
				opts: []tcpOption{{kind: optMSS, value: 1460}, {kind: optSACKOK}, {kind: optTimestamps, value: 1, ecr: 0xfffffffe}, {kind: optNOP}, {kind: optWScale, value: 7}}},
			&packet{src: a[0], dst: a[1], proto: protoTCP, ttl: 1, srcPort: 1, dstPort: 2, flags: flagACK | flagAE, data: []byte("odd"),
				opts: []tcpOption{{kind: optSACK, blocks: []sackBlock{{1, 2}, {3, 4}}}, {kind: 77, data: []byte{1, 2, 3}}, {kind: optEOL}}},
			&packet{src: a[0], dst: a[1], proto: protoUDP, ttl: 9, srcPort: 5300, dstPort: 5400, data: []byte("hello")},
			&packet{src: a[0], dst: a[1], proto: icmp, ttl: 9, icmpType: 3, icmpCode: 4, icmpRest: 1200, data: make([]byte, 48)},
		)
	}
	return list
}

// gopacket reads what encode writes, and finds the checksums right.
func TestEncodeAgainstGopacket(t *testing.T) {
	for _, p := range samplePackets() {
		p.encode()
		b := p.marshal()
		first := gopacket.Decoder(layers.LayerTypeIPv4)
		if p.src.Is6() {
			first = layers.LayerTypeIPv6
		}
		g := gopacket.NewPacket(b, first, gopacket.Default)
		require.Nil(t, g.ErrorLayer())
		again, err := decode(b)
		require.NoError(t, err)
		require.Equal(t, p.data, append([]byte(nil), again.data...))

		net := g.NetworkLayer()
		require.Equal(t, p.src.String(), net.NetworkFlow().Src().String())
		require.Equal(t, p.dst.String(), net.NetworkFlow().Dst().String())
		if tcp, ok := g.TransportLayer().(*layers.TCP); ok {
			checkTCP(t, p, again, tcp)
			requireSameBytes(t, g, tcp, tcp.SetNetworkLayerForChecksum, b)
		}
		if udp, ok := g.TransportLayer().(*layers.UDP); ok {
			require.EqualValues(t, p.srcPort, udp.SrcPort)
			require.EqualValues(t, p.data, udp.Payload)
			requireSameBytes(t, g, udp, udp.SetNetworkLayerForChecksum, b)
		}
	}
}

func checkTCP(t *testing.T, p, again *packet, tcp *layers.TCP) {
	t.Helper()
	require.EqualValues(t, p.srcPort, tcp.SrcPort)
	require.EqualValues(t, p.dstPort, tcp.DstPort)
	require.Equal(t, p.seq, tcp.Seq)
	require.Equal(t, p.ack, tcp.Ack)
	require.Equal(t, p.win, tcp.Window)
	require.Equal(t, p.urg, tcp.Urgent)
	require.Equal(t, p.flags&flagSYN != 0, tcp.SYN)
	require.Equal(t, p.flags&flagECE != 0, tcp.ECE)
	require.Equal(t, p.flags&flagAE != 0, tcp.NS)
	require.Equal(t, p.flags, again.flags)
	require.Equal(t, formatOptions(p.opts), formatOptions(again.opts))
	for i, o := range tcp.Options {
		require.EqualValues(t, p.opts[i].kind, o.OptionType)
	}
}

// requireSameBytes serializes the layer again with gopacket, which computes
// length and checksum itself.
func requireSameBytes(t *testing.T, g gopacket.Packet, l gopacket.SerializableLayer, network func(gopacket.NetworkLayer) error, b []byte) {
	t.Helper()
	require.NoError(t, network(g.NetworkLayer()))
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true}
	require.NoError(t, gopacket.SerializeLayers(buf, opts, g.NetworkLayer().(gopacket.SerializableLayer), l, gopacket.Payload(g.TransportLayer().LayerPayload())))
	require.Equal(t, b, buf.Bytes())
}

// Every bit of a packet is checked: its checksums catch any that flips, but
// for the few that no checksum covers.
func TestDecodeCatchesDamage(t *testing.T) {
	for _, p := range samplePackets() {
		p.encode()
		b := p.marshal()
		for i := range b {
			free := p.src.Is6() && (i < 4 || i == 7) // version, class, flow label, hop limit
			for bit := range 8 {
				damaged := append([]byte(nil), b...)
				damaged[i] ^= 1 << bit
				q, err := decode(damaged)
				if free && i == 0 && bit >= 4 || !free && !(p.src.Is6() && i == 6) {
					require.Error(t, err, "byte %d of %v", i, p.proto)
				}
				_, _ = q, err
			}
			_, err := decode(b[:i])
			require.Error(t, err)
		}
	}
}

func TestMalformedOptions(t *testing.T) {
	for name, b := range map[string][]byte{
		"length 0": {3, 0, 0, 0}, "length 1": {3, 1, 0, 0}, "too long": {3, 5, 0, 0}, "no length": {1, 1, 1, 3}, "mss": {2, 3, 0, 1}, "wscale": {3, 4, 0, 0},
		"sackOK": {4, 3, 0, 1}, "sack": {5, 6, 0, 0, 0, 0, 1, 1}, "timestamps": {8, 4, 0, 0}, "padding": {0, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseOptions(b)
			require.Error(t, err)
		})
	}
}

func TestUDPChecksumZero(t *testing.T) {
	for _, p := range samplePackets() {
		if p.proto != protoUDP {
			continue
		}
		p.encode()
		p.body[6], p.body[7] = 0, 0
		_, err := decode(p.marshal())
		require.Equal(t, p.src.Is6(), err != nil, "RFC 768 and RFC 8200 section 8.1")
	}
}

func FuzzDecode(f *testing.F) {
	for _, p := range samplePackets() {
		p.encode()
		f.Add(p.marshal())
		p.frag, p.mf, p.fragOff = true, true, 8
		f.Add(p.marshal())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decode(b)
		if p == nil {
			require.Error(t, err)
			return
		}
		script, _ := Parse("f", "")
		cfg, _ := script.config(Options{})
		r := &runner{script: script, cfg: cfg}
		require.NotEmpty(t, r.format(p))
		_, _, _ = quoted(p.data)
	})
}

func FuzzParse(f *testing.F) {
	f.Add(baseScript)
	f.Add("--mtu=9000 -D X=1\n* > [ect0] SEW. 0:0(0) ack 1 <mss X,FO 00>\n+0...1 poll([{fd=4, events=POLLIN|1}], 1, -1) = -1 EINTR (x)\n")
	f.Add("0 < icmp unreachable frag_needed mtu 1200 [1:2(1)]\n0~1 > [frag 0:8] udp 1 > 2 (0)\n%{ assert x == 1 }%\n`sysctl a=b`")
	f.Fuzz(func(t *testing.T, src string) {
		s, err := Parse("fuzz", src)
		if err != nil {
			require.IsType(t, &SyntaxError{}, err)
			return
		}
		for _, e := range s.events {
			switch act := e.act.(type) {
			case *packetSpec:
				require.NotEmpty(t, act.String())
			case *commandSpec:
				_, _ = shell(act.text)
			}
		}
	})
}

// No script may crash the interpreter, whatever it asks for.
func FuzzRun(f *testing.F) {
	f.Add(baseScript)
	f.Add("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n0...1 connect(3, ..., ...) = 0\n* > S 0:0(0) <...>\n")
	f.Add("0 epoll_create1(0) = 3\n+0 epoll_ctl(3, 1, 3, {}) = 0\n+0 sendmsg(3, {msg_iov=[{..., 1}]}, 0) = 0\n")
	f.Fuzz(func(t *testing.T, src string) {
		s, err := Parse("fuzz", src)
		if err != nil {
			return
		}
		_ = s.Run(fake, Options{})
	})
}
