package ipv4

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Sizes of IPv4 packets in bytes (RFC 791 §3.1).
const (
	MinHeaderLen = 20    // a header without options
	MaxHeaderLen = 60    // a header with 40 bytes of options
	MaxLen       = 65535 // a whole datagram
	MinMTU       = 68    // every link carries a datagram of this size unfragmented
)

// Protocol numbers that the stack knows (RFC 1700, IANA).
const (
	ProtoICMP = 1
	ProtoTCP  = 6
	ProtoUDP  = 17
)

// The flags of the fragment word, bytes 6 and 7 of the header.
const (
	FlagDF     = 0x4000 // do not fragment; exported for who writes Plain headers
	flagMF     = 0x2000
	offsetMask = 0x1fff
)

// ECN codepoints, the low two bits of TOS (RFC 3168 §5).
const (
	ECNNotECT = 0
	ECNECT1   = 1
	ECNECT0   = 2
	ECNCE     = 3
)

// Header is a view of an IPv4 header, options included. One that Parse
// returned is as long as its header length field says, so the methods never
// reach past its end. The methods of a Header of fewer than 20 bytes panic.
type Header []byte

// Parse checks the packet b as RFC 1122 §3.2.1 demands of a host, header
// checksum included, and returns views of its header and of its payload, cut
// to the total length field (a link may pad). On any reason but OK both are
// nil. Options are only delimited here: a Header longer than MinHeaderLen goes
// through CheckOptions, and addresses through AddrRules.Check.
func Parse(b []byte) (h Header, payload []byte, why Reason) {
	return ParseHead(b, len(b), false)
}

// ParseHead is Parse for a packet of packetLen bytes of which only the leading
// ones, in head, are contiguous: the header must be among them, and rest is
// what head holds of the payload. With trusted true the header checksum is not
// verified, for packets that never left the stack's own hands.
func ParseHead(head []byte, packetLen int, trusted bool) (h Header, rest []byte, why Reason) {
	if len(head) < MinHeaderLen {
		return nil, nil, ReasonShort
	}
	n := MinHeaderLen
	if head[0] != 0x45 {
		if head[0]>>4 != 4 {
			return nil, nil, ReasonVersion
		}
		n = int(head[0]&0xf) * 4
		if n < MinHeaderLen || n > len(head) {
			return nil, nil, ReasonHeaderLength
		}
	}
	total := int(binary.BigEndian.Uint16(head[2:]))
	if !trusted && !headerSumOK(head[:n]) {
		return nil, nil, ReasonChecksum
	}
	if total > packetLen {
		return nil, nil, ReasonTruncated
	}
	if total < n {
		return nil, nil, ReasonTotalLength
	}
	return Header(head[:n:n]), head[n:min(total, len(head))], OK
}

// headerSum adds the words of a header of 20 to 60 bytes, a multiple of 4, in
// one's complement and host-independent little-endian lanes; the result folds
// to 16 bits with its bytes swapped, which leaves 0 and 0xffff as they are.
func headerSum(h []byte) uint16 {
	p := (*[MinHeaderLen]byte)(h)
	s, c := bits.Add64(binary.LittleEndian.Uint64(p[0:]), binary.LittleEndian.Uint64(p[8:]), 0)
	s, c = bits.Add64(s, uint64(binary.LittleEndian.Uint32(p[16:])), c)
	for h = h[MinHeaderLen:]; len(h) >= 4; h = h[4:] {
		s, c = bits.Add64(s, uint64(binary.LittleEndian.Uint32(h)), c)
	}
	s += c // the carry of a sum leaves room for itself
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

func headerSumOK(h []byte) bool { return headerSum(h) == 0xffff }

// Version returns the version field, 4 in every header that Parse accepted.
func (h Header) Version() int { return int(h[0] >> 4) }

// Len returns the length of the header in bytes, 20 to 60, as its field says.
func (h Header) Len() int { return int(h[0]&0xf) * 4 }

// TOS returns the type-of-service byte: DSCP in the high six bits, ECN in the low two.
func (h Header) TOS() uint8 { return h[1] }

// DSCP returns the differentiated services codepoint, 0..63 (RFC 2474).
func (h Header) DSCP() uint8 { return h[1] >> 2 }

// ECN returns the explicit congestion notification codepoint, 0..3 (RFC 3168).
func (h Header) ECN() uint8 { return h[1] & 3 }

// TotalLen returns the length of the datagram in bytes, header included.
func (h Header) TotalLen() int { return int(binary.BigEndian.Uint16(h[2:])) }

// PayloadLen returns the length of the datagram in bytes without its header.
func (h Header) PayloadLen() int { return h.TotalLen() - h.Len() }

// ID returns the identification that the fragments of a datagram share.
func (h Header) ID() uint16 { return binary.BigEndian.Uint16(h[4:]) }

// DontFragment reports the DF flag.
func (h Header) DontFragment() bool { return h[6]&(FlagDF>>8) != 0 }

// MoreFragments reports the MF flag: this is not the last fragment.
func (h Header) MoreFragments() bool { return h[6]&(flagMF>>8) != 0 }

// FragmentOffset returns the place of this fragment's payload in that of the
// datagram, in bytes: a multiple of 8, at most 65528.
func (h Header) FragmentOffset() int {
	return int(binary.BigEndian.Uint16(h[6:])&offsetMask) * 8
}

// IsFragment reports whether the packet is a part of a larger datagram.
func (h Header) IsFragment() bool {
	return binary.BigEndian.Uint16(h[6:])&(flagMF|offsetMask) != 0
}

// TTL returns the time to live, in hops.
func (h Header) TTL() uint8 { return h[8] }

// Protocol returns the number of the protocol of the payload.
func (h Header) Protocol() uint8 { return h[9] }

// Checksum returns the checksum field as it stands in the header.
func (h Header) Checksum() uint16 { return binary.BigEndian.Uint16(h[10:]) }

// ChecksumOK verifies the header checksum.
func (h Header) ChecksumOK() bool { return headerSumOK(h) }

// Src returns the source address, always in 4-byte form.
func (h Header) Src() netip.Addr { return netip.AddrFrom4([4]byte(h[12:16])) }

// Dst returns the destination address, always in 4-byte form.
func (h Header) Dst() netip.Addr { return netip.AddrFrom4([4]byte(h[16:20])) }

// Options returns the bytes after the fixed header, padding included: empty,
// or 4 to 40 of them. They alias the header.
func (h Header) Options() []byte { return h[MinHeaderLen:] }

// SetTOS replaces the type-of-service byte, as a router that marks congestion
// does. The checksum field is left stale; see UpdateChecksum.
func (h Header) SetTOS(tos uint8) { h[1] = tos }

// SetTTL replaces the time to live. The checksum field is left stale; see UpdateChecksum.
func (h Header) SetTTL(ttl uint8) { h[8] = ttl }

// UpdateChecksum recomputes the checksum field from the rest of the header.
func (h Header) UpdateChecksum() {
	h[10], h[11] = 0, 0
	// The sum has its bytes swapped, so storing it little-endian restores them.
	binary.LittleEndian.PutUint16(h[10:], ^headerSum(h))
}
