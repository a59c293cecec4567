package ladder_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim/ladder"
)

func chart() ladder.Chart {
	ms := time.Millisecond
	return ladder.Chart{
		Left: "a <b> & c", Right: "server",
		Messages: []ladder.Message{
			{Sent: 0, FromLeft: true, Label: "[S], seq 1", Lost: true, Fate: "lost: loss"},
			{Sent: 1000 * ms, FromLeft: true, Label: "[S], seq 1", Why: "retransmit-syn", Arrivals: []time.Duration{1020 * ms}},
			{Sent: 1020 * ms, Label: "[S.], seq 2", Fate: "duplicate", Arrivals: []time.Duration{1040 * ms, 1041 * ms}},
		},
		Notes: []ladder.Note{{At: 1020 * ms, Text: "SYN-RECEIVED"}, {At: 0, Left: true, Text: "SYN-SENT"}},
	}
}

func ExampleChart_WriteText() {
	c := chart()
	c.WriteText(os.Stdout)
	// Output:
	//               s                   a <b> & c                                                                                                    server
	//          0.000                   SYN-SENT |                                                                                                |
	//          0.000                            |- [S], seq 1  lost: loss --------------------------------------------------------------------- X|
	//          1.000                            |- [S], seq 1 (retransmit-syn), 20ms ----------------------------------------------------------->|
	//          1.020                            |                                                                                                | SYN-RECEIVED
	//          1.020                            |~ --------------------------------------------------------------------- [S.], seq 2  duplicate -|
	//          1.040                            |< - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - [S.], seq 2 after 20ms -|
	//          1.041                            |< - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - [S.], seq 2 after 21ms -|
}

// The drawing is well-formed whatever the names are, and has everything in it.
func TestSVG(t *testing.T) {
	c := chart()
	var b strings.Builder
	require.NoError(t, c.WriteSVG(&b))
	d := xml.NewDecoder(strings.NewReader(b.String()))
	text := ""
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if s, ok := tok.(xml.CharData); ok {
			text += string(s)
		}
	}
	for _, want := range []string{"a <b> & c", "[S], seq 1 · lost: loss", "[S], seq 1 · retransmit-syn", "[S.], seq 2 · duplicate", "SYN-RECEIVED", "1.041"} {
		require.Contains(t, text, want)
	}
	require.Equal(t, 3, strings.Count(b.String(), "marker-end"), "an arrow for each arrival")
}
