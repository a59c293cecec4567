package tcp

import (
	"sort"
	"time"
)

// oooSeg is text, or a FIN, that arrived before what precedes it.
type oooSeg struct {
	seq, end Seq // end counts the FIN
	fin      bool
	payload  Payload
}

// oooQueue holds what came out of order (RFC 9293 §3.10.7.4: "Segments with higher beginning sequence numbers
// SHOULD be held for later processing", SHLD-31), sorted and without overlaps, and what is reported about it.
type oooQueue struct {
	segs  []oooSeg
	bytes int
	size  int      // memory, with Params.Wire
	sack  [4]Range // blocks to report, the latest first (RFC 2018 §4)
	nsack int
	old   [4]Range // with nold: the blocks of the ACK that must leave before what arrived last is reported
	nold  int
}

func (q *oooQueue) len() int { return len(q.segs) }

func (q *oooQueue) release() {
	for i := range q.segs {
		q.segs[i].payload.Release()
	}
	*q = oooQueue{}
}

// outOfOrder keeps a segment that begins beyond RCV.NXT, as far as the buffer and the window have room.
func (t *TCB) outOfOrder(now time.Duration, in *Segment) {
	t.ecnCheckCE(in)
	x := t.needExtra()
	x.early += uint16(min(1, 65535-int(x.early)))
	if t.ooo == nil {
		t.ooo = new(oooQueue)
	}
	q := t.ooo
	t.ack.schedule()
	if t.ack.cause == CauseNone {
		t.ack.cause = CauseDupAck
	}
	if t.charge() > int(t.rcvLimit) && !t.growBuffer() {
		t.pruneOOO(int(t.rcvLimit))
		if len(q.segs) == 0 || in.Seq.After(q.segs[len(q.segs)-1].end) {
			t.env.stats.TCPOFODrop.Add(1)
			t.dropped(now, in, DropOutOfOrder)
			return
		}
	}
	t.measureRcvMSS(in)
	t.env.stats.TCPOFOQueue.Add(1)
	seg := oooSeg{seq: in.Seq, end: in.End(), fin: in.Flags&FIN != 0, payload: in.Payload}
	if !t.insertOOO(q, seg) {
		t.env.stats.TCPOFOMerge.Add(1)
		t.dropped(now, in, DropDuplicate)
	} else if t.has(fSACK) && in.Payload.N >= 128 {
		t.growWindow(in.Payload.N)
	}
	if t.has(fSACK) {
		r := Range{in.Seq, in.End()}
		if t.ack.held > 0 && q.place(r) >= sackBlocksExpected {
			q.old, q.nold = q.sack, q.nsack
			t.ack.now(CauseDupAck)
			t.ack.held = 0
			t.disarmCompress()
		}
		q.report(r)
	}
}

// sackBlocksExpected is how many blocks one ACK reports reliably, the ACK that was held back among them: before a
// third appears it must leave, as Linux has it.
const sackBlocksExpected = 2

// insertOOO puts seg where it belongs, retaining its payload. Where it overlaps what is there, what came
// first stays at the left and what is covered completely goes; the overlap is reported as a duplicate.
// It returns false when seg was nothing new.
func (t *TCB) insertOOO(q *oooQueue, seg oooSeg) bool {
	i := len(q.segs)
	if i > 0 && seg.seq.Before(q.segs[i-1].end) {
		i = sort.Search(len(q.segs), func(i int) bool { return q.segs[i].end.After(seg.seq) })
	}
	// The segment at i is the first that ends behind seg.seq.
	if i < len(q.segs) && q.segs[i].seq.AtOrBefore(seg.seq) {
		left := &q.segs[i]
		if seg.end.AtOrBefore(left.end) {
			t.setDSACK(seg.seq, seg.end)
			return false
		}
		if left.seq != seg.seq {
			t.setDSACK(seg.seq, left.end)
			if seg.trimTo(left.end); seg.seq == seg.end {
				return false
			}
			i++
		}
	}
	// Segments that seg covers go; of the one it reaches into, seg keeps what comes before.
	j := i
	for ; j < len(q.segs) && q.segs[j].seq.Before(seg.end); j++ {
		right := &q.segs[j]
		if seg.end.Before(right.end) {
			t.extendDSACK(right.seq, seg.end)
			seg.cutAt(right.seq)
			break
		}
		t.extendDSACK(right.seq, right.end)
		t.env.stats.TCPOFOMerge.Add(1)
		q.bytes -= right.payload.N
		q.size -= t.segmentSize(right.payload.N)
		right.payload.Release()
	}
	if seg.seq == seg.end {
		q.replace(i, j)
		return false
	}
	seg.payload.Retain()
	q.bytes += seg.payload.N
	q.size += t.segmentSize(seg.payload.N)
	q.replace(i, j, seg)
	return true
}

// replace puts segs in the place of q.segs[i:j].
func (q *oooQueue) replace(i, j int, segs ...oooSeg) {
	d := len(segs) - (j - i)
	switch {
	case d > 0: // exactly one more
		q.segs = append(q.segs, oooSeg{})
		copy(q.segs[i+1:], q.segs[i:])
	case d < 0:
		n := copy(q.segs[j+d:], q.segs[j:])
		clear(q.segs[j+d+n:])
		q.segs = q.segs[:j+d+n]
	}
	copy(q.segs[i:], segs)
}

// trimTo drops what comes before seq.
func (s *oooSeg) trimTo(seq Seq) {
	n := int(seq.Sub(s.seq))
	s.payload = s.payload.Slice(n, s.payload.N)
	s.seq = seq
}

// cutAt drops what comes from seq on.
func (s *oooSeg) cutAt(seq Seq) {
	n := int(seq.Sub(s.seq))
	s.payload = s.payload.Slice(0, min(n, s.payload.N))
	s.end = seq
	s.fin = false
}

// drainOOO takes over what has become in order.
func (t *TCB) drainOOO(now time.Duration) {
	q := t.ooo
	n := 0
	dsackHigh := t.rcv.nxt
	for n < len(q.segs) && !q.segs[n].seq.After(t.rcv.nxt) {
		s := q.segs[n]
		n++
		q.bytes -= s.payload.N
		q.size -= t.segmentSize(s.payload.N)
		if s.seq.Before(dsackHigh) {
			t.extendDSACK(s.seq, s.end.Min(dsackHigh))
		}
		if s.end.After(t.rcv.nxt) {
			p := s.payload.Slice(int(t.rcv.nxt.Sub(s.seq)), s.payload.N)
			if p.N > 0 {
				t.takeText(&p, nil)
			}
			s.payload.Release()
			if s.fin {
				q.segs = q.segs[:copy(q.segs, q.segs[n:])]
				t.inputFIN(now)
				t.ack.now(CauseAck) // the gap is filled
				return
			}
		} else {
			s.payload.Release()
		}
	}
	if n > 0 {
		k := copy(q.segs, q.segs[n:])
		clear(q.segs[k:])
		q.segs = q.segs[:k]
	}
	if len(q.segs) == 0 {
		// "A TCP receiver SHOULD send an immediate ACK when it receives a segment that fills in all or part of
		// a gap in the sequence space" (RFC 5681 §4.2).
		t.ack.now(CauseAck)
		t.ooo = nil
		return
	}
	q.forget(t.rcv.nxt)
}

// pruneOOO drops segments from the highest on until the buffer charges at most limit. The peer must not rely
// on SACKed data being kept (RFC 2018 §8).
func (t *TCB) pruneOOO(limit int) {
	q := t.ooo
	if t.charge() <= limit {
		return
	}
	t.env.stats.OfoPruned.Add(1)
	for len(q.segs) > 0 && t.charge() > limit {
		last := &q.segs[len(q.segs)-1]
		q.bytes -= last.payload.N
		q.size -= t.segmentSize(last.payload.N)
		last.payload.Release()
		*last = oooSeg{}
		q.segs = q.segs[:len(q.segs)-1]
	}
	q.nsack = 0 // start afresh: blocks may no longer be true
	for i := range q.segs {
		q.report(Range{q.segs[i].seq, q.segs[i].end})
	}
}

// report notes that r arrived: "The first SACK block ... MUST specify the contiguous block of data containing
// the segment which triggered this ACK" (RFC 2018 §4).
func (q *oooQueue) report(r Range) {
	for i := 0; i < q.nsack; i++ {
		b := q.sack[i]
		if r.Start.After(b.End) || b.Start.After(r.End) {
			continue
		}
		r = Range{r.Start.Min(b.Start), r.End.Max(b.End)}
		copy(q.sack[i:], q.sack[i+1:q.nsack])
		q.nsack--
		i = -1 // the joined block may touch others
	}
	n := min(q.nsack, len(q.sack)-1)
	copy(q.sack[1:], q.sack[:n])
	q.sack[0] = r
	q.nsack = n + 1
}

// place returns which block r belongs to; nsack: to none.
func (q *oooQueue) place(r Range) int {
	for i, b := range q.sack[:q.nsack] {
		if !r.Start.After(b.End) && !b.Start.After(r.End) {
			return i
		}
	}
	return q.nsack
}

// blocks are those that the next ACK reports.
func (q *oooQueue) blocks() []Range {
	if q.nold > 0 {
		return q.old[:q.nold]
	}
	return q.sack[:q.nsack]
}

// forget drops the blocks below nxt.
func (q *oooQueue) forget(nxt Seq) {
	n := 0
	for _, b := range q.sack[:q.nsack] {
		if b.Start.After(nxt) {
			q.sack[n] = b
			n++
		}
	}
	q.nsack = n
}

// setDSACK notes that [start, end) arrived twice (RFC 2883), to be reported with the next ACK.
func (t *TCB) setDSACK(start, end Seq) {
	if !t.has(fSACK) || t.env.cfg.DSACK != On {
		return
	}
	if start.Before(t.rcv.nxt) {
		t.env.stats.TCPDSACKOldSent.Add(1)
	} else {
		t.env.stats.TCPDSACKOfoSent.Add(1)
	}
	t.flags |= fDSACK
	t.needExtra().dsack = Range{start, end}
}

// extendDSACK is setDSACK, or makes the report larger when it touches.
func (t *TCB) extendDSACK(start, end Seq) {
	if !t.has(fDSACK) {
		t.setDSACK(start, end)
		return
	}
	d := &t.extra.dsack
	if !start.After(d.End) && !d.Start.After(end) {
		*d = Range{d.Start.Min(start), d.End.Max(end)}
	}
}

// numSACKs returns how many blocks the next segment carries.
func (t *TCB) numSACKs() int {
	n := 0
	if t.has(fDSACK) {
		n++
	}
	if t.ooo != nil && t.has(fSACK) {
		n += len(t.ooo.blocks())
	}
	if t.has(fTS) {
		return min(n, 3)
	}
	return min(n, 4)
}

// fillSACK writes the blocks of the next segment, a report of a duplicate first.
func (t *TCB) fillSACK(o *Options) {
	n := 0
	if t.has(fDSACK) {
		t.flags &^= fDSACK
		o.SACK[0] = t.extra.dsack
		n = 1
	}
	if t.ooo != nil && t.has(fSACK) {
		n += copy(o.SACK[n:], t.ooo.blocks())
	}
	if t.has(fTS) {
		n = min(n, 3)
	}
	o.NSACK = uint8(n)
}
