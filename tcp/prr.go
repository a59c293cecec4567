package tcp

import "time"

// Proportional rate reduction (RFC 6937): in recovery the window comes down to ssthresh evenly over a
// round trip, and never leaves the network empty.

// beginReduction starts a reduction of the window because of why.
func (t *TCB) beginReduction(now time.Duration, why CongestionEvent) {
	r := t.needRec()
	r.high = t.snd.nxt
	t.rackFlags &^= rackTLP
	t.cong.CwndCnt = 0
	r.prior = t.cong.Cwnd
	r.delivered, r.out = 0, 0
	t.algorithm().OnCongestion(&t.cong, now, why)
	t.queueCWR()
	t.cwndChanged(now)
}

// prr sets cwnd for an ACK that delivered segments, of which it showed lost to be lost.
func (t *TCB) prr(delivered int, lost uint32, advanced bool) {
	r := t.rec
	if delivered <= 0 || r == nil || r.prior == 0 {
		return
	}
	r.delivered += uint32(delivered)
	flight := t.inFlight()
	ssthresh := int(t.cong.Ssthresh)
	send := 0
	if flight > ssthresh {
		// "sndcnt = CEIL(prr_delivered * ssthresh / RecoverFS) - prr_out"
		send = int((uint64(ssthresh)*uint64(r.delivered)+uint64(r.prior)-1)/uint64(r.prior)) - int(r.out)
	} else {
		// Slow start reduction bound, while the ACK shows progress and no further loss; else conservation.
		send = max(int(r.delivered)-int(r.out), delivered)
		if advanced && lost == 0 {
			send++
		}
		send = min(ssthresh-flight, send)
	}
	if r.out == 0 {
		send = max(send, 1) // fast retransmit
	}
	t.cong.Cwnd = uint32(max(flight+max(send, 0), 1))
}

// endReduction leaves the window at ssthresh, unless the reduction was undone.
func (t *TCB) endReduction(now time.Duration) {
	if t.cong.Ssthresh < InfiniteSsthresh && (t.caState == CACWR || t.rec.canUndo) {
		t.cong.Cwnd = max(t.cong.Ssthresh, 1)
		t.cwndChanged(now)
	}
}
