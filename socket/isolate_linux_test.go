package socket_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// listenBacklog listens with room for one connection to wait, as Linux counts: there may be one more. A Stack has to
// have been made with SoMaxConn 1.
func listenBacklog(api netAPI, address string) (net.Listener, error) {
	l, err := api.Listen("tcp", address)
	if tl, ok := l.(*net.TCPListener); ok && err == nil {
		var raw syscall.RawConn
		if raw, err = tl.SyscallConn(); err == nil {
			err = raw.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), 1) }) // a second listen changes the backlog
		}
	}
	return l, err
}

// isolate runs f on a computer of its own that has lo and no other interface: a fresh network namespace. ports, if
// not zero, are its ephemeral ports. f must not use other goroutines. Without the right to make one the test is
// skipped.
func isolate(t *testing.T, ports [2]uint16, f func()) {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		err := enterNamespace(ports)
		if err == nil {
			f()
		}
		failed <- err
	}()
	err := <-failed
	if os.IsPermission(err) {
		t.Skipf("the kernel's answer needs a network namespace: %v", err)
	}
	require.NoError(t, err)
}

// enterNamespace moves this thread into a new network namespace and brings lo up there.
func enterNamespace(ports [2]uint16) error {
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP}
	copy(request.name[:], "lo")
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	if ports == [2]uint16{} {
		return nil
	}
	return os.WriteFile("/proc/thread-self/root/proc/sys/net/ipv4/ip_local_port_range", fmt.Appendf(nil, "%d %d", ports[0], ports[1]), 0)
}
