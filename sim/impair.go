package sim

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"example.com/loopback/ipv4"
)

// An Impairment says what a link does to the packets of a flow, in the vocabulary of Linux's netem. The zero value
// does nothing. Probabilities are from 0 to 1. Every random choice is drawn for the packet it is about, by (seed, rule,
// flow, number of the packet in the flow): what happens to one flow never depends on the traffic of another, except
// in a queue that they share.
//
// A packet passes the impairments in the order of the fields.
type Impairment struct {
	// Blackhole drops everything.
	Blackhole bool

	// DropSegments drops the k-th data segments (or datagrams) of each flow, counted from 1 with retransmissions;
	// DropPackets counts all packets.
	DropSegments, DropPackets []uint64
	// LossEvery drops every n-th packet of each flow.
	LossEvery int
	// Burst is loss in bursts.
	Burst GilbertElliott
	// Loss is the probability that a packet is lost. With LossCorrelation each draw resembles the one before.
	Loss, LossCorrelation float64

	// MTU is the largest packet in bytes. Larger ones are fragmented if they may be, or else dropped and the
	// sender is told by ICMP, unless MTUSilent is set: then the link is a path-MTU black hole.
	MTU       int
	MTUSilent bool

	// Reset injects RST segments into TCP connections.
	Reset Reset

	// Duplicate is the probability that a packet arrives twice.
	Duplicate, DuplicateCorrelation float64

	// Corrupt is the probability that CorruptBits bits (1 if 0) of a packet are flipped, in CorruptWhere.
	// A checksum always catches one flipped bit and nearly always several; IPv6 has none for its header. Whoever cuts
	// or fragments a packet makes its checksums anew, so one that was corrupted stays in one piece.
	Corrupt      float64
	CorruptBits  int
	CorruptWhere CorruptWhere

	// Cut cuts TCP segments into smaller ones.
	Cut Cut

	// Rate is that of the line in bits per second, 0 for no limit; packets wait in Queue for it.
	Rate  int64
	Queue QueueConfig

	// Delay is how long a packet takes; Jitter, drawn from Distribution, is added to it (and may be negative, the
	// sum is not). Unless InOrder is set, jitter reorders, as netem's does.
	Delay, Jitter    time.Duration
	Distribution     Distribution
	DelayCorrelation float64
	InOrder          bool

	// Reorder is the probability that a packet is sent at once, ahead of those that are being delayed; with
	// ReorderGap only every n-th packet may be. Where there is no Delay to skip the packet is held back for
	// ReorderBy instead (1 ms if 0), so that those behind overtake it.
	Reorder, ReorderCorrelation float64
	ReorderGap                  int
	ReorderBy                   time.Duration
}

// GilbertElliott is loss in bursts: each flow is in a good or a bad state, moves between them before each packet, and
// loses packets in each with another probability. The zero value never leaves a good state that loses nothing.
type GilbertElliott struct {
	ToBad, ToGood float64 // netem's p and r
	LossBad       float64 // netem's 1-h; 1 if 0
	LossGood      float64 // netem's 1-k
}

// Reset injects RST segments, as a middlebox or an attacker does.
type Reset struct {
	Probability float64     // that a data segment provokes it
	Segments    []uint64    // the k-th data segments that do
	To          ResetTarget // who gets it
	// SeqOffset is added to the sequence number that the receiver expects; one that is within the window but not
	// exact must be answered by a challenge ACK (RFC 5961).
	SeqOffset uint32
	Swallow   bool // the segment itself is dropped
}

// ResetTarget says who gets an injected RST.
type ResetTarget uint8

// The targets.
const (
	ResetBoth ResetTarget = iota
	ResetReceiver
	ResetSender
)

// CorruptWhere says which part of a packet is corrupted.
type CorruptWhere uint8

// The parts. A packet without payload is corrupted anywhere.
const (
	CorruptAnywhere CorruptWhere = iota
	CorruptHeader                // the IP and transport headers
	CorruptPayload
)

// Cut makes a segmentation adversary: the bytes of TCP's stream arrive in other pieces than they were sent in. The
// fields are alternatives; a segment is cut wherever any of them says.
type Cut struct {
	Size int // into pieces of this many bytes
	Max  int // into pieces of 1 to Max bytes, drawn at random
	// At are offsets in the stream, in bytes from its start: inside a header, for instance.
	At []int64
	// Probability is the share of the segments that are cut; 0 means all.
	Probability float64
	// MaxPieces bounds the pieces of one segment; the rest stays in one. 0 means 64.
	MaxPieces int
}

// Distribution is what jitter is drawn from.
type Distribution uint8

// The distributions.
const (
	Uniform Distribution = iota // from -Jitter to +Jitter
	Normal                      // Jitter is the standard deviation
	Pareto                      // of shape 3, scaled so that Jitter is the standard deviation: few but long delays
)

// Discipline is how a queue chooses what to drop.
type Discipline uint8

// The disciplines.
const (
	TailDrop Discipline = iota // what does not fit
	RED                        // random early detection (Floyd and Jacobson, 1993)
	CoDel                      // controlled delay (RFC 8289)
)

// QueueConfig is the queue before a line with a Rate. Both directions have their own, and all flows of a rule share it
// unless PerFlow is set.
type QueueConfig struct {
	Discipline Discipline
	Packets    int  // limit; 1000 if it and Bytes are 0
	Bytes      int  // limit in bytes; none if 0
	ECN        bool // RED and CoDel mark packets of ECN-capable transports instead of dropping them
	PerFlow    bool
	Overhead   int // bytes of lower layers that each packet takes on the line (netem's packet overhead)

	// RED's parameters. The average queue is taken with a weight of 2⁻ᵂᵉⁱᵍʰᵗ; below Min bytes nothing is
	// dropped, above Max everything, between them with a probability up to Probability.
	// Zero values: an eighth and three eighths of the limit (of Bytes, or Packets of 1500 bytes), 0.02, 9.
	Min, Max    int
	Probability float64
	Weight      int

	// CoDel's parameters: 5 ms and 100 ms if 0.
	Target, Interval time.Duration
}

// A Rule says which packets an impairment concerns. Zero fields match everything. A packet passes all rules that
// match it, in order, one after the other: their delays add up.
type Rule struct {
	// Name is what decisions are drawn and reported by. Names must be unique; "rule 1" and so on if empty.
	Name string
	// From and To are where the packet comes from and goes to.
	From, To netip.Prefix
	// Proto is the IP protocol number (6 TCP, 17 UDP).
	Proto uint8
	// FromPorts and ToPorts are ranges of TCP or UDP ports, both ends included; a second number of 0 means the first.
	// Other protocols have no ports, so a rule with a range does not match them.
	FromPorts, ToPorts [2]uint16
	// Match, if not nil, must also say yes. It is called with the link locked and must not keep i.
	Match func(i *PacketInfo) bool
	// Both makes the rule hold in the other direction, too: From and To change places. The directions
	// share nothing, not even a queue. A packet that matches either way, as all do where From and To are zero,
	// passes the rule once, in the direction as written.
	Both bool
	// Last says that rules behind this one do not see the packets that it matches.
	Last bool

	Impairment
}

// matches reports whether the rule, seen in one direction, concerns the packet. One that it concerns in both directions
// belongs to the forward one, so that a rule acts once.
func (r *Rule) matches(i *PacketInfo, backward bool) bool {
	if backward {
		if r.leads(&i.Flow) || !r.leadsBack(&i.Flow) {
			return false
		}
	} else if !r.leads(&i.Flow) {
		return false
	}
	return r.Match == nil || r.Match(i)
}

// leads reports whether the flow has the rule's protocol and goes from From to To.
func (r *Rule) leads(f *Flow) bool { return r.joins(f, f.Src, f.Dst) }

// leadsBack reports whether the flow has the rule's protocol and goes from To to From.
func (r *Rule) leadsBack(f *Flow) bool { return r.joins(f, f.Dst, f.Src) }

func (r *Rule) joins(f *Flow, from, to netip.AddrPort) bool {
	return (r.Proto == 0 || r.Proto == f.Proto) &&
		(!r.From.IsValid() || r.From.Contains(from.Addr())) &&
		(!r.To.IsValid() || r.To.Contains(to.Addr())) &&
		inPorts(r.FromPorts, f.Proto, from.Port()) && inPorts(r.ToPorts, f.Proto, to.Port())
}

// inPorts reports whether the port is in the range. What a flow of another protocol has in place of ports, such as the
// identifier of an echo, is in none.
func inPorts(ports [2]uint16, proto uint8, port uint16) bool {
	if ports == [2]uint16{} {
		return true
	}
	return (proto == ipv4.ProtoTCP || proto == ipv4.ProtoUDP) && port >= ports[0] && port <= max(ports[0], ports[1])
}

// perfect reports whether the impairment does nothing.
func (m *Impairment) perfect() bool {
	return !m.Blackhole && len(m.DropSegments) == 0 && len(m.DropPackets) == 0 && m.LossEvery == 0 &&
		m.Burst.ToBad == 0 && m.Burst.LossGood == 0 && m.Loss == 0 && m.MTU == 0 &&
		m.Reset.Probability == 0 && len(m.Reset.Segments) == 0 && m.Duplicate == 0 && m.Corrupt == 0 &&
		!m.Cut.active() && m.Rate == 0 && m.Delay == 0 && m.Jitter == 0 && m.Reorder == 0
}

func (c *Cut) active() bool { return c.Size > 0 || c.Max > 0 || len(c.At) > 0 }

// ErrRule is what every error about a rule is (errors.Is).
var ErrRule = errors.New("sim: invalid rule")

// check returns what is wrong with the rule, if anything is.
func (r *Rule) check() error {
	m := &r.Impairment
	for _, p := range []struct {
		name  string
		value float64
	}{
		{"Loss", m.Loss}, {"LossCorrelation", m.LossCorrelation}, {"Burst.ToBad", m.Burst.ToBad}, {"Burst.ToGood", m.Burst.ToGood},
		{"Burst.LossBad", m.Burst.LossBad}, {"Burst.LossGood", m.Burst.LossGood}, {"Reset.Probability", m.Reset.Probability},
		{"Duplicate", m.Duplicate}, {"DuplicateCorrelation", m.DuplicateCorrelation}, {"Corrupt", m.Corrupt},
		{"Cut.Probability", m.Cut.Probability}, {"DelayCorrelation", m.DelayCorrelation}, {"Reorder", m.Reorder},
		{"ReorderCorrelation", m.ReorderCorrelation}, {"Queue.Probability", m.Queue.Probability},
	} {
		if p.value < 0 || p.value > 1 || math.IsNaN(p.value) {
			return fmt.Errorf("%w: %s %v is not within 0 and 1", ErrRule, p.name, p.value)
		}
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"LossEvery", int64(m.LossEvery)}, {"MTU", int64(m.MTU)}, {"CorruptBits", int64(m.CorruptBits)}, {"Cut.Size", int64(m.Cut.Size)},
		{"Cut.Max", int64(m.Cut.Max)}, {"Cut.MaxPieces", int64(m.Cut.MaxPieces)}, {"Rate", m.Rate}, {"Queue.Packets", int64(m.Queue.Packets)},
		{"Queue.Bytes", int64(m.Queue.Bytes)}, {"Queue.Overhead", int64(m.Queue.Overhead)}, {"Queue.Min", int64(m.Queue.Min)},
		{"Queue.Max", int64(m.Queue.Max)}, {"Queue.Weight", int64(m.Queue.Weight)}, {"Queue.Target", int64(m.Queue.Target)},
		{"Queue.Interval", int64(m.Queue.Interval)}, {"Delay", int64(m.Delay)}, {"Jitter", int64(m.Jitter)},
		{"ReorderGap", int64(m.ReorderGap)}, {"ReorderBy", int64(m.ReorderBy)},
	} {
		if n.value < 0 {
			return fmt.Errorf("%w: %s %d is negative", ErrRule, n.name, n.value)
		}
	}
	switch {
	case m.MTU > 0 && m.MTU < 68:
		return fmt.Errorf("%w: MTU %d is less than 68, which every IPv4 link carries", ErrRule, m.MTU)
	case m.Distribution > Pareto:
		return fmt.Errorf("%w: unknown distribution %d", ErrRule, m.Distribution)
	case m.Queue.Discipline > CoDel:
		return fmt.Errorf("%w: unknown discipline %d", ErrRule, m.Queue.Discipline)
	case m.Queue.Weight > 24:
		return fmt.Errorf("%w: Queue.Weight %d is more than 24", ErrRule, m.Queue.Weight)
	case m.Delay > maxDelay || m.Jitter > maxDelay || m.ReorderBy > maxDelay:
		return fmt.Errorf("%w: a delay of more than %v", ErrRule, maxDelay)
	case r.From.IsValid() && r.To.IsValid() && r.From.Addr().Is4() != r.To.Addr().Is4():
		return fmt.Errorf("%w: From %v and To %v are of different families", ErrRule, r.From, r.To)
	}
	return nil
}

// maxDelay bounds what a rule may ask for, so that times do not overflow.
const maxDelay = 10000 * time.Hour
