package sim

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/tcp"
)

// rig is a NIC with an impaired link in virtual time. Packets that arrive are recorded.
type rig struct {
	t    testing.TB
	n    *device.NIC
	q    *Queue
	l    *Impaired
	pool device.Pool
	got  []arrival
}

type arrival struct {
	at    time.Duration
	raw   []byte
	flags device.PacketFlags
}

// newRig returns a rig whose virtual time starts at one second.
func newRig(t testing.TB, cfg ImpairConfig, rules ...Rule) *rig {
	t.Helper()
	r := &rig{t: t, q: new(Queue)}
	r.pool.Audit = true
	cfg.Scheduler, cfg.Rules = r.q, rules
	var err error
	r.l, err = NewImpaired(cfg)
	require.NoError(t, err)
	r.n = device.NewNIC(device.Config{Link: r.l, FillChecksum: checksum.Fill, Pool: &r.pool, Interrupt: func(q int) { r.poll() }, RingSize: 1024})
	r.q.Run(time.Second)
	return r
}

// poll is for who holds the baton.
func (r *rig) poll() {
	for {
		r.n.Poll(0, r.q.Now(), 64, func(p *device.Packet) {
			r.got = append(r.got, arrival{r.q.Now(), p.AppendTo(nil), p.Flags})
			p.Release()
		})
		if r.n.Rest(0) {
			return
		}
	}
}

// send transmits packets now, in pieces as the stack makes them: headers apart from payload.
func (r *rig) send(raws ...[]byte) {
	r.t.Helper()
	for _, raw := range raws {
		r.transmit(r.packet(raw))
	}
	if r.n.Ring(0) {
		r.poll()
	}
}

func (r *rig) transmit(p *device.Packet) {
	require.Equal(r.t, device.TxOK, r.n.Transmit(r.q.Now(), p))
}

// packet makes a packet of raw bytes as our own stack would.
func (r *rig) packet(raw []byte) *device.Packet {
	var i PacketInfo
	i.parseIP(raw, len(raw))
	p := r.pool.NewPacket()
	copy(p.SetHead(i.Header), raw)
	if len(raw) > i.Header {
		b := r.pool.Get(len(raw) - i.Header)
		n := copy(b.Bytes(), raw[i.Header:])
		p.Frags[0] = device.Piece{B: b.Bytes()[:n], Owner: b}
	}
	p.Hash = device.FlowHash(raw)
	return p
}

// wait lets virtual time pass.
func (r *rig) wait(d time.Duration) { r.q.Run(r.q.Now() + d) }

// settle lets everything arrive and checks that nothing was lost without being counted.
func (r *rig) settle() {
	r.t.Helper()
	for r.q.Step() {
	}
	s := r.l.Stats()
	require.True(r.t, s.Balanced(), "%+v", s)
	require.Zero(r.t, s.Held)
	drops := r.n.Drops()
	require.EqualValues(r.t, s.Drops(), drops[device.DropLink])
	require.EqualValues(r.t, s.Passed, uint64(len(r.got))+drops[device.DropRxFull], "passed")
	pool := r.pool.Stats()
	require.Zero(r.t, pool.PacketsOut, "packets that were never released")
	require.Zero(r.t, pool.BufsOut, "buffers that were never released")
}

// raws returns what arrived.
func (r *rig) raws() [][]byte {
	var all [][]byte
	for _, a := range r.got {
		all = append(all, a.raw)
	}
	return all
}

// times returns when packets arrived, since the start of the rig's time.
func (r *rig) times() []time.Duration {
	var all []time.Duration
	for _, a := range r.got {
		all = append(all, a.at-time.Second)
	}
	return all
}

var (
	hostA  = netip.MustParseAddr("127.0.0.1")
	hostB  = netip.MustParseAddr("127.0.0.2")
	hostA6 = netip.MustParseAddr("::1")
	hostB6 = netip.MustParseAddr("fd00::2")
)

func serialize(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
	return append([]byte(nil), buf.Bytes()...)
}

func ipLayer(src, dst netip.Addr, proto layers.IPProtocol) gopacket.NetworkLayer {
	if src.Is4() {
		return &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Id: 7, Flags: layers.IPv4DontFragment, Protocol: proto, SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice())}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: net.IP(src.AsSlice()), DstIP: net.IP(dst.AsSlice())}
}

// segment is a TCP segment to be built by gopacket.
type segment struct {
	src, dst     netip.Addr
	sport, dport uint16
	seq, ack     uint32
	flags        tcp.Flags
	payload      []byte
	ect          bool
}

func (s segment) build(t testing.TB) []byte {
	t.Helper()
	l3 := ipLayer(s.src, s.dst, layers.IPProtocolTCP)
	if h, ok := l3.(*layers.IPv4); ok && s.ect {
		h.TOS = 2
	}
	if h, ok := l3.(*layers.IPv6); ok && s.ect {
		h.TrafficClass = 2
	}
	h := &layers.TCP{SrcPort: layers.TCPPort(s.sport), DstPort: layers.TCPPort(s.dport), Seq: s.seq, Ack: s.ack, Window: 512,
		SYN: s.flags.Has(tcp.SYN), ACK: s.flags.Has(tcp.ACK), FIN: s.flags.Has(tcp.FIN), RST: s.flags.Has(tcp.RST),
		PSH: s.flags.Has(tcp.PSH), URG: s.flags.Has(tcp.URG), CWR: s.flags.Has(tcp.CWR),
		Options: []layers.TCPOption{{OptionType: 1, OptionLength: 1}, {OptionType: 1, OptionLength: 1}, {OptionType: 8, OptionLength: 10, OptionData: []byte{1, 2, 3, 4, 5, 6, 7, 8}}}}
	require.NoError(t, h.SetNetworkLayerForChecksum(l3))
	return serialize(t, l3.(gopacket.SerializableLayer), h, gopacket.Payload(s.payload))
}

// data returns the k-th data segment (from 0) of a flow, of n bytes.
func data(t testing.TB, k, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(k + i)
	}
	return segment{src: hostA, dst: hostB, sport: 49152, dport: 631, seq: uint32(1001 + k*n), ack: 77, flags: tcp.ACK, payload: p}.build(t)
}

// stream returns count data segments of n bytes.
func stream(t testing.TB, count, n int) [][]byte {
	var all [][]byte
	for k := range count {
		all = append(all, data(t, k, n))
	}
	return all
}

func datagram(t testing.TB, src, dst netip.Addr, sport, dport uint16, payload []byte) []byte {
	t.Helper()
	l3 := ipLayer(src, dst, layers.IPProtocolUDP)
	h := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	require.NoError(t, h.SetNetworkLayerForChecksum(l3))
	return serialize(t, l3.(gopacket.SerializableLayer), h, gopacket.Payload(payload))
}

// intact reports whether the packet's checksums are right, by summing over everything.
func intact(raw []byte) bool {
	var i PacketInfo
	i.parseIP(raw, len(raw))
	if !i.v6 && checksum.Fold(checksum.Sum(raw[:i.l4], 0)) != 0xffff {
		return false
	}
	if i.Fragment || i.Flow.Proto == 1 {
		return true
	}
	return checksum.Fold(checksum.Sum(raw[i.l4:], checksum.Pseudo(i.Flow.Src.Addr(), i.Flow.Dst.Addr(), i.Flow.Proto, len(raw)-i.l4))) == 0xffff
}

// payloads returns the TCP or UDP payloads of packets that gopacket decodes, in order.
func payloads(t testing.TB, raws [][]byte) []byte {
	var all []byte
	for _, raw := range raws {
		all = append(all, decode(t, raw).TransportLayer().LayerPayload()...)
	}
	return all
}

func decode(t testing.TB, raw []byte) gopacket.Packet {
	t.Helper()
	kind := layers.LayerTypeIPv4
	if raw[0]>>4 == 6 {
		kind = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(raw, kind, gopacket.Default)
	require.Nil(t, p.ErrorLayer())
	return p
}

func prefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
