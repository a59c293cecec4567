package sim_test

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/socket"
)

// What RFC 9293 requires of TCP together with the IP layer below it, at the wire, by number. (Package tcp's
// TestAppendixB has the list of all.)

// A bench is a computer on an open wire, whose far end gopacket speaks for.
type bench struct {
	*sim.Driver
	t *testing.T
}

var (
	benchA  = netip.MustParseAddr("192.0.2.1")
	benchA2 = netip.MustParseAddr("192.0.2.2")
	benchB  = netip.MustParseAddr("198.51.100.9") // the far end
	benchA6 = netip.MustParseAddr("2001:db8::1")
	benchB6 = netip.MustParseAddr("2001:db8:1::9")
)

func newBench(t *testing.T, cfg socket.Config) *bench {
	t.Helper()
	cfg.MTU = 1500
	d, err := sim.NewDriver(sim.DriverConfig{Stack: cfg, Addrs: []netip.Prefix{
		netip.PrefixFrom(benchA, 24), netip.PrefixFrom(benchA2, 24), netip.PrefixFrom(benchA6, 64),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return &bench{d, t}
}

// socket makes a TCP socket, bound if an address is given.
func (b *bench) socket(network string, local netip.AddrPort) *socket.Socket {
	b.t.Helper()
	k, err := b.Stack().Socket(network)
	require.NoError(b.t, err)
	if local.IsValid() {
		require.NoError(b.t, k.Bind(local))
	}
	return k
}

func (b *bench) listen(local netip.AddrPort) *socket.Socket {
	b.t.Helper()
	k := b.socket("tcp4", local)
	require.NoError(b.t, k.Listen(10))
	return k
}

// connect begins a connection to the far end.
func (b *bench) connect(local, remote netip.AddrPort) *socket.Socket {
	b.t.Helper()
	network := "tcp4"
	if remote.Addr().Is6() {
		network = "tcp6"
	}
	k := b.socket(network, local)
	require.ErrorIs(b.t, k.Connect(remote), syscall.EINPROGRESS)
	return k
}

// A sent is a segment that the computer sent.
type sent struct {
	src, dst netip.Addr
	ttl, tos uint8
	*layers.TCP
}

// next takes the next segment. Every one must have a good checksum.
func (b *bench) next() sent {
	b.t.Helper()
	p, ok := b.Next()
	require.True(b.t, ok, "a segment is sent")
	first := layers.LayerTypeIPv4
	if p.Packet[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	d := gopacket.NewPacket(p.Packet, first, gopacket.Default)
	t, ok := d.Layer(layers.LayerTypeTCP).(*layers.TCP)
	require.True(b.t, ok, "%v", d)
	require.NoError(b.t, t.SetNetworkLayerForChecksum(d.NetworkLayer()))
	right, err := t.ComputeChecksum()
	require.NoError(b.t, err)
	require.Zero(b.t, right, "sum over a segment with its checksum")
	s := sent{TCP: t}
	switch h := d.NetworkLayer().(type) {
	case *layers.IPv4:
		s.src, s.dst, s.ttl, s.tos = netip.AddrFrom4([4]byte(h.SrcIP)), netip.AddrFrom4([4]byte(h.DstIP)), h.TTL, h.TOS
	case *layers.IPv6:
		s.src, s.dst, s.ttl, s.tos = netip.AddrFrom16([16]byte(h.SrcIP)), netip.AddrFrom16([16]byte(h.DstIP)), h.HopLimit, h.TrafficClass
	}
	return s
}

// silent requires that nothing is sent.
func (b *bench) silent(why string) {
	b.t.Helper()
	_, ok := b.Next()
	require.False(b.t, ok, why)
}

// arrive delivers a segment of the far end; change may spoil its IPv4 header.
func (b *bench) arrive(src, dst netip.AddrPort, s *layers.TCP, change func(h *layers.IPv4)) {
	b.t.Helper()
	s.SrcPort, s.DstPort = layers.TCPPort(src.Port()), layers.TCPPort(dst.Port())
	if s.Window == 0 {
		s.Window = 65535
	}
	payload := gopacket.Payload(s.Payload)
	var ip gopacket.NetworkLayer
	if src.Addr().Is4() {
		h := &layers.IPv4{Version: 4, TTL: 64, Id: 1, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
		if change != nil {
			change(h)
		}
		ip = h
	} else {
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	}
	require.NoError(b.t, s.SetNetworkLayerForChecksum(ip))
	buf := gopacket.NewSerializeBuffer()
	require.NoError(b.t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		ip.(gopacket.SerializableLayer), s, payload))
	require.NoError(b.t, b.Inject(buf.Bytes()))
}

// open connects the far end to a listener and returns the accepted socket.
func (b *bench) open(l *socket.Socket, from, to netip.AddrPort) *socket.Socket {
	b.t.Helper()
	b.arrive(from, to, &layers.TCP{SYN: true, Seq: 100}, nil)
	synack := b.next()
	require.True(b.t, synack.SYN && synack.ACK)
	b.arrive(from, to, &layers.TCP{ACK: true, Seq: 101, Ack: synack.Seq + 1}, nil)
	k, _, err := l.Accept()
	require.NoError(b.t, err)
	return k
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// TestRFC9293 has a subtest for each requirement.
func TestRFC9293(t *testing.T) {
	for _, r := range []struct {
		id, what string
		test     func(t *testing.T)
	}{
		{"MUST-2", "every segment sent has its checksum", checksumsSent},
		{"MUST-3", "a segment with a wrong checksum is dropped", checksumsChecked},
		{"MUST-41", "a passive OPEN leaves connections of its port alone", passiveOpens},
		{"MUST-42", "one port may be listened on at several addresses at once", listensOnOnePort},
		{"MUST-43", "an OPEN may name the local address", openNamesAddress},
		{"MUST-44", "an OPEN that does not is given one by IP", openAsksForAddress},
		{"MUST-45", "all segments of a connection come from its local address", oneAddress},
		{"MUST-46", "an OPEN to a broadcast or multicast address fails", openToMany},
		{"MUST-48", "the Diffserv field may be specified", diffserv},
		{"MUST-49", "the TTL may be configured", ttl},
		{"MUST-50", "IP options that TCP does not understand are ignored", ipOptions},
		{"MUST-57", "a SYN to a broadcast or multicast address is dropped silently", synToMany},
		{"MUST-63", "a SYN from an address that cannot be is dropped", synFromNowhere},
		{"SHLD-22", "the Diffserv field is passed to IP unchanged", diffserv},
		{"SHLD-21", "the Diffserv field may change during a connection", diffserv},
	} {
		t.Run(r.id, func(t *testing.T) { t.Log(r.what); r.test(t) })
	}
}

func checksumsSent(t *testing.T) {
	for _, verify := range []bool{false, true} { // by the NIC, and by the stack
		b := newBench(t, socket.Config{VerifyChecksums: verify})
		for _, remote := range []netip.AddrPort{at(benchB, 80), at(benchB6, 80)} {
			k := b.connect(netip.AddrPort{}, remote)
			syn := b.next() // checks it
			b.arrive(remote, at(syn.src, uint16(syn.SrcPort)), &layers.TCP{SYN: true, ACK: true, Seq: 5, Ack: syn.Seq + 1}, nil)
			require.True(t, b.next().ACK)
			require.NoError(t, k.Conn().SetNoDelay(true))
			for _, n := range []int{1, 2, 555, 1400} {
				_, err := k.Send(make([]byte, n), 0, netip.AddrPort{})
				require.NoError(t, err)
				for s, got := b.next(), 0; ; s = b.next() {
					if got += len(s.Payload); got >= n {
						break
					}
				}
			}
			require.NoError(t, k.CloseNow())
			require.True(t, b.next().FIN)
		}
	}
}

func checksumsChecked(t *testing.T) {
	b := newBench(t, socket.Config{})
	b.listen(at(benchA, 80))
	from, to := at(benchB, 4000), at(benchA, 80)
	good := layers.TCP{SYN: true, Seq: 100}
	b.arrive(from, to, &good, nil)
	require.True(t, b.next().SYN)
	wrong := layers.TCP{SYN: true, Seq: 100, SrcPort: 4001, DstPort: 80, Window: 65535}
	h := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: benchB.AsSlice(), DstIP: benchA.AsSlice()}
	require.NoError(t, wrong.SetNetworkLayerForChecksum(h))
	buf := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, h, &wrong))
	raw := buf.Bytes()
	raw[20+16] ^= 1
	require.NoError(t, b.Inject(raw))
	b.silent("the checksum is wrong")
	raw[20+16] ^= 1
	require.NoError(t, b.Inject(raw))
	require.True(t, b.next().SYN)
}

func passiveOpens(t *testing.T) {
	b := newBench(t, socket.Config{})
	local, from := at(benchA, 4000), at(benchB, 80)
	k := b.connect(local, from)
	syn := b.next()
	l := b.socket("tcp4", netip.AddrPort{})
	require.NoError(t, l.Bind(at(benchA2, 4000)), "the same port, at another address")
	require.NoError(t, l.Listen(1))
	b.arrive(from, local, &layers.TCP{SYN: true, ACK: true, Seq: 5, Ack: syn.Seq + 1}, nil)
	require.True(t, b.next().ACK, "the connection in SYN-SENT goes on")
	other := b.open(l, from, at(benchA2, 4000))
	b.arrive(from, local, &layers.TCP{ACK: true, PSH: true, Seq: 6, Ack: syn.Seq + 1, BaseLayer: layers.BaseLayer{Payload: []byte("mine")}}, nil)
	got := make([]byte, 10)
	n, _, err := k.Recv(got, 0)
	require.NoError(t, err)
	require.Equal(t, "mine", string(got[:n]))
	_, _, err = other.Recv(got, 0)
	require.ErrorIs(t, err, syscall.EAGAIN)
}

func listensOnOnePort(t *testing.T) {
	b := newBench(t, socket.Config{})
	first, second := b.listen(at(benchA, 80)), b.listen(at(benchA2, 80))
	require.Equal(t, benchA, b.open(first, at(benchB, 4000), at(benchA, 80)).LocalAddr().Addr())
	require.Equal(t, benchA2, b.open(second, at(benchB, 4000), at(benchA2, 80)).LocalAddr().Addr())
}

func openNamesAddress(t *testing.T) {
	b := newBench(t, socket.Config{})
	for _, a := range []netip.Addr{benchA, benchA2} {
		b.connect(at(a, 0), at(benchB, 80))
		require.Equal(t, a, b.next().src)
	}
	b.listen(at(benchA2, 80))
	b.arrive(at(benchB, 4000), at(benchA, 80), &layers.TCP{SYN: true}, nil)
	require.True(t, b.next().RST, "nobody listens at the other address")
}

func openAsksForAddress(t *testing.T) {
	b := newBench(t, socket.Config{})
	k := b.connect(netip.AddrPort{}, at(benchB, 80))
	src := b.next().src
	require.Equal(t, benchA, src)
	require.Equal(t, src, k.LocalAddr().Addr())
	b.connect(netip.AddrPort{}, at(benchB6, 80))
	require.Equal(t, benchA6, b.next().src)
}

func oneAddress(t *testing.T) {
	b := newBench(t, socket.Config{})
	l := b.listen(at(netip.IPv4Unspecified(), 80))
	from, to := at(benchB, 4000), at(benchA2, 80)
	k := b.open(l, from, to)
	_, err := k.Send([]byte("data"), 0, netip.AddrPort{})
	require.NoError(t, err)
	b.arrive(from, to, &layers.TCP{ACK: true, RST: true, Seq: 102}, nil) // calls for a challenge ACK
	b.Advance(10 * time.Second)                                          // retransmissions
	require.NoError(t, k.CloseNow())
	b.Advance(20 * time.Second)
	n := 0
	for {
		p, ok := b.Next()
		if !ok {
			break
		}
		require.Equal(t, benchA2, netip.AddrFrom4([4]byte(p.Packet[12:16])))
		n++
	}
	require.Greater(t, n, 5, "data, retransmissions, the ACK and a FIN")
}

// many are addresses of more than one computer.
var many = []string{"255.255.255.255", "224.0.0.1", "239.1.2.3", "192.0.2.255"}

func openToMany(t *testing.T) {
	b := newBench(t, socket.Config{})
	for _, a := range many {
		k := b.socket("tcp4", netip.AddrPort{})
		err := k.Connect(at(netip.MustParseAddr(a), 80))
		require.Error(t, err, a)
		require.NotErrorIs(t, err, syscall.EINPROGRESS, a)
		b.silent(a)
	}
	k := b.socket("tcp6", netip.AddrPort{})
	require.NotErrorIs(t, k.Connect(at(netip.MustParseAddr("ff02::1"), 80)), syscall.EINPROGRESS)
	b.silent("a group of IPv6")
}

func diffserv(t *testing.T) {
	b := newBench(t, socket.Config{})
	for _, remote := range []netip.AddrPort{at(benchB, 80), at(benchB6, 80)} {
		k := b.connect(netip.AddrPort{}, remote)
		syn := b.next()
		require.Zero(t, syn.tos)
		local := at(syn.src, uint16(syn.SrcPort))
		b.arrive(remote, local, &layers.TCP{SYN: true, ACK: true, Seq: 5, Ack: syn.Seq + 1}, nil)
		require.Zero(t, b.next().tos)
		require.NoError(t, k.Conn().SetNoDelay(true))
		acked := syn.Seq + 1
		for _, tos := range []uint8{0xb8, 0x20, 0} { // expedited forwarding, a class, and none
			require.NoError(t, k.Conn().SetTOS(tos|3))
			_, err := k.Send([]byte("data"), 0, netip.AddrPort{})
			require.NoError(t, err)
			require.Equal(t, tos, b.next().tos, "ECN's bits are not the user's")
			b.Advance(b.Deadline())
			require.Equal(t, tos, b.next().tos, "again")
			acked += 4
			b.arrive(remote, local, &layers.TCP{ACK: true, Seq: 6, Ack: acked}, nil)
			for _, ok := b.Next(); ok; _, ok = b.Next() {
			}
		}
	}
}

func ttl(t *testing.T) {
	for configured, want := range map[int]uint8{0: 64, 1: 1, 128: 128, 255: 255} {
		b := newBench(t, socket.Config{TTL: configured})
		for _, remote := range []netip.AddrPort{at(benchB, 80), at(benchB6, 80)} {
			b.connect(netip.AddrPort{}, remote)
			require.Equal(t, want, b.next().ttl)
		}
	}
}

func ipOptions(t *testing.T) {
	for _, o := range []layers.IPv4Option{
		{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}},     // record route
		{OptionType: 68, OptionLength: 8, OptionData: []byte{5, 0, 0, 0, 0, 0}}, // timestamps
		{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}},            // router alert
		{OptionType: 130, OptionLength: 6, OptionData: []byte{0, 0, 0, 0}},      // security
		{OptionType: 30, OptionLength: 4, OptionData: []byte{1, 2}},             // an experiment
		{OptionType: 25, OptionLength: 8, OptionData: []byte{0, 7, 0, 0, 0, 0}}, // quick-start
	} {
		b := newBench(t, socket.Config{})
		b.listen(at(benchA, 80))
		b.arrive(at(benchB, 4000), at(benchA, 80), &layers.TCP{SYN: true, Seq: 100}, func(h *layers.IPv4) { h.Options = append(h.Options, o) })
		s := b.next()
		require.True(t, s.SYN && s.ACK, "option %d", o.OptionType)
	}
}

func synToMany(t *testing.T) {
	b := newBench(t, socket.Config{})
	b.listen(at(netip.IPv4Unspecified(), 80))
	for _, a := range many {
		b.arrive(at(benchB, 4000), at(netip.MustParseAddr(a), 80), &layers.TCP{SYN: true, Seq: 100}, nil)
		b.arrive(at(benchB, 4000), at(netip.MustParseAddr(a), 81), &layers.TCP{SYN: true, Seq: 100}, nil)
		b.Advance(b.Now() + time.Second)
		b.silent(a)
	}
	b.arrive(at(benchB, 4000), at(benchA, 80), &layers.TCP{SYN: true, Seq: 100}, nil)
	require.True(t, b.next().SYN, "to one address it is answered")
}

func synFromNowhere(t *testing.T) {
	b := newBench(t, socket.Config{})
	b.listen(at(netip.IPv4Unspecified(), 80))
	for _, a := range []string{"255.255.255.255", "224.0.0.1", "240.0.0.1", "0.0.0.0", "127.0.0.1"} {
		src := net.ParseIP(a).To4()
		b.arrive(at(benchB, 4000), at(benchA, 80), &layers.TCP{SYN: true, Seq: 100}, func(h *layers.IPv4) { h.SrcIP = src })
		b.Advance(b.Now() + time.Second)
		b.silent(a)
	}
}
