package tcp

import "time"

// NewReno is the congestion control of RFC 5681, with byte counting as in RFC 3465; the "New" part
// (RFC 6582, partial acknowledgments) lies in loss recovery. It has no state beyond the Window.
type NewReno struct{}

var _ Congestion = NewReno{}

// Name returns "reno", Linux's name for it.
func (NewReno) Name() string { return "reno" }

// OnAck doubles the window each round trip in slow start, and adds a segment each round trip in
// congestion avoidance (RFC 5681 §3.1).
func (NewReno) OnAck(w *Window, a Ack) {
	if !a.Limited || a.Acked == 0 {
		return
	}
	if left := w.SlowStart(a.Acked); left > 0 {
		w.CongAvoid(w.Cwnd, left)
	}
}

// OnHeldAck does nothing: round trip times are of no interest.
func (NewReno) OnHeldAck(*Window, Ack) {}

// OnCongestion halves: ssthresh = max (cwnd / 2, 2) (RFC 5681 §3.1, equation 4).
//
// We differ: the equation says FlightSize. Like Linux we take cwnd, which window validation keeps near
// to it, and which does not punish a sender for a pause before the loss.
func (NewReno) OnCongestion(w *Window, _ time.Duration, _ CongestionEvent) {
	w.save()
	w.CwndCnt = 0
	w.Ssthresh = max(w.Cwnd/2, MinSsthresh)
}

// OnTimeout does nothing more than OnCongestion did.
func (NewReno) OnTimeout(time.Duration, Seq) {}

// Undo restores cwnd and ssthresh.
func (NewReno) Undo(w *Window) { w.restore() }

// OnRestart does nothing: growth depends on acknowledgments alone, not on time.
func (NewReno) OnRestart(*Window, time.Duration, time.Duration) {}

// Droppable reports true.
func (NewReno) Droppable() bool { return true }
