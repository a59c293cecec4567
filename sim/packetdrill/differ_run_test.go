//go:build linux

package packetdrill

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
)

// A sample is a generated script and what came of it.
type sample struct {
	name         string // family-seed-version
	version      IPVersion
	seed         uint64
	plan         plan
	text         string // as Linux does it
	trace, again string
	err          error  // how we differ
	odd          string // why it does not count: a timer and an event are too close, or Linux differs from itself
}

// TestDifferOnLinux plays generated scripts on the kernel of this machine and on our stack, as root:
//
//	PACKETDRILL_DIFFER=sender PACKETDRILL_SEEDS=0-100 PACKETDRILL_DIR=DIR go test -v -run TestDifferOnLinux ./sim/packetdrill
//
// PACKETDRILL_DIFFER is a pattern for names of families, the scripts with what Linux did are left in DIR. With
// PACKETDRILL_SHRINK set, the first script of each cause is made as short as it can be and still shows it.
func TestDifferOnLinux(t *testing.T) {
	dir, from, to := differSettings(t)
	list := generated(t, os.Getenv("PACKETDRILL_DIFFER"), from, to)
	atOnceOnLinux(list, (*sample).record)
	var differ []*sample
	for _, s := range list {
		if s.odd == "" {
			if s.compare(); s.err != nil {
				differ = append(differ, s)
			}
		}
	}
	atOnceOnLinux(differ, (*sample).confirm)
	for _, s := range list {
		switch s.odd {
		case "":
			s.save(t, dir, ".pkt", s.text)
		case unstable:
			s.save(t, dir, ".odd", s.text+"\nagain\n"+s.again)
		}
	}
	byCause := report(t, list)
	if os.Getenv("PACKETDRILL_SHRINK") == "" {
		return
	}
	for _, cause := range sortedCauses(byCause) {
		s := byCause[cause][0].shrunk()
		s.save(t, dir, ".short", s.text)
		t.Logf("%s\n%v\n%s", cause, s.err, s.text)
	}
}

// TestDifferRecorded plays what TestDifferOnLinux has left in PACKETDRILL_DIR on our stack alone. PACKETDRILL_SHOW is
// the name of a script to see in full how we differ.
func TestDifferRecorded(t *testing.T) {
	dir, _, _ := differSettings(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.pkt"))
	if err != nil {
		t.Fatal(err)
	}
	family := regexp.MustCompile(os.Getenv("PACKETDRILL_DIFFER"))
	var list []*sample
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := &sample{name: strings.TrimSuffix(filepath.Base(f), ".pkt"), text: string(src)}
		parts := strings.SplitN(s.name, "-", 3)
		if len(parts) != 3 || !family.MatchString(parts[0]) {
			continue
		}
		s.version = IPVersion(parts[2])
		_, _ = fmt.Sscan(parts[1], &s.seed)
		s.compare()
		if s.name == os.Getenv("PACKETDRILL_SHOW") {
			t.Logf("%s\n%v", s.text, s.err)
		}
		list = append(list, s)
	}
	report(t, list)
}

func differSettings(t *testing.T) (dir string, from, to uint64) {
	t.Helper()
	dir = os.Getenv("PACKETDRILL_DIR")
	if os.Getenv("PACKETDRILL_DIFFER") == "" || dir == "" {
		t.Skip("set PACKETDRILL_DIFFER=., PACKETDRILL_SEEDS=FROM-TO and PACKETDRILL_DIR, as root, to compare with the kernel of this machine")
	}
	_, _ = fmt.Sscanf(os.Getenv("PACKETDRILL_SEEDS"), "%d-%d", &from, &to)
	return dir, from, to
}

// generated lists the plans of seeds from to, for families that match.
func generated(t *testing.T, match string, from, to uint64) []*sample {
	pattern := regexp.MustCompile(match)
	var list []*sample
	for _, f := range families() {
		for seed := from; seed < to && pattern.MatchString(f.name); seed++ {
			version := versionOf(seed)
			pl, err := generate(f, seed, version)
			if err != nil {
				t.Logf("%s-%d is left out: %v", f.name, seed, err)
				continue
			}
			list = append(list, &sample{name: fmt.Sprintf("%s-%d-%s", f.name, seed, version), version: version, seed: seed, plan: pl.plan})
		}
	}
	return list
}

const unstable = "unstable"

// record plays the sample on Linux.
func (s *sample) record() {
	pl, err := onLinux(s.plan, Options{IPVersion: s.version, Seed: s.seed})
	if err != nil {
		s.odd = "fails: " + err.Error()
		return
	}
	var tie bool
	s.trace = pl.trace()
	if s.text, tie = pl.script(s.comment()); tie {
		s.odd = "tie"
	}
}

func (s *sample) comment() string {
	family, _, _ := strings.Cut(s.name, "-")
	return fmt.Sprintf("What Linux does with script %d of the family %q.", s.seed, family)
}

// confirm plays it on Linux again.
func (s *sample) confirm() {
	again, err := onLinux(s.plan, Options{IPVersion: s.version, Seed: s.seed})
	if err != nil || again.trace() != s.trace {
		s.odd = unstable
		if err == nil {
			s.again, _ = again.script("")
		}
	}
}

// compare plays the recorded script on our stack.
func (s *sample) compare() {
	script, err := Parse(s.name, s.text)
	if err != nil {
		s.err = err
		return
	}
	if s.err = script.Run(NewStack, Options{IPVersion: s.version, Seed: s.seed}); s.err != nil {
		if why := tolerated(s.err); why != "" {
			s.odd = why
		}
	}
}

func (s *sample) save(t *testing.T, dir, ext, text string) {
	if err := os.WriteFile(filepath.Join(dir, s.name+ext), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cause is a coarse name for how we differ, to sort by.
func (s *sample) cause() string {
	var f *Failure
	if !errors.As(s.err, &f) {
		return fmt.Sprint(s.err)
	}
	reason := regexp.MustCompile(`\d+(\.\d+)?`).ReplaceAllString(f.Reason, "N")
	if strings.Contains(f.Event, "%{") {
		reason, _, _ = strings.Cut(f.Reason, "=")
	}
	family, _, _ := strings.Cut(s.name, "-")
	flags := func(p string) string {
		if w := strings.Fields(p); len(w) > 1 {
			return w[1]
		}
		return ""
	}
	return fmt.Sprintf("%s: %s [%s|%s]", family, reason[:min(len(reason), 160)], flags(f.Expected), flags(f.Actual))
}

// shrunk removes what is not needed for the sample to differ as it does.
func (s *sample) shrunk() *sample {
	best, cause := s, s.cause()
	for n := max(len(s.plan.moments)/2, 1); n > 0; {
		var tries []*sample
		for i := 0; i < len(best.plan.moments); i += n {
			try := &sample{name: s.name, version: s.version, seed: s.seed, plan: best.plan}
			try.plan.moments = slices.Delete(slices.Clone(best.plan.moments), i, min(i+n, len(best.plan.moments)))
			tries = append(tries, try)
		}
		atOnceOnLinux(tries, (*sample).record)
		i := slices.IndexFunc(tries, func(try *sample) bool {
			if try.odd == "" {
				try.compare()
			}
			return try.odd == "" && try.err != nil && try.cause() == cause
		})
		switch {
		case i >= 0:
			best = tries[i]
			n = min(n, max(len(best.plan.moments)/2, 1))
		default:
			n /= 2
		}
	}
	return best
}

// atOnceOnLinux does something with every sample, many at once: they mostly sleep.
func atOnceOnLinux(list []*sample, do func(*sample)) {
	const players = 100
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(players / 4))
	var wg sync.WaitGroup
	slots := make(chan struct{}, players)
	for _, s := range list {
		slots <- struct{}{}
		wg.Go(func() {
			do(s)
			<-slots
		})
	}
	wg.Wait()
}

// report logs how many samples differ, and sorts them by cause.
func report(t *testing.T, list []*sample) map[string][]*sample {
	byCause, odd := map[string][]*sample{}, map[string]int{}
	all, differ := map[string]int{}, map[string]int{}
	for _, s := range list {
		family, _, _ := strings.Cut(s.name, "-")
		all[family]++
		switch {
		case s.odd != "":
			why, detail, _ := strings.Cut(s.odd, ":")
			odd[why]++
			if detail != "" {
				t.Logf("%s %s", s.name, s.odd)
			}
		case s.err != nil:
			differ[family]++
			byCause[s.cause()] = append(byCause[s.cause()], s)
		}
	}
	for _, c := range sortedCauses(byCause) {
		var names []string
		for _, s := range byCause[c][:min(len(byCause[c]), 6)] {
			names = append(names, s.name)
		}
		t.Logf("%4d %s: %s", len(byCause[c]), c, strings.Join(names, " "))
	}
	total := 0
	for _, f := range families() {
		if all[f.name] > 0 {
			t.Logf("%s: %d scripts, %d differ", f.name, all[f.name], differ[f.name])
			total += differ[f.name]
		}
	}
	t.Logf("%d scripts, %d differ; of these do not count: %v", len(list), total, odd)
	return byCause
}

// sortedCauses are the causes, the most frequent first.
func sortedCauses(byCause map[string][]*sample) []string {
	causes := make([]string, 0, len(byCause))
	for c := range byCause {
		causes = append(causes, c)
	}
	sort.Slice(causes, func(i, j int) bool {
		if a, b := len(byCause[causes[i]]), len(byCause[causes[j]]); a != b {
			return a > b
		}
		return causes[i] < causes[j]
	})
	return causes
}
