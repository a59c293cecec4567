package tcp

import "time"

// Switch is a setting that is on or off, or as Linux has it by default.
type Switch int8

// The positions of a Switch.
const (
	Default Switch = 0  // what Linux does by default
	On      Switch = 1  // sysctl = 1
	Off     Switch = -1 // sysctl = 0
	Always  Switch = 2  // sysctl = 2, where that means more than On
)

// ECN modes, as tcp_ecn numbers them plus one, so that zero means the default.
const (
	ECNOff     = 1 // neither asked for nor granted (tcp_ecn = 0)
	ECNActive  = 2 // asked for on connections we open, granted to others (tcp_ecn = 1)
	ECNPassive = 3 // granted when the peer asks (tcp_ecn = 2, Linux's default)
)

// Unlimited in Config.ChallengeAckLimit switches the host-wide limit off.
const Unlimited = -1

// Config holds what Linux keeps in /proc/sys/net/ipv4/tcp_*: the settings all connections of a stack
// share. The zero value means Linux's defaults everywhere. For numbers, zero means the default and a
// negative number means the zero of Linux. A Config must not change once a TCB uses it.
type Config struct {
	Timestamps         Switch // tcp_timestamps: offer and accept the timestamps option; on
	SACK               Switch // tcp_sack: selective acknowledgments; on
	DSACK              Switch // tcp_dsack: report duplicates by SACK (RFC 2883); on
	WindowScaling      Switch // tcp_window_scaling; on
	SlowStartAfterIdle Switch // tcp_slow_start_after_idle: shrink an unused window; on
	ModerateRcvbuf     Switch // tcp_moderate_rcvbuf: receive buffer autotuning; on
	RetransCollapse    Switch // tcp_retrans_collapse: join small segments when retransmitting; on
	HyStart            Switch // module tcp_cubic, hystart: "cubic" leaves slow start at the first sign of a queue; on
	ECNFallback        Switch // tcp_ecn_fallback: a retransmitted SYN does not ask for ECN; on
	RFC1337            Switch // tcp_rfc1337: RSTs do not kill TIME-WAIT; off
	ShrinkWindow       Switch // tcp_shrink_window: with scaling, an offer may be taken back; off
	ThinLinearTimeouts Switch // tcp_thin_linear_timeouts: no backoff with little in flight (TCB.SetThinLinear); off
	AbortOnOverflow    Switch // tcp_abort_on_overflow: for the listener's owner; off

	ECN               int    // tcp_ecn + 1: ECNOff, ECNActive or ECNPassive; ECNPassive
	CongestionControl string // tcp_congestion_control: one of CongestionNames, see Select; "cubic"

	Rmem        [3]int // tcp_rmem: receive buffer, bytes: least, initial, most; 4096 131072 6291456
	Wmem        [3]int // tcp_wmem: send buffer, bytes: least, initial, most; 4096 16384 4194304
	AdvWinScale int    // tcp_adv_win_scale: share of the buffer that is window, space - space>>n; 1
	AppWin      int    // tcp_app_win; 31

	InitCwnd int // initial congestion window in segments (RFC 6928); 10
	InitRwnd int // initial receive window in segments, 0: by buffer size; 0

	RTOMin time.Duration // tcp_rto_min; 200 ms
	RTOMax time.Duration // tcp_rto_max; 120 s

	FastOpen int // tcp_fastopen: the FastOpen bits; FastOpenClient

	SynRetries        int // tcp_syn_retries: SYN retransmissions; 6 (fails after 127 s)
	SynLinearTimeouts int // tcp_syn_linear_timeouts: SYN timeouts of 1 s before they double; 0, Linux ≥ 6.5 has 4
	SynackRetries     int // tcp_synack_retries; 5
	Retries1          int // tcp_retries1: timeouts before the path is doubted; 3
	Retries2          int // tcp_retries2: timeouts before the connection dies; 15 (924.6 s at the least RTO)
	OrphanRetries     int // tcp_orphan_retries: the same without an application; 0, which means 8

	MaxOrphans int // tcp_max_orphans: connections of a stack without a user, beyond which close resets; 65536

	FinTimeout  time.Duration // tcp_fin_timeout: an orphan's time in FIN-WAIT-2; 60 s
	TimeWaitLen time.Duration // TIME-WAIT, 2 MSL (RFC 9293 §3.4.2); 60 s

	KeepaliveTime   time.Duration // tcp_keepalive_time; 2 h
	KeepaliveIntvl  time.Duration // tcp_keepalive_intvl; 75 s
	KeepaliveProbes int           // tcp_keepalive_probes; 9

	Reordering    int // tcp_reordering: segments of reordering taken for granted; 3
	MaxReordering int // tcp_max_reordering; 300
	Recovery      int // tcp_recovery: bit 0 RACK, bit 1 static window, bit 2 no dupack threshold; 1
	EarlyRetrans  int // tcp_early_retrans: 3 sends tail loss probes; 3
	FRTO          int // tcp_frto: 0 off; 2

	DelackMin     time.Duration // least delayed ACK timeout (RTAX ato_min); 40 ms
	DelackMax     time.Duration // most delayed ACK timeout (MUST-40: < 500 ms); 200 ms
	PingpongThr   int           // tcp_pingpong_thresh: answers before ACKs wait for data; 1
	CompSackNr    int           // tcp_comp_sack_nr: duplicate ACKs held back at most; 44
	CompSackDelay time.Duration // tcp_comp_sack_delay_ns; 1 ms

	InvalidRatelimit  time.Duration // tcp_invalid_ratelimit: between ACKs for bad segments; 500 ms
	ChallengeAckLimit int           // tcp_challenge_ack_limit: challenge ACKs per second and stack; Unlimited

	// GSOMaxSegs is gso_max_segs of the device (ip link): how many segments Linux hands to segmentation
	// offload at once. They are cut the same, but the last of each such run carries PSH. 1: no offload; 65535.
	GSOMaxSegs int

	NotsentLowat int // tcp_notsent_lowat: see TCB.SetNotsentLowat; 0, no bound

	TSOWinDivisor int // tcp_tso_win_divisor: share of the window worth sending at once, 1/n; 3, off: -1

	MTUProbing     int           // tcp_mtu_probing: search the path MTU by probes (RFC 4821), 1 after repeated timeouts, 2 always; 0
	BaseMSS        int           // tcp_base_mss: where the search begins; 1024
	MTUProbeFloor  int           // tcp_mtu_probe_floor: below which timeouts do not take it; 48
	ProbeThreshold int           // tcp_probe_threshold: how exact the search is, bytes; 8
	ProbeInterval  time.Duration // tcp_probe_interval: after which it begins anew; 10 min

	MinSndMSS int           // tcp_min_snd_mss: least segment size whatever the peer says; 48
	MinRTTWin time.Duration // tcp_min_rtt_wlen: how long the least RTT counts; 300 s

	filled bool
}

// Defaults returns a copy of c in which every zero is replaced by Linux's default. A nil c counts as
// zero. A TCB given a Config that did not come from here makes such a copy for itself, so a stack
// calls it once.
func (c *Config) Defaults() *Config {
	d := new(Config)
	if c != nil {
		*d = *c
	}
	if d.filled {
		return d
	}
	d.fill()
	return d
}

// fill replaces zeros by defaults and negative numbers by zeros.
func (c *Config) fill() {
	c.fillSwitches()
	c.fillNumbers()
	c.fillTimes()
	if c.CongestionControl == "" {
		c.CongestionControl = CongestionNames()[0]
	}
	c.filled = true
}

func (c *Config) fillSwitches() {
	for _, s := range []*Switch{&c.Timestamps, &c.SACK, &c.DSACK, &c.WindowScaling, &c.SlowStartAfterIdle,
		&c.ModerateRcvbuf, &c.RetransCollapse, &c.HyStart, &c.ECNFallback} {
		if *s == Default {
			*s = On
		}
	}
	for _, s := range []*Switch{&c.RFC1337, &c.AbortOnOverflow, &c.ShrinkWindow, &c.ThinLinearTimeouts} {
		if *s == Default {
			*s = Off
		}
	}
}

func (c *Config) fillNumbers() {
	for _, f := range []struct {
		p   *int
		def int
	}{
		{&c.ECN, ECNPassive}, {&c.FastOpen, FastOpenClient},
		{&c.Rmem[0], 4096}, {&c.Rmem[1], 131072}, {&c.Rmem[2], 6291456},
		{&c.Wmem[0], 4096}, {&c.Wmem[1], 16384}, {&c.Wmem[2], 4194304},
		{&c.AdvWinScale, 1}, {&c.AppWin, 31},
		{&c.InitCwnd, 10}, {&c.InitRwnd, 0},
		{&c.SynRetries, 6}, {&c.SynLinearTimeouts, 0}, {&c.SynackRetries, 5},
		{&c.Retries1, 3}, {&c.Retries2, 15}, {&c.OrphanRetries, 0}, {&c.MaxOrphans, 65536},
		{&c.KeepaliveProbes, 9},
		{&c.Reordering, 3}, {&c.MaxReordering, 300}, {&c.Recovery, 1}, {&c.EarlyRetrans, 3}, {&c.FRTO, 2},
		{&c.PingpongThr, 1}, {&c.CompSackNr, 44},
		{&c.MTUProbing, 0}, {&c.BaseMSS, 1024}, {&c.MTUProbeFloor, 48}, {&c.ProbeThreshold, 8},
		{&c.MinSndMSS, 48}, {&c.TSOWinDivisor, 3}, {&c.GSOMaxSegs, 65535},
	} {
		switch {
		case *f.p == 0:
			*f.p = f.def
		case *f.p < 0:
			*f.p = 0
		}
	}
	if c.ChallengeAckLimit == 0 {
		c.ChallengeAckLimit = Unlimited
	}
	c.Rmem[1] = max(c.Rmem[1], 1)
	c.InitCwnd = max(c.InitCwnd, 1)
}

func (c *Config) fillTimes() {
	for _, f := range []struct {
		p   *time.Duration
		def time.Duration
	}{
		{&c.RTOMin, DefaultRTOMin}, {&c.RTOMax, DefaultRTOMax},
		{&c.FinTimeout, 60 * time.Second}, {&c.TimeWaitLen, 60 * time.Second},
		{&c.KeepaliveTime, 2 * time.Hour}, {&c.KeepaliveIntvl, 75 * time.Second},
		{&c.DelackMin, 40 * time.Millisecond}, {&c.DelackMax, 200 * time.Millisecond},
		{&c.CompSackDelay, time.Millisecond},
		{&c.InvalidRatelimit, 500 * time.Millisecond},
		{&c.MinRTTWin, 300 * time.Second}, {&c.ProbeInterval, 10 * time.Minute},
	} {
		switch {
		case *f.p == 0:
			*f.p = f.def
		case *f.p < 0:
			*f.p = 0
		}
	}
	// Without these a retransmission timer could be due again at once, for ever.
	c.RTOMin = max(c.RTOMin, time.Microsecond)
	c.RTOMax = max(c.RTOMax, c.RTOMin, time.Millisecond)
}

// winFromSpace returns how much of a buffer of space bytes may be offered as window; the rest is for
// bookkeeping overhead (tcp_adv_win_scale).
func (c *Config) winFromSpace(space int) int {
	if c.AdvWinScale <= 0 {
		return space
	}
	return space - space>>c.AdvWinScale
}

// spaceFromWin is the inverse of winFromSpace.
func (c *Config) spaceFromWin(win int) int {
	if c.AdvWinScale <= 0 || win == 0 {
		return win
	}
	if c.AdvWinScale == 1 {
		return 2 * win // as it is by default, without a division
	}
	return win + win/(1<<c.AdvWinScale-1)
}

func (c *Config) rtoLimits() RTOLimits { return RTOLimits{Min: c.RTOMin, Max: c.RTOMax} }
