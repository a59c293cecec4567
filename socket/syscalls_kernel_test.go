//go:build linux

package socket_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// scriptOnKernel is the kernel's scriptSocket: a non-blocking file descriptor.
type scriptOnKernel struct {
	fd      int
	network string
}

func openOnKernel(network string) (scriptSocket, error) {
	domain, kind, proto := syscall.AF_INET, syscall.SOCK_STREAM, 0
	name, number, raw := strings.Cut(network, ":")
	if strings.HasSuffix(name, "6") {
		domain = syscall.AF_INET6
	}
	if raw {
		kind = syscall.SOCK_RAW
		proto, _ = strconv.Atoi(number)
	}
	if strings.HasPrefix(network, "udp") {
		kind = syscall.SOCK_DGRAM
	}
	if network == "unix" {
		return nil, syscall.EAFNOSUPPORT // of a family that the stack does not have
	}
	fd, err := syscall.Socket(domain, kind|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, proto)
	return &scriptOnKernel{fd, network}, err
}

func scriptSockaddr(a netip.AddrPort) syscall.Sockaddr {
	if a.Addr().Is4() {
		return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &syscall.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func scriptAddrPort(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func (k *scriptOnKernel) bind(a netip.AddrPort) error { return syscall.Bind(k.fd, scriptSockaddr(a)) }
func (k *scriptOnKernel) listen(backlog int) error    { return syscall.Listen(k.fd, backlog) }

func (k *scriptOnKernel) accept() (scriptSocket, netip.AddrPort, error) {
	fd, sa, err := syscall.Accept4(k.fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return &scriptOnKernel{fd, k.network}, scriptAddrPort(sa), nil
}

func (k *scriptOnKernel) connect(a netip.AddrPort) error {
	if a.IsValid() {
		return syscall.Connect(k.fd, scriptSockaddr(a))
	}
	var unspec syscall.RawSockaddr // AF_UNSPEC
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CONNECT, uintptr(k.fd), uintptr(unsafe.Pointer(&unspec)), unsafe.Sizeof(unspec)); errno != 0 {
		return errno
	}
	return nil
}

func (k *scriptOnKernel) send(p []byte, flags int, to netip.AddrPort) (int, error) {
	var sa syscall.Sockaddr
	if to.IsValid() {
		sa = scriptSockaddr(to)
	}
	n, err := syscall.SendmsgN(k.fd, p, nil, sa, flags|syscall.MSG_NOSIGNAL)
	return max(n, 0), err
}

func (k *scriptOnKernel) recv(p []byte, flags int) (int, netip.AddrPort, error) {
	n, sa, err := syscall.Recvfrom(k.fd, p, flags)
	return max(n, 0), scriptAddrPort(sa), err
}

func (k *scriptOnKernel) shutdown(read, write bool) error {
	how := syscall.SHUT_RD
	if read && write {
		how = syscall.SHUT_RDWR
	} else if write {
		how = syscall.SHUT_WR
	}
	return syscall.Shutdown(k.fd, how)
}

func (k *scriptOnKernel) close() error {
	fd := k.fd
	k.fd = -1 // another socket may get the number
	return syscall.Close(fd)
}

func (k *scriptOnKernel) local() netip.AddrPort {
	sa, err := syscall.Getsockname(k.fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return scriptAddrPort(sa)
}

func (k *scriptOnKernel) remote() (netip.AddrPort, error) {
	sa, err := syscall.Getpeername(k.fd)
	return scriptAddrPort(sa), err
}

func (k *scriptOnKernel) soError() error {
	n, err := syscall.GetsockoptInt(k.fd, syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err == nil && n != 0 {
		return syscall.Errno(n)
	}
	return err
}

var kernelOptions = map[string][2]int{
	"reuse": {syscall.SOL_SOCKET, syscall.SO_REUSEADDR}, "only6": {syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY},
	"nodelay": {syscall.IPPROTO_TCP, syscall.TCP_NODELAY}, "cork": {syscall.IPPROTO_TCP, syscall.TCP_CORK},
	"usertimeout": {syscall.IPPROTO_TCP, 18},
}

func (k *scriptOnKernel) set(option string, value int) error {
	if option == "linger" {
		return syscall.SetsockoptLinger(k.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1, Linger: int32(value)})
	}
	o := kernelOptions[option]
	return syscall.SetsockoptInt(k.fd, o[0], o[1], value)
}

func (k *scriptOnKernel) get(option string) (int, error) {
	o := kernelOptions[option]
	return syscall.GetsockoptInt(k.fd, o[0], o[1])
}

// poll asks poll(2). It has POLLRDHUP for the peer's end of the stream, which we do not ask for.
func (k *scriptOnKernel) poll() (in, out, failed, hungUp bool) {
	request := struct {
		fd              int32
		events, revents int16
	}{fd: int32(k.fd), events: 1 | 4}
	var now syscall.Timespec
	_, _, _ = syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&request)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	e := request.revents
	return e&1 != 0, e&4 != 0, e&8 != 0, e&0x10 != 0
}

// TestSyscallScriptsOfKernel: the results in the scripts are what this kernel says. A busy machine may put off an answer,
// so each scenario has a few chances.
func TestSyscallScriptsOfKernel(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skipf("this computer has no IPv6: %v", err)
	} else {
		defer l.Close()
	}
	var file strings.Builder
	for _, script := range readScripts(t) {
		t.Run(strings.TrimPrefix(script[0], "# "), func(t *testing.T) {
			if strings.Contains(script[0], "raw sockets") && os.Geteuid() != 0 && !*rewrite {
				t.Skip("raw sockets are root's")
			}
			var got []string
			for range 5 {
				if got = runScript(script, openOnKernel); strings.Join(got, "\n") == strings.Join(script, "\n") {
					break
				}
			}
			fmt.Fprintln(&file, strings.Join(got, "\n")+"\n")
			if !*rewrite {
				require.Equal(t, strings.Join(script, "\n"), strings.Join(got, "\n"), "- script, + this kernel")
			}
		})
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(scriptFile, []byte(strings.TrimSuffix(file.String(), "\n")), 0o644))
	}
}
