package tcp

import (
	"math"
	"time"
)

// InfiniteSsthresh is the ssthresh of a connection that has met no congestion: "arbitrarily high"
// (RFC 5681 §3.1). The number is Linux's, which shows in tcp_info.
const InfiniteSsthresh = math.MaxInt32

// MinSsthresh is the least ssthresh in segments (RFC 5681 §3.1, equation 4).
const MinSsthresh = 2

// Window is the congestion window of one connection and the bookkeeping for its validation. It counts
// in segments of the sending MSS, as Linux does and tcp_info shows. The loss recovery code and the
// Congestion algorithm share it.
type Window struct {
	Cwnd     uint32 // congestion window, segments, at least 1
	CwndCnt  uint32 // segments acknowledged since CongAvoid last enlarged Cwnd
	Ssthresh uint32 // slow start threshold, segments, or InfiniteSsthresh
	Clamp    uint32 // Cwnd never grows beyond this
	Initial  uint32 // initial window, to which an idle connection returns (RFC 6928: 10)

	PriorCwnd     uint32 // Cwnd before the latest congestion episode, for Undo; 0: nothing to undo
	PriorSsthresh uint32 // CurrentSsthresh before it

	// These change with each segment.
	stamp    time.Duration // when the window was last known to be used up, or was changed for not being
	used     uint32        // most segments in flight since the window was last the limit
	maxOut   uint32        // most segments in flight in the present round trip
	usageEnd Seq           // the present round trip ends when SND.UNA gets here
	limited  bool          // the window was the limit at some time in this round trip
}

// Init starts a connection with an initial window of iw segments: slow start, no threshold, no clamp.
func (w *Window) Init(now time.Duration, iw uint32) {
	iw = max(iw, 1)
	*w = Window{Cwnd: iw, Initial: iw, Ssthresh: InfiniteSsthresh, Clamp: math.MaxUint32, stamp: now}
}

// InSlowStart reports whether cwnd is below ssthresh. "When cwnd and ssthresh are equal, the sender
// may use either slow start or congestion avoidance" (RFC 5681 §3.1): we take the latter.
func (w *Window) InSlowStart() bool { return w.Cwnd < w.Ssthresh }

// SlowStart adds one segment per segment acknowledged, up to ssthresh and the clamp, and returns the
// acknowledged segments that are left for congestion avoidance. That is byte counting (RFC 3465) with
// the limit L taken away, as Linux does: stretch ACKs count for all that they acknowledge.
func (w *Window) SlowStart(acked uint32) uint32 {
	if !w.InSlowStart() {
		return acked
	}
	step := min(acked, w.Ssthresh-w.Cwnd)
	w.Cwnd = min(w.Cwnd+step, max(w.Clamp, 1))
	return acked - step
}

// CongAvoid is additive increase: one segment more for each per segments acknowledged, up to the
// clamp. With per = Cwnd that is a segment per round trip (RFC 5681 §3.1, equation 3; byte counting by
// RFC 3465 §2.1).
func (w *Window) CongAvoid(per, acked uint32) {
	per = max(per, 1)
	if w.CwndCnt >= per {
		// per shrank since the last ACK: what was saved up pays for one segment, not for several.
		w.CwndCnt = 0
		w.grow(1)
	}
	cnt := uint64(w.CwndCnt) + uint64(acked)
	w.CwndCnt = uint32(cnt % uint64(per))
	w.grow(uint32(min(cnt/uint64(per), math.MaxUint32)))
}

// grow enlarges Cwnd by n segments, within the clamp.
func (w *Window) grow(n uint32) {
	w.Cwnd = uint32(min(uint64(w.Cwnd)+uint64(n), uint64(max(w.Clamp, 1))))
}

// CurrentSsthresh returns the threshold that remembers the present window: three quarters of cwnd, or
// ssthresh when that is more. An idle connection comes back by slow start to this (RFC 2861 §3.1).
// During recovery the caller takes Ssthresh itself.
func (w *Window) CurrentSsthresh() uint32 {
	return max(w.Ssthresh, w.Cwnd/2+w.Cwnd/4)
}

// IsLimited reports whether the window holds the sender back, so that growing it means something:
// an ACK for less than the window proves nothing about a bigger one (RFC 7661 §4.2). In slow start it
// is enough to have used more than half of it, because it will have doubled within a round trip.
func (w *Window) IsLimited() bool {
	if w.limited {
		return true
	}
	return w.InSlowStart() && uint64(w.Cwnd) < 2*uint64(w.maxOut)
}

// Usage is what Validate is told after a flight was sent.
type Usage struct {
	Now      time.Duration
	RTO      time.Duration // present retransmission timeout
	Una, Nxt Seq
	Out      uint32 // segments sent and not cumulatively acknowledged (packets_out)
	Limited  bool   // sending stopped because the window was full
	Shrink   bool   // shrink a window that goes unused (tcp_slow_start_after_idle, no recovery, buffer not full)
}

// Validate notes, after each burst of sending, how much of the window is used (RFC 2861, RFC 7661). With
// u.Shrink a window that the application has not filled for an RTO goes half of the way down to what it
// uses, and ssthresh keeps the memory of it.
func (w *Window) Validate(u Usage) {
	if u.Una.AtOrAfter(w.usageEnd) || u.Limited || !w.limited && u.Out > w.maxOut {
		w.limited = u.Limited
		w.maxOut = u.Out
		w.usageEnd = u.Nxt
	}
	if w.IsLimited() {
		w.used = 0
		w.stamp = u.Now
		return
	}
	w.used = max(w.used, u.Out)
	if u.Shrink && u.Now-w.stamp >= u.RTO {
		w.shrink(u.Now)
	}
}

// loneOut is Validate for a single segment that ends at nxt, with nothing else outstanding. loneOdd has to do the rest if isOdd.
func (w *Window) loneOut(nxt Seq) {
	w.limited, w.maxOut, w.usageEnd, w.used = false, 1, nxt, max(w.used, 1)
}

// isOdd reports whether the window is full with one segment, or goes unused.
func (w *Window) isOdd(now, rto time.Duration) bool { return w.Cwnd <= 1 || now-w.stamp >= rto }

// runOut is Validate for n segments that are all there is outstanding, the last of which ends at nxt. If it returns true shrink has
// to follow, if that is wanted.
func (w *Window) runOut(now, rto time.Duration, nxt Seq, n uint32) bool {
	w.limited, w.maxOut, w.usageEnd = n >= w.Cwnd, n, nxt
	if w.IsLimited() {
		w.used, w.stamp = 0, now
		return false
	}
	w.used = max(w.used, n)
	return now-w.stamp >= rto
}

// loneOdd is what is left of Validate for a window that is full with one segment, or goes unused.
func (w *Window) loneOdd(now time.Duration, shrink bool) {
	if w.Cwnd <= 1 {
		w.limited, w.used, w.stamp = true, 0, now
	} else if shrink {
		w.shrink(now)
	}
}

// shrink goes half of the way down to what was used of the window.
func (w *Window) shrink(now time.Duration) {
	if used := max(w.used, w.Initial); used < w.Cwnd {
		w.Ssthresh = w.CurrentSsthresh()
		w.Cwnd = uint32((uint64(w.Cwnd) + uint64(used)) / 2)
	}
	w.used = 0
	w.stamp = now
}

// Touch notes that an ACK may have moved the window: for an RTO from now on Validate does not shrink it. So a window
// shrinks for want of data only when ACKs are missing too, as on Linux.
func (w *Window) Touch(now time.Duration) { w.stamp = now }

// RestartAfterIdle shrinks the window of a connection that sent nothing for idle: half for each RTO
// that passed, down to the initial window (RFC 2861 §3.1; RFC 5681 §4.1 would go there at once). idle
// not above rto leaves it alone. ssthresh remembers three quarters of the window.
func (w *Window) RestartAfterIdle(now, idle, rto time.Duration) {
	if idle <= rto {
		return
	}
	w.Ssthresh = w.CurrentSsthresh()
	restart := min(w.Initial, w.Cwnd)
	for left := idle - max(rto, 1); left > 0 && w.Cwnd > restart; left -= max(rto, 1) {
		w.Cwnd /= 2
	}
	w.Cwnd = max(w.Cwnd, restart)
	w.used = 0
	w.stamp = now
}

// save remembers cwnd and ssthresh for restore.
func (w *Window) save() {
	w.PriorCwnd = w.Cwnd
	w.PriorSsthresh = w.CurrentSsthresh()
}

// restore brings cwnd and ssthresh back to what save saw, or leaves them when they have grown beyond.
// It reports whether there was anything to restore.
func (w *Window) restore() bool {
	if w.PriorCwnd == 0 {
		return false
	}
	w.Cwnd = max(w.Cwnd, w.PriorCwnd)
	w.Ssthresh = max(w.Ssthresh, w.PriorSsthresh)
	w.PriorCwnd, w.PriorSsthresh = 0, 0
	return true
}

// Settled forgets the latest congestion episode: it was real, or is too long ago to be undone.
func (w *Window) Settled() { w.PriorCwnd, w.PriorSsthresh = 0, 0 }
