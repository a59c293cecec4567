// Package ratelimit bounds the rate of ICMP errors and other answers to
// traffic that a host does not control, without a clock of its own.
//
//	var l ratelimit.Limiter // 1000 a second, bursts of 50, as Linux
//	if l.Allow(now) {
//		send()
//	}
//
// It is a token bucket (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f). One bucket serves
// the whole host, both versions of IP; there is no bucket per destination, and
// credit is not randomised as newer Linux does to hide its level from others:
// runs must repeat exactly.
package ratelimit

import (
	"math"
	"time"
)

// Linux's defaults of icmp_msgs_per_sec and icmp_msgs_burst.
const (
	DefaultPerSecond = 1000
	DefaultBurst     = 50
)

// Limiter is a token bucket that starts full. The zero value has Linux's
// defaults. It is not safe for concurrent use.
type Limiter struct {
	PerSecond int // tokens that come in a second; 0: DefaultPerSecond, negative: no limit
	Burst     int // the most tokens in the bucket; 0: DefaultBurst. At least 1 is kept.

	spent time.Duration // time's worth of tokens taken since the bucket was last full
	last  time.Duration // when spent was last brought up to date
}

// Allow takes one token if there is one at time now and reports whether there
// was. A now before that of an earlier call counts as that of the earlier call.
func (l *Limiter) Allow(now time.Duration) bool {
	perSecond, burst := l.PerSecond, l.Burst
	if perSecond < 0 {
		return true
	}
	if perSecond == 0 {
		perSecond = DefaultPerSecond
	}
	if burst == 0 {
		burst = DefaultBurst
	}
	// The bucket is kept as the time that it takes to fill it up again: a
	// token costs 1/perSecond, and the bucket is empty when burst of them are
	// owed. Exact for rates that divide a second; others round a token down.
	token := max(time.Second/time.Duration(perSecond), 1)
	if now > l.last {
		l.spent = max(l.spent-(now-l.last), 0)
		l.last = now
	}
	owed := min(time.Duration(max(burst, 1)-1), math.MaxInt64/2/token) // beyond, there is no limit to speak of
	if l.spent > token*owed {
		return false
	}
	l.spent += token
	return true
}
