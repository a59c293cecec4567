package tcp

import "time"

// ICMPKind is what an ICMP or ICMPv6 error is about, whatever its numbers are.
type ICMPKind uint8

// The kinds.
const (
	ICMPNetUnreach      ICMPKind = iota + 1 // v4 type 3 code 0, 6, 11; v6 type 1 code 0
	ICMPHostUnreach                         // v4 type 3 code 1, 5, 7, 12 and others; v6 type 1 code 3
	ICMPProtoUnreach                        // v4 type 3 code 2; v6 type 4 code 1
	ICMPPortUnreach                         // v4 type 3 code 3; v6 type 1 code 4
	ICMPPacketTooBig                        // v4 type 3 code 4; v6 type 2: MTU says how much fits
	ICMPAdminProhibited                     // v4 type 3 code 9, 10, 13; v6 type 1 code 1, 5, 6
	ICMPTimeExceeded                        // v4 type 11; v6 type 3
	ICMPParamProblem                        // v4 type 12; v6 type 4
	ICMPSourceQuench                        // v4 type 4: ignored (RFC 6633)
)

// ICMPError is an ICMP error about a segment of ours, as far as it matters here.
type ICMPError struct {
	Kind ICMPKind
	Code uint8 // as on the wire, for whoever wants to tell the user
	MTU  int   // of ICMPPacketTooBig, bytes; 0: the router did not say
	Seq  Seq   // sequence number quoted in the error

	// Unaccepted says that the user does not have the connection yet, which counts if it began by Fast Open.
	Unaccepted bool
}

// err maps an ICMP error to ours.
func (e *ICMPError) err(v6 bool) Error {
	const failed, unknown, isolated = 5, 7, 8 // codes of ICMPHostUnreach over IPv4 that Linux tells apart
	if !v6 && e.Kind == ICMPHostUnreach {
		switch e.Code {
		case failed:
			return ErrNotSupported
		case unknown:
			return ErrHostDown
		case isolated:
			return ErrNoNet
		}
	}
	return e.Kind.errorOf(v6)
}

// errorOf maps kinds to errors.
func (k ICMPKind) errorOf(v6 bool) Error {
	switch k {
	case ICMPNetUnreach:
		return ErrNetUnreach
	case ICMPHostUnreach, ICMPTimeExceeded:
		return ErrHostUnreach
	case ICMPProtoUnreach:
		return ErrProtoUnreach
	case ICMPPortUnreach:
		return ErrRefused
	case ICMPPacketTooBig:
		return ErrMessageSize
	case ICMPAdminProhibited:
		if v6 {
			return ErrAccess
		}
		return ErrHostUnreach
	case ICMPParamProblem:
		return ErrProto
	}
	return 0
}

// abandons reports whether the error makes a listener forget a connection that is being opened: what Linux takes for
// fatal there, which is not the same for IPv4 and IPv6.
func (e *ICMPError) abandons(v6 bool) bool {
	switch e.Kind {
	case ICMPParamProblem:
		return true
	case ICMPPortUnreach, ICMPAdminProhibited:
		return v6
	case ICMPNetUnreach:
		return !v6 && e.Code == 0
	case ICMPHostUnreach:
		return !v6 && e.Code == 1
	case ICMPTimeExceeded:
		return !v6
	}
	return false
}

// ICMP handles an ICMP error. One that quotes a segment not in flight is not believed (RFC 5927 §4.1). A
// connection being opened ends; any other remembers the error (SoftErr) and goes on: like Linux, for hard
// errors too, since nobody can tell who sent them (RFC 9293 §3.9.2.2, MUST-54 to MUST-56).
func (t *TCB) ICMP(now time.Duration, e ICMPError) {
	t.unfold()
	if t.state == StateClosed || t.state == StateTimeWait || e.Kind == ICMPSourceQuench {
		return
	}
	oldest := t.snd.una
	if t.has(fFastOpen) {
		oldest = t.edge.iss // the SYN-ACK is in flight as well
	}
	if !e.Seq.Between(oldest, t.snd.nxt) {
		t.env.stats.OutOfWindowIcmps.Add(1)
		return
	}
	why := e.err(t.has(fIPv6))
	if why == 0 {
		return
	}
	if t.state == StateSynReceived && t.has(fPassive) && !t.has(fFastOpen) && !e.abandons(t.has(fIPv6)) {
		return
	}
	if e.Kind == ICMPPacketTooBig {
		t.pathMTU(now, e.MTU)
		return
	}
	if t.beingOpened(&e) {
		t.err = why
		t.events |= EvError
		t.toClosed(now)
		return
	}
	if e.Kind == ICMPNetUnreach || e.Kind == ICMPHostUnreach {
		t.revertBackoff(now, e.Seq)
	}
	t.softErr = why
	t.events |= EvError
}

// beingOpened reports whether the error ends the connection, since it is being opened. One that its user has already,
// by Fast Open, is like any other.
func (t *TCB) beingOpened(e *ICMPError) bool {
	switch {
	case t.state == StateSynSent:
		return true
	case t.state != StateSynReceived:
		return false
	case t.has(fFastOpen):
		return e.Unaccepted
	}
	return e.Seq == t.edge.iss || !t.has(fPassive)
}

// Least path MTU believed: RFC 1191 §3 would take 68, which is an invitation to trouble; Linux takes 552
// (min_pmtu). IPv6 guarantees 1280 (RFC 8201 §4).
const (
	minPMTU4 = 552
	minPMTU6 = 1280
)

// pathMTU lowers the path MTU (RFC 1191, RFC 8201) and sends again at once what was too large.
func (t *TCB) pathMTU(now time.Duration, mtu int) {
	least := minPMTU4
	if t.has(fIPv6) {
		least = minPMTU6
	}
	mtu = max(mtu, least)
	if mtu >= int(t.mtu) {
		return
	}
	t.mtu = uint16(mtu)
	t.syncMSS()
	if t.state == StateSynSent {
		t.synTooBig(now)
		return
	}
	if t.state == StateSynReceived {
		return
	}
	t.simpleRetransmit(now)
}

// synTooBig sends a SYN that was too large for the path, since it carried data (RFC 7413), again without.
func (t *TCB) synTooBig(now time.Duration) {
	if fo := t.fast(); fo == nil || fo.synData == 0 || t.has(fSynRexmit) {
		return
	}
	t.flags |= fSynRexmit
	t.force |= forceSyn
	t.total.retrans++
	t.env.stats.RetransSegs.Add(1)
	t.env.stats.TCPSynRetrans.Add(1)
	t.armXmit(TimerRetransmit, now+t.rto)
}

// simpleRetransmit marks segments that are larger than the MSS as lost, without any reduction of the window:
// it was not congestion that lost them.
func (t *TCB) simpleRetransmit(now time.Duration) {
	mss := t.currentMSS()
	q := t.txq()
	found := false
	for i := range q {
		n := int(q[i].end.Sub(q[i].seq))
		if q[i].is(markFIN) {
			n--
		}
		if n > mss && !q[i].is(markSACKed) {
			t.markLostTx(now, &q[i], CauseRetransmitPMTU)
			found = true
		}
	}
	if found {
		t.lostWithoutCongestion(now)
	}
}

// lostWithoutCongestion sends again what is marked lost, at the present window.
func (t *TCB) lostWithoutCongestion(now time.Duration) {
	r := t.rec
	if t.caState != CALoss {
		r.high = t.snd.nxt
		t.cong.Ssthresh = t.cong.CurrentSsthresh()
		t.cong.Settled()
		r.canUndo = false
		t.setCA(now, CALoss)
	}
	r.rexmit = rexmitLost
}

// revertBackoff takes one doubling of the RTO back: the retransmission was lost because there was no route,
// not because of congestion (RFC 6069).
func (t *TCB) revertBackoff(now time.Duration, seq Seq) {
	if seq != t.snd.una || t.retransmits == 0 || t.backoff == 0 || t.packetsOut() == 0 || t.timer(TimerRetransmit) == 0 {
		return
	}
	t.backoff--
	lim := t.rtoLimits()
	t.rto = Backoff(t.rtt.RTO(lim), int(t.backoff), lim)
	at := t.txq()[0].sent + t.rto
	t.armXmit(TimerRetransmit, max(at, now+1))
}
