package tcp

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sameTrace compares line by line, with a tolerance for times: the kernel's timers tick, and its wall clock
// does not stand still. Windows are compared until text has arrived: from then on they depend on how much
// memory the device driver takes for a packet.
func sameTrace(got, want []string, exact int) string {
	for i := 0; i < max(len(got), len(want)); i++ {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		gt, gr, _ := strings.Cut(strings.TrimSpace(g), " ")
		wt, wr, _ := strings.Cut(strings.TrimSpace(w), " ")
		a, _ := strconv.ParseFloat(gt, 64)
		b, _ := strconv.ParseFloat(wt, 64)
		if i >= exact {
			gr, wr = maskWindow(gr), maskWindow(wr)
		}
		if gr != wr || a-b > 0.06+b*0.06 || b-a > 0.06+b*0.06 {
			return fmt.Sprintf("line %d\n  got  %s\n  want %s", i+1, g, w)
		}
	}
	return ""
}

func maskWindow(s string) string {
	i := strings.Index(s, " win ")
	if i < 0 {
		return s
	}
	j := i + 5
	for j < len(s) && s[j] >= '0' && s[j] <= '9' {
		j++
	}
	if s[i+5:j] == "0" {
		return s
	}
	return s[:i+5] + "*" + s[j:]
}

func TestKernelTraces(t *testing.T) {
	dir := filepath.Join("testdata", "kernel")
	if d := os.Getenv("KERNEL_SCRIPTS"); d != "" {
		dir = d // a directory with more
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		blocks := strings.Split("\n"+string(b), "\n== ")[1:]
		require.NotEmpty(t, blocks)
		for _, block := range blocks {
			name, rest, _ := strings.Cut(block, "\n")
			script, want, ok := strings.Cut(rest, "\n--\n")
			require.True(t, ok, name)
			t.Run(name, func(t *testing.T) { playScript(t, script, want) })
		}
	}
}

func playScript(t *testing.T, script, want string) {
	r := &kernelRun{t: t}
	got := r.run(script)
	if r.exact == 0 {
		r.exact = len(got)
	}
	var lines []string
	if want = strings.TrimSpace(want); want != "" {
		lines = strings.Split(want, "\n")
	}
	if diff := sameTrace(got, lines, r.exact); diff != "" {
		t.Errorf("%s\n\nscript:\n%s\n\nwhole trace:\n%s\n\nkernel:\n%s", diff, script, strings.Join(got, "\n"), want)
	}
}
