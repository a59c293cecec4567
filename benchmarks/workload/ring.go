package workload

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"example.com/loopback/benchmarks/queue"
	"example.com/loopback/benchmarks/transport"
)

// ringBatch is how many descriptors a batch has.
const ringBatch = 32

// ringChunk is how many descriptors are moved between two looks at the clock.
const ringChunk = 1 << 15

// rings compares queues, not transports.
func rings() Workload {
	return Workload{
		Name: "ring", Title: "The descriptor ring and other queues",
		About: "nanoseconds per descriptor that goes in and comes out, one by one and 32 at a time: on one " +
			"goroutine, from one producer to a consumer on another core, from four producers to one consumer",
		Procs: []int{2},
		Peers: queueNames,
		Once:  measureRings,
	}
}

func measureRings(env *Env) ([]Result, error) {
	kind, err := findQueue(env.Peer)
	if err != nil {
		return nil, err
	}
	var results []Result
	add := func(params string, run func(n int)) {
		run(ringChunk)                 // warms up
		s := inChunks(run, env.Time/2) // there are six of them
		results = append(results, Result{Params: params, N: s.N, Metrics: []Metric{{"ns/op", s.nanoseconds()}}})
	}
	add("on=same/batch=1", kind.Single)
	add("on=same/batch=32", func(n int) { sameBatch(kind.New(queue.Size), n) })
	for _, producers := range []int{1, 4} {
		if kind.Producers != 0 && producers > kind.Producers {
			continue
		}
		for _, batch := range []int{1, ringBatch} {
			q, in := kind.New(queue.Size), make([][]queue.Item, producers)
			for i := range in {
				in[i] = manyDescriptors(i, batch)
			}
			add(fmt.Sprintf("on=%dP1C/batch=%d", producers, batch), func(n int) { across(q, in, batch, n) })
		}
	}
	return results, nil
}

// inChunks repeats runs of ringChunk descriptors until the time is up. Queues that spin can take a
// thousand times longer when the system takes a core away: no run may be planned ahead.
func inChunks(run func(int), want time.Duration) Sample {
	var s Sample
	for start := time.Now(); s.Elapsed < want; s.Elapsed = time.Since(start) {
		run(ringChunk)
		s.N += ringChunk
	}
	return s
}

func findQueue(name string) (queue.Kind, error) {
	for _, k := range queue.Kinds() {
		if k.Name == name {
			return k, nil
		}
	}
	return queue.Kind{}, fmt.Errorf("no queue named %q: %w", name, transport.ErrUnsupported)
}

func sameBatch(q queue.Queue, n int) {
	in, out := descriptors(), make([]queue.Item, ringBatch)
	for ; n > 0; n -= ringBatch {
		q.PutBatch(in)
		q.GetBatch(out)
	}
}

func descriptors() []queue.Item {
	in := make([]queue.Item, ringBatch)
	for i := range in {
		in[i] = queue.Item(i)
	}
	return in
}

// across moves n descriptors from producers, who have in, to this goroutine.
func across(q queue.Queue, in [][]queue.Item, batch, n int) {
	var wg sync.WaitGroup
	for i := range in {
		share := (n + i) / len(in)
		wg.Go(func() { produce(q, in[i], batch, share) })
	}
	out := make([]queue.Item, batch)
	for n > 0 {
		got := 0
		if batch > 1 {
			got = q.GetBatch(out)
		} else if _, ok := q.Get(); ok {
			got = 1
		}
		if n -= got; got == 0 {
			runtime.Gosched()
		}
	}
	wg.Wait()
}

func produce(q queue.Queue, in []queue.Item, batch, n int) {
	for at := 0; n > 0; {
		put := 0
		if batch > 1 {
			put = q.PutBatch(in[at : at+min(n, batch)])
		} else if q.Put(in[at]) {
			put = 1
		}
		at = (at + put) % (2 * queue.Size)
		if n -= put; put == 0 {
			runtime.Gosched()
		}
	}
}

// manyDescriptors returns producer's descriptors: twice as many as a queue holds, so that none is in it twice when
// they are put by turns, and the first batch of them once more at the end.
func manyDescriptors(producer, batch int) []queue.Item {
	in := make([]queue.Item, 2*queue.Size, 2*queue.Size+batch)
	for i := range in {
		in[i] = queue.Item(producer*len(in) + i)
	}
	return append(in, in[:batch]...)
}
