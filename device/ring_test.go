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

func newRing(n int) *Ring[int] {
	r := new(Ring[int])
	r.Init(n)
	return r
}

func TestRingCap(t *testing.T) {
	for n, want := range map[int]int{-1: 1, 0: 1, 1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 100: 128, 256: 256, 257: 512} {
		r := newRing(n)
		require.Equal(t, want, r.Cap(), n)
		for i := range want {
			require.Equal(t, want-i, r.Room())
			require.True(t, r.Put(i), "item %d of %d", i, want)
		}
		require.False(t, r.Put(-1), "a full ring of %d takes no more", want)
		require.Zero(t, r.PutBatch([]int{-1, -2}))
		require.Equal(t, want, r.Len())
		require.Zero(t, r.Room())
		for i := range want {
			require.True(t, r.Ready())
			v, ok := r.Get()
			require.True(t, ok)
			require.Equal(t, i, v)
		}
		require.False(t, r.Ready())
		v, ok := r.Get()
		require.False(t, ok)
		require.Zero(t, v)
		require.Zero(t, r.Len(), "a Get that found nothing gave all places back")
	}
}

// ringModel is what a ring must do, with a slice in its place.
type ringModel struct {
	t     *testing.T
	r     *Ring[int]
	items []int
	next  int
}

func newRingModel(t *testing.T, n int) *ringModel { return &ringModel{t: t, r: newRing(n), next: 1} }

// refused checks that a ring that took fewer than it was offered was full but for what its doc allows.
func (m *ringModel) refused() {
	c := m.r.Cap()
	if c < 16 {
		require.Len(m.t, m.items, c)
		return
	}
	require.Greater(m.t, len(m.items), c-c/8)
}

func (m *ringModel) put() {
	if m.r.Put(m.next) {
		m.items = append(m.items, m.next)
		m.next++
	} else {
		m.refused()
	}
	require.LessOrEqual(m.t, len(m.items), m.r.Cap())
}

func (m *ringModel) putBatch(n int) {
	vs := make([]int, n)
	for i := range vs {
		vs[i] = m.next + i
	}
	took := m.r.PutBatch(vs)
	m.items = append(m.items, vs[:took]...)
	m.next += took
	if took < n {
		m.refused()
	}
	require.LessOrEqual(m.t, len(m.items), m.r.Cap())
}

func (m *ringModel) get() {
	require.Equal(m.t, len(m.items) > 0, m.r.Ready())
	v, ok := m.r.Get()
	require.Equal(m.t, len(m.items) > 0, ok)
	if ok {
		require.Equal(m.t, m.items[0], v)
		m.items = m.items[1:]
	}
}

func (m *ringModel) getBatch(n int) {
	vs := make([]int, n)
	got := m.r.GetBatch(vs)
	require.Equal(m.t, min(n, len(m.items)), got)
	require.Equal(m.t, append([]int{}, m.items[:got]...), vs[:got])
	m.items = m.items[got:]
}

func (m *ringModel) step(op, n int) {
	switch op % 4 {
	case 0:
		m.put()
	case 1:
		m.putBatch(n)
	case 2:
		m.get()
	case 3:
		m.getBatch(n)
	}
	require.GreaterOrEqual(m.t, m.r.Len(), len(m.items))
	require.Less(m.t, m.r.Len()-len(m.items), max(m.r.Cap()/8, 1))
}

func TestRingModel(t *testing.T) {
	for _, c := range []int{1, 2, 4, 8, 16, 64, 256} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(c)))
			m := newRingModel(t, c)
			for range 20000 {
				m.step(rng.IntN(4), rng.IntN(c+3))
			}
			m.getBatch(c)
			for i := range m.r.slots {
				require.Zero(t, m.r.slots[i], "what was taken out is not kept alive")
			}
		})
	}
}

func FuzzRing(f *testing.F) {
	f.Add(uint8(4), []byte{0, 0, 0, 0, 0, 2, 2, 2, 2, 2})
	f.Add(uint8(16), []byte{0x41, 0x43, 0x41, 0x43, 0x7d, 0x02, 0x1f})
	f.Fuzz(func(t *testing.T, c uint8, ops []byte) {
		m := newRingModel(t, int(c))
		for _, op := range ops {
			m.step(int(op), int(op>>2))
		}
	})
}

// stress returns how often a stress test does its thing: n times, fewer under the race detector, which is
// slower and needs fewer.
func stress(n int) int {
	if raceEnabled {
		return n / 10
	}
	return n
}

// ringItem is item i of a producer, put by its call number call.
type ringItem struct{ producer, i, call int }

// TestRingConcurrent: several producers, in batches and singly, and consumers that take turns. Each
// producer's items come out once and in order, and no batch is divided by another's.
func TestRingConcurrent(t *testing.T) {
	for _, c := range []int{1, 2, 8, 64} {
		for _, producers := range []int{1, 4} {
			t.Run(fmt.Sprintf("%d producers, ring of %d", producers, c), func(t *testing.T) {
				each := stress(20000)
				r := new(Ring[ringItem])
				r.Init(c)
				var wg sync.WaitGroup
				k := itemChecker{r: r, next: make([]int, producers), left: producers * each}
				k.busy.Store(int64(producers))
				for p := range producers {
					wg.Go(func() {
						putItems(r, p, each)
						k.busy.Add(-1)
					})
				}
				for i := range 2 {
					wg.Go(func() {
						vs := make([]ringItem, 1+6*i)
						for k.consume(vs) {
							runtime.Gosched()
						}
					})
				}
				wg.Wait()
				require.Empty(t, k.failure)
				require.Zero(t, k.left, "items lost")
				require.False(t, r.Ready())
			})
		}
	}
}

func putItems(r *Ring[ringItem], p, each int) {
	rng := rand.New(rand.NewPCG(7, uint64(p)))
	vs := make([]ringItem, 5)
	for i, call := 0, 0; i < each; call++ {
		n := min(1+rng.IntN(len(vs)), each-i)
		for k := range vs[:n] {
			vs[k] = ringItem{p, i + k, call}
		}
		if n > 1 {
			n = r.PutBatch(vs[:n])
		} else if !r.Put(vs[0]) {
			n = 0
		}
		if i += n; n == 0 {
			runtime.Gosched()
		}
	}
}

// An itemChecker consumes with goroutines that hand the consumer's role to and fro by a lock.
type itemChecker struct {
	mu      sync.Mutex
	r       *Ring[ringItem]
	next    []int // by producer
	left    int
	failure string
	busy    atomic.Int64 // producers at work
}

func (k *itemChecker) consume(vs []ringItem) (more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	busy := k.busy.Load()
	n := k.r.GetBatch(vs)
	if n == 0 && busy == 0 {
		return false
	}
	for _, v := range vs[:n] {
		if want := k.next[v.producer]; v.i != want && k.failure == "" {
			k.failure = fmt.Sprintf("%+v came where item %d was due", v, want)
		}
		k.next[v.producer] = v.i + 1
	}
	k.left -= n
	return true
}

// TestRingBatchWhole: what one PutBatch took comes out in one piece while others put.
func TestRingBatchWhole(t *testing.T) {
	const producers = 4
	each := stress(20000)
	r := new(Ring[ringItem])
	r.Init(16)
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() { putItems(r, p, each) })
	}
	closed := make([]int, producers) // the first call that may still come
	var prev ringItem
	for left := producers * each; left > 0; {
		v, ok := r.Get()
		if !ok {
			runtime.Gosched()
			continue
		}
		if v.producer != prev.producer || v.call != prev.call {
			require.GreaterOrEqual(t, v.call, closed[v.producer], "the batch of %+v was divided", v)
			closed[v.producer] = v.call + 1
		}
		prev = v
		left--
	}
	wg.Wait()
}

// A suspended is a Put that has claimed its places and goes no further until finish.
type suspended[T any] struct {
	r  *Ring[T]
	w  uint64
	vs []T
}

func suspend[T any](r *Ring[T], vs ...T) suspended[T] {
	w := r.word.Load()
	r.word.Store(w + uint64(len(vs))*(onePosition+1))
	return suspended[T]{r, w, vs}
}

// finish does what Put and PutBatch do after claiming.
func (s suspended[T]) finish() {
	n := uint64(len(s.vs))
	for i, v := range s.vs {
		s.r.slots[(s.w>>pendingBits+uint64(i))&s.r.mask] = v
	}
	if s.w&pendingMask != 0 || s.r.word.Add(-n)&pendingMask != 0 {
		s.r.settle(s.w, n)
	}
}

// TestRingHides: a producer that is suspended before it fills its place hides what lies behind it, and
// nothing is lost when it goes on.
func TestRingHides(t *testing.T) {
	r := newRing(4)
	require.True(t, r.Put(1))
	two := suspend(r, 2)
	require.True(t, r.Put(3))
	v, ok := r.Get()
	require.True(t, ok)
	require.Equal(t, 1, v)
	require.False(t, r.Ready())
	_, ok = r.Get()
	require.False(t, ok)
	require.Zero(t, r.GetBatch(make([]int, 4)))
	require.Equal(t, 2, r.Len())
	two.finish()
	vs := make([]int, 4)
	require.Equal(t, []int{2, 3}, vs[:r.GetBatch(vs)])
}

// TestRingFinish: producers that claimed places one after another fill them in any order. After each, what
// comes out is what lies before the first that is not filled, and no more. Laps of the ring leave nothing
// behind that misleads later ones, and positions may wrap around.
func TestRingFinish(t *testing.T) {
	for _, start := range []uint64{0, 1<<64 - 9*onePosition} {
		r := newRing(8)
		r.word.Store(start)
		r.seen.Store(start)
		r.head.Store(start)
		r.pos, r.ready, r.freed = start, start, start
		for _, order := range permutations(4) {
			runs := [][]int{{1}, {2, 3, 4}, {5, 6}, {7}}
			var puts []suspended[int]
			for _, vs := range runs {
				puts = append(puts, suspend(r, vs...))
			}
			finished := make([]bool, len(runs))
			next := 0 // of runs, the first that is not out
			for _, k := range order {
				puts[k].finish()
				finished[k] = true
				want := []int{}
				for ; next < len(runs) && finished[next]; next++ {
					want = append(want, runs[next]...)
				}
				got := make([]int, 8)
				require.Equal(t, want, got[:r.GetBatch(got)], "after run %d of %v", k, order)
			}
			require.Zero(t, r.word.Load()&pendingMask)
			r.GetBatch(make([]int, 1))
			require.Zero(t, r.Len())
		}
	}
}

// permutations returns all orders of the numbers below n.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

// TestRingAllocs: the ring's operations allocate nothing.
func TestRingAllocs(t *testing.T) {
	r := newRing(64)
	vs := make([]int, 16)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.Put(1)
		r.PutBatch(vs)
		r.Get()
		r.GetBatch(vs)
	}))
}

// TestRingPutOwn: the consumer puts items of its own between those of others. Nothing is lost or made, and the items
// of each come out in the order in which it put them.
func TestRingPutOwn(t *testing.T) {
	const producers, each = 3, 20000
	var r Ring[[2]int] // who put it, and its number
	r.Init(16)
	for who := range producers {
		go func() {
			for n := 0; n < each; {
				if r.Put([2]int{who, n}) {
					n++
				} else {
					runtime.Gosched()
				}
			}
		}()
	}
	var next [producers + 1]int
	own, got := 0, 0
	for got < (producers+1)*each {
		if own < each && r.PutOwn([2]int{producers, own}) {
			own++
		}
		for range 2 {
			v, ok := r.Get()
			if !ok {
				runtime.Gosched()
				break
			}
			require.Equal(t, next[v[0]], v[1], "item of %d", v[0])
			next[v[0]]++
			got++
		}
	}
	_, ok := r.Get()
	require.False(t, ok)
	require.Zero(t, r.Len())
	require.Equal(t, uint64(got), r.Claimed())
}
