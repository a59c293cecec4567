//go:build !race

package sim_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

// A World with one connection, a request and its response takes at most 64 KiB from beginning to end, and few allocations.
func TestWorldAllocations(t *testing.T) {
	for _, x := range []struct {
		name          string
		m             sim.Impairment
		allocs, bytes uint64
	}{
		{"perfect", sim.Impairment{}, 200, 48 << 10},
		{"impaired", sim.Impairment{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond}, 240, 56 << 10},
	} {
		t.Run(x.name, func(t *testing.T) {
			const runs = 100
			var before, after runtime.MemStats
			exchangeOnce(t, sim.NetConfig{Seed: 1}, x.m)
			runtime.ReadMemStats(&before)
			for range runs {
				exchangeOnce(t, sim.NetConfig{Seed: 1}, x.m)
			}
			runtime.ReadMemStats(&after)
			allocs, bytes := (after.Mallocs-before.Mallocs)/runs, (after.TotalAlloc-before.TotalAlloc)/runs
			t.Logf("%d bytes in %d allocations", bytes, allocs)
			require.LessOrEqual(t, allocs, x.allocs)
			require.LessOrEqual(t, bytes, x.bytes)
		})
	}
}
