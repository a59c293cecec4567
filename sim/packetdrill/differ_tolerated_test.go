package packetdrill

import (
	"errors"
	"fmt"
	"strings"
)

// tolerance is a difference between Linux and our stack that stays, for a reason.
type tolerance struct {
	name, reason string
	is           func(*Failure) bool
}

// tolerances are the differences that comparisons do not count.
func tolerances() []tolerance {
	return []tolerance{
		{"receive memory", "the window follows the memory that packets take, and how much that is depends on the driver, on merging " +
			"and on which of two overlapping segments is kept", windowNearby},
		{"timer wheel", "timers of Linux run on a wheel and are late by up to an eighth: what happens at such a timer, " +
			"when it is clamped to a user timeout for example, may be one expiry earlier or later", late},
		{"error queue", "an ICMP error about a SYN stays in the error queue of a socket over IPv4, which is for MSG_ERRQUEUE to read, and poll " +
			"tells of it for ever", func(f *Failure) bool {
			return strings.Contains(f.Reason, "revents is POLLIN|POLLOUT|POLLHUP|POLLRDHUP, expected POLLIN|POLLOUT|POLLERR|POLLHUP|POLLRDHUP") &&
				strings.Contains(strings.Join(f.Trace, "\n"), "< icmp ")
		}},
		{"send memory", "how many bytes a write takes follows the memory of segments, which is several times their size when they are small",
			func(f *Failure) bool {
				return strings.HasPrefix(f.Reason, "send = ") && !strings.Contains(f.Reason, "-1")
			}},
		{"state after a lost SYN", "without timestamps Linux calls a connection whose SYN was retransmitted in Loss until the next ACK",
			func(f *Failure) bool {
				return strings.HasPrefix(f.Reason, "assert tcpi_ca_state == 4") && strings.Contains(strings.Join(f.Trace, "\n"), "(retransmit-syn)")
			}},
	}
}

// tolerated names the tolerance that a failure falls under; empty: none.
func tolerated(err error) string {
	var f *Failure
	if !errors.As(err, &f) {
		return ""
	}
	for _, t := range tolerances() {
		if t.is(f) {
			return t.name
		}
	}
	return ""
}

// windowNearby is about a window that is off by less than a tenth, and nothing else.
func windowNearby(f *Failure) bool {
	var got, want int
	rest, ok := strings.CutPrefix(f.Reason, "packet differs in window: ")
	if n, _ := fmt.Sscanf(rest, "%d instead of %d", &got, &want); !ok || n != 2 || strings.Contains(rest, ";") {
		return false
	}
	return max(got-want, want-got) <= want/10
}

// late is about a packet whose time is off by less than an eighth.
func late(f *Failure) bool {
	if strings.HasPrefix(f.Reason, "a packet left that the script does not expect") && strings.Contains(strings.Join(f.Trace, "\n"), "TCP_USER_TIMEOUT") {
		return true
	}
	var got, from, to float64
	_, err := fmt.Sscanf(strings.NewReplacer("~", " ", ",", "").Replace(f.Reason), "packet left at %g expected at %g %g", &got, &from, &to)
	if err != nil {
		return false
	}
	const part = 8
	return got > from-from/part && got < to+to/part
}
