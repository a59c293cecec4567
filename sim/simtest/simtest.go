package simtest

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"

	"example.com/loopback/sim"
)

// The flags are registered as those of package testing are: once, for the process.
var (
	seedFlag      = flag.Uint64("loopback.seed", 1, "run simulated networks with this `seed`")
	seedsFlag     = flag.String("loopback.seeds", "", "run simulated networks with every seed of a `range` such as 1-1000")
	shrinkFlag    = flag.Bool("loopback.shrink", false, "look for the fewest decisions of the network with which a test still fails")
	onlyFlag      = flag.String("loopback.only", "", "carry out these `decisions` of the network only: a list, or @FILE")
	artifactsFlag = flag.String("loopback.artifacts", "", "keep captures of failed runs in this `directory`")
)

// Run tests f on a network in a bubble of testing/synctest, with the seed or the seeds that the flags say. It must be
// called outside of a bubble, by a test that is not parallel. When f returns the network is closed.
func Run(t *testing.T, f func(t *testing.T, n *sim.Net)) {
	t.Helper()
	RunConfig(t, Config{}, f)
}

// RunConfig is Run for a network, or in a way, that is not the usual one.
func RunConfig(t *testing.T, cfg Config, f func(t *testing.T, n *sim.Net)) {
	t.Helper()
	if *seedsFlag != "" {
		explore(t, cfg, f)
		return
	}
	if cfg.Seed == 0 || given("loopback.seed") {
		cfg.Seed = *seedFlag
	}
	if *shrinkFlag {
		shrink(t, cfg.Seed)
		return
	}
	RunSeed(t, cfg, f)
}

// given reports whether a flag was on the command line.
func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// RunSeed is RunConfig with the seed in cfg, whatever the flags say.
func RunSeed(t *testing.T, cfg Config, f func(t *testing.T, n *sim.Net)) {
	t.Helper()
	cfg.Seed = max(cfg.Seed, 1)
	// testing's directory for artifacts must be asked for outside of the bubble.
	dir := artifactDir(t, cfg.Seed)
	cryptotest.SetGlobalRandom(t, cfg.Seed)
	defer decide(t, &cfg.Impair)()
	if cfg.OneProcessor || runtime.GOMAXPROCS(0) == 1 {
		defer oneProcessor()()
	}
	synctest.Test(t, func(t *testing.T) {
		n, err := sim.NewNet(cfg.NetConfig)
		if err != nil {
			t.Fatal(err)
		}
		finished := false
		defer func() {
			if t.Failed() || !finished && !t.Skipped() {
				synctest.Wait() // until everybody has sent what there is to send
				report(t, n, dir)
			}
			n.Close()
		}()
		f(t, n)
		finished = true
	})
}

// artifactDir returns where the artifacts of a failure are to be kept; "" is nowhere.
func artifactDir(t *testing.T, seed uint64) string {
	if *artifactsFlag != "" {
		return filepath.Join(*artifactsFlag, strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()))
	}
	if f := flag.Lookup("test.artifacts"); f != nil && f.Value.String() == "true" {
		return t.ArtifactDir()
	}
	return ""
}

// report says how to see a failure again, and keeps what was sent.
func report(t *testing.T, n *sim.Net, dir string) {
	t.Helper()
	again := rerun(t.Name(), n.Seed())
	if *onlyFlag != "" {
		again += " -loopback.only='" + *onlyFlag + "'"
	}
	t.Logf("seed %d, at %v; to see it again: %s", n.Seed(), n.Now(), again)
	if dir == "" {
		t.Log("to keep the capture as well, add: -loopback.artifacts=DIR")
		return
	}
	if err := keep(n, dir); err != nil {
		t.Errorf("the capture could not be kept: %v", err)
		return
	}
	t.Logf("packets sent and decisions made are in %s", dir)
}

// rerun is the command that runs one test with one seed.
func rerun(name string, seed uint64) string { return rerunOn(runtime.GOMAXPROCS(0), name, seed) }

func rerunOn(procs int, name string, seed uint64) string {
	cpu := ""
	if procs == 1 {
		cpu = " -cpu=1" // it may matter: see the package's limits
	}
	return fmt.Sprintf("go test -run '%s'%s -loopback.seed=%d", pattern(name), cpu, seed)
}

// pattern is what -run takes for the test of this name. Subtests that are named for seeds are ours, and there are none
// when a single seed is run.
func pattern(name string) string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		if !strings.HasPrefix(part, seedPrefix) {
			parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
		}
	}
	return strings.Join(parts, "/")
}

// maxLadders bounds the connections of which charts are kept: the first ones.
const maxLadders = 20

// keep writes seed-N.pcapng, seed-N.txt, seed-N.decisions.txt and, for each connection, seed-N.ladder-K.txt and .svg.
func keep(n *sim.Net, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	base := filepath.Join(dir, fmt.Sprintf("seed-%d", n.Seed()))
	var decisions strings.Builder
	for _, d := range n.Decisions() {
		fmt.Fprintln(&decisions, d.Explain())
	}
	if err := os.WriteFile(base+".decisions.txt", []byte(decisions.String()), 0o666); err != nil {
		return err
	}
	if err := write(base+".txt", n.Recording().ExplainText); err != nil {
		return err
	}
	for k, c := range n.Ladders() {
		name := fmt.Sprintf("%s.ladder-%d", base, k+1)
		if k == maxLadders {
			break
		}
		if err := errors.Join(write(name+".txt", c.WriteText), write(name+".svg", c.WriteSVG)); err != nil {
			return err
		}
	}
	return write(base+".pcapng", n.Recording().ExplainPcapng)
}

func write(name string, to func(w io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := bufio.NewWriter(f)
	if err := to(b); err != nil {
		return err
	}
	return b.Flush()
}
