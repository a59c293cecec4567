package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func flowOf(port uint16) Flow {
	return Flow{Proto: 6, Src: netip.AddrPortFrom(hostA, port), Dst: netip.AddrPortFrom(hostB, 80)}
}

func TestQueueOrdersByTimeThenKey(t *testing.T) {
	type item struct {
		due time.Duration
		key Key
	}
	var sorted []item
	for due := range 5 {
		for kind := range uint8(2) {
			for port := range uint16(4) {
				for seq := range uint64(4) {
					sorted = append(sorted, item{time.Duration(due), Key{kind, flowOf(port), seq}})
				}
			}
		}
	}
	for seed := range uint64(20) {
		q := new(Queue)
		var got []item
		rnd := rand.New(rand.NewPCG(seed, 1))
		for _, k := range rnd.Perm(len(sorted)) {
			x := sorted[k]
			q.At(x.due, x.key, func() {
				require.Equal(t, x.due, q.Now())
				got = append(got, x)
			})
		}
		require.Equal(t, len(sorted), q.Len())
		for q.Step() {
		}
		require.Equal(t, sorted, got)
		require.Zero(t, q.Len())
	}
}

func TestKeysCompare(t *testing.T) {
	flows := []Flow{
		{Proto: 1, Src: netip.AddrPortFrom(hostB, 9)},
		flowOf(1), flowOf(2), {Proto: 6, Src: netip.AddrPortFrom(hostB, 1)}, {Proto: 6, Src: netip.AddrPortFrom(hostB, 1), Dst: netip.AddrPortFrom(hostA, 1)}, {Proto: 6, Src: netip.AddrPortFrom(hostA6, 0)},
	}
	for i, a := range flows {
		for j, b := range flows {
			require.Equal(t, min(max(i-j, -1), 1), a.Compare(b), "%v %v", a, b)
		}
	}
	require.Negative(t, Key{Kind: 0, Flow: flowOf(9), Seq: 9}.Compare(Key{Kind: 1}))
	require.Negative(t, Key{Flow: flowOf(1), Seq: 9}.Compare(Key{Flow: flowOf(2)}))
	require.Positive(t, Key{Seq: 2}.Compare(Key{Seq: 1}))
	require.Zero(t, Key{Seq: 2}.Compare(Key{Seq: 2}))
}

func TestQueueRunsUntil(t *testing.T) {
	q := new(Queue)
	var got []string
	add := func(due time.Duration, name string) {
		q.At(due, Key{}, func() { got = append(got, fmt.Sprint(name, q.Now())) })
	}
	add(5, "b")
	add(3, "a")
	add(5, "c")
	due, ok := q.Next()
	require.True(t, ok)
	require.EqualValues(t, 3, due)
	require.Equal(t, 1, q.Run(4))
	require.EqualValues(t, 4, q.Now(), "time goes to where it was told to")
	q.At(1, Key{}, func() {
		got = append(got, fmt.Sprint("late", q.Now()))
		add(4, "from within")
	})
	require.Equal(t, 4, q.Run(10))
	require.Equal(t, []string{"a3ns", "late4ns", "from within4ns", "b5ns", "c5ns"}, got)
	require.EqualValues(t, 10, q.Now())
	require.Zero(t, q.Run(2))
	require.EqualValues(t, 10, q.Now(), "time does not go back")
	_, ok = q.Next()
	require.False(t, ok)
	require.False(t, q.Step())
}

func TestQueueRefusesNonsense(t *testing.T) {
	q := new(Queue)
	q.At(0, Key{}, func() { require.Panics(t, func() { q.Step() }) })
	require.True(t, q.Step())
	require.Panics(t, func() { NewTimeQueue(0).Step() })
}

func TestQueueOnAClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		q := NewTimeQueue(0)
		var got []string
		note := func(name string) func() {
			return func() { got = append(got, fmt.Sprint(name, " ", time.Since(start))) }
		}
		q.At(2*time.Second, Key{Seq: 2}, note("c"))
		q.At(2*time.Second, Key{Seq: 1}, note("b"))
		q.At(time.Second, Key{}, func() { // an earlier one moves the timer forward
			note("a")()
			q.At(0, Key{}, note("past"))
		})
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"a 1s", "past 1s", "b 2s", "c 2s"}, got)
		require.Equal(t, 3*time.Second, q.Now())
		q.At(q.Now()+time.Hour, Key{}, note("d"))
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Equal(t, "d 1h0m3s", got[4])
	})
}

// With a gap every event has an instant of its own, in which what goroutines did when it was due is over, and what it
// woke is idle before the next.
func TestQueueWithGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		q := NewTimeQueue(time.Nanosecond)
		var mu sync.Mutex
		var got []string
		for k := range 5 {
			ready := make(chan bool)
			go func() {
				<-ready
				mu.Lock()
				defer mu.Unlock()
				got = append(got, fmt.Sprint("woken ", k, " ", time.Since(start)))
			}()
			q.At(time.Second, Key{Seq: uint64(9 - k)}, func() { close(ready) })
		}
		time.Sleep(time.Second + time.Microsecond)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []string{"woken 4 1.000000001s", "woken 3 1.000000002s", "woken 2 1.000000003s", "woken 1 1.000000004s", "woken 0 1.000000005s"}, got)
	})
}

func TestQueueIsSafeForConcurrentUse(t *testing.T) {
	q := NewTimeQueue(0)
	var got []int // events come one at a time: no lock
	var wg, done sync.WaitGroup
	done.Add(400)
	for g := range 4 {
		wg.Go(func() {
			for k := range 100 {
				q.At(q.Now()+time.Duration(k)*time.Microsecond, Key{Seq: uint64(k)}, func() {
					got = append(got, g)
					done.Done()
				})
			}
		})
	}
	wg.Wait()
	done.Wait()
	require.Len(t, got, 400)
	slices.Sort(got)
	require.Equal(t, 3, got[399])
}

func TestQueueAllocatesNothing(t *testing.T) {
	q := new(Queue)
	f := func() {}
	round := func() {
		for k := range 100 {
			q.At(q.Now()+time.Duration(k%7), Key{Seq: uint64(k)}, f)
		}
		for q.Step() {
		}
	}
	round()
	require.Zero(t, testing.AllocsPerRun(20, round))
}

func BenchmarkQueue(b *testing.B) {
	q := new(Queue)
	f := func() {}
	for k := range 1000 {
		q.At(time.Duration(k), Key{Flow: flowOf(uint16(k % 10))}, f)
	}
	b.ReportAllocs()
	for b.Loop() {
		q.Step()
		q.At(q.Now()+1000, Key{Flow: flowOf(3)}, f)
	}
}

// In virtual time, too, a gap gives every event an instant of its own.
func TestQueueInVirtualTimeWithGap(t *testing.T) {
	q := &Queue{gap: 2}
	var got []string
	note := func(name string) func() { return func() { got = append(got, fmt.Sprint(name, q.Now())) } }
	q.At(0, Key{Seq: 1}, note("a"))
	q.At(0, Key{Seq: 2}, func() {
		note("b")()
		q.At(0, Key{Seq: 9}, note("late"))
		q.At(q.Now()+3, Key{Seq: 0}, note("e"))
	})
	q.At(3, Key{Seq: 3}, note("d"))
	require.Equal(t, 3, q.Run(5))
	require.Equal(t, []string{"a0s", "b2ns", "late4ns"}, got)
	require.EqualValues(t, 5, q.Now())
	q.At(5, Key{}, note("f"))
	require.Equal(t, 3, q.Run(12))
	require.Equal(t, []string{"d6ns", "e8ns", "f10ns"}, got[3:])
	require.EqualValues(t, 12, q.Now())
}
