package ipv6_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"example.com/loopback/ipv6"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

var (
	addrA = addr("::1")
	addrB = addr("2001:db8::9:8")
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

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

// sample is a header with every field different from zero.
func sample() ipv6.Repr {
	return ipv6.Repr{TrafficClass: 0xb9, FlowLabel: 0xabcde, NextHeader: ipv6.ProtoUDP, HopLimit: 61, Src: addrA, Dst: addrB}
}

// packet returns r's header followed by payload, whose length it takes over.
func packet(r ipv6.Repr, payload ...[]byte) []byte {
	p := bytes.Join(payload, nil)
	r.PayloadLen = len(p)
	b := dirty(ipv6.HeaderLen + len(p))
	n := r.Marshal(b)
	copy(b[n:], p)
	return b
}

// parse is Parse of a packet that must be good.
func parse(t testing.TB, b []byte) (ipv6.Header, []byte) {
	t.Helper()
	h, payload, why := ipv6.Parse(b)
	require.Equal(t, ipv6.OK, why, why.Detail())
	return h, payload
}

// decode has gopacket take the packet apart, and fails on any complaint of its.
func decode(t testing.TB, b []byte) (*layers.IPv6, gopacket.Packet) {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeIPv6, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket: %v in % x", e.Error(), b)
	}
	ip, ok := p.NetworkLayer().(*layers.IPv6)
	require.True(t, ok, "no IPv6 layer")
	return ip, p
}

// encode has gopacket build a packet.
func encode(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
	return buf.Bytes()
}

// ext returns an extension header with the given body, padded to 8 bytes with
// a PadN or Pad1 option.
func ext(next uint8, body ...byte) []byte {
	b := append([]byte{next, 0}, body...)
	switch n := -len(b) & 7; {
	case n == 1:
		b = append(b, 0)
	case n > 1:
		b = append(b, 1, byte(n-2))
		b = append(b, make([]byte, n-2)...)
	}
	b[1] = byte(len(b)/8 - 1)
	return b
}

// fragmentHeader returns a fragment header.
func fragmentHeader(next uint8, offset int, more bool, id uint32) []byte {
	b := dirty(ipv6.FragmentHeaderLen)
	ipv6.MarshalFragmentHeader(b, next, offset, more, id)
	return b
}
