package tcp

import (
	"encoding/binary"
	"time"
)

// The way in of a segment in the common case, in the order of its steps; see fast.go for what that is, wayout.go for the way
// out, and socket/wayout.go for why each is in one file.

// Input processes an arriving segment: SEGMENT ARRIVES of RFC 9293 §3.10.7. It keeps the memory of the
// payload it needs by retaining it, or copies what is lent; in stays the caller's. The header must have been checked
// (ParseHeader, checksum) and belong to this connection. Call Output afterwards.
func (t *TCB) Input(now time.Duration, in *Segment) {
	steady := in.Steady
	in.Steady = false
	t.unfold()
	if in.Payload.N >= minRun && t.inputRun(now, in) {
		return
	}
	if in.Payload.N > 0 && t.dialogue(now, in, steady) || t.inputFast(now, in) {
		t.idleX(in.Spares)
		return
	}
	if in.Payload.Lent && in.Payload.N > 0 && t.env != nil {
		t.inputLent(now, in)
		return
	}
	t.input(now, in)
}

// dialogue is Input for a question or an answer: little text, pushed, the first in a while, for which the user
// waits, and to which he is used to answer, with the ACK of all that is outstanding, one segment. The answer will carry the ACK,
// and the window, too: it need not be told before. It returns false when that is not so. steady is what the caller of Input says.
func (t *TCB) dialogue(now time.Duration, in *Segment, steady bool) bool {
	if t.packetsOut() != 1 {
		return false
	}
	a, env, b := &t.ack, t.env, in.Payload.Pieces[0].B
	out, n := &t.txq()[0], uint32(len(b))
	owed := uint32(t.rcv.nxt-t.rcv.wup) + n
	if in.Flags != PSH|ACK || !in.Opts.HasTS || in.Opts.NSACK != 0 || in.Seq != t.rcv.nxt || in.Ack != out.end || out.marks&^(markPSH|markRun) != 0 ||
		t.tsRecent == 0 || int32(in.Opts.TSVal-t.tsRecent) < 0 ||
		n == 0 || len(b) != in.Payload.N || len(b) > len(in.Into) || n >= min(t.rwin.mss, surelyShort) || a.pending != 0 ||
		!steady && (t.mood()&(moodGrave|moodProbe) != atRest || !t.plain(0) || t.Readable() > 0 || t.wire() != nil || !t.inPingpong() ||
			t.timers.left[slotAck] != 0) ||
		a.ato == 0 || a.ato > env.delackMin || now-t.lastData > env.delackMin>>1 ||
		owed > min(t.rwin.mss, t.rcv.wnd) || (2*uint64(t.rcv.wnd-owed) <= uint64(t.rwin.clamp) || t.rcvRTT != 0) && t.opens(t.rcv.wnd-owed, n) {
		return false
	}
	t.countIn(in)
	if !in.Seq.After(t.rcv.wup) {
		t.tsRecent, t.recentAt = in.Opts.TSVal, now
	}
	wnd := uint32(in.Wnd) << (t.snd.scale & 15)
	t.snd.wl1, t.snd.wl2, t.snd.wnd = in.Seq, in.Ack, wnd
	if wnd > t.maxWnd {
		t.maxWnd = wnd
		t.syncMSS()
	}
	t.lastRecv = now
	t.softErr, t.probesOut = 0, 0
	t.ackFast(now, in.Ack, 1)
	t.rcv.nxt = t.rcv.nxt.Add(n)
	if t.rcv.read = t.rcv.read.Add(n); t.rcvRTT != 0 {
		t.adjustRcvSpace(now)
	}
	t.lastSeg = 0
	t.total.dataIn++
	t.total.bytesReceived += uint64(n)
	t.events |= EvReadable
	a.pending, t.lastData, a.ato = ackSched|ackPushed, now, a.ato>>1+env.delackMin>>1 // as dataReceived has it
	t.timers.left[slotAck], t.timers.kind[slotAck] = Never-now-t.delay(), TimerDelayedAck
	if n >= 128 && t.rwin.ssthresh < t.rwin.clamp {
		t.growWindow(int(n))
	}
	in.Taken = copy(in.Into, b)
	in.Steady = steady || t.steady()
	return true
}

// TakeLone is Input for a segment that SendLone of the peer gave, with the header h and text behind it, if the latest Input set
// Steady and nothing but TakeLone, SendLone and ReadKept was called since, or if Dialogue says so. It puts the text into into, where the user
// waits for it, or keeps it for him if into is empty; unless it is Kept then that ends what Steady says. It
// returns how many bytes these were, all of them, and when the delayed ACK's timer expires, which it sets; that
// for what was outstanding no longer runs. No events come of it but EvReadable and EvSent, which it does not set. It returns 0, and
// has done nothing, when the segment is for Input.
//
// It is dialogue and ackFast in one: what is outstanding is one segment that was sent once, nothing arrived since then, and no
// ACK is owed.
func (t *TCB) TakeLone(now time.Duration, h *[TSHeaderLen]byte, text, into []byte, spares *Spares) (taken int, due time.Duration) {
	lone := t.snd.lone
	if !lone.out() {
		return 0, 0
	}
	sent, lastData, a, env := t.lastSend, t.lastRecv, &t.ack, t.env
	if t.lonesIn == 0 {
		lastData = t.lastData
	}
	n, seq, ack := uint32(len(text)), Seq(binary.BigEndian.Uint32(h[offSeq:])), Seq(binary.BigEndian.Uint32(h[offAck:]))
	tsVal := binary.BigEndian.Uint32(h[MinHeaderLen+4:])
	if seq != t.rcv.nxt || ack != t.snd.nxt || t.tsRecent == 0 || int32(tsVal-t.tsRecent) < 0 || t.lonesIn == mostLone ||
		len(text) > len(into) && len(into) > 0 || n >= min(t.rwin.mss, surelyShort) || now-lastData > env.delackMin>>1 ||
		n > t.rcv.wnd || (2*uint64(t.rcv.wnd-n) <= uint64(t.rwin.clamp) || t.rcvRTT != 0) && t.opens(t.rcv.wnd-n, n) {
		return 0, 0
	}
	spares.In++
	t.lonesIn++
	t.tsRecent = tsVal
	wnd := uint32(binary.BigEndian.Uint16(h[offWnd:])) << (t.snd.scale & 15)
	t.snd.wl1, t.snd.wl2, t.snd.wnd = seq, ack, wnd
	if wnd > t.maxWnd {
		t.maxWnd = wnd
		t.syncMSS()
	}
	t.lastRecv = now
	t.untroubled()

	t.snd.una = ack
	t.snd.lone = loneRead
	if lone == loneChunk {
		t.x.snd.ack(ack)
	}
	if len(into) == 0 {
		t.keepText(text)
	}
	rtt := now - sent
	t.rackSent = sent
	t.minRTT.Sample(now, rtt, env.minRTTWin)
	t.rtt.sample(micros(rtt), ack, ack, env.rtoFloor)
	if env.observer != nil {
		t.rto = t.rtt.rto(env.rtoMax)
		t.tellRTT(now, rtt)
	}

	t.rcv.nxt = t.rcv.nxt.Add(n)
	if t.rcv.read = t.rcv.read.Add(uint32(copy(into, text))); t.rcvRTT != 0 && len(into) > 0 {
		t.adjustRcvSpace(now)
	}
	if ato := a.ato>>1 + env.delackMin>>1; ato != a.ato { // as dataReceived has it
		a.ato = ato
	}
	if n >= 128 && t.rwin.ssthresh < t.rwin.clamp {
		t.growWindow(int(n))
	}
	if t.extra != nil { // else the window is not the limit: see oddLone
		t.tally()
		t.raise(now, rtt, 1)
	}
	return len(text), now + t.delay()
}

// untroubled notes that something was delivered, and forgets what told of trouble. What is as it should be is not written to: its
// cache line is only looked at (see TCB). It is small enough to be part of the caller.
func (t *TCB) untroubled() {
	if t.softErr != 0 || t.probesOut|t.backoff != 0 {
		t.softErr, t.probesOut, t.backoff = 0, 0, 0
	}
	if t.rackFlags&rackAdvanced == 0 {
		t.rackFlags |= rackAdvanced
	}
}

// keepText keeps text, for which the user does not wait, while the receive queue is empty.
//
//go:noinline
func (t *TCB) keepText(text []byte) {
	if len(text) <= smallText {
		t.snd.lone = loneKept
		copy(t.x.small[:], text)
	} else {
		t.x.rcv.append(t.env.alloc, &Payload{Pieces: [2]Piece{{B: text}}, N: len(text), Lent: true})
	}
}

// inputFast is Input for the common case. It returns false when in is not that.
func (t *TCB) inputFast(now time.Duration, in *Segment) bool {
	n, una := uint32(in.Payload.N), t.snd.una
	wnd := uint32(in.Wnd) << (t.snd.scale & 15)
	if t.mood()&(moodGrave|moodProbe) != atRest || !t.plain(0) || in.Flags&^PSH != ACK || !in.Opts.HasTS || in.Opts.NSACK != 0 || t.tsRecent == 0 ||
		int32(in.Opts.TSVal-t.tsRecent) < 0 || in.Seq != t.rcv.nxt || uint32(in.Seq-t.rcv.wup)+n > t.rcv.wnd ||
		!in.Ack.Between(una, t.snd.nxt) {
		return false
	}
	acked := 0
	if in.Ack != una {
		if acked = t.acksWhole(in.Ack); acked == 0 {
			return false
		}
	} else if n == 0 {
		return false
	}
	if n > 0 && t.Readable() > 0 && t.charge() > int(t.rcvLimit) {
		return false
	}
	t.countIn(in)
	if !in.Seq.After(t.rcv.wup) {
		t.tsRecent, t.recentAt = in.Opts.TSVal, now
	}
	if n == 0 {
		t.countPureAck(in)
	}
	looked := acked > 0 || t.total.dataIn == 0 // at the ACK; see processAck
	if acked > 0 || in.Seq.After(t.snd.wl1) || in.Seq == t.snd.wl1 && (wnd > t.snd.wnd || wnd == 0) {
		looked = looked || wnd != t.snd.wnd
		t.snd.wl1, t.snd.wl2, t.snd.wnd = in.Seq, in.Ack, wnd
		if wnd > t.maxWnd {
			t.maxWnd = wnd
			t.syncMSS()
		}
	}
	t.lastRecv = now
	if looked {
		t.softErr, t.probesOut = 0, 0
	}
	if acked > 0 {
		t.ackFast(now, in.Ack, acked)
	} else if t.packetsOut() > 0 {
		t.rackUpdateReoWnd()
	} else if looked {
		t.ackProbe(now)
	}
	if n > 0 {
		t.total.dataIn++
		t.textFast(now, in)
	}
	return true
}

// acksWhole returns how many segments seq, which is beyond SND.UNA, acknowledges: 0 unless it ends one of them, and
// none of these is out of the ordinary, as those that were sent again are.
func (t *TCB) acksWhole(seq Seq) int {
	if t.x == nil {
		return 0
	}
	q := &t.queues().rtx
	for i := q.head; i < len(q.items); i++ {
		s := &q.items[i]
		if s.marks&^(markPSH|markRun|markSYN|markFIN) != 0 {
			return 0
		}
		if s.end == seq {
			return i - q.head + 1
		}
		if s.end.After(seq) {
			return 0
		}
	}
	return 0
}

// ackFast is processAck when seq acknowledges the first n > 0 segments sent, each of them for the first time. The last
// was sent last, and is all that RACK has to know of. If that is a SYN there is no text, and no algorithm of congestion
// control yet.
func (t *TCB) ackFast(now time.Duration, seq Seq, n int) {
	t.total.bytesAcked += uint64(uint32(seq - t.snd.una))
	t.total.delivered += uint32(n)
	t.snd.una = seq
	t.nonagle &^= nagleMore // as oddAck has it
	x := t.queues()
	q := &x.rtx
	last := &q.items[q.head+n-1]
	rtt, syn := now-last.sent, last.is(markSYN)
	first := rtt // of the first
	if n > 1 {
		first = now - q.items[q.head].sent
	}
	t.rackFlags |= rackAdvanced
	t.rack.rtt = rtt
	if last.sent > t.rackSent || sentAfter(last.sent, t.rackSent, last.nth, t.rack.nth, last.end, t.rack.end) {
		t.rackSent, t.rack.nth, t.rack.end = last.sent, last.nth, last.end
	}
	q.drop(n)
	if !x.snd.ackLent(seq) && !x.snd.ackLoan(seq) {
		x.snd.ack(seq)
	}
	if t.has(fNoSpace) {
		t.tellSpace()
	}
	if seq == t.snd.end && !syn {
		t.events |= EvSent
	}
	t.takeRTT(now, first, rtt)
	if q.len() == 0 {
		t.disarmXmit()
	} else {
		t.rackUpdateReoWnd()
		t.setXmitTimer(now)
	}
	if syn {
		return
	}
	if t.cong.Touch(now); t.extra != nil || t.cong.IsLimited() {
		t.raise(now, rtt, uint32(n))
	}
}

// takeRTT updates SRTT, RTTVAR and RTO with a valid measurement, which also ends backoff (RFC 6298 §5.7).
func (t *TCB) takeRTT(now, m, last time.Duration) {
	if last < 0 {
		last = m
	}
	t.minRTT.Sample(now, last, t.env.minRTTWin)
	t.rtt.sample(micros(m), t.snd.una, t.snd.nxt, t.env.rtoFloor)
	most := t.env.rtoMax
	if t.opt != nil {
		most = t.RTOMax()
	}
	t.rto = t.rtt.rto(most)
	t.backoff = 0
	if t.env.observer != nil {
		t.tellRTT(now, m)
	}
}

// textFast is inputText for text that is the next in order and fits, and what follows when the user has it at once.
func (t *TCB) textFast(now time.Duration, in *Segment) {
	into := in.Payload.N <= min(len(in.Into), mostInto) && t.Readable() == 0 && t.wire() == nil // see takesInto
	if into {
		t.takeInto(in)
	} else {
		t.takeText(&in.Payload, in.Spares)
	}
	t.dataReceived(now, in)
	t.checkAck(now)
	if into {
		t.readInto(now, in)
	}
}

// idleX gives t.x back if nothing is in it, to spare if that is not nil and has room. Who owes an ACK keeps it until that leaves,
// alone or with an answer, which needs it: on another processor than spare's it would have to come from there, and go back.
func (t *TCB) idleX(spare *Spares) {
	x := t.x
	if x == nil || t.snd.lone != loneNone || t.ack.pending&ackSched != 0 && t.state != StateClosed || x.rtx.len()|x.snd.chunks.len()|x.rcv.pieces.len() != 0 {
		return
	}
	t.x = nil
	x.snd.cur, x.rcv.private = 0, false
	if !x.modest() {
		x.trim()
	}
	if spare == nil || !spare.put(x) {
		t.env.transfers.Put(x)
	}
}
