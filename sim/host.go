package sim

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"example.com/loopback/socket"
)

// A Host is a computer of a Net: a name and an address. Its methods are safe for concurrent use.
type Host struct {
	n    *Net
	name string
	addr netip.Addr
}

// Host returns the host of that name, which it makes if there is none. Its address, from 127.1.0.1 to 127.255.255.254,
// is a hash of the name: it does not depend on the seed or on which host was named first, but for the rare two names
// with one hash, of which the later takes the next free address. The name is in the hosts table. It panics when name
// cannot be that of a host (see socket.Hosts.Add) or is one that the table has already, such as localhost.
func (n *Net) Host(name string) *Host {
	key := strings.ToLower(strings.TrimSuffix(name, "."))
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.byName[key]; h != nil {
		return h
	}
	if len(n.stack.Hosts().Lookup(key)) > 0 {
		panic("sim: there is a host " + name + " in the hosts table already")
	}
	h := &Host{n: n, name: key, addr: n.freeAddr(key)}
	if err := n.stack.Hosts().Add(h.addr, name); err != nil {
		panic("sim: " + err.Error())
	}
	n.byName[key] = h
	return h
}

// freeAddr probes from the name's hash on; the lock is held.
func (n *Net) freeAddr(key string) netip.Addr {
	const hosts = 255 * 256 * 254
	x := mix(hashBytes([]byte(key)))
	for {
		i := x % hosts
		a := netip.AddrFrom4([4]byte{127, byte(1 + i/(256*254)), byte(i / 254 % 256), byte(1 + i%254)})
		if len(n.stack.Hosts().LookupAddr(a)) == 0 {
			return a
		}
		x++
	}
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Addr returns the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// String returns the host's name and address.
func (h *Host) String() string { return h.name + " (" + h.addr.String() + ")" }

// Listen announces on address, of the network "tcp" or "tcp4", as net.Listen does. An address without a host, such as
// ":80", or with an unspecified one is the host's own; one that is another's is refused with EADDRNOTAVAIL.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	address, err := h.own(network, address)
	if err != nil {
		return nil, err
	}
	return h.n.stack.Listen(network, address)
}

// ListenPacket is Listen for "udp" and "udp4".
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	address, err := h.own(network, address)
	if err != nil {
		return nil, err
	}
	return h.n.stack.ListenPacket(network, address)
}

// own completes the address to listen on.
func (h *Host) own(network, address string) (string, error) {
	fail := func(err error) (string, error) { return "", &net.OpError{Op: "listen", Net: network, Err: err} }
	if h.Down() {
		return fail(os.NewSyscallError("bind", syscall.ENETDOWN))
	}
	if address == "" {
		address = ":0"
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return fail(err)
	}
	ip, err := netip.ParseAddr(name)
	switch {
	case name == "" || err == nil && ip.IsUnspecified() || err == nil && ip.Unmap() == h.addr:
	case strings.EqualFold(strings.TrimSuffix(name, "."), h.name):
	default:
		return fail(os.NewSyscallError("bind", syscall.EADDRNOTAVAIL))
	}
	return net.JoinHostPort(h.addr.String(), port), nil
}

// Dial connects from the host's address to address, which may name another host: "db:5432". See DialContext.
func (h *Host) Dial(network, address string) (net.Conn, error) {
	return h.DialContext(context.Background(), network, address)
}

// DialContext is Dial with a context; it fits http.Transport.DialContext. The network is "tcp", "tcp4", "udp" or
// "udp4". Errors are those of net.Dialer; a host that is down fails with ENETDOWN.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: network, Err: err} }
	if h.Down() {
		return fail(os.NewSyscallError("connect", syscall.ENETDOWN))
	}
	d := socket.Dialer{Stack: h.n.stack}
	switch network {
	case "tcp", "tcp4":
		d.LocalAddr = &net.TCPAddr{IP: h.addr.AsSlice()}
	case "udp", "udp4":
		d.LocalAddr = &net.UDPAddr{IP: h.addr.AsSlice()}
	default:
		return fail(net.UnknownNetworkError(network))
	}
	c, err := h.dial(ctx, d, network, address)
	if err != nil && h.Down() && errors.Is(err, net.ErrClosed) {
		return fail(os.NewSyscallError("connect", syscall.ENETDOWN)) // it crashed meanwhile
	}
	return c, err
}

// Crash is a power cut: all sockets of the host are gone at once and nothing is sent. Packets for it are lost, and its
// own goroutines, which no crash can stop, get net.ErrClosed from their sockets and ENETDOWN from new ones. Peers wait
// for answers that do not come. Packets that the host has sent before still arrive.
func (h *Host) Crash() {
	h.n.setDown(h.addr, true)
	h.n.stack.Forget(func(local netip.Addr) bool { return local == h.addr })
}

// Restart brings a crashed host up again, with nothing on it: segments of connections of old are answered by a RST
// until they are made anew, and somebody has to listen again.
func (h *Host) Restart() { h.n.setDown(h.addr, false) }

// Down reports whether the host has crashed and not been restarted.
func (h *Host) Down() bool { return h.n.state.Load().down[h.addr] }
