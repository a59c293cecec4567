//go:build linux

package packetdrill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// linuxKernel is the kernel of this machine, in a network namespace of its
// own with a TUN device for its wire: what the scripts say of Linux is tried
// on Linux. It runs in real time, so its clock ticks by itself and Advance
// sleeps.
type linuxKernel struct {
	tun   int
	epoch time.Time
	buf   []byte
	cc    string // congestion control of new sockets: a namespace may not choose any by sysctl

	closing map[int]chan error // of those whose close lingers
	awaited map[int]bool       // descriptors on which somebody sleeps in send
}

// tick is how often the TUN device is looked at; it bounds how exact the
// times of packets are.
const tick = 200 * time.Microsecond

// newLinux must be called on a locked thread, which is lost to others.
func newLinux(setup Setup) (Kernel, error) {
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("a network namespace: %w", err)
	}
	k := &linuxKernel{epoch: time.Now(), buf: make([]byte, 1<<16)}
	if err := k.openTun(); err != nil {
		return nil, err
	}
	local := setup.Local[0]
	commands := []string{
		"link set lo up",
		// Segments of one MSS each: offload would add PSH flags as it pleases.
		fmt.Sprintf("link set tun0 mtu %d gso_max_segs 1 up", setup.MTU),
		"route add default dev tun0",
		"route add ::/0 dev tun0",
	}
	if local.Addr().Is4() {
		commands = append(commands, "addr add "+netip.PrefixFrom(local.Addr(), 32).String()+" dev tun0")
	} else {
		commands = append(commands, "addr add "+netip.PrefixFrom(local.Addr(), 128).String()+" dev tun0 nodad")
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ip: %w: %s", err, out)
	}
	defaults := []sysctlSetting{ // of Linux as it comes, whatever this machine has
		{"net.ipv4.tcp_congestion_control", "cubic"}, {"net.ipv4.tcp_rmem", "4096 131072 6291456"}, {"net.ipv4.tcp_wmem", "4096 16384 4194304"},
		{"net.ipv4.tcp_ecn", "2"}, {"net.ipv4.tcp_retries2", "15"}, {"net.ipv4.tcp_no_metrics_save", "1"},
		{"net.ipv4.icmp_ratelimit", "1000"}, {"net.ipv6.conf.all.accept_dad", "0"},
	}
	for _, s := range defaults {
		if err := k.SetSysctl(s.name, s.value); err != nil {
			return nil, err
		}
	}
	for name, value := range setup.Sysctls {
		if err := k.SetSysctl(name, value); err != nil {
			return nil, err
		}
	}
	if local.Addr().Is6() {
		time.Sleep(200 * time.Millisecond) // until the address works
	}
	k.epoch = time.Now()
	return k, nil
}

func (k *linuxKernel) openTun() error {
	const tunSetIff, iffTun, iffNoPI = 0x400454ca, 1, 0x1000
	var err error
	if k.tun, err = syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0); err != nil {
		return err
	}
	var req [40]byte
	copy(req[:], "tun0")
	binary.NativeEndian.PutUint16(req[16:], iffTun|iffNoPI)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(k.tun), tunSetIff, uintptr(unsafe.Pointer(&req[0]))); errno != 0 {
		return errno
	}
	return nil
}

func (k *linuxKernel) Now() time.Duration      { return time.Since(k.epoch) }
func (k *linuxKernel) Deadline() time.Duration { return k.Now() + tick }

func (k *linuxKernel) Advance(to time.Duration) {
	if d := to - k.Now(); d > 0 {
		time.Sleep(d)
	}
}

func (k *linuxKernel) Inject(b []byte) error {
	_, err := syscall.Write(k.tun, b)
	return err
}

func (k *linuxKernel) NextOutbound() ([]byte, time.Duration, bool) {
	n, err := syscall.Read(k.tun, k.buf)
	if err != nil || n <= 0 {
		return nil, 0, false
	}
	return append([]byte(nil), k.buf[:n]...), k.Now(), true
}

func (k *linuxKernel) SetSysctl(name, value string) error {
	if name == "net.ipv4.tcp_congestion_control" {
		k.cc = value
		return nil
	}
	err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0o644)
	if err != nil && strings.HasPrefix(name, "net.core.") {
		return nil // of the machine, not of a namespace
	}
	return err
}

func (k *linuxKernel) Close() error { return syscall.Close(k.tun) }

func (k *linuxKernel) Socket(domain Domain, typ SocketType, protocol int) (int, error) {
	fd, err := syscall.Socket(int(domain), int(typ)|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, err
	}
	if typ == Stream {
		err = syscall.SetsockoptString(fd, syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, k.cc)
	}
	return fd, err
}

func sockaddr(a netip.AddrPort) syscall.Sockaddr {
	switch {
	case !a.IsValid():
		return nil
	case a.Addr().Is4():
		return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &syscall.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func fromSockaddr(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func (k *linuxKernel) Bind(fd int, addr netip.AddrPort) error {
	return syscall.Bind(fd, sockaddr(addr))
}
func (k *linuxKernel) Listen(fd int, backlog int) error { return syscall.Listen(fd, backlog) }

func (k *linuxKernel) Accept(fd int) (int, netip.AddrPort, error) {
	conn, sa, err := syscall.Accept4(fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	return conn, fromSockaddr(sa), err
}

func (k *linuxKernel) Connect(fd int, addr netip.AddrPort) error {
	if addr.IsValid() {
		return syscall.Connect(fd, sockaddr(addr))
	}
	var unspec [16]byte
	_, _, errno := syscall.Syscall(syscall.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unspec[0])), 16)
	if errno != 0 {
		return errno
	}
	return nil
}

func (k *linuxKernel) Send(fd int, p []byte, flags MsgFlags, to netip.AddrPort) (int, error) {
	return syscall.SendmsgN(fd, p, nil, sockaddr(to), int(flags|MsgNoSignal|MsgDontWait))
}

// AwaitWrite implements WriteWaiter: it sleeps on fd in a send of nothing, which waits for the connection as any other
// does. Whether a call may sleep is decided when it begins.
func (k *linuxKernel) AwaitWrite(fd int) {
	if k.awaited[fd] {
		return
	}
	if k.awaited == nil {
		k.awaited = map[int]bool{}
	}
	k.awaited[fd] = true
	_ = syscall.SetNonblock(fd, false)
	go func() { _, _ = syscall.SendmsgN(fd, nil, nil, nil, int(MsgNoSignal)) }()
	time.Sleep(tick)
	_ = syscall.SetNonblock(fd, true)
}

func (k *linuxKernel) Recv(fd int, p []byte, flags MsgFlags) (int, netip.AddrPort, MsgFlags, error) {
	n, _, out, sa, err := syscall.Recvmsg(fd, p, nil, int(flags&^MsgWaitAll|MsgDontWait))
	return n, fromSockaddr(sa), MsgFlags(out &^ syscall.MSG_CTRUNC), err // there is no room for control messages
}

func (k *linuxKernel) Shutdown(fd int, how ShutdownHow) error { return syscall.Shutdown(fd, int(how)) }

// CloseSocket does not wait for a close that lingers, which another thread makes.
func (k *linuxKernel) CloseSocket(fd int) error {
	done := k.closing[fd]
	if done == nil {
		linger, err := k.getsockopt(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, make([]byte, 8))
		if err != nil || binary.NativeEndian.Uint32(linger) == 0 || binary.NativeEndian.Uint32(linger[4:]) == 0 {
			return syscall.Close(fd)
		}
		if k.closing == nil {
			k.closing = map[int]chan error{}
		}
		done = make(chan error, 1)
		k.closing[fd] = done
		go func() { done <- syscall.Close(fd) }()
	}
	select {
	case err := <-done:
		delete(k.closing, fd)
		return err
	case <-time.After(tick):
		return syscall.EAGAIN
	}
}

func (k *linuxKernel) LocalAddr(fd int) (netip.AddrPort, error) {
	sa, err := syscall.Getsockname(fd)
	return fromSockaddr(sa), err
}

func (k *linuxKernel) RemoteAddr(fd int) (netip.AddrPort, error) {
	sa, err := syscall.Getpeername(fd)
	return fromSockaddr(sa), err
}

func optionNumbers(level, name string) (l, n int) {
	ln, _ := constantByName(level)
	nn, ok := constantByName(name)
	if !ok {
		_, _ = fmt.Sscan(name, &nn)
	}
	return int(ln), int(nn)
}

func (k *linuxKernel) SetSockOpt(fd int, level, name string, value any) error {
	l, n := optionNumbers(level, name)
	switch v := value.(type) {
	case string:
		return syscall.SetsockoptString(fd, l, n, v)
	case Linger:
		sl := &syscall.Linger{Linger: int32(v.Seconds)}
		if v.On {
			sl.Onoff = 1
		}
		return syscall.SetsockoptLinger(fd, l, n, sl)
	case time.Duration:
		tv := syscall.NsecToTimeval(int64(v))
		return syscall.SetsockoptTimeval(fd, l, n, &tv)
	}
	return syscall.SetsockoptInt(fd, l, n, value.(int))
}

func (k *linuxKernel) getsockopt(fd, l, n int, b []byte) ([]byte, error) {
	size := uint32(len(b))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), uintptr(l), uintptr(n), uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil, errno
	}
	return b[:size], nil
}

func (k *linuxKernel) GetSockOpt(fd int, level, name string) (any, error) {
	l, n := optionNumbers(level, name)
	b, err := k.getsockopt(fd, l, n, make([]byte, 64))
	switch {
	case err != nil:
		return nil, err
	case name == "TCP_CONGESTION":
		return strings.TrimRight(string(b), "\x00"), nil
	case name == "SO_LINGER":
		return Linger{b[0] != 0, int(binary.NativeEndian.Uint32(b[4:]))}, nil
	case len(b) == 16:
		return time.Duration(binary.NativeEndian.Uint64(b))*time.Second + time.Duration(binary.NativeEndian.Uint64(b[8:]))*time.Microsecond, nil
	case len(b) < 4:
		return nil, errors.New("short option")
	}
	return int(int32(binary.NativeEndian.Uint32(b))), nil
}

func (k *linuxKernel) Ioctl(fd int, request string) (int, error) {
	num, _ := constantByName(request)
	var n int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), uintptr(num), uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (k *linuxKernel) Poll(fd int, events PollEvents) (PollEvents, error) {
	var p [8]byte
	binary.NativeEndian.PutUint32(p[:], uint32(fd))
	binary.NativeEndian.PutUint16(p[4:], uint16(events))
	var zero [2]int64
	_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p[0])), 1, uintptr(unsafe.Pointer(&zero[0])), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return PollEvents(binary.NativeEndian.Uint16(p[6:])), nil
}

// TCPInfo reads struct tcp_info of linux/tcp.h.
func (k *linuxKernel) TCPInfo(fd int) (map[string]int64, error) {
	b, err := k.getsockopt(fd, syscall.IPPROTO_TCP, syscall.TCP_INFO, make([]byte, 512))
	if err != nil {
		return nil, err
	}
	info := map[string]int64{}
	info["tcpi_fastopen_client_fail"] = int64(b[7] >> 1 & 3)
	for i, name := range []string{"state", "ca_state", "retransmits", "probes", "backoff", "options"} {
		info["tcpi_"+name] = int64(b[i])
	}
	info["tcpi_snd_wscale"], info["tcpi_rcv_wscale"] = int64(b[6]&15), int64(b[6]>>4)
	words := "rto ato snd_mss rcv_mss unacked sacked lost retrans fackets last_data_sent last_ack_sent last_data_recv last_ack_recv " +
		"pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans"
	at := 8
	for _, name := range strings.Fields(words) {
		info["tcpi_"+name] = int64(binary.NativeEndian.Uint32(b[at:]))
		at += 4
	}
	read := func(width int, names string) {
		for _, name := range strings.Fields(names) {
			if at+width > len(b) {
				return
			}
			if width == 8 {
				info["tcpi_"+name] = int64(binary.NativeEndian.Uint64(b[at:]))
			} else {
				info["tcpi_"+name] = int64(binary.NativeEndian.Uint32(b[at:]))
			}
			at += width
		}
	}
	read(8, "pacing_rate max_pacing_rate bytes_acked bytes_received")
	read(4, "segs_out segs_in notsent_bytes min_rtt data_segs_in data_segs_out")
	read(8, "delivery_rate busy_time rwnd_limited sndbuf_limited")
	read(4, "delivered delivered_ce")
	read(8, "bytes_sent bytes_retrans")
	read(4, "dsack_dups reord_seen rcv_ooopack snd_wnd rcv_wnd rehash")
	for i, name := range []string{"total_rto", "total_rto_recoveries"} {
		info["tcpi_"+name] = int64(binary.NativeEndian.Uint16(b[at+2*i:]))
	}
	info["tcpi_total_rto_time"] = int64(binary.NativeEndian.Uint32(b[at+4:]))
	return info, nil
}

// TestScriptsOnLinux plays our scripts on the kernel of this machine. It
// takes root and as long as the scripts take in real time, so it runs only
// when PACKETDRILL_LINUX is set: to a pattern that names of scripts contain,
// or to "all". PACKETDRILL_DIR names a directory of more scripts.
func TestScriptsOnLinux(t *testing.T) {
	pattern := os.Getenv("PACKETDRILL_LINUX")
	if pattern == "" {
		t.Skip("set PACKETDRILL_LINUX=all, as root, to try the scripts on the kernel of this machine")
	}
	for _, dir := range []string{"testdata", "generated", "differences", os.Getenv("PACKETDRILL_DIR")} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		names, err := Scripts(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if pattern == "all" || strings.Contains(name, pattern) {
				runFileOnLinux(t, dir, name, pattern != "all")
			}
		}
	}
}

// runFileOnLinux starts the subtests of a script, over mapped addresses too
// if mapped is set.
func runFileOnLinux(t *testing.T, dir, name string, mapped bool) {
	src, err := os.ReadFile(dir + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	script, err := Parse(name, string(src))
	if err != nil {
		t.Fatal(err)
	}
	if d := scriptTime(script); d > longestOnLinux {
		t.Logf("%s takes %v: left out", name, d)
		return
	}
	for _, version := range script.Versions() {
		if version == IPv4Mapped && !mapped {
			continue
		}
		t.Run(name+"/"+string(version), func(t *testing.T) {
			t.Parallel()
			var err error
			for range triesOnLinux {
				if err = runOnLinux(script, version); err == nil {
					return
				}
			}
			t.Error(err)
		})
	}
}

// triesOnLinux is how often a script may miss: in real time, on a machine that
// does other work, packets come late.
const triesOnLinux = 6

// longestOnLinux is the longest script that is worth waiting for.
const longestOnLinux = 150 * time.Second

// scriptTime is about how long a script takes.
func scriptTime(s *Script) time.Duration {
	var d time.Duration
	for _, e := range s.events {
		if e.when.kind == timeAbsolute {
			d = 0
		}
		d += e.when.to
	}
	return d
}

// runOnLinux runs a script on a thread that ends with it, and its namespace.
func runOnLinux(script *Script, version IPVersion) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		// The timers of Linux have slack, an eighth of what they wait for, and then
		// the machine is busy.
		done <- script.Run(newLinux, Options{IPVersion: version, Tolerance: 12 * time.Millisecond, Percent: 20})
	}()
	return <-done
}
