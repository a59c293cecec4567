package tcp

// Segment is one TCP segment in host form: ParseHeader fills it from the wire, MarshalHeader writes
// its header. It is meant to be reused; nothing in it is allocated.
type Segment struct {
	SrcPort, DstPort uint16
	Seq              Seq    // sequence number of the first byte, or of the SYN
	Ack              Seq    // next number the sender of the segment expects; valid with the ACK bit
	Flags            Flags  // control bits
	Wnd              uint16 // window as it stands on the wire, not scaled
	Urg              uint16 // urgent pointer; valid with the URG bit
	Opts             Options
	Payload          Payload
	ECN              uint8 // IP ECN codepoint (RFC 3168 §5): as received, or to send
	Cause            Cause // output only: why the segment is sent

	// Into is for the caller of Input to set when the user is waiting for text: where it may go. Taken
	// says how much went there, which the user has read then.
	Into  []byte
	Taken int
	// Steady is for Input to set when in was one of a dialogue in which nothing is the matter, the user having its text.
	// The caller may set it for the next one if meanwhile he called nothing but SendLone, TakeLone and ReadKept: then what cannot have changed
	// is not asked again. No events but EvReadable and EvSent come of it. The same goes for Lone, in the place of which LoneSteady may be asked.
	Steady bool
	// Spares is for the caller of Input, Output or Passive to set who has some.
	Spares *Spares
}

// SeqLen returns SEG.LEN: the sequence numbers the segment occupies, counting SYN and FIN
// (RFC 9293 §3.4).
func (s *Segment) SeqLen() uint32 {
	n := uint32(s.Payload.N)
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return n
}

// End returns the sequence number just behind the segment: SEG.SEQ+SEG.LEN.
func (s *Segment) End() Seq { return s.Seq.Add(s.SeqLen()) }

// ECN codepoints of the IP header (RFC 3168 §5).
const (
	ECNNot  = 0b00 // the transport does not understand ECN
	ECNECT1 = 0b01 // ECN-capable, codepoint 1
	ECNECT0 = 0b10 // ECN-capable, codepoint 0: what TCP sends
	ECNCE   = 0b11 // congestion experienced
)

// Cause says why a segment was sent, for observers, traces and counters.
type Cause uint8

// The causes.
const (
	CauseNone               Cause = iota // not said
	CauseSYN                             // active open
	CauseSYNACK                          // answer to a SYN
	CauseNewData                         // data, or a FIN, sent for the first time
	CauseNewFRTO                         // data sent for the first time, to see whether a timeout was spurious (RFC 5682)
	CauseNewTLP                          // data sent for the first time, as a tail loss probe (RFC 8985 §7.3)
	CauseNewMTUProbe                     // data sent for the first time, in a segment larger than others (RFC 4821)
	CauseRetransmitSYN                   // SYN or SYN-ACK again: no answer in time, or the peer's SYN came again; or the data of a SYN, which the SYN-ACK did not take
	CauseRetransmitRTO                   // retransmission timer expired (RFC 6298 §5.4)
	CauseRetransmitLoss                  // behind what timed out, sent in slow start after it (RFC 5681 §3.1)
	CauseRetransmitFast                  // duplicate or partial ACKs (RFC 5681 §3.2, RFC 6582, RFC 6675)
	CauseRetransmitRACK                  // a segment sent later was delivered (RFC 8985 §6)
	CauseRetransmitTLP                   // tail loss probe (RFC 8985 §7)
	CauseRetransmitPMTU                  // too large for the path, as ICMP says (RFC 1191, RFC 8201)
	CauseRetransmitReneging              // the peer dropped what it had SACKed (RFC 2018 §8)
	CauseRetransmitProbe                 // into a window that was closed over it: a probe (RFC 9293 §3.8.6)
	CauseProbe                           // zero-window probe (RFC 9293 §3.8.6.1)
	CauseKeepalive                       // keep-alive probe (RFC 9293 §3.8.4)
	CauseAck                             // immediate acknowledgment
	CauseDelayedAck                      // delayed acknowledgment timer expired
	CauseDupAck                          // out-of-order or duplicate data came (RFC 5681 §4.2)
	CauseChallengeAck                    // RFC 5961 challenge ACK
	CauseWindowUpdate                    // the reader made room
	CauseReset                           // connection aborted, or a segment without a connection
	CauseTimeWait                        // acknowledgment from TIME-WAIT
	numCauses
)

var causeNames = [numCauses]string{
	"none", "syn", "syn-ack", "new-data", "new-frto", "new-tlp", "new-mtu-probe", "retransmit-syn", "retransmit-rto", "retransmit-loss",
	"retransmit-fast", "retransmit-rack", "retransmit-tlp", "retransmit-pmtu", "retransmit-reneging",
	"retransmit-probe", "probe", "keepalive", "ack", "delayed-ack", "dup-ack", "challenge-ack",
	"window-update", "reset", "time-wait",
}

// Retransmission reports whether the segment was sent before, and c says why again.
func (c Cause) Retransmission() bool { return c >= CauseRetransmitSYN && c <= CauseRetransmitProbe }

// String returns a short lower-case name such as "retransmit-fast".
func (c Cause) String() string {
	if c < numCauses {
		return causeNames[c]
	}
	return "cause(?)"
}
