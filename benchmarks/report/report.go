package report

import (
	"math"
	"slices"
	"time"

	"example.com/loopback/benchmarks/workload"
)

// Ours is the peer that the others are compared with.
const Ours = "loopback"

// Key names what was measured.
type Key struct {
	Workload string
	Params   string // of a workload with several results
	Procs    int    // GOMAXPROCS
	Peer     string
}

// Line is one measurement of one round.
type Line struct {
	Key
	Round   int
	N       int // operations
	Metrics []workload.Metric
}

// Failure is a measurement that could not be made.
type Failure struct {
	Key
	Why string
}

// Report is everything that one comparison found out. The zero value is an empty report.
type Report struct {
	Machine  Machine
	Rounds   int
	Settle   int           // how many more at most of what decides a goal while its confidence interval includes the limit
	Time     time.Duration // of one measurement
	Note     string        // what else is to be known about how it was measured, in sentences; may be empty
	Lines    []Line
	Failures []Failure
}

// Add records the results of one measurement of one workload.
func (r *Report) Add(round int, k Key, results []workload.Result) {
	for _, res := range results {
		k.Params = res.Params
		r.Lines = append(r.Lines, Line{k, round, res.N, res.Metrics})
	}
}

// Summary is what several rounds say of one metric.
type Summary struct {
	N        int // rounds
	Median   float64
	Min, Max float64
}

// Spread is half of the range between the extremes, as a part of the median.
func (s Summary) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Max - s.Min) / 2 / math.Abs(s.Median)
}

// summarize returns the summary of values, of which there is at least one.
func summarize(values []float64) Summary {
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return Summary{N: len(v), Median: median, Min: v[0], Max: v[len(v)-1]}
}

// Get returns the summary of one metric over all rounds.
func (r *Report) Get(k Key, unit string) (Summary, bool) {
	var values []float64
	for _, v := range r.rounds(k, unit) {
		values = append(values, v)
	}
	if len(values) == 0 {
		return Summary{}, false
	}
	return summarize(values), true
}

// Ratio returns the median of what a is divided by b, round by round. What is measured in one round is measured within seconds, on a
// machine that is the same for both; the medians of all rounds may be of different minutes.
func (r *Report) Ratio(a, b Key, unit string) (float64, bool) {
	ratios := r.ratios(a, b, unit)
	if len(ratios) == 0 {
		return 0, false
	}
	return summarize(ratios).Median, true
}

// ratios returns what a is divided by b in each round in which both were measured, in ascending order.
func (r *Report) ratios(a, b Key, unit string) []float64 {
	theirs := r.rounds(b, unit)
	var ratios []float64
	for round, v := range r.rounds(a, unit) {
		if w := theirs[round]; w != 0 {
			ratios = append(ratios, v/w)
		}
	}
	slices.Sort(ratios)
	return ratios
}

// interval returns between which of the values, of which there is at least one in ascending order, their median lies with a
// confidence of 95 %, whatever their distribution. Of fewer than six it is between all of them that it lies, with less confidence.
func interval(values []float64) (lo, hi float64) {
	n := len(values)
	off := int(math.Ceil(1.96 * math.Sqrt(float64(n)) / 2))
	return values[max((n-1)/2-off, 0)], values[min(n/2+off, n-1)]
}

// rounds returns one metric of every round.
func (r *Report) rounds(k Key, unit string) map[int]float64 {
	values := make(map[int]float64)
	for _, l := range r.Lines {
		if l.Key != k {
			continue
		}
		for _, m := range l.Metrics {
			if m.Unit == unit {
				values[l.Round] = m.Value
			}
		}
	}
	return values
}

// Table is the results of one workload with one set of parameters.
type Table struct {
	Workload workload.Workload
	Params   string
	Unit     string   // of the metric that is compared
	Others   []string // units of the other metrics
	Procs    []int
	Rows     []Row
}

// Row is one peer.
type Row struct {
	Peer  string
	Cells []Cell // one for each of the table's Procs
}

// Cell is what was measured with one peer and one value of GOMAXPROCS.
type Cell struct {
	Known  bool
	Value  Summary
	Ratio  float64 // how many times better ours is; 0: ours was not measured
	Others []Other // one for each of the table's Others
}

// Other is a secondary metric.
type Other struct {
	Known bool
	Value Summary
}

// Tables groups the lines, in the order of the workloads.
func (r *Report) Tables() []Table {
	var tables []Table
	for _, w := range workload.All() {
		for _, params := range r.params(w.Name) {
			tables = append(tables, r.table(w, params))
		}
	}
	return tables
}

// params returns the parameters of a workload's lines in the order in which they came.
func (r *Report) params(name string) []string {
	var all []string
	for _, l := range r.Lines {
		if l.Workload == name && !slices.Contains(all, l.Params) {
			all = append(all, l.Params)
		}
	}
	return all
}

func (r *Report) table(w workload.Workload, params string) Table {
	t := Table{Workload: w, Params: params}
	var peers []string
	for _, l := range r.Lines {
		if l.Workload != w.Name || l.Params != params {
			continue
		}
		if !slices.Contains(t.Procs, l.Procs) {
			t.Procs = append(t.Procs, l.Procs)
		}
		if !slices.Contains(peers, l.Peer) {
			peers = append(peers, l.Peer)
		}
		t.Unit = l.Metrics[0].Unit
		for _, m := range l.Metrics[1:] {
			if !slices.Contains(t.Others, m.Unit) {
				t.Others = append(t.Others, m.Unit)
			}
		}
	}
	slices.Sort(t.Procs)
	// Rounds take the peers in turns; tables have them always in the same order.
	for _, peer := range w.PeerNames() {
		if slices.Contains(peers, peer) {
			t.Rows = append(t.Rows, r.row(&t, peer))
		}
	}
	return t
}

func (r *Report) row(t *Table, peer string) Row {
	row := Row{Peer: peer}
	for _, procs := range t.Procs {
		k := Key{t.Workload.Name, t.Params, procs, peer}
		var c Cell
		if c.Value, c.Known = r.Get(k, t.Unit); c.Known {
			ours := k
			ours.Peer = Ours
			if x, ok := r.Ratio(k, ours, t.Unit); ok && x != 0 {
				c.Ratio = advantage(t.Unit, x)
			}
		}
		for _, unit := range t.Others {
			s, ok := r.Get(k, unit)
			c.Others = append(c.Others, Other{ok, s})
		}
		row.Cells = append(row.Cells, c)
	}
	return row
}

// advantage tells how many times better what is divided by is than what is divided: of times the ratio itself, of rates its
// inverse.
func advantage(unit string, ratio float64) float64 {
	if workload.HigherIsBetter(unit) {
		return 1 / ratio
	}
	return ratio
}
