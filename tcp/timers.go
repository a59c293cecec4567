package tcp

import "time"

// Timer is one of the timers of a connection. They are independent entries of a table, except that of
// those that clock retransmission (TimerRetransmit to TimerPersist) at most one runs, as in Linux.
type Timer uint8

// The timers.
const (
	TimerRetransmit  Timer = iota // RFC 6298 §5
	TimerLossProbe                // RFC 8985 §7.2
	TimerReorder                  // RFC 8985 §6.2, step 5
	TimerPersist                  // RFC 9293 §3.8.6.1
	TimerDelayedAck               // RFC 9293 §3.8.6.3
	TimerAckCompress              // duplicate ACKs held back
	TimerKeepalive                // RFC 9293 §3.8.4
	TimerClose                    // FIN-WAIT-2 of an orphan, TIME-WAIT
	numTimers
)

var timerNames = [numTimers]string{
	"retransmit", "loss-probe", "reorder", "persist", "delayed-ack", "ack-compress", "keepalive", "close",
}

// String returns a short lower-case name such as "loss-probe".
func (k Timer) String() string {
	if k < numTimers {
		return timerNames[k]
	}
	return "timer(?)"
}

// timerTable holds when timers expire. Timers that never run at the same time share a slot, which keeps a
// TCB small: those that clock retransmission, and those of a connection at rest. TimerAckCompress, which runs
// only while segments are missing, is in extra.
type timerTable struct {
	left [numSlots]time.Duration // between expiry and Never: the largest is due first, and 0 does not run
	kind [numSlots]Timer
}

const (
	slotXmit = iota
	slotAck
	slotRest
	numSlots
)

var timerSlot = [numTimers]uint8{
	TimerRetransmit: slotXmit, TimerLossProbe: slotXmit, TimerReorder: slotXmit, TimerPersist: slotXmit,
	TimerDelayedAck: slotAck, TimerKeepalive: slotRest, TimerClose: slotRest,
}

// timer returns when k expires, 0 if it does not run.
func (t *TCB) timer(k Timer) time.Duration {
	if k == TimerAckCompress {
		if t.extra == nil || t.extra.compress == 0 {
			return 0
		}
		return Never - t.extra.compress
	}
	if s := timerSlot[k]; t.timers.kind[s] == k && t.timers.left[s] != 0 {
		return Never - t.timers.left[s]
	}
	return 0
}

// arm sets a timer, instead of another in its slot.
func (t *TCB) arm(k Timer, at time.Duration) {
	s := timerSlot[k]
	t.timers.left[s], t.timers.kind[s] = Never-max(at, 1), k
}

func (t *TCB) armCompress(at time.Duration) { t.needExtra().compress = Never - max(at, 1) }

func (t *TCB) disarmCompress() {
	if t.extra != nil {
		t.extra.compress = 0
	}
}

// stopTimers stops all timers.
func (t *TCB) stopTimers() {
	t.timers = timerTable{}
	t.disarmCompress()
}

func (t *TCB) disarm(k Timer) {
	if s := timerSlot[k]; t.timers.kind[s] == k {
		t.timers.left[s] = 0
	}
}

// armXmit sets one of the timers that clock retransmission and stops the others.
func (t *TCB) armXmit(k Timer, at time.Duration) {
	t.timers.left[slotXmit], t.timers.kind[slotXmit] = Never-max(at, 1), k
}

// disarmXmit stops the timers that clock retransmission.
func (t *TCB) disarmXmit() { t.timers.left[slotXmit] = 0 }

// Deadline returns when Timeout must be called, or Never. It changes with every call of Input, Output,
// Timeout and the user's verbs.
func (t *TCB) Deadline() time.Duration {
	t.tally()
	l := &t.timers.left
	most := max(l[slotXmit], l[slotAck], l[slotRest])
	if t.extra != nil {
		most = max(most, t.extra.compress)
	}
	return Never - most
}

// Timeout handles all timers that expire at now or before. Call Output afterwards.
func (t *TCB) Timeout(now time.Duration) {
	t.unfold()
	for s := range t.timers.left {
		if l := t.timers.left[s]; l == 0 || Never-l > now {
			continue
		}
		t.timers.left[s] = 0
		t.expired(now, t.timers.kind[s])
		if t.state == StateClosed {
			t.idleX(nil)
			return
		}
	}
	if x := t.extra; x != nil && x.compress != 0 && Never-x.compress <= now {
		x.compress = 0
		t.expired(now, TimerAckCompress)
	}
}

func (t *TCB) expired(now time.Duration, k Timer) {
	if t.env.observer != nil {
		t.env.observer.Event(t, Event{Kind: EventTimer, Now: now, Timer: k})
	}
	switch k {
	case TimerRetransmit:
		t.rtoExpired(now)
	case TimerLossProbe:
		t.tlpExpired(now)
	case TimerReorder:
		t.reorderExpired(now)
	case TimerPersist:
		t.persistExpired(now)
	case TimerDelayedAck:
		t.delayedAckExpired()
	case TimerAckCompress:
		if t.ack.held > 0 {
			t.ack.now(CauseDupAck)
		}
	case TimerKeepalive:
		t.keepaliveExpired(now)
	case TimerClose:
		t.closeExpired(now)
	}
}

// setXmitTimer sets the retransmission timer anew after progress: "When an ACK is received that
// acknowledges new data, restart the retransmission timer so that it will expire after RTO seconds"
// (RFC 6298 §5.3), or a tail loss probe before it.
func (t *TCB) setXmitTimer(now time.Duration) {
	if !t.scheduleTLP(now, true) {
		t.rearmRTO(now)
	}
}

// rearmRTO restarts the retransmission timer, or stops it: "When all outstanding data has been
// acknowledged, turn off the retransmission timer" (§5.2).
func (t *TCB) rearmRTO(now time.Duration) {
	t.rearmRTOFrom(now, t.timer(TimerLossProbe) != 0 || t.timer(TimerReorder) != 0)
}

// rearmRTOFrom is rearmRTO; with sinceHead the RTO counts from the head's transmission, because another
// timer had taken the place of the retransmission timer meanwhile.
func (t *TCB) rearmRTOFrom(now time.Duration, sinceHead bool) {
	if t.has(fFastOpen) {
		return // the timer is the SYN-ACK's
	}
	if t.packetsOut() == 0 {
		t.disarmXmit()
		return
	}
	at := now + t.rto
	if sinceHead {
		at = max(t.txq()[0].sent+t.rto, now+1)
	}
	t.armXmit(TimerRetransmit, at)
}

// rtoExpired is RFC 6298 §5.4 to §5.7 and RFC 9293 §3.8.3: "(5.4) Retransmit the earliest segment that has
// not been acknowledged", back off, and after R2 give up.
func (t *TCB) rtoExpired(now time.Duration) {
	if t.state == StateSynSent || t.state == StateSynReceived || t.has(fFastOpen) || t.synOut() {
		t.synExpired(now)
		return
	}
	if t.packetsOut() == 0 {
		return
	}
	if t.snd.wnd == 0 && !t.has(fOrphan) {
		// The peer shrank its window to nothing. The retransmission is a probe then, and the connection
		// stays open as long as it is answered (RFC 9293 §3.8.6, MUST-37).
		if t.probeTimedOut(now) {
			t.fail(now, ErrTimeout)
			return
		}
		t.enterLoss(now)
		t.force |= forceHead
		t.backoffRTO(now)
		return
	}
	t.env.stats.TCPTimeouts.Add(1)
	if t.givesUp(now) {
		t.env.stats.TCPAbortOnTimeout.Add(1)
		t.fail(now, ErrTimeout)
		return
	}
	if t.retransmits == 0 {
		t.countTimeout()
	}
	t.countRTO(now)
	t.enterLoss(now)
	if t.retransmits < 255 {
		t.retransmits++
	}
	t.force |= forceHead
	t.backoffRTO(now)
}

// countRTO is for Info: an episode of timeouts begins or goes on.
func (t *TCB) countRTO(now time.Duration) {
	c := &t.needOpt().rtos
	if c.since == 0 {
		c.since = max(now, 1)
		c.episodes = uint16(min(int(c.episodes)+1, 65535))
	}
	c.expired = uint16(min(int(c.expired)+1, 65535))
}

// rtoRecovered is for Info: the episode is over.
func (t *TCB) rtoRecovered(now time.Duration) {
	if t.opt == nil || t.opt.rtos.since == 0 {
		return
	}
	c := &t.opt.rtos
	c.took += now - c.since
	c.since = 0
}

// countTimeout counts what the timeout interrupted.
func (t *TCB) countTimeout() {
	switch t.caState {
	case CARecovery:
		if t.has(fSACK) {
			t.env.stats.TCPSackFailures.Add(1)
		} else {
			t.env.stats.TCPRenoFailures.Add(1)
		}
	case CALoss:
		t.env.stats.TCPLossFailures.Add(1)
	}
}

// backoffRTO doubles the timeout (RFC 6298 §5.5) and starts the timer (§5.6).
func (t *TCB) backoffRTO(now time.Duration) {
	if t.thin() {
		t.backoff = 0
		t.rto = t.rtt.RTO(t.rtoLimits())
	} else {
		t.backoff = min(t.backoff, 254) + 1
		t.rto = min(t.rto*2, t.RTOMax())
	}
	t.armXmit(TimerRetransmit, now+t.clampToUserTimeout(now, t.rto))
}

// The limits of Linux's linear timeouts.
const (
	thinSegments = 4
	thinRetries  = 6
)

// thin reports whether the next timeout is to be as long as this one. We differ from RFC 6298 §5.5 there on request:
// a connection with little in flight loads no path, and has few duplicates to learn from.
func (t *TCB) thin() bool {
	return (t.ThinLinear() || t.env.cfg.ThinLinearTimeouts == On) && t.state == StateEstablished &&
		t.packetsOut() < thinSegments && t.cong.Ssthresh < InfiniteSsthresh && t.retransmits <= thinRetries
}

// givesUp decides whether the peer has been silent too long: after Retries2 timeouts, counted as the time
// they would take at the least RTO, so that R2 is a duration (RFC 9293 §3.8.3, MUST-20 to MUST-22), after
// the user timeout (RFC 5482), or for an orphan sooner.
func (t *TCB) givesUp(now time.Duration) bool {
	limit := t.env.cfg.Retries2
	if t.timedOut(now, t.env.cfg.Retries1, 0) {
		// R1: "negative advice" about the path (MUST-20) is for the owner to see in the counter.
		t.env.stats.TCPTimeoutRehash.Add(1)
		t.blackHole(now)
	}
	if t.has(fOrphan) {
		limit = t.orphanRetries(t.rto < t.RTOMax())
	}
	return t.timedOut(now, limit, t.userTimeout())
}

// timedOut reports whether retransmission has been going on for as long as boundary timeouts from RTOMin
// on would last, or for limit if that is not 0.
func (t *TCB) timedOut(now time.Duration, boundary int, limit time.Duration) bool {
	if t.retransmits == 0 || t.rec == nil || !t.rec.stamped {
		return false
	}
	if limit == 0 {
		limit = t.modelTimeout(boundary)
	}
	return now-t.rec.rexmitAt >= limit
}

// modelTimeout returns how long boundary timeouts take when they begin at RTOMin and double.
func (t *TCB) modelTimeout(boundary int) time.Duration {
	sum, rto := time.Duration(0), max(t.env.cfg.RTOMin, 1)
	for i := 0; i <= boundary; i++ {
		sum += rto
		rto = min(rto*2, t.RTOMax())
	}
	return sum
}

// orphanRetries returns how often a connection without an application tries.
func (t *TCB) orphanRetries(alive bool) int {
	n := t.env.cfg.OrphanRetries
	if t.softErr != 0 && !alive {
		n = 0
	}
	if n == 0 && alive {
		n = 8 // more than 100 s at the least RTO
	}
	return n
}

// clampToUserTimeout shortens a timeout so that the user timeout is noticed in time.
func (t *TCB) clampToUserTimeout(now, d time.Duration) time.Duration {
	limit := t.userTimeout()
	if limit == 0 || t.rec == nil || !t.rec.stamped {
		return d
	}
	left := limit - (now - t.rec.rexmitAt)
	return max(min(d, left), tick)
}

func (t *TCB) userTimeout() time.Duration {
	if t.opt == nil {
		return 0
	}
	return t.opt.userTimeout
}

// synExpired retransmits SYN or SYN-ACK (RFC 9293 §3.8.3, MUST-23: R2 of a SYN at least 3 minutes is the
// application's to choose; the default is Linux's 127 s).
func (t *TCB) synExpired(now time.Duration) {
	limit := t.env.cfg.SynRetries
	if t.has(fPassive) {
		limit = t.env.cfg.SynackRetries
	}
	if t.opt != nil && t.opt.synRetries > 0 {
		limit = int(t.opt.synRetries)
	}
	switch {
	case t.state == StateSynSent:
		limit += t.env.cfg.SynLinearTimeouts
	case t.has(fFastOpen):
		limit++ // it has a user
	}
	user := t.userTimeout()
	resend := true
	if n := t.deferAccept(); n > 0 && t.has(fPassive) && t.opt.bareAck {
		// The peer has the SYN-ACK. When the wait ends it is repeated, as a last chance to send data or an ACK.
		limit = max(limit, n)
		resend = int(t.retransmits) >= n-1
	}
	if int(t.retransmits) >= limit || user > 0 && t.retransmits > 0 && now-t.lastSend >= user {
		t.env.stats.TCPTimeouts.Add(1)
		why := ErrTimeout
		if t.softErr != 0 {
			why = t.softErr
		}
		t.fail(now, why)
		return
	}
	t.env.stats.TCPTimeouts.Add(1)
	t.countRTO(now)
	if t.has(fFastOpen) && t.retransmits == 1 {
		t.enterLoss(now)
	}
	t.retransmits++
	if !resend {
		t.rto = min(t.rto*2, t.RTOMax())
		t.armXmit(TimerRetransmit, now+t.rto)
		return
	}
	t.flags |= fSynRexmit
	if t.ecn&ecnOK != 0 && t.state == StateSynSent && t.env.cfg.ECNFallback == On {
		t.ecn &^= ecnOK // some path may drop SYNs that ask for ECN (RFC 3168 §6.1.1.1)
	}
	t.force |= forceSyn
	t.total.retrans++
	t.env.stats.RetransSegs.Add(1)
	t.env.stats.TCPSynRetrans.Add(1)
	if t.has(fFastOpen) {
		t.armXmit(TimerRetransmit, now+t.synackRTO(t.retransmits))
		return
	}
	if t.state != StateSynSent || int(t.retransmits) > t.env.cfg.SynLinearTimeouts {
		t.rto = min(t.rto*2, t.RTOMax())
	}
	d := t.rto
	if user > 0 {
		d = max(min(d, user-(now-t.lastSend)), tick)
	}
	t.armXmit(TimerRetransmit, now+d)
}

// fail ends the connection because of why, without telling the peer.
func (t *TCB) fail(now time.Duration, why Error) {
	if why == ErrTimeout && t.softErr != 0 && t.state != StateSynSent && t.state != StateSynReceived {
		why = t.softErr // what ICMP said is the better reason (RFC 1122 §4.2.3.9)
	}
	t.err = why
	t.events |= EvError
	t.toClosed(now)
}
