package ipv6_test

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"example.com/loopback/ipv6"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
	xipv6 "golang.org/x/net/ipv6"
)

func TestParseDrops(t *testing.T) {
	good := packet(sample(), []byte("payload"))
	tests := []struct {
		name string
		edit func(b []byte) []byte
		want ipv6.Reason
		mib  string
	}{
		{"a good packet", func(b []byte) []byte { return b }, ipv6.OK, "InDelivers"},
		{"nothing", func(b []byte) []byte { return nil }, ipv6.ReasonShort, "InHdrErrors"},
		{"39 bytes", func(b []byte) []byte { return b[:39] }, ipv6.ReasonShort, "InHdrErrors"},
		{"version 4", func(b []byte) []byte { b[0] = 0x45; return b }, ipv6.ReasonVersion, "InHdrErrors"},
		{"one byte missing", func(b []byte) []byte { return b[:len(b)-1] }, ipv6.ReasonTruncated, "InTruncatedPkts"},
		{"payload length 65535", func(b []byte) []byte { b[4], b[5] = 255, 255; return b }, ipv6.ReasonTruncated, "InTruncatedPkts"},
		{"a jumbogram", func(b []byte) []byte { b[5], b[6] = 0, 0; return b }, ipv6.ReasonJumbo, "InHdrErrors"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, payload, why := ipv6.Parse(tt.edit(append([]byte(nil), good...)))
			require.Equal(t, tt.want, why, why.Detail())
			require.Equal(t, tt.mib, why.String())
			if why == ipv6.OK {
				require.Equal(t, "payload", string(payload))
				require.Equal(t, good[:40], []byte(h))
			} else {
				require.Nil(t, h)
				require.Nil(t, payload)
			}
		})
	}
	t.Run("no payload at all is legal", func(t *testing.T) {
		r := sample()
		r.NextHeader = ipv6.ProtoNoNext
		_, payload, why := ipv6.Parse(packet(r))
		require.Equal(t, ipv6.OK, why)
		require.Empty(t, payload)
	})
}

func TestParsePaddingAndHead(t *testing.T) {
	b := append(packet(sample(), []byte("payload")), "padding of the link"...)
	h, payload := parse(t, b)
	require.Equal(t, "payload", string(payload))
	require.Equal(t, 40, cap(h), "the header does not let appends through to the payload")

	r := sample()
	r.PayloadLen = 1000
	r.Marshal(b[:60])
	h, rest, why := ipv6.ParseHead(b[:60], 1040)
	require.Equal(t, ipv6.OK, why)
	require.Len(t, rest, 20)
	require.Equal(t, 1040, h.TotalLen())
	_, _, why = ipv6.ParseHead(b[:60], 1039)
	require.Equal(t, ipv6.ReasonTruncated, why)
}

// headers are worth showing to the oracles.
func headers() map[string]ipv6.Repr {
	return map[string]ipv6.Repr{
		"plain":       {NextHeader: ipv6.ProtoTCP, HopLimit: 64, Src: addrA, Dst: addrA},
		"every field": sample(),
		"extremes":    {TrafficClass: 255, FlowLabel: 0xfffff, NextHeader: 255, HopLimit: 255, Src: addr("ff02::1"), Dst: addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")},
		"congestion":  {TrafficClass: ipv6.ECNCE, NextHeader: 6, HopLimit: 1, Src: addrB, Dst: addrA},
	}
}

func TestHeaderAgainstGopacket(t *testing.T) {
	for name, r := range headers() {
		t.Run(name, func(t *testing.T) {
			payload := randomBytes(1, 32)
			b := packet(r, payload)
			var ip layers.IPv6
			require.NoError(t, ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback))
			require.EqualValues(t, 6, ip.Version)
			require.Equal(t, r.TrafficClass, ip.TrafficClass)
			require.Equal(t, r.FlowLabel, ip.FlowLabel)
			require.EqualValues(t, len(payload), ip.Length)
			require.EqualValues(t, r.NextHeader, ip.NextHeader)
			require.Equal(t, r.HopLimit, ip.HopLimit)
			require.Equal(t, net.IP(r.Src.AsSlice()), ip.SrcIP)
			require.Equal(t, net.IP(r.Dst.AsSlice()), ip.DstIP)
			require.Equal(t, payload, ip.Payload)

			theirs := encode(t, &layers.IPv6{
				Version: 6, TrafficClass: r.TrafficClass, FlowLabel: r.FlowLabel, NextHeader: layers.IPProtocol(r.NextHeader),
				HopLimit: r.HopLimit, SrcIP: r.Src.AsSlice(), DstIP: r.Dst.AsSlice(),
			}, gopacket.Payload(payload))
			require.Equal(t, theirs, b)

			h, _ := parse(t, theirs)
			want := r
			want.PayloadLen = len(payload)
			require.Equal(t, want, h.Repr())
			require.Equal(t, 6, h.Version())
			require.Equal(t, r.TrafficClass>>2, h.DSCP())
			require.Equal(t, r.TrafficClass&3, h.ECN())

			x, err := xipv6.ParseHeader(b)
			require.NoError(t, err)
			require.Equal(t, int(r.FlowLabel), x.FlowLabel)
			require.Equal(t, int(r.TrafficClass), x.TrafficClass)
		})
	}
}

func TestSetTrafficClass(t *testing.T) {
	for tc := range 256 {
		h, _ := parse(t, packet(sample()))
		h.SetTrafficClass(uint8(tc))
		want := sample()
		want.TrafficClass = uint8(tc)
		require.Equal(t, want, h.Repr())
	}
}

func TestMarshalRefusesNonsense(t *testing.T) {
	for name, edit := range map[string]func(r *ipv6.Repr){
		"more than 65535 bytes":   func(r *ipv6.Repr) { r.PayloadLen = 65536 },
		"negative payload length": func(r *ipv6.Repr) { r.PayloadLen = -1 },
		"flow label of 21 bits":   func(r *ipv6.Repr) { r.FlowLabel = 1 << 20 },
		"an IPv4 address":         func(r *ipv6.Repr) { r.Dst = addr("127.0.0.1") },
	} {
		t.Run(name, func(t *testing.T) {
			r := sample()
			edit(&r)
			require.Panics(t, func() { r.Marshal(make([]byte, 100)) })
		})
	}
	require.Panics(t, func() { ipv6.MarshalFragmentHeader(make([]byte, 8), 6, 4, false, 1) })
	require.Panics(t, func() { ipv6.MarshalFragmentHeader(make([]byte, 8), 6, 65536, false, 1) })
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]ipv6.Reason{}
	for r := range ipv6.NumReasons {
		require.NotEmpty(t, r.String(), "reason %d", r)
		require.NotEmpty(t, r.Detail(), "reason %d", r)
		require.NotContains(t, seen, r.Detail(), "each reason has a text of its own")
		seen[r.Detail()] = r
	}
	require.Equal(t, "InDiscards", ipv6.NumReasons.String())
	require.Equal(t, "unknown reason", ipv6.NumReasons.Detail())
}

func TestHotPathAllocatesNothing(t *testing.T) {
	r := sample()
	r.Dst = addrA
	r.PayloadLen = 40
	b := make([]byte, 80)
	rules := ipv6.AddrRules{Loopback: true, Source: ipv6.SourceMustBeLocal}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.Marshal(b)
		h, payload, why := ipv6.Parse(b)
		if why != ipv6.OK || h.Src() != addrA || rules.Check(h) != ipv6.OK {
			t.Fatal("a good packet was refused")
		}
		if c, _, why := (ipv6.ExtLimits{}).Walk(h, payload); why != ipv6.OK || c.Offset != 40 {
			t.Fatal("a packet without extension headers was refused")
		}
	}))
}

func FuzzParse(f *testing.F) {
	for _, r := range headers() {
		f.Add(packet(r, []byte("some payload")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, why := ipv6.Parse(b)
		if why != ipv6.OK {
			if h != nil || payload != nil {
				t.Fatal("views of a refused packet")
			}
			return
		}
		r := h.Repr()
		if len(payload) != r.PayloadLen {
			t.Fatalf("payload of %d bytes, length field %d", len(payload), r.PayloadLen)
		}
		(&ipv6.AddrRules{}).Check(h)
		out := dirty(ipv6.HeaderLen)
		r.Marshal(out)
		if string(out) != string(h) {
			t.Fatalf("emitted % x from % x", out, []byte(h))
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	r := sample()
	r.PayloadLen = 40
	p := make([]byte, 80)
	r.Marshal(p)
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, why := ipv6.Parse(p); why != ipv6.OK {
				b.Fatal(why.Detail())
			}
		}
	})
	b.Run("emit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Marshal(p)
		}
	})
}

// TestPlain: a Plain header is byte for byte what Repr writes.
func TestPlain(t *testing.T) {
	h := ipv6.Plain{
		TrafficClass: 0xb9, NextHeader: ipv6.ProtoFragment, HopLimit: 64, PayloadLen: 0xfedc,
		Src: [2]uint64{0x20010db801020304, 0x05060708090a0b0c}, Dst: [2]uint64{0, 1},
	}
	want := ipv6.Repr{
		TrafficClass: 0xb9, NextHeader: ipv6.ProtoFragment, HopLimit: 64, PayloadLen: 0xfedc,
		Src: netip.MustParseAddr("2001:db8:102:304:506:708:90a:b0c"), Dst: netip.IPv6Loopback(),
	}
	a, b := bytes.Repeat([]byte{0xa5}, 44), bytes.Repeat([]byte{0xa5}, 44)
	require.Equal(t, want.Marshal(a), h.Marshal(b))
	require.Equal(t, a, b)
	require.Panics(t, func() { h.Marshal(make([]byte, 39)) })
}
