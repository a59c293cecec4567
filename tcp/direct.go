package tcp

import "time"

// A short cut for text that need not rest anywhere, because the user is waiting for it with a buffer at hand
// (Segment.Into). It saves the receive queue, and can hardly be seen from outside: it is as if the user had
// read as soon as the text was there, before it could count against the receive buffer.

// mostInto is the most text that goes straight to the user and counts as read at once. Of large transfers it would make
// every second segment be acknowledged, because all before it has been read; as it is, they wait for the user, and one ACK
// does for many. More than that goes to the user if it must be copied anyway, because it is lent; see InputHeld.
const mostInto = 4 << 10

// takesInto reports whether the user's buffer takes all text of in, which is the next in order: nothing waits before it,
// and nobody asked to be told of less or other than all text there is.
func (t *TCB) takesInto(in *Segment) bool {
	return in.Payload.N <= min(len(in.Into), mostInto) && t.Readable() == 0 && t.ooo == nil && t.opt == nil && t.wire() == nil &&
		t.flags&(fUrgentIn|fRcvShut) == 0
}

// takeInto copies the text of in to the waiting user. That he has read it is noted when the segment is done with, in
// readInto.
func (t *TCB) takeInto(in *Segment) {
	if b := in.Payload.Pieces[0].B; len(b) == in.Payload.N {
		in.Taken = copy(in.Into, b)
	} else {
		in.Taken = in.Payload.CopyTo(in.Into, 0)
	}
	t.rcv.nxt = t.rcv.nxt.Add(uint32(in.Taken))
	t.total.bytesReceived += uint64(in.Taken)
	t.events |= EvReadable
}

// readInto is what follows from the user having read the text of in.
func (t *TCB) readInto(now time.Duration, in *Segment) {
	t.rcv.read = t.rcv.read.Add(uint32(in.Taken))
	if t.state.in(synchronized) && t.state != StateTimeWait {
		t.adjustRcvSpace(now)
		t.afterRead(in.Taken)
	}
}
