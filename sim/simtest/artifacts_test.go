package simtest_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/sim/simtest"
)

// TestFailsOnTCP fails when TestArtifacts asks for it, after a connection whose first segment of data was lost.
func TestFailsOnTCP(t *testing.T) {
	if os.Getenv("SIMTEST_FAILS") == "" {
		t.Skip("it is run by TestArtifacts")
	}
	simtest.Run(t, func(t *testing.T, n *sim.Net) {
		server, client := n.Host("server"), n.Host("client")
		n.LinkOneWay(client, server, sim.Impairment{Delay: 10 * time.Millisecond, DropSegments: []uint64{1}})
		l, err := server.Listen("tcp", ":80")
		require.NoError(t, err)
		go func() {
			defer l.Close()
			if c, err := l.Accept(); err == nil {
				io.Copy(io.Discard, c)
				c.Close()
			}
		}()
		c, err := client.Dial("tcp", "server:80")
		require.NoError(t, err)
		io.WriteString(c, "hello")
		c.Close()
		time.Sleep(time.Minute)
		t.Error("as it should")
	})
}

// A failed run leaves the capture, the trace, the decisions and the ladder, each of which tells of the lost segment.
func TestArtifacts(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFailsOnTCP$", "-loopback.seed=9", "-loopback.artifacts="+dir)
	cmd.Env = append(os.Environ(), "SIMTEST_FAILS=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	dir = filepath.Join(dir, "TestFailsOnTCP")
	require.Contains(t, string(out), "are in "+dir)
	for name, want := range map[string][]string{
		"seed-9.pcapng":        {"\x0a\x0d\x0d\x0a", "seed 9", `lost: chosen, by "client>server"`, "retransmit-"},
		"seed-9.txt":           {"length 5", "\n\t-- lost: chosen, by \"client>server\"\n", "(retransmit-"},
		"seed-9.decisions.txt": {"drop of segment 1 of ", `by "client>server": chosen`},
		"seed-9.ladder-1.txt":  {"server:80", "lost: chosen", "ESTABLISHED", "retransmit-"},
		"seed-9.ladder-1.svg":  {"<svg", "lost: chosen", "</svg>"},
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		for _, w := range want {
			require.Contains(t, string(b), w, name)
		}
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 5)
}
