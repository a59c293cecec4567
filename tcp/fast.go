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

// calm reports whether nothing is the matter with the connection.
func (t *TCB) calm() bool { return t.calmBut(0) }

// calmBut is calm for those for whom the flags in more are something, too.
func (t *TCB) calmBut(more tcbFlags) bool {
	const want = fTS | fTSRecent | fSACK
	const odd = fRcvShut | fOrphan | fDSACK | fUrgent | fUrgentIn | fFastOpen | fDetached | fEOR | fFinQueued | fReset | fPushNext
	return uint32(t.mood()) == uint32(StateEstablished) && // and CAOpen, no ECN, no timeouts
		t.flags&(want|odd|more) == want && t.rec == nil && t.ooo == nil && t.opt == nil && !t.env.full
}
