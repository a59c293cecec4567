package socket

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAcceptQueue: against a plain slice, first in, first out; and the memory
// is no more than twice what was ever in it at once.
func TestAcceptQueue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q acceptQueue
	var want []*TCPConn
	most := 0
	for range 10_000 {
		if n := r.IntN(3); n > 0 && len(want) < 100 {
			c := new(TCPConn)
			q.push(c)
			want = append(want, c)
		} else if c := q.pop(); len(want) == 0 {
			require.Nil(t, c)
		} else {
			require.Same(t, want[0], c)
			want = want[1:]
		}
		most = max(most, len(want))
		require.Equal(t, len(want), q.len())
	}
	require.LessOrEqual(t, cap(q.conns), 4*most)
	for _, c := range q.conns[:q.first] {
		require.Nil(t, c, "what has gone is not held")
	}
	require.Equal(t, want, q.takeAll())
	require.Zero(t, q.len())
	require.Nil(t, q.pop())
}

// TestAcceptQueueMemory: one who keeps up makes no garbage.
func TestAcceptQueueMemory(t *testing.T) {
	var q acceptQueue
	c := new(TCPConn)
	q.push(c)
	q.pop()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		q.push(c)
		q.push(c)
		q.pop()
		q.pop()
	}))
}
