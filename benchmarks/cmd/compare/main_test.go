package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/benchmarks/calm"
	"example.com/loopback/benchmarks/report"
	"example.com/loopback/benchmarks/workload"
)

// TestMain lets this test binary stand in for the command when a test measures: the children are
// started from the same file.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], childPrefix) {
		os.Exit(child(strings.TrimPrefix(os.Args[1], childPrefix), os.Stdout))
	}
	os.Exit(m.Run())
}

// TestCompare measures a little and writes every kind of file.
func TestCompare(t *testing.T) {
	dir := t.TempDir()
	md, svg, bench := filepath.Join(dir, "t.md"), filepath.Join(dir, "t.svg"), filepath.Join(dir, "t.txt")
	var out, errs bytes.Buffer
	require.NoError(t, run(t.Context(), []string{
		"-rounds", "2", "-time", "2ms", "-calm", "2", "-workloads", "rtt,ring,new-stack", "-peers", "floor,loopback,mutex",
		"-md", md, "-svg", svg, "-bench", bench, "-profiles", dir,
	}, &out, &errs), errs.String())
	require.Contains(t, out.String(), "TCP round trip, 64 bytes (lower is better)")
	require.Contains(t, out.String(), "up to 1 times")
	require.Contains(t, out.String(), "floor")
	require.Contains(t, out.String(), "mutex")
	require.NotContains(t, out.String(), "kernel  ", "not asked for")
	for _, name := range []string{md, svg, bench, filepath.Join(dir, "rtt.loopback.p2.2.prof")} {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NotEmpty(t, b, name)
	}
	b, err := os.ReadFile(bench)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(b), "BenchmarkRtt/peer=loopback-2 "), "one line a round")
}

func TestFlags(t *testing.T) {
	for _, bad := range [][]string{
		{"-workloads", "nonsense"}, {"-peers", "nobody"}, {"-procs", "0"}, {"-procs", "x"}, {"-rounds", "-1"}, {"-calm", "0"}, {"extra"}, {"-bad"},
	} {
		var out, errs bytes.Buffer
		require.Error(t, run(t.Context(), bad, &out, &errs), "%q", bad)
	}
	var out, errs bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-list"}, &out, &errs))
	for _, w := range workload.All() {
		require.Contains(t, out.String(), w.Name)
	}
}

func TestDefaults(t *testing.T) {
	o, err := parse(nil, &bytes.Buffer{})
	require.NoError(t, err)
	require.Equal(t, 5, o.rounds)
	require.Equal(t, 300*time.Millisecond, o.time)
	plan, err := o.plan()
	require.NoError(t, err)
	require.Len(t, plan, len(workload.All())-1, "all but the million")

	o, err = parse([]string{"-quick"}, &bytes.Buffer{})
	require.NoError(t, err)
	quick, err := o.plan()
	require.NoError(t, err)
	require.Less(t, len(quick), len(plan))
	require.Less(t, o.rounds, 5)
}

func TestEveryPeerBeginsOnce(t *testing.T) {
	o := options{peers: []string{"kernel", "bufconn", "floor"}}
	w, err := workload.Find("rtt")
	require.NoError(t, err)
	first := make(map[string]bool)
	for round := range 3 {
		keys := o.cells(w, round)
		require.Len(t, keys, 6, "three peers at two values of GOMAXPROCS")
		first[keys[0].Peer] = true
	}
	require.Len(t, first, 3)
}

func TestChildReportsErrors(t *testing.T) {
	for asked, check := range map[string]func(answer) bool{
		`{"Workload":"rtt","Peer":"vnet","Time":1000}`:  func(a answer) bool { return a.Unsupported },
		`{"Workload":"no","Peer":"kernel"}`:             func(a answer) bool { return a.Error != "" },
		`{"Workload":"rtt","Peer":"no"}`:                func(a answer) bool { return a.Error != "" },
		`nonsense`:                                      func(a answer) bool { return a.Error != "" },
		`{"Workload":"rtt","Peer":"floor","Time":1000}`: func(a answer) bool { return len(a.Results) == 1 },
	} {
		var out bytes.Buffer
		require.Zero(t, child(asked, &out))
		var a answer
		require.NoError(t, json.Unmarshal(out.Bytes(), &a))
		require.True(t, check(a), "%s: %+v", asked, a)
	}
}

func TestOnlyPartsOfManyLookForCalmThemselves(t *testing.T) {
	asked := 0
	once := func() answer {
		asked++
		return answer{Error: "refused", Count: calm.Count{Again: 3, Agitated: 1}}
	}
	stone := calm.New()
	a := options{calm: 4}.calmly(stone, workload.Workload{Weight: workload.Slow}, report.Key{}, once)
	require.Equal(t, "refused", a.Error)
	require.Equal(t, calm.Count{Again: 3, Agitated: 1}, stone.Count, "what the child counted is added")
	options{calm: 4}.calmly(stone, workload.Workload{}, report.Key{}, once)
	require.Equal(t, calm.Count{Again: 3, Agitated: 1}, stone.Count, "an error is not repeated, and the child does not count")
	options{}.calmly(nil, workload.Workload{}, report.Key{}, once)
	require.Equal(t, 3, asked)
}
