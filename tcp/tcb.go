package tcp

import "time"

// TCB is one connection: the transmission control block of RFC 9293 §3.3.1 and everything around it. The
// zero value is in CLOSED; Connect, Passive or PassiveCookie starts a connection. A TCB may be part of a
// larger struct but must not be copied once started, and must not be used by two goroutines at once.
//
// The owner calls Input for what arrives, Timeout at Deadline, and the user's verbs; after each it calls
// Output until that returns false, sends what it got, and looks at TakeEvents.
//
// It is kept small: an idle connection is little else. What most connections do without is in extra, x, rec and ooo,
// and the order is that of use, so that a segment of an established connection finds what it needs in few cache lines.
type TCB struct {
	// What each packet of a dialogue writes to lies together, with what the owner has before it: 32 bytes, and another cache line.
	// They travel from processor to processor with the connection.
	snd      sendVars
	lonesIn  uint16 // lone texts that were received, and
	lonesOut uint16 // sent, since tally
	rcv      recvVars
	tsRecent uint32 // TS.Recent (RFC 7323 §4.3)
	rtt      RTT
	lastSend time.Duration // when data was last sent
	lastRecv time.Duration // when an ACK was last received
	rackSent time.Duration // RACK.xmit_ts

	// What a dialogue only looks at is two more.

	// These eight bytes are looked at together; see mood.
	state       State
	caState     CAState
	ecn         ecnFlags
	retransmits uint8 // timeouts in a row (icsk_retransmits)
	nonagle     nagleFlags
	rackFlags   rackFlags
	force       forceFlags
	err         Error // why it ended

	flags  tcbFlags
	events Events

	softErr   Error // the latest ICMP error that did not end it
	caKind    uint8 // index into CongestionNames plus one; 0: that of Config
	backoff   uint8 // doublings of the probe interval
	probesOut uint8 // probes unanswered (icsk_probes_out)

	localPort, remotePort uint16
	mss                   uint16 // eff.snd.MSS: payload of a segment with the usual options (RFC 9293 §3.7.1)

	env      *env      // what all connections of the stack share
	extra    *extra    // what few connections need; nil: nothing of it
	x        *transfer // queues; nil: all empty
	maxWnd   uint32    // MAX.SND.WND (RFC 5961 §5)
	tsOffset uint32    // added to our clock for timestamps
	sndLimit int32     // SO_SNDBUF, bytes
	rcvRTT   uint32    // RTT as the receiver estimates it, µs × 8; 0: none
	rwin     rwinVars
	ooo      *oooQueue // out-of-order segments; nil: none
	ack      ackVars
	minRTT   MinRTT

	// The rest of what a dialogue would write is brought up to date when somebody asks for it; see tally.
	lastData   time.Duration // when text arrived last
	cong       Window        // cwnd, ssthresh (RFC 5681)
	rcvLimit   int32         // SO_RCVBUF, bytes
	edge       edges
	timers     timerTable
	rto        time.Duration // retransmission timeout with backoff (RFC 6298)
	rack       rackState
	total      totals
	recentAt   time.Duration // when TS.Recent was taken
	mtu        uint16        // path MTU, IP header included
	mssClamp   uint16        // SendMSS: what the peer announced
	reordering uint16        // segments of reordering expected
	lastSeg    uint16        // size of the latest odd segment that was received

	rec  *recovery // scoreboard and recovery; nil while nothing is lost or SACKed
	opt  *options  // what users rarely set; nil: defaults
	drs  rcvSpace
	keep *KeepAliveConfig // parameters of keep-alive; nil: those of Config. Shared, never changed
}

// sendVars are the send sequence variables (RFC 9293 §3.3.1, figure 3).
type sendVars struct {
	una Seq    // SND.UNA: oldest unacknowledged
	nxt Seq    // SND.NXT: next to be sent; never goes back, so it is also the highest sent
	end Seq    // behind everything written, and behind the FIN once the user closed
	wl1 Seq    // SND.WL1: SEG.SEQ of the latest window update
	wl2 Seq    // SND.WL2: SEG.ACK of the latest window update
	wnd uint32 // SND.WND, bytes

	scale uint8    // Snd.Wind.Shift (RFC 7323 §2.2)
	shy   uint8    // whether and when the next loan is given; see MayLend
	grown uint8    // how often loans were doubled; see LoanSize
	lone  loneKind // what is not in the queues; see there
}

// edges are places in sequence space that few segments ask about.
type edges struct {
	iss  Seq // ISS
	irs  Seq // IRS
	sml  Seq // end of the latest segment sent that was not full (Minshall's Nagle)
	psh  Seq // the segment that ends here carries PSH: end of the latest write
	shov Seq // up to here data was pushed (Linux's pushed_seq)
	run  Seq // the present run of segments ends here (see startRun), with fRun
	got  Seq // RCV.NXT up to which totals.bytesReceived counts those of lone texts; see tally
}

// recvVars are the receive sequence variables (RFC 9293 §3.3.1, figure 4).
type recvVars struct {
	nxt  Seq    // RCV.NXT
	wup  Seq    // RCV.NXT when the window was last advertised
	read Seq    // next number the user reads
	wnd  uint32 // RCV.WND as advertised at wup, bytes
}

// rwinVars are what the windows that we advertise depend on.
type rwinVars struct {
	ssthresh uint32 // the most we advertise now; grows as the peer proves to fill segments
	clamp    uint32 // the most we ever advertise
	mss      uint32 // size of the peer's full segments, as seen
	adv      uint16 // the MSS we announced, without the timestamps we send
	scale    uint8  // Rcv.Wind.Shift
	offered  uint8  // the shift our SYN says
}

// totals are for Info.
type totals struct {
	bytesAcked, bytesReceived        uint64
	segsIn, segsOut, dataIn, dataOut uint32
	delivered, retrans, lost         uint32
	una                              Seq // SND.UNA up to which bytesAcked counts those of lone texts; see tally
}

// tcbFlags are yes-or-no state of a connection.
type tcbFlags uint32

const (
	fPassive      tcbFlags = 1 << iota // began in LISTEN (RFC 9293 MUST-11)
	fIPv6                              // IP header of 40 bytes
	fTS                                // timestamps on every segment (RFC 7323 §3)
	fSACK                              // SACK permitted (RFC 2018)
	fWScale                            // windows are scaled (RFC 7323 §2)
	fFinQueued                         // the user closed the sending side: a FIN comes after the data
	fFinSent                           // SND.NXT is beyond our FIN
	fRcvShut                           // nobody will read (RCV_SHUTDOWN): the user, or the peer's FIN
	fOrphan                            // the user closed the connection
	fSndLocked                         // SO_SNDBUF was set: no autotuning
	fRcvLocked                         // SO_RCVBUF was set: no autotuning
	fNoSpace                           // a write did not fit: tell when there is room
	fOOWSet                            // extra.oow means something
	fCwndLimited                       // the congestion window stopped Output
	fRun                               // snd.run means something
	fSentNew                           // new data went out since Output last said false
	fDSACK                             // dsack is to be reported
	fTSRecent                          // ts.recent means something
	fHaveSack                          // our peer has sent SACK blocks
	fFinRcvd                           // RCV.NXT is beyond the peer's FIN
	fUrgent                            // urgent text is being sent
	fDetached                          // a stand-in took over in TIME-WAIT
	fKeepalive                         // SO_KEEPALIVE
	fSynRexmit                         // the SYN or SYN-ACK was sent more than once
	fFastOpen                          // accepted by Fast Open, and the SYN-ACK is not acknowledged yet
	fEOR                               // records were written (MSG_EOR)
	fUrgentIn                          // urgent text was announced and not passed by the user
	fPushNext                          // the next new segment carries PSH: a probe took the head of its text
	fReset                             // extra.rst is to be sent before anything else
	fWritePending                      // a writer waits for the connection to open
	fCounted                           // counts among the stack's orphans
)

func (t *TCB) has(f tcbFlags) bool { return t.flags&f != 0 }

func (t *TCB) set(f tcbFlags, on bool) {
	if on {
		t.flags |= f
	} else {
		t.flags &^= f
	}
}

// forceFlags are segments Output must send whatever the windows say.
type forceFlags uint8

const (
	forceHead      forceFlags = 1 << iota // the head of the retransmission queue: its timer expired
	forceTail                             // the last segment: tail loss probe
	forceNew                              // one new segment: tail loss probe
	forceProbe                            // zero-window probe
	forceKeepalive                        // keep-alive probe
	forceSyn                              // SYN or SYN-ACK
	forceNagle                            // Nagle is off for what is queued now
	forceAck                              // the pending ACK, before anything that could carry it
)

// pendingReset is a RST that Output sends before anything else, with fReset.
type pendingReset struct {
	seq, ack Seq
	wnd      uint16
	flags    Flags
	own      bool // our decision, not the answer to a stray segment
}

// init prepares t for a new connection. What the user has set on the TCB stays.
func (t *TCB) init(now time.Duration, p *Params) {
	const userFlags = fSndLocked | fRcvLocked | fKeepalive
	// Not by one assignment, which would make a second TCB to copy from.
	flags, nonagle, opt, keep, caKind := t.flags&userFlags, t.nonagle, t.opt, t.keep, t.caKind
	sndLimit, rcvLimit, pingpong := t.sndLimit, t.rcvLimit, t.ack.pingpong
	*t = TCB{}
	t.env = newEnv(p)
	t.flags, t.nonagle, t.opt, t.keep, t.caKind = flags, nonagle, opt, keep, caKind
	t.sndLimit, t.rcvLimit, t.ack.pingpong = sndLimit, rcvLimit, pingpong
	if t.opt != nil {
		t.opt.forget()
	}
	t.localPort, t.remotePort = p.Local.Port(), p.Remote.Port()
	if p.Wire {
		t.needExtra().wire = &wireBufs{ratio: uint8(max(min(t.env.cfg.winFromSpace(256), 255), 1))}
	}
	t.set(fIPv6, !p.Remote.Addr().Unmap().Is4())

	t.mtu = uint16(min(max(p.MTU, 68), 65535))
	t.mssClamp = defaultMSS(t.has(fIPv6))
	t.reordering = uint16(t.env.cfg.Reordering)
	t.rto = DefaultRTOInit
	t.cong.Init(now, uint32(t.env.cfg.InitCwnd))
	if !t.has(fSndLocked) {
		t.sndLimit = int32(t.env.cfg.Wmem[1])
	}
	if !t.has(fRcvLocked) {
		t.rcvLimit = int32(t.env.cfg.Rmem[1])
	}
	t.tsOffset, t.tsRecent, t.recentAt = p.TSOffset, p.TSRecent, p.TSRecentAt
	t.set(fTSRecent, p.HasTSRecnt)

	t.edge.iss, t.snd.una, t.snd.nxt = p.ISS, p.ISS, p.ISS
	t.snd.end = p.ISS.Add(1)
	t.edge.sml, t.edge.psh, t.edge.shov = p.ISS, p.ISS, p.ISS.Add(1)
	t.rwin.adv = t.advMSS()
	t.lastSend, t.lastRecv = now, now
}

// State returns the state of the connection.
func (t *TCB) State() State { return t.state }

// Err returns why the connection ended, an Error, or nil when it did not or ended normally.
func (t *TCB) Err() error { return t.err.asError() }

// SoftErr returns the latest error that ICMP reported and that did not end the connection, an Error, or
// nil. It is forgotten when the peer acknowledges something.
func (t *TCB) SoftErr() error { return t.softErr.asError() }

// TakeSoftErr is SoftErr, once.
func (t *TCB) TakeSoftErr() error {
	err := t.softErr.asError()
	t.softErr = 0
	return err
}

// Connect is the active OPEN call (RFC 9293 §3.10.1): the state becomes SYN-SENT and Output gives the
// SYN. t must be in CLOSED.
func (t *TCB) Connect(now time.Duration, p *Params) {
	t.init(now, p)
	t.env.stats.ActiveOpens.Add(1)
	t.setState(now, StateSynSent)
	t.initWindow(t.env.cfg.WindowScaling == On, int(t.rwin.adv)-t.tsLenIfRecent())
	t.syncMSS()
	if t.env.cfg.ECN == ECNActive {
		t.ecn |= ecnOK
	}
	if p.FastOpen != nil {
		t.fastOpenConnect(now, p.FastOpen)
	}
	t.sendSYN(now, nil)
}

// Passive makes the connection that syn asks for: a listener got it (RFC 9293 §3.10.7.2). The state
// becomes SYN-RECEIVED and Output gives the SYN-ACK. Text on the SYN is not taken, the peer sends it
// again, unless Params.FastOpen accepts it.
func (t *TCB) Passive(now time.Duration, p *Params, syn *Segment) {
	t.init(now, p)
	t.flags |= fPassive
	t.env.stats.PassiveOpens.Add(1)
	t.total.segsIn++
	t.setState(now, StateSynReceived)
	t.takeSYNOptions(now, syn)
	mss := int(t.rwin.adv) - t.tsLen()
	t.initWindow(t.has(fWScale), mss)
	t.edge.irs, t.rcv.nxt, t.rcv.wup, t.rcv.read = syn.Seq, syn.Seq.Add(1), syn.Seq.Add(1), syn.Seq.Add(1)
	t.takeSYNWindow(syn)
	if t.env.cfg.ECN != ECNOff && syn.Flags.Has(ECE|CWR) && syn.ECN == ECNNot {
		t.ecn |= ecnOK
	}
	t.syncMSS()
	t.initRcvMSS()
	if p.FastOpen != nil {
		t.needOpt().fast = &fastOpen{option: p.FastOpen.Grant}
	}
	t.sendSYN(now, syn.Spares)
	if p.FastOpen != nil && p.FastOpen.Accept {
		t.acceptFastOpen(now, syn)
	}
}

// PassiveCookie makes the connection whose SYN was answered with the cookie c, now that ack brought it
// back (see CheckCookie). The state becomes ESTABLISHED; ack may carry text, which is taken.
func (t *TCB) PassiveCookie(now time.Duration, p *Params, ack *Segment, c CookieState) {
	q := *p
	q.ISS = c.ISS
	t.init(now, &q)
	t.flags |= fPassive
	t.env.stats.PassiveOpens.Add(1)
	t.env.stats.SyncookiesRecv.Add(1)
	t.setState(now, StateSynReceived)
	syn := Segment{Seq: c.IRS, Flags: SYN, Wnd: ack.Wnd, Opts: Options{
		MSS: c.MSS, HasMSS: true, WScale: c.WScale, HasWScale: c.HasWScale,
		SACKPermitted: c.SACKPermitted, HasTS: c.HasTS, TSVal: ack.Opts.TSVal,
	}}
	t.takeSYNOptions(now, &syn)
	t.initWindow(t.has(fWScale), int(c.MSS)) // whole segments of the size that the cookie tells, as Linux has it
	t.edge.irs, t.rcv.nxt, t.rcv.wup, t.rcv.read = c.IRS, c.IRS.Add(1), c.IRS.Add(1), c.IRS.Add(1)
	t.takeSYNWindow(&syn)
	if c.ECN && t.env.cfg.ECN != ECNOff {
		t.ecn |= ecnOK
	}
	t.syncMSS()
	t.initRcvMSS()
	t.snd.nxt = t.snd.end
	t.Input(now, ack)
}

// Release gives all memory back. The TCB can only be used for State, Err and Info afterwards.
func (t *TCB) Release() {
	t.flushSend()
	t.dropReceived()
	if t.ooo != nil {
		t.ooo.release()
		t.ooo = nil
	}
	t.rec = nil
	t.dropAlg()
	t.stopTimers()
	t.state = StateClosed
	t.idleX(nil)
}

// dataEnd returns the sequence number behind the last byte written.
func (t *TCB) dataEnd() Seq {
	if t.has(fFinQueued) {
		return t.snd.end - 1
	}
	return t.snd.end
}

// tsLen returns the bytes that timestamps take from each segment.
func (t *TCB) tsLen() int {
	if t.has(fTS) {
		return 12
	}
	return 0
}

// tsNow returns our timestamp clock: milliseconds and the connection's offset (RFC 7323 §5.4).
func (t *TCB) tsNow(now time.Duration) uint32 {
	return uint32(now/time.Millisecond) + t.tsOffset
}
