package ratelimit_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"example.com/loopback/ipv4/ratelimit"
	"github.com/stretchr/testify/require"
)

// allowed counts how many of n answers at time now pass.
func allowed(l *ratelimit.Limiter, now time.Duration, n int) (passed int) {
	for range n {
		if l.Allow(now) {
			passed++
		}
	}
	return passed
}

func TestLimiter(t *testing.T) {
	type step struct {
		at   time.Duration
		n    int
		want int
	}
	tests := []struct {
		name  string
		l     ratelimit.Limiter
		steps []step
	}{
		{"defaults: a burst of 50, then one each millisecond", ratelimit.Limiter{}, []step{
			{0, 1000, 50}, {time.Millisecond - 1, 10, 0}, {time.Millisecond, 10, 1}, {5 * time.Millisecond, 10, 4},
		}},
		{"an idle bucket holds no more than the burst", ratelimit.Limiter{}, []step{{0, 50, 50}, {time.Hour, 1000, 50}}},
		{"starts full at any epoch", ratelimit.Limiter{}, []step{{time.Hour, 100, 50}}},
		{"a quiet sender is never limited", ratelimit.Limiter{PerSecond: 10, Burst: 1}, []step{
			{0, 1, 1}, {100 * time.Millisecond, 1, 1}, {200 * time.Millisecond, 1, 1}, {299 * time.Millisecond, 1, 0}, {300 * time.Millisecond, 1, 1},
		}},
		{"a negative rate is no limit", ratelimit.Limiter{PerSecond: -1}, []step{{0, 5000, 5000}}},
		{"a negative burst is 1", ratelimit.Limiter{Burst: -3}, []step{{0, 10, 1}}},
		{"time that runs backwards gives nothing", ratelimit.Limiter{Burst: 2}, []step{
			{time.Second, 5, 2}, {0, 5, 0}, {time.Second + time.Millisecond, 5, 1},
		}},
		{"a rate beyond the clock's resolution", ratelimit.Limiter{PerSecond: math.MaxInt, Burst: 3}, []step{{0, 10, 3}, {1, 10, 1}}},
		{"a burst of ages", ratelimit.Limiter{PerSecond: 1, Burst: math.MaxInt}, []step{{0, 5000, 5000}}},
		{"far future", ratelimit.Limiter{}, []step{{0, 100, 50}, {math.MaxInt64 - 1, 100, 50}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i, s := range tt.steps {
				require.Equal(t, s.want, allowed(&tt.l, s.at, s.n), "step %d at %v", i, s.at)
			}
		})
	}
}

// TestLimiterBound: over any time of d, no more than burst + rate·d pass.
func TestLimiterBound(t *testing.T) {
	l := ratelimit.Limiter{PerSecond: 100, Burst: 7}
	passed := 0
	for ms := range 10_000 {
		passed += allowed(&l, time.Duration(ms)*time.Millisecond, 3)
	}
	require.LessOrEqual(t, passed, 7+1000)
	require.GreaterOrEqual(t, passed, 7+998, "and the rate is used up")
}

func TestLimiterAllocatesNothing(t *testing.T) {
	var l ratelimit.Limiter
	var now time.Duration
	require.Zero(t, testing.AllocsPerRun(100, func() { now += time.Microsecond; l.Allow(now) }))
}

func Example() {
	l := ratelimit.Limiter{PerSecond: 1000, Burst: 2}
	fmt.Println(l.Allow(0), l.Allow(0), l.Allow(0), l.Allow(time.Millisecond))
	// Output: true true false true
}
