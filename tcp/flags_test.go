package tcp

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlagsString(t *testing.T) {
	tests := []struct {
		f    Flags
		want string // as tcpdump prints it
	}{
		{0, "none"},
		{SYN, "S"},
		{SYN | ACK, "S."},
		{ACK, "."},
		{PSH | ACK, "P."},
		{FIN | ACK, "F."},
		{FIN | PSH | ACK, "FP."},
		{RST, "R"},
		{RST | ACK, "R."},
		{SYN | ECE | CWR, "SEW"},
		{SYN | ACK | ECE, "S.E"},
		{ACK | URG, ".U"},
		{0xff, "FSRP.UEW"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, tt.f.String(), "%08b", uint8(tt.f))
	}
}

func TestFlagsOnTheWire(t *testing.T) {
	// "CWR ECE URG ACK PSH RST SYN FIN" (RFC 9293 figure 1), FIN the lowest bit.
	require.Equal(t, []Flags{0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01},
		[]Flags{CWR, ECE, URG, ACK, PSH, RST, SYN, FIN})
}

func TestFlagsHasAny(t *testing.T) {
	f := SYN | ECE
	require.True(t, f.Has(SYN))
	require.True(t, f.Has(SYN|ECE))
	require.False(t, f.Has(SYN|CWR))
	require.True(t, f.Any(SYN|CWR))
	require.False(t, f.Any(ACK|CWR))
	require.True(t, f.Has(0))
	require.False(t, f.Any(0))
}
