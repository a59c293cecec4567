// Package reasm holds the mechanics of reassembly that IPv4 and IPv6 share: a
// bounded table of incomplete datagrams, the placing of fragments in them, the
// policy on overlaps, expiry. Packages ipv4 and ipv6 wrap it in their
// Reassemblers; nothing else needs it.
//
//	var t reasm.Table
//	d, verdict := t.Input(now, key, &fragment)
//	if verdict == reasm.Complete {
//		d.CopyPayload(packet[headerLen:])
//		t.Release(d)
//	}
//
// A datagram is a list of received extents in the order of their offsets, the
// complement of RFC 815's list of holes; it is complete when the last fragment
// has told its length and the extents add up to it. Extents never overlap:
// a fragment that does makes its whole datagram be dropped (RFC 5722, and what
// Linux does for IPv4 too since 2018), except for duplicates, which change
// nothing.
//
// # Limits
//
// Memory is bounded in bytes, in datagrams, and in datagrams of one source;
// whoever exceeds a bound pushes out the oldest. Nothing here depends on the
// iteration order of a map. Times must not run backwards: expiry looks at the
// datagram that was begun first. A Table is not safe for concurrent use.
package reasm
