package simtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"example.com/loopback/sim"
)

// seedPrefix begins the names of the subtests of explore.
const seedPrefix = "seed="

// workerVar, when it is set, says that this process is one of several that explore was spread over, and that descriptor 3 is
// where it tells how far it is: lines of a letter (startedSeed and so on) and a seed.
const workerVar = "LOOPBACK_SEEDS_WORKER"

const (
	startedSeed = "s"
	passedSeed  = "p"
	failedSeed  = "f"
)

// maxShown bounds the failures that are shown in full; of the others only the seeds are.
const maxShown = 5

// progressEvery is how often explore says how far it is.
const progressEvery = 2 * time.Second

// explore runs all seeds of the flag that are this machine's.
func explore(t *testing.T, cfg Config, f func(t *testing.T, n *sim.Net)) {
	t.Helper()
	seeds, err := parseRange(*seedsFlag)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(workerVar) != "" {
		work(t, seeds, cfg, f)
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
	x := &explorer{t: t, begun: time.Now(), seeds: mine}
	x.run(uint64(runtime.GOMAXPROCS(0)))
}

// work runs the seeds one after the other and tells explore.
func work(t *testing.T, seeds seedRange, cfg Config, f func(t *testing.T, n *sim.Net)) {
	tell := os.NewFile(3, "progress")
	defer tell.Close()
	for s := seeds.first; s <= seeds.last && s >= seeds.first; s += seeds.step {
		fmt.Fprintf(tell, "%s%d\n", startedSeed, s)
		how := passedSeed
		ok := t.Run(seedPrefix+strconv.FormatUint(s, 10), func(t *testing.T) {
			cfg.Seed = s
			RunSeed(t, cfg, f)
		})
		if !ok {
			how = failedSeed
		}
		fmt.Fprintf(tell, "%s%d\n", how, s)
	}
}

// An explorer shares seeds out to as many processes of this very test as there are processors: the randomness of package
// crypto, which has to be fixed as well, is one for a process, and a seed that makes the test panic, or its bubble
// deadlock, takes its process with it. Another one goes on behind it.
type explorer struct {
	t     *testing.T
	seeds seedRange
	begun time.Time

	mu     sync.Mutex
	done   uint64
	failed []uint64
	shown  int
	said   time.Time
}

func (x *explorer) run(workers uint64) {
	x.t.Helper()
	var wg sync.WaitGroup
	for i := range workers {
		part, ok := x.seeds.part(i, workers)
		if !ok {
			break
		}
		wg.Go(func() {
			for ok {
				part, ok = x.worker(part)
			}
		})
	}
	wg.Wait()
	x.t.Logf("%s", x.progress())
	if len(x.failed) == 0 {
		return
	}
	slices.Sort(x.failed)
	x.t.Errorf("failed with seeds %d of %v", x.failed, x.seeds)
	if *shrinkFlag {
		shrink(x.t, x.failed[0])
	}
}

// worker lets a process run the seeds and returns those that it did not get to.
func (x *explorer) worker(seeds seedRange) (rest seedRange, ok bool) {
	r, w, err := os.Pipe()
	if err != nil {
		x.t.Error(err)
		return rest, false
	}
	defer r.Close()
	args := []string{"-loopback.seeds=" + seeds.String(), "-test.cpu=1"}
	if *artifactsFlag != "" {
		args = append(args, "-loopback.artifacts="+*artifactsFlag)
	}
	cmd := command(x.t.Context(), x.t.Name(), args...)
	cmd.Env = append(cmd.Env, workerVar+"=1")
	cmd.ExtraFiles = []*os.File{w}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		w.Close()
		x.t.Error(err)
		return rest, false
	}
	w.Close()
	current, running, failures := x.follow(r)
	err = cmd.Wait()
	how := outcomeOf(err, out.Bytes())
	if running { // it did not live to say how that one ended
		failures++
		x.end(current, true)
		x.t.Logf("seed %d: the test %s; to see it again: %s", current, how, rerunOn(1, x.t.Name(), current))
		rest, ok = seeds, current <= seeds.last-seeds.step && seeds.last >= seeds.step
		rest.first = current + seeds.step
	}
	x.show(how, failures, out.Bytes())
	return rest, ok
}

// follow reads what a worker tells until that ends. running is whether the current seed is then under way.
func (x *explorer) follow(r io.Reader) (current uint64, running bool, failures int) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		if len(line) < 2 {
			continue
		}
		seed, err := strconv.ParseUint(line[1:], 10, 64)
		if err != nil {
			continue
		}
		if current, running = seed, line[:1] == startedSeed; !running {
			x.end(seed, line[:1] == failedSeed)
			if line[:1] == failedSeed {
				failures++
			}
		}
	}
	return current, running, failures
}

// end counts a seed, and says now and then how far we are.
func (x *explorer) end(seed uint64, failed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done++
	if failed {
		x.failed = append(x.failed, seed)
	}
	if now := time.Now(); now.Sub(x.begun) > progressEvery && now.Sub(x.said) > progressEvery {
		x.said = now
		fmt.Fprintln(os.Stderr, x.progress())
	}
}

// progress is a line that says how far we are.
func (x *explorer) progress() string {
	all := (x.seeds.last-x.seeds.first)/x.seeds.step + 1
	took := time.Since(x.begun)
	rate := float64(x.done) / max(took.Seconds(), 1e-3)
	s := fmt.Sprintf("seeds %v: %d of %d done, %d failed, %.0f/s", x.seeds, x.done, all, len(x.failed), rate)
	if left := all - x.done; left > 0 && rate > 0 {
		s += fmt.Sprintf(", %v left", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
	}
	return s
}

// show prints what a worker that failed has said, unless there was much of that already.
func (x *explorer) show(how outcome, failures int, out []byte) {
	if how == passed {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.shown < maxShown {
		x.t.Errorf("%s", firstFailures(out, maxShown-x.shown))
	}
	x.t.Fail()
	x.shown += max(failures, 1)
}

// firstFailures returns the output of a test binary up to behind the n-th subtest that failed.
func firstFailures(out []byte, n int) []byte {
	mark := []byte("--- FAIL: ")
	at := 0
	for range n + 2 { // the test itself is the first
		k := bytes.Index(out[at:], mark)
		if k < 0 {
			return out
		}
		at += k + len(mark)
	}
	return append(bytes.TrimSpace(out[:at-len(mark)]), "\n…"...)
}
