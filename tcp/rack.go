package tcp

import "time"

// RACK: a segment is lost when one sent sufficiently later has been delivered (RFC 8985).

// rackState is the part of RACK that lives as long as the connection.
type rackState struct {
	rtt time.Duration // RACK.rtt
	nth uint32        // txSeg.nth of that
	end Seq           // RACK.end_seq
}

// rackFlags are yes-or-no state of RACK and of tail loss probes.
type rackFlags uint8

const (
	rackAdvanced   rackFlags = 1 << iota // something was delivered since losses were looked for last
	rackReordSeen                        // RACK.reordering_seen
	rackTLP                              // a tail loss probe is in flight
	rackTLPRetrans                       // TLP.is_retrans
)

// reoWindow is by what RACK's reordering window is larger than it begins with, for having been too small.
type reoWindow struct {
	lastDelivered uint32 // total.delivered when it was enlarged last
	steps         uint8  // RACK.reo_wnd_mult
	persist       uint8  // RACK.reo_wnd_persist
	dsackSeen     bool
}

// rackRecoveries is for how many recoveries an enlarged reordering window is kept (RFC 8985 §6.2, step 4).
const rackRecoveries = 16

// rackAdvance notes that s was delivered: "RACK_update() ... updates RACK.xmit_ts, RACK.end_seq" (step 2).
// A retransmission acknowledged sooner than any round trip lasts was not what was acknowledged.
func (t *TCB) rackAdvance(s *txSeg, now time.Duration) {
	rtt := now - s.sent
	if s.is(markEver) && rtt < t.minRTT.Get() {
		return
	}
	t.rackFlags |= rackAdvanced
	t.rack.rtt = rtt
	if sentAfter(s.sent, t.rackSent, s.nth, t.rack.nth, s.end, t.rack.end) {
		t.rackSent, t.rack.nth, t.rack.end = s.sent, s.nth, s.end
	}
}

// rackReoWnd returns the reordering window (step 4): nothing while no reordering was seen and losses are
// evident, else a quarter of the least RTT, more after DSACKs, at most SRTT.
func (t *TCB) rackReoWnd() time.Duration {
	if t.rackFlags&rackReordSeen == 0 {
		if t.caState >= CARecovery {
			return 0
		}
		if t.rec != nil && t.rec.sacked >= int(t.reordering) && t.env.cfg.Recovery&4 == 0 {
			return 0
		}
	}
	steps := time.Duration(1)
	if t.extra != nil {
		steps = time.Duration(t.extra.reo.steps)
	}
	return min(t.minRTT.Get()/4*steps, t.rtt.SRTT())
}

// rackWait returns how long s may yet take before it is deemed lost.
func (t *TCB) rackWait(s *txSeg, now, reo time.Duration) time.Duration {
	return t.rack.rtt + reo - (now - s.sent)
}

// rackDetectLoss marks as lost what was sent before the latest segment delivered and had its time (step
// 5). It returns after how long another segment would be lost; 0: none.
func (t *TCB) rackDetectLoss(now time.Duration) (wait time.Duration) {
	reo := t.rackReoWnd()
	q := t.txq()
	for i := range q {
		s := &q[i]
		if s.is(markSACKed) || s.is(markLost) && !s.is(markRetrans) {
			continue
		}
		if !sentAfter(t.rackSent, s.sent, t.rack.nth, s.nth, t.rack.end, s.end) {
			if !s.is(markEver) {
				break // all behind were sent later, or are retransmissions sent later still
			}
			continue
		}
		if left := t.rackWait(s, now, reo); left > 0 {
			wait = max(wait, left)
		} else {
			t.markLostTx(now, s, CauseRetransmitRACK)
		}
	}
	return wait
}

// rackMarkLost looks for losses after an ACK, and reports whether a timer for more is set.
func (t *TCB) rackMarkLost(now time.Duration) bool {
	if !t.rackOn() {
		t.dupackMarkLost(now)
		return false
	}
	if t.rackFlags&rackAdvanced == 0 {
		return false
	}
	t.rackFlags &^= rackAdvanced
	wait := t.rackDetectLoss(now)
	if wait > 0 {
		t.armXmit(TimerReorder, now+min(wait+2*tick, t.rto))
	}
	return wait > 0
}

// dupackMarkLost is the rule of RFC 6675 §4 (IsLost) for Recovery without RACK: lost is what has
// DupThresh segments SACKed above it.
func (t *TCB) dupackMarkLost(now time.Duration) {
	q := t.txq()
	above := 0
	for i := len(q) - 1; i >= 0; i-- {
		switch s := &q[i]; {
		case s.is(markSACKed):
			above++
		case above >= int(t.reordering) && !s.is(markLost):
			t.markLostTx(now, s, CauseRetransmitFast)
		}
	}
}

// reorderExpired is the reordering timer (step 5: "RACK_detect_loss_and_arm_timer").
func (t *TCB) reorderExpired(now time.Duration) {
	r := t.needRec()
	before, lost := t.inFlight(), t.total.lost
	t.rackDetectLoss(now)
	if before != t.inFlight() {
		if t.caState != CARecovery {
			t.enterRecovery(now, false)
			t.prr(1, t.total.lost-lost, false)
			t.cwndChanged(now)
		}
		r.rexmit = rexmitLost
	}
	if t.timer(TimerRetransmit) == 0 {
		t.rearmRTO(now)
	}
}

// rackUpdateReoWnd adapts the reordering window once per round trip to duplicates the peer reported, which
// show retransmissions that came too early (step 4).
func (t *TCB) rackUpdateReoWnd() {
	if t.extra == nil || t.env.cfg.Recovery&2 != 0 || !t.has(fSACK) || t.packetsOut() == 0 {
		return
	}
	k := &t.extra.reo
	if int32(t.total.delivered-k.lastDelivered) < int32(t.packetsOut()) && k.lastDelivered != 0 {
		k.dsackSeen = false // no round trip since the last change
	}
	if k.dsackSeen {
		k.steps = min(k.steps, 254) + 1
		k.dsackSeen = false
		k.lastDelivered = t.total.delivered
		k.persist = rackRecoveries
	} else if k.persist == 0 {
		k.steps = 1
	}
}

// checkReordering notes that the segment at low was delivered after later ones: by how many segments tells
// how patient fast retransmit must be.
func (t *TCB) checkReordering(low Seq, byTimestamp bool) {
	fack := t.fack()
	if !low.Before(fack) {
		return
	}
	mss := max(int(t.mss), 1)
	if metric := int(fack.Sub(low)); metric > int(t.reordering)*mss {
		t.reordering = uint16(min((metric+mss-1)/mss, t.env.cfg.MaxReordering))
	}
	t.rackFlags |= rackReordSeen
	t.env.stats.TCPSACKReorder.Add(1)
}
