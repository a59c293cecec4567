package socket

import (
	"net/netip"
	"syscall"
	"time"

	"example.com/loopback/tcp"
)

// What can be asked of a Socket: names, options, errors, readiness.

// LocalAddr is getsockname.
func (k *Socket) LocalAddr() netip.AddrPort {
	switch {
	case k.ln != nil:
		return k.outward(netip.AddrPortFrom(k.bound.addr.Addr(), k.ln.node.key.lport))
	case k.udp != nil:
		return k.outward(k.udp.node.key.localAddr())
	case k.raw != nil:
		return k.rawName()
	case k.tcp != nil && k.tcp.entered():
		return k.outward(k.tcp.node.key.localAddr())
	}
	return k.outward(k.bound.addr)
}

// RemoteAddr is getpeername; ENOTCONN without a peer.
func (k *Socket) RemoteAddr() (netip.AddrPort, error) {
	switch {
	case k.closed.Load():
		return netip.AddrPort{}, syscall.EBADF
	case k.udp != nil && k.udp.connected:
		return k.outward(k.udp.node.key.remoteAddr()), nil
	case k.peer.Port() != 0: // Linux: whoever connects a raw socket to port 0 has no peer by name
		return k.peer, nil
	case k.tcp != nil && k.tcp.isConnected():
		return k.outward(k.tcp.node.key.remoteAddr()), nil
	}
	return netip.AddrPort{}, syscall.ENOTCONN
}

func (c *TCPConn) isConnected() bool {
	c.lock()
	defer c.mu.Unlock()
	return c.connected && !c.detached
}

// Conn returns the connection behind a TCP socket, for its options and its
// Info; options set before connect or listen hold for what comes of it.
func (k *Socket) Conn() *TCPConn { return k.tcp }

// Listener returns the listener behind the socket, nil if it is none.
func (k *Socket) Listener() *TCPListener { return k.ln }

// UDP returns the UDP socket behind it, nil before bind, connect and send.
func (k *Socket) UDP() *UDPConn { return k.udp }

// TakeError is SO_ERROR: the pending error, which it clears.
func (k *Socket) TakeError() error {
	switch {
	case k.udp != nil:
		k.udp.mu.Lock()
		defer k.udp.mu.Unlock()
		err := k.udp.soErr
		k.udp.soErr = nil
		return err
	case k.tcp != nil:
		k.tcp.lock()
		defer k.tcp.mu.Unlock()
		if err := k.tcp.takeError(); err != nil {
			return err
		}
		return errnoOf(k.tcp.tcb.TakeSoftErr())
	}
	return nil
}

// SetOption runs f, which sets options, on the TCB of a TCP socket in any
// state, and sends what becomes due by that.
func (k *Socket) SetOption(f func(t *tcp.TCB, now time.Duration)) error {
	if k.tcp == nil {
		return syscall.ENOPROTOOPT
	}
	if !k.tcp.entered() {
		k.tcp.lock()
		defer k.tcp.mu.Unlock()
		f(&k.tcp.tcb, k.s.now())
		return nil
	}
	return errno(k.tcp.set(f))
}

// Ready says what a poll of the socket would report.
func (k *Socket) Ready() (readable, writable, failed, hungUp bool) {
	switch {
	case k.deferred.IsValid():
		return false, true, false, false
	case k.ln != nil:
		k.ln.mu.Lock()
		defer k.ln.mu.Unlock()
		if k.ln.closed { // by shutdown: it has no connection, and is no listener any more
			return false, true, false, true
		}
		return k.ln.queue.len() > 0, false, false, false
	case k.udp != nil:
		k.udp.mu.Lock()
		defer k.udp.mu.Unlock()
		return k.udp.queue.len() > 0 || k.rshut, true, k.udp.soErr != nil, k.rshut && k.wshut
	case k.raw != nil:
		return k.raw.ready()
	case k.tcp != nil:
		return k.tcp.ready()
	}
	return false, true, false, false
}

func (c *TCPConn) ready() (readable, writable, failed, hungUp bool) {
	c.lock()
	defer c.mu.Unlock()
	if c.node.key == (flowKey{}) {
		return false, true, c.soErr != 0, true
	}
	dead := c.detached
	shut := c.tcb.ReadShut()
	readable = c.tcb.CanRead() || shut || c.soErr != 0 || dead
	writable = dead || c.soErr != 0 || c.connected && (c.wshut || c.tcb.WriteSpace() > 0)
	return readable, writable, c.soErr != 0, dead || shut && c.wshut
}

// Urgent reports whether a Recv with MsgOOB would give a byte (POLLPRI).
func (k *Socket) Urgent() bool {
	if k.tcp == nil {
		return false
	}
	k.tcp.lock()
	defer k.tcp.mu.Unlock()
	return k.tcp.tcb.UrgentReadable()
}

// ReadShut reports whether nothing more will be received than what is queued (POLLRDHUP): the peer has
// closed its side, or the user this one, or the connection is no more.
func (k *Socket) ReadShut() bool {
	k.tcp.lock()
	defer k.tcp.mu.Unlock()
	return k.tcp.tcb.ReadShut() || k.tcp.detached && k.tcp.node.key != (flowKey{})
}
