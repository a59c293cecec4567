package sim

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"example.com/loopback/tcp"
)

// stage is one of the things that a rule does to a packet, in this order.
type stage uint8

const (
	stageLoss stage = iota
	stageMTU
	stageReset
	stageDuplicate
	stageCorrupt
	stageCut
	stageRate
	stageDelay

	numStages
)

// perform does one stage of a rule and reports whether the packet goes on; otherwise it was dropped or parked.
func (l *Impaired) perform(s stage, box *outbox, t *transit, r *rule) bool {
	switch s {
	case stageLoss:
		return l.lose(t, r)
	case stageMTU:
		return r.MTU == 0 || t.info.Len <= r.MTU || l.tooBig(box, t, r)
	case stageReset:
		return l.reset(box, t, r)
	case stageDuplicate:
		l.duplicate(t, r)
	case stageCorrupt:
		l.corrupt(t, r)
	case stageCut:
		return l.cut(t, r)
	case stageRate:
		return t.state.line == nil || l.enqueue(t, t.state.line)
	case stageDelay:
		return l.delay(t, r)
	}
	return true
}

// draw returns the generator of a decision about the packet.
func (t *transit) draw(why purpose) draw {
	return newDraw(t.state.key, t.info.Number, uint64(t.copy), why)
}

// chance draws whether something of probability p happens. last is the draw before, for correlation.
func (t *transit) chance(why purpose, p, rho float64, last *uint32) bool {
	if p == 0 {
		return false
	}
	d := t.draw(why)
	v := d.u32()
	if rho > 0 {
		v = correlated(v, *last, toFraction(rho))
		*last = v
	}
	return fraction(v) < toFraction(p)
}

// lose drops the packet if one of the reasons to does so.
func (l *Impaired) lose(t *transit, r *rule) bool {
	why := ReasonNone
	switch i := &t.info; {
	case r.Blackhole:
		why = ReasonBlackhole
	case i.Segment > 0 && slices.Contains(r.DropSegments, i.Segment), slices.Contains(r.DropPackets, i.Number):
		why = ReasonChosen
	case r.LossEvery > 0 && i.Number%uint64(r.LossEvery) == 0:
		why = ReasonEvery
	case t.burst(&r.Burst):
		why = ReasonBurst
	case t.chance(forLoss, r.Loss, r.LossCorrelation, &t.state.loss):
		why = ReasonLoss
	default:
		return true
	}
	if !l.decide(t, r.Name, KindDrop, why, 0, 0) {
		return true
	}
	l.drop(t, why)
	return false
}

// burst moves the flow between the states of Gilbert and Elliott's model and reports whether the packet is lost.
func (t *transit) burst(g *GilbertElliott) bool {
	if g.ToBad == 0 && g.LossGood == 0 {
		return false
	}
	d := t.draw(forBurst)
	move, p := g.ToBad, g.LossGood
	if t.state.bad {
		move = g.ToGood
	}
	if fraction(d.u32()) < toFraction(move) {
		t.state.bad = !t.state.bad
	}
	if t.state.bad {
		if p = g.LossBad; p == 0 {
			p = 1
		}
	}
	return fraction(d.u32()) < toFraction(p)
}

// reset injects RST segments if the packet provokes it.
func (l *Impaired) reset(box *outbox, t *transit, r *rule) bool {
	i := &t.info
	if i.Flow.Proto != 6 || i.Segment == 0 || i.Flags.Has(tcp.RST) {
		return true
	}
	if !slices.Contains(r.Reset.Segments, i.Segment) && !t.chance(forReset, r.Reset.Probability, 0, nil) {
		return true
	}
	if !l.decide(t, r.Name, KindReset, ReasonNone, 0, 0) {
		return true
	}
	if r.Reset.To != ResetSender {
		l.inject(box, t, l.resetSegment(t, i.Flow, i.Seq.Add(r.Reset.SeqOffset), i.Ack))
	}
	if r.Reset.To != ResetReceiver {
		l.inject(box, t, l.resetSegment(t, i.Flow.Reverse(), i.Ack.Add(r.Reset.SeqOffset), i.Seq.Add(uint32(i.Payload))))
	}
	if !r.Reset.Swallow {
		return true
	}
	l.drop(t, ReasonSwallowed)
	return false
}

// duplicate makes a copy of the packet that goes on by itself, behind it.
func (l *Impaired) duplicate(t *transit, r *rule) {
	if !t.chance(forDuplicate, r.Duplicate, r.DuplicateCorrelation, &t.state.dup) {
		return
	}
	if !l.decide(t, r.Name, KindDuplicate, ReasonNone, 0, 0) {
		return
	}
	c := l.sibling(t)
	c.p = clonePacket(t.n, t.p)
	l.stats.Duplicates++
	l.todo = append(l.todo, c)
}

// sibling returns a transit that stands where t stands, without a packet.
func (l *Impaired) sibling(t *transit) *transit {
	c := l.newTransit()
	fire := c.fire
	*c = *t
	c.p, c.fire, c.next, c.own, c.made = nil, fire, nil, true, 0
	t.made++
	c.copy = t.copy*64 + t.made
	return c
}

// corrupt flips bits.
func (l *Impaired) corrupt(t *transit, r *rule) {
	if !t.chance(forCorrupt, r.Corrupt, 0, nil) {
		return
	}
	d := t.draw(forCorrupt)
	d.next() // that one said that it happens
	from, to := 0, t.info.Len
	switch {
	case r.CorruptWhere == CorruptHeader:
		to = t.info.Header
	case r.CorruptWhere == CorruptPayload && t.info.Payload > 0:
		from = t.info.Header
	}
	if to <= from {
		return
	}
	first := uint64(from)*8 + d.below(uint64(to-from)*8)
	if !l.decide(t, r.Name, KindCorrupt, ReasonNone, 0, int(first)) {
		return
	}
	t.makeOwn()
	t.damaged = true
	flip(t.p.Head, first)
	for range r.CorruptBits - 1 {
		flip(t.p.Head, uint64(from)*8+d.below(uint64(to-from)*8))
	}
}

// flip inverts a bit; bit 0 is the highest of the first byte, as the RFCs number them.
func flip(b []byte, bit uint64) { b[bit/8] ^= 0x80 >> (bit % 8) }

// delay holds the packet back, or lets it go ahead.
func (l *Impaired) delay(t *transit, r *rule) bool {
	s := t.state
	hold := r.Delay
	if r.Jitter > 0 {
		hold = max(0, hold+t.jitter(r))
		if !l.decide(t, r.Name, KindDelay, ReasonNone, hold, 0) {
			hold = r.Delay
		}
	}
	if r.Reorder > 0 {
		s.gap++
		if s.gap >= r.ReorderGap && t.chance(forReorder, r.Reorder, r.ReorderCorrelation, &s.reorder) {
			ahead := l.reordered(hold, r)
			if l.decide(t, r.Name, KindReorder, ReasonNone, ahead, 0) {
				s.gap = 0
				if ahead == 0 {
					return true
				}
				l.park(t, t.now()+ahead)
				return false
			}
		}
	}
	if hold == 0 && !r.InOrder {
		return true
	}
	due := t.now() + hold
	if r.InOrder {
		if hold == 0 && due >= s.due {
			return true
		}
		due = max(due, s.due)
		s.due = due
	}
	l.park(t, due)
	return false
}

// reordered returns the delay of a packet that is to leave its place.
func (l *Impaired) reordered(hold time.Duration, r *rule) time.Duration {
	switch {
	case r.Delay > 0 || r.Jitter > 0:
		return 0
	case r.ReorderBy > 0:
		return r.ReorderBy
	}
	return time.Millisecond
}

// jitter draws what is added to the delay.
func (t *transit) jitter(r *rule) time.Duration {
	d := t.draw(forDelay)
	if r.Distribution == Uniform {
		v := d.u32()
		if r.DelayCorrelation > 0 {
			v = correlated(v, t.state.delay, toFraction(r.DelayCorrelation))
			t.state.delay = v
		}
		return scale(r.Jitter, int64(v)-1<<31, 31)
	}
	x := int64(0)
	if r.Distribution == Normal {
		x = d.normal()
	} else {
		x = d.pareto()
	}
	if r.DelayCorrelation > 0 {
		rho := int64(toFraction(r.DelayCorrelation) >> 16)
		x = (x*(1<<16-rho) + int64(int32(t.state.delay))*rho) >> 16
		t.state.delay = uint32(int32(x))
	}
	return scale(r.Jitter, x, 16)
}

// scale returns d·x/2^shift.
func scale(d time.Duration, x int64, shift uint) time.Duration {
	if x < 0 {
		return -scale(d, -x, shift)
	}
	hi, lo := bits.Mul64(uint64(d), uint64(x))
	return time.Duration(hi<<(64-shift) | lo>>shift)
}

// be16 is a field of a header.
func be16(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
