package socket

import (
	"net/netip"
	"sync"
	"syscall"
)

// A udpWay is all that is to be known to send to somebody.
type udpWay struct {
	key     flowKey
	hash    uint32
	sum     uint16 // of key
	outside bool
}

// A lastWay remembers the way that a socket without a peer sent last: most
// datagrams go there again. Senders that meet here do not wait for each other.
type lastWay struct {
	mu      sync.Mutex
	to      netip.AddrPort
	version uint32 // of the NIC's addresses, when the way was looked for
	way     udpWay
}

// find fills in w if to was the last destination, and nothing has changed since.
func (l *lastWay) find(to netip.AddrPort, version uint32, w *udpWay) bool {
	if !l.mu.TryLock() {
		return false
	}
	ok := l.to == to && l.version == version
	if ok {
		*w = l.way
	}
	l.mu.Unlock()
	return ok
}

func (l *lastWay) remember(to netip.AddrPort, version uint32, w *udpWay) {
	if l.mu.TryLock() {
		l.to, l.version, l.way = to, version, *w
		l.mu.Unlock()
	}
}

// wayTo fills in w, for to, or for the peer if to is the zero value. The error is
// an errno.
func (u *UDPConn) wayTo(to netip.AddrPort, w *udpWay) error {
	switch {
	case !to.IsValid() && !u.connected:
		return syscall.EDESTADDRREQ
	case to.IsValid() && to.Port() == 0:
		return syscall.EINVAL
	case !u.s.nic.Up():
		return syscall.ENETUNREACH
	case !to.IsValid():
		*w = udpWay{u.node.key, u.node.hash, u.node.sum, u.outside}
		return nil
	}
	version := u.s.nic.AddrVersion()
	if u.last.find(to, version, w) {
		return nil
	}
	from := u.boundAddr()
	if to.Addr().Is4() && u.bound == anyV6 {
		from = netip.Addr{} // what connect chose may be of the other family
	}
	r, err := u.s.routeFrom(from, to.Addr())
	if err != nil {
		return err
	}
	w.key = flowKey{local: ipOf(r.src), remote: ipOf(to.Addr()), lport: u.node.key.lport, rport: to.Port()}
	w.hash, w.sum, w.outside = w.key.hash(protoUDP), w.key.sum(), r.outside
	u.last.remember(to, version, w)
	return nil
}
