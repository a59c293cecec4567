package main

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The test binary is the child, too.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-child") {
		var o options
		f := flag.NewFlagSet("child", flag.ExitOnError)
		f.Bool("child", true, "")
		o.flags(f)
		fatal(f.Parse(os.Args[1:]))
		fatal(serve(o, os.Stdout))
		return
	}
	os.Exit(m.Run())
}

// stepped is step for a test, which is skipped where nobody may trace.
func stepped(t *testing.T, o options, data lines) []executed {
	t.Helper()
	steps, err := step(o, data)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return steps
}

// What an operation may cost, in instructions: the budget of speed that a test can keep, because a count, unlike a
// time, depends little on who else is using the machine. The stack's own instructions are the same each time, but for
// what is done every few operations. Go's runtime has the rest: how much it takes to park and to wake depends on what
// others do meanwhile and on the version of Go, so that has room.
func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		workload string
		ops      int
		most     budget
	}{
		{"rtt", 16, budget{own: 2_500, all: 5_600, calls: 105, locked: 60, clocks: 6}},
		{"udp-64", 16, budget{own: 1_760, all: 2_300, calls: 48, locked: 14, clocks: 1}},
		{"raw-64", 16, budget{own: 2_260, all: 2_800, calls: 62, locked: 11, clocks: 1}},
		{"churn", 4, budget{own: 35_000, all: 48_000, calls: 1_100, locked: 300, clocks: 16}},
	} {
		t.Run(tt.workload, func(t *testing.T) {
			o := options{workload: tt.workload, peer: "loopback", ops: tt.ops}
			var spent budget
			for try := 0; try < 3 && !spent.within(tt.most); try++ { // on a busy machine others of the child's threads may get in between
				spent = spentOf(count(stepped(t, o, nil), o.ops))
				t.Logf("%+v", spent)
			}
			require.True(t, spent.within(tt.most), "%+v, where %+v would do", spent, tt.most)
		})
	}
}

// budget is what an operation takes, on average: instructions of the stack, instructions of all that runs, calls,
// locked instructions, and readings of the clock.
type budget struct{ own, all, calls, locked, clocks float64 }

func spentOf(n tally) budget {
	b := budget{all: n.instructions, calls: n.calls, locked: n.costly[locked], clocks: n.costly[clock]}
	for _, pkg := range n.packages() {
		if slices.Contains([]string{"device", "ipv4", "ipv4/checksum", "ipv6", "tcp", "udp", "socket"}, pkg.name) {
			b.own += pkg.instructions
		}
	}
	return b
}

// within reports whether something was spent, and no more than that.
func (b budget) within(most budget) bool {
	return b.all > 0 && b.own <= most.own && b.all <= most.all && b.calls <= most.calls && b.locked <= most.locked && b.clocks <= most.clocks
}

// TestWay: what a round trip executes of the stack lies together, but for little, in the files of its way (see
// socket/wayout.go), and so takes no other's place in the cache for instructions.
func TestWay(t *testing.T) {
	var in, all map[string]int
	for try := 0; try < 3 && (try == 0 || !together(in, all)); try++ { // as for budgets: what gets in between is not of the way
		in, all = linesOfWay(stepped(t, options{workload: "rtt", peer: "loopback", ops: 16}, nil))
		t.Log(in, "of", all)
	}
	require.Len(t, all, 3)
	require.True(t, together(in, all), "%v of %v lines", in, all)
}

// together reports whether more than six sevenths of each package's lines are in the files of its way.
func together(in, all map[string]int) bool {
	for pkg, n := range all {
		if in[pkg]*7 <= n*6 {
			return false
		}
	}
	return true
}

// linesOfWay counts the lines of code that were executed in each package of the stack, and of these those in the files of its way.
func linesOfWay(steps []executed) (in, all map[string]int) {
	in, all = map[string]int{}, map[string]int{}
	lines := map[uintptr]bool{}
	for _, at := range steps {
		_, entry := functionAt(at.pc)
		name, _ := functionAt(entry) // not of what has become part of it
		pkg := packageOf(name)
		if !slices.Contains([]string{"device", "tcp", "socket"}, pkg) || lines[at.pc>>lineBits] {
			continue
		}
		lines[at.pc>>lineBits] = true
		file, _ := runtime.FuncForPC(entry).FileLine(entry)
		file = filepath.Base(file)
		if file == "rest.go" || file == "wait.go" {
			continue // whether a wait begins with a rest is tried while it runs, and others on the machine have a say in it
		}
		all[pkg]++
		if strings.HasPrefix(file, "way") {
			in[pkg]++
		}
	}
	return in, all
}

// A count is worth something only if it can be had again.
func TestCountsRepeat(t *testing.T) {
	o := options{workload: "rtt", peer: "bufconn", ops: 16}
	one, two := count(stepped(t, o, nil), o.ops), count(stepped(t, o, nil), o.ops)
	same := func() bool {
		return math.Abs(one.instructions/two.instructions-1) < 0.03 && math.Abs(one.costly[locked]-two.costly[locked]) <= 1
	}
	for try := 0; try < 3 && !same(); try++ { // as for budgets
		one, two = two, count(stepped(t, o, nil), o.ops)
	}
	require.True(t, same(), "%+v and %+v", spentOf(one), spentOf(two))
	require.Greater(t, one.instructions, 1000.0)
	require.Greater(t, one.costly[locked], 10.0) // two mutexes, twice, each locked and unlocked, and the scheduler's
	var out bytes.Buffer
	write(&out, o, one, 5)
	require.Contains(t, out.String(), "bufconn.(*pipe).Write")
	out.Reset()
	writeOrder(&out, stepped(t, o, nil))
	require.Contains(t, out.String(), "> google.golang.org/grpc/test/bufconn.(*pipe).Write")
}

func TestErrorsOfTheWorkload(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    options
		want string
	}{
		{"no such workload", options{workload: "none", peer: "loopback", ops: 1}, `no workload named "none"`},
		{"one without operations", options{workload: "million", peer: "loopback", ops: 1}, "in its own way"},
		{"no such peer", options{workload: "rtt", peer: "none", ops: 1}, "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := step(tt.o, nil)
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip(err)
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestPackageOf(t *testing.T) {
	for name, want := range map[string]string{
		"tcp.(*TCB).Input":                                  "tcp",
		"runtime.memmove":                                   "runtime",
		"benchmarks/workload.pingPong":                      "benchmarks/workload",
		"google.golang.org/grpc/test/bufconn.(*pipe).Write": "google.golang.org/grpc/test/bufconn",
		"socket.(*flowTable[example.com/x/y.T]).find":       "socket",
		"gogo": "gogo",
	} {
		require.Equal(t, want, packageOf(name), name)
	}
}

func TestCount(t *testing.T) {
	pc := markPC()
	n := count([]executed{{pc, locked}, {pc, locked}, {pc: pc}, {pc: 1}, {pc: 2}}, 1)
	require.Equal(t, 5.0, n.instructions)
	require.Equal(t, 2, n.lines)
	require.Equal(t, 2, n.pages)
	require.Equal(t, 3.0, n.calls)
	require.Equal(t, 2.0, n.costly[locked])
	require.Equal(t, 1.0, n.costly[clock])
	require.Contains(t, n.funcs[0].name, "mark")
	require.Equal(t, 3.0, n.funcs[0].instructions)
	require.Equal(t, 3.0, n.funcs[0].calls)
	require.Equal(t, 2.0, n.funcs[0].costly[locked])
	require.Equal(t, 1.0, n.funcs[0].costly[clock])
	require.Equal(t, vdso, n.funcs[1].name)
	require.Zero(t, n.funcs[1].costly[locked])
	var out bytes.Buffer
	writeOrder(&out, []executed{{pc, locked}, {pc: 1}})
	require.Regexp(t, `1 \*   > .*mark\n`, out.String())
}
