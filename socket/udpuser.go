package socket

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// ReadFromUDPAddrPort reads the next datagram and says who sent it. What does
// not fit b is lost. It allocates nothing. The address of an IPv4 sender is
// IPv4-mapped on a socket for both families.
func (u *UDPConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if !u.ok() {
		return 0, netip.AddrPort{}, syscall.EINVAL
	}
	n, _, from, err := u.recv(b)
	if err != nil {
		return 0, netip.AddrPort{}, u.readError("read", "recvfrom", err)
	}
	if u.dual && from.Addr().Is4() {
		from = netip.AddrPortFrom(netip.AddrFrom16(from.Addr().As16()), from.Port())
	}
	return n, from, nil
}

// ReadFromUDP reads the next datagram and says who sent it.
func (u *UDPConn) ReadFromUDP(b []byte) (int, *net.UDPAddr, error) {
	if !u.ok() {
		return 0, nil, syscall.EINVAL
	}
	n, _, from, err := u.recv(b)
	if err != nil {
		return 0, nil, u.readError("read", "recvfrom", err)
	}
	return n, udpAddr(from, u.dual), nil
}

// ReadFrom implements net.PacketConn; see ReadFromUDP.
func (u *UDPConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := u.ReadFromUDP(b)
	if from == nil {
		return n, nil, err
	}
	return n, from, err
}

// Read reads the next datagram.
func (u *UDPConn) Read(b []byte) (int, error) {
	if !u.ok() {
		return 0, syscall.EINVAL
	}
	if len(b) == 0 {
		return 0, u.readNothing()
	}
	n, _, _, err := u.recv(b)
	if err != nil {
		return 0, u.readError("read", "read", err)
	}
	return n, nil
}

// readNothing is a Read without room: it takes no datagram, as in package net.
func (u *UDPConn) readNothing() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return u.opError("read", u.raddr, net.ErrClosed)
	}
	return nil
}

// ok reports whether u was made by a Stack; the methods of a zero UDPConn
// return EINVAL.
func (u *UDPConn) ok() bool { return u.s != nil }

// ReadMsgUDP reads the next datagram. There is no out-of-band data: oobn is 0.
// flags has MSG_TRUNC (0x20) when the datagram did not fit b.
func (u *UDPConn) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	n, oobn, flags, from, err := u.readMsg(b)
	if err == nil {
		addr = udpAddr(from, u.dual)
	}
	return n, oobn, flags, addr, err
}

// ReadMsgUDPAddrPort is ReadMsgUDP with a netip.AddrPort.
func (u *UDPConn) ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error) {
	n, oobn, flags, addr, err = u.readMsg(b)
	if err == nil && u.dual && addr.Addr().Is4() {
		addr = netip.AddrPortFrom(netip.AddrFrom16(addr.Addr().As16()), addr.Port())
	}
	return n, oobn, flags, addr, err
}

// msgTrunc is Linux's MSG_TRUNC.
const msgTrunc = 0x20

func (u *UDPConn) readMsg(b []byte) (n, oobn, flags int, addr netip.AddrPort, err error) {
	if !u.ok() {
		return 0, 0, 0, addr, syscall.EINVAL
	}
	n, size, addr, err := u.recv(b)
	if err != nil {
		return 0, 0, 0, addr, u.readError("read", "recvmsg", err)
	}
	if size > n {
		flags = msgTrunc
	}
	return n, 0, flags, addr, nil
}

func (u *UDPConn) readError(op, call string, err error) error {
	if _, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(call, err)
	}
	return u.opError(op, u.raddr, err)
}

// WriteToUDPAddrPort sends b as one datagram to addr.
func (u *UDPConn) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	if !u.ok() {
		return 0, syscall.EINVAL
	}
	switch {
	case u.connected:
		return 0, u.writeError("write", "", addrPortAddr{addr}, net.ErrWriteToConnected)
	case !addr.IsValid():
		return 0, u.writeError("write", "", addrPortAddr{addr}, u.s.errs().missingAddress)
	}
	to, err := u.destination(addr)
	if err == nil {
		err = u.sendTo(b, to)
	}
	if err != nil {
		return 0, u.writeError("write", "sendto", addrPortAddr{addr}, err)
	}
	return len(b), nil
}

// destination checks that addr is of the socket's family; the unspecified
// address means this computer.
func (u *UDPConn) destination(addr netip.AddrPort) (netip.AddrPort, error) {
	a := addr.Addr()
	if a.Is4() && !a.IsUnspecified() && !u.how.has(holdOnly6) {
		return addr, nil // the most usual
	}
	if !a.IsValid() {
		return addr, &net.AddrError{Err: "invalid address", Addr: addr.String()}
	}
	four := a.Is4() || a.Is4In6()
	switch {
	case !four && !u.dual:
		return addr, &net.AddrError{Err: "non-IPv4 address", Addr: a.String()}
	case four && u.how.has(holdOnly6):
		return addr, syscall.ENETUNREACH
	}
	local := netip.IPv6Unspecified()
	if b := u.boundAddr(); b.IsValid() {
		local = b
	}
	return netip.AddrPortFrom(thisComputer(local, a.Unmap().WithZone("")), addr.Port()), nil
}

// WriteToUDP sends b as one datagram to addr.
func (u *UDPConn) WriteToUDP(b []byte, addr *net.UDPAddr) (int, error) {
	if !u.ok() {
		return 0, syscall.EINVAL
	}
	switch {
	case u.connected:
		return 0, u.writeError("write", "", nilAddr(addr), net.ErrWriteToConnected)
	case addr == nil:
		return 0, u.writeError("write", "", nil, u.s.errs().missingAddress)
	}
	to, err := u.destinationOf(addr)
	if err == nil {
		err = u.sendTo(b, to)
	}
	if err != nil {
		return 0, u.writeError("write", "sendto", addr, err)
	}
	return len(b), nil
}

func (u *UDPConn) destinationOf(addr *net.UDPAddr) (netip.AddrPort, error) {
	family := 4
	if u.dual {
		family = 6
	}
	a, err := inetOfUDP(addr).sockaddr(family)
	if err != nil {
		return a, err
	}
	return u.destination(a)
}

// WriteTo implements net.PacketConn; addr is a *net.UDPAddr.
func (u *UDPConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if !u.ok() {
		return 0, syscall.EINVAL
	}
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, u.writeError("write", "", addr, syscall.EINVAL)
	}
	return u.WriteToUDP(b, a)
}

// Write sends b as one datagram to the peer of a connected socket.
func (u *UDPConn) Write(b []byte) (int, error) {
	if !u.ok() {
		return 0, syscall.EINVAL
	}
	err := u.sendTo(b, netip.AddrPort{})
	if err != nil {
		return 0, u.writeError("write", "write", nilAddr(u.raddr), err)
	}
	return len(b), nil
}

// WriteMsgUDP sends b as one datagram; addr is nil on a connected socket. There
// is no out-of-band data to send: a non-empty oob is EINVAL.
func (u *UDPConn) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if !u.ok() {
		return 0, 0, syscall.EINVAL
	}
	var to netip.AddrPort
	switch {
	case u.connected && addr != nil:
		return 0, 0, u.writeError("write", "", addr, net.ErrWriteToConnected)
	case !u.connected && addr == nil:
		return 0, 0, u.writeError("write", "", nil, u.s.errs().missingAddress)
	case addr != nil:
		to, err = u.destinationOf(addr)
	}
	if err == nil {
		err = u.sendMsg(b, oob, to)
	}
	if err != nil {
		return 0, 0, u.writeError("write", "sendmsg", nilAddr(addr), err)
	}
	return len(b), 0, nil
}

// WriteMsgUDPAddrPort is WriteMsgUDP with a netip.AddrPort; the zero value on a
// connected socket.
func (u *UDPConn) WriteMsgUDPAddrPort(b, oob []byte, addr netip.AddrPort) (n, oobn int, err error) {
	if !u.ok() {
		return 0, 0, syscall.EINVAL
	}
	var to netip.AddrPort
	switch {
	case u.connected && addr.IsValid():
		return 0, 0, u.writeError("write", "", addrPortAddr{addr}, net.ErrWriteToConnected)
	case !u.connected && !addr.IsValid():
		return 0, 0, u.writeError("write", "", addrPortAddr{addr}, u.s.errs().missingAddress)
	case addr.IsValid():
		to, err = u.destination(addr)
	}
	if err == nil {
		err = u.sendMsg(b, oob, to)
	}
	if err != nil {
		return 0, 0, u.writeError("write", "sendmsg", addrPortAddr{addr}, err)
	}
	return len(b), 0, nil
}

func (u *UDPConn) sendMsg(b, oob []byte, to netip.AddrPort) error {
	if len(oob) > 0 {
		return syscall.EINVAL
	}
	return u.sendTo(b, to)
}

// writeError wraps err as package net does: an errno in the call it comes from.
func (u *UDPConn) writeError(op, call string, addr net.Addr, err error) error {
	if _, ok := err.(syscall.Errno); ok && call != "" {
		err = os.NewSyscallError(call, err)
	}
	return &net.OpError{Op: op, Net: u.network.String(), Source: u.laddr, Addr: addr, Err: err}
}

func (u *UDPConn) opError(op string, addr *net.UDPAddr, err error) error {
	return &net.OpError{Op: op, Net: u.network.String(), Source: u.laddr, Addr: nilAddr(addr), Err: err}
}

// nilAddr keeps a nil *net.UDPAddr from becoming an interface that is not nil.
func nilAddr(a *net.UDPAddr) net.Addr {
	if a == nil {
		return nil
	}
	return a
}

// LocalAddr returns the local address, a *net.UDPAddr.
func (u *UDPConn) LocalAddr() net.Addr { return nilAddr(u.laddr) }

// RemoteAddr returns the peer's address, nil for an unconnected socket.
func (u *UDPConn) RemoteAddr() net.Addr { return nilAddr(u.raddr) }

// SetDeadline sets the read and the write deadline; zero means none.
func (u *UDPConn) SetDeadline(t time.Time) error { return u.setDeadline(t, true, true) }

// SetReadDeadline bounds reads, pending and future ones; zero means none.
func (u *UDPConn) SetReadDeadline(t time.Time) error { return u.setDeadline(t, true, false) }

// SetWriteDeadline bounds writes, which never wait; zero means none.
func (u *UDPConn) SetWriteDeadline(t time.Time) error { return u.setDeadline(t, false, true) }

// setError is the error of a failed option, which has one address only.
func (u *UDPConn) setError(err error) error {
	return &net.OpError{Op: "set", Net: u.network.String(), Addr: u.laddr, Err: err}
}

func (u *UDPConn) setDeadline(t time.Time, read, write bool) error {
	if !u.ok() {
		return syscall.EINVAL
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return u.setError(net.ErrClosed)
	}
	due, now := u.s.until(t)
	if read {
		u.rdue, u.rpast = due, due <= now
		if !u.rpast {
			u.s.arm(&u.timer, due)
		}
		u.rd.wakeAll()
	}
	if write {
		u.wdue = due
		u.minds()
	}
	return nil
}

// SetReadBuffer sets SO_RCVBUF in bytes: how much may wait to be read. Like
// Linux, twice that is reserved.
func (u *UDPConn) SetReadBuffer(bytes int) error {
	if !u.ok() {
		return syscall.EINVAL
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return u.setError(net.ErrClosed)
	}
	if bytes < 0 {
		return u.setError(errInvalidOption)
	}
	u.limit = max(2*bytes, minUDPRecvBuf)
	return nil
}

// minUDPRecvBuf is the least SO_RCVBUF of Linux.
const minUDPRecvBuf = 2304

// SetWriteBuffer is accepted and has no effect: a datagram is on the ring when
// Write returns.
func (u *UDPConn) SetWriteBuffer(bytes int) error {
	if !u.ok() {
		return syscall.EINVAL
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return u.setError(net.ErrClosed)
	}
	return nil
}
