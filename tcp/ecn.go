package tcp

// Explicit congestion notification (RFC 3168 §6.1).

type ecnFlags uint8

const (
	ecnOK        ecnFlags = 1 << iota // both ends agreed
	ecnQueueCWR                       // the next new segment carries CWR
	ecnDemandCWR                      // a CE mark came: ACKs carry ECE until the peer says CWR
	ecnSeen                           // the peer marks its segments as ECN-capable
)

// ecnData marks a segment with new text as ECN-capable, and announces a reduction of the window: "the TCP
// sender sets the CWR flag in the TCP header of the first new data packet sent after the window reduction"
// (§6.1.2). Retransmissions and pure ACKs are not ECN-capable (§6.1.4, §6.1.5).
func (t *TCB) ecnData(out *Segment) {
	if t.ecn&ecnOK == 0 {
		return
	}
	out.ECN = ECNECT0
	if t.ecn&ecnQueueCWR != 0 {
		t.ecn &^= ecnQueueCWR
		out.Flags |= CWR
	}
}

// queueCWR announces a reduction.
func (t *TCB) queueCWR() {
	if t.ecn&ecnOK != 0 {
		t.ecn |= ecnQueueCWR
	}
}

// ecnCheckCE looks at the IP header of a segment with text: "When TCP receives a CE data packet ..., the TCP
// receiver sets the ECN-Echo flag in the TCP header of the subsequent ACK packet" (§6.1.3).
func (t *TCB) ecnCheckCE(in *Segment) {
	if t.ecn&ecnOK == 0 {
		return
	}
	switch in.ECN {
	case ECNNot:
		if t.ecn&ecnSeen != 0 {
			t.enterQuickAck(2) // probably a retransmission
		}
	case ECNCE:
		if t.ecn&ecnDemandCWR == 0 {
			t.enterQuickAck(2) // the sender's window may be very small
			t.ecn |= ecnDemandCWR
		}
		t.ecn |= ecnSeen
	default:
		t.ecn |= ecnSeen
	}
}

// ecnAcceptCWR: "when the receiver receives a CWR packet, ... it stops setting the ECN-Echo flag" (§6.1.3).
func (t *TCB) ecnAcceptCWR(in *Segment) {
	if in.Flags&CWR == 0 || t.ecn&ecnOK == 0 {
		return
	}
	t.ecn &^= ecnDemandCWR
	if in.SeqLen() > 0 {
		t.ack.now(CauseAck)
	}
}
