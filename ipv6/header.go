package ipv6

import (
	"encoding/binary"
	"net/netip"
)

// Sizes of IPv6 packets in bytes (RFC 8200 §3, §5).
const (
	HeaderLen         = 40
	FragmentHeaderLen = 8
	MaxPayloadLen     = 65535 // what the payload length field can say
	MinMTU            = 1280  // every link carries packets of this size
)

// Next header values that the stack knows (RFC 8200 §4, IANA).
const (
	ProtoHopByHop   = 0
	ProtoTCP        = 6
	ProtoUDP        = 17
	ProtoRouting    = 43
	ProtoFragment   = 44
	ProtoICMP       = 58
	ProtoNoNext     = 59
	ProtoDstOptions = 60
)

// ECN codepoints, the low two bits of the traffic class (RFC 3168 §5).
const (
	ECNNotECT = 0
	ECNECT1   = 1
	ECNECT0   = 2
	ECNCE     = 3
)

// Header is a view of the fixed IPv6 header. The methods of one of fewer than
// 40 bytes panic.
type Header []byte

// Parse checks the packet b as RFC 8200 §3 demands and returns views of its
// fixed header and of its payload, extension headers included, cut to the
// payload length field (a link may pad). On any reason but OK both are nil. A
// NextHeader that is not an upper layer's goes through Walk, and addresses
// through AddrRules.Check.
func Parse(b []byte) (h Header, payload []byte, why Reason) {
	return ParseHead(b, len(b))
}

// ParseHead is Parse for a packet of packetLen bytes of which only the leading
// ones, in head, are contiguous: the fixed header must be among them, and rest
// is what head holds of the payload.
func ParseHead(head []byte, packetLen int) (h Header, rest []byte, why Reason) {
	if len(head) < HeaderLen {
		return nil, nil, ReasonShort
	}
	if head[0]>>4 != 6 {
		return nil, nil, ReasonVersion
	}
	n := HeaderLen + int(binary.BigEndian.Uint16(head[4:]))
	if n > packetLen {
		return nil, nil, ReasonTruncated
	}
	if n == HeaderLen && head[6] == ProtoHopByHop {
		return nil, nil, ReasonJumbo
	}
	return Header(head[:HeaderLen:HeaderLen]), head[HeaderLen:min(n, len(head))], OK
}

// Version returns the version field, 6 in every header that Parse accepted.
func (h Header) Version() int { return int(h[0] >> 4) }

// TrafficClass returns the DSCP in the high six bits and ECN in the low two.
func (h Header) TrafficClass() uint8 { return h[0]<<4 | h[1]>>4 }

// DSCP returns the differentiated services codepoint, 0..63 (RFC 2474).
func (h Header) DSCP() uint8 { return h.TrafficClass() >> 2 }

// ECN returns the explicit congestion notification codepoint, 0..3 (RFC 3168).
func (h Header) ECN() uint8 { return h[1] >> 4 & 3 }

// FlowLabel returns the flow label, 20 bits (RFC 6437).
func (h Header) FlowLabel() uint32 { return binary.BigEndian.Uint32(h) & 0xfffff }

// PayloadLen returns the number of bytes after the fixed header, extension headers included.
func (h Header) PayloadLen() int { return int(binary.BigEndian.Uint16(h[4:])) }

// TotalLen returns the length of the packet in bytes, header included.
func (h Header) TotalLen() int { return HeaderLen + h.PayloadLen() }

// NextHeader returns the type of what follows the fixed header.
func (h Header) NextHeader() uint8 { return h[6] }

// HopLimit returns the number of hops that the packet may still take.
func (h Header) HopLimit() uint8 { return h[7] }

// Src returns the source address.
func (h Header) Src() netip.Addr { return netip.AddrFrom16([16]byte(h[8:24])) }

// Dst returns the destination address.
func (h Header) Dst() netip.Addr { return netip.AddrFrom16([16]byte(h[24:40])) }

// SetTrafficClass replaces the traffic class, as a router that marks congestion does.
func (h Header) SetTrafficClass(tc uint8) {
	h[0] = h[0]&0xf0 | tc>>4
	h[1] = h[1]&0x0f | tc<<4
}

// Repr is what an IPv6 header says, in a form to compute with.
type Repr struct {
	TrafficClass uint8  // DSCP<<2 | ECN
	NextHeader   uint8  // of what follows
	HopLimit     uint8  // hops
	FlowLabel    uint32 // 20 bits
	PayloadLen   int    // bytes after the fixed header, extension headers included
	Src, Dst     netip.Addr
}

// Repr returns what the header says.
func (h Header) Repr() Repr {
	return Repr{
		TrafficClass: h.TrafficClass(), NextHeader: h.NextHeader(), HopLimit: h.HopLimit(),
		FlowLabel: h.FlowLabel(), PayloadLen: h.PayloadLen(), Src: h.Src(), Dst: h.Dst(),
	}
}

// Marshal writes the header to the start of b and returns HeaderLen. It writes
// every byte of it, whatever was there before. It panics when b is shorter than
// HeaderLen, when PayloadLen or FlowLabel is out of range and when an address
// is an IPv4 one: those are the caller's broken invariants.
func (r *Repr) Marshal(b []byte) int {
	if uint(r.PayloadLen) > MaxPayloadLen || r.FlowLabel > 0xfffff || !r.Src.Is6() || !r.Dst.Is6() {
		panic("ipv6: header fields out of range")
	}
	p := (*[HeaderLen]byte)(b)
	src, dst := r.Src.As16(), r.Dst.As16()
	binary.BigEndian.PutUint64(p[0:], 6<<60|uint64(r.TrafficClass)<<52|uint64(r.FlowLabel)<<32|
		uint64(r.PayloadLen)<<16|uint64(r.NextHeader)<<8|uint64(r.HopLimit))
	copy(p[8:], src[:])
	copy(p[24:], dst[:])
	return HeaderLen
}

// Plain is a fixed header without a flow label, its addresses as numbers: for
// those who send by the million.
type Plain struct {
	TrafficClass uint8     // DSCP<<2 | ECN
	NextHeader   uint8     // of the payload
	HopLimit     uint8     // hops
	PayloadLen   uint16    // bytes after the header
	Src, Dst     [2]uint64 // ::1 is {0, 1}
}

// Marshal writes the header to the first HeaderLen bytes of b, as Repr.Marshal
// does, and returns its length. It panics when b is shorter.
func (h *Plain) Marshal(b []byte) int {
	p := (*[HeaderLen]byte)(b)
	binary.BigEndian.PutUint64(p[0:], 6<<60|uint64(h.TrafficClass)<<52|
		uint64(h.PayloadLen)<<16|uint64(h.NextHeader)<<8|uint64(h.HopLimit))
	binary.BigEndian.PutUint64(p[8:], h.Src[0])
	binary.BigEndian.PutUint64(p[16:], h.Src[1])
	binary.BigEndian.PutUint64(p[24:], h.Dst[0])
	binary.BigEndian.PutUint64(p[32:], h.Dst[1])
	return HeaderLen
}
