package ipv4

import (
	"encoding/binary"
	"net/netip"

	"example.com/loopback/ipv4/ratelimit"
)

// MaxErrorLen is the most bytes of an ICMP error, IP header included: "as much
// of the original datagram as possible without the length of the ICMP datagram
// exceeding 576 bytes" (RFC 1812 §4.3.2.3), as Linux sends.
const MaxErrorLen = 576

// RateLimiter bounds how many ICMP errors a host sends (RFC 1812 §4.3.2.8). It
// is one bucket for both versions of IP, as Linux's icmp_msgs_per_sec is.
type RateLimiter = ratelimit.Limiter

// ErrorAllowed reports whether RFC 1122 §3.2.2 permits an ICMP error about the
// packet orig, which begins with an IPv4 header that Parse accepted and holds
// at least what there is of the first byte of its payload. It forbids errors
// about ICMP errors (and ICMP of unknown type), about fragments other than the
// first, about datagrams to groups and broadcast addresses, and to sources that
// are not a single host. isBroadcast names broadcast addresses of networks that
// we are on; nil: none but 255.255.255.255. Loopback sources are single hosts
// here, as the stack only lets them in from its own loopback.
func ErrorAllowed(orig []byte, isBroadcast func(netip.Addr) bool) bool {
	if len(orig) < MinHeaderLen {
		return false
	}
	h := Header(orig)
	if h.FragmentOffset() != 0 {
		return false
	}
	for _, a := range [2]netip.Addr{h.Src(), h.Dst()} {
		if a.As4()[0] >= 224 || isBroadcast != nil && isBroadcast(a) { // groups, class E, limited broadcast
			return false
		}
	}
	if h.Src().As4()[0] == 0 {
		return false
	}
	if h.Protocol() == ProtoICMP {
		n := h.Len()
		if n >= len(orig) {
			return false
		}
		t := ICMPType(orig[n])
		return t.known() && !t.IsError()
	}
	return true
}

// Quote returns the part of the packet orig that an ICMP error about it
// carries, when the error's own IP header is ipHeaderLen bytes long: all of it
// up to MaxErrorLen. The result aliases orig, whose padding past its total
// length is not quoted.
func Quote(orig []byte, ipHeaderLen int) []byte {
	n := min(len(orig), MaxErrorLen-ipHeaderLen-ICMPHeaderLen)
	if len(orig) >= MinHeaderLen {
		if total := Header(orig).TotalLen(); total >= MinHeaderLen {
			n = min(n, total)
		}
	}
	return orig[:n:n]
}

// Quoted is what an ICMP error says of the datagram that it is about: enough
// to find the socket that sent it.
type Quoted struct {
	Header   Header // of the quoted datagram, as far as it is quoted; its total length is the original one's
	Protocol uint8
	Src, Dst netip.AddrPort // as the datagram had them: Src is ours. Ports are 0 for protocols without
	TCPSeq   uint32         // TCP: the sequence number of the segment (RFC 5927 §4.1 checks it)
	EchoID   uint16         // ICMP echo: which pinger
	EchoSeq  uint16
	Payload  []byte // what is quoted of the datagram's payload
}

// ParseQuote reads the packet that an ICMP error quotes, m.Data of ParseICMP.
// Its checksums are not verified: routers may have changed the header since.
// It returns false when the quote is not an IPv4 header with at least 8 bytes
// after it, when it is a fragment other than the first, and when it quotes a
// protocol with ports or an echo and yet lacks them.
func ParseQuote(b []byte) (q Quoted, ok bool) {
	if len(b) < MinHeaderLen || b[0]>>4 != 4 {
		return Quoted{}, false
	}
	n := quotedHeaderLen(b)
	if n < MinHeaderLen || len(b) < n+8 {
		return Quoted{}, false
	}
	h := Header(b[:n:n])
	if h.FragmentOffset() != 0 {
		return Quoted{}, false
	}
	q = Quoted{Header: h, Protocol: h.Protocol(), Payload: b[n:]}
	var srcPort, dstPort uint16
	switch p := q.Payload; q.Protocol {
	case ProtoTCP:
		q.TCPSeq = binary.BigEndian.Uint32(p[4:])
		fallthrough
	case ProtoUDP:
		srcPort, dstPort = binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
	case ProtoICMP:
		if t := ICMPType(p[0]); t == ICMPEchoRequest || t == ICMPEchoReply {
			q.EchoID, q.EchoSeq = binary.BigEndian.Uint16(p[4:]), binary.BigEndian.Uint16(p[6:])
		}
	}
	q.Src = netip.AddrPortFrom(h.Src(), srcPort)
	q.Dst = netip.AddrPortFrom(h.Dst(), dstPort)
	return q, true
}

// quotedHeaderLen returns the header length that a quote claims; b is not empty.
func quotedHeaderLen(b []byte) int { return int(b[0]&0xf) * 4 }
