package packetdrill

import (
	"errors"
	"net/netip"
	"syscall"
)

// dataCall finds the calls that move data.
func dataCall(name string) func(*call) (int64, error) {
	switch name {
	case "read":
		return func(c *call) (int64, error) { return c.receive(&transfer{buf: c.arg(1), size: c.int(2)}) }
	case "recv":
		return func(c *call) (int64, error) {
			return c.receive(&transfer{buf: c.arg(1), size: c.int(2), flags: MsgFlags(c.int(3))})
		}
	case "recvfrom":
		return func(c *call) (int64, error) {
			return c.receive(&transfer{buf: c.arg(1), size: c.int(2), flags: MsgFlags(c.int(3)), name: c.arg(4)})
		}
	case "readv":
		return func(c *call) (int64, error) { return c.receive(c.vector(c.arg(1))) }
	case "recvmsg":
		return func(c *call) (int64, error) { return c.receive(c.message(c.arg(1), MsgFlags(c.int(2)))) }
	case "write":
		return func(c *call) (int64, error) { return c.send(&transfer{buf: c.arg(1), size: c.int(2)}) }
	case "send":
		return func(c *call) (int64, error) {
			return c.send(&transfer{buf: c.arg(1), size: c.int(2), flags: MsgFlags(c.int(3))})
		}
	case "sendto":
		return func(c *call) (int64, error) {
			return c.send(&transfer{buf: c.arg(1), size: c.int(2), flags: MsgFlags(c.int(3)), name: c.arg(4)})
		}
	case "sendfile", "sendfile64":
		return (*call).sendfile
	case "splice":
		return (*call).splice
	case "writev":
		return func(c *call) (int64, error) { return c.send(c.vector(c.arg(1))) }
	case "sendmsg":
		return func(c *call) (int64, error) { return c.send(c.message(c.arg(1), MsgFlags(c.int(2)))) }
	}
	return nil
}

// maxTransfer bounds the buffers of one call.
const maxTransfer = 64 << 20

// transfer is what a data call moves, whichever its form: one buffer, whose
// content the script gives or leaves open, flags and an address.
type transfer struct {
	buf   *expr // nil for vectors
	null  bool  // NULL is where the data should be
	data  string
	given bool // data is the content
	size  int64
	flags MsgFlags
	name  *expr
	out   *expr // msg_flags expected of recvmsg
	ctl   *expr // msg_control expected of recvmsg
}

// prepare evaluates the buffer.
func (c *call) prepare(t *transfer) {
	if t.buf != nil && t.buf.kind == exprString {
		t.data, t.given = t.buf.text, true
	} else if t.buf != nil && t.buf.kind == exprName && t.buf.text == "NULL" {
		t.null = true
	} else if t.buf != nil && t.buf.kind != exprEllipsis {
		c.r.exprFail(t.buf, "expected \"...\" or a string")
	}
	if t.size < 0 || t.size > maxTransfer {
		c.r.fail("%s: size %d is out of range", c.spec.name, t.size)
	}
}

// vector evaluates an array of struct iovec.
func (c *call) vector(e *expr) *transfer {
	t := &transfer{}
	if e.kind != exprList {
		c.r.exprFail(e, "expected an array of {BUFFER, SIZE}")
	}
	for i := range e.list {
		v := &e.list[i]
		base, size := v.member("iov_base"), v.member("iov_len")
		if base == nil && len(v.fields) == 2 {
			base, size = &v.fields[0].value, &v.fields[1].value
		}
		if base == nil || size == nil {
			c.r.exprFail(v, "expected {BUFFER, SIZE}")
		}
		n := c.r.intValue(size)
		if base.kind == exprString {
			t.given = true
			t.data += base.text
		}
		t.null = t.null || base.kind == exprName && base.text == "NULL" && n > 0
		t.size += n
	}
	if t.given && int64(len(t.data)) != t.size {
		c.r.exprFail(e, "either all buffers have a content of their size, or none")
	}
	return t
}

// message evaluates a struct msghdr.
func (c *call) message(e *expr, flags MsgFlags) *transfer {
	iov := e.member("msg_iov")
	if e.kind != exprStruct || iov == nil {
		c.r.exprFail(e, "expected {msg_name(...)=..., msg_iov(N)=[{..., SIZE}], msg_flags=0}")
	}
	t := c.vector(iov)
	t.flags, t.name, t.out = flags, e.member("msg_name"), e.member("msg_flags")
	t.ctl = e.member("msg_control")
	return t
}

// send moves data to the kernel: all of it when the descriptor blocks.
func (c *call) send(t *transfer) (int64, error) {
	r := c.r
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	c.prepare(t)
	if t.null && t.size > 0 {
		return -1, syscall.EFAULT
	}
	if f.typ == Dgram && t.flags&MsgMore != 0 {
		r.fail("%s: MSG_MORE is not supported on UDP", c.spec.name)
	}
	var to netip.AddrPort
	if c.asleep {
		t.flags &^= MsgFastOpen // it is connecting by now
	}
	if t.name != nil {
		to = c.destination(f, t)
	}
	for {
		b := c.outgoing(f, t)
		n, err := r.k.Send(f.fd, b, t.flags, to)
		if err == nil {
			c.sent(f, t, b[:n])
			if t.flags&MsgZeroCopy != 0 && f.zerocopy && f.conn != nil {
				f.notices = append(f.notices, notice{f.conn.written, f.calls, f.calls})
				f.calls++
			}
			f.stampWrite(c.moved > 0)
			c.moved += int64(n)
			if c.moved >= t.size || f.typ != Stream || f.nonblock || t.flags&MsgDontWait != 0 {
				return c.moved, nil
			}
			t.flags &^= MsgFastOpen
			continue
		}
		if errors.Is(err, syscall.EINPROGRESS) && !f.nonblock && t.flags&MsgDontWait == 0 {
			err = errSleep // Fast Open without a cookie: the data waits for the connection
		} else {
			err = c.sleeps(f, err, t.flags, 1)
		}
		if errors.Is(err, errSleep) {
			if w, ok := r.k.(WriteWaiter); ok {
				w.AwaitWrite(f.fd)
			}
			return -1, err
		}
		if t.flags&MsgFastOpen != 0 && errors.Is(err, syscall.EINPROGRESS) {
			return -1, err
		}
		if c.moved > 0 {
			return c.moved, nil
		}
		return -1, err
	}
}

// destination evaluates the address of sendto. "..." is the remote address
// for a datagram socket that is not connected.
func (c *call) destination(f *file, t *transfer) netip.AddrPort {
	r := c.r
	remote := netip.AddrPortFrom(r.cfg.socketAddr(r.cfg.remote.Addr()), r.cfg.connectPort)
	if f.typ == Stream {
		if t.flags&MsgFastOpen == 0 {
			return netip.AddrPort{}
		}
		to := r.address(f, t.name, remote)
		c.target(f, to)
		return to
	}
	connected := f.conn != nil && f.conn.remote.Port() != 0
	if connected && t.name.kind == exprEllipsis {
		if f.bound.Port() != 0 && f.conn.passive {
			return netip.AddrPortFrom(r.cfg.socketAddr(f.conn.remote.Addr()), f.conn.remote.Port())
		}
		if _, err := r.k.RemoteAddr(f.fd); err == nil {
			return netip.AddrPort{}
		}
		remote = netip.AddrPortFrom(r.cfg.socketAddr(f.conn.remote.Addr()), f.conn.remote.Port())
	}
	if t.name.kind == exprInt && t.name.num == 0 || t.name.kind == exprName && t.name.text == "NULL" {
		return netip.AddrPort{}
	}
	to := r.address(f, t.name, remote)
	if f.conn == nil {
		f.conn = r.addConn(&conn{proto: protoUDP, file: f, remote: wire(to)})
	} else if f.conn.remote.Port() == 0 {
		f.conn.remote = wire(to)
	} else if f.conn.remote != wire(to) {
		r.addConn(&conn{proto: protoUDP, file: f, local: f.conn.local, remote: wire(to)})
	}
	r.udp = f.conn
	return to
}

// outgoing makes the bytes that are left to send.
func (c *call) outgoing(f *file, t *transfer) []byte {
	b := make([]byte, t.size-c.moved)
	if t.given {
		copy(b, t.data[min(int(c.moved), len(t.data)):])
		return b
	}
	var off uint32
	if f.typ == Stream && f.conn != nil {
		off = f.conn.written
	}
	return fillPattern(b, off)
}

// sent notes what the kernel took, to be compared with what it sends.
func (c *call) sent(f *file, t *transfer, b []byte) {
	if f.typ != Stream {
		c.r.sent = append(c.r.sent, string(b))
		return
	}
	if f.conn == nil {
		return
	}
	if t.given {
		f.conn.literals = append(f.conn.literals, literal{f.conn.written, string(b)})
	}
	f.conn.written += uint32(len(b))
}

// receive moves data from the kernel.
func (c *call) receive(t *transfer) (int64, error) {
	r := c.r
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	c.prepare(t)
	if t.flags&MsgErrQueue != 0 {
		return c.receiveError(f, t)
	}
	if t.size == 0 && (c.spec.name == "read" || c.spec.name == "readv") {
		return 0, nil // never reaches the protocol
	}
	if t.null && t.size > 0 && (f.typ != Stream || t.flags&MsgTrunc == 0) {
		return c.receiveNowhere(f, t)
	}
	all := t.flags&MsgWaitAll != 0 && f.typ == Stream && !f.nonblock
	for {
		b := make([]byte, t.size-c.moved)
		n, from, out, err := r.k.Recv(f.fd, b, t.flags)
		switch {
		case err == nil:
		case c.moved > 0 && !errors.Is(err, syscall.EAGAIN):
			return c.moved, nil
		default:
			if err = c.sleeps(f, err, t.flags, 0); c.moved > 0 && !errors.Is(err, errSleep) {
				return c.moved, nil
			}
			return -1, err
		}
		c.received(f, t, b[:min(n, len(b))], n)
		c.moved += int64(n)
		if all && n > 0 && c.moved < t.size {
			continue
		}
		if t.name != nil && f.typ == Dgram {
			c.checkSender(f, t.name, from)
		}
		if t.out != nil && t.out.kind != exprEllipsis && int64(out) != r.intValue(t.out) {
			r.exprFail(t.out, "%s gives msg_flags %#x, expected %#x", c.spec.name, int(out), r.intValue(t.out))
		}
		if t.ctl != nil {
			c.checkControl(f, t.ctl)
		}
		return c.moved, nil
	}
}

// receiveNowhere is receive into NULL: an error if there is something to be
// received, which stays.
func (c *call) receiveNowhere(f *file, t *transfer) (int64, error) {
	n, _, _, err := c.r.k.Recv(f.fd, make([]byte, 1), t.flags|MsgPeek)
	switch {
	case err != nil:
		return -1, c.sleeps(f, err, t.flags, 0)
	case n == 0:
		return 0, nil
	}
	return -1, syscall.EFAULT
}

// checkSender compares the source of a datagram with the script's.
func (c *call) checkSender(f *file, e *expr, from netip.AddrPort) {
	if e.kind != exprStruct {
		return
	}
	if want := c.r.address(f, e, from); want != from && (e.member("sin_port", "sin6_port") != nil || want.Addr() != from.Addr()) {
		c.r.exprFail(e, "%s gives the address %s, expected %s", c.spec.name, from, want)
	}
}

// received checks the bytes that the application got, which the script
// either names or which are the pattern that its packets carried.
func (c *call) received(f *file, t *transfer, b []byte, n int) {
	r := c.r
	if t.flags&(MsgOOB|MsgErrQueue) != 0 {
		return
	}
	if t.given && t.data[:min(len(b), len(t.data))] != string(b) {
		r.fail("%s gives %q, expected %q", c.spec.name, b, t.data)
	}
	var off uint32
	if f.typ == Stream {
		k := f.conn
		if k == nil || !k.remoteKnown || k.opaque {
			return
		}
		off = k.read
		if t.flags&MsgPeek == 0 {
			k.read += uint32(n)
		}
		if t.flags&MsgTrunc != 0 { // TCP discards: nothing was copied
			return
		}
	}
	for i, got := range b {
		if want := pattern(off + uint32(i)); !t.given && got != want {
			r.fail("%s gives %#x as byte %d of the stream, the packet carried %#x", c.spec.name, got, off+uint32(i), want)
		}
	}
}
