package tcp

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSegmentSeqLen(t *testing.T) {
	tests := []struct {
		name string
		f    Flags
		n    int
		want uint32
	}{
		{"pure ACK", ACK, 0, 0},
		{"SYN", SYN, 0, 1},
		{"data", ACK | PSH, 100, 100},
		{"data with FIN", ACK | FIN, 100, 101},
		{"SYN and FIN with data", SYN | FIN, 10, 12},
		{"RST does not count", RST, 0, 0},
		{"URG does not count", ACK | URG, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Segment{Seq: 0xffffffff, Flags: tt.f, Payload: Payload{N: tt.n}}
			require.Equal(t, tt.want, s.SeqLen())
			require.Equal(t, Seq(0xffffffff)+Seq(tt.want), s.End())
		})
	}
}

func TestCauseString(t *testing.T) {
	seen := map[string]bool{}
	for c := CauseNone; c < numCauses; c++ {
		name := c.String()
		require.NotEmpty(t, name, "cause %d has no name", c)
		require.False(t, seen[name], "two causes are named %q", name)
		seen[name] = true
	}
	require.Equal(t, "retransmit-fast", CauseRetransmitFast.String())
	require.Equal(t, "time-wait", CauseTimeWait.String())
	require.Equal(t, "cause(?)", numCauses.String())
}

func TestReset(t *testing.T) {
	tests := []struct {
		name string
		in   Segment
		want *Segment // nil: no answer
	}{
		{
			"a refused SYN",
			Segment{SrcPort: 40000, DstPort: 631, Seq: 1000, Flags: SYN, Wnd: 65535, Opts: Options{MSS: 1460, HasMSS: true}},
			&Segment{SrcPort: 631, DstPort: 40000, Seq: 0, Ack: 1001, Flags: RST | ACK, Cause: CauseReset},
		},
		{
			"a SYN with data",
			Segment{SrcPort: 1, DstPort: 2, Seq: 0xffffffff, Flags: SYN, Payload: Payload{N: 5}},
			&Segment{SrcPort: 2, DstPort: 1, Ack: 5, Flags: RST | ACK, Cause: CauseReset},
		},
		{
			"data and FIN without ACK",
			Segment{SrcPort: 1, DstPort: 2, Seq: 10, Flags: FIN, Payload: Payload{N: 5}},
			&Segment{SrcPort: 2, DstPort: 1, Ack: 16, Flags: RST | ACK, Cause: CauseReset},
		},
		{
			"no flags at all",
			Segment{SrcPort: 1, DstPort: 2, Seq: 10},
			&Segment{SrcPort: 2, DstPort: 1, Ack: 10, Flags: RST | ACK, Cause: CauseReset},
		},
		{
			"a stray ACK",
			Segment{SrcPort: 1, DstPort: 2, Seq: 10, Ack: 77, Flags: ACK, Opts: Options{HasTS: true, TSVal: 5}},
			&Segment{SrcPort: 2, DstPort: 1, Seq: 77, Flags: RST, Cause: CauseReset},
		},
		{
			"a stray SYN-ACK",
			Segment{SrcPort: 1, DstPort: 2, Seq: 10, Ack: 77, Flags: SYN | ACK},
			&Segment{SrcPort: 2, DstPort: 1, Seq: 77, Flags: RST, Cause: CauseReset},
		},
		{"a RST", Segment{Flags: RST, Seq: 1}, nil},
		{"a RST with ACK", Segment{Flags: RST | ACK, Seq: 1, Ack: 2}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			untouched := Segment{SrcPort: 99, Wnd: 7, ECN: 2, Opts: Options{HasTS: true}}
			out := untouched
			ok := Reset(&tt.in, &out)
			if tt.want == nil {
				require.False(t, ok)
				require.Equal(t, untouched, out)
				return
			}
			require.True(t, ok)
			require.Equal(t, *tt.want, out)
		})
	}
}
