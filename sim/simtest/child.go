package simtest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// command returns the process that runs the test of this name, and nothing else of this binary. It gets the flags of this
// process, but not those that say what to run and those that name files, which both would write.
func command(ctx context.Context, name string, more ...string) *exec.Cmd {
	var args []string
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "test.run", "test.v", "test.paniconexit0", "test.count", "test.cpu", "test.parallel", "test.coverprofile", "test.gocoverdir",
			"test.cpuprofile", "test.memprofile", "test.blockprofile", "test.mutexprofile", "test.trace", "test.testlogfile",
			"test.bench", "test.fuzz", "loopback.seed", "loopback.seeds", "loopback.shrink", "loopback.only", "loopback.artifacts":
			return
		}
		args = append(args, "-"+f.Name+"="+f.Value.String())
	})
	args = append(args, "-test.run="+pattern(name))
	if runtime.GOMAXPROCS(0) == 1 {
		args = append(args, "-test.cpu=1")
	}
	cmd := exec.CommandContext(ctx, os.Args[0], append(args, more...)...)
	cmd.Env = os.Environ()
	cmd.WaitDelay = time.Second
	return cmd
}

// An outcome is how a process that ran a test ended.
type outcome string

// The outcomes.
const (
	passed     outcome = "passed"
	failedTest outcome = "failed"     // t.Fail and the like
	panicked   outcome = "panicked"   // in whatever goroutine
	deadlocked outcome = "deadlocked" // all goroutines of the bubble wait for each other
	hung       outcome = "hung"       // it did not end in time
	ended      outcome = "ended"      // by os.Exit, a signal, a fatal error of the runtime
)

// outcomeOf tells how cmd.Run, which returned err, ended.
func outcomeOf(err error, out []byte) outcome {
	switch exit := (*exec.ExitError)(nil); {
	case err == nil:
		return passed
	case !errors.As(err, &exit) || exit.ExitCode() < 0:
		return hung
	case bytes.Contains(out, []byte("panic: test timed out")):
		return hung
	case bytes.Contains(out, []byte("panic: deadlock: ")), bytes.Contains(out, []byte("fatal error: all goroutines")):
		return deadlocked
	case bytes.Contains(out, []byte("panic: ")):
		return panicked
	case exit.ExitCode() == 1 && strings.Contains(string(out), "--- FAIL"):
		return failedTest
	}
	return ended
}
