package sim

import (
	"fmt"
	"strconv"
	"time"

	"example.com/loopback/ipv4"
)

// DecisionKind is what an impairment did to a packet.
type DecisionKind uint8

// The kinds of decisions.
const (
	KindDrop      DecisionKind = iota // the packet was dropped; the Reason says why
	KindDuplicate                     // a copy was made
	KindCorrupt                       // bits were flipped: Value is the number of the first, from 0
	KindReorder                       // the packet overtook others, or was held back for Delay
	KindDelay                         // jitter was drawn: Delay is the whole delay
	KindMark                          // the packet was marked with Congestion Experienced instead of dropped
	KindReset                         // a RST was injected
	KindCut                           // the segment was cut: Value is the number of pieces
	KindFragment                      // the packet was fragmented: Value is the number of fragments
)

var kindNames = [...]string{"drop", "duplicate", "corruption", "reordering", "delay", "ECN mark", "reset", "cut", "fragmentation"}

// String returns the kind as a noun, such as "drop".
func (k DecisionKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Reason says why a packet was dropped or marked, and is the index of Stats.Dropped.
type Reason uint8

// The reasons.
const (
	ReasonNone      Reason = iota // nothing was dropped
	ReasonChosen                  // the rule names this packet or segment
	ReasonBlackhole               // the rule drops everything
	ReasonEvery                   // it was the n-th
	ReasonLoss                    // independent (or correlated) loss
	ReasonBurst                   // Gilbert-Elliott
	ReasonMTU                     // larger than the rule's MTU
	ReasonSwallowed               // a RST was injected in its place
	ReasonQueueFull               // tail drop
	ReasonRED                     // random early detection
	ReasonCoDel                   // too long in the queue for too long
	ReasonHeld                    // the link held as many packets as it may

	// NumReasons is the number of reasons.
	NumReasons = int(iota)
)

var reasonNames = [NumReasons]string{
	"none", "chosen", "blackhole", "every n-th", "loss", "burst loss", "MTU", "swallowed", "queue full", "RED", "CoDel", "too many held",
}

// String returns the reason in a word or two, such as "burst loss".
func (r Reason) String() string {
	if int(r) < NumReasons {
		return reasonNames[r]
	}
	return "reason " + strconv.Itoa(int(r))
}

// A DecisionID names a decision across runs with the same seed: what was decided about which packet by which rule.
// It can be compared and used as a map key.
type DecisionID struct {
	Rule   string
	Kind   DecisionKind
	Flow   Flow
	Packet uint64 // number of the packet in its flow, from 1
	Copy   uint32 // 0 for the packet itself, else which duplicate or piece of it
}

// A Decision is something an impaired link did to a packet, and why.
type Decision struct {
	DecisionID
	At      time.Duration // since the stack's epoch
	Reason  Reason        // of drops and marks
	Segment uint64        // the number of the data segment or datagram in its flow, from 1; 0 if the packet carries no data
	Delay   time.Duration // KindDelay, KindReorder
	Value   int           // see the kinds
}

// String returns what was decided, about which packet and when, as in
// "drop of segment 3 of 127.0.0.1:49152>127.0.0.1:631 at 0.204 s".
func (d *Decision) String() string {
	noun, number := "packet", d.Packet
	switch {
	case d.Segment > 0 && d.Flow.Proto == ipv4.ProtoTCP:
		noun, number = "segment", d.Segment
	case d.Segment > 0 && d.Flow.Proto == ipv4.ProtoUDP:
		noun, number = "datagram", d.Segment
	}
	s := fmt.Sprintf("%v of %s %d of %v at %s", d.Kind, noun, number, d.Flow, seconds(d.At))
	if d.Copy > 0 {
		s += fmt.Sprintf(" (copy %d)", d.Copy)
	}
	return s
}

// Explain returns String with the rule and the reason behind it.
func (d *Decision) Explain() string {
	s := d.String() + " by " + strconv.Quote(d.Rule)
	switch d.Kind {
	case KindDrop, KindMark:
		s += ": " + d.Reason.String()
	case KindCorrupt:
		s += fmt.Sprintf(": bit %d", d.Value)
	case KindDelay, KindReorder:
		s += ": " + d.Delay.String()
	case KindCut, KindFragment:
		s += fmt.Sprintf(": %d pieces", d.Value)
	}
	return s
}

// seconds prints a time in seconds with at least three decimals and as many more as it has.
func seconds(t time.Duration) string {
	digits := 3
	for unit := time.Millisecond; digits < 9 && t%unit != 0; digits += 3 {
		unit /= 1000
	}
	return strconv.FormatFloat(t.Seconds(), 'f', digits, 64) + " s"
}

// decisionLog keeps the latest decisions.
type decisionLog struct {
	ring  []Decision
	next  int // the oldest, once the ring is full
	limit int
	lost  uint64
}

func (l *decisionLog) add(d *Decision) {
	if len(l.ring) < l.limit {
		l.ring = append(l.ring, *d)
		return
	}
	l.lost++
	if l.limit > 0 {
		l.ring[l.next] = *d
		l.next = (l.next + 1) % l.limit
	}
}

func (l *decisionLog) all() []Decision {
	return append(append([]Decision(nil), l.ring[l.next:]...), l.ring[:l.next]...)
}
