package tcp

import "time"

// The parameters of Linux's HyStart (hystart_low_window, hystart_ack_delta_us and constants).
const (
	hystartLowWindow = 16                   // below that many segments slow start goes on
	hystartAckDelta  = 2 * time.Millisecond // ACKs this close to each other are a train
	hystartMaxBurst  = time.Millisecond     // most that sending bursts can have delayed ACKs
	hystartGSOSize   = 65215                // gso_max_size: bytes that Linux hands over at once at most
)

// hystart is HyStart (Ha and Rhee, "Taming the elephants", 2011) as Linux has it: it ends slow start
// before the bottleneck's queue overflows, when the ACKs of a round come in a train half as long as the
// least RTT, or when the RTT rises by an eighth of it. The zero value is the start of a connection.
type hystart struct {
	roundStart time.Duration
	lastAck    time.Duration // of the train
	end        Seq           // the round ends when SND.UNA is beyond
	least      uint32        // of the round's samples, µs; 0: none
	delayMin   uint32        // least RTT ever, µs; 0: none
	samples    uint8         // of the round, stops at hystartSamples
	found      bool          // slow start was ended
	started    bool
}

// reset begins a round.
func (h *hystart) reset(now time.Duration, nxt Seq) {
	h.started = true
	h.roundStart, h.lastAck, h.end = now, now, nxt
	h.least, h.samples = 0, 0
}

// measure takes the RTT of an ACK.
func (h *hystart) measure(rtt time.Duration) {
	if us := max(toMicros(rtt), 1); h.delayMin == 0 || us < h.delayMin {
		h.delayMin = us
	}
}

// watch looks at an ACK whose RTT was measured, and ends slow start by setting ssthresh to cwnd.
func (h *hystart) watch(w *Window, a Ack) {
	rtt := max(toMicros(a.RTT), 1)
	if h.found || !w.InSlowStart() {
		return
	}
	if !h.started || a.Una.After(h.end) {
		h.reset(a.Now, a.Nxt)
	}
	if w.Cwnd < hystartLowWindow {
		return
	}
	// Both look: the second also when the first has found something.
	train := h.train(w, a)
	if h.delayed(rtt) || train {
		h.found = true
		w.Ssthresh = w.Cwnd
	}
}

// train reports whether the ACKs of this round, each close to the one before, fill half of the least RTT:
// then the path is full, and the queue is next.
func (h *hystart) train(w *Window, a Ack) bool {
	if a.Now-h.lastAck > hystartAckDelta {
		return false
	}
	h.lastAck = a.Now
	return a.Now-h.roundStart > (time.Duration(h.delayMin)*time.Microsecond+burst(w, a))/2
}

// delayed reports whether the least of more than eight samples in this round lies above the least RTT.
func (h *hystart) delayed(rtt uint32) bool {
	if h.least == 0 || rtt < h.least {
		h.least = rtt
	}
	if h.samples < hystartSamples {
		h.samples++
		return false
	}
	rise := min(max(h.delayMin/8, toMicros(hystartMinRTTThresh)), toMicros(hystartMaxRTTThresh))
	return uint64(h.least) > uint64(h.delayMin)+uint64(rise)
}

// ahead is the least RTT in whole milliseconds, rounded up.
func (h *hystart) ahead() uint64 { return (uint64(h.delayMin) + 999) / 1000 }

// burst is how much the sender's own bursts may have stretched a train: four of the greatest at the
// pacing rate (twice the window per SRTT in slow start, 1.2 times near its end).
func burst(w *Window, a Ack) time.Duration {
	ratio := uint64(200)
	if w.Cwnd >= w.Ssthresh/2 {
		ratio = 120
	}
	rate := uint64(w.Cwnd) * uint64(max(a.MSS, 1)) * ratio / 100 // bytes per SRTT
	return min(hystartMaxBurst, time.Duration(4*hystartGSOSize*uint64(max(a.SRTT, 0))/max(rate, 1)))
}
