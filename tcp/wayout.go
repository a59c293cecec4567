package tcp

import (
	"encoding/binary"
	"time"
)

// The common case of sending in one piece: an established connection with which nothing is the matter and nothing is
// outstanding, and text that leaves at once as one segment, as questions and answers do. What user.go, outdata.go and
// output.go do for it, which say why, is done here; again all that is left out are the questions whose answers are known,
// and TestFastPath compares.

// TSHeaderLen is how long the headers of segments are that SendLone gives, in bytes: with timestamps.
const TSHeaderLen = tsHeaderLen

// LoneCopied is the longest text in bytes that SendLone copies.
const LoneCopied = smallText

// Lone reports whether n bytes that the user writes now would leave at once, as one segment without options but
// timestamps, with nothing else outstanding: whether SendLone may be called.
func (t *TCB) Lone(n int) bool {
	return t.fits(n) && t.mood()&(moodGrave|moodMore|moodCork|moodForce) == atRest && t.plain(unquiet) &&
		t.ack.pending&ackNow == 0 && t.env.cfg.NotsentLowat == 0
}

// LoneSteady is Lone after an Input that set Steady, with nothing called since but TakeLone, SendLone and ReadKept, and with nothing Kept.
func (t *TCB) LoneSteady(n int) bool { return t.snd.lone != loneKept && t.fits(n) }

// fits reports whether nothing is outstanding, and n bytes are no full segment and fit into the windows.
func (t *TCB) fits(n int) bool {
	return t.snd.una == t.snd.end && n > 0 && n < int(t.mss) && n <= int(t.snd.wnd) && n <= int(t.sndLimit)
}

// SendLone is Write and the calls of Output after it in one, where Lone says that p is such a text. It writes the header of
// the segment, with sum for a checksum, to b; the text behind it is the caller's to see to, and no other option, ECN or
// cause than CauseNewData. p is copied, if it is no more than LoneCopied bytes; what is longer has an owner, and SendLone
// takes a reference. spares is the caller's, nil if he has none. It returns when the timer expires that it sets; the delayed
// ACK's no longer runs, and of the others none was changed.
func (t *TCB) SendLone(now time.Duration, p []byte, owner Buffer, b *[TSHeaderLen]byte, sum uint16, spares *Spares) (due time.Duration) {
	rto, odd := t.rtt.rto(t.env.rtoMax), false
	if t.snd.lone != loneRead || now-t.lastSend >= rto || t.extra != nil || t.ack.quick > 0 {
		rto, odd = t.beginLone(now)
	} else if a := &t.ack; a.pingpong < 255 && now-t.lastRecv < a.ato { // as answers has it
		a.pingpong++
	}
	x, seq := t.x, t.snd.nxt
	end := seq.Add(uint32(len(p)))
	wnd, ok := t.standingWindow()
	if ok && t.roomy() {
		t.rcv.wnd, t.rcv.wup = wnd<<(t.rwin.scale&15), t.rcv.nxt
	} else {
		wnd = uint32(t.openWindow())
	}
	t.putHeader(now, b, seq, PSH|ACK, uint16(wnd), sum)
	if spares != nil {
		spares.Out++
	} else {
		t.env.stats.OutSegs.add(t.localPort)
	}
	if x == nil {
		x = t.newX(spares)
		t.x = x
	}
	lone := loneSmall
	if owner == nil {
		copy(x.small[:], p)
	} else {
		lone = loneChunk
		owner.Retain()
		x.snd.chunks.push(chunk{b: p, owner: owner, start: seq})
	}
	t.lonesOut++
	t.lastSend = now
	t.snd.lone = lone
	t.snd.nxt, t.snd.end = end, end
	if odd {
		t.oddLone(now)
	}
	_, wait := t.xmitWait(1, rto)
	return max(now+wait, 1)
}

// putHeader writes a header with timestamps and no other option. It is small enough to be part of the caller.
func (t *TCB) putHeader(now time.Duration, b *[TSHeaderLen]byte, seq Seq, flags Flags, wnd, sum uint16) {
	binary.BigEndian.PutUint64(b[offSrcPort:], uint64(t.localPort)<<48|uint64(t.remotePort)<<32|uint64(seq))
	binary.BigEndian.PutUint64(b[offAck:], uint64(t.rcv.nxt)<<32|tsHeaderLen<<26|uint64(flags)<<16|uint64(wnd))
	binary.BigEndian.PutUint64(b[ChecksumOffset:], uint64(sum)<<48|wordNopNopTS) // and no urgent pointer
	binary.BigEndian.PutUint32(b[MinHeaderLen+4:], t.tsNow(now))
	binary.BigEndian.PutUint32(b[MinHeaderLen+8:], t.tsRecent)
}

// standingWindow returns the window field of what is left of the window, and whether that is more than would be offered now if the
// buffer is roomy, since nothing keeps the offer from being ssthresh then. It is small enough to be part of the caller.
func (t *TCB) standingWindow() (field uint32, ok bool) {
	scale, left := t.rwin.scale&15, t.receiveWindow()
	part := uint32(1)<<scale - 1
	return (left + part) >> scale, left > 0 && left >= (t.rwin.ssthresh+part)&^part
}

// selectWindow decides on the window of the segment being sent and returns its window field. "The total of
// RCV.NXT and RCV.WND should not be reduced" (RFC 9293 §3.10.7.4): an offer is not taken back (SHLD-14),
// except that a segment for which there was no memory at all closes the window.
func (t *TCB) selectWindow() uint16 {
	if wnd, ok := t.standingWindow(); ok && t.roomy() {
		t.rcv.wnd, t.rcv.wup = wnd<<(t.rwin.scale&15), t.rcv.nxt
		return uint16(wnd)
	}
	return t.openWindow()
}

// openWindow is selectWindow where what is left of the window is not what is offered.
func (t *TCB) openWindow() uint16 {
	scale, left := t.rwin.scale&15, t.receiveWindow()
	old, wnd := t.rcv.wnd, t.offer()
	if wnd < left && !t.mayShrink() {
		if wnd == 0 {
			t.env.stats.TCPWantZeroWindowAdv.Add(1)
		}
		wnd = scaledUp(left, scale)
	}
	wnd = min(wnd, 65535<<scale)
	t.rcv.wnd, t.rcv.wup = wnd, t.rcv.nxt
	if wnd == 0 || old == 0 {
		t.countZeroWindow(old, wnd)
	}
	return uint16(wnd >> scale)
}

// answers is dataSent for the connection itself: an answer within ato of what arrived last shows a dialogue, in which
// ACKs travel with the answers.
func (t *TCB) answers(now time.Duration) {
	t.lastSend = now
	if a := &t.ack; now-t.lastData < a.ato && a.pingpong < 255 {
		a.pingpong++
	}
}

// loneOut enters the segment that all there is, text or a FIN, up to end, is leaving in into the empty retransmission queue.
func (t *TCB) loneOut(now time.Duration, end Seq, marks txMarks) {
	*t.x.rtx.first() = txSeg{sent: now, nth: t.total.segsIn, seq: t.snd.nxt, end: end, marks: marks}
	t.snd.nxt = end
	kind, wait := t.xmitWait(1, t.rto)
	t.armXmit(kind, now+wait)
	if t.cong.loneOut(end); t.cong.isOdd(now, t.rto) {
		t.oddLone(now)
	}
}

// xmitWait returns which of the timers of setXmitTimer would be left when all there is was sent, n segments, and after what time it
// expires.
func (t *TCB) xmitWait(n int, rto time.Duration) (kind Timer, wait time.Duration) {
	if t.env.earlyProbes {
		return TimerLossProbe, min(t.probeTimeout(n), rto)
	}
	return TimerRetransmit, rto
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
	var marks txMarks
	t.header(now, out, t.snd.nxt, 0, CauseNewData)
	if t.queues().snd.payload(t.env.alloc, t.snd.nxt, n, &out.Payload) || end == t.edge.psh {
		out.Flags |= PSH
		marks = markPSH
	}
	if n < int(t.mss) {
		t.edge.sml = end
	}
	t.dataSent(now)
	t.total.dataOut++
	t.loneOut(now, end, marks)
	t.flags &^= fCwndLimited | fSentNew
	return true
}
