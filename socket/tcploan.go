package socket

import (
	"time"
)

// A Write of much text, for which nobody but its reader need ever copy: while the writer waits, the packets refer to
// his buffer (see tcp.Lend). He has the baton of the queue, moves them all himself, and when they have arrived copies
// what was not acknowledged. If the reader waits at the other end they are copied straight into his buffer, as
// by a pipe.

// leastLoan is the least that is lent, in bytes: for less it is not worth the trouble.
const leastLoan = 16 << 10

// mayLend reports whether nothing about the socket is against lending what is written now; the TCB must be asked, too.
// The lock is held.
func (c *TCPConn) mayLend(now time.Duration) bool {
	s := c.s
	return s.parker == nil && s.clock == nil && c.pending == nil && !c.closed && !c.wshut && !c.detached && c.soErr == 0 &&
		now < c.writeDue() && !c.outside
}

// writeLent is tryWrite and deliverBurst of text for which there is no reason not to lend it. The caller has the baton,
// which is given back, and the lock, which he has again afterwards. A reader who was woken by it goes on first:
// when he is back, the next loan is for him.
func (c *TCPConn) writeLent(now time.Duration, p []byte, more bool) int {
	now = c.at(now)
	n := c.tcb.Lend(now, p, more)
	c.s.receivers[c.node.queue].lender = c
	c.burst += int32(n)
	full := c.burst >= writeBurst
	woken := c.deliverHeld(now, true)
	yield := full || woken != nil
	if yield {
		c.s.yield(woken)
	}
	c.lock()
	if yield {
		c.burst = 0
	}
	return n
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
	w := c.settle(now)
	c.node.baton = false
	c.mu.Unlock()
	if w.rd != nil {
		r.woken = w.rd
	}
	w.run()
}

// endLoan is called when no packet refers to what c has lent any more, still with the baton.
func (c *TCPConn) endLoan() {
	c.lock()
	c.tcb.EndLoan()
	c.mu.Unlock()
}
