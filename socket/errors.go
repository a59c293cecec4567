package socket

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"example.com/loopback/tcp"
)

// The errors of this package are those of package net on Linux: *net.OpError
// around *os.SyscallError around syscall.Errno, or around net.ErrClosed,
// os.ErrDeadlineExceeded and the address errors of package net, so that
// errors.Is and errors.As work as users of package net wrote them.

// errDeadline is what an operation past its deadline returns.
var errDeadline = os.ErrDeadlineExceeded

// errNoFile is what File returns.
var errNoFile = errors.ErrUnsupported

// errnoOf is the errno of a connection's end.
func errnoOf(err error) error {
	e, ok := err.(tcp.Error)
	if !ok {
		return err
	}
	switch e {
	case tcp.ErrReset:
		return syscall.ECONNRESET
	case tcp.ErrRefused:
		return syscall.ECONNREFUSED
	case tcp.ErrTimeout:
		return syscall.ETIMEDOUT
	case tcp.ErrPipe:
		return syscall.EPIPE
	case tcp.ErrAborted:
		return syscall.ECONNABORTED
	case tcp.ErrNetUnreach:
		return syscall.ENETUNREACH
	case tcp.ErrHostUnreach:
		return syscall.EHOSTUNREACH
	case tcp.ErrProtoUnreach:
		return syscall.ENOPROTOOPT
	case tcp.ErrNotSupported:
		return syscall.EOPNOTSUPP
	case tcp.ErrHostDown:
		return syscall.EHOSTDOWN
	case tcp.ErrNoNet:
		return errNoNet
	case tcp.ErrProto:
		return syscall.EPROTO
	case tcp.ErrAccess:
		return syscall.EACCES
	case tcp.ErrMessageSize:
		return syscall.EMSGSIZE
	case tcp.ErrNotConnected, tcp.ErrWouldNotClose:
		return syscall.ENOTCONN
	}
	return err
}

// network is what a connection was dialled or listened as, "tcp" to "udp6", in
// a byte; errors show it.
type network uint8

const (
	netTCP network = iota
	netTCP4
	netTCP6
	netUDP
	netUDP4
	netUDP6

	netWide network = 0x80 // of a TCP connection with an IPv6 socket, whose IPv4 addresses have 16 bytes
)

// String returns the name as package net has it.
func (n network) String() string {
	return [...]string{"tcp", "tcp4", "tcp6", "udp", "udp4", "udp6"}[n&^netWide]
}

func (n network) wide() bool { return n&netWide != 0 }

// networkOf is the network that spec was made from.
func networkOf(spec netSpec) network {
	n := netTCP
	if spec.transport == transportUDP {
		n = netUDP
	}
	switch spec.family {
	case 4:
		n++
	case 6:
		n += 2
	}
	return n
}

// tcpAddr makes a *net.TCPAddr; with wide, an IPv4 address has 16 bytes, as
// package net gives those of an IPv6 socket.
func tcpAddr(a netip.AddrPort, wide bool) *net.TCPAddr {
	ip := net.IP(a.Addr().AsSlice())
	if wide {
		ip = ip.To16()
	}
	return &net.TCPAddr{IP: ip, Port: int(a.Port()), Zone: a.Addr().Zone()}
}

// udpAddr makes a *net.UDPAddr; with wide, an IPv4 address has 16 bytes, as
// package net gives those of an IPv6 socket.
func udpAddr(a netip.AddrPort, wide bool) *net.UDPAddr {
	ip := net.IP(a.Addr().AsSlice())
	if wide {
		ip = ip.To16()
	}
	return &net.UDPAddr{IP: ip, Port: int(a.Port())}
}

// addrPortAddr is an address that the user gave as a netip.AddrPort; errors
// show it as it is.
type addrPortAddr struct{ netip.AddrPort }

// Network returns "udp".
func (addrPortAddr) Network() string { return "udp" }

// bindable checks that a socket may be bound to a: the unspecified address or
// one of this computer.
func (s *Stack) bindable(a netip.Addr) (ip, error) {
	switch {
	case !a.IsValid():
		return anyV6, nil
	case a.IsUnspecified() && a.Is4():
		return anyV4, nil
	case a.IsUnspecified():
		return anyV6, nil
	case !s.nic.IsLocal(a):
		return ip{}, syscall.EADDRNOTAVAIL
	}
	return ipOf(a), nil
}
