package socket

import (
	"encoding/binary"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/tcp"
)

// A Write of much text, for which nobody but its reader need ever copy: while the writer waits, the packets refer to
// his buffer (see tcp.Lend). He has the baton of the queue, moves them all himself, and when they have arrived copies
// what was not acknowledged. If the reader waits at the other end they are copied straight into his buffer, as
// by a pipe. If he has what he waited for, and has only to go on, the next Write waits until he does: what it lends stays where it is,
// and the reader finds it there when he comes back. So two Writes and two Reads take one switch there and one back.

// muchRoom is how much room a waiting reader has for whom more is likely to come at once, in bytes. All that is then copied in one go, which is
// not interrupted by locks that wait until it has reached the cache.
const muchRoom = 2 * writePiece

// leastLoan is the least that is lent, in bytes: for less it is not worth the trouble. mostLoan is the most at a time, so that the reader has something to
// do on another processor while the writer moves the rest; where there is none it is mostLoanAlone.
const (
	leastLoan     = 16 << 10
	mostLoan      = 512 << 10
	mostLoanAlone = 1 << 20
)

// mayLend reports whether nothing about the socket is against lending what is written now; the TCB must be asked, too.
// The lock is held.
func (c *TCPConn) mayLend(now time.Duration) bool {
	s := c.s
	return s.parker == nil && s.clock == nil && !s.staged && c.pending == nil && !c.closed && !c.wshut && !c.detached && c.soErr == 0 &&
		now < c.writeDue() && !c.outside
}

// writeLent is tryWrite and deliverBurst of text for which there is no reason not to lend it. The caller has the baton,
// which is given back, and the lock, which he has again afterwards.
func (c *TCPConn) writeLent(now time.Duration, p []byte, more bool) {
	now = c.at(now)
	r := &c.s.receivers[c.node.queue]
	c.tcb.Lend(now, p, more, &r.spares)
	r.lender = c
	c.burst += int32(len(p))
	full, single, room := c.burst >= writeBurst, r.oneProcessor(), 0
	if c.wr.waiter == nil {
		c.wr.waiter = c.s.newWaiter(&c.mu)
	}
	w := c.wr.waiter
	var woken *waiter
	if c.tcb.LoneRun() {
		others := c.sendRun(now, r, p)
		if r.heldN+c.tcb.SendMSS() >= len(p) { // the last segment may be on the ring yet
			room = r.heldRoom
		}
		c.mu.Unlock()
		others.run()
		woken = c.s.run(r.queue, now, false)
	} else {
		woken = c.deliverHeld(now, true)
	}
	taken := false
	switch b := w.borrower; {
	case b != nil:
		w.borrower, full = nil, true
		taken = b.letRead(single)
	case more && room >= 2*len(p) && c.burst < longBurst:
		full = false // the rest has its place with the reader, too
	case full:
		c.s.yield(woken, single)
	}
	c.lock()
	if full {
		c.burst = 0
	}
	if !taken { // else nobody knows for how much he would have had room
		most := mostLoan
		if single {
			most = mostLoanAlone
		}
		c.tcb.LoanTaken(len(p), room, writePiece, most)
	}
}

// letRead lets the reader of b, who was woken, come for what b has borrowed, and makes b's own what he has left when he has had the
// chance. It reports whether that is nothing. The caller is the lender.
func (b *TCPConn) letRead(single bool) bool {
	b.s.yield(b.rd.waiter, single)
	b.lock()
	n := b.tcb.OwnBorrowed()
	b.mu.Unlock()
	return n == 0
}

// sendRun sends p, which is lent, where LoneRun says that it may leave. It is settle without the questions whose answers are
// known, and moves each packet, but the last if that is one segment, before it makes the next, which will lie where this one did. The lock is given up for
// that; what somebody else does with the connection meanwhile may leave the rest to settle.
func (c *TCPConn) sendRun(now time.Duration, r *receiver, p []byte) (w wakes) {
	s := c.s
	r.now, r.coarse = now, false
	for len(p) > 0 {
		n, pk, ok := c.sendOfRun(now, r, p)
		if !ok {
			break
		}
		if p = p[n:]; len(p) == 0 {
			if c.tcb.RunSent(now); pk == nil {
				break
			}
		}
		c.mu.Unlock()
		if pk != nil {
			r.handle(pk)
		} else {
			s.nic.Poll(r.queue, now, pollBatch, r.handle)
		}
		c.lock()
		if len(p) > 0 && !c.tcb.RunGoesOn(len(p)) {
			c.node.baton = true
			w = c.settle(now)
			c.node.baton = false
			return w
		}
	}
	if !c.armed() {
		c.rearm()
	}
	return wakes{}
}

// sendOfRun sends what comes next of p, a segment or several in one packet, and returns how many bytes that is; ok is false if the
// ring is full, and the rest has to wait for room. A packet that has several is returned, or has been taken apart.
func (c *TCPConn) sendOfRun(now time.Duration, r *receiver, p []byte) (n int, many *device.Packet, ok bool) {
	s, k := c.s, &c.node.key
	at := k.ipLen()
	pk := s.nic.NewPacket(r.queue, true)
	c.node.label(pk, tcp.CauseNewData, false)
	b := pk.SetHead(at + tcp.TSHeaderLen)
	n, segs := c.tcb.SendRun(now, (*[tcp.TSHeaderLen]byte)(b[at:]), r.roomToJoin(len(b)), &r.spares)
	pk.Frags[0].B = p[:n] // with the capacity for what follows, which tells later that it does
	pk.Flags |= device.FlagLent
	length := tcp.TSHeaderLen + n
	s.ipBehind(b, k, c.node.sum, protoTCP, c.tos, c.ipID, ipv4.FlagDF, length)
	c.ipID += uint16(segs)
	if s.verify {
		s.checksum(pk, c.node.sum, protoTCP, at, tcpCsumOffset)
	} else {
		binary.BigEndian.PutUint16(b[at+tcpCsumOffset:], pseudoSum(c.node.sum, protoTCP, length))
		offload(pk, at, tcpCsumOffset)
	}
	if segs > 1 {
		pk.Segs = uint8(segs)
		return n, r.transmitJoined(now, pk), true
	}
	if res := s.nic.Transmit(now, pk); res != device.TxOK && !c.refused(pk, res) {
		c.pending = pk
		return n, nil, false
	}
	return n, nil, true
}

// hold is receive of text that is lent, if somebody waits for it: it is copied straight to him, but counts as read only when
// more has come, see settleLoans. If he has no room for it, or no more, it is borrowed. If p stands for several segments and
// nobody waits for them all they come one by one. It gives up the lock if it returns true.
func (c *TCPConn) hold(r *receiver, p *device.Packet, seg *tcp.Segment) bool {
	into, n, segs := c.rd.into(), seg.Payload.N, max(int(p.Segs), 1)
	mine := (r.held == nil || r.held == c) && (r.borrower == nil || r.borrower == c) && !c.detached && c.ln == nil && r.lender != nil && c.rd.busy()
	switch {
	case mine && c.tcb.InputHeld(c.at(r.time()), seg, segs, len(into)):
		c.rd.fill(seg.Payload.Pieces[0].B, len(into) >= muchRoom || len(c.rd.late) > 0)
		if r.held == nil {
			r.held, r.heldRoom = c, len(into)
		}
		r.heldN += n
	case mine && c.tcb.InputBorrowed(c.at(r.time()), seg, segs):
		r.borrower = c
	case p.Segs > 1:
		if len(into) > 0 { // else he was only not back yet
			r.apart = apartFor
		}
		c.mu.Unlock()
		r.takeApart(p)
		return true
	default:
		return false
	}
	c.steady = false
	c.mu.Unlock()
	r.delivered.n += max(uint64(p.Segs), 1)
	r.s.nic.ReleaseHeld(r.queue, p)
	return true
}

// settleLoans is called after a poll: what was held is read, and what was lent and has arrived is given back, but not before
// its ACK had the chance to arrive, too.
func (r *receiver) settleLoans() {
	held := r.held != nil || r.borrower != nil
	if held {
		r.readHeld()
	}
	if nic := r.s.nic; r.lender != nil && !nic.Lent(r.queue) && !(held && nic.Busy(r.queue)) {
		r.lender.endLoan()
		r.lender = nil
	}
}

// readHeld lets the reader of what was held or borrowed go on. If it was borrowed, and there is still somebody who waits, the lender
// is told who has borrowed from him.
func (r *receiver) readHeld() {
	c, n, borrowed := r.held, r.heldN, r.borrower != nil
	if c == nil {
		c = r.borrower
	}
	r.held, r.heldN, r.borrower = nil, 0, nil
	c.lock()
	now := c.at(r.now)
	if n > 0 {
		c.rd.fillUp()
		c.tcb.HeldRead(now, n)
	}
	if borrowed {
		c.tcb.AckBorrowed()
	}
	c.node.baton = int(c.node.queue) == r.queue
	var w wakes
	if c.node.baton && c.pending == nil && c.tcb.LoneAck() { // as mostly: settle would do the same
		c.sendAck(now)
	} else {
		w = c.settle(now)
	}
	c.node.baton = false
	if reader := c.rd.waiters(); reader != nil {
		r.woken = reader
		if reader.rest.parked || reader.waiting > 1 { // else he need only be told
			w.rd = reader
		}
		if borrowed {
			r.lender.wr.borrower = c
		}
	} else if borrowed {
		c.tcb.OwnBorrowed()
	}
	c.mu.Unlock()
	w.run()
}

// endLoan is called when no packet refers to what c has lent any more, still with the baton.
func (c *TCPConn) endLoan() {
	c.lock()
	c.tcb.EndLoan()
	c.mu.Unlock()
}
