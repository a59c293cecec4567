package tcp

import "time"

// CloseRead closes the receiving side (shutdown SHUT_RD): ReadEOF becomes true once the queue is empty. The
// peer is not told (TCP cannot), and like on Linux what it sends is still taken while the connection is
// established.
func (t *TCB) CloseRead(now time.Duration) error {
	if t.state == StateClosed {
		return ErrNotConnected
	}
	t.flags |= fRcvShut
	t.events |= EvReadable
	return nil
}

// CloseWrite closes the sending side (shutdown SHUT_WR): a FIN follows what was written. It is the CLOSE
// call of RFC 9293 §3.10.4, which leaves the other direction open. A second call does nothing.
// ErrNotConnected says that there is no connection (any more). In SYN-SENT the attempt is given up.
func (t *TCB) CloseWrite(now time.Duration) error {
	t.unfold()
	switch t.state {
	case StateClosed, StateTimeWait, StateListen:
		return ErrNotConnected
	case StateSynSent:
		t.toClosed(now)
		return nil
	}
	if t.has(fDetached) {
		return ErrNotConnected
	}
	t.queueFIN(now)
	return nil
}

// queueFIN is the CLOSE call state by state.
func (t *TCB) queueFIN(now time.Duration) {
	switch t.state {
	case StateSynReceived:
		// "If no SENDs have been issued and there is no pending data to send, then form a FIN segment and send
		// it, and enter FIN-WAIT-1 state; otherwise, queue for processing after entering ESTABLISHED state."
		// It is queued, but as on Linux not with Fast Open, and not by close after a simultaneous open: the
		// peer's SYN told its window.
		if t.has(fFastOpen) || t.has(fOrphan) && !t.has(fPassive) {
			t.setState(now, StateFinWait1)
		}
	case StateEstablished:
		// "Queue this until all preceding SENDs have been segmentized, then form a FIN segment and send it. In
		// any case, enter FIN-WAIT-1 state."
		t.setState(now, StateFinWait1)
	case StateCloseWait:
		// "Queue this request until all preceding SENDs have been segmentized; then send a FIN segment, enter
		// LAST-ACK state."
		t.setState(now, StateLastAck)
	default:
		return // "as long as a second FIN is not emitted"
	}
	if !t.has(fFinQueued) {
		t.flags |= fFinQueued
		t.snd.end++
		t.force |= forceNagle
	}
}

// Close ends the user's interest in the connection (close with default linger): what was written and a FIN
// are still delivered, by an orphan that nobody can read from. If there is unread data the peer must
// learn that it was lost, and gets a reset (RFC 9293 §3.6.1, SHLD-3; RFC 2525 §2.17).
func (t *TCB) Close(now time.Duration) {
	t.unfold()
	if t.has(fOrphan) {
		return
	}
	t.flags |= fOrphan | fRcvShut
	unread := t.Readable() > 0
	t.dropReceived()
	t.rcv.read = t.rcv.nxt
	switch t.state {
	case StateClosed, StateTimeWait:
		return
	case StateSynSent:
		// "Delete the TCB and return 'error: closing' responses to any queued SENDs, or RECEIVEs."
		t.toClosed(now)
		return
	}
	if unread {
		t.env.stats.TCPAbortOnClose.Add(1)
		t.queueReset()
		t.toClosed(now)
		return
	}
	t.queueFIN(now)
	if t.state == StateFinWait2 {
		t.orphanFinWait2(now)
		return
	}
	t.countOrphan(now)
}

// countOrphan enters t among the stack's orphans. One too many is reset instead of being looked after (Linux's
// tcp_max_orphans): nobody waits for it, and it may take minutes.
//
// We differ: Linux sends the FIN first.
func (t *TCB) countOrphan(now time.Duration) {
	t.flags |= fCounted
	if t.env.stats.orphans.Add(1) > int64(t.env.cfg.MaxOrphans) {
		t.env.stats.TCPAbortOnMemory.Add(1)
		t.queueReset()
		t.toClosed(now)
	}
}

// Abort is the ABORT call (RFC 9293 §3.10.5; close with linger 0): "Send a reset segment: <SEQ=SND.NXT><CTL=RST>
// ... all segments queued for transmission (except for the RST formed above) or retransmission should be
// flushed". Err becomes ErrAborted when a connection was cut.
func (t *TCB) Abort(now time.Duration) {
	t.unfold()
	t.flags |= fOrphan | fRcvShut
	t.dropReceived()
	t.rcv.read = t.rcv.nxt
	switch t.state {
	case StateClosed:
		return
	case StateSynReceived, StateEstablished, StateFinWait1, StateFinWait2, StateCloseWait:
		t.env.stats.TCPAbortOnData.Add(1)
		t.queueReset()
		t.err = ErrAborted
	case StateClosing, StateLastAck:
		// "Respond with 'ok' and delete the TCB": but if our FIN never left, the peer waits for it.
		if !t.has(fFinSent) {
			t.queueReset()
		}
	}
	t.toClosed(now)
}

// toClosed enters CLOSED: timers stop and what was to be sent is flushed. What was received stays readable. The memory of the
// queues goes back when input, Timeout or Release ends.
func (t *TCB) toClosed(now time.Duration) {
	t.setState(now, StateClosed)
	t.events |= EvClosed
	if t.has(fFastOpen) {
		t.flags &^= fFastOpen
		t.events |= EvFastOpen
	}
	t.stopTimers()
	t.force = 0
	t.ack.pending = 0
	t.flags |= fRcvShut
	t.flushSend()
	if t.ooo != nil {
		t.ooo.release()
		t.ooo = nil
	}
	t.rec = nil
	t.dropAlg()
	t.snd.end = t.snd.nxt
	if t.has(fNoSpace) {
		t.flags &^= fNoSpace
		t.events |= EvWritable
	}
}

// enterFinWait2 is called when our FIN was acknowledged in FIN-WAIT-1. An orphan does not wait for ever for the
// peer's FIN (RFC 9293 §3.6, "half-closed" hosts; tcp_fin_timeout). It returns false when the segment is done
// with.
func (t *TCB) enterFinWait2(now time.Duration, in *Segment) bool {
	t.setState(now, StateFinWait2)
	if !t.has(fOrphan) {
		return true
	}
	if t.linger2() < 0 {
		t.env.stats.TCPAbortOnLinger.Add(1)
		t.answerReset(in) // Linux takes the segment for one that nobody has a connection for
		t.toClosed(now)
		return false
	}
	if t.newText(in) {
		t.abortOnData(now, in)
		return false
	}
	t.orphanFinWait2(now)
	return true
}

// orphanFinWait2 limits the stay in FIN-WAIT-2 of a connection without an application.
func (t *TCB) orphanFinWait2(now time.Duration) {
	d := t.linger2()
	if d < 0 {
		t.env.stats.TCPAbortOnLinger.Add(1)
		t.queueReset()
		t.toClosed(now)
		return
	}
	t.disarm(TimerKeepalive)
	t.arm(TimerClose, now+max(d, t.rto*7/2))
	t.events |= EvTimeWait
}

// linger2 returns how long an orphan stays in FIN-WAIT-2; negative: not at all (TCP_LINGER2).
func (t *TCB) linger2() time.Duration {
	if t.opt != nil && t.opt.linger2 != 0 {
		return t.opt.linger2
	}
	return t.env.cfg.FinTimeout
}

// enterTimeWait enters TIME-WAIT: "Start the time-wait timer, turn off the other timers."
func (t *TCB) enterTimeWait(now time.Duration) {
	t.setState(now, StateTimeWait)
	t.stopTimers()
	t.arm(TimerClose, now+t.env.cfg.TimeWaitLen)
	t.events |= EvTimeWait
	t.env.stats.TW.Add(1)
	t.flushSend()
	t.rec = nil
	t.dropAlg()
	t.force = 0
}

// closeExpired ends FIN-WAIT-2 of an orphan, or TIME-WAIT: "If the time-wait timeout expires on a connection,
// delete the TCB, enter the CLOSED state, and return" (RFC 9293 §3.10.8).
func (t *TCB) closeExpired(now time.Duration) {
	if t.state == StateFinWait2 || t.state == StateTimeWait {
		t.toClosed(now)
	}
}
