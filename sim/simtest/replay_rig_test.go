package simtest_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/sim/simtest"
)

// bad is the network of the proofs.
var bad = sim.Impairment{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.05, Duplicate: 0.02, Reorder: 0.02}

// star makes count clients with bad links to a server.
func star(n *sim.Net, count int) (server *sim.Host, clients []*sim.Host) {
	server = n.Host("server")
	for i := range count {
		c := n.Host(fmt.Sprintf("client%d", i))
		n.Link(c, server, bad)
		clients = append(clients, c)
	}
	return server, clients
}

// program is one that is run again and again with one seed.
type program func(t *testing.T, n *sim.Net)

// replayRuns is how often: as often as the environment says, for the proofs of the README.
func replayRuns(t *testing.T) int {
	if s := os.Getenv("LOOPBACK_REPLAY"); s != "" {
		runs, err := strconv.Atoi(s)
		require.NoError(t, err)
		return runs
	}
	if testing.Short() {
		return 3
	}
	return 20
}

// replay requires that all runs of f, on however many processors, send the same bytes at the same times.
func replay(t *testing.T, f program) {
	t.Helper()
	hashes := map[string]int{}
	for _, procs := range []int{1, 2, 8} {
		repeat(t, procs, simtest.Config{}, f, hashes)
		require.Len(t, hashes, 1)
	}
	differs(t, f)
}

// repeat runs f on so many processors and counts the recordings by their hashes.
func repeat(t *testing.T, procs int, cfg simtest.Config, f program, hashes map[string]int) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
	cfg.Seed = 42
	here := map[string]int{}
	hash, packets, runs := "", 0, replayRuns(t)
	for range runs {
		simtest.RunSeed(t, cfg, func(t *testing.T, n *sim.Net) {
			f(t, n)
			time.Sleep(time.Hour) // until there is nothing left to be sent
			hash, packets = fmt.Sprintf("%x", n.Recording().Hash()), n.Recording().Len()
		})
		if t.Failed() {
			t.FailNow()
		}
		here[hash]++
		hashes[hash]++
	}
	how := fmt.Sprint("GOMAXPROCS ", procs)
	if cfg.OneProcessor {
		how = "OneProcessor"
	}
	t.Logf("%s: %d distinct hashes in %d runs of %d packets; the last %.16s", how, len(here), runs, packets, hash)
}

// differs requires that another seed is another run.
func differs(t *testing.T, f program) {
	t.Helper()
	var hashes [2][32]byte
	for i := range hashes {
		cfg := simtest.Config{NetConfig: sim.NetConfig{Seed: uint64(42 + i)}}
		simtest.RunSeed(t, cfg, func(t *testing.T, n *sim.Net) { f(t, n); synctest.Wait(); hashes[i] = n.Recording().Hash() })
	}
	require.NotEqual(t, hashes[0], hashes[1])
}
