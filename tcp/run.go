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
		out.Ack != t.rcv.nxt || t.rcv.wup != t.rcv.nxt || out.Wnd != uint16(t.rcv.wnd>>t.rcv.scale) ||
		out.SrcPort != t.localPort || out.DstPort != t.remotePort ||
		t.lastSend != now || t.snd.una == t.snd.nxt || !t.calm() || t.force != 0 || t.ack.pending != 0 {
		return false
	}
	seq, run := t.snd.nxt, t.snd.run
	if t.flags&fRun != 0 && seq.Before(run) { // as next has it: there are no records, and no FIN
		n = min(n, int(run.Sub(seq)))
	} else {
		var ok bool
		if n, _, ok = t.next(now); !ok {
			return false
		}
		run = t.snd.run
	}
	end, marks := seq.Add(uint32(n)), txMarks(0)
	out.Seq, out.Flags, out.ECN = seq, ACK, ECNNot
	if t.x.snd.payload(t.env.alloc, seq, n, &out.Payload) || end == t.snd.psh {
		out.Flags |= PSH
		marks = markPSH
	}
	if end == run && t.flags&fRun != 0 {
		out.Flags |= PSH
		marks |= markRun
	}
	if n < int(t.mss) {
		t.snd.sml = end
	}
	t.answers(now) // and nothing restarts
	t.total.dataOut++
	t.countOut(out.Spares)
	t.x.rtx.push(txSeg{sent: now, nth: t.total.segsIn, seq: seq, end: end, marks: marks})
	t.snd.nxt = end
	if t.timer(TimerLossProbe) != 0 {
		t.rearmRTO(now)
	}
	t.flags |= fSentNew
	return true
}

// minRun is the least text of a segment that is looked at as part of a run, in bytes.
const minRun = 1 << 10

// inputRun is Input for one more segment of a run: the last one was taken in at the same instant, and this one
// follows it and says nothing new but its text. It returns false when that is not so.
func (t *TCB) inputRun(now time.Duration, in *Segment) bool {
	n := uint32(in.Payload.N)
	if n < minRun || t.lastRecv != now || in.Seq != t.rcv.nxt || in.Flags&^PSH != ACK || in.Ack != t.snd.una ||
		t.snd.nxt != t.snd.end || t.snd.wl2 != in.Ack || uint32(in.Wnd)<<t.snd.scale != t.snd.wnd ||
		!in.Opts.HasTS || in.Opts.TSVal != t.ts.recent || t.ts.recent == 0 || t.ts.recentAt != now || in.Opts.NSACK != 0 ||
		n > t.receiveWindow() || !t.calm() || t.ack.lastData != now || t.rackFlags&rackTLP != 0 || t.nonagle&nagleMore != 0 ||
		t.Readable() > 0 && t.charge() > int(t.rcvLimit) {
		return false
	}
	t.countIn(in)
	if in.Seq.After(t.snd.wl1) {
		t.snd.wl1 = in.Seq
	}
	t.textFast(now, in)
	return true
}
