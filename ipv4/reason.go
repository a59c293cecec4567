package ipv4

// Reason says why a packet was not accepted; OK, the zero value, that it was.
// Each reason belongs to exactly one MIB counter, which String names, so that a
// stack may count by reason and still report the counters of RFC 4293.
type Reason uint8

// The reasons for which IPv4, its reassembly and ICMP discard what they got.
const (
	OK Reason = iota

	// Header validation (RFC 1122 §3.2.1).
	ReasonShort        // fewer bytes than the smallest header
	ReasonVersion      // version is not 4
	ReasonHeaderLength // header length below 20 bytes or past the end of the packet
	ReasonTotalLength  // total length smaller than the header
	ReasonTruncated    // total length larger than the packet
	ReasonChecksum     // header checksum is wrong
	ReasonOption       // malformed option: answered by a parameter problem
	ReasonSourceRoute  // source-routed and source routes are not accepted

	// Address validation (RFC 1122 §3.2.1.3, RFC 1812 §5.3.7).
	ReasonSourceThisNet   // source in 0.0.0.0/8
	ReasonSourceMulticast // source is a group
	ReasonSourceBroadcast // source is a broadcast address
	ReasonSourceReserved  // source in 240.0.0.0/4
	ReasonSourceLoopback  // source in 127.0.0.0/8, from outside
	ReasonSourceOurs      // source is one of our own addresses, from outside
	ReasonSourceNotLocal  // source is not local on a wire that never leaves the computer
	ReasonDestThisNet     // destination in 0.0.0.0/8
	ReasonDestReserved    // destination in 240.0.0.0/4
	ReasonDestLoopback    // destination in 127.0.0.0/8, from outside
	ReasonDestNotLocal    // destination is not ours

	// What a stack finds after the header.
	ReasonProtocol // no handler for the protocol
	ReasonDiscard  // discarded for want of room

	// Reassembly (RFC 791 §3.2, RFC 815).
	ReasonFragmentLength  // a fragment that is not the last is not a multiple of 8 bytes, or is empty
	ReasonFragmentTooBig  // the datagram would exceed 65535 bytes
	ReasonFragmentEnd     // fragments disagree on where the datagram ends
	ReasonFragmentOverlap // a fragment overlaps another: the whole datagram is dropped
	ReasonFragmentECN     // fragments carry contradictory ECN codepoints (RFC 3168 §5.3)
	ReasonFragmentDup     // all bytes of the fragment are already there; the datagram is kept
	ReasonReassemblyFull  // the fragment alone exceeds the reassembler's memory

	// ICMP (RFC 792, RFC 1122 §3.2.2).
	ReasonICMPShort    // fewer than 8 bytes
	ReasonICMPChecksum // checksum is wrong
	ReasonICMPType     // unknown type: silently discarded
	ReasonICMPQuote    // an error message quotes less than an IPv4 header and 8 bytes

	// NumReasons is the number of reasons, for tables of counters indexed by Reason.
	NumReasons
)

// reasons is indexed by Reason; it is never written.
var reasons = [NumReasons]struct{ mib, detail string }{
	OK: {"InDelivers", "accepted"},

	ReasonShort:        {"InHdrErrors", "shorter than an IPv4 header"},
	ReasonVersion:      {"InHdrErrors", "version is not 4"},
	ReasonHeaderLength: {"InHdrErrors", "header length out of range"},
	ReasonTotalLength:  {"InHdrErrors", "total length smaller than the header"},
	ReasonTruncated:    {"InTruncatedPkts", "total length larger than the packet"},
	ReasonChecksum:     {"InCsumErrors", "wrong header checksum"},
	ReasonOption:       {"InHdrErrors", "malformed option"},
	ReasonSourceRoute:  {"InHdrErrors", "source route not accepted"},

	ReasonSourceThisNet:   {"InAddrErrors", "martian source: 0.0.0.0/8"},
	ReasonSourceMulticast: {"InAddrErrors", "martian source: multicast"},
	ReasonSourceBroadcast: {"InAddrErrors", "martian source: broadcast"},
	ReasonSourceReserved:  {"InAddrErrors", "martian source: class E"},
	ReasonSourceLoopback:  {"InAddrErrors", "martian source: loopback address from outside"},
	ReasonSourceOurs:      {"InAddrErrors", "martian source: our own address from outside"},
	ReasonSourceNotLocal:  {"InAddrErrors", "martian source: not local"},
	ReasonDestThisNet:     {"InAddrErrors", "martian destination: 0.0.0.0/8"},
	ReasonDestReserved:    {"InAddrErrors", "martian destination: class E"},
	ReasonDestLoopback:    {"InAddrErrors", "martian destination: loopback address from outside"},
	ReasonDestNotLocal:    {"InAddrErrors", "destination is not local"},

	ReasonProtocol: {"InUnknownProtos", "unknown protocol"},
	ReasonDiscard:  {"InDiscards", "no room"},

	ReasonFragmentLength:  {"ReasmFails", "fragment length is not a positive multiple of 8"},
	ReasonFragmentTooBig:  {"ReasmFails", "datagram would exceed 65535 bytes"},
	ReasonFragmentEnd:     {"ReasmFails", "fragments disagree on the end of the datagram"},
	ReasonFragmentOverlap: {"ReasmOverlaps", "fragments overlap"},
	ReasonFragmentECN:     {"ReasmFails", "fragments carry contradictory ECN codepoints"},
	ReasonFragmentDup:     {"ReasmDuplicates", "duplicate fragment"},
	ReasonReassemblyFull:  {"ReasmFails", "fragment exceeds the reassembly memory"},

	ReasonICMPShort:    {"IcmpInErrors", "ICMP message too short"},
	ReasonICMPChecksum: {"IcmpInCsumErrors", "wrong ICMP checksum"},
	ReasonICMPType:     {"IcmpInErrors", "unknown ICMP type"},
	ReasonICMPQuote:    {"IcmpInErrors", "ICMP error quotes too little"},
}

// String returns the name of the MIB counter that the reason is counted under,
// as Linux's nstat spells it without the leading "Ip" or "IpExt". Several
// reasons may share a counter; Detail tells them apart.
func (r Reason) String() string {
	if r >= NumReasons {
		return "InDiscards"
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
