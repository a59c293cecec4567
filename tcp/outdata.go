package tcp

import "time"

// nagleFlags are what the user wants of small segments.
type nagleFlags uint8

const (
	nagleOff  nagleFlags = 1 << iota // TCP_NODELAY
	nagleCork                        // TCP_CORK
	nagleMore                        // the latest write said that more follows (MSG_MORE)
	naglePush                        // once: send what there is
)

// headFits reports whether the next segment fits into the peer's window.
func (t *TCB) headFits() bool {
	n := min(uint32(t.snd.end.Sub(t.snd.nxt)), uint32(t.currentMSS()))
	return !t.snd.nxt.Add(n).After(t.snd.una.Add(t.snd.wnd))
}

// next works out the next new segment: its text length, and whether the FIN goes with it. ok is false when
// nothing may be sent now.
func (t *TCB) next(now time.Duration) (n int, fin, ok bool) {
	mss := t.currentMSS()
	left := int(t.dataEnd().Sub(t.snd.nxt))
	if t.snd.nxt.Before(t.edge.run) && t.has(fRun) {
		n = min(int(t.edge.run.Sub(t.snd.nxt)), mss, left)
		return n, t.has(fFinQueued) && n == left && n > 0, n > 0
	}
	t.flags &^= fRun
	ended := false // a record ends, and more follows: nothing is worth waiting for
	if t.has(fEOR) {
		if e, ok := t.nextEOR(t.snd.nxt); ok && e != t.dataEnd() {
			left, ended = int(e.Sub(t.snd.nxt)), true
		}
	}
	forced := t.force&forceNew != 0
	quota := int(t.cong.Cwnd) - t.inFlight()
	if quota <= 0 {
		if !forced {
			t.flags |= fCwndLimited
			return 0, false, false
		}
		quota = 1
	}
	// Silly window avoidance (RFC 9293 §3.8.6.2.1, MUST-38): the next segment must fit into the window as a
	// whole.
	room := int(t.snd.una.Add(t.snd.wnd).Sub(t.snd.nxt))
	if left > mss {
		if room < mss || !forced && t.defers(now, left, room, mss, quota) {
			return 0, false, false
		}
		t.startRun(left, room, mss, quota)
		return mss, false, true
	}
	fin = t.has(fFinQueued) && !ended
	need := left
	if fin {
		need++
	}
	if need > room || left < mss && !fin && !forced && !ended && t.nagleHolds() {
		return 0, false, false
	}
	return left, fin, true
}

// startRun decides how far the next run of segments goes: what Linux hands to segmentation offload as one
// large packet. Of a run the last segment carries PSH, and it may fill the window with a segment that is not
// full.
func (t *TCB) startRun(left, room, mss, quota int) {
	quota = min(max(int(t.cong.Cwnd)/2, 1), quota, t.offloadSegs(mss))
	n := min(left, room)
	if quota*mss <= n {
		n = quota * mss
	} else if part := n % mss; part > 0 && t.nagleHolds() {
		n -= part
	}
	if n > mss {
		t.edge.run = t.snd.nxt.Add(uint32(n))
		t.flags |= fRun
	}
}

// defers reports whether it is better to wait for the ACK that is about to come, and then send more at once:
// what the windows allow now is less than a run, less than a fraction of the windows, and something was sent
// a moment ago (Linux's tcp_tso_should_defer).
func (t *TCB) defers(now time.Duration, left, room, mss, quota int) bool {
	div := t.env.cfg.TSOWinDivisor
	if div <= 0 || t.caState >= CARecovery || now-t.lastSend > tick || t.packetsOut() == 0 {
		return false
	}
	limit := min(room, quota*mss)
	if limit >= left || limit >= min(int(t.snd.wnd), int(t.cong.Cwnd)*mss)/div || limit >= t.offloadSegs(mss)*mss {
		return false
	}
	srtt := t.rtt.SRTT()
	if t.txq()[0].sent+srtt-now > min(srtt/2, tick) {
		return false // too long to wait for
	}
	if quota*mss < room {
		t.flags |= fCwndLimited
	}
	return true
}

// offloadSegs returns how many segments Linux would hand to segmentation offload at once: what is sent in a
// millisecond at the pacing rate, and more on short paths (tcp_tso_autosize).
func (t *TCB) offloadSegs(mss int) int {
	const gsoMax = 1<<16 - 1 - 320
	bytes := gsoMax // also where the path is so short that the rate is no matter
	if srtt, r := t.rtt.SRTT().Microseconds(), t.minRTT.Get().Microseconds()>>9; srtt > 0 && r > 0 {
		ratio := 120
		if t.cong.Cwnd < t.cong.Ssthresh/2 {
			ratio = 200
		}
		rate := int64(mss) * int64(max(int(t.cong.Cwnd), t.packetsOut())) * int64(ratio) * 10000 / srtt // bytes/s
		bytes = int(min(rate>>10, gsoMax))
		if r < 32 {
			bytes = min(bytes+gsoMax>>r, gsoMax)
		}
	}
	return min(max(bytes/mss, 2), t.env.cfg.GSOMaxSegs)
}

// nagleHolds reports whether a segment that is not full must wait: "If there is unacknowledged data (i.e.,
// SND.NXT > SND.UNA), then the sending TCP endpoint buffers all user data (regardless of the PSH bit) until
// the outstanding data has been acknowledged or until the TCP endpoint can send a full-sized segment" (RFC
// 9293 §3.7.4, SHLD-7). We differ as Linux does, with Minshall's variant: only an unacknowledged small
// segment holds another one back, so that the end of a large write does not wait.
func (t *TCB) nagleHolds() bool {
	if t.force&forceNagle != 0 || t.rec != nil && t.rec.rexmit == rexmitNew {
		return false
	}
	if t.nonagle&(nagleCork|nagleMore) != 0 {
		return true
	}
	if t.nonagle&nagleOff != 0 {
		return false
	}
	return t.packetsOut() > 0 && t.edge.sml.After(t.snd.una) && !t.edge.sml.After(t.snd.nxt)
}

// outputNew gives the next segment of new data, or the FIN.
func (t *TCB) outputNew(now time.Duration, out *Segment) bool {
	if t.env.cfg.MTUProbing != 0 && t.force&forceNew == 0 {
		n, ok, wait := t.probeMTU(now)
		if ok {
			t.sendMTUProbe(now, out, n)
		}
		if ok || wait {
			return ok
		}
	}
	n, fin, ok := t.next(now)
	if !ok {
		return false
	}
	if t.packetsOut() == 0 && t.cong.stamp != now && t.restartAfterIdle(now) { // unless writing did it just now
		t.flags &^= fRun
		if n, fin, ok = t.next(now); !ok {
			return false
		}
	}
	probe := t.force&forceNew != 0
	t.force &^= forceNew
	why := CauseNewData
	switch {
	case probe:
		why = CauseNewTLP
	case t.rec != nil && t.rec.rexmit == rexmitNew:
		why = CauseNewFRTO
	}
	t.sendNew(now, out, n, fin, why)
	if probe {
		t.tlpSent(now, false)
		t.validateCwnd(now)
		t.flags &^= fSentNew // no probe after the probe
	}
	return true
}

// endsRecord reports whether a record ends at seq (MSG_EOR).
func (t *TCB) endsRecord(seq Seq) bool {
	if !t.has(fEOR) {
		return false
	}
	e, ok := t.nextEOR(seq - 1)
	return ok && e == seq
}

// restartAfterIdle shrinks the window of a connection that has been idle for longer than an RTO
// (RFC 5681 §4.1), and reports whether it did. It is looked at when data is written and when it leaves, not while it
// waits for the peer's window.
func (t *TCB) restartAfterIdle(now time.Duration) bool {
	if t.env.cfg.SlowStartAfterIdle != On {
		return false
	}
	before := t.cong.Cwnd
	t.cong.RestartAfterIdle(now, now-t.lastSend, t.rto)
	if t.cong.Cwnd == before {
		return false
	}
	t.cwndChanged(now)
	return true
}

// sendNew builds the segment of the n bytes from SND.NXT on, enters it into the retransmission queue and
// moves SND.NXT.
func (t *TCB) sendNew(now time.Duration, out *Segment, n int, fin bool, why Cause) {
	seq, mss := t.snd.nxt, t.currentMSS() // before the header takes the report of a duplicate with it
	var flags Flags
	s := txSeg{sent: now, nth: t.total.segsIn, seq: seq, end: seq.Add(uint32(n))}
	t.header(now, out, seq, 0, why)
	if n > 0 {
		t.dataSent(now)
		if t.queues().snd.payload(t.env.alloc, seq, n, &out.Payload) || s.end == t.edge.psh || t.endsRecord(s.end) {
			flags |= PSH
			s.marks |= markPSH
		}
		if t.has(fPushNext) && why != CauseProbe {
			t.flags &^= fPushNext
			flags |= PSH
			s.marks |= markPSH
		}
		if s.end == t.edge.run && t.has(fRun) {
			flags |= PSH // of the run, not of the text: not repeated with it
			s.marks |= markRun
		}
		t.total.dataOut++
		t.ecnData(out)
	}
	if fin {
		flags |= FIN
		s.marks |= markFIN
		s.end++
		t.flags |= fFinSent
	}
	out.Flags |= flags
	if n < mss && n > 0 && why != CauseNewMTUProbe {
		t.edge.sml = s.end
	}
	first := t.packetsOut() == 0
	t.needX(out.Spares).rtx.push(s)
	t.snd.nxt = s.end
	if t.caState == CACWR || t.caState == CARecovery {
		t.rec.out++
	}
	if first || t.timer(TimerLossProbe) != 0 {
		t.rearmRTO(now)
	}
	t.flags |= fSentNew
	t.endProbing()
}

// outputRetransmit gives the next segment to be sent again, if the window allows it or a timer demands it.
func (t *TCB) outputRetransmit(now time.Duration, out *Segment) bool {
	switch {
	case t.packetsOut() == 0:
		t.force &^= forceHead | forceTail
		return false
	case t.force&forceHead != 0:
		t.force &^= forceHead
		return t.retransmit(now, out, 0, t.headCause())
	case t.force&forceTail != 0:
		t.force &^= forceTail
		ok := t.retransmit(now, out, t.packetsOut()-1, CauseRetransmitTLP)
		if ok {
			t.tlpSent(now, true)
		} else {
			t.rearmRTOFrom(now, true)
		}
		return ok
	}
	r := t.rec
	if r == nil || r.rexmit != rexmitLost || r.lost <= r.retrans || t.inFlight() >= int(t.cong.Cwnd) {
		return false
	}
	i := t.nextLost()
	if i < 0 {
		return false
	}
	if !t.retransmit(now, out, i, t.txq()[i].why) {
		r.rexmit = rexmitNone
		return false
	}
	if t.caState == CALoss {
		t.env.stats.TCPSlowStartRetrans.Add(1)
	} else {
		t.env.stats.TCPFastRetrans.Add(1)
	}
	if t.inReduction() {
		r.out++
	}
	if i == 0 && t.timer(TimerReorder) == 0 {
		t.armXmit(TimerRetransmit, now+t.rto)
	}
	return true
}

// headCause says why the head is sent again now that the retransmission timer has expired.
func (t *TCB) headCause() Cause {
	switch {
	case t.snd.wnd == 0 && !t.has(fOrphan):
		return CauseRetransmitProbe
	case t.txq()[0].why == CauseRetransmitReneging:
		return CauseRetransmitReneging
	}
	return CauseRetransmitRTO
}

// nextLost returns the index of the first lost entry not sent again, -1 if there is none.
func (t *TCB) nextLost() int {
	q := t.txq()
	r := t.rec
	for i := t.findTx(r.hint.Max(t.snd.una)); i < len(q); i++ {
		if q[i].marks&(markLost|markRetrans|markSACKed) == markLost {
			r.hint = q[i].seq
			return i
		}
	}
	r.hint = t.snd.nxt
	return -1
}

// retransmit builds the i-th entry of the retransmission queue again. It returns false when the peer's
// window has shrunk so that the segment lies outside (RFC 9293 §3.8.6: SHLD-16, SHLD-17).
func (t *TCB) retransmit(now time.Duration, out *Segment, i int, why Cause) bool {
	mss := t.currentMSS()
	if i == 0 && t.synOut() { // closed after a simultaneous open
		t.force |= forceSyn
		t.flags |= fSynRexmit
		t.countRetransmit(now, &t.txq()[0])
		return t.outputSYN(now, out)
	}
	if t.trimTx() && i == 0 {
		t.fillTx(mss)
	}
	s := &t.txq()[i]
	room := int(t.snd.una.Add(t.snd.wnd).Sub(s.seq))
	if room <= 0 {
		if s.seq != t.snd.una {
			return false
		}
		room = mss // into a window of nothing: the segment is the probe
	}
	size := mss
	if size > room {
		size = room
	}
	n := int(s.end.Sub(s.seq))
	text := n
	if s.is(markFIN) {
		text--
	}
	switch {
	case text > size:
		t.splitTx(i, s.seq.Add(uint32(size)))
		text = size
	case text < size && text > 0:
		t.joinTx(i, size)
	}
	s = &t.txq()[i]
	text = int(s.end.Sub(s.seq))
	if s.is(markFIN) {
		text--
	}
	t.sendAgain(now, out, s, text, why)
	return true
}

// sendAgain builds segment s with text bytes of payload and marks it as retransmitted.
func (t *TCB) sendAgain(now time.Duration, out *Segment, s *txSeg, text int, why Cause) {
	t.header(now, out, s.seq, 0, why)
	if text > 0 {
		t.dataSent(now)
		t.queues().snd.payload(t.env.alloc, s.seq, text, &out.Payload)
		t.total.dataOut++
	}
	if s.is(markPSH) || s.is(markRun) && t.rec != nil && t.rec.again == s.seq {
		out.Flags |= PSH
	}
	if s.is(markFIN) {
		out.Flags |= FIN
	}
	s.marks |= markEver
	s.sent, s.nth = now, t.total.segsIn
	if m := t.mtuSearch(); m != nil {
		m.size = 0 // whatever becomes of the probe says nothing
	}
	if why != CauseRetransmitTLP {
		t.countRetransmit(now, s)
	}
	t.total.retrans++
	t.needExtra().rexm += uint64(text)
	t.env.stats.RetransSegs.Add(1)
	t.tellRetransmit(now, why, Range{s.seq, s.end})
}

// countRetransmit enters a retransmission into the scoreboard. A tail loss probe is not entered: it is sent
// because nothing is known, not because something is.
func (t *TCB) countRetransmit(now time.Duration, s *txSeg) {
	r := t.needRec()
	if !s.is(markRetrans) {
		s.marks |= markRetrans
		r.retrans++
	}
	r.again = s.end
	if !r.stamped {
		r.stamped, r.rexmitAt = true, now
	}
	r.undoRetrans = max(r.undoRetrans, 0) + 1
}

// outputProbe gives a zero-window probe or a keep-alive: new data if the window has a little room, else a
// segment with an old sequence number and no text, which the peer must answer.
func (t *TCB) outputProbe(now time.Duration, out *Segment) bool {
	why := CauseProbe
	if t.force&forceProbe == 0 {
		why = CauseKeepalive
		t.env.stats.TCPKeepAlive.Add(1)
	} else {
		t.env.stats.TCPWinProbe.Add(1)
	}
	t.force &^= forceProbe | forceKeepalive
	room := int(t.snd.una.Add(t.snd.wnd).Sub(t.snd.nxt))
	if t.snd.nxt != t.snd.end && room > 0 {
		left := int(t.dataEnd().Sub(t.snd.nxt))
		n := min(left, room, t.currentMSS())
		t.sendNew(now, out, n, t.has(fFinQueued) && n == left && room > n, why)
		if n > 0 {
			out.Flags |= PSH
			t.txq()[t.packetsOut()-1].marks |= markPSH
			t.set(fPushNext, n < min(left, t.currentMSS()) && t.env.cfg.GSOMaxSegs == 1)
		}
		t.probesOut, t.backoff = 0, 0
		t.flags &^= fSentNew // the retransmission timer watches over it, no tail loss probe
		return true
	}
	t.header(now, out, t.snd.una-1, 0, why)
	return true
}
