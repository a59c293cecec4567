package packetdrill

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// differences are scripts that hold on Linux and not on our stack, each with
// the reason. A script that begins to hold belongs into testdata.
var differences = map[string]string{
	"advertised.pkt":        "Linux's window also counts the overhead of its packet buffers; ours counts bytes and a constant",
	"every_second_full.pkt": "without window scaling, Linux acknowledges every second segment even if nobody reads; we delay",
	"reopened.pkt":          "as advertised.pkt",
}

func TestKnownDifferences(t *testing.T) {
	fsys := os.DirFS("differences")
	scripts, err := Scripts(fsys)
	require.NoError(t, err)
	require.Len(t, scripts, len(differences))
	for _, name := range scripts {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, differences, name)
			src, err := os.ReadFile("differences/" + name)
			require.NoError(t, err)
			script, err := Parse(name, string(src))
			require.NoError(t, err)
			err = script.Run(NewStack, Options{IPVersion: IPv4, Seed: 1})
			var failure *Failure
			require.ErrorAs(t, err, &failure, "it holds now: move it to testdata")
		})
	}
}
