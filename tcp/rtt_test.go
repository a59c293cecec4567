package tcp

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// roundTrips feeds samples that are one round trip apart each.
func roundTrips(r *RTT, lim RTOLimits, samples ...time.Duration) {
	nxt := r.end
	for _, m := range samples {
		r.Sample(m, nxt.Add(1), nxt.Add(1000), lim)
		nxt = nxt.Add(1000)
	}
}

func TestRTTInitially(t *testing.T) {
	var r RTT
	require.False(t, r.Known())
	require.Equal(t, time.Second, r.RTO(RTOLimits{}), "RFC 6298 2.1")
	require.Equal(t, 250*ms, r.RTO(RTOLimits{Init: 250 * ms}))
	require.Equal(t, 100*ms, r.RTO(RTOLimits{Max: 100 * ms}))
	require.Zero(t, r.SRTT())
	require.Zero(t, r.Var())
	require.Equal(t, 3*time.Second, RTOFallback, "RFC 6298 5.7")
}

func TestRTTSamples(t *testing.T) {
	tests := []struct {
		name           string
		lim            RTOLimits
		samples        []time.Duration // one in each round trip
		srtt, dev, rto time.Duration
	}{
		// SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 × RTTVAR = 3 × R (2.2).
		{"first", RTOLimits{}, []time.Duration{100 * ms}, 100 * ms, 50 * ms, 300 * ms},
		{"first, short: 200 ms above SRTT", RTOLimits{}, []time.Duration{10 * ms}, 10 * ms, 5 * ms, 210 * ms},
		{"first, short, with the floor of RFC 6298", RTOLimits{Min: time.Second}, []time.Duration{10 * ms}, 10 * ms, 5 * ms, 1010 * ms},
		{"first, shorter than our clock", RTOLimits{}, []time.Duration{1}, time.Microsecond, 0, 200*ms + time.Microsecond},
		{"first, not positive", RTOLimits{}, []time.Duration{-5}, time.Microsecond, 0, 200*ms + time.Microsecond},
		{"first, long: the ceiling", RTOLimits{}, []time.Duration{time.Minute}, time.Minute, 30 * time.Second, 120 * time.Second},
		{"another ceiling", RTOLimits{Max: 60 * time.Second}, []time.Duration{time.Minute}, time.Minute, 30 * time.Second, time.Minute},
		// SRTT = 7/8 × 100 + 1/8 × 200; RTTVAR = 3/4 × 50 + 1/4 × |100 - 200| (2.3).
		{"longer", RTOLimits{}, []time.Duration{100 * ms, 200 * ms}, 112500 * time.Microsecond, 62500 * time.Microsecond, 362500 * time.Microsecond},
		// The deviation of 90 ms exceeds RTTVAR by 40 ms, of which 1/4 × 1/8 counts, downwards.
		{"shorter: hardly more variance", RTOLimits{}, []time.Duration{100 * ms, 10 * ms},
			88750 * time.Microsecond, 51250 * time.Microsecond, 88750*time.Microsecond + 205*ms},
		{"the same again", RTOLimits{}, []time.Duration{100 * ms, 100 * ms}, 100 * ms, 37500 * time.Microsecond, 300 * ms},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r RTT
			roundTrips(&r, tt.lim, tt.samples...)
			require.True(t, r.Known())
			require.Equal(t, tt.srtt, r.SRTT())
			require.Equal(t, tt.dev, r.Var())
			require.Equal(t, tt.rto, r.RTO(tt.lim))
		})
	}
}

// TestRTTAgainstRFC runs the plain filter of RFC 6298 §2.3 in floating point beside ours. They agree on
// SRTT always, and on RTTVAR as long as round trips do not become shorter.
func TestRTTAgainstRFC(t *testing.T) {
	check := func(seed uint64) bool {
		rng := rand.New(rand.NewPCG(seed, 1))
		var r RTT
		var srtt, rttvar float64
		m := 1000 + rng.Float64()*1000
		for i := range 200 {
			m += rng.Float64() * 500
			us := math.Floor(m)
			if i == 0 {
				srtt, rttvar = us, us/2
			} else {
				rttvar += (math.Abs(srtt-us) - rttvar) / 4
				srtt += (us - srtt) / 8
			}
			roundTrips(&r, RTOLimits{}, time.Duration(us)*time.Microsecond)
			if d := float64(r.SRTT().Microseconds()) - srtt; math.Abs(d) > 2 {
				return false
			}
			if d := float64(r.Var().Microseconds()) - rttvar; math.Abs(d) > 4 {
				return false
			}
		}
		return true
	}
	require.NoError(t, quick.Check(check, nil))
}

// TestRTTManySamples: a hundred samples in one round trip make the variance rise at once, but fall only
// by a quarter per round trip (RFC 7323 appendix G).
func TestRTTManySamples(t *testing.T) {
	lim := RTOLimits{Min: 10 * ms}
	var r RTT
	r.Sample(100*ms, 1, 1000, lim)
	require.Equal(t, 300*ms, r.RTO(lim))
	for range 100 {
		r.Sample(100*ms, 500, 1000, lim) // all of the first round trip
	}
	require.Zero(t, r.Var(), "the deviation has faded")
	require.Equal(t, 300*ms, r.RTO(lim), "the timeout has not")

	r.Sample(100*ms, 1000, 2000, lim)
	require.Equal(t, 300*ms, r.RTO(lim), "SND.UNA must get beyond the end of the round trip")
	r.Sample(100*ms, 1001, 3000, lim)
	require.Equal(t, 300*ms, r.RTO(lim), "the largest deviation of the first round trip was the first one")
	r.Sample(100*ms, 3001, 4000, lim)
	// A quarter of the way from 200 ms down to the floor of 10 ms.
	require.Equal(t, 100*ms+152500*time.Microsecond, r.RTO(lim))
	for i := range Seq(100) {
		r.Sample(100*ms, 4001+i*1000, 5000+i*1000, lim)
	}
	require.InDelta(t, float64(110*ms), float64(r.RTO(lim)), float64(10*time.Microsecond), "down to the floor")

	r.Sample(300*ms, 0, 0, lim)
	require.Greater(t, r.RTO(lim), 300*ms, "one outlier counts at once")
}

// TestRTTBounds: whatever is measured, the estimate lies within the samples and the timeout within the
// limits.
func TestRTTBounds(t *testing.T) {
	lim := RTOLimits{}
	check := func(samples []int64) bool {
		var r RTT
		lo, hi := time.Duration(math.MaxInt64), time.Duration(0)
		for _, m := range samples {
			d := time.Duration(m)
			roundTrips(&r, lim, d)
			d = min(max(d, time.Microsecond), maxSample*time.Microsecond)
			lo, hi = min(lo, d), max(hi, d)
			rto := r.RTO(lim)
			if r.SRTT() < lo-time.Microsecond || r.SRTT() > hi || rto < DefaultRTOMin || rto > DefaultRTOMax {
				return false
			}
		}
		return true
	}
	require.NoError(t, quick.Check(check, &quick.Config{MaxCount: 300}))
}

func TestRTTReset(t *testing.T) {
	var r RTT
	roundTrips(&r, RTOLimits{}, time.Second, 2*time.Second)
	r.Reset()
	require.Equal(t, RTT{}, r)
	require.Equal(t, DefaultRTOInit, r.RTO(RTOLimits{}))
}

func TestBackoff(t *testing.T) {
	tests := []struct {
		name string
		rto  time.Duration
		n    int
		lim  RTOLimits
		want time.Duration
	}{
		{"none", 300 * ms, 0, RTOLimits{}, 300 * ms},
		{"once", 300 * ms, 1, RTOLimits{}, 600 * ms},
		{"nine times", 200 * ms, 9, RTOLimits{}, 102400 * ms},
		{"the ceiling", 200 * ms, 10, RTOLimits{}, 120 * time.Second},
		{"the ceiling for ever", 200 * ms, 1 << 40, RTOLimits{}, 120 * time.Second},
		{"a lower ceiling", 200 * ms, 3, RTOLimits{Max: time.Second}, time.Second},
		{"already above it", 5 * time.Second, 0, RTOLimits{Max: time.Second}, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, Backoff(tt.rto, tt.n, tt.lim))
		})
	}
}

func TestMinRTT(t *testing.T) {
	const window = 10 * time.Second
	type sample struct{ at, m time.Duration }
	tests := []struct {
		name    string
		samples []sample
		want    time.Duration
	}{
		{"none", nil, 0},
		{"one", []sample{{time.Second, 30 * ms}}, 30 * ms},
		{"zero counts as the least there is", []sample{{time.Second, 0}}, 1},
		{"the smaller", []sample{{0, 30 * ms}, {1 * time.Second, 20 * ms}, {2 * time.Second, 40 * ms}}, 20 * ms},
		{"kept over the half", []sample{{0, 20 * ms}, {6 * time.Second, 40 * ms}}, 20 * ms},
		{"kept until the window is over", []sample{{0, 20 * ms}, {6 * time.Second, 40 * ms}, {9999 * ms, 50 * ms}}, 20 * ms},
		{"gone when it is", []sample{{0, 20 * ms}, {6 * time.Second, 40 * ms}, {10 * time.Second, 50 * ms}}, 40 * ms},
		{"gone after a pause", []sample{{0, 20 * ms}, {10 * time.Second, 50 * ms}}, 50 * ms},
		{"smaller in the second half", []sample{{0, 20 * ms}, {6 * time.Second, 10 * ms}}, 10 * ms},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f MinRTT
			for _, s := range tt.samples {
				f.Sample(100*time.Second+s.at, s.m, window)
			}
			require.Equal(t, tt.want, f.Get())
		})
	}
	t.Run("a window of nothing is the latest sample", func(t *testing.T) {
		var f MinRTT
		f.Sample(5, 20*ms, 0)
		f.Sample(5, 30*ms, 0)
		require.Equal(t, 30*ms, f.Get())
	})
}

// TestMinRTTProperty: the result is never above the minimum of the last half window, and never below
// that of the whole one.
func TestMinRTTProperty(t *testing.T) {
	const window = 1000
	check := func(seed uint64) bool {
		rng := rand.New(rand.NewPCG(seed, 2))
		var f MinRTT
		type sample struct{ at, m time.Duration }
		var all []sample
		now := time.Duration(rng.IntN(5000))
		for range 300 {
			now += time.Duration(rng.IntN(200))
			m := time.Duration(1 + rng.IntN(1000))
			f.Sample(now, m, window)
			all = append(all, sample{now, m})
			half, whole := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			for _, s := range all {
				if now-s.at < window/2 {
					half = min(half, s.m)
				}
				if now-s.at <= window {
					whole = min(whole, s.m)
				}
			}
			if f.Get() > half || f.Get() < whole {
				return false
			}
		}
		return true
	}
	require.NoError(t, quick.Check(check, nil))
}

func TestRTTAllocatesNothing(t *testing.T) {
	var r RTT
	var f MinRTT
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.Sample(100*ms, 5, 10, RTOLimits{})
		f.Sample(5, 100*ms, time.Second)
		Backoff(r.RTO(RTOLimits{}), 3, RTOLimits{})
	}))
}

func BenchmarkRTTSample(b *testing.B) {
	var r RTT
	var una Seq
	for b.Loop() {
		r.Sample(100*ms, una, una+10, RTOLimits{})
		una++
	}
}
