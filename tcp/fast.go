package tcp

// The common case in one piece: an established connection with which nothing is the matter, the next segment in
// order, one that acknowledges what is outstanding. It does what input.go, ack.go, input_data.go and output.go
// do, which say why; all that is left out are the questions whose answers are known ("header prediction", Van Jacobson,
// 1990). A segment that is not such a one is left untouched for the others. TestFastPath compares the two.

// mood is the first eight fields in one word, the first lowest: one load, of which one comparison asks many questions.
func (t *TCB) mood() uint64 {
	return uint64(t.state) | uint64(t.caState)<<8 | uint64(t.ecn)<<16 | uint64(t.retransmits)<<24 |
		uint64(t.nonagle)<<32 | uint64(t.rackFlags)<<40 | uint64(t.force)<<48 | uint64(t.err)<<56
}

// atRest is mood where nothing is the matter.
const atRest = uint64(StateEstablished)

// Bits of mood.
const (
	moodGrave = 0xffffffff              // state, caState, ecn, retransmits
	moodMore  = uint64(nagleMore) << 32 // more text was announced
	moodCork  = uint64(nagleCork) << 32 // small segments are held back
	moodProbe = uint64(rackTLP) << 40   // a tail loss probe is out
	moodForce = uint64(0xff) << 48      // Output is forced to send something
)

// steady reports whether nothing is the matter and nothing waits to be sent or keeps text from leaving at once but the
// windows.
func (t *TCB) steady() bool {
	return t.snd.nxt == t.snd.end && t.mood()&(moodGrave|moodMore|moodCork|moodProbe|moodForce) == atRest && t.plain(unquiet) && t.ack.pending&ackNow == 0 &&
		t.env.cfg.NotsentLowat == 0
}

// Dialogue reports whether what comes next may be an answer for TakeLone, though no Input has set Steady: what is outstanding is
// a text of SendLone's, since which nothing has arrived, the user is used to answer, and nothing else is the matter. If
// TakeLone takes it that is as good as an Input that set Steady.
func (t *TCB) Dialogue() bool {
	a := &t.ack
	return t.snd.lone.out() && t.steady() && t.Readable() == 0 && t.wire() == nil && t.inPingpong() &&
		a.pending == 0 && t.timers.left[slotAck] == 0 && a.ato != 0 && a.ato <= t.env.delackMin
}

// calm reports whether nothing is the matter with the connection.
func (t *TCB) calm() bool {
	return t.state == StateEstablished && t.caState == CAOpen && t.ecn == 0 && t.retransmits == 0 && t.plain(0)
}

// plain is the part of calm that is no mood, for those for whom the flags in more are something, too.
func (t *TCB) plain(more tcbFlags) bool {
	const want = fTS | fTSRecent | fSACK
	const odd = fRcvShut | fOrphan | fDSACK | fUrgent | fUrgentIn | fFastOpen | fDetached | fEOR | fFinQueued | fReset | fPushNext
	return t.flags&(want|odd|more) == want && t.rec == nil && t.ooo == nil && t.opt == nil && !t.env.full
}
