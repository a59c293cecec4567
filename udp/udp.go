package udp

import (
	"encoding/binary"
	"net/netip"

	"example.com/loopback/ipv4/checksum"
)

// Sizes in bytes.
const (
	HeaderLen   = 8
	MaxLen      = 65535                  // a datagram, header included, as its length field can say
	MaxPayload4 = 65535 - 20 - HeaderLen // 65507: over IPv4, whose total length counts its own header
	MaxPayload6 = 65535 - HeaderLen      // 65527: over IPv6, whose payload length does not
)

// Proto is the number of UDP among the protocols of IP.
const Proto = 17

// ChecksumOffset is where in the header the checksum field is, for offload.
const ChecksumOffset = 6

// Reason says why a datagram was not accepted; OK, the zero value, that it was.
// Each reason belongs to exactly one MIB counter, which String names.
type Reason uint8

// The reasons for which UDP discards what it got.
const (
	OK               Reason = iota
	ReasonShort             // fewer bytes than a header
	ReasonLength            // length field smaller than the header or larger than the packet
	ReasonChecksum          // checksum is wrong
	ReasonNoChecksum        // IPv6 without a checksum (RFC 8200 §8.1)
	ReasonNoPort            // no socket on the destination port: answered by port unreachable
	ReasonBufferFull        // the socket's receive buffer has no room
	ReasonFiltered          // not for this connected socket, or refused by its filter

	// NumReasons is the number of reasons, for tables of counters indexed by Reason.
	NumReasons
)

// reasons is indexed by Reason; it is never written.
var reasons = [NumReasons]struct{ mib, detail string }{
	OK:               {"InDatagrams", "accepted"},
	ReasonShort:      {"InErrors", "shorter than a UDP header"},
	ReasonLength:     {"InErrors", "length field out of range"},
	ReasonChecksum:   {"InCsumErrors", "wrong checksum"},
	ReasonNoChecksum: {"InCsumErrors", "no checksum over IPv6"},
	ReasonNoPort:     {"NoPorts", "no socket on the port"},
	ReasonBufferFull: {"RcvbufErrors", "receive buffer full"},
	ReasonFiltered:   {"InErrors", "filtered"},
}

// String returns the name of the MIB counter that the reason is counted under
// (RFC 4113 and Linux's Udp group). Detail tells those of one counter apart.
func (r Reason) String() string {
	if r >= NumReasons {
		return "InErrors"
	}
	return reasons[r].mib
}

// Detail returns what was wrong, in words: a text of its own for each reason.
func (r Reason) Detail() string {
	if r >= NumReasons {
		return "unknown reason"
	}
	return reasons[r].detail
}

// Header is a view of a UDP header. The methods of one of fewer than 8 bytes panic.
type Header []byte

// SrcPort returns the source port; 0 when the sender wants no answer.
func (h Header) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:]) }

// DstPort returns the destination port.
func (h Header) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:]) }

// Length returns the length field: header and payload, in bytes.
func (h Header) Length() int { return int(binary.BigEndian.Uint16(h[4:])) }

// Checksum returns the checksum field; 0 when the sender computed none.
func (h Header) Checksum() uint16 { return binary.BigEndian.Uint16(h[6:]) }

// Parse checks the datagram b, the whole payload of an IP packet from src to
// dst: header, length field and checksum. It returns views of its header and
// of its payload, cut to the length field. On any reason but OK both are nil.
// Over IPv4 a checksum of 0 means that there is none.
func Parse(b []byte, src, dst netip.Addr) (h Header, payload []byte, why Reason) {
	h, payload, why = ParseHead(b, len(b))
	if why != OK {
		return nil, nil, why
	}
	if why = Verify(src, dst, b[:h.Length()]); why != OK {
		return nil, nil, why
	}
	return h, payload, OK
}

// ParseHead is Parse without the checksum, for a datagram of length bytes of
// which only the leading ones, in head, are contiguous: the header must be
// among them, and rest is what head holds of the payload.
func ParseHead(head []byte, length int) (h Header, rest []byte, why Reason) {
	if len(head) < HeaderLen {
		return nil, nil, ReasonShort
	}
	n := int(binary.BigEndian.Uint16(head[4:]))
	if n < HeaderLen || n > length {
		return nil, nil, ReasonLength
	}
	return Header(head[:HeaderLen:HeaderLen]), head[HeaderLen:min(n, len(head))], OK
}

// Verify checks the checksum of the datagram whose bytes, header first, are
// the concatenation of pieces, cut to its length field. The first piece holds
// the header. It returns OK, ReasonChecksum or ReasonNoChecksum.
func Verify(src, dst netip.Addr, pieces ...[]byte) Reason {
	h := Header(pieces[0])
	if h.Checksum() == 0 {
		if src.Is4() {
			return OK
		}
		return ReasonNoChecksum
	}
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	if checksum.Fold(checksum.SumPieces(checksum.Pseudo(src, dst, Proto, n), pieces...)) != 0xffff {
		return ReasonChecksum
	}
	return OK
}

// MarshalHeader writes the header of a datagram with payloadLen bytes of
// payload, with csum as its checksum field, to the start of b, which must have
// room for HeaderLen bytes, and returns HeaderLen. With checksum offload csum
// is PartialChecksum; else Checksum, or 0 for none (IPv4 only). It panics when
// payloadLen is negative or above 65527.
func MarshalHeader(b []byte, srcPort, dstPort uint16, payloadLen int, csum uint16) int {
	if uint(payloadLen) > MaxPayload6 {
		panic("udp: payload length out of range")
	}
	binary.BigEndian.PutUint64(b, uint64(srcPort)<<48|uint64(dstPort)<<32|uint64(HeaderLen+payloadLen)<<16|uint64(csum))
	return HeaderLen
}

// Marshal writes a datagram with its checksum to the start of b, which must
// have room for HeaderLen+len(payload) bytes, and returns that length. The
// payload may already be in its place in b.
func Marshal(b []byte, src, dst netip.AddrPort, payload []byte) int {
	n := HeaderLen + len(payload)
	b = b[:n]
	MarshalHeader(b, src.Port(), dst.Port(), len(payload), 0)
	copy(b[HeaderLen:], payload)
	binary.BigEndian.PutUint16(b[ChecksumOffset:], Checksum(src.Addr(), dst.Addr(), b))
	return n
}

// Checksum returns the checksum field for the datagram whose bytes, header
// first and with a checksum field of 0, are the concatenation of pieces: never
// 0, which would mean that there is none, but 0xffff instead (RFC 768).
func Checksum(src, dst netip.Addr, pieces ...[]byte) uint16 {
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	field := ^checksum.Fold(checksum.SumPieces(checksum.Pseudo(src, dst, Proto, n), pieces...))
	if field == 0 {
		return 0xffff
	}
	return field
}

// PartialChecksum returns what the checksum field holds of a datagram whose
// checksum is left to offload: the folded sum of the pseudo-header, not
// complemented. checksum.Fill completes it.
func PartialChecksum(src, dst netip.Addr, payloadLen int) uint16 {
	return checksum.Fold(checksum.Pseudo(src, dst, Proto, HeaderLen+payloadLen))
}
