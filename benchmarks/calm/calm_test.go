package calm

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script returns work that takes the times given one after another, the last for ever. Without times it must not be asked.
func script(times ...time.Duration) func() time.Duration {
	i := 0
	return func() time.Duration {
		i++
		return times[min(i, len(times))-1]
	}
}

func TestMeasure(t *testing.T) {
	ten := func(d, last time.Duration) []time.Duration {
		return append([]time.Duration{d, d, d, d, d, d, d, d, d, d}, last)
	}
	for _, tt := range []struct {
		name                    string
		works                   []time.Duration // at each look
		exchanges               []time.Duration
		together, final         bool
		tries                   int
		asked, again, disturbed int
		slept                   int
	}{
		{name: "calm", works: []time.Duration{100}, tries: 5, asked: 1},
		{name: "nearly calm", works: []time.Duration{112, 112}, tries: 5, asked: 1},
		{name: "agitated before", works: []time.Duration{113, 113, 100}, tries: 5, asked: 1, slept: 2},
		{name: "agitated until nobody waits longer, and not asked after", works: ten(113, 100), tries: 5, asked: 2, again: 1, slept: 9},
		{name: "agitated after", works: []time.Duration{100, 200, 100, 150, 100}, tries: 5, asked: 3, again: 2},
		{name: "always agitated", works: []time.Duration{200}, tries: 3, asked: 3, again: 2, disturbed: 1, slept: 27},
		{name: "faster than ever", works: []time.Duration{90, 102, 90}, tries: 5, asked: 2, again: 1},
		{name: "what is final", works: []time.Duration{100, 200}, final: true, tries: 5, asked: 1},
		{name: "far, which is no matter", works: []time.Duration{100}, exchanges: []time.Duration{500}, tries: 5, asked: 1},
		{name: "near", works: []time.Duration{100}, exchanges: []time.Duration{200}, together: true, tries: 5, asked: 1},
		{name: "far before", works: []time.Duration{100}, exchanges: []time.Duration{201, 200}, together: true, tries: 5, asked: 1, slept: 1},
		{name: "far after", works: []time.Duration{100}, exchanges: []time.Duration{50, 500, 50}, together: true, tries: 5, asked: 2, again: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, slept := 0, 0
			s := &Touchstone{
				work:     gauge{take: script(tt.works...), best: 100, more: 1},
				exchange: gauge{take: script(tt.exchanges...), best: 50, more: 24},
				sleep:    func(time.Duration) { slept++ },
			}
			s.Measure(tt.tries, tt.together, func() bool {
				asked++
				return tt.final
			})
			require.Equal(t, []int{tt.asked, tt.again, tt.disturbed, tt.slept}, []int{asked, s.Again, s.Agitated, slept})
		})
	}
}

func TestTouchstoneOfThisMachine(t *testing.T) {
	s := New()
	require.Positive(t, s.work.best)
	require.Positive(t, s.exchange.best)
}

func TestCount(t *testing.T) {
	c := Count{Again: 1, Agitated: 2}
	c.Add(Count{Again: 10, Agitated: 20})
	require.Equal(t, Count{11, 22}, c)
	require.Contains(t, c.Note(4), "up to 3 times: 11 were, and 22 count")
}
