package tcp

import "time"

// Congestion is a congestion control algorithm for one connection. It decides two things: how the
// window grows when data is acknowledged, and what ssthresh a congestion event leaves. Everything
// else (PRR, F-RTO, when an event counts, counting what is in flight) is loss recovery's business,
// which changes Window.Cwnd itself while it recovers.
//
// A Congestion belongs to one connection and is not safe for concurrent use. Its methods allocate
// nothing. Arguments are values, so that a call through the interface does not make them escape.
type Congestion interface {
	// Name returns the name Select takes, as in Linux's tcp_congestion_control.
	Name() string

	// OnAck is called for each ACK that delivers data while no recovery holds the window. It grows
	// w.Cwnd, within w.Clamp, when a.Limited allows it. Call it also when it does not: round trip
	// times are measured all the same.
	OnAck(w *Window, a Ack)

	// OnHeldAck is called instead for an ACK that must not grow the window, because recovery holds it
	// or nothing was acknowledged but out of order: it measures round trip times only, which may lower
	// w.Ssthresh to w.Cwnd.
	OnHeldAck(w *Window, a Ack)

	// OnCongestion is called once when a congestion episode begins, with w as it was before. It
	// remembers what Undo needs and lowers w.Ssthresh. w.Cwnd stays: how it comes down to ssthresh
	// (or to one segment after a timeout) is recovery's choice.
	OnCongestion(w *Window, now time.Duration, why CongestionEvent)

	// Undo takes the latest OnCongestion back, because it turned out that nothing was lost
	// (RFC 3522, RFC 4015, RFC 3708, RFC 5682): Cwnd and Ssthresh become at least what they were.
	// Without an OnCongestion to take back it does nothing.
	Undo(w *Window)

	// OnTimeout is called at each retransmission timeout, after the OnCongestion that the first of an
	// episode brings; nxt is SND.NXT.
	OnTimeout(now time.Duration, nxt Seq)

	// OnRestart is called when data is sent at now with nothing in flight, idle after the last
	// transmission. Time without data does not count as time in which the window could have grown
	// (RFC 9438 §5.8). The shrinking of an idle window is Window.RestartAfterIdle.
	OnRestart(w *Window, now, idle time.Duration)

	// Droppable reports whether the state is of no importance to an idle connection: the algorithm
	// may be dropped, and one fresh from Select behaves alike later.
	Droppable() bool
}

// Ack is what an acknowledgment tells congestion control.
type Ack struct {
	Now     time.Duration
	RTT     time.Duration // sample this ACK gave; ≤ 0: none (RFC 6298 §3, Karn)
	SRTT    time.Duration // smoothed round trip time; 0: not known yet
	Acked   uint32        // segments delivered by it, cumulatively or by SACK
	Una     Seq           // SND.UNA after it
	Nxt     Seq           // SND.NXT
	MSS     uint32        // bytes of text in a full segment
	Limited bool          // Window.IsLimited: the window held the sender back
}

// CongestionEvent says what made the network look congested.
type CongestionEvent uint8

// The congestion events.
const (
	CongestionLoss CongestionEvent = iota // loss found by duplicate ACKs, SACK or RACK
	CongestionECN                         // the receiver echoed a CE mark (RFC 3168 §6.1.2)
	CongestionRTO                         // the retransmission timer expired
)

// String returns "loss", "ecn" or "rto".
func (e CongestionEvent) String() string {
	switch e {
	case CongestionLoss:
		return "loss"
	case CongestionECN:
		return "ecn"
	}
	return "rto"
}

// CongestionNames lists what Select knows, the default first, like Linux's
// tcp_available_congestion_control.
func CongestionNames() []string { return []string{"cubic", "reno", "cubic-rfc9438"} }

// UnknownCongestionError is the error of Select for a name it does not know; it holds the name.
// Linux's setsockopt(TCP_CONGESTION) answers ENOENT.
type UnknownCongestionError string

func (e UnknownCongestionError) Error() string {
	return "tcp: unknown congestion control " + string(e)
}

// Select returns a fresh algorithm by name: "cubic" (also the empty name), which is Linux's CUBIC and
// HyStart, "reno" (also "newreno"), or "cubic-rfc9438", the CUBIC of RFC 9438 with HyStart++.
func Select(name string) (Congestion, error) {
	switch name {
	case "", "cubic":
		return new(Cubic), nil
	case "reno", "newreno":
		return NewReno{}, nil
	case "cubic-rfc9438":
		return new(CubicRFC), nil
	}
	return nil, UnknownCongestionError(name)
}
