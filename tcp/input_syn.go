package tcp

import "time"

// inputSynSent is RFC 9293 §3.10.7.3.
func (t *TCB) inputSynSent(now time.Duration, in *Segment) {
	// First, check the ACK bit: "If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset (unless the RST bit is
	// set, if so drop the segment and return)".
	if in.Flags&ACK != 0 {
		if in.Ack.AtOrBefore(t.edge.iss) || in.Ack.After(t.snd.nxt) {
			t.answerReset(in)
			if t.retransmits == 0 {
				// An old connection of the peer was in the way, and the reset will clear it: try again soon.
				t.armXmit(TimerRetransmit, now+2*tick)
			}
			t.dropped(now, in, DropFutureACK)
			return
		}
		// RFC 7323 leaves it open; like Linux: an echo of what we cannot have sent is of another connection.
		if t.env.cfg.Timestamps == On && in.Opts.HasTS && in.Opts.TSEcr != 0 && !t.echoPlausible(now, in.Opts.TSEcr) {
			t.env.stats.PAWSActive.Add(1)
			t.answerReset(in)
			t.dropped(now, in, DropPAWS)
			return
		}
	}
	// Second, check the RST bit: "If the ACK was acceptable, then signal to the user 'error: connection reset',
	// drop the segment, enter CLOSED state, delete TCB, and return. Otherwise (no ACK), drop the segment".
	if in.Flags&RST != 0 {
		if in.Flags&ACK != 0 {
			t.reset(now)
		} else {
			t.dropped(now, in, DropReset)
		}
		return
	}
	// Third, check the security: there is none.
	// Fifth, "if neither of the SYN or RST bits is set, then drop the segment and return."
	if in.Flags&SYN == 0 {
		t.dropped(now, in, DropState)
		return
	}
	if t.has(fTSRecent) && in.Opts.HasTS && in.Flags&ACK == 0 && !t.pawsOK(now, in.Opts.TSVal, 0) {
		t.dropped(now, in, DropPAWS)
		return
	}
	// Fourth, check the SYN bit: "RCV.NXT is set to SEG.SEQ+1, IRS is set to SEG.SEQ."
	t.edge.irs, t.rcv.nxt, t.rcv.wup, t.rcv.read = in.Seq, in.Seq.Add(1), in.Seq.Add(1), in.Seq.Add(1)
	t.takeSYNOptions(now, in)
	switch {
	case t.has(fWScale):
	case in.Flags&ACK != 0:
		t.noScale()
	default:
		t.snd.scale = 0 // simultaneous open: as Linux has it, our windows go on as our SYN announced them
	}
	t.takeSYNWindow(in)
	if in.Flags&ACK != 0 {
		t.synAcked(now, in)
		return
	}
	t.crossSYN(now, in)
}

// echoPlausible reports whether a timestamp echo lies between our first SYN and now.
func (t *TCB) echoPlausible(now time.Duration, ecr uint32) bool {
	return int32(ecr-t.tsNow(t.lastSend)) >= 0 && int32(t.tsNow(now)-ecr) >= 0
}

// synAcked: "SND.UNA should be advanced to equal SEG.ACK ... If SND.UNA > ISS (our SYN has been ACKed), change
// the connection state to ESTABLISHED, form an ACK segment and send it." Text on a SYN-ACK is not taken, its
// sender repeats it: like Linux without Fast Open.
func (t *TCB) synAcked(now time.Duration, in *Segment) {
	if in.Flags&(ECE|CWR) != ECE {
		t.ecn &^= ecnOK
	}
	t.processAck(now, in)
	t.snd.wnd = uint32(in.Wnd)
	t.maxWnd = max(t.maxWnd, t.snd.wnd)
	t.connected(now, in)
	if t.fast() != nil && t.fastOpenAnswered(now, in) {
		return
	}
	if t.has(fWritePending) || t.inPingpong() || t.deferAccept() > 0 {
		// A writer is waiting, TCP_QUICKACK was switched off, or TCP_DEFER_ACCEPT on: what the user says first will
		// carry the ACK.
		t.flags &^= fWritePending
		t.enterQuickAck(maxQuickAcks)
		t.ack.schedule()
		t.arm(TimerDelayedAck, now+t.env.cfg.DelackMax)
		return
	}
	t.ack.now(CauseAck)
}

// crossSYN is simultaneous open (RFC 9293 §3.5, MUST-10): "Otherwise, enter SYN-RECEIVED, form a SYN,ACK
// segment <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK> and send it. Set the variables: SND.WND <- SEG.WND, SND.WL1 <-
// SEG.SEQ, SND.WL2 <- SEG.ACK". Text is not taken.
func (t *TCB) crossSYN(now time.Duration, in *Segment) {
	if !in.Flags.Has(ECE | CWR) {
		t.ecn &^= ecnOK
	}
	t.syncMSS()
	t.initRcvMSS()
	t.setState(now, StateSynReceived)
	t.force |= forceSyn // the timer of our SYN goes on, as on Linux
}

// inputSynReceived handles segments in SYN-RECEIVED that came from LISTEN. The order is that of Linux,
// whose authors found the RFC's wanting: a repeated SYN is answered with the SYN-ACK again.
func (t *TCB) inputSynReceived(now time.Duration, in *Segment) {
	// An echo of a timestamp that no SYN-ACK of ours had is of another connection; like Linux, treat it as an old one.
	latest := now
	if t.synOut() {
		latest = t.txq()[0].sent
	}
	paws := t.has(fTS) && in.Opts.HasTS && (!t.pawsOK(now, in.Opts.TSVal, 0) || in.Opts.TSEcr != 0 && t.packetsOut() > 0 && !t.echoPlausible(latest, in.Opts.TSEcr))
	if in.Seq == t.edge.irs && in.Flags&(SYN|ACK|RST) == SYN && !paws {
		if !t.oowLimited(now, in, &t.env.stats.TCPACKSkippedSynRecv) {
			t.force |= forceSyn
			t.flags |= fSynRexmit
			t.total.retrans++
			t.env.stats.RetransSegs.Add(1)
			t.armXmit(TimerRetransmit, now+t.rto)
		}
		return
	}
	// Fifth check, for it comes first where the sequence number says little: "If the segment acknowledgment
	// is not acceptable, form a reset segment <SEQ=SEG.ACK><CTL=RST> and send it."
	fast := t.has(fFastOpen) // its ACK may acknowledge data as well, which is looked at later
	if in.Flags&ACK != 0 && in.Ack != t.snd.nxt && in.Flags&RST == 0 && !fast {
		t.answerReset(in)
		t.dropped(now, in, DropFutureACK)
		return
	}
	// First, check sequence number.
	if paws || !t.inSynWindow(in) {
		if in.Flags&RST == 0 && !t.oowLimited(now, in, &t.env.stats.TCPACKSkippedSynRecv) {
			t.ack.now(CauseDupAck)
		}
		if paws {
			t.env.stats.PAWSEstab.Add(1)
		}
		t.dropped(now, in, DropSequence)
		return
	}
	// Second, check the RST bit: "If this connection was initiated with a passive OPEN (i.e., came from the
	// LISTEN state), then return this connection to LISTEN state and return. The user need not be informed."
	// Fourth, check the SYN bit: the same. There is a reset for a SYN that is not ours.
	if in.Flags&RST != 0 && in.Seq != t.rcv.nxt {
		t.challengeAck(now) // RFC 5961 §3.2
		t.dropped(now, in, DropReset)
		return
	}
	if in.Flags&RST != 0 || in.Flags&SYN != 0 && in.Seq != t.edge.irs {
		t.endEmbryo(now, in)
		return
	}
	if in.Flags&ACK == 0 {
		t.dropped(now, in, DropNoACK)
		return
	}
	if !fast && int(t.retransmits) < t.deferAccept() && in.End() == t.rcv.nxt {
		t.opt.bareAck = true // TCP_DEFER_ACCEPT: it is not established before there is something to read
		t.env.stats.TCPDeferAcceptDrop.Add(1)
		t.dropped(now, in, DropState)
		return
	}
	if t.packetsOut() > 0 && t.has(fTS) && in.Opts.HasTS && !in.Seq.After(t.rcv.nxt) {
		t.storeTSRecent(now, in.Opts.TSVal)
	}
	t.inputOther(now, in)
}

// endEmbryo ends a connection in SYN-RECEIVED that the peer has reset, or for which it has sent another SYN. One
// that was accepted by Fast Open has a user, whom a stray SYN does not take it from.
func (t *TCB) endEmbryo(now time.Duration, in *Segment) {
	fast := t.has(fFastOpen)
	switch {
	case in.Flags&RST == 0:
		t.answerReset(in)
		if fast {
			t.dropped(now, in, DropSYN)
			return
		}
	case fast:
		t.reset(now)
		return
	}
	t.env.stats.EmbryonicRsts.Add(1)
	t.err = ErrReset
	t.toClosed(now)
}

// inSynWindow is the acceptability test of table 6 before there is any state to speak of.
func (t *TCB) inSynWindow(in *Segment) bool {
	end := in.End()
	edge := t.rcv.nxt.Add(t.rcv.wnd)
	if in.Seq == t.rcv.nxt {
		return true
	}
	if end.After(t.rcv.nxt) && in.Seq.Before(edge) {
		return true
	}
	return in.Seq == edge && in.Seq == end
}
