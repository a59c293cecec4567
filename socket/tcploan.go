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
// by a pipe.

// leastLoan is the least that is lent, in bytes: for less it is not worth the trouble. mostLoan is the most at a time: more, from
// which two processors still gained, would not stay in the cache of one.
const (
	leastLoan = 16 << 10
	mostLoan  = 512 << 10
)

// mayLend reports whether nothing about the socket is against lending what is written now; the TCB must be asked, too.
// The lock is held.
func (c *TCPConn) mayLend(now time.Duration) bool {
	s := c.s
	return s.parker == nil && s.clock == nil && !s.cfg.Staged && c.pending == nil && !c.closed && !c.wshut && !c.detached && c.soErr == 0 &&
		now < c.writeDue() && !c.outside
}

// writeLent is tryWrite and deliverBurst of text for which there is no reason not to lend it. The caller has the baton,
// which is given back, and the lock, which he has again afterwards. A reader who was woken by it goes on first:
// when he is back, the next loan is for him.
func (c *TCPConn) writeLent(now time.Duration, p []byte, more bool) {
	now = c.at(now)
	r := &c.s.receivers[c.node.queue]
	c.tcb.Lend(now, p, more, &r.spares)
	r.lender = c
	c.burst += int32(len(p))
	full, single, room := c.burst >= writeBurst, r.oneProcessor(), 0
	var woken *waiter
	if c.tcb.LoneRun() {
		w := c.sendRun(now, r, p)
		if r.heldN+c.tcb.SendMSS() >= len(p) { // the last segment may be on the ring yet
			room = r.heldRoom
		}
		c.mu.Unlock()
		w.run()
		woken = c.s.run(r.queue, now, false)
	} else {
		woken = c.deliverHeld(now, true)
	}
	yield := full || woken != nil
	if yield {
		c.s.yield(woken, single)
	}
	c.lock()
	if yield {
		c.burst = 0
	}
	c.tcb.LoanTaken(len(p), room, writePiece, mostLoan)
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
	pk.Frags[0].B = p[:n:n]
	pk.Flags |= device.FlagLent
	length := tcp.TSHeaderLen + n
	s.ipBehind(b, k, c.node.sum, protoTCP, c.tos, c.ipID, ipv4.FlagDF, length)
	c.ipID += uint16(segs)
	if s.cfg.VerifyChecksums {
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
// more has come, see settleLoans. If p stands for several segments and nobody waits for them all they come one by one. It gives up
// the lock if it returns true.
func (c *TCPConn) hold(r *receiver, p *device.Packet, seg *tcp.Segment) bool {
	into := c.rd.into()
	taken := (r.held == nil || r.held == c) && !c.detached && c.ln == nil && c.tcb.InputHeld(c.at(r.time()), seg, max(int(p.Segs), 1), into)
	switch {
	case taken:
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
	n := seg.Payload.N
	c.rd.filled(n)
	c.steady = false
	if r.held == nil {
		r.held, r.heldRoom = c, len(into)
	}
	r.heldN += n
	c.mu.Unlock()
	r.delivered.n += max(uint64(p.Segs), 1)
	r.s.nic.ReleaseHeld(r.queue, p)
	return true
}

// settleLoans is called after a poll: what was held is read, and what was lent and has arrived is given back, but not before
// its ACK had the chance to arrive, too.
func (r *receiver) settleLoans() {
	held := r.held != nil
	if held {
		r.readHeld()
	}
	if nic := r.s.nic; r.lender != nil && !nic.Lent(r.queue) && !(held && nic.Busy(r.queue)) {
		r.lender.endLoan()
		r.lender = nil
	}
}

// readHeld lets the reader of what was held go on.
func (r *receiver) readHeld() {
	c, n := r.held, r.heldN
	r.held, r.heldN = nil, 0
	c.lock()
	now := c.at(r.now)
	c.tcb.HeldRead(now, n)
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
		if reader.rest.parked { // else he need only be told
			w.rd = reader
		}
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
