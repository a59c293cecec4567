// Package ipv6 is the wire format of the Internet Protocol version 6 (RFC 8200)
// and of ICMPv6 (RFC 4443): checked views for reading, emitters that write
// every byte, the rules on addresses, on extension headers, on fragments and on
// ICMPv6 errors. It holds no state but a Reassembler's and reads no clock.
//
//	h, payload, why := ipv6.Parse(packet)
//	if why != ipv6.OK {
//		drops[why]++ // why.String() is "InHdrErrors", "InTruncatedPkts", ...
//		return
//	}
//
// # How a packet passes
//
// Parse or ParseHead, then AddrRules.Check for packets that others may have
// made, then ExtLimits.Walk when the next header is not an upper layer's, then
// Reassembler.Input when it found a fragment, then the upper layer: ParseICMP
// here, or packages udp and tcp. Every refusal is a Reason, and each Reason is
// counted under one MIB name.
//
// # Limits
//
// Nothing is forwarded and there are no neighbours: no neighbour discovery, no
// multicast listener discovery, no redirects. No routing header is followed;
// jumbograms (RFC 2675), mobility, IPsec and every other extension header but
// hop-by-hop options, destination options, routing and fragment are unknown
// protocols here. The emitters write no extension header but the fragment
// header. Path MTU discovery's cache, the choice of identifications and flow
// labels, and the answering of messages belong to package socket.
package ipv6
