package tcp

import "time"

// extra is what a connection does without that carries little, over a clean wire, with the usual options:
// it has none then. It comes when the first of these is needed, and stays as long as the connection, so that
// it costs an allocation once and never one for each segment.
type extra struct {
	alg  Congestion    // nil until it has something to do
	wire *wireBufs     // memory of what was received; nil: not accounted for
	mtu  *mtuSearch    // of the path MTU by probes; nil: none
	tw   *TimeWait     // answers for t in TIME-WAIT, once asked
	oow  time.Duration // when a bad segment was last answered (tcp_invalid_ratelimit), with fOOWSet

	compress time.Duration // TimerAckCompress: expiry as in timerTable
	compNxt  Seq           // RCV.NXT that ack.dups and ack.held are for
	dsack    Range         // duplicate to report (RFC 2883), with fDSACK

	rst  pendingReset // with fReset
	reo  reoWindow
	rexm uint64 // bytes retransmitted

	tlpEnd Seq // TLP.end_seq of RFC 8985, with rackTLP

	dsacks uint16 // duplicates that the peer reported
	early  uint16 // segments received out of order

	rttAt time.Duration // without timestamps: when the present window began,
	rttTo Seq           // and where it ends (see measureRcvRTT)
}

// needExtra returns t.extra, made if there was none.
func (t *TCB) needExtra() *extra {
	if t.extra == nil {
		t.extra = &extra{reo: reoWindow{steps: 1}}
	}
	return t.extra
}

// alg returns the congestion control algorithm, nil while it has nothing to do.
func (t *TCB) alg() Congestion {
	if t.extra == nil {
		return nil
	}
	return t.extra.alg
}

// dropAlg forgets the congestion control algorithm.
func (t *TCB) dropAlg() {
	if t.extra != nil {
		t.extra.alg = nil
	}
}

// wire returns the account of the memory that received segments take, nil when none is kept.
func (t *TCB) wire() *wireBufs {
	if t.extra == nil {
		return nil
	}
	return t.extra.wire
}
