package ipv4

// OptionKind is the type byte of an option: copied flag, class and number (RFC 791 §3.1).
type OptionKind uint8

// The options that the stack recognises; all others are skipped by their length.
const (
	OptEnd         OptionKind = 0   // end of the option list, one byte
	OptNOP         OptionKind = 1   // padding between options, one byte
	OptRecordRoute OptionKind = 7   // RFC 791
	OptTimestamp   OptionKind = 68  // RFC 791
	OptLooseRoute  OptionKind = 131 // loose source and record route, RFC 791
	OptStrictRoute OptionKind = 137 // strict source and record route, RFC 791
	OptRouterAlert OptionKind = 148 // RFC 2113
)

// Copied reports whether the option goes into every fragment of a datagram and
// not only into the first (RFC 791 §3.1, the copied flag).
func (k OptionKind) Copied() bool { return k&0x80 != 0 }

// String names the option as tcpdump does.
func (k OptionKind) String() string {
	switch k {
	case OptEnd:
		return "EOL"
	case OptNOP:
		return "NOP"
	case OptRecordRoute:
		return "RR"
	case OptTimestamp:
		return "timestamp"
	case OptLooseRoute:
		return "LSRR"
	case OptStrictRoute:
		return "SSRR"
	case OptRouterAlert:
		return "RA"
	}
	return "unknown"
}

// Option is one option of a header: the whole of it, type and length bytes
// included. It aliases the header.
type Option []byte

// Kind returns the option's type.
func (o Option) Kind() OptionKind { return OptionKind(o[0]) }

// Data returns what follows the type and length bytes; nothing for OptNOP.
func (o Option) Data() []byte {
	if len(o) < 2 {
		return nil
	}
	return o[2:]
}

// NextOption cuts the first option off opts, the bytes that Header.Options
// returned or those that an earlier call left as rest. It returns ok false at
// the end of the list: no bytes left, an OptEnd, or a length that is malformed
// (below 2 or past the end), in which case rest still begins with that option.
func NextOption(opts []byte) (o Option, rest []byte, ok bool) {
	if len(opts) == 0 || OptionKind(opts[0]) == OptEnd {
		return nil, nil, false
	}
	if OptionKind(opts[0]) == OptNOP {
		return Option(opts[:1]), opts[1:], true
	}
	if len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts) {
		return nil, opts, false
	}
	n := opts[1]
	return Option(opts[:n:n]), opts[n:], true
}

// OptionSet says which of the options that matter to a stack a header carries.
type OptionSet struct {
	SourceRoute bool // LSRR or SSRR
	RouteLeft   bool // the source route is not used up: the datagram is meant for another host
	RecordRoute bool
	Timestamp   bool
	RouterAlert bool // RFC 2113, value 0: routers shall examine the packet
}

// CheckOptions walks the options of h and checks each one that it recognises
// (RFC 791 §3.1, RFC 1122 §3.2.1.8). When one is malformed why is ReasonOption
// and pointer is the offset in the header of the byte to blame, for the
// parameter problem message of RFC 792. A walk visits each byte once at most.
func (h Header) CheckOptions() (set OptionSet, pointer uint8, why Reason) {
	rest := h.Options()
	for len(rest) > 0 {
		at := len(h) - len(rest)
		o, next, ok := NextOption(rest)
		if !ok {
			if len(next) > 0 {
				return set, uint8(at), ReasonOption
			}
			break
		}
		if bad := set.add(o); bad >= 0 {
			return set, uint8(at + bad), ReasonOption
		}
		rest = next
	}
	return set, 0, OK
}

// add checks one option and notes it in the set. It returns the offset within
// the option of the byte to blame, or -1.
func (set *OptionSet) add(o Option) int {
	switch o.Kind() {
	case OptLooseRoute, OptStrictRoute:
		// "Appears at most once in a datagram", and RFC 1122 §3.2.1.8 (c): no
		// datagram may carry more than one source route of either kind.
		if set.SourceRoute {
			return 0
		}
		set.SourceRoute = true
		if bad := checkPointer(o, 3, 4, 4); bad >= 0 {
			return bad
		}
		set.RouteLeft = int(o[2]) <= len(o)
	case OptRecordRoute:
		if set.RecordRoute {
			return 0
		}
		set.RecordRoute = true
		return checkPointer(o, 3, 4, 4)
	case OptTimestamp:
		if set.Timestamp {
			return 0
		}
		set.Timestamp = true
		return checkTimestamp(o)
	case OptRouterAlert:
		if len(o) < 4 {
			return 1
		}
		set.RouterAlert = o[2] == 0 && o[3] == 0
	}
	return -1
}

// checkPointer checks the length of o and its pointer field, which counts from
// 1, must not lie before the first slot and, unless past the end of the option
// ("the recorded route is full"), must leave room for a slot of size bytes.
func checkPointer(o Option, minLen, first, size int) int {
	if len(o) < minLen {
		return 1
	}
	ptr := int(o[2])
	if ptr < first || ptr <= len(o) && ptr-1+size > len(o) {
		return 2
	}
	return -1
}

// checkTimestamp checks an Internet timestamp option: its slots are of 4 bytes
// or, with addresses, of 8; a full list counts the hosts that found no room in
// four bits, which must not overflow.
func checkTimestamp(o Option) int {
	if len(o) < 4 {
		return 1
	}
	size := 8
	switch o[3] & 0xf {
	case 0: // timestamps only
		size = 4
	case 1, 3: // each preceded by an address, recorded or specified
	default:
		return 3
	}
	if bad := checkPointer(o, 4, 5, size); bad >= 0 {
		return bad
	}
	if int(o[2]) > len(o) && o[3]>>4 == 15 {
		return 3
	}
	return -1
}

// AppendCopied appends to dst those options of opts that go into fragments
// other than the first, and pads them with end-of-options to a multiple of 4
// bytes (RFC 791 §3.2). Options after a malformed one are not copied.
func AppendCopied(dst, opts []byte) []byte {
	start := len(dst)
	for {
		o, rest, ok := NextOption(opts)
		if !ok {
			break
		}
		if o.Kind().Copied() {
			dst = append(dst, o...)
		}
		opts = rest
	}
	for (len(dst)-start)&3 != 0 {
		dst = append(dst, byte(OptEnd))
	}
	return dst
}
