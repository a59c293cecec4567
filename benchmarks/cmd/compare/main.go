// Command compare measures every peer with every workload, in interleaved rounds, and prints one
// table of medians, with the medians of the rounds' ratios.
//
//	go run ./cmd/compare                                # everything, about half an hour
//	go run ./cmd/compare -quick                         # under two minutes
//	go run ./cmd/compare -workloads rtt,churn -peers kernel,bufconn,loopback
//	go run ./cmd/compare -md RESULTS.md -svg results.svg -bench results.txt
//
// Each measurement runs in a process of its own, so that one peer's garbage, timers and goroutines
// do not disturb another's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/loopback/benchmarks/report"
	"example.com/loopback/benchmarks/workload"
)

func main() {
	if len(os.Args) == 2 && strings.HasPrefix(os.Args[1], childPrefix) {
		os.Exit(child(strings.TrimPrefix(os.Args[1], childPrefix), os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "compare:", err)
			stop()
			os.Exit(1)
		}
	}
}

// options are the flags.
type options struct {
	rounds    int
	settle    int
	time      time.Duration
	calm      int
	quick     bool
	list      bool
	workloads []string
	peers     []string
	procs     []int
	md        string
	svg       string
	bench     string
	profiles  string
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	var workloads, peers, procs string
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(errs)
	f.IntVar(&o.rounds, "rounds", 0, "how many times everything is measured (5; 2 if -quick)")
	f.IntVar(&o.settle, "settle", 0, "how many more rounds at most are made of what decides a goal while the 95 % confidence interval includes its limit")
	f.DurationVar(&o.time, "time", 0, "how long one measurement takes (300ms; 100ms if -quick)")
	f.IntVar(&o.calm, "calm", 1, "how often at most a measurement is made in which others used the machine, or its cores were far from each other; see package calm")
	f.BoolVar(&o.quick, "quick", false, "few and short rounds, without the slow workloads")
	f.BoolVar(&o.list, "list", false, "print the workloads and the peers, and end")
	f.StringVar(&workloads, "workloads", "", "comma-separated `names` (default: all but million)")
	f.StringVar(&peers, "peers", "", "comma-separated `names` (default: all)")
	f.StringVar(&procs, "procs", "", "comma-separated values of GOMAXPROCS (default: each workload's)")
	f.StringVar(&o.md, "md", "", "write the tables to `FILE` as Markdown")
	f.StringVar(&o.svg, "svg", "", "write a picture of the tables to `FILE`")
	f.StringVar(&o.bench, "bench", "", "write every round to `FILE` in the format that benchstat reads")
	f.StringVar(&o.profiles, "profiles", "", "write a CPU profile of every measurement to `DIR`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	o.workloads, o.peers = split(workloads), split(peers)
	for _, s := range split(procs) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-procs: %q is no number of processors", s)
		}
		o.procs = append(o.procs, n)
	}
	if o.rounds < 0 || o.settle < 0 || o.time < 0 || o.calm < 1 {
		return o, errors.New("-rounds, -settle, -time and -calm must be positive")
	}
	o.fill()
	return o, nil
}

func (o *options) fill() {
	rounds, duration := 5, 300*time.Millisecond
	if o.quick {
		rounds, duration = 2, 100*time.Millisecond
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.time == 0 {
		o.time = duration
	}
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	if o.list {
		return list(out)
	}
	plan, err := o.plan()
	if err != nil {
		return err
	}
	r := &report.Report{Machine: report.ThisMachine(), Rounds: o.rounds, Settle: o.settle, Time: o.time}
	err = measure(ctx, o, plan, r, errs)
	if len(r.Lines) > 0 {
		err = errors.Join(err, r.Text(out), o.write(r))
	}
	if err == nil && len(r.Failures) > 0 {
		err = fmt.Errorf("%d measurements failed", len(r.Failures))
	}
	return err
}

func list(out io.Writer) error {
	for _, w := range workload.All() {
		note := map[workload.Weight]string{workload.Slow: " [not with -quick]", workload.Huge: " [only if named]"}[w.Weight]
		if _, err := fmt.Fprintf(out, "%-14s %s%s\n  %s\n  peers: %s\n", w.Name, w.Title, note, w.About,
			strings.Join(w.PeerNames(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// write writes the files that were asked for.
func (o options) write(r *report.Report) error {
	var errs []error
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{{o.md, r.Markdown}, {o.svg, r.SVG}, {o.bench, r.Benchstat}} {
		if f.name == "" {
			continue
		}
		file, err := os.Create(f.name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, f.write(file), file.Close())
	}
	return errors.Join(errs...)
}

// plan chooses the workloads and checks the names.
func (o options) plan() ([]workload.Workload, error) {
	var plan []workload.Workload
	var peers []string
	for _, w := range workload.All() {
		peers = append(peers, w.PeerNames()...)
		if o.wants(w) {
			plan = append(plan, w)
		}
	}
	for _, name := range o.workloads {
		if _, err := workload.Find(name); err != nil {
			return nil, fmt.Errorf("%w (-list prints them)", err)
		}
	}
	for _, name := range o.peers {
		if !slices.Contains(peers, name) {
			return nil, fmt.Errorf("no peer named %q (-list prints them)", name)
		}
	}
	return plan, nil
}

func (o options) wants(w workload.Workload) bool {
	if o.workloads != nil {
		return slices.Contains(o.workloads, w.Name)
	}
	return w.Weight == workload.Quick || w.Weight == workload.Slow && !o.quick
}
