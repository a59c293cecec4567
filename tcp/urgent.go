package tcp

import "time"

// The urgent mechanism (RFC 9293 §3.8.5): a mark in the stream that the receiver's user learns of before it
// gets there. New applications should not use it (SHLD-13); the text stays in the stream, like with Linux's
// SO_OOBINLINE. The pointer indicates the first octet behind the urgent text (MUST-62), as RFC 6093 found
// everybody to do.

// urgent is the state of the mechanism in both directions.
type urgent struct {
	snd, rcv       Seq // SND.UP and RCV.UP
	sending, known bool
}

func (t *TCB) needUrgent() *urgent {
	o := t.needOpt()
	if o.urgent == nil {
		o.urgent = new(urgent)
	}
	return o.urgent
}

// WriteUrgent is Write, and marks the end of p as the end of urgent text: "If the URGENT flag is set, then SND.UP
// <- SND.NXT and set the urgent pointer in the outgoing segments" (§3.10.2). Urgent text may have any length
// (MUST-31). What did not fit is not marked.
func (t *TCB) WriteUrgent(now time.Duration, p []byte) int {
	n := t.Write(now, p)
	if n > 0 {
		u := t.needUrgent()
		u.snd, u.sending = t.snd.end, true
		t.flags |= fUrgent
		t.force |= forceNagle
	}
	return n
}

// UrgentMark returns how many bytes are to be read until the end of urgent text (MUST-33); ok is false when there
// is no urgent text ahead.
func (t *TCB) UrgentMark() (n int, ok bool) {
	if t.opt == nil || t.opt.urgent == nil || !t.opt.urgent.known {
		return 0, false
	}
	d := t.opt.urgent.rcv.Sub(t.rcv.read)
	return int(max(d, 0)), d > 0
}

// inputUrgent is the sixth check of §3.10.7.4: "If the URG bit is set, RCV.UP <- max(RCV.UP,SEG.UP), and signal the
// user that the remote side has urgent data if the urgent pointer (RCV.UP) is in advance of the data
// consumed" (MUST-32).
func (t *TCB) inputUrgent(in *Segment) {
	if in.Flags&URG == 0 || !t.state.in(canReceive) {
		return
	}
	up := in.Seq.Add(uint32(in.Urg))
	u := t.needUrgent()
	if u.known && up.AtOrBefore(u.rcv) || up.AtOrBefore(t.rcv.read) {
		return
	}
	u.rcv, u.known = up, true
	t.events |= EvUrgent
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
