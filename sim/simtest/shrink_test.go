package simtest

import (
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

func TestDdmin(t *testing.T) {
	all := make([]int, 100)
	for i := range all {
		all[i] = i
	}
	for _, want := range [][]int{nil, {0}, {99}, {17, 18}, {0, 50, 99}, {3, 4, 5, 6, 7, 8, 90}} {
		for _, at := range []int{1, 4} {
			got := ddmin(all, at, func(some []int) bool {
				for _, w := range want {
					if !slices.Contains(some, w) {
						return false
					}
				}
				return true
			}, func() bool { return false })
			require.ElementsMatch(t, want, got)
		}
	}
	// Any two of three will do: what is left is two, whichever they are.
	got := ddmin(all, 1, func(some []int) bool {
		n := 0
		for _, w := range []int{10, 60, 61} {
			if slices.Contains(some, w) {
				n++
			}
		}
		return n >= 2
	}, func() bool { return false })
	require.Len(t, got, 2)
	tries := 0
	ddmin(all, 1, func([]int) bool { tries++; return true }, func() bool { return tries >= 3 })
	require.Equal(t, 3, tries, "stopped")
}

func TestOnly(t *testing.T) {
	var a, b sim.DecisionID
	require.NoError(t, a.UnmarshalText([]byte("drop 3 6 127.0.0.1:49152>127.0.0.1:631 by a>b")))
	require.NoError(t, b.UnmarshalText([]byte("duplicate 4 6 127.0.0.1:49152>127.0.0.1:631 by a>b")))
	got, err := parseOnly(joinOnly([]sim.DecisionID{a, b}))
	require.NoError(t, err)
	require.Equal(t, map[sim.DecisionID]bool{a: true, b: true}, got)
	got, err = parseOnly(joinOnly(nil))
	require.NoError(t, err)
	require.Empty(t, got)
	file := t.TempDir() + "/only"
	require.NoError(t, writeOnly(file, []sim.DecisionID{a, b}))
	got, err = parseOnly("@" + file)
	require.NoError(t, err)
	require.Len(t, got, 2)
	_, err = parseOnly("@" + file + ".not")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = parseOnly("drop everything")
	require.ErrorIs(t, err, sim.ErrDecisionID)
}

// again runs a test of this binary and returns what it says.
func again(t *testing.T, name, how string, args ...string) (string, error) {
	t.Helper()
	cmd := command(t.Context(), name, args...)
	cmd.Env = append(cmd.Env, "SIMTEST_DOOMED="+how)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The example of the README: a seed that fails is shrunk to three decisions, and they alone make it fail again.
func TestShrinkQuorum(t *testing.T) {
	out, err := again(t, "TestQuorum", "", "-loopback.seeds=130-134", "-loopback.shrink", "-loopback.artifacts="+t.TempDir())
	require.Error(t, err)
	require.Contains(t, out, "failed with seeds [132] of 130-134")
	require.Contains(t, out, "the test failed with 3 of ")
	require.Regexp(t, `drop of datagram 1 of \S+ at 0.000 s by "writer>b"`, out)
	require.Regexp(t, `drop of datagram 1 of \S+ at 0.000 s by "writer>c"`, out)
	require.Regexp(t, `duplicate of datagram 1 of \S+ at 0.0\d+ s by "a>writer"`, out)
	require.NotContains(t, out, "/only-", "a file that will be gone")
	m := regexp.MustCompile(`-loopback.seed=132 (-loopback.only='(.*)')`).FindStringSubmatch(out)
	require.NotNil(t, m, out)
	out, err = again(t, "TestQuorum", "", "-loopback.seed=132", "-loopback.only="+m[2])
	require.Error(t, err)
	require.Contains(t, out, "version 1 was written, but 0 is read")
	require.Contains(t, out, m[1], "the command to see it again says which")
	list := strings.Split(m[2], "; ")
	out, err = again(t, "TestQuorum", "", "-loopback.seed=132", "-loopback.only="+strings.Join(list[1:], "; "))
	require.NoError(t, err, out)
	out, err = again(t, "TestQuorum", "", "-loopback.seed=130", "-loopback.shrink")
	require.NoError(t, err, out)
}

// TestDoomed is run by other tests in a process of its own. It ends badly when a datagram is lost; there is also a partition,
// which is not to be shrunk away.
func TestDoomed(t *testing.T) {
	how := os.Getenv("SIMTEST_DOOMED")
	if how == "" {
		t.Skip("ends badly; other tests run it")
	}
	Run(t, func(t *testing.T, n *sim.Net) {
		a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
		n.Link(a, b, sim.Impairment{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.02, Duplicate: 0.1})
		n.Partition(c)
		s, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		w, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		x, err := c.Dial("udp", "b:9")
		require.NoError(t, err)
		for range 10 {
			w.Write([]byte("datagram"))
			x.Write([]byte("lost"))
		}
		seen := map[string]bool{}
		for p := make([]byte, 99); ; {
			s.SetReadDeadline(time.Now().Add(time.Second))
			k, from, err := s.ReadFrom(p)
			if err != nil {
				break
			}
			require.Equal(t, "datagram", string(p[:k]), "%v is cut off", from)
			seen[time.Now().String()] = true
		}
		lost := 0
		for _, d := range n.Decisions() {
			if d.Kind == sim.KindDrop && d.Rule == "a>b" {
				lost++
			}
		}
		if lost == 0 {
			return
		}
		switch how {
		case "panic":
			go func() { panic("a goroutine panics") }()
			time.Sleep(time.Second)
		case "deadlock":
			select {}
		case "exit":
			os.Exit(7)
		default:
			t.Fatal("it was lost")
		}
	})
}

// Failures of all kinds are found, do not keep other seeds from being run, and are shrunk.
func TestShrinkKinds(t *testing.T) {
	for how, word := range map[string]outcome{"fail": failedTest, "panic": panicked, "deadlock": deadlocked, "exit": ended} {
		t.Run(how, func(t *testing.T) {
			out, err := again(t, "TestDoomed", how, "-loopback.seeds=1-30", "-loopback.shrink", "-loopback.artifacts="+t.TempDir())
			require.Error(t, err)
			require.Contains(t, out, "seeds 1-30: 30 of 30 done")
			require.Contains(t, out, "failed with seeds [")
			require.Regexp(t, "the test "+string(word)+" with 1 of [0-9]+ decisions, found in", out)
			require.Regexp(t, `drop of datagram [0-9]+ of \S+ at 0.000 s by "a>b"`, out)
		})
	}
}

// The same seeds fail on however many processes.
func TestExploreOnProcessors(t *testing.T) {
	failed := regexp.MustCompile(`failed with seeds \[.*\]`)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one, _ := again(t, "TestDoomed", "panic", "-loopback.seeds=1-30", "-test.cpu=1")
	many, _ := again(t, "TestDoomed", "panic", "-loopback.seeds=1-30", "-test.cpu=3")
	require.NotEmpty(t, failed.FindString(one), one)
	require.Equal(t, failed.FindString(one), failed.FindString(many))
}
