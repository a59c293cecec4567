package socket

import (
	"math/rand/v2"
	"sort"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// fired records what a timer did.
type fired struct {
	mu    *sync.Mutex // of all that share log
	s     *Stack
	timer timer
	id    int
	log   *[]int
	at    time.Duration
}

func (f *fired) timerKey() *flowKey {
	k := key(f.id)
	return &k
}
func (f *fired) arm(due time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.s.arm(&f.timer, due)
}
func (f *fired) expire(now time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timer.set = false
	f.at = now
	*f.log = append(*f.log, f.id)
}

func TestTimersFireInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		r := rand.New(rand.NewPCG(5, 6))
		var mu sync.Mutex
		var log []int
		type want struct {
			due time.Duration
			id  int
		}
		var wants []want
		for i := range 500 {
			f := &fired{mu: &mu, s: s, id: i, log: &log}
			f.timer.owner = f
			due := time.Duration(r.IntN(50)) * time.Millisecond
			f.arm(due + time.Hour)
			f.arm(due) // earlier: moves
			f.arm(due + time.Second)
			if r.IntN(4) == 0 {
				mu.Lock()
				s.disarm(&f.timer)
				mu.Unlock()
				continue
			}
			wants = append(wants, want{due, i})
		}
		sort.Slice(wants, func(i, j int) bool {
			if wants[i].due != wants[j].due {
				return wants[i].due < wants[j].due
			}
			return compareKeys(key(wants[i].id), key(wants[j].id)) < 0
		})
		time.Sleep(time.Second)
		synctest.Wait()
		var ids []int
		for _, w := range wants {
			ids = append(ids, w.id)
		}
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, ids, log)
		require.Equal(t, never, s.timers.earliest())
	})
}

// TestTimerIsLazy: a deadline that keeps moving to a later time does not move
// the entry, which fires once at the earliest and is then put in its place.
func TestTimerIsLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		var mu sync.Mutex
		var log []int
		f := &fired{mu: &mu, s: s, id: 1, log: &log}
		f.timer.owner = f
		for i := range 100 {
			f.arm(10*time.Millisecond + time.Duration(i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []int{1}, log)
		require.Equal(t, 10*time.Millisecond, f.at)
	})
}

// TestTimerQueueAgainstModel: with thousands of timers, near and far, entered, drawn nearer and taken out, the first is
// always the first of all, by due time and then by key, and few are in order at once.
func TestTimerQueueAgainstModel(t *testing.T) {
	var log []int
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(9, 10))
	ranges := []time.Duration{5, time.Millisecond, 40 * time.Millisecond, time.Second, 15 * time.Second, 2 * time.Hour, never / 2}
	for round := range 20 {
		var q timerQueue
		q.init()
		var now time.Duration
		fs := make([]*fired, 1000)
		for i := range fs {
			fs[i] = &fired{mu: &mu, id: i, log: &log}
			fs[i].timer.owner = fs[i]
		}
		first := func() *fired {
			var least *fired
			for _, f := range fs {
				if f.timer.pos != 0 && (least == nil || q.near.before(&f.timer, &least.timer)) {
					least = f
				}
			}
			return least
		}
		queued, sawFar := 0, 0
		for range 3000 {
			f := fs[r.IntN(len(fs))]
			due := now + time.Duration(r.Int64N(int64(ranges[r.IntN(min(round+1, len(ranges)))])))
			switch {
			case f.timer.pos == 0:
				q.set(&f.timer, due)
				queued++
			case r.IntN(4) == 0:
				q.remove(&f.timer)
				queued--
			case due < f.timer.due:
				q.set(&f.timer, due)
			}
			if queued > 500 || queued > 0 && r.IntN(3) == 0 {
				want := first()
				require.Same(t, &want.timer, q.near[0])
				require.GreaterOrEqual(t, want.timer.due, now)
				now = want.timer.due
				q.remove(q.near[0])
				queued--
			}
			require.Equal(t, queued, len(q.near)+q.far.n)
			sawFar = max(sawFar, q.far.n)
		}
		if round > 3 {
			require.NotZero(t, sawFar)
			require.Less(t, len(q.near), spillMin+1)
		}
		for queued > 0 {
			require.Same(t, &first().timer, q.near[0])
			q.remove(q.near[0])
			queued--
		}
		require.Equal(t, never, q.horizon)
		require.Empty(t, q.far.heap)
	}
}

// BenchmarkTimers is what a connection does: it arms its timer for soon, later for keep-alive, and sometimes closes,
// beside as many others.
func BenchmarkTimers(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var q timerQueue
			q.init()
			var now time.Duration
			fs := make([]*fired, n+1)
			idle := 15 * time.Second
			for i := range fs {
				fs[i] = &fired{id: i}
				fs[i].timer.owner = fs[i]
				q.set(&fs[i].timer, now+idle*time.Duration(i)/time.Duration(n+1))
			}
			one := &fired{id: n + 2}
			one.timer.owner = one
			b.Run("arm-and-stop", func(b *testing.B) {
				for range b.N {
					now += time.Microsecond
					q.set(&one.timer, now+idle)
					q.set(&one.timer, now+time.Second)
					q.set(&one.timer, now+40*time.Millisecond)
					q.remove(&one.timer)
				}
			})
			b.Run("expire", func(b *testing.B) {
				for range b.N {
					t := q.near[0]
					q.remove(t)
					q.set(t, t.due+idle)
				}
			})
		})
	}
}
