// Package calm tells whether a machine that is shared with others is as fast as it can be.
//
// A core of such a machine is half as fast for some seconds whenever others use its other half, and the host of a virtual one may put
// two of its cores far from each other, where a cache line takes several times as long from one to the other: medians of many
// rounds then are of the fast or of the slow kind as it happens. So a measurement is framed by two looks at pieces of work whose time is
// known, and made again if one of them took long.
package calm

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Touchstone knows how long fixed pieces of work take when nobody disturbs them. It is for one goroutine at a time.
type Touchstone struct {
	work     gauge               // on each core
	exchange gauge               // of a cache line between two cores
	sleep    func(time.Duration) // between looks

	Count
}

// Count is how often measurements were disturbed.
type Count struct {
	Again    int // measurements that were made again
	Agitated int // measurements that count though they were disturbed each time
}

// A gauge is a piece of work and the least time that it took so far.
type gauge struct {
	take func() time.Duration
	best time.Duration
	// more is how much more than the best is as good: so many eighths of it.
	more time.Duration
}

func (g *gauge) calm() bool {
	took := g.take()
	if g.best == 0 || took < g.best {
		g.best = took
	}
	return took <= g.best+g.best*g.more/8
}

const (
	looks = 10                    // how often at most is looked before a measurement whether the machine is calm
	pause = 30 * time.Millisecond // between two of them
)

// New returns one that was tried a hundred times.
func New() *Touchstone {
	t := &Touchstone{
		work: gauge{take: onEveryCore, more: 1},
		// Next to each other cores exchange a line in 50 to 110 ns, far from each other in 350 to 800.
		exchange: gauge{take: exchange, more: 24},
		sleep:    time.Sleep,
	}
	if runtime.GOMAXPROCS(0) < 2 {
		t.exchange.take = func() time.Duration { return 1 } // there is nobody to exchange it with
	}
	for range 100 {
		t.work.calm()
		t.exchange.calm()
	}
	return t
}

// calm reports whether the machine is as fast as it ever was; together says that it matters how far its cores are from each other.
func (t *Touchstone) calm(together bool) bool {
	return t.work.calm() && (!together || t.exchange.calm())
}

// Measure calls once when it is calm, and again until it was calm afterwards, too: at most tries times. For work of several
// processors together is true. What once says is final is not repeated.
func (t *Touchstone) Measure(tries int, together bool, once func() (final bool)) {
	for try := 1; ; try++ {
		calm := t.calm(together)
		for look := 1; !calm && look < looks; look++ {
			t.sleep(pause)
			calm = t.calm(together)
		}
		if once() || calm && t.calm(together) {
			return
		}
		if try >= tries {
			t.Agitated++
			return
		}
		t.Again++
	}
}

// Note says for a report what was done with tries.
func (c Count) Note(tries int) string {
	return fmt.Sprintf("When a known piece of work took more than 1/8 longer than at its best just before or after a measurement, or, for more than one "+
		"processor, a cache line more than four times as long from one to the other, that was made again, up to %d times: %d were, and %d count although they were disturbed each time.",
		tries-1, c.Again, c.Agitated)
}

// Add adds what another counted.
func (c *Count) Add(other Count) {
	c.Again += other.Again
	c.Agitated += other.Agitated
}

// onEveryCore returns how long the slowest of the two cores that workloads use needs for a millisecond's work.
func onEveryCore() time.Duration {
	var wg sync.WaitGroup
	var took [2]time.Duration
	for i := range took {
		wg.Go(func() {
			begin := time.Now()
			if grind() == 0 {
				panic("grind is never done in vain")
			}
			took[i] = time.Since(begin)
		})
	}
	wg.Wait()
	return max(took[0], took[1])
}

// grind keeps all of a core's units busy that a neighbour on the same core would like to have: four chains of numbers that do not
// wait for each other, and a table that fits into the fastest cache.
func grind() uint64 {
	var table [2048]uint64
	a, b, c, d := uint64(1), uint64(2), uint64(3), uint64(4)
	for range 400_000 {
		a, b, c, d = a*0x9e3779b97f4a7c15+1, b^b<<13+7, c+c>>7+0x1234567, d*0xbf58476d1ce4e5b9+3
		table[a>>53] += b
		c += table[d>>53]
	}
	return a ^ b ^ c ^ d | 1
}

// exchange returns how long a cache line takes from one core to another and back. Nobody yields meanwhile: if the two are on one
// core each turn takes a time slice, which is not calm either, and no more than a few of those are waited for.
func exchange() time.Duration {
	const times, atMost, over = 2000, 5 * time.Millisecond, 1 << 31
	line := new(struct {
		_    [64]byte
		turn atomic.Uint32 // odd: the other's
		_    [64]byte
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		for turn := line.turn.Load(); turn != over; turn = line.turn.Load() {
			if turn%2 != 0 {
				line.turn.Store(turn + 1)
			}
		}
	})
	there := func(i uint32) {
		line.turn.Store(2*i + 1)
		for line.turn.Load() != 2*i+2 {
		}
	}
	there(0) // now the other has begun
	begin := time.Now()
	var took time.Duration
	done := uint32(0)
	for done < times && took < atMost {
		for range 16 {
			done++
			there(done)
		}
		took = time.Since(begin)
	}
	line.turn.Store(over)
	wg.Wait()
	return took / time.Duration(done)
}
