package capture

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

// sample is one packet of the corpus that the text trace and tcpdump are compared on.
type sample struct {
	name string
	raw  []byte
}

var (
	v4a = netip.MustParseAddr("127.0.0.1")
	v4b = netip.MustParseAddr("127.0.0.2")
	v6a = netip.MustParseAddr("::1")
	v6b = netip.MustParseAddr("fd00::25:0:0:1")
)

// serialize builds a packet with gopacket: lengths and checksums are computed by it, not by us.
func serialize(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(buf, opts, ls...))
	return append([]byte(nil), buf.Bytes()...)
}

// ip returns the gopacket layer of an IPv4 or IPv6 header.
func ip(src, dst netip.Addr, proto layers.IPProtocol) gopacket.NetworkLayer {
	if src.Is4() {
		return &layers.IPv4{
			Version: 4, IHL: 5, TTL: 64, Id: 7, Flags: layers.IPv4DontFragment, Protocol: proto,
			SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice()),
		}
	}
	return &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: proto, FlowLabel: 0x12345,
		SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice()),
	}
}

// ipBytes builds a packet of a header and a raw body.
func ipBytes(t testing.TB, src, dst netip.Addr, proto layers.IPProtocol, body []byte) []byte {
	t.Helper()
	return serialize(t, ip(src, dst, proto).(gopacket.SerializableLayer), gopacket.Payload(body))
}

// tcpPacket builds a TCP packet; edit changes the header before it is serialized.
func tcpPacket(t testing.TB, src, dst netip.Addr, sport, dport uint16, payload []byte, edit func(*layers.TCP)) []byte {
	t.Helper()
	l3 := ip(src, dst, layers.IPProtocolTCP)
	h := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Window: 512}
	edit(h)
	require.NoError(t, h.SetNetworkLayerForChecksum(l3))
	return serialize(t, l3.(gopacket.SerializableLayer), h, gopacket.Payload(payload))
}

// udpPacket builds a UDP packet.
func udpPacket(t testing.TB, src, dst netip.Addr, sport, dport uint16, payload []byte) []byte {
	t.Helper()
	l3 := ip(src, dst, layers.IPProtocolUDP)
	h := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	require.NoError(t, h.SetNetworkLayerForChecksum(l3))
	return serialize(t, l3.(gopacket.SerializableLayer), h, gopacket.Payload(payload))
}

// icmp4 builds an ICMPv4 packet from its type, code, the second word and the body.
func icmp4(t testing.TB, typ, code uint8, rest uint32, body []byte) []byte {
	t.Helper()
	h := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: uint16(rest >> 16), Seq: uint16(rest)}
	return serialize(t, ip(v4a, v4a, layers.IPProtocolICMPv4).(gopacket.SerializableLayer), h, gopacket.Payload(body))
}

// icmp6 builds an ICMPv6 packet likewise.
func icmp6(t testing.TB, typ, code uint8, rest uint32, body []byte) []byte {
	t.Helper()
	l3 := ip(v6a, v6a, layers.IPProtocolICMPv6)
	h := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}
	require.NoError(t, h.SetNetworkLayerForChecksum(l3))
	p := binary.BigEndian.AppendUint32(nil, rest)
	return serialize(t, l3.(gopacket.SerializableLayer), h, gopacket.Payload(append(p, body...)))
}

func opt(kind layers.TCPOptionKind, data ...byte) layers.TCPOption {
	return layers.TCPOption{OptionType: kind, OptionLength: uint8(len(data) + 2), OptionData: data}
}

func tsOption(val, ecr uint32) layers.TCPOption {
	return opt(layers.TCPOptionKindTimestamps, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, val), ecr)...)
}

var (
	nopOption    = layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1}
	endOption    = layers.TCPOption{OptionType: layers.TCPOptionKindEndList, OptionLength: 1}
	sackOKOption = opt(layers.TCPOptionKindSACKPermitted)
)

func mssOption(mss uint16) layers.TCPOption {
	return opt(layers.TCPOptionKindMSS, byte(mss>>8), byte(mss))
}

func sackOption(edges ...uint32) layers.TCPOption {
	var b []byte
	for _, e := range edges {
		b = binary.BigEndian.AppendUint32(b, e)
	}
	return opt(layers.TCPOptionKindSACK, b...)
}

// corpus is every kind of packet the stack may put on the wire, and many it should not.
func corpus(t testing.TB) []sample {
	var all []sample
	add := func(name string, raw []byte) { all = append(all, sample{name, raw}) }
	for _, fam := range []struct {
		name string
		a, b netip.Addr
	}{{"v4", v4a, v4b}, {"v6", v6a, v6b}} {
		all = append(all, tcpSamples(t, fam.name, fam.a, fam.b)...)
		all = append(all, udpSamples(t, fam.name, fam.a, fam.b)...)
	}
	all = append(all, icmp4Samples(t)...)
	all = append(all, icmp6Samples(t)...)
	all = append(all, ipSamples(t)...)
	add("empty version 5", []byte{0x55, 0, 0, 20})
	return all
}

// tcpSamples is everything about TCP over one family.
func tcpSamples(t testing.TB, fam string, a, b netip.Addr) []sample {
	all := conversationSamples(t, fam, a, b)
	all = append(all, strangerSamples(t, fam, a, b)...)
	all = append(all, optionSamples(t, fam, a, b)...)
	all = append(all, brokenTCPSamples(t, fam, a, b)...)
	return append(all, textSamples(t, fam, a, b)...)
}

// conversationSamples is a connection: handshake, data both ways, SACK, urgent data, close, reset.
func conversationSamples(t testing.TB, fam string, a, b netip.Addr) []sample {
	var all []sample
	const cl, sv = 49152, 631
	const cISN, sISN = 0xfffffff0, 1000000
	fwd := func(name string, payload string, edit func(*layers.TCP)) {
		all = append(all, sample{fam + " " + name, tcpPacket(t, a, b, cl, sv, []byte(payload), edit)})
	}
	rev := func(name string, payload string, edit func(*layers.TCP)) {
		all = append(all, sample{fam + " " + name, tcpPacket(t, b, a, sv, cl, []byte(payload), edit)})
	}
	fwd("syn", "", func(h *layers.TCP) {
		h.SYN, h.Seq = true, cISN
		h.Options = []layers.TCPOption{mssOption(16396), sackOKOption, tsOption(4000000000, 0), nopOption, opt(layers.TCPOptionKindWindowScale, 7)}
	})
	rev("syn ack", "", func(h *layers.TCP) {
		h.SYN, h.ACK, h.Seq, h.Ack = true, true, sISN, cISN+1
		h.Options = []layers.TCPOption{mssOption(16396), sackOKOption, tsOption(1, 4000000000), nopOption, opt(layers.TCPOptionKindWindowScale, 7)}
	})
	fwd("ack of syn", "", func(h *layers.TCP) {
		h.ACK, h.Seq, h.Ack = true, cISN+1, sISN+1
		h.Options = []layers.TCPOption{nopOption, nopOption, tsOption(2, 1)}
	})
	fwd("data", "GET / HTTP/1.1\r\n\r\n", func(h *layers.TCP) { h.ACK, h.PSH, h.Seq, h.Ack = true, true, cISN+1, sISN+1 })
	rev("data back over wrap", "HTTP/1.1 200 OK\r\n\r\n", func(h *layers.TCP) { h.ACK, h.PSH, h.Seq, h.Ack = true, true, sISN+1, 3 })
	rev("sack of one", "", func(h *layers.TCP) {
		h.ACK, h.Seq, h.Ack = true, sISN+20, 3
		h.Options = []layers.TCPOption{nopOption, nopOption, tsOption(9, 8), nopOption, nopOption, sackOption(10, 20)}
	})
	rev("sack of three", "", func(h *layers.TCP) {
		h.ACK, h.Seq, h.Ack = true, sISN+20, 3
		h.Options = []layers.TCPOption{nopOption, nopOption, sackOption(10, 20, 30, 40, 50, 60)}
	})
	fwd("sack the other way", "", func(h *layers.TCP) {
		h.ACK, h.Seq, h.Ack = true, 3, sISN+20
		h.Options = []layers.TCPOption{nopOption, nopOption, sackOption(sISN+40, sISN+50)}
	})
	fwd("urgent", "!", func(h *layers.TCP) { h.ACK, h.URG, h.Urgent, h.Seq, h.Ack = true, true, 1, 3, sISN+20 })
	fwd("urgent pointer without flag", "!", func(h *layers.TCP) { h.ACK, h.Urgent, h.Seq, h.Ack = true, 1, 3, sISN+20 })
	fwd("ecn flags", "x", func(h *layers.TCP) { h.ACK, h.ECE, h.CWR, h.Seq, h.Ack = true, true, true, 4, sISN+20 })
	fwd("all flags", "", func(h *layers.TCP) {
		h.FIN, h.SYN, h.RST, h.PSH, h.ACK, h.URG, h.ECE, h.CWR, h.NS = true, true, true, true, true, true, true, true, true
		h.Seq, h.Ack, h.Urgent = 4, sISN+20, 65535
	})
	fwd("no flags", "", func(h *layers.TCP) { h.Seq = 4 })
	fwd("no flags with data", "abc", func(h *layers.TCP) { h.Seq = 4 })
	fwd("ns flag", "", func(h *layers.TCP) { h.NS, h.ACK, h.Seq, h.Ack = true, true, 4, sISN+20 })
	rev("fin", "", func(h *layers.TCP) { h.FIN, h.ACK, h.Seq, h.Ack = true, true, sISN+20, 5 })
	fwd("fin with data", "bye", func(h *layers.TCP) { h.FIN, h.PSH, h.ACK, h.Seq, h.Ack = true, true, true, 5, sISN+21 })
	rev("rst", "", func(h *layers.TCP) { h.RST, h.Seq, h.Window = true, sISN+21, 0 })
	fwd("rst ack with data", "why", func(h *layers.TCP) { h.RST, h.ACK, h.Seq, h.Ack = true, true, 5, sISN+21 })
	fwd("syn again with data", "fast", func(h *layers.TCP) { h.SYN, h.Seq = true, 99 })
	return all
}

// strangerSamples are connections whose handshake was not seen, and connections between equal ports.
func strangerSamples(t testing.TB, fam string, a, b netip.Addr) []sample {
	var all []sample
	all = append(all,
		sample{fam + " unknown conversation", tcpPacket(t, a, b, 1, 2, []byte("mid"), func(h *layers.TCP) { h.ACK, h.Seq, h.Ack = true, 5000, 6000 })},
		sample{fam + " unknown conversation goes on", tcpPacket(t, a, b, 1, 2, []byte("mid"), func(h *layers.TCP) { h.ACK, h.Seq, h.Ack = true, 5003, 6010 })},
		sample{fam + " refused", tcpPacket(t, b, a, 2, 1, nil, func(h *layers.TCP) { h.RST, h.ACK, h.Ack, h.Window = true, true, 5004, 0 })},
		sample{fam + " to itself", tcpPacket(t, a, a, 7, 7, nil, func(h *layers.TCP) { h.SYN, h.ACK, h.Seq, h.Ack = true, true, 50, 51 })},
		sample{fam + " same port", tcpPacket(t, b, a, 7, 7, []byte("a"), func(h *layers.TCP) { h.ACK, h.Seq, h.Ack = true, 51, 52 })},
		sample{fam + " same port back", tcpPacket(t, a, b, 7, 7, []byte("a"), func(h *layers.TCP) { h.ACK, h.Seq, h.Ack = true, 60, 52 })},
	)
	return all
}

// optionSamples are SYNs with options of every kind, right and wrong.
func optionSamples(t testing.TB, fam string, a, b netip.Addr) []sample {
	var all []sample
	for _, o := range []struct {
		name string
		opts []layers.TCPOption
	}{
		{"eol", []layers.TCPOption{endOption}},
		{"nop eol", []layers.TCPOption{nopOption, nopOption, nopOption, endOption}},
		{"unknown option", []layers.TCPOption{opt(99, 1, 2, 3, 4, 5)}},
		{"unknown empty option", []layers.TCPOption{opt(99)}},
		{"mss of wrong length", []layers.TCPOption{opt(layers.TCPOptionKindMSS, 1, 2, 3)}},
		{"timestamp of wrong length", []layers.TCPOption{opt(layers.TCPOptionKindTimestamps, 1, 2, 3)}},
		{"wscale of wrong length", []layers.TCPOption{opt(layers.TCPOptionKindWindowScale, 1, 2, 3)}},
		{"sackOK of wrong length", []layers.TCPOption{opt(layers.TCPOptionKindSACKPermitted, 1, 2)}},
		{"empty sack", []layers.TCPOption{sackOption()}},
		{"broken sack", []layers.TCPOption{opt(layers.TCPOptionKindSACK, 1, 2, 3, 4)}},
		{"option length 0", []layers.TCPOption{{OptionType: 2, OptionLength: 0}}},
		{"option length 1", []layers.TCPOption{{OptionType: 99, OptionLength: 1}}},
		{"user timeout", []layers.TCPOption{opt(28, 0x80, 5)}},
		{"user timeout in seconds", []layers.TCPOption{opt(28, 0, 5)}},
		{"fast open cookie request", []layers.TCPOption{opt(34)}},
		{"fast open cookie", []layers.TCPOption{opt(34, 1, 2, 3, 4, 5, 6, 7, 8)}},
		{"md5", []layers.TCPOption{opt(19, make([]byte, 16)...)}},
		{"echo", []layers.TCPOption{opt(6, 1, 2, 3, 4), opt(7, 1, 2, 3, 4)}},
		{"cc", []layers.TCPOption{opt(11, 1, 2, 3, 4), opt(12, 1, 2, 3, 4), opt(13, 1, 2, 3, 4)}},
		{"experiment", []layers.TCPOption{opt(254, 0xf9, 0x89, 1, 2)}},
		{"mptcp", []layers.TCPOption{opt(30, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)}},
	} {
		all = append(all, sample{fam + " option " + o.name, tcpPacket(t, a, b, 49152, 631, nil, func(h *layers.TCP) {
			h.SYN, h.Seq = true, 99
			h.Options = o.opts
		})})
	}
	return all
}

// brokenTCPSamples are headers with wrong lengths.
func brokenTCPSamples(t testing.TB, fam string, a, b netip.Addr) []sample {
	var all []sample
	l4 := func(name string, seg []byte) {
		all = append(all, sample{fam + " " + name, ipBytes(t, a, b, layers.IPProtocolTCP, seg)})
	}
	seg := make([]byte, 60)
	binary.BigEndian.PutUint16(seg, 5)
	binary.BigEndian.PutUint16(seg[2:], 6)
	seg[13] = 0x10
	for _, off := range []byte{0, 4, 5, 6, 14, 15} {
		seg[12] = off << 4
		l4("data offset "+string('A'+rune(off)), append([]byte(nil), seg[:32]...))
	}
	for _, n := range []int{0, 1, 3, 4, 8, 11, 12, 13, 14, 19} {
		seg[12] = 5 << 4
		l4("cut short at "+string('A'+rune(n)), append([]byte(nil), seg[:n]...))
	}
	return all
}

// textSamples are payloads that tcpdump prints the first line of, or nearly.
func textSamples(t testing.TB, fam string, a, b netip.Addr) []sample {
	var all []sample
	text := []struct {
		name    string
		port    uint16
		payload string
	}{
		{"http request", 80, "GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n"},
		{"http response", 8080, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"http proxy", 3128, "CONNECT localhost:1 HTTP/1.1\r\n\r\n"},
		{"http body", 80, "just some body\nline"},
		{"http binary", 80, "\x00\x01\x02\xff"},
		{"http odd line", 80, "POST /\x01\x7f\xe9 HTTP/1.0\r\n"},
		{"http unfinished line", 80, "GET /abc"},
		{"http method alone", 80, "GET"},
		{"http empty line", 80, "\r\n"},
		{"http long", 80, "GET /" + string(make([]byte, 10)) + " x\r\n"},
		{"ssh banner", 22, "SSH-2.0-Go\r\n"},
		{"ssh banner with comment", 22, "SSH-2.0-OpenSSH_9.2 Debian\r\n"},
		{"ssh binary", 22, "\x00\x00\x01\x0c\x05\x14abc"},
		{"smtp", 25, "220 localhost ESMTP\r\n"},
		{"smtp command", 25, "EHLO localhost\r\nMAIL FROM\r\n"},
		{"ftp", 21, "220 ready\r\n"},
		{"ftp command", 21, "USER bob\r\n"},
		{"whois", 43, "localhost\r\n"},
		{"redis", 6379, "*1\r\n$4\r\nPING\r\n"},
		{"telnet text", 23, "login: "},
		{"rtsp", 554, "OPTIONS * RTSP/1.0\r\n\r\n"},
	}
	for _, x := range text {
		all = append(all, sample{fam + " " + x.name, tcpPacket(t, a, b, 50000, x.port, []byte(x.payload), func(h *layers.TCP) {
			h.ACK, h.Seq, h.Ack = true, 1, 1
		})})
	}
	return all
}

func udpSamples(t testing.TB, fam string, a, b netip.Addr) []sample {
	var all []sample
	add := func(name string, raw []byte) { all = append(all, sample{fam + " " + name, raw}) }
	add("udp", udpPacket(t, a, b, 40000, 9999, []byte("hello")))
	add("udp empty", udpPacket(t, a, b, 40000, 9999, nil))
	add("udp reply", udpPacket(t, b, a, 9999, 40000, make([]byte, 1400)))
	add("udp echo port", udpPacket(t, b, a, 9999, 7, make([]byte, 4)))
	hdr := func(length uint16, n int) []byte {
		b := make([]byte, n)
		if n >= 8 {
			binary.BigEndian.PutUint16(b, 40000)
			binary.BigEndian.PutUint16(b[2:], 9999)
			binary.BigEndian.PutUint16(b[4:], length)
		}
		return b
	}
	for _, x := range []struct {
		name   string
		length uint16
		n      int
	}{{"length 0", 0, 20}, {"length 7", 7, 20}, {"length 8 with tail", 8, 20}, {"length beyond", 100, 20}, {"cut at 0", 0, 0}, {"cut at 3", 0, 3}, {"cut at 5", 0, 5}} {
		add("udp "+x.name, ipBytes(t, a, b, layers.IPProtocolUDP, hdr(x.length, x.n)))
	}
	return all
}

func icmp4Samples(t testing.TB) []sample {
	var all []sample
	add := func(name string, raw []byte) { all = append(all, sample{"icmp " + name, raw}) }
	add("echo request", icmp4(t, 8, 0, 0x12340001, make([]byte, 56)))
	add("echo reply", icmp4(t, 0, 0, 0x12340001, make([]byte, 56)))
	quoteUDP := udpPacket(t, v4a, v4b, 40000, 9, []byte("x"))
	quoteTCP := tcpPacket(t, v4a, v4b, 40000, 9, nil, func(h *layers.TCP) { h.SYN = true })
	quoteICMP := icmp4(t, 8, 0, 1, nil)
	for code := range uint8(17) {
		add("unreachable udp", icmp4(t, 3, code, 0, quoteUDP))
		add("unreachable tcp", icmp4(t, 3, code, 1400, quoteTCP))
	}
	add("unreachable port icmp", icmp4(t, 3, 3, 0, quoteICMP))
	add("unreachable proto", icmp4(t, 3, 2, 0, ipBytes(t, v4a, v4b, 200, make([]byte, 20))))
	add("unreachable cut quote", icmp4(t, 3, 3, 0, quoteUDP[:20]))
	add("unreachable no quote", icmp4(t, 3, 3, 0, nil))
	add("unreachable half quote", icmp4(t, 3, 3, 0, quoteUDP[:12]))
	add("port unreachable ssh", icmp4(t, 3, 3, 0, udpPacket(t, v4a, v4b, 40000, 22, []byte("x"))))
	add("need to frag mtu 0", icmp4(t, 3, 4, 0, quoteTCP))
	add("need to frag mtu", icmp4(t, 3, 4, 576, quoteUDP))
	for code := range uint8(3) {
		add("time exceeded", icmp4(t, 11, code, 0, quoteUDP))
		add("parameter problem", icmp4(t, 12, code, 0x14000000, quoteUDP))
	}
	for code := range uint8(5) {
		add("redirect", icmp4(t, 5, code, 0x7f000003, quoteUDP))
	}
	add("source quench", icmp4(t, 4, 0, 0, quoteUDP))
	add("router solicitation", icmp4(t, 10, 0, 0, nil))
	add("timestamp", icmp4(t, 13, 0, 0x00010002, make([]byte, 12)))
	add("timestamp reply", icmp4(t, 14, 0, 0x00010002, make([]byte, 12)))
	add("address mask request", icmp4(t, 17, 0, 0x00010002, make([]byte, 4)))
	add("address mask reply", icmp4(t, 18, 0, 0x00010002, []byte{255, 0, 0, 0}))
	add("unknown", icmp4(t, 77, 5, 0, make([]byte, 30)))
	bad := icmp4(t, 8, 0, 0x12340001, make([]byte, 56))
	bad[40] ^= 1
	add("bad checksum", bad)
	for _, n := range []int{0, 1, 2, 4, 7} {
		add("cut short", ipBytes(t, v4a, v4a, layers.IPProtocolICMPv4, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}[:n]))
	}
	return all
}

func icmp6Samples(t testing.TB) []sample {
	var all []sample
	add := func(name string, raw []byte) { all = append(all, sample{"icmp6 " + name, raw}) }
	add("echo request", icmp6(t, 128, 0, 0x12340001, make([]byte, 56)))
	add("echo reply", icmp6(t, 129, 0, 0x12340001, make([]byte, 56)))
	quoteUDP := udpPacket(t, v6a, v6b, 40000, 9, []byte("x"))
	quoteTCP := tcpPacket(t, v6a, v6b, 40000, 9, nil, func(h *layers.TCP) { h.SYN = true })
	for code := range uint8(8) {
		add("unreachable udp", icmp6(t, 1, code, 0, quoteUDP))
		add("unreachable tcp", icmp6(t, 1, code, 0, quoteTCP))
	}
	add("unreachable port icmp", icmp6(t, 1, 4, 0, icmp6(t, 128, 0, 1, nil)))
	add("unreachable port cut", icmp6(t, 1, 4, 0, quoteUDP[:40]))
	add("unreachable no quote", icmp6(t, 1, 4, 0, nil))
	add("packet too big", icmp6(t, 2, 0, 1280, quoteTCP))
	for code := range uint8(4) {
		add("time exceeded", icmp6(t, 3, code, 0, quoteUDP))
		add("parameter problem", icmp6(t, 4, code, 40, quoteUDP))
	}
	add("unknown", icmp6(t, 200, 3, 0, make([]byte, 30)))
	bad := icmp6(t, 128, 0, 0x12340001, make([]byte, 56))
	bad[60] ^= 1
	add("bad checksum", bad)
	for _, n := range []int{0, 1, 2, 4, 7} {
		add("cut short", ipBytes(t, v6a, v6a, layers.IPProtocolICMPv6, []byte{128, 0, 0, 0, 0, 0, 0, 0}[:n]))
	}
	return all
}

// ipSamples is what happens at the IP layer: fragments, options, extension headers, other protocols, broken headers.
func ipSamples(t testing.TB) []sample {
	var all []sample
	add := func(name string, raw []byte) { all = append(all, sample{"ip " + name, raw}) }
	frag4 := func(proto layers.IPProtocol, off uint16, more, df bool, body []byte) []byte {
		h := ip(v4a, v4b, proto).(*layers.IPv4)
		h.Flags = 0
		if more {
			h.Flags |= layers.IPv4MoreFragments
		}
		if df {
			h.Flags |= layers.IPv4DontFragment
		}
		h.FragOffset = off
		return serialize(t, h, gopacket.Payload(body))
	}
	dgram := udpPacket(t, v4a, v4b, 40000, 9999, make([]byte, 2000))[20:]
	seg := tcpPacket(t, v4a, v4b, 40000, 9999, make([]byte, 2000), func(h *layers.TCP) { h.ACK = true })[20:]
	echo := icmp4(t, 8, 0, 0x00070001, make([]byte, 2000))[20:]
	for _, df := range []bool{false, true} {
		add("fragment udp first", frag4(17, 0, true, df, dgram[:1480]))
		add("fragment udp middle", frag4(17, 1, true, df, dgram[8:1480]))
		add("fragment udp last", frag4(17, 185, false, df, dgram[1480:]))
		add("fragment tcp first", frag4(6, 0, true, df, seg[:1480]))
		add("fragment tcp last", frag4(6, 185, false, df, seg[1480:]))
		add("fragment icmp first", frag4(1, 0, true, df, echo[:1480]))
		add("fragment icmp last", frag4(1, 185, false, df, echo[1480:]))
		add("fragment other", frag4(253, 185, false, df, echo[1480:]))
	}
	add("fragment tiny first udp", frag4(17, 0, true, false, dgram[:4]))
	for _, proto := range []layers.IPProtocol{0, 2, 4, 41, 47, 50, 58, 132, 200, 253, 255} {
		add("protocol "+proto.String(), ipBytes(t, v4a, v4b, proto, make([]byte, 4)))
		if proto != 0 {
			add("next header "+proto.String(), ipBytes(t, v6a, v6b, proto, make([]byte, 4)))
		}
	}
	withOpts := ip(v4a, v4b, layers.IPProtocolUDP).(*layers.IPv4)
	withOpts.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}, {OptionType: 0}}
	u := &layers.UDP{SrcPort: 1, DstPort: 2}
	require.NoError(t, u.SetNetworkLayerForChecksum(withOpts))
	add("options", serialize(t, withOpts, u))
	tos := ip(v4a, v4b, layers.IPProtocolUDP).(*layers.IPv4)
	tos.TOS = 3
	require.NoError(t, u.SetNetworkLayerForChecksum(tos))
	add("ce mark", serialize(t, tos, u))
	tc := ip(v6a, v6b, layers.IPProtocolUDP).(*layers.IPv6)
	tc.TrafficClass = 2
	require.NoError(t, u.SetNetworkLayerForChecksum(tc))
	add("v6 ect", serialize(t, tc, u))
	all = append(all, ip6Samples(t)...)

	raw := udpPacket(t, v4a, v4b, 40000, 9999, []byte("hello"))
	for _, n := range []int{1, 4, 10, 19, 20, 24, 28, 30} {
		add("v4 cut", append([]byte(nil), raw[:n]...))
	}
	broken := func(name string, at int, v byte) {
		b := append([]byte(nil), raw...)
		b[at] = v
		add("v4 "+name, b)
	}
	broken("ihl 4", 0, 0x44)
	broken("ihl 15", 0, 0x4f)
	broken("total length 10", 3, 10)
	broken("total length 0", 3, 0)
	broken("total length 22", 3, 22)
	broken("total length beyond", 2, 1)
	broken("version 7", 0, 0x75)
	broken("bad checksum", 8, 3)
	broken("reserved flag", 6, 0x80)
	return all
}

func ip6Samples(t testing.TB) []sample {
	var all []sample
	add := func(name string, raw []byte) { all = append(all, sample{"ip " + name, raw}) }
	u6 := udpPacket(t, v6a, v6b, 40000, 9999, make([]byte, 100))[40:]
	s6 := tcpPacket(t, v6a, v6b, 40000, 9999, make([]byte, 100), func(h *layers.TCP) { h.ACK = true })[40:]
	e6 := icmp6(t, 128, 0, 0x00070001, make([]byte, 100))[40:]
	frag6 := func(next byte, off uint16, more bool, body []byte) []byte {
		fh := []byte{next, 0, 0, 0, 0, 0, 0x30, 0x39}
		v := off << 3
		if more {
			v |= 1
		}
		binary.BigEndian.PutUint16(fh[2:], v)
		return ipBytes(t, v6a, v6b, layers.IPProtocolIPv6Fragment, append(fh, body...))
	}
	add("v6 fragment udp first", frag6(17, 0, true, u6[:48]))
	add("v6 fragment udp last", frag6(17, 6, false, u6[48:]))
	add("v6 fragment tcp first", frag6(6, 0, true, s6[:48]))
	add("v6 fragment tcp last", frag6(6, 6, false, s6[48:]))
	add("v6 fragment icmp first", frag6(58, 0, true, e6[:48]))
	add("v6 fragment icmp last", frag6(58, 6, false, e6[48:]))
	add("v6 atomic fragment", frag6(17, 0, false, u6))
	add("v6 fragment other", frag6(253, 3, false, u6))
	add("v6 fragment cut", frag6(17, 0, true, nil)[:44])
	ext := func(name string, first layers.IPProtocol, hdr []byte, next []byte) {
		add("v6 "+name, ipBytes(t, v6a, v6b, first, append(append([]byte(nil), hdr...), next...)))
	}
	ext("hop by hop", 0, []byte{17, 0, 1, 4, 0, 0, 0, 0}, u6)
	ext("hop by hop router alert", 0, []byte{17, 0, 5, 2, 0, 0, 1, 0}, u6)
	ext("destination options", 60, []byte{6, 0, 1, 4, 0, 0, 0, 0}, s6)
	ext("routing", 43, []byte{17, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, u6)
	ext("no next header", 59, nil, []byte{1, 2, 3})
	ext("hop by hop cut", 0, []byte{17, 9, 1, 4, 0, 0, 0, 0}, nil)
	raw := udpPacket(t, v6a, v6b, 40000, 9999, []byte("hello"))
	for _, n := range []int{1, 4, 39, 40, 44, 48, 50} {
		add("v6 cut", append([]byte(nil), raw[:n]...))
	}
	long := append([]byte(nil), raw...)
	long[5] = 200
	add("v6 length beyond", long)
	short := append([]byte(nil), raw...)
	short[5] = 10
	add("v6 length short", short)
	zero := append([]byte(nil), raw...)
	zero[5] = 0
	add("v6 length zero", zero)
	return all
}
