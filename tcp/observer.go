package tcp

import (
	"fmt"
	"time"
)

// Observer is told what happens inside connections: for teaching, traces and tests. It is called with
// the TCB locked by whoever runs it, must not call methods of the TCB that change it, and sees the TCB
// in the middle of its work. Calls cost nothing when there is no observer.
type Observer interface {
	Event(t *TCB, e Event)
}

// EventKind says what an Event tells about.
type EventKind uint8

// The kinds of events.
const (
	EventState      EventKind = iota + 1 // From → To
	EventRTT                             // a sample RTT gave SRTT and RTO
	EventCwnd                            // Cwnd or Ssthresh changed
	EventCA                              // recovery went from CAFrom to CATo
	EventRetransmit                      // Range is sent again because of Cause
	EventLost                            // Range is deemed lost; Cause is what it will be sent again for
	EventTimer                           // timer Timer expired
	EventUndo                            // a reduction of the window was taken back
	EventDrop                            // an arriving segment was dropped because of Drop
	numEventKinds
)

var eventKindNames = [numEventKinds]string{"", "state", "rtt", "cwnd", "ca", "retransmit", "lost", "timer", "undo", "drop"}

// String returns a short lower-case name such as "retransmit".
func (k EventKind) String() string {
	if k < numEventKinds {
		return eventKindNames[k]
	}
	return "event(?)"
}

// Event is one observation. Which fields mean something depends on Kind.
type Event struct {
	Kind           EventKind
	Now            time.Duration
	From, To       State
	CAFrom, CATo   CAState
	Cause          Cause
	Drop           DropReason
	Timer          Timer
	Range          Range
	RTT, SRTT, RTO time.Duration
	Cwnd, Ssthresh uint32
}

// String tells the event in a few words, such as "SYN-SENT → ESTABLISHED" or "retransmit 1000:2000, retransmit-fast".
// Windows are in segments.
func (e Event) String() string {
	switch e.Kind {
	case EventState:
		return fmt.Sprintf("%v → %v", e.From, e.To)
	case EventRTT:
		return fmt.Sprintf("rtt %v, srtt %v, rto %v", e.RTT, e.SRTT, e.RTO)
	case EventCwnd, EventUndo:
		s := fmt.Sprintf("%v %d", e.Kind, e.Cwnd)
		if e.Ssthresh < InfiniteSsthresh {
			s += fmt.Sprintf(", ssthresh %d", e.Ssthresh)
		}
		return s
	case EventCA:
		return fmt.Sprintf("%v → %v", e.CAFrom, e.CATo)
	case EventRetransmit:
		return fmt.Sprintf("retransmit %d:%d, %v", uint32(e.Range.Start), uint32(e.Range.End), e.Cause)
	case EventLost:
		return fmt.Sprintf("lost %d:%d", uint32(e.Range.Start), uint32(e.Range.End))
	case EventTimer:
		return fmt.Sprintf("timer %v", e.Timer)
	case EventDrop:
		return fmt.Sprintf("drop %d:%d, %v", uint32(e.Range.Start), uint32(e.Range.End), e.Drop)
	}
	return e.Kind.String()
}

// DropReason says why an arriving segment was not taken (completely).
type DropReason uint8

// The reasons.
const (
	DropNone       DropReason = iota
	DropNoACK                 // no ACK, RST or SYN bit
	DropPAWS                  // timestamp is old (RFC 7323 §5)
	DropSequence              // outside the receive window
	DropReset                 // RST not exactly at RCV.NXT (RFC 5961 §3.2), or outside of the window
	DropSYN                   // SYN on a synchronized connection (RFC 5961 §4.2)
	DropOldACK                // acknowledges what was acknowledged long ago (RFC 5961 §5.2)
	DropFutureACK             // acknowledges what was not sent
	DropDuplicate             // nothing but data received before
	DropZeroWindow            // data while the window is closed
	DropMemory                // the receive buffer is full
	DropOutOfOrder            // out of order and no room to keep it
	DropAfterFIN              // data behind the peer's FIN
	DropState                 // no business in this state
	numDrops
)

var dropNames = [numDrops]string{
	"none", "no-ack", "paws", "sequence", "reset", "syn", "old-ack", "future-ack", "duplicate",
	"zero-window", "memory", "out-of-order", "after-fin", "state",
}

// String returns a short lower-case name such as "paws".
func (d DropReason) String() string {
	if d < numDrops {
		return dropNames[d]
	}
	return "drop(?)"
}

// dropped tells the observer that a segment was dropped.
func (t *TCB) dropped(now time.Duration, in *Segment, why DropReason) {
	if t.env.observer != nil {
		t.env.observer.Event(t, Event{Kind: EventDrop, Now: now, Drop: why, Range: Range{in.Seq, in.End()}})
	}
}

// cwndChanged tells the observer the present window.
func (t *TCB) cwndChanged(now time.Duration) {
	if t.env.observer != nil {
		t.env.observer.Event(t, Event{Kind: EventCwnd, Now: now, Cwnd: t.cong.Cwnd, Ssthresh: t.cong.Ssthresh})
	}
}
