package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCalm: a measurement is made again as long as the work before or after it takes long, but not for ever.
func TestCalm(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		works                   []time.Duration // before and after each try, the last for ever
		tries                   int
		answer                  answer
		asked, again, disturbed int
	}{
		{"calm", []time.Duration{100, 100}, 5, answer{}, 1, 0, 0},
		{"nearly calm", []time.Duration{112, 112}, 5, answer{}, 1, 0, 0},
		{"agitated before, and not asked after", []time.Duration{113, 100}, 5, answer{}, 2, 1, 0},
		{"agitated after", []time.Duration{100, 200, 100, 150, 100}, 5, answer{}, 3, 2, 0},
		{"always agitated", []time.Duration{200}, 5, answer{}, 5, 4, 1},
		{"faster than ever", []time.Duration{90, 102, 90}, 5, answer{}, 2, 1, 0},
		{"not wanted", []time.Duration{200}, 1, answer{}, 1, 0, 0},
		{"an error", []time.Duration{200}, 5, answer{Error: "refused"}, 1, 0, 0},
		{"not supported", []time.Duration{200}, 5, answer{Unsupported: true}, 1, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, asked := 0, 0
			s := &touchstone{best: 100, work: func() time.Duration {
				i++
				return tt.works[min(i, len(tt.works))-1]
			}}
			require.Equal(t, tt.answer, s.measure(tt.tries, func() answer {
				asked++
				return tt.answer
			}))
			require.Equal(t, []int{tt.asked, tt.again, tt.disturbed}, []int{asked, s.again, s.agitated})
		})
	}
	require.Positive(t, newTouchstone().best)
}
