package tcp

import "time"

// inputLent is input for a segment whose text is lent. It is apart from Input for the sake of its frame: payloads are large,
// and what is called from Input is deep down already.
//
//go:noinline
func (t *TCB) inputLent(now time.Duration, in *Segment) {
	lent := in.Payload
	in.Payload = lent.copied(t.env.alloc)
	t.input(now, in)
	in.Payload.Release()
	in.Payload = lent
}

// input is Input for what is out of the ordinary.
func (t *TCB) input(now time.Duration, in *Segment) {
	switch t.state {
	case StateClosed, StateListen:
		// "If the state is CLOSED (i.e., TCB does not exist), then all data in the incoming segment is
		// discarded. ... An incoming segment not containing a RST causes a RST to be sent in response."
		t.answerReset(in)
		return
	}
	t.countIn(in)
	if in.Payload.N > 0 {
		t.total.dataIn++
	}
	switch {
	case t.state == StateSynSent:
		t.inputSynSent(now, in)
	case t.state == StateTimeWait:
		t.inputTimeWait(now, in)
	case t.state == StateSynReceived && t.has(fPassive), t.has(fFastOpen):
		t.inputSynReceived(now, in)
	default:
		t.inputOther(now, in)
	}
	if in.Taken > 0 {
		t.readInto(now, in)
	}
	t.idleX(in.Spares) // here, and not when all was acknowledged: the text of in may need it at once
}

// inputOther is §3.10.7.4 "Other States", check by check.
func (t *TCB) inputOther(now time.Duration, in *Segment) {
	// "if the ACK bit is off, drop the segment and return" (fifth check); as Linux does before all others,
	// because a segment without ACK, RST and SYN is never sent.
	if in.Flags&(ACK|RST|SYN) == 0 {
		t.dropped(now, in, DropNoACK)
		return
	}
	// First, check sequence number; second, check the RST bit; third, check security: there is none to
	// check; fourth, check the SYN bit.
	if !t.validate(now, in) {
		return
	}
	// Fifth, check the ACK field.
	if in.Flags&ACK == 0 {
		t.dropped(now, in, DropNoACK)
		return
	}
	if !t.checkACKField(now, in) {
		return
	}
	// Sixth, check the URG bit.
	t.inputUrgent(in)
	// Seventh, process the segment text; eighth, check the FIN bit.
	t.inputText(now, in)
	if t.state == StateClosed {
		return
	}
	t.checkAck(now)
}

// checkACKField is the fifth check. It returns false when the segment is done with.
func (t *TCB) checkACKField(now time.Duration, in *Segment) bool {
	switch t.processAck(now, in) {
	case ackTooOld:
		// "All incoming segments whose ACK value doesn't satisfy the above condition MUST be discarded and
		// an ACK sent back" (RFC 5961 §5).
		if t.state == StateSynReceived {
			t.answerReset(in)
		} else {
			t.challengeAck(now)
		}
		t.dropped(now, in, DropOldACK)
		return false
	case ackFuture:
		// "If the ACK acks something not yet sent (SEG.ACK > SND.NXT), then send an ACK, drop the segment, and
		// return." In SYN-RECEIVED: "form a reset segment <SEQ=SEG.ACK><CTL=RST> and send it".
		if t.state == StateSynReceived {
			t.answerReset(in)
		} else {
			t.challengeAck(now)
		}
		t.dropped(now, in, DropFutureACK)
		return false
	case ackOld:
		if t.state == StateSynReceived {
			t.dropped(now, in, DropOldACK)
			return false
		}
	}
	return t.ackByState(now, in)
}

// ackByState is what an acceptable ACK means in each state.
func (t *TCB) ackByState(now time.Duration, in *Segment) bool {
	acked := t.has(fFinSent) && t.snd.una == t.snd.end // our FIN is acknowledged
	switch t.state {
	case StateSynReceived:
		// "If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED state and continue processing".
		if t.snd.una == t.edge.iss {
			// "If the segment acknowledgment is not acceptable, form a reset segment".
			t.answerReset(in)
			t.dropped(now, in, DropOldACK)
			return false
		}
		t.establish(now, in)
	case StateFinWait1:
		if t.has(fFastOpen) {
			t.fastOpenDone(now)
		}
		// "In addition to the processing for the ESTABLISHED state, if the FIN segment is now acknowledged,
		// then enter FIN-WAIT-2 and continue processing in that state."
		if acked {
			return t.enterFinWait2(now, in)
		}
	case StateClosing:
		// "if the ACK acknowledges our FIN, then enter the TIME-WAIT state; otherwise, ignore the segment."
		if acked {
			t.enterTimeWait(now)
			return false
		}
	case StateLastAck:
		// "If our FIN is now acknowledged, delete the TCB, enter the CLOSED state, and return."
		if acked {
			t.toClosed(now)
			return false
		}
	}
	return true
}

// establish enters ESTABLISHED from SYN-RECEIVED: "SND.WND <- SEG.WND, SND.WL1 <- SEG.SEQ, SND.WL2 <- SEG.ACK".
func (t *TCB) establish(now time.Duration, in *Segment) {
	t.snd.wnd = uint32(in.Wnd)
	if in.Flags&SYN == 0 {
		t.snd.wnd <<= t.snd.scale
	}
	t.maxWnd = max(t.maxWnd, t.snd.wnd)
	if t.has(fPassive) && !t.has(fFastOpen) {
		t.maxWnd = t.snd.wnd // as on Linux, where the connection begins with this segment
	}
	t.snd.wl1, t.snd.wl2 = in.Seq, in.Ack
	if t.has(fFastOpen) {
		t.fastOpenDone(now)
		if t.has(fTS) && int(t.rwin.adv) > 12+int(t.env.cfg.MinSndMSS) {
			t.rwin.adv -= 12
		}
		t.setState(now, StateEstablished)
		t.lastSend, t.lastRecv = now, now
		return
	}
	t.connected(now, in)
	if t.has(fFinQueued) {
		// The user closed in SYN-RECEIVED: "queue for processing after entering ESTABLISHED state".
		t.setState(now, StateFinWait1)
	}
}

// connected is common to both ways into ESTABLISHED.
func (t *TCB) connected(now time.Duration, in *Segment) {
	if t.has(fTS) && int(t.rwin.adv) > 12+int(t.env.cfg.MinSndMSS) {
		t.rwin.adv -= 12
	}
	t.setState(now, StateEstablished)
	t.events |= EvConnected | EvWritable
	t.syncMSS()
	t.initRcvMSS()
	if !t.rtt.Known() && t.has(fSynRexmit) {
		// "If the timer expires awaiting the ACK of a SYN segment and the TCP implementation is using an RTO
		// less than 3 seconds, the RTO MUST be re-initialized to 3 seconds" (RFC 6298 §5.7).
		t.rto = RTOFallback
	}
	if t.total.retrans > 1 && !(t.has(fTS) && in.Opts.HasTS && in.Opts.TSEcr == t.tsNow(t.lastSend)) {
		t.cong.Cwnd = 1 // RFC 5681 §3.1: the SYN was lost, more than once; no echo says otherwise
	}
	if t.rec != nil {
		t.rec.stamped = false
		t.dropRec()
	}
	t.retransmits, t.backoff = 0, 0
	t.initBuffers(now)
	t.startMTUSearch(now)
	t.lastSend = now
	t.lastRecv = now
	if t.has(fKeepalive) {
		t.arm(TimerKeepalive, now+t.keepIdle())
	}
}
