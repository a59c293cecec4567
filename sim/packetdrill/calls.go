package packetdrill

import (
	"errors"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

const (
	sockNonblock = 0x800
	sockFlags    = 0x80800 // SOCK_NONBLOCK and SOCK_CLOEXEC
	oNonblock    = 0x800
	oRdwr        = 2
)

// systemCall finds the implementation of a call by its name; nil if there is
// none.
func systemCall(name string) func(*call) (int64, error) {
	switch name {
	case "socket":
		return (*call).socket
	case "bind":
		return (*call).bind
	case "listen":
		return (*call).listen
	case "accept", "accept4":
		return (*call).accept
	case "connect":
		return (*call).connect
	case "shutdown":
		return (*call).shutdown
	case "close":
		return (*call).close
	case "fcntl":
		return (*call).fcntl
	case "ioctl":
		return (*call).ioctl
	case "getsockopt":
		return (*call).getsockopt
	case "setsockopt":
		return (*call).setsockopt
	case "getsockname", "getpeername":
		return (*call).name
	case "poll":
		return (*call).poll
	case "open", "creat":
		return (*call).openFile
	case "pipe", "pipe2":
		return (*call).pipe
	case "epoll_create", "epoll_create1":
		return (*call).epollCreate
	case "epoll_ctl":
		return (*call).epollCtl
	case "epoll_wait", "epoll_pwait":
		return (*call).epollWait
	}
	return dataCall(name)
}

func (c *call) socket() (int64, error) {
	r := c.r
	f := &file{domain: r.cfg.domain()}
	if e := c.arg(0); e.kind != exprEllipsis {
		f.domain = Domain(r.intValue(e))
	}
	typ := c.int(1)
	f.typ, f.nonblock = SocketType(typ&^sockFlags), typ&sockNonblock != 0
	proto := c.int(2)
	var err error
	if f.fd, err = r.k.Socket(f.domain, f.typ, int(proto)); err != nil {
		return -1, err
	}
	return c.open(f), nil
}

func (c *call) bind() (int64, error) {
	r := c.r
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	local := netip.AddrPortFrom(r.cfg.socketAddr(r.cfg.local.Addr()), r.cfg.bindPort)
	a := r.address(f, c.arg(1), local)
	if err := r.k.Bind(f.fd, a); err != nil {
		return -1, err
	}
	if f.bound = wire(a); a.Port() == 0 {
		if got, err := r.k.LocalAddr(f.fd); err == nil {
			f.bound = wire(got)
		}
	}
	if f.bound.Addr().IsUnspecified() {
		f.bound = netip.AddrPortFrom(r.cfg.local.Addr(), f.bound.Port())
	}
	if f.typ == Dgram {
		f.conn = r.addConn(&conn{proto: protoUDP, file: f, local: f.bound})
		r.udp = f.conn
	}
	return 0, nil
}

func (c *call) listen() (int64, error) {
	r := c.r
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	if err := r.k.Listen(f.fd, int(c.int(1))); err != nil {
		return -1, err
	}
	f.listening = true
	r.listening, r.listener = true, f
	return 0, nil
}

func (c *call) accept() (int64, error) {
	r := c.r
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	fd, peer, err := r.k.Accept(f.fd)
	if err != nil {
		return -1, c.sleeps(f, err, 0, 0)
	}
	n := &file{fd: fd, domain: f.domain, typ: f.typ, linger: f.linger}
	if len(c.spec.args) > 3 {
		n.nonblock = c.int(3)&sockNonblock != 0
	}
	c.checkAddress(f, 1, peer)
	for i := len(r.conns) - 1; i >= 0; i-- {
		k := r.conns[i]
		if k.proto == protoTCP && k.remote == wire(peer) && k.file == nil {
			k.file, n.conn = n, k
			r.setCurrent(k)
			break
		}
	}
	return c.open(n), nil
}

// checkAddress compares an address that a call gave with the struct that the
// script has for argument i, if it has one.
func (c *call) checkAddress(f *file, i int, got netip.AddrPort) {
	if i >= len(c.spec.args) || c.spec.args[i].kind != exprStruct {
		return
	}
	e := &c.spec.args[i]
	want := c.r.address(f, e, got)
	if e.member("sin_port", "sin6_port") == nil {
		want = netip.AddrPortFrom(want.Addr(), got.Port())
	}
	if e.member("sin_addr", "sin6_addr") == nil {
		want = netip.AddrPortFrom(got.Addr(), want.Port())
	}
	if want != got {
		c.r.exprFail(e, "%s gives the address %s, expected %s", c.spec.name, got, want)
	}
}

func (c *call) connect() (int64, error) {
	r := c.r
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	remote := netip.AddrPortFrom(r.cfg.socketAddr(r.cfg.remote.Addr()), r.cfg.connectPort)
	a := r.address(f, c.arg(1), remote)
	if !c.asleep {
		c.target(f, a)
	}
	err := r.k.Connect(f.fd, a)
	pending := errors.Is(err, syscall.EINPROGRESS) || errors.Is(err, syscall.EALREADY)
	switch {
	case err == nil, c.asleep && errors.Is(err, syscall.EISCONN):
		return 0, nil
	case pending && !f.nonblock && f.timeouts[1] > 0:
		return -1, c.sleepFor(time.Duration(f.timeouts[1]), syscall.EINPROGRESS)
	case pending && !f.nonblock:
		return -1, errSleep
	}
	return -1, err
}

// target makes the flow that connect opens, unless the descriptor has it.
func (c *call) target(f *file, a netip.AddrPort) {
	r := c.r
	if !a.IsValid() {
		f.conn = nil
		return
	}
	remote := wire(a)
	proto := protoTCP
	if f.typ == Dgram {
		proto = protoUDP
	}
	if f.conn != nil && f.conn.remote == remote {
		return
	}
	local := f.bound
	if proto == protoUDP && f.conn != nil {
		local = f.conn.local
	}
	f.conn = r.addConn(&conn{proto: proto, file: f, local: local, remote: remote})
	r.setCurrent(f.conn)
}

func (c *call) shutdown() (int64, error) {
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	return 0, c.r.k.Shutdown(f.fd, ShutdownHow(c.int(1)))
}

func (c *call) close() (int64, error) {
	if set := c.epollSet(); set != nil {
		set.closed = true
		return 0, nil
	}
	if p := c.plain(0); p != nil {
		p.closed = true
		return 0, nil
	}
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	err := c.r.k.CloseSocket(f.fd)
	if errors.Is(err, syscall.EAGAIN) {
		if f.linger > 0 {
			return -1, c.sleepFor(f.linger, errSleep) // to be asked again then, whatever happens
		}
		return -1, errSleep
	}
	f.closed = true
	if c.r.listener == f {
		c.r.listener, c.r.listening = nil, false
	}
	return 0, err
}

const (
	fGetFD = 1
	fSetFD = 2
	fGetFL = 3
	fSetFL = 4
)

func (c *call) fcntl() (int64, error) {
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	switch c.int(1) {
	case fGetFD, fSetFD:
		return 0, nil
	case fGetFL:
		if f.nonblock {
			return oRdwr | oNonblock, nil
		}
		return oRdwr, nil
	case fSetFL:
		f.nonblock = c.int(2)&oNonblock != 0
		return 0, nil
	}
	return -1, syscall.EINVAL
}

// ioctlNames are the requests that the kernel answers with a number.
func ioctlName(request int64) string {
	switch request {
	case 0x541B:
		return "SIOCINQ"
	case 0x5411:
		return "SIOCOUTQ"
	case 0x894B:
		return "SIOCOUTQNSD"
	case 0x8905:
		return "SIOCATMARK"
	}
	return ""
}

const fionbio = 0x5421

func (c *call) ioctl() (int64, error) {
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	request := c.int(1)
	if request == fionbio {
		f.nonblock = c.int(2) != 0
		return 0, nil
	}
	name := ioctlName(request)
	if name == "" {
		c.r.exprFail(c.arg(1), "unknown ioctl")
	}
	n, err := c.r.k.Ioctl(f.fd, name)
	if err != nil {
		return -1, err
	}
	if e := c.arg(2); e.kind != exprEllipsis && int64(n) != c.r.intValue(e) {
		c.r.exprFail(e, "%s gives %d, expected %d", name, n, c.r.intValue(e))
	}
	return 0, nil
}

// option names the option of getsockopt and setsockopt. Constants keep the
// name that the script gives, numbers get Linux's.
func (c *call) option() (level, name string) {
	level = levelName(c.int(1))
	if level == "" {
		c.r.exprFail(c.arg(1), "unknown level of socket options")
	}
	e := c.arg(2)
	num := c.r.intValue(e)
	if e.kind == exprName {
		return level, e.text
	}
	if name = optionName(c.int(1), num); name == "" {
		name = itoa(num)
	}
	return level, name
}

// bsdOption tells options that only FreeBSD has and that change nothing in
// what Linux would send.
func bsdOption(name string) bool {
	switch name {
	case "TCP_DELACK", "TCP_RACK_TLP_REDUCE", "TCP_RACK_PACE_ALWAYS", "TCP_FUNCTION_BLK", "TCP_LOG", "TCP_LOGBUF", "TCP_LOGID", "TCP_LOGDUMP", "SO_NOSIGPIPE", "SO_USELOOPBACK", "SO_DEBUG":
		return true
	}
	return false
}

func (c *call) setsockopt() (int64, error) {
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	level, name := c.option()
	if bsdOption(name) {
		return 0, nil
	}
	v := c.r.optValue(c.arg(3))
	if e, ok := v.(*expr); ok {
		c.r.exprFail(e, "unknown struct for %s", name)
	}
	if _, ok := v.(int); ok && len(c.spec.args) > 4 && c.arg(4).kind == exprInt && c.int(4) < 4 && level != "IPPROTO_IP" && level != "IPPROTO_IPV6" {
		return -1, syscall.EINVAL
	}
	if l, ok := v.(Linger); ok {
		f.linger = 0
		if l.On {
			f.linger = time.Duration(l.Seconds) * time.Second
		}
	}
	switch n, _ := v.(int); name {
	case "SO_PEEK_OFF":
		if n >= 0 {
			c.r.exprFail(c.arg(2), "SO_PEEK_OFF is not supported")
		}
	case "SO_TIMESTAMPING":
		c.setStamping(f, int64(n))
	case "TCP_INQ", "TCP_CM_INQ":
		f.inq = n != 0
	case "SO_ZEROCOPY":
		f.zerocopy = n != 0
	}
	if d, ok := v.(time.Duration); ok && name == "SO_RCVTIMEO" {
		f.timeouts[0] = int64(d)
	} else if ok && name == "SO_SNDTIMEO" {
		f.timeouts[1] = int64(d)
	}
	return 0, c.r.k.SetSockOpt(f.fd, level, name, v)
}

func (c *call) getsockopt() (int64, error) {
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	level, name := c.option()
	if name == "TCP_INFO" && f.typ == Stream {
		return 0, c.tcpInfo(f)
	}
	if bsdOption(name) {
		return 0, nil
	}
	v, err := c.r.k.GetSockOpt(f.fd, level, name)
	if err != nil {
		return -1, err
	}
	if e := c.arg(3); e.kind != exprEllipsis && !c.r.equalOption(v, e) {
		n, ok := optionInt(v)
		if ok {
			c.r.exprFail(e, "%s is %d, expected another value", name, n)
		}
		c.r.exprFail(e, "%s is %v, expected another value", name, v)
	}
	return 0, nil
}

// tcpInfo compares TCP_INFO with the members of struct tcp_info that the
// script gives.
func (c *call) tcpInfo(f *file) error {
	e := c.arg(3)
	if e.kind != exprStruct {
		return nil // looked at by code blocks
	}
	info, err := c.r.k.TCPInfo(f.fd)
	if err != nil {
		return err
	}
	for i := range e.fields {
		want := &e.fields[i]
		got, ok := info[want.name]
		if !ok {
			c.r.exprFail(e, "no member %q of struct tcp_info is known", want.name)
		}
		if want.value.kind != exprEllipsis && got != c.r.intValue(&want.value) {
			c.r.exprFail(&want.value, "%s is %d, expected another value", want.name, got)
		}
	}
	return nil
}

func (c *call) name() (int64, error) {
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	get := c.r.k.LocalAddr
	if c.spec.name == "getpeername" {
		get = c.r.k.RemoteAddr
	}
	a, err := get(f.fd)
	if err != nil {
		return -1, err
	}
	c.checkAddress(f, 1, a)
	return 0, nil
}
