package tcp

import "time"

// State is the state of a connection (RFC 9293 §3.3.2).
type State uint8

// The eleven states. A TCB is never in LISTEN: a listener holds no TCB (see ListenInput).
const (
	StateClosed State = iota
	StateListen
	StateSynSent
	StateSynReceived
	StateEstablished
	StateFinWait1
	StateFinWait2
	StateCloseWait
	StateClosing
	StateLastAck
	StateTimeWait
	numStates
)

var stateNames = [numStates]string{
	"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2",
	"CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
}

// String returns the RFC's name of the state, such as "SYN-SENT".
func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return "State(?)"
}

// in reports whether s is one of the states in set, made with states.
func (s State) in(set stateSet) bool { return set>>s&1 != 0 }

type stateSet uint16

const (
	// canReceive are the states in which the peer may still send data.
	canReceive = stateSet(1<<StateEstablished | 1<<StateFinWait1 | 1<<StateFinWait2)
	// canSend are the states in which the user may still send data.
	canSend = stateSet(1<<StateEstablished | 1<<StateCloseWait)
	// synchronized are the states in which both sides know both sequence numbers (RFC 9293 §3.3.2).
	synchronized = stateSet(1<<StateEstablished | 1<<StateFinWait1 | 1<<StateFinWait2 | 1<<StateCloseWait | 1<<StateClosing | 1<<StateLastAck | 1<<StateTimeWait)
	// finRcvd are the states in which the peer's FIN has arrived.
	finRcvd = stateSet(1<<StateCloseWait | 1<<StateClosing | 1<<StateLastAck | 1<<StateTimeWait)
)

// setState is the one place where the state changes.
func (t *TCB) setState(now time.Duration, to State) {
	from := t.state
	if from == to {
		return
	}
	t.state = to
	const estab = stateSet(1<<StateEstablished | 1<<StateCloseWait)
	if to.in(estab) != from.in(estab) {
		one := uint64(1)
		if from.in(estab) {
			one = ^uint64(0) // one less
		}
		t.env.stats.CurrEstab.Add(one)
	}
	if t.has(fCounted) && to.in(1<<StateClosed|1<<StateTimeWait|1<<StateFinWait2) {
		t.flags &^= fCounted
		t.env.stats.orphans.Add(-1)
	}
	if to == StateClosed {
		switch from {
		case StateSynSent, StateSynReceived:
			t.env.stats.AttemptFails.Add(1)
		case StateEstablished, StateCloseWait:
			t.env.stats.EstabResets.Add(1)
		}
	}
	if t.env.observer != nil {
		t.env.observer.Event(t, Event{Kind: EventState, Now: now, From: from, To: to})
	}
}

// Events are things that happened and that the owner of a TCB acts on, as bits.
type Events uint16

// The events.
const (
	EvReadable   Events = 1 << iota // Readable grew, or ReadEOF became true
	EvWritable                      // WriteSpace became positive again
	EvConnected                     // the handshake is complete
	EvClosed                        // the state is CLOSED: drain Output, then take the TCB out of the tables
	EvTimeWait                      // drain Output, then TimeWait gives a compact stand-in for the tables
	EvError                         // Err or SoftErr changed
	EvPeerClosed                    // the peer's FIN was received in order
	EvUrgent                        // UrgentMark moved: the peer has urgent text
	EvFastOpen                      // FastOpenResult is known, or the handshake of an accepted connection is done or failed
	EvSent                          // everything written, and the FIN if any, is acknowledged (for SO_LINGER)
)

// TakeEvents returns the events since the last call and clears them.
func (t *TCB) TakeEvents() Events {
	e := t.events
	t.events = 0
	return e
}
