package device

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

// serialize returns a packet of the given layers as gopacket writes it.
func serialize(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, ls...))
	return buf.Bytes()
}

func ip4(src, dst string, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
}

func ip6(src, dst string, proto layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
}

func TestFlowHash(t *testing.T) {
	tcp := func(s, d uint16) *layers.TCP {
		return &layers.TCP{SrcPort: layers.TCPPort(s), DstPort: layers.TCPPort(d)}
	}
	udp := func(s, d uint16) *layers.UDP {
		return &layers.UDP{SrcPort: layers.UDPPort(s), DstPort: layers.UDPPort(d)}
	}
	options := ip4("127.0.0.1", "127.0.0.2", layers.IPProtocolTCP)
	options.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 1}}
	a4, b4 := [4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 2}
	a6, b6 := [16]byte{15: 1}, [16]byte{0x20, 1, 15: 2}

	want := FlowHash4(a4, b4, 6, 1000, 80)
	require.Equal(t, want, FlowHash(serialize(t, ip4("127.0.0.1", "127.0.0.2", layers.IPProtocolTCP), tcp(1000, 80))))
	require.Equal(t, want, FlowHash(serialize(t, ip4("127.0.0.2", "127.0.0.1", layers.IPProtocolTCP), tcp(80, 1000))), "the other direction")
	require.Equal(t, want, FlowHash(serialize(t, options, tcp(1000, 80))), "IP options do not matter")
	require.Equal(t, FlowHash4(a4, b4, 17, 5, 6), FlowHash(serialize(t, ip4("127.0.0.1", "127.0.0.2", layers.IPProtocolUDP), udp(5, 6))))
	require.Equal(t, FlowHash6(&a6, &b6, 6, 1, 2), FlowHash(serialize(t, ip6("::1", "2001::2", layers.IPProtocolTCP), tcp(1, 2))))
	require.Equal(t, FlowHash6(&b6, &a6, 6, 2, 1), FlowHash6(&a6, &b6, 6, 1, 2))
	require.Equal(t, FlowHash4(a4, b4, 1, 0, 0), FlowHash(serialize(t, ip4("127.0.0.1", "127.0.0.2", layers.IPProtocolICMPv4), gopacket.Payload("hello"))))

	// Fragments have no ports to go by: all fragments of a datagram go the same way.
	first, second := ip4("127.0.0.1", "127.0.0.2", layers.IPProtocolUDP), ip4("127.0.0.1", "127.0.0.2", layers.IPProtocolUDP)
	first.Flags, second.FragOffset = layers.IPv4MoreFragments, 100
	for _, ip := range []*layers.IPv4{first, second} {
		require.Equal(t, FlowHash4(a4, b4, 17, 0, 0), FlowHash(serialize(t, ip, gopacket.Payload("12345678"))))
	}
	// Too short, wrong version, header length below the least.
	require.Zero(t, FlowHash(nil))
	require.Zero(t, FlowHash(make([]byte, 100)))
	require.Equal(t, FlowHash4(a4, b4, 6, 0, 0), FlowHash(serialize(t, ip4("127.0.0.1", "127.0.0.2", layers.IPProtocolTCP), gopacket.Payload("123"))))
	short := serialize(t, ip4("127.0.0.1", "127.0.0.2", layers.IPProtocolTCP), tcp(1000, 80))
	short[0] = 0x42
	require.Equal(t, FlowHash4(a4, b4, 6, 0, 0), FlowHash(short))
}

// TestFlowHashSpreads: flows that differ in one number each share the queues evenly.
func TestFlowHashSpreads(t *testing.T) {
	const flows, queues = 20000, 8
	for name, hash := range map[string]func(i int) uint32{
		"source port": func(i int) uint32 { return FlowHash4([4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 1}, 6, uint16(i), 80) },
		"address": func(i int) uint32 {
			a := [4]byte{127}
			binary.BigEndian.PutUint16(a[2:], uint16(i))
			return FlowHash4(a, [4]byte{127, 0, 0, 1}, 6, 1000, 80)
		},
		"address 6": func(i int) uint32 {
			a, b := [16]byte{15: 1}, [16]byte{15: 1}
			binary.BigEndian.PutUint16(a[6:], uint16(i))
			return FlowHash6(&a, &b, 6, 1000, 80)
		},
	} {
		var count [queues]int
		seen := map[uint32]bool{}
		for i := range flows {
			count[hash(i)%queues]++
			seen[hash(i)] = true
		}
		for q, c := range count {
			require.InDelta(t, flows/queues, c, flows/queues/10, "%s: queue %d", name, q)
		}
		require.Greater(t, len(seen), flows*99/100, name)
	}
}

func BenchmarkFlowHash(b *testing.B) {
	src, dst := [4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 2}
	for b.Loop() {
		FlowHash4(src, dst, 6, 1000, 80)
	}
}
