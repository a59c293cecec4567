package report

import (
	"fmt"
	"slices"
)

// Verdict is a goal of the project beside what was measured.
type Verdict struct {
	Goal string
	Got  string
	Met  bool
}

// bound is a limit for one metric of ours.
type bound struct {
	workload, params string
	procs            int
	unit             string
	atMost           bool
	limit            float64
	text             string
}

// relative compares ours with the best of several peers: ours divided by theirs, the median of all rounds.
type relative struct {
	workload string
	procs    int
	unit     string
	peers    []string
	atMost   bool // for times; else at least
	limit    float64
	text     string
}

// Verdicts judges every goal that has been measured.
func (r *Report) Verdicts() []Verdict {
	var all []Verdict
	for _, g := range relatives() {
		if v, ok := r.judgeRelative(g); ok {
			all = append(all, v)
		}
	}
	for _, g := range bounds() {
		if s, ok := r.Get(Key{g.workload, g.params, g.procs, Ours}, g.unit); ok {
			all = append(all, Verdict{g.text, Value(g.unit, s.Median), holds(s.Median, g.limit, g.atMost)})
		}
	}
	all = append(all, r.judgeGrowth()...)
	return append(all, r.judgeScaling()...)
}

func holds(v, limit float64, atMost bool) bool {
	if atMost {
		return v <= limit
	}
	return v >= limit
}

// key is what the goal says of a peer.
func (g relative) key(peer string) Key { return Key{g.workload, "", g.procs, peer} }

func (r *Report) judgeRelative(g relative) (Verdict, bool) {
	var worst []float64 // the ratios to the peer with whom the goal is hardest
	x := 0.0
	for _, peer := range g.peers {
		if all := r.ratios(g.key(Ours), g.key(peer), g.unit); len(all) > 0 {
			if y := summarize(all).Median; worst == nil || (y > x) == g.atMost {
				worst, x = all, y
			}
		}
	}
	if worst == nil {
		return Verdict{}, false
	}
	got := fmt.Sprintf("%.2f ×", x)
	if x < 0.5 && g.atMost {
		got = fmt.Sprintf("1/%.1f", 1/x)
	}
	if len(worst) > r.Rounds { // it was not easily decided
		lo, hi := interval(worst)
		got = fmt.Sprintf("%.3f × (%.3f to %.3f)", x, lo, hi)
	}
	return Verdict{fmt.Sprintf("%s, P=%d", g.text, g.procs), got, holds(x, g.limit, g.atMost)}, true
}

// Undecided returns what is to be measured once more because goals are not decided: those that compare ours with others, when
// chance may have had a part in whether they are met, since the 95 % confidence interval of the ratio includes the limit.
func (r *Report) Undecided() []Key {
	var all []Key
	for _, g := range relatives() {
		keys, missed := []Key{g.key(Ours)}, false
		for _, peer := range g.peers {
			ratios := r.ratios(g.key(Ours), g.key(peer), g.unit)
			if len(ratios) == 0 {
				continue
			}
			lo, hi := interval(ratios)
			met := holds(lo, g.limit, g.atMost) && holds(hi, g.limit, g.atMost)
			missed = missed || !holds(lo, g.limit, g.atMost) && !holds(hi, g.limit, g.atMost)
			if !met {
				keys = append(keys, g.key(peer))
			}
		}
		if missed || len(keys) == 1 {
			continue
		}
		for _, k := range keys {
			if !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	return all
}

func relatives() []relative {
	inMemory := []string{"net.Pipe", "bufconn", "fasthttputil"}
	var all []relative
	for _, p := range []int{1, 2} {
		all = append(all,
			relative{"rtt", p, "ns/op", []string{"bufconn"}, true, 1.5, "round trip ≤ 1.5 × bufconn"},
			relative{"rtt", p, "ns/op", []string{"kernel"}, true, 1.0 / 15, "round trip ≤ 1/15 of the kernel"},
			relative{"rtt", p, "ns/op", []string{"gvisor-65536"}, true, 1.0 / 20, "round trip ≤ 1/20 of gVisor"},
			relative{"http-1", p, "req/s", inMemory, false, 0.97, "HTTP, 1 client ≥ 0.97 × the best in memory"},
			relative{"http-16", p, "req/s", inMemory, false, 0.97, "HTTP, 16 clients ≥ 0.97 × the best in memory"})
		for _, w := range []string{"bulk-64k", "bulk-1m"} {
			all = append(all,
				relative{w, p, "MB/s", []string{"net.Pipe"}, false, 0.75, w + " ≥ 0.75 × net.Pipe"},
				relative{w, p, "MB/s", []string{"kernel"}, false, 5, w + " ≥ 5 × the kernel"},
				relative{w, p, "MB/s", []string{"gvisor-16436"}, false, 8, w + " ≥ 8 × gVisor at the same MTU"})
		}
	}
	return all
}

func bounds() []bound {
	var all []bound
	for _, p := range []int{1, 2} {
		at := func(text string) string { return fmt.Sprintf("%s, P=%d", text, p) }
		all = append(all,
			bound{"rtt", "", p, "packets/op", true, 2.005, at("round trip: 2 segments")},
			bound{"rtt", "", p, "allocs/op", true, 0.005, at("round trip: 0 allocs")},
			bound{"bulk-64k", "", p, "allocs/MB", true, 0.05, at("bulk-64k: 0 allocs a MB")},
			bound{"bulk-64k", "", p, "cpu-s/GB", true, 0.09, at("bulk-64k: CPU s/GB ≤ 0.09")},
			bound{"bulk-1m", "", p, "cpu-s/GB", true, 0.09, at("bulk-1m: CPU s/GB ≤ 0.09")},
			bound{"bulk-csum", "", p, "MB/s", false, 6000, at("bulk with checksums ≥ 6,000 MB/s")},
			bound{"churn", "", p, "conn/s", false, 120_000, at("connect, echo, close ≥ 120 k/s")},
			bound{"churn", "", p, "allocs/op", true, 16.05, at("connect, echo, close ≤ 16 allocs")},
			bound{"udp-64", "", p, "pkt/s", false, 5e6, at("UDP 64 B ≥ 5 M/s")},
			bound{"udp-1400", "", p, "pkt/s", false, 3e6, at("UDP 1400 B ≥ 3 M/s")},
			bound{"udp-16k", "", p, "pkt/s", false, 0.6e6, at("UDP 16 KiB ≥ 600 k/s")},
			bound{"udp-64", "", p, "allocs/op", true, 0.005, at("UDP 64 B: 0 allocs")})
	}
	for _, state := range []string{"new", "used"} {
		all = append(all,
			bound{"idle", "state=" + state, 2, "B/pair", true, 1536, "idle pair, " + state + " ≤ 1,536 B"},
			bound{"idle", "state=" + state, 2, "objects/pair", true, 8.05, "idle pair, " + state + " ≤ 8 objects"})
	}
	all = append(all,
		bound{"raw-64", "", 1, "ns/op", true, 250, "raw path ≤ 250 ns"},
		bound{"new-stack", "", 2, "ns/op", true, 5000, "new stack ≤ 5 µs"},
		bound{"new-stack", "", 2, "B/stack", true, 16 << 10, "new stack ≤ 16 KiB"},
		bound{"million", "others=1000000", 2, "MiB", true, 3 << 10, "a million connections ≤ 3 GiB"},
		bound{"million", "others=1000000", 2, "open-s", true, 20, "a million connections ≤ 20 s"})
	return append(all, ringBounds()...)
}

func ringBounds() []bound {
	var all []bound
	for _, g := range []struct {
		on            string
		single, batch float64
	}{{"same", 9, 3}, {"1P1C", 13, 6}, {"4P1C", 20, 10}} {
		all = append(all,
			bound{"ring", "on=" + g.on + "/batch=1", 2, "ns/op", true, g.single,
				fmt.Sprintf("ring, %s, single ≤ %v ns", g.on, g.single)},
			bound{"ring", "on=" + g.on + "/batch=32", 2, "ns/op", true, g.batch,
				fmt.Sprintf("ring, %s, batch ≤ %v ns", g.on, g.batch)})
	}
	return all
}

// judgeGrowth compares one connection beside many with one beside another.
func (r *Report) judgeGrowth() []Verdict {
	var all []Verdict
	for _, w := range []string{"growth", "million"} {
		for _, params := range r.params(w) {
			for _, unit := range []string{"ns/op", "MB/s"} {
				x, ok := r.Ratio(Key{w, "others=1", 2, Ours}, Key{w, params, 2, Ours}, unit)
				if !ok || params == "others=1" {
					continue
				}
				x = advantage(unit, x)
				all = append(all, Verdict{
					fmt.Sprintf("%s beside %s: within 10 %%", Name(unit), params[len("others="):]),
					fmt.Sprintf("%.2f × as good", x), 1/x <= 1.1,
				})
			}
		}
	}
	return all
}

// judgeScaling compares two cores with one.
func (r *Report) judgeScaling() []Verdict {
	var all []Verdict
	for _, g := range []struct{ workload, unit string }{
		{"flows-bulk-2", "MB/s"}, {"flows-bulk-4", "MB/s"}, {"flows-rtt-4", "rt/s"},
	} {
		if x, ok := r.Ratio(Key{g.workload, "", 2, Ours}, Key{g.workload, "", 1, Ours}, g.unit); ok {
			all = append(all, Verdict{g.workload + ": two cores ≥ 1.8 × one", fmt.Sprintf("%.2f ×", x), x >= 1.8})
		}
	}
	return all
}
