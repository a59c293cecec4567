package main

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"slices"
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
func stepped(t *testing.T, o options) []executed {
	t.Helper()
	steps, err := step(o)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return steps
}

// What an operation may cost, in instructions: the budget of speed that a test can keep, because a count, unlike a
// time, does not depend on who else is using the machine. Go's runtime has its share, so a new version of Go may move it.
func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		workload            string
		ops                 int
		most, locks, clocks float64
	}{
		{"rtt", 16, 7_100, 60, 5},
		{"udp-64", 16, 2_270, 12.5, 0.5},
		{"raw-64", 16, 2_650, 10.5, 0.5},
		{"churn", 4, 44_000, 260, 13},
	} {
		t.Run(tt.workload, func(t *testing.T) {
			o := options{workload: tt.workload, peer: "loopback", ops: tt.ops}
			n := count(stepped(t, o), o.ops)
			t.Logf("%.0f instructions on %d cache lines of code, %.1f locked, %.1f clock readings",
				n.instructions, n.lines, n.costly[locked], n.costly[clock])
			require.LessOrEqual(t, n.instructions, tt.most)
			require.LessOrEqual(t, n.costly[locked], tt.locks)
			require.LessOrEqual(t, n.costly[clock], tt.clocks)
		})
	}
}

// A count is worth something only if it can be had again.
func TestCountsRepeat(t *testing.T) {
	o := options{workload: "rtt", peer: "bufconn", ops: 16}
	one, two := count(stepped(t, o), o.ops), count(stepped(t, o), o.ops)
	require.InEpsilon(t, one.instructions, two.instructions, 0.03)
	require.InDelta(t, one.costly[locked], two.costly[locked], 1)
	require.Greater(t, one.instructions, 1000.0)
	require.Greater(t, one.costly[locked], 10.0) // two mutexes, twice, each locked and unlocked, and the scheduler's
	var out bytes.Buffer
	write(&out, o, one, 5)
	require.Contains(t, out.String(), "bufconn.(*pipe).Write")
	out.Reset()
	writeOrder(&out, stepped(t, o))
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
			_, err := step(tt.o)
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
