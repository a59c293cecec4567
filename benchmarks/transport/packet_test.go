package transport_test

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/benchmarks/transport"
)

// TestRawPacketAgainstGopacket lets an independent encoder build the same packet.
func TestRawPacketAgainstGopacket(t *testing.T) {
	for _, size := range []int{0, 1, 64, 1400, 9000} {
		got := transport.RawPacket(size)
		p := gopacket.NewPacket(got, layers.LayerTypeIPv4, gopacket.Default)
		require.Nil(t, p.ErrorLayer())
		ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		udp := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		require.Len(t, udp.Payload, size)
		require.NoError(t, udp.SetNetworkLayerForChecksum(ip))
		want := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.SerializeLayers(want,
			gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true},
			ip, udp, gopacket.Payload(udp.Payload)))
		require.Equal(t, want.Bytes(), got)
	}
}
