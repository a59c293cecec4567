package tcp

// What the owner of a TCB asks besides the calls of RFC 9293 §3.10.

// NeedsOutput reports whether Output may have something to send. It saves the owner from asking the clock
// when it has not.
func (t *TCB) NeedsOutput() bool {
	return t.has(fReset) || t.force != 0 || t.ack.pending&ackNow != 0 || t.snd.nxt != t.snd.end ||
		t.rec != nil && t.rec.rexmit != rexmitNone || t.has(fSentNew)
}

// Quiet reports whether Output would do nothing: give no segment, and draw no conclusion from there being none. It is
// small enough to be part of the caller.
func (t *TCB) Quiet() bool {
	return t.snd.nxt == t.snd.end && t.force == 0 && t.ack.pending&ackNow == 0 && t.rec == nil && t.flags&unquiet == 0
}

// unquiet are flags that ask for a call of Output.
const unquiet = fReset | fSentNew | fCwndLimited | fRun | fNoSpace

// PeerClosed reports whether the peer's FIN has arrived in order: nothing will follow what is queued.
func (t *TCB) PeerClosed() bool { return t.has(fFinRcvd) }

// Inherit gives t, which must be in CLOSED, the options that the user has set on from: a connection that
// comes of a listener has the listener's.
func (t *TCB) Inherit(from *TCB) {
	const userFlags = fSndLocked | fRcvLocked | fKeepalive
	t.flags = t.flags&^userFlags | from.flags&userFlags
	t.nonagle, t.caKind = from.nonagle, from.caKind
	t.sndLimit, t.rcvLimit = from.sndLimit, from.rcvLimit
	t.ack.pingpong = from.ack.pingpong
	t.keep = from.keep
	if from.opt != nil {
		o := *from.opt
		o.forget()
		t.opt = &o
	}
}

// CanSend reports whether the user may still send in the state: ESTABLISHED and CLOSE-WAIT.
func (s State) CanSend() bool { return s.in(canSend) }

// Unfinished reports whether, in the state, our data or FIN may still be unacknowledged: what a
// lingering close waits for.
func (s State) Unfinished() bool {
	return s.in(1<<StateEstablished | 1<<StateFinWait1 | 1<<StateCloseWait | 1<<StateClosing | 1<<StateLastAck)
}
