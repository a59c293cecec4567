// Package ipv4 is the wire format of the Internet Protocol version 4 (RFC 791,
// as RFC 1122 demands it of hosts) and of ICMP (RFC 792): checked views for
// reading, emitters that write every byte, the rules on addresses, on
// fragments and on ICMP errors. It holds no state but a Reassembler's and
// reads no clock.
//
//	h, payload, why := ipv4.Parse(packet)
//	if why != ipv4.OK {
//		drops[why]++ // why.String() is "InHdrErrors", "InCsumErrors", ...
//		return
//	}
//
// # How a packet passes
//
// Parse or ParseHead, then Header.CheckOptions when the header is longer than
// 20 bytes, then AddrRules.Check for packets that others may have made, then
// Reassembler.Input when Header.IsFragment, then the payload's protocol:
// ParseICMP here, or packages udp and tcp. Every refusal is a Reason, and each
// Reason is counted under one MIB name.
//
// # Limits
//
// Nothing is forwarded: there is no TTL decrement, no routing and no redirect
// handling. Options are recognised, validated and copied into fragments, but a
// host's part in them is not played: record route and timestamp are not filled
// in, not even in echo replies (RFC 1122 §3.2.2.6 asks for it), and source
// routes are reported, not followed. Security options (RFC 1108, CIPSO) are
// skipped. Path MTU discovery's cache, the choice of identifications and the
// answering of messages belong to package socket.
package ipv4
