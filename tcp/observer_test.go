package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEventsPrintThemselves(t *testing.T) {
	const ms = time.Millisecond
	for _, x := range []struct {
		e    Event
		want string
	}{
		{Event{Kind: EventState, From: StateSynSent, To: StateEstablished}, "SYN-SENT → ESTABLISHED"},
		{Event{Kind: EventRTT, RTT: 40 * ms, SRTT: 41 * ms, RTO: 240 * ms}, "rtt 40ms, srtt 41ms, rto 240ms"},
		{Event{Kind: EventCwnd, Cwnd: 10, Ssthresh: InfiniteSsthresh}, "cwnd 10"},
		{Event{Kind: EventCwnd, Cwnd: 10, Ssthresh: 7}, "cwnd 10, ssthresh 7"},
		{Event{Kind: EventUndo, Cwnd: 10, Ssthresh: InfiniteSsthresh}, "undo 10"},
		{Event{Kind: EventCA, CAFrom: CAOpen, CATo: CARecovery}, "Open → Recovery"},
		{Event{Kind: EventRetransmit, Range: Range{1000, 2000}, Cause: CauseRetransmitFast}, "retransmit 1000:2000, retransmit-fast"},
		{Event{Kind: EventLost, Range: Range{1000, 2000}}, "lost 1000:2000"},
		{Event{Kind: EventTimer, Timer: TimerLossProbe}, "timer loss-probe"},
		{Event{Kind: EventDrop, Range: Range{1000, 2000}, Drop: DropPAWS}, "drop 1000:2000, paws"},
		{Event{Kind: 99}, "event(?)"},
	} {
		require.Equal(t, x.want, x.e.String())
	}
}
