package device

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBacklogModel compares a backlog with a slice.
func TestBacklogModel(t *testing.T) {
	for _, limit := range []int{1, 2, 4, 8, 64, 256} {
		rng := rand.New(rand.NewPCG(2, uint64(limit)))
		l := backlog{limit: limit}
		want := []*Packet{}
		for range 5000 {
			ps := make([]*Packet, rng.IntN(limit+3))
			if rng.IntN(2) == 0 {
				for i := range ps {
					ps[i] = new(Packet)
				}
				n := l.put(ps)
				require.Equal(t, min(len(ps), limit-len(want)), n)
				want = append(want, ps[:n]...)
			} else {
				n := l.take(ps)
				require.Equal(t, min(len(ps), len(want)), n)
				for i, p := range ps[:n] {
					require.Same(t, want[i], p)
				}
				want = want[n:]
			}
			require.Equal(t, len(want), l.len())
			require.Equal(t, limit-len(want), l.room())
			require.LessOrEqual(t, len(l.slots), limit)
		}
		l.take(make([]*Packet, limit))
		for _, p := range l.slots {
			require.Nil(t, p, "what was taken is not kept alive")
		}
	}
}
