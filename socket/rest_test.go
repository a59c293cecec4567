package socket

import (
	"io"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// resting is a lock and who waits with it.
type resting struct {
	s     *Stack
	mu    sync.Mutex
	q     waitq
	takes time.Duration // how long a wait takes
	come  uint64        // how many segments come meanwhile
}

func newResting(cfg Config) *resting {
	r := &resting{s: New(cfg)}
	r.q.waiter = r.s.newWaiter(&r.mu)
	return r
}

// wait is a wait in which nobody parks. What is waited for comes during the rest if in time, and reports whether there was a rest.
func (r *resting) wait(inTime bool) (rests bool) {
	rests = r.q.await(nil)
	if r.takes > 0 {
		time.Sleep(r.takes) // in a bubble
	}
	r.s.receivers[0].segments.add(r.come, r.come)
	if inTime {
		r.q.waiters()
	}
	if rests {
		r.q.rested()
	}
	r.q.waiters()
	r.q.goOn()
	r.q.served()
	return rests
}

// TestRest: waits go on beginning with a rest as long as that brings something, and do so less and less often when it does not.
func TestRest(t *testing.T) {
	OnProcessors(t, 1)
	synctest.Test(t, func(t *testing.T) { // where no wait takes long
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
	})
}

// TestRestsInVain: waits without a rest, after one in vain, are of the same block.
func TestRestsInVain(t *testing.T) {
	OnProcessors(t, 1)
	synctest.Test(t, func(t *testing.T) { // where no wait takes long
		r := newResting(Config{})
		for range 10 {
			r.wait(true)
		}
		for i, left := range []int{-1, 52, -3, -2, -1, 48, 47} {
			r.wait(i > 2)
			require.EqualValues(t, left, r.q.rest.left, "wait %d", i)
		}
	})
}

// TestSlowWaits: where waits take long, because nobody answers sooner or somebody computes all the time, two of them begin with
// a rest now and then, and the others do not; when they no longer take long, all do.
func TestSlowWaits(t *testing.T) {
	for _, processors := range []int{1, 2} {
		t.Run(strconv.Itoa(processors), func(t *testing.T) {
			OnProcessors(t, processors)
			synctest.Test(t, func(t *testing.T) {
				r := newResting(Config{})
				r.come = 4 // or it would be tried what is faster
				r.q.rest.rests = true
				r.q.rest.next()
				take := func(each time.Duration, rests bool, waits int) {
					r.takes = each
					for i := range waits {
						require.Equal(t, rests, r.wait(true), "wait %d of %d", i, waits)
					}
				}
				take(499*time.Microsecond, true, 64)
				take(10*time.Millisecond, true, 2)
				take(10*time.Millisecond, false, 64)
				if processors > 1 {
					return // and there is a trial only after some blocks, of which TestRestTrials tells
				}
				for _, blocks := range []int{4, 16, 64, 256, 1024, 1024} {
					take(10*time.Millisecond, true, 2)
					take(10*time.Millisecond, false, blocks*restBlock-1)
					take(time.Microsecond, false, 1) // which counts as of the next block
				}
				take(400*time.Microsecond, true, 5*restBlock)
				take(600*time.Microsecond, true, 2)
				take(time.Microsecond, false, restBlock)
				take(time.Microsecond, true, restBlock)
			})
		})
	}
}

// TestRestsElsewhere: no wait begins with a rest where others than the scheduler of the real computer decide who runs.
func TestRestsElsewhere(t *testing.T) {
	OnProcessors(t, 1)
	staged, clocked := newResting(Config{Staged: true}), newResting(Config{Clock: standing{}})
	for range 3 * restBlock {
		require.False(t, staged.wait(true), "staged")
		require.False(t, clocked.wait(true), "a clock of its own")
	}
}

// TestRestTrials: on several processors blocks of waits begin as the one before did, but for trials. Between those there are a
// block that they are compared with, and 4 others after a success, twice as many with each failure, and 128 at most.
func TestRestTrials(t *testing.T) {
	for _, tt := range []struct {
		name          string
		rests, parks  time.Duration // what a block takes
		trials        []int         // which blocks are trials
		restsAtTheEnd bool
	}{
		{"parking is better", 110, 100, []int{2, 12, 30, 64, 130, 260, 390}, false},
		{"rests are better", 930, 1000, []int{2, 8, 18, 36, 70, 136, 266, 396}, true},
		{"rests are hardly better", 940, 1000, []int{2, 12, 30, 64, 130, 260, 390}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			OnProcessors(t, 2)
			var r rest
			r.begin(true, false, 0)
			var trials []int
			now := 7 * time.Hour // the stack is old
			for i := range 400 {
				if r.trial {
					trials = append(trials, i)
				}
				require.Equal(t, r.rests, r.left > 0)
				if i < tt.trials[0] {
					require.False(t, r.rests)
				}
				if r.rests {
					now += tt.rests
				} else {
					now += tt.parks
				}
				r.blockOver(now, false)
			}
			require.Equal(t, tt.trials, trials)
			require.Equal(t, tt.restsAtTheEnd, r.rests)
		})
	}
}

// TestRestsNoLongerBetter: blocks with rests are given up in the first trial of parking that is not clearly slower, and parking is
// tried soon after rests were found to be better.
func TestRestsNoLongerBetter(t *testing.T) {
	OnProcessors(t, 2)
	var r rest
	r.begin(true, false, 0)
	var now time.Duration
	block := func(rests, parks time.Duration) {
		if r.rests {
			now += rests
		} else {
			now += parks
		}
		r.blockOver(now, false)
	}
	for range 3 {
		block(500, 1000)
	}
	require.True(t, r.rests && !r.trial)
	for i := range 5 {
		require.True(t, r.rests, "block %d", i)
		block(950, 1000)
	}
	require.True(t, r.trial && !r.rests)
	block(950, 1000)
	require.False(t, r.rests)
}

// TestLostTrial: a trial of rests is over at the first look at which it has taken too long to be worthwhile, and not sooner.
func TestLostTrial(t *testing.T) {
	OnProcessors(t, 2)
	for _, tt := range []struct {
		name  string
		each  time.Duration // what a rest takes, parking taking 1 µs
		rests int           // how many of those are tried
	}{
		{"at the first look", 30 * time.Microsecond, 2},
		{"hardly at the second", 3300 * time.Nanosecond, 18},
		{"not at the second", 3200 * time.Nanosecond, 34},
		{"at the last", 1200 * time.Nanosecond, 50},
		{"at the end", 1150 * time.Nanosecond, 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newResting(Config{})
				r.q.rest.begin(true, false, r.s.now())
				r.takes = time.Microsecond
				for range 2 * restBlock {
					require.False(t, r.wait(true))
				}
				require.True(t, r.q.rest.trial)
				r.takes = tt.each
				for i := range tt.rests {
					require.True(t, r.wait(true), "rest %d", i)
				}
				r.takes = time.Microsecond
				for i := range 9 * restBlock { // twice as many blocks as after a trial that was won, and one to compare with
					require.False(t, r.wait(true), "wait %d", i)
				}
				require.True(t, r.wait(true), "another trial")
			})
		})
	}
}

// TestRestsOnOneProcessor: when only one processor is left waits begin with a rest after a block at the latest, whatever that
// takes, if there are others at work.
func TestRestsOnOneProcessor(t *testing.T) {
	OnProcessors(t, 2)
	synctest.Test(t, func(t *testing.T) { // where no wait takes long
		r := newResting(Config{})
		r.come = 4
		require.False(t, r.wait(true))
		runtime.GOMAXPROCS(1)
		for range restBlock - 1 {
			r.wait(true)
		}
		for range 10 * restBlock {
			require.True(t, r.wait(true))
		}
	})
}

// TestRestsAlone: on a single processor waits begin with a rest, unless a dialogue that is alone has found that to be no faster.
func TestRestsAlone(t *testing.T) {
	for _, tt := range []struct {
		name          string
		come          uint64        // segments a wait
		rests, parks  time.Duration // what a wait takes
		parksInTheEnd bool
	}{
		{"parking is better", 2, 1100, 1000, true},
		{"resting is hardly better", 2, 940, 1000, true},
		{"resting is better", 2, 900, 1000, false},
		{"parking would be better, at the expense of others", 4, 1100, 1000, false},
		{"time stands still", 2, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			OnProcessors(t, 1)
			synctest.Test(t, func(t *testing.T) {
				r := newResting(Config{})
				r.come = tt.come
				rested := 0
				const waits = 100 * restBlock
				for range waits {
					if r.takes = tt.parks; r.q.rest.left > 0 {
						r.takes = tt.rests
					}
					if r.wait(true) {
						rested++
					}
				}
				switch {
				case tt.parksInTheEnd:
					require.Less(t, rested, waits/10)
				case tt.rests > tt.parks || tt.rests == 0:
					require.Equal(t, waits, rested)
				default:
					require.Greater(t, rested, waits*9/10)
					require.Less(t, rested, waits, "it is tried")
				}
			})
		})
	}
}

// standing is a clock that stands.
type standing struct{ Clock }

func (standing) Now() (t time.Time) { return t }

// TestRestsWithOthers: who is told to go on while he rests does so, also if somebody else who parked meanwhile goes on first.
func TestRestsWithOthers(t *testing.T) {
	OnProcessors(t, 1)
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
	OnProcessors(t, 1)
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

// TestRestedWell: it is rested where that has nothing to decide, and only there.
func TestRestedWell(t *testing.T) {
	s := New(Config{Clock: standing{}})
	defer s.Close()
	well := 0
	for left := int8(1); left <= restBlock; left++ {
		for _, told := range []bool{true, false} {
			before := rest{left: left, told: told, vain: 3, allowed: true, rests: true, slows: 5}
			a, b := &waiter{s: s, rest: before}, &waiter{s: s, rest: before}
			if !a.restedWell() {
				require.Equal(t, before, a.rest)
				continue
			}
			well++
			require.True(t, told)
			b.rested()
			require.Equal(t, b.rest, a.rest, "%d left", left)
		}
	}
	require.Equal(t, restBlock-1-restBlock/16, well)
}
