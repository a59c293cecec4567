package peer

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/sim/capture"
	"example.com/loopback/socket"
)

// Ports of the host that is probed.
const (
	openPort   = 80 // TCP listens, UDP is bound
	closedPort = 81
)

// A target is a host at addrA that is sent single packets from addrB. It has a listener and a UDP socket at openPort.
type target interface {
	// ask sends a packet and returns what the host answers at once.
	ask(raw []byte) [][]byte
}

// kernelTarget is a kernel as target. To know when it has said all it has to say it is sent a ping after each packet.
type kernelTarget struct {
	t       testing.TB
	dev     *tun
	replies chan []byte
	pings   uint16
}

func newKernelTarget(t testing.TB) *kernelTarget {
	k := newKernel(t)
	kt := &kernelTarget{t: t, dev: k.tun("tun0", mtu, prefixes(addrA)...), replies: make(chan []byte, 1000)}
	kt.dev.plug(func(raw []byte) { kt.replies <- append([]byte(nil), raw...) })
	kt.dev.start()
	l, err := k.listen("tcp", netip.AddrPortFrom(netip.IPv6Unspecified(), openPort))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	u, err := k.listenPacket("udp", fmt.Sprintf(":%d", openPort))
	require.NoError(t, err)
	t.Cleanup(func() { u.Close() })
	return kt
}

func (kt *kernelTarget) ask(raw []byte) (replies [][]byte) {
	kt.t.Helper()
	kt.dev.deliver(raw)
	kt.pings++
	ping := probe{family: 4}.icmp4(layers.ICMPv4TypeEchoRequest, 0, kt.pings, []byte("mark"))
	kt.dev.deliver(ping)
	for {
		select {
		case r := <-kt.replies:
			if p, ok := decode(r).Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok && p.Seq == kt.pings && string(p.Payload) == "mark" {
				return replies
			}
			replies = append(replies, r)
		case <-time.After(patience):
			kt.t.Fatal("the kernel does not answer a ping")
		}
	}
}

// stackTarget is a Stack as target, in virtual time.
type stackTarget struct {
	t testing.TB
	d *sim.Driver
}

func newStackTarget(t testing.TB) *stackTarget {
	d, err := sim.NewDriver(sim.DriverConfig{Stack: socket.Config{MTU: mtu}, Addrs: prefixes(addrA)})
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	for _, network := range []string{"tcp6", "udp6"} {
		s, err := d.Stack().Socket(network)
		require.NoError(t, err)
		require.NoError(t, s.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), openPort)))
		if network == "tcp6" {
			require.NoError(t, s.Listen(128))
		}
	}
	return &stackTarget{t, d}
}

func (st *stackTarget) ask(raw []byte) (replies [][]byte) {
	st.t.Helper()
	require.NoError(st.t, st.d.Inject(raw))
	for {
		s, ok := st.d.Next()
		if !ok {
			st.d.Advance(st.d.Now() + time.Second) // no limit to rates is reached by one packet a second
			for _, late := st.d.Next(); late; _, late = st.d.Next() {
				continue // SYN-ACKs again
			}
			return replies
		}
		replies = append(replies, s.Packet)
	}
}

// A probe is the IP header of a packet from addrB to addrA.
type probe struct {
	family int
	port   uint16 // that it is sent from
	tos    uint8
	flags  layers.IPv4Flag
	offset uint16 // of the fragment, in bytes
	ttl    uint8
	opts   []layers.IPv4Option
}

// serialize makes bytes of layers, lengths and checksums included.
func serialize(ls ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		panic(err) // a test's own mistake
	}
	return b.Bytes()
}

// ip4 and ip6 make the IP header of a packet.
func (p probe) ip4(proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: max(p.ttl, 1), TOS: p.tos, Id: 0x1234, Flags: p.flags, FragOffset: p.offset / 8, Protocol: proto, Options: p.opts,
		SrcIP: addrB[4].AsSlice(), DstIP: addrA[4].AsSlice(),
	}
}

func (p probe) ip6(proto layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{
		Version: 6, HopLimit: max(p.ttl, 1), TrafficClass: p.tos, NextHeader: proto, SrcIP: addrB[6].AsSlice(), DstIP: addrA[6].AsSlice(),
	}
}

func (p probe) ip(proto layers.IPProtocol) gopacket.SerializableLayer {
	if p.family == 4 {
		return p.ip4(proto)
	}
	return p.ip6(proto)
}

func (p probe) raw(proto layers.IPProtocol, payload []byte) []byte {
	return serialize(p.ip(proto), gopacket.Payload(payload))
}

func (p probe) icmp4(kind, code uint8, seq uint16, payload []byte) []byte {
	return serialize(p.ip4(layers.IPProtocolICMPv4),
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, code), Id: 77, Seq: seq}, gopacket.Payload(payload))
}

// icmp6 makes an ICMPv6 message of the body, which begins after the checksum.
func (p probe) icmp6(kind, code uint8, body []byte) []byte {
	h, m := p.ip6(layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}
	_ = m.SetNetworkLayerForChecksum(h) // an IPv6 header is one
	return serialize(h, m, gopacket.Payload(body))
}

func (p probe) udp(port uint16, payload []byte) []byte {
	h := p.ip(layers.IPProtocolUDP)
	u := &layers.UDP{SrcPort: layers.UDPPort(p.port), DstPort: layers.UDPPort(port)}
	_ = u.SetNetworkLayerForChecksum(h.(gopacket.NetworkLayer))
	return serialize(h, u, gopacket.Payload(payload))
}

// tcp makes a segment with flags as tcpdump writes them; seq is 1000, and ack 2000 if there is an ACK.
func (p probe) tcp(port uint16, flags string, opts []layers.TCPOption, payload []byte) []byte {
	h := p.ip(layers.IPProtocolTCP)
	s := &layers.TCP{SrcPort: layers.TCPPort(p.port), DstPort: layers.TCPPort(port), Seq: 1000, Window: 8192, Options: opts}
	for _, f := range flags {
		switch f {
		case 'S':
			s.SYN = true
		case 'F':
			s.FIN = true
		case 'R':
			s.RST = true
		case 'P':
			s.PSH = true
		case '.':
			s.ACK, s.Ack = true, 2000
		case 'U':
			s.URG, s.Urgent = true, 1
		case 'E':
			s.ECE = true
		case 'W':
			s.CWR = true
		}
	}
	_ = s.SetNetworkLayerForChecksum(h.(gopacket.NetworkLayer))
	return serialize(h, s, gopacket.Payload(payload))
}

// masked is a packet without what each host draws at random, as text: identification (but for 0 or not), flow label,
// first sequence number, timestamp and checksums.
func masked(raw []byte) string {
	b := append([]byte(nil), raw...)
	proto, at := b[9], 20
	if b[0]>>4 == 4 {
		if b[4]|b[5] != 0 {
			b[4], b[5] = 1, 1
		}
		b[10], b[11] = 0, 0
		at = int(b[0]&15) * 4
	} else {
		b[1], b[2], b[3] = b[1]&0xf0, 0, 0
		proto, at = b[6], 40
	}
	t := b[at:]
	switch proto {
	case 1, 58:
		t[2], t[3] = 0, 0
	case 6:
		t[16], t[17] = 0, 0
		if t[13]&2 != 0 {
			clear(t[4:8])
		}
		maskTimestamp(t[20 : t[12]>>4*4])
	}
	return hex.EncodeToString(b[:at]) + " " + hex.EncodeToString(t)
}

// readable is a packet as tcpdump prints it.
func readable(raw []byte) string {
	p := capture.NewPrinter(nil, capture.TraceOptions{Time: capture.TimeNone, Absolute: true})
	return strings.TrimSpace(string(p.AppendPacket(nil, 0, raw)))
}

// report shows where two lists of masked packets differ.
func report(want, got []reply) string {
	var b strings.Builder
	for i := range max(len(want), len(got)) {
		var k, s reply
		if i < len(want) {
			k = want[i]
		}
		if i < len(got) {
			s = got[i]
		}
		if k.masked == s.masked {
			continue
		}
		at := 0
		for at < min(len(k.masked), len(s.masked)) && k.masked[at] == s.masked[at] {
			at++
		}
		fmt.Fprintf(&b, "\n  kernel: %s\n  stack:  %s", k.text, s.text)
		for _, m := range []string{k.masked, s.masked} {
			fmt.Fprintf(&b, "\n    %.120s", m[min(len(m), max(0, at-60)):])
		}
	}
	return b.String()
}

func maskTimestamp(opts []byte) {
	for i := 0; i < len(opts) && opts[i] != 0; {
		if opts[i] == 1 {
			i++
			continue
		}
		if opts[i] == 8 {
			clear(opts[i+2 : i+6])
		}
		i += int(opts[i+1])
	}
}

// TestSinglePackets sends single packets, right and wrong ones, to a kernel and to a Stack: they answer with the same
// packets, byte for byte but for what is drawn at random, or do not answer.
func TestSinglePackets(t *testing.T) {
	k, s := newKernelTarget(t), newStackTarget(t)
	for _, family := range families {
		for i, x := range singlePackets(family) {
			t.Run(familyName(family)+"/"+x.name, func(t *testing.T) {
				raw := x.make(probe{family: family, port: uint16(20000 + i), ttl: 64})
				want, got := answers(k, raw), answers(s, raw)
				if diff := report(want, got); x.differs != "" {
					t.Logf("we differ: %s%s", x.differs, diff)
				} else if diff != "" {
					t.Errorf("to %s\n%x%s", readable(raw), raw[:min(len(raw), 100)], diff)
				}
				for _, r := range got {
					t.Log(r.text) // -v shows what they answer
				}
			})
		}
	}
}

// answers sends a packet and returns the answers to it, masked.
func answers(to target, raw []byte) (list []reply) {
	asked := decode(raw)
	for _, r := range to.ask(raw) {
		answer := decode(r)
		if n := answer.NetworkLayer(); n == nil || asked.NetworkLayer() == nil ||
			n.NetworkFlow().Dst() != asked.NetworkLayer().NetworkFlow().Src() {
			continue // the kernel's multicast
		}
		if a, b := asked.TransportLayer(), answer.TransportLayer(); b != nil && a != nil && a.TransportFlow() != b.TransportFlow().Reverse() {
			continue // late answers to packets before
		}
		list = append(list, reply{readable(r), masked(r)})
	}
	return list
}

// reply is an answer as text and without what is random.
type reply struct{ text, masked string }
