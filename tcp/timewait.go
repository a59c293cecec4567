package tcp

import "time"

// TimeWait stands in for a connection whose work is done: one in TIME-WAIT, or an orphan in FIN-WAIT-2. It
// remembers just enough to answer what still arrives (RFC 9293 §3.6.1, MUST-13; RFC 1122 §4.2.2.13).
// It holds no pointer, so that any number of them can lie in memory that the garbage collector need not look
// at. It is not safe for concurrent use.
type TimeWait struct {
	expires  time.Duration
	length   time.Duration // TIME-WAIT's
	lastOOW  time.Duration
	recentAt time.Duration
	ratelim  time.Duration

	sndNxt, rcvNxt        Seq
	wnd                   uint32
	tsRecent, tsOffset    uint32
	localPort, remotePort uint16
	scale                 uint8
	finWait2              bool // FIN-WAIT-2: the peer's FIN is yet to come
	hasTS                 bool
	rfc1337               bool
	oowSet                bool
}

// Verdict is what TimeWait.Input says is to be done.
type Verdict uint8

// The verdicts.
const (
	Drop      Verdict = iota // nothing
	Reply                    // send the segment that was filled in
	Recycle                  // a new connection may begin: hand the SYN to the listener, with the hint as ISS
	Dead                     // the stand-in is done with: take it out of the tables
	DeadReply                // both: send the segment and take the stand-in out of the tables
)

// TimeWait makes w the stand-in for t, which must be in TIME-WAIT, or an orphan in FIN-WAIT-2, and have had its
// Output drained. t itself becomes CLOSED, without an event; what it has received stays readable.
func (t *TCB) TimeWait(w *TimeWait) {
	t.standIn(w)
	t.flags |= fDetached
	t.stopTimers()
	t.state = StateClosed
	t.force, t.ack.pending = 0, 0
	t.flags |= fRcvShut
	if t.extra != nil {
		t.extra.tw = nil
	}
	t.events &^= EvTimeWait | EvClosed
}

// standIn makes w what the stand-in begins as.
func (t *TCB) standIn(w *TimeWait) {
	*w = TimeWait{
		expires: t.timer(TimerClose), length: t.env.cfg.TimeWaitLen, ratelim: t.env.cfg.InvalidRatelimit,
		sndNxt: t.snd.nxt, rcvNxt: t.rcv.nxt, wnd: t.receiveWindow(), scale: t.rwin.scale,
		tsRecent: t.tsRecent, recentAt: t.recentAt, tsOffset: t.tsOffset, hasTS: t.has(fTS),
		localPort: t.localPort, remotePort: t.remotePort,
		finWait2: t.state == StateFinWait2, rfc1337: t.env.cfg.RFC1337 == On,
	}
}

// State returns StateTimeWait or StateFinWait2.
func (w *TimeWait) State() State {
	if w.finWait2 {
		return StateFinWait2
	}
	return StateTimeWait
}

// Deadline returns when the stand-in ends: take it out of the tables then.
func (w *TimeWait) Deadline() time.Duration { return w.expires }

// Input processes an arriving segment. With Reply and DeadReply out is what to send; with Recycle the hint
// returned is the ISS to give to the new connection: beyond all numbers of the old one. What happened is
// counted in stats.
func (w *TimeWait) Input(now time.Duration, stats *Stats, in *Segment, out *Segment) (v Verdict, hint Seq) {
	stats.InSegs.add(w.localPort)
	paws := w.hasTS && in.Opts.HasTS && w.pawsRejects(now, in)
	if w.finWait2 {
		return w.inputFinWait2(now, stats, in, out, paws), 0
	}
	if !paws && in.Seq == w.rcvNxt && (in.SeqLen() == 0 || in.Flags&RST != 0) {
		// "In window segment, it may be only reset or bare ack".
		switch {
		case in.Flags&RST == 0:
			w.expires = now + w.length
		case !w.rfc1337:
			// "TIME-WAIT assassination" (RFC 1337 §2): Linux lets it happen unless told otherwise.
			return Dead, 0
		}
		w.seenTS(now, in)
		return Drop, 0
	}
	if w.startsAnew(in, paws) {
		stats.TWRecycled.Add(1)
		return Recycle, w.nextISS()
	}
	if paws {
		stats.PAWSEstab.Add(1)
	}
	if in.Flags&RST != 0 {
		return Drop, 0
	}
	// "The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it, and
	// restart the 2 MSL timeout."
	if paws || in.Flags&ACK != 0 {
		w.expires = now + w.length
	}
	return w.ack(now, stats, in, out, &stats.TCPACKSkippedTimeWait), 0
}

// startsAnew: "When a connection is ... on TIME-WAIT state ... [a TCP] MAY accept a new SYN from the remote TCP
// endpoint to reopen the connection directly ... if it: (1) assigns its initial sequence number for the new
// connection to be larger than the largest sequence number it used on the previous connection incarnation"
// (RFC 9293 §3.6.1, MAY-2); timestamps make that safe for any sequence number (SHLD-4, RFC 6191).
func (w *TimeWait) startsAnew(in *Segment, paws bool) bool {
	if in.Flags&(SYN|RST|ACK) != SYN || paws {
		return false
	}
	return in.Seq.After(w.rcvNxt) || w.hasTS && in.Opts.HasTS && int32(w.tsRecent-in.Opts.TSVal) < 0
}

// inputFinWait2 repeats the checks of the state.
func (w *TimeWait) inputFinWait2(now time.Duration, stats *Stats, in, out *Segment, paws bool) Verdict {
	end := in.End()
	if paws || !w.inWindow(in) {
		// Also a RST is answered, as Linux does.
		return w.ack(now, stats, in, out, &stats.TCPACKSkippedFinWait2)
	}
	switch {
	case in.Flags&RST != 0:
		return Dead
	case in.Flags&SYN != 0 && !in.Seq.Before(w.rcvNxt):
		return w.reset(stats, in, out)
	case in.Flags&ACK == 0 || !end.After(w.rcvNxt) || in.SeqLen() == 0:
		return Drop
	case in.Flags&FIN == 0 || end != w.rcvNxt+1:
		// New text after the user has gone.
		stats.TCPAbortOnData.Add(1)
		return w.reset(stats, in, out)
	}
	w.finWait2 = false
	w.rcvNxt = end
	stats.TW.Add(1)
	w.seenTS(now, in)
	w.expires = now + w.length
	w.fill(now, stats, out)
	return Reply
}

func (w *TimeWait) inWindow(in *Segment) bool {
	if in.Seq == w.rcvNxt {
		return true
	}
	edge := w.rcvNxt.Add(w.wnd)
	if in.End().After(w.rcvNxt) && in.Seq.Before(edge) {
		return true
	}
	return in.Seq == edge && in.SeqLen() == 0
}

func (w *TimeWait) pawsRejects(now time.Duration, in *Segment) bool {
	if int32(w.tsRecent-in.Opts.TSVal) <= 0 || w.tsRecent == 0 || now-w.recentAt >= pawsWrap {
		return false
	}
	return in.Flags&RST == 0 || now-w.recentAt < time.Minute
}

func (w *TimeWait) seenTS(now time.Duration, in *Segment) {
	if w.hasTS && in.Opts.HasTS {
		w.tsRecent, w.recentAt = in.Opts.TSVal, now
	}
}

// ack answers a segment out of the window, unless another was answered a moment ago.
func (w *TimeWait) ack(now time.Duration, stats *Stats, in, out *Segment, skipped counter) Verdict {
	if in.SeqLen() == 0 || in.Flags&SYN != 0 {
		if w.oowSet && now-w.lastOOW < w.ratelim {
			skipped.Add(1)
			return Drop
		}
		w.lastOOW, w.oowSet = now, true
	}
	w.fill(now, stats, out)
	return Reply
}

// Challenge answers a SYN for which Input gave Recycle, when nobody listens.
func (w *TimeWait) Challenge(now time.Duration, stats *Stats, out *Segment) Verdict {
	w.fill(now, stats, out)
	return Reply
}

func (w *TimeWait) fill(now time.Duration, stats *Stats, out *Segment) {
	*out = Segment{
		SrcPort: w.localPort, DstPort: w.remotePort, Seq: w.sndNxt, Ack: w.rcvNxt, Flags: ACK,
		Wnd: uint16(min(w.wnd>>w.scale, 65535)), Cause: CauseTimeWait,
	}
	if w.hasTS {
		out.Opts = Options{HasTS: true, TSVal: uint32(now/time.Millisecond) + w.tsOffset, TSEcr: w.tsRecent}
	}
	stats.OutSegs.add(w.localPort)
}

func (w *TimeWait) reset(stats *Stats, in, out *Segment) Verdict {
	if !Reset(in, out) {
		return Dead
	}
	stats.OutRsts.Add(1)
	return DeadReply
}

// nextISS is beyond everything the old connection can have sent.
func (w *TimeWait) nextISS() Seq {
	iss := w.sndNxt.Add(65535 + 2)
	if iss == 0 {
		iss++
	}
	return iss
}

// Reusable reports whether Connect may use the pair of sockets again now, while it is in TIME-WAIT: both ends
// use timestamps and have been quiet for longer than after, so that the new connection's are later (RFC 6191;
// tcp_tw_reuse, tcp_tw_reuse_delay). p gets the ISS and what PAWS needs to know.
func (w *TimeWait) Reusable(now, after time.Duration, p *Params) bool {
	if !w.hasTS || w.finWait2 || now-w.recentAt <= after {
		return false
	}
	p.ISS = w.nextISS()
	p.TSRecent, p.TSRecentAt, p.HasTSRecnt = w.tsRecent, w.recentAt, true
	return true
}

// inputTimeWait handles segments for a TCB in TIME-WAIT that has not been replaced by its stand-in.
func (t *TCB) inputTimeWait(now time.Duration, in *Segment) {
	x := t.needExtra()
	if x.tw == nil {
		x.tw = new(TimeWait)
		t.standIn(x.tw)
	}
	var out Segment
	v, _ := x.tw.Input(now, t.env.stats, in, &out)
	if v == Reply && out.Flags&RST == 0 {
		t.ack.now(CauseTimeWait)
	}
	t.arm(TimerClose, x.tw.expires)
	if v == Dead || v == Recycle {
		t.toClosed(now)
	}
}
