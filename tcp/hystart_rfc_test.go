package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slowStarter is a connection in its first slow start that is fed in rounds.
type slowStarter struct {
	c   CubicRFC
	w   Window
	una Seq
	now time.Duration
}

func newSlowStarter() *slowStarter {
	return &slowStarter{w: windowOf(10, InfiniteSsthresh)}
}

// round acknowledges the whole window, one segment an ACK, each with the round trip time rtt(i), and
// returns by how much the window grew. SND.NXT is always a window ahead.
func (s *slowStarter) round(rtt func(i int) time.Duration) uint32 {
	before := s.w.Cwnd
	for i := range int(before) {
		s.una++
		s.now += 100 * time.Microsecond
		s.c.OnAck(&s.w, Ack{
			Now: s.now, RTT: rtt(i), SRTT: 50 * ms, Acked: 1,
			Una: s.una, Nxt: s.una.Add(s.w.Cwnd), Limited: true,
		})
		if !s.w.InSlowStart() {
			break
		}
	}
	return s.w.Cwnd - before
}

func constant(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

func (s *slowStarter) inCSS() bool { return s.c.hy.cssRounds > 0 }

func TestHyStartPlusConstantRTT(t *testing.T) {
	s := newSlowStarter()
	for range 10 {
		before := s.w.Cwnd
		require.Equal(t, before, s.round(constant(50*ms)), "plain slow start doubles")
		require.False(t, s.inCSS())
	}
	require.True(t, s.w.InSlowStart())
}

// TestHyStartPlusThreshold: the threshold is an eighth of the last round's minimum between 4 and 16 ms.
func TestHyStartPlusThreshold(t *testing.T) {
	tests := []struct {
		base, rise time.Duration
		want       bool
	}{
		{time.Millisecond, 3999 * time.Microsecond, false},
		{time.Millisecond, 4 * ms, true},
		{32 * ms, 4*ms - time.Microsecond, false},
		{32 * ms, 4 * ms, true},
		{80 * ms, 10*ms - time.Microsecond, false},
		{80 * ms, 10 * ms, true},
		{400 * ms, 16*ms - time.Microsecond, false},
		{400 * ms, 16 * ms, true},
	}
	for _, tt := range tests {
		s := newSlowStarter()
		s.round(constant(tt.base))
		s.round(constant(tt.base))
		require.False(t, s.inCSS())
		s.round(constant(tt.base + tt.rise))
		require.Equal(t, tt.want, s.inCSS(), "%v + %v", tt.base, tt.rise)
		require.True(t, s.w.InSlowStart(), "CSS is still slow start")
	}
}

// TestHyStartPlusSamples: eight samples decide, and a single small one among them forbids the exit.
func TestHyStartPlusSamples(t *testing.T) {
	feed := func(n int, rtt func(i int) time.Duration) bool {
		s := newSlowStarter()
		ack := func(d time.Duration) {
			s.una++
			s.c.OnAck(&s.w, Ack{RTT: d, Acked: 1, Una: s.una, Nxt: s.una.Add(50), Limited: true})
		}
		for s.c.hy.lastMin != 50_000 || s.c.hy.samples != 0 {
			ack(50 * ms) // until a new round has just begun
		}
		for i := range n {
			ack(rtt(i))
		}
		return s.inCSS()
	}
	require.False(t, feed(7, constant(60*ms)))
	require.True(t, feed(8, constant(60*ms)))
	require.False(t, feed(20, func(i int) time.Duration {
		if i == 3 {
			return 50 * ms
		}
		return 60 * ms
	}))
	require.False(t, feed(20, func(i int) time.Duration {
		if i < 7 {
			return 60 * ms
		}
		return 0 // ACKs without a sample are none
	}))
	require.True(t, feed(9, func(i int) time.Duration {
		if i == 3 {
			return 0 // and no minimum either
		}
		return 60 * ms
	}))
}

// TestHyStartPlusExit: CSS grows by a quarter, lasts five rounds, and then fixes ssthresh.
func TestHyStartPlusExit(t *testing.T) {
	s := newSlowStarter()
	for range 4 {
		s.round(constant(50 * ms))
	}
	for !s.inCSS() {
		s.round(constant(70 * ms))
	}
	require.Equal(t, uint8(1), s.c.hy.cssRounds, "the partial round counts")
	rounds := 0
	for s.w.InSlowStart() {
		before := s.w.Cwnd
		grew := s.round(constant(70 * ms))
		rounds++
		if s.w.InSlowStart() {
			require.InDelta(t, float64(before)/4, float64(grew), 1, "CSS_GROWTH_DIVISOR is 4")
		}
		require.LessOrEqual(t, rounds, 6)
	}
	require.Equal(t, s.w.Cwnd, s.w.Ssthresh)
	require.Equal(t, 5, rounds, "the rest of the first round and four more end five rounds")

	cwnd := s.w.Cwnd
	s.c.OnAck(&s.w, Ack{Now: s.now, RTT: 70 * ms, SRTT: 70 * ms, Acked: 1, Una: s.una, Nxt: s.una + 1, Limited: true})
	require.Equal(t, cwnd, s.w.Cwnd, "congestion avoidance from here on")
	require.True(t, s.c.begun)
}

// TestHyStartPlusSpurious: when the round trip time comes back, slow start does (§4.2).
func TestHyStartPlusSpurious(t *testing.T) {
	s := newSlowStarter()
	for range 3 {
		s.round(constant(50 * ms))
	}
	for !s.inCSS() {
		s.round(constant(70 * ms))
	}
	require.Equal(t, uint32(70_000), s.c.hy.baseline)
	s.round(constant(70 * ms))
	require.True(t, s.inCSS(), "equal to the baseline is not below it")
	s.round(constant(69 * ms))
	require.False(t, s.inCSS())
	require.True(t, s.w.InSlowStart())
	before := s.w.Cwnd
	require.Equal(t, before, s.round(constant(69*ms)), "doubling again")
}

// TestHyStartPlusLossInCSS: a congestion event ends it for good: later slow starts are plain.
func TestHyStartPlusLossInCSS(t *testing.T) {
	s := newSlowStarter()
	for range 3 {
		s.round(constant(50 * ms))
	}
	for !s.inCSS() {
		s.round(constant(70 * ms))
	}
	s.c.OnCongestion(&s.w, s.now, CongestionRTO)
	s.w.Cwnd = 1
	for range 4 {
		before := s.w.Cwnd
		require.Equal(t, before, s.round(constant(70*ms)), "no quarter steps")
	}
}

func TestHyStartPlusApplicationLimited(t *testing.T) {
	s := newSlowStarter()
	for range 3 {
		s.round(constant(50 * ms))
	}
	cwnd := s.w.Cwnd
	for range 20 {
		s.una++
		s.c.OnAck(&s.w, Ack{RTT: 90 * ms, Acked: 1, Una: s.una, Nxt: s.una + 10})
	}
	require.Equal(t, cwnd, s.w.Cwnd)
	require.True(t, s.inCSS() || s.c.hy.lastMin == 90_000, "samples count all the same")
}

func TestToMicros(t *testing.T) {
	require.Equal(t, uint32(0), toMicros(-time.Hour))
	require.Equal(t, uint32(0), toMicros(999))
	require.Equal(t, uint32(4000), toMicros(4*ms))
	require.Equal(t, uint32(0xffffffff), toMicros(100*time.Hour))
}
