package tcp

import "time"

// Output gives the next segment to send, if there is one. The payload is retained for the caller, who
// releases it. The order is that of Linux: resets, retransmissions, new data, probes, and a pure ACK if
// nothing else carried it. Call it until it returns false; a caller that cannot send any more just now
// stops and goes on later.
func (t *TCB) Output(now time.Duration, out *Segment) bool {
	if t.Quiet() {
		return false
	}
	t.unfold()
	if t.state == StateEstablished && (t.OutputRun(now, out) || t.outputFast(now, out)) {
		return true
	}
	if t.has(fReset) {
		t.outputReset(now, out)
		return true
	}
	switch t.state {
	case StateClosed, StateListen:
		return false
	case StateSynSent, StateSynReceived:
		if t.outputSYN(now, out) {
			return true
		}
		if !t.has(fFastOpen) {
			return false
		}
	default:
		if t.force&forceSyn != 0 { // an accepted Fast Open that its user has closed
			return t.outputSYN(now, out)
		}
		if t.outputFIN(now, out) {
			return true
		}
	}
	if t.force&forceAck != 0 {
		t.force &^= forceAck
		if t.ack.pending&ackNow != 0 {
			t.outputAck(now, out)
			return true
		}
	}
	if t.rec != nil || t.force != 0 {
		if t.outputRetransmit(now, out) {
			return true
		}
	}
	if t.snd.nxt != t.snd.end && t.outputNew(now, out) {
		return true
	}
	if t.rec != nil && t.rec.rexmit == rexmitNew && t.newDataTried(now, out) {
		return true
	}
	if t.force&(forceProbe|forceKeepalive) != 0 && t.outputProbe(now, out) {
		return true
	}
	if t.ack.pending&ackNow != 0 {
		t.outputAck(now, out)
		return true
	}
	t.outputDone(now)
	return false
}

// header fills in what every segment but a RST has, and notes that its ACK is under way.
func (t *TCB) header(now time.Duration, out *Segment, seq Seq, flags Flags, why Cause) {
	// Field by field: one assignment of a whole Segment would be made twice over.
	out.SrcPort, out.DstPort = t.localPort, t.remotePort
	out.Seq, out.Ack, out.Flags, out.Urg = seq, t.rcv.nxt, flags|ACK, 0
	out.ECN, out.Cause = ECNNot, why
	out.Opts = Options{}
	out.Payload = Payload{}
	if t.has(fTS) {
		out.Opts.HasTS = true
		out.Opts.TSVal = t.tsNow(now)
		out.Opts.TSEcr = t.tsRecent
	}
	if t.has(fDSACK) || t.ooo != nil && len(t.ooo.segs) > 0 {
		t.fillSACK(&out.Opts)
	}
	out.Wnd = t.selectWindow()
	if t.has(fUrgent) {
		t.markUrgent(out)
	}
	if t.ecn&ecnDemandCWR != 0 && t.ecn&ecnOK != 0 {
		out.Flags |= ECE
	}
	t.ackSent()
	t.countOut(out.Spares)
}

// outputSYN gives the SYN of SYN-SENT or the SYN-ACK of SYN-RECEIVED, or an ACK for a bad segment.
func (t *TCB) outputSYN(now time.Duration, out *Segment) bool {
	if t.force&forceSyn != 0 {
		t.force &^= forceSyn
		t.buildSYN(now, out)
		return true
	}
	if t.ack.pending&ackNow != 0 && t.state == StateSynReceived {
		wnd := t.rcv.wnd
		t.outputAck(now, out)
		if t.has(fPassive) {
			t.rcv.wnd = wnd // nothing was offered beyond what the SYN-ACK had
			out.Wnd = uint16(min(wnd>>t.rwin.scale, 65535))
		}
		return true
	}
	return false
}

// sendSYN makes Output give the first SYN or SYN-ACK and starts its timer. spare may be nil.
func (t *TCB) sendSYN(now time.Duration, spare *Spares) {
	t.snd.nxt = t.edge.iss.Add(1)
	if t.packetsOut() == 0 {
		t.needX(spare).rtx.push(txSeg{seq: t.edge.iss, end: t.snd.nxt, sent: now, marks: markSYN})
	}
	t.force |= forceSyn
	t.armXmit(TimerRetransmit, now+t.rto)
}

// buildSYN writes SYN or SYN-ACK with our options: MSS always (RFC 9293 §3.7.1, MUST-14, SHLD-5), the others
// if we want them and, in a SYN-ACK, the peer offered them.
func (t *TCB) buildSYN(now time.Duration, out *Segment) {
	synack := t.state != StateSynSent
	offered := !synack || !t.has(fPassive) // in a simultaneous open the SYN had said so already
	spare := out.Spares
	*out = Segment{}
	out.Spares = spare
	out.SrcPort, out.DstPort = t.localPort, t.remotePort
	out.Seq, out.Flags, out.Cause = t.edge.iss, SYN, CauseSYN
	out.Wnd = uint16(min(t.rcv.wnd, 65535))
	out.Opts.MSS, out.Opts.HasMSS = t.advMSS(), true
	out.Opts.SACKPermitted = t.env.cfg.SACK == On && (offered || t.has(fSACK))
	out.Opts.HasTS = t.env.cfg.Timestamps == On && (offered || t.has(fTS))
	out.Opts.HasWScale = t.env.cfg.WindowScaling == On && (offered || t.has(fWScale))
	out.Opts.WScale = t.rwin.offered
	if out.Opts.HasTS {
		out.Opts.TSVal, out.Opts.TSEcr = t.tsNow(now), t.tsRecent
	} else {
		out.Opts.TSVal = 0
	}
	if synack {
		out.Flags |= ACK
		out.Ack = t.rcv.nxt
		out.Cause = CauseSYNACK
		t.ackSent()
	}
	if t.ecn&ecnOK != 0 {
		out.Flags |= ECE
		if !synack {
			out.Flags |= CWR
		}
	}
	again := t.has(fSynRexmit)
	if again {
		out.Cause = CauseRetransmitSYN
	}
	t.synOption(out, again)
	if !again {
		t.synText(now, out)
	}
	if t.packetsOut() > 0 && !t.has(fFastOpen) {
		head := &t.txq()[0]
		head.sent = now
		if again {
			head.marks |= markEver
		}
	}
	ours := uint32(1)
	if synack && t.has(fPassive) { // Linux: the SYN-ACK of a listener is not the connection's
		ours = 0
	}
	if again {
		t.total.segsOut += ours
		t.tellRetransmit(now, out.Cause, Range{t.edge.iss, t.edge.iss + 1})
		return
	}
	t.total.segsOut += ours - 1
	t.countOut(spare)
}

func (t *TCB) tellRetransmit(now time.Duration, why Cause, r Range) {
	if t.env.observer != nil {
		t.env.observer.Event(t, Event{Kind: EventRetransmit, Now: now, Cause: why, Range: r})
	}
}

// outputAck gives a pure ACK: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>.
func (t *TCB) outputAck(now time.Duration, out *Segment) {
	why := t.ack.cause
	if why == CauseNone {
		why = CauseAck
	}
	t.ack.cause = CauseNone
	t.header(now, out, t.acceptableSeq(), 0, why)
	t.idleX(out.Spares)
}

// acceptableSeq returns the sequence number for a segment without text: SND.NXT, but not beyond a window
// that shrank, where the peer would refuse it.
func (t *TCB) acceptableSeq() Seq {
	end := t.snd.una.Add(t.snd.wnd)
	if t.state == StateSynReceived && t.has(fPassive) {
		return t.snd.nxt
	}
	if !end.Before(t.snd.nxt) || t.has(fWScale) && uint32(t.snd.nxt.Sub(end)) < 1<<t.rwin.scale {
		return t.snd.nxt
	}
	return end
}

// queueReset makes Output give <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK> before anything else.
func (t *TCB) queueReset() {
	t.flags |= fReset
	t.needExtra().rst = pendingReset{seq: t.acceptableSeq(), ack: t.rcv.nxt, flags: RST | ACK, wnd: t.selectWindow(), own: true}
	if t.numSACKs() > 0 {
		o := t.needOpt()
		o.rstSACK = new(Options)
		t.fillSACK(o.rstSACK)
	}
}

// answerReset makes Output give the reset that answers in (RFC 9293 §3.10.7.1).
func (t *TCB) answerReset(in *Segment) {
	var out Segment
	if Reset(in, &out) {
		t.flags |= fReset
		t.needExtra().rst = pendingReset{seq: out.Seq, ack: out.Ack, flags: out.Flags}
	}
}

// Refuse answers in, the ACK that would end the handshake, with a reset, and ends the connection
// (tcp_abort_on_overflow).
func (t *TCB) Refuse(now time.Duration, in *Segment) {
	t.unfold()
	t.answerReset(in)
	t.toClosed(now)
}

func (t *TCB) outputReset(now time.Duration, out *Segment) {
	rst := &t.extra.rst
	*out = Segment{
		SrcPort: t.localPort, DstPort: t.remotePort,
		Seq: rst.seq, Ack: rst.ack, Flags: rst.flags, Wnd: rst.wnd, Cause: CauseReset,
	}
	if rst.own && t.opt != nil && t.opt.rstSACK != nil {
		out.Opts = *t.opt.rstSACK
	}
	if rst.own && t.has(fTS) {
		out.Opts.HasTS, out.Opts.TSVal, out.Opts.TSEcr = true, t.tsNow(now), t.tsRecent
	}
	t.flags &^= fReset
	if t.env != nil { // a TCB that never had a connection answers too
		t.env.stats.OutRsts.Add(1)
	}
	t.total.segsOut++
}

// newDataTried is F-RTO's second half of step 2b: when no new data could be sent, retransmit after all.
func (t *TCB) newDataTried(now time.Duration, out *Segment) bool {
	r := t.rec
	if t.snd.nxt.After(r.high) {
		r.rexmit = rexmitNone
		return false
	}
	r.frto = false
	r.rexmit = rexmitLost
	return t.outputRetransmit(now, out)
}

// validateCwnd tells the congestion window how much of it is used.
func (t *TCB) validateCwnd(now time.Duration) {
	t.cong.Validate(Usage{
		Now: now, RTO: t.rto, Una: t.snd.una, Nxt: t.snd.nxt, Out: uint32(t.packetsOut()),
		Limited: t.has(fCwndLimited) || t.inFlight() >= int(t.cong.Cwnd),
		Shrink:  t.env.cfg.SlowStartAfterIdle == On && t.caState == CAOpen && !t.has(fNoSpace),
	})
}

// outputDone is called when there is nothing more to send: it draws the conclusions of the burst.
func (t *TCB) outputDone(now time.Duration) {
	if t.rec != nil {
		t.rec.rexmit = rexmitNone
		t.rec.again = t.snd.una - 1
	}
	t.force &^= forceNagle
	t.flags &^= fRun
	if t.has(fSentNew) {
		t.scheduleTLP(now, false)
	}
	if t.has(fSentNew) || t.has(fCwndLimited) {
		t.validateCwnd(now)
	}
	t.flags &^= fCwndLimited | fSentNew
	if m := t.mtuSearch(); m != nil {
		m.queued = t.snd.end
	}
	if t.has(fNoSpace) && t.opt != nil && t.WriteSpace() > 0 { // TCP_NOTSENT_LOWAT: what was sent makes room
		t.flags &^= fNoSpace
		t.events |= EvWritable
	}
	if t.snd.nxt != t.snd.end && t.packetsOut() == 0 {
		t.needProbe(now)
	}
}
