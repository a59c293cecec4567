package ipv4_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"example.com/loopback/ipv4"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

var (
	addrA = netip.MustParseAddr("127.0.0.1")
	addrB = netip.MustParseAddr("127.9.8.7")
)

// dirty returns n bytes of 0xa5, so that an emitter that leaves one out shows.
func dirty(n int) []byte { return bytes.Repeat([]byte{0xa5}, n) }

func randomBytes(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 99))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// packet returns r's header followed by payload, whose length it takes over.
func packet(r ipv4.Repr, payload []byte) []byte {
	r.PayloadLen = len(payload)
	b := dirty(r.HeaderLen() + len(payload))
	n := r.Marshal(b)
	copy(b[n:], payload)
	return b
}

// sample is a header with every field different from zero.
func sample() ipv4.Repr {
	return ipv4.Repr{
		TOS: 0xb9, TTL: 61, Protocol: ipv4.ProtoUDP, DontFragment: true, ID: 0x1234,
		Src: addrA, Dst: addrB,
	}
}

// decode has gopacket take the packet apart, and fails on any complaint of its.
func decode(t testing.TB, b []byte) (*layers.IPv4, gopacket.Packet) {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket: %v in % x", e.Error(), b)
	}
	ip, ok := p.NetworkLayer().(*layers.IPv4)
	require.True(t, ok, "no IPv4 layer")
	return ip, p
}

// encode has gopacket build a packet.
func encode(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
	return buf.Bytes()
}

var netipZero netip.Addr

// decodeHeaderOnly is gopacket's reading of an arbitrary packet, nil if it refuses.
func decodeHeaderOnly(b []byte) (*layers.IPv4, error) {
	var ip layers.IPv4
	if err := ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		return nil, err
	}
	return &ip, nil
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
