package socket

import (
	"encoding/binary"
	"net/netip"
	"syscall"
)

// A route says how a packet to some address leaves.
type route struct {
	src     netip.Addr
	outside bool // by the open wire, not to this computer
}

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()

	broadcast         = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	loopbackBroadcast = netip.AddrFrom4([4]byte{127, 255, 255, 255}) // of 127/8, which Linux knows as one
)

// route finds the way to dst and the source address a socket without one of
// its own gets: 127.0.0.1 for all of 127/8, as Linux's local table prefers it;
// a local address itself for itself; the first address of the family for what
// lies outside.
func (s *Stack) route(dst netip.Addr) (route, error) {
	if !s.nic.Up() {
		return route{}, syscall.ENETUNREACH
	}
	if s.nic.IsLocal(dst) {
		if dst.Is4() && dst.IsLoopback() {
			return route{src: loopback4}, nil
		}
		return route{src: dst}, nil
	}
	if !s.nic.Open() {
		return route{}, syscall.ENETUNREACH
	}
	src, ok := s.outsideSource(dst)
	if !ok {
		return route{}, syscall.ENETUNREACH
	}
	return route{src: src, outside: true}, nil
}

// outsideSource is the local address whose prefix covers dst, or else the
// first of dst's family that means something to others.
func (s *Stack) outsideSource(dst netip.Addr) (netip.Addr, bool) {
	var first netip.Addr
	for _, p := range s.nic.Addrs() {
		a := p.Addr()
		if a.Is4() != dst.Is4() || a.IsLoopback() {
			continue
		}
		if p.Contains(dst) {
			return a, true
		}
		if !first.IsValid() {
			first = a
		}
	}
	return first, first.IsValid()
}

// ofMany reports whether r leads to more than one computer: a group, everybody, or all computers on a network of ours.
func (s *Stack) ofMany(r route, dst netip.Addr) bool {
	if !r.outside {
		return dst == loopbackBroadcast
	}
	if !dst.Is4() || dst.IsMulticast() {
		return dst.IsMulticast()
	}
	if dst == broadcast {
		return true
	}
	for _, p := range s.nic.Addrs() {
		if p.Addr().Is4() && p.Bits() <= 30 && dst == lastOf(p) {
			return true
		}
	}
	return false
}

// lastOf is the last address of an IPv4 network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	host := ^uint32(0) >> p.Bits()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|host)
	return netip.AddrFrom4(b)
}

// routeFrom is route for a socket that has bound src already. There is no way
// from an address of one family to one of the other.
func (s *Stack) routeFrom(src, dst netip.Addr) (route, error) {
	r, err := s.route(dst)
	if err != nil {
		return r, err
	}
	if src.IsValid() && !src.IsUnspecified() {
		switch {
		case src.Is4() && !dst.Is4():
			return r, syscall.EAFNOSUPPORT
		case dst.Is4() && !src.Is4():
			return r, syscall.ENETUNREACH
		}
		r.src = src
	}
	if r.outside && r.src.IsLoopback() {
		return r, syscall.EINVAL // Linux: a loopback source does not leave the computer
	}
	return r, nil
}
