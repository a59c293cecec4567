package socket

import (
	"net/netip"
	"sync/atomic"
	"syscall"

	"example.com/loopback/tcp"
)

// A Socket is the socket of the system calls: bind, listen, accept, connect,
// send, recv, shutdown and close, none of which ever blocks. Where a call
// would have to wait it returns EAGAIN, or EINPROGRESS for connect. It is for
// those who drive a Stack from one goroutine, application and wire in exact
// order: packet scripts, fuzzers, simulations. All others want Dial and Listen.
//
// Errors are syscall.Errno. Methods may be called concurrently, but only one
// goroutine at a time may bind, listen or connect.
type Socket struct {
	s     *Stack
	spec  netSpec
	only6 bool
	reuse bool

	bound    binding // what bind was told
	isBound  bool
	claimed  ip // the address its port is held for, before listen or connect
	claim    hold
	fixed    bool // bind named the port, which connect's dissolution leaves alone
	fast     FastOpenOptions
	deferred netip.AddrPort // where connect goes with the first data (TCP_FASTOPEN_CONNECT)

	late bool // connect has said EINPROGRESS and not yet how it ended

	rshut, wshut bool // what shutdown was told, of UDP

	tcp *TCPConn // from the start for TCP, so that options can be set
	ln  *TCPListener
	udp *UDPConn
	raw *IPConn // from the start for raw sockets: they receive before they are bound

	peer     netip.AddrPort // of a raw socket
	unnumber bool           // a raw socket that was dissolved does not show its protocol as its port

	closed atomic.Bool
}

// Flags of Send and Recv, with Linux's numbers.
const (
	MsgOOB   = 0x1    // TCP: the last byte sent is urgent; the urgent byte is received
	MsgPeek  = 0x2    // leave what is read in the queue
	MsgTrunc = 0x20   // TCP: discard instead of copying; UDP: return the true length
	MsgEOR   = 0x80   // TCP: what is sent later goes in other segments
	MsgMore  = 0x8000 // more is to come: hold back a partial segment
	// MsgFastOpen makes Send connect first, with the data on the SYN if a cookie of the peer is known
	// (RFC 7413); what did not go with it is left to later Sends.
	MsgFastOpen = 0x20000000
)

// Socket makes a socket of the network "tcp4", "tcp6", "udp4", "udp6" or
// "ip4:icmp" and the like. One of the family 6 takes IPv4 as well, in IPv4-mapped
// addresses, until SetOnly6.
func (s *Stack) Socket(network string) (*Socket, error) {
	spec, err := parseNetwork(network)
	if err != nil || spec.family == 0 {
		return nil, syscall.EAFNOSUPPORT
	}
	k := &Socket{s: s, spec: spec}
	if spec.transport == transportTCP {
		k.tcp = s.newTCPConn(networkOf(spec))
	}
	k.bound = binding{addr: netip.AddrPortFrom(k.any(), 0), family: spec.family}
	if spec.transport == transportIP {
		if err := k.openRaw(k.any(), netip.Addr{}); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// any is the wildcard address of the socket's family.
func (k *Socket) any() netip.Addr {
	if k.spec.family == 4 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// SetOnly6 sets IPV6_V6ONLY.
func (k *Socket) SetOnly6(on bool) { k.only6 = on }

// SetReuse sets SO_REUSEADDR.
func (k *Socket) SetReuse(on bool) { k.reuse = on }

// inward makes an address of a system call one of the stack's.
func (k *Socket) inward(a netip.AddrPort) (netip.AddrPort, error) {
	addr := a.Addr().Unmap()
	switch {
	case k.spec.family == 4 && !addr.Is4():
		return a, syscall.EAFNOSUPPORT
	case k.spec.family == 6 && a.Addr().Is4() && k.spec.transport == transportTCP:
		return a, syscall.EINVAL // a sockaddr_in is too short for one of IPv6
	case a.Addr().Is4() && k.only6:
		return a, syscall.EAFNOSUPPORT
	case addr.Is4() && k.only6:
		return a, syscall.ENETUNREACH
	}
	return netip.AddrPortFrom(addr, a.Port()), nil
}

// outward is the inverse of inward.
func (k *Socket) outward(a netip.AddrPort) netip.AddrPort {
	if k.spec.family == 6 && a.Addr().Is4() {
		if a.Addr().IsUnspecified() {
			return netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port())
		}
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	return a
}

// Bind gives the socket a local address; port 0 draws one.
func (k *Socket) Bind(a netip.AddrPort) error {
	if k.closed.Load() {
		return syscall.EBADF
	}
	if k.isBound || k.ln != nil || k.udp != nil || k.tcp != nil && k.tcp.entered() {
		return syscall.EINVAL
	}
	if k.spec.transport == transportIP {
		return k.bindRaw(a)
	}
	if k.spec.family == 6 && (a.Addr().Is4() || a.Addr().Is4In6() && k.only6) {
		return syscall.EINVAL
	}
	to, err := k.inward(a)
	if err != nil {
		return err
	}
	addr, err := k.s.bindable(to.Addr())
	if err != nil {
		return err
	}
	unbound := k.bound
	k.bound = binding{addr: to, family: k.spec.family, v6only: k.only6}
	if k.spec.transport == transportTCP {
		k.claim = holdIf(holdReuse, k.reuse) | holdIf(holdOnly6, k.only6)
		num, err := k.s.tcpPorts.bind(addr, to.Port(), k.claim, k.s.portOffset(to, netip.AddrPort{}))
		if err != nil {
			k.bound = unbound
			return err
		}
		k.claimed = addr
		k.bound.addr = netip.AddrPortFrom(to.Addr(), num)
	}
	k.isBound, k.fixed = true, a.Port() != 0
	if k.spec.transport == transportUDP {
		if err := k.openUDP(netip.AddrPort{}); err != nil {
			k.bound, k.isBound = unbound, false
			return errno(err)
		}
	}
	return nil
}

// unclaim gives back the port that bind took.
func (k *Socket) unclaim() {
	if k.isBound && k.spec.transport == transportTCP {
		k.s.tcpPorts.release(k.claimed, k.bound.addr.Port(), k.claim)
	}
	k.isBound = false
}

// Listen makes a bound TCP socket a listener.
func (k *Socket) Listen(backlog int) error {
	if k.closed.Load() {
		return syscall.EBADF
	}
	if k.ln != nil {
		k.ln.setBacklog(backlog)
		return nil
	}
	if k.spec.transport != transportTCP {
		return syscall.EOPNOTSUPP
	}
	if k.tcp.entered() {
		return syscall.EINVAL
	}
	k.unclaim()
	ln, err := k.s.bindTCP(networkOf(k.spec), k.bound)
	if err != nil {
		return err
	}
	ln.setBacklog(backlog)
	ln.template = k.tcp
	k.ln = ln
	k.applyFastOpen()
	return nil
}

func (l *TCPListener) setBacklog(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog = min(max(n, 0), l.s.cfg.SoMaxConn)
}

// Accept takes the next connection from a listener.
func (k *Socket) Accept() (*Socket, netip.AddrPort, error) {
	switch {
	case k.closed.Load():
		return nil, netip.AddrPort{}, syscall.EBADF
	case k.spec.transport != transportTCP:
		return nil, netip.AddrPort{}, syscall.EOPNOTSUPP
	case k.ln == nil:
		return nil, netip.AddrPort{}, syscall.EINVAL
	}
	k.ln.mu.Lock()
	c, closed := k.ln.queue.pop(), k.ln.closed
	k.ln.mu.Unlock()
	switch {
	case closed: // by shutdown
		return nil, netip.AddrPort{}, syscall.EINVAL
	case c == nil:
		return nil, netip.AddrPort{}, syscall.EAGAIN
	}
	c.lock()
	c.ln = nil
	c.mu.Unlock()
	n := &Socket{s: k.s, spec: k.spec, only6: k.only6, tcp: c}
	return n, n.outward(c.node.key.remoteAddr()), nil
}

// entered reports whether the connection has a name.
func (c *TCPConn) entered() bool {
	c.lock()
	defer c.mu.Unlock()
	return c.node.key != flowKey{}
}

// Connect begins a connection and returns EINPROGRESS, then EALREADY while it
// lasts, then how it ended, once, and EISCONN when it stands. For UDP it sets
// the peer; the zero address dissolves that.
func (k *Socket) Connect(a netip.AddrPort) error {
	if k.closed.Load() {
		return syscall.EBADF
	}
	switch k.spec.transport {
	case transportUDP:
		return errno(k.connectUDP(a))
	case transportIP:
		return k.connectRaw(a)
	}
	switch {
	case k.ln != nil:
		return syscall.EISCONN
	case k.tcp.entered():
		return k.connecting()
	case k.deferred.IsValid():
		return syscall.EISCONN
	}
	to, err := k.inward(a)
	if err != nil {
		return err
	}
	if k.deferConnect(to) {
		k.deferred = a
		return nil
	}
	if k.fast.Connect {
		k.tcp.needOpening().early = &earlyData{} // asks for a cookie
	}
	if err := k.openTCP(to); err != nil {
		return errno(err)
	}
	k.tcp.opening = nil
	return syscall.EINPROGRESS
}

// openTCP begins a connection.
func (k *Socket) openTCP(to netip.AddrPort) error {
	remote := netip.AddrPortFrom(thisComputer(k.bound.addr.Addr(), to.Addr()), to.Port())
	if k.isBound {
		k.tcp.how = k.claim // it is the connection's from now on, unless this fails
	}
	if err := k.tcp.open(endpoints{local: k.bound.addr, remote: remote, family: k.spec.family}, k.isBound, nil); err != nil {
		k.renew()
		return err
	}
	// What has happened already, as on a wire that answers at once, is told by
	// the next call: Linux handles the answer only when connect lets go of the
	// socket.
	k.late = true
	return nil
}

// renew gives the socket another connection to begin, with the options of the
// one before.
func (k *Socket) renew() {
	old := k.tcp
	k.tcp = k.s.newTCPConn(networkOf(k.spec))
	k.tcp.tcb.Inherit(&old.tcb)
	k.tcp.linger, k.tcp.tos = old.linger, old.tos
}

// revive makes a socket whose connection has failed ready for another one. Its
// port went with the connection; if it was bound it gets that back. What the
// connection had received is lost. Its lock is held.
func (k *Socket) revive() {
	k.tcp.shut()
	k.tcp.detach()
	k.renew()
	if k.isBound {
		a := k.bound.addr
		_, err := k.s.tcpPorts.bind(k.claimed, a.Port(), k.claim, k.s.portOffset(a, netip.AddrPort{}))
		k.isBound = err == nil
	}
}

// connecting is what connect says on a socket that is at it already.
func (k *Socket) connecting() error {
	c := k.tcp
	c.lock()
	defer c.mu.Unlock()
	switch {
	case c.soErr != 0 && k.late:
		k.late = false
		defer k.revive()
		return c.takeError()
	case c.soErr != 0:
		return c.takeError()
	case c.connected && k.late:
		k.late = false
		return nil
	case c.connected:
		return syscall.EISCONN
	case c.tcb.State() == tcp.StateSynSent || c.tcb.State() == tcp.StateSynReceived:
		return syscall.EALREADY
	}
	if k.late { // somebody has taken the error
		k.late = false
		defer k.revive()
	}
	return syscall.ECONNABORTED
}

// connectUDP sets or changes the peer. What waits to be read is lost, and a
// call that fails leaves everything as it was.
func (k *Socket) connectUDP(a netip.AddrPort) error {
	if !a.IsValid() {
		return k.dissolve()
	}
	to, err := k.inward(a)
	if err != nil {
		return err
	}
	local := k.bound.addr
	if k.udp != nil {
		local = k.udp.node.key.localAddr()
	}
	if to.Addr().Is4() && !local.Addr().Is4() && !local.Addr().IsUnspecified() {
		switch {
		case !k.isBound: // an earlier connect chose the address, and another one can
			local = netip.AddrPortFrom(k.bound.addr.Addr(), local.Port())
		case a.Addr().Is4():
			return syscall.EAFNOSUPPORT
		}
	}
	remote := netip.AddrPortFrom(thisComputer(local.Addr(), to.Addr()), to.Port())
	if _, err := k.s.routeFrom(local.Addr(), remote.Addr()); err != nil {
		return err
	}
	told := k.bound
	if k.udp != nil {
		k.udp.close()
		k.udp = nil
	}
	k.bound.addr = local
	err = k.openUDP(remote)
	k.bound = told
	return err
}

// dissolve takes the peer away, and the port as well if nobody asked for that
// one; the next call that needs a port draws another.
func (k *Socket) dissolve() error {
	if k.udp == nil {
		return nil
	}
	k.udp.close()
	k.udp = nil
	if !k.fixed {
		k.bound.addr = netip.AddrPortFrom(k.bound.addr.Addr(), 0)
		return nil
	}
	return k.openUDP(netip.AddrPort{})
}

// openUDP makes the socket behind a UDP descriptor, when it first needs an
// address.
func (k *Socket) openUDP(remote netip.AddrPort) error {
	var err error
	var r route
	if remote.IsValid() {
		if r, err = k.s.routeFrom(k.bound.addr.Addr(), remote.Addr()); err != nil {
			return err
		}
	}
	k.udp, err = k.s.newUDP(networkOf(k.spec), k.bound, remote, r)
	return err
}

// Close closes the socket: all other calls say EBADF from then on.
func (k *Socket) Close() error {
	if k.closed.Swap(true) {
		return syscall.EBADF
	}
	switch {
	case k.ln != nil:
		if err := k.ln.Close(); errno(err) != syscall.EBADF { // else shutdown did it
			return errno(err)
		}
		return nil
	case k.udp != nil:
		return errno(k.udp.Close())
	case k.raw != nil:
		return errno(k.raw.Close())
	case k.tcp != nil && !k.tcp.entered():
		k.unclaim()
		return nil
	case k.tcp != nil:
		return errno(k.tcp.Close())
	}
	return nil
}

// CloseNow is Close for who cannot wait: a linger time passes in the background.
func (k *Socket) CloseNow() error {
	if c := k.tcp; c != nil && k.ln == nil && c.entered() {
		if k.closed.Swap(true) {
			return syscall.EBADF
		}
		x, err := c.beginClose()
		if x.baton {
			c.s.run(int(c.node.queue), x.now, false)
		}
		return errno(err)
	}
	return k.Close()
}
