package tcp

import "time"

// The common case in one piece: an established connection with which nothing is the matter, the next segment in
// order, one that acknowledges what is outstanding. It does what input.go, ack.go, input_data.go and output.go
// do, which say why; all that is left out are the questions whose answers are known ("header prediction", Van Jacobson,
// 1990). A segment that is not such a one is left untouched for the others. TestFastPath compares the two.

// mood is the first eight fields in one word, the first lowest: one load, of which one comparison asks many questions.
func (t *TCB) mood() uint64 {
	return uint64(t.state) | uint64(t.caState)<<8 | uint64(t.ecn)<<16 | uint64(t.retransmits)<<24 |
		uint64(t.nonagle)<<32 | uint64(t.rackFlags)<<40 | uint64(t.force)<<48 | uint64(t.err)<<56
}

// calm reports whether nothing is the matter with the connection.
func (t *TCB) calm() bool {
	const want = fTS | fTSRecent | fSACK
	const odd = fRcvShut | fOrphan | fDSACK | fUrgent | fUrgentIn | fFastOpen | fDetached | fEOR | fFinQueued | fReset | fPushNext
	return uint32(t.mood()) == uint32(StateEstablished) && // and CAOpen, no ECN, no timeouts
		t.flags&(want|odd) == want && t.rec == nil && t.ooo == nil && t.opt == nil && !t.env.full
}

// outputFast is Output, up to and with the conclusions of the burst, for all there is to send in one segment, with
// nothing outstanding. It returns false when that is not the case.
func (t *TCB) outputFast(now time.Duration, out *Segment) bool {
	n, end := int(t.snd.end.Sub(t.snd.nxt)), t.snd.end
	if !t.calm() || t.force != 0 || t.flags&fRun != 0 || t.packetsOut() != 0 || n <= 0 || n > int(t.mss) ||
		n < int(t.mss) && t.nonagle&(nagleCork|nagleMore) != 0 ||
		n > int(t.snd.una.Add(t.snd.wnd).Sub(t.snd.nxt)) {
		return false
	}
	s := txSeg{sent: now, nth: t.total.segsIn, seq: t.snd.nxt, end: end}
	t.header(now, out, s.seq, 0, CauseNewData)
	t.dataSent(now)
	if t.x.snd.lend(n, &out.Payload) || t.x.snd.payload(t.env.alloc, s.seq, n, &out.Payload) || end == t.snd.psh {
		out.Flags |= PSH
		s.marks = markPSH
	}
	t.total.dataOut++
	if n < int(t.mss) {
		t.snd.sml = end
	}
	t.x.rtx.push(s)
	t.snd.nxt = end
	t.rearmRTO(now)
	t.scheduleTLP(now, false)
	t.cong.Validate(Usage{
		Now: now, RTO: t.rto, Una: t.snd.una, Nxt: end, Out: 1, Limited: t.cong.Cwnd <= 1,
		Shrink: t.env.cfg.SlowStartAfterIdle == On && !t.has(fNoSpace),
	})
	t.flags &^= fCwndLimited | fSentNew
	return true
}

// lendMost returns how much text may be lent: it has room together with the usual headers.
func (t *TCB) lendMost() int {
	return min(t.env.room-ipHeaderLen(t.has(fIPv6))-MinHeaderLen-12, smallText)
}

// writeFast is Write for little with nothing waiting. It returns false when that is not the case.
func (t *TCB) writeFast(now time.Duration, p []byte) bool {
	if t.state != StateEstablished || t.flags&fFinQueued != 0 || len(p) == 0 || len(p) >= min(int(t.mss), minChunk) ||
		t.snd.una != t.snd.end || int(t.sndLimit) < len(p) || t.opt != nil || t.env.cfg.NotsentLowat != 0 || t.env.full {
		return false
	}
	t.restartAfterIdle(now)
	x := t.needX()
	x.snd.run = t.snd.nxt
	if len(p) <= t.lendMost() && x.snd.chunks.len() == 0 {
		x.snd.writeSmall(t.snd.end, p, x.small[:])
	} else {
		x.snd.write(t.env.alloc, t.snd.end, p, minChunk, 0)
	}
	t.snd.end = t.snd.end.Add(uint32(len(p)))
	t.nonagle &^= nagleMore
	t.snd.psh, t.snd.shov = t.snd.end, t.snd.end
	return true
}
