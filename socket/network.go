package socket

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// transport says what the first word of a network asks for.
type transport uint8

const (
	transportTCP transport = iota + 1
	transportUDP
	transportIP // raw IP datagrams of one protocol: "ip4:icmp"
)

// String returns the network without its address family: "tcp", "udp", "ip".
func (t transport) String() string {
	switch t {
	case transportTCP:
		return "tcp"
	case transportUDP:
		return "udp"
	}
	return "ip"
}

// netSpec is a network name, understood.
type netSpec struct {
	transport transport
	family    int // 4 or 6 if the name insists on it ("tcp4"), else 0
	protocol  int // number in the IP header: 6, 17, or what follows the colon of "ip4:icmp"; may exceed a byte
}

// parseNetwork understands the network names tcp, udp and ip, each with 4, 6 or nothing after it, and for ip a
// colon and the name or number of a protocol. Errors: net.UnknownNetworkError, and *net.AddrError for an unknown
// protocol.
func parseNetwork(network string) (netSpec, error) {
	name, protocol, hasProtocol := network, "", false
	if i := strings.LastIndexByte(network, ':'); i >= 0 {
		name, protocol, hasProtocol = network[:i], network[i+1:], true
	}
	var n netSpec
	if name != "" {
		switch last := len(name) - 1; name[last] {
		case '4':
			n.family, name = 4, name[:last]
		case '6':
			n.family, name = 6, name[:last]
		}
	}
	switch {
	case name == "tcp" && !hasProtocol:
		n.transport, n.protocol = transportTCP, 6
	case name == "udp" && !hasProtocol:
		n.transport, n.protocol = transportUDP, 17
	case name == "ip" && hasProtocol:
		number, ok := parseProtocol(protocol)
		if !ok {
			return netSpec{}, &net.AddrError{Err: "unknown IP protocol specified", Addr: protocol}
		}
		n.transport, n.protocol = transportIP, number
	default:
		return netSpec{}, net.UnknownNetworkError(network)
	}
	return n, nil
}

// parseProtocol reads the number or the name of an IP protocol.
func parseProtocol(s string) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return protocolNumber(s)
	}
	n, _ := parsePort(s)
	return n, n < 1<<24
}

// inetAddr is an address as the user gave it: what *net.TCPAddr, *net.UDPAddr and *net.IPAddr have in common. The
// zero value is "any address, any port", and is what nil stands for.
type inetAddr struct {
	ip   net.IP
	port int
}

func inetOfTCP(a *net.TCPAddr) inetAddr {
	if a == nil {
		return inetAddr{}
	}
	return inetAddr{a.IP, a.Port}
}

func inetOfUDP(a *net.UDPAddr) inetAddr {
	if a == nil {
		return inetAddr{}
	}
	return inetAddr{a.IP, a.Port}
}

func inetOfIP(a *net.IPAddr) inetAddr {
	if a == nil {
		return inetAddr{}
	}
	return inetAddr{ip: a.IP}
}

func inetOfAddrPort(a netip.AddrPort) inetAddr {
	return inetAddr{a.Addr().AsSlice(), int(a.Port())}
}

// isWildcard reports whether a names no address in particular. A nil IP does; an IP of a wrong length does not.
func (a inetAddr) isWildcard() bool { return a.ip == nil || a.ip.IsUnspecified() }

// family is the family that a alone would choose. What cannot be read as IPv6 counts as IPv4, as in package net.
func (a inetAddr) family() int {
	if len(a.ip) <= net.IPv4len || a.ip.To4() != nil {
		return 4
	}
	return 6
}

// sockaddr turns a into the address that a socket of the given family understands: the unspecified address for
// none at all, and IPv4 addresses stay IPv4 in an IPv6 socket (the caller knows that they mean IPv4-mapped ones).
// A zone is dropped: no address that can exist on this computer has one. Errors: *net.AddrError.
func (a inetAddr) sockaddr(family int) (netip.AddrPort, error) {
	addr, ok := netip.AddrFromSlice(a.ip)
	addr = addr.Unmap()
	switch {
	case family == 4 && len(a.ip) == 0:
		addr = netip.IPv4Unspecified()
	case family == 4 && !addr.Is4():
		return netip.AddrPort{}, &net.AddrError{Err: "non-IPv4 address", Addr: a.ip.String()}
	case family == 6 && (len(a.ip) == 0 || addr == netip.IPv4Unspecified()):
		addr = netip.IPv6Unspecified()
	case family == 6 && !ok:
		return netip.AddrPort{}, &net.AddrError{Err: "non-IPv6 address", Addr: a.ip.String()}
	}
	return netip.AddrPortFrom(addr, uint16(a.port)), nil
}

// binding is where a socket that waits for others is to be bound.
type binding struct {
	addr   netip.AddrPort // never invalid, never IPv4-mapped, without zone; the unspecified address for a wildcard
	family int            // 4 or 6, of the socket; an IPv6 socket may be bound to an IPv4 address
	v6only bool           // an IPv6 wildcard does not take IPv4 too
}

// dual reports whether the socket takes connections or datagrams of both families.
func (b binding) dual() bool { return b.family == 6 && !b.v6only && b.addr.Addr().IsUnspecified() }

// listenBinding chooses family and address of a listening socket as package net does on Linux: the networks tcp
// and udp with a wildcard of either family, or with none at all, make one socket for both families.
// Errors: *net.AddrError, and bind: EINVAL for an IPv4 address on a network of IPv6 only.
func listenBinding(n netSpec, local inetAddr) (binding, error) {
	b := binding{family: n.family}
	switch {
	case n.family == 6:
		b.v6only = true
	case n.family == 4:
	case local.isWildcard():
		b.family = 6
	default:
		b.family = local.family()
	}
	var err error
	if b.addr, err = local.sockaddr(b.family); err != nil {
		return binding{}, err
	}
	if b.v6only && b.addr.Addr().Is4() {
		return binding{}, os.NewSyscallError("bind", syscall.EINVAL)
	}
	return b, nil
}

// endpoints is what a dial binds and connects.
type endpoints struct {
	local      netip.AddrPort // the unspecified address or port 0 where the stack may choose
	remote     netip.AddrPort // never a wildcard: those mean this computer
	family     int            // 4 or 6, of the socket
	bind       bool           // the user chose local, or a part of it
	connectErr error          // what connect is bound to fail with, once bind has succeeded
}

// dialEndpoints chooses family and addresses of a connecting socket as package net and Linux do.
// Errors: *net.AddrError, and bind: EINVAL for a local IPv4 address on a network of IPv6 only.
func dialEndpoints(n netSpec, local, remote inetAddr, haveLocal bool) (endpoints, error) {
	e := endpoints{family: n.family, bind: haveLocal}
	if e.family == 0 {
		e.family = 6
		if (!haveLocal || local.family() == 4) && remote.family() == 4 {
			e.family = 4
		}
	}
	var err error
	if e.local, err = local.sockaddr(e.family); err != nil {
		return endpoints{}, err
	}
	if n.family == 6 && e.local.Addr().Is4() {
		return endpoints{}, os.NewSyscallError("bind", syscall.EINVAL)
	}
	if e.remote, err = remote.sockaddr(e.family); err != nil {
		return endpoints{}, err
	}
	e.remote = netip.AddrPortFrom(thisComputer(e.local.Addr(), e.remote.Addr()), e.remote.Port())
	e.connectErr = mixedFamilies(n, e.local.Addr(), e.remote.Addr())
	return e, nil
}

// thisComputer replaces a wildcard destination. Linux takes it for the address the socket is bound to, if that is
// IPv4, and else for the loopback address of its family.
func thisComputer(local, remote netip.Addr) netip.Addr {
	switch {
	case !remote.IsUnspecified():
		return remote
	case remote.Is4() && !local.IsUnspecified():
		return local
	case remote.Is4(), local.Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// mixedFamilies is connect's complaint when the two ends are not of one family.
func mixedFamilies(n netSpec, local, remote netip.Addr) error {
	switch {
	case remote.Is4() && n.family == 6, remote.Is4() && local.Is6() && !local.IsUnspecified():
		return os.NewSyscallError("connect", syscall.ENETUNREACH)
	case remote.Is6() && local.Is4() && !local.IsUnspecified():
		return os.NewSyscallError("connect", syscall.EAFNOSUPPORT)
	}
	return nil
}
