package tcp

import (
	"math/bits"
	"time"
)

// Zero-window probes and keep-alives.

// needProbe arms the persist timer when there is something to send, nothing in flight whose timer would
// do, and the window does not let it out: "The sending TCP peer must regularly transmit at least one octet
// of new data (if available), or retransmit to the receiving TCP peer even if the send window is zero"
// (RFC 9293 §3.8.6.1, MUST-35, MUST-36).
func (t *TCB) needProbe(now time.Duration) {
	if t.snd.nxt == t.snd.end || t.packetsOut() > 0 || t.timer(TimerPersist) != 0 || t.state == StateClosed || t.has(fFastOpen) {
		return // of Fast Open: the timer is the SYN-ACK's, whose ACK brings a window
	}
	t.armXmit(TimerPersist, now+t.probeBase())
}

// probeBase is the first probe interval: "when the zero window has existed for the retransmission timeout
// period" (SHLD-29).
func (t *TCB) probeBase() time.Duration { return max(t.rto, t.env.cfg.RTOMin) }

// probeWhen is the present probe interval: it "SHOULD increase exponentially" (SHLD-30).
func (t *TCB) probeWhen() time.Duration {
	most := bits.Len64(uint64(t.RTOMax() / max(t.env.cfg.RTOMin, 1))) // log2 + 1
	d := t.probeBase()
	for i := 0; i < min(int(t.backoff), most) && d < t.RTOMax(); i++ {
		d *= 2
	}
	return min(d, t.RTOMax())
}

// persistExpired sends a probe. The connection stays open as long as probes are answered (MUST-37); only an
// orphan, or one whose probes nobody answers, ends.
func (t *TCB) persistExpired(now time.Duration) {
	if t.packetsOut() > 0 || t.snd.nxt == t.snd.end {
		t.probesOut = 0
		return
	}
	o := t.needOpt()
	if o.probeSince == 0 {
		o.probeSince = max(now, 1)
	} else if o.userTimeout > 0 && now-o.probeSince >= o.userTimeout {
		t.probeGivesUp(now)
		return
	}
	limit := t.env.cfg.Retries2
	if t.has(fOrphan) {
		alive := t.probeWhen() < t.RTOMax()
		limit = t.orphanRetries(alive)
		if !alive && int(t.backoff) >= limit {
			t.probeGivesUp(now)
			return
		}
	}
	if int(t.probesOut) >= limit {
		t.probeGivesUp(now)
		return
	}
	t.force |= forceProbe
	t.probesOut = min(t.probesOut, 254) + 1
	if int(t.backoff) < t.env.cfg.Retries2 {
		t.backoff++
	}
	d := t.probeWhen()
	if o.userTimeout > 0 {
		d = max(min(d, o.userTimeout-(now-o.probeSince)), tick)
	}
	t.armXmit(TimerPersist, now+d)
}

func (t *TCB) probeGivesUp(now time.Duration) {
	t.env.stats.TCPAbortOnTimeout.Add(1)
	t.fail(now, ErrTimeout)
}

// probeTimedOut is for retransmissions into a window shrunk to zero: they end when nothing at all was
// heard for longer than timeouts may last.
func (t *TCB) probeTimedOut(now time.Duration) bool {
	if limit := t.userTimeout(); limit > 0 && t.rec != nil && t.rec.stamped {
		return now-t.rec.rexmitAt >= limit
	}
	return now-t.lastRecv > 2*t.RTOMax()
}

// ackProbe is called when an ACK arrives while nothing is in flight: a window that opened ends probing,
// one that did not has its timer set anew.
func (t *TCB) ackProbe(now time.Duration) {
	if t.snd.nxt == t.snd.end {
		return
	}
	if t.headFits() {
		t.backoff = 0
		t.endProbing()
		t.disarm(TimerPersist)
		return
	}
	d := t.probeWhen()
	if o := t.opt; o != nil && o.userTimeout > 0 && o.probeSince != 0 {
		d = max(min(d, o.userTimeout-(now-o.probeSince)), tick)
	}
	t.armXmit(TimerPersist, now+d)
}

func (t *TCB) endProbing() {
	if t.opt != nil {
		t.opt.probeSince = 0
	}
}

// KeepAliveConfig are the parameters of keep-alive probes; zero fields mean those of Config.
type KeepAliveConfig struct {
	Enable   bool
	Idle     time.Duration // silence before the first probe (TCP_KEEPIDLE)
	Interval time.Duration // between probes (TCP_KEEPINTVL)
	Count    int           // unanswered probes before the connection ends (TCP_KEEPCNT)
}

// SetKeepAlive switches keep-alive probes on or off: "off by default" (RFC 9293 §3.8.4, SHLD-10 and
// MUST-24 to MUST-26).
func (t *TCB) SetKeepAlive(now time.Duration, c KeepAliveConfig) {
	t.set(fKeepalive, c.Enable)
	if c.Idle > 0 || c.Interval > 0 || c.Count > 0 || t.keep != nil {
		t.keep = t.env.sharedKeepAlive(c)
	}
	if !c.Enable {
		t.disarm(TimerKeepalive)
		return
	}
	if t.state.in(synchronized) && t.state != StateTimeWait {
		t.arm(TimerKeepalive, now+max(t.keepIdle()-t.silence(now), tick))
	}
}

// KeepAlive returns what SetKeepAlive has set, with defaults filled in once a connection was started.
func (t *TCB) KeepAlive() KeepAliveConfig {
	c := KeepAliveConfig{Enable: t.has(fKeepalive)}
	if t.keep != nil {
		c.Idle, c.Interval, c.Count = t.keep.Idle, t.keep.Interval, t.keep.Count
	}
	if t.env != nil {
		c.Idle, c.Interval, c.Count = t.keepIdle(), t.keepInterval(), t.keepCount()
	}
	return c
}

func (t *TCB) keepIdle() time.Duration {
	if t.keep != nil && t.keep.Idle > 0 {
		return t.keep.Idle
	}
	return t.env.cfg.KeepaliveTime
}

func (t *TCB) keepInterval() time.Duration {
	if t.keep != nil && t.keep.Interval > 0 {
		return t.keep.Interval
	}
	return t.env.cfg.KeepaliveIntvl
}

func (t *TCB) keepCount() int {
	if t.keep != nil && t.keep.Count > 0 {
		return t.keep.Count
	}
	return t.env.cfg.KeepaliveProbes
}

// silence returns for how long the peer has sent nothing.
func (t *TCB) silence(now time.Duration) time.Duration {
	return now - max(t.lastRecv, t.lastData)
}

// keepaliveExpired sends a probe, ends the connection, or waits on.
func (t *TCB) keepaliveExpired(now time.Duration) {
	if !t.has(fKeepalive) || !t.state.in(synchronized) || t.state == StateTimeWait {
		return
	}
	idle := t.keepIdle()
	if t.packetsOut() > 0 || t.snd.nxt != t.snd.end {
		t.arm(TimerKeepalive, now+idle) // other timers watch the peer
		return
	}
	quiet := t.silence(now)
	if quiet < idle {
		t.arm(TimerKeepalive, now+idle-quiet)
		return
	}
	user := t.userTimeout()
	if user > 0 && quiet >= user && t.probesOut > 0 || user == 0 && int(t.probesOut) >= t.keepCount() {
		t.env.stats.TCPAbortOnTimeout.Add(1)
		t.queueReset()
		t.fail(now, ErrTimeout)
		return
	}
	t.force |= forceKeepalive
	t.probesOut = min(t.probesOut, 254) + 1
	t.arm(TimerKeepalive, now+max(t.keepInterval(), tick))
}
