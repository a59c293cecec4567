package simtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

func TestParseRange(t *testing.T) {
	for _, x := range []struct {
		text string
		want seedRange
	}{
		{"7", seedRange{7, 7, 1}},
		{"1-1000", seedRange{1, 1000, 1}},
		{"3-9/2", seedRange{3, 9, 2}},
		{"18446744073709551614", seedRange{1<<64 - 2, 1<<64 - 2, 1}},
	} {
		r, err := parseRange(x.text)
		require.NoError(t, err, x.text)
		require.Equal(t, x.want, r)
		again, err := parseRange(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again)
	}
	for _, bad := range []string{"", "0", "0-5", "5-3", "a", "1-b", "1-5/0", "1-5/x", "-3", "1-18446744073709551615"} {
		_, err := parseRange(bad)
		require.ErrorContains(t, err, "-loopback.seeds="+bad, bad)
	}
}

// FuzzRange: a range that is taken can be written and read again, and so can its parts, which are within it.
func FuzzRange(f *testing.F) {
	f.Add("7", uint16(0), uint16(1))
	f.Add("1-1000/4", uint16(2), uint16(5))
	f.Add("1-5/9223372036854775808", uint16(0), uint16(2))
	f.Fuzz(func(t *testing.T, text string, i, n uint16) {
		r, err := parseRange(text)
		if err != nil {
			return
		}
		again, err := parseRange(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again)
		n = max(n, 1)
		p, ok := r.part(uint64(i%n), uint64(n))
		if !ok {
			require.Less(t, (r.last-r.first)/r.step, uint64(i%n), "it has fewer seeds")
			return
		}
		require.True(t, p.first >= r.first && p.first <= p.last && p.last <= r.last, "%v of %v", p, r)
		require.Equal(t, uint64(i%n), (p.first-r.first)/r.step)
		require.Zero(t, (p.first-r.first)%r.step)
		if p.first < p.last {
			require.Equal(t, uint64(n), p.step/r.step)
			require.Zero(t, p.step%r.step)
		}
		if p.last < 1<<62 {
			again, err := parseRange(p.String())
			require.NoError(t, err)
			require.Equal(t, p, again)
		}
	})
}

// The parts of a range are the whole, each seed once.
func TestParts(t *testing.T) {
	whole := seedRange{5, 27, 1}
	seen := map[uint64]int{}
	for i := range uint64(3) {
		machine, ok := whole.part(i, 3)
		require.True(t, ok)
		for k := range uint64(2) {
			p, ok := machine.part(k, 2)
			require.True(t, ok)
			for s := p.first; s <= p.last; s += p.step {
				seen[s]++
			}
		}
	}
	require.Len(t, seen, 23)
	for s, n := range seen {
		require.Equal(t, 1, n, s)
	}
	_, ok := seedRange{1, 2, 1}.part(2, 3)
	require.False(t, ok, "more machines than seeds")
}

func TestShard(t *testing.T) {
	status := filepath.Join(t.TempDir(), "status")
	for _, x := range []struct {
		name string
		env  map[string]string
		i, n uint64
		bad  bool
	}{
		{name: "none", n: 1},
		{name: "bazel", env: map[string]string{"TEST_SHARD_INDEX": "2", "TEST_TOTAL_SHARDS": "5", "TEST_SHARD_STATUS_FILE": status}, i: 2, n: 5},
		{name: "kubernetes", env: map[string]string{"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "3"}, i: 0, n: 3},
		{name: "index alone", env: map[string]string{"JOB_COMPLETION_INDEX": "1"}, n: 1},
		{name: "too high", env: map[string]string{"TEST_SHARD_INDEX": "5", "TEST_TOTAL_SHARDS": "5"}, bad: true},
		{name: "no number", env: map[string]string{"TEST_SHARD_INDEX": "x", "TEST_TOTAL_SHARDS": "5"}, bad: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			i, n, err := shard(func(k string) string { return x.env[k] })
			if x.bad {
				require.ErrorContains(t, err, "is no shard")
				return
			}
			require.NoError(t, err)
			require.Equal(t, [2]uint64{x.i, x.n}, [2]uint64{i, n})
		})
	}
	require.FileExists(t, status)
}

func TestRerun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	require.Equal(t, "go test -run '^TestA$/^b\\.c$' -loopback.seed=9", rerun("TestA/b.c/seed=9", 9))
	runtime.GOMAXPROCS(1)
	require.Equal(t, "go test -run '^TestA$' -cpu=1 -loopback.seed=9", rerun("TestA", 9))
}

// TestUnluckySeed is run by TestExplore in a process of its own: it fails with one seed in some.
func TestUnluckySeed(t *testing.T) {
	if os.Getenv("SIMTEST_UNLUCKY") == "" {
		t.Skip("fails now and then; TestExplore runs it")
	}
	Run(t, func(t *testing.T, n *sim.Net) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, sim.Impairment{Delay: time.Millisecond, Loss: 0.1})
		s, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		c, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		c.Write([]byte("datagram"))
		s.SetReadDeadline(time.Now().Add(time.Second))
		_, _, err = s.ReadFrom(make([]byte, 99))
		require.NoError(t, err, "it was lost")
	})
}

// unlucky runs TestUnluckySeed and returns what it says.
func unlucky(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"-test.run=^TestUnluckySeed$"}, args...)...)
	cmd.Env = append(os.Environ(), append(env, "SIMTEST_UNLUCKY=1")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// Many seeds find the failure, say how to see it again and keep its packets; that very command shows it again.
func TestExplore(t *testing.T) {
	dir := t.TempDir()
	line := regexp.MustCompile(`go test -run '(.*)'(?: -cpu=1)? -loopback\.seed=([0-9]+)`)
	failed := map[string]bool{}
	for _, procs := range []string{"1", "2"} {
		out, err := unlucky(t, []string{"GOMAXPROCS=" + procs}, "-loopback.seeds", "1-40", "-loopback.artifacts="+dir)
		require.Error(t, err, out)
		found := map[string]bool{}
		for _, m := range line.FindAllStringSubmatch(out, -1) {
			require.Equal(t, "^TestUnluckySeed$", m[1])
			found[m[2]] = true
		}
		require.NotEmpty(t, found, out)
		require.Less(t, len(found), 20, "one in ten is lost")
		if procs == "2" {
			require.Equal(t, failed, found, "the same seeds, on however many processes")
		}
		failed = found
	}
	for seed := range failed {
		out, err := unlucky(t, nil, "-loopback.seed="+seed)
		require.Error(t, err)
		require.Contains(t, out, "it was lost")
		base := filepath.Join(dir, "TestUnluckySeed_seed="+seed, "seed-"+seed)
		text, err := os.ReadFile(base + ".txt")
		require.NoError(t, err)
		require.Contains(t, string(text), "UDP, length 8\n\t-- lost: ")
		decisions, err := os.ReadFile(base + ".decisions.txt")
		require.NoError(t, err)
		require.Contains(t, string(decisions), "drop of datagram 1 of ")
		f, err := os.Open(base + ".pcapng")
		require.NoError(t, err)
		r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
		require.NoError(t, err)
		_, _, err = r.ReadPacketData()
		require.NoError(t, err)
		f.Close()
	}
	for i := range 40 {
		seed := strconv.Itoa(i)
		if i > 0 && !failed[seed] {
			out, err := unlucky(t, nil, "-loopback.seed="+seed)
			require.NoError(t, err, out)
			break
		}
	}
}

// Machines share the seeds; one that has none left has nothing to do.
func TestExploreShard(t *testing.T) {
	env := []string{"TEST_SHARD_INDEX=4", "TEST_TOTAL_SHARDS=5"}
	out, err := unlucky(t, env, "-loopback.seeds=1-4", "-test.v")
	require.NoError(t, err, out)
	require.Contains(t, out, "no seeds for shard 4 of 5")
	out, _ = unlucky(t, append(env, "GOMAXPROCS=1"), "-loopback.seeds=1-10", "-test.v")
	require.Contains(t, out, "seeds 5-10/5: 2 of 2 done", out)
	out, err = unlucky(t, nil, "-loopback.seeds=nonsense")
	require.Error(t, err)
	require.Contains(t, out, "is no range of seeds")
}
