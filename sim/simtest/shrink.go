package simtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/loopback/sim"
)

// logVar names the file in which a process keeps its decisions, each when it is taken: a panic leaves no time for more.
const logVar = "LOOPBACK_DECISIONS"

// Bounds on the search.
const (
	shrinkRun  = time.Minute      // of wall time for one run; one that takes longer hangs
	shrinkAll  = 10 * time.Minute // for the search
	inlineOnly = 5                // so many decisions fit on a command line
)

// A shrinker looks for the decisions that make a test fail with a seed. Each try is a process of its own: a test that
// panics in some goroutine, or whose bubble is deadlocked, takes its process with it, and what a try leaves behind in
// package variables is gone.
type shrinker struct {
	t    *testing.T
	seed uint64
	dir  string
	want outcome
	all  []sim.Decision
	runs atomic.Int64
}

// shrink runs the test with one seed, in another process, and if it fails looks for the fewest decisions with which it
// still fails in the same way, prints them and how to run it with those alone.
func shrink(t *testing.T, seed uint64) {
	t.Helper()
	s := &shrinker{t: t, seed: seed, dir: t.TempDir()}
	got, out := s.try(0, nil, true)
	if got == passed {
		t.Logf("seed %d: there is nothing to shrink, as the test passes", seed)
		return
	}
	s.want = got
	if err := s.readDecisions(); err != nil {
		t.Fatalf("the decisions of seed %d: %v\n%s", seed, err, out)
	}
	fewest, note := s.search(), ""
	got, out = s.try(0, fewest, false, "-loopback.artifacts="+artifactRoot(t))
	if got != s.want {
		note = fmt.Sprintf(" (but in the end the test %s: it does not replay exactly)", got)
	}
	t.Errorf("seed %d: the test %s with %d of %d decisions%s, found in %d runs:\n%sto see it again: %s\n%s",
		seed, s.want, len(fewest), len(s.all), note, s.runs.Load(), s.lines(fewest), s.rerun(fewest), s.withoutRerun(out))
}

// withoutRerun takes out of what a try has printed how to repeat it: by a file that will be gone.
func (s *shrinker) withoutRerun(out []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(out) {
		if before, again, ok := bytes.Cut(line, []byte("; to see it again: ")); ok && bytes.Contains(again, []byte(s.dir)) {
			line = append(bytes.Clone(before), '\n')
		}
		kept = append(kept, line...)
	}
	return kept
}

// search returns the fewest decisions.
func (s *shrinker) search() []sim.DecisionID {
	until := time.Now().Add(shrinkAll)
	stop := func() bool { return time.Now().After(until) || s.t.Context().Err() != nil }
	var delays, others []sim.DecisionID
	for _, d := range s.all {
		if d.Kind == sim.KindDelay {
			delays = append(delays, d.DecisionID)
		} else {
			others = append(others, d.DecisionID)
		}
	}
	tries := runtime.GOMAXPROCS(0)
	nth := make(chan int, tries)
	for i := range tries {
		nth <- i
	}
	fails := func(only []sim.DecisionID) bool {
		i := <-nth
		defer func() { nth <- i }()
		got, _ := s.try(i, only, false)
		return got == s.want
	}
	// Jitter is drawn for every packet; mostly it is not needed at all.
	candidates := append(others, delays...)
	if len(delays) > 0 && fails(others) {
		candidates = others
	}
	return ddmin(candidates, tries, fails, stop)
}

// try runs the test with those decisions only (all of them if whole is set).
func (s *shrinker) try(i int, only []sim.DecisionID, whole bool, more ...string) (outcome, []byte) {
	s.runs.Add(1)
	ctx, cancel := context.WithTimeout(s.t.Context(), shrinkRun)
	defer cancel()
	args := append([]string{"-loopback.seed=" + strconv.FormatUint(s.seed, 10)}, more...)
	if !whole {
		name := filepath.Join(s.dir, fmt.Sprintf("only-%d", i))
		if err := writeOnly(name, only); err != nil {
			s.t.Errorf("%v", err)
			return passed, nil
		}
		args = append(args, "-loopback.only=@"+name)
	}
	cmd := command(ctx, s.t.Name(), args...)
	if whole {
		cmd.Env = append(cmd.Env, logVar+"="+s.logName())
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return outcomeOf(cmd.Run(), out.Bytes()), out.Bytes()
}

func (s *shrinker) logName() string { return filepath.Join(s.dir, "decisions") }

// readDecisions reads what the first run has decided.
func (s *shrinker) readDecisions() error {
	b, err := os.ReadFile(s.logName())
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		var d sim.Decision
		id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if err := d.UnmarshalText([]byte(id)); err != nil {
			return err
		}
		if _, err := fmt.Sscan(rest, &d.At, &d.Segment, &d.Reason); err != nil {
			return err
		}
		s.all = append(s.all, d)
	}
	return nil
}

// lines are the decisions in words.
func (s *shrinker) lines(only []sim.DecisionID) string {
	var b strings.Builder
	for _, d := range s.all {
		for _, id := range only {
			if d.DecisionID == id {
				fmt.Fprintf(&b, "\t%s by %q\n", d.String(), d.Rule)
			}
		}
	}
	return b.String()
}

// rerun is the command that runs the test with these decisions.
func (s *shrinker) rerun(only []sim.DecisionID) string {
	list := joinOnly(only)
	if len(only) > inlineOnly || strings.Contains(list, "'") {
		name := filepath.Join(artifactRoot(s.t), fmt.Sprintf("seed-%d.only", s.seed))
		if abs, err := filepath.Abs(name); err == nil {
			name = abs
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			s.t.Errorf("%v", err)
		} else if err := writeOnly(name, only); err != nil {
			s.t.Errorf("%v", err)
		}
		list = "@" + name
	}
	return fmt.Sprintf("%s -loopback.only='%s'", rerun(s.t.Name(), s.seed), list)
}

// artifactRoot is where artifacts go when a directory is needed: the flag's, or one for temporary files.
func artifactRoot(t *testing.T) string {
	if *artifactsFlag != "" {
		return *artifactsFlag
	}
	if dir := artifactDir(t, 0); dir != "" {
		return dir
	}
	return filepath.Join(os.TempDir(), "loopback")
}

// joinOnly writes decisions for -loopback.only. No decision at all is "none".
func joinOnly(only []sim.DecisionID) string {
	if len(only) == 0 {
		return "none"
	}
	var list []string
	for _, id := range only {
		list = append(list, id.String())
	}
	return strings.Join(list, "; ")
}

func writeOnly(name string, only []sim.DecisionID) error {
	return os.WriteFile(name, []byte(strings.ReplaceAll(joinOnly(only), "; ", "\n")+"\n"), 0o666)
}

// parseOnly reads what joinOnly writes or, from a file of the name behind @, writeOnly.
func parseOnly(s string) (map[sim.DecisionID]bool, error) {
	if name, ok := strings.CutPrefix(s, "@"); ok {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		s = strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", ";")
	}
	only := map[sim.DecisionID]bool{}
	if s == "none" {
		return only, nil
	}
	for item := range strings.SplitSeq(s, ";") {
		var id sim.DecisionID
		if err := id.UnmarshalText([]byte(strings.TrimSpace(item))); err != nil {
			return nil, fmt.Errorf("-loopback.only: %w", err)
		}
		only[id] = true
	}
	return only, nil
}

// decide puts what the flags and the environment say about decisions into the configuration of a run.
func decide(t *testing.T, cfg *sim.ImpairConfig) (done func()) {
	done = func() {}
	if *onlyFlag != "" {
		only, err := parseOnly(*onlyFlag)
		if err != nil {
			t.Fatal(err)
		}
		filter := cfg.Filter
		cfg.Filter = func(d *sim.Decision) bool {
			return (d.Given() || only[d.DecisionID]) && (filter == nil || filter(d))
		}
	}
	if name := os.Getenv(logVar); name != "" {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		done = func() { f.Close() }
		observe := cfg.Observe
		cfg.Observe = func(d *sim.Decision) {
			if !d.Given() {
				fmt.Fprintf(f, "%v\t%d %d %d\n", d.DecisionID, int64(d.At), d.Segment, d.Reason)
			}
			if observe != nil {
				observe(d)
			}
		}
	}
	return done
}
