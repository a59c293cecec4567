package queue_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/loopback/benchmarks/queue"
)

// items returns n items from first on.
func items(first, n int) []queue.Item {
	s := make([]queue.Item, n)
	for i := range s {
		s[i] = queue.Item(first + i)
	}
	return s
}

func TestFirstInFirstOut(t *testing.T) {
	for _, k := range queue.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			const size = 16
			q, in := k.New(size), items(0, size)
			for lap := range 5 {
				for i, it := range in {
					require.True(t, q.Put(it), "lap %d: put %d of %d", lap, i, size)
				}
				require.False(t, q.Put(in[0]), "full")
				for _, want := range in {
					got, ok := q.Get()
					require.True(t, ok)
					require.Equal(t, want, got)
				}
				_, ok := q.Get()
				require.False(t, ok, "empty")
			}
		})
	}
}

func TestBatches(t *testing.T) {
	for _, k := range queue.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			const size = 16
			q, in := k.New(size), items(0, size+5)
			out := make([]queue.Item, size+5)
			for range 5 {
				require.Equal(t, 7, q.PutBatch(in[:7]))
				require.Equal(t, size-7, q.PutBatch(in[7:]), "what there is room for")
				require.Equal(t, 5, q.GetBatch(out[:5]))
				require.Equal(t, size-5, q.GetBatch(out[5:]), "what there is")
				require.Equal(t, 0, q.GetBatch(out))
				for i, want := range in[:size] {
					require.Equal(t, want, out[i])
				}
			}
		})
	}
}

// TestEveryItemArrivesOnce lets as many producers as the queue admits race one consumer, and
// checks that each producer's items arrive once and in order.
func TestEveryItemArrivesOnce(t *testing.T) {
	for _, k := range queue.Kinds() {
		for _, batch := range []bool{false, true} {
			name := k.Name + "/single"
			if batch {
				name = k.Name + "/batch"
			}
			t.Run(name, func(t *testing.T) { race(t, k, batch) })
		}
	}
}

func race(t *testing.T, k queue.Kind, batch bool) {
	t.Helper()
	const each = 20_000
	producers := 4
	if k.Producers != 0 {
		producers = k.Producers
	}
	const own = queue.MaxItems / 4 // a producer's items: more than the queue holds, again and again
	q := k.New(64)
	var wg sync.WaitGroup
	for p := range producers {
		in := items(p*own, own)
		wg.Go(func() {
			for left := each; left > 0; left -= own {
				produce(q, in[:min(own, left)], batch)
			}
		})
	}
	next := make([]int, producers)
	out := make([]queue.Item, 32)
	for left := producers * each; left > 0; {
		n := take(q, out, batch)
		for _, it := range out[:n] {
			p := int(it) / own
			require.Equal(t, queue.Item(p*own+next[p]%own), it, "producer %d", p)
			next[p]++
		}
		if left -= n; n == 0 {
			runtime.Gosched()
		}
	}
	wg.Wait()
	require.Zero(t, take(q, out, batch), "nothing is left")
}

func produce(q queue.Queue, in []queue.Item, batch bool) {
	for len(in) > 0 {
		n := 0
		if batch {
			n = q.PutBatch(in[:min(32, len(in))])
		} else if q.Put(in[0]) {
			n = 1
		}
		if in = in[n:]; n == 0 {
			runtime.Gosched()
		}
	}
}

func take(q queue.Queue, out []queue.Item, batch bool) int {
	if batch {
		return q.GetBatch(out)
	}
	it, ok := q.Get()
	if !ok {
		return 0
	}
	out[0] = it
	return 1
}
