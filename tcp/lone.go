package tcp

// A text that SendLone has sent is mostly answered, with its ACK on the answer, before anything else happens to the connection.
// Until something does, the queues need not have it: what they would say of it follows from what the TCB knows anyway. That saves a
// round trip two cache lines at each end and the instructions that would fill them.

// loneKind says how what is outstanding is kept.
type loneKind uint8

const (
	loneNone  loneKind = iota // in the queues
	loneSmall                 // it is one text, from SND.UNA to SND.NXT and there to SND.END, sent at lastSend, since when nothing has arrived: transfer.small
	loneChunk                 // the same, but that the text is in the send queue
)

// queues returns t.x, which is not nil, for one who looks at what is to be sent or outstanding. All do but SendLone and TakeLone.
// It is small enough to be part of the caller.
func (t *TCB) queues() *transfer {
	t.unfold()
	return t.x
}

// unfold sees to it that what is outstanding is in the queues.
func (t *TCB) unfold() {
	if t.snd.lone != loneNone {
		t.unfoldLone()
	}
}

// unfoldLone is unfold where there is something to do. It must come before totals.segsIn counts one more, and before lastSend changes: text that leaves
// then was written before, and that calls for the queues.
//
//go:noinline
func (t *TCB) unfoldLone() {
	x, una, nxt := t.x, t.snd.una, t.snd.nxt
	if n := int(nxt.Sub(una)); t.snd.lone == loneSmall {
		*x.snd.chunks.first() = chunk{b: x.small[:n:n], start: una, lent: true}
	}
	x.snd.run = una
	*x.rtx.first() = txSeg{sent: t.lastSend, nth: t.total.segsIn, seq: una, end: nxt, marks: markPSH}
	t.snd.lone = loneNone
}
