package tcp

import "time"

// Write is the SEND call (RFC 9293 §3.10.2): it copies bytes of p into the send queue and returns how many
// were accepted; less than len(p) when the queue is full, 0 when the connection cannot send. Data written
// before the connection is established is queued. Every call ends with an implied PUSH (RFC 9293 §3.9.1.2,
// MUST-61). Call Output afterwards.
func (t *TCB) Write(now time.Duration, p []byte) int { return t.write(now, p, false) }

// WriteMore is Write for a caller that will write more at once (MSG_MORE): a segment that is not full
// waits for it.
func (t *TCB) WriteMore(now time.Duration, p []byte) int { return t.write(now, p, true) }

// Flush ends what WriteMore began: what it held back is sent as if the last write had been Write.
func (t *TCB) Flush() {
	if t.nonagle&nagleMore != 0 {
		t.nonagle &^= nagleMore
		t.edge.psh, t.edge.shov = t.snd.end, t.snd.end
	}
}

func (t *TCB) write(now time.Duration, p []byte, more bool) int {
	if !t.state.in(canSend|1<<StateSynSent|1<<StateSynReceived) || t.has(fFinQueued) || len(p) == 0 {
		return 0
	}
	goal, mss := t.sizeGoal(), max(int(t.mss), 1)
	x := t.needX(nil)
	n := 0
	for n < len(p) {
		queued := int(t.snd.end.Sub(t.snd.una))
		if queued >= int(t.sndLimit) {
			break
		}
		if t.notsentFull(false) && x.snd.fresh(t.snd.nxt, t.snd.end, goal) {
			break
		}
		if t.packetsOut() == 0 && (n == 0 || !t.headFits()) && x.snd.fresh(t.snd.nxt, t.snd.end, goal) { // once for what will leave
			t.restartAfterIdle(now)
		}
		room := (int(t.sndLimit) - queued + mss - 1) / mss * mss // the last segment may be full
		left := x.snd.left(t.snd.nxt, t.snd.end, goal)
		k := x.snd.write(t.env.alloc, t.snd.end, p[n:min(len(p), n+room, n+left)], goal, int(t.snd.end.Sub(t.snd.nxt)))
		n += k
		t.snd.end = t.snd.end.Add(uint32(k))
		if k == left {
			t.pushRun(n == len(p) && !more)
		}
	}
	if n < len(p) {
		t.flags |= fNoSpace
		t.force |= forceNagle // a writer that waits for room must not wait for Nagle
		more = false
	}
	if n > 0 {
		t.written(more)
	}
	return n
}

// pushRun is called when what was written has filled a run of the send queue; last says that there is no more.
func (t *TCB) pushRun(last bool) {
	if uint32(t.snd.end.Sub(t.edge.shov)) > t.maxWnd/2 {
		// "forced push": the receiver should not wait for the end of a large write.
		t.queues().snd.pushLast()
		t.edge.shov = t.snd.end
	} else if last {
		t.queues().snd.pushLast() // whatever is written next begins another run
	}
}

// written is called at the end of a write.
func (t *TCB) written(more bool) {
	t.nonagle &^= nagleMore
	if more {
		t.nonagle |= nagleMore
	} else {
		t.edge.psh, t.edge.shov = t.snd.end, t.snd.end
	}
}

// EndRecord keeps what is written later out of the segments of what was written so far (MSG_EOR).
func (t *TCB) EndRecord() {
	o := t.needOpt()
	for len(o.eors) > 0 && o.eors[0].AtOrBefore(t.snd.una) {
		o.eors = o.eors[1:]
	}
	o.eors = append(o.eors, t.dataEnd())
	t.flags |= fEOR
}

// nextEOR returns the first end of a record behind seq; ok is false when there is none.
func (t *TCB) nextEOR(seq Seq) (at Seq, ok bool) {
	for _, e := range t.opt.eors {
		if e.After(seq) {
			return e, true
		}
	}
	return 0, false
}

// WriteSpace returns how many bytes Write would take, when it is worth waking a writer: a third of the
// send buffer must be free. Otherwise, and when the connection cannot send, it returns 0.
func (t *TCB) WriteSpace() int {
	if !t.CanSend() || t.has(fFinQueued) {
		return 0
	}
	used := int(t.snd.end.Sub(t.snd.una))
	free := int(t.sndLimit) - used
	if free <= 0 || free < used/2 || t.notsentFull(true) {
		return 0
	}
	return free
}

// CanSend reports whether the user may send: in ESTABLISHED, CLOSE-WAIT, and with Fast Open before.
func (t *TCB) CanSend() bool {
	return t.state.in(canSend) || t.has(fFastOpen) && t.state == StateSynReceived
}

// IsPassive reports whether the connection came from a listener.
func (t *TCB) IsPassive() bool { return t.has(fPassive) }

// Unsent returns how many bytes were written and not sent yet (SIOCOUTQNSD); a FIN counts as one, as on Linux.
func (t *TCB) Unsent() int {
	if !t.state.in(synchronized) {
		return 0
	}
	return int(t.snd.end.Sub(t.snd.nxt))
}

// Unacked returns how many bytes were written and not acknowledged yet (SIOCOUTQ); a FIN counts as one.
func (t *TCB) Unacked() int {
	if !t.state.in(synchronized) {
		return 0
	}
	return int(t.snd.end.Sub(t.snd.una))
}

// Read is the RECEIVE call (RFC 9293 §3.10.3): it copies up to len(p) bytes out of the receive queue. It
// returns 0 when there are none; ReadEOF, Err tell why. Call Output afterwards: there may be a window
// update to send.
func (t *TCB) Read(now time.Duration, p []byte) int {
	if t.x == nil {
		return 0
	}
	if t.has(fUrgentIn) {
		p = p[:t.beforeUrgent(len(p))]
		if t.x == nil {
			return 0
		}
	}
	n := t.takeKept(p)
	if n == 0 {
		n = t.received().read(p)
	}
	t.consumed(now, n)
	return n
}

// Peek copies up to len(p) bytes from offset off of the receive queue on without taking them.
func (t *TCB) Peek(p []byte, off int) int {
	if t.x == nil {
		return 0
	}
	if u := t.urgentIn(); u != nil {
		switch d := int(u.rcv.Sub(t.rcv.read)) - 1 - off; {
		case d > 0:
			p = p[:min(len(p), d)]
		case d == 0 && !u.inline:
			off++
		}
	}
	return t.received().peek(p, off)
}

// ReadPiece returns the first contiguous bytes of the receive queue, nil when there are none. They stay
// valid until Discard or Read takes them, or OwnBorrowed is called: a copy less for WriteTo.
func (t *TCB) ReadPiece() []byte {
	n := t.Readable()
	if t.has(fUrgentIn) {
		n = min(n, t.beforeUrgent(n))
	}
	if n == 0 || t.Readable() == 0 {
		return nil
	}
	b := t.received().pieces.all()[0].B
	return b[:min(len(b), n)]
}

// TakePiece removes the first contiguous bytes from the receive queue, at most limit, and returns them with
// a reference to their memory for the caller to release. ok is false when there are none.
func (t *TCB) TakePiece(now time.Duration, limit int) (q Piece, ok bool) {
	if t.has(fUrgentIn) {
		limit = t.beforeUrgent(limit)
	}
	if t.Readable() == 0 || limit <= 0 {
		return Piece{}, false
	}
	q = t.received().pieces.all()[0]
	q.B = q.B[:min(len(q.B), limit)]
	if q.Owner == (borrowed{}) {
		q = q.owned(t.env.alloc)
	} else if q.Owner != nil {
		q.Owner.Retain()
	}
	t.received().skip(len(q.B))
	t.consumed(now, len(q.B))
	return q, true
}

// Discard takes n bytes from the receive queue without copying them, and returns how many there were.
func (t *TCB) Discard(now time.Duration, n int) int {
	if t.has(fUrgentIn) {
		n = t.beforeUrgent(n)
	}
	done := 0
	for done < n && t.Readable() > 0 {
		k := min(n-done, len(t.received().pieces.all()[0].B))
		t.received().skip(k)
		done += k
	}
	t.consumed(now, done)
	return done
}

// consumed notes that the user has taken n bytes.
func (t *TCB) consumed(now time.Duration, n int) {
	if n == 0 {
		return
	}
	t.unfold()
	t.rcv.read = t.rcv.read.Add(uint32(n))
	if t.wire() != nil {
		t.wire().consume(n)
	}
	t.idleX(nil)
	if !t.state.in(synchronized) || t.state == StateTimeWait {
		return
	}
	t.adjustRcvSpace(now)
	t.afterRead(n)
}

// CanRead reports whether there is enough to read (SO_RCVLOWAT). The urgent byte, which is read apart, does not count.
func (t *TCB) CanRead() bool {
	n := t.Readable()
	if t.opt == nil {
		return n > 0
	}
	least := t.RcvLowat()
	if t.AtMark() && !t.opt.urgent.inline {
		least++
	}
	return n >= least
}

// Pending returns how many bytes a Read would give at once (SIOCINQ): those before the urgent byte, if there is one.
func (t *TCB) Pending() int { return t.untilUrgent(t.Readable()) }

// Readable returns how many bytes Read can take now.
func (t *TCB) Readable() int {
	if t.x == nil {
		return 0
	}
	if t.snd.lone == loneKept {
		return t.keptLen()
	}
	return t.x.rcv.bytes
}

// MayReceive reports whether the connection is established and both sides may send.
func (t *TCB) MayReceive() bool { return t.state == StateEstablished && t.flags&fRcvShut == 0 }

// ReadEOF reports whether Read will never give anything more as things stand: the peer's FIN was reached,
// or the receiving side was closed, and the queue is empty.
func (t *TCB) ReadEOF() bool { return t.has(fRcvShut) && t.Readable() == 0 }

// ReadShut reports whether nothing more will be queued for Read: the peer's FIN came, or CloseRead was called.
func (t *TCB) ReadShut() bool { return t.has(fRcvShut) }
