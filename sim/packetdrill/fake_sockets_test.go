package packetdrill

import (
	"net/netip"
	"slices"
	"syscall"
	"time"
)

func (k *fakeKernel) sock(fd int) (*fakeSock, error) {
	if fd < 100 || fd-100 >= len(k.socks) || k.socks[fd-100] == nil {
		return nil, syscall.EBADF
	}
	return k.socks[fd-100], nil
}

func (k *fakeKernel) Socket(domain Domain, typ SocketType, protocol int) (int, error) {
	if domain != Inet && domain != Inet6 {
		return -1, syscall.EAFNOSUPPORT
	}
	k.socks = append(k.socks, &fakeSock{k: k, typ: typ, opts: map[string]any{}, mss: 1000})
	return 100 + len(k.socks) - 1, nil
}

func (k *fakeKernel) Bind(fd int, addr netip.AddrPort) error {
	s, err := k.sock(fd)
	if err == nil {
		s.local = addr
		if addr.Port() == 0 {
			s.local = netip.AddrPortFrom(addr.Addr(), 5555)
		}
	}
	return err
}

func (k *fakeKernel) Listen(fd, backlog int) error {
	s, err := k.sock(fd)
	if err == nil {
		s.listening = true
	}
	return err
}

func (k *fakeKernel) Accept(fd int) (int, netip.AddrPort, error) {
	s, err := k.sock(fd)
	if err != nil {
		return -1, netip.AddrPort{}, err
	}
	if len(s.backlog) == 0 || s.backlog[0].state != "ESTABLISHED" {
		return -1, netip.AddrPort{}, syscall.EAGAIN
	}
	n := s.backlog[0]
	s.backlog = s.backlog[1:]
	return 100 + slices.Index(k.socks, n), n.remote, nil
}

func (k *fakeKernel) Connect(fd int, addr netip.AddrPort) error {
	s, err := k.sock(fd)
	switch {
	case err != nil:
		return err
	case !addr.IsValid():
		s.remote = netip.AddrPort{}
		return nil
	case s.typ == Dgram:
		s.remote = addr
		if !s.local.IsValid() {
			s.local = netip.AddrPortFrom(s.pick(addr.Addr()), 6000)
		}
		return nil
	case s.state == "ESTABLISHED" && s.opts["connected"] == nil:
		s.opts["connected"] = true
		return nil
	case s.state == "ESTABLISHED":
		return syscall.EISCONN
	case s.err != 0:
		return s.take()
	case s.state == "SYN-SENT":
		return syscall.EALREADY
	}
	s.local, s.remote, s.state = netip.AddrPortFrom(s.pick(addr.Addr()), 6001), addr, "SYN-SENT"
	s.isn, s.ts, s.tsBase = 5000, true, 88000
	s.snd, s.una = s.isn+1, s.isn
	k.emit(s.segment(flagSYN, s.isn, nil))
	k.after(time.Second, func() {
		if s.state == "SYN-SENT" {
			k.emit(s.segment(flagSYN, s.isn, nil))
		}
	})
	return syscall.EINPROGRESS
}

// pick chooses the local address for a remote one.
func (s *fakeSock) pick(remote netip.Addr) netip.Addr {
	local := s.k.setup.Local[0].Addr()
	if remote.Is6() && local.Is4() {
		return netip.AddrFrom16(local.As16())
	}
	return local
}

func (s *fakeSock) take() error {
	err := s.err
	s.err = 0
	return err
}

func (k *fakeKernel) Send(fd int, p []byte, flags MsgFlags, to netip.AddrPort) (int, error) {
	s, err := k.sock(fd)
	switch {
	case err != nil:
		return -1, err
	case s.err != 0:
		return -1, s.take()
	case s.typ == Dgram:
		if to.IsValid() {
			s.remote = to
		}
		if !s.local.IsValid() {
			s.local = netip.AddrPortFrom(s.pick(s.remote.Addr()), 6000)
		}
		return len(p), k.sendUDP(s, p)
	case s.fin || s.state != "ESTABLISHED":
		return -1, syscall.EPIPE
	case len(s.queue) >= 8000:
		return -1, syscall.EAGAIN
	}
	n := min(len(p), 8000-len(s.queue))
	s.queue = append(s.queue, p[:n]...)
	s.unsent += n
	s.flush()
	return n, nil
}

// sendUDP sends a datagram, in fragments if it is longer than the MTU.
func (k *fakeKernel) sendUDP(s *fakeSock, b []byte) error {
	p := &packet{proto: protoUDP, src: s.local.Addr().Unmap(), srcPort: s.local.Port(), dst: s.remote.Addr().Unmap(), dstPort: s.remote.Port(), data: b, id: 99}
	if len(b) <= k.setup.MTU-48 {
		k.emit(p)
		return nil
	}
	p.encode()
	const piece = 1448
	for off := 0; off < len(p.body); off += piece {
		f := *p
		f.frag, f.fragOff = true, off
		f.mf = off+piece < len(p.body)
		f.body = p.body[off:min(off+piece, len(p.body))]
		k.emit(&f)
	}
	return nil
}

func (k *fakeKernel) Recv(fd int, p []byte, flags MsgFlags) (int, netip.AddrPort, MsgFlags, error) {
	s, err := k.sock(fd)
	switch {
	case err != nil:
		return -1, netip.AddrPort{}, 0, err
	case s.typ == Dgram && len(s.queue) == 0 || s.typ == Stream && len(s.recv) == 0 && !s.eof:
		if s.err != 0 {
			return -1, netip.AddrPort{}, 0, s.take()
		}
		return -1, netip.AddrPort{}, 0, syscall.EAGAIN
	}
	n, size := copy(p, s.recv), len(s.recv)
	var out MsgFlags
	if flags&MsgPeek == 0 {
		s.recv = s.recv[n:]
		if s.typ == Dgram {
			s.queue = nil
		}
	}
	if s.typ == Dgram && n < size {
		if out |= MsgTrunc; flags&MsgTrunc != 0 {
			n = size
		}
	}
	return n, s.remote, out, nil
}

func (k *fakeKernel) Shutdown(fd int, how ShutdownHow) error {
	s, err := k.sock(fd)
	if err != nil {
		return err
	}
	if s.state == "" {
		return syscall.ENOTCONN
	}
	if how != ShutRead && !s.fin {
		s.fin = true
		k.emit(s.segment(flagFIN|flagACK, s.snd, nil))
		s.snd++
	}
	return nil
}

func (k *fakeKernel) CloseSocket(fd int) error {
	s, err := k.sock(fd)
	if err != nil {
		return err
	}
	if s.opts["SO_LINGER"] == (Linger{true, 5}) && len(s.queue) > 0 {
		return syscall.EAGAIN
	}
	if s.state == "ESTABLISHED" {
		_ = k.Shutdown(fd, ShutWrite)
	}
	s.listening = false
	if s.state == "" {
		k.socks[fd-100] = nil
	}
	return nil
}

func (k *fakeKernel) LocalAddr(fd int) (netip.AddrPort, error) {
	s, err := k.sock(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return s.local, nil
}

func (k *fakeKernel) RemoteAddr(fd int) (netip.AddrPort, error) {
	s, err := k.sock(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if s.typ == Stream && s.state == "" || !s.remote.IsValid() {
		return netip.AddrPort{}, syscall.ENOTCONN
	}
	return s.remote, nil
}

func (k *fakeKernel) SetSockOpt(fd int, level, name string, value any) error {
	s, err := k.sock(fd)
	if err == nil {
		if name == "TCP_MAXSEG" && value == 0 {
			return syscall.EINVAL
		}
		s.opts[name] = value
	}
	return err
}

func (k *fakeKernel) GetSockOpt(fd int, level, name string) (any, error) {
	s, err := k.sock(fd)
	if err != nil {
		return nil, err
	}
	if name == "SO_ERROR" {
		err := s.err
		s.err = 0
		return err, nil
	}
	v, ok := s.opts[name]
	if !ok {
		return nil, syscall.ENOPROTOOPT
	}
	return v, nil
}

func (k *fakeKernel) Ioctl(fd int, request string) (int, error) {
	s, err := k.sock(fd)
	if err != nil {
		return 0, err
	}
	if request == "SIOCINQ" {
		return len(s.recv), nil
	}
	return len(s.queue), nil
}

func (k *fakeKernel) Poll(fd int, events PollEvents) (PollEvents, error) {
	s, err := k.sock(fd)
	if err != nil {
		return 0, err
	}
	var got PollEvents
	if len(s.recv) > 0 || s.eof || len(s.backlog) > 0 && s.backlog[0].state == "ESTABLISHED" {
		got |= PollIn
	}
	if s.state == "ESTABLISHED" && len(s.queue) < 8000 {
		got |= PollOut
	}
	got &= events
	if s.err != 0 {
		got |= PollErr
	}
	return got, nil
}

func (k *fakeKernel) TCPInfo(fd int) (map[string]int64, error) {
	s, err := k.sock(fd)
	if err != nil {
		return nil, err
	}
	if s.state == "" {
		return nil, syscall.EINVAL
	}
	return map[string]int64{"tcpi_state": 1, "tcpi_snd_cwnd": 10, "tcpi_unacked": int64(len(s.queue)+999) / 1000, "tcpi_rtt": 20000}, nil
}
