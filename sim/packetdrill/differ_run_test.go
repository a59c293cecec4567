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
	"sort"
	"strings"
	"sync"
	"testing"
)

// A sample is a generated script and what came of it.
type sample struct {
	name         string
	version      IPVersion
	plan         plan
	seed         uint64
	text         string // as Linux does it
	err          error  // how we differ
	trace, again string
	odd          string // why it does not count: it differs from itself, a timer and an event are too close
}

// generated lists the plans of seeds from to, for families that match.
func generated(t *testing.T, match string, from, to uint64) []*sample {
	var list []*sample
	for _, f := range families() {
		if ok, _ := regexp.MatchString(match, f.name); !ok {
			continue
		}
		for seed := from; seed < to; seed++ {
			version := []IPVersion{IPv4, IPv4, IPv6}[seed%3]
			pl, err := generate(f, seed, version)
			if err != nil {
				t.Errorf("%s-%d: %v", f.name, seed, err)
				continue
			}
			list = append(list, &sample{name: fmt.Sprintf("%s-%d", f.name, seed), version: version, seed: seed, plan: pl.plan})
		}
	}
	return list
}

// record plays the sample on Linux.
func (s *sample) record() {
	pl, err := onLinux(s.plan, Options{IPVersion: s.version, Seed: s.seed})
	if err != nil {
		s.odd = "fails: " + err.Error()
		return
	}
	var tie bool
	s.trace = pl.trace()
	s.text, tie = pl.script("")
	if tie {
		s.odd = "tie"
	}
}

// confirm plays it again.
func (s *sample) confirm() {
	again, err := onLinux(s.plan, Options{IPVersion: s.version, Seed: s.seed})
	if err != nil || again.trace() != s.trace {
		s.odd = "unstable"
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
	s.err = script.Run(NewStack, Options{IPVersion: s.version, Seed: s.seed})
}

// cause is a coarse name for how we differ, to sort by.
func (s *sample) cause() string {
	var f *Failure
	if !errors.As(s.err, &f) {
		return fmt.Sprint(s.err)
	}
	number := regexp.MustCompile(`\d+(\.\d+)?`)
	reason := number.ReplaceAllString(f.Reason, "N")
	if strings.Contains(f.Event, "%{") {
		reason = f.Reason[:strings.IndexAny(f.Reason+"=", "=")]
	}
	if i := strings.Index(reason, "instead of"); i > 0 && len(reason) > 160 {
		reason = reason[:160]
	}
	fam, _, _ := strings.Cut(s.name, "-")
	flags := func(p string) string {
		if len(p) > 2 {
			w := strings.Fields(p)
			return w[1]
		}
		return ""
	}
	return fmt.Sprintf("%s: %s [%s|%s]", fam, reason, flags(f.Expected), flags(f.Actual))
}

// TestDiffer plays generated scripts on the kernel of this machine.
func TestDiffer(t *testing.T) {
	dir := os.Getenv("DIFFER_DIR")
	if dir == "" {
		t.Skip()
	}
	var from, to uint64
	_, _ = fmt.Sscanf(os.Getenv("DIFFER_SEEDS"), "%d-%d", &from, &to)
	list := generated(t, os.Getenv("DIFFER"), from, to)
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
		name := filepath.Join(dir, s.name+"-"+string(s.version))
		switch s.odd {
		case "":
			_ = os.WriteFile(name+".pkt", []byte(s.text), 0o644)
		case "unstable":
			_ = os.WriteFile(name+".odd", []byte(s.text+"\nagain\n"+s.again), 0o644)
		}
	}
	report(t, list)
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

// TestDifferAgain plays what was recorded on our stack only.
func TestDifferAgain(t *testing.T) {
	dir := os.Getenv("DIFFER_DIR")
	if dir == "" {
		t.Skip()
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.pkt"))
	var list []*sample
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.SplitN(strings.TrimSuffix(filepath.Base(f), ".pkt"), "-", 3)
		if ok, _ := regexp.MatchString(os.Getenv("DIFFER"), parts[0]); !ok {
			continue
		}
		s := &sample{name: parts[0] + "-" + parts[1], version: IPVersion(parts[2]), text: string(src)}
		_, _ = fmt.Sscan(parts[1], &s.seed)
		s.compare()
		list = append(list, s)
	}
	report(t, list)
}

func report(t *testing.T, list []*sample) {
	odd := map[string]int{}
	byCause := map[string][]*sample{}
	count := map[string][3]int{}
	for _, s := range list {
		fam, _, _ := strings.Cut(s.name, "-")
		c := count[fam]
		c[0]++
		switch {
		case s.odd != "":
			c[2]++
			odd[fam+" "+strings.SplitN(s.odd, ":", 2)[0]]++
			if strings.HasPrefix(s.odd, "fails") {
				t.Logf("%s %s", s.name, s.odd)
			}
		case s.err != nil:
			c[1]++
			byCause[s.cause()] = append(byCause[s.cause()], s)
		}
		count[fam] = c
	}
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
	for _, c := range causes {
		names := ""
		for i, s := range byCause[c] {
			if i < 6 {
				names += " " + s.name + "-" + string(s.version)
			}
		}
		t.Logf("%4d %s:%s", len(byCause[c]), c, names)
	}
	t.Log(odd)
	for fam, c := range count {
		t.Logf("%s: %d scripts, %d differ, %d do not count", fam, c[0], c[1], c[2])
	}
}

func TestDifferOne(t *testing.T) {
	for _, f := range strings.Fields(os.Getenv("DIFFER_ONE")) {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.SplitN(strings.TrimSuffix(filepath.Base(f), ".pkt"), "-", 3)
		s := &sample{name: parts[0] + "-" + parts[1], version: IPVersion(parts[2]), text: string(src)}
		_, _ = fmt.Sscan(parts[1], &s.seed)
		s.compare()
		t.Logf("%v", s.err)
	}
}
