package socket

import (
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// onProcessors lets a test have n processors. On one, waits begin with a rest.
func onProcessors(t *testing.T, n int) {
	old := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
}

// resting is a lock and who waits with it.
type resting struct {
	s  *Stack
	mu sync.Mutex
	q  waitq
}

func newResting(cfg Config) *resting {
	r := &resting{s: New(cfg)}
	r.q.waiter = r.s.newWaiter(&r.mu)
	return r
}

// wait is a wait in which nobody parks. What is waited for comes during the rest if in time, and reports whether there was a rest.
func (r *resting) wait(inTime bool) (rests bool) {
	rests = r.q.await(nil)
	if inTime {
		r.q.waiters()
	}
	if rests {
		r.q.rested()
	}
	r.q.waiters()
	r.q.served()
	return rests
}

// TestRest: waits go on beginning with a rest as long as that brings something, and do so less and less often when it does not.
func TestRest(t *testing.T) {
	onProcessors(t, 1)
	r := newResting(Config{})
	for i := range 300 {
		require.True(t, r.wait(true), "wait %d", i)
	}
	for _, without := range []int{1, 3, 7, 15, 31, 63, 63} {
		require.True(t, r.wait(false))
		for i := range without {
			require.False(t, r.wait(false), "%d of %d", i, without)
		}
	}
	require.True(t, r.wait(true))
	require.True(t, r.wait(false))
	require.False(t, r.wait(false), "once more one is enough to be trusted")
	require.True(t, r.wait(true))
}

// TestRestsElsewhere: no wait begins with a rest where it would wake another processor, or where others than the scheduler of
// the real computer decide who runs.
func TestRestsElsewhere(t *testing.T) {
	onProcessors(t, 1)
	require.False(t, newResting(Config{Staged: true}).wait(true), "staged")
	require.False(t, newResting(Config{Clock: standing{}}).wait(true), "a clock of its own")

	r := newResting(Config{})
	runtime.GOMAXPROCS(2)
	rests := 0
	for range 200 {
		if r.wait(true) {
			rests++
		}
	}
	require.LessOrEqual(t, rests, 64, "it is noticed that there are more processors")
	runtime.GOMAXPROCS(1)
	for range 64 {
		r.wait(true)
	}
	require.True(t, r.wait(true), "it is noticed that there is only one")
}

// standing is a clock that stands.
type standing struct{ Clock }

func (standing) Now() (t time.Time) { return t }

// TestRestsWithOthers: who is told to go on while he rests does so, also if somebody else who parked meanwhile goes on first.
func TestRestsWithOthers(t *testing.T) {
	onProcessors(t, 1)
	synctest.Test(t, func(t *testing.T) { // which fails if somebody is left behind
		r := newResting(Config{})
		var order []string
		waits := func(name string) {
			r.mu.Lock()
			order = append(order, name+" waits")
			r.q.wait(r.s, &r.mu)
			order = append(order, name+" goes on")
			r.mu.Unlock()
		}
		go waits("first")
		go func() {
			for r.mu.Lock(); !r.q.busy(); r.mu.Lock() {
				r.mu.Unlock()
				runtime.Gosched()
			}
			require.EqualValues(t, 1, r.q.waiting)
			r.mu.Unlock()
			go func() {
				r.mu.Lock() // the second has parked
				w := r.q.waiters()
				r.mu.Unlock()
				w.broadcast()
			}()
			waits("second")
		}()
		synctest.Wait()
		require.ElementsMatch(t, []string{"first waits", "second waits", "first goes on", "second goes on"}, order)
		require.Zero(t, r.q.waiting)
	})
}

// TestRoundTripsRest: of two who answer each other on one processor neither parks.
func TestRoundTripsRest(t *testing.T) {
	onProcessors(t, 1)
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		defer s.Close()
		l, err := s.Listen("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			}
		}()
		c, err := s.Dial("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		tc, b, vain := c.(*TCPConn), make([]byte, 64), 0
		for range 1000 {
			_, err = c.Write(b)
			require.NoError(t, err)
			_, err = io.ReadFull(c, b)
			require.NoError(t, err)
			if tc.rd.rest.left <= 0 {
				vain++
			}
		}
		require.Less(t, vain, 100, "the scheduler prefers those who rest every 61st time")
	})
}
