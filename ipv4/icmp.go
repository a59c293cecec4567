package ipv4

import (
	"encoding/binary"
	"strconv"

	"example.com/loopback/ipv4/checksum"
)

// ICMPHeaderLen is the length in bytes of what precedes the data of every message.
const ICMPHeaderLen = 8

// ICMPType is the type of an ICMP message (RFC 792).
type ICMPType uint8

// The message types that the stack knows.
const (
	ICMPEchoReply        ICMPType = 0
	ICMPDestUnreachable  ICMPType = 3
	ICMPSourceQuench     ICMPType = 4 // deprecated by RFC 6633: accepted and ignored
	ICMPRedirect         ICMPType = 5
	ICMPEchoRequest      ICMPType = 8
	ICMPTimeExceeded     ICMPType = 11
	ICMPParameterProblem ICMPType = 12
	ICMPTimestamp        ICMPType = 13
	ICMPTimestampReply   ICMPType = 14
)

// Codes of ICMPDestUnreachable (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1).
const (
	CodeNetUnreachable      = 0
	CodeHostUnreachable     = 1
	CodeProtocolUnreachable = 2
	CodePortUnreachable     = 3
	CodeFragmentationNeeded = 4 // and DF set; carries the MTU of the next hop (RFC 1191)
	CodeSourceRouteFailed   = 5
	CodeNetUnknown          = 6
	CodeHostUnknown         = 7
	CodeHostIsolated        = 8
	CodeNetProhibited       = 9
	CodeHostProhibited      = 10
	CodeNetTOS              = 11
	CodeHostTOS             = 12
	CodeFiltered            = 13 // communication administratively prohibited
	CodePrecedenceViolation = 14
	CodePrecedenceCutoff    = 15
)

// Codes of ICMPTimeExceeded.
const (
	CodeTTLExceeded        = 0
	CodeReassemblyExceeded = 1
)

// Codes of ICMPParameterProblem.
const (
	CodePointer       = 0 // Pointer names the byte to blame
	CodeOptionMissing = 1
	CodeBadLength     = 2
)

// IsError reports whether messages of the type tell of the fate of another
// datagram, which they quote (RFC 1122 §3.2.2).
func (t ICMPType) IsError() bool {
	switch t {
	case ICMPDestUnreachable, ICMPSourceQuench, ICMPRedirect, ICMPTimeExceeded, ICMPParameterProblem:
		return true
	}
	return false
}

// known reports whether the type is one that RFC 1122 makes a host process.
func (t ICMPType) known() bool {
	switch t {
	case ICMPEchoReply, ICMPEchoRequest, ICMPTimestamp, ICMPTimestampReply:
		return true
	}
	return t.IsError()
}

// String names the type as tcpdump does.
func (t ICMPType) String() string {
	switch t {
	case ICMPEchoReply:
		return "echo reply"
	case ICMPDestUnreachable:
		return "unreachable"
	case ICMPSourceQuench:
		return "source quench"
	case ICMPRedirect:
		return "redirect"
	case ICMPEchoRequest:
		return "echo request"
	case ICMPTimeExceeded:
		return "time exceeded"
	case ICMPParameterProblem:
		return "parameter problem"
	case ICMPTimestamp:
		return "time stamp query"
	case ICMPTimestampReply:
		return "time stamp reply"
	}
	return "type-" + strconv.Itoa(int(t))
}

// ICMP is an ICMP message in a form to compute with. Which of the fields
// between Code and Data is on the wire depends on the type; the others are
// zero when parsed and ignored when marshalled.
type ICMP struct {
	Type    ICMPType
	Code    uint8
	ID, Seq uint16  // echo, timestamp: identify a request and its reply
	MTU     uint16  // fragmentation needed: that of the next hop, 0 from routers older than RFC 1191
	Pointer uint8   // parameter problem: offset of the byte to blame in the quoted packet
	Gateway [4]byte // redirect: the better first hop
	Data    []byte  // what follows the first 8 bytes: echo data, timestamps, or the quoted packet
}

// ParseICMP checks an ICMP message, the whole payload of a datagram: its
// length, its checksum unless trusted, its type, and that an error quotes at
// least a header and 8 bytes. Data aliases b.
func ParseICMP(b []byte, trusted bool) (m ICMP, why Reason) {
	if len(b) < ICMPHeaderLen {
		return ICMP{}, ReasonICMPShort
	}
	if !trusted && checksum.Fold(checksum.Sum(b, 0)) != 0xffff {
		return ICMP{}, ReasonICMPChecksum
	}
	m = ICMP{Type: ICMPType(b[0]), Code: b[1], Data: b[ICMPHeaderLen:]}
	if !m.Type.known() {
		return ICMP{}, ReasonICMPType
	}
	if m.Type.IsError() {
		if len(m.Data) < MinHeaderLen || len(m.Data) < quotedHeaderLen(m.Data)+8 {
			return ICMP{}, ReasonICMPQuote
		}
	}
	switch m.Type {
	case ICMPEchoReply, ICMPEchoRequest, ICMPTimestamp, ICMPTimestampReply:
		m.ID, m.Seq = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	case ICMPDestUnreachable:
		if m.Code == CodeFragmentationNeeded {
			m.MTU = binary.BigEndian.Uint16(b[6:])
		}
	case ICMPParameterProblem:
		if m.Code == CodePointer {
			m.Pointer = b[4]
		}
	case ICMPRedirect:
		m.Gateway = [4]byte(b[4:8])
	}
	return m, OK
}

// Len returns the length in bytes of the message that Marshal writes.
func (m *ICMP) Len() int { return ICMPHeaderLen + len(m.Data) }

// Marshal writes the message, checksum included, to the start of b, which must
// have room for Len bytes, and returns that length. Data may already be in its
// place in b. Every byte is written, fields that the type does not use as 0.
func (m *ICMP) Marshal(b []byte) int {
	n := m.Len()
	b = b[:n]
	b[0], b[1] = byte(m.Type), m.Code
	clear(b[2:ICMPHeaderLen])
	switch m.Type {
	case ICMPEchoReply, ICMPEchoRequest, ICMPTimestamp, ICMPTimestampReply:
		binary.BigEndian.PutUint16(b[4:], m.ID)
		binary.BigEndian.PutUint16(b[6:], m.Seq)
	case ICMPDestUnreachable:
		if m.Code == CodeFragmentationNeeded {
			binary.BigEndian.PutUint16(b[6:], m.MTU)
		}
	case ICMPParameterProblem:
		if m.Code == CodePointer {
			b[4] = m.Pointer
		}
	case ICMPRedirect:
		copy(b[4:], m.Gateway[:])
	}
	copy(b[ICMPHeaderLen:], m.Data)
	binary.BigEndian.PutUint16(b[2:], ^checksum.Fold(checksum.Sum(b, 0)))
	return n
}
