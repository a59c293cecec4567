package packetdrill

import (
	"net/netip"
	"syscall"
)

// plainFile is a descriptor that is no socket: a file, whose content is as long as anybody asks for, or an end of a
// pipe, which counts the bytes in it and keeps those that came from a socket.
type plainFile struct {
	pipe *pipeBuffer // nil: a file
}

type pipeBuffer struct{ data []byte }

// pipeSize is what a pipe of Linux holds.
const pipeSize = 65536

// plain is the open file that argument i names; nil if it is none.
func (c *call) plain(i int) *file {
	if i >= len(c.spec.args) || c.spec.args[i].kind == exprEllipsis || c.spec.args[i].kind == exprList {
		return nil
	}
	f := c.r.files[c.int(i)]
	if f == nil || f.closed || f.plain == nil {
		return nil
	}
	return f
}

func (c *call) openFile() (int64, error) { return c.open(&file{plain: &plainFile{}}), nil }

// pipe is pipe([5, 6]): the numbers are the script's.
func (c *call) pipe() (int64, error) {
	ends := c.arg(0)
	if ends.kind != exprList || len(ends.list) != 2 {
		c.r.exprFail(ends, "expected [FD, FD]")
	}
	p := &pipeBuffer{}
	for i := range ends.list {
		n := c.r.intValue(&ends.list[i])
		if old := c.r.files[n]; old != nil && !old.closed {
			c.r.fail("pipe: descriptor %d is open already", n)
		}
		c.r.files[n] = &file{script: n, plain: &plainFile{pipe: p}}
	}
	return 0, nil
}

// sendfile sends what "..." would be. The offset of the file does not matter, as its content does not.
func (c *call) sendfile() (int64, error) {
	if c.plain(1) == nil {
		return -1, syscall.EBADF
	}
	return c.send(&transfer{size: c.int(3)})
}

// splice moves bytes from a socket to a pipe or from a pipe or a file to a socket.
func (c *call) splice() (int64, error) {
	const nonblock = 2 // SPLICE_F_NONBLOCK
	n := c.int(4)
	flags := MsgFlags(0)
	if c.int(5)&nonblock != 0 {
		flags = MsgDontWait
	}
	from, to := c.plain(0), c.plain(2)
	switch {
	case from != nil && to == nil:
		if p := from.plain.pipe; p != nil {
			return c.spliceOut(p, n, flags)
		}
	case to != nil && from == nil && to.plain.pipe != nil:
		return c.spliceIn(to.plain.pipe, n, flags)
	}
	return -1, syscall.EINVAL
}

// spliceIn moves what there is to read.
func (c *call) spliceIn(p *pipeBuffer, n int64, flags MsgFlags) (int64, error) {
	f := c.file(0)
	if f == nil {
		return -1, syscall.EBADF
	}
	if n = min(n, int64(pipeSize-len(p.data))); n <= 0 {
		return -1, syscall.EAGAIN
	}
	b := make([]byte, n)
	got, _, _, err := c.r.k.Recv(f.fd, b, flags)
	if err != nil {
		return -1, c.sleeps(f, err, flags, 0)
	}
	c.received(f, &transfer{}, b[:got], got)
	p.data = append(p.data, b[:got]...)
	return int64(got), nil
}

// spliceOut sends what is in the pipe.
func (c *call) spliceOut(p *pipeBuffer, n int64, flags MsgFlags) (int64, error) {
	f := c.file(2)
	if f == nil {
		return -1, syscall.EBADF
	}
	n = min(n, int64(len(p.data)))
	if n == 0 {
		return -1, syscall.EAGAIN
	}
	sent, err := c.r.k.Send(f.fd, p.data[:n], flags, netip.AddrPort{})
	if err != nil {
		return -1, c.sleeps(f, err, flags, 1)
	}
	c.sent(f, &transfer{given: true}, p.data[:sent])
	p.data = p.data[sent:]
	return int64(sent), nil
}

// checkControl compares the control messages that recvmsg would give with the script's: the number of bytes that are
// left to read (TCP_INQ). Others cannot be checked.
func (c *call) checkControl(f *file, e *expr) {
	list := e.list
	if e.kind == exprStruct {
		list = []expr{*e}
	}
	for i := range list {
		m := &list[i]
		typ, data := m.member("cmsg_type"), m.member("cmsg_data")
		if typ == nil || typ.kind != exprName || data == nil {
			continue
		}
		switch typ.text {
		case "TCP_CM_INQ", "TCP_INQ":
			if !f.inq {
				c.r.exprFail(m, "TCP_INQ was not set: there is no such control message")
			}
			n, err := c.r.k.Ioctl(f.fd, "SIOCINQ")
			if err != nil {
				c.r.fail("SIOCINQ: %v", err)
			}
			if n == 0 {
				if ev, err := c.r.k.Poll(f.fd, PollIn|PollRdHup); err == nil && ev&PollRdHup != 0 {
					n = 1 // Linux tells the end of the stream so
				}
			}
			if want := c.r.intValue(data); int64(n) != want {
				c.r.exprFail(data, "TCP_CM_INQ gives %d, expected %d", n, want)
			}
		default:
			c.r.exprFail(m, "control messages of type %s are not supported", typ.text)
		}
	}
}

// notice is a completion of MSG_ZEROCOPY.
type notice struct {
	end    uint32 // of the bytes it is about, in the stream
	lo, hi uint32 // the first and the last call
}

// completed returns how many notices of the descriptor are there to be received.
func (r *runner) completed(f *file) int {
	if f.conn == nil || len(f.notices) == 0 {
		return 0
	}
	queued, err := r.k.Ioctl(f.fd, "SIOCOUTQ")
	if err != nil {
		return 0
	}
	acked := f.conn.written - uint32(queued)
	n := 0
	for n < len(f.notices) && int32(acked-f.notices[n].end) >= 0 {
		n++
	}
	return n
}

// receiveError is recvmsg with MSG_ERRQUEUE: timestamps, and the completions of MSG_ZEROCOPY, which come when the peer has acknowledged
// the bytes. Calls that complete at once make one.
func (c *call) receiveError(f *file, t *transfer) (int64, error) {
	if len(f.stamps.queue) > 0 {
		return c.receiveStamp(f, t)
	}
	n := c.r.completed(f)
	if n == 0 {
		return -1, syscall.EAGAIN
	}
	got := f.notices[0]
	got.hi = f.notices[n-1].hi
	f.notices = f.notices[n:]
	if t.ctl != nil {
		c.checkNotice(t.ctl, got)
	}
	if t.out != nil && t.out.kind != exprEllipsis && c.r.intValue(t.out)&int64(MsgErrQueue) == 0 {
		c.r.exprFail(t.out, "%s gives msg_flags MSG_ERRQUEUE, expected %#x", c.spec.name, c.r.intValue(t.out))
	}
	return 0, nil
}

// checkNotice compares a completion. Whether the bytes were copied after all (ee_code) depends on the device.
func (c *call) checkNotice(e *expr, got notice) {
	for _, data := range controlData(e) {
		const originZerocopy = 5
		c.checkMembers(data, []member{{"ee_errno", 0}, {"ee_origin", originZerocopy}, {"ee_type", 0}, {"ee_info", int64(got.lo)}, {"ee_data", int64(got.hi)}})
	}
}
