package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"example.com/loopback/benchmarks/calm"
	"example.com/loopback/benchmarks/report"
	"example.com/loopback/benchmarks/workload"
)

// childPrefix begins the one argument of a process that makes one measurement.
const childPrefix = "-measure="

// request is what a child is asked, in JSON, as its argument.
type request struct {
	Workload, Peer string
	Time           time.Duration
	Profile        string // file for a CPU profile
	Calm           int    // how often at most a workload that looks for calm itself makes a measurement
}

// answer is what a child prints, in JSON.
type answer struct {
	Results     []workload.Result
	Count       calm.Count // of a workload that looks for calm itself
	Unsupported bool
	Error       string
}

// patience is how long one child may take: a million connections over gVisor take minutes.
const patience = 15 * time.Minute

// measure runs all rounds. What a peer does not support is not tried again; what failed is.
func measure(ctx context.Context, o options, plan []workload.Workload, r *report.Report, errs io.Writer) error {
	skip := make(map[report.Key]bool)
	var stone *calm.Touchstone
	if o.calm > 1 {
		stone = calm.New()
		defer func() { r.Note = stone.Note(o.calm) }()
	}
	cells := func(round int, keys []report.Key) error {
		for _, k := range keys {
			if skip[k] {
				continue
			}
			w, err := workload.Find(k.Workload)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			a := o.calmly(stone, w, k, func() answer { return ask(ctx, o, k, round) })
			switch {
			case a.Unsupported:
				skip[k] = true
			case a.Error != "":
				fmt.Fprintf(errs, "  %s, P=%d: %s\n", k.Peer, k.Procs, a.Error)
				r.Failures = append(r.Failures, report.Failure{Key: k, Why: a.Error})
			default:
				r.Add(round, k, a.Results)
			}
		}
		return nil
	}
	for round := range o.rounds {
		for _, w := range plan {
			if round >= roundsOf(w, o.rounds) {
				continue
			}
			fmt.Fprintf(errs, "round %d of %d: %s\n", round+1, o.rounds, w.Title)
			if err := cells(round, o.cells(w, round)); err != nil {
				return err
			}
		}
	}
	return o.settleGoals(r, errs, cells)
}

// settleGoals has what decides goals measured again while chance may have a part in whether they are met.
func (o options) settleGoals(r *report.Report, errs io.Writer, again func(round int, keys []report.Key) error) error {
	for more := range o.settle {
		open := r.Undecided()
		if len(open) == 0 {
			break
		}
		fmt.Fprintf(errs, "round %d of at most %d, of goals that are not decided\n", more+1, o.settle)
		if err := again(o.rounds+more, rotate(open, more)); err != nil {
			return err
		}
	}
	return nil
}

// rotate has another of the peers begin each time, among those of one workload with as many processors.
func rotate(keys []report.Key, by int) []report.Key {
	var all []report.Key
	for len(keys) > 0 {
		n := 1
		for n < len(keys) && keys[n].Workload == keys[0].Workload && keys[n].Procs == keys[0].Procs {
			n++
		}
		for i := range n {
			all = append(all, keys[(i+by)%n])
		}
		keys = keys[n:]
	}
	return all
}

// calmly returns what once does, called again if it was not calm meanwhile. Workloads of many parts look for calm themselves.
func (o options) calmly(stone *calm.Touchstone, w workload.Workload, k report.Key, once func() answer) (a answer) {
	switch {
	case stone == nil:
		return once()
	case w.Weight != workload.Quick:
		a = once()
		stone.Add(a.Count)
		return a
	}
	stone.Measure(o.calm, k.Procs > 1, func() bool {
		a = once()
		return a.Error != "" || a.Unsupported
	})
	return a
}

// roundsOf spares the workloads that take minutes.
func roundsOf(w workload.Workload, rounds int) int {
	switch w.Weight {
	case workload.Slow:
		return min(rounds, 3)
	case workload.Huge:
		return 1
	}
	return rounds
}

// cells lists the measurements of one workload. Every round begins with another peer, so that
// none is always measured after the same neighbour.
func (o options) cells(w workload.Workload, round int) []report.Key {
	var peers []string
	for _, p := range w.PeerNames() {
		if o.peers == nil || slices.Contains(o.peers, p) {
			peers = append(peers, p)
		}
	}
	procs := w.Procs
	if o.procs != nil {
		procs = o.procs
	}
	var keys []report.Key
	for _, p := range procs {
		for i := range peers {
			keys = append(keys, report.Key{Workload: w.Name, Procs: p, Peer: peers[(i+round)%len(peers)]})
		}
	}
	return keys
}

// ask makes one measurement in a new process.
func ask(ctx context.Context, o options, k report.Key, round int) answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q := request{Workload: k.Workload, Peer: k.Peer, Time: o.time, Calm: o.calm}
	if o.profiles != "" {
		q.Profile = filepath.Join(o.profiles,
			fmt.Sprintf("%s.%s.p%d.%d.prof", k.Workload, k.Peer, k.Procs, round+1))
	}
	asked, err := json.Marshal(q)
	if err != nil {
		return answer{Error: err.Error()}
	}
	self, err := os.Executable()
	if err != nil {
		return answer{Error: err.Error()}
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, self, childPrefix+string(asked))
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", k.Procs))
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return answer{Error: fmt.Sprintf("%v: %s", err, lastLine(errs.String()))}
	}
	var a answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return answer{Error: fmt.Sprintf("%v: %s", err, lastLine(out.String()))}
	}
	return a
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// child makes one measurement and prints it. It returns the exit code.
func child(asked string, out io.Writer) int {
	var q request
	var a answer
	err := json.Unmarshal([]byte(asked), &q)
	if err == nil {
		a.Results, a.Count, err = measureOne(q)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		a.Unsupported = true
	} else if err != nil {
		a.Error = err.Error()
	}
	if err := json.NewEncoder(out).Encode(a); err != nil {
		return 1
	}
	return 0
}

func measureOne(q request) (results []workload.Result, count calm.Count, err error) {
	w, err := workload.Find(q.Workload)
	if err != nil {
		return nil, count, err
	}
	if q.Profile != "" {
		f, err := os.Create(q.Profile)
		if err != nil {
			return nil, count, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, count, errors.Join(err, f.Close())
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	env := &workload.Env{Peer: q.Peer, Time: q.Time}
	if q.Calm > 1 && w.Weight != workload.Quick {
		stone := calm.New()
		env.Calm = func(once func() error) (err error) {
			stone.Measure(q.Calm, runtime.GOMAXPROCS(0) > 1, func() bool {
				err = once()
				return err != nil
			})
			return err
		}
		defer func() { count = stone.Count }()
	}
	results, err = workload.Measure(w, env)
	return results, count, err
}
