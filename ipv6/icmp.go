package ipv6

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"example.com/loopback/ipv4/checksum"
)

// ICMPHeaderLen is the length in bytes of what precedes the data of every message.
const ICMPHeaderLen = 8

// ICMPType is the type of an ICMPv6 message (RFC 4443 §2.1): below 128 an
// error, which quotes the packet that it is about, else informational.
type ICMPType uint8

// The message types that the stack knows.
const (
	ICMPDestUnreachable  ICMPType = 1
	ICMPPacketTooBig     ICMPType = 2
	ICMPTimeExceeded     ICMPType = 3
	ICMPParameterProblem ICMPType = 4
	ICMPEchoRequest      ICMPType = 128
	ICMPEchoReply        ICMPType = 129
	ICMPRedirect         ICMPType = 137 // RFC 4861: neighbour discovery, never answered by an error
)

// Codes of ICMPDestUnreachable (RFC 4443 §3.1).
const (
	CodeNoRoute            = 0
	CodeProhibited         = 1
	CodeBeyondScope        = 2
	CodeAddressUnreachable = 3
	CodePortUnreachable    = 4
	CodeSourcePolicy       = 5 // source address failed ingress or egress policy
	CodeRejectRoute        = 6
	CodeSourceRoutingError = 7 // RFC 6550 §20.10
)

// Codes of ICMPTimeExceeded (RFC 4443 §3.3).
const (
	CodeHopLimitExceeded   = 0
	CodeReassemblyExceeded = 1
)

// Codes of ICMPParameterProblem (RFC 4443 §3.4, RFC 7112 §5).
const (
	CodeErroneousField    = 0
	CodeUnknownNextHeader = 1
	CodeUnknownOption     = 2
	CodeIncompleteChain   = 3 // first fragment without the whole header chain
)

// IsError reports whether the message tells of the fate of another packet,
// which it quotes.
func (t ICMPType) IsError() bool { return t < 128 }

// String names the type as tcpdump does.
func (t ICMPType) String() string {
	switch t {
	case ICMPDestUnreachable:
		return "destination unreachable"
	case ICMPPacketTooBig:
		return "packet too big"
	case ICMPTimeExceeded:
		return "time exceeded"
	case ICMPParameterProblem:
		return "parameter problem"
	case ICMPEchoRequest:
		return "echo request"
	case ICMPEchoReply:
		return "echo reply"
	case ICMPRedirect:
		return "redirect"
	}
	return "type-" + strconv.Itoa(int(t))
}

// ICMP is an ICMPv6 message in a form to compute with. Which of the fields
// between Code and Data is on the wire depends on the type; the others are
// zero when parsed and ignored when marshalled.
type ICMP struct {
	Type    ICMPType
	Code    uint8
	ID, Seq uint16 // echo: identify a request and its reply
	MTU     uint32 // packet too big: that of the next hop
	Pointer uint32 // parameter problem: offset of the byte to blame in the quoted packet
	Data    []byte // what follows the first 8 bytes: echo data, or the quoted packet
}

// ParseICMP checks an ICMPv6 message, the whole upper-layer packet between src
// and dst: its length, its checksum unless trusted, its type, and that an
// error quotes at least an IPv6 header. Errors of unknown type are accepted, as
// they must reach the upper layer (RFC 4443 §2.4 a); informational ones are not
// (§2.4 b). Data aliases b.
func ParseICMP(b []byte, src, dst netip.Addr, trusted bool) (m ICMP, why Reason) {
	if len(b) < ICMPHeaderLen {
		return ICMP{}, ReasonICMPShort
	}
	if !trusted && checksum.Fold(checksum.Sum(b, checksum.Pseudo(src, dst, ProtoICMP, len(b)))) != 0xffff {
		return ICMP{}, ReasonICMPChecksum
	}
	m = ICMP{Type: ICMPType(b[0]), Code: b[1], Data: b[ICMPHeaderLen:]}
	switch {
	case m.Type.IsError():
		if len(m.Data) < HeaderLen {
			return ICMP{}, ReasonICMPQuote
		}
	case m.Type != ICMPEchoRequest && m.Type != ICMPEchoReply:
		return ICMP{}, ReasonICMPType
	}
	switch m.Type {
	case ICMPEchoRequest, ICMPEchoReply:
		m.ID, m.Seq = binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	case ICMPPacketTooBig:
		m.MTU = binary.BigEndian.Uint32(b[4:])
	case ICMPParameterProblem:
		m.Pointer = binary.BigEndian.Uint32(b[4:])
	}
	return m, OK
}

// Len returns the length in bytes of the message that Marshal writes.
func (m *ICMP) Len() int { return ICMPHeaderLen + len(m.Data) }

// Marshal writes the message from src to dst, checksum included, to the start
// of b, which must have room for Len bytes, and returns that length. Data may
// already be in its place in b. Every byte is written, fields that the type
// does not use as 0.
func (m *ICMP) Marshal(b []byte, src, dst netip.Addr) int {
	n := m.Len()
	b = b[:n]
	b[0], b[1] = byte(m.Type), m.Code
	clear(b[2:ICMPHeaderLen])
	switch m.Type {
	case ICMPEchoRequest, ICMPEchoReply:
		binary.BigEndian.PutUint16(b[4:], m.ID)
		binary.BigEndian.PutUint16(b[6:], m.Seq)
	case ICMPPacketTooBig:
		binary.BigEndian.PutUint32(b[4:], m.MTU)
	case ICMPParameterProblem:
		binary.BigEndian.PutUint32(b[4:], m.Pointer)
	}
	copy(b[ICMPHeaderLen:], m.Data)
	binary.BigEndian.PutUint16(b[2:], ^checksum.Fold(checksum.Sum(b, checksum.Pseudo(src, dst, ProtoICMP, n))))
	return n
}
