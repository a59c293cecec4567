package ipv6

import (
	"encoding/binary"
	"net/netip"

	"example.com/loopback/ipv4/ratelimit"
)

// MaxErrorLen is the most bytes of an ICMPv6 error, IP header included: "as
// much of invoking packet as possible without the ICMPv6 packet exceeding the
// minimum IPv6 MTU" (RFC 4443 §3).
const MaxErrorLen = MinMTU

// RateLimiter bounds how many ICMPv6 errors a host sends (RFC 4443 §2.4 f). It
// is one bucket for both versions of IP, as Linux's icmp_msgs_per_sec is.
type RateLimiter = ratelimit.Limiter

// ErrorAllowed reports whether RFC 4443 §2.4 (e) permits the error of type t
// and code about the packet orig, which begins with an IPv6 header that Parse
// accepted. It forbids errors about ICMPv6 errors and redirects, about packets
// to groups (except packet too big, and parameter problems about options that
// ask for them), and to sources that are not a single node. About fragments
// other than the first it permits what RFC 8200 §4.5 wants told of them: that a
// field of them is wrong.
func ErrorAllowed(orig []byte, t ICMPType, code uint8) bool {
	if len(orig) < HeaderLen {
		return false
	}
	h := Header(orig[:HeaderLen])
	if src := h.Src(); src.IsUnspecified() || src.IsMulticast() {
		return false
	}
	if h.Dst().IsMulticast() && t != ICMPPacketTooBig && (t != ICMPParameterProblem || code != CodeUnknownOption) {
		return false
	}
	proto, rest, first, ok := skipHeaders(h.NextHeader(), orig[HeaderLen:])
	if !first {
		return t == ICMPParameterProblem && code == CodeErroneousField && proto != ProtoICMP
	}
	if ok && proto == ProtoICMP {
		if len(rest) == 0 {
			return false // which message it is cannot be told
		}
		inner := ICMPType(rest[0])
		return !inner.IsError() && inner != ICMPRedirect
	}
	return true
}

// skipHeaders steps over extension headers without checking them. It returns
// the protocol and bytes of the upper layer, whether the packet is not a later
// fragment, and whether the chain was complete. Each header is at least 8
// bytes long, so that the walk ends.
func skipHeaders(proto uint8, b []byte) (upper uint8, rest []byte, first, ok bool) {
	for {
		switch proto {
		case ProtoHopByHop, ProtoDstOptions, ProtoRouting, ProtoFragment:
		default:
			return proto, b, true, true
		}
		if len(b) < 8 {
			return proto, nil, true, false
		}
		n := 8
		if proto == ProtoFragment {
			if FragmentHeader(b[:8]).Offset() != 0 {
				return b[0], nil, false, false
			}
		} else if n += int(b[1]) * 8; n > len(b) {
			return proto, nil, true, false
		}
		proto, b = b[0], b[n:]
	}
}

// Quote returns the part of the packet orig that an ICMPv6 error about it
// carries: all of it up to MaxErrorLen, when the error has extLen bytes of
// extension headers of its own. The result aliases orig, whose padding past
// its payload length is not quoted.
func Quote(orig []byte, extLen int) []byte {
	n := min(len(orig), MaxErrorLen-HeaderLen-extLen-ICMPHeaderLen)
	if len(orig) >= HeaderLen {
		n = min(n, Header(orig).TotalLen())
	}
	return orig[:n:n]
}

// Quoted is what an ICMPv6 error says of the packet that it is about: enough
// to find the socket that sent it.
type Quoted struct {
	Header   Header         // of the quoted packet; its payload length is the original one's
	Protocol uint8          // of the upper layer, extension headers skipped
	Src, Dst netip.AddrPort // as the packet had them: Src is ours. Ports are 0 for protocols without
	TCPSeq   uint32         // TCP: the sequence number of the segment (RFC 5927 §4.1 checks it)
	EchoID   uint16         // ICMPv6 echo: which pinger
	EchoSeq  uint16
	Payload  []byte // what is quoted of the upper-layer packet
}

// ParseQuote reads the packet that an ICMPv6 error quotes, m.Data of
// ParseICMP. It returns false when the quote does not reach 8 bytes into the
// upper-layer packet, as when it is of a later fragment.
func ParseQuote(b []byte) (q Quoted, ok bool) {
	if len(b) < HeaderLen || b[0]>>4 != 6 {
		return Quoted{}, false
	}
	h := Header(b[:HeaderLen:HeaderLen])
	proto, rest, first, whole := skipHeaders(h.NextHeader(), b[HeaderLen:])
	if !first || !whole || len(rest) < 8 {
		return Quoted{}, false
	}
	q = Quoted{Header: h, Protocol: proto, Payload: rest}
	var srcPort, dstPort uint16
	switch proto {
	case ProtoTCP:
		q.TCPSeq = binary.BigEndian.Uint32(rest[4:])
		fallthrough
	case ProtoUDP:
		srcPort, dstPort = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	case ProtoICMP:
		if t := ICMPType(rest[0]); t == ICMPEchoRequest || t == ICMPEchoReply {
			q.EchoID, q.EchoSeq = binary.BigEndian.Uint16(rest[4:]), binary.BigEndian.Uint16(rest[6:])
		}
	}
	q.Src = netip.AddrPortFrom(h.Src(), srcPort)
	q.Dst = netip.AddrPortFrom(h.Dst(), dstPort)
	return q, true
}
