package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Events that are taken out of the middle leave the others in order.
func TestQueueRemove(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var q Queue
		var ids []uint64
		var want, got []time.Duration
		dues := map[uint64]time.Duration{}
		for i := range 1 + rng.IntN(40) {
			due := time.Duration(rng.IntN(20))
			id := q.enter(due, Key{Seq: uint64(i)}, func() { got = append(got, due) })
			ids = append(ids, id)
			dues[id] = due
		}
		for _, id := range ids {
			if rng.IntN(3) == 0 {
				require.True(t, q.remove(id))
				require.False(t, q.remove(id), "it is gone")
				continue
			}
			want = append(want, dues[id])
		}
		slices.Sort(want)
		require.Equal(t, len(want), q.Len())
		q.Run(time.Second)
		require.Equal(t, want, got)
	}
}

// A timer that is stopped or set anew leaves nothing behind in the queue.
func TestNetTimer(t *testing.T) {
	var q Queue
	c := &netClock{&q, Epoch}
	var fired []time.Duration
	timer := c.AfterFunc(time.Second, func() { fired = append(fired, q.Now()) })
	require.Equal(t, 1, q.Len())
	require.True(t, timer.Reset(3*time.Second))
	require.True(t, timer.Reset(2*time.Second))
	require.Equal(t, 1, q.Len())
	q.Run(5 * time.Second)
	require.Equal(t, []time.Duration{2 * time.Second}, fired)
	require.Equal(t, Epoch.Add(5*time.Second), c.Now())
	require.False(t, timer.Stop(), "it has fired")
	require.False(t, timer.Reset(-time.Second))
	require.Equal(t, 1, q.Len())
	require.True(t, timer.Stop())
	require.Zero(t, q.Len())
	q.Run(time.Hour)
	require.Len(t, fired, 1)
}
