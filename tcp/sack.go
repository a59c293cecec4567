package tcp

import "time"

// The sender's side of SACK: the scoreboard (RFC 2018 §5, RFC 6675) and reports of duplicates (RFC 2883).

// fack returns the number behind the highest SACKed byte; SND.UNA when there is none.
func (t *TCB) fack() Seq {
	if t.rec == nil || t.rec.sacked == 0 || !t.has(fSACK) {
		return t.snd.una
	}
	return t.rec.fack
}

// takeSACK enters the blocks of in into the scoreboard. SND.UNA is up to date.
func (t *TCB) takeSACK(in *Segment, a *ackState) {
	r := t.needRec()
	blocks := in.Opts.SACK[:min(int(in.Opts.NSACK), len(in.Opts.SACK))]
	if r.sacked == 0 {
		r.fack = t.snd.una
	}
	report := -1 // the block that reports a duplicate
	if t.takeDSACK(in, blocks, a) {
		report = 0
	}
	// In order of sequence numbers, or later blocks would look like reordering.
	sorted := in.Opts.SACK
	for i := range blocks {
		for j := i; j > 0 && sorted[j].Start.Before(sorted[j-1].Start); j-- {
			sorted[j], sorted[j-1] = sorted[j-1], sorted[j]
			if report == j-1 {
				report = j
			}
		}
	}
	for i, b := range sorted[:len(blocks)] {
		dup := i == report
		if !t.validSACK(b, dup) {
			if !dup {
				t.env.stats.TCPSACKDiscard.Add(1)
			}
			continue
		}
		if b.End.AtOrBefore(t.snd.una) && !dup {
			continue
		}
		t.flags |= fHaveSack
		t.tagSACK(b, dup, a)
	}
	if t.caState != CALoss || r.canUndo {
		t.checkReordering(a.reord, false)
	}
}

// validSACK reports whether a block speaks of something that was sent: beyond SND.UNA and not beyond
// SND.NXT; or for a duplicate below SND.UNA, not too long ago.
func (t *TCB) validSACK(b Range, dsack bool) bool {
	if b.End.After(t.snd.nxt) || !b.Start.Before(b.End) || !b.Start.Before(t.snd.nxt) {
		return false
	}
	if b.Start.After(t.snd.una) {
		return true
	}
	if !dsack || t.rec == nil || !t.rec.canUndo || b.End.After(t.snd.una) {
		return false
	}
	if !b.Start.Before(t.rec.undoMarker) {
		return true
	}
	return b.End.After(t.rec.undoMarker) && !b.Start.Before(b.End-Seq(t.maxWnd))
}

// takeDSACK looks whether the first block reports a duplicate: "the first SACK block ... is below the
// cumulative ACK, or contained in the second" (RFC 2883 §4).
func (t *TCB) takeDSACK(in *Segment, blocks []Range, a *ackState) bool {
	first := blocks[0]
	switch {
	case first.Start.Before(in.Ack):
		t.env.stats.TCPDSACKRecv.Add(1)
	case len(blocks) > 1 && !first.End.After(blocks[1].End) && !first.Start.Before(blocks[1].Start):
		t.env.stats.TCPDSACKOfoRecv.Add(1)
	default:
		return false
	}
	n := t.dsackSeen(first, a)
	if n == 0 {
		t.env.stats.TCPDSACKIgnoredOld.Add(1)
		return false
	}
	r := t.rec
	if r.canUndo && r.undoRetrans > 0 && !first.End.After(a.priorUna) && first.End.After(r.undoMarker) {
		r.undoRetrans = max(r.undoRetrans-n, 0)
	}
	return true
}

// dsackSeen counts the segments that a report of a duplicate stands for; 0: it is not to be believed, as
// more duplicates than retransmissions are not our doing.
func (t *TCB) dsackSeen(b Range, a *ackState) int {
	n := int(b.Len())
	if n == 0 || uint32(n) > t.maxWnd {
		return 0
	}
	dups := 1
	if mss := max(int(t.mss), 1); n > mss {
		dups = (n + mss - 1) / mss
	} else if t.rackFlags&rackTLP != 0 && t.extra.tlpEnd == b.End {
		a.info |= ackDSACKTLP
	}
	x := t.needExtra()
	x.dsacks = uint16(min(int(x.dsacks)+dups, 65535))
	if uint32(x.dsacks) > t.total.retrans {
		return 0
	}
	if t.rackFlags&rackReordSeen != 0 && a.info&ackDSACKTLP == 0 {
		x.reo.dsackSeen = true
	}
	a.info |= ackDSACK
	t.total.delivered += uint32(dups)
	return dups
}

// tagSACK marks the entries that b covers completely.
func (t *TCB) tagSACK(b Range, dup bool, a *ackState) {
	q := t.txq()
	for i := t.findTx(b.Start); i < len(q) && q[i].seq.Before(b.End); i++ {
		s := &q[i]
		if s.seq.Before(b.Start) || s.end.After(b.End) {
			continue
		}
		t.tagOne(s, dup, a)
	}
	if t.rec.sacked > 0 && b.End.After(t.snd.una) {
		t.rec.fack = t.rec.fack.Max(b.End)
	}
}

// tagOne marks one entry.
func (t *TCB) tagOne(s *txSeg, dup bool, a *ackState) {
	r := t.rec
	if dup && s.is(markEver) {
		if r.canUndo && r.undoRetrans > 0 && s.end.After(r.undoMarker) {
			r.undoRetrans--
		}
		if s.is(markSACKed) {
			a.reord = a.reord.Min(s.seq)
		}
	}
	if !s.end.After(t.snd.una) {
		return
	}
	if !s.is(markSACKed) {
		t.tagNew(s, a)
	}
	if dup && s.is(markRetrans) {
		s.marks &^= markRetrans
		r.retrans--
	}
}

// tagNew marks an entry that was not SACKed before.
func (t *TCB) tagNew(s *txSeg, a *ackState) {
	r := t.rec
	t.rackAdvance(s, a.now)
	switch {
	case s.is(markRetrans):
		// If it is not marked lost, the retransmission is still in flight.
		if s.is(markLost) {
			s.marks &^= markLost | markRetrans
			r.lost--
			r.retrans--
		}
	default:
		if !s.is(markEver) {
			// Never retransmitted, and later ones were SACKed before: it came late.
			if s.seq.Before(t.fack()) {
				a.reord = a.reord.Min(s.seq)
			}
			if !s.end.After(r.high) {
				a.info |= ackOrig
			}
			a.sackAt(s.sent)
		}
		if s.is(markLost) {
			s.marks &^= markLost
			r.lost--
		}
	}
	s.marks |= markSACKed
	r.sacked++
	r.fack = r.fack.Max(s.end)
	a.info |= ackSACKed
	t.total.delivered++
}

// sackAt notes the send time of a segment newly SACKed and never retransmitted.
func (a *ackState) sackAt(sent time.Duration) {
	if a.firstSACK == 0 {
		a.firstSACK = sent + 1
	}
	a.lastSACK = sent + 1
}
