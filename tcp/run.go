package tcp

import "time"

// The segments of a run (see startRun) differ in little: where they begin, and what they carry. What segmentation
// offload is to a kernel, this is here: the window, the options and the decisions of the first serve them all.

// OutputRun is Output for one more segment of new data, when out still is the one before it and nothing has happened
// since. It returns false when that is not so, or nothing more may be sent: call Output then, which asks OutputRun too.
func (t *TCB) OutputRun(now time.Duration, out *Segment) bool {
	n := out.Payload.N
	if n != int(t.mss) || out.Seq.Add(uint32(n)) != t.snd.nxt || t.snd.nxt == t.snd.end || out.Flags&^PSH != ACK ||
		out.Opts.NSACK != 0 || !out.Opts.HasTS || out.Opts.TSVal != t.tsNow(now) || out.Cause != CauseNewData ||
		out.Ack != t.rcv.nxt || t.rcv.wup != t.rcv.nxt || out.Wnd != uint16(t.rcv.wnd>>t.rwin.scale) ||
		out.SrcPort != t.localPort || out.DstPort != t.remotePort ||
		t.lastSend != now || t.snd.una == t.snd.nxt || !t.calm() || t.force != 0 || t.ack.pending != 0 {
		return false
	}
	seq, run := t.snd.nxt, t.edge.run
	if t.flags&fRun != 0 && seq.Before(run) { // as next has it: there are no records, and no FIN
		n = min(n, int(run.Sub(seq)))
	} else {
		var ok bool
		if n, _, ok = t.next(now); !ok {
			return false
		}
		run = t.edge.run
	}
	end, marks := seq.Add(uint32(n)), txMarks(0)
	out.Seq, out.Flags, out.ECN = seq, ACK, ECNNot
	x := t.queues()
	if x.snd.payload(t.env.alloc, seq, n, &out.Payload) || end == t.edge.psh {
		out.Flags |= PSH
		marks = markPSH
	}
	if end == run && t.flags&fRun != 0 {
		out.Flags |= PSH
		marks |= markRun
	}
	if n < int(t.mss) {
		t.edge.sml = end
	}
	t.answers(now) // and nothing restarts
	t.total.dataOut++
	t.countOut(out.Spares)
	x.rtx.push(txSeg{sent: now, nth: t.total.segsIn, seq: seq, end: end, marks: marks})
	t.snd.nxt = end
	if t.timer(TimerLossProbe) != 0 {
		t.rearmRTO(now)
	}
	t.flags |= fSentNew
	return true
}

// LoneRun reports whether all that Lend has just queued would leave at once, in segments without options but timestamps:
// whether SendRun may be called. Call it right after Lend: it asks what MayLend has not.
func (t *TCB) LoneRun() bool {
	n, mss := int(t.snd.end.Sub(t.snd.nxt)), int(t.mss)
	return n <= int(t.cong.Cwnd)*mss && t.flags&unquiet == 0 && t.ack.pending&ackNow == 0 && (t.nonagle&nagleMore == 0 || n%mss == 0)
}

// SendRun is a call of Output where LoneRun has said yes, or RunGoesOn; or so many calls, segs, if segments that follow each other
// are of one run, full, and differ in nothing but where they begin, and the last perhaps in PSH, and have no more than room bytes of
// text. It writes the header of a segment with the text of them all, without a checksum, to b: what segmentation offload
// is given in place of them. Their text are the next n bytes of what Lend was given. spares is the caller's, nil if he
// has none. When there is no more RunSent is to be called; without it Output goes on.
func (t *TCB) SendRun(now time.Duration, b *[TSHeaderLen]byte, room int, spares *Spares) (n, segs int) {
	seq, mss, x := t.snd.nxt, int(t.mss), t.queues()
	left := int(t.snd.end.Sub(seq))
	n = min(left, mss)
	if t.flags&fRun != 0 && seq.Before(t.edge.run) {
		n = min(n, int(t.edge.run.Sub(seq)))
	} else if t.flags &^= fRun; left > mss {
		t.startRun(left, int(t.snd.una.Add(t.snd.wnd).Sub(seq)), mss, int(t.cong.Cwnd)-x.rtx.len())
	}
	wnd := uint16(t.rcv.wnd >> (t.rwin.scale & 15))
	if x.rtx.len() == 0 { // the first
		wnd = t.selectWindow()
		t.ackSent()
		if t.extra != nil {
			t.mayRestart(now)
		}
		t.armXmit(TimerRetransmit, now+t.rto)
	}
	if n < mss {
		t.edge.sml = seq.Add(uint32(n))
	}
	for at, flags := seq, ACK; ; {
		end, marks := at.Add(uint32(n)), txMarks(0)
		if x.snd.pushed(end) || end == t.edge.psh {
			flags, marks = PSH|ACK, markPSH
		}
		if t.flags&fRun != 0 && end == t.edge.run {
			flags, marks = PSH|ACK, marks|markRun
		}
		t.answers(now)
		t.total.dataOut++
		t.countOut(spares)
		x.rtx.push(txSeg{sent: now, nth: t.total.segsIn, seq: at, end: end, marks: marks})
		t.snd.nxt = end
		if segs++; int(end.Sub(seq))+mss > room || flags&PSH != 0 || t.flags&fRun == 0 || int(t.edge.run.Sub(end)) < mss {
			t.putHeader(now, b, seq, flags, wnd, 0)
			t.flags |= fSentNew
			return int(end.Sub(seq)), segs
		}
		at = end
	}
}

// RunGoesOn reports whether SendRun may be called for the n > 0 bytes that it has not sent yet, although others had the TCB
// since. They may have sent them.
func (t *TCB) RunGoesOn(n int) bool {
	return n == int(t.snd.end.Sub(t.snd.nxt)) && t.snd.una != t.snd.nxt && int(t.snd.end.Sub(t.snd.una)) <= int(t.snd.wnd) &&
		n <= (int(t.cong.Cwnd)-t.packetsOut())*int(t.mss) && t.ack.pending == 0 &&
		t.mood()&(moodGrave|moodCork|moodForce) == atRest && t.plain(unquiet&^(fRun|fSentNew))
}

// RunSent is the call of Output that finds no more to send, after the last SendRun.
func (t *TCB) RunSent(now time.Duration) {
	t.flags &^= fRun | fSentNew
	n := t.packetsOut()
	kind, wait := t.xmitWait(n, t.rto)
	t.armXmit(kind, now+wait)
	if t.cong.runOut(now, t.rto, t.snd.nxt, uint32(n)) && t.env.cfg.SlowStartAfterIdle == On {
		t.cong.shrink(now)
	}
}

// minRun is the least text of a segment that is looked at as part of a run, in bytes.
const minRun = 1 << 10

// nextOfRun reports whether in is one more segment of a run: it follows what came before and says nothing new but its text.
func (t *TCB) nextOfRun(now time.Duration, in *Segment) bool {
	return in.Seq == t.rcv.nxt && in.Flags&^PSH == ACK && in.Ack == t.snd.una && t.snd.nxt == t.snd.end &&
		(t.snd.una == t.snd.nxt || t.lastRecv == now) && // else RACK has a look at the time
		t.snd.wl2 == in.Ack && uint32(in.Wnd)<<(t.snd.scale&15) == t.snd.wnd && t.total.dataIn > 0 &&
		in.Opts.HasTS && in.Opts.NSACK == 0 && t.tsRecent != 0 && int32(in.Opts.TSVal-t.tsRecent) >= 0 &&
		uint32(in.Payload.N) <= t.receiveWindow() && t.mood()&(moodGrave|moodMore|moodProbe) == atRest && t.plain(0)
}

// takeRun notes what the header of so many such segments says.
func (t *TCB) takeRun(now time.Duration, in *Segment, segs int) {
	for range segs {
		t.countIn(in)
	}
	if !in.Seq.After(t.rcv.wup) {
		t.tsRecent, t.recentAt = in.Opts.TSVal, now
	}
	if last := in.Seq.Add(uint32(segs-1) * t.rwin.mss); last.After(t.snd.wl1) {
		t.snd.wl1 = last
	}
	t.lastRecv = now
	t.total.dataIn += uint32(segs)
}

// inputRun is Input for one more segment of a run. It returns false when in is not that.
func (t *TCB) inputRun(now time.Duration, in *Segment) bool {
	if in.Payload.N < minRun || !t.nextOfRun(now, in) || t.Readable() > 0 && t.charge() > int(t.rcvLimit) {
		return false
	}
	t.takeRun(now, in, 1)
	t.textFast(now, in)
	return true
}

// InputHeld is Input for one more segment of a run for which the user waits with a buffer that has room for so much: the caller copies the text, which is
// the first piece, there, and tells that the user has read it in a moment, by HeldRead. Not before then does it need an ACK, so that one does for many
// segments. It returns false, and has done nothing, when in is not such a segment. If segs is more than one, in stands for so many, all
// of one length; they may have to come one by one, then.
func (t *TCB) InputHeld(now time.Duration, in *Segment, segs, room int) bool {
	return in.Payload.N <= room && t.Readable() == 0 && t.inputHeld(now, in, segs, false)
}

// InputBorrowed is InputHeld where the user has no such buffer at hand, but will soon be back with one: the text stays where it is, and the
// receive queue refers to it, until he has read it or OwnBorrowed is called. Before that it must not change. When there is no more
// AckBorrowed is to be called.
func (t *TCB) InputBorrowed(now time.Duration, in *Segment, segs int) bool {
	return t.charge() <= int(t.rcvLimit) && t.inputHeld(now, in, segs, true)
}

// inputHeld is InputHeld or InputBorrowed but for what they ask beforehand.
func (t *TCB) inputHeld(now time.Duration, in *Segment, segs int, borrow bool) bool {
	t.unfold()
	b := in.Payload.Pieces[0].B
	if len(b) != in.Payload.N || !t.nextOfRun(now, in) || t.wire() != nil {
		return false
	}
	a, least := &t.ack, t.env.cfg.DelackMin
	age := t.tsNow(now) - in.Opts.TSEcr
	odd := len(b) != segs*int(t.rwin.mss) || t.rwin.mss > uint32(t.rwin.adv) || a.ato == 0 || now-t.lastData > least/2 || t.rwin.ssthresh < t.rwin.clamp ||
		in.Opts.TSEcr == 0 || int32(age) < 0
	if odd && segs > 1 {
		return false
	}
	t.takeRun(now, in, segs)
	t.rcv.nxt = t.rcv.nxt.Add(uint32(len(b)))
	t.total.bytesReceived += uint64(len(b))
	if borrow {
		t.needX(in.Spares).rcv.borrow(b)
		t.events |= EvReadable
	}
	if odd {
		t.dataReceived(now, in)
		return true
	}
	// What dataReceived does for one more full segment.
	t.lastSeg = 0
	a.pending |= ackSched
	if in.Flags&PSH != 0 {
		a.pending |= ackPushed
	}
	for range segs {
		t.sampleRcvRTT(time.Duration(max(age, 1))*time.Millisecond, false)
		a.ato = a.ato/2 + least/2
	}
	t.lastData = now
	return true
}

// HeldRead tells that the user has read n bytes of text that InputHeld took. Call Output afterwards.
func (t *TCB) HeldRead(now time.Duration, n int) {
	t.rcv.read = t.rcv.read.Add(uint32(n))
	if t.state.in(synchronized) && t.state != StateTimeWait {
		t.checkAck(now)
		t.adjustRcvSpace(now)
		t.afterRead(n)
	}
}

// AckBorrowed asks for an ACK of what InputBorrowed took: what is lent and not acknowledged would be copied. Call Output afterwards.
func (t *TCB) AckBorrowed() {
	t.unfold()
	if t.ack.pending&ackSched != 0 {
		t.ack.now(CauseAck)
	}
}

// OwnBorrowed copies what InputBorrowed took and has not been read, and returns how many bytes that is.
func (t *TCB) OwnBorrowed() int {
	if t.x == nil {
		return 0
	}
	return t.received().own(t.env.alloc)
}
