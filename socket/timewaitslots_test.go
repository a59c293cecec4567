package socket

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSlots: what was entered and not removed is found from where its hash says on without a gap, however many share a hash
// or a way, also around the end of the table.
func TestSlots(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, hashes := range []uint32{1, 3, 20, 1 << 31} {
		var s twSlots
		model := map[twIndex]uint32{}
		next := twIndex(0)
		for step := range 3000 {
			if len(model) > 0 && r.IntN(100) < 30+step/50 {
				for i, h := range model { // any of them
					s.remove(h, i)
					delete(model, i)
					break
				}
			} else {
				if !s.fits(len(model) + 1) {
					s = s.larger(len(model) + 1)
				}
				next++
				model[next] = r.Uint32N(hashes) - 2 // some at the end
				s.enter(model[next], next)
			}
			used := 0
			for _, slot := range s {
				if slot.i != 0 {
					require.Equal(t, model[slot.i], slot.hash)
					used++
				}
			}
			require.Len(t, model, used)
			if step%50 == 0 {
				for i, h := range model {
					at := h
					for s[at&uint32(len(s)-1)].i != i {
						require.NotZero(t, s[at&uint32(len(s)-1)].i, "a gap before %d", i)
						at++
					}
				}
			}
		}
	}
}
