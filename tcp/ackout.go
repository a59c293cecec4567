package tcp

import (
	"encoding/binary"
	"time"
)

// A pure ACK is what Output gives most often but for text. As SendLone does for that, SendAck does in one piece what output.go does for
// an ACK of a connection that has nothing else to say; TestFastPath and FuzzTCB compare the two.

// LoneAck reports whether Output would give one segment, a pure ACK without options but timestamps: whether SendAck may be
// called.
func (t *TCB) LoneAck() bool {
	return t.ack.pending&ackNow != 0 && t.snd.nxt == t.snd.end && t.force&^forceAck == 0 &&
		t.flags&(fTS|unquiet|fDSACK|fUrgent|fFastOpen) == fTS && t.state.in(synchronized) &&
		t.rec == nil && t.ooo == nil && t.opt == nil && t.ecn == 0 && !t.env.full
}

// SendAck is the calls of Output where LoneAck says that they give such a segment. It writes the header to b, with sum for a
// checksum, and returns why the ACK is sent. spares is the caller's, nil if he has none.
func (t *TCB) SendAck(now time.Duration, b *[TSHeaderLen]byte, sum uint16, spares *Spares) (why Cause) {
	if why = t.ack.cause; why == CauseNone {
		why = CauseAck
	}
	t.ack.cause = CauseNone
	t.force = 0
	seq, wnd := t.acceptableSeq(), t.selectWindow()
	binary.BigEndian.PutUint64(b[offSrcPort:], uint64(t.localPort)<<48|uint64(t.remotePort)<<32|uint64(seq))
	binary.BigEndian.PutUint64(b[offAck:], uint64(t.rcv.nxt)<<32|tsHeaderLen<<26|uint64(ACK)<<16|uint64(wnd))
	binary.BigEndian.PutUint64(b[ChecksumOffset:], uint64(sum)<<48|wordNopNopTS) // and no urgent pointer
	binary.BigEndian.PutUint32(b[MinHeaderLen+4:], t.tsNow(now))
	binary.BigEndian.PutUint32(b[MinHeaderLen+8:], t.ts.recent)
	t.ackSent()
	t.countOut(spares)
	return why
}
