package tcp

import "time"

// Tail loss probes (RFC 8985 §7): when ACKs stop coming, a segment is sent before the retransmission timer
// would expire, so that its SACK shows what was lost.

// scheduleTLP sets the probe timer instead of the retransmission timer when a probe makes sense, and
// reports whether it did. advancing tells that RTO counts from now, not from the head's transmission.
func (t *TCB) scheduleTLP(now time.Duration, advancing bool) bool {
	if !t.env.earlyProbes || t.packetsOut() == 0 || !t.has(fSACK) || t.has(fFastOpen) ||
		t.caState != CAOpen && t.caState != CACWR || t.rec != nil && t.rec.sacked > 0 {
		return false
	}
	pto := t.probeTimeout(t.packetsOut())
	left := t.rto
	if !advancing {
		left = t.txq()[0].sent + t.rto - now
	}
	if left > 0 {
		pto = min(pto, left)
	}
	t.armXmit(TimerLossProbe, now+pto)
	return true
}

// probeTimeout returns how long to wait for the ACK of the last of n segments in flight: "PTO = 2 * SRTT", plus the delayed
// ACK's worst case when it is the only one.
func (t *TCB) probeTimeout(n int) time.Duration {
	switch {
	case !t.rtt.Known():
		return DefaultRTOInit
	case n == 1:
		return 2*t.rtt.SRTT() + t.env.rtoMin
	}
	return 2*t.rtt.SRTT() + 2*tick
}

// tlpExpired sends the probe: new data if there is some and the peer's window has room, else the last
// segment again (§7.3).
func (t *TCB) tlpExpired(now time.Duration) {
	if t.packetsOut() == 0 || t.rackFlags&rackTLP != 0 {
		t.rearmRTOFrom(now, true)
		return
	}
	t.rackFlags &^= rackTLPRetrans
	if t.snd.nxt != t.snd.end && t.headFits() {
		t.force |= forceNew
		return
	}
	t.force |= forceTail
}

// tlpSent notes that the probe left.
func (t *TCB) tlpSent(now time.Duration, retrans bool) {
	t.rackFlags = t.rackFlags&^rackTLPRetrans | rackTLP
	if retrans {
		t.rackFlags |= rackTLPRetrans
	}
	t.needExtra().tlpEnd = t.snd.nxt
	t.env.stats.TCPLossProbes.Add(1)
	t.armXmit(TimerRetransmit, now+t.rto)
}

// tlpAck detects by an ACK whether the probe repaired a loss, which must count as congestion (§7.4).
func (t *TCB) tlpAck(a *ackState) {
	end := t.extra.tlpEnd
	if t.snd.una.Before(end) {
		return
	}
	switch {
	case t.rackFlags&rackTLPRetrans == 0, a.info&ackDSACKTLP != 0:
		t.rackFlags &^= rackTLP
	case t.snd.una.After(end):
		// The ACK goes beyond the probe and no duplicate was reported: the original was lost.
		t.needRec()
		t.beginReduction(a.now, CongestionLoss)
		t.setCA(a.now, CACWR)
		t.endReduction(a.now)
		t.keepOpen(a.now)
		t.env.stats.TCPLossProbeRecovery.Add(1)
		t.rackFlags &^= rackTLP
	case a.info&(ackAdvanced|ackNotDup|ackSACKed) == 0:
		t.rackFlags &^= rackTLP // a pure duplicate ACK: original and probe arrived
	}
}
