package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// linuxStarter is a connection in its first slow start under Linux's CUBIC.
type linuxStarter struct {
	c   Cubic
	w   Window
	una Seq
	now time.Duration
}

// ack acknowledges one segment gap after the ACK before.
func (s *linuxStarter) ack(gap, rtt time.Duration) {
	s.una++
	s.now += gap
	s.c.OnAck(&s.w, Ack{Now: s.now, RTT: rtt, SRTT: 100 * ms, Acked: 1, Una: s.una, Nxt: s.una.Add(s.w.Cwnd), MSS: 1448, Limited: true})
}

// newLinuxStarter is one that has measured rtt, and whose next ACK begins a round at a window of cwnd.
func newLinuxStarter(cwnd uint32, rtt time.Duration) *linuxStarter {
	s := &linuxStarter{w: windowOf(cwnd-1, InfiniteSsthresh), now: time.Second}
	s.ack(0, rtt)
	s.una = s.c.hy.end
	s.w.Cwnd = cwnd
	return s
}

// TestHyStartDelay: the least of nine samples in a round must lie above the least ever by an eighth of it, between
// 4 and 16 ms.
func TestHyStartDelay(t *testing.T) {
	for _, tt := range []struct {
		base, rise time.Duration
		want       bool
	}{
		{ms, 4 * ms, false},
		{ms, 4*ms + time.Microsecond, true},
		{80 * ms, 10 * ms, false},
		{80 * ms, 10*ms + time.Microsecond, true},
		{400 * ms, 16 * ms, false},
		{400 * ms, 16*ms + time.Microsecond, true},
	} {
		s := newLinuxStarter(50, tt.base)
		for i := range 8 {
			s.ack(3*ms, tt.base+tt.rise)
			require.True(t, s.w.InSlowStart(), "%v + %v: sample %d", tt.base, tt.rise, i+1)
		}
		s.ack(3*ms, tt.base+tt.rise)
		require.Equal(t, !tt.want, s.w.InSlowStart(), "%v + %v", tt.base, tt.rise)
	}
	s := newLinuxStarter(50, 80*ms)
	s.ack(3*ms, 80*ms)
	for range 20 {
		s.ack(3*ms, 100*ms)
	}
	require.True(t, s.w.InSlowStart(), "one sample of the round was short")
}

// TestHyStartTrain: ACKs within 2 ms of each other for more than half of the least RTT, and half a millisecond for bursts.
func TestHyStartTrain(t *testing.T) {
	s := newLinuxStarter(50, 20*ms)
	s.ack(ms, 20*ms)
	for range 10 {
		s.ack(ms, 20*ms)
		require.True(t, s.w.InSlowStart())
	}
	s.ack(ms, 20*ms)
	require.False(t, s.w.InSlowStart(), "11 ms")

	s = newLinuxStarter(50, 20*ms)
	for range 9 {
		s.ack(ms, 20*ms)
	}
	s.ack(2*ms+1, 20*ms)
	for range 30 {
		s.ack(ms, 20*ms)
	}
	require.True(t, s.w.InSlowStart(), "a gap, and the train is over for this round")
}

// TestHyStartLowWindow: below 16 segments it is not looked for.
func TestHyStartLowWindow(t *testing.T) {
	for cwnd, want := range map[uint32]bool{15: true, 16: false} {
		s := newLinuxStarter(cwnd, 20*ms)
		s.w.Clamp = cwnd
		for range 12 {
			s.ack(ms, 20*ms)
		}
		require.Equal(t, want, s.w.InSlowStart(), "%d", cwnd)
	}
}

// TestHyStartOnce: slow start is ended once; after a timeout it is looked for again.
func TestHyStartOnce(t *testing.T) {
	s := newLinuxStarter(50, 20*ms)
	for s.w.InSlowStart() {
		s.ack(ms, 20*ms)
	}
	require.True(t, s.c.hy.found)
	s.w.Ssthresh = 1000
	for range 40 {
		s.ack(ms, 20*ms)
	}
	require.True(t, s.w.InSlowStart())
	s.c.OnTimeout(s.now, s.una)
	require.False(t, s.c.hy.found)
	for range 40 {
		s.ack(ms, 20*ms)
	}
	require.False(t, s.w.InSlowStart())
}

// TestHyStartOff: with Config.HyStart off slow start is plain, also after a timeout.
func TestHyStartOff(t *testing.T) {
	c := established(t, &Config{HyStart: Off}, synOpts)
	alg := c.tcb.algorithm().(*Cubic)
	require.True(t, alg.plain)
	alg.OnTimeout(0, 0)
	require.True(t, alg.plain)
	s := newLinuxStarter(50, 20*ms)
	s.c.plain = true
	for range 100 {
		s.ack(ms, 90*ms)
	}
	require.True(t, s.w.InSlowStart())
	require.Equal(t, uint32(20_000), s.c.hy.delayMin)
}

// TestHyStartHeld: an ACK that must not grow the window may end slow start nevertheless.
func TestHyStartHeld(t *testing.T) {
	s := newLinuxStarter(50, 20*ms)
	for range 12 {
		s.now += ms
		s.una++
		s.c.OnHeldAck(&s.w, Ack{Now: s.now, RTT: 20 * ms, SRTT: 20 * ms, Una: s.una, Nxt: s.una + 50, MSS: 1448})
	}
	require.Equal(t, uint32(50), s.w.Cwnd)
	require.Equal(t, uint32(50), s.w.Ssthresh)
}

// TestHyStartAfterLoss: samples of the first second of an epoch count for nothing.
func TestHyStartAfterLoss(t *testing.T) {
	c := Cubic{begun: true, start: 1000}
	w := windowOf(50, 50)
	c.OnHeldAck(&w, Ack{Now: 1999 * ms, RTT: 20 * ms})
	require.Zero(t, c.hy.delayMin)
	c.OnHeldAck(&w, Ack{Now: 2000 * ms, RTT: 20 * ms})
	require.Equal(t, uint32(20_000), c.hy.delayMin)
}

// TestHyStartBurst: four bursts of 64 kB at twice the window per RTT, 1.2 times where slow start is about to end, and a
// millisecond at most.
func TestHyStartBurst(t *testing.T) {
	for _, tt := range []struct {
		cwnd, ssthresh uint32
		srtt, want     time.Duration
	}{
		{16, InfiniteSsthresh, 100 * ms, ms},
		{1000, InfiniteSsthresh, ms, 90 * time.Microsecond},
		{1000, 1500, ms, 150 * time.Microsecond},
		{1000, InfiniteSsthresh, 0, 0},
	} {
		w := windowOf(tt.cwnd, tt.ssthresh)
		require.InDelta(t, tt.want, burst(&w, Ack{SRTT: tt.srtt, MSS: 1448}), 1000, "%+v", tt)
	}
}
