package sim

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"example.com/loopback/ipv4"
	"example.com/loopback/sim/capture"
	"example.com/loopback/sim/ladder"
	"example.com/loopback/tcp"
)

// landing is when a packet of a flow, or a copy of it, left the link.
type landing struct {
	flow   Flow
	number uint64
	at     time.Duration
}

// seen is what happened to a connection whose initial sequence number is iss.
type seen struct {
	iss tcp.Seq
	e   tcp.Event
}

// maxSeen bounds the events that a recording keeps of connections, and the arrivals of packets.
const maxSeen = 1 << 18

// passed is an ImpairConfig.Passed.
func (r *Recording) passed(i *PacketInfo, _ uint32, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.arrivals) < maxSeen {
		r.arrivals = append(r.arrivals, landing{i.Flow, i.Number, at})
	}
}

// recordObserver tells a recording what connections do, and the user's observer if there is one.
type recordObserver struct {
	r    *Recording
	user tcp.Observer
}

// Event implements tcp.Observer.
func (o *recordObserver) Event(t *tcp.TCB, e tcp.Event) {
	switch e.Kind {
	case tcp.EventState, tcp.EventCA, tcp.EventTimer, tcp.EventUndo, tcp.EventDrop:
		iss := t.Info(e.Now).ISS
		o.r.mu.Lock()
		if len(o.r.seen) < maxSeen {
			o.r.seen = append(o.r.seen, seen{iss, e})
		}
		o.r.mu.Unlock()
	}
	if o.user != nil {
		o.user.Event(t, e)
	}
}

// Ladders returns a chart of each TCP connection of which the SYN was recorded, in the order in which they began. The one who
// sent it is at the left.
func (n *Net) Ladders() []ladder.Chart { return n.rec.Ladders() }

// Ladders returns a chart of each TCP connection of which the SYN was recorded, in the order in which they began. The one who
// sent it is at the left.
func (r *Recording) Ladders() []ladder.Chart {
	fates := r.fates()
	r.mu.Lock()
	arrivals := map[DecisionID][]time.Duration{}
	for _, a := range r.arrivals {
		id := DecisionID{Flow: a.flow, Packet: a.number}
		arrivals[id] = append(arrivals[id], a.at)
	}
	happened := map[tcp.Seq][]tcp.Event{}
	for _, s := range r.seen {
		happened[s.iss] = append(happened[s.iss], s.e)
	}
	r.mu.Unlock()
	b := &ladderBuilder{r: r, fates: fates, arrivals: arrivals, happened: happened, ends: map[Flow]ladderEnd{},
		printer: capture.NewPrinter(io.Discard, capture.TraceOptions{Time: capture.TimeNone})}
	_ = r.eachNumbered(b.packet) // it returns none
	return b.charts
}

// ladderEnd is the end of a connection that sends a flow.
type ladderEnd struct {
	chart int // index of the chart
	left  bool
	iss   tcp.Seq
	known bool // iss is
}

// ladderBuilder makes charts of packets.
type ladderBuilder struct {
	r        *Recording
	fates    map[DecisionID][]Decision
	arrivals map[DecisionID][]time.Duration
	happened map[tcp.Seq][]tcp.Event
	ends     map[Flow]ladderEnd
	printer  *capture.Printer
	charts   []ladder.Chart
}

// packet enters a packet that was sent.
func (b *ladderBuilder) packet(at time.Duration, raw []byte, cause tcp.Cause, i PacketInfo) error {
	if i.Flow.Proto != ipv4.ProtoTCP || i.later || i.truncated {
		return nil
	}
	end, ok := b.ends[i.Flow]
	if i.Flags.Has(tcp.SYN) && !(end.known && end.iss == i.Seq) {
		end, ok = b.begin(&i, end, ok)
	}
	if !ok {
		return nil
	}
	id := DecisionID{Flow: i.Flow, Packet: i.Number}
	m := ladder.Message{Sent: at, Arrivals: b.arrivals[id], FromLeft: end.left, Label: b.label(raw)}
	if cause.Retransmission() {
		m.Why = cause.String()
	}
	m.Fate, m.Lost = fate(b.fates[id])
	c := &b.charts[end.chart]
	c.Messages = append(c.Messages, m)
	return nil
}

// begin takes in that an end has sent its SYN: the first one makes a chart.
func (b *ladderBuilder) begin(i *PacketInfo, end ladderEnd, known bool) (ladderEnd, bool) {
	f := i.Flow
	switch {
	case !i.Flags.Has(tcp.ACK):
		b.charts = append(b.charts, ladder.Chart{Title: fmt.Sprintf("%v, seed %d", f, b.r.seed), Left: b.name(f.Src), Right: b.name(f.Dst)})
		end = ladderEnd{chart: len(b.charts) - 1, left: true}
		b.ends[f.Reverse()] = ladderEnd{chart: end.chart}
	case !known:
		return end, false
	}
	end.iss, end.known = i.Seq, true
	b.ends[f] = end
	c := &b.charts[end.chart]
	for _, e := range b.happened[i.Seq] {
		if text := noteOf(&e); text != "" {
			c.Notes = append(c.Notes, ladder.Note{At: e.Now, Left: end.left, Text: text})
		}
	}
	return end, true
}

// name is that of a host, with the port.
func (b *ladderBuilder) name(a netip.AddrPort) string {
	if b.r.hosts != nil {
		if names := b.r.hosts.LookupAddr(a.Addr()); len(names) > 0 {
			return fmt.Sprintf("%s:%d", names[0], a.Port())
		}
	}
	return a.String()
}

// noteOf is what is said of an event: the name of a state alone, or words.
func noteOf(e *tcp.Event) string {
	switch e.Kind {
	case tcp.EventState:
		return strings.ToUpper(e.To.String())
	case tcp.EventCA:
		return fmt.Sprintf("%v, cwnd %d", e.CATo, e.Cwnd)
	case tcp.EventTimer:
		return fmt.Sprintf("%v timer expired", e.Timer)
	case tcp.EventUndo:
		return fmt.Sprintf("undone, cwnd %d", e.Cwnd)
	case tcp.EventDrop:
		return fmt.Sprintf("dropped: %v", e.Drop)
	}
	return ""
}

// label is what tcpdump would say of the segment, without what is the same in all.
func (b *ladderBuilder) label(raw []byte) string {
	text := string(b.printer.AppendPacket(nil, 0, raw))
	if _, rest, ok := strings.Cut(text, "Flags "); ok {
		text = rest
	}
	if at := strings.Index(text, ", length "); at >= 0 { // what tcpdump says of HTTP and the like comes behind
		if end := strings.IndexByte(text[at+len(", length "):], ':'); end >= 0 {
			text = text[:at+len(", length ")+end]
		}
	}
	head, rest, ok := strings.Cut(text, ", options [")
	if !ok {
		return text
	}
	list, tail, _ := strings.Cut(rest, "]")
	options := slices.DeleteFunc(strings.Split(list, ","), func(o string) bool { return o == "nop" || o == "eol" || strings.HasPrefix(o, "TS ") })
	if len(options) > 0 {
		head += ", " + strings.Join(options, " ")
	}
	return strings.Replace(head+tail, ", length ", ", len ", 1)
}

// fate puts the decisions about a packet into words.
func fate(ds []Decision) (text string, lost bool) {
	var words []string
	for i := range ds {
		d := &ds[i]
		switch {
		case d.Kind == KindDrop && d.Copy == 0:
			words, lost = append(words, "lost: "+d.Reason.String()), true
		case d.Kind == KindDrop:
			words = append(words, "a copy lost: "+d.Reason.String())
		case d.Kind == KindMark:
			words = append(words, "marked: "+d.Reason.String())
		case d.Kind != KindDelay:
			words = append(words, d.Kind.String())
		}
	}
	return strings.Join(words, ", "), lost
}
