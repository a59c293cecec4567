package tcp

import "time"

// A loan saves the copy from the user's memory to the send queue: the queue refers to what the user writes, and so do
// the segments that Output gives, for as long as the user waits for them to arrive. It is for those who move the segments
// themselves, and at once. Text that has not been acknowledged by then is copied after all.

// shyFor is how many times MayLend says no after two loans in a row that were for nothing.
const shyFor = 16

// MayLend reports whether Lend is worth a try for n bytes: nothing is the matter, nothing is outstanding, all of it may
// leave at once in several segments, and loans have been acknowledged in time of late. Call it once for each Lend.
func (t *TCB) MayLend(n int) bool {
	if !t.calm() || t.force != 0 || t.nonagle&nagleCork != 0 || t.snd.una != t.snd.end || n < 2*int(t.mss) ||
		n > int(t.snd.wnd) || n > int(t.sndLimit) || t.env.cfg.NotsentLowat != 0 {
		return false
	}
	if t.snd.shy > 1 {
		t.snd.shy--
		return false
	}
	return true
}

// LoanSize returns how large the next loan should be at most, in bytes: unit, doubled as often as LoanTaken said.
func (t *TCB) LoanSize(unit int) int { return unit << t.snd.grown }

// LoanTaken tells how many bytes the peer's user had room for when a loan of n bytes came that he has taken in one piece; 0 if he
// has not. The next loan may be twice as large if this one was as large as it should be, the user has room for as much, and
// it may leave at once and is not more than most. A send buffer that is too small for that grows, as it would for a user who had to wait for room. If it
// was not taken the next is of unit bytes.
func (t *TCB) LoanTaken(n, room, unit, most int) {
	switch {
	case room < n:
		t.snd.grown = 0
	case n == t.LoanSize(unit) && 2*n <= min(most, room, int(t.snd.wnd), int(t.cong.Cwnd)*int(t.mss)):
		if 2*n > int(t.sndLimit) {
			t.expandSndbuf()
		}
		if 2*n <= int(t.sndLimit) {
			t.snd.grown++
		}
	}
}

// Lend is Write, or WriteMore if more is true, of all of p without a copy, where MayLend has just said that it is worth a try:
// p must not change before EndLoan was called. Until then the Payload of segments that Output gives may be
// Lent, and what it refers to is p. spares is the caller's, nil if he has none.
func (t *TCB) Lend(now time.Duration, p []byte, more bool, spares *Spares) {
	s, goal := &t.needX(spares).snd, t.sizeGoal()
	t.restartAfterIdle(now)
	for n := 0; n < len(p); {
		left := s.left(t.snd.nxt, t.snd.end, goal)
		k := min(len(p)-n, left)
		s.lend(t.snd.end, p[n:n+k])
		n += k
		t.snd.end = t.snd.end.Add(uint32(k))
		if k == left {
			t.pushRun(n == len(p) && !more)
		}
	}
	t.written(more)
}

// EndLoan makes all that was lent and is not acknowledged TCP's own. No segment may refer to what was lent any more.
func (t *TCB) EndLoan() {
	switch n := t.dropLoan(); {
	case n < int(t.mss): // a rest, for which no ACK is due yet
		t.snd.shy = 0
	case t.snd.shy == 0: // chance, perhaps
		t.snd.shy = 1
	default: // most likely nobody waits for the text
		t.snd.shy = shyFor + 1
	}
}

// LoanOver is EndLoan and TakeEvents if all that was lent has been acknowledged, and nothing else has come of that. It returns
// false, and has done nothing, when that is not so.
func (t *TCB) LoanOver() bool {
	if t.snd.una != t.snd.end || t.events&^EvSent != 0 || !t.Quiet() {
		return false
	}
	t.snd.shy, t.events = 0, 0
	return true
}

func (t *TCB) dropLoan() int {
	if t.x == nil {
		return 0
	}
	return t.queues().snd.endLoan(t.env.alloc, t.snd.una)
}
