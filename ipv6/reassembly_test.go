package ipv6_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"example.com/loopback/ipv6"
	"github.com/stretchr/testify/require"
)

// fragments cuts payload for mtu, as a sender does; the extension headers
// unfragmentable, whose first is of the type first, precede the fragment header.
func fragments(t testing.TB, r ipv6.Repr, payload []byte, mtu int, first uint8, unfragmentable []byte) (out [][]byte) {
	t.Helper()
	for off, more := 0, true; more; {
		var n int
		var ok bool
		n, more, ok = ipv6.FragmentAt(len(payload), off, ipv6.HeaderLen+len(unfragmentable), mtu)
		require.True(t, ok, "no fragment at %d", off)
		f := r
		f.NextHeader = first
		b := packet(f, unfragmentable, fragmentHeader(r.NextHeader, off, more, 0xbeef), payload[off:off+n])
		require.LessOrEqual(t, len(b), mtu)
		out = append(out, b)
		off += n
	}
	return out
}

// cut is fragments without extension headers.
func cut(t testing.TB, payload []byte, mtu int) [][]byte {
	return fragments(t, sample(), payload, mtu, frag, nil)
}

// input hands the packet b to r, its payload in pieces.
func input(t testing.TB, r *ipv6.Reassembler, now time.Duration, b []byte) ([]byte, ipv6.Reason) {
	t.Helper()
	h, payload := parse(t, b)
	n := max(len(payload)-7, min(len(payload), 300)) // all extension headers are in the first piece
	pieces := [][]byte{payload[:n:n], nil, payload[n:]}
	got, why := r.Input(now, h, pieces...)
	require.Len(t, pieces[0], n, "the caller's list is left alone")
	return got, why
}

func TestFragmentAt(t *testing.T) {
	payload := randomBytes(7, 65527)
	for _, mtu := range []int{1280, 1500, 16436, 65535} {
		fs := cut(t, payload, mtu)
		var joined []byte
		for i, b := range fs {
			h, p := parse(t, b)
			require.EqualValues(t, frag, h.NextHeader())
			f := ipv6.FragmentHeader(p[:8])
			require.Equal(t, len(joined), f.Offset())
			require.Equal(t, i < len(fs)-1, f.MoreFragments())
			if f.MoreFragments() {
				require.Greater(t, len(b)+8, mtu, "as large as fits")
			}
			joined = append(joined, p[8:]...)
		}
		require.Equal(t, payload, joined)
	}
	for _, tt := range []struct {
		name        string
		n, off, mtu int
	}{
		{"no room for 8 bytes", 100, 0, 55}, {"offset not in units", 1000, 12, 1500},
		{"offset at the end", 1000, 1000, 1500}, {"offset past the end", 1000, 1008, 1500}, {"negative offset", 1000, -8, 1500},
	} {
		t.Run("refused: "+tt.name, func(t *testing.T) {
			_, _, ok := ipv6.FragmentAt(tt.n, tt.off, ipv6.HeaderLen, tt.mtu)
			require.False(t, ok)
		})
	}
	n, more, ok := ipv6.FragmentAt(1232, 0, ipv6.HeaderLen, 1280)
	require.True(t, ok && !more && n == 1232, "an exact fit")
	n, more, ok = ipv6.FragmentAt(0, 0, ipv6.HeaderLen, 1280)
	require.True(t, ok && !more && n == 0, "an empty packet is one fragment")
}

func TestMarshalFragment(t *testing.T) {
	r := sample()
	r.PayloadLen = 9999 // of the whole; not looked at
	b := dirty(60)
	require.Equal(t, 48, r.MarshalFragment(b, 800, 12, true, 0xbeef))
	want := packet(func() ipv6.Repr { f := sample(); f.NextHeader = frag; return f }(), fragmentHeader(udp, 800, true, 0xbeef), dirty(12))
	require.Equal(t, want, b)
}

// permutations calls f with every order of 0..n-1.
func permutations(n int, f func(order []int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var rec func(k int)
	rec = func(k int) {
		if k == n {
			f(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			rec(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	rec(0)
}

func TestReassemblyInEveryOrder(t *testing.T) {
	payload := randomBytes(8, 5*400-3)
	tests := []struct {
		name           string
		first          uint8
		unfragmentable []byte
		want           []byte
	}{
		{"plain", frag, nil, packet(sample(), payload)},
		{"behind a hop-by-hop header", hop, ext(frag), packet(func() ipv6.Repr { r := sample(); r.NextHeader = hop; return r }(), ext(udp), payload)},
		{
			"behind three headers", hop, bytes.Join([][]byte{ext(dest), ext(route), routing(frag, 0, 0)}, nil),
			packet(func() ipv6.Repr { r := sample(); r.NextHeader = hop; return r }(), ext(dest), ext(route), routing(udp, 0, 0), payload),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := fragments(t, sample(), payload, 448+len(tt.unfragmentable), tt.first, tt.unfragmentable)
			require.Len(t, fs, 5)
			var reassembler ipv6.Reassembler
			permutations(len(fs), func(order []int) {
				for i, j := range order {
					before := append([]byte(nil), fs[j]...)
					got, why := input(t, &reassembler, 0, fs[j])
					require.Equal(t, ipv6.OK, why, why.Detail())
					require.Equal(t, before, fs[j], "the fragment is left alone")
					if i < len(order)-1 {
						require.Nil(t, got, "complete too early in order %v", order)
						_, why := input(t, &reassembler, 0, fs[order[i/2]])
						require.Equal(t, ipv6.ReasonFragmentDup, why)
						continue
					}
					require.Equal(t, tt.want, got, "order %v", order)
				}
			})
			datagrams, held, used := reassembler.Held()
			require.Zero(t, datagrams+held+used)
			require.EqualValues(t, 120, reassembler.Stats().Datagrams)
		})
	}
}

func TestReassembledPacketPleasesGopacket(t *testing.T) {
	datagram := append([]byte{0x12, 0x34, 0x77, 0x77, 0x10, 0, 0, 1}, randomBytes(1, 4096-8)...)
	var reassembler ipv6.Reassembler
	var whole []byte
	for _, b := range cut(t, datagram, 1280) {
		whole, _ = input(t, &reassembler, 0, b)
	}
	ip, p := decode(t, whole)
	require.EqualValues(t, 4096, ip.Length)
	require.NotNil(t, p.TransportLayer())
	require.Equal(t, datagram[8:], p.TransportLayer().LayerPayload())
}

func TestReassemblyDrops(t *testing.T) {
	at := func(off, n int, more bool, edit ...func(r *ipv6.Repr)) []byte {
		r := sample()
		r.NextHeader = frag
		for _, e := range edit {
			e(&r)
		}
		return packet(r, fragmentHeader(udp, off, more, 1), make([]byte, n))
	}
	behind := func(off, n int, more bool, opts []byte) []byte {
		r := sample()
		r.NextHeader = dest
		return packet(r, opts, fragmentHeader(udp, off, more, 1), make([]byte, n))
	}
	notECT := func(r *ipv6.Repr) { r.TrafficClass &^= 3 }
	field := func(pointer uint32) ipv6.Problem { return ipv6.Problem{Send: true, Pointer: pointer} }
	long := ext(frag, append([]byte{0x1e, 100}, make([]byte, 100)...)...)
	huge := ext(frag, append([]byte{0x1e, 255}, make([]byte, 255)...)...)
	tests := []struct {
		name    string
		in      [][]byte
		want    ipv6.Reason // of the last one
		mib     string
		problem ipv6.Problem
	}{
		{"length not a multiple of 8", [][]byte{at(0, 12, true)}, ipv6.ReasonFragmentLength, "InHdrErrors", field(4)},
		{"no data", [][]byte{at(8, 0, true)}, ipv6.ReasonFragmentEmpty, "ReasmFails", ipv6.Problem{}},
		{"no data, last", [][]byte{at(8, 0, false)}, ipv6.ReasonFragmentEmpty, "ReasmFails", ipv6.Problem{}},
		{"the largest offset", [][]byte{at(65528, 7, false)}, ipv6.OK, "InDelivers", ipv6.Problem{}},
		{"one byte more", [][]byte{at(65528, 8, false)}, ipv6.ReasonFragmentTooBig, "InHdrErrors", field(42)},
		{"too large behind options", [][]byte{behind(65520, 8, false, ext(frag))}, ipv6.ReasonFragmentTooBig, "InHdrErrors", field(50)},
		{"fits alone but not behind the first one's options", [][]byte{behind(0, 65400, true, long), at(65400, 100, false)}, ipv6.ReasonFragmentTooBig, "InHdrErrors", field(42)},
		{"overlap", [][]byte{at(0, 16, true), at(8, 16, true)}, ipv6.ReasonFragmentOverlap, "ReasmOverlaps", ipv6.Problem{}},
		{"what comes after an overlap is dropped too", [][]byte{at(0, 16, true), at(8, 16, true), at(80, 8, false)}, ipv6.ReasonFragmentOverlap, "ReasmOverlaps", ipv6.Problem{}},
		{"not the exact duplicate", [][]byte{at(0, 24, true), at(8, 8, true)}, ipv6.ReasonFragmentOverlap, "ReasmOverlaps", ipv6.Problem{}},
		{"exact duplicate", [][]byte{at(8, 16, true), at(8, 16, true)}, ipv6.ReasonFragmentDup, "ReasmDuplicates", ipv6.Problem{}},
		{"two ends", [][]byte{at(8, 16, false), at(24, 8, false)}, ipv6.ReasonFragmentEnd, "ReasmFails", ipv6.Problem{}},
		{"not taking part in ECN, and marked", [][]byte{at(0, 8, true, notECT), at(8, 8, false)}, ipv6.ReasonFragmentECN, "ReasmFails", ipv6.Problem{}},
		{"no fragment header", [][]byte{packet(sample(), make([]byte, 8))}, ipv6.ReasonExtTruncated, "InTruncatedPkts", ipv6.Problem{}},
		{"half a fragment header", [][]byte{packet(func() ipv6.Repr { r := sample(); r.NextHeader = frag; return r }(), []byte{udp, 0, 0, 1})}, ipv6.ReasonExtTruncated, "InTruncatedPkts", ipv6.Problem{}},
		{"half an options header", [][]byte{packet(func() ipv6.Repr { r := sample(); r.NextHeader = dest; return r }(), []byte{frag, 0, 0, 1})}, ipv6.ReasonExtTruncated, "InTruncatedPkts", ipv6.Problem{}},
		{"more options than are kept", [][]byte{behind(0, 8, true, huge)}, ipv6.ReasonExtTruncated, "InTruncatedPkts", ipv6.Problem{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var reassembler ipv6.Reassembler
			for i, b := range tt.in {
				got, why := input(t, &reassembler, 0, b)
				require.Nil(t, got)
				if i < len(tt.in)-1 {
					continue
				}
				require.Equal(t, tt.want, why, why.Detail())
				require.Equal(t, tt.mib, why.String())
				h, payload := parse(t, b)
				require.Equal(t, tt.problem, ipv6.FragmentProblem(h, payload, why))
			}
			_, held, _ := reassembler.Held()
			s := reassembler.Stats()
			require.Equal(t, s.Fragments, s.Merged+s.Refused+s.Discarded+uint64(held), "fragments are conserved: %+v", s)
		})
	}
	t.Run("more than the memory holds", func(t *testing.T) {
		reassembler := ipv6.Reassembler{MaxBytes: 500}
		_, why := input(t, &reassembler, 0, at(0, 800, true))
		require.Equal(t, ipv6.ReasonReassemblyFull, why)
	})
	t.Run("no payload", func(t *testing.T) {
		var reassembler ipv6.Reassembler
		_, why := reassembler.Input(0, ipv6.Header(at(0, 0, true)[:40]))
		require.Equal(t, ipv6.ReasonExtTruncated, why)
		require.Zero(t, ipv6.FragmentProblem(ipv6.Header(packet(sample())), nil, ipv6.ReasonFragmentTooBig))
	})
}

func TestReassembledTrafficClass(t *testing.T) {
	fs := cut(t, make([]byte, 2000), 1280)
	ipv6.Header(fs[1]).SetTrafficClass(0xb8 | ipv6.ECNCE)
	var reassembler ipv6.Reassembler
	input(t, &reassembler, 0, fs[1])
	got, why := input(t, &reassembler, 0, fs[0])
	require.Equal(t, ipv6.OK, why)
	h, _ := parse(t, got)
	require.Equal(t, uint8(0xb8|ipv6.ECNCE), h.TrafficClass(), "congestion of one is congestion of all")
}

// TestAtomicFragments is RFC 6946 §4: they are processed alone, even when
// fragments with their identification wait.
func TestAtomicFragments(t *testing.T) {
	r := sample()
	r.NextHeader = frag
	waiting := packet(r, fragmentHeader(udp, 0, true, 1), make([]byte, 64))
	atomic := packet(r, fragmentHeader(udp, 0, false, 1), []byte("atomic"))
	padded := append(append([]byte(nil), atomic...), "padding"...)
	empty := packet(r, fragmentHeader(udp, 0, false, 1))
	var reassembler ipv6.Reassembler
	_, why := input(t, &reassembler, 0, waiting)
	require.Equal(t, ipv6.OK, why)
	for _, b := range [][]byte{atomic, padded} {
		got, why := reassembler.Input(0, ipv6.Header(b[:40]), b[40:50], b[50:])
		require.Equal(t, ipv6.OK, why)
		require.Equal(t, packet(sample(), []byte("atomic")), got)
	}
	got, why := input(t, &reassembler, 0, empty)
	require.Equal(t, ipv6.OK, why)
	require.Equal(t, packet(sample()), got)
	datagrams, _, _ := reassembler.Held()
	require.Equal(t, 1, datagrams, "the other one still waits")
}

func TestReassemblyTimeout(t *testing.T) {
	fs := cut(t, randomBytes(9, 3000), 1500)
	other := sample()
	other.Src = addr("2001:db8::77")
	gs := fragments(t, other, randomBytes(9, 3000), 1500, frag, nil)
	var reassembler ipv6.Reassembler
	require.Equal(t, ipv6.Never, reassembler.Deadline())
	input(t, &reassembler, time.Second, fs[1])
	input(t, &reassembler, 2*time.Second, gs[0])
	require.Equal(t, 61*time.Second, reassembler.Deadline())
	var firsts [][]byte
	var srcs []netip.Addr
	note := func(first []byte, src, dst netip.Addr) {
		require.Equal(t, addrB, dst)
		firsts, srcs = append(firsts, first), append(srcs, src)
	}
	reassembler.Timeout(61*time.Second-1, note)
	require.Empty(t, srcs)
	reassembler.Timeout(time.Hour, note)
	require.Equal(t, []netip.Addr{addrA, other.Src}, srcs)
	require.Nil(t, firsts[0], "the fragment with offset 0 has not come")
	require.Equal(t, gs[0][:1280], firsts[1], "as it came, fragment header included")
	require.True(t, ipv6.ErrorAllowed(firsts[1], ipv6.ICMPTimeExceeded, ipv6.CodeReassemblyExceeded))
	require.EqualValues(t, 2, reassembler.Stats().TimedOut)

	short := ipv6.Reassembler{MaxAge: time.Second}
	input(t, &short, 0, fs[0])
	require.Equal(t, time.Second, short.Deadline())
	short.Timeout(time.Second, nil)
	require.Equal(t, ipv6.Never, short.Deadline())
}

func TestReassemblyAllocatesNothingWithAlloc(t *testing.T) {
	mem := make([]byte, 65536+40)
	reassembler := ipv6.Reassembler{Alloc: func(n int) []byte { return mem[:n] }}
	payload := randomBytes(1, 65527)
	var hs []ipv6.Header
	var ps [][]byte
	for _, b := range cut(t, payload, 16436) {
		h, p := parse(t, b)
		hs, ps = append(hs, h), append(ps, p)
	}
	var got []byte
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for i, h := range hs {
			got, _ = reassembler.Input(0, h, ps[i][:8], ps[i][8:])
		}
	}))
	require.True(t, bytes.Equal(packet(sample(), payload), got))
}

// FuzzReassembler feeds arbitrary fragments of few datagrams and checks every
// datagram that comes out against the bytes that can only have gone in.
func FuzzReassembler(f *testing.F) {
	f.Add([]byte{0, 0, 1, 8, 0, 1, 0, 8})
	f.Add([]byte{0, 0, 3, 2, 0, 2, 3, 2, 0, 4, 0, 4})
	f.Add([]byte{0x41, 255, 0, 255, 0, 0, 1, 64, 0x80, 200, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 400 {
			ops = ops[:400]
		}
		reassembler := ipv6.Reassembler{MaxBytes: 20_000, MaxDatagrams: 3}
		var now time.Duration
		for ; len(ops) >= 4; ops = ops[4:] {
			if ops[0]&0x80 != 0 {
				now += time.Duration(ops[1]) * time.Second
				reassembler.Timeout(now, func(first []byte, src, dst netip.Addr) {
					if first != nil && (len(first) < 48 || len(first) > 1280) {
						t.Fatalf("first fragment of %d bytes", len(first))
					}
				})
				continue
			}
			id := uint32(ops[0] & 3)
			offset := int(ops[1]) * 8 << (ops[0] >> 2 & 7) & 0xfff8
			n := int(ops[3])
			if ops[2]&2 != 0 {
				n *= 8
			}
			r := sample()
			r.NextHeader = frag
			parts := [][]byte{fragmentHeader(udp, offset, ops[2]&1 != 0, id), placed(id, offset, n)}
			if ops[0]&0x40 != 0 {
				r.NextHeader = dest
				parts = append([][]byte{ext(frag)}, parts...)
			}
			if got, _ := input(t, &reassembler, now, packet(r, parts...)); got != nil {
				h, payload, why := ipv6.Parse(got)
				if why == ipv6.OK && h.NextHeader() == dest {
					payload = payload[8:]
				}
				if why != ipv6.OK || !bytes.Equal(payload, placed(id, 0, len(payload))) {
					t.Fatalf("reassembled % x: %s", got, why.Detail())
				}
			}
			_, held, used := reassembler.Held()
			s := reassembler.Stats()
			if used > 20_000 || s.Fragments != s.Merged+s.Refused+s.Discarded+uint64(held) {
				t.Fatalf("%+v, %d held in %d bytes", s, held, used)
			}
			now += time.Duration(ops[2]) * 10 * time.Millisecond
		}
	})
}

// placed returns n bytes of datagram id, from the byte off on: each byte tells its place.
func placed(id uint32, off, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		var w [8]byte
		binary.BigEndian.PutUint64(w[:], uint64(off+i)*0x9e3779b97f4a7c15+uint64(id))
		b[i] = w[0]
	}
	return b
}
