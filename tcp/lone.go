package tcp

import "time"

// A text that SendLone has sent is mostly answered, with its ACK on the answer, before anything else happens to the connection.
// In the same way a text that TakeLone took for a user who does not wait is mostly read before that. Until something else does
// happen the queues need not have them, and most figures of the TCB need not be what they say: it follows from what the
// two do write down, on two cache lines. The others, and those of the queues, stay where they are, which matters most when a connection's
// ends are at work on different processors.

// loneKind says what of the queues is not in them. It is never both what is outstanding and what was not read. As long as it is
// not loneNone nothing but lone texts has arrived or left, and tally knows what became of the figures.
type loneKind uint8

const (
	loneNone loneKind = iota // nothing
	// One text is outstanding, from SND.UNA to SND.NXT, which is SND.END. It was sent at lastSend, since when nothing has
	// arrived, and lies in transfer.small.
	loneSmall
	loneChunk // the same, but that the text is in the send queue
	// One text was not read, from rcv.read to RCV.NXT, since which nothing has arrived. It lies in transfer.small.
	loneKept
	loneRead // nothing: the text that was received last, at lastRecv, is with the user or in the receive queue
)

// mostLone is how many lone texts are received before they are counted: fewer than lonesIn can tell, and fewer bytes than a Seq.
const mostLone = 1<<16 - 2

// out reports whether a text is outstanding.
func (k loneKind) out() bool { return k-loneSmall <= loneChunk-loneSmall }

// queues returns t.x, which is not nil, for one who looks at what the queues say: all but SendLone and TakeLone, and those who
// ask for what was received. It is small enough to be part of the caller.
func (t *TCB) queues() *transfer {
	t.unfold()
	return t.x
}

// received returns the receive queue of t.x, which is not nil. It is small enough to be part of the caller.
func (t *TCB) received() *recvBuf {
	if t.snd.lone == loneKept {
		t.unfoldLone()
	}
	return &t.x.rcv
}

// unfold sees to it that all is in the queues, and the figures are what they say. It must come before anything but lone texts is
// done with the connection.
func (t *TCB) unfold() {
	if t.snd.lone != loneNone {
		t.unfoldLone()
	}
}

// unfoldLone is unfold where there is something to do.
//
//go:noinline
func (t *TCB) unfoldLone() {
	t.tally()
	x, una, nxt := t.x, t.snd.una, t.snd.nxt
	lone := t.snd.lone
	t.snd.lone = loneNone
	switch lone {
	case loneRead:
		return
	case loneKept:
		n := t.keptLen()
		x.rcv.append(t.env.alloc, &Payload{Pieces: [2]Piece{{B: x.small[:n]}}, N: n, Lent: true})
		return
	case loneSmall:
		n := int(nxt.Sub(una))
		*x.snd.chunks.first() = chunk{b: x.small[:n:n], start: una, lent: true}
	}
	x.snd.run = una
	*x.rtx.first() = txSeg{sent: t.lastSend, nth: t.total.segsIn, seq: una, end: nxt, marks: markPSH}
}

// tally writes down what SendLone and TakeLone have left out since it was called last. It changes nothing that they ask for, so that a
// dialogue goes on behind it.
func (t *TCB) tally() {
	if t.lonesIn|t.lonesOut != 0 {
		t.tallyLone()
	}
}

// tallyLone is tally where there is something to do.
//
//go:noinline
func (t *TCB) tallyLone() {
	in, out := uint32(t.lonesIn), uint32(t.lonesOut)
	t.lonesIn, t.lonesOut = 0, 0
	n := &t.total
	n.segsIn += in
	n.dataIn += in
	n.delivered += in
	n.segsOut += out
	n.dataOut += out
	n.bytesAcked += uint64(uint32(t.snd.una - n.una))
	n.bytesReceived += uint64(uint32(t.rcv.nxt - t.edge.got))
	n.una, t.edge.got = t.snd.una, t.rcv.nxt
	if out > 0 {
		t.edge.psh, t.edge.shov, t.edge.sml = t.snd.end, t.snd.end, t.snd.end
		t.cong.loneOut(t.snd.nxt)
	}
	a := &t.ack
	if in > 0 {
		t.recentAt, t.lastData, t.lastSeg = t.lastRecv, t.lastRecv, 0
		t.rack = rackState{rtt: t.lastRecv - t.rackSent, nth: n.segsIn - 1, end: t.snd.una}
		t.rto = t.rtt.rto(t.env.rtoMax)
		t.cong.Touch(t.lastRecv)
	}
	if t.snd.lone.out() {
		a.pending, t.timers.left[slotAck] = 0, 0
		kind, wait := t.xmitWait(1, t.rto)
		t.armXmit(kind, t.lastSend+wait)
	} else {
		a.pending, t.timers.left[slotXmit] = ackSched|ackPushed, 0
		t.timers.left[slotAck], t.timers.kind[slotAck] = Never-t.lastRecv-t.delay(), TimerDelayedAck
	}
}

// delay is how long the ACK of a lone text waits for an answer.
func (t *TCB) delay() time.Duration { return max(min(t.ack.ato, t.env.delackMax), tick) }

// beginLone sees to it that SendLone may leave out what it does, and does what it seldom does. It returns RTO, and whether oddLone
// has to follow.
//
//go:noinline
func (t *TCB) beginLone(now time.Duration) (rto time.Duration, odd bool) {
	if t.snd.lone == loneKept {
		t.unfoldLone()
	}
	t.tally()
	t.total.una, t.edge.got = t.snd.una, t.rcv.nxt
	if now-t.lastSend > t.rto {
		t.restartAfterIdle(now)
	}
	t.ackSent()
	if t.extra != nil {
		t.mayRestart(now)
	}
	t.answers(now)
	return t.rto, t.cong.isOdd(now, t.rto)
}

// oddLone is for a congestion window that is full with one text, which TakeLone is not for, or goes unused.
//
//go:noinline
func (t *TCB) oddLone(now time.Duration) {
	t.unfold()
	t.cong.loneOdd(now, t.env.cfg.SlowStartAfterIdle == On && !t.has(fNoSpace))
}

// keptLen is how long what is loneKept is.
func (t *TCB) keptLen() int { return int(t.rcv.nxt - t.rcv.read) }

// takeKept copies to p what is loneKept, if it fits and that is what there is to read, and returns how many bytes.
func (t *TCB) takeKept(p []byte) int {
	if t.snd.lone != loneKept || len(p) < t.keptLen() {
		return 0
	}
	t.snd.lone = loneRead
	return copy(p, t.x.small[:t.keptLen()])
}

// Kept reports whether TakeLone has kept a text for ReadKept.
func (t *TCB) Kept() bool { return t.snd.lone == loneKept }

// ReadKept is Read, and Output need not be called, if Kept says so and nothing was called since TakeLone. It returns 0, and has
// done nothing, when p has not room for it all.
func (t *TCB) ReadKept(now time.Duration, p []byte) int {
	n := t.takeKept(p)
	if n > 0 {
		if t.rcv.read = t.rcv.nxt; t.rcvRTT != 0 {
			t.adjustRcvSpace(now)
		}
	}
	return n
}
