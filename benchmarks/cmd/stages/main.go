// Command stages reads a CPU profile and says how much of the time each stage of a packet's life
// takes.
//
//	go run ./cmd/compare -workloads rtt -peers loopback -procs 1 -time 5s -rounds 1 -profiles /tmp
//	go run ./cmd/stages -op 1850 /tmp/rtt.loopback.p1.1.prof
//
// Each sample counts for the innermost of its functions that belongs to a stage; the copying of
// bytes, the clock, locks and the scheduler are stages of their own, whoever calls them.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func main() {
	op := flag.Float64("op", 0, "CPU nanoseconds of one operation: prints each stage's share of them")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: stages [-op NANOSECONDS] FILE.prof")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *op, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "stages:", err)
		os.Exit(1)
	}
}

// run lets the Go command list the samples, and adds them up.
func run(file string, op float64, out io.Writer) error {
	cmd := exec.Command("go", "tool", "pprof", "-traces", file)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	traces, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w: %s", err, errs.String())
	}
	shares, total := add(string(traces))
	if total == 0 {
		return errors.New("the profile has no samples")
	}
	return write(out, shares, total, op)
}

// stage is a part of the work, and how to know its functions: by a part of their names.
type stage struct {
	name  string
	parts []string
}

// stages are tried in this order for each function of a sample, from the innermost outwards.
func stages() []stage {
	const module = "example.com/loopback/"
	return []stage{
		{"copying bytes", []string{"runtime.memmove", "runtime.memclr"}},
		{"clock", []string{"runtime.nanotime", "time.Now", "time.now", "time.Since", "runtime.walltime"}},
		{"garbage collection", []string{"runtime.gcBgMark", "runtime.bgsweep", "runtime.bgscavenge"}},
		{"allocation", []string{"runtime.mallocgc", "runtime.newobject", "runtime.makeslice", "runtime.growslice"}},
		{"goroutines: park, wake, switch", []string{"sync.(*Cond)", "runtime.mcall", "runtime.goready", "runtime.ready",
			"runtime.schedule", "runtime.gopark", "runtime.park_m", "runtime.notewakeup", "runtime.mstart",
			"sync.runtime_notifyList", "sync.runtime_Semrelease", "sync.runtime_Semacquire", "runtime.gosched"}},
		{"locks", []string{"sync.(*Mutex)", "sync.(*RWMutex)"}},
		{"checksum", []string{module + "ipv4/checksum"}},
		{"TCP: segments in", []string{module + "tcp.(*TCB).Input", module + "tcp.(*TCB).TakeLone", module + "tcp.(*TCB).Dialogue", module + "tcp.ParseHeader"}},
		{"TCP: segments out", []string{module + "tcp.(*TCB).Output", module + "tcp.(*TCB).Send", module + "tcp.(*TCB).Lone",
			module + "tcp.(*TCB).Lend", module + "tcp.(*TCB).MayLend", module + "tcp.(*TCB).Run", module + "tcp.(*Segment)"}},
		{"TCP: timers", []string{module + "tcp.(*TCB).Timeout", module + "tcp.(*TCB).Deadline"}},
		{"TCP: write and read", []string{module + "tcp.(*TCB).Write", module + "tcp.(*TCB).Read", module + "tcp.(*TCB).HeldRead",
			module + "tcp.(*TCB).EndLoan", module + "tcp.(*TCB).Loan"}},
		{"IP headers", []string{module + "ipv4.", module + "ipv6.", module + "socket.(*Stack).ipBehind",
			module + "socket.(*Stack).plain4", module + "socket.(*Stack).plain6"}},
		{"UDP headers", []string{module + "udp."}},
		{"NIC: rings, counters, buffers", []string{module + "device."}},
		{"demultiplexing", []string{module + "socket.(*flowTable"}},
		{"socket: timers", []string{module + "socket.(*timers)", module + "socket.(*timerQueue"}},
		{"socket layer", []string{module + "socket."}},
		{"the program", []string{module + "benchmarks/", "net/http", "io."}},
	}
}

// other is the stage of what no other claims.
const other = "other"

// add sums the samples of `go tool pprof -traces`: blocks divided by rules, the first line of each
// with the time, its functions from the innermost outwards.
func add(traces string) (shares map[string]time.Duration, total time.Duration) {
	shares = make(map[string]time.Duration)
	known := stages()
	blocks := strings.Split(traces, "-----------+-------------------------------------------------------\n")
	for _, block := range blocks[1:] {
		lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
		first := strings.Fields(lines[0])
		if len(first) < 2 {
			continue
		}
		d, err := time.ParseDuration(first[0])
		if err != nil {
			continue
		}
		functions := append([]string{strings.Join(first[1:], " ")}, lines[1:]...)
		shares[classify(known, functions)] += d
		total += d
	}
	return shares, total
}

func classify(known []stage, functions []string) string {
	for _, f := range functions {
		f = strings.TrimSpace(f)
		for _, s := range known {
			if slices.ContainsFunc(s.parts, func(p string) bool { return strings.HasPrefix(f, p) }) {
				return s.name
			}
		}
	}
	return other
}

func write(out io.Writer, shares map[string]time.Duration, total time.Duration, op float64) error {
	names := []string{other}
	for name := range shares {
		if name != other {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if shares[a] != shares[b] {
			return int(shares[b] - shares[a])
		}
		return strings.Compare(a, b)
	})
	if _, err := fmt.Fprintf(out, "| stage | share | ns |\n|---|---:|---:|\n"); err != nil {
		return err
	}
	for _, name := range names {
		part := float64(shares[name]) / float64(total)
		ns := ""
		if op > 0 {
			ns = fmt.Sprintf("%.0f", part*op)
		}
		if _, err := fmt.Fprintf(out, "| %s | %.1f %% | %s |\n", name, 100*part, ns); err != nil {
			return err
		}
	}
	return nil
}
