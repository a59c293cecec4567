package tcp

import "time"

// The constants of Linux's CUBIC, as its fixed-point arithmetic has them.
const (
	cubicScale    = 1024 // of cubicBeta, and units of time in a second
	cubicBeta     = 717  // β = 0.7
	cubicFriendly = 15   // 8 × (1+β) / 3(1-β), rounded down: Reno's window grows by a segment per 15/8 windows
	cubicRate     = 410  // C = 0.4 segments / s³, × 1024
	cubicFirst    = 20   // before the first loss the window grows by at least 5 % a round trip
	cubicFlat     = 100  // on the plateau, by a segment per 100 windows

	// cubicPause is how long the curve is not looked at while the window stands still: HZ/32.
	cubicPause = 31

	// Beyond this many units of time from K the curve stands still, at 6.7 million segments.
	cubicMaxOffset = 1 << 18
)

// Cubic is CUBIC as Linux has it, with HyStart: what "cubic" means to tcp_congestion_control. Between
// losses its window is a cubic function of time: fast towards the window of the last loss, slow around
// it, then fast again in search of more. Where Reno would have more it follows Reno. The zero value is
// the start of a connection.
//
// Linux is older than RFC 9438, and differs from it. CubicRFC is what the RFC says; what a user sees
// who compares the two:
//
//   - The Reno-friendly window has the slope 8/15 = 0.53 segments a round trip for ever. The RFC makes
//     it 1 once the window before the last loss is reached again (§4.3).
//   - As long as the window stands still, the curve and the Reno-friendly window are looked at every
//     32 ms only. On a path of one millisecond that is 32 round trips, after each loss; the RFC has no
//     such pause. What Reno would have gained in the meantime is then made up for.
//   - The window grows by at most a segment per two that are acknowledged, also where the Reno-friendly
//     window is far ahead; the RFC sets cwnd to it at once (§4.3).
//   - The curve is looked at one least RTT ahead, the RFC's target lies one smoothed RTT ahead (§4.2).
//   - Before the first loss, and after a timeout, the window grows by at least 5 % a round trip.
//   - Time without need for the window moves along the curve unless nothing was in flight (§4.2, §5.8).
//   - Undo brings back cwnd and ssthresh, not the curve (§4.9): a new one begins.
//   - HyStart ends slow start at the first sign of a queue. HyStart++ (RFC 9406) goes on more slowly and
//     may take it back. HyStart also watches the slow start after a timeout.
//
// Linux reckons in jiffies; here one is a millisecond (CONFIG_HZ=1000). Its cube root is an
// approximation that is 0.2 % off; ours is exact.
type Cubic struct {
	lastMax  uint32 // W_max, segments; 0: no loss yet
	lastCwnd uint32 // the window when cnt was last worked out
	cnt      uint32 // acknowledged segments that enlarge the window by one
	origin   uint32 // where the plateau of the curve lies, segments
	k        uint32 // K, time from the start of the epoch to the plateau, 1/1024 s
	acked    uint32 // segments acknowledged and not yet reckoned into reno
	reno     uint32 // the Reno-friendly window, segments
	begun    bool   // the epoch has begun: origin, k, acked, reno and start mean something
	start    uint64 // when it did, ms
	lastTime uint64 // when cnt was last worked out, ms

	hy    hystart
	plain bool // slow start without HyStart
}

var _ Congestion = (*Cubic)(nil)

// Name returns "cubic".
func (c *Cubic) Name() string { return "cubic" }

// Droppable reports whether no congestion event was met, so that there is nothing to remember.
func (c *Cubic) Droppable() bool { return c.lastMax == 0 }

// OnAck grows the window: in slow start by what was acknowledged, until HyStart ends it, in congestion
// avoidance by one segment per cnt.
func (c *Cubic) OnAck(w *Window, a Ack) {
	c.OnHeldAck(w, a)
	if !a.Limited {
		return
	}
	left := a.Acked
	if w.InSlowStart() {
		if left = w.SlowStart(left); left == 0 {
			return
		}
	}
	c.update(w.Cwnd, jiffies(a.Now), left)
	w.CongAvoid(c.cnt, left)
}

// OnHeldAck looks at the round trip time only, which may end slow start.
func (c *Cubic) OnHeldAck(w *Window, a Ack) {
	if a.RTT <= 0 || c.begun && jiffies(a.Now)-c.start < 1000 {
		return // the queue that led to the loss is still in such a sample
	}
	c.hy.measure(a.RTT)
	if !c.plain {
		c.hy.watch(w, a)
	}
}

// update works out cnt for a window of cwnd segments, acked of which were acknowledged at now.
func (c *Cubic) update(cwnd uint32, now uint64, acked uint32) {
	c.acked += acked
	if c.lastCwnd == cwnd && now-c.lastTime <= cubicPause {
		return
	}
	if !c.begun || now != c.lastTime { // the curve moves once a millisecond at most
		c.lastCwnd, c.lastTime = cwnd, now
		if !c.begun {
			c.begin(cwnd, now, acked)
		}
		c.follow(cwnd, now)
	}
	c.beFriendly(cwnd)
	c.cnt = max(c.cnt, 2)
}

// begin starts an epoch: K = cbrt ((W_max - cwnd) / C) (RFC 9438 §4.2, figure 2).
func (c *Cubic) begin(cwnd uint32, now uint64, acked uint32) {
	c.begun, c.start, c.acked, c.reno = true, now, acked, cwnd
	c.k, c.origin = 0, cwnd
	if c.lastMax > cwnd {
		c.origin = c.lastMax
		c.k = cubeRoot((1 << 40) / cubicRate * uint64(c.lastMax-cwnd))
	}
}

// follow sets cnt so that the window gets where the curve will be, W_cubic(t) = C × (t - K)³ + W_max
// (RFC 9438 §4.2, figure 1).
func (c *Cubic) follow(cwnd uint32, now uint64) {
	t := int64((now - c.start + c.hy.ahead()) * cubicScale / 1000)
	off := t - int64(c.k)
	d := uint64(min(max(off, -off), cubicMaxOffset))
	step := int64(d * d * d * cubicRate >> 40)
	if off < 0 {
		step = -step
	}
	if target := int64(c.origin) + step; target > int64(cwnd) {
		c.cnt = uint32(int64(cwnd) / (target - int64(cwnd)))
	} else {
		c.cnt = cubicFlat * cwnd
	}
	if c.lastMax == 0 {
		c.cnt = min(c.cnt, cubicFirst)
	}
}

// beFriendly moves the Reno-friendly window on, and lowers cnt where that is ahead (RFC 9438 §4.3).
func (c *Cubic) beFriendly(cwnd uint32) {
	per := max(uint32(uint64(cwnd)*cubicFriendly>>3), 1)
	if c.acked > per {
		n := (c.acked - 1) / per
		c.acked -= n * per
		c.reno += n
	}
	if c.reno > cwnd {
		c.cnt = min(c.cnt, cwnd/(c.reno-cwnd))
	}
}

// OnCongestion is the multiplicative decrease with fast convergence (RFC 9438 §4.6, §4.7), and for a
// timeout §4.8.
func (c *Cubic) OnCongestion(w *Window, _ time.Duration, _ CongestionEvent) {
	w.save()
	c.begun = false
	if w.Cwnd < c.lastMax {
		c.lastMax = uint32(uint64(w.Cwnd) * (cubicScale + cubicBeta) / (2 * cubicScale))
	} else {
		c.lastMax = w.Cwnd
	}
	w.CwndCnt = 0
	w.Ssthresh = max(uint32(uint64(w.Cwnd)*cubicBeta/cubicScale), MinSsthresh)
}

// OnTimeout forgets everything: slow start comes, and after it a curve without a past (RFC 9438 §4.8).
func (c *Cubic) OnTimeout(now time.Duration, nxt Seq) {
	*c = Cubic{plain: c.plain}
	c.hy.reset(now, nxt)
}

// Undo restores cwnd and ssthresh.
func (c *Cubic) Undo(w *Window) { w.restore() }

// OnRestart moves the curve by the time in which nothing was sent (RFC 9438 §5.8).
func (c *Cubic) OnRestart(_ *Window, now, idle time.Duration) {
	if c.begun && idle > 0 {
		c.start = min(c.start+jiffies(idle), jiffies(now))
	}
}

// jiffies is t in whole milliseconds, 0 if it is negative.
func jiffies(t time.Duration) uint64 { return uint64(max(t, 0) / time.Millisecond) }
