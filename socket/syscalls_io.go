package socket

import (
	"cmp"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"example.com/loopback/tcp"
)

// How data passes a Socket, and how its errors lose what package net wraps
// around them.

// Send sends p, or the first part of it for which there is room (TCP). to is
// the zero AddrPort on a socket with a peer.
func (k *Socket) Send(p []byte, flags int, to netip.AddrPort) (int, error) {
	if k.closed.Load() {
		return 0, syscall.EBADF
	}
	if k.spec.transport == transportTCP {
		if flags&MsgFastOpen != 0 {
			return k.sendFastOpen(p, to)
		}
		return k.sendTCP(p, flags)
	}
	if k.raw != nil {
		return k.sendRaw(p, to)
	}
	if k.udp == nil {
		if err := k.openUDP(netip.AddrPort{}); err != nil {
			return 0, errno(err)
		}
	}
	if k.wshut {
		return 0, syscall.EPIPE
	}
	if to.IsValid() {
		var err error
		if to, err = k.inward(to); err != nil {
			return 0, err
		}
		to = netip.AddrPortFrom(thisComputer(k.bound.addr.Addr(), to.Addr()), to.Port())
	} else if !k.udp.connected {
		return 0, syscall.EDESTADDRREQ
	}
	if err := k.udp.sendTo(p, to); err != nil {
		return 0, errno(err)
	}
	return len(p), nil
}

func (k *Socket) sendTCP(p []byte, flags int) (int, error) {
	c := k.tcp
	if k.deferred.IsValid() {
		return k.sendFastOpen(p, k.deferred)
	}
	c.lock()
	if k.ln != nil || !c.connected && c.soErr == 0 && !c.detached {
		waiting := c.tcb.State() == tcp.StateSynSent || c.tcb.State() == tcp.StateSynReceived
		c.mu.Unlock()
		if waiting {
			return 0, syscall.EAGAIN
		}
		return 0, syscall.EPIPE
	}
	now := c.s.now()
	n, err := c.tryWrite(now, p, flags&MsgMore != 0 && flags&MsgOOB == 0)
	if flags&MsgOOB != 0 && n > 0 {
		c.tcb.MarkUrgent()
	}
	if flags&MsgEOR != 0 && n == len(p) && n > 0 {
		c.tcb.EndRecord()
	}
	w := c.settleUser(now)
	q := int(c.node.queue)
	c.mu.Unlock()
	w.run()
	c.s.kick(q, now)
	if err == nil && n == 0 && len(p) > 0 {
		err = syscall.EAGAIN
	}
	return n, errno(err)
}

// Recv receives into p. At the end of the stream n is 0 and err nil. With
// MsgTrunc on UDP n may be more than len(p). from is the sender of a datagram.
func (k *Socket) Recv(p []byte, flags int) (n int, from netip.AddrPort, err error) {
	if k.closed.Load() {
		return 0, from, syscall.EBADF
	}
	switch {
	case k.tcp != nil:
		n, err = k.recvTCP(p, flags)
		return n, from, errno(err)
	case k.udp != nil:
		n, from, err = k.udp.tryRecv(p, flags)
		return n, k.outward(from), errno(err)
	case k.raw != nil:
		n, a, err := k.raw.tryRecv(p)
		return n, netip.AddrPortFrom(a, 0), errno(err)
	}
	return 0, from, syscall.EAGAIN
}

func (k *Socket) recvTCP(p []byte, flags int) (int, error) {
	c := k.tcp
	c.lock()
	if k.ln != nil || c.node.key == (flowKey{}) {
		defer c.mu.Unlock()
		return 0, cmp.Or(c.takeError(), error(syscall.ENOTCONN))
	}
	if flags&MsgOOB != 0 {
		defer c.mu.Unlock()
		return c.recvUrgent(p, flags)
	}
	if flags&MsgPeek != 0 {
		defer c.mu.Unlock()
		if n := c.tcb.Peek(p, 0); n > 0 {
			return n, nil
		}
	}
	if flags&MsgTrunc != 0 {
		p = make([]byte, min(len(p), max(c.tcb.Readable(), 1))) // an empty one would be served at once
	}
	c.at(c.s.now())
	n, done, err := c.tryRead(p)
	if flags&MsgPeek != 0 {
		if !done { // there was nothing to peek at, nor the end, nor an error
			err = syscall.EAGAIN
		}
		return n, err
	}
	n = c.afterRead(n)
	if !done {
		return 0, syscall.EAGAIN
	}
	return n, err
}

// recvUrgent is recv with MSG_OOB; the lock is held.
func (c *TCPConn) recvUrgent(p []byte, flags int) (int, error) {
	b, err := c.tcb.ReadUrgent(flags&MsgPeek != 0)
	switch {
	case err == tcp.ErrUrgentAhead && c.tcb.ReadEOF():
		return 0, nil
	case err == tcp.ErrUrgentAhead:
		return 0, syscall.EAGAIN
	case err != nil:
		return 0, syscall.EINVAL
	}
	return copy(p, []byte{b}), nil
}

// Shutdown closes one direction, or both when both are set.
func (k *Socket) Shutdown(read, write bool) error {
	if k.closed.Load() {
		return syscall.EBADF
	}
	if k.tcp == nil || k.ln != nil {
		return k.shutdownOther(read, write)
	}
	if !k.tcp.entered() {
		return syscall.ENOTCONN
	}
	if k.abandon() {
		return nil
	}
	if read {
		if err := k.tcp.shutdown(true); err != nil {
			return errno(err)
		}
	}
	if write {
		return errno(k.tcp.shutdown(false))
	}
	return nil
}

// abandon gives up the attempt to connect, if the socket is at one: on Linux
// shutdown of either direction does, and leaves a socket without a connection
// that has ECONNRESET to tell.
func (k *Socket) abandon() bool {
	c := k.tcp
	c.lock()
	trying := c.tcb.State() == tcp.StateSynSent
	c.mu.Unlock()
	if !trying {
		return false
	}
	_ = c.shutdown(false) // cannot fail: there is an attempt
	c.lock()
	defer c.mu.Unlock()
	k.late = false
	k.revive()
	k.tcp.soErr = tcp.ErrReset
	return true
}

// shutdownOther is shutdown of what is no connection: reading from a listener
// stops it (Linux goes back to CLOSED).
func (k *Socket) shutdownOther(read, write bool) error {
	if k.ln == nil {
		if k.udp == nil || !k.udp.connected {
			return syscall.ENOTCONN
		}
		k.rshut, k.wshut = k.rshut || read, k.wshut || write
		return nil
	}
	if read {
		return errno(k.ln.Close())
	}
	return nil
}

// errno strips what package net wraps around an errno.
func errno(err error) error {
	for err != nil {
		switch e := err.(type) {
		case syscall.Errno:
			return e
		case *os.SyscallError:
			err = e.Err
		case *net.OpError:
			err = e.Err
		default:
			switch err {
			case io.EOF:
				return nil
			case net.ErrClosed:
				return syscall.EBADF
			case os.ErrDeadlineExceeded:
				return syscall.EAGAIN
			}
			return err
		}
	}
	return nil
}
