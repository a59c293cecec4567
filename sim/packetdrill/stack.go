package packetdrill

import (
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/loopback/sim"
	"example.com/loopback/sim/capture"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// NewStack makes this project's stack the computer of a script: a sim.Driver
// with the addresses, MTU and settings that the script asks for. It fits Run
// and Suite. An error names the sysctl that is at fault.
func NewStack(setup Setup) (Kernel, error) {
	k := &stackKernel{fds: map[int]*descriptor{}, next: 3}
	// Without segmentation offload PSH is where the text ends, as scripts have it.
	k.tcp.GSOMaxSegs = 1
	cfg := socket.Config{MTU: setup.MTU, Seed: setup.Seed, TCP: &k.tcp}
	names := make([]string, 0, len(setup.Sysctls))
	for name := range setup.Sysctls {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := k.sysctl(&cfg, name, setup.Sysctls[name]); err != nil {
			return nil, err
		}
	}
	var err error
	if k.Driver, err = sim.NewDriver(sim.DriverConfig{Stack: cfg, Addrs: setup.Local}); err != nil {
		return nil, err
	}
	k.Stack().SetFastOpenKeys(k.keys...)
	return k, nil
}

// stackKernel is a Kernel on a sim.Driver.
type stackKernel struct {
	*sim.Driver
	tcp  tcp.Config
	keys [][16]byte // of TCP Fast Open
	fds  map[int]*descriptor
	next int
	last tcp.Cause // of the packet given last
}

// sysctl changes a setting of the computer to be made.
func (k *stackKernel) sysctl(cfg *socket.Config, name, value string) error {
	n, _ := strconv.Atoi(strings.TrimSpace(value))
	sw := tcp.On
	if n == 0 {
		sw = tcp.Off
	}
	switch name {
	case "net.ipv4.tcp_syncookies":
		cfg.SynCookies = sw
		if n == 2 {
			cfg.SynCookies = tcp.Always
		}
	case "net.ipv4.tcp_fastopen_key":
		keys, err := fastOpenKeys(value)
		k.keys = keys
		return err
	case "net.ipv4.tcp_tw_reuse":
		cfg.TWReuse = sw
	case "net.ipv4.tcp_max_tw_buckets":
		cfg.MaxTWBuckets = n
	case "net.ipv4.tcp_tw_reuse_delay":
		cfg.TWReuseDelay = time.Duration(n) * time.Millisecond
	case "net.ipv4.ip_local_port_range":
		if _, err := fmt.Sscan(value, &cfg.EphemeralPorts[0], &cfg.EphemeralPorts[1]); err != nil {
			return fmt.Errorf("%s = %q: not two ports", name, value)
		}
	case "net.ipv4.ip_default_ttl":
		cfg.TTL = n
	case "net.core.somaxconn":
		cfg.SoMaxConn = n
	case "net.core.rmem_default":
		cfg.UDPRecvBuf = n
	default:
		return k.tcp.Set(name, value)
	}
	return nil
}

// SetSysctl implements Kernel: what the script changes holds for connections
// that begin from now on.
func (k *stackKernel) SetSysctl(name, value string) error {
	if name == "net.ipv4.tcp_fastopen_key" {
		keys, err := fastOpenKeys(value)
		if err == nil {
			k.Stack().SetFastOpenKeys(keys...)
		}
		return err
	}
	next := k.tcp
	if err := next.Set(name, value); err != nil {
		return err
	}
	k.tcp = next
	return k.Stack().SetTCP(&next)
}

// NextOutbound implements Wire.
func (k *stackKernel) NextOutbound() ([]byte, time.Duration, bool) {
	s, ok := k.Next()
	k.last = s.Cause
	return s.Packet, s.At, ok
}

// OutboundCause implements Explainer.
func (k *stackKernel) OutboundCause() string {
	if capture.Notable(k.last) {
		return k.last.String()
	}
	return ""
}

// A descriptor is an open file: a socket, and what a file has besides.
type descriptor struct {
	*socket.Socket
	domain Domain
	typ    SocketType
	opts   map[string]any // what was set, for what has no effect but to be read back

	chronos [numChronos]time.Duration
	noSpace bool // there was no room for what was written last

	lingers time.Duration // the end of a close that lingers; 0: none
}

func (k *stackKernel) fd(fd int) (*descriptor, error) {
	d := k.fds[fd]
	if d == nil {
		return nil, syscall.EBADF
	}
	return d, nil
}

func (k *stackKernel) add(s *socket.Socket, domain Domain, typ SocketType) int {
	fd := k.next
	k.next++
	k.fds[fd] = &descriptor{Socket: s, domain: domain, typ: typ, opts: map[string]any{}}
	return fd
}

// Socket implements Sockets.
func (k *stackKernel) Socket(domain Domain, typ SocketType, protocol int) (int, error) {
	family := "4"
	switch domain {
	case Inet:
	case Inet6:
		family = "6"
	default:
		return 0, syscall.EAFNOSUPPORT
	}
	var network string
	switch typ {
	case Stream:
		network = "tcp" + family
	case Dgram:
		network = "udp" + family
	case Raw:
		network = fmt.Sprintf("ip%s:%d", family, protocol)
	default:
		return 0, syscall.ESOCKTNOSUPPORT
	}
	s, err := k.Stack().Socket(network)
	if err != nil {
		return 0, err
	}
	return k.add(s, domain, typ), nil
}

// Bind implements Sockets.
func (k *stackKernel) Bind(fd int, addr netip.AddrPort) error {
	d, err := k.fd(fd)
	if err != nil {
		return err
	}
	return d.Socket.Bind(addr)
}

// Listen implements Sockets.
func (k *stackKernel) Listen(fd int, backlog int) error {
	d, err := k.fd(fd)
	if err != nil {
		return err
	}
	return d.Socket.Listen(backlog)
}

// Accept implements Sockets.
func (k *stackKernel) Accept(fd int) (int, netip.AddrPort, error) {
	d, err := k.fd(fd)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	s, peer, err := d.Socket.Accept()
	if err != nil {
		return 0, peer, err
	}
	conn := k.add(s, d.domain, d.typ)
	for name, v := range d.opts {
		k.fds[conn].opts[name] = v
	}
	return conn, peer, nil
}

// Connect implements Sockets.
func (k *stackKernel) Connect(fd int, addr netip.AddrPort) error {
	d, err := k.fd(fd)
	if err != nil {
		return err
	}
	if !addr.IsValid() && d.typ == Stream {
		// AF_UNSPEC: tcp_disconnect resets, and the descriptor is as new.
		linger := d.Conn()
		linger.SetLinger(0)
		d.Close()
		fresh, err := k.Stack().Socket(linger.LocalAddr().Network() + map[Domain]string{Inet: "4", Inet6: "6"}[d.domain])
		d.Socket = fresh
		return err
	}
	return d.Socket.Connect(addr)
}

// Send implements Sockets.
func (k *stackKernel) Send(fd int, p []byte, flags MsgFlags, to netip.AddrPort) (int, error) {
	d, err := k.fd(fd)
	if err != nil {
		return 0, err
	}
	n, err := d.Socket.Send(p, int(flags), to)
	d.noSpace = d.noSpace || n < len(p) && (err == nil || errors.Is(err, syscall.EAGAIN))
	return n, err
}

// AwaitWrite implements WriteWaiter.
func (k *stackKernel) AwaitWrite(fd int) {
	if d, err := k.fd(fd); err == nil && d.typ == Stream {
		_ = d.Socket.SetOption(func(t *tcp.TCB, _ time.Duration) { t.SetWritePending(true) })
	}
}

// Recv implements Sockets.
func (k *stackKernel) Recv(fd int, p []byte, flags MsgFlags) (int, netip.AddrPort, MsgFlags, error) {
	d, err := k.fd(fd)
	if err != nil {
		return 0, netip.AddrPort{}, 0, err
	}
	if d.typ == Stream {
		n, from, err := d.Socket.Recv(p, int(flags))
		return n, from, flags & MsgOOB, err
	}
	n, from, err := d.Socket.Recv(p, int(flags|MsgTrunc))
	var out MsgFlags
	if n > len(p) {
		out = MsgTrunc
		if flags&MsgTrunc == 0 {
			n = len(p)
		}
	}
	return n, from, out, err
}

// Shutdown implements Sockets.
func (k *stackKernel) Shutdown(fd int, how ShutdownHow) error {
	d, err := k.fd(fd)
	if err != nil {
		return err
	}
	return d.Socket.Shutdown(how != ShutWrite, how != ShutRead)
}

// CloseSocket implements Sockets.
func (k *stackKernel) CloseSocket(fd int) error {
	d, err := k.fd(fd)
	if err != nil {
		return err
	}
	if d.lingers == 0 {
		l, _ := d.opts["SOL_SOCKET.SO_LINGER"].(Linger)
		if err := d.Socket.CloseNow(); err != nil || d.typ != Stream || !l.On || l.Seconds == 0 {
			delete(k.fds, fd)
			return err
		}
		d.lingers = k.Now() + time.Duration(l.Seconds)*time.Second
	}
	if k.Now() < d.lingers && d.Conn().Info().State.Unfinished() {
		return syscall.EAGAIN
	}
	delete(k.fds, fd)
	return nil
}

// LocalAddr implements Sockets.
func (k *stackKernel) LocalAddr(fd int) (netip.AddrPort, error) {
	d, err := k.fd(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return d.Socket.LocalAddr(), nil
}

// RemoteAddr implements Sockets.
func (k *stackKernel) RemoteAddr(fd int) (netip.AddrPort, error) {
	d, err := k.fd(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return d.Socket.RemoteAddr()
}

// Poll implements Sockets.
func (k *stackKernel) Poll(fd int, events PollEvents) (PollEvents, error) {
	d, err := k.fd(fd)
	if err != nil {
		return PollNval, nil
	}
	readable, writable, failed, hungUp := d.Ready()
	var got PollEvents
	if readable {
		got |= events & (PollIn | PollRdNorm)
	}
	if writable {
		got |= events & (PollOut | PollWrNorm)
	}
	if d.Urgent() {
		got |= events & PollPri
	}
	if failed {
		got |= PollErr
	}
	if hungUp {
		got |= PollHup
	}
	if c := d.Conn(); c != nil && d.Listener() == nil && d.ReadShut() {
		got |= events & PollRdHup
	}
	return got, nil
}
