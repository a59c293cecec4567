package device

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// manyDescs is how many descriptors there are in most tests.
const manyDescs = 1 << 9

// newRing returns a ring for n of manyDescs descriptors.
func newRing(n int) *Ring { return newRingFor(n, manyDescs) }

// newRingFor returns a ring for n of many descriptors.
func newRingFor(n, many int) *Ring {
	l, r := new(Links), new(Ring)
	l.Reserve(many)
	r.Init(n, l)
	return r
}

// descs are numbers as descriptors.
func descs(vs ...int) []Desc {
	ds := make([]Desc, len(vs))
	for i, v := range vs {
		ds[i] = Desc(v)
	}
	return ds
}

// numbersOf is the reverse of descs.
func numbersOf(ds []Desc) []int {
	vs := make([]int, len(ds))
	for i, d := range ds {
		vs[i] = int(d)
	}
	return vs
}

func TestRingCap(t *testing.T) {
	for n, want := range map[int]int{-1: 1, 0: 1, 1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 100: 128, 255: 256, 256: 256} {
		r := newRing(n)
		require.Equal(t, want, r.Cap(), n)
		for i := range want {
			require.Equal(t, want-i, r.Room())
			require.True(t, r.Put(Desc(i)), "item %d of %d", i, want)
		}
		require.False(t, r.Put(400), "a full ring of %d takes no more", want)
		require.Zero(t, r.PutBatch([]Desc{400, 401}))
		require.Equal(t, want, r.Len())
		require.Equal(t, uint64(want), r.Claimed())
		require.Zero(t, r.Room())
		for i := range want {
			require.True(t, r.Ready())
			v, ok := r.Get()
			require.True(t, ok)
			require.Equal(t, Desc(i), v)
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
	r     *Ring
	items []Desc
	next  Desc
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
		m.next = (m.next + 1) % manyDescs
	} else {
		m.refused()
	}
	require.LessOrEqual(m.t, len(m.items), m.r.Cap())
}

func (m *ringModel) putBatch(n int) {
	vs := make([]Desc, n)
	for i := range vs {
		vs[i] = (m.next + Desc(i)) % manyDescs
	}
	took := m.r.PutBatch(vs)
	m.items = append(m.items, vs[:took]...)
	m.next = (m.next + Desc(took)) % manyDescs
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
	vs := make([]Desc, n)
	got := m.r.GetBatch(vs)
	require.Equal(m.t, min(n, len(m.items)), got)
	require.Equal(m.t, append([]Desc{}, m.items[:got]...), vs[:got])
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
			require.Zero(t, m.r.Len()%max(c/8, 1))
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

// ringItems is what descriptors stand for in tests with several producers: each has a range of them. Only who
// has the descriptor may look.
type ringItems struct {
	each int
	v    []ringItem
}

func newRingItems(producers, each int) *ringItems {
	return &ringItems{each, make([]ringItem, producers*each)}
}

// put makes a descriptor for v.
func (t *ringItems) put(v ringItem) Desc {
	d := Desc(v.producer*t.each + v.i)
	t.v[d] = v
	return d
}

// TestRingConcurrent: several producers, in batches and singly, and consumers that take turns. Each
// producer's items come out once and in order, and no batch is divided by another's.
func TestRingConcurrent(t *testing.T) {
	for _, c := range []int{1, 2, 8, 64} {
		for _, producers := range []int{1, 4} {
			t.Run(fmt.Sprintf("%d producers, ring of %d", producers, c), func(t *testing.T) {
				each := stress(20000)
				r, items := newRingFor(c, producers*each), newRingItems(producers, each)
				var wg sync.WaitGroup
				k := itemChecker{r: r, items: items, next: make([]int, producers), left: producers * each}
				k.busy.Store(int64(producers))
				for p := range producers {
					wg.Go(func() {
						putItems(r, items, p)
						k.busy.Add(-1)
					})
				}
				for i := range 2 {
					wg.Go(func() {
						vs := make([]Desc, 1+6*i)
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

func putItems(r *Ring, items *ringItems, p int) {
	rng := rand.New(rand.NewPCG(7, uint64(p)))
	vs := make([]Desc, 5)
	for i, call := 0, 0; i < items.each; call++ {
		n := min(1+rng.IntN(len(vs)), items.each-i)
		for k := range vs[:n] {
			vs[k] = items.put(ringItem{p, i + k, call})
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
	r       *Ring
	items   *ringItems
	next    []int // by producer
	left    int
	failure string
	busy    atomic.Int64 // producers at work
}

func (k *itemChecker) consume(vs []Desc) (more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	busy := k.busy.Load()
	n := k.r.GetBatch(vs)
	if n == 0 && busy == 0 {
		return false
	}
	for _, d := range vs[:n] {
		v := k.items.v[d]
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
	r, items := newRingFor(16, producers*each), newRingItems(producers, each)
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() { putItems(r, items, p) })
	}
	closed := make([]int, producers) // the first call that may still come
	var prev ringItem
	for left := producers * each; left > 0; {
		d, ok := r.Get()
		if !ok {
			runtime.Gosched()
			continue
		}
		v := items.v[d]
		if v.producer != prev.producer || v.call != prev.call {
			require.GreaterOrEqual(t, v.call, closed[v.producer], "the batch of %+v was divided", v)
			closed[v.producer] = v.call + 1
		}
		prev = v
		left--
	}
	wg.Wait()
}

// TestRingSlept: a producer that read the word and slept while others put and the consumer took, any number
// of times, does not get its descriptor in by mistake: also when the descriptor that was the last when it fell
// asleep is the last again.
func TestRingSlept(t *testing.T) {
	r := newRing(8)
	for lap := range 100 {
		require.True(t, r.Put(1))
		w := r.word.Load() // a Put of 9 gets so far
		for range lap%9 + 1 {
			d, ok := r.Get()
			require.True(t, ok)
			require.Equal(t, Desc(1), d)
			require.True(t, r.Put(1))
		}
		require.Equal(t, w&descMask, r.word.Load()&descMask)
		require.False(t, r.word.CompareAndSwap(w, tailOf(w)+onePosition+9))
		_, ok := r.Get()
		require.True(t, ok)
		require.False(t, r.Ready())
	}
}

// TestRingStaleLinks: what the consumer has taken may be put again at once, here or into another ring,
// while it has yet to look at what came later.
func TestRingStaleLinks(t *testing.T) {
	a := newRing(4)
	b := new(Ring)
	b.Init(4, a.links)
	require.Equal(t, 3, a.PutBatch([]Desc{1, 2, 3}))
	d, _ := a.Get() // sees all three
	require.Equal(t, Desc(1), d)
	require.True(t, a.Put(1))
	d, _ = a.Get()
	require.Equal(t, Desc(2), d)
	require.True(t, b.Put(2))
	d, _ = a.Get()
	require.Equal(t, Desc(3), d)
	require.True(t, b.Put(3)) // what was put before 1 in a
	require.True(t, a.Put(4))
	vs := make([]Desc, 4)
	require.Equal(t, []Desc{1, 4}, vs[:a.GetBatch(vs)])
	require.Equal(t, []Desc{2, 3}, vs[:b.GetBatch(vs)])
}

// TestRingOfNothing: a ring may be looked at before there are descriptors.
func TestRingOfNothing(t *testing.T) {
	r := new(Ring)
	r.Init(4, new(Links))
	require.False(t, r.Ready())
	_, ok := r.Get()
	require.False(t, ok)
	require.Zero(t, r.GetBatch(make([]Desc, 2)))
}

// TestRingWraps: positions may wrap around.
func TestRingWraps(t *testing.T) {
	r := newRing(8)
	var start uint64 = 1<<64 - 9*onePosition
	r.word.Store(start)
	r.seen.Store(start)
	r.head.Store(start)
	r.pos, r.ready, r.freed = start, start, start
	m := &ringModel{t: t, r: r, next: 1}
	for range 20 {
		m.putBatch(5)
		m.put()
		m.getBatch(3)
		m.get()
		m.getBatch(8)
	}
	require.Less(t, r.pos, start)
}

// TestLinksGrow: room for more descriptors can be made while rings are in use.
func TestLinksGrow(t *testing.T) {
	l, r := new(Links), new(Ring)
	l.Reserve(1)
	r.Init(64, l)
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; n < 1<<16; n += 50 {
			l.Reserve(n)
		}
		done.Store(true)
	})
	put, got := Desc(0), Desc(0)
	get := func() {
		d, ok := r.Get()
		require.True(t, ok)
		require.Equal(t, got%100, d)
		got++
	}
	for !done.Load() {
		if r.Put(put % 100) {
			put++
		}
		if put-got > 50 {
			get()
		}
	}
	for got != put {
		get()
	}
	wg.Wait()
	require.Len(t, l.table.Load().chunks, 1<<(16-chunkBits))
}

// TestRingAllocs: the ring's operations allocate nothing.
func TestRingAllocs(t *testing.T) {
	r := newRing(64)
	vs := make([]Desc, 16)
	for i := range vs {
		vs[i] = Desc(i + 2)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.Put(1)
		r.PutBatch(vs)
		r.Get()
		r.GetBatch(vs)
	}))
}
