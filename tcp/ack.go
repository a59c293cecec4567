package tcp

import "time"

// What an arriving acknowledgment means (RFC 9293 §3.10.7.4, fifth check; RFC 5681; RFC 6298).

// ackInfo is what has been learned from one ACK.
type ackInfo uint16

const (
	ackData       ackInfo = 1 << iota // the segment has text, SYN or FIN
	ackWinUpdate                      // it updates the send window
	ackDataAcked                      // it acknowledges text
	ackSynAcked                       // it acknowledges our SYN
	ackAdvanced                       // SND.UNA moved
	ackSACKed                         // it SACKs something new
	ackECE                            // it echoes congestion
	ackDSACK                          // it reports a duplicate
	ackDSACKTLP                       // the duplicate is our tail loss probe
	ackRexmitted                      // it acknowledges something that was retransmitted
	ackOrig                           // it acknowledges something never retransmitted, sent before the episode
	ackReneging                       // the head of the queue had been SACKed
	ackSetTimer                       // the retransmission timer must be set anew
	ackLostRexmit                     // a retransmission was found lost

	ackNotDup = ackData | ackWinUpdate | ackDataAcked | ackSynAcked
	ackAlert  = ackSACKed | ackECE | ackDSACK
)

// ackState collects what the parts of ACK processing learn.
type ackState struct {
	info       ackInfo
	now        time.Duration
	priorUna   Seq
	priorFack  Seq
	priorCount int    // packetsOut before
	delivered  uint32 // total.delivered before
	lost       uint32 // total.lost before
	reord      Seq    // lowest number that was delivered late; SND.NXT: none
	firstAckAt time.Duration
	lastAckAt  time.Duration
	firstSACK  time.Duration // send time + 1 of segments SACKed first and last; 0: none
	lastSACK   time.Duration
	acked      int           // entries acknowledged cumulatively
	rtt        time.Duration // sample for congestion control; < 0: none
	ecr        uint32        // timestamp echoed, with hasECR
	hasECR     bool
	hasAckAt   bool
	predicted  bool
}

// Results of processing an ACK.
type ackResult uint8

const (
	ackOK     ackResult = iota
	ackOld              // below SND.UNA: no news, but text in the segment counts
	ackTooOld           // so far below that it may be an attack
	ackFuture           // acknowledges what was not sent
)

// processAck handles the acknowledgment of in.
func (t *TCB) processAck(now time.Duration, in *Segment) ackResult {
	switch {
	case in.Ack.Before(t.snd.una):
		return t.oldAck(now, in)
	case in.Ack.After(t.snd.nxt):
		return ackFuture
	}
	if n := t.acksPlainly(in); n > 0 {
		t.plainAck(now, in)
		t.ackFast(now, in.Ack, n)
	} else {
		t.oddAck(now, in)
	}
	return ackOK
}

// acksPlainly returns how many segments in acknowledges, if it is for plainAck and ackFast to act on that because nothing
// else is to be learned; else 0.
func (t *TCB) acksPlainly(in *Segment) int {
	const odd = moodGrave&^0xff | moodProbe // all of it but the state
	if in.Ack == t.snd.una || t.mood()&odd != 0 || t.flags&(fSACK|fFastOpen) != fSACK || in.Opts.NSACK > 0 ||
		t.rec != nil || t.env.full {
		return 0
	}
	n := t.acksWhole(in.Ack)
	if n == 1 && t.extra != nil && t.txq()[0].is(markSYN) {
		return 0
	}
	return n
}

// plainAck is what processAck does before ackFast. It is oddAck for an ACK that acknowledges something, and from which nothing
// else is to be learned. It does without an ackState: on the way of a short connection, whose server begins with
// little stack, the frame of oddAck would be the largest.
func (t *TCB) plainAck(now time.Duration, in *Segment) {
	t.updateTSRecent(now, in)
	if in.SeqLen() == 0 {
		t.countPureAck(in)
	}
	t.updateWindow(in)
	if t.state == StateSynReceived && t.has(fPassive) {
		t.snd.una = in.Ack
	}
	t.softErr, t.probesOut = 0, 0
	t.lastRecv = now
}

// oddAck is processAck for all other ACKs that are neither old nor of the future.
func (t *TCB) oddAck(now time.Duration, in *Segment) {
	seqAck := in.Ack
	var a ackState
	t.initAckState(&a, now, in)
	if seqAck != t.snd.una {
		a.info |= ackAdvanced
		if t.retransmits > 0 {
			t.retransmits = 0
			t.rtoRecovered(now)
		}
	}
	t.updateTSRecent(now, in)
	if in.SeqLen() > 0 {
		a.info |= ackData
	} else {
		t.countPureAck(in)
	}
	info, window := t.updateWindow(in)
	a.info |= info
	switch {
	case a.info&ackAdvanced == 0:
	case t.state == StateSynReceived && t.has(fPassive):
		t.snd.una = seqAck // Linux counts only the SYN of an active open
	default:
		t.total.bytesAcked += uint64(uint32(seqAck.Sub(t.snd.una)))
		t.snd.una = seqAck
	}
	if in.Opts.NSACK > 0 && t.has(fSACK) {
		t.takeSACK(in, &a)
	}
	if in.Flags&ECE != 0 && t.ecn&ecnOK != 0 && in.Flags&SYN == 0 {
		a.info |= ackECE
	}
	if in.Seq == t.rcv.nxt && a.info&(ackData|ackAdvanced) == ackData && !window && in.Flags&(FIN|SYN) == 0 && t.state == StateEstablished {
		// Text in order and nothing else: Linux does not look at the ACK, but for the first, which needs memory.
		a.predicted = t.total.dataIn > 1
	}
	if !a.predicted {
		t.softErr, t.probesOut = 0, 0
	}
	if t.nonagle&nagleMore != 0 && (a.info&ackAdvanced != 0 || a.info&ackData == 0) {
		t.nonagle &^= nagleMore // MSG_MORE holds back its own call, not what others make due
	}
	t.lastRecv = now
	if a.priorCount == 0 {
		t.ackNothingOut(&a)
		return
	}
	t.cleanRtx(&a)
	t.ackRecovery(&a)
}

// initAckState fills in what a, which is zero, has to know before in is looked at.
func (t *TCB) initAckState(a *ackState, now time.Duration, in *Segment) {
	a.now, a.rtt = now, -1
	a.priorUna, a.priorFack, a.priorCount = t.snd.una, t.fack(), t.packetsOut()
	a.delivered, a.lost, a.reord = t.total.delivered, t.total.lost, t.snd.nxt
	a.ecr, a.hasECR = in.Opts.TSEcr, t.has(fTS) && in.Opts.HasTS && in.Opts.TSEcr != 0
}

// ackRecovery is the part of ACK processing that concerns loss, the window and timers.
func (t *TCB) ackRecovery(a *ackState) {
	t.rackUpdateReoWnd()
	if t.rackFlags&rackTLP != 0 {
		t.tlpAck(a)
	}
	if t.dubious(a) {
		dup := 0
		if a.info&(ackAdvanced|ackNotDup|ackDSACK) == 0 {
			dup = 1
		}
		t.fastRetransAlert(a, dup)
	}
	if a.info&ackSetTimer != 0 {
		t.setXmitTimer(a.now)
	}
	t.congestionControl(a)
	t.startRexmit()
	if t.packetsOut() == 0 {
		t.dropRec()
	}
}

// dubious reports whether an ACK may tell of trouble.
func (t *TCB) dubious(a *ackState) bool {
	return a.info&ackNotDup == 0 || a.info&ackAlert != 0 || t.caState != CAOpen
}

// oldAck handles an ACK below SND.UNA: "If the ACK is a duplicate (SEG.ACK =< SND.UNA), it can be ignored",
// but for SACK blocks it may carry. RFC 5961 §5.2: an ACK older than the largest window ever seen is no
// old duplicate but a guess.
func (t *TCB) oldAck(now time.Duration, in *Segment) ackResult {
	far := uint32(min(uint64(t.maxWnd), t.total.bytesAcked))
	if t.state == StateEstablished && in.SeqLen() == 0 && in.Seq == t.rcv.nxt && in.Flags&^PSH == ACK && uint32(in.Wnd)<<t.snd.scale == t.snd.wnd {
		t.updateTSRecent(now, in) // Linux predicts such a segment before it looks at the ACK
	}
	if in.Ack.Before(t.snd.una - Seq(far)) {
		return ackTooOld
	}
	if in.Opts.NSACK > 0 && t.has(fSACK) && t.packetsOut() > 0 {
		var a ackState
		t.initAckState(&a, now, in)
		t.takeSACK(in, &a)
		t.fastRetransAlert(&a, 0)
		t.startRexmit()
	}
	return ackOld
}

// ackNothingOut handles an ACK when nothing was in flight.
func (t *TCB) ackNothingOut(a *ackState) {
	if a.info&ackDSACK != 0 {
		t.fastRetransAlert(a, 0)
	}
	if !a.predicted {
		t.ackProbe(a.now)
	}
	if t.rackFlags&rackTLP != 0 {
		t.tlpAck(a)
	}
}

// mayUpdateWindow is the test against old segments: "If SND.UNA =< SEG.ACK =< SND.NXT, the send window
// should be updated. If (SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK))". Of segments
// that acknowledge nothing new, only those that open the window or close it count.
func (t *TCB) mayUpdateWindow(in *Segment, wnd uint32) bool {
	return in.Ack.After(t.snd.una) || in.Seq.After(t.snd.wl1) ||
		in.Seq == t.snd.wl1 && (wnd > t.snd.wnd || wnd == 0)
}

// updateWindow sets SND.WND, SND.WL1 and SND.WL2, and says whether in updates the window, and whether that is another than before.
// SND.UNA is still the old one.
func (t *TCB) updateWindow(in *Segment) (info ackInfo, changed bool) {
	wnd := uint32(in.Wnd)
	if in.Flags&SYN == 0 {
		wnd <<= t.snd.scale
	}
	if !t.mayUpdateWindow(in, wnd) {
		return 0, false
	}
	t.snd.wl1, t.snd.wl2 = in.Seq, in.Ack
	if wnd == t.snd.wnd {
		return ackWinUpdate, false
	}
	t.snd.wnd = wnd
	if wnd > t.maxWnd {
		t.maxWnd = wnd
		t.syncMSS()
	}
	return ackWinUpdate, true
}

// cleanRtx removes what is acknowledged: "Any segments on the retransmission queue that are thereby
// entirely acknowledged are removed."
func (t *TCB) cleanRtx(a *ackState) {
	r := t.rec
	if r != nil {
		r.hint = r.hint.Max(t.snd.una)
	}
	for t.packetsOut() > 0 {
		s := &t.txq()[0]
		if s.end.After(t.snd.una) {
			if s.is(markSACKed) {
				a.info |= ackReneging
			}
			break
		}
		t.ackTx(s, r, a)
		t.queues().rtx.pop()
	}
	if a.acked > 0 {
		t.freeAcked(a.info)
	}
	t.sampleRTT(a)
	if a.info&(ackDataAcked|ackSynAcked) == 0 {
		return
	}
	a.info |= ackSetTimer
	t.mtuProbeAcked(a.now)
	if !t.has(fSACK) {
		t.removeRenoSACKs(a)
	} else if a.reord.Before(a.priorFack) {
		t.checkReordering(a.reord, false) // a hole was filled by what was never retransmitted
	}
}

// ackTx accounts for one entry that was acknowledged cumulatively.
func (t *TCB) ackTx(s *txSeg, r *recovery, a *ackState) {
	a.acked++
	if s.is(markEver) {
		a.info |= ackRexmitted
	} else if !s.is(markSACKed) {
		if !a.hasAckAt {
			a.firstAckAt, a.hasAckAt = s.sent, true
		}
		a.lastAckAt = s.sent
		a.reord = a.reord.Min(s.seq)
		if r != nil && s.end.AtOrBefore(r.high) {
			a.info |= ackOrig
		}
	}
	if !s.is(markSACKed) && t.has(fSACK) {
		t.total.delivered++
		if !t.spurious(s, a) {
			t.rackAdvance(s, a.now)
		}
	}
	r.count(s.marks, -1)
	if s.is(markSYN) {
		a.info |= ackSynAcked
		if r != nil {
			r.stamped = false
		}
	} else {
		a.info |= ackDataAcked
	}
}

// spurious reports whether the ACK for a retransmitted segment answers an earlier transmission of it: the
// timestamp it echoes is older than the latest one (RFC 3522 §3.2).
func (t *TCB) spurious(s *txSeg, a *ackState) bool {
	return s.is(markEver) && a.hasECR && int32(a.ecr-t.tsNow(s.sent)) < 0
}

// freeAcked gives buffers back and tells a waiting writer.
func (t *TCB) freeAcked(info ackInfo) {
	t.queues().snd.ack(t.snd.una)
	if t.has(fNoSpace) {
		t.tellSpace()
	}
	if t.snd.una == t.snd.end && info&ackDataAcked != 0 {
		t.events |= EvSent
	}
}

// tellSpace tells a writer whose text did not fit that something was acknowledged.
func (t *TCB) tellSpace() {
	if t.inFlight() < int(t.cong.Cwnd) {
		t.expandSndbuf() // the buffer, not the window, was the limit
	}
	if t.WriteSpace() > 0 {
		t.flags &^= fNoSpace
		t.events |= EvWritable
	}
}

// sampleRTT takes the RTT measurement the ACK gives: the time since the earliest segment it newly
// acknowledges was sent, unless something among them was retransmitted (Karn's algorithm, MUST-18;
// RFC 6298 §3), else since a segment newly SACKed, else by the echoed timestamp (RFC 7323 §4).
func (t *TCB) sampleRTT(a *ackState) {
	seqRTT, sackRTT := time.Duration(-1), time.Duration(-1)
	if a.hasAckAt && a.info&ackRexmitted == 0 {
		seqRTT = a.now - a.firstAckAt
		a.rtt = a.now - a.lastAckAt
	}
	if a.firstSACK > 0 {
		sackRTT = a.now - (a.firstSACK - 1)
		a.rtt = a.now - (a.lastSACK - 1)
	}
	if seqRTT < 0 {
		seqRTT = sackRTT
	}
	if seqRTT < 0 && a.info&(ackDataAcked|ackSynAcked) != 0 && a.hasECR {
		// "RTTM Rule: A TSecr value received in a segment MAY be used to update the averaged RTT measurement
		// only if the segment advances the left edge of the send window" (§4.1).
		if d := int32(t.tsNow(a.now) - a.ecr); d >= 0 {
			seqRTT = max(time.Duration(d)*time.Millisecond, time.Millisecond)
			a.rtt = seqRTT
		}
	}
	if seqRTT < 0 {
		return
	}
	t.takeRTT(a.now, seqRTT, a.rtt)
	if a.info&(ackDataAcked|ackSynAcked) == 0 && sackRTT >= 0 && t.packetsOut() > 0 &&
		sackRTT > a.now-t.txq()[0].sent {
		a.info |= ackSetTimer
	}
}

func (t *TCB) tellRTT(now, m time.Duration) {
	t.env.observer.Event(t, Event{Kind: EventRTT, Now: now, RTT: m, SRTT: t.rtt.SRTT(), RTO: t.rto})
}

// congestionControl lets PRR or the algorithm change the window for what was delivered.
func (t *TCB) congestionControl(a *ackState) {
	delivered := t.total.delivered - a.delivered
	if a.info&ackECE != 0 {
		t.needOpt().rtos.ce += delivered
	}
	lost := t.total.lost - a.lost
	before := t.cong.Cwnd
	switch {
	case t.inReduction():
		t.heldAck(a)
		t.prr(int(delivered), lost, a.info&ackAdvanced != 0)
	case !t.mayRaise(a):
		t.heldAck(a)
	default:
		t.raise(a.now, a.rtt, delivered)
		return
	}
	if t.cong.Cwnd != before {
		t.cwndChanged(a.now)
	}
}

// raise lets the algorithm enlarge the window, because so many segments were delivered.
func (t *TCB) raise(now, rtt time.Duration, delivered uint32) {
	t.cong.Touch(now)
	limited := t.cong.IsLimited()
	alg := t.alg()
	if alg == nil {
		if !limited {
			return // nothing grows, and nothing is worth remembering yet
		}
		alg = t.algorithm()
	}
	before := t.cong.Cwnd
	alg.OnAck(&t.cong, Ack{
		Now: now, RTT: rtt, SRTT: t.rtt.SRTT(), Acked: delivered,
		Una: t.snd.una, Nxt: t.snd.nxt, MSS: uint32(t.mss), Limited: limited,
	})
	if t.cong.Cwnd != before {
		t.cwndChanged(now)
	}
}

// heldAck shows the algorithm the round trip time of an ACK that must not raise the window.
func (t *TCB) heldAck(a *ackState) {
	if alg := t.alg(); alg != nil && a.rtt > 0 {
		alg.OnHeldAck(&t.cong, Ack{Now: a.now, RTT: a.rtt, SRTT: t.rtt.SRTT(), Una: t.snd.una, Nxt: t.snd.nxt,
			MSS: uint32(t.mss)})
	}
}

// mayRaise reports whether the ACK may enlarge the window: where reordering is known, also when it moves
// nothing but SACKs.
func (t *TCB) mayRaise(a *ackState) bool {
	forward := ackDataAcked
	if int(t.reordering) > t.env.cfg.Reordering {
		forward |= ackSACKed
	}
	return a.info&forward != 0
}

// algorithm returns the congestion control algorithm, made when first needed.
func (t *TCB) algorithm() Congestion {
	x := t.needExtra()
	if x.alg == nil {
		name := t.env.cfg.CongestionControl
		if t.caKind > 0 {
			name = CongestionNames()[t.caKind-1]
		}
		alg, err := Select(name)
		if err != nil {
			alg, _ = Select("")
		}
		if c, ok := alg.(*Cubic); ok {
			c.plain = t.env.cfg.HyStart == Off
		}
		x.alg = alg
	}
	return x.alg
}
