package main

import (
	"fmt"
	"sync"
	"time"
)

// On a machine that is shared with others a core is half as fast for some seconds, whenever they use its other half. Medians of
// many rounds then are of the fast or of the slow kind as it happens. With -calm a measurement is framed by two pieces of work
// whose time is known, and made again if one of them took long.

// A touchstone knows how long a fixed piece of work takes when nobody disturbs it.
type touchstone struct {
	work     func() time.Duration
	best     time.Duration // the least that it took so far
	again    int           // measurements that were made again
	agitated int           // measurements that count though they were disturbed each time
}

// tolerance is how much more than the best still counts as calm: one part in so many.
const tolerance = 8

// newTouchstone returns one that was tried a hundred times.
func newTouchstone() *touchstone {
	t := &touchstone{work: onEveryCore}
	for range 100 {
		t.calm()
	}
	return t
}

// calm reports whether the machine is as fast as it ever was.
func (t *touchstone) calm() bool {
	took := t.work()
	if t.best == 0 || took < t.best {
		t.best = took
	}
	return took <= t.best+t.best/tolerance
}

// measure calls ask until it was calm before and after, at most tries times. What ask returns as an error is not repeated.
func (t *touchstone) measure(tries int, ask func() answer) (a answer) {
	if tries <= 1 {
		return ask()
	}
	for try := 1; ; try++ {
		before := t.calm()
		if a = ask(); a.Error != "" || a.Unsupported || before && t.calm() {
			return a
		}
		if try == tries {
			t.agitated++
			return a
		}
		t.again++
	}
}

// note says for the report what was done with tries.
func (t *touchstone) note(tries int) string {
	if tries <= 1 {
		return ""
	}
	return fmt.Sprintf("When a known piece of work took more than 1/%d longer than at its best just before or after a measurement, that was made again, "+
		"up to %d times: %d were, and %d count although they were disturbed each time.", tolerance, tries-1, t.again, t.agitated)
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
