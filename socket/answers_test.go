package socket_test

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/socket"
)

// TestHeadersOfAnswers: the IP headers of what the stack answers on its own account are those of Linux: an echo reply
// has the TOS of its request, an ICMP error the precedence of internetwork control, a SYN-ACK of a listener no
// identification, and ICMP messages one of their own each.
func TestHeadersOfAnswers(t *testing.T) {
	wire := device.NewPort(0)
	s := socket.New(socket.Config{Link: wire, Seed: 7})
	defer s.Close()
	local4, local6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	require.NoError(t, s.NIC().AddAddr(netip.PrefixFrom(local4, 24)))
	require.NoError(t, s.NIC().AddAddr(netip.PrefixFrom(local6, 64)))
	l, err := s.Listen("tcp", ":80")
	require.NoError(t, err)
	defer l.Close()

	ask := func(ls ...gopacket.SerializableLayer) gopacket.Packet {
		for _, l := range ls {
			if c, ok := l.(interface {
				SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
			}); ok {
				require.NoError(t, c.SetNetworkLayerForChecksum(ls[0].(gopacket.NetworkLayer)))
			}
		}
		b := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
		require.NoError(t, s.NIC().Inject(0, b.Bytes()))
		raw, ok := wire.Next()
		require.True(t, ok, "an answer")
		return gopacket.NewPacket(raw, ls[0].(gopacket.Layer).LayerType(), gopacket.Default)
	}
	ip4 := func(proto layers.IPProtocol, tos uint8) *layers.IPv4 {
		return &layers.IPv4{Version: 4, TTL: 64, TOS: tos, Protocol: proto, SrcIP: []byte{192, 0, 2, 2}, DstIP: local4.AsSlice()}
	}
	ip6 := func(proto layers.IPProtocol, class uint8) *layers.IPv6 {
		src := netip.MustParseAddr("2001:db8::2")
		return &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: class, NextHeader: proto, SrcIP: src.AsSlice(), DstIP: local6.AsSlice()}
	}
	header4 := func(p gopacket.Packet) *layers.IPv4 { return p.NetworkLayer().(*layers.IPv4) }
	header6 := func(p gopacket.Packet) *layers.IPv6 { return p.NetworkLayer().(*layers.IPv6) }

	echo4 := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0)}
	first := header4(ask(ip4(layers.IPProtocolICMPv4, 0x2e), echo4))
	second := header4(ask(ip4(layers.IPProtocolICMPv4, 0), echo4))
	require.EqualValues(t, 0x2e, first.TOS)
	require.Zero(t, second.TOS)
	require.NotEqual(t, first.Id, second.Id)
	require.Zero(t, first.Flags, "it may be cut")

	echo6 := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
	reply6 := header6(ask(ip6(layers.IPProtocolICMPv6, 0x2e), echo6, gopacket.Payload(make([]byte, 4))))
	require.EqualValues(t, 0x2e, reply6.TrafficClass)

	closed := func() *layers.UDP { return &layers.UDP{SrcPort: 9, DstPort: 81} }
	require.EqualValues(t, 0xce, header4(ask(ip4(layers.IPProtocolUDP, 0x2e), closed())).TOS)
	require.EqualValues(t, 0xc0, header4(ask(ip4(layers.IPProtocolUDP, 0xe1), closed())).TOS)
	require.Zero(t, header6(ask(ip6(layers.IPProtocolUDP, 0x2e), closed())).TrafficClass)

	synAck := header4(ask(ip4(layers.IPProtocolTCP, 0), &layers.TCP{SrcPort: 9, DstPort: 80, SYN: true, Seq: 1}))
	require.Zero(t, synAck.Id)
	require.Equal(t, layers.IPv4DontFragment, synAck.Flags)
}
