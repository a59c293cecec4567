package sim

import (
	"math/bits"
	"time"
)

// A line sends packets at a rate, one after the other. Those that wait are queued, and the queue's discipline says which
// of them are dropped or marked.
type line struct {
	r     *rule
	busy  bool
	queue []*transit // from first on
	first int
	bytes int
	free  time.Duration // when the last packet had left, by the scheduler's clock

	red   redState
	codel codelState
}

func newLine(r *rule) *line { return &line{r: r} }

// defaultQueue is the limit in packets of a queue without limits.
const defaultQueue = 1000

// typicalPacket is the size in bytes that RED's defaults and idle time are reckoned with.
const typicalPacket = 1500

// waiting returns the number of packets in the queue.
func (ln *line) waiting() int { return len(ln.queue) - ln.first }

// enqueue gives the packet to the line and reports whether it goes on at once, which it never does.
func (l *Impaired) enqueue(t *transit, ln *line) bool {
	cfg := &ln.r.Queue
	if cfg.Discipline == RED && !l.red(t, ln) {
		return false
	}
	t.since = t.now()
	if !ln.busy {
		l.transmit(t, ln)
		return false
	}
	if ln.full(t.info.Len) && l.decide(t, ln.r.Name, KindDrop, ReasonQueueFull, 0, 0) {
		l.drop(t, ReasonQueueFull)
		return false
	}
	if l.parked >= l.cfg.Held && l.decide(t, "held", KindDrop, ReasonHeld, 0, 0) {
		l.drop(t, ReasonHeld)
		return false
	}
	l.parked++
	ln.push(t)
	return false
}

// full reports whether a packet of n bytes has no room in the queue.
func (ln *line) full(n int) bool {
	cfg := &ln.r.Queue
	packets := cfg.Packets
	if packets == 0 && cfg.Bytes == 0 {
		packets = defaultQueue
	}
	return packets > 0 && ln.waiting() >= packets || cfg.Bytes > 0 && ln.bytes+n > cfg.Bytes
}

func (ln *line) push(t *transit) {
	if ln.first > 64 && ln.first > len(ln.queue)/2 {
		n := copy(ln.queue, ln.queue[ln.first:])
		clear(ln.queue[n:])
		ln.queue, ln.first = ln.queue[:n], 0
	}
	ln.queue = append(ln.queue, t)
	ln.bytes += t.info.Len
}

func (ln *line) pop() *transit {
	if ln.waiting() == 0 {
		return nil
	}
	t := ln.queue[ln.first]
	ln.queue[ln.first] = nil
	ln.first++
	if ln.waiting() == 0 {
		ln.queue, ln.first = ln.queue[:0], 0
	}
	ln.bytes -= t.info.Len
	return t
}

// transmit puts the packet on the line; it goes on when its last bit has left. Time is reckoned from when the line was
// free, not from when the scheduler came round to say so: on a wall clock that makes a difference.
func (l *Impaired) transmit(t *transit, ln *line) {
	ln.busy = true
	t.line = ln
	due := max(t.since-t.offset, ln.free) + ln.airtime(t.info.Len)
	ln.free = due
	l.parked++
	t.queued = true
	t.flow.events++
	l.sched.At(due, Key{Flow: t.info.Flow, Seq: t.flow.events}, t.fire)
}

// airtime is how long n bytes of a packet take on the line, rounded up to a nanosecond.
func (ln *line) airtime(n int) time.Duration {
	hi, lo := bits.Mul64(uint64(n+ln.r.Queue.Overhead)*8, uint64(time.Second))
	lo, carry := bits.Add64(lo, uint64(ln.r.Rate)-1, 0)
	hi += carry
	if hi >= uint64(ln.r.Rate) {
		return maxDelay
	}
	q, _ := bits.Div64(hi, lo, uint64(ln.r.Rate))
	return time.Duration(min(q, uint64(maxDelay)))
}

// lineFree puts the next packet on the line.
func (l *Impaired) lineFree(ln *line) {
	ln.busy = false
	t := l.dequeue(ln)
	if t == nil {
		ln.red.idle(l.sched.Now())
		return
	}
	l.transmit(t, ln)
}

// dequeue takes the next packet off the queue that its discipline lets pass; nil if there is none.
func (l *Impaired) dequeue(ln *line) *transit {
	if ln.r.Queue.Discipline == CoDel {
		return l.codel(ln)
	}
	t := ln.pop()
	if t != nil {
		l.parked--
	}
	return t
}

// congested drops the packet, or marks it if that is wanted and possible, and reports whether it goes on.
func (l *Impaired) congested(t *transit, ln *line, why Reason) bool {
	if ln.r.Queue.ECN && t.ecnCapable() {
		if l.decide(t, ln.r.Name, KindMark, why, 0, 0) {
			t.mark()
		}
		return true
	}
	if !l.decide(t, ln.r.Name, KindDrop, why, 0, 0) {
		return true
	}
	l.drop(t, why)
	return false
}

// redState is that of random early detection (Floyd and Jacobson, 1993), in integers.
type redState struct {
	average   uint64 // of the queue in bytes, times 2¹⁶
	count     int    // packets since the last that was dropped
	idleSince time.Duration
	isIdle    bool
}

// idle notes that the queue is empty.
func (s *redState) idle(now time.Duration) { s.idleSince, s.isIdle = now, true }

// update takes a sample of the queue into the average. While the queue was empty, samples of 0 count that small packets
// could have left in the meantime.
func (s *redState) update(ln *line, now time.Duration) {
	weight := ln.r.Queue.Weight
	if weight == 0 {
		weight = 9
	}
	if s.isIdle {
		s.isIdle = false
		samples := int64(now-s.idleSince) / max(int64(ln.airtime(typicalPacket)), 1)
		if samples > int64(64)<<weight {
			s.average = 0
		}
		for ; samples > 0 && s.average>>weight > 0; samples-- {
			s.average -= s.average >> weight
		}
		return
	}
	s.average -= s.average >> weight
	s.average += uint64(ln.bytes) << 16 >> weight
}

// red decides on a packet that arrives, and reports whether it goes on.
func (l *Impaired) red(t *transit, ln *line) bool {
	s, cfg := &ln.red, &ln.r.Queue
	s.update(ln, l.sched.Now())
	low, high := cfg.thresholds()
	average := s.average >> 16
	if average < low {
		s.count = -1
		return true
	}
	if average < high {
		s.count++
		p := toFraction(cfg.Probability)
		if p == 0 {
			p = toFraction(0.02)
		}
		// p grows with the average, and with the packets since the last drop, so that drops are spread evenly.
		p = p * fraction(average-low) / fraction(high-low)
		if spent := fraction(s.count) * p; spent < one {
			p = p * one / (one - spent)
			d := t.draw(forQueue)
			if fraction(d.u32()) >= p {
				return true
			}
		}
	}
	s.count = 0
	return l.congested(t, ln, ReasonRED)
}

// thresholds returns RED's in bytes, with 0 < low < high.
func (c *QueueConfig) thresholds() (low, high uint64) {
	limit := c.Bytes
	if limit == 0 {
		limit = c.Packets * typicalPacket
	}
	if limit == 0 {
		limit = defaultQueue * typicalPacket
	}
	low, high = uint64(c.Min), uint64(c.Max)
	if low == 0 {
		low = max(uint64(limit)/8, 1)
	}
	if high == 0 {
		high = 3 * low
	}
	return low, max(high, low+1)
}

// codelState is that of RFC 8289.
type codelState struct {
	firstAbove time.Duration // when the sojourn time will have been above the target for an interval; 0 if it is below
	dropNext   time.Duration
	count      uint64 // drops in this dropping state
	lastCount  uint64
	dropping   bool
}

// codel dequeues by RFC 8289 §5.5.
func (l *Impaired) codel(ln *line) *transit {
	s, cfg := &ln.codel, &ln.r.Queue
	interval := cfg.Interval
	if interval == 0 {
		interval = 100 * time.Millisecond
	}
	t, late := l.codelPop(ln, interval)
	if t == nil {
		s.dropping = false
		return nil
	}
	now := t.now()
	switch {
	case s.dropping && !late:
		s.dropping = false
	case s.dropping:
		for now >= s.dropNext && s.dropping {
			s.count++
			if l.congested(t, ln, ReasonCoDel) {
				s.dropNext += controlLaw(interval, s.count)
				break
			}
			if t, late = l.codelPop(ln, interval); t == nil || !late {
				s.dropping = false
			} else {
				s.dropNext += controlLaw(interval, s.count)
			}
			if t == nil {
				return nil
			}
		}
	case late:
		if !l.congested(t, ln, ReasonCoDel) {
			t, _ = l.codelPop(ln, interval)
		}
		s.dropping = true
		// If it was dropping not long ago, start at about the rate at which that ended.
		since := s.count - s.lastCount
		s.count = 1
		if since > 1 && now-s.dropNext < 16*interval {
			s.count = since
		}
		s.dropNext = now + controlLaw(interval, s.count)
		s.lastCount = s.count
	}
	return t
}

// codelPop takes a packet off the queue and reports whether packets have been too long in it for an interval.
func (l *Impaired) codelPop(ln *line, interval time.Duration) (t *transit, late bool) {
	s, target := &ln.codel, ln.r.Queue.Target
	if target == 0 {
		target = 5 * time.Millisecond
	}
	t = ln.pop()
	if t == nil {
		s.firstAbove = 0
		return nil, false
	}
	l.parked--
	now := t.now()
	if now-t.since < target || ln.waiting() == 0 {
		s.firstAbove = 0
		return t, false
	}
	if s.firstAbove == 0 {
		s.firstAbove = now + interval
		return t, false
	}
	return t, now >= s.firstAbove
}

// controlLaw is the time to the next drop: the interval by the square root of the number of drops.
func controlLaw(interval time.Duration, count uint64) time.Duration {
	root := squareRoot(min(count, 1<<31) << 32) // 2¹⁶·√count
	hi, lo := bits.Mul64(uint64(interval), 1<<16)
	q, _ := bits.Div64(hi, lo, root)
	return time.Duration(q)
}
