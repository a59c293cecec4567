package tcp

import "time"

// A text that SendLone has sent is mostly answered, with its ACK on the answer, before anything else happens to the connection.
// In the same way a text that TakeLone took for a user who does not wait is mostly read before that. Until something else does
// happen the queues need not have them: what they would say follows from what the TCB knows anyway. That saves a round trip two
// cache lines at each end and the instructions that would fill them.

// loneKind says what of the queues is not in them. It is never both what is outstanding and what was not read.
type loneKind uint8

const (
	loneNone loneKind = iota // nothing
	// One text is outstanding, from SND.UNA to SND.NXT, which is SND.END. It was sent at lastSend, since when nothing has
	// arrived, and lies in transfer.small.
	loneSmall
	loneChunk // the same, but that the text is in the send queue
	// One text was not read, from rcv.read to RCV.NXT, since which nothing has arrived. It lies in transfer.small.
	loneKept
)

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

// unfold sees to it that all is in the queues.
func (t *TCB) unfold() {
	if t.snd.lone != loneNone {
		t.unfoldLone()
	}
}

// unfoldLone is unfold where there is something to do. It must come before totals.segsIn counts one more or RCV.NXT moves, and
// before lastSend changes: text that leaves then was written before, and that calls for the queues.
//
//go:noinline
func (t *TCB) unfoldLone() {
	x, una, nxt := t.x, t.snd.una, t.snd.nxt
	lone := t.snd.lone
	t.snd.lone = loneNone
	switch lone {
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

// keptLen is how long what is loneKept is.
func (t *TCB) keptLen() int { return int(t.rcv.nxt - t.rcv.read) }

// takeKept copies to p what is loneKept, if it fits and that is what there is to read, and returns how many bytes.
func (t *TCB) takeKept(p []byte) int {
	if t.snd.lone != loneKept || len(p) < t.keptLen() {
		return 0
	}
	t.snd.lone = loneNone
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
