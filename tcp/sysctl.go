package tcp

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A SysctlError says why Config.Set refused a setting.
type SysctlError struct {
	Name, Value string
	Reason      string // "no such setting", "not a number", …
}

// Error implements error.
func (e *SysctlError) Error() string {
	return fmt.Sprintf("tcp: %s = %q: %s", e.Name, e.Value, e.Reason)
}

// Set changes the setting that Linux calls name, such as "tcp_sack" (a prefix "net.ipv4." may stand before
// it), to value as it would be written to /proc/sys/net/ipv4: a number in Linux's unit, three numbers for
// tcp_rmem and tcp_wmem, a name for tcp_congestion_control. It must not be called once a TCB uses c. The
// error is a *SysctlError.
func (c *Config) Set(name, value string) error {
	short := strings.TrimPrefix(name, "net.ipv4.")
	fail := func(reason string) error { return &SysctlError{name, value, reason} }
	value = strings.TrimSpace(value)
	c.filled = false
	switch short {
	case "tcp_congestion_control":
		if _, err := Select(value); err != nil {
			return fail("no such algorithm")
		}
		c.CongestionControl = value
		return nil
	case "tcp_rmem":
		return c.setThree(&c.Rmem, value, fail)
	case "tcp_wmem":
		return c.setThree(&c.Wmem, value, fail)
	}
	n, err := strconv.ParseInt(value, 0, 64)
	if err != nil {
		return fail("not a number")
	}
	if least, most := sysctlRange(short); n < least || n > most {
		return fail(fmt.Sprintf("not within %d and %d", least, most))
	}
	if p := c.switchNamed(short); p != nil {
		*p = Off
		if n != 0 {
			*p = On
		}
		return nil
	}
	if p := c.numberNamed(short); p != nil {
		if p == &c.NotsentLowat && (n < 0 || n > 1<<31-1) {
			n = 0 // of Linux: UINT_MAX
		}
		*p = orNegative(int(n))
		return nil
	}
	if p, unit := c.timeNamed(short); p != nil {
		*p = time.Duration(n) * unit
		if n == 0 {
			*p = -1 // of Linux: zero means the default here
		}
		return nil
	}
	if short == "tcp_ecn" {
		if n < 0 || n > 2 {
			return fail("not 0, 1 or 2")
		}
		c.ECN = int(n) + 1
		return nil
	}
	return fail("no such setting")
}

// sysctlRange is what Linux takes for a number.
func sysctlRange(name string) (least, most int64) {
	switch name {
	case "tcp_adv_win_scale":
		return -31, 31
	case "tcp_app_win":
		return 0, 31
	case "tcp_syn_retries":
		return 1, 127
	case "tcp_syn_linear_timeouts":
		return 0, 127
	case "tcp_synack_retries", "tcp_retries1", "tcp_retries2", "tcp_orphan_retries", "tcp_keepalive_probes", "tcp_recovery",
		"tcp_frto", "tcp_comp_sack_nr", "tcp_tso_win_divisor", "tcp_mtu_probing":
		return 0, 255
	case "tcp_pingpong_thresh":
		return 1, 255
	case "tcp_early_retrans":
		return 0, 4
	case "tcp_min_snd_mss", "tcp_mtu_probe_floor":
		return 48, 65535
	case "tcp_probe_interval":
		return 0, math.MaxUint32 / 1000
	case "tcp_rto_min_us", "tcp_rto_min_ms":
		return 1, math.MaxInt32
	case "tcp_rto_max_ms":
		return 1000, 120000
	case "tcp_min_rtt_wlen":
		return 0, 86400
	case "tcp_notsent_lowat":
		return 0, math.MaxUint32
	case "tcp_reordering":
		return 1, 300 // Linux: tcp_max_reordering
	case "tcp_max_reordering":
		return 1, math.MaxInt32
	}
	return math.MinInt32, math.MaxInt32
}

// orNegative keeps a zero that was asked for from meaning the default.
func orNegative(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func (c *Config) setThree(to *[3]int, value string, fail func(string) error) error {
	fields := strings.Fields(value)
	if len(fields) != len(to) {
		return fail("not three numbers")
	}
	for i, f := range fields {
		n, err := strconv.Atoi(f)
		if err != nil || n < 0 {
			return fail("not three numbers")
		}
		to[i] = n
	}
	return nil
}

// switchNamed returns the switch that Linux calls name, nil if it is none.
func (c *Config) switchNamed(name string) *Switch {
	switch name {
	case "tcp_timestamps":
		return &c.Timestamps
	case "tcp_sack":
		return &c.SACK
	case "tcp_dsack":
		return &c.DSACK
	case "tcp_window_scaling":
		return &c.WindowScaling
	case "tcp_slow_start_after_idle":
		return &c.SlowStartAfterIdle
	case "tcp_moderate_rcvbuf":
		return &c.ModerateRcvbuf
	case "tcp_retrans_collapse":
		return &c.RetransCollapse
	case "tcp_cubic.hystart": // /sys/module/tcp_cubic/parameters/hystart
		return &c.HyStart
	case "tcp_ecn_fallback":
		return &c.ECNFallback
	case "tcp_rfc1337":
		return &c.RFC1337
	case "tcp_abort_on_overflow":
		return &c.AbortOnOverflow
	case "tcp_shrink_window":
		return &c.ShrinkWindow
	case "tcp_thin_linear_timeouts":
		return &c.ThinLinearTimeouts
	}
	return nil
}

// numberNamed returns the number that Linux calls name, nil if it is none.
func (c *Config) numberNamed(name string) *int {
	switch name {
	case "tcp_adv_win_scale":
		return &c.AdvWinScale
	case "tcp_app_win":
		return &c.AppWin
	case "tcp_fastopen":
		return &c.FastOpen
	case "tcp_syn_retries":
		return &c.SynRetries
	case "tcp_syn_linear_timeouts":
		return &c.SynLinearTimeouts
	case "tcp_synack_retries":
		return &c.SynackRetries
	case "tcp_retries1":
		return &c.Retries1
	case "tcp_retries2":
		return &c.Retries2
	case "tcp_orphan_retries":
		return &c.OrphanRetries
	case "tcp_max_orphans":
		return &c.MaxOrphans
	case "tcp_keepalive_probes":
		return &c.KeepaliveProbes
	case "tcp_reordering":
		return &c.Reordering
	case "tcp_max_reordering":
		return &c.MaxReordering
	case "tcp_recovery":
		return &c.Recovery
	case "tcp_early_retrans":
		return &c.EarlyRetrans
	case "tcp_frto":
		return &c.FRTO
	case "tcp_pingpong_thresh":
		return &c.PingpongThr
	case "tcp_comp_sack_nr":
		return &c.CompSackNr
	case "tcp_challenge_ack_limit":
		return &c.ChallengeAckLimit
	case "route.initcwnd": // ip route … initcwnd
		return &c.InitCwnd
	case "route.initrwnd":
		return &c.InitRwnd
	case "tcp_notsent_lowat":
		return &c.NotsentLowat
	case "tcp_min_snd_mss":
		return &c.MinSndMSS
	case "tcp_mtu_probing":
		return &c.MTUProbing
	case "tcp_base_mss":
		return &c.BaseMSS
	case "tcp_mtu_probe_floor":
		return &c.MTUProbeFloor
	case "tcp_probe_threshold":
		return &c.ProbeThreshold
	case "tcp_tso_win_divisor":
		return &c.TSOWinDivisor
	}
	return nil
}

// timeNamed returns the time that Linux calls name and the unit it is written
// in, nil if it is none.
func (c *Config) timeNamed(name string) (*time.Duration, time.Duration) {
	switch name {
	case "tcp_rto_min_us":
		return &c.RTOMin, time.Microsecond
	case "tcp_rto_min_ms": // ip route … rto_min
		return &c.RTOMin, time.Millisecond
	case "tcp_rto_max_ms":
		return &c.RTOMax, time.Millisecond
	case "tcp_fin_timeout":
		return &c.FinTimeout, time.Second
	case "tcp_keepalive_time":
		return &c.KeepaliveTime, time.Second
	case "tcp_keepalive_intvl":
		return &c.KeepaliveIntvl, time.Second
	case "tcp_comp_sack_delay_ns":
		return &c.CompSackDelay, time.Nanosecond
	case "tcp_invalid_ratelimit":
		return &c.InvalidRatelimit, time.Millisecond
	case "tcp_probe_interval":
		return &c.ProbeInterval, time.Second
	case "tcp_min_rtt_wlen":
		return &c.MinRTTWin, time.Second
	}
	return nil, 0
}
