package udp_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/udp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

var (
	a4 = netip.MustParseAddrPort("127.0.0.1:5000")
	b4 = netip.MustParseAddrPort("127.9.8.7:5353")
	a6 = netip.MustParseAddrPort("[::1]:5000")
	b6 = netip.MustParseAddrPort("[2001:db8::9:8]:65535")
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

func datagram(src, dst netip.AddrPort, payload []byte) []byte {
	b := dirty(udp.HeaderLen + len(payload) + 3)
	return b[:udp.Marshal(b, src, dst, payload)]
}

// network returns gopacket's IP header between src and dst, for its checksum.
func network(src, dst netip.Addr) gopacket.NetworkLayer {
	if src.Is4() {
		return &layers.IPv4{SrcIP: src.AsSlice(), DstIP: dst.AsSlice(), Protocol: layers.IPProtocolUDP}
	}
	return &layers.IPv6{SrcIP: src.AsSlice(), DstIP: dst.AsSlice(), NextHeader: layers.IPProtocolUDP}
}

func TestAgainstGopacket(t *testing.T) {
	for _, ends := range [][2]netip.AddrPort{{a4, b4}, {b4, a4}, {a6, b6}, {b6, a6}} {
		for _, n := range []int{0, 1, 2, 3, 8, 1471, 1472, 16396, 65507} {
			src, dst := ends[0], ends[1]
			payload := randomBytes(uint64(n), n)
			b := datagram(src, dst, payload)

			l := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
			require.NoError(t, l.SetNetworkLayerForChecksum(network(src.Addr(), dst.Addr())))
			buf := gopacket.NewSerializeBuffer()
			require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l, gopacket.Payload(payload)))
			theirs := buf.Bytes()
			require.True(t, bytes.Equal(theirs, b), "%v to %v, %d bytes: % x, gopacket % x", src, dst, n, b[:8], theirs[:8])

			h, got, why := udp.Parse(theirs, src.Addr(), dst.Addr())
			require.Equal(t, udp.OK, why)
			require.Equal(t, src.Port(), h.SrcPort())
			require.Equal(t, dst.Port(), h.DstPort())
			require.Equal(t, 8+n, h.Length())
			require.Equal(t, binary.BigEndian.Uint16(theirs[6:]), h.Checksum())
			require.True(t, bytes.Equal(payload, got))

			var back layers.UDP
			require.NoError(t, back.DecodeFromBytes(b, gopacket.NilDecodeFeedback))
			require.EqualValues(t, src.Port(), back.SrcPort)
			require.EqualValues(t, 8+n, back.Length)
		}
	}
}

func TestParseDrops(t *testing.T) {
	good4, good6 := datagram(a4, b4, []byte("payload")), datagram(a6, b6, []byte("payload"))
	zero := func(b []byte) []byte { b[6], b[7] = 0, 0; return b }
	tests := []struct {
		name string
		v6   bool
		edit func(b []byte) []byte
		want udp.Reason
		mib  string
	}{
		{"good", false, func(b []byte) []byte { return b }, udp.OK, "InDatagrams"},
		{"good over IPv6", true, func(b []byte) []byte { return b }, udp.OK, "InDatagrams"},
		{"nothing", false, func(b []byte) []byte { return nil }, udp.ReasonShort, "InErrors"},
		{"7 bytes", false, func(b []byte) []byte { return b[:7] }, udp.ReasonShort, "InErrors"},
		{"length 0", false, func(b []byte) []byte { b[5] = 0; return b }, udp.ReasonLength, "InErrors"},
		{"length 0 over IPv6: a jumbogram", true, func(b []byte) []byte { b[5] = 0; return b }, udp.ReasonLength, "InErrors"},
		{"length 7", false, func(b []byte) []byte { b[5] = 7; return b }, udp.ReasonLength, "InErrors"},
		{"length past the packet", false, func(b []byte) []byte { b[5]++; return b }, udp.ReasonLength, "InErrors"},
		{"packet cut", false, func(b []byte) []byte { return b[:len(b)-1] }, udp.ReasonLength, "InErrors"},
		{"payload changed", false, func(b []byte) []byte { b[9] ^= 4; return b }, udp.ReasonChecksum, "InCsumErrors"},
		{"port changed", true, func(b []byte) []byte { b[0] ^= 4; return b }, udp.ReasonChecksum, "InCsumErrors"},
		{"length field shorter than was summed", false, func(b []byte) []byte { b[5]--; return b }, udp.ReasonChecksum, "InCsumErrors"},
		{"no checksum", false, zero, udp.OK, "InDatagrams"},
		{"no checksum over IPv6", true, zero, udp.ReasonNoChecksum, "InCsumErrors"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, src, dst := good4, a4, b4
			if tt.v6 {
				b, src, dst = good6, a6, b6
			}
			h, payload, why := udp.Parse(tt.edit(append([]byte(nil), b...)), src.Addr(), dst.Addr())
			require.Equal(t, tt.want, why, why.Detail())
			require.Equal(t, tt.mib, why.String())
			if why == udp.OK {
				require.Equal(t, "payload", string(payload))
				require.Len(t, h, udp.HeaderLen)
			} else {
				require.Nil(t, h)
				require.Nil(t, payload)
			}
		})
	}
	t.Run("the addresses are part of the checksum", func(t *testing.T) {
		_, _, why := udp.Parse(good4, a4.Addr(), netip.MustParseAddr("127.9.8.6"))
		require.Equal(t, udp.ReasonChecksum, why)
	})
	t.Run("what follows the length is padding", func(t *testing.T) {
		_, payload, why := udp.Parse(append(append([]byte(nil), good4...), "padding"...), a4.Addr(), b4.Addr())
		require.Equal(t, udp.OK, why)
		require.Equal(t, "payload", string(payload))
	})
}

// TestZeroChecksumIsSentAsOnes searches a payload whose checksum comes out as 0.
func TestZeroChecksumIsSentAsOnes(t *testing.T) {
	for _, ends := range [][2]netip.AddrPort{{a4, b4}, {a6, b6}} {
		b := datagram(ends[0], ends[1], []byte{0, 0})
		// Adding the checksum of a payload of zeros to it makes the sum all ones.
		b = datagram(ends[0], ends[1], b[6:8])
		require.Equal(t, []byte{0xff, 0xff}, b[6:8])
		_, _, why := udp.Parse(b, ends[0].Addr(), ends[1].Addr())
		require.Equal(t, udp.OK, why)
	}
}

func TestParseHead(t *testing.T) {
	b := datagram(a4, b4, randomBytes(1, 1000))
	h, rest, why := udp.ParseHead(b[:20], len(b))
	require.Equal(t, udp.OK, why)
	require.Len(t, rest, 12)
	require.Equal(t, 1008, h.Length())
	require.Equal(t, 8, cap(h), "the header does not let appends through to the payload")
	_, _, why = udp.ParseHead(b[:20], len(b)-1)
	require.Equal(t, udp.ReasonLength, why)
}

// TestPieces: the checksum of a datagram that lies in pieces, of odd lengths too.
func TestPieces(t *testing.T) {
	payload := randomBytes(1, 1001)
	b := datagram(a6, b6, payload)
	for _, cut := range [][2]int{{8, 8}, {8, 9}, {9, 501}, {1009, 1009}} {
		require.Equal(t, udp.OK, udp.Verify(a6.Addr(), b6.Addr(), b[:cut[0]], b[cut[0]:cut[1]], b[cut[1]:]), "cut at %v", cut)
		head := append([]byte(nil), b...)
		head[6], head[7] = 0, 0
		require.Equal(t, binary.BigEndian.Uint16(b[6:]), udp.Checksum(a6.Addr(), b6.Addr(), head[:cut[0]], head[cut[0]:cut[1]], head[cut[1]:]))
	}
	b[900] ^= 1
	require.Equal(t, udp.ReasonChecksum, udp.Verify(a6.Addr(), b6.Addr(), b[:8], b[8:]))
}

// TestOffload: a header with a partial checksum, completed as a NIC does, is
// the header with a checksum.
func TestOffload(t *testing.T) {
	for _, ends := range [][2]netip.AddrPort{{a4, b4}, {a6, b6}} {
		payload := randomBytes(2, 333)
		b := dirty(8 + len(payload))
		n := udp.MarshalHeader(b, ends[0].Port(), ends[1].Port(), len(payload), udp.PartialChecksum(ends[0].Addr(), ends[1].Addr(), len(payload)))
		copy(b[n:], payload)
		checksum.Fill(b, 0, udp.ChecksumOffset)
		require.Equal(t, datagram(ends[0], ends[1], payload), b)
	}
}

func TestMarshalHeaderRefusesNonsense(t *testing.T) {
	require.NotPanics(t, func() { udp.MarshalHeader(make([]byte, 8), 1, 2, udp.MaxPayload6, 0) })
	require.Panics(t, func() { udp.MarshalHeader(make([]byte, 8), 1, 2, udp.MaxPayload6+1, 0) })
	require.Panics(t, func() { udp.MarshalHeader(make([]byte, 8), 1, 2, -1, 0) })
	require.Panics(t, func() { udp.MarshalHeader(make([]byte, 7), 1, 2, 0, 0) })
	require.Equal(t, 65507, udp.MaxPayload4)
	require.Equal(t, 65527, udp.MaxPayload6)
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]udp.Reason{}
	for r := range udp.NumReasons {
		require.NotEmpty(t, r.String(), "reason %d", r)
		require.NotEmpty(t, r.Detail(), "reason %d", r)
		require.NotContains(t, seen, r.Detail(), "each reason has a text of its own")
		seen[r.Detail()] = r
	}
	require.Equal(t, "InErrors", udp.NumReasons.String())
	require.Equal(t, "unknown reason", udp.NumReasons.Detail())
}

func TestHotPathAllocatesNothing(t *testing.T) {
	b := make([]byte, 1008)
	payload := make([]byte, 1000)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		udp.Marshal(b, a6, b6, payload)
		udp.MarshalHeader(b[:8], 1, 2, 1000, 0)
		udp.Checksum(a4.Addr(), b4.Addr(), b[:8], payload)
		if _, _, why := udp.Parse(b, a4.Addr(), b4.Addr()); why != udp.OK {
			t.Fatal(why.Detail())
		}
		if udp.Verify(a4.Addr(), b4.Addr(), b[:8], payload[:3], payload[3:]) != udp.OK {
			t.Fatal("a datagram without a checksum was refused")
		}
	}))
}

func FuzzParse(f *testing.F) {
	f.Add(datagram(a4, b4, []byte("payload")), false)
	f.Add(datagram(a6, b6, nil), true)
	f.Add([]byte{0, 1, 0, 2, 0, 9, 0, 0, 5, 6}, false)
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		src, dst := a4, b4
		if v6 {
			src, dst = a6, b6
		}
		h, payload, why := udp.Parse(b, src.Addr(), dst.Addr())
		if why != udp.OK {
			if h != nil || payload != nil {
				t.Fatal("views of a refused datagram")
			}
			// Refused for its checksum alone: with the right one it is accepted.
			if why == udp.ReasonChecksum || why == udp.ReasonNoChecksum {
				b = append([]byte(nil), b[:binary.BigEndian.Uint16(b[4:])]...)
				b[6], b[7] = 0, 0
				binary.BigEndian.PutUint16(b[6:], udp.Checksum(src.Addr(), dst.Addr(), b))
				if _, _, why := udp.Parse(b, src.Addr(), dst.Addr()); why != udp.OK {
					t.Fatalf("% x with the right checksum: %s", b, why.Detail())
				}
			}
			return
		}
		if h.Length() != len(h)+len(payload) {
			t.Fatalf("length field %d, %d bytes", h.Length(), len(h)+len(payload))
		}
		var l layers.UDP
		if err := l.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil || uint16(l.DstPort) != h.DstPort() || !bytes.Equal(l.Payload, payload) {
			t.Fatalf("gopacket reads it differently: %+v, %v", l, err)
		}
	})
}

func BenchmarkUDP(b *testing.B) {
	for _, n := range []int{64, 1472, 16384} {
		payload := make([]byte, n)
		p := datagram(a4, b4, payload)
		b.Run(map[int]string{64: "64B", 1472: "1472B", 16384: "16KiB"}[n]+"/parse", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, _, why := udp.Parse(p, a4.Addr(), b4.Addr()); why != udp.OK {
					b.Fatal(why.Detail())
				}
			}
		})
	}
	b.Run("header", func(b *testing.B) {
		p := make([]byte, 8)
		b.ReportAllocs()
		for b.Loop() {
			udp.MarshalHeader(p, 1, 2, 1000, 0)
		}
	})
}
