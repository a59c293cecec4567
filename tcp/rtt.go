package tcp

import (
	"math"
	"time"
)

// Defaults of the retransmission timer, as in Linux.
const (
	DefaultRTOMin  = 200 * time.Millisecond // RFC 6298 §2.4 says one second; every common stack uses less
	DefaultRTOMax  = 120 * time.Second      // RFC 6298 §2.5: at least 60 seconds
	DefaultRTOInit = time.Second            // RFC 6298 §2.1
	RTOFallback    = 3 * time.Second        // RFC 6298 §5.7: for data, when the SYN's timer expired
)

// RTOLimits bound the retransmission timeout. Min is the least variance term, so that RTO is at least
// SRTT+Min, as Linux does with tcp_rto_min. A zero field means its default.
type RTOLimits struct {
	Min, Max, Init time.Duration
}

// RTT estimates the round trip time and the retransmission timeout of a connection (RFC 6298 §2). The
// zero value has no sample. Times are kept in microseconds and 32 bits, like tcp_info shows them.
//
// With many samples per round trip the plain filter of RFC 6298 forgets too fast (RFC 7323 appendix G).
// Linux's answer is used: srtt and mdev follow every sample with the gains of RFC 6298, but the timeout
// is made of rttvar, which takes over the largest mdev of a round trip at once and gives way to
// smaller ones by a quarter once per round trip.
type RTT struct {
	srtt    uint32 // smoothed RTT × 8, µs; 0: no sample yet
	mdev    uint32 // mean deviation × 4, µs
	mdevMax uint32 // largest mdev in the present round trip, × 4, µs, at least the floor
	rttvar  uint32 // smoothed mdevMax, × 4, µs
	end     Seq    // the present round trip ends when SND.UNA is beyond
}

// Sample takes a measurement m. una and nxt are SND.UNA after the ACK that gave it and SND.NXT. The
// caller keeps to Karn's rule (RFC 6298 §3). m below a microsecond counts as one, m beyond nine minutes
// as nine minutes.
func (r *RTT) Sample(m time.Duration, una, nxt Seq, lim RTOLimits) {
	r.sample(micros(m), una, nxt, lim.floor())
}

// floor is the least rttvar, in microseconds.
func (lim RTOLimits) floor() uint32 { return micros(orDefault(lim.Min, DefaultRTOMin)) }

// sample is Sample in microseconds.
func (r *RTT) sample(m uint32, una, nxt Seq, least uint32) {
	us, floor := int64(max(m, 1)), int64(least)
	if r.srtt == 0 {
		// "SRTT <- R, RTTVAR <- R/2" (§2.2).
		r.srtt = uint32(us * 8)
		r.mdev = uint32(us * 2)
		r.rttvar = uint32(max(us*2, floor))
		r.mdevMax = r.rttvar
		r.end = nxt
		return
	}
	// "SRTT <- (1 - alpha) * SRTT + alpha * R'" with alpha = 1/8, beta = 1/4 (§2.3).
	err := us - int64(r.srtt>>3)
	r.srtt = uint32(max(int64(r.srtt)+err, 1))
	dev := max(err, -err) - int64(r.mdev>>2)
	if err < 0 && dev > 0 {
		// A round trip that became shorter is no reason for a longer timeout: take an eighth of it, or
		// the timeout would rise when the path improves.
		dev >>= 3
	}
	r.mdev = uint32(int64(r.mdev) + dev)

	r.mdevMax = max(r.mdevMax, r.mdev)
	r.rttvar = max(r.rttvar, r.mdevMax)
	if una.After(r.end) {
		if r.mdevMax < r.rttvar {
			r.rttvar -= (r.rttvar - r.mdevMax) >> 2
		}
		r.end = nxt
		r.mdevMax = uint32(floor)
	}
}

// Known reports whether there was a sample.
func (r *RTT) Known() bool { return r.srtt != 0 }

// SRTT returns the smoothed round trip time (tcpi_rtt); 0 before the first sample.
func (r *RTT) SRTT() time.Duration { return time.Duration(r.srtt>>3) * time.Microsecond }

// Var returns the mean deviation of the samples (tcpi_rttvar); 0 before the first sample.
func (r *RTT) Var() time.Duration { return time.Duration(r.mdev>>2) * time.Microsecond }

// RTO returns the retransmission timeout without backoff: "SRTT + max (G, K*RTTVAR)", K = 4, within the
// limits (§2.3 to §2.5), or the initial one while there is no sample (§2.1).
func (r *RTT) RTO(lim RTOLimits) time.Duration {
	most := orDefault(lim.Max, DefaultRTOMax)
	if r.srtt == 0 {
		return min(orDefault(lim.Init, DefaultRTOInit), most)
	}
	return r.rto(most)
}

// rto is RTO after a sample.
func (r *RTT) rto(most time.Duration) time.Duration {
	return min(time.Duration(r.srtt>>3+r.rttvar)*time.Microsecond, most)
}

// Backoff returns rto after n expiries: "back off the timer" (§5.5) doubles it each time, up to the
// limit.
func Backoff(rto time.Duration, n int, lim RTOLimits) time.Duration {
	most := orDefault(lim.Max, DefaultRTOMax)
	for ; n > 0 && rto < most; n-- {
		rto *= 2
	}
	return min(rto, most)
}

// Reset forgets all samples. "A TCP implementation MAY clear SRTT and RTTVAR after backing off the timer
// multiple times" (§5.7).
func (r *RTT) Reset() { *r = RTT{} }

// maxSample keeps eight times a sample within 32 bits.
const maxSample = math.MaxUint32 / 8

// micros converts d to microseconds between 0 and maxSample.
func micros(d time.Duration) uint32 {
	return uint32(min(uint64(max(d, 0))/uint64(time.Microsecond), maxSample))
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// MinRTT is the smallest round trip time of the last while, which RACK (RFC 8985 §6.2) and tcp_info ask
// for. It looks back from the latest sample between half a window and a whole one, in two halves. The
// zero value is empty.
type MinRTT struct {
	curr, prev time.Duration // minimum of this half and of the last one; 0: no sample
	since      time.Duration // when this half began
}

// Sample takes the measurement m ≥ 0 made at now; window is how long it counts at most. A sample of
// less than a nanosecond counts as one.
func (f *MinRTT) Sample(now, m, window time.Duration) {
	m = max(m, 1)
	half := window >> 1
	switch age := now - f.since; {
	case age < half && f.curr != 0:
		if m < f.curr { // rarely: most samples leave the cache line as it is
			f.curr = m
		}
	case age < 2*half && f.curr != 0:
		f.curr, f.prev, f.since = m, f.curr, f.since+half
	default:
		f.curr, f.prev, f.since = m, 0, now
	}
}

// Get returns the minimum, 0 when there was no sample yet.
func (f *MinRTT) Get() time.Duration {
	if f.prev == 0 {
		return f.curr
	}
	return min(f.curr, f.prev)
}
