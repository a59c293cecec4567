package tcp

import (
	"math"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"
)

// Whole connections that Linux's CUBIC was seen to treat alike are in sim/packetdrill/testdata/cwnd.

// linuxLossAt is lossAt for Linux's CUBIC.
func linuxLossAt(cwnd uint32, rtt time.Duration) (*path, *Cubic) {
	c := new(Cubic)
	p := &path{c: c, w: windowOf(cwnd, cwnd), rtt: rtt, now: 1000 * time.Second}
	p.lose(CongestionLoss)
	return p, c
}

// TestCubicCurve follows the window over the concave, flat and convex regions (RFC 9438 §4.4, §4.5).
func TestCubicCurve(t *testing.T) {
	for _, tt := range []struct {
		wMax uint32
		rtt  time.Duration
		for_ time.Duration
	}{
		{100, 200 * ms, 9 * time.Second},
		{1000, 100 * ms, 20 * time.Second},
		{1000, 500 * ms, 20 * time.Second},
		{10000, 100 * ms, 40 * time.Second},
	} {
		p, c := linuxLossAt(tt.wMax, tt.rtt)
		require.Equal(t, tt.wMax*717/1024, p.w.Ssthresh)
		start := p.now + p.rtt/time.Duration(p.w.Cwnd)
		for p.now-start < tt.for_ {
			p.roundTrip()
			elapsed := p.now - start
			lo := wCubic(elapsed-p.rtt, float64(tt.wMax), float64(tt.wMax)*0.7)
			hi := wCubic(elapsed+p.rtt, float64(tt.wMax), float64(tt.wMax)*0.7)
			require.GreaterOrEqual(t, float64(p.w.Cwnd), lo*0.98-3, "W_max %d at %v", tt.wMax, elapsed)
			require.LessOrEqual(t, float64(p.w.Cwnd), hi*1.02+3, "W_max %d at %v", tt.wMax, elapsed)
			require.Less(t, c.reno, p.w.Cwnd+1, "this path is not for Reno")
		}
		require.Greater(t, p.w.Cwnd, tt.wMax, "the convex region was reached")
	}
}

// TestCubicFriendlySlope: 8/15 of a segment a round trip, also beyond the window before the loss.
func TestCubicFriendlySlope(t *testing.T) {
	p, _ := linuxLossAt(100, 40*ms)
	for range 90 {
		p.roundTrip()
	}
	require.InDelta(t, 70+90*8.0/15, float64(p.w.Cwnd), 3)
}

// TestCubicPause: the curve is looked at again when the window has stood still for 32 ms, or when it moves.
func TestCubicPause(t *testing.T) {
	p, c := linuxLossAt(10, ms)
	require.Equal(t, uint32(7), p.w.Cwnd)
	for p.roundTrip(); p.w.Cwnd < 8; {
		p.roundTrip() // the curve, in whole segments, begins a segment above the window
	}
	p.roundTrip()
	still := c.lastTime
	for jiffies(p.now) < still+31 {
		p.roundTrip()
		require.Equal(t, uint32(8), p.w.Cwnd)
	}
	require.Equal(t, still, c.lastTime)
	p.roundTrip()
	p.roundTrip()
	require.Greater(t, c.lastTime, still+31)
	for range 5 {
		p.roundTrip()
	}
	require.Greater(t, p.w.Cwnd, uint32(14), "what Reno gained in the meantime is made up for")
}

// TestCubicAtMostHalf: a segment per two acknowledged ones, however far ahead the target is.
func TestCubicAtMostHalf(t *testing.T) {
	p, _ := linuxLossAt(1000, 100*ms)
	p.w.Cwnd, p.w.Ssthresh = 100, 100
	for range 30 {
		before := p.w.Cwnd
		p.roundTrip()
		require.LessOrEqual(t, p.w.Cwnd, before*3/2+1, "from %d", before)
	}
}

func TestCubicOnCongestion(t *testing.T) {
	for _, tt := range []struct {
		name              string
		last, cwnd        uint32
		ssthresh, lastMax uint32
	}{
		{"first loss", 0, 100, 70, 100},
		{"above the last one", 90, 100, 70, 100},
		{"equal to the last one", 100, 100, 70, 100},
		{"fast convergence (RFC 9438 §4.7)", 120, 100, 70, 85},
		{"Linux's initial window", 0, 10, 7, 10},
		{"rounded down", 0, 200, 140, 200},
		{"at least two", 0, 2, 2, 2},
		{"at least two, from one", 0, 1, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Cubic{lastMax: tt.last, begun: true}
			w := windowOf(tt.cwnd, InfiniteSsthresh)
			w.CwndCnt = 3
			c.OnCongestion(&w, time.Second, CongestionLoss)
			require.Equal(t, tt.ssthresh, w.Ssthresh)
			require.Equal(t, tt.cwnd, w.Cwnd)
			require.Zero(t, w.CwndCnt)
			require.Equal(t, tt.lastMax, c.lastMax)
			require.False(t, c.begun, "the next ACK in congestion avoidance begins a new epoch")
			require.False(t, c.Droppable())
		})
	}
}

// TestCubicTimeout: everything is forgotten, and until the next loss the window grows by 5 % at least.
func TestCubicTimeout(t *testing.T) {
	p, c := linuxLossAt(1000, 100*ms)
	p.c.OnCongestion(&p.w, p.now, CongestionRTO)
	p.c.OnTimeout(p.now, 7)
	require.Equal(t, Cubic{hy: hystart{started: true, roundStart: p.now, lastAck: p.now, end: 7}}, *c)
	p.w.Cwnd, p.w.Ssthresh = 200, 200
	for i := range 10 {
		before := p.w.Cwnd
		p.roundTrip()
		require.InDelta(t, float64(before)*1.05, float64(p.w.Cwnd), 1.5, "round trip %d", i)
	}
}

// TestCubicUndo: cwnd and ssthresh come back, and a new epoch begins.
func TestCubicUndo(t *testing.T) {
	p, c := linuxLossAt(1000, 100*ms)
	for range 20 {
		p.roundTrip()
	}
	before := p.w
	p.lose(CongestionLoss)
	p.roundTrip()
	c.Undo(&p.w)
	require.Equal(t, before.Cwnd, p.w.Cwnd)
	require.Equal(t, before.CurrentSsthresh(), p.w.Ssthresh)
	p.w.Cwnd = 5
	c.Undo(&p.w)
	require.Equal(t, uint32(5), p.w.Cwnd, "only once")
}

// TestCubicIdle: a pause with nothing in flight does not move along the curve (RFC 9438 §5.8); time in which
// the application sends less than it might does, on Linux.
func TestCubicIdle(t *testing.T) {
	run := func(pause func(p *path, c *Cubic)) uint32 {
		p, c := linuxLossAt(1000, 100*ms)
		for range 10 {
			p.roundTrip()
		}
		pause(p, c)
		for range 20 {
			p.roundTrip()
		}
		return p.w.Cwnd
	}
	want := run(func(*path, *Cubic) {})
	require.Equal(t, want, run(func(p *path, c *Cubic) {
		p.now += time.Minute
		c.OnRestart(&p.w, p.now, time.Minute)
	}), "idle")
	require.Greater(t, run(func(p *path, c *Cubic) {
		for range 600 {
			p.now += 100 * ms
			c.OnAck(&p.w, Ack{Now: p.now, RTT: p.rtt, SRTT: p.rtt, Acked: 2})
		}
	}), want, "application-limited")
	require.Equal(t, want, run(func(p *path, c *Cubic) { c.OnRestart(&p.w, p.now, -time.Minute) }), "no idle time")
	p, c := linuxLossAt(10, ms)
	p.roundTrip()
	c.OnRestart(&p.w, p.now, time.Hour)
	require.LessOrEqual(t, c.start, jiffies(p.now), "an epoch does not begin in the future")
}

func TestCubicNotLimited(t *testing.T) {
	for _, ssthresh := range []uint32{InfiniteSsthresh, 100, 20} {
		c := new(Cubic)
		w := windowOf(15, ssthresh)
		for i := range 1000 {
			c.OnAck(&w, Ack{Now: time.Duration(i) * time.Second, RTT: ms, SRTT: ms, Acked: 10})
		}
		require.Equal(t, uint32(15), w.Cwnd)
	}
}

// TestCubicNeverShrinks and never leaves the clamp, whatever an ACK says.
func TestCubicNeverShrinks(t *testing.T) {
	requireNeverShrinks(t, func(wMax uint32) Congestion { return &Cubic{lastMax: wMax} })
	requireNeverShrinks(t, func(wMax uint32) Congestion { return &CubicRFC{rfcEpoch: rfcEpoch{wMax: wMax}} })
}

// requireNeverShrinks tries an algorithm that had a loss at wMax on ACKs of all kinds.
func requireNeverShrinks(t *testing.T, lossAt func(wMax uint32) Congestion) {
	check := func(cwnd, ssthresh, wMax uint32, acked []uint32, step uint32, srtt int64) bool {
		c := lossAt(wMax)
		w := windowOf(max(cwnd, 1), ssthresh)
		w.Clamp = max(w.Cwnd, 1<<31)
		now := time.Duration(0)
		for _, n := range acked {
			before := w.Cwnd
			now += time.Duration(step)
			c.OnAck(&w, Ack{Now: now, RTT: time.Duration(srtt), SRTT: max(time.Duration(srtt), 0) / 2, Acked: n, Limited: true})
			if w.Cwnd < before || w.Cwnd > w.Clamp {
				return false
			}
		}
		return true
	}
	require.NoError(t, quick.Check(check, &quick.Config{MaxCount: 2000}))
}

// TestCubicSteady: with a loss whenever the window reaches what the path holds, the mean window over a saw tooth lies
// between β and 1 of it, about 0.85 … 0.95 (concave growth).
func TestCubicSteady(t *testing.T) {
	const capacity = 2000
	linux, _ := linuxLossAt(capacity, 100*ms)
	requireSteady(t, linux, capacity)
	rfc, _ := lossAt(capacity, 100*ms)
	requireSteady(t, rfc, capacity)
}

// requireSteady runs a saw tooth on a path that holds capacity segments.
func requireSteady(t *testing.T, p *path, capacity uint32) {
	var sum, n float64
	losses := 0
	for range 4000 {
		if p.w.Cwnd > capacity {
			p.lose(CongestionLoss)
			losses++
		}
		p.roundTrip()
		sum += float64(min(p.w.Cwnd, capacity))
		n++
	}
	require.Greater(t, losses, 10)
	require.InDelta(t, 0.92, sum/n/float64(capacity), 0.03)
}

func TestJiffies(t *testing.T) {
	require.Zero(t, jiffies(-time.Hour))
	require.Zero(t, jiffies(ms-1))
	require.Equal(t, uint64(1), jiffies(ms))
	require.Equal(t, uint64(math.MaxInt64/1_000_000), jiffies(math.MaxInt64))
}
