package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

// Events that are taken out of the middle, or moved, leave the others in order.
func TestQueueCancel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var q Queue
		var events []*event
		var want, got []time.Duration
		for i := range 1 + rng.IntN(40) {
			due := time.Duration(rng.IntN(20))
			e := &event{key: Key{Seq: uint64(i)}}
			e.f = func() { got = append(got, e.due) }
			require.False(t, q.set(e, due))
			events = append(events, e)
		}
		for _, e := range events {
			switch rng.IntN(4) {
			case 0:
				require.True(t, q.cancel(e))
				require.False(t, q.cancel(e), "it is gone")
				continue
			case 1:
				require.True(t, q.set(e, time.Duration(rng.IntN(20))), "it is moved")
			}
			want = append(want, e.due)
		}
		slices.Sort(want)
		require.Equal(t, len(want), q.Len())
		q.Run(time.Second)
		require.Equal(t, want, got)
	}
}

// A timer that is stopped or set anew leaves nothing behind in the queue.
func TestClockTimer(t *testing.T) {
	var q Queue
	c := NewClock(&q)
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

// A timer for longer than there is time is pending for ever.
func TestClockTimerForEver(t *testing.T) {
	var q Queue
	q.Run(time.Hour)
	timer := NewClock(&q).AfterFunc(never, func() { t.Error("the end of time") })
	q.Run(1000 * time.Hour)
	require.True(t, timer.Stop())
	require.Zero(t, q.Len())
}

// The connections of a stack have their timers in the queue; when they are gone, so are the timers.
func TestClockOfAStack(t *testing.T) {
	var q Queue
	s := socket.New(socket.Config{Clock: NewClock(&q), Seed: 1})
	l, err := s.Listen("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	c, err := s.Dial("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	p, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(Epoch.Add(time.Second)))
	require.NotZero(t, q.Len())
	q.Run(time.Minute)
	require.NotZero(t, q.Len(), "keep-alive")
	require.NoError(t, c.Close())
	require.NoError(t, p.Close())
	require.NoError(t, l.Close())
	q.Run(10 * time.Minute)
	require.Zero(t, q.Len())
	require.Empty(t, s.Sockets())
}
