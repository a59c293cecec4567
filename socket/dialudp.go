package socket

import (
	"net"
	"os"
	"syscall"
)

// dialUDP makes a connected UDP socket.
func (s *Stack) dialUDP(spec netSpec, local, remote inetAddr, haveLocal bool) (*UDPConn, error) {
	if s.closed.Load() {
		return nil, net.ErrClosed
	}
	e, err := dialEndpoints(spec, local, remote, haveLocal)
	if err != nil {
		return nil, err
	}
	if _, err := s.bindable(e.local.Addr()); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if e.connectErr != nil {
		return nil, e.connectErr
	}
	r, err := s.routeFrom(e.local.Addr(), e.remote.Addr())
	if err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	u, err := s.newUDP(networkOf(spec), binding{addr: e.local, family: e.family}, e.remote, r)
	if err != nil && !haveLocal {
		// Nobody has called bind: Linux's connect draws the port, and says EAGAIN when there is none.
		err = os.NewSyscallError("connect", syscall.EAGAIN)
	}
	return u, err
}

// dialIP makes a connected raw socket.
func (s *Stack) dialIP(network string, spec netSpec, local, remote inetAddr, haveLocal bool) (*IPConn, error) {
	e, err := dialEndpoints(spec, local, remote, haveLocal)
	if err != nil {
		return nil, err
	}
	if e.connectErr != nil {
		return nil, e.connectErr
	}
	return s.newIPConn(network, spec.protocol, e.family, e.local.Addr(), e.remote.Addr())
}
