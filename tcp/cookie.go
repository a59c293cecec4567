package tcp

import (
	"net/netip"
	"time"
)

// SYN cookies (RFC 4987 §3.6, appendix A) let a listener whose queue is full answer a SYN without
// remembering it: what it must know later is in its sequence number, which comes back in the ACK.
//
// The layout is Linux's. The upper eight bits of the cookie are a counter that steps every 64 s, the lower
// 24 an index into a table of segment sizes, both covered by hashes under the stack's secret:
//
//	cookie = H1(tuple) + peer's ISN + counter << 24 + (H2(tuple, counter) + mss index) mod 2^24
//
// A window scale and SACK have no room there. When the SYN has timestamps they travel in the lower six
// bits of our timestamp (CookieTSVal), which comes back as well; without timestamps the connection does
// without them. These six bits are not authenticated: a peer that alters them harms itself alone.
const (
	cookiePeriod = 64 * time.Second
	// A cookie is good in the period it was made in and in the next: between 64 and 128 seconds, more
	// than the peer's first ACK takes to come even when our SYN-ACK was lost, less than is needed to
	// try all 2^32 answers at any usual rate.
	cookiePeriods = 2

	cookieDataBits = 24
	cookieDataMask = 1<<cookieDataBits - 1
)

// The options in the lower bits of a timestamp.
const (
	cookieTSBits    = 6
	cookieTSMask    = 1<<cookieTSBits - 1
	cookieWScale    = 0xf // mask of the shift; all ones: no window scaling
	cookieSACK      = 1 << 4
	cookieECN       = 1 << 5
	cookieNoScaling = cookieWScale
)

// cookieMSS returns the segment sizes a cookie can carry, those common on the Internet, ascending. The
// greatest not above what the peer announced is taken. Without an MSS option the peer meant 536 or 1220
// (RFC 9293 MUST-15), the first class. A peer that announced less than that gets the first class too, as
// in Linux: path MTU discovery or its own loss recovery must then sort it out.
func cookieMSS(v6 bool) [4]uint16 {
	if v6 {
		return [4]uint16{1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60}
	}
	return [4]uint16{536, 1300, 1440, 1460}
}

// CookieState is what a valid cookie says about the SYN that it answered.
type CookieState struct {
	ISS           Seq    // our initial sequence number: the cookie
	IRS           Seq    // the peer's initial sequence number
	MSS           uint16 // the peer's MSS, rounded down to one of four sizes
	WScale        uint8  // the peer's window shift, when HasWScale
	HasWScale     bool
	SACKPermitted bool
	HasTS         bool
	ECN           bool // the SYN asked for ECN (RFC 3168 §6.1.1)
}

// MakeCookie returns the initial sequence number to answer syn with from local to remote, at now.
func MakeCookie(secret [16]byte, now time.Duration, local, remote netip.AddrPort, syn *Segment) Seq {
	table := cookieMSS(!remote.Addr().Is4())
	class := 0
	for i, mss := range table {
		if syn.Opts.HasMSS && mss <= syn.Opts.MSS {
			class = i
		}
	}
	count := cookieCount(now)
	base := cookieBase(&secret, local, remote, syn.Seq)
	data := (cookieHash(&secret, local, remote, count) + uint32(class)) & cookieDataMask
	return Seq(base + count<<cookieDataBits + data)
}

// CookieTSVal returns the timestamp for the SYN-ACK that carries a cookie: ts, our clock before the
// connection's offset is added, with the options of syn in its lower bits, and never later than ts. Send
// it with tsOffset added; call it only when syn has timestamps.
func CookieTSVal(ts uint32, syn *Segment) uint32 {
	bits := uint32(cookieNoScaling)
	if syn.Opts.HasWScale {
		bits = uint32(min(syn.Opts.WScale, MaxWScale))
	}
	if syn.Opts.SACKPermitted {
		bits |= cookieSACK
	}
	if syn.Flags.Has(ECE | CWR) {
		bits |= cookieECN
	}
	v := ts&^cookieTSMask | bits
	if v > ts {
		// A clock must not run backwards later on (RFC 7323 §5.4): go back to the last block instead.
		v -= 1 << cookieTSBits
	}
	return v
}

// CheckCookie says whether ack, which reached a listener from remote, answers a SYN-ACK with a cookie
// that is ours and not too old, and if so what the SYN had said. tsOffset is the one that was added to
// CookieTSVal. An ACK that was made up passes once in 2^29 times: the counter and the size leave eight
// of 2^32 numbers.
func CheckCookie(secret [16]byte, now time.Duration, local, remote netip.AddrPort, ack *Segment, tsOffset uint32) (CookieState, bool) {
	irs, iss := ack.Seq-1, ack.Ack-1
	count := cookieCount(now)
	rest := uint32(iss) - cookieBase(&secret, local, remote, irs)
	age := (count - rest>>cookieDataBits) & 0xff
	if age >= cookiePeriods || age > count {
		return CookieState{}, false
	}
	class := (rest - cookieHash(&secret, local, remote, count-age)) & cookieDataMask
	table := cookieMSS(!remote.Addr().Is4())
	if class >= uint32(len(table)) {
		return CookieState{}, false
	}
	c := CookieState{ISS: iss, IRS: irs, MSS: table[class]}
	if ack.Opts.HasTS {
		bits := ack.Opts.TSEcr - tsOffset
		c.HasTS = true
		c.SACKPermitted = bits&cookieSACK != 0
		c.ECN = bits&cookieECN != 0
		if scale := uint8(bits & cookieWScale); scale != cookieNoScaling {
			c.WScale, c.HasWScale = min(scale, MaxWScale), true
		}
	}
	return c, true
}

// cookieCount returns the number of the period now lies in.
func cookieCount(now time.Duration) uint32 { return uint32(max(now, 0) / cookiePeriod) }

// cookieBase is the part of a cookie that does not depend on time.
func cookieBase(secret *[16]byte, local, remote netip.AddrPort, irs Seq) uint32 {
	return uint32(tupleHash(secret, purposeCookieBase, local, remote, 0)) + uint32(irs)
}

// cookieHash hides the data of a cookie made in period count.
func cookieHash(secret *[16]byte, local, remote netip.AddrPort, count uint32) uint32 {
	return uint32(tupleHash(secret, purposeCookieData, local, remote, count))
}
