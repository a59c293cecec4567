package tcp

import (
	"math"
	"math/bits"
	"time"
)

// CUBIC's constants (RFC 9438 §4.1, §4.6) as fractions: we calculate in whole numbers, so that a run
// gives the same packets on every architecture (floating-point expressions may be fused differently).
const (
	rfcBetaNum, rfcBetaDen   = 7, 10 // β_cubic = 0.7
	rfcCNum, rfcCDen         = 2, 5  // C = 0.4 segments / s³
	rfcAlphaNum, rfcAlphaDen = 9, 17 // α_cubic = 3 × (1 - β) / (1 + β)

	// Beyond this many milliseconds from K the curve stands still: 0.4 × (1048 s)³ is 4.6e8 segments,
	// and the cube of it still fits into 64 bits.
	rfcMaxMillis = 1 << 20
)

// rfcEpoch is the part of CUBIC's state that a congestion event changes, and that undoing it brings
// back (RFC 9438 §4.9).
type rfcEpoch struct {
	start     time.Duration // t_epoch: when the present congestion avoidance stage began, if begun
	k         uint32        // K, milliseconds
	origin    uint32        // where the plateau of the curve lies in this stage, segments
	wMax      uint32        // W_max, segments; 0: undefined
	wEst      uint32        // W_est: what Reno would have, segments
	wEstFrac  uint64        // and its fraction, in units of 1/(17 × cwnd)
	cwndPrior uint32        // cwnd before the latest reduction, segments; 0: none, W_est grows at full slope
	begun     bool          // the stage has begun: start, k, origin and wEst mean something
}

// CubicRFC is CUBIC as RFC 9438 has it, with HyStart++ (RFC 9406) in the first slow start: what
// "cubic-rfc9438" means to Select. Cubic lists where Linux differs. The zero value is the start of a
// connection.
type CubicRFC struct {
	rfcEpoch
	saved   rfcEpoch      // before the latest congestion event, for Undo
	lastAck time.Duration // time of the latest ACK, to leave out application-limited time
	frac    uint64        // growth of cwnd below one segment, in units of 1/cwnd
	hy      hystartPlus
}

var _ Congestion = (*CubicRFC)(nil)

// Name returns "cubic-rfc9438".
func (c *CubicRFC) Name() string { return "cubic-rfc9438" }

// Droppable reports whether no congestion event was met, so that there is nothing to remember.
func (c *CubicRFC) Droppable() bool { return c.wMax == 0 && c.cwndPrior == 0 }

// OnAck grows the window: by HyStart++ in the first slow start, by slow start in later ones (after a
// timeout or idle time), along the curve otherwise (RFC 9438 §4.2 to §4.5, §4.10).
func (c *CubicRFC) OnAck(w *Window, a Ack) {
	since := a.Now - c.lastAck
	c.lastAck = a.Now
	left := a.Acked
	if w.InSlowStart() {
		if w.Ssthresh == InfiniteSsthresh {
			left = c.hy.onAck(w, a)
		} else if a.Limited {
			left = w.SlowStart(a.Acked)
		}
	}
	if !a.Limited {
		// "t does not include periods during which cwnd has not been updated due to
		// application-limited behavior" (§4.2).
		c.start += since
		return
	}
	if left > 0 && !w.InSlowStart() {
		c.avoid(w, a, left)
	}
}

// OnHeldAck does nothing: HyStart++ looks at the ACKs of slow start only.
func (c *CubicRFC) OnHeldAck(*Window, Ack) {}

// avoid is congestion avoidance for one ACK.
func (c *CubicRFC) avoid(w *Window, a Ack, acked uint32) {
	if !c.begun {
		c.begin(w, a.Now)
	}
	t := a.Now - c.start
	c.estimate(w.Cwnd, acked)

	// "if W_cubic(t) < W_est, cwnd SHOULD be set to W_est" (§4.3).
	if now := c.at(t); now < c.wEst {
		if c.wEst > w.Cwnd {
			w.grow(c.wEst - w.Cwnd)
			c.frac = 0
		}
		return
	}
	// "cwnd MUST be incremented by (target - cwnd) / cwnd for each received new ACK", for each segment
	// acknowledged when they are counted (§4.4, §4.5).
	target := c.target(w.Cwnd, t+a.SRTT)
	c.frac += uint64(target-w.Cwnd) * uint64(acked)
	n := c.frac / uint64(w.Cwnd)
	c.frac %= uint64(w.Cwnd)
	w.grow(uint32(min(n, uint64(target-w.Cwnd))))
}

// begin starts a congestion avoidance stage at the present window.
func (c *CubicRFC) begin(w *Window, now time.Duration) {
	c.begun = true
	c.start = now
	c.frac = 0
	c.wEst, c.wEstFrac = w.Cwnd, 0 // "W_est is set equal to cwnd_epoch" (§4.3)
	if c.wMax <= w.Cwnd {
		// Also when W_max is undefined, after HyStart++ or a timeout: "K is set to 0 and W_max is set
		// to the cwnd at the beginning of the current congestion avoidance stage" (§4.8, §4.10).
		c.k, c.origin = 0, w.Cwnd
		return
	}
	// K = cbrt((W_max - cwnd_epoch) / C) (§4.2, figure 2): in milliseconds, 10⁹ times that under the root.
	c.origin = c.wMax
	c.k = cubeRoot(uint64(c.wMax-w.Cwnd) * 1e9 / rfcCNum * rfcCDen)
}

// at returns W_cubic(t) = C × (t - K)³ + W_max in whole segments (§4.2, figure 1).
func (c *CubicRFC) at(t time.Duration) uint32 {
	d := max(t, 0)/time.Millisecond - time.Duration(c.k)
	below := d < 0
	if below {
		d = -d
	}
	d = min(d, rfcMaxMillis)
	step := uint64(d) * uint64(d) * uint64(d) * rfcCNum / (rfcCDen * 1e9)
	if below {
		return uint32(max(int64(c.origin)-int64(step), 0))
	}
	return uint32(min(uint64(c.origin)+step, math.MaxUint32))
}

// target returns W_cubic(t), not less than cwnd and not more than one and a half times it (§4.2).
func (c *CubicRFC) target(cwnd uint32, t time.Duration) uint32 {
	most := min(uint64(cwnd)+uint64(cwnd)/2, math.MaxUint32)
	return max(cwnd, uint32(min(uint64(c.at(t)), most)))
}

// estimate moves W_est on: "W_est = W_est + α_cubic × segments_acked / cwnd", and "once W_est has
// grown to reach the cwnd at the time of most recently setting ssthresh (cwnd_prior) the sender SHOULD
// set α_cubic to 1" (§4.3).
func (c *CubicRFC) estimate(cwnd, acked uint32) {
	num := uint64(rfcAlphaNum)
	if c.wEst >= c.cwndPrior {
		num = rfcAlphaDen
	}
	c.wEstFrac += num * uint64(acked)
	whole := rfcAlphaDen * uint64(cwnd)
	c.wEst = uint32(min(uint64(c.wEst)+c.wEstFrac/whole, math.MaxUint32))
	c.wEstFrac %= whole
}

// OnCongestion is the multiplicative decrease with fast convergence (RFC 9438 §4.6, §4.7), and for a
// timeout §4.8.
//
// We differ: ssthresh comes from cwnd, not from flight_size, like Linux; window validation has kept
// cwnd near to what was in flight.
func (c *CubicRFC) OnCongestion(w *Window, _ time.Duration, why CongestionEvent) {
	w.save()
	c.saved = c.rfcEpoch
	prior := w.Cwnd
	wMax := prior
	switch {
	case why == CongestionRTO:
		wMax = 0 // "K is set to 0 and W_max is set to cwnd at the beginning of" the stage to come (§4.8)
	case prior < c.wMax:
		// Fast convergence: "W_max = cwnd × (1 + β_cubic) / 2" makes room for newcomers (§4.7).
		wMax = uint32(uint64(prior) * (rfcBetaDen + rfcBetaNum) / (2 * rfcBetaDen))
	}
	c.rfcEpoch = rfcEpoch{wMax: wMax, cwndPrior: prior}
	w.CwndCnt = 0
	w.Ssthresh = max(uint32(uint64(prior)*rfcBetaNum/rfcBetaDen), MinSsthresh)
}

// OnTimeout does nothing more than OnCongestion did.
func (c *CubicRFC) OnTimeout(time.Duration, Seq) {}

// Undo restores cwnd, ssthresh and the curve they lay on (RFC 9438 §4.9).
func (c *CubicRFC) Undo(w *Window) {
	if w.restore() {
		c.rfcEpoch = c.saved
		c.saved = rfcEpoch{}
		c.frac = 0
	}
}

// OnRestart moves the curve by the time in which nothing was sent (RFC 9438 §4.2, §5.8).
func (c *CubicRFC) OnRestart(_ *Window, _, idle time.Duration) {
	if idle > 0 {
		c.start += idle
		c.lastAck += idle
	}
}

// cubeRoot returns the whole part of the cube root of x, bit by bit from the top.
func cubeRoot(x uint64) uint32 {
	var r uint64
	for s := (bits.Len64(x) + 2) / 3 * 3; s >= 0; s -= 3 {
		r <<= 1
		// (r+1)³ - r³, compared with what is left at this scale.
		if b := 3*r*(r+1) + 1; b<<s>>s == b && x >= b<<s {
			x -= b << s
			r++
		}
	}
	return uint32(r)
}
