package simtest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"example.com/loopback/sim"
)

// seedPrefix begins the names of the subtests of explore.
const seedPrefix = "seed="

// workerVar, when it is set, says that this process is one of several that explore was spread over.
const workerVar = "LOOPBACK_SEEDS_WORKER"

// seedRange is the seeds first, first+step, … up to last.
type seedRange struct{ first, last, step uint64 }

// parseRange reads "7", "1-1000" or, as explore writes for its workers, "1-1000/4".
func parseRange(s string) (r seedRange, err error) {
	bad := fmt.Errorf("-loopback.seeds=%s is no range of seeds such as 1-1000", s)
	span, step, stepped := strings.Cut(s, "/")
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		to = from
	}
	r.step = 1
	if r.first, err = strconv.ParseUint(from, 10, 64); err != nil {
		return r, bad
	}
	if r.last, err = strconv.ParseUint(to, 10, 64); err != nil {
		return r, bad
	}
	if stepped {
		if r.step, err = strconv.ParseUint(step, 10, 64); err != nil {
			return r, bad
		}
	}
	if r.first == 0 || r.last < r.first || r.step == 0 || r.last+r.step < r.last {
		return r, bad
	}
	return r, nil
}

func (r seedRange) String() string { return fmt.Sprintf("%d-%d/%d", r.first, r.last, r.step) }

// part is the i-th of n interleaved parts; ok is false when there is nothing in it.
func (r seedRange) part(i, n uint64) (p seedRange, ok bool) {
	p = seedRange{r.first + i*r.step, r.last, r.step * n}
	return p, p.first <= p.last
}

// shard returns which of how many machines this is, of what the environment says.
func shard(getenv func(string) string) (i, n uint64, err error) {
	for _, names := range [][2]string{{"TEST_SHARD_INDEX", "TEST_TOTAL_SHARDS"}, {"JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"}} {
		index, total := getenv(names[0]), getenv(names[1])
		if index == "" || total == "" {
			continue
		}
		i, err1 := strconv.ParseUint(index, 10, 32)
		n, err2 := strconv.ParseUint(total, 10, 32)
		if err1 != nil || err2 != nil || i >= n {
			return 0, 1, fmt.Errorf("%s=%s of %s=%s is no shard", names[0], index, names[1], total)
		}
		// Bazel wants to be told that the shards are known.
		if status := getenv("TEST_SHARD_STATUS_FILE"); status != "" {
			if err := os.WriteFile(status, nil, 0o666); err != nil {
				return 0, 1, err
			}
		}
		return i, n, nil
	}
	return 0, 1, nil
}

// explore runs all seeds of the flag that are this machine's.
func explore(t *testing.T, cfg Config, f func(t *testing.T, n *sim.Net)) {
	t.Helper()
	seeds, err := parseRange(*seedsFlag)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(workerVar) != "" {
		exploreHere(t, seeds, cfg, f)
		return
	}
	i, n, err := shard(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	mine, ok := seeds.part(i, n)
	if !ok {
		t.Skipf("no seeds for shard %d of %d", i, n)
	}
	workers := uint64(runtime.GOMAXPROCS(0))
	if workers == 1 || mine.first == mine.last {
		exploreHere(t, mine, cfg, f)
		return
	}
	spread(t, mine, workers)
}

// exploreHere runs the seeds one after the other.
func exploreHere(t *testing.T, seeds seedRange, cfg Config, f func(t *testing.T, n *sim.Net)) {
	for s := seeds.first; s <= seeds.last && s >= seeds.first; s += seeds.step {
		t.Run(seedPrefix+strconv.FormatUint(s, 10), func(t *testing.T) {
			cfg.Seed = s
			RunSeed(t, cfg, f)
		})
	}
}

// spread shares the seeds out to as many processes of this very test, since the randomness of package crypto, which has to
// be fixed as well, is one for a process.
func spread(t *testing.T, seeds seedRange, workers uint64) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range workers {
		part, ok := seeds.part(i, workers)
		if !ok {
			break
		}
		wg.Go(func() {
			cmd := worker(t, part)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("seeds %v: %v\n%s", part, err, out.Bytes())
			}
		})
	}
	wg.Wait()
	t.Logf("seeds %v on %d processes", seeds, workers)
}

// worker is the process that runs some of the seeds. It gets the flags of this one, but not those that say what to run
// and those that name files, which both would write.
func worker(t *testing.T, part seedRange) *exec.Cmd {
	var args []string
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "test.run", "test.v", "test.paniconexit0", "test.count", "test.cpu", "test.parallel", "test.coverprofile", "test.gocoverdir",
			"test.cpuprofile", "test.memprofile", "test.blockprofile", "test.mutexprofile", "test.trace", "test.testlogfile",
			"test.bench", "test.fuzz", "loopback.seed", "loopback.seeds":
			return
		}
		args = append(args, "-"+f.Name+"="+f.Value.String())
	})
	args = append(args, "-test.run="+pattern(t.Name()), "-loopback.seeds="+part.String(), "-test.cpu=1")
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), workerVar+"=1")
	return cmd
}
