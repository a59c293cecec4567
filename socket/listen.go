package socket

import (
	"context"
	"net"
	"net/netip"
	"os"
	"time"
)

// A ListenConfig has the options of a listener, as net.ListenConfig has; there
// is no Control, since there is no file descriptor to control.
type ListenConfig struct {
	// Stack is the computer to listen on.
	Stack *Stack
	// KeepAlive is the keep-alive idle time and interval of accepted
	// connections: 0 means 15 s, negative none. KeepAliveConfig.Enable overrides it.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig
	// Backlog bounds the accept queue and the half-open connections; 0 means
	// the stack's SoMaxConn, which is also the most.
	Backlog int
}

// Listen announces on address, of the network "tcp", "tcp4" or "tcp6".
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	s := lc.Stack
	addr, b, nw, err := s.listenOn(ctx, network, address, transportTCP)
	if err != nil {
		return nil, err
	}
	l, err := s.listenTCP(nw, b, lc)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: addr, Err: err}
	}
	return l, nil
}

// ListenPacket announces on address, of the network "udp", "udp4", "udp6", or
// "ip4:icmp" and the like.
func (lc *ListenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	s := lc.Stack
	spec, err := parseNetwork(network)
	if err == nil && spec.transport == transportIP {
		return s.listenIP(ctx, network, address, spec)
	}
	addr, b, nw, err := s.listenOn(ctx, network, address, transportUDP)
	if err != nil {
		return nil, err
	}
	u, err := s.newUDP(nw, b, netip.AddrPort{}, route{})
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: addr, Err: err}
	}
	return u, nil
}

// listenOn resolves what a Listen names, and wraps what goes wrong as package
// net does.
func (s *Stack) listenOn(ctx context.Context, name, address string, want transport) (addr net.Addr, b binding, nw network, err error) {
	ap, b, found, err := s.resolver.listenAddr(ctx, name, address)
	if err != nil && !found {
		return nil, b, 0, &net.OpError{Op: "listen", Net: name, Err: err}
	}
	spec, _ := parseNetwork(name)
	addr = listenOpAddr(spec, ap)
	if err == nil && spec.transport != want {
		err = &net.AddrError{Err: "unexpected address type", Addr: address}
	}
	if err != nil {
		return nil, b, 0, &net.OpError{Op: "listen", Net: name, Addr: addr, Err: err}
	}
	return addr, b, networkOf(spec), nil
}

// listenOpAddr is the address a listen error shows.
func listenOpAddr(spec netSpec, ap netip.AddrPort) net.Addr {
	switch spec.transport {
	case transportUDP:
		return udpAddr(ap, false)
	case transportIP:
		return &net.IPAddr{IP: ap.Addr().AsSlice()}
	}
	return tcpAddr(ap, false)
}

// listenTCP makes the listener.
func (s *Stack) listenTCP(nw network, b binding, lc *ListenConfig) (*TCPListener, error) {
	if s.closed.Load() {
		return nil, net.ErrClosed
	}
	l, err := s.bindTCP(nw, b)
	if err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keepAlive = keepAliveConfig(lc.KeepAlive, lc.KeepAliveConfig)
	if lc.Backlog > 0 {
		l.backlog = min(lc.Backlog, s.cfg.SoMaxConn)
	}
	return l, nil
}

// keepAliveConfig is how package net combines its two fields.
func keepAliveConfig(d time.Duration, c net.KeepAliveConfig) net.KeepAliveConfig {
	if !c.Enable && d >= 0 {
		return net.KeepAliveConfig{Enable: true, Idle: d}
	}
	return c
}

// Listen announces on address, of the network "tcp", "tcp4" or "tcp6", as net.Listen does.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	lc := ListenConfig{Stack: s}
	return lc.Listen(context.Background(), network, address)
}

// ListenPacket announces on address, of the network "udp", "udp4", "udp6", or
// of a raw one such as "ip4:icmp", as net.ListenPacket does.
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	lc := ListenConfig{Stack: s}
	return lc.ListenPacket(context.Background(), network, address)
}

// ListenTCP is Listen for TCP networks, as net.ListenTCP: a nil laddr means
// any address and an ephemeral port.
func (s *Stack) ListenTCP(network string, laddr *net.TCPAddr) (*TCPListener, error) {
	spec, err := parseNetwork(network)
	if err != nil || spec.transport != transportTCP {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: opAddr(laddr), Err: net.UnknownNetworkError(network)}
	}
	if laddr == nil {
		laddr = &net.TCPAddr{}
	}
	b, err := listenBinding(spec, inetOfTCP(laddr))
	if err == nil {
		var l *TCPListener
		if l, err = s.listenTCP(networkOf(spec), b, &ListenConfig{Stack: s}); err == nil {
			return l, nil
		}
	}
	return nil, &net.OpError{Op: "listen", Net: network, Addr: laddr, Err: err}
}

// ListenUDP is ListenPacket for UDP networks, as net.ListenUDP: a nil laddr
// means any address and an ephemeral port.
func (s *Stack) ListenUDP(network string, laddr *net.UDPAddr) (*UDPConn, error) {
	spec, err := parseNetwork(network)
	if err != nil || spec.transport != transportUDP {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: opAddr(laddr), Err: net.UnknownNetworkError(network)}
	}
	if laddr == nil {
		laddr = &net.UDPAddr{}
	}
	b, err := listenBinding(spec, inetOfUDP(laddr))
	if err == nil {
		var u *UDPConn
		if u, err = s.newUDP(networkOf(spec), b, netip.AddrPort{}, route{}); err == nil {
			return u, nil
		}
	}
	return nil, &net.OpError{Op: "listen", Net: network, Addr: laddr, Err: err}
}

// listenIP makes a raw socket.
func (s *Stack) listenIP(ctx context.Context, network, address string, spec netSpec) (net.PacketConn, error) {
	ap, b, found, err := s.resolver.listenAddr(ctx, network, address)
	if err == nil {
		var c *IPConn
		if c, err = s.newIPConn(network, spec.protocol, b.family, b.addr.Addr(), netip.Addr{}); err == nil {
			return c, nil
		}
	}
	op := &net.OpError{Op: "listen", Net: network, Err: err}
	if found {
		op.Addr = listenOpAddr(spec, ap)
	}
	return nil, op
}

// opAddr keeps a nil pointer from becoming an interface that is not nil.
func opAddr[A interface {
	comparable
	net.Addr
}](a A) net.Addr {
	var none A
	if a == none {
		return nil
	}
	return a
}
