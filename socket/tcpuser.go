package socket

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"example.com/loopback/tcp"
)

// awaitTurn lets a connection have one Read in an instant (Config.Staged): what
// the reader has set going with what it read before comes to rest first.
func (c *TCPConn) awaitTurn() {
	d := c.needDue()
	for now := c.s.now(); !c.closed && !c.rpast && d.turn > now && d.read > now; now = c.s.now() {
		c.s.arm(&c.timer, d.turn)
		c.rd.waitOrUnlock(c.s, &c.mu)
	}
}

// mustWait reports whether tryRead would find nothing, nor anything else to return for, where that is easily seen.
func (c *TCPConn) mustWait(p []byte) bool {
	return len(p) > 0 && !c.closed && !c.rpast && !c.detached && c.soErr == 0 && c.tcb.MayReceive() && c.tcb.Readable() == 0
}

// tryRead is recv without waiting; done is false where a blocking socket
// waits. The order of the checks is Linux's: data first, then the end, then
// the error.
func (c *TCPConn) tryRead(p []byte) (n int, done bool, err error) {
	switch {
	case c.closed:
		return 0, true, net.ErrClosed
	case len(p) == 0:
		return 0, true, nil
	case c.rpast:
		return 0, true, errDeadline
	}
	if n = c.tcb.Read(c.recent(), p); n > 0 {
		return n, true, nil
	}
	done, err = c.atEnd()
	return 0, done, err
}

// atEnd reports whether there is nothing to wait for when there is nothing to
// read, and why.
func (c *TCPConn) atEnd() (bool, error) {
	if c.tcb.PeerClosed() {
		return true, io.EOF
	}
	if err := c.takeError(); err != nil {
		return true, os.NewSyscallError("read", err)
	}
	if c.tcb.ReadEOF() || c.detached || c.tcb.State() == tcp.StateClosed {
		return true, io.EOF
	}
	return false, nil
}

// afterRead gives up the lock, having sent the window update that reading may
// have made due.
func (c *TCPConn) afterRead(n int) int {
	if n == 0 || !c.tcb.NeedsOutput() {
		c.mu.Unlock()
		return n
	}
	c.deliver(c.s.now())
	return n
}

// deliver sends what a call of the user has made due and gives up the lock. If nobody
// has the baton of the connection's queue it is taken before, since who has it sends
// more cheaply. It returns a reader whom that woke.
func (c *TCPConn) deliver(now time.Duration) *waiter {
	return c.deliverHeld(now, c.s.nic.Ring(int(c.node.queue)))
}

// deliverHeld is deliver for one who has tried to take the baton; held says whether he has it.
func (c *TCPConn) deliverHeld(now time.Duration, held bool) *waiter {
	q := int(c.node.queue)
	c.node.baton = held
	w := c.settleUser(now)
	if w.wr == nil && !c.writing {
		w.wr = c.wr.waiters() // other writers
	}
	c.node.baton = false
	c.mu.Unlock()
	w.run()
	if held || c.s.nic.Ring(q) {
		return c.s.run(q, now, false)
	}
	return nil
}

// takeError returns the pending error, once.
func (c *TCPConn) takeError() error {
	if c.soErr == 0 {
		return nil
	}
	err := errnoOf(c.soErr)
	c.soErr = 0
	return err
}

// write is Write in general. It gives up the lock.
func (c *TCPConn) write(p []byte) (n int, err error) {
	for c.writing && !c.closed && !c.s.expired(c.writeDue()) {
		c.waitWriteOrUnlock()
	}
	if c.writing {
		err := errDeadline
		if c.closed {
			err = net.ErrClosed
		}
		c.mu.Unlock()
		return 0, err
	}
	c.writing = true
	now := c.s.now()
	for {
		piece := p[n:min(n+c.tcb.LoanSize(writePiece), len(p))]
		if len(piece) >= leastLoan && c.mayLend(now) && c.tcb.MayLend(len(piece)) && c.s.nic.Ring(int(c.node.queue)) {
			c.writeLent(now, piece, n+len(piece) < len(p))
			if n += len(piece); n == len(p) {
				c.writing = false
				w := wakes{wr: c.wr.waiters()} // other writers
				c.mu.Unlock()
				w.run()
				return n, nil
			}
			now = c.recent()
			continue
		}
		if len(piece) > writePiece {
			piece = piece[:writePiece]
			c.tcb.LoanTaken(len(piece), 0, writePiece, mostLoan)
		}
		k, err := c.tryWrite(now, piece, n+len(piece) < len(p))
		n += k
		if err != nil || n == len(p) {
			if err != nil {
				c.tcb.Flush() // a piece taken before may be waiting for this one
			}
			c.writing = false
			c.deliverBurst(now, k)
			return n, err
		}
		if k > 0 {
			// Deliver what there is: that may make room at once.
			c.deliverBurst(now, k)
			c.lock()
			now = c.recent() // taking the packets may have taken its time
			continue
		}
		c.waitWriteOrUnlock()
		now = c.s.now()
	}
}

// A writer who could fill buffers of megabytes before its reader gets to run
// would push all of it out of the processor's cache, where the reader could
// have had it. So long writes are delivered by the piece, and after a burst the
// writer lets others run. A reader who takes in place all that is lent (tcploan.go) gets
// twice as much the next time, up to mostLoan, as far as the windows go.
const (
	writePiece = 64 << 10  // bytes
	writeBurst = 256 << 10 // bytes
	longBurst  = 2 << 20   // bytes; the same while a reader has room for all that is lent
)

// deliverBurst is deliver after n bytes were written.
func (c *TCPConn) deliverBurst(now time.Duration, n int) {
	c.burst += int32(n)
	full := c.burst >= writeBurst
	if full {
		c.burst = 0
	}
	if woken := c.deliver(now); full {
		c.s.yield(woken, oneProcessor())
	}
}

func (c *TCPConn) waitWrite() {
	c.s.arm(&c.timer, c.writeDue())
	c.wr.wait(c.s, &c.mu)
}

// waitWriteOrUnlock is waitWrite for callers that give the lock up themselves.
func (c *TCPConn) waitWriteOrUnlock() {
	c.s.arm(&c.timer, c.writeDue())
	c.wr.waitOrUnlock(c.s, &c.mu)
}

// tryWrite is send without waiting: it returns 0 and no error where a blocking
// socket waits. more says that the user is about to write more (MSG_MORE).
func (c *TCPConn) tryWrite(now time.Duration, p []byte, more bool) (int, error) {
	if c.closed {
		return 0, net.ErrClosed
	}
	if now >= c.writeDue() {
		return 0, errDeadline
	}
	if err := c.takeError(); err != nil {
		return 0, os.NewSyscallError("write", err)
	}
	if c.wshut || c.detached || !c.tcb.CanSend() {
		return 0, os.NewSyscallError("write", syscall.EPIPE)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if more {
		return c.tcb.WriteMore(now, p), nil
	}
	return c.tcb.Write(now, p), nil
}

// Close ends the connection for its user: what was written is still sent,
// followed by FIN, in the background. Data that came and was not read, or a
// linger time of 0, make it a reset. A second Close returns net.ErrClosed.
//
// Where the scheduler of the real computer decides who runs, Close of who dialled lets the peer run first that it
// wakes, so that it closes its side, too, before the next connection is dialled.
func (c *TCPConn) Close() error {
	if !c.ok() {
		return syscall.EINVAL
	}
	growStack()
	x, err := c.beginClose()
	if err != nil {
		return err
	}
	var woken *waiter
	if x.baton {
		woken = c.s.run(int(c.node.queue), x.now, false)
	}
	if x.first == othersTurn || x.first == wokensTurn && woken != nil {
		c.s.yield(woken, x.first == othersTurn)
	}
	if x.linger > 0 {
		c.lingerFor(time.Duration(x.linger) * time.Second)
	}
	return nil
}

// closing is what is left to do of a Close.
type closing struct {
	now    time.Duration
	linger int32 // seconds
	baton  bool  // the caller has it, and polls
	first  turn  // who is to run before the caller goes on
}

// beginClose is Close but for what its packets bring about and for lingering. It fails if c is closed.
func (c *TCPConn) beginClose() (x closing, err error) {
	c.lock()
	if c.closed {
		c.mu.Unlock()
		return x, c.opError("close", net.ErrClosed)
	}
	c.shut()
	x.linger, x.now = c.linger, c.s.now()
	if c.linger == 0 {
		c.tcb.Abort(x.now)
	} else {
		c.tcb.Close(x.now)
	}
	q := int(c.node.queue)
	held := c.s.nic.Ring(q)
	x.first = c.turnAtClose(held)
	c.node.baton = held
	w := c.settleUser(x.now)
	c.node.baton = false
	if c.detached {
		c.tcb.Release()
	}
	w.rd, w.wr = c.rd.waiters(), c.wr.waiters()
	c.mu.Unlock()
	w.run()
	x.baton = held || c.s.nic.Ring(q)
	return x, nil
}

// lingerFor waits until the peer has acknowledged everything, or for d.
func (c *TCPConn) lingerFor(d time.Duration) {
	c.lock()
	defer c.mu.Unlock()
	c.setDue(never, c.s.now()+d)
	for !c.detached && c.tcb.State().Unfinished() && !c.s.expired(c.writeDue()) {
		c.waitWrite()
	}
}

// CloseRead shuts down the reading side: reads return what is there already
// and then io.EOF. As on Linux, data that comes later can still be read.
func (c *TCPConn) CloseRead() error { return c.shutdown(true) }

// CloseWrite shuts down the writing side: a FIN follows what was written.
func (c *TCPConn) CloseWrite() error { return c.shutdown(false) }

func (c *TCPConn) shutdown(read bool) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	c.lock()
	if c.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	if c.detached || c.tcb.State() == tcp.StateClosed {
		c.mu.Unlock()
		return c.opError("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	now := c.s.now()
	if read {
		c.tcb.CloseRead(now)
	} else if !c.wshut {
		c.wshut = true
		c.tcb.CloseWrite(now)
	}
	w := c.settleUser(now)
	w.rd, w.wr = c.rd.waiters(), c.wr.waiters()
	c.mu.Unlock()
	w.run()
	c.s.kick(int(c.node.queue), now)
	return nil
}

// ok reports whether c was made by a Stack; the methods of a zero TCPConn
// return EINVAL.
func (c *TCPConn) ok() bool { return c.s != nil }

// LocalAddr returns the local address, a *net.TCPAddr.
func (c *TCPConn) LocalAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return &c.names().local
}

// names returns the names of both ends.
func (c *TCPConn) names() *tcpAddrs {
	c.lock()
	defer c.mu.Unlock()
	return c.namesLocked()
}

func (c *TCPConn) namesLocked() *tcpAddrs {
	if c.addrs != nil {
		return c.addrs
	}
	a := &tcpAddrs{
		local:  *tcpAddr(c.node.key.localAddr(), c.network.wide()),
		remote: *tcpAddr(c.node.key.remoteAddr(), c.network.wide()),
	}
	if c.node.key.rport != 0 { // else it may yet be given other names
		c.addrs = a
	}
	return a
}

// RemoteAddr returns the peer's address, a *net.TCPAddr.
func (c *TCPConn) RemoteAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return &c.names().remote
}

// opError wraps err as package net does. A read that came too late says so by
// the same error each time: a server of net/http ends a read that way once a
// request.
func (c *TCPConn) opError(op string, err error) error {
	c.lock()
	defer c.mu.Unlock()
	return c.opErrorLocked(op, err)
}

// opErrorLocked is opError for one who has the lock.
func (c *TCPConn) opErrorLocked(op string, err error) error {
	a := c.namesLocked()
	late := err == errDeadline && op == "read"
	if late && a.late != nil {
		return a.late
	}
	e := &net.OpError{Op: op, Net: c.network.String(), Source: &a.local, Addr: &a.remote, Err: err}
	if late {
		a.late = e
	}
	return e
}
