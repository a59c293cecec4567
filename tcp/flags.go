package tcp

// Flags are the control bits of a TCP header (RFC 9293 §3.1; ECE and CWR: RFC 3168 §6.1), with the
// values they have on the wire.
type Flags uint8

// The control bits.
const (
	FIN Flags = 1 << iota // no more data from the sender
	SYN                   // synchronize sequence numbers
	RST                   // reset the connection
	PSH                   // push function
	ACK                   // the acknowledgment field is significant
	URG                   // the urgent pointer field is significant
	ECE                   // ECN-Echo
	CWR                   // congestion window reduced
)

// Has reports whether all bits of m are set.
func (f Flags) Has(m Flags) bool { return f&m == m }

// Any reports whether at least one bit of m is set.
func (f Flags) Any(m Flags) bool { return f&m != 0 }

// String prints f as tcpdump does: "S", "S.", "P.", "F.", "R.", "none"; ECE is E, CWR is W.
func (f Flags) String() string {
	if f == 0 {
		return "none"
	}
	const letters = "FSRP.UEW"
	var b [len(letters)]byte
	n := 0
	for i := range len(letters) {
		if f&(1<<i) != 0 {
			b[n] = letters[i]
			n++
		}
	}
	return string(b[:n])
}
