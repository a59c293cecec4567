// Package udp is the wire format of the User Datagram Protocol (RFC 768, with
// the checksum rules of RFC 8200 §8.1 for IPv6): a checked view for reading and
// an emitter that writes every byte. It holds no state; ports, queues and
// sockets are package socket's.
//
//	h, payload, why := udp.Parse(b, src, dst)
//	if why != udp.OK {
//		count(why) // "InErrors", "InCsumErrors"
//	}
//
// # Limits
//
// There are no jumbograms (RFC 2675: a length field of 0), no UDP-Lite (RFC
// 3828), and IPv6 datagrams without a checksum, which RFC 6935 permits to some
// tunnels, are refused as RFC 8200 demands of everything else.
package udp
