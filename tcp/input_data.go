package tcp

import "time"

// inputText is the seventh and eighth check of RFC 9293 §3.10.7.4: text and FIN.
func (t *TCB) inputText(now time.Duration, in *Segment) {
	if in.SeqLen() == 0 {
		return
	}
	switch t.state {
	case StateCloseWait, StateClosing, StateLastAck:
		// "This should not occur since a FIN has been received from the remote side. Ignore the segment text."
		// What repeats old text is acknowledged below.
		if !in.Seq.Before(t.rcv.nxt) {
			t.dropped(now, in, DropAfterFIN)
			return
		}
		fallthrough
	case StateFinWait1, StateFinWait2:
		// RFC 1122 §4.2.2.13, RFC 9293 §3.6.1: "If such a host issues a CLOSE call while received data is still
		// pending in the TCP connection, or if new data is received after CLOSE is called, its TCP
		// implementation SHOULD send a RST to show that data was lost" (SHLD-3).
		if t.has(fRcvShut) && t.newText(in) {
			t.abortOnData(now, in)
			return
		}
	case StateSynReceived:
		return
	}
	t.queueText(now, in)
}

// newText reports whether in has text, not only a FIN, beyond RCV.NXT.
func (t *TCB) newText(in *Segment) bool {
	end := in.Seq.Add(uint32(in.Payload.N))
	return in.SeqLen() > 0 && end.After(t.rcv.nxt)
}

// abortOnData answers text that nobody will read with a reset.
func (t *TCB) abortOnData(now time.Duration, in *Segment) {
	t.env.stats.TCPAbortOnData.Add(1)
	t.answerReset(in)
	t.err = ErrReset
	if t.state == StateCloseWait {
		t.err = ErrPipe
	}
	t.events |= EvError
	t.toClosed(now)
}

// queueText puts text in order into the receive queue, keeps text out of order, and reports duplicates.
func (t *TCB) queueText(now time.Duration, in *Segment) {
	t.ecnAcceptCWR(in)
	t.flags &^= fDSACK
	end := in.End()
	wnd := t.receiveWindow()
	switch {
	case in.Seq == t.rcv.nxt && in.Payload.N == 0 && in.Flags&FIN != 0:
		t.inputFIN(now)
	case in.Seq == t.rcv.nxt:
		if wnd == 0 {
			t.env.stats.TCPZeroWindowDrop.Add(1)
			t.outOfWindow(now, in, DropZeroWindow)
			return
		}
		t.inOrder(now, in, 0)
	case end.AtOrBefore(t.rcv.nxt):
		// "The ACK was lost": report the duplicate and acknowledge at once.
		t.env.stats.DelayedACKLost.Add(1)
		t.setDSACK(in.Seq, end)
		t.outOfWindow(now, in, DropDuplicate)
	case !in.Seq.Before(t.rcv.nxt.Add(wnd)):
		t.outOfWindow(now, in, DropZeroWindow) // a window probe
	case in.Seq.Before(t.rcv.nxt):
		// "If a segment's contents straddle the boundary between old and new, only the new parts are
		// processed."
		t.setDSACK(in.Seq, t.rcv.nxt)
		if wnd == 0 {
			t.env.stats.TCPZeroWindowDrop.Add(1)
			t.outOfWindow(now, in, DropZeroWindow)
			return
		}
		t.inOrder(now, in, int(t.rcv.nxt.Sub(in.Seq)))
	default:
		t.outOfOrder(now, in)
	}
}

// outOfWindow makes a segment that was not taken be acknowledged at once.
func (t *TCB) outOfWindow(now time.Duration, in *Segment, why DropReason) {
	t.enterQuickAck(maxQuickAcks)
	t.ack.now(CauseDupAck)
	t.dropped(now, in, why)
}

// inOrder takes the text of in from offset skip on: "Once the TCP endpoint takes responsibility for the data, it
// advances RCV.NXT over the data accepted, and adjusts RCV.WND as appropriate".
func (t *TCB) inOrder(now time.Duration, in *Segment, skip int) {
	if skip == 0 && len(in.Into) > 0 && in.Payload.N > 0 && t.takesInto(in) {
		t.takeInto(in)
		t.dataReceived(now, in)
		t.ecnCheckCE(in)
		if in.Flags&FIN != 0 {
			t.inputFIN(now)
		}
		return
	}
	if in.Payload.N > skip {
		if !t.roomFor() {
			// What the window let in does not fit, because of its overhead: drop, the peer will repeat it.
			t.env.stats.TCPRcvQDrop.Add(1)
			t.ack.now(CauseDupAck)
			t.dropped(now, in, DropMemory)
			return
		}
		t.takeRest(in, skip)
		t.dataReceived(now, in)
		t.ecnCheckCE(in)
	}
	if in.Flags&FIN != 0 {
		t.inputFIN(now)
	}
	if t.ooo != nil {
		t.drainOOO(now)
	}
}

// takeRest is takeText for the text of in from offset skip on.
func (t *TCB) takeRest(in *Segment, skip int) {
	if skip == 0 {
		t.takeText(&in.Payload, in.Spares)
		return
	}
	p := in.Payload.Slice(skip, in.Payload.N)
	t.takeText(&p, in.Spares)
}

// takeText appends p to the receive queue and moves RCV.NXT. spare may be nil.
func (t *TCB) takeText(p *Payload, spare *Spares) {
	t.rcv.nxt = t.rcv.nxt.Add(uint32(p.N))
	t.total.bytesReceived += uint64(p.N)
	if t.wire() != nil {
		size, room := t.wireSize(p.N)
		t.wire().add(p.N, size, room)
	}
	if n := t.needX(spare).rcv.append(t.env.alloc, p); n > 0 {
		t.env.stats.TCPRcvCollapsed.Add(uint64(n))
	}
	t.events |= EvReadable
}

// roomFor reports whether the receive buffer can take another segment in order; it gives up text out of order
// for them if it must. An empty queue takes one segment always, or the connection would be stuck.
func (t *TCB) roomFor() bool {
	if t.charge() <= int(t.rcvLimit) || t.Readable() == 0 || t.growBuffer() {
		return true
	}
	if t.wire() != nil {
		t.wire().collapse()
	}
	if t.ooo != nil {
		t.pruneOOO(int(t.rcvLimit))
	}
	// What was offered as window is taken, if the overhead of its pieces does not exceed all measure.
	return t.charge() <= int(t.rcvLimit)*5/4
}

// growBuffer enlarges a receive buffer that overflows because of overhead, within tcp_rmem, if the user has
// not set its size. It stops the window from growing further.
func (t *TCB) growBuffer() bool {
	most := t.env.cfg.Rmem[2]
	if t.has(fRcvLocked) || int(t.rcvLimit) >= most {
		return false
	}
	t.rcvLimit = int32(min(t.charge(), most))
	t.rwin.ssthresh = min(t.rwin.ssthresh, max(t.rcv.wnd, 2*uint32(t.rwin.adv)))
	return t.charge() <= int(t.rcvLimit)
}

// inputFIN is the eighth check: "If the FIN bit is set, signal the user 'connection closing' ..., advance RCV.NXT
// over the FIN, and send an acknowledgment for the FIN."
func (t *TCB) inputFIN(now time.Duration) {
	t.rcv.nxt++
	t.flags |= fRcvShut | fFinRcvd
	t.ack.schedule()
	t.events |= EvPeerClosed | EvReadable
	if t.ooo != nil {
		t.ooo.release() // what comes behind a FIN cannot be
		t.ooo = nil
	}
	switch t.state {
	case StateSynReceived, StateEstablished:
		// "Enter the CLOSE-WAIT state."
		t.setState(now, StateCloseWait)
		t.flags &^= fDSACK
		t.enterPingpong() // most answer with a FIN of their own soon
	case StateFinWait1:
		// "If our FIN has been ACKed (perhaps in this segment), then enter TIME-WAIT, start the time-wait timer,
		// turn off the other timers; otherwise, enter the CLOSING state."
		t.ack.now(CauseAck)
		t.force |= forceAck // Linux acknowledges at once, and sends what may be waiting, and our FIN, after that
		t.setState(now, StateClosing)
	case StateFinWait2:
		// "Enter the TIME-WAIT state. Start the time-wait timer, turn off the other timers."
		t.ack.now(CauseAck)
		t.enterTimeWait(now)
	}
}
