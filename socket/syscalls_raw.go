package socket

import (
	"net/netip"
	"syscall"
)

// What is different about a Socket of a raw network ("ip4:icmp"): it receives
// from the beginning, may be bound and connected again and again, and has its
// protocol's number where others have a port. What waits to be read is lost
// when it is.

// openRaw makes the socket behind the descriptor, in place of the one before.
// A call that fails leaves everything as it was.
func (k *Socket) openRaw(local, remote netip.Addr) error {
	c, err := k.s.newIPConn(k.spec.transport.String(), k.spec.protocol, k.spec.family, local, remote)
	if err != nil {
		return errno(err)
	}
	if k.raw != nil {
		k.raw.close()
	}
	k.raw = c
	return nil
}

// bindRaw is Bind.
func (k *Socket) bindRaw(a netip.AddrPort) error {
	if k.peer.IsValid() {
		return syscall.EINVAL
	}
	to, err := k.rawAddr(a)
	if err != nil {
		return err
	}
	if err := k.openRaw(to, netip.Addr{}); err != nil {
		return err
	}
	k.bound.addr = netip.AddrPortFrom(to, 0)
	return nil
}

// connectRaw is Connect.
func (k *Socket) connectRaw(a netip.AddrPort) error {
	if !a.IsValid() {
		if err := k.openRaw(k.bound.addr.Addr(), netip.Addr{}); err != nil {
			return err
		}
		k.peer, k.unnumber = netip.AddrPort{}, true
		return nil
	}
	to, err := k.rawAddr(a)
	if err != nil {
		return err
	}
	to = thisComputer(k.bound.addr.Addr(), to)
	if err := k.openRaw(k.bound.addr.Addr(), to); err != nil {
		return err
	}
	k.peer, k.unnumber = netip.AddrPortFrom(to, a.Port()), false
	return nil
}

// rawAddr makes an address of a system call one for a raw socket, which has no
// IPv4-mapped ones.
func (k *Socket) rawAddr(a netip.AddrPort) (netip.Addr, error) {
	to, err := k.inward(a)
	if err == nil && to.Addr().Is4() != (k.spec.family == 4) {
		err = syscall.ENETUNREACH
	}
	return to.Addr(), err
}

// sendRaw is Send.
func (k *Socket) sendRaw(p []byte, to netip.AddrPort) (int, error) {
	if !to.IsValid() {
		to = k.peer
	}
	if !to.IsValid() {
		return 0, syscall.EDESTADDRREQ
	}
	addr, err := k.rawAddr(to)
	if err != nil {
		return 0, err
	}
	if err := k.raw.send(p, addr); err != nil {
		return 0, errno(err)
	}
	return len(p), nil
}

// rawName is LocalAddr.
func (k *Socket) rawName() netip.AddrPort {
	addr, port := k.raw.local.addr(), uint16(k.spec.protocol)
	if k.unnumber {
		port = 0
	}
	return netip.AddrPortFrom(addr, port)
}

// ready is what a poll of the socket would report.
func (c *IPConn) ready() (readable, writable, failed, hungUp bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) > 0, true, false, false
}
