package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/benchmarks/report"
	"example.com/loopback/benchmarks/workload"
)

// sample is a report with numbers that can be checked by head.
func sample() *report.Report {
	r := &report.Report{
		Machine: report.Machine{CPU: "Test <CPU>", Cores: 2, OS: "linux", Arch: "amd64", Go: "go1.26",
			Date: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)},
		Rounds: 3, Time: time.Second,
	}
	add := func(w, peer string, procs int, unit string, values ...float64) {
		for round, v := range values {
			r.Add(round, report.Key{Workload: w, Procs: procs, Peer: peer},
				[]workload.Result{{N: 10, Metrics: []workload.Metric{{Unit: unit, Value: v}, {Unit: "allocs/op", Value: 0}}}})
		}
	}
	add("rtt", "loopback", 1, "ns/op", 900, 1000, 1200)
	add("rtt", "kernel", 1, "ns/op", 20_000, 19_000, 21_000)
	add("rtt", "bufconn", 1, "ns/op", 500, 500, 500)
	add("udp-64", "loopback", 1, "pkt/s", 6e6, 5e6)
	add("udp-64", "kernel", 1, "pkt/s", 2e6, 3e6)
	return r
}

func TestSummaries(t *testing.T) {
	r := sample()
	s, ok := r.Get(report.Key{Workload: "rtt", Procs: 1, Peer: "loopback"}, "ns/op")
	require.True(t, ok)
	require.Equal(t, report.Summary{N: 3, Median: 1000, Min: 900, Max: 1200}, s)
	require.InDelta(t, 0.15, s.Spread(), 1e-9)
	s, _ = r.Get(report.Key{Workload: "udp-64", Procs: 1, Peer: "kernel"}, "pkt/s")
	require.InDelta(t, 2.5e6, s.Median, 0, "an even number of rounds: between the middle two")
	_, ok = r.Get(report.Key{Workload: "rtt", Procs: 2, Peer: "loopback"}, "ns/op")
	require.False(t, ok)
}

func TestTablesAndRatios(t *testing.T) {
	tables := sample().Tables()
	require.Len(t, tables, 2)
	rtt, udp := tables[0], tables[1]
	require.Equal(t, "rtt", rtt.Workload.Name)
	var peers []string
	for _, row := range rtt.Rows {
		peers = append(peers, row.Peer)
	}
	require.Equal(t, []string{"kernel", "bufconn", "loopback"}, peers, "in the order of the peers, not of the rounds")
	require.InDelta(t, 19, rtt.Rows[0].Cells[0].Ratio, 1e-9, "time: theirs by ours, of 22, 19 and 17.5 in the rounds")
	require.InDelta(t, 0.5, rtt.Rows[1].Cells[0].Ratio, 1e-9)
	require.InDelta(t, 2/(2.0/6+3.0/5), udp.Rows[0].Cells[0].Ratio, 1e-9, "rate: ours by theirs")
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	ours := report.Key{Workload: "http-16", Procs: 2, Peer: report.Ours}
	theirs := report.Key{Workload: "http-16", Procs: 2, Peer: "bufconn"}
	var r report.Report
	add := func(round int, k report.Key, v float64) {
		r.Add(round, k, []workload.Result{{N: 1, Metrics: []workload.Metric{{Unit: "req/s", Value: v}}}})
	}
	_, ok := r.Ratio(ours, theirs, "req/s")
	require.False(t, ok, "nothing was measured")
	add(0, ours, 100)
	_, ok = r.Ratio(ours, theirs, "req/s")
	require.False(t, ok, "the other was not")
	add(1, theirs, 50)
	_, ok = r.Ratio(ours, theirs, "req/s")
	require.False(t, ok, "not in the same round")
	// A machine that is twice as fast in some rounds, whoever's turn it is; one measurement of each failed.
	add(1, ours, 51)
	add(2, ours, 99)
	add(2, theirs, 101)
	add(3, theirs, 100)
	x, ok := r.Ratio(ours, theirs, "req/s")
	require.True(t, ok)
	require.InDelta(t, (51.0/50+99.0/101)/2, x, 1e-9)
}

func TestVerdicts(t *testing.T) {
	met := make(map[string]bool)
	for _, v := range sample().Verdicts() {
		met[v.Goal] = v.Met
	}
	require.Equal(t, map[string]bool{
		"round trip ≤ 1.5 × bufconn, P=1":      false, // twice, in the round in the middle
		"round trip ≤ 1/15 of the kernel, P=1": true,  // 19 times as fast
		"round trip: 0 allocs, P=1":            true,
		"UDP 64 B ≥ 5 M/s, P=1":                true,
		"UDP 64 B: 0 allocs, P=1":              true,
	}, met, "what was not measured is not judged")
}

// TestUndecided: what is open is whether a limit is kept, of those who are compared with whom.
func TestUndecided(t *testing.T) {
	around := func(x float64) []float64 {
		return []float64{x - 0.04, x - 0.03, x - 0.02, x - 0.01, x, x + 0.01, x + 0.02, x + 0.03, x + 0.04}
	}
	for _, tt := range []struct {
		name           string
		workload, unit string
		ratios         map[string][]float64 // of ours to the peer's
		open           []string
	}{
		{"nothing measured", "http-1", "req/s", nil, nil},
		{"met", "http-1", "req/s", map[string][]float64{"bufconn": around(1.01), "fasthttputil": around(1.2)}, nil},
		{"missed", "http-1", "req/s", map[string][]float64{"bufconn": around(0.93)}, nil},
		{"open", "http-1", "req/s", map[string][]float64{"bufconn": around(0.999)}, []string{"loopback", "bufconn"}},
		{"open with one", "http-1", "req/s", map[string][]float64{"net.Pipe": around(1.2), "fasthttputil": around(0.95)}, []string{"loopback", "fasthttputil"}},
		{"missed with another", "http-1", "req/s", map[string][]float64{"bufconn": around(0.99), "fasthttputil": around(0.9)}, nil},
		{"a time, open", "rtt", "ns/op", map[string][]float64{"bufconn": around(1.48), "kernel": {0.05, 0.06, 0.05, 0.04, 0.05, 0.05, 0.05, 0.05, 0.05}}, []string{"loopback", "bufconn"}},
		{"a time, met", "rtt", "ns/op", map[string][]float64{"bufconn": around(1.4)}, nil},
		{"a time, missed", "rtt", "ns/op", map[string][]float64{"bufconn": around(1.6)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r report.Report
			add := func(round int, peer string, v float64) {
				r.Add(round, report.Key{Workload: tt.workload, Procs: 1, Peer: peer}, []workload.Result{{N: 1, Metrics: []workload.Metric{{Unit: tt.unit, Value: v}}}})
			}
			for peer, ratios := range tt.ratios {
				for round, x := range ratios {
					add(round, peer, 1000/x)
					add(round, report.Ours, 1000)
				}
			}
			var open []string
			for _, k := range r.Undecided() {
				open = append(open, k.Peer)
			}
			require.Equal(t, tt.open, open)
		})
	}
}

// TestVerdictOfMoreRounds: who measured more often than the rest says between what the ratio lies.
func TestVerdictOfMoreRounds(t *testing.T) {
	for _, rounds := range []int{9, 8} {
		r := report.Report{Rounds: rounds, Settle: 5}
		for round := range 9 {
			for p, v := range map[string]float64{"bufconn": 1000, report.Ours: 960 + float64(10*round)} {
				r.Add(round, report.Key{Workload: "http-1", Procs: 1, Peer: p}, []workload.Result{{N: 1, Metrics: []workload.Metric{{Unit: "req/s", Value: v}}}})
			}
		}
		require.Equal(t, []report.Verdict{{Goal: "HTTP, 1 client ≥ 0.97 × the best in memory, P=1",
			Got: map[int]string{9: "1.00 ×", 8: "1.000 × (0.970 to 1.030)"}[rounds], Met: true}}, r.Verdicts())
		var md bytes.Buffer
		require.NoError(t, r.Markdown(&md))
		require.Contains(t, md.String(), "up to 5 more rounds")
	}
}

func TestGrowthAndScaling(t *testing.T) {
	var r report.Report
	add := func(w, params string, procs int, metrics ...workload.Metric) {
		r.Add(0, report.Key{Workload: w, Procs: procs, Peer: report.Ours},
			[]workload.Result{{Params: params, N: 1, Metrics: metrics}})
	}
	ns := func(v float64) workload.Metric { return workload.Metric{Unit: "ns/op", Value: v} }
	mbs := func(v float64) workload.Metric { return workload.Metric{Unit: "MB/s", Value: v} }
	add("growth", "others=1", 2, ns(1000), mbs(1000))
	add("growth", "others=1000", 2, ns(1090), mbs(850))
	add("flows-bulk-2", "", 1, mbs(1000))
	add("flows-bulk-2", "", 2, mbs(1850))
	verdicts := r.Verdicts()
	require.Len(t, verdicts, 3)
	require.True(t, verdicts[0].Met, verdicts[0])
	require.False(t, verdicts[1].Met, verdicts[1])
	require.True(t, verdicts[2].Met, verdicts[2])
}

func TestMarkdown(t *testing.T) {
	var out bytes.Buffer
	r := sample()
	r.Failures = []report.Failure{{Key: report.Key{Workload: "churn", Peer: "kernel", Procs: 2}, Why: "no ports"}}
	require.NoError(t, r.Markdown(&out))
	md := out.String()
	require.Contains(t, md, "Test <CPU>, 2 cores, linux/amd64, go1.26, 2026-01-02 03:04 UTC")
	require.Contains(t, md, "| kernel | 20.0 µs ±5 % | 19.0 × | 0 |\n")
	require.Contains(t, md, "| loopback | 1.00 µs ±15 % |  | 0 |\n")
	require.Contains(t, md, "| loopback | 5.50 M ±9 % |  | 0 |\n")
	require.Contains(t, md, "| round trip ≤ 1.5 × bufconn, P=1 | 2.00 × | **missed** |\n")
	require.Contains(t, md, "- churn, kernel, P=2: no ports\n")
	for _, line := range strings.Split(md, "\n") {
		if strings.HasPrefix(line, "|---") {
			require.Contains(t, []int{4, 5}, strings.Count(line, "|"), line)
		}
	}
}

func TestSVGIsXML(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, sample().SVG(&out))
	d := xml.NewDecoder(&out)
	bars, texts := 0, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			switch e.Name.Local {
			case "rect":
				bars++
			case "text":
				texts++
			}
		}
	}
	require.Equal(t, 1+5, bars, "the background and one bar for each measured cell")
	require.Greater(t, texts, 10)
}

func TestBenchstatFormat(t *testing.T) {
	var out bytes.Buffer
	r := sample()
	r.Add(0, report.Key{Workload: "ring", Procs: 2, Peer: "mutex"},
		[]workload.Result{{Params: "on=same/batch=1", N: 5, Metrics: []workload.Metric{{Unit: "ns/op", Value: 12.5}}}})
	require.NoError(t, r.Benchstat(&out))
	require.Contains(t, out.String(), "goos: linux\ngoarch: amd64\n")
	require.Contains(t, out.String(), "\nUnit pkt/s better=higher\n")
	require.Contains(t, out.String(), "\nBenchmarkRtt/peer=kernel 10 20000 ns/op 0 allocs/op\n")
	require.Contains(t, out.String(), "\nBenchmarkRing/on=same/batch=1/peer=mutex-2 5 12.5 ns/op\n")
}

func TestWriteErrorsAreReported(t *testing.T) {
	r := sample()
	for _, write := range []func(io.Writer) error{r.Text, r.Markdown, r.SVG, r.Benchstat} {
		require.ErrorIs(t, write(full{}), errFull)
	}
}

type full struct{}

var errFull = errors.New("disk full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestValues(t *testing.T) {
	for _, c := range []struct {
		unit string
		v    float64
		want string
	}{
		{"ns/op", 9.53, "9.53 ns"}, {"ns/op", 17_700, "17.7 µs"}, {"ns/op", 2.5e6, "2.50 ms"}, {"ns/op", 3e9, "3.00 s"},
		{"MB/s", 20137.4, "20,137"}, {"pkt/s", 1.17e6, "1.17 M"}, {"conn/s", 6600, "6,600"}, {"req/s", 48_800, "48.8 k"},
		{"allocs/op", 0.0001, "0"}, {"allocs/op", 14, "14.0"}, {"B/pair", 525_000, "525,000"}, {"cpu-s/GB", 0.0612, "0.061"},
		{"MiB", 3072, "3,072"}, {"open-s", 12.34, "12.3 s"},
	} {
		require.Equal(t, c.want, report.Value(c.unit, c.v), "%v %s", c.v, c.unit)
	}
}

func TestThisMachine(t *testing.T) {
	m := report.ThisMachine()
	require.NotEmpty(t, m.CPU)
	require.Positive(t, m.Cores)
	require.Contains(t, m.String(), "go1.")
}
