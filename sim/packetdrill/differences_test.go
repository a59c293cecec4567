package packetdrill

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// differences are scripts that hold on Linux and not on our stack, each with
// the reason. A script that begins to hold belongs into testdata.
var differences = map[string]string{
	"advertised.pkt":                "Linux's window also counts the overhead of its packet buffers; ours counts bytes and a constant",
	"clamp.pkt":                     "TCP_WINDOW_CLAMP is not offered",
	"defer_accept.pkt":              "TCP_DEFER_ACCEPT is not offered",
	"every_second_full.pkt":         "without window scaling, Linux acknowledges every second segment even if nobody reads; we delay",
	"fin_out_of_order.pkt":          "Linux acknowledges a FIN at once when the gap before it is filled; we delay that ACK",
	"passive_option_bad_length.pkt": "Linux reads on behind an option of a wrong length; we take only those before it",
	"reopened.pkt":                  "as advertised.pkt",
	"silly_sender.pkt":              "of a write beyond the window Linux pushes at half of it; we push at its end",
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
