package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/sim/capture"
	"example.com/loopback/tcp"
)

// EventKind is what an Event of a World is, and so in which order those of one instant happen.
type EventKind uint8

// The kinds of events.
const (
	EventDelivery EventKind = iota + 1 // a packet reaches the end of its link, or of what delayed it there
	EventPlan                          // a function planned by At
	EventStart                         // a coroutine begins
	EventWake                          // one that sleeps wakes
	EventTimeout                       // a context ends
	EventTimer                         // a timer of a socket
)

var eventKindNames = [...]string{"", "delivery", "plan", "start", "wake", "timeout", "timer"}

// String returns the kind as a noun, such as "delivery".
func (k EventKind) String() string {
	if int(k) < len(eventKindNames) {
		return eventKindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// An Event is what World.Step did.
type Event struct {
	Number uint64        // of this event among all, from 1
	At     time.Duration // virtual time
	Kind   EventKind
	// Flow is that of a packet, or for EventTimer from the socket to its peer; a listener has none.
	Flow Flow
	// Packet is what arrived, from its IP header on, with all checksums filled in; nil if nothing did.
	Packet []byte
	// Name is that of the coroutine of EventStart and EventWake.
	Name string
	// Notes say in order what happened because of the event: which coroutines ran, what connections did and why (see
	// tcp.Observer), which packets were sent ("sends") and what the links did to them.
	Notes []string

	text string // of the packet
}

// String returns the event in a line, and each of its notes in a further one.
func (e Event) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s: %v", seconds(e.At), e.Kind)
	switch {
	case e.text != "":
		s.WriteString(" of " + e.text)
	case e.Kind == EventDelivery || e.Kind == EventTimer && e.Flow.Dst.IsValid():
		s.WriteString(" of " + e.Flow.String())
	case e.Kind == EventTimer && e.Flow.Src.IsValid():
		s.WriteString(" of " + e.Flow.Src.String())
	case e.Name != "":
		s.WriteString(" of " + e.Name)
	}
	for _, n := range e.Notes {
		s.WriteString("\n    " + n)
	}
	return s.String()
}

// watcher gathers the Event of a Step.
type watcher struct {
	w       *World
	on      bool
	e       Event
	printer *capture.Printer // has seen every packet that was sent, and knows initial sequence numbers by that
	raw     []byte
}

// startWatching makes the watcher: a World that nobody looks at does not pay for it.
func (w *World) startWatching() {
	v := &watcher{w: w, printer: capture.NewPrinter(nil, capture.TraceOptions{Time: capture.TimeNone})}
	_ = w.rec.each(func(at time.Duration, raw []byte, _ tcp.Cause) error {
		v.text(at, raw)
		return nil
	})
	w.stack.NIC().AddTap(v.tap)
	w.watch = v
}

// text is the packet in the words of tcpdump.
func (v *watcher) text(now time.Duration, raw []byte) string {
	return strings.TrimPrefix(string(v.printer.AppendPacket(nil, now, raw)), "IP ")
}

// tap is a device.Tap.
func (v *watcher) tap(dir device.Direction, now time.Duration, n *device.NIC, p *device.Packet) {
	v.raw = n.AppendWire(v.raw[:0], p)
	text := v.text(now, v.raw)
	switch {
	case !v.on:
	case dir == device.DirTX:
		if c := tcp.Cause(p.Cause); c != tcp.CauseNone {
			text += " (" + c.String() + ")"
		}
		v.note("sends " + text)
	case v.e.Packet == nil:
		v.e.Packet, v.e.text = append([]byte(nil), v.raw...), text
	default:
		v.note("receives " + text)
	}
}

func (v *watcher) note(s string) { v.e.Notes = append(v.e.Notes, s) }

// begin is called before an event.
func (v *watcher) begin(k Key) {
	w := v.w
	v.e = Event{Number: w.events + 1, Flow: k.Flow, Notes: v.e.Notes}
	switch k.Kind {
	case kindDelivery:
		v.e.Kind = EventDelivery
	case kindPlan:
		v.e.Kind = EventPlan
	case kindTimeout:
		v.e.Kind = EventTimeout
	case kindTimer:
		v.e.Kind = EventTimer
		if t, ok := w.stack.NextTimer(); ok {
			v.e.Flow = Flow{Proto: t.Proto, Src: t.Local, Dst: t.Remote}
		}
	default:
		v.e.Kind = EventStart
		if k.Kind == kindWake {
			v.e.Kind = EventWake
		}
		for c := w.live.first; c != nil; c = c.younger {
			if c.id == k.Seq {
				v.e.Name = c.name
			}
		}
	}
}

// take returns what was gathered.
func (v *watcher) take() Event {
	if v.e.Kind == EventTimer && len(v.e.Notes) == 0 {
		v.quietTimer()
	}
	e := v.e
	e.At = v.w.Now()
	v.e = Event{}
	return e
}

// quietTimer notes what a timer did that nobody told of: it ended what is left of a connection, or fired early.
func (v *watcher) quietTimer() {
	f := v.e.Flow
	for _, i := range v.w.stack.Sockets() {
		if i.Local == f.Src && i.Remote == f.Dst {
			v.note("nothing is due yet")
			return
		}
	}
	if f.Dst.IsValid() {
		v.note(v.w.endpoint(f.Src) + " is forgotten")
	}
}

// decided is an ImpairConfig.Observe.
func (v *watcher) decided(d *Decision) {
	if v != nil && v.on {
		v.note(d.Explain())
	}
}

// worldObserver tells the watcher, and the user's observer if there is one, what connections do.
type worldObserver struct {
	w    *World
	user tcp.Observer
}

// Event implements tcp.Observer.
func (o *worldObserver) Event(t *tcp.TCB, e tcp.Event) {
	if o.user != nil {
		o.user.Event(t, e)
	}
	v := o.w.watch
	if v == nil || !v.on {
		return
	}
	local, _, ok := o.w.stack.AddrsOf(t)
	if !ok && v.e.Kind == EventDelivery {
		local = v.e.Flow.Dst // a SYN makes it
	}
	v.note(o.w.endpoint(local) + " " + e.String())
}

// endpoint is an address with the name of the host instead of the number, if it has one.
func (w *World) endpoint(a netip.AddrPort) string {
	w.Net.mu.Lock()
	defer w.Net.mu.Unlock()
	if names := w.stack.Hosts().LookupAddr(a.Addr()); len(names) > 0 {
		return fmt.Sprintf("%s:%d", names[0], a.Port())
	}
	return a.String()
}
