package tcp

import "time"

// options are settings that most connections leave alone.
type options struct {
	userTimeout time.Duration
	linger2     time.Duration
	probeSince  time.Duration // when zero-window probing began; 0: not probing
	urgent      *urgent
	fast        *fastOpen // nil: no Fast Open
	maxSeg      uint16
	clamp       int32         // TCP_WINDOW_CLAMP; 0: none
	rstSACK     *Options      // what our RST reports besides; nil: nothing
	eors        []Seq         // ends of writes that are not joined with what follows (MSG_EOR)
	notsent     int32         // TCP_NOTSENT_LOWAT; 0: that of Config
	rcvLowat    int32         // SO_RCVLOWAT; 0: one byte
	rtoMax      time.Duration // TCP_RTO_MAX_MS; 0: that of Config
	rtos        rtoCounts
	synRetries  uint8
	deferAccept uint8 // retransmissions of the SYN-ACK that the wait for data lasts
	bareAck     bool  // the peer has acknowledged the SYN-ACK, without data
	thinLinear  bool  // TCP_THIN_LINEAR_TIMEOUTS
	ttl         uint8 // IP_TTL
}

// forget leaves what the user has set, and nothing of a connection.
func (o *options) forget() {
	if o.urgent != nil {
		o.urgent = &urgent{inline: o.urgent.inline}
	}
	o.fast, o.eors, o.rstSACK = nil, nil, nil
	o.probeSince, o.rtos, o.bareAck = 0, rtoCounts{}, false
}

func (t *TCB) needOpt() *options {
	if t.opt == nil {
		t.opt = new(options)
	}
	return t.opt
}

// SetNoDelay switches Nagle's algorithm off or on (TCP_NODELAY; RFC 9293 §3.7.4, MUST-17). Off sends what
// waits.
func (t *TCB) SetNoDelay(off bool) {
	if off {
		t.nonagle |= nagleOff
		if t.snd.nxt != t.snd.end {
			t.force |= forceNagle
		}
	} else {
		t.nonagle &^= nagleOff
		t.force &^= forceNagle
	}
}

// NoDelay reports whether Nagle's algorithm is off.
func (t *TCB) NoDelay() bool { return t.nonagle&nagleOff != 0 }

// SetCork holds segments that are not full back until it is switched off (TCP_CORK).
func (t *TCB) SetCork(on bool) {
	if on {
		t.nonagle |= nagleCork
		return
	}
	if t.nonagle&nagleCork != 0 && t.nonagle&nagleOff != 0 {
		t.force |= forceNagle
	}
	t.nonagle &^= nagleCork | nagleMore
}

// Cork reports whether SetCork is on.
func (t *TCB) Cork() bool { return t.nonagle&nagleCork != 0 }

// SetQuickAck switches quick acknowledgments on, which also sends what is owed now, or off (TCP_QUICKACK). Like
// Linux's option it does not stick: the connection goes on deciding for itself.
func (t *TCB) SetQuickAck(now time.Duration, on bool) {
	t.unfold()
	if !on {
		t.ack.pingpong = 255
		return
	}
	t.ack.pingpong = 0
	if t.state.in(canSend) && t.ack.pending&ackSched != 0 {
		t.ack.pending |= ackPushed
		if t.Readable() == 0 {
			t.ack.now(CauseAck)
		} else {
			t.afterRead(0)
		}
	}
}

// QuickAck reports whether the connection is not in a dialogue in which ACKs wait for data.
func (t *TCB) QuickAck() bool {
	thr := 1
	if t.env != nil {
		thr = t.env.cfg.PingpongThr
	}
	return int(t.ack.pingpong) < thr
}

// SetUserTimeout limits how long sent data may stay unacknowledged, or probes unanswered, before the connection
// ends (TCP_USER_TIMEOUT; RFC 5482, RFC 9293 §3.9.1). 0: by the number of retransmissions.
func (t *TCB) SetUserTimeout(d time.Duration) {
	if d != 0 || t.opt != nil {
		t.needOpt().userTimeout = max(d, 0)
	}
}

// UserTimeout returns what SetUserTimeout has set.
func (t *TCB) UserTimeout() time.Duration { return t.userTimeout() }

// SetThinLinear switches linear timeouts on: while fewer than four segments are in flight, and slow start is not what
// keeps them so few, the first six timeouts do not double the next (TCP_THIN_LINEAR_TIMEOUTS).
func (t *TCB) SetThinLinear(on bool) {
	if on || t.opt != nil {
		t.needOpt().thinLinear = on
	}
}

// ThinLinear reports whether SetThinLinear is on.
func (t *TCB) ThinLinear() bool { return t.opt != nil && t.opt.thinLinear }

// SetTTL keeps the time to live that the owner is to send segments with (IP_TTL, IPV6_UNICAST_HOPS); 0: its default.
func (t *TCB) SetTTL(ttl uint8) {
	if ttl != 0 || t.opt != nil {
		t.needOpt().ttl = ttl
	}
}

// TTL returns what SetTTL has set.
func (t *TCB) TTL() uint8 {
	if t.opt == nil {
		return 0
	}
	return t.opt.ttl
}

// SetLinger2 sets how long the connection stays in FIN-WAIT-2 once it is an orphan; negative: it does not, and
// resets (TCP_LINGER2). 0: Config.FinTimeout. Linux caps it at 120 s, which is the caller's business.
func (t *TCB) SetLinger2(d time.Duration) {
	if d != 0 || t.opt != nil {
		t.needOpt().linger2 = d
	}
}

// SetSynRetries sets how often a SYN is retransmitted (TCP_SYNCNT). 0: by Config.
func (t *TCB) SetSynRetries(n int) {
	if n != 0 || t.opt != nil {
		t.needOpt().synRetries = uint8(min(max(n, 0), 255))
	}
}

// SetDeferAccept makes a listener's connections wait for data before they are established, for about d: the ACK of
// the handshake alone does not count (TCP_DEFER_ACCEPT). On a connection that is opened actively it delays that
// ACK, which the first data will carry. Like Linux, d is kept as a number of retransmissions of the SYN-ACK.
func (t *TCB) SetDeferAccept(d time.Duration) {
	n, total, rto := uint8(0), time.Duration(0), DefaultRTOInit
	for total < d && n < 255 {
		n++
		total += rto
		rto = min(rto*2, DefaultRTOMax)
	}
	if n > 0 || t.opt != nil {
		t.needOpt().deferAccept = n
	}
}

// DeferAccept returns how long the wait for data really lasts at most.
func (t *TCB) DeferAccept() (d time.Duration) {
	rto := DefaultRTOInit
	for range t.deferAccept() {
		d += rto
		rto = min(rto*2, DefaultRTOMax)
	}
	return d
}

func (t *TCB) deferAccept() int {
	if t.opt == nil {
		return 0
	}
	return int(t.opt.deferAccept)
}

// leastWindowClamp is the least that SetWindowClamp takes (half of SOCK_MIN_RCVBUF).
const leastWindowClamp = 1152

// SetWindowClamp bounds the window that is advertised, in bytes (TCP_WINDOW_CLAMP). 0 takes the bound away, which is
// possible before the connection begins; it reports whether it was.
func (t *TCB) SetWindowClamp(n int) bool {
	begun := t.state != StateClosed
	if n == 0 {
		if !begun && t.opt != nil {
			t.opt.clamp = 0
		}
		return !begun
	}
	n = min(max(n, leastWindowClamp), 1<<30)
	t.needOpt().clamp = int32(n)
	if begun {
		t.clampWindow(n)
	}
	return true
}

// WindowClamp returns the most that is advertised.
func (t *TCB) WindowClamp() int {
	if t.state == StateClosed {
		return t.windowClamp()
	}
	return int(t.rwin.clamp)
}

func (t *TCB) windowClamp() int {
	if t.opt == nil {
		return 0
	}
	return int(t.opt.clamp)
}

// rtoCounts are for Info: how often the retransmission timer expired, how many episodes of that began, and how long
// they took until something was acknowledged.
type rtoCounts struct {
	expired, episodes uint16
	took              time.Duration
	since             time.Duration // when the present episode began; 0: there is none
	ce                uint32        // segments delivered by ACKs that echo congestion
}

// SetNotsentLowat bounds what may wait to be sent, in bytes: beyond it there is no room for more, and a writer is woken
// when less than half of it is left (TCP_NOTSENT_LOWAT). 0: as Config says.
func (t *TCB) SetNotsentLowat(n uint32) {
	if n != 0 || t.opt != nil {
		t.needOpt().notsent = int32(min(n, 1<<31-1))
	}
}

// NotsentLowat returns what SetNotsentLowat has set.
func (t *TCB) NotsentLowat() uint32 {
	if t.opt == nil {
		return 0
	}
	return uint32(t.opt.notsent)
}

// notsentFull reports whether too much waits to be sent; wake asks whether a writer is to sleep on.
func (t *TCB) notsentFull(wake bool) bool {
	limit := t.env.cfg.NotsentLowat
	if t.opt != nil && t.opt.notsent > 0 {
		limit = int(t.opt.notsent)
	}
	if limit == 0 {
		return false
	}
	n := int(t.snd.end.Sub(t.snd.nxt))
	if wake {
		n *= 2
	} else {
		// Linux sends while it takes over what is written.
		mss := t.currentMSS()
		quota := max(int(t.cong.Cwnd)-t.inFlight(), 0) * mss
		room := max(int(t.snd.una.Add(t.snd.wnd).Sub(t.snd.nxt))/mss*mss, 0)
		n -= min(quota, room)
	}
	return n >= limit
}

// SetRcvLowat sets how many bytes make the connection readable (SO_RCVLOWAT), at least 1.
func (t *TCB) SetRcvLowat(n int) {
	if n > 1 || t.opt != nil {
		t.needOpt().rcvLowat = int32(min(max(n, 1), 1<<30))
	}
	if t.state.in(synchronized) {
		t.events |= EvReadable
	}
}

// RcvLowat returns what SetRcvLowat has set.
func (t *TCB) RcvLowat() int {
	if t.opt == nil {
		return 1
	}
	return max(int(t.opt.rcvLowat), 1)
}

// SetWritePending tells that somebody waits to write until the connection is open (Linux's sk_write_pending): then the
// ACK of the handshake travels with that text instead of going ahead of it, or after 200 ms if none comes. In SYN-SENT
// only; afterwards it means nothing.
func (t *TCB) SetWritePending(on bool) { t.set(fWritePending, on && t.state == StateSynSent) }

// SetRTOMax bounds the retransmission timeout of the connection, from 1 s to 120 s (TCP_RTO_MAX_MS). 0: as Config says.
func (t *TCB) SetRTOMax(d time.Duration) {
	if d != 0 {
		d = min(max(d, time.Second), 120*time.Second)
	}
	if d != 0 || t.opt != nil {
		t.needOpt().rtoMax = d
	}
}

// RTOMax returns the most the retransmission timeout becomes.
func (t *TCB) RTOMax() time.Duration {
	if t.opt != nil && t.opt.rtoMax > 0 {
		return t.opt.rtoMax
	}
	if t.env == nil {
		return DefaultRTOMax
	}
	return t.env.cfg.RTOMax
}

func (t *TCB) rtoLimits() RTOLimits {
	lim := t.env.cfg.rtoLimits()
	if t.opt != nil && t.opt.rtoMax > 0 {
		lim.Max = t.opt.rtoMax
	}
	return lim
}

// SynRetries returns what SetSynRetries has set, or what Config says.
func (t *TCB) SynRetries() int {
	if t.opt != nil && t.opt.synRetries > 0 {
		return int(t.opt.synRetries)
	}
	if t.env == nil {
		return 0
	}
	return t.env.cfg.SynRetries
}

// Linger2 returns how long an orphan stays in FIN-WAIT-2.
func (t *TCB) Linger2() time.Duration {
	if t.env == nil && (t.opt == nil || t.opt.linger2 == 0) {
		return 0
	}
	return t.linger2()
}

// SetMaxSeg limits the MSS, announced and used (TCP_MAXSEG), bytes. It has an effect on the announcement only
// before the connection begins. 0: no limit.
func (t *TCB) SetMaxSeg(n int) {
	if n == 0 && t.opt == nil {
		return
	}
	t.needOpt().maxSeg = uint16(min(max(n, 0), 65535))
	if t.state != StateClosed && t.opt.maxSeg != 0 {
		t.mssClamp = min(t.mssClamp, t.opt.maxSeg)
		t.syncMSS()
	}
}

// SetSndBuf fixes the send buffer at n bytes, which ends autotuning (SO_SNDBUF; Linux doubles what the user
// says, which is the caller's business). 0 gives it back to autotuning.
func (t *TCB) SetSndBuf(n int) {
	t.set(fSndLocked, n > 0)
	if n > 0 {
		t.sndLimit = int32(min(n, 1<<30))
	} else if t.env != nil {
		t.sndLimit = int32(t.env.cfg.Wmem[1])
	}
}

// SndBuf returns the size of the send buffer in bytes.
func (t *TCB) SndBuf() int { return int(t.sndLimit) }

// SetRcvBuf fixes the receive buffer at n bytes, which ends autotuning (SO_RCVBUF; Linux doubles what the user
// says, which is the caller's business). Half of it is offered as window. 0 gives it back to autotuning. A
// smaller buffer does not take back window already offered.
func (t *TCB) SetRcvBuf(n int) {
	t.set(fRcvLocked, n > 0)
	if n > 0 {
		t.rcvLimit = int32(min(n, 1<<30))
	} else if t.env != nil {
		t.rcvLimit = int32(t.env.cfg.Rmem[1])
	}
}

// RcvBuf returns the size of the receive buffer in bytes.
func (t *TCB) RcvBuf() int { return int(t.rcvLimit) }

// SetCongestion chooses the congestion control algorithm by name (TCP_CONGESTION; see Select). The empty name
// chooses that of Config. The window stays.
func (t *TCB) SetCongestion(name string) error {
	if name == "" {
		t.caKind = 0
		t.dropAlg()
		return nil
	}
	alg, err := Select(name)
	if err != nil {
		return err
	}
	for i, n := range CongestionNames() {
		if n == alg.Name() {
			t.caKind = uint8(i + 1)
		}
	}
	if t.alg() != nil {
		t.extra.alg = alg
	}
	return nil
}

// Congestion returns the name of the congestion control algorithm.
func (t *TCB) Congestion() string {
	switch {
	case t.caKind > 0:
		return CongestionNames()[t.caKind-1]
	case t.env != nil:
		return t.env.cfg.CongestionControl
	}
	return CongestionNames()[0]
}
