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
		{"-workloads", "nonsense"}, {"-peers", "nobody"}, {"-procs", "0"}, {"-procs", "x"}, {"-rounds", "-1"}, {"-settle", "-1"}, {"-calm", "0"}, {"extra"}, {"-bad"},
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

// TestSettle: what decides a goal is measured again until chance can hardly have a part in it, and so often at most; another peer begins
// each time.
func TestSettle(t *testing.T) {
	const ours, theirs = report.Ours, "bufconn"
	for _, tt := range []struct {
		name  string
		ratio func(round int) float64 // of ours to theirs
		more  int
	}{
		{"met", func(int) float64 { return 1 }, 0},
		{"missed", func(int) float64 { return 0.9 }, 0},
		{"will be met", func(round int) float64 { return map[bool]float64{true: 0.9, false: 1}[round == 0] }, 6},
		{"nobody knows", func(round int) float64 { return 0.97 + 0.05*float64(round%2*2-1) }, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &report.Report{Rounds: 3}
			var begun []string
			again := func(round int, keys []report.Key) error {
				begun = append(begun, keys[0].Peer)
				for _, k := range keys {
					v := 1000.0
					if k.Peer == ours {
						v *= tt.ratio(round)
					}
					r.Add(round, k, []workload.Result{{N: 1, Metrics: []workload.Metric{{Unit: "req/s", Value: v}}}})
				}
				return nil
			}
			key := func(peer string) report.Key { return report.Key{Workload: "http-16", Procs: 2, Peer: peer} }
			for round := range 3 {
				require.NoError(t, again(round, []report.Key{key(ours), key(theirs)}))
			}
			begun = nil
			require.NoError(t, options{rounds: 3, settle: 20}.settleGoals(r, &bytes.Buffer{}, again))
			require.Len(t, begun, tt.more)
			for i, peer := range begun {
				require.Equal(t, []string{ours, theirs}[i%2], peer)
			}
		})
	}
}

func TestRotate(t *testing.T) {
	key := func(w string, procs int, peer string) report.Key {
		return report.Key{Workload: w, Procs: procs, Peer: peer}
	}
	keys := []report.Key{key("a", 1, "x"), key("a", 1, "y"), key("a", 1, "z"), key("a", 2, "x"), key("b", 2, "x"), key("b", 2, "y")}
	require.Equal(t, keys, rotate(keys, 0))
	require.Equal(t, []report.Key{keys[1], keys[2], keys[0], keys[3], keys[5], keys[4]}, rotate(keys, 1))
	require.Empty(t, rotate(nil, 1))
}
