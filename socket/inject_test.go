package socket_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/socket"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

// The packets of this file are made and understood by gopacket, which knows nothing of our code.

var (
	v4Local, v4Other = net.IP{127, 0, 0, 1}, net.IP{127, 0, 0, 2}
	v6Local          = net.IPv6loopback
)

func hdr4(proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: v4Other, DstIP: v4Local, Id: 77}
}

func hdr6(proto layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: v6Local, DstIP: v6Local}
}

// build serializes layers with lengths and checksums filled in.
func build(ls ...gopacket.SerializableLayer) []byte {
	for i, l := range ls[1:] {
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if n, ok := ls[i].(gopacket.NetworkLayer); ok {
				_ = c.SetNetworkLayerForChecksum(n)
			} else if n, ok := ls[0].(gopacket.NetworkLayer); ok {
				_ = c.SetNetworkLayerForChecksum(n)
			}
		}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		panic(err)
	}
	return append([]byte(nil), b.Bytes()...)
}

// with returns b with one byte changed; a negative offset counts from the end.
func with(b []byte, offset int, x byte) []byte {
	b = append([]byte(nil), b...)
	if offset < 0 {
		offset += len(b)
	}
	b[offset] = x
	return b
}

func udpTo(port int) *layers.UDP { return &layers.UDP{SrcPort: 9999, DstPort: layers.UDPPort(port)} }

func synTo(port int) *layers.TCP {
	return &layers.TCP{SrcPort: 9999, DstPort: layers.TCPPort(port), Seq: 1000, SYN: true, Window: 1024}
}

// echo4 and echo6 are echo requests with data.
func echo4(text string) []byte {
	return build(hdr4(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7, Seq: 1}, gopacket.Payload(text))
}

func echo6(text string) []byte {
	return build(hdr6(layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)},
		&layers.ICMPv6Echo{Identifier: 7, SeqNumber: 1}, gopacket.Payload(text))
}

// summary tells what a packet is, as gopacket sees it.
func summary(raw []byte) string {
	first := layers.LayerTypeIPv4
	if len(raw) > 0 && raw[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(raw, first, gopacket.Default)
	var words []string
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			words = append(words, fmt.Sprintf("%v > %v", l.SrcIP, l.DstIP))
		case *layers.IPv6:
			words = append(words, fmt.Sprintf("%v > %v", l.SrcIP, l.DstIP))
		case *layers.ICMPv4:
			words = append(words, "icmp "+l.TypeCode.String())
		case *layers.ICMPv6:
			words = append(words, "icmp6 "+l.TypeCode.String())
		case *layers.TCP:
			words = append(words, fmt.Sprintf("tcp %d > %d syn=%t ack=%t rst=%t seq=%d", l.SrcPort, l.DstPort, l.SYN, l.ACK, l.RST, l.Seq))
		case *layers.UDP:
			words = append(words, fmt.Sprintf("udp %d > %d", l.SrcPort, l.DstPort))
		}
	}
	return strings.Join(words, ", ")
}

// observed is a Stack with a server on TCP and UDP port 80, and what it sent.
type observed struct {
	*socket.Stack
	udp *socket.UDPConn

	mu   sync.Mutex // the stack's timers send from a goroutine of their own
	sent [][]byte
}

// takeSent returns what was sent since the last call.
func (o *observed) takeSent() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent := o.sent
	o.sent = nil
	return sent
}

func newObserved(t testing.TB) *observed {
	o := &observed{Stack: socket.New(socket.Config{})}
	l, err := o.Listen("tcp", ":80")
	require.NoError(t, err)
	o.udp, err = o.ListenUDP("udp", &net.UDPAddr{Port: 80})
	require.NoError(t, err)
	o.NIC().AddTap(func(dir device.Direction, _ time.Duration, n *device.NIC, p *device.Packet) {
		if dir == device.DirTX {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.sent = append(o.sent, n.AppendWire(nil, p))
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		require.NoError(t, o.Close())
	})
	return o
}

// counter is the value of a counter.
func (o *observed) counter(group, name string) uint64 {
	for _, c := range o.Counters() {
		if c.Group == group && c.Name == name {
			return c.Value
		}
	}
	return 0
}

// nonZero are the counters that have counted.
func (o *observed) nonZero() (list []socket.Counter) {
	for _, c := range o.Counters() {
		if c.Value != 0 {
			list = append(list, c)
		}
	}
	return list
}

// like4 and like6 are headers with something different.
func like4(proto layers.IPProtocol, change func(h *layers.IPv4)) *layers.IPv4 {
	h := hdr4(proto)
	change(h)
	return h
}

func like6(proto layers.IPProtocol, change func(h *layers.IPv6)) *layers.IPv6 {
	h := hdr6(proto)
	change(h)
	return h
}

func option(h *layers.IPv4, kind, length uint8, data ...byte) {
	h.Options = append(h.Options, layers.IPv4Option{OptionType: kind, OptionLength: length, OptionData: data})
}

var (
	udp4 = build(hdr4(layers.IPProtocolUDP), udpTo(80), gopacket.Payload("hello"))
	udp6 = build(hdr6(layers.IPProtocolUDP), udpTo(80), gopacket.Payload("hello"))
	tcp4 = build(hdr4(layers.IPProtocolTCP), synTo(80))

	foreign     = like4(layers.IPProtocolUDP, func(h *layers.IPv4) { h.DstIP = net.IP{10, 0, 0, 1} })
	martian     = like4(layers.IPProtocolUDP, func(h *layers.IPv4) { h.SrcIP = net.IP{10, 0, 0, 1} })
	foreign6    = like6(layers.IPProtocolUDP, func(h *layers.IPv6) { h.DstIP = net.ParseIP("2001:db8::1") })
	martian6    = like6(layers.IPProtocolUDP, func(h *layers.IPv6) { h.SrcIP = net.ParseIP("2001:db8::1") })
	options     = like4(layers.IPProtocolUDP, func(h *layers.IPv4) { option(h, 1, 0); option(h, 7, 3, 4) })
	badOption   = like4(layers.IPProtocolUDP, func(h *layers.IPv4) { option(h, 7, 39, 0, 0) })
	sourceRoute = like4(layers.IPProtocolUDP, func(h *layers.IPv4) { option(h, 131, 7, 4, 127, 0, 0, 1) })

	rst = &layers.TCP{SrcPort: 9999, DstPort: 81, Seq: 1000, RST: true}
	ack = &layers.TCP{SrcPort: 9999, DstPort: 81, Seq: 1000, ACK: true, Ack: 12345}
)

// injections are packets from a wire, good and bad: which counter says so, and what is answered.
var injections = []struct {
	name   string
	packet []byte
	drop   string // counter of the group Drop; "" delivered
	reply  string // "" none
}{
	{"version 5", with(udp4, 0, 0x55), "IpNotIP", ""},
	{"one byte", []byte{0x45}, "IpInHdrErrors", ""},
	{"half a header", udp4[:10], "IpInHdrErrors", ""},
	{"header length 4", with(udp4, 0, 0x41), "IpInHdrErrors", ""},
	{"header checksum", with(udp4, 10, udp4[10]^1), "IpInHdrErrors", ""},
	{"longer than it is", udp4[:len(udp4)-1], "IpInHdrErrors", ""},
	{"half an IPv6 header", udp6[:39], "Ip6InHdrErrors", ""},
	{"longer than it is, IPv6", udp6[:len(udp6)-1], "Ip6InHdrErrors", ""},
	{"for somebody else", build(foreign, udpTo(80)), "IpInAddrErrors", ""},
	{"for somebody else, IPv6", build(foreign6, udpTo(80)), "IpInAddrErrors", ""},
	{"from a martian", build(martian, udpTo(80)), "IPReversePathFilter", ""},
	{"from a martian, IPv6", build(martian6, udpTo(80)), "IPReversePathFilter", ""},
	{"options", build(options, udpTo(80)), "", ""},
	{"an option longer than the header", build(badOption, udpTo(80)), "IpInHdrErrors", "127.0.0.1 > 127.0.0.2, icmp ParameterProblem(PointerIndicatesError)"},
	{"source route", build(sourceRoute, udpTo(80)), "IpInHdrErrors", ""},
	{"unknown protocol", build(hdr4(253), gopacket.Payload("?")), "IpInUnknownProtos", "127.0.0.1 > 127.0.0.2, icmp DestinationUnreachable(Protocol)"},
	{"unknown protocol, IPv6", build(hdr6(253), gopacket.Payload("?")), "IpInUnknownProtos", "::1 > ::1, icmp6 ParameterProblem(UnrecognizedNextHeader)"},
	{"no next header", build(hdr6(layers.IPProtocolNoNextHeader)), "", ""},
	{"UDP", udp4, "", ""},
	{"UDP over IPv6", udp6, "", ""},
	{"UDP without a checksum", with(with(udp4, 26, 0), 27, 0), "", ""},
	{"UDP over IPv6 without a checksum", with(with(udp6, 46, 0), 47, 0), "UdpInErrors", ""},
	{"UDP with a wrong checksum", with(udp4, -1, 'O'), "UdpInCsumErrors", ""},
	{"UDP over IPv6 with a wrong checksum", with(udp6, -1, 'O'), "UdpInCsumErrors", ""},
	{"UDP shorter than its header", with(udp4, 25, 7), "UdpInErrors", ""},
	{"UDP longer than the packet", with(udp4, 25, 200), "UdpInErrors", ""},
	{"UDP to nobody", build(hdr4(layers.IPProtocolUDP), udpTo(81)), "UdpNoPorts", "127.0.0.1 > 127.0.0.2, icmp DestinationUnreachable(Port)"},
	{"UDP to nobody, IPv6", build(hdr6(layers.IPProtocolUDP), udpTo(81)), "UdpNoPorts", "::1 > ::1, icmp6 DestinationUnreachable(PortUnreachable)"},
	{"SYN", tcp4, "", "127.0.0.1 > 127.0.0.2, tcp 80 > 9999 syn=true ack=true rst=false"},
	{"SYN with a wrong checksum", with(tcp4, 36, tcp4[36]^1), "TcpInCsumErrors", ""},
	{"SYN with a short data offset", with(tcp4, 32, 0x40), "TcpInErrs", ""},
	{"SYN with a long data offset", with(tcp4, 32, 0xf0), "TcpInErrs", ""},
	{"SYN to nobody", build(hdr4(layers.IPProtocolTCP), synTo(81)), "TcpNoPorts", "127.0.0.1 > 127.0.0.2, tcp 81 > 9999 syn=false ack=true rst=true seq=0"},
	{"SYN to nobody, IPv6", build(hdr6(layers.IPProtocolTCP), synTo(81)), "TcpNoPorts", "::1 > ::1, tcp 81 > 9999 syn=false ack=true rst=true seq=0"},
	{"ACK to nobody", build(hdr4(layers.IPProtocolTCP), ack), "TcpNoPorts", "127.0.0.1 > 127.0.0.2, tcp 81 > 9999 syn=false ack=false rst=true seq=12345"},
	{"RST to nobody", build(hdr4(layers.IPProtocolTCP), rst), "TcpNoPorts", ""},
	{"ping", echo4("ping"), "", "127.0.0.1 > 127.0.0.2, icmp EchoReply"},
	{"ping, IPv6", echo6("ping"), "", "::1 > ::1, icmp6 EchoReply"},
	{"ping with a wrong checksum", with(echo4("ping"), -1, 'x'), "IcmpInErrors", ""},
	{"ping with a wrong checksum, IPv6", with(echo6("ping"), -1, 'x'), "IcmpInErrors", ""},
}

// TestInjected injects each and looks.
func TestInjected(t *testing.T) {
	for _, c := range injections {
		t.Run(c.name, func(t *testing.T) {
			o := newObserved(t)
			require.NoError(t, o.NIC().Inject(0, c.packet))
			counts := o.Conservation()
			require.True(t, counts.Holds(), "%+v", counts)
			if c.drop == "" {
				require.NotZero(t, counts.Delivered, "delivered: %+v", o.nonZero())
			} else {
				require.NotZero(t, o.counter("Drop", c.drop), c.drop) // a reset that comes back counts too
			}
			sent := o.takeSent()
			if c.reply == "" {
				require.Empty(t, sent)
				return
			}
			require.NotEmpty(t, sent)
			require.Contains(t, summary(sent[0]), c.reply)
			requireChecksums(t, sent[0])
		})
	}
}

// requireChecksums takes a packet apart and has gopacket put it together again: every checksum has to be the same.
func requireChecksums(t testing.TB, raw []byte) {
	t.Helper()
	first := layers.LayerTypeIPv4
	if raw[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(raw, first, gopacket.Default)
	if fail := p.ErrorLayer(); fail != nil {
		t.Fatalf("gopacket: %v\n%s", fail.Error(), hex.Dump(raw))
	}
	var ls []gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	var payload []byte
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.IPv4:
			ls, network = append(ls, l), l
		case *layers.IPv6:
			ls, network = append(ls, l), l
		case *layers.TCP:
			_ = l.SetNetworkLayerForChecksum(network)
			ls = append(ls, l)
		case *layers.UDP:
			_ = l.SetNetworkLayerForChecksum(network)
			ls = append(ls, l)
		case *layers.ICMPv4:
			ls = append(ls, l)
		case *layers.ICMPv6:
			_ = l.SetNetworkLayerForChecksum(network)
			ls = append(ls, l)
		default:
			continue
		}
		payload = l.LayerPayload()
	}
	again := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(again, gopacket.SerializeOptions{ComputeChecksums: true}, append(ls, gopacket.Payload(payload))...))
	require.Equal(t, hex.Dump(again.Bytes()), hex.Dump(raw), "the checksums are as gopacket computes them")
}

// TestInjectedFragments: fragments from a wire are put together; overlapping ones of IPv6 are refused (RFC 5722); and a
// datagram that stays incomplete is given up with a word to its sender.
func TestInjectedFragments(t *testing.T) {
	whole := build(hdr4(layers.IPProtocolUDP), udpTo(80), gopacket.Payload(strings.Repeat("fragment", 6)))[20:]
	part := func(from, to int, more bool) []byte {
		h := hdr4(layers.IPProtocolUDP)
		h.FragOffset = uint16(from / 8)
		if more {
			h.Flags = layers.IPv4MoreFragments
		}
		return build(h, gopacket.Payload(whole[from:to]))
	}
	part6 := func(from, to int, more bool) []byte {
		h := hdr6(layers.IPProtocolIPv6Fragment)
		f := []byte{17, 0, byte(from >> 8), byte(from & 0xf8), 0, 0, 0, 9}
		if more {
			f[3] |= 1
		}
		return build(h, gopacket.Payload(append(f, whole[from:to]...)))
	}
	synctest.Test(t, func(t *testing.T) {
		o := newObserved(t)
		now := func() time.Duration { return 0 }
		require.NoError(t, o.NIC().Inject(now(), part(24, len(whole), false)))
		require.NoError(t, o.NIC().Inject(now(), part(0, 24, true)))
		buf := make([]byte, 100)
		n, from, err := o.udp.ReadFromUDPAddrPort(buf)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("fragment", 6), string(buf[:n]))
		require.Equal(t, "127.0.0.2", from.Addr().Unmap().String())
		require.Equal(t, uint64(1), o.counter("Ip", "ReasmOKs"))

		require.NoError(t, o.NIC().Inject(now(), part6(0, 24, true)))
		require.NoError(t, o.NIC().Inject(now(), part6(16, 32, true)))
		require.Equal(t, uint64(1), o.counter("Drop", "IpReasmFails"))

		require.NoError(t, o.NIC().Inject(now(), part(0, 24, true)))
		o.takeSent()
		time.Sleep(2 * time.Minute) // virtual
		synctest.Wait()
		sent := o.takeSent()
		require.Len(t, sent, 1)
		require.Equal(t, "127.0.0.1 > 127.0.0.2, icmp TimeExceeded(FragmentReassemblyTimeExceeded)", strings.Split(summary(sent[0]), ", ip")[0])
		require.True(t, o.Conservation().Holds(), "%+v", o.Conservation())
	})
}

// FuzzWire: whatever comes from a wire, the stack neither panics nor hangs, every packet is accounted for, and what it
// answers is well formed. Afterwards the stack still works.
func FuzzWire(f *testing.F) {
	for _, repair := range []bool{false, true} {
		f.Add(echo4("ping"), echo6("ping"), repair)
		f.Add(build(hdr4(layers.IPProtocolTCP), synTo(80)), build(hdr6(layers.IPProtocolTCP), synTo(80)), repair)
		f.Add(build(hdr4(layers.IPProtocolUDP), udpTo(81), gopacket.Payload("x")), build(hdr6(layers.IPProtocolUDP), udpTo(80)), repair)
		f.Add(build(hdr4(253)), build(hdr6(layers.IPProtocolIPv6HopByHop), gopacket.Payload([]byte{17, 0, 1, 4, 0, 0, 0, 0})), repair)
		f.Add([]byte{}, []byte{0x60}, repair)
	}
	for k, i := range injections {
		f.Add(i.packet, injections[(k+1)%len(injections)].packet, true)
	}
	f.Fuzz(func(t *testing.T, a, b []byte, repair bool) {
		o := newObserved(t)
		for _, raw := range [][]byte{a, b, a} {
			raw = append([]byte(nil), raw...)
			if repair {
				repairChecksums(raw)
			}
			_ = o.NIC().Inject(0, raw)
		}
		if c := o.Conservation(); !c.Holds() {
			t.Fatalf("packets have vanished: %+v", c)
		}
		for _, raw := range o.takeSent() {
			requireChecksums(t, raw)
		}
		if err := pingUDP(o); err != nil {
			t.Fatal(err)
		}
	})
}

// repairChecksums makes the checksums of a packet right, if it looks like one, so that more than checksums gets fuzzed.
func repairChecksums(b []byte) {
	var start, proto int
	var src, dst netip.Addr
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		if start, proto = int(b[0]&15)*4, int(b[9]); start < 20 || start > len(b) {
			return
		}
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^checksum.Fold(checksum.Sum(b[:start], 0)))
		src, dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	case len(b) >= 40 && b[0]>>4 == 6:
		start, proto = 40, int(b[6])
		src, dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	default:
		return
	}
	at, known := map[int]int{1: 2, 6: 16, 17: 6, 58: 2}[proto]
	if at += start; !known || at+2 > len(b) {
		return
	}
	b[at], b[at+1] = 0, 0
	pseudo := uint32(0)
	if proto != 1 {
		pseudo = checksum.Pseudo(src, dst, uint8(proto), len(b)-start)
	}
	binary.BigEndian.PutUint16(b[at:], ^checksum.Fold(checksum.Sum(b[start:], pseudo)))
}

// pingUDP sends a datagram to the server and reads until it comes.
func pingUDP(o *observed) error {
	c, err := o.Dial("udp", "127.0.0.1:80")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("still there?")); err != nil {
		return err
	}
	if err := o.udp.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for buf := make([]byte, 1<<16); ; {
		n, _, err := o.udp.ReadFromUDPAddrPort(buf)
		if err != nil || string(buf[:n]) == "still there?" {
			return err
		}
	}
}
