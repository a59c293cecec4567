package packetdrill

import "time"

// Timestamps of what was sent (SO_TIMESTAMPING on a TCP socket). The kernel is not asked for them: when the last byte of
// a write leaves and when it is acknowledged is what the interpreter sees on the wire.

// What SO_TIMESTAMPING can ask for.
const (
	stampSoftware  = 1 << 1 // SOF_TIMESTAMPING_TX_SOFTWARE: when the packet leaves
	stampReport    = 1 << 4 // SOF_TIMESTAMPING_SOFTWARE: tell
	stampID        = 1 << 7 // SOF_TIMESTAMPING_OPT_ID
	stampScheduled = 1 << 8 // SOF_TIMESTAMPING_TX_SCHED: when it is queued for the device
	stampAcked     = 1 << 9 // SOF_TIMESTAMPING_TX_ACK: when the peer has acknowledged it
	stampNoData    = 1 << 11
)

// What a stamp is of (SCM_TSTAMP_…, in ee_info).
const (
	scmSent      = 0
	scmScheduled = 1
	scmAcked     = 2
)

// stamping is SO_TIMESTAMPING of a descriptor.
type stamping struct {
	flags  int64
	base   uint32     // number of the byte from which stamps count
	writes []uint32   // ends of the writes that are to be stamped and are not acknowledged
	queue  []sentTime // to be received
}

type sentTime struct {
	what int64
	at   time.Duration
	byte uint32
}

// setStamping is setsockopt(SO_TIMESTAMPING).
func (c *call) setStamping(f *file, flags int64) {
	if f.typ != Stream {
		c.r.exprFail(c.arg(2), "timestamps by control message (SO_TIMESTAMPING) are supported for TCP only")
	}
	if f.conn != nil && f.stamps.flags&stampID == 0 {
		f.stamps.base = f.conn.written
	}
	f.stamps.flags = flags
}

// stampWrite notes that a write ends where the stream does now; again: it is the one noted last, which goes on.
func (f *file) stampWrite(again bool) {
	s := &f.stamps
	if s.flags&(stampSoftware|stampScheduled|stampAcked) == 0 || f.conn == nil {
		return
	}
	if n := len(s.writes); again && n > 0 {
		s.writes = s.writes[:n-1]
	}
	s.writes = append(s.writes, f.conn.written)
}

// stampSent stamps the write whose last byte is in a segment that leaves. Of several the last counts: a segment has one
// stamp.
func (r *runner) stampSent(c captured) {
	local, remote := c.p.ends(false)
	k := r.findConn(c.p.proto, local, remote)
	if c.p.proto != protoTCP || k == nil || k.file == nil || !k.localKnown || len(c.p.data) == 0 {
		return
	}
	s := &k.file.stamps
	from := c.p.seq - k.localLive - 1
	to := from + uint32(len(c.p.data))
	last := -1
	for i := 0; i < len(s.writes); i++ {
		if end := s.writes[i]; int32(end-from) <= 0 || int32(end-to) > 0 {
			continue
		}
		if last >= 0 {
			s.writes = append(s.writes[:last], s.writes[last+1:]...)
			i--
		}
		last = i
	}
	if last < 0 {
		return
	}
	s.add(stampScheduled, scmScheduled, c.at, s.writes[last])
	s.add(stampSoftware, scmSent, c.at, s.writes[last])
}

// add queues a stamp if it was asked for.
func (s *stamping) add(flag, what int64, at time.Duration, end uint32) {
	if s.flags&flag == 0 || s.flags&stampReport == 0 {
		return
	}
	number := uint32(0)
	if s.flags&stampID != 0 {
		number = end - 1 - s.base
	}
	s.queue = append(s.queue, sentTime{what, at, number})
}

// stampAcks stamps what was acknowledged just now.
func (r *runner) stampAcks() {
	for _, f := range r.files {
		s := &f.stamps
		if len(s.writes) == 0 || f.closed {
			continue
		}
		queued, err := r.k.Ioctl(f.fd, "SIOCOUTQ")
		if err != nil {
			continue
		}
		acked := f.conn.written - uint32(queued)
		for len(s.writes) > 0 && int32(acked-s.writes[0]) >= 0 {
			s.add(stampAcked, scmAcked, r.now(), s.writes[0])
			s.writes = s.writes[1:]
		}
	}
}

// receiveStamp is recvmsg with MSG_ERRQUEUE where the first in the queue is a stamp.
func (c *call) receiveStamp(f *file, t *transfer) (int64, error) {
	got := f.stamps.queue[0]
	f.stamps.queue = f.stamps.queue[1:]
	if t.ctl != nil {
		c.checkStamp(t.ctl, got)
	}
	flags := MsgErrQueue
	if t.size == 0 && f.stamps.flags&stampNoData == 0 {
		flags |= MsgTrunc
	}
	if t.out != nil && t.out.kind != exprEllipsis && c.r.intValue(t.out) != int64(flags) {
		c.r.exprFail(t.out, "%s gives msg_flags %#x, expected %#x", c.spec.name, int64(flags), c.r.intValue(t.out))
	}
	return 0, nil
}

// checkStamp compares a stamp and what it is about with the control messages of the script.
func (c *call) checkStamp(e *expr, got sentTime) {
	for _, data := range controlData(e) {
		if sec := data.member("scm_sec"); sec != nil {
			want := time.Duration(c.r.intValue(sec))*time.Second + time.Duration(c.r.memberInt(data, 0, "scm_nsec"))
			if d := got.at - want; d > c.r.cfg.toleranceAt(0) || -d > c.r.cfg.toleranceAt(0) {
				c.r.exprFail(data, "the timestamp is %s, expected %s", seconds(got.at), seconds(want))
			}
			continue
		}
		const enomsg, originTimestamping = 42, 4
		c.checkMembers(data, []member{{"ee_errno", enomsg}, {"ee_origin", originTimestamping}, {"ee_type", 0}, {"ee_code", 0},
			{"ee_info", got.what}, {"ee_data", int64(got.byte)}})
	}
}

// controlData returns the structs that the control messages of a script carry.
func controlData(e *expr) (all []*expr) {
	list := e.list
	if e.kind == exprStruct {
		list = []expr{*e}
	}
	for i := range list {
		if data := list[i].member("cmsg_data"); data != nil && data.kind == exprStruct {
			all = append(all, data)
		}
	}
	return all
}

// member is a number in a struct.
type member struct {
	name string
	got  int64
}

// checkMembers compares numbers with those of them that the script's struct has.
func (c *call) checkMembers(e *expr, list []member) {
	for _, m := range list {
		if want := c.r.memberInt(e, m.got, m.name); want != m.got {
			c.r.exprFail(e, "%s is %d, expected %d", m.name, m.got, want)
		}
	}
}
