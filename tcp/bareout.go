package tcp

import "time"

// Segments without text that every connection sends, in one piece: what output.go and outdata.go do for them, which say
// why, without the questions whose answers are known. FuzzTCB compares the two.

// LoneAck reports whether Output would give one segment, a pure ACK without options but timestamps: whether SendAck may be
// called.
func (t *TCB) LoneAck() bool {
	return t.ack.pending&ackNow != 0 && t.snd.nxt == t.snd.end && t.force&^forceAck == 0 &&
		t.flags&(fTS|unquiet|fDSACK|fUrgent|fFastOpen) == fTS && t.state.in(synchronized) &&
		t.rec == nil && t.ooo == nil && t.opt == nil && t.ecn == 0 && !t.env.full
}

// SendAck is the calls of Output where LoneAck says that they give such a segment. It writes the header to b, with sum for a
// checksum, and returns why the ACK is sent. spares is the caller's, nil if he has none.
func (t *TCB) SendAck(now time.Duration, b *[TSHeaderLen]byte, sum uint16, spares *Spares) (why Cause) {
	if why = t.ack.cause; why == CauseNone {
		why = CauseAck
	}
	t.ack.cause = CauseNone
	t.force = 0
	seq, wnd := t.acceptableSeq(), t.selectWindow()
	t.putHeader(now, b, seq, ACK, wnd, sum)
	t.ackSent()
	t.countOut(spares)
	t.idleX(spares)
	return why
}

// outputFIN is Output, up to and with the conclusions of the burst, for a FIN without text, with nothing outstanding. It
// returns false when that is not what is to be sent.
func (t *TCB) outputFIN(now time.Duration, out *Segment) bool {
	const odd = unquiet | fDSACK | fUrgent | fFastOpen | fEOR | fPushNext
	if t.flags&(fSACK|fFinQueued|fFinSent|odd) != fSACK|fFinQueued || t.snd.nxt.Add(1) != t.snd.end || t.packetsOut() != 0 ||
		t.force&^forceNagle != 0 || t.caState != CAOpen || t.snd.wnd == 0 || t.rec != nil || t.ooo != nil || t.opt != nil ||
		t.ecn != 0 || t.env.full {
		return false
	}
	if t.cong.stamp != now {
		t.restartAfterIdle(now)
	}
	t.header(now, out, t.snd.nxt, FIN, CauseNewData)
	t.flags |= fFinSent
	t.force = 0
	t.needX(out.Spares)
	t.loneOut(now, t.snd.end, markFIN)
	return true
}
