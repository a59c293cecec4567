package sim

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDelays(t *testing.T) {
	const ms = time.Millisecond
	for _, x := range []struct {
		name string
		m    Impairment
		want []time.Duration
	}{
		{"constant", Impairment{Delay: 20 * ms}, []time.Duration{20 * ms, 21 * ms, 22 * ms, 23 * ms}},
		{"zero", Impairment{}, []time.Duration{0, 1 * ms, 2 * ms, 3 * ms}},
		{"every packet ahead", Impairment{Delay: 20 * ms, Reorder: 1}, []time.Duration{0, 1 * ms, 2 * ms, 3 * ms}},
		{"every third ahead", Impairment{Delay: 20 * ms, Reorder: 1, ReorderGap: 3}, []time.Duration{2 * ms, 20 * ms, 21 * ms, 23 * ms}},
		{"held back without a delay", Impairment{Reorder: 1, ReorderGap: 4}, []time.Duration{0, 1 * ms, 2 * ms, 4 * ms}},
		{"held back for long", Impairment{Reorder: 1, ReorderGap: 3, ReorderBy: 5 * ms}, []time.Duration{0, 1 * ms, 3 * ms, 7 * ms}},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t, ImpairConfig{}, Rule{Impairment: x.m})
			for _, raw := range stream(t, 4, 10) {
				r.send(raw)
				r.wait(ms)
			}
			r.settle()
			require.Equal(t, x.want, r.times())
		})
	}
}

func TestDelaysOfRulesAddUp(t *testing.T) {
	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Delay: 3 * time.Millisecond}},
		Rule{Last: true, Impairment: Impairment{Delay: 4 * time.Millisecond}}, Rule{Impairment: Impairment{Delay: time.Hour}})
	r.send(data(t, 0, 10))
	r.settle()
	require.Equal(t, []time.Duration{7 * time.Millisecond}, r.times(), "the rule behind the last is not seen")
}

func TestJitterDistributions(t *testing.T) {
	const delay, jitter, count = 100 * time.Millisecond, 10 * time.Millisecond, 4000
	for _, x := range []struct {
		name        string
		m           Impairment
		mean, sd    float64 // ms
		least, most float64
	}{
		{"uniform", Impairment{Distribution: Uniform}, 100, 5.77, 90, 110},
		{"normal", Impairment{Distribution: Normal}, 100, 10, 40, 160},
		{"pareto", Impairment{Distribution: Pareto}, 99.5, 7.9, 94, 140.1},
		{"correlated uniform", Impairment{Distribution: Uniform, DelayCorrelation: 0.5}, 100, 3.3, 90, 110},
		{"correlated normal", Impairment{Distribution: Normal, DelayCorrelation: 0.5}, 100, 5.77, 60, 140},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.m.Delay, x.m.Jitter = delay, jitter
			r := newRig(t, ImpairConfig{Seed: 1, LogDelays: true}, Rule{Impairment: x.m})
			raw := data(t, 0, 10)
			for range count {
				r.send(raw)
			}
			r.settle()
			mean, sd := moments(r.times())
			require.InDelta(t, x.mean, mean, 0.6)
			require.InDelta(t, x.sd, sd, 0.8)
			require.GreaterOrEqual(t, r.times()[0].Seconds()*1000, x.least)
			require.LessOrEqual(t, r.times()[count-1].Seconds()*1000, x.most)
			all := r.l.Decisions()
			require.Len(t, all, count)
			require.Equal(t, KindDelay, all[0].Kind)
			require.Positive(t, all[0].Delay)
		})
	}
}

// moments returns mean and standard deviation in milliseconds.
func moments(all []time.Duration) (mean, sd float64) {
	var sum, squares float64
	for _, d := range all {
		v := d.Seconds() * 1000
		sum += v
		squares += v * v
	}
	n := float64(len(all))
	mean = sum / n
	variance := squares/n - mean*mean
	return mean, math.Sqrt(variance)
}

func TestJitterReordersUnlessInOrder(t *testing.T) {
	for _, inOrder := range []bool{false, true} {
		r := newRig(t, ImpairConfig{Seed: 5}, Rule{Impairment: Impairment{Delay: 20 * time.Millisecond, Jitter: 20 * time.Millisecond, InOrder: inOrder}})
		sent := stream(t, 100, 10)
		for _, raw := range sent {
			r.send(raw)
			r.wait(time.Millisecond)
		}
		r.settle()
		require.Equal(t, inOrder, bytes.Equal(payloads(t, sent), payloads(t, r.raws())))
		require.Len(t, r.got, 100)
	}
}

// reorderings sends count packets of a flow with the impairment, far enough apart that none waits for another, and
// returns the numbers of those that were sent at once.
func reorderings(t *testing.T, m Impairment, count int) []int {
	t.Helper()
	r := newRig(t, ImpairConfig{Seed: 11, Log: count}, Rule{Impairment: m})
	raw := data(t, 0, 10)
	var ahead []int
	for k := range count {
		before := len(r.got)
		r.send(raw)
		if len(r.got) > before {
			ahead = append(ahead, k+1)
		}
		r.wait(m.Delay)
		require.Len(t, r.got, k+1, "the others are delayed by as much as ever")
	}
	all := r.l.Decisions()
	require.Len(t, all, len(ahead))
	for k, d := range all {
		require.Equal(t, KindReorder, d.Kind)
		require.EqualValues(t, ahead[k], d.Packet)
		require.Zero(t, d.Delay, "it does not wait")
	}
	require.EqualValues(t, len(ahead), r.l.Stats().Decisions[KindReorder])
	r.settle()
	return ahead
}

// As with netem, gap-1 packets are delayed after each that went ahead; then one after the other may go, until one does.
func TestReorderingWithGap(t *testing.T) {
	const count = 20000
	for _, x := range []struct {
		name     string
		m        Impairment
		share    float64 // of the packets that may go ahead
		within   float64
		together float64 // share of those that may, after one that did: without correlation the same
	}{
		{"every packet may", Impairment{Reorder: 0.25}, 0.25, 0.01, 0.25},
		{"a gap of one is none", Impairment{Reorder: 0.25, ReorderGap: 1}, 0.25, 0.01, 0.25},
		{"gap", Impairment{Reorder: 0.5, ReorderGap: 5}, 0.5, 0.02, 0.5},
		{"rare", Impairment{Reorder: 0.1, ReorderGap: 3}, 0.1, 0.01, 0.1},
		{"always", Impairment{Reorder: 1, ReorderGap: 5}, 1, 0, 1},
		// Each draw is the mean of a uniform one and the draw before, so it is below 0.3 in 13 % of the cases (see
		// TestLossRates), and more often when the one before was.
		{"correlated", Impairment{Reorder: 0.3, ReorderCorrelation: 0.5}, 0.13, 0.02, 0.39},
		{"correlated with gap", Impairment{Reorder: 0.3, ReorderCorrelation: 0.5, ReorderGap: 4}, 0.13, 0.02, 0.39},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.m.Delay = 20 * time.Millisecond
			gap := max(x.m.ReorderGap, 1)
			ahead := reorderings(t, x.m, count)
			require.GreaterOrEqual(t, ahead[0], gap)
			chances, soonest := ahead[0]-gap+1, 0
			for k := 1; k < len(ahead); k++ {
				distance := ahead[k] - ahead[k-1]
				require.GreaterOrEqual(t, distance, gap, "packet %d went ahead within the gap", ahead[k])
				chances += distance - gap + 1
				if distance == gap {
					soonest++
				}
			}
			require.InDelta(t, x.share, float64(len(ahead))/float64(chances), x.within)
			require.InDelta(t, x.together, float64(soonest)/float64(len(ahead)-1), 3*x.within)
		})
	}
}

func TestFlowsHaveGapsOfTheirOwn(t *testing.T) {
	const ms = time.Millisecond
	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Delay: 20 * ms, Reorder: 1, ReorderGap: 3}})
	for k := range byte(6) {
		r.send(datagram(t, hostA, hostB, 1, 9, []byte{'a', k}), datagram(t, hostA6, hostB6, 1, 9, []byte{'b', k}))
	}
	require.Equal(t, []byte{'a', 2, 'b', 2, 'a', 5, 'b', 5}, payloads(t, r.raws()))
	r.settle()
	require.Len(t, r.got, 12)
}
