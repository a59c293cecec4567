package ipv4_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"example.com/loopback/ipv4"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
	xipv4 "golang.org/x/net/ipv4"
)

// change returns a copy of b with f applied and the header checksum made right.
func change(b []byte, f func(b []byte) []byte) []byte {
	b = f(append([]byte(nil), b...))
	if len(b) >= 20 {
		n := min(max(int(b[0]&15)*4, 20), len(b)&^3)
		ipv4.Header(b[:n]).UpdateChecksum()
	}
	return b
}

func TestParseDrops(t *testing.T) {
	good := packet(sample(), []byte("payload"))
	tests := []struct {
		name string
		edit func(b []byte) []byte
		want ipv4.Reason
		mib  string
	}{
		{"a good packet", func(b []byte) []byte { return b }, ipv4.OK, "InDelivers"},
		{"nothing", func(b []byte) []byte { return nil }, ipv4.ReasonShort, "InHdrErrors"},
		{"19 bytes", func(b []byte) []byte { return b[:19] }, ipv4.ReasonShort, "InHdrErrors"},
		{"version 6", func(b []byte) []byte { b[0] = 0x65; return b }, ipv4.ReasonVersion, "InHdrErrors"},
		{"version 0", func(b []byte) []byte { b[0] = 0x05; return b }, ipv4.ReasonVersion, "InHdrErrors"},
		{"header of 16 bytes", func(b []byte) []byte { b[0] = 0x44; return b }, ipv4.ReasonHeaderLength, "InHdrErrors"},
		{"header of 0 bytes", func(b []byte) []byte { b[0] = 0x40; return b }, ipv4.ReasonHeaderLength, "InHdrErrors"},
		{"header past the end", func(b []byte) []byte { b[0] = 0x47; return b }, ipv4.ReasonHeaderLength, "InHdrErrors"},
		{"total length inside the header", func(b []byte) []byte { b[3] = 19; return b }, ipv4.ReasonTotalLength, "InHdrErrors"},
		{"total length 0", func(b []byte) []byte { b[3] = 0; return b }, ipv4.ReasonTotalLength, "InHdrErrors"},
		{"total length inside the options", func(b []byte) []byte { b[0], b[3] = 0x46, 22; return b }, ipv4.ReasonTotalLength, "InHdrErrors"},
		{"one byte missing", func(b []byte) []byte { return b[:len(b)-1] }, ipv4.ReasonTruncated, "InTruncatedPkts"},
		{"total length 65535", func(b []byte) []byte { b[2], b[3] = 255, 255; return b }, ipv4.ReasonTruncated, "InTruncatedPkts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := change(good, tt.edit)
			h, payload, why := ipv4.Parse(b)
			require.Equal(t, tt.want, why, why.Detail())
			require.Equal(t, tt.mib, why.String())
			if why == ipv4.OK {
				require.Equal(t, "payload", string(payload))
				require.Equal(t, good[:20], []byte(h))
			} else {
				require.Nil(t, h)
				require.Nil(t, payload)
			}
		})
	}
	t.Run("each bit of the header checksum counts", func(t *testing.T) {
		for i := 2; i < 20; i++ { // the first two bytes fail for other reasons
			for bit := range 8 {
				b := append([]byte(nil), good...)
				b[i] ^= 1 << bit
				_, _, why := ipv4.Parse(b)
				require.Equal(t, ipv4.ReasonChecksum, why, "byte %d bit %d", i, bit)
				require.Equal(t, "InCsumErrors", why.String())
			}
		}
	})
}

func TestParsePadding(t *testing.T) {
	b := append(packet(sample(), []byte("payload")), "padding of the link"...)
	h, payload, why := ipv4.Parse(b)
	require.Equal(t, ipv4.OK, why)
	require.Equal(t, "payload", string(payload))
	require.Equal(t, 7, h.PayloadLen())
	require.Equal(t, 20, cap(h), "the header does not let appends through to the payload")
}

func TestParseHead(t *testing.T) {
	r := sample()
	r.PayloadLen = 1000
	b := make([]byte, 40) // 20 of header, 20 of payload, 980 elsewhere
	r.Marshal(b)
	h, rest, why := ipv4.ParseHead(b, 1020, false)
	require.Equal(t, ipv4.OK, why)
	require.Len(t, rest, 20)
	require.Equal(t, 1000, h.PayloadLen())

	_, _, why = ipv4.ParseHead(b, 1019, false)
	require.Equal(t, ipv4.ReasonTruncated, why)

	b[8]-- // TTL, so that the checksum is wrong
	_, _, why = ipv4.ParseHead(b, 1020, false)
	require.Equal(t, ipv4.ReasonChecksum, why)
	_, _, why = ipv4.ParseHead(b, 1020, true)
	require.Equal(t, ipv4.OK, why, "trusted packets are not verified")
	b[0] = 0x44
	_, _, why = ipv4.ParseHead(b, 1020, true)
	require.Equal(t, ipv4.ReasonHeaderLength, why, "but the rest is checked")
}

// headers are worth showing to the oracles, in our words.
func headers() map[string]ipv4.Repr {
	plain := ipv4.Repr{TTL: 64, Protocol: ipv4.ProtoTCP, Src: addrA, Dst: addrB}
	first, last := sample(), sample()
	first.DontFragment, first.MoreFragments, first.PayloadLen = false, true, 64
	last.DontFragment, last.FragmentOffset = false, 65528-64
	options := sample()
	options.Options = []byte{148, 4, 0, 0, 1, 1, 7, 7, 4, 0, 0, 0, 0}
	full := sample()
	full.Options = append([]byte{1, 68, 36, 5, 0}, make([]byte, 33)...)
	return map[string]ipv4.Repr{
		"plain": plain, "every field": sample(), "first fragment": first, "last fragment": last,
		"options": options, "40 bytes of options": full,
	}
}

func TestMarshalAgainstGopacket(t *testing.T) {
	for name, r := range headers() {
		t.Run(name, func(t *testing.T) {
			payload := randomBytes(1, r.PayloadLen)
			b := packet(r, payload)
			ip, _ := decode(t, b)
			require.EqualValues(t, 4, ip.Version)
			require.EqualValues(t, r.HeaderLen()/4, ip.IHL)
			require.Equal(t, r.TOS, ip.TOS)
			require.EqualValues(t, len(b), ip.Length)
			require.Equal(t, r.ID, ip.Id)
			require.EqualValues(t, r.FragmentOffset/8, ip.FragOffset)
			require.Equal(t, r.DontFragment, ip.Flags&layers.IPv4DontFragment != 0)
			require.Equal(t, r.MoreFragments, ip.Flags&layers.IPv4MoreFragments != 0)
			require.Zero(t, ip.Flags&layers.IPv4EvilBit, "the reserved flag is never set")
			require.Equal(t, r.TTL, ip.TTL)
			require.EqualValues(t, r.Protocol, ip.Protocol)
			require.Equal(t, net.IP(r.Src.AsSlice()), ip.SrcIP)
			require.Equal(t, net.IP(r.Dst.AsSlice()), ip.DstIP)
			require.Equal(t, payload, append([]byte{}, ip.Payload...))

			// gopacket computes the checksum again when it serializes.
			again := encode(t, ip, gopacket.Payload(payload))
			require.Equal(t, again[10:12], b[10:12], "header checksum")

			x, err := xipv4.ParseHeader(b)
			require.NoError(t, err)
			require.Equal(t, int(r.ID), x.ID)
			require.Equal(t, int(r.TOS), x.TOS)
			require.Equal(t, r.DontFragment, x.Flags&xipv4.DontFragment != 0)
		})
	}
}

func TestParseAgainstGopacket(t *testing.T) {
	for name, r := range headers() {
		t.Run(name, func(t *testing.T) {
			ip := &layers.IPv4{
				Version: 4, TOS: r.TOS, Id: r.ID, TTL: r.TTL, Protocol: layers.IPProtocol(r.Protocol),
				FragOffset: uint16(r.FragmentOffset / 8), SrcIP: r.Src.AsSlice(), DstIP: r.Dst.AsSlice(),
			}
			if r.DontFragment {
				ip.Flags |= layers.IPv4DontFragment
			}
			if r.MoreFragments {
				ip.Flags |= layers.IPv4MoreFragments
			}
			if len(r.Options) > 0 {
				dec, _ := decode(t, packet(r, nil)) // gopacket's own option structs
				ip.Options, ip.Padding = dec.Options, dec.Padding
			}
			payload := randomBytes(2, 32)
			h, got, why := ipv4.Parse(encode(t, ip, gopacket.Payload(payload)))
			require.Equal(t, ipv4.OK, why)
			require.Equal(t, payload, got)
			want := r
			want.PayloadLen = len(payload)
			back := h.Repr()
			require.Equal(t, want.HeaderLen(), back.HeaderLen())
			require.Equal(t, want.Options, append([]byte(nil), back.Options[:len(want.Options)]...))
			want.Options, back.Options = nil, nil
			require.Equal(t, want, back)
			require.Equal(t, 4, h.Version())
			require.Equal(t, r.TOS>>2, h.DSCP())
			require.Equal(t, r.TOS&3, h.ECN())
			require.Equal(t, r.MoreFragments || r.FragmentOffset > 0, h.IsFragment())
			require.True(t, h.ChecksumOK())
			require.Equal(t, binary.BigEndian.Uint16(h[10:]), h.Checksum())
		})
	}
}

func TestHeaderEdits(t *testing.T) {
	b := packet(sample(), nil)
	h := ipv4.Header(b)
	h.SetTTL(1)
	h.SetTOS(0xff)
	require.False(t, h.ChecksumOK())
	h.UpdateChecksum()
	h, _, why := ipv4.Parse(b)
	require.Equal(t, ipv4.OK, why)
	require.Equal(t, uint8(1), h.TTL())
	require.Equal(t, uint8(0xff), h.TOS())
}

func TestMarshalRefusesNonsense(t *testing.T) {
	for name, edit := range map[string]func(r *ipv4.Repr){
		"41 bytes of options":     func(r *ipv4.Repr) { r.Options = make([]byte, 41) },
		"more than 65535 bytes":   func(r *ipv4.Repr) { r.PayloadLen = 65516 },
		"negative payload length": func(r *ipv4.Repr) { r.PayloadLen = -1 },
		"offset not in units":     func(r *ipv4.Repr) { r.FragmentOffset = 4 },
		"offset too large":        func(r *ipv4.Repr) { r.FragmentOffset = 65536 },
		"negative offset":         func(r *ipv4.Repr) { r.FragmentOffset = -8 },
		"no address":              func(r *ipv4.Repr) { r.Src = netipZero },
	} {
		t.Run(name, func(t *testing.T) {
			r := sample()
			edit(&r)
			require.Panics(t, func() { r.Marshal(make([]byte, 100)) })
		})
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]ipv4.Reason{}
	for r := range ipv4.NumReasons {
		require.NotEmpty(t, r.String(), "reason %d", r)
		require.NotEmpty(t, r.Detail(), "reason %d", r)
		require.NotContains(t, seen, r.Detail(), "each reason has a text of its own")
		seen[r.Detail()] = r
	}
	require.Equal(t, "InDiscards", ipv4.NumReasons.String())
	require.Equal(t, "unknown reason", ipv4.NumReasons.Detail())
}

func TestHotPathAllocatesNothing(t *testing.T) {
	r := sample()
	r.PayloadLen = 40
	b := make([]byte, 60)
	rules := ipv4.AddrRules{Loopback: true, Source: ipv4.SourceMustBeLocal}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.Marshal(b)
		h, _, why := ipv4.Parse(b)
		if why != ipv4.OK || h.Src() != addrA || rules.Check(h) != ipv4.OK {
			t.Fatal("a good packet was refused")
		}
	}))
}

func FuzzParse(f *testing.F) {
	for _, r := range headers() {
		f.Add(packet(r, []byte("some payload")))
	}
	f.Add([]byte{0x4f, 0, 0, 20})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, why := ipv4.Parse(b)
		if why != ipv4.OK {
			if h != nil || payload != nil {
				t.Fatal("views of a refused packet")
			}
			return
		}
		if len(h) != h.Len() || len(h)+len(payload) != h.TotalLen() || len(payload) != h.PayloadLen() {
			t.Fatalf("lengths disagree: %d + %d, %d", len(h), len(payload), h.TotalLen())
		}
		ip, _ := decodeHeaderOnly(b)
		if ip != nil && (ip.Id != h.ID() || int(ip.FragOffset)*8 != h.FragmentOffset() || ip.TTL != h.TTL()) {
			t.Fatalf("gopacket reads it differently: %+v", ip)
		}
		set, pointer, why := h.CheckOptions()
		if why != ipv4.OK && (int(pointer) < ipv4.MinHeaderLen || int(pointer) >= len(h)) {
			t.Fatalf("pointer %d outside the options", pointer)
		}
		_ = set
		(&ipv4.AddrRules{}).Check(h)
		if h.FragmentOffset()+h.PayloadLen() > ipv4.MaxLen {
			return
		}
		// What was accepted is emitted again byte for byte, but for the
		// reserved flag and what follows the end of the options.
		r := h.Repr()
		out := dirty(r.HeaderLen())
		r.Marshal(out)
		back, _, why := ipv4.ParseHead(out, h.TotalLen(), false)
		if why != ipv4.OK || back.ID() != h.ID() || back.Src() != h.Src() || back.Dst() != h.Dst() || back.TOS() != h.TOS() {
			t.Fatalf("emitted % x from % x: %s", out, []byte(h), why.Detail())
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	r := ipv4.Repr{TTL: 64, Protocol: 6, PayloadLen: 40, Src: addrA, Dst: addrB}
	p := make([]byte, 60)
	r.Marshal(p)
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, why := ipv4.Parse(p); why != ipv4.OK {
				b.Fatal(why.Detail())
			}
		}
	})
	b.Run("parse trusted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, why := ipv4.ParseHead(p, len(p), true); why != ipv4.OK {
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
	b.Run("martian rules", func(b *testing.B) {
		b.ReportAllocs()
		rules := ipv4.AddrRules{Loopback: true, Source: ipv4.SourceMustBeLocal}
		h := ipv4.Header(p)
		for b.Loop() {
			if why := rules.Check(h); why != ipv4.OK {
				b.Fatal(why.Detail())
			}
		}
	})
}

// TestPlain: a Plain header is byte for byte what Repr writes.
func TestPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for i := range 2000 {
		h := ipv4.Plain{TTL: uint8(r.Uint32()), Protocol: uint8(r.Uint32()), Src: r.Uint32(), Dst: r.Uint32()}
		tos, id, df, length := uint8(r.Uint32()), uint16(r.Uint32()), i%2 == 0, r.IntN(ipv4.MaxLen-ipv4.MinHeaderLen+1)
		if i%3 == 0 {
			h.Src, h.Dst, id = ^uint32(0)>>(i%32), ^uint32(0), 0xffff // carries
		}
		var src, dst [4]byte
		binary.BigEndian.PutUint32(src[:], h.Src)
		binary.BigEndian.PutUint32(dst[:], h.Dst)
		want := ipv4.Repr{
			TOS: tos, TTL: h.TTL, Protocol: h.Protocol, DontFragment: df, ID: id,
			PayloadLen: length, Src: netip.AddrFrom4(src), Dst: netip.AddrFrom4(dst),
		}
		a, b := bytes.Repeat([]byte{0xa5}, 24), bytes.Repeat([]byte{0xa5}, 24)
		require.Equal(t, ipv4.MinHeaderLen, want.Marshal(a))
		flags := uint64(0)
		if df {
			flags = ipv4.FlagDF
		}
		sum := h.Src>>16 + h.Src&0xffff + h.Dst>>16 + h.Dst&0xffff
		first, second := h.Words(tos, id, flags, uint64(ipv4.MinHeaderLen+length), uint64(sum))
		binary.BigEndian.PutUint64(b[0:], first)
		binary.BigEndian.PutUint64(b[8:], second)
		binary.BigEndian.PutUint32(b[16:], h.Dst)
		require.Equal(t, a, b, "%+v", h)
	}
}
