package device

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestModeration plays what looks find, given how long they waited, and counts the waits.
func TestModeration(t *testing.T) {
	same := func(n uint64) func(uint32) uint64 { return func(uint32) uint64 { return n } }
	quick := func(spins uint32) uint64 { return 4 + uint64(spins)/30 }
	for _, c := range []struct {
		name       string
		found      func(spins uint32) uint64
		looks      int
		atLeast    float64 // of the looks that waited
		spinsALook float64 // at most
		longest    uint32
	}{
		{"many are there at each look", same(32), 1 << 16, 0, 0, 0},
		{"nothing comes while waiting: the producer is the consumer", same(8), 1 << 20, 0, 0.05, firstWait},
		{"nothing comes, for not so long", same(2), 1000, 0, 5, firstWait},
		{"more come while waiting", quick, 1 << 16, 0.95, lastWait, lastWait},
		{"more come, in time with a short wait", func(spins uint32) uint64 { return 10 + uint64(spins)/4 }, 20000, 0.95, 2 * firstWait, firstWait},
		{"hardly more come", func(spins uint32) uint64 { return 8 + min(uint64(spins)/100, 3) }, 1 << 20, 0, 0.5, lastWait},
		{"more came once, by chance", func() func(uint32) uint64 {
			looks := 0
			return func(uint32) uint64 {
				looks++
				return 2 + 12*uint64(looks>>3&1) // two rounds alternate
			}
		}(), 1 << 20, 0, 0.5, 2 * firstWait},
		{"fewer come while waiting", func(spins uint32) uint64 { return 8 - min(uint64(spins), 8) }, 1 << 20, 0, 0.05, firstWait},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m moderation
			waits, spins, longest := 0, 0.0, uint32(0)
			for range c.looks {
				if m.spins != 0 {
					waits++
					spins += float64(m.spins)
					longest = max(longest, m.spins)
				}
				m.note(c.found(m.spins))
			}
			require.GreaterOrEqual(t, float64(waits)/float64(c.looks), c.atLeast)
			require.LessOrEqual(t, spins/float64(c.looks), c.spinsALook)
			require.Equal(t, c.longest, longest)
		})
	}
}

// TestModerationEnds: when what made waiting pay is over, so is the waiting; and it begins again soon.
func TestModerationEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		found  uint64 // with and without a wait
		within int    // looks
	}{
		{"the ring is empty", 0, roundLooks * 2},
		{"one at a time", 1, roundLooks * 2},
		{"few at a time", 5, roundLooks * 5},
		{"many at a time", 100, lastTrust + 2*roundLooks},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m moderation
			quick := func(looks int) {
				for range looks {
					m.note(4 + uint64(m.spins)/30)
				}
			}
			for range 1 << 20 { // many tries that fail, and the next is far off
				m.note(8)
			}
			quick(2 * lastRest)
			require.NotZero(t, m.spins)
			looks := 0
			for ; m.spins != 0; looks++ {
				m.note(c.found)
			}
			require.LessOrEqual(t, looks, c.within)
			if c.found <= fewFound {
				require.Zero(t, m.trust, "the next try is a short one")
			}
			quick(1000)
			require.NotZero(t, m.spins)
		})
	}
}

// TestRingModerates: who waits finds what was put, and nothing where nothing is; a consumer who is his own
// producer, singly or in large batches, never waits.
func TestRingModerates(t *testing.T) {
	r := newRing(64)
	for i := range 1000 {
		require.True(t, r.Put(Desc(i%64)))
		d, ok := r.Get()
		require.True(t, ok)
		require.Equal(t, Desc(i%64), d)
		_, ok = r.Get()
		require.False(t, ok)
		ds := descs(upTo(32)...)
		require.Equal(t, 32, r.PutBatch(ds))
		require.Equal(t, 32, r.GetBatch(make([]Desc, 64)))
	}
	require.Equal(t, moderation{}, r.mod)

	for range 2 * roundLooks {
		require.Equal(t, 3, r.PutBatch([]Desc{7, 8, 9}))
		require.Equal(t, 3, r.GetBatch(make([]Desc, 3)))
	}
	require.Zero(t, r.mod.spins, "it tried once")
	require.NotZero(t, r.mod.after)

	r.mod = moderation{spins: firstWait, after: lastTrust, alone: 2 * roundLooks}
	require.True(t, r.Put(5))
	d, ok := r.Get()
	require.True(t, ok)
	require.Equal(t, Desc(5), d)
	_, ok = r.Get()
	require.False(t, ok)
	require.Zero(t, r.GetBatch(make([]Desc, 3)))
	require.Equal(t, 2, r.PutBatch([]Desc{1, 2}))
	ds := make([]Desc, 3)
	require.Equal(t, []Desc{1, 2}, ds[:r.GetBatch(ds)])
	require.True(t, r.Put(6))
	require.Equal(t, 1, r.GetBatch(ds))
	require.Equal(t, uint32(5), r.mod.looks)
	require.Equal(t, uint32(4), r.mod.found)
}

// upTo returns 0 to n-1.
func upTo(n int) []int {
	is := make([]int, n)
	for i := range is {
		is[i] = i
	}
	return is
}
