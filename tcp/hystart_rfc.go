package tcp

import (
	"math"
	"time"
)

// The constants RFC 9406 §4.3 recommends.
const (
	hystartMinRTTThresh  = 4 * time.Millisecond  // MIN_RTT_THRESH
	hystartMaxRTTThresh  = 16 * time.Millisecond // MAX_RTT_THRESH
	hystartRTTDivisor    = 8                     // MIN_RTT_DIVISOR
	hystartSamples       = 8                     // N_RTT_SAMPLE
	hystartGrowthDivisor = 4                     // CSS_GROWTH_DIVISOR
	hystartRounds        = 5                     // CSS_ROUNDS
)

// noRTT stands for "infinity" as a minimum of no samples, in microseconds.
const noRTT = math.MaxUint32

// hystartPlus is HyStart++ (RFC 9406): it leaves the first slow start before the bottleneck's queue
// overflows, when the round trip time rises. The rise may be a mistake (jitter), so it first goes on
// more slowly (Conservative Slow Start), and either takes the exit back or makes it final after five
// rounds. The zero value is the start of a connection.
//
// We differ: L, the most segments one ACK may add to the window, is 8 for senders without pacing
// (§4.3). Like Linux we set no limit, since stretch ACKs are the rule on a path with large segments.
//
// Times are kept in microseconds: round trips above 71 minutes count as 71 minutes.
type hystartPlus struct {
	windowEnd Seq    // the round ends when SND.UNA gets here
	lastMin   uint32 // lastRoundMinRTT, µs
	currMin   uint32 // currentRoundMinRTT, µs
	baseline  uint32 // cssBaselineMinRtt, µs
	samples   uint8  // rttSampleCount, stops at hystartSamples
	cssRounds uint8  // rounds of CSS begun, 0 outside of it
	cssAcked  uint8  // segments acknowledged in CSS that have not enlarged the window yet, < 4
	started   bool
}

// onAck grows w in slow start by HyStart++'s rules and returns the acknowledged segments that are left
// for congestion avoidance. It ends slow start by setting ssthresh to cwnd.
func (h *hystartPlus) onAck(w *Window, a Ack) uint32 {
	if !h.started {
		*h = hystartPlus{started: true, windowEnd: a.Nxt, lastMin: noRTT, currMin: noRTT, baseline: noRTT}
	}
	if a.RTT > 0 {
		h.currMin = min(h.currMin, toMicros(a.RTT))
		h.samples = min(h.samples+1, hystartSamples)
	}
	left := h.grow(w, a)
	if h.samples == hystartSamples {
		h.judge()
	}
	if a.Una.AtOrAfter(h.windowEnd) && h.endRound(a.Nxt) {
		w.Ssthresh = w.Cwnd // "continue with congestion avoidance by setting ssthresh = cwnd" (§4.2)
	}
	return left
}

// grow enlarges the window for one ACK: by all that was acknowledged in slow start, by a quarter of it
// in CSS (§4.2).
func (h *hystartPlus) grow(w *Window, a Ack) uint32 {
	if !a.Limited {
		return 0
	}
	if h.cssRounds == 0 {
		return w.SlowStart(a.Acked)
	}
	sum := uint64(h.cssAcked) + uint64(a.Acked)
	h.cssAcked = uint8(sum % hystartGrowthDivisor)
	return w.SlowStart(uint32(sum / hystartGrowthDivisor))
}

// judge compares this round's minimum with the last round's, once it stands on enough samples (§4.2).
func (h *hystartPlus) judge() {
	if h.cssRounds > 0 {
		if h.currMin < h.baseline {
			// "spurious exit from slow start": back to it.
			h.baseline, h.cssRounds, h.cssAcked = noRTT, 0, 0
		}
		return
	}
	if h.currMin == noRTT || h.lastMin == noRTT {
		return
	}
	thresh := max(toMicros(hystartMinRTTThresh), min(h.lastMin/hystartRTTDivisor, toMicros(hystartMaxRTTThresh)))
	if uint64(h.currMin) >= uint64(h.lastMin)+uint64(thresh) {
		h.baseline = h.currMin
		h.cssRounds = 1
	}
}

// endRound begins the next round, which will end when nxt is acknowledged, and reports whether CSS has
// lasted long enough: "CSS lasts at most CSS_ROUNDS rounds. If the transition into CSS happens in the
// middle of a round, that partial round counts towards the limit" (§4.2).
func (h *hystartPlus) endRound(nxt Seq) bool {
	h.lastMin, h.currMin, h.samples = h.currMin, noRTT, 0
	h.windowEnd = nxt
	if h.cssRounds == 0 {
		return false
	}
	if h.cssRounds >= hystartRounds {
		return true
	}
	h.cssRounds++
	return false
}

// toMicros converts d to whole microseconds, clamped to what 32 bits hold.
func toMicros(d time.Duration) uint32 {
	return uint32(min(max(d/time.Microsecond, 0), math.MaxUint32))
}
