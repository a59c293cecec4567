package tcp

import (
	"sort"
	"time"
)

// txSeg is a segment that was sent and is not cumulatively acknowledged: an entry of the retransmission
// queue. Its text lies in the send buffer.
type txSeg struct {
	sent     time.Duration // when it was sent last
	seq, end Seq           // end counts SYN and FIN
	nth      uint32        // how many segments had arrived then: the order of what was sent at the same time
	marks    txMarks
	why      Cause // with markLost: how that became known
}

type txMarks uint8

const (
	markSACKed  txMarks = 1 << iota // the peer has it (RFC 2018)
	markLost                        // deemed lost and not sent again since
	markRetrans                     // a retransmission is in flight
	markEver                        // was ever retransmitted (Karn)
	markSYN
	markFIN
	markPSH
	markRun // last of a run of segments, see startRun
)

// is reports whether all marks in m are set.
func (s *txSeg) is(m txMarks) bool { return s.marks&m == m }

// sentAfter reports whether one transmission came after another (RFC 8985 §6.1, RACK_sent_after).
// In virtual time much happens at once: what an earlier arrival let out was sent earlier.
func sentAfter(t1, t2 time.Duration, n1, n2 uint32, end1, end2 Seq) bool {
	if t1 != t2 {
		return t1 > t2
	}
	if n := int32(n1 - n2); n != 0 {
		return n > 0
	}
	return end1.After(end2)
}

// inFlight returns how many segments are thought to be in the network: sent, neither SACKed nor lost,
// and retransmissions (the "pipe" of RFC 6675 in segments).
func (t *TCB) inFlight() int {
	n := t.packetsOut()
	if r := t.rec; r != nil {
		n += r.retrans - r.sacked - r.lost
	}
	return n
}

// synOut reports whether our SYN waits for its ACK.
func (t *TCB) synOut() bool { return t.packetsOut() > 0 && t.txq()[0].is(markSYN) }

// findTx returns the index of the entry that holds seq or comes first after it.
func (t *TCB) findTx(seq Seq) int {
	q := t.txq()
	return sort.Search(len(q), func(i int) bool { return q[i].end.After(seq) })
}

// splitTx cuts the i-th entry in two at seq, which lies inside. PSH and FIN stay with the second.
func (t *TCB) splitTx(i int, seq Seq) {
	first := &t.txq()[i]
	second := *first
	second.seq = seq
	second.marks &^= markSYN
	first.end = seq
	first.marks &^= markFIN | markPSH | markRun
	if r := t.rec; r != nil {
		r.count(first.marks, +1)
	}
	t.queues().rtx.insert(i+1, second)
}

// trimTx drops from the first entry what was acknowledged of it, and reports whether there was something.
func (t *TCB) trimTx() bool {
	if t.packetsOut() == 0 || !t.txq()[0].seq.Before(t.snd.una) {
		return false
	}
	head := &t.txq()[0]
	head.seq = t.snd.una
	head.marks &^= markSYN
	return true
}

// joinTx makes the i-th entry take over small ones behind it as long as all fits into room bytes:
// repacketization (RFC 9293 §3.8.6.2.1; Linux's tcp_retrans_collapse).
func (t *TCB) joinTx(i, room int) {
	q := t.txq()
	first := &q[i]
	if t.env.cfg.RetransCollapse != On || first.marks&(markSYN|markFIN|markSACKed) != 0 {
		return
	}
	room -= int(first.end.Sub(first.seq))
	wndEnd := t.snd.una.Add(t.snd.wnd)
	j := i + 1
	for ; j < len(q) && !t.endsRecord(q[j-1].end); j++ {
		s := &q[j]
		n := int(s.end.Sub(s.seq))
		if s.is(markFIN) {
			n--
		}
		if s.marks&(markSACKed|markSYN) != 0 || n > room || n == 0 && !s.is(markFIN) || s.end.After(wndEnd) {
			break
		}
		room -= n
		t.rec.count(s.marks, -1)
		first.end = s.end
		first.marks |= s.marks & (markFIN | markPSH | markEver)
		if s.is(markFIN) {
			j++
			break
		}
	}
	if j > i+1 {
		t.queues().rtx.remove(i+1, j)
	}
}

// fillTx lets the first entry, of which a part was acknowledged, take text from the next one of its run, so that
// a full segment of n bytes is sent again.
func (t *TCB) fillTx(n int) {
	q := t.txq()
	if len(q) < 2 || t.env.cfg.GSOMaxSegs == 1 { // no runs: every segment is one by itself
		return
	}
	a, b := &q[0], &q[1]
	const odd = markSYN | markFIN | markSACKed | markRetrans
	if a.marks&(odd|markRun|markPSH) != 0 || b.marks&odd != 0 || a.is(markLost) != b.is(markLost) {
		return
	}
	if k := min(n-int(a.end.Sub(a.seq)), int(b.end.Sub(b.seq))-1); k > 0 {
		a.end = a.end.Add(uint32(k))
		b.seq = a.end
	}
}

// recovery is the scoreboard and the state of loss recovery. It exists while something is SACKed, lost
// or retransmitted, and until the recovery that followed is over.
type recovery struct {
	sacked, lost, retrans int // entries of the retransmission queue with these marks

	high        Seq           // SND.NXT when the present episode began ("recover" of RFC 6582)
	undoMarker  Seq           // SND.UNA when the window was reduced; with canUndo
	fack        Seq           // highest SACKed number, valid while sacked > 0
	hint        Seq           // no lost entry to be sent again lies before
	rexmitAt    time.Duration // when the first retransmission of this episode was sent; with stamped
	again       Seq           // end of the segment retransmitted last
	undoRetrans int           // retransmissions that may yet prove unnecessary; -1: none was made
	prior       uint32        // cwnd when PRR began (RFC 6937)
	delivered   uint32        // prr_delivered
	out         uint32        // prr_out

	canUndo bool
	stamped bool
	frto    bool // F-RTO is waiting for evidence (RFC 5682)
	reneged bool // the peer dropped what it had SACKed
	rexmit  rexmitMode
}

type rexmitMode uint8

const (
	rexmitNone rexmitMode = iota
	rexmitLost            // send what is marked lost
	rexmitNew             // F-RTO: new data first
)

// count adds n to the counters of the marks m.
func (r *recovery) count(m txMarks, n int) {
	if r == nil {
		return
	}
	if m&markSACKed != 0 {
		r.sacked += n
	}
	if m&markLost != 0 {
		r.lost += n
	}
	if m&markRetrans != 0 {
		r.retrans += n
	}
}

// needRec returns t.rec, made if there was none.
func (t *TCB) needRec() *recovery {
	if t.rec == nil {
		t.rec = &recovery{high: t.snd.una, hint: t.snd.una, undoRetrans: -1}
	}
	return t.rec
}

// dropRec forgets the scoreboard when nothing is on it and nothing can be undone.
func (t *TCB) dropRec() {
	if r := t.rec; r != nil && t.caState == CAOpen && r.sacked|r.lost|r.retrans == 0 && !r.canUndo {
		t.rec = nil
	}
}

// markLostTx marks s as lost. why is what it will be sent again for.
func (t *TCB) markLostTx(now time.Duration, s *txSeg, why Cause) {
	r := t.needRec()
	if s.is(markLost) {
		if s.is(markRetrans) {
			s.why = why
			// The retransmission was lost too.
			s.marks &^= markRetrans
			r.retrans--
			t.env.stats.TCPLostRetransmit.Add(1)
			t.total.lost++
			r.hintAt(s.seq)
			t.tellLost(now, s)
		}
		return
	}
	if s.is(markSACKed) {
		return
	}
	if s.is(markRetrans) {
		s.marks &^= markRetrans
		r.retrans--
		t.env.stats.TCPLostRetransmit.Add(1)
	}
	s.marks |= markLost
	s.why = why
	r.lost++
	t.total.lost++
	r.hintAt(s.seq)
	t.tellLost(now, s)
}

// hintAt notes that the entry at seq is to be sent again.
func (r *recovery) hintAt(seq Seq) {
	r.hint = r.hint.Min(seq)
}

func (t *TCB) tellLost(now time.Duration, s *txSeg) {
	if t.env.observer != nil {
		t.env.observer.Event(t, Event{Kind: EventLost, Now: now, Cause: s.why, Range: Range{s.seq, s.end}})
	}
}
