package tcp

import "time"

// When to acknowledge: at once, or after a while in the hope that the answer carries the ACK along
// (RFC 9293 §3.8.6.3, RFC 5681 §4.2). Linux's rules: the first segments of a burst are acknowledged at
// once (quick ACKs) because the peer is in slow start; a connection that answers what it receives waits
// (pingpong); and the wait adapts to the gaps between segments (ato).

// ackVars is the state of the acknowledgment policy.
type ackVars struct {
	ato      time.Duration // present estimate of the delay; 0: no text yet
	pending  ackFlags
	cause    Cause // why an ACK is due
	pingpong uint8 // how often text was answered within ato
	quick    uint8 // quick ACKs left
	dups     uint8 // duplicate ACKs sent at once at extra.compNxt
	held     uint8 // duplicate ACKs held back (compressed)
}

type ackFlags uint8

const (
	ackSched   ackFlags = 1 << iota // an ACK is owed
	ackNow                          // and must go at once
	ackPushed                       // text came in a short or pushed segment
	ackPushed2                      // twice
)

const (
	maxQuickAcks = 16
	// tick is the resolution of Linux's timers: a delay of none lasts until the next tick.
	tick = time.Millisecond
)

// schedule notes that an ACK is owed.
func (a *ackVars) schedule() { a.pending |= ackSched }

// pushed notes that text came in a short or pushed segment, once or again.
func (a *ackVars) pushed() { a.pending |= ackPushed | a.pending&ackPushed*(ackPushed2/ackPushed) }

// now asks for an ACK at once.
func (a *ackVars) now(why Cause) {
	a.pending |= ackSched | ackNow
	a.cause = why
}

// incrQuick grants quick ACKs: as many as two segments fit into the window, at least 2, at most n.
func (t *TCB) incrQuick(n uint32) {
	quick := min(max(t.rcv.wnd/(2*max(t.rwin.mss, 1)), 0), n)
	if t.rcv.wnd/(2*max(t.rwin.mss, 1)) == 0 {
		quick = 2
	}
	t.ack.quick = max(t.ack.quick, uint8(min(quick, maxQuickAcks)))
}

// enterQuickAck begins a series of at most n quick ACKs.
func (t *TCB) enterQuickAck(n uint32) {
	t.incrQuick(n)
	t.ack.pingpong = 0
	t.ack.ato = t.env.cfg.DelackMin
}

func (t *TCB) inPingpong() bool { return int(t.ack.pingpong) >= t.env.cfg.PingpongThr }

func (t *TCB) enterPingpong() { t.ack.pingpong = uint8(min(t.env.cfg.PingpongThr, 255)) }

// dataReceived updates the ACK policy after in with text was queued in order.
func (t *TCB) dataReceived(now time.Duration, in *Segment) {
	a := &t.ack
	a.schedule()
	if n := in.Payload.N; n < surelyShort && n < int(t.rwin.mss) && in.Flags&PSH != 0 && t.has(fTS) {
		// Neither of the two below learns anything from it but that it was pushed.
		t.lastSeg = 0
		a.pushed()
	} else {
		t.measureRcvMSS(in)
		t.measureRcvRTT(now, in)
	}
	least := t.env.cfg.DelackMin
	if a.ato == 0 {
		// "The first data packet": the peer is in slow start.
		t.incrQuick(maxQuickAcks)
		a.ato = least
	} else {
		switch gap := now - t.lastData; {
		case gap <= least/2:
			a.ato = a.ato/2 + least/2
		case gap < a.ato:
			a.ato = min(a.ato/2+gap, t.rto)
		case gap > t.rto:
			// The peer was idle and may be in slow start again.
			t.incrQuick(maxQuickAcks)
		}
	}
	t.lastData = now
	if in.Payload.N >= 128 && t.rwin.ssthresh < t.rwin.clamp {
		t.growWindow(in.Payload.N)
	}
}

// measureRcvMSS estimates how large the peer's full segments are, and notes whether this one is the end
// of a burst.
func (t *TCB) measureRcvMSS(in *Segment) {
	last := uint32(t.lastSeg)
	t.lastSeg = 0
	n := uint32(in.Payload.N)
	if n >= t.rwin.mss {
		if t.wire() != nil && n != t.rwin.mss {
			t.measureRatio(int(n))
		}
		t.rwin.mss = max(min(n, uint32(t.rwin.adv)), 1)
		if in.Flags&PSH != 0 {
			t.ack.pending |= ackPushed
		}
		return
	}
	// A short segment may still be full, on a path with a small MTU: believe it when two in a row have
	// that size.
	whole := n + uint32(in.HeaderLen())
	if whole >= defaultMSS4+MinHeaderLen || whole >= 88+MinHeaderLen && in.Flags&(PSH|FIN|SYN|RST|URG) == 0 {
		whole -= uint32(MinHeaderLen + t.tsLen())
		t.lastSeg = uint16(whole)
		if whole == last {
			t.rwin.mss = max(whole, 1)
			return
		}
	}
	t.ack.pushed()
}

// surelyShort is below any text that might be all that a path with a small MTU lets through, whatever its header.
const surelyShort = defaultMSS4 + MinHeaderLen - MaxHeaderLen

// initRcvMSS makes the first guess of the size of the peer's segments: small, so that quick ACKs are
// plenty.
func (t *TCB) initRcvMSS() {
	hint := min(uint32(t.rwin.adv), uint32(t.mss), t.rcv.wnd/2, defaultMSS4)
	t.rwin.mss = max(hint, 88)
}

// checkAck decides, after an arriving segment was processed, when to acknowledge what is owed.
func (t *TCB) checkAck(now time.Duration) {
	a := &t.ack
	if a.pending&ackSched == 0 || a.pending&ackNow != 0 {
		return
	}
	ooo := t.ooo != nil && t.ooo.len() > 0
	switch {
	// "An ACK SHOULD be generated for at least every second full-sized segment" (RFC 5681 §4.2): unless
	// the user has not read and the window would not move, because then reading will send it.
	case uint32(t.rcv.nxt.Sub(t.rcv.wup)) > t.rwin.mss && (t.lowWater() || t.offer() >= t.rcv.wnd),
		a.quick > 0 && !t.inPingpong():
		t.ackAtOnce(ooo)
	case ooo:
		t.ackOutOfOrder(now)
	default:
		t.ackLater(now)
	}
}

func (t *TCB) ackAtOnce(ooo bool) {
	if ooo {
		t.ack.now(CauseDupAck)
	} else {
		t.ack.now(CauseAck)
	}
}

// lowWater reports whether the user has too little to read (SO_RCVLOWAT).
func (t *TCB) lowWater() bool {
	if t.opt != nil && t.opt.rcvLowat > 1 {
		return int(t.rcv.nxt.Sub(t.rcv.read)) < int(t.opt.rcvLowat)
	}
	return t.rcv.nxt == t.rcv.read
}

// ackOutOfOrder acknowledges while there are holes: "A TCP receiver SHOULD send an immediate duplicate ACK
// when an out-of-order segment arrives" (RFC 5681 §4.2). With SACK, beyond the three that start fast
// retransmit they may be held back for a millisecond, because the last says it all (tcp_comp_sack_nr).
func (t *TCB) ackOutOfOrder(now time.Duration) {
	a := &t.ack
	if !t.has(fSACK) || int(a.held) >= t.env.cfg.CompSackNr {
		a.now(CauseDupAck)
		return
	}
	if x := t.needExtra(); x.compNxt != t.rcv.nxt {
		x.compNxt, a.dups = t.rcv.nxt, 0
	}
	if a.dups < dupThresh {
		a.dups++
		a.now(CauseDupAck)
		return
	}
	a.held = min(a.held+1, 255)
	t.env.stats.TCPAckCompressed.Add(1)
	if t.extra.compress != 0 {
		return
	}
	rtt := time.Duration(t.rcvRTT>>3) * time.Microsecond
	if s := t.rtt.SRTT(); s > 0 && (rtt == 0 || s < rtt) {
		rtt = s
	}
	delay := min(t.env.cfg.CompSackDelay, rtt/20)
	if delay <= 0 {
		a.now(CauseDupAck)
		return
	}
	t.armCompress(now + delay)
}

// dupThresh is DupThresh of RFC 5681 and RFC 6675.
const dupThresh = 3

// ackLater arms the delayed ACK timer (RFC 9293 §3.8.6.3: less than 0.5 s, MUST-40).
func (t *TCB) ackLater(now time.Duration) {
	a := &t.ack
	ato := a.ato
	if least := t.env.cfg.DelackMin; ato > least {
		most := 500 * time.Millisecond
		if t.inPingpong() || a.pending&ackPushed != 0 {
			most = t.env.cfg.DelackMax
		}
		if t.rtt.Known() {
			most = min(most, max(t.rtt.SRTT(), least))
		}
		ato = min(ato, most)
	}
	ato = max(min(ato, t.env.cfg.DelackMax), tick)
	at := now + ato
	if left := t.timers.left[slotAck]; left != 0 {
		old := Never - left
		if old <= now+ato/4 {
			a.now(CauseAck) // it is about to expire
			return
		}
		at = min(at, old)
	}
	t.arm(TimerDelayedAck, at)
}

// delayedAckExpired sends the delayed ACK. That it had to be sent alone shows that the guess was wrong.
func (t *TCB) delayedAckExpired() {
	a := &t.ack
	if a.pending&ackSched == 0 {
		return
	}
	if !t.inPingpong() {
		a.ato = min(a.ato*2, t.rto)
	} else {
		a.pingpong = 0
		a.ato = t.env.cfg.DelackMin
	}
	t.env.stats.DelayedACKs.Add(1)
	a.now(CauseDelayedAck)
}

// ackSent notes that a segment with ACK = RCV.NXT leaves.
func (t *TCB) ackSent() {
	a := &t.ack
	if a.quick > 0 && a.pending&ackSched != 0 {
		if a.quick--; a.quick == 0 {
			a.ato = t.env.cfg.DelackMin
		}
	}
	a.pending = 0
	t.timers.left[slotAck] = 0
	if t.ooo != nil && t.ooo.nold > 0 {
		t.ooo.nold = 0 // this was the one before; what came since is still held back
		return
	}
	a.held = 0
	t.disarmCompress()
}

// dataSent notes that text leaves.
func (t *TCB) dataSent(now time.Duration) {
	if t.extra != nil {
		t.mayRestart(now)
	}
	t.answers(now)
}

// mayRestart tells the congestion control algorithm that text leaves while nothing else is out.
func (t *TCB) mayRestart(now time.Duration) {
	if t.extra.alg != nil && t.inFlight() == 0 {
		t.extra.alg.OnRestart(&t.cong, now, now-t.lastSend)
	}
}

// afterRead decides, when the user has read n bytes, whether to send an ACK or a window update.
func (t *TCB) afterRead(n int) {
	a := &t.ack
	owed := uint32(t.rcv.nxt - t.rcv.wup)
	if a.pending&ackSched != 0 && (owed > t.rwin.mss || a.pending&(ackPushed|ackPushed2) != 0 && n > 0 && t.Readable() == 0 &&
		(a.pending&ackPushed2 != 0 || !t.inPingpong())) {
		a.now(CauseAck)
		return
	}
	if n == 0 || t.has(fRcvShut) {
		return
	}
	// "Avoid small increments" (RFC 9293 §3.8.6.2.2): an update goes when the window can double.
	if left := t.receiveWindow(); 2*uint64(left) <= uint64(t.rwin.clamp) {
		if wnd := t.offer(); wnd != 0 && uint64(wnd) >= 2*uint64(left) {
			a.now(CauseWindowUpdate)
		}
	}
}
