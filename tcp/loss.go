package tcp

import "time"

// CAState is what loss recovery is doing (tcpi_ca_state).
type CAState uint8

// The states, with Linux's numbers.
const (
	CAOpen     CAState = iota // nothing unusual
	CADisorder                // duplicate ACKs or SACKs, not enough to call it loss
	CACWR                     // the window is being reduced without loss: ECN, or a tail loss probe
	CARecovery                // fast recovery
	CALoss                    // recovery after a timeout
)

var caNames = [...]string{"Open", "Disorder", "CWR", "Recovery", "Loss"}

// String returns Linux's name of the state.
func (s CAState) String() string {
	if int(s) < len(caNames) {
		return caNames[s]
	}
	return "CAState(?)"
}

func (t *TCB) setCA(now time.Duration, to CAState) {
	if t.caState == to {
		return
	}
	if t.env.observer != nil {
		t.env.observer.Event(t, Event{Kind: EventCA, Now: now, CAFrom: t.caState, CATo: to,
			Cwnd: t.cong.Cwnd, Ssthresh: t.cong.Ssthresh})
	}
	t.caState = to
}

// inReduction reports whether PRR holds the window.
func (t *TCB) inReduction() bool { return t.caState == CACWR || t.caState == CARecovery }

// rackOn reports whether losses are found by RACK: it needs SACK.
func (t *TCB) rackOn() bool { return t.env.cfg.Recovery&1 != 0 }

// fastRetransAlert is the state machine of loss recovery for one ACK that may tell of trouble: dup is 1
// for a duplicate ACK (RFC 5681 §2), else 0.
func (t *TCB) fastRetransAlert(a *ackState, dup int) {
	r := t.needRec()
	if t.packetsOut() == 0 {
		r.sacked = 0
	}
	if a.info&ackECE != 0 {
		t.cong.Settled() // the reduction is justified, whatever comes to light
	}
	if t.checkReneging(a) {
		return
	}
	if t.caState == CAOpen {
		r.stamped = false
	} else if t.snd.una.AtOrAfter(r.high) && t.endEpisode(a) {
		return
	}
	switch t.caState {
	case CARecovery:
		if !t.inRecovery(a, dup) {
			return
		}
	case CALoss:
		t.processLoss(a, dup)
		t.findLosses(a)
		if t.caState != CAOpen && a.info&ackLostRexmit == 0 {
			return
		}
		if !t.orderlyOrNot(a, dup) {
			return
		}
	default:
		if !t.orderlyOrNot(a, dup) {
			return
		}
	}
	r.rexmit = rexmitLost
}

// endEpisode leaves CWR or Recovery when all that was sent before it is acknowledged. It returns true
// when nothing else is to be done for this ACK.
func (t *TCB) endEpisode(a *ackState) bool {
	switch t.caState {
	case CACWR:
		// CWR lasts until something beyond is acknowledged, so that the CWR bit reaches the receiver.
		if t.snd.una != t.rec.high {
			t.endReduction(a.now)
			t.setCA(a.now, CAOpen)
		}
	case CARecovery:
		if !t.has(fSACK) {
			t.rec.sacked = 0
		}
		if t.undoRecovery(a) {
			return true
		}
		t.endReduction(a.now)
	}
	return false
}

// inRecovery handles an ACK in fast recovery. It returns false when nothing is to be sent again.
func (t *TCB) inRecovery(a *ackState, dup int) bool {
	if a.info&ackAdvanced == 0 {
		t.addRenoSACK(dup)
	} else if t.undoPartial(a) {
		return false
	}
	if t.undoByDSACK(a) {
		t.tryToOpen(a)
	}
	t.findLosses(a)
	if t.caState != CARecovery {
		if t.rec.lost == 0 {
			return false
		}
		t.enterRecovery(a.now, a.info&ackECE != 0)
	}
	return true
}

// orderlyOrNot handles an ACK in Open, Disorder and CWR: it enters fast recovery once something is deemed
// lost, and returns whether it did.
func (t *TCB) orderlyOrNot(a *ackState, dup int) bool {
	if !t.has(fSACK) {
		if a.info&ackAdvanced != 0 {
			t.rec.sacked = 0
		}
		t.addRenoSACK(dup)
	}
	if t.caState <= CADisorder {
		t.undoByDSACK(a)
	}
	t.findLosses(a)
	if t.rec.lost == 0 {
		t.tryToOpen(a)
		return false
	}
	if t.mtuProbeLost(a.now) {
		return true
	}
	t.enterRecovery(a.now, a.info&ackECE != 0)
	return true
}

// findLosses marks what this ACK shows to be lost: by RACK with SACK, else by counting duplicates.
func (t *TCB) findLosses(a *ackState) {
	if t.packetsOut() == 0 {
		return
	}
	if !t.has(fSACK) {
		t.newRenoMarkLost(a.now, a.info&ackAdvanced != 0)
		return
	}
	before := t.rec.retrans
	if t.rackMarkLost(a.now) {
		a.info &^= ackSetTimer
	}
	if before > t.rec.retrans {
		a.info |= ackLostRexmit
	}
}

// newRenoMarkLost marks the head of the queue lost after enough duplicate ACKs, and after each partial ACK
// (RFC 6582 §3.2).
func (t *TCB) newRenoMarkLost(now time.Duration, advanced bool) {
	if t.caState < CARecovery && t.rec.sacked >= int(t.reordering) || t.caState == CARecovery && advanced {
		head := &t.txq()[0]
		if head.is(markLost) {
			return
		}
		if mss := t.currentMSS(); int(head.end.Sub(head.seq)) > mss+1 {
			t.splitTx(0, head.seq.Add(uint32(mss)))
			head = &t.txq()[0]
		}
		t.markLostTx(now, head, CauseRetransmitFast)
	}
}

// addRenoSACK counts a duplicate ACK as one segment that has left the network, for peers without SACK.
func (t *TCB) addRenoSACK(dup int) {
	if t.has(fSACK) || dup == 0 {
		return
	}
	r := t.rec
	prior := r.sacked
	r.sacked += dup
	t.checkRenoReordering(0)
	if r.sacked > prior {
		t.total.delivered += uint32(r.sacked - prior)
	}
}

// removeRenoSACKs takes back what duplicates had counted, now that segments were acknowledged: one of them
// filled the hole, the rest had caused the duplicates.
func (t *TCB) removeRenoSACKs(a *ackState) {
	// Without SACK nobody knows whether the original or the retransmission got through.
	if a.info&ackRexmitted != 0 {
		a.info &^= ackOrig
	}
	r := t.rec
	if r == nil {
		t.total.delivered += uint32(a.acked)
		return
	}
	t.total.delivered += uint32(max(a.acked-r.sacked, 1))
	r.sacked = max(r.sacked-(a.acked-1), 0)
	t.checkRenoReordering(a.acked)
}

// checkRenoReordering: more duplicates than segments that can have caused them show reordering.
func (t *TCB) checkRenoReordering(acked int) {
	r := t.rec
	holes := min(max(r.lost, 1), t.packetsOut())
	if r.sacked+holes <= t.packetsOut() {
		return
	}
	r.sacked = t.packetsOut() - holes
	t.reordering = uint16(min(t.packetsOut()+acked, t.env.cfg.MaxReordering))
	t.rackFlags |= rackReordSeen
	t.env.stats.TCPRenoReorder.Add(1)
}

// anyRetransDone reports whether a retransmission may be in flight.
func (t *TCB) anyRetransDone() bool {
	if t.rec != nil && t.rec.retrans > 0 {
		return true
	}
	return t.packetsOut() > 0 && t.txq()[0].is(markEver)
}

// tryToOpen settles on Open, Disorder or CWR when no loss is known.
func (t *TCB) tryToOpen(a *ackState) {
	if !t.anyRetransDone() {
		t.rec.stamped = false
	}
	if a.info&ackECE != 0 {
		t.enterCWR(a.now)
	}
	if t.caState != CACWR {
		t.keepOpen(a.now)
	}
}

func (t *TCB) keepOpen(now time.Duration) {
	to := CAOpen
	if t.rec.sacked+t.rec.lost > 0 || t.anyRetransDone() {
		to = CADisorder
	}
	if t.caState != to {
		t.setCA(now, to)
		t.rec.high = t.snd.nxt
	}
}

// enterRecovery begins fast recovery (RFC 5681 §3.2, RFC 6675 §5).
func (t *TCB) enterRecovery(now time.Duration, ece bool) {
	r := t.needRec()
	if t.has(fSACK) {
		t.env.stats.TCPSackRecovery.Add(1)
	} else {
		t.env.stats.TCPRenoRecovery.Add(1)
	}
	t.initUndo()
	if !t.inReduction() {
		t.beginReduction(now, CongestionLoss)
		if ece {
			t.cong.Settled()
		}
	} else {
		t.cong.Settled()
	}
	r.rexmit = rexmitLost
	t.setCA(now, CARecovery)
}

// enterCWR begins a reduction without loss: the peer echoed a congestion mark (RFC 3168 §6.1.2).
func (t *TCB) enterCWR(now time.Duration) {
	if t.caState >= CACWR {
		return
	}
	t.rec.canUndo = false
	t.beginReduction(now, CongestionECN)
	t.cong.Settled()
	t.setCA(now, CACWR)
}

// enterLoss begins recovery after a timeout: "cwnd MUST be set to no more than the loss window, LW, which
// equals 1 full-sized segment" (RFC 5681 §3.1).
func (t *TCB) enterLoss(now time.Duration) {
	r := t.needRec()
	fresh := t.caState < CARecovery
	t.timeoutMarkLost(now)
	// Once per window: ssthresh is not reduced again for what was sent before the last reduction.
	if t.caState <= CADisorder || r.high.AtOrBefore(t.snd.una) || t.caState == CALoss && t.retransmits == 0 {
		t.algorithm().OnCongestion(&t.cong, now, CongestionRTO)
		t.initUndo()
	}
	if alg := t.alg(); alg != nil {
		alg.OnTimeout(now, t.snd.nxt)
	}
	t.cong.Cwnd = uint32(t.inFlight() + 1)
	t.cong.CwndCnt = 0
	if t.caState <= CADisorder && r.sacked >= t.env.cfg.Reordering {
		t.reordering = min(t.reordering, uint16(t.env.cfg.Reordering))
	}
	t.setCA(now, CALoss)
	r.high = t.snd.nxt
	t.rackFlags &^= rackTLP
	t.queueCWR()
	r.frto = t.env.cfg.FRTO > 0 && (fresh || t.retransmits > 0)
	t.cwndChanged(now)
}

// timeoutMarkLost marks everything lost that was sent long enough ago. If the head had been SACKed the
// peer has dropped what it had: "the data sender MUST ignore all information from SACKs" (RFC 2018 §8).
func (t *TCB) timeoutMarkLost(now time.Duration) {
	r := t.rec
	q := t.txq()
	if len(q) == 0 {
		return
	}
	reneg, why := q[0].is(markSACKed), CauseRetransmitLoss
	switch {
	case reneg:
		why = CauseRetransmitReneging
		t.env.stats.TCPSACKReneging.Add(1)
		r.sacked, r.reneged = 0, true
	case !t.has(fSACK):
		r.sacked = 0
	}
	r.hint = t.snd.una
	for i := range q {
		s := &q[i]
		if reneg {
			s.marks &^= markSACKed
		} else if i > 0 && t.has(fSACK) && t.rackOn() && t.rackWait(s, now, 0) > 0 {
			continue // sent a moment ago
		}
		t.markLostTx(now, s, why)
	}
}

// startRexmit finishes ACK processing: F-RTO may want new data sent first (RFC 5682 §2.1, step 2b).
func (t *TCB) startRexmit() {
	r := t.rec
	if r == nil || r.rexmit != rexmitNew {
		return
	}
	if t.snd.nxt == t.snd.end {
		r.frto = false
		r.rexmit = rexmitLost
	}
}
