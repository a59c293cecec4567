package device

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A ringOp is one operation on a ring of ints, with the times at which it began and ended.
type ringOp struct {
	put        bool
	vs         []int // what was put or got
	want       int   // how many there were to put, or room to get
	begin, end int64
}

func (o ringOp) String() string {
	name := "get"
	if o.put {
		name = "put"
	}
	return fmt.Sprintf("[%d-%d] %s %v of %d", o.begin, o.end, name, o.vs, o.want)
}

// legal applies the operation to a queue that can hold c items, as Ring's doc allows: a put takes less
// than it is offered only when the queue is full, but some of it also when a get is under way, which may
// make more room after the put has counted it; a get finds what there is when it begins, but may make room
// later, when more has come.
func (o ringOp) legal(queue []int, c int, racing bool) (after []int, ok bool) {
	if o.put {
		after = append(slices.Clone(queue), o.vs...)
		return after, len(after) <= c && (len(o.vs) == o.want || len(after) == c || racing && len(o.vs) > 0)
	}
	n := len(o.vs)
	if n > len(queue) || !slices.Equal(o.vs, queue[:n]) {
		return nil, false
	}
	return queue[n:], n == o.want || n == len(queue) || racing
}

// linearizable reports whether there is an order of the operations, each at some instant between its
// begin and its end, in which all are legal one after another.
func linearizable(ops []ringOp, c int) bool {
	racing := make([]bool, len(ops))
	for i, o := range ops {
		racing[i] = slices.ContainsFunc(ops, func(p ringOp) bool { return p.put != o.put && p.begin < o.end && o.begin < p.end })
	}
	tried := map[string]bool{}
	var search func(done uint, queue []int) bool
	search = func(done uint, queue []int) bool {
		if done == 1<<len(ops)-1 {
			return true
		}
		key := fmt.Sprint(done, queue)
		if tried[key] {
			return false
		}
		tried[key] = true
		firstEnd := int64(1 << 62)
		for i, o := range ops {
			if done&(1<<i) == 0 {
				firstEnd = min(firstEnd, o.end)
			}
		}
		for i, o := range ops {
			if done&(1<<i) != 0 || o.begin > firstEnd {
				continue
			}
			if after, ok := o.legal(queue, c, racing[i]); ok && search(done|1<<i, after) {
				return true
			}
		}
		return false
	}
	return search(0, nil)
}

// TestLinearizableRejects: the check itself can fail.
func TestLinearizableRejects(t *testing.T) {
	put := func(begin, end int64, want int, vs ...int) ringOp { return ringOp{true, vs, want, begin, end} }
	get := func(begin, end int64, want int, vs ...int) ringOp { return ringOp{false, vs, want, begin, end} }
	cases := []struct {
		name string
		ops  []ringOp
		want bool
	}{
		{"in order", []ringOp{put(1, 2, 1, 1), put(3, 4, 1, 2), get(5, 6, 1, 1), get(7, 8, 1, 2)}, true},
		{"out of order", []ringOp{put(1, 2, 1, 1), put(3, 4, 1, 2), get(5, 6, 1, 2), get(7, 8, 1, 1)}, false},
		{"either order of two at a time", []ringOp{put(1, 4, 1, 1), put(2, 3, 1, 2), get(5, 6, 2, 2, 1)}, true},
		{"got before it was put", []ringOp{get(1, 2, 1, 1), put(3, 4, 1, 1)}, false},
		{"got twice", []ringOp{put(1, 2, 1, 1), get(3, 4, 1, 1), get(5, 6, 1, 1)}, false},
		{"lost", []ringOp{put(1, 2, 1, 1), get(3, 4, 1)}, false},
		{"hidden by a put under way", []ringOp{put(1, 2, 1, 1), put(1, 9, 1, 2), get(3, 4, 1), get(10, 11, 2, 1, 2)}, true},
		{"not hidden", []ringOp{put(1, 2, 1, 1), get(3, 4, 1), get(10, 11, 1, 1)}, false},
		{"full too early", []ringOp{put(1, 2, 1, 1), put(3, 4, 1)}, false},
		{"full", []ringOp{put(1, 2, 3, 1, 2), put(3, 4, 1), get(5, 6, 1, 1), put(7, 8, 1, 3)}, true},
		{"batch cut too short", []ringOp{put(1, 2, 2, 1)}, false},
		{"batch cut while there came more room", []ringOp{put(1, 2, 1, 1), put(3, 9, 2, 2), get(4, 5, 1, 1)}, true},
		{"put refused while there was room", []ringOp{put(1, 2, 1, 1), put(3, 9, 2), get(4, 5, 1, 1)}, false},
		{"batch divided", []ringOp{put(1, 9, 2, 1, 2), put(1, 9, 1, 3), get(10, 11, 2, 1, 3)}, false},
		{"more than fits", []ringOp{put(1, 2, 3, 1, 2, 3)}, false},
	}
	for _, c := range cases {
		require.Equal(t, c.want, linearizable(c.ops, 2), c.name)
	}
}

// TestRingLinearizable runs a few operations at the same time, many times over, and checks that what
// they saw agrees with one queue.
func TestRingLinearizable(t *testing.T) {
	for round := range stress(20000) {
		rng := rand.New(rand.NewPCG(3, uint64(round)))
		c := 1 << rng.IntN(3)
		r := newRing(c)
		if round%2 == 1 {
			r.mod = moderation{spins: firstWait, after: lastTrust} // one who waits sees the same queue
		}
		var clock atomic.Int64
		var waiting atomic.Int64
		var done sync.WaitGroup
		histories := make([][]ringOp, 3)
		for who := range histories {
			seed := rng.Uint64()
			done.Go(func() {
				waiting.Add(1)
				for waiting.Load() < int64(len(histories)) {
					runtime.Gosched() // all begin within nanoseconds of each other, on as many cores as there are
				}
				histories[who] = someOps(r, &clock, who, rand.New(rand.NewPCG(seed, 0)))
			})
		}
		done.Wait()
		ops := slices.Concat(histories...)
		require.True(t, linearizable(ops, c), "ring of %d: %v", c, ops)
	}
}

// someOps does a few operations and returns them: gets if who is 0, else puts.
func someOps(r *Ring, clock *atomic.Int64, who int, rng *rand.Rand) (ops []ringOp) {
	for i := range 4 {
		n := 1 + rng.IntN(3)
		vs := make([]int, n)
		for k := range vs {
			vs[k] = who*100 + i*10 + k
		}
		o := ringOp{put: who > 0, want: n, begin: clock.Add(1)}
		switch {
		case !o.put && n == 1:
			if d, ok := r.Get(); ok {
				o.vs = []int{int(d)}
			}
		case !o.put:
			ds := make([]Desc, n)
			o.vs = numbersOf(ds[:r.GetBatch(ds)])
		case n == 1:
			if r.Put(Desc(vs[0])) {
				o.vs = vs
			}
		default:
			o.vs = vs[:r.PutBatch(descs(vs...))]
		}
		o.end = clock.Add(1)
		ops = append(ops, o)
		if rng.IntN(3) == 0 {
			runtime.Gosched()
		}
	}
	return ops
}
