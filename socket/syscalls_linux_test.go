package socket_test

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"unsafe"

	"example.com/loopback/socket"
	"github.com/stretchr/testify/require"
)

// TestSyscallsLikeTheKernel plays sequences of non-blocking system calls on the kernel's sockets and on socket.Socket.
func TestSyscallsLikeTheKernel(t *testing.T) {
	for _, sit := range syscallSituations {
		for _, family := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s/IPv%d", sit.name, family), func(t *testing.T) {
				stack := socket.New(socket.Config{})
				defer stack.Close()
				ours := func(network string) (sysSocket, error) {
					s, err := stack.Socket(network)
					return stackSocket{s}, err
				}
				got := performSyscalls(sit, ours, family)
				var want string
				for range 5 {
					if want = performSyscalls(sit, newKernelSocket, family); want == got {
						t.Log("\n" + got)
						return
					}
				}
				t.Errorf("the stack differs: - kernel, + stack\n%s", difference(want, got))
			})
		}
	}
}

// sysSocket is what a socket does for its system calls.
type sysSocket interface {
	Bind(a netip.AddrPort) error
	Listen(backlog int) error
	accept() (sysSocket, netip.AddrPort, error)
	Connect(a netip.AddrPort) error // the zero AddrPort is AF_UNSPEC
	Send(p []byte, flags int, to netip.AddrPort) (int, error)
	Recv(p []byte, flags int) (int, netip.AddrPort, error)
	Shutdown(read, write bool) error
	Close() error
	LocalAddr() netip.AddrPort
	RemoteAddr() (netip.AddrPort, error)
	TakeError() error
	Ready() (readable, writable, failed, hungUp bool)
	SetReuse(on bool)
	SetOnly6(on bool)
}

type stackSocket struct{ *socket.Socket }

func (s stackSocket) accept() (sysSocket, netip.AddrPort, error) {
	n, from, err := s.Accept()
	return stackSocket{n}, from, err
}

// kernelSocket is a file descriptor.
type kernelSocket int

func newKernelSocket(network string) (sysSocket, error) {
	family, kind := syscall.AF_INET, syscall.SOCK_STREAM
	if network[3] == '6' {
		family = syscall.AF_INET6
	}
	if network[:3] == "udp" {
		kind = syscall.SOCK_DGRAM
	}
	fd, err := syscall.Socket(family, kind|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	return kernelSocket(fd), err
}

func sockaddrOf(a netip.AddrPort) syscall.Sockaddr {
	switch {
	case !a.IsValid():
		return nil
	case a.Addr().Is4():
		return &syscall.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &syscall.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func addrPortOfSockaddr(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func (k kernelSocket) Bind(a netip.AddrPort) error { return syscall.Bind(int(k), sockaddrOf(a)) }
func (k kernelSocket) Listen(backlog int) error    { return syscall.Listen(int(k), backlog) }

func (k kernelSocket) accept() (sysSocket, netip.AddrPort, error) {
	fd, sa, err := syscall.Accept4(int(k), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	return kernelSocket(fd), addrPortOfSockaddr(sa), err
}

func (k kernelSocket) Connect(a netip.AddrPort) error {
	if a.IsValid() {
		return syscall.Connect(int(k), sockaddrOf(a))
	}
	var unspec [16]byte // AF_UNSPEC is 0
	if _, _, errno := syscall.Syscall(syscall.SYS_CONNECT, uintptr(k), uintptr(unsafe.Pointer(&unspec)), 16); errno != 0 {
		return errno
	}
	return nil
}

func (k kernelSocket) Send(p []byte, flags int, to netip.AddrPort) (int, error) {
	return syscall.SendmsgN(int(k), p, nil, sockaddrOf(to), flags|syscall.MSG_NOSIGNAL)
}

func (k kernelSocket) Recv(p []byte, flags int) (int, netip.AddrPort, error) {
	n, sa, err := syscall.Recvfrom(int(k), p, flags)
	return max(n, 0), addrPortOfSockaddr(sa), err
}

func (k kernelSocket) Shutdown(read, write bool) error {
	how := syscall.SHUT_RD
	switch {
	case read && write:
		how = syscall.SHUT_RDWR
	case write:
		how = syscall.SHUT_WR
	}
	return syscall.Shutdown(int(k), how)
}

func (k kernelSocket) Close() error { return syscall.Close(int(k)) }

func (k kernelSocket) LocalAddr() netip.AddrPort {
	sa, _ := syscall.Getsockname(int(k))
	return addrPortOfSockaddr(sa)
}

func (k kernelSocket) RemoteAddr() (netip.AddrPort, error) {
	sa, err := syscall.Getpeername(int(k))
	return addrPortOfSockaddr(sa), err
}

func (k kernelSocket) TakeError() error {
	n, err := syscall.GetsockoptInt(int(k), syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err == nil && n != 0 {
		err = syscall.Errno(n)
	}
	return err
}

func (k kernelSocket) set(level, option int, on bool) {
	value := 0
	if on {
		value = 1
	}
	if err := syscall.SetsockoptInt(int(k), level, option, value); err != nil {
		panic(err)
	}
}

func (k kernelSocket) SetReuse(on bool) { k.set(syscall.SOL_SOCKET, syscall.SO_REUSEADDR, on) }
func (k kernelSocket) SetOnly6(on bool) { k.set(syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, on) }

func (k kernelSocket) Ready() (readable, writable, failed, hungUp bool) {
	fd := struct {
		fd              int32
		events, revents int16
	}{fd: int32(k), events: 1 | 4} // POLLIN, POLLOUT
	var now syscall.Timespec
	syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return fd.revents&1 != 0, fd.revents&4 != 0, fd.revents&8 != 0, fd.revents&16 != 0
}

// sysScene is one performance of a sequence of system calls.
type sysScene struct {
	*scene
	make func(network string) (sysSocket, error)
}

func performSyscalls(sit syscallSituation, mk func(string) (sysSocket, error), family int) string {
	s := &sysScene{scene: &scene{family: family, ports: make(map[string]string)}, make: mk}
	defer func() {
		for _, exit := range s.exits {
			exit()
		}
	}()
	sit.play(s)
	text := ""
	for _, line := range s.record {
		text += line + "\n"
	}
	return text
}

type syscallSituation struct {
	name string
	play func(s *sysScene)
}

// socket makes a socket of the scene's family.
func (s *sysScene) socket(transport string) sysSocket {
	k := must(s.make(s.of(transport)))
	s.atExit(func() { _ = k.Close() })
	return k
}

// at is the family's loopback address with a port.
func (s *sysScene) at(port uint16) netip.AddrPort {
	if s.family == 4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), port)
}

// errno writes an error down as number and text.
func (s *sysScene) errno(call string, err error) {
	e, _ := err.(syscall.Errno)
	s.tell("%s: %d %v", call, int(e), err)
}

func (s *sysScene) recv(k sysSocket, size, flags int) {
	b := make([]byte, size)
	n, from, err := k.Recv(b, flags)
	if err != nil {
		n, from = 0, netip.AddrPort{}
	}
	s.tell("recv(%d, %#x): n=%d %q from %v %v", size, flags, n, b[:min(n, size)], from, err)
}

func (s *sysScene) send(k sysSocket, text string) {
	n, err := k.Send([]byte(text), 0, netip.AddrPort{})
	s.tell("send(%q): n=%d %v", text, n, err)
}

func (s *sysScene) ready(who string, k sysSocket) {
	r, w, e, h := k.Ready()
	s.tell("%s is readable=%t writable=%t failed=%t hung up=%t", who, r, w, e, h)
}

func (s *sysScene) names(who string, k sysSocket) {
	remote, err := k.RemoteAddr()
	s.tell("%s: %v -> %v %v", who, k.LocalAddr(), remote, err)
}

// pair is a connection.
func (s *sysScene) pair() (client, server sysSocket) {
	l := s.socket("tcp")
	if err := l.Bind(s.at(0)); err != nil {
		panic(err)
	}
	if err := l.Listen(5); err != nil {
		panic(err)
	}
	client = s.socket("tcp")
	if err := client.Connect(l.LocalAddr()); err != syscall.EINPROGRESS {
		panic(fmt.Sprint("connect: ", err))
	}
	server, _, err := l.accept()
	if err != nil {
		panic(err)
	}
	s.atExit(func() { _ = server.Close() })
	return client, server
}

var syscallSituations = []syscallSituation{
	{"life of a connection", func(s *sysScene) {
		l := s.socket("tcp")
		s.names("fresh", l)
		s.ready("fresh", l)
		s.errno("bind", l.Bind(s.at(0)))
		s.names("bound", l)
		s.errno("listen", l.Listen(5))
		s.names("listener", l)
		s.ready("listener", l)
		_, _, err := l.accept()
		s.errno("accept", err)
		c := s.socket("tcp")
		s.errno("connect", c.Connect(l.LocalAddr()))
		s.ready("client", c)
		s.errno("connect", c.Connect(l.LocalAddr()))
		s.errno("connect", c.Connect(l.LocalAddr()))
		s.ready("listener", l)
		a, from, err := l.accept()
		s.tell("accept: %v %v", from, err)
		s.atExit(func() { _ = a.Close() })
		s.names("client", c)
		s.names("accepted", a)
		s.recv(c, 10, 0)
		s.send(a, "hello")
		s.ready("client", c)
		s.recv(c, 2, socket.MsgPeek)
		s.recv(c, 2, 0)
		s.recv(c, 10, socket.MsgPeek)
		s.recv(c, 10, 0)
		s.recv(c, 10, socket.MsgPeek)
		s.errno("shutdown write", a.Shutdown(false, true))
		s.ready("client", c)
		s.ready("accepted", a)
		s.recv(c, 10, 0)
		s.recv(c, 10, socket.MsgPeek)
		s.send(a, "x")
		s.send(c, "y")
		s.errno("shutdown both", c.Shutdown(true, true))
		s.ready("client", c)
		s.recv(a, 10, 0)
		s.recv(a, 10, 0)
		s.errno("shutdown again", c.Shutdown(false, true))
		s.errno("shutdown again", a.Shutdown(true, false))
		s.names("client", c)
	}},
	{"refused", func(s *sysScene) {
		l := s.socket("tcp")
		_ = l.Bind(s.at(0))
		addr := l.LocalAddr()
		for range 2 {
			c := s.socket("tcp")
			s.errno("connect", c.Connect(addr))
			s.ready("client", c)
			s.errno("SO_ERROR", c.TakeError())
			s.errno("SO_ERROR", c.TakeError())
			s.send(c, "x")
			s.recv(c, 10, 0)
		}
		c := s.socket("tcp")
		s.errno("connect", c.Connect(addr))
		s.errno("connect", c.Connect(addr))
	}},
	{"reset", func(s *sysScene) {
		c, a := s.pair()
		s.send(c, "unread")
		_ = a.Close()
		s.ready("client", c)
		s.recv(c, 10, socket.MsgPeek)
		s.recv(c, 10, 0)
		s.send(c, "x")
		s.errno("SO_ERROR", c.TakeError())
		s.names("client", c)
		c, a = s.pair()
		s.send(a, "unread")
		_ = c.Close()
		s.errno("SO_ERROR", a.TakeError())
		s.recv(a, 10, 0)
		s.send(a, "x")
	}},
	{"out of place", func(s *sysScene) {
		k := s.socket("tcp")
		_, _, err := k.accept()
		s.errno("accept", err)
		s.send(k, "x")
		s.recv(k, 10, 0)
		s.errno("shutdown", k.Shutdown(true, true))
		s.errno("bind", k.Bind(s.at(0)))
		s.errno("bind again", k.Bind(s.at(0)))
		_ = k.Listen(1)
		s.errno("listen again", k.Listen(2))
		s.errno("connect", k.Connect(s.at(9)))
		s.send(k, "x")
		s.recv(k, 10, 0)
		s.errno("bind in use", s.socket("tcp").Bind(k.LocalAddr()))
		r := s.socket("tcp")
		r.SetReuse(true)
		s.errno("bind in use, with SO_REUSEADDR", r.Bind(k.LocalAddr()))
		u := s.socket("udp")
		s.errno("listen on udp", u.Listen(1))
		c, _ := s.pair()
		s.errno("bind connected", c.Bind(s.at(0)))
		s.errno("listen connected", c.Listen(1))
		_, _, err = c.accept()
		s.errno("accept connected", err)
	}},
	{"the other family", func(s *sysScene) {
		other := &sysScene{scene: &scene{family: 10 - s.family}}
		for _, transport := range []string{"tcp", "udp"} {
			s.errno("bind", s.socket(transport).Bind(other.at(0)))
			s.errno("connect", s.socket(transport).Connect(other.at(9)))
		}
		_, err := s.socket("udp").Send([]byte("x"), 0, other.at(9))
		s.errno("send", err)
	}},
	{"not local", func(s *sysScene) {
		far := netip.MustParseAddrPort("198.51.100.1:80")
		if s.family == 6 {
			far = netip.MustParseAddrPort("[2001:db8::1]:80")
		}
		s.errno("bind tcp", s.socket("tcp").Bind(far))
		s.errno("bind udp", s.socket("udp").Bind(far))
	}},
	{"datagrams", func(s *sysScene) {
		a, b := s.socket("udp"), s.socket("udp")
		s.names("fresh", a)
		s.ready("fresh", a)
		s.errno("bind", a.Bind(s.at(0)))
		s.recv(a, 10, 0)
		s.send(b, "no peer")
		for _, text := range []string{"one", "two", "three", ""} {
			n, err := b.Send([]byte(text), 0, a.LocalAddr())
			s.tell("send %q: %d %v", text, n, err)
		}
		s.ready("receiver", a)
		s.recv(a, 10, socket.MsgPeek)
		s.recv(a, 2, socket.MsgPeek)
		s.recv(a, 10, 0)
		s.recv(a, 2, 0)
		s.recv(a, 2, socket.MsgTrunc)
		s.recv(a, 10, 0)
		s.recv(a, 10, 0)
		s.errno("connect", b.Connect(a.LocalAddr()))
		s.names("connected", b)
		s.send(b, "with a peer")
		s.recv(a, 20, 0)
		s.errno("connect to nobody", b.Connect(netip.AddrPort{}))
		s.send(b, "no peer")
		s.errno("shutdown", b.Shutdown(true, true))
		_, err := b.Send(make([]byte, 70000), 0, a.LocalAddr())
		s.errno("send too much", err)
	}},
	{"a datagram refused", func(s *sysScene) {
		gone := s.socket("udp")
		_ = gone.Bind(s.at(0))
		addr := gone.LocalAddr()
		_ = gone.Close()
		c := s.socket("udp")
		s.errno("connect", c.Connect(addr))
		s.send(c, "x")
		s.ready("client", c)
		s.errno("SO_ERROR", c.TakeError())
		s.errno("SO_ERROR", c.TakeError())
		s.send(c, "x")
		s.recv(c, 10, 0)
		s.recv(c, 10, 0)
		s.send(c, "x")
		s.send(c, "x")
		s.errno("shutdown", c.Shutdown(true, false))
	}},
	{"mapped addresses", func(s *sysScene) {
		if s.family == 4 {
			return
		}
		mapped := func(port uint16) netip.AddrPort {
			return netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), port)
		}
		l := s.socket("tcp")
		s.errno("bind to any", l.Bind(netip.MustParseAddrPort("[::]:0")))
		_ = l.Listen(1)
		s.names("listener", l)
		c := s.socket("tcp")
		s.errno("connect", c.Connect(mapped(l.LocalAddr().Port())))
		s.names("client", c)
		a, from, err := l.accept()
		s.tell("accept: %v %v", from, err)
		s.names("accepted", a)
		_ = a.Close()
		only := s.socket("udp")
		only.SetOnly6(true)
		s.errno("bind", only.Bind(mapped(0)))
		s.errno("connect", only.Connect(mapped(9)))
		u := s.socket("udp")
		s.errno("bind", u.Bind(mapped(0)))
		s.names("mapped", u)
		_, err = u.Send([]byte("to itself"), 0, u.LocalAddr())
		s.errno("send", err)
		s.recv(u, 20, 0)
	}},
}

// TestSocketAccessors: what a Socket shows of what is behind it.
func TestSocketAccessors(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	_, err := s.Socket("tcp")
	require.Equal(t, syscall.EAFNOSUPPORT, err, "a system call names its family")
	l, err := s.Socket("tcp4")
	require.NoError(t, err)
	require.NoError(t, l.Bind(netip.MustParseAddrPort("127.0.0.1:80")))
	require.NoError(t, l.Listen(1))
	require.Equal(t, "127.0.0.1:80", l.Listener().Addr().String())
	c, err := s.Socket("tcp4")
	require.NoError(t, err)
	require.Equal(t, syscall.EINPROGRESS, c.Connect(l.LocalAddr()))
	require.Equal(t, "127.0.0.1:80", c.Conn().RemoteAddr().String())
	require.False(t, c.ReadShut())
	a, _, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, a.CloseNow())
	require.True(t, c.ReadShut())
	require.NoError(t, c.CloseNow())
	require.NoError(t, l.CloseNow())
	u, err := s.Socket("udp6")
	require.NoError(t, err)
	require.Nil(t, u.UDP())
	require.NoError(t, u.Bind(netip.MustParseAddrPort("[::1]:53")))
	require.Equal(t, "[::1]:53", u.UDP().LocalAddr().String())
	require.NoError(t, u.Close())
	require.Zero(t, s.OpenSockets())
}
