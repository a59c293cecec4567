package sim

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// A descriptor is a socket under fuzzing and what is known of it.
type descriptor struct {
	*socket.Socket
	network string
	name    [2]netip.AddrPort // local and remote, of a connection
	wrote   int               // bytes, of a stream
	read    int
	failed  bool // an error has said that the stream is not whole
	deaf    bool // its user does not want to read any more
	closed  bool
}

const maxDescriptors = 32

var fixedPorts = []uint16{0, 80, 81, 50001}

// pattern is byte i of what the sender at a address sends: a function of both, so that whoever reads knows what to expect.
func pattern(from netip.AddrPort, i int) byte {
	x := uint64(i)*0x9e3779b97f4a7c15 + uint64(from.Port())*0xff51afd7ed558ccd
	return byte(x>>56 ^ x>>33)
}

func patterned(from netip.AddrPort, at, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = pattern(from, at+i)
	}
	return b
}

// call makes one system call.
func (w *whole) call(op byte) {
	if op < 12 || len(w.socks) == 0 {
		w.open()
		return
	}
	k := w.socks[w.in.n(len(w.socks))]
	switch {
	case op < 20:
		a := w.localAddress(k)
		w.note("%s bind %v: %v", k, a, k.Bind(a))
	case op < 28:
		n := w.in.n(4)
		w.note("%s listen %d: %v", k, n, k.Listen(n))
	case op < 40:
		w.accept(k)
	case op < 54:
		a := w.anyAddress(k)
		err := k.Connect(a)
		w.note("%s connect %v: %v", k, a, err)
		if k.network[:3] == "tcp" {
			w.connected(k, err)
		}
	case op < 84:
		w.send(k)
	case op < 108:
		w.receive(k, int(w.in.uint16()), of(w.in, 0, 0, 0, socket.MsgPeek, socket.MsgTrunc, socket.MsgOOB))
	case op < 112:
		r, wr := w.in.oneIn(3), w.in.n(3) > 0
		k.deaf = k.deaf || r
		k.failed = k.failed || !k.standing() // ends an attempt to connect
		w.note("%s shutdown %t %t: %v", k, r, wr, k.Shutdown(r, wr))
	case op < 119:
		k.closed = true
		w.note("%s close: %v", k, k.CloseNow())
		w.drop(k)
	default:
		w.option(k, op)
	}
}

func (k *descriptor) String() string { return k.network + k.name[0].String() }

func (w *whole) open() {
	if len(w.socks) == maxDescriptors {
		return
	}
	w.socket(of(w.in, "tcp4", "tcp6", "tcp4", "tcp6", "tcp4", "udp4", "udp6", "ip4:icmp", "ip6:ipv6-icmp", "ip4:253"))
}

func (w *whole) socket(network string) *descriptor {
	s, err := w.d.Stack().Socket(network)
	require.NoError(w.t, err)
	w.note("socket %s", network)
	k := &descriptor{Socket: s, network: network}
	w.socks = append(w.socks, k)
	return k
}

// drop forgets a descriptor that is closed.
func (w *whole) drop(k *descriptor) {
	for i, o := range w.socks {
		if o == k {
			w.socks = append(w.socks[:i], w.socks[i+1:]...)
			return
		}
	}
}

// localAddress is one to bind to.
func (w *whole) localAddress(k *descriptor) netip.AddrPort {
	port := of(w.in, fixedPorts...)
	if k.network[len(k.network)-1] == '6' || k.network == "ip6:ipv6-icmp" {
		return netip.AddrPortFrom(of(w.in, netip.IPv6Unspecified(), netip.IPv6Loopback(), here6, netip.MustParseAddr("::ffff:127.0.0.1"), there6), port)
	}
	return netip.AddrPortFrom(of(w.in, netip.IPv4Unspecified(), hostA, hostB, here4, there4), port)
}

// anyAddress is one to connect or send to: most often one where somebody is.
func (w *whole) anyAddress(k *descriptor) netip.AddrPort {
	six := k.network[len(k.network)-1] == '6' || k.network == "ip6:ipv6-icmp"
	switch c := w.in.byte(); {
	case c < 150:
		a := w.socks[w.in.n(len(w.socks))].LocalAddr()
		host := a.Addr()
		if host.IsUnspecified() || !host.IsValid() || host.Is4() == six {
			host = hostB
			if six {
				host = netip.IPv6Loopback()
			}
		}
		return netip.AddrPortFrom(host, a.Port())
	case c < 210:
		host := there4
		if six {
			host = there6
		}
		return netip.AddrPortFrom(host, of(w.in, uint16(7), 80, 50001))
	case c < 215:
		return netip.AddrPort{}
	}
	host := of(w.in, hostA, here4, netip.IPv4Unspecified())
	if six {
		host = of(w.in, netip.IPv6Loopback(), here6, netip.IPv6Unspecified(), netip.MustParseAddr("::ffff:127.0.0.1"), netip.MustParseAddr("::ffff:192.0.2.9"))
	}
	return netip.AddrPortFrom(host, of(w.in, fixedPorts...))
}

func (w *whole) accept(k *descriptor) {
	n, from, err := k.Accept()
	w.note("%s accept: %v %v", k, from, err)
	if err != nil {
		return
	}
	c := &descriptor{Socket: n, network: k.network}
	w.connected(c, nil)
	if len(w.socks) == maxDescriptors {
		_ = c.CloseNow()
		c.closed = true
		return
	}
	w.socks = append(w.socks, c)
}

// connected notes what a connection is called once it has a name. err is what connect said.
func (w *whole) connected(k *descriptor, err error) {
	if err != nil && err != syscall.EINPROGRESS {
		k.failed = k.failed || err != syscall.EALREADY && err != syscall.EISCONN
		return
	}
	if k.LocalAddr().Port() == 0 {
		return // it waits for the first data
	}
	name := [2]netip.AddrPort{addrPort(k.Conn().LocalAddr()), addrPort(k.Conn().RemoteAddr())}
	if err == nil && name == k.name {
		return // connect's second answer: it stands
	}
	w.names[k.name] = append(w.names[k.name], k) // nobody's any more
	k.name = name
	k.wrote, k.read, k.failed, k.deaf = 0, 0, false, false
	w.names[name] = append(w.names[name], k)
}

// addrPort is a *net.TCPAddr in the form that this computer compares.
func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// peer is the other end of a connection of this computer with itself, if there is no doubt who that is.
func (w *whole) peer(k *descriptor) *descriptor {
	ps := w.names[[2]netip.AddrPort{k.name[1], k.name[0]}]
	if !k.name[0].IsValid() || len(ps) != 1 || len(w.names[k.name]) != 1 || w.loose {
		return nil
	}
	return ps[0]
}

// standing reports whether the connection is there and whole.
func (k *descriptor) standing() bool {
	_, err := k.RemoteAddr()
	return err == nil
}

func (w *whole) send(k *descriptor) {
	n := w.in.n(200)
	switch w.in.n(8) {
	case 0, 1, 2:
		n *= 100
	case 3:
		n *= 330
	}
	if k.network[:3] != "tcp" {
		w.sendDatagram(k, n)
		return
	}
	flags, to := of(w.in, 0, 0, 0, 0, 0, 0, socket.MsgMore, socket.MsgOOB, socket.MsgFastOpen), netip.AddrPort{}
	if flags == socket.MsgFastOpen {
		to = w.anyAddress(k)
	}
	from := k.LocalAddr() // what connect will not change, if it was bound
	if flags == socket.MsgOOB || flags == socket.MsgFastOpen || k.FastOpen().Connect {
		// The urgent byte is not in the stream; a send that connects begins another one.
		w.loose = true
	}
	got, err := k.Send(patterned(from, k.wrote, n), flags, to)
	w.note("%s send %d flags %#x to %v: %d %v", k, n, flags, to, got, err)
	w.outcome(k, err)
	if begun := k.Conn() != nil && from.Port() == 0 || flags == socket.MsgFastOpen; begun && (err == nil || err == syscall.EINPROGRESS) {
		w.connected(k, syscall.EINPROGRESS)
	}
	if err == nil {
		k.wrote += got
	}
}

// outcome notes an error that ends a stream.
func (w *whole) outcome(k *descriptor, err error) {
	if err != nil && err != syscall.EAGAIN && err != syscall.ENOTCONN && err != syscall.EPIPE &&
		err != syscall.EINPROGRESS && err != syscall.EALREADY && err != syscall.EISCONN && err != syscall.EOPNOTSUPP {
		k.failed = true
	}
}

func (w *whole) sendDatagram(k *descriptor, n int) {
	to := netip.AddrPort{}
	if w.in.n(3) > 0 {
		to = w.anyAddress(k)
	}
	b := patterned(netip.AddrPort{}, 0, n) // the same from everybody: the port may not be known yet
	got, err := k.Send(b, 0, to)
	w.note("%s send %d to %v: %d %v", k, n, to, got, err)
}

// receive reads and compares, and reports whether there may be more.
func (w *whole) receive(k *descriptor, n, flags int) (more bool) {
	b := w.buf[:n]
	got, from, err := k.Recv(b, flags)
	if got != 0 || err == nil || err == syscall.ECONNRESET {
		w.note("%s recv %d flags %#x: %d %v %v", k, n, flags, got, from, err)
	}
	if k.network[:3] != "tcp" {
		if k.network[:3] == "udp" && err == nil && w.d.Stack().NIC().IsLocal(from.Addr().Unmap()) && !w.flipped {
			w.compare(k, b[:min(got, n)], netip.AddrPort{}, 0)
		}
		return err == nil
	}
	w.outcome(k, err)
	if err != nil || n == 0 {
		return false
	}
	local := w.d.Stack().NIC().IsLocal(k.name[1].Addr())
	if got > 0 && local && flags&(socket.MsgTrunc|socket.MsgOOB) == 0 && !w.loose {
		w.compare(k, b[:got], k.name[1], k.read)
	}
	if flags&(socket.MsgPeek|socket.MsgOOB) == 0 {
		k.read += got
	}
	if p := w.peer(k); got == 0 && flags&socket.MsgOOB == 0 && !k.failed && !k.deaf && p != nil && k.read != p.wrote {
		w.fatalf("%v → %v ends after %d bytes, %d were written", k.name[1], k.name[0], k.read, p.wrote)
	}
	return got > 0
}

func (w *whole) compare(k *descriptor, got []byte, from netip.AddrPort, at int) {
	for i, c := range got {
		if c != pattern(from, at+i) {
			w.fatalf("%s: byte %d of what %v sent is %#x, not %#x", k, at+i, from, c, pattern(from, at+i))
		}
	}
}

// option sets options and asks questions.
func (w *whole) option(k *descriptor, op byte) {
	b := w.in.byte()
	on := b&1 != 0
	w.note("%s option %d %d", k, op, b)
	switch op {
	case 119:
		k.SetReuse(on)
	case 120:
		k.SetOnly6(on)
	case 121:
		w.outcome(k, k.TakeError())
	case 122:
		k.Ready()
		k.LocalAddr()
		_, _ = k.RemoteAddr()
	default:
		if k.Conn() != nil {
			w.optionTCP(k, op, b, on)
		}
	}
}

func (w *whole) optionTCP(k *descriptor, op, b byte, on bool) {
	c := k.Conn()
	switch op {
	case 123:
		if on && k.Listener() == nil {
			k.failed = true // a reset is to come
			_ = c.SetLinger(0)
		} else {
			_ = c.SetLinger(int(b))
		}
	case 124:
		_ = k.SetOption(func(t *tcp.TCB, _ time.Duration) { t.SetNoDelay(on) })
	case 125:
		_ = k.SetOption(func(t *tcp.TCB, _ time.Duration) { t.SetCork(on) })
	case 126:
		_ = k.SetOption(func(t *tcp.TCB, now time.Duration) {
			t.SetKeepAlive(now, tcp.KeepAliveConfig{Enable: on, Idle: time.Duration(b) * time.Second, Interval: time.Second, Count: 3})
		})
	case 127:
		_ = k.SetOption(func(t *tcp.TCB, _ time.Duration) { t.SetUserTimeout(time.Duration(b) * time.Second) })
	case 128:
		if on {
			_ = c.SetReadBuffer(int(b) * 100)
		} else {
			_ = c.SetWriteBuffer(int(b) * 100)
		}
	case 129:
		w.info(k, b)
	}
}

// info asks for things, and sets what is rarely set.
func (w *whole) info(k *descriptor, b byte) {
	switch b & 7 {
	case 0:
		k.Conn().Info()
		k.ReadShut()
		k.Urgent()
		w.d.Stack().Counters()
		w.d.Stack().OpenSockets()
	case 1:
		_ = k.SetOption(func(t *tcp.TCB, now time.Duration) { t.SetQuickAck(now, b&8 != 0) })
	case 2:
		_ = k.SetOption(func(t *tcp.TCB, _ time.Duration) { _ = t.SetCongestion(of(w.in, "reno", "cubic")) })
	case 3:
		_ = k.SetOption(func(t *tcp.TCB, _ time.Duration) { t.SetMaxSeg(int(b) * 10) })
	case 4:
		_ = k.SetOption(func(t *tcp.TCB, _ time.Duration) { t.SetSynRetries(int(b) % 4) })
	case 5:
		o := socket.FastOpenOptions{Queue: int(b>>3) % 4, Connect: b&32 != 0, NoCookie: b&64 != 0}
		w.note("%s fast open %+v: %v", k, o, k.SetFastOpen(o))
	case 6:
		_ = k.SetOption(func(t *tcp.TCB, _ time.Duration) {
			t.SetUrgentInline(b&8 != 0)
			t.SetDeferAccept(time.Duration(b>>4) * time.Second)
			t.SetWindowClamp(int(b) * 8)
		})
	case 7:
		_ = k.SetOption(func(t *tcp.TCB, _ time.Duration) { t.SetLinger2(time.Duration(int8(b)) * time.Second) })
	}
}
