package sim

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecisionIDText(t *testing.T) {
	flow := Flow{Proto: 6, Src: netip.MustParseAddrPort("127.0.0.1:49152"), Dst: netip.MustParseAddrPort("127.0.0.1:631")}
	six := Flow{Proto: 58, Src: netip.MustParseAddrPort("[::1]:7"), Dst: netip.MustParseAddrPort("[::1]:0")}
	for _, x := range []struct {
		id   DecisionID
		want string
	}{
		{DecisionID{Rule: "web>db", Kind: KindDrop, Flow: flow, Packet: 3}, "drop 3 6 127.0.0.1:49152>127.0.0.1:631 by web>db"},
		{DecisionID{Rule: "rule 1", Kind: KindMark, Flow: flow, Packet: 12, Copy: 65}, "ECN-mark 12+65 6 127.0.0.1:49152>127.0.0.1:631 by rule 1"},
		{DecisionID{Rule: "a;'b'\n", Kind: KindDelay, Flow: six, Packet: 1}, `delay 1 58 [::1]:7>[::1]:0 by "a;'b'\n"`},
		{DecisionID{Rule: `"`, Kind: KindFragment, Flow: six, Packet: 1}, `fragmentation 1 58 [::1]:7>[::1]:0 by "\""`},
	} {
		require.Equal(t, x.want, x.id.String())
		var got DecisionID
		require.NoError(t, got.UnmarshalText([]byte(x.want)))
		require.Equal(t, x.id, got)
	}
	for _, bad := range []string{"", "drop", "lose 3 6 127.0.0.1:1>127.0.0.1:2 by x", "drop x 6 127.0.0.1:1>127.0.0.1:2 by x",
		"drop 3+x 6 127.0.0.1:1>127.0.0.1:2 by x", "drop 3 600 127.0.0.1:1>127.0.0.1:2 by x", "drop 3 6 127.0.0.1:1 by x",
		"drop 3 6 nobody>127.0.0.1:2 by x", `drop 3 6 127.0.0.1:1>127.0.0.1:2 by "x`, "drop 3 6 127.0.0.1:1>127.0.0.1:2 of x"} {
		require.ErrorIs(t, new(DecisionID).UnmarshalText([]byte(bad)), ErrDecisionID, bad)
	}
}
