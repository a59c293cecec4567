package packetdrill

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// differences are scripts below differences/ that hold on Linux and not on our
// stack, each with the reason. A script that begins to hold belongs into testdata.
// At present there is none.
var differences = map[string]string{}

func TestKnownDifferences(t *testing.T) {
	scripts, err := Scripts(os.DirFS("."))
	require.NoError(t, err)
	found := 0
	for _, name := range scripts {
		dir, file, _ := strings.Cut(name, "/")
		if dir != "differences" {
			continue
		}
		found++
		t.Run(file, func(t *testing.T) {
			require.Contains(t, differences, file)
			src, err := os.ReadFile(name)
			require.NoError(t, err)
			script, err := Parse(name, string(src))
			require.NoError(t, err)
			err = script.Run(NewStack, Options{IPVersion: IPv4, Seed: 1})
			var failure *Failure
			require.ErrorAs(t, err, &failure, "it holds now: move it to testdata")
		})
	}
	require.Len(t, differences, found)
}
