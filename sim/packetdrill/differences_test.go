package packetdrill

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// differences are scripts that hold on Linux and not on our stack, each with
// the reason. A script that begins to hold belongs into testdata.
var differences = map[string]string{
	"advertised.pkt":                   "Linux's window also counts the overhead of its packet buffers; ours counts bytes and a constant",
	"clamp.pkt":                        "TCP_WINDOW_CLAMP is not offered",
	"defer_accept.pkt":                 "TCP_DEFER_ACCEPT is not offered",
	"every_second_full.pkt":            "without window scaling, Linux acknowledges every second segment even if nobody reads; we delay",
	"passive_option_bad_length.pkt":    "Linux reads on behind an option of a wrong length; we take only those before it",
	"half_open_many.pkt":               "Linux's queue of SYNs takes one more than the backlog; ours the backlog",
	"push_half_window.pkt":             "as silly_sender.pkt",
	"push_small_window.pkt":            "as silly_sender.pkt",
	"reopened.pkt":                     "as advertised.pkt",
	"silly_sender.pkt":                 "of a write beyond the window Linux pushes at half of it; we push at its end",
	"syncookies_mss.pkt":               "tcp_syncookies=2 (always) is not offered",
	"syncookies_no_retransmission.pkt": "as syncookies_mss.pkt",
	"urgent_inline.pkt":                "sockets do not offer urgent data: SO_OOBINLINE",
	"urgent_received.pkt":              "sockets do not offer urgent data: POLLPRI, SIOCATMARK, MSG_OOB",
	"urgent_sent.pkt":                  "sockets do not offer urgent data: MSG_OOB",
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
