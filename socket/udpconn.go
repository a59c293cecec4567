package socket

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/udp"
)

// UDPConn is a UDP socket, connected or not: a [net.PacketConn] and [net.Conn]
// with the methods of *net.UDPConn. All methods may be called concurrently.
type UDPConn struct {
	s    *Stack
	mu   sync.Mutex
	node flowNode[*UDPConn]

	last  lastWay
	queue dgramQueue // received
	bytes int        // waiting, as they count against limit
	limit int

	rd         waitq
	rdue, wdue time.Duration
	rpast      bool // rdue has passed
	timer      timer
	soErr      error // an ICMP error about what a connected socket sent

	how       hold
	bound     ip // what how was claimed for: any, or the address
	network   network
	connected bool
	outside   bool
	dual      bool // of the family IPv6, and takes IPv4 too
	ipID      atomic.Uint32
	mind      atomic.Bool // closed, an error or a write deadline: what a sender must look at
	laddr     *net.UDPAddr
	raddr     *net.UDPAddr
	closed    bool
}

// dgramOverhead is what a waiting datagram counts besides its payload: about
// what Linux's sk_buff does.
const dgramOverhead = 256

// newUDP makes a socket bound to local (a specific address or any, port 0 for
// an ephemeral one) and, if remote is valid, connected to it. The error is an
// errno.
func (s *Stack) newUDP(nw network, b binding, remote netip.AddrPort, r route) (*UDPConn, error) {
	u := &UDPConn{
		s: s, network: nw, limit: s.cfg.UDPRecvBuf, rdue: never, wdue: never,
		how: holdIf(holdOnly6, b.v6only), dual: b.family == 6, outside: r.outside,
	}
	u.timer.owner = u
	u.node.val = u
	addr, err := s.bindable(b.addr.Addr())
	if err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if b.family == 4 && addr == anyV6 {
		addr = anyV4
	}
	num, err := s.udpPorts.bind(addr, b.addr.Port(), u.how, s.portOffset(b.addr, remote))
	if err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	u.node.key = flowKey{local: addr, lport: num}
	u.bound = addr
	if remote.IsValid() {
		u.connected = true
		if addr == anyV4 || addr == anyV6 {
			u.node.key.local = ipOf(r.src)
		}
		u.node.key.remote, u.node.key.rport = ipOf(remote.Addr()), remote.Port()
		u.raddr = udpAddr(remote, u.dual)
	}
	u.ipID.Store(uint32(s.firstIPID(&u.node.key)))
	u.laddr = udpAddr(netip.AddrPortFrom(u.node.key.local.addr(), num), u.dual)
	if u.connected {
		s.udpPeers.Add(1) // before anybody can send to it
	}
	if !s.udp.insert(&u.node) {
		if u.connected {
			s.udpPeers.Add(-1)
		}
		s.udpPorts.release(addr, num, u.how)
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	return u, nil
}

// receive queues the payload of p, whose Head has been cut to it.
func (u *UDPConn) receive(r *receiver, p *device.Packet, from ip, port uint16) {
	n := p.Len()
	u.mu.Lock()
	if u.closed || u.bytes+n+dgramOverhead > u.limit {
		full := !u.closed
		u.mu.Unlock()
		if full {
			r.s.drop(p, DropUDPRecvBuf)
		} else {
			r.s.drop(p, DropUDPNoSocket)
		}
		return
	}
	u.queue.recycle(r.s.nic, r.queue)
	u.queue.push(p, from, port)
	u.bytes += n + dgramOverhead
	w := u.rd.waiters()
	u.mu.Unlock()
	r.udpIn++
	if w != nil {
		w.signal()
	}
}

// takeError returns why nothing can be read now, nil if there is no reason but
// that nothing is there. A pending ICMP error is told once. The lock is held.
func (u *UDPConn) takeError() error {
	switch {
	case u.closed:
		return net.ErrClosed
	case u.rpast:
		return errDeadline
	case u.soErr != nil:
		err := u.soErr
		u.soErr = nil
		u.minds()
		return err
	}
	return nil
}

// tryRecv is recvfrom without waiting, for Socket.
func (u *UDPConn) tryRecv(b []byte, flags int) (n int, from netip.AddrPort, err error) {
	u.mu.Lock()
	if u.soErr == nil && u.queue.len() == 0 {
		u.mu.Unlock()
		return 0, from, syscall.EAGAIN
	}
	if flags&MsgPeek != 0 && u.soErr == nil {
		defer u.mu.Unlock()
		d := u.queue.front()
		if n = copy(b, d.p.AppendTo(nil)); flags&MsgTrunc != 0 {
			n = d.p.Len()
		}
		return n, d.sender(), nil
	}
	u.mu.Unlock()
	n, size, from, err := u.recv(b)
	if flags&MsgTrunc != 0 {
		n = size
	}
	return n, from, err
}

// recv reads the next datagram into b, waiting for one, and says how much of it
// there was.
func (u *UDPConn) recv(b []byte) (n, size int, from netip.AddrPort, err error) {
	u.mu.Lock()
	for {
		if err := u.takeError(); err != nil {
			u.mu.Unlock()
			return 0, 0, from, err
		}
		if u.queue.len() > 0 {
			break
		}
		if d := u.rd.alone(); d != nil {
			if d.await(nil) {
				u.mu.Unlock()
				runtime.Gosched()
				u.mu.Lock()
				d.rested()
			}
			d.park()
			if d.woken {
				d.goOn()
			}
			d.served()
		} else {
			u.rd.waitAny(u.s, &u.mu)
		}
	}
	d := u.queue.front()
	from = d.sender()
	size = d.p.Len()
	u.bytes -= size + dgramOverhead
	if d.inline() {
		n = copy(b, d.p.Head)
		u.queue.retire()
		u.mu.Unlock()
		return n, size, from, nil
	}
	p := u.queue.pop()
	u.mu.Unlock()
	n = copy(b, p.Head)
	n += copy(b[n:], p.Frags[0].B)
	n += copy(b[n:], p.Frags[1].B)
	p.Release()
	return n, size, from, nil
}

func (u *UDPConn) timerKey() *flowKey { return &u.node.key }

func (u *UDPConn) expire(now time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.timer.set = false
	if u.closed {
		return
	}
	if u.rdue <= now {
		u.rpast = true
		u.rd.wakeAll()
	} else {
		u.s.arm(&u.timer, u.rdue)
	}
}

// fail reports an ICMP error about what the socket sent.
func (u *UDPConn) fail(err error) {
	u.mu.Lock()
	u.soErr = err
	u.minds()
	w := u.rd.waiters()
	u.mu.Unlock()
	if w != nil {
		w.broadcast()
	}
}

// sendTo sends b as one datagram, to the peer if to is the zero value. The error
// is an errno or one of package net's.
func (u *UDPConn) sendTo(b []byte, to netip.AddrPort) error {
	if u.mind.Load() {
		if err := u.writable(); err != nil {
			return err
		}
	}
	var w udpWay
	if err := u.wayTo(to, &w); err != nil {
		return err
	}
	limit := udp.MaxPayload6
	if w.key.remote.is4() {
		limit = udp.MaxPayload4
	}
	if len(b) > limit {
		return syscall.EMSGSIZE
	}
	now, coarse := u.s.sendTime(len(b), w.outside)
	q := u.s.queueOf(w.hash)
	// Who holds the baton before he makes the packet makes it cheaper.
	held := u.s.nic.Ring(q)
	u.s.sendDatagram(now, q, held, &w, b, uint16(u.ipID.Add(1)-1))
	if held || u.s.nic.Ring(q) {
		u.s.run(q, now, coarse)
	}
	return nil
}

// minds sets mind, after a change; the lock is held.
func (u *UDPConn) minds() {
	u.mind.Store(u.closed || u.soErr != nil || u.wdue != never)
}

// writable reports why nothing can be sent now. A pending ICMP error is told
// once.
func (u *UDPConn) writable() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.closed:
		return net.ErrClosed
	case u.s.expired(u.wdue):
		return errDeadline
	case u.soErr != nil:
		return u.takeError()
	}
	return nil
}

// boundAddr is the source address the user chose, invalid if none.
func (u *UDPConn) boundAddr() netip.Addr {
	if a := u.node.key.local; a != anyV4 && a != anyV6 {
		return a.addr()
	}
	return netip.Addr{}
}

// Close closes the socket. A second Close returns net.ErrClosed.
func (u *UDPConn) Close() error {
	if !u.ok() {
		return syscall.EINVAL
	}
	if !u.close() {
		return u.opError("close", u.raddr, net.ErrClosed)
	}
	return nil
}

func (u *UDPConn) close() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	u.closed = true
	u.minds()
	u.s.udp.remove(&u.node)
	if u.connected {
		u.s.udpPeers.Add(-1)
	}
	u.s.udpPorts.release(u.bound, u.node.key.lport, u.how)
	u.s.disarm(&u.timer)
	u.queue.clear()
	u.rd.wakeAll()
	return true
}
