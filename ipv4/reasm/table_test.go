package reasm_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/loopback/ipv4/reasm"
	"github.com/stretchr/testify/require"
)

func key(id uint32) reasm.Key {
	lo := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return reasm.Key{Src: lo, Dst: lo, ID: id, Proto: 17}
}

// frag is a fragment of n bytes at off, each byte telling its place in the datagram.
func frag(off, n int, more bool) *reasm.Fragment {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((off + i) * 7 >> 3)
	}
	return &reasm.Fragment{Head: []byte("head"), Pieces: [][]byte{b}, Offset: off, Len: n, More: more}
}

func TestVerdicts(t *testing.T) {
	const H, C, D, O, B = reasm.Held, reasm.Complete, reasm.Duplicate, reasm.Overlap, reasm.BadEnd
	type in struct {
		off, n int
		more   bool
	}
	tests := []struct {
		name          string
		in            []in
		linux, strict []reasm.Verdict
	}{
		{"in order", []in{{0, 8, true}, {8, 8, true}, {16, 3, false}}, []reasm.Verdict{H, H, C}, nil},
		{"backwards", []in{{16, 3, false}, {8, 8, true}, {0, 8, true}}, []reasm.Verdict{H, H, C}, nil},
		{"exact duplicates", []in{{0, 8, true}, {0, 8, true}, {16, 3, false}, {16, 3, false}, {8, 8, true}}, []reasm.Verdict{H, D, H, D, C}, nil},
		{"inside one that is there", []in{{0, 24, true}, {8, 8, true}, {24, 1, false}}, []reasm.Verdict{H, D, C}, []reasm.Verdict{H, O, O}},
		{"inside two that touch", []in{{0, 8, true}, {8, 8, true}, {0, 16, true}, {16, 1, false}}, []reasm.Verdict{H, H, D, C}, []reasm.Verdict{H, H, O, O}},
		{"starts inside", []in{{0, 16, true}, {8, 16, true}, {24, 1, false}}, []reasm.Verdict{H, O, H}, []reasm.Verdict{H, O, O}},
		{"ends inside", []in{{8, 16, true}, {0, 16, true}}, []reasm.Verdict{H, O}, nil},
		{"swallows one", []in{{8, 8, true}, {0, 24, true}}, []reasm.Verdict{H, O}, nil},
		{"spans a gap", []in{{0, 8, true}, {16, 8, true}, {0, 24, true}}, []reasm.Verdict{H, H, O}, nil},
		{"the teardrop", []in{{0, 40, true}, {24, 4, false}}, []reasm.Verdict{H, B}, nil},
		{"two different ends", []in{{8, 8, false}, {8, 4, false}}, []reasm.Verdict{H, B}, nil},
		{"data past the end", []in{{8, 8, false}, {16, 8, true}}, []reasm.Verdict{H, B}, nil},
		{"an end before data that is there", []in{{16, 8, true}, {0, 8, false}}, []reasm.Verdict{H, B}, nil},
		{"the only one", []in{{0, 8, false}}, []reasm.Verdict{C}, nil},
	}
	for _, tt := range tests {
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, strict %v", tt.name, strict), func(t *testing.T) {
				want := tt.linux
				if strict && tt.strict != nil {
					want = tt.strict
				}
				table := reasm.Table{Limits: reasm.Limits{Timeout: time.Second, Strict: strict}}
				var got []reasm.Verdict
				for _, x := range tt.in {
					d, v := table.Input(0, key(1), frag(x.off, x.n, x.more))
					got = append(got, v)
					if v == C {
						b := make([]byte, d.Len())
						d.CopyPayload(b)
						require.Equal(t, frag(0, len(b), false).Pieces[0], b)
						require.Equal(t, "head", string(d.Head()))
						table.Release(d)
					}
				}
				require.Equal(t, want, got)
			})
		}
	}
}

func TestEveryPartOfTheKeyCounts(t *testing.T) {
	var table reasm.Table
	k := key(1)
	_, v := table.Input(0, k, frag(0, 8, true))
	require.Equal(t, reasm.Held, v)
	other := netip.AddrFrom4([4]byte{127, 0, 0, 2})
	for name, edit := range map[string]func(k *reasm.Key){
		"source":         func(k *reasm.Key) { k.Src = other },
		"destination":    func(k *reasm.Key) { k.Dst = other },
		"identification": func(k *reasm.Key) { k.ID = 2 },
		"protocol":       func(k *reasm.Key) { k.Proto = 6 },
	} {
		x := k
		edit(&x)
		_, v := table.Input(0, x, frag(8, 1, false))
		require.Equal(t, reasm.Held, v, "another %s is another datagram", name)
	}
	_, v = table.Input(0, k, frag(8, 1, false))
	require.Equal(t, reasm.Complete, v)
}

func TestEviction(t *testing.T) {
	t.Run("the oldest datagram makes room", func(t *testing.T) {
		table := reasm.Table{Limits: reasm.Limits{Timeout: time.Second, MaxDatagrams: 2}}
		for id := range uint32(3) {
			table.Input(0, key(id), frag(0, 8, true))
		}
		require.EqualValues(t, 1, table.Stats.Evicted)
		_, v := table.Input(0, key(1), frag(8, 1, false))
		require.Equal(t, reasm.Complete, v, "the second is still there")
		_, v = table.Input(0, key(0), frag(8, 1, false))
		require.Equal(t, reasm.Held, v, "the first is not")
	})
	t.Run("one source cannot push out another's", func(t *testing.T) {
		table := reasm.Table{Limits: reasm.Limits{Timeout: time.Second, MaxPerSource: 3, MaxDatagrams: 10}}
		victim := key(7)
		victim.Src = netip.AddrFrom4([4]byte{10, 0, 0, 9})
		table.Input(0, victim, frag(0, 8, true))
		for id := range uint32(100) {
			table.Input(0, key(id), frag(0, 8, true))
		}
		datagrams, _, _ := table.Held()
		require.Equal(t, 4, datagrams)
		_, v := table.Input(0, victim, frag(8, 1, false))
		require.Equal(t, reasm.Complete, v)
	})
	t.Run("memory is bounded however small the fragments", func(t *testing.T) {
		table := reasm.Table{Limits: reasm.Limits{Timeout: time.Second, MaxBytes: 100_000, MaxDatagrams: 1 << 20, MaxPerSource: 1 << 20}}
		for i := range 20_000 {
			table.Input(0, key(uint32(i%5000)), frag(i%8000*8, 8, true))
			_, _, used := table.Held()
			require.LessOrEqual(t, used, 100_000)
		}
		require.Positive(t, table.Stats.Evicted)
	})
	t.Run("a datagram larger than everything", func(t *testing.T) {
		table := reasm.Table{Limits: reasm.Limits{Timeout: time.Second, MaxBytes: 1000}}
		_, v := table.Input(0, key(1), frag(0, 2000, true))
		require.Equal(t, reasm.Full, v)
		_, v = table.Input(0, key(1), frag(0, 400, true))
		require.Equal(t, reasm.Held, v)
		_, v = table.Input(0, key(1), frag(400, 400, true))
		require.Equal(t, reasm.Full, v)
	})
}

func TestTimeout(t *testing.T) {
	for _, strict := range []bool{false, true} {
		table := reasm.Table{Limits: reasm.Limits{Timeout: 30 * time.Second, Strict: strict}}
		require.Equal(t, reasm.Never, table.Deadline())
		table.Input(1*time.Second, key(1), frag(8, 8, true))
		table.Input(2*time.Second, key(2), frag(0, 16, true))
		table.Input(3*time.Second, key(3), frag(0, 8, true))
		table.Input(3*time.Second, key(3), frag(0, 16, true)) // overlap
		table.Input(9*time.Second, key(1), frag(24, 8, true))
		require.Equal(t, 31*time.Second, table.Deadline(), "the first fragment counts, later ones do not")

		var firsts []string
		var ids []uint32
		note := func(d *reasm.Datagram) { firsts, ids = append(firsts, string(d.First(10))), append(ids, d.Key.ID) }
		table.Timeout(31*time.Second-1, note)
		require.Empty(t, ids)
		table.Timeout(time.Hour, note)
		require.Equal(t, []uint32{1, 2}, ids, "in the order they were begun; one dropped for an overlap has no time to exceed")
		require.Equal(t, []string{"", "head" + string(frag(0, 6, true).Pieces[0])}, firsts)
		require.Equal(t, reasm.Never, table.Deadline())
		require.EqualValues(t, 2, table.Stats.TimedOut)
		datagrams, fragments, used := table.Held()
		require.Zero(t, datagrams+fragments+used)
		table.Timeout(2*time.Hour, nil)
	}
}

func TestECN(t *testing.T) {
	const not, ect1, ect0, ce = 0, 1, 2, 3
	tests := []struct {
		name  string
		codes []uint8
		want  uint8
		ok    bool
	}{
		{"none takes part", []uint8{not, not}, not, true},
		{"all ECT(0)", []uint8{ect0, ect0}, ect0, true},
		{"the first one's codepoint stays", []uint8{ect1, ect0}, ect1, true},
		{"congestion marks all", []uint8{ect0, ce, ect1}, ce, true},
		{"all marked", []uint8{ce, ce}, ce, true},
		{"marked and not taking part", []uint8{not, ce}, 0, false},
		{"taking part and not", []uint8{ect0, not}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var table reasm.Table
			for i, c := range tt.codes {
				f := frag(i*8, 8, i < len(tt.codes)-1)
				f.ECN = c
				if d, v := table.Input(0, key(1), f); v == reasm.Complete {
					ecn, ok := d.ECN(tt.codes[0])
					require.Equal(t, tt.ok, ok)
					require.Equal(t, tt.want, ecn)
					return
				}
			}
			t.Fatal("not complete")
		})
	}
}

func TestReject(t *testing.T) {
	var table reasm.Table
	table.Input(0, key(1), frag(0, 8, true))
	d, v := table.Input(0, key(1), frag(8, 8, false))
	require.Equal(t, reasm.Complete, v)
	table.Reject(d)
	require.Equal(t, reasm.Stats{Fragments: 2, Refused: 1, Discarded: 1, Fails: 1}, table.Stats)
}

// TestManyFragments: as many as there can be, in the worst order.
func TestManyFragments(t *testing.T) {
	table := reasm.Table{Limits: reasm.Limits{Timeout: time.Second}}
	const n = 65528 / 8
	for i := n - 1; i >= 0; i-- {
		d, v := table.Input(0, key(1), frag(i*8, 8, i < n-1))
		if i > 0 {
			require.Equal(t, reasm.Held, v)
			continue
		}
		require.Equal(t, reasm.Complete, v)
		b := make([]byte, d.Len())
		d.CopyPayload(b)
		require.Equal(t, frag(0, n*8, false).Pieces[0], b)
		table.Release(d)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	table := reasm.Table{Limits: reasm.Limits{Timeout: time.Second}}
	fs := []*reasm.Fragment{frag(0, 16416, true), frag(16416, 16416, true), frag(32832, 16416, true), frag(49248, 16267, false)}
	b := make([]byte, 65535)
	id := uint32(0)
	require.Zero(t, testing.AllocsPerRun(200, func() {
		id++
		for _, f := range fs {
			if d, v := table.Input(0, key(id), f); v == reasm.Complete {
				d.CopyPayload(b)
				table.Release(d)
			}
		}
	}))
	require.EqualValues(t, 201, table.Stats.Datagrams)
}

func Example() {
	table := reasm.Table{Limits: reasm.Limits{Timeout: 30 * time.Second}}
	table.Input(0, key(1), &reasm.Fragment{Pieces: [][]byte{[]byte(" world!")}, Offset: 8, Len: 7})
	d, verdict := table.Input(0, key(1), &reasm.Fragment{Pieces: [][]byte{[]byte("Hello, s"), nil}, Len: 8, More: true})
	if verdict == reasm.Complete {
		b := make([]byte, d.Len())
		d.CopyPayload(b)
		table.Release(d)
		fmt.Printf("%s\n", b)
	}
	// Output: Hello, s world!
}
