package tcp

import (
	"math"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"
)

// path is a connection with a full window over a path of constant round trip time: each round trip
// delivers a whole window, an ACK per segment, evenly spread.
type path struct {
	c   Congestion
	w   Window
	now time.Duration
	rtt time.Duration
}

func (p *path) roundTrip() {
	n := p.w.Cwnd
	for i := range n {
		at := p.now + p.rtt*time.Duration(i+1)/time.Duration(n)
		p.c.OnAck(&p.w, Ack{Now: at, RTT: p.rtt, SRTT: p.rtt, Acked: 1, Limited: true})
	}
	p.now += p.rtt
}

// lose is one congestion event with an instant reduction to ssthresh.
func (p *path) lose(why CongestionEvent) {
	p.c.OnCongestion(&p.w, p.now, why)
	p.w.Cwnd = p.w.Ssthresh
}

// lossAt returns a path that has lost at cwnd and starts its congestion avoidance.
func lossAt(cwnd uint32, rtt time.Duration) (*path, *CubicRFC) {
	c := new(CubicRFC)
	p := &path{c: c, w: windowOf(cwnd, cwnd), rtt: rtt, now: 1000 * time.Second}
	p.lose(CongestionLoss)
	return p, c
}

// wCubic is the formula of RFC 9438 §4.2 figures 1 and 2, in floating point.
func wCubic(t time.Duration, wMax, cwndEpoch float64) float64 {
	k := math.Cbrt((wMax - cwndEpoch) / 0.4)
	return 0.4*math.Pow(t.Seconds()-k, 3) + wMax
}

// TestCubicRFCCurve follows the window over the concave, flat and convex regions (§4.4, §4.5).
func TestCubicRFCCurve(t *testing.T) {
	tests := []struct {
		wMax uint32
		rtt  time.Duration
		for_ time.Duration
	}{
		{100, 200 * ms, 9 * time.Second},
		{1000, 100 * ms, 20 * time.Second},
		{1000, 500 * ms, 20 * time.Second},
		{10000, 100 * ms, 40 * time.Second},
	}
	for _, tt := range tests {
		p, c := lossAt(tt.wMax, tt.rtt)
		require.Equal(t, tt.wMax*7/10, p.w.Ssthresh, "beta is 0.7 (§4.6)")
		start := p.now + p.rtt/time.Duration(p.w.Cwnd) // the first ACK begins the stage
		for p.now-start < tt.for_ {
			p.roundTrip()
			elapsed := p.now - start
			// During a round trip the window moves towards the curve one round trip ahead, so it
			// lies between the curve now and then.
			lo := wCubic(elapsed-p.rtt, float64(tt.wMax), float64(tt.wMax)*0.7)
			hi := wCubic(elapsed+p.rtt, float64(tt.wMax), float64(tt.wMax)*0.7)
			require.GreaterOrEqual(t, float64(p.w.Cwnd), lo-2, "W_max %d at %v", tt.wMax, elapsed)
			require.LessOrEqual(t, float64(p.w.Cwnd), hi+2, "W_max %d at %v", tt.wMax, elapsed)
			require.Less(t, c.wEst, p.w.Cwnd+1, "this path is not for Reno")
		}
		require.Greater(t, p.w.Cwnd, tt.wMax, "the convex region was reached")
	}
}

func TestCubicRFCK(t *testing.T) {
	for _, wMax := range []uint32{10, 100, 1000, 12345, 1_000_000, 1 << 28} {
		var w Window
		w.Init(0, 10)
		w.Cwnd = uint32(uint64(wMax) * 7 / 10)
		c := CubicRFC{rfcEpoch: rfcEpoch{wMax: wMax}}
		c.begin(&w, 5*time.Second)
		require.Equal(t, wMax, c.origin)
		want := math.Cbrt(float64(wMax-w.Cwnd)/0.4) * 1000
		require.InDelta(t, want, float64(c.k), 1.001, "W_max %d", wMax)

		require.InDelta(t, float64(w.Cwnd), float64(c.at(0)), 2+float64(wMax)/1e5, "the curve begins at cwnd")
		require.Equal(t, wMax, c.at(time.Duration(c.k)*ms), "and is flat at W_max")
	}
}

func TestCubicRFCAt(t *testing.T) {
	c := CubicRFC{rfcEpoch: rfcEpoch{k: 4000, origin: 100}}
	for t_, want := range map[time.Duration]uint32{
		-time.Second:     100 - 25, // before the epoch is the epoch: 0.4 × 4³ = 25.6
		0:                100 - 25,
		2 * time.Second:  100 - 3, // 3.2
		4 * time.Second:  100,
		6 * time.Second:  103,
		14 * time.Second: 100 + 400,
		// The curve stands still after 1048.576 s.
		2000 * time.Second: 100 + 461168601,
		math.MaxInt64:      100 + 461168601,
	} {
		require.Equal(t, want, c.at(t_), "%v", t_)
	}
	low := CubicRFC{rfcEpoch: rfcEpoch{k: 1 << 20, origin: 100}}
	require.Zero(t, low.at(0), "never below zero")
	high := CubicRFC{rfcEpoch: rfcEpoch{origin: math.MaxUint32 - 5}}
	require.Equal(t, uint32(math.MaxUint32), high.at(time.Hour))
}

// TestCubicRFCRenoFriendly: on a short path the window is what Reno with beta 0.7 would have (§4.3).
func TestCubicRFCRenoFriendly(t *testing.T) {
	p, c := lossAt(100, ms)
	est, prior := float64(p.w.Cwnd), 100.0
	for i := range 200 {
		before := float64(p.w.Cwnd)
		p.roundTrip()
		alpha := 9.0 / 17
		if est >= prior {
			alpha = 1
		}
		est += alpha // a window per round trip
		require.InDelta(t, est, float64(c.wEst), 0.02*est, "round trip %d", i)
		require.InDelta(t, float64(c.wEst), float64(p.w.Cwnd), 1, "round trip %d", i)
		require.LessOrEqual(t, float64(p.w.Cwnd)-before, 2.0)
	}
	require.Greater(t, p.w.Cwnd, uint32(200))
}

// TestCubicRFCTargetBound: the window does not grow by more than half in a round trip (§4.2).
func TestCubicRFCTargetBound(t *testing.T) {
	c := CubicRFC{rfcEpoch: rfcEpoch{origin: 1_000_000}}
	require.Equal(t, uint32(150), c.target(100, 0))
	require.Equal(t, uint32(2_000_000), c.target(2_000_000, 0), "and never shrinks")
	require.Equal(t, uint32(900_000+100_000), c.target(900_000, 0))

	p, _ := lossAt(1000, 100*ms)
	p.w.Cwnd = 100 // recovery left far less than ssthresh
	p.w.Ssthresh = 100
	for range 30 {
		before := p.w.Cwnd
		p.roundTrip()
		require.LessOrEqual(t, p.w.Cwnd, before*17/10, "from %d", before)
	}
}

func TestCubicRFCOnCongestion(t *testing.T) {
	tests := []struct {
		name                  string
		wMax, cwnd            uint32
		why                   CongestionEvent
		ssthresh, wantMax, pr uint32
	}{
		{"first loss", 0, 100, CongestionLoss, 70, 100, 100},
		{"above the last one", 90, 100, CongestionLoss, 70, 100, 100},
		{"equal to the last one", 100, 100, CongestionLoss, 70, 100, 100},
		{"fast convergence (§4.7)", 120, 100, CongestionLoss, 70, 85, 100},
		{"ECN", 120, 100, CongestionECN, 70, 85, 100},
		{"timeout (§4.8)", 120, 100, CongestionRTO, 70, 0, 100},
		{"Linux's initial window", 0, 10, CongestionLoss, 7, 10, 10},
		{"at least two", 0, 2, CongestionLoss, 2, 2, 2},
		{"at least two, from one", 0, 1, CongestionLoss, 2, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := CubicRFC{rfcEpoch: rfcEpoch{wMax: tt.wMax, begun: true}}
			w := windowOf(tt.cwnd, InfiniteSsthresh)
			w.CwndCnt = 3
			c.OnCongestion(&w, time.Second, tt.why)
			require.Equal(t, tt.ssthresh, w.Ssthresh)
			require.Equal(t, tt.cwnd, w.Cwnd)
			require.Zero(t, w.CwndCnt)
			require.Equal(t, tt.wantMax, c.wMax)
			require.Equal(t, tt.pr, c.cwndPrior)
			require.False(t, c.begun, "the next ACK in congestion avoidance begins a new stage")
			require.False(t, c.Droppable())
		})
	}
}

// TestCubicRFCAfterTimeout: slow start up to ssthresh, then a curve with K = 0 from there (§4.8).
func TestCubicRFCAfterTimeout(t *testing.T) {
	p, c := lossAt(1000, 100*ms)
	p.c.OnCongestion(&p.w, p.now, CongestionRTO)
	thresh := p.w.Ssthresh
	p.w.Cwnd = 1
	for range 8 {
		p.roundTrip()
	}
	require.Equal(t, uint32(256), p.w.Cwnd, "slow start")
	for !c.begun {
		p.roundTrip()
	}
	require.Zero(t, c.k)
	require.Equal(t, thresh, c.origin)
	for p.now < c.start+5*time.Second {
		p.roundTrip()
	}
	// 0.4 × 5³ = 50 more by the curve; Reno would be at 490 + 50 × 9/17 = 516.
	require.InDelta(t, float64(thresh)+50, float64(p.w.Cwnd), 5)
}

// TestCubicRFCWithoutLoss: after HyStart++ the curve starts at the present window with K = 0 (§4.10), and
// Reno's estimate has Reno's full slope.
func TestCubicRFCWithoutLoss(t *testing.T) {
	c := new(CubicRFC)
	p := &path{c: c, w: windowOf(50, 50), rtt: 10 * ms}
	for range 100 {
		p.roundTrip()
	}
	require.Zero(t, c.k)
	require.Equal(t, uint32(50), c.origin)
	require.InDelta(t, 150, float64(p.w.Cwnd), 3, "a segment per round trip")
	require.True(t, c.Droppable(), "no loss: nothing to remember")
}

func TestCubicRFCUndo(t *testing.T) {
	p, c := lossAt(1000, 100*ms)
	for range 20 {
		p.roundTrip()
	}
	before, epoch := p.w, c.rfcEpoch
	require.True(t, epoch.begun)

	p.lose(CongestionLoss)
	p.roundTrip()
	require.NotEqual(t, epoch, c.rfcEpoch)
	c.Undo(&p.w)
	require.Equal(t, epoch, c.rfcEpoch, "the old curve again (§4.9)")
	require.Equal(t, before.Cwnd, p.w.Cwnd)
	require.Equal(t, before.CurrentSsthresh(), p.w.Ssthresh)

	p.w.Cwnd = 5
	c.Undo(&p.w)
	require.Equal(t, uint32(5), p.w.Cwnd, "only once")
	require.Equal(t, epoch, c.rfcEpoch)
}

// TestCubicRFCPause: time without data, or without need of the window, does not move along the curve
// (§4.2, §5.8).
func TestCubicRFCPause(t *testing.T) {
	run := func(pause func(p *path, c *CubicRFC)) []uint32 {
		p, c := lossAt(1000, 100*ms)
		for range 10 {
			p.roundTrip()
		}
		pause(p, c)
		var got []uint32
		for range 20 {
			p.roundTrip()
			got = append(got, p.w.Cwnd)
		}
		return got
	}
	want := run(func(*path, *CubicRFC) {})
	require.Equal(t, want, run(func(p *path, c *CubicRFC) {
		p.now += time.Minute
		c.OnRestart(&p.w, p.now, time.Minute)
	}), "idle")
	require.Equal(t, want, run(func(p *path, c *CubicRFC) {
		for range 600 { // requests and answers that need a few segments
			p.now += 100 * ms
			c.OnAck(&p.w, Ack{Now: p.now, RTT: p.rtt, SRTT: p.rtt, Acked: 2})
		}
	}), "application-limited")
	require.Equal(t, want, run(func(p *path, c *CubicRFC) {
		p.now += time.Minute
		c.OnRestart(&p.w, p.now, time.Minute)
		p.now += 100 * ms
		c.OnAck(&p.w, Ack{Now: p.now, RTT: p.rtt, SRTT: p.rtt, Acked: 2})
	}), "idle, then application-limited: the pause counts once")
	require.NotEqual(t, want, run(func(p *path, c *CubicRFC) { p.now += time.Minute }), "time does matter")
	require.Equal(t, want, run(func(p *path, c *CubicRFC) { c.OnRestart(&p.w, p.now, -time.Minute) }), "no idle time")
}

func TestCubicRFCNotLimited(t *testing.T) {
	for _, ssthresh := range []uint32{InfiniteSsthresh, 100, 20} {
		c := new(CubicRFC)
		w := windowOf(50, ssthresh)
		for i := range 1000 {
			c.OnAck(&w, Ack{Now: time.Duration(i) * time.Second, RTT: ms, SRTT: ms, Acked: 10})
		}
		require.Equal(t, uint32(50), w.Cwnd)
	}
}

func TestCubicRFCLaterSlowStart(t *testing.T) {
	c := new(CubicRFC)
	w := windowOf(10, 15)
	c.OnAck(&w, Ack{Now: 1, RTT: ms, SRTT: ms, Acked: 3, Limited: true})
	require.Equal(t, uint32(13), w.Cwnd)
	require.False(t, c.begun)
	c.OnAck(&w, Ack{Now: 1, RTT: ms, SRTT: ms, Acked: 3, Limited: true})
	require.Equal(t, uint32(15), w.Cwnd)
	require.True(t, c.begun, "the rest of the ACK counts for congestion avoidance")
	require.Equal(t, uint64(17), c.wEstFrac)

	c, w = new(CubicRFC), windowOf(10, 15)
	c.OnAck(&w, Ack{Acked: 5, Limited: true})
	require.Equal(t, uint32(15), w.Cwnd)
	require.False(t, c.begun, "nothing of the ACK is left: the next one begins the stage")

	c, w = new(CubicRFC), windowOf(10, 15)
	w.Clamp = 12
	c.OnAck(&w, Ack{Acked: 8, Limited: true})
	require.Equal(t, uint32(12), w.Cwnd)
	require.False(t, c.begun, "the clamp keeps it in slow start")
}

func TestCubeRoot(t *testing.T) {
	for _, x := range []uint64{0, 1, 7, 8, 9, 26, 27, 28, 63, 64, 1e9 - 1, 1e9, 1 << 63, math.MaxUint64} {
		requireCubeRoot(t, x)
	}
	require.NoError(t, quick.Check(func(x uint64, s uint8) bool {
		requireCubeRoot(t, x>>(s%64))
		return true
	}, &quick.Config{MaxCount: 5000}))
	require.NoError(t, quick.Check(func(r uint32) bool {
		r %= 2642245
		c := uint64(r) * uint64(r) * uint64(r)
		return cubeRoot(c) == r && (r == 0 || cubeRoot(c-1) == r-1)
	}, nil))
}

func requireCubeRoot(t *testing.T, x uint64) {
	t.Helper()
	r := uint64(cubeRoot(x))
	require.LessOrEqual(t, r*r*r, x, "cube root of %d", x)
	if r < 2642245 { // the next cube does not fit
		require.Greater(t, (r+1)*(r+1)*(r+1), x, "cube root of %d", x)
	}
	require.LessOrEqual(t, r, uint64(2642245))
}

// TestCubicRFCStep: "cwnd MUST be incremented by (target - cwnd) / cwnd for each received new ACK" (§4.4),
// with the fraction kept, and never beyond the target.
func TestCubicRFCStep(t *testing.T) {
	start := func() (*CubicRFC, Window) {
		// W_cubic is at 150 now and for the next milliseconds: cwnd goes half a segment an ACK.
		return &CubicRFC{rfcEpoch: rfcEpoch{begun: true, origin: 150, wMax: 150}}, windowOf(100, 100)
	}
	ack := func(n uint32) Ack { return Ack{Acked: n, Limited: true} }

	c, w := start()
	c.OnAck(&w, ack(1))
	require.Equal(t, uint32(100), w.Cwnd)
	require.Equal(t, uint64(50), c.frac)
	c.OnAck(&w, ack(1))
	require.Equal(t, uint32(101), w.Cwnd)
	require.Zero(t, c.frac)
	c.OnAck(&w, ack(3))
	require.Equal(t, uint32(102), w.Cwnd, "3 × 49/101")
	require.Equal(t, uint64(3*49-101), c.frac)

	c, w = start()
	c.OnAck(&w, ack(1000))
	require.Equal(t, uint32(150), w.Cwnd, "not beyond the target")
}

// TestCubicRFCEstimateStep: "W_est = W_est + α_cubic × segments_acked / cwnd" (§4.3).
func TestCubicRFCEstimateStep(t *testing.T) {
	c := CubicRFC{rfcEpoch: rfcEpoch{wEst: 70, cwndPrior: 100}}
	c.estimate(70, 140)
	require.Equal(t, uint32(71), c.wEst, "2 × 9/17 = 1.06")
	require.Equal(t, uint64(2*9*70-17*70), c.wEstFrac)

	c = CubicRFC{rfcEpoch: rfcEpoch{wEst: 99, cwndPrior: 100}}
	c.estimate(100, 100)
	require.Equal(t, uint32(99), c.wEst, "still 9/17")
	c = CubicRFC{rfcEpoch: rfcEpoch{wEst: 100, cwndPrior: 100}}
	c.estimate(100, 100)
	require.Equal(t, uint32(101), c.wEst, "α is 1 once W_est has reached cwnd_prior")

	c = CubicRFC{rfcEpoch: rfcEpoch{begun: true, origin: 100, wMax: 100, wEst: 110}}
	w := windowOf(100, 100)
	c.OnAck(&w, Ack{Acked: 1, Limited: true})
	require.Equal(t, uint32(110), w.Cwnd, "W_cubic(t) < W_est: cwnd is set to W_est")
	w = windowOf(120, 100)
	c.OnAck(&w, Ack{Acked: 1, Limited: true})
	require.Equal(t, uint32(120), w.Cwnd, "never down to it")
}
