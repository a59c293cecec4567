package socket

import (
	"math/rand/v2"
	"sort"
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

func (f *fired) timerKey() flowKey { return key(f.id) }
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
			return key(wants[i].id).less(key(wants[j].id))
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
