package peer

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/sim/capture"
)

// An end is where a wire ends: a device of a kernel, or a Stack's NIC.
type end interface {
	plug(out func(raw []byte)) // out gets what the end sends, one call at a time, and does not keep it
	start()
	deliver(raw []byte)
}

// A wire carries packets between two ends, at once and in order, and remembers the latest ones. It can be held.
type wire struct {
	t     testing.TB
	begun time.Time
	lines [2]line // by the end that sends

	calm time.Duration // for how long nothing passes when the ends have said all they have to say

	mu   sync.Mutex
	last time.Time // when the latest packet passed
	log  []sent
	gone int // packets of the log that were forgotten
}

// A line is one direction of a wire.
type line struct {
	to end

	mu   sync.Mutex
	held bool
	wait [][]byte // what is held
}

// sent is a packet that passed, when and from which end.
type sent struct {
	from int
	at   time.Duration
	raw  []byte
}

// kept is how many packets a wire remembers.
const kept = 1000

// join makes a wire between a and b. On failure of the test it prints what passed last.
func join(t testing.TB, a, b end) *wire {
	w := &wire{t: t, begun: time.Now(), calm: 150 * time.Millisecond}
	w.lines[0].to, w.lines[1].to = b, a
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the wire:\n%s", w.trace())
		}
	})
	a.plug(func(raw []byte) { w.carry(0, raw) })
	b.plug(func(raw []byte) { w.carry(1, raw) })
	a.start()
	b.start()
	return w
}

func (w *wire) carry(from int, raw []byte) {
	l := &w.lines[from]
	l.mu.Lock()
	if l.held {
		l.wait = append(l.wait, bytes.Clone(raw))
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	w.pass(from, raw)
}

func (w *wire) pass(from int, raw []byte) {
	if !chatter(raw) {
		now := time.Now()
		w.mu.Lock()
		w.last = now
		w.log = append(w.log, sent{from, now.Sub(w.begun), bytes.Clone(raw)})
		if len(w.log) == 2*kept {
			w.gone += kept
			w.log = append(w.log[:0], w.log[kept:]...)
		}
		w.mu.Unlock()
	}
	w.lines[from].to.deliver(raw)
}

// chatter reports whether a packet is IPv6 multicast, by which a kernel now and then says which groups it is in. It is
// delivered but not written down.
func chatter(raw []byte) bool { return len(raw) > 24 && raw[0]>>4 == 6 && raw[24] == 0xff }

// hold keeps back what either end sends, until release.
func (w *wire) hold() {
	for i := range w.lines {
		w.lines[i].mu.Lock()
		w.lines[i].held = true
		w.lines[i].mu.Unlock()
	}
}

// waiting waits until each end has sent something that is held back.
func (w *wire) waiting() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		for i := range w.lines {
			w.lines[i].mu.Lock()
			n := len(w.lines[i].wait)
			w.lines[i].mu.Unlock()
			if n == 0 {
				return false
			}
		}
		return true
	}, patience, time.Millisecond, "both ends have sent something")
}

// release lets go what was held back, in both directions at once: what the ends sent before it crosses.
func (w *wire) release() {
	var held [2][][]byte
	for i := range w.lines {
		l := &w.lines[i]
		l.mu.Lock()
		held[i], l.wait = l.wait, nil
		l.mu.Unlock()
	}
	for i, packets := range held {
		for _, raw := range packets {
			w.pass(i, raw)
		}
	}
	for i := range w.lines {
		w.drain(i)
	}
}

// drain passes on what came meanwhile, in order, and lets the rest through from then on.
func (w *wire) drain(i int) {
	l := &w.lines[i]
	for {
		l.mu.Lock()
		packets := l.wait
		l.wait = nil
		if len(packets) == 0 {
			l.held = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for _, raw := range packets {
			w.pass(i, raw)
		}
	}
}

// settle waits until nothing has passed for a while: the ends have taken in what the other did. Delayed ACKs may come
// later.
func (w *wire) settle() {
	since := time.Now()
	for {
		w.mu.Lock()
		if w.last.After(since) {
			since = w.last
		}
		w.mu.Unlock()
		rest := w.calm - time.Since(since)
		if rest <= 0 {
			return
		}
		<-time.After(rest)
	}
}

// forget empties the log.
func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log, w.gone = nil, 0
}

// packets returns the log.
func (w *wire) packets() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]sent(nil), w.log...)
}

// trace is the log as tcpdump would print it.
func (w *wire) trace() string {
	var out bytes.Buffer
	if w.gone > 0 {
		fmt.Fprintf(&out, "(%d packets before these)\n", w.gone)
	}
	p := capture.NewPrinter(&out, capture.TraceOptions{Time: capture.TimeEpoch})
	for _, s := range w.packets() {
		_ = p.Print(s.at, s.raw) // a Buffer takes everything
	}
	return out.String()
}

// segments describes the TCP segments that matter to who watches: those with SYN, FIN, RST or data, with sequence
// numbers relative to the first SYN's, by the end that sent them, with the IP header and the options of a SYN. Pure
// ACKs and what is sent again are left out, as their number is a matter of timing, and so are the windows of others, and
// the options of RSTs (Linux sends timestamps in those of a connection, we do not). Ends of the same behaviour give the same lines; lines of
// one end stand in the order they were sent.
func (w *wire) segments() (lines [2][]string) {
	var first [2]struct {
		set bool
		seq uint32
		syn string // flags of the SYN sent last
		end uint32 // of what was sent
	}
	for _, s := range w.packets() {
		packet := decode(s.raw)
		t, ok := packet.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok {
			continue
		}
		if f := &first[s.from]; t.SYN && !f.set {
			f.set, f.seq = true, t.Seq
		}
		n := len(t.Payload)
		if !t.SYN && !t.FIN && !t.RST && n == 0 {
			continue
		}
		if again(&first[s.from].syn, &first[s.from].end, t, t.Seq-first[s.from].seq) {
			continue
		}
		line := fmt.Sprintf("%s %s seq %d len %d", headerOf(packet), flagsOf(t), t.Seq-first[s.from].seq, n)
		if t.ACK {
			line += fmt.Sprintf(" ack %d", t.Ack-first[1-s.from].seq)
		}
		if t.SYN {
			line += fmt.Sprintf(" win %d", t.Window)
			for _, o := range t.Options {
				if line += " " + o.OptionType.String(); o.OptionType != layers.TCPOptionKindTimestamps {
					line += fmt.Sprintf("%x", o.OptionData)
				}
			}
		}
		lines[s.from] = append(lines[s.from], line)
	}
	return lines
}

// again reports whether a segment has nothing that its end did not send before, and takes note of it. seq counts from
// the first SYN. Each reset counts, and a SYN-ACK is not a SYN.
func again(syn *string, end *uint32, t *layers.TCP, seq uint32) bool {
	if t.RST {
		return false
	}
	if t.SYN {
		old := *syn
		*syn, *end = flagsOf(t), max(*end, 1)
		return old == *syn
	}
	to := seq + uint32(len(t.Payload))
	if t.FIN {
		to++
	}
	if to <= *end {
		return true
	}
	*end = to
	return false
}

// headerOf is what of the IP header is not random.
func headerOf(p gopacket.Packet) string {
	switch h := p.NetworkLayer().(type) {
	case *layers.IPv4:
		return fmt.Sprintf("tos %d %v ttl %d id>0:%t", h.TOS, h.Flags, h.TTL, h.Id > 0)
	case *layers.IPv6:
		return fmt.Sprintf("class %d limit %d", h.TrafficClass, h.HopLimit)
	}
	return "?"
}

// flagsOf writes flags as tcpdump does.
func flagsOf(t *layers.TCP) string {
	var s string
	for _, f := range []struct {
		set  bool
		text string
	}{{t.FIN, "F"}, {t.SYN, "S"}, {t.RST, "R"}, {t.PSH, "P"}, {t.ACK, "."}, {t.URG, "U"}, {t.ECE, "E"}, {t.CWR, "W"}} {
		if f.set {
			s += f.text
		}
	}
	return "[" + s + "]"
}

// decode decodes an IP packet by gopacket.
func decode(raw []byte) gopacket.Packet {
	first := layers.LayerTypeIPv4
	if len(raw) > 0 && raw[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	return gopacket.NewPacket(raw, first, gopacket.Default)
}
