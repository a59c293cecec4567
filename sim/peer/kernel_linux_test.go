package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// cannot ends a test that this machine is not made for: it is skipped, or with LOOPBACK_CI=1 fails.
func cannot(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("LOOPBACK_CI") == "1" {
		t.Fatalf("the kernel cannot be the peer: "+format, args...)
	}
	t.Skipf("the kernel cannot be the peer: "+format, args...)
}

// lacks ends a test for which the kernel lacks a feature, which no setup of the machine can change.
func lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Skipf("THIS KERNEL LACKS IT: "+format, args...)
}

// A kernel is a computer of its own within the running kernel: a network namespace, which lasts until the test ends.
type kernel struct {
	t  testing.TB
	ns *os.File // keeps the namespace alive
}

// settings of each namespace: those of Linux where distributions differ, and no limit to the rate of ICMP errors,
// which would make a test's outcome depend on the tests before. Older kernels do not have all of them.
var settings = []struct{ name, value string }{
	{"ipv4/icmp_ratelimit", "0"},
	{"ipv4/icmp_msgs_per_sec", "1000000"},
	{"ipv4/icmp_msgs_burst", "1000000"},
	{"ipv6/icmp/ratelimit", "0"},
	{"ipv4/ip_no_pmtu_disc", "0"},
	{"ipv4/tcp_ecn", "2"},
	{"ipv4/tcp_rmem", "4096 131072 6291456"},
	{"ipv4/tcp_wmem", "4096 16384 4194304"},
	{"ipv4/tcp_invalid_ratelimit", "500"},
	{"ipv4/ip_forward", "1"},
	{"ipv6/conf/all/forwarding", "1"},
	{"ipv6/conf/all/accept_dad", "0"},
}

// newKernel makes a namespace with lo up.
func newKernel(t testing.TB) *kernel {
	t.Helper()
	if os.Geteuid() != 0 {
		cannot(t, "it takes root to make a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		cannot(t, "iproute2 is not installed: %v", err)
	}
	k := &kernel{t: t}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			k.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	switch err := <-made; {
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS):
		lacks(t, "network namespaces: %v", err)
	case err != nil:
		cannot(t, "a network namespace: %v", err)
	}
	t.Cleanup(func() { k.ns.Close() })
	for _, s := range settings {
		k.set(s.name, s.value)
	}
	k.ip("link set lo up")
	return k
}

// do runs f in the namespace: sockets that f makes and commands that it starts belong there. f must make them in its
// own goroutine. It may be called concurrently.
func (k *kernel) do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good
		err := os.NewSyscallError("setns", unix.Setns(int(k.ns.Fd()), unix.CLONE_NEWNET))
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// set sets a sysctl, if there is such a one.
func (k *kernel) set(name, value string) {
	k.t.Helper()
	err := k.do(func() error { return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0) })
	if err != nil && !os.IsNotExist(err) {
		cannot(k.t, "sysctl net/%s=%s: %v", name, value, err)
	}
}

// run runs a command in the namespace and returns what it printed.
func (k *kernel) run(input, name string, args ...string) (string, error) {
	var out bytes.Buffer
	err := k.do(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
		return cmd.Run()
	})
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &out)
	}
	return out.String(), err
}

// ip runs commands of ip(8), one a line.
func (k *kernel) ip(lines ...string) {
	k.t.Helper()
	_, err := k.run(strings.Join(lines, "\n")+"\n", "ip", "-batch", "-")
	require.NoError(k.t, err)
}

// A tun is a TUN device of a kernel: one end of a wire.
type tun struct {
	k    *kernel
	name string
	file *os.File
	out  func(raw []byte)
	done chan struct{}
}

// tun makes a device that is up and has the given addresses.
func (k *kernel) tun(name string, mtu int, addrs ...netip.Prefix) *tun {
	k.t.Helper()
	d := &tun{k: k, name: name, done: make(chan struct{})}
	var fd int
	err := k.do(func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return os.NewSyscallError("open", err)
		}
		req, err := unix.NewIfreq(name)
		if err == nil {
			req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = os.NewSyscallError("TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, req))
		}
		if err != nil {
			unix.Close(fd)
		}
		return err
	})
	switch {
	case errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO): // the node is there, the driver is not
		lacks(k.t, "TUN devices: %v", err)
	case err != nil:
		cannot(k.t, "/dev/net/tun: %v", err)
	}
	d.file = os.NewFile(uintptr(fd), "/dev/net/tun")
	lines := []string{
		"link set " + name + " addrgenmode none",
		fmt.Sprintf("link set %s mtu %d txqueuelen 10000", name, mtu),
	}
	for _, a := range addrs {
		lines = append(lines, fmt.Sprintf("address add %s dev %s", a, name))
	}
	k.ip(append(lines, "link set "+name+" up")...)
	require.Eventually(k.t, func() bool { return !k.tentative() }, patience, time.Millisecond, "IPv6 addresses are ready")
	return d
}

// tentative reports whether an IPv6 address may not be used yet: the kernel notes later, in a work queue, that a device
// has come up.
func (k *kernel) tentative() bool {
	k.t.Helper()
	var b []byte
	require.NoError(k.t, k.do(func() (err error) {
		b, err = os.ReadFile("/proc/thread-self/net/if_inet6")
		return err
	}))
	for line := range strings.Lines(string(b)) {
		var addr, name string
		var index, length, scope, flags int
		_, err := fmt.Sscanf(line, "%s %x %x %x %x %s", &addr, &index, &length, &scope, &flags, &name)
		require.NoError(k.t, err)
		if flags&unix.IFA_F_TENTATIVE != 0 {
			return true
		}
	}
	return false
}

func (d *tun) plug(out func(raw []byte)) { d.out = out }

// start begins to read what the kernel sends.
func (d *tun) start() {
	go func() {
		defer close(d.done)
		b := make([]byte, 1<<16)
		for {
			n, err := d.file.Read(b)
			if err != nil {
				return
			}
			d.out(b[:n])
		}
	}()
	d.k.t.Cleanup(func() {
		d.file.Close()
		<-d.done
	})
}

// deliver hands a packet to the kernel.
func (d *tun) deliver(raw []byte) {
	// The kernel refuses what is not IP, and everything while the device is down or when its test has ended.
	_, _ = d.file.Write(raw)
}

// The sockets of a kernel are those of package net, made in its namespace.

func (k *kernel) String() string { return "kernel" }

// control makes a TCP socket's congestion control what Linux has by default, whatever this machine has. (The sysctl
// may refuse that within a namespace; without CUBIC it stays as it is.)
func control(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
}

func (k *kernel) dial(network string, local, remote netip.AddrPort, timeout time.Duration) (c net.Conn, err error) {
	d := net.Dialer{Timeout: timeout, KeepAlive: -1, LocalAddr: netAddr(network, local), Control: control}
	err = k.do(func() (err error) {
		c, err = d.Dial(network, remote.String())
		return err
	})
	return c, err
}

func (k *kernel) listen(network string, local netip.AddrPort) (l net.Listener, err error) {
	err = k.do(func() (err error) {
		cfg := net.ListenConfig{KeepAlive: -1, Control: control}
		l, err = cfg.Listen(context.Background(), network, local.String())
		return err
	})
	return l, err
}

func (k *kernel) listenPacket(network, local string) (c net.PacketConn, err error) {
	err = k.do(func() (err error) {
		c, err = net.ListenPacket(network, local)
		return err
	})
	return c, err
}

// netAddr is the net.Addr of an address; nil for the zero AddrPort.
func netAddr(network string, a netip.AddrPort) net.Addr {
	switch {
	case !a.IsValid():
		return nil
	case strings.HasPrefix(network, "udp"):
		return net.UDPAddrFromAddrPort(a)
	}
	return net.TCPAddrFromAddrPort(a)
}

// tcpStates are the numbers of /proc/net/tcp.
var tcpStates = []string{
	"", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED", "CLOSE-WAIT",
	"LAST-ACK", "LISTEN", "CLOSING", "SYN-RECEIVED",
}

// states returns the states of the connections with a local address and port, listeners left out.
func (k *kernel) states(local netip.AddrPort) (states []string) {
	k.t.Helper()
	table := "tcp"
	if local.Addr().Is6() {
		table = "tcp6"
	}
	var b []byte
	require.NoError(k.t, k.do(func() (err error) {
		b, err = os.ReadFile("/proc/thread-self/net/" + table)
		return err
	}))
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", local.Port())) {
			continue
		}
		var state int
		_, err := fmt.Sscanf(f[3], "%x", &state)
		require.NoError(k.t, err)
		if tcpStates[state] != "LISTEN" {
			states = append(states, tcpStates[state])
		}
	}
	return states
}
