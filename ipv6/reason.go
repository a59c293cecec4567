package ipv6

// Reason says why a packet was not accepted; OK, the zero value, that it was.
// Each reason belongs to exactly one MIB counter, which String names.
type Reason uint8

// The reasons for which IPv6, its extension headers, its reassembly and ICMPv6
// discard what they got.
const (
	OK Reason = iota

	// Header validation (RFC 8200 §3).
	ReasonShort     // fewer bytes than the header
	ReasonVersion   // version is not 6
	ReasonTruncated // payload length larger than the packet
	ReasonJumbo     // payload length 0 with hop-by-hop options: a jumbogram, not supported

	// Address validation (RFC 4291 §2.5, §2.7, RFC 6890).
	ReasonSourceMulticast   // source is a group
	ReasonSourceUnspecified // source is ::
	ReasonSourceLoopback    // source is ::1, from outside
	ReasonSourceMapped      // source is an IPv4-mapped address
	ReasonSourceOurs        // source is one of our own addresses, from outside
	ReasonSourceNotLocal    // source is not local on a wire that never leaves the computer
	ReasonDestUnspecified   // destination is ::
	ReasonDestLoopback      // destination is ::1, from outside
	ReasonDestMapped        // destination is an IPv4-mapped address
	ReasonDestScope         // destination is a group of reserved or interface-local scope, from outside
	ReasonDestNotLocal      // destination is not ours

	// Extension headers (RFC 8200 §4).
	ReasonExtTruncated  // an extension header reaches past the end of the packet
	ReasonExtLimit      // more extension headers than ExtLimits allows
	ReasonHopByHopPlace // hop-by-hop options elsewhere than first: answered by a parameter problem
	ReasonOptionLength  // an option reaches past the end of its header or has a wrong length
	ReasonOptionLimit   // more options than ExtLimits allows
	ReasonOptionPadding // padding of more than 7 bytes or not zero
	ReasonOptionDiscard // unrecognised option whose type says discard
	ReasonOptionUnknown // unrecognised option whose type asks for a parameter problem
	ReasonRouting       // a routing header with segments left, whose type is deprecated or not recognised
	ReasonNoNextHeader  // nothing follows (next header 59): not an error, and nothing to deliver

	// What a stack finds after the headers.
	ReasonProtocol // no handler for the next header: answered by a parameter problem
	ReasonDiscard  // discarded for want of room

	// Reassembly (RFC 8200 §4.5, RFC 5722, RFC 6946).
	ReasonFragmentLength     // a fragment that is not the last is not a multiple of 8 bytes: parameter problem
	ReasonFragmentEmpty      // a fragment without data
	ReasonFragmentTooBig     // the datagram would exceed 65535 bytes of payload: parameter problem
	ReasonFragmentEnd        // fragments disagree on where the datagram ends
	ReasonFragmentOverlap    // a fragment overlaps another: the whole datagram is silently dropped
	ReasonFragmentECN        // fragments carry contradictory ECN codepoints (RFC 3168 §5.3)
	ReasonFragmentDup        // an exact duplicate of a fragment that is there; the datagram is kept
	ReasonFragmentIncomplete // the first fragment does not hold all headers: parameter problem
	ReasonReassemblyFull     // the fragment alone exceeds the reassembler's memory

	// ICMPv6 (RFC 4443 §2.4).
	ReasonICMPShort    // fewer than 8 bytes
	ReasonICMPChecksum // checksum is wrong
	ReasonICMPType     // unknown informational type: silently discarded
	ReasonICMPQuote    // an error message quotes less than an IPv6 header

	// NumReasons is the number of reasons, for tables of counters indexed by Reason.
	NumReasons
)

// reasons is indexed by Reason; it is never written.
var reasons = [NumReasons]struct{ mib, detail string }{
	OK: {"InDelivers", "accepted"},

	ReasonShort:     {"InHdrErrors", "shorter than an IPv6 header"},
	ReasonVersion:   {"InHdrErrors", "version is not 6"},
	ReasonTruncated: {"InTruncatedPkts", "payload length larger than the packet"},
	ReasonJumbo:     {"InHdrErrors", "jumbogram"},

	ReasonSourceMulticast:   {"InAddrErrors", "martian source: multicast"},
	ReasonSourceUnspecified: {"InAddrErrors", "martian source: unspecified"},
	ReasonSourceLoopback:    {"InAddrErrors", "martian source: loopback address from outside"},
	ReasonSourceMapped:      {"InAddrErrors", "martian source: IPv4-mapped"},
	ReasonSourceOurs:        {"InAddrErrors", "martian source: our own address from outside"},
	ReasonSourceNotLocal:    {"InAddrErrors", "martian source: not local"},
	ReasonDestUnspecified:   {"InAddrErrors", "martian destination: unspecified"},
	ReasonDestLoopback:      {"InAddrErrors", "martian destination: loopback address from outside"},
	ReasonDestMapped:        {"InAddrErrors", "martian destination: IPv4-mapped"},
	ReasonDestScope:         {"InAddrErrors", "martian destination: group scope"},
	ReasonDestNotLocal:      {"InAddrErrors", "destination is not local"},

	ReasonExtTruncated:  {"InTruncatedPkts", "extension header past the end of the packet"},
	ReasonExtLimit:      {"InHdrErrors", "too many extension headers"},
	ReasonHopByHopPlace: {"InHdrErrors", "hop-by-hop options not first"},
	ReasonOptionLength:  {"InHdrErrors", "malformed option"},
	ReasonOptionLimit:   {"InHdrErrors", "too many options"},
	ReasonOptionPadding: {"InHdrErrors", "illegal padding"},
	ReasonOptionDiscard: {"InHdrErrors", "unrecognised option: discard"},
	ReasonOptionUnknown: {"InHdrErrors", "unrecognised option"},
	ReasonRouting:       {"InHdrErrors", "routing header with segments left"},
	ReasonNoNextHeader:  {"InDiscards", "no next header"},

	ReasonProtocol: {"InUnknownProtos", "unknown next header"},
	ReasonDiscard:  {"InDiscards", "no room"},

	ReasonFragmentLength:     {"InHdrErrors", "fragment length is not a multiple of 8"},
	ReasonFragmentEmpty:      {"ReasmFails", "fragment without data"},
	ReasonFragmentTooBig:     {"InHdrErrors", "datagram would exceed 65535 bytes"},
	ReasonFragmentEnd:        {"ReasmFails", "fragments disagree on the end of the datagram"},
	ReasonFragmentOverlap:    {"ReasmOverlaps", "fragments overlap"},
	ReasonFragmentECN:        {"ReasmFails", "fragments carry contradictory ECN codepoints"},
	ReasonFragmentDup:        {"ReasmDuplicates", "duplicate fragment"},
	ReasonFragmentIncomplete: {"InHdrErrors", "first fragment without all headers"},
	ReasonReassemblyFull:     {"ReasmFails", "fragment exceeds the reassembly memory"},

	ReasonICMPShort:    {"Icmp6InErrors", "ICMPv6 message too short"},
	ReasonICMPChecksum: {"Icmp6InCsumErrors", "wrong ICMPv6 checksum"},
	ReasonICMPType:     {"Icmp6InErrors", "unknown ICMPv6 type"},
	ReasonICMPQuote:    {"Icmp6InErrors", "ICMPv6 error quotes too little"},
}

// String returns the name of the MIB counter that the reason is counted under,
// as Linux's nstat spells it without the leading "Ip6". Several reasons may
// share a counter; Detail tells them apart.
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
