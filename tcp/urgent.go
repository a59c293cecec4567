package tcp

import "time"

// The urgent mechanism (RFC 9293 §3.8.5): a mark in the stream that the receiver's user learns of before it
// gets there. New applications should not use it (SHLD-13). On the wire the pointer indicates the first octet
// behind the urgent text (MUST-62), as RFC 6093 found everybody to do. For the user it is as on Linux: the one
// byte before the pointer is taken out of the stream and read apart (ReadUrgent, MSG_OOB), unless
// SetUrgentInline leaves it where it is (SO_OOBINLINE); reads stop before it.

// urgent is the state of the mechanism in both directions.
type urgent struct {
	snd, rcv Seq // SND.UP and RCV.UP, which is behind the urgent byte
	sending  bool
	status   urgentStatus
	octet    byte // the urgent byte, when status says so
	inline   bool
}

type urgentStatus uint8

const (
	urgNone  urgentStatus = iota
	urgAhead              // the byte has not come yet
	urgValid              // octet can be read
	urgRead               // it was read; the mark stays until the user passes it
)

func (t *TCB) needUrgent() *urgent {
	o := t.needOpt()
	if o.urgent == nil {
		o.urgent = new(urgent)
	}
	return o.urgent
}

// SetUrgentInline leaves urgent bytes in the stream (SO_OOBINLINE).
func (t *TCB) SetUrgentInline(on bool) {
	if on || t.opt != nil && t.opt.urgent != nil {
		t.needUrgent().inline = on
	}
}

// UrgentInline reports what SetUrgentInline has set.
func (t *TCB) UrgentInline() bool { return t.opt != nil && t.opt.urgent != nil && t.opt.urgent.inline }

// WriteUrgent is Write, and marks the end of p as the end of urgent text: "If the URGENT flag is set, then SND.UP
// <- SND.NXT and set the urgent pointer in the outgoing segments" (§3.10.2). Urgent text may have any length
// (MUST-31). What did not fit is not marked.
func (t *TCB) WriteUrgent(now time.Duration, p []byte) int {
	n := t.Write(now, p)
	if n > 0 {
		t.MarkUrgent()
	}
	return n
}

// MarkUrgent marks the end of what was written as the end of urgent text.
func (t *TCB) MarkUrgent() {
	u := t.needUrgent()
	u.snd, u.sending = t.dataEnd(), true
	t.flags |= fUrgent
	t.force |= forceNagle
}

// urgentIn is the urgent state of the receiving side, nil when there is none.
func (t *TCB) urgentIn() *urgent {
	if !t.has(fUrgentIn) {
		return nil
	}
	return t.opt.urgent
}

// UrgentMark returns how many bytes are to be read until the end of urgent text (MUST-33), the urgent byte itself
// counted; ok is false when there is no urgent text ahead.
func (t *TCB) UrgentMark() (n int, ok bool) {
	u := t.urgentIn()
	if u == nil {
		return 0, false
	}
	d := u.rcv.Sub(t.rcv.read)
	return int(max(d, 0)), d > 0
}

// AtMark reports whether the next byte to be read is the urgent one (SIOCATMARK).
func (t *TCB) AtMark() bool {
	u := t.urgentIn()
	return u != nil && u.rcv-1 == t.rcv.read
}

// UrgentReadable reports whether ReadUrgent would give a byte (POLLPRI).
func (t *TCB) UrgentReadable() bool {
	u := t.urgentIn()
	return u != nil && u.status == urgValid
}

// ReadUrgent gives the urgent byte (MSG_OOB), which stays if peek is set. ErrNoUrgent: there is none, it was read,
// or it is in the stream; ErrUrgentAhead: it was announced and has not come yet.
func (t *TCB) ReadUrgent(peek bool) (byte, error) {
	u := t.urgentIn()
	switch {
	case u == nil || u.inline || u.status == urgRead:
		return 0, ErrNoUrgent
	case u.status == urgAhead:
		return 0, ErrUrgentAhead
	}
	if !peek {
		u.status = urgRead
	}
	return u.octet, nil
}

// inputUrgent is the sixth check of §3.10.7.4: "If the URG bit is set, RCV.UP <- max(RCV.UP,SEG.UP), and signal the
// user that the remote side has urgent data if the urgent pointer (RCV.UP) is in advance of the data
// consumed" (MUST-32).
func (t *TCB) inputUrgent(in *Segment) {
	if in.Flags&URG != 0 && t.state.in(canReceive) {
		t.urgentPointer(in)
	}
	u := t.urgentIn()
	if u == nil || u.status != urgAhead {
		return
	}
	if off := u.rcv - 1 - in.Seq; int(off) < in.Payload.N {
		u.octet, u.status = in.Payload.At(int(off)), urgValid
		t.events |= EvUrgent
	}
}

// urgentPointer takes a pointer over unless it is old.
func (t *TCB) urgentPointer(in *Segment) {
	up := in.Seq.Add(uint32(max(in.Urg, 1)))
	if last := up - 1; last.Before(t.rcv.read) || last.Before(t.rcv.nxt) {
		return
	}
	u := t.needUrgent()
	if t.has(fUrgentIn) {
		if !up.After(u.rcv) {
			return
		}
		if u.rcv-1 == t.rcv.read && !u.inline && t.Readable() > 0 {
			t.skipUrgent() // the one before becomes ordinary only if it was not passed
		}
	}
	u.rcv, u.status = up, urgAhead
	t.flags |= fUrgentIn
	t.events |= EvUrgent
}

// skipUrgent takes the byte at the head of the queue out of the stream.
func (t *TCB) skipUrgent() {
	t.received().skip(1)
	t.rcv.read++
	if t.wire() != nil {
		t.wire().consume(1)
	}
	t.idleX(nil)
}

// beforeUrgent is called by a read of at most n bytes while there is urgent text: it passes over the urgent byte
// when the stream is there and returns how many bytes may be read now.
func (t *TCB) beforeUrgent(n int) int {
	u := t.opt.urgent
	d := int(u.rcv.Sub(t.rcv.read)) - 1
	switch {
	case d < 0:
		t.flags &^= fUrgentIn
		u.status = urgNone
	case d > 0:
		n = min(n, d)
	case !u.inline && t.Readable() > 0:
		t.skipUrgent()
		t.flags &^= fUrgentIn
		u.status = urgNone
	}
	return n
}

// untilUrgent returns how many of the n readable bytes a read may take (SIOCINQ).
func (t *TCB) untilUrgent(n int) int {
	if u := t.urgentIn(); u != nil && !u.inline {
		if d := int(u.rcv.Sub(t.rcv.read)) - 1; d >= 0 && d < n {
			return d
		}
	}
	return n
}

// markUrgent sets the urgent pointer of a segment while urgent text is unacknowledged.
func (t *TCB) markUrgent(out *Segment) {
	u := t.opt.urgent
	if u.snd.AtOrBefore(t.snd.una) {
		u.sending = false
		t.flags &^= fUrgent
		return
	}
	if d := u.snd.Sub(out.Seq); d > 0 {
		out.Flags |= URG
		out.Urg = uint16(min(d, 65535))
	}
}
