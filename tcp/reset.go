package tcp

// Reset builds in out the RST that answers in when there is no connection for it, and reports whether
// one is to be sent: a RST is never answered with a RST (RFC 9293 §3.10.7.1).
//
// The reset carries no data, no options and a zero window. in.Payload.N must be set, because a segment
// without ACK is answered with ACK = SEG.SEQ+SEG.LEN. in and out may not be the same segment.
func Reset(in *Segment, out *Segment) bool {
	if in.Flags&RST != 0 {
		return false
	}
	*out = Segment{SrcPort: in.DstPort, DstPort: in.SrcPort, Cause: CauseReset}
	if in.Flags&ACK != 0 {
		// "If the ACK bit is on, <SEQ=SEG.ACK><CTL=RST>"
		out.Seq = in.Ack
		out.Flags = RST
		return true
	}
	// "If the ACK bit is off, sequence number zero is used, <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"
	out.Ack = in.End()
	out.Flags = RST | ACK
	return true
}
