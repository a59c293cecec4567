package ipv4_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"example.com/loopback/ipv4"
	"github.com/google/gopacket/ip4defrag"
	"github.com/stretchr/testify/require"
)

// fragments cuts the datagram r with payload for mtu, as a sender does.
func fragments(t testing.TB, r ipv4.Repr, payload []byte, mtu int) (out [][]byte) {
	t.Helper()
	r.PayloadLen = len(payload)
	for off := 0; off < len(payload) || len(payload) == 0 && len(out) == 0; {
		f, ok := r.FragmentAt(off, mtu)
		require.True(t, ok, "no fragment at %d", off)
		b := packet(f, payload[off:off+f.PayloadLen])
		require.LessOrEqual(t, len(b), mtu)
		out = append(out, b)
		off += f.PayloadLen
	}
	return out
}

// fragmentable is a header whose datagram may be cut.
func fragmentable() ipv4.Repr {
	r := sample()
	r.DontFragment = false
	return r
}

// input hands the packet b to r, its payload in pieces.
func input(t testing.TB, r *ipv4.Reassembler, now time.Duration, b []byte) ([]byte, ipv4.Reason) {
	t.Helper()
	h, payload, why := ipv4.Parse(b)
	require.Equal(t, ipv4.OK, why, why.Detail())
	cut := len(payload) / 3
	return r.Input(now, h, payload[:cut], nil, payload[cut:])
}

func TestFragmentAt(t *testing.T) {
	payload := randomBytes(7, 65507)
	for _, mtu := range []int{68, 576, 1280, 1500, 16436, 65535} {
		r := fragmentable()
		fs := fragments(t, r, payload, mtu)
		var joined []byte
		for i, b := range fs {
			h, p, why := ipv4.Parse(b)
			require.Equal(t, ipv4.OK, why)
			require.Equal(t, len(joined), h.FragmentOffset())
			require.Equal(t, i < len(fs)-1, h.MoreFragments())
			require.Equal(t, r.ID, h.ID())
			if h.MoreFragments() {
				require.Greater(t, len(b)+8, mtu, "as large as fits")
			}
			joined = append(joined, p...)
		}
		require.Equal(t, payload, joined)
	}
	t.Run("options: only those marked as copied go into later fragments", func(t *testing.T) {
		r := fragmentable()
		r.Options = []byte{148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0}
		fs := fragments(t, r, payload[:100], 68)
		require.Len(t, fs, 3)
		h, _, _ := ipv4.Parse(fs[0])
		require.Equal(t, r.Options, h.Options())
		for _, b := range fs[1:] {
			h, _, _ = ipv4.Parse(b)
			require.Equal(t, []byte{148, 4, 0, 0}, h.Options())
		}
	})
	t.Run("a fragment is cut again", func(t *testing.T) {
		r := fragmentable()
		r.FragmentOffset, r.MoreFragments = 800, true
		fs := fragments(t, r, payload[:160], 100)
		h, _, _ := ipv4.Parse(fs[len(fs)-1])
		require.Len(t, fs, 2)
		require.True(t, h.MoreFragments(), "the last part of a fragment that is not the last")
		require.Equal(t, 880, h.FragmentOffset())
	})
	t.Run("a datagram that fits is not changed", func(t *testing.T) {
		r := sample()
		r.PayloadLen = 1480
		f, ok := r.FragmentAt(0, 1500)
		require.True(t, ok)
		require.Equal(t, r, f)
		r.PayloadLen = 0
		f, ok = r.FragmentAt(0, 1500)
		require.True(t, ok)
		require.Equal(t, r, f)
	})
	for _, tt := range []struct {
		name     string
		off, mtu int
	}{
		{"no room for 8 bytes", 0, 27}, {"mtu 0", 0, 0}, {"offset not in units", 12, 1500},
		{"offset at the end", 1000, 1500}, {"offset past the end", 1008, 1500}, {"negative offset", -8, 1500},
	} {
		t.Run("refused: "+tt.name, func(t *testing.T) {
			r := sample()
			r.PayloadLen = 1000
			_, ok := r.FragmentAt(tt.off, tt.mtu)
			require.False(t, ok)
		})
	}
	t.Run("refused: an offset that the header cannot hold", func(t *testing.T) {
		r := sample()
		r.FragmentOffset, r.PayloadLen = 65528, 1000 // the last fragment of a datagram that cannot be
		_, ok := r.FragmentAt(0, 500)
		require.True(t, ok)
		_, ok = r.FragmentAt(480, 500)
		require.False(t, ok)
	})
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
	r := fragmentable()
	r.Options = []byte{148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0}
	payload := randomBytes(8, 5*400-3)
	fs := fragments(t, r, payload, 440)
	require.Len(t, fs, 5)
	want := packet(r, payload)
	var reassembler ipv4.Reassembler
	permutations(len(fs), func(order []int) {
		for i, j := range order {
			got, why := input(t, &reassembler, 0, fs[j])
			require.Equal(t, ipv4.OK, why)
			if i < len(order)-1 {
				require.Nil(t, got, "complete too early in order %v", order)
				dup, why := input(t, &reassembler, 0, fs[order[i/2]])
				require.Equal(t, ipv4.ReasonFragmentDup, why)
				require.Nil(t, dup)
				continue
			}
			require.Equal(t, want, got, "order %v", order)
		}
	})
	datagrams, held, used := reassembler.Held()
	require.Zero(t, datagrams+held+used)
	require.EqualValues(t, 120, reassembler.Stats().Datagrams)
}

func TestReassemblyAgainstGopacket(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		r := fragmentable()
		payload := randomBytes(rnd.Uint64(), 100+rnd.IntN(8000))
		fs := fragments(t, r, payload, 68+rnd.IntN(1400))
		if len(fs[len(fs)-1]) < 28 {
			continue // gopacket takes a last fragment of less than 8 bytes for handcrafted
		}
		rnd.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
		oracle := ip4defrag.NewIPv4Defragmenter()
		var reassembler ipv4.Reassembler
		for i, b := range fs {
			got, why := input(t, &reassembler, 0, b)
			require.Equal(t, ipv4.OK, why)
			ip, _ := decodeHeaderOnly(b)
			whole, err := oracle.DefragIPv4(ip)
			require.NoError(t, err)
			require.Equal(t, whole != nil, got != nil, "fragment %d of %d", i, len(fs))
			if got != nil && len(fs) > 1 {
				require.Equal(t, []byte(whole.Payload), got[20:])
				_, _, why := ipv4.Parse(got)
				require.Equal(t, ipv4.OK, why)
			}
		}
	}
}

func TestReassembledHeader(t *testing.T) {
	r := fragmentable()
	fs := fragments(t, r, randomBytes(1, 100), 68)
	last := ipv4.Header(fs[2][:20]) // other fields than the first one's
	last.SetTTL(3)
	last.SetTOS(0xb9&^3 | ipv4.ECNCE)
	last.UpdateChecksum()
	var reassembler ipv4.Reassembler
	input(t, &reassembler, 0, fs[1])
	input(t, &reassembler, 0, fs[2])
	got, why := input(t, &reassembler, 0, fs[0])
	require.Equal(t, ipv4.OK, why)
	h, payload, why := ipv4.Parse(got)
	require.Equal(t, ipv4.OK, why)
	require.False(t, h.IsFragment())
	require.Equal(t, r.TTL, h.TTL(), "the first fragment's")
	require.EqualValues(t, ipv4.ECNCE, h.ECN(), "congestion of one is congestion of all")
	require.Len(t, payload, 100)
	decode(t, got)
}

func TestReassemblyDrops(t *testing.T) {
	r := fragmentable()
	fs := fragments(t, r, randomBytes(1, 200), 100)
	require.Len(t, fs, 3)
	at := func(off, n int, more bool, edit ...func(r *ipv4.Repr)) []byte {
		f := r
		f.FragmentOffset, f.MoreFragments = off, more
		for _, e := range edit {
			e(&f)
		}
		return packet(f, make([]byte, n))
	}
	notECT := func(r *ipv4.Repr) { r.TOS &^= 3 }
	tests := []struct {
		name string
		in   [][]byte
		want ipv4.Reason // of the last one
		mib  string
	}{
		{"length not a multiple of 8", [][]byte{at(0, 12, true)}, ipv4.ReasonFragmentLength, "ReasmFails"},
		{"no data", [][]byte{at(8, 0, true)}, ipv4.ReasonFragmentLength, "ReasmFails"},
		{"no data, last", [][]byte{at(8, 0, false)}, ipv4.ReasonFragmentLength, "ReasmFails"},
		{"the ping of death", [][]byte{at(65528, 8, false)}, ipv4.ReasonFragmentTooBig, "ReasmFails"},
		{"the largest offset that fits", [][]byte{at(65504, 11, false)}, ipv4.OK, "InDelivers"},
		{"one byte more", [][]byte{at(65504, 12, false)}, ipv4.ReasonFragmentTooBig, "ReasmFails"},
		{"fits alone but not behind the first one's options", [][]byte{
			at(0, 65408, true, func(r *ipv4.Repr) { r.Options = make([]byte, 40) }), at(65408, 100, false),
		}, ipv4.ReasonFragmentTooBig, "ReasmFails"},
		{"overlap", [][]byte{fs[0], at(8, 80, true)}, ipv4.ReasonFragmentOverlap, "ReasmOverlaps"},
		{"duplicate", [][]byte{fs[0], fs[0]}, ipv4.ReasonFragmentDup, "ReasmDuplicates"},
		{"two ends", [][]byte{fs[2], at(240, 8, false)}, ipv4.ReasonFragmentEnd, "ReasmFails"},
		{"not taking part in ECN, and marked", [][]byte{at(0, 8, true, notECT), at(8, 8, false)}, ipv4.ReasonFragmentECN, "ReasmFails"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var reassembler ipv4.Reassembler
			for i, b := range tt.in {
				got, why := input(t, &reassembler, 0, b)
				require.Nil(t, got)
				if i < len(tt.in)-1 {
					require.Equal(t, ipv4.OK, why)
					continue
				}
				require.Equal(t, tt.want, why, why.Detail())
				require.Equal(t, tt.mib, why.String())
			}
			_, held, _ := reassembler.Held()
			s := reassembler.Stats()
			require.Equal(t, s.Fragments, s.Merged+s.Refused+s.Discarded+uint64(held), "fragments are conserved: %+v", s)
		})
	}
	t.Run("more than the memory holds", func(t *testing.T) {
		reassembler := ipv4.Reassembler{MaxBytes: 500}
		_, why := input(t, &reassembler, 0, at(0, 800, true))
		require.Equal(t, ipv4.ReasonReassemblyFull, why)
	})
}

func TestWholePacketIsReturnedAtOnce(t *testing.T) {
	var reassembler ipv4.Reassembler
	b := packet(sample(), []byte("whole"))
	got, why := input(t, &reassembler, 0, b)
	require.Equal(t, ipv4.OK, why)
	require.Equal(t, b, got)
	b[20] = 'W'
	require.NotEqual(t, b, got, "copied")
}

func TestPaddingIsNotReassembled(t *testing.T) {
	r := fragmentable()
	payload := randomBytes(1, 100)
	var reassembler ipv4.Reassembler
	var got []byte
	for _, b := range fragments(t, r, payload, 68) {
		h, _, _ := ipv4.Parse(b)
		got, _ = reassembler.Input(0, h, b[20:], []byte("padding"))
	}
	require.Equal(t, packet(r, payload), got)
}

func TestReassemblyTimeout(t *testing.T) {
	r := fragmentable()
	fs := fragments(t, r, randomBytes(9, 3000), 1500)
	other := r
	other.ID++
	gs := fragments(t, other, randomBytes(9, 3000), 1500)
	var reassembler ipv4.Reassembler
	require.Equal(t, ipv4.Never, reassembler.Deadline())
	input(t, &reassembler, time.Second, fs[1])
	input(t, &reassembler, 2*time.Second, gs[0])
	require.Equal(t, 31*time.Second, reassembler.Deadline())

	type expiry struct {
		first    []byte
		src, dst netip.Addr
	}
	var got []expiry
	note := func(first []byte, src, dst netip.Addr) { got = append(got, expiry{first, src, dst}) }
	reassembler.Timeout(31*time.Second-1, note)
	require.Empty(t, got)
	reassembler.Timeout(31*time.Second, note)
	require.Equal(t, []expiry{{nil, addrA, addrB}}, got, "the fragment with offset 0 has not come")
	got = nil
	reassembler.Timeout(32*time.Second, note)
	require.Equal(t, []expiry{{gs[0][:576], addrA, addrB}}, got)
	require.True(t, ipv4.ErrorAllowed(got[0].first, nil))
	require.Len(t, ipv4.Quote(got[0].first, 20), 548)
	require.EqualValues(t, 2, reassembler.Stats().TimedOut)

	late, why := input(t, &reassembler, 33*time.Second, gs[1])
	require.Nil(t, late, "what comes later starts anew")
	require.Equal(t, ipv4.OK, why)
	reassembler.Timeout(time.Hour, nil)
	require.Equal(t, ipv4.Never, reassembler.Deadline())

	short := ipv4.Reassembler{MaxAge: time.Second}
	input(t, &short, 0, fs[0])
	require.Equal(t, time.Second, short.Deadline())
}

func TestReassemblyAllocatesNothingWithAlloc(t *testing.T) {
	mem := make([]byte, 65536)
	reassembler := ipv4.Reassembler{Alloc: func(n int) []byte { return mem[:n] }}
	r := fragmentable()
	payload := randomBytes(1, 65507)
	fs := fragments(t, r, payload, 16436)
	var hs []ipv4.Header
	var ps [][]byte
	for _, b := range fs {
		h, p, _ := ipv4.Parse(b)
		hs, ps = append(hs, h), append(ps, p)
	}
	var got []byte
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for i, h := range hs {
			got, _ = reassembler.Input(0, h, ps[i][:8], ps[i][8:])
		}
	}))
	require.True(t, bytes.Equal(packet(r, payload), got))
}

// FuzzReassembler feeds arbitrary fragments of few datagrams and checks every
// datagram that comes out against a plain list of the bytes that went in.
func FuzzReassembler(f *testing.F) {
	f.Add([]byte{0, 0, 1, 8, 0, 1, 0, 8})
	f.Add([]byte{0, 0, 1, 16, 0, 1, 1, 16, 0, 3, 0, 4})
	f.Add([]byte{1, 255, 0, 255, 0, 0, 1, 64, 0x80, 200, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 400 {
			ops = ops[:400]
		}
		reassembler := ipv4.Reassembler{MaxBytes: 20_000, MaxDatagrams: 3}
		var now time.Duration
		for ; len(ops) >= 4; ops = ops[4:] {
			if ops[0]&0x80 != 0 {
				now += time.Duration(ops[1]) * time.Second
				reassembler.Timeout(now, func(first []byte, src, dst netip.Addr) {
					if first != nil && (len(first) < 20 || len(first) > 576) {
						t.Fatalf("first fragment of %d bytes", len(first))
					}
				})
				continue
			}
			r := fragmentable()
			r.ID = uint16(ops[0] & 3)
			r.FragmentOffset = int(ops[1]) * 8 << (ops[0] >> 2 & 7) & 0xfff8
			r.MoreFragments = ops[2]&1 != 0
			n := int(ops[3])
			if ops[2]&2 != 0 {
				n *= 8
			}
			// Each byte of a datagram is a function of its place, so that the
			// whole can be checked whatever the pieces were.
			b := packet(r, placed(r.ID, r.FragmentOffset, n))
			got, _ := input(t, &reassembler, now, b)
			if got != nil {
				h, payload, why := ipv4.Parse(got)
				if why != ipv4.OK || h.IsFragment() || !bytes.Equal(payload, placed(r.ID, 0, len(payload))) {
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

// placed returns n bytes of datagram id, from the byte off on.
func placed(id uint16, off, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		var w [8]byte
		binary.BigEndian.PutUint64(w[:], uint64(off+i)*0x9e3779b97f4a7c15+uint64(id))
		b[i] = w[0]
	}
	return b
}

func BenchmarkReassemble64K(b *testing.B) {
	payload := randomBytes(1, 65507)
	var hs []ipv4.Header
	var ps [][]byte
	for _, f := range fragments(b, fragmentable(), payload, 16436) {
		h, p, _ := ipv4.Parse(f)
		hs, ps = append(hs, h), append(ps, p)
	}
	b.Run("make", func(b *testing.B) { benchmarkReassemble(b, nil, hs, ps) })
	mem := make([]byte, 65536)
	b.Run("own memory", func(b *testing.B) { benchmarkReassemble(b, func(n int) []byte { return mem[:n] }, hs, ps) })
}

func benchmarkReassemble(b *testing.B, alloc func(n int) []byte, hs []ipv4.Header, ps [][]byte) {
	reassembler := ipv4.Reassembler{Alloc: alloc}
	b.ReportAllocs()
	b.SetBytes(65507)
	for b.Loop() {
		for i, h := range hs {
			reassembler.Input(0, h, ps[i])
		}
	}
}
