package tcp

import "time"

// Undoing reductions of the window that turn out to be mistakes: nothing was lost, only late.
// Evidence is a timestamp echo older than the retransmission (Eifel, RFC 3522, RFC 4015), or a report of
// duplicates for every retransmission (RFC 3708), or after a timeout F-RTO (RFC 5682).

// initUndo remembers where an episode began.
func (t *TCB) initUndo() {
	r := t.rec
	r.undoMarker, r.canUndo = t.snd.una, true
	// Retransmissions in flight may be reported as duplicates later.
	r.undoRetrans = r.retrans
	if probe := rackTLP | rackTLPRetrans; t.rackFlags&probe == probe {
		r.undoRetrans = max(r.undoRetrans, 1)
	}
	if r.undoRetrans == 0 {
		r.undoRetrans = -1
	}
}

// packetDelayed reports whether the ACK echoes a timestamp from before the first retransmission: the
// original arrived, late.
func (t *TCB) packetDelayed(a *ackState) bool {
	r := t.rec
	return r.stamped && a.hasECR && int32(a.ecr-t.tsNow(r.rexmitAt)) < 0
}

func (t *TCB) mayUndo(a *ackState) bool {
	return t.rec.canUndo && (t.rec.undoRetrans == 0 || t.packetDelayed(a))
}

// undoReduction brings cwnd and ssthresh back, and with unmark takes everything as not lost.
func (t *TCB) undoReduction(now time.Duration, unmark bool) {
	r := t.rec
	if unmark {
		q := t.txq()
		for i := range q {
			q[i].marks &^= markLost
		}
		r.lost = 0
	}
	if t.cong.PriorCwnd != 0 {
		t.algorithm().Undo(&t.cong)
		t.ecn &^= ecnQueueCWR
	}
	r.canUndo = false
	t.rackFlags |= rackAdvanced // look for losses anew
	if t.env.observer != nil {
		t.env.observer.Event(t, Event{Kind: EventUndo, Now: now, Cwnd: t.cong.Cwnd, Ssthresh: t.cong.Ssthresh})
	}
}

// undoRecovery is called when all of the episode is acknowledged. It returns true when the state must be
// kept for a while.
func (t *TCB) undoRecovery(a *ackState) bool {
	switch {
	case t.mayUndo(a):
		if t.caState == CALoss {
			t.env.stats.TCPLossUndo.Add(1)
		} else {
			t.env.stats.TCPFullUndo.Add(1)
		}
		t.undoReduction(a.now, false)
	case t.extra != nil && t.extra.reo.persist > 0:
		t.extra.reo.persist--
	}
	if t.renoHolds() {
		return true
	}
	t.setCA(a.now, CAOpen)
	t.rec.reneged = false
	return false
}

// renoHolds: without SACK the state lasts until something beyond "recover" is acknowledged, or duplicates
// of this episode would start another one (RFC 6582 §4.1).
func (t *TCB) renoHolds() bool {
	if t.has(fSACK) || t.snd.una != t.rec.high {
		return false
	}
	if !t.anyRetransDone() {
		t.rec.stamped = false
	}
	return true
}

// undoByDSACK undoes when every retransmission has been reported as a duplicate.
func (t *TCB) undoByDSACK(a *ackState) bool {
	r := t.rec
	if !r.canUndo || r.undoRetrans != 0 {
		return false
	}
	reo := &t.needExtra().reo
	reo.persist = min(reo.persist+1, rackRecoveries)
	t.env.stats.TCPDSACKUndo.Add(1)
	t.undoReduction(a.now, false)
	return true
}

// undoLoss undoes a timeout, on F-RTO's word (frto) or that of timestamps or duplicates.
func (t *TCB) undoLoss(a *ackState, frto bool) bool {
	if !frto && !t.mayUndo(a) {
		return false
	}
	t.undoReduction(a.now, true)
	t.env.stats.TCPLossUndo.Add(1)
	if frto {
		t.env.stats.TCPSpuriousRTOs.Add(1)
	}
	t.retransmits = 0
	if t.renoHolds() {
		return true
	}
	if frto || t.has(fSACK) {
		t.setCA(a.now, CAOpen)
		t.rec.reneged = false
	}
	return true
}

// undoPartial handles a partial ACK in fast recovery that was caused by a late original. It returns true
// when nothing else is to be marked or sent again for it.
func (t *TCB) undoPartial(a *ackState) bool {
	r := t.rec
	if !r.canUndo || !t.packetDelayed(a) {
		return false
	}
	t.checkReordering(a.priorUna, true)
	if r.retrans > 0 {
		return true
	}
	if !t.anyRetransDone() {
		r.stamped = false
	}
	t.undoReduction(a.now, true)
	t.env.stats.TCPPartialUndo.Add(1)
	t.keepOpen(a.now)
	return false
}

// processLoss handles an ACK in recovery after a timeout, with F-RTO as RFC 5682 §3.1 has it for SACK.
func (t *TCB) processLoss(a *ackState, dup int) {
	r := t.rec
	recovered := t.snd.una.AtOrAfter(r.high)
	if a.info&ackAdvanced != 0 && t.undoLoss(a, false) {
		return
	}
	if r.frto {
		// Step 3b: something never retransmitted was delivered: the timeout was spurious.
		if a.info&ackOrig != 0 && t.undoLoss(a, true) {
			return
		}
		if t.snd.nxt.After(r.high) {
			if a.info&ackSACKed != 0 || dup > 0 {
				r.frto = false // step 3a: the loss was real
			}
		} else if a.info&ackAdvanced != 0 && !recovered {
			r.high = t.snd.nxt
			// Step 2b: "transmit up to two new (previously unsent) segments".
			if t.snd.nxt != t.snd.end && t.snd.una.Add(t.snd.wnd).After(t.snd.nxt) {
				r.rexmit = rexmitNew
				return
			}
			r.frto = false
		}
	}
	if recovered {
		t.undoRecovery(a)
		return
	}
	if !t.has(fSACK) {
		if t.snd.nxt.After(r.high) && dup > 0 {
			t.addRenoSACK(dup)
		} else if a.info&ackAdvanced != 0 {
			r.sacked = 0
		}
	}
	r.rexmit = rexmitLost
}

// checkReneging: the head of the queue had been SACKed, yet the ACK stops before it. The peer has dropped
// it, or will acknowledge it in a moment: wait that long, then time out (RFC 2018 §8).
func (t *TCB) checkReneging(a *ackState) bool {
	if a.info&ackReneging == 0 || a.info&ackAdvanced == 0 {
		return false
	}
	a.info &^= ackSetTimer
	t.armXmit(TimerRetransmit, a.now+max(t.rtt.SRTT()/2, 10*time.Millisecond))
	return true
}
