package workload_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/benchmarks/workload"
)

// TestEveryWorkloadOnEveryPeer runs each once, shortly, and checks that the numbers are numbers.
func TestEveryWorkloadOnEveryPeer(t *testing.T) {
	for _, w := range workload.All() {
		if w.Weight != workload.Quick {
			continue
		}
		t.Run(w.Name, func(t *testing.T) {
			measured := 0
			for _, peer := range w.PeerNames() {
				results, err := workload.Measure(w, &workload.Env{Peer: peer, Time: time.Millisecond})
				if errors.Is(err, errors.ErrUnsupported) {
					continue
				}
				require.NoError(t, err, peer)
				require.NotEmpty(t, results, peer)
				measured++
				for _, r := range results {
					require.Positive(t, r.N, peer)
					require.NotEmpty(t, r.Metrics, peer)
					require.Positive(t, r.Metrics[0].Value, "%s %s", peer, r.Params)
				}
			}
			if w.Name != "bulk-csum" {
				require.Positive(t, measured)
			}
		})
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := make(map[string]bool)
	for _, w := range workload.All() {
		require.False(t, seen[w.Name], w.Name)
		seen[w.Name] = true
		require.NotEmpty(t, w.Title)
		require.NotEmpty(t, w.About)
		require.NotEmpty(t, w.Procs)
		require.True(t, (w.Start == nil) != (w.Once == nil), "%s has one way to measure", w.Name)
		found, err := workload.Find(w.Name)
		require.NoError(t, err)
		require.Equal(t, w.Title, found.Title)
	}
	_, err := workload.Find("no such")
	require.Error(t, err)
}

func TestUnitsKnowTheirDirection(t *testing.T) {
	require.True(t, workload.HigherIsBetter("MB/s"))
	require.True(t, workload.HigherIsBetter("pkt/s"))
	require.False(t, workload.HigherIsBetter("ns/op"))
	require.False(t, workload.HigherIsBetter("allocs/op"))
}
