package sim

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"example.com/loopback/sim/capture"
	"example.com/loopback/tcp"
)

// ExplainText is WriteText with a line below each packet for everything that the link decided about it, as in
//
//	-- lost: burst loss, by "client>server"
//
// Without the lines that begin with "\t-- " it is what WriteText writes. Of a link that has decided more than
// ImpairConfig.Log the latest decisions are there.
func (r *Recording) ExplainText(w io.Writer) error {
	fates := r.fates()
	p := capture.NewPrinter(w, capture.TraceOptions{Epoch: r.epoch, Nano: true, Causes: true})
	return r.eachNumbered(func(at time.Duration, raw []byte, cause tcp.Cause, i PacketInfo) error {
		if err := p.PrintSent(at, raw, cause); err != nil {
			return err
		}
		ds := fates[DecisionID{Flow: i.Flow, Packet: i.Number}]
		for k := range ds {
			if _, err := fmt.Fprintf(w, "\t-- %s\n", ds[k].because()); err != nil {
				return err
			}
		}
		return nil
	})
}

// ExplainPcapng is WritePcapng with what the link decided about a packet, but for delays, in the packet's comment: a packet
// that was lost is in the capture, because packets are recorded when they are sent, and says so. In Wireshark
// frame.comment contains "lost" shows those.
func (r *Recording) ExplainPcapng(w io.Writer) error {
	fates := r.fates()
	pw := capture.NewWriter(w, capture.Options{Epoch: r.epoch, Comment: "seed " + strconv.FormatUint(r.seed, 10)})
	err := r.eachNumbered(func(at time.Duration, raw []byte, cause tcp.Cause, i PacketInfo) error {
		var words []string
		ds := fates[DecisionID{Flow: i.Flow, Packet: i.Number}]
		for k := range ds {
			if ds[k].Kind != KindDelay {
				words = append(words, ds[k].because())
			}
		}
		return pw.WriteSent(at, raw, cause, words...)
	})
	if err != nil {
		return err
	}
	return pw.Flush()
}

// fates are the decisions by flow and number of packet, the ID's other fields being zero.
func (r *Recording) fates() map[DecisionID][]Decision {
	fates := map[DecisionID][]Decision{}
	if r.link == nil {
		return fates
	}
	for _, d := range r.link.sorted() {
		id := DecisionID{Flow: d.Flow, Packet: d.Packet}
		fates[id] = append(fates[id], d)
	}
	return fates
}

// eachNumbered is each with what the packet is; its Number is the one that the link has given it.
func (r *Recording) eachNumbered(f func(at time.Duration, raw []byte, cause tcp.Cause, i PacketInfo) error) error {
	flows := flowTable{limit: defaultFlows}
	if r.link != nil {
		flows.limit = r.link.cfg.Flows
	}
	return r.each(func(at time.Duration, raw []byte, cause tcp.Cause) error {
		var i PacketInfo
		i.parseIP(raw, len(raw))
		flows.get(&i).count(&i)
		return f(at, raw, cause, i)
	})
}

// because says what happened to the packet, why and by which rule, next to a packet that need not be named.
func (d *Decision) because() string {
	var b strings.Builder
	if d.Copy > 0 {
		fmt.Fprintf(&b, "copy %d ", d.Copy)
	}
	switch d.Kind {
	case KindDrop:
		fmt.Fprintf(&b, "lost: %v", d.Reason)
	case KindDuplicate:
		b.WriteString("duplicated")
	case KindCorrupt:
		fmt.Fprintf(&b, "corrupted: bit %d", d.Value)
	case KindReorder:
		if d.Delay == 0 {
			b.WriteString("reordered: at once")
			break
		}
		fmt.Fprintf(&b, "reordered: held back for %v", d.Delay)
	case KindDelay:
		fmt.Fprintf(&b, "delayed: %v", d.Delay)
	case KindMark:
		fmt.Fprintf(&b, "marked with Congestion Experienced: %v", d.Reason)
	case KindReset:
		b.WriteString("a RST was injected")
	case KindCut:
		fmt.Fprintf(&b, "cut: %d pieces", d.Value)
	case KindFragment:
		fmt.Fprintf(&b, "fragmented: %d pieces", d.Value)
	default:
		b.WriteString(d.Kind.String())
	}
	fmt.Fprintf(&b, ", by %q", d.Rule)
	return b.String()
}
