package tcp

import (
	"math/big"
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/require"
)

func TestSeqOrder(t *testing.T) {
	const half = 1 << 31
	tests := []struct {
		name                     string
		a, b                     Seq
		before, after, atb, afeq bool
	}{
		{"equal", 7, 7, false, false, true, true},
		{"equal at zero", 0, 0, false, false, true, true},
		{"next", 7, 8, true, false, true, false},
		{"previous", 8, 7, false, true, false, true},
		{"over the wrap", 0xffffffff, 0, true, false, true, false},
		{"back over the wrap", 0, 0xffffffff, false, true, false, true},
		{"far over the wrap", 0xc0000000, 0x3fffffff, true, false, true, false},
		{"largest forward distance", 5, 5 + half - 1, true, false, true, false},
		{"largest backward distance", 5 + half - 1, 5, false, true, false, true},
		{"opposite: each before the other", 5, 5 + half, true, true, false, false},
		{"unsigned order would say otherwise", 0x80000001, 0x00000000, true, false, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.before, tt.a.Before(tt.b), "Before")
			require.Equal(t, tt.after, tt.a.After(tt.b), "After")
			require.Equal(t, tt.atb, tt.a.AtOrBefore(tt.b), "AtOrBefore")
			require.Equal(t, tt.afeq, tt.a.AtOrAfter(tt.b), "AtOrAfter")
		})
	}
}

func TestSeqInWindow(t *testing.T) {
	tests := []struct {
		name  string
		s     Seq
		start Seq
		wnd   uint32
		want  bool
	}{
		{"empty window", 10, 10, 0, false},
		{"first", 10, 10, 1, true},
		{"just before", 9, 10, 100, false},
		{"last", 109, 10, 100, true},
		{"just behind", 110, 10, 100, false},
		{"window over the wrap, before it", 0xfffffffe, 0xfffffff0, 100, true},
		{"window over the wrap, behind it", 3, 0xfffffff0, 100, true},
		{"window over the wrap, beyond", 100, 0xfffffff0, 100, false},
		{"largest scaled window", 1<<30 - 1, 0, 1 << 30, true},
		{"more than half the space", 1<<31 + 5, 0, 1<<31 + 6, true},
		{"all but one", 0xfffffffe, 0, 0xffffffff, true},
		{"the one", 0xffffffff, 0, 0xffffffff, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.s.InWindow(tt.start, tt.wnd))
		})
	}
}

func TestSeqBetween(t *testing.T) {
	tests := []struct {
		name      string
		s, lo, hi Seq
		want      bool
	}{
		{"one number", 4, 4, 4, true},
		{"not the one number", 5, 4, 4, false},
		{"lower edge", 4, 4, 9, true},
		{"upper edge", 9, 4, 9, true},
		{"below", 3, 4, 9, false},
		{"above", 10, 4, 9, false},
		{"over the wrap", 1, 0xffffff00, 2, true},
		{"outside over the wrap", 3, 0xffffff00, 2, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.s.Between(tt.lo, tt.hi))
		})
	}
}

// TestSeqAgainstIntegers walks an unwrapped stream position of arbitrary precision beside the wrapped
// number: within half the space both must say the same.
func TestSeqAgainstIntegers(t *testing.T) {
	mod := new(big.Int).Lsh(big.NewInt(1), 32)
	wrap := func(x *big.Int) Seq { return Seq(new(big.Int).Mod(x, mod).Uint64()) }
	check := func(base uint64, d int32) bool {
		if d == -1<<31 {
			return true // exactly opposite
		}
		x := new(big.Int).SetUint64(base)
		y := new(big.Int).Add(x, big.NewInt(int64(d)))
		a, b := wrap(x), wrap(y)
		cmp := x.Cmp(y)
		later, earlier := a, b
		if cmp < 0 {
			later, earlier = b, a
		}
		return a.Before(b) == (cmp < 0) && a.After(b) == (cmp > 0) &&
			a.AtOrBefore(b) == (cmp <= 0) && a.AtOrAfter(b) == (cmp >= 0) &&
			b.Sub(a) == d && a.Add(uint32(d)) == b &&
			a.Max(b) == later && a.Min(b) == earlier && b.Max(a) == later && b.Min(a) == earlier
	}
	require.NoError(t, quick.Check(check, &quick.Config{MaxCount: 5000}))
}

func TestRange(t *testing.T) {
	tests := []struct {
		name  string
		r     Range
		n     uint32
		in    []Seq
		notIn []Seq
	}{
		{"empty", Range{5, 5}, 0, nil, []Seq{4, 5, 6}},
		{"backwards", Range{9, 5}, 0, nil, []Seq{4, 5, 6, 8, 9}},
		{"one", Range{5, 6}, 1, []Seq{5}, []Seq{4, 6}},
		{"over the wrap", Range{0xfffffffe, 2}, 4, []Seq{0xfffffffe, 0xffffffff, 0, 1}, []Seq{0xfffffffd, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.n, tt.r.Len())
			require.Equal(t, tt.n == 0, tt.r.Empty())
			for _, s := range tt.in {
				require.True(t, tt.r.Contains(s), "%d", s)
			}
			for _, s := range tt.notIn {
				require.False(t, tt.r.Contains(s), "%d", s)
			}
		})
	}
}

func TestRangePairs(t *testing.T) {
	tests := []struct {
		name             string
		a, b             Range
		covers, overlaps bool
	}{
		{"same", Range{10, 20}, Range{10, 20}, true, true},
		{"inside", Range{10, 20}, Range{12, 18}, true, true},
		{"touching below", Range{10, 20}, Range{5, 10}, false, false},
		{"touching above", Range{10, 20}, Range{20, 25}, false, false},
		{"across the start", Range{10, 20}, Range{5, 11}, false, true},
		{"across the end", Range{10, 20}, Range{19, 25}, false, true},
		{"around", Range{10, 20}, Range{5, 25}, false, true},
		{"empty inside", Range{10, 20}, Range{15, 15}, true, false},
		{"over the wrap", Range{0xfffffff0, 16}, Range{0xfffffff8, 8}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.covers, tt.a.Covers(tt.b))
			require.Equal(t, tt.overlaps, tt.a.Overlaps(tt.b))
			require.Equal(t, tt.overlaps, tt.b.Overlaps(tt.a))
		})
	}
}
