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
