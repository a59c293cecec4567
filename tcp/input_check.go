package tcp

import "time"

// validate makes the first to fourth check of RFC 9293 §3.10.7.4, with PAWS before them (RFC 7323 §5.3),
// and returns whether the segment may be processed further.
func (t *TCB) validate(now time.Duration, in *Segment) bool {
	// RFC 7323 §5.3, R1: "If there is a Timestamps option in the arriving segment, SEG.TSval < TS.Recent,
	// TS.Recent is valid, and if the RST bit is not set, then treat the arriving segment as not acceptable:
	// Send an acknowledgment in reply".
	if t.has(fTS) && in.Opts.HasTS && t.pawsRejects(now, in) && in.Flags&RST == 0 {
		if in.Flags&SYN != 0 {
			return t.challengeSYN(now, in)
		}
		t.env.stats.PAWSEstab.Add(1)
		if !t.oowLimited(now, in, &t.env.stats.TCPACKSkippedPAWS) {
			t.ackUnacceptable(in)
		}
		t.dropped(now, in, DropPAWS)
		return false
	}
	// First, check sequence number.
	if !t.acceptable(in) {
		return t.unacceptable(now, in)
	}
	// Second, check the RST bit.
	if in.Flags&RST != 0 {
		t.inputRST(now, in)
		return false
	}
	// Fourth, check the SYN bit.
	if in.Flags&SYN != 0 {
		if t.crossedSYN(in) {
			return true
		}
		return t.challengeSYN(now, in)
	}
	return true
}

// acceptable is the test of table 6, as Linux makes it: nothing that ends before what was acknowledged
// last, nothing that begins behind the window. That lets pass an old duplicate nearby, which is
// answered with a report of the duplicate, and a segment at the very edge, which is a window probe.
// Text that reaches beyond the window is taken only when nothing else is queued.
func (t *TCB) acceptable(in *Segment) bool {
	end := in.End()
	if end.Before(t.rcv.wup) {
		return false
	}
	edge := t.rcv.nxt.Add(t.receiveWindow())
	if end.After(edge) {
		if in.Seq.After(edge) {
			return false
		}
		if t.Readable() > 0 && in.Payload.N > 0 {
			t.env.stats.BeyondWindow.Add(1)
			return false
		}
	}
	return true
}

// unacceptable answers a segment that failed the first check: "If an incoming segment is not acceptable, an
// acknowledgment should be sent in reply (unless the RST bit is set, if so drop the segment and return)".
func (t *TCB) unacceptable(now time.Duration, in *Segment) bool {
	switch {
	case in.Flags&RST != 0:
		if t.resetAfterFIN(in) {
			t.reset(now)
		} else {
			t.dropped(now, in, DropReset)
		}
	case in.Flags&SYN != 0:
		return t.challengeSYN(now, in)
	default:
		if !t.oowLimited(now, in, &t.env.stats.TCPACKSkippedSeq) {
			t.ackUnacceptable(in)
		}
		t.dropped(now, in, DropSequence)
	}
	return false
}

// ackUnacceptable acknowledges a segment outside the window at once, and reports it when it repeats text.
func (t *TCB) ackUnacceptable(in *Segment) {
	if in.SeqLen() > 0 && in.Seq.Before(t.rcv.nxt) {
		t.env.stats.DelayedACKLost.Add(1)
		t.enterQuickAck(maxQuickAcks)
		t.setDSACK(in.Seq, in.End().Min(t.rcv.nxt))
	}
	t.ack.now(CauseDupAck)
}

// inputRST is the second check with RFC 5961 §3.2: only a RST exactly at RCV.NXT resets the connection;
// "If the RST bit is set and the sequence number does not exactly match the next expected sequence value,
// yet is within the current receive window, TCP endpoints MUST send an acknowledgment (challenge ACK)".
// Two more places are accepted as Linux does: behind the last SACK block, and the number of the FIN.
func (t *TCB) inputRST(now time.Duration, in *Segment) {
	if in.Seq == t.rcv.nxt || t.resetAfterFIN(in) || t.resetAtSACK(in) {
		t.reset(now)
		return
	}
	t.challengeAck(now)
	t.dropped(now, in, DropReset)
}

// resetAfterFIN: a peer that is killed sends FIN and then RST with the number of the FIN.
func (t *TCB) resetAfterFIN(in *Segment) bool {
	return in.Seq == t.rcv.nxt-1 && t.state.in(finRcvd) && t.state != StateTimeWait
}

// resetAtSACK: a peer that sends RST at its SND.NXT while we miss something sends it at the end of what we
// have.
func (t *TCB) resetAtSACK(in *Segment) bool {
	if !t.has(fSACK) || t.ooo == nil || t.ooo.nsack == 0 {
		return false
	}
	top := t.ooo.sack[0].End
	for _, b := range t.ooo.sack[1:t.ooo.nsack] {
		top = top.Max(b.End)
	}
	return in.Seq == top
}

// reset ends the connection because the peer says so: "any outstanding RECEIVEs and SEND should receive
// 'reset' responses. All segment queues should be flushed ... Enter the CLOSED state".
func (t *TCB) reset(now time.Duration) {
	switch t.state {
	case StateSynSent:
		t.err = ErrRefused
		// In SYN-RECEIVED we differ: the RFC would "signal the user 'connection refused'" if the open was
		// active; Linux says ECONNRESET, as for all other states.
	case StateCloseWait:
		t.err = ErrPipe
	default:
		t.err = ErrReset
	}
	t.events |= EvError
	t.toClosed(now)
}

// crossedSYN reports whether in is the SYN-ACK of a simultaneous open, whose SYN arrived before
// (RFC 9293 §3.5, figure 8): its SYN is known, its ACK is news.
func (t *TCB) crossedSYN(in *Segment) bool {
	return t.state == StateSynReceived && in.Flags&ACK != 0 && in.SeqLen() == 1 &&
		in.Seq.Add(1) == t.rcv.nxt && in.Ack == t.snd.nxt
}

// challengeSYN is the fourth check: "if the SYN bit is set, irrespective of the sequence number, TCP endpoints
// MUST send a 'challenge ACK' to the remote peer ... After sending the acknowledgment, TCP implementations
// MUST drop the unacceptable segment" (RFC 5961 §4.2). It returns false.
func (t *TCB) challengeSYN(now time.Duration, in *Segment) bool {
	t.env.stats.TCPSYNChallenge.Add(1)
	t.challengeAck(now)
	t.dropped(now, in, DropSYN)
	return false
}

// challengeAck sends <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, not too often (RFC 5961 §7, errata 4772).
func (t *TCB) challengeAck(now time.Duration) {
	if t.limited(now) {
		t.env.stats.TCPACKSkippedChallenge.Add(1)
		return
	}
	if !t.env.stats.challengeAllowed(now, t.env.cfg.ChallengeAckLimit) {
		return
	}
	t.env.stats.TCPChallengeACK.Add(1)
	t.ack.now(CauseChallengeAck)
}

// counter is an atomic counter.
type counter interface{ Add(uint64) uint64 }

// oowLimited reports whether the answer to a bad segment must be left out, because another was answered a
// moment ago: two broken ends must not acknowledge each other forever. Text never causes such loops.
func (t *TCB) oowLimited(now time.Duration, in *Segment, skipped counter) bool {
	if in.SeqLen() > 0 && in.Flags&SYN == 0 {
		return false
	}
	if t.limited(now) {
		skipped.Add(1)
		return true
	}
	return false
}

// limited reports whether the last answer of this kind was less than tcp_invalid_ratelimit ago, and if not
// counts this one.
func (t *TCB) limited(now time.Duration) bool {
	if t.has(fOOWSet) {
		if d := now - t.extra.oow; d >= 0 && d < t.env.cfg.InvalidRatelimit {
			return true
		}
	}
	t.needExtra().oow = now
	t.flags |= fOOWSet
	return false
}

// pawsWrap is after how long an idle connection's TS.Recent says nothing any more (RFC 7323 §5.5).
const pawsWrap = 24 * 24 * time.Hour

// pawsOK reports whether timestamp v is not older than TS.Recent by more than slack ticks, or TS.Recent
// is not to be relied on. Zero as TS.Recent comes from hosts that begin with it.
func (t *TCB) pawsOK(now time.Duration, v uint32, slack int32) bool {
	return !t.has(fTSRecent) || int32(t.tsRecent-v) <= slack ||
		now-t.recentAt >= pawsWrap || t.tsRecent == 0
}

// pawsRejects is the PAWS test (RFC 7323 §5.3, R1), except that a pure ACK that was overtaken by another
// segment is let pass.
func (t *TCB) pawsRejects(now time.Duration, in *Segment) bool {
	if t.pawsOK(now, in.Opts.TSVal, 1) {
		return false
	}
	old := int32(t.tsRecent - in.Opts.TSVal)
	replay := int32(min(t.rto*6/5/time.Millisecond, 1<<30))
	overtaken := in.Flags&ACK != 0 && in.SeqLen() == 0 && in.Seq == t.rcv.nxt && in.Ack == t.snd.una &&
		!t.mayUpdateWindow(in, uint32(in.Wnd)<<t.snd.scale) && old <= replay
	return !overtaken
}

// updateTSRecent is R3 of RFC 7323 §5.3: "If an arriving segment satisfies SEG.TSval >= TS.Recent and
// SEG.SEQ <= Last.ACK.sent, then record its timestamp in TS.Recent".
func (t *TCB) updateTSRecent(now time.Duration, in *Segment) {
	if t.has(fTS) && in.Opts.HasTS && !in.Seq.After(t.rcv.wup) && t.pawsOK(now, in.Opts.TSVal, 0) {
		t.storeTSRecent(now, in.Opts.TSVal)
	}
}

func (t *TCB) storeTSRecent(now time.Duration, v uint32) {
	t.tsRecent, t.recentAt = v, now
	t.flags |= fTSRecent
}
