package ipv6

import "encoding/binary"

// ExtLimits bounds the work that the extension headers of one packet may cause
// (RFC 8504 §5.3). Zero fields have Linux's defaults where it has one.
type ExtLimits struct {
	Headers int // extension headers in a packet; 0: 8
	Options int // options, padding aside, in one options header; 0: 8
	Bytes   int // of all extension headers together; 0: 1280, the smallest MTU
}

// Chain is what Walk found between the fixed header and the upper layer.
type Chain struct {
	// Proto is the first next header value that is not an extension header
	// known to Walk: an upper layer's, ProtoNoNext, or an unknown one.
	Proto uint8
	// Offset is where that header begins, in bytes from the start of the packet.
	Offset int
	// NextField is the offset of the byte that held Proto: the pointer of the
	// parameter problem with CodeUnknownNextHeader.
	NextField int
	// Fragment is set when the packet is a part of a larger datagram and goes
	// to Reassembler.Input. Proto and Offset are then those of the first part
	// if this is it, else of the fragment's payload.
	Fragment bool
	// RouterAlert is set when a router alert option (RFC 2711) is present.
	RouterAlert bool
}

// Problem is a parameter problem message that a malformed packet calls for.
type Problem struct {
	Send bool // whether one is called for at all, ErrorAllowed permitting
	// ToGroup: it is sent even when the packet went to a group (RFC 4443
	// §2.4 e.3).
	ToGroup bool
	Code    uint8
	Pointer uint32 // offset of the byte to blame from the start of the packet
}

// option types (RFC 8200 §4.2, RFC 2711).
const (
	optPad1        = 0
	optPadN        = 1
	optRouterAlert = 5
)

// walker is the state of one Walk.
type walker struct {
	b      []byte // the packet's payload; offsets below count from the start of the packet
	limits ExtLimits
	multi  bool // destination is a group
	chain  Chain
	prob   Problem
}

// Walk follows the extension headers of a packet, h and payload as Parse
// returned them, up to the upper layer, and checks them (RFC 8200 §4). When why
// is not OK prob says which parameter problem to send, if any; the first defect
// in packet order counts. Extension headers may come in any order and number up
// to the limits, hop-by-hop options only first. Of routing headers none is
// followed: those with no segments left are passed over (type 0 included, RFC
// 5095), the others refused. Fragment headers of atomic fragments are passed
// over (RFC 6946).
func (limits ExtLimits) Walk(h Header, payload []byte) (c Chain, prob Problem, why Reason) {
	if limits.Headers == 0 {
		limits.Headers = 8
	}
	if limits.Options == 0 {
		limits.Options = 8
	}
	if limits.Bytes == 0 {
		limits.Bytes = MinMTU
	}
	w := walker{
		b: payload, limits: limits, multi: h[24] == 0xff,
		chain: Chain{Proto: h.NextHeader(), Offset: HeaderLen, NextField: 6},
	}
	why = w.walk()
	return w.chain, w.prob, why
}

// walk takes one extension header after another. A fragment that is not the
// first has its fragment header last: what follows is payload (RFC 8200 §4.5).
func (w *walker) walk() Reason {
	for count := 0; ; count++ {
		var why Reason
		switch w.chain.Proto {
		case ProtoHopByHop, ProtoDstOptions, ProtoRouting, ProtoFragment:
			if count == w.limits.Headers {
				return ReasonExtLimit
			}
			why = w.header(count == 0)
		case ProtoNoNext:
			return ReasonNoNextHeader
		default:
			return OK
		}
		if why != OK || w.chain.Fragment {
			return why
		}
	}
}

// rest returns what follows the headers walked so far.
func (w *walker) rest() []byte { return w.b[w.chain.Offset-HeaderLen:] }

// problem notes the parameter problem to send and returns why.
func (w *walker) problem(why Reason, code uint8, pointer int) Reason {
	w.prob = Problem{Send: true, Code: code, Pointer: uint32(pointer)}
	return why
}

// truncated is the reason when a header reaches past the end of the packet. In
// a first fragment the rest of the chain is in another fragment, which RFC 8200
// §4.5 forbids and answers.
func (w *walker) truncated() Reason {
	if w.chain.Fragment {
		return w.problem(ReasonFragmentIncomplete, CodeIncompleteChain, 0)
	}
	return ReasonExtTruncated
}

// header checks the extension header at the current offset and steps over it.
func (w *walker) header(first bool) Reason {
	b, at := w.rest(), w.chain.Offset
	if w.chain.Proto == ProtoHopByHop && !first {
		// RFC 8200 §4: "should take the same action as if the next header
		// value was unrecognized".
		return w.problem(ReasonHopByHopPlace, CodeUnknownNextHeader, w.chain.NextField)
	}
	if len(b) < 8 {
		return w.truncated()
	}
	if w.chain.Proto == ProtoFragment {
		return w.fragment(b)
	}
	n := 8 + int(b[1])*8
	if n > len(b) {
		return w.truncated()
	}
	if at+n-HeaderLen > w.limits.Bytes {
		return ReasonExtLimit
	}
	if w.chain.Proto == ProtoRouting {
		// Segments left 0: the packet is here, whatever the type (§4.4).
		if b[3] != 0 {
			return w.problem(ReasonRouting, CodeErroneousField, at+2)
		}
	} else if why := w.options(b[:n]); why != OK {
		return why
	}
	w.step(b[0], n)
	return OK
}

// step moves past an extension header of n bytes whose next header is next.
func (w *walker) step(next uint8, n int) {
	w.chain.NextField = w.chain.Offset
	w.chain.Proto = next
	w.chain.Offset += n
}

// fragment handles the fragment header at the start of b.
func (w *walker) fragment(b []byte) Reason {
	f := FragmentHeader(b[:FragmentHeaderLen])
	if f.IsAtomic() {
		w.step(f.NextHeader(), FragmentHeaderLen)
		return OK
	}
	w.chain.Fragment = true
	if f.Offset() != 0 {
		w.chain.Offset += FragmentHeaderLen
		return OK
	}
	w.step(f.NextHeader(), FragmentHeaderLen)
	return w.firstFragment()
}

// firstFragment walks on behind the header of a first fragment, only to see
// that the chain of headers is complete; they are checked in earnest when the
// datagram is whole.
func (w *walker) firstFragment() Reason {
	proto, rest, at := w.chain.Proto, w.rest(), w.chain.Offset
	for range w.limits.Headers {
		switch proto {
		case ProtoHopByHop, ProtoDstOptions, ProtoRouting, ProtoFragment:
			if len(rest) < 8 {
				return w.truncated()
			}
			n := 8
			if proto != ProtoFragment {
				n += int(rest[1]) * 8
			}
			if n > len(rest) {
				return w.truncated()
			}
			proto, rest, at = rest[0], rest[n:], at+n
		default:
			if len(rest) < upperLen(proto) {
				return w.truncated()
			}
			w.chain.Proto, w.chain.Offset = proto, at
			return OK
		}
	}
	return ReasonExtLimit
}

// upperLen returns how much of an upper-layer header a first fragment must hold.
func upperLen(proto uint8) int {
	switch proto {
	case ProtoTCP:
		return 20
	case ProtoUDP, ProtoICMP:
		return 8
	}
	return 0
}

// options checks the options of a hop-by-hop or destination options header, b
// being the whole of it.
func (w *walker) options(b []byte) Reason {
	pad, count := 0, 0
	for i := 2; i < len(b); {
		kind := b[i]
		if kind == optPad1 {
			if pad++; pad > 7 {
				return ReasonOptionPadding
			}
			i++
			continue
		}
		if i+2 > len(b) || i+2+int(b[i+1]) > len(b) {
			return ReasonOptionLength
		}
		data := b[i+2 : i+2+int(b[i+1])]
		if kind == optPadN {
			// Padding aligns to 8 bytes at most, and more or other of it is a
			// covert channel; Linux refuses both too.
			if pad += 2 + len(data); pad > 7 || !zero(data) {
				return ReasonOptionPadding
			}
		} else {
			pad = 0
			if count++; count > w.limits.Options {
				return ReasonOptionLimit
			}
			if why := w.option(kind, data, w.chain.Offset+i); why != OK {
				return why
			}
		}
		i += 2 + len(data)
	}
	return OK
}

// option handles one option other than padding, whose type is at the offset at.
func (w *walker) option(kind uint8, data []byte, at int) Reason {
	if kind == optRouterAlert && w.chain.Proto == ProtoHopByHop {
		if len(data) != 2 {
			return ReasonOptionLength
		}
		w.chain.RouterAlert = true
		return OK
	}
	// RFC 8200 §4.2: the highest two bits of the type say what a node does
	// that does not recognise it.
	switch kind >> 6 {
	case 0: // skip over it
		return OK
	case 1: // discard the packet
		return ReasonOptionDiscard
	case 2: // discard, and send a parameter problem even when it went to a group
		w.problem(ReasonOptionUnknown, CodeUnknownOption, at)
		w.prob.ToGroup = true
	case 3: // discard, and send one only when it did not
		if w.multi {
			return ReasonOptionDiscard
		}
		w.problem(ReasonOptionUnknown, CodeUnknownOption, at)
	}
	return ReasonOptionUnknown
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// FragmentHeader is a view of a fragment header (RFC 8200 §4.5), 8 bytes.
type FragmentHeader []byte

// NextHeader returns the type of the first header of the fragmentable part.
func (f FragmentHeader) NextHeader() uint8 { return f[0] }

// Offset returns the place of this fragment's payload in that of the datagram,
// in bytes: a multiple of 8, at most 65528.
func (f FragmentHeader) Offset() int { return int(binary.BigEndian.Uint16(f[2:]) &^ 7) }

// MoreFragments reports the M flag: this is not the last fragment.
func (f FragmentHeader) MoreFragments() bool { return f[3]&1 != 0 }

// ID returns the identification that the fragments of a datagram share.
func (f FragmentHeader) ID() uint32 { return binary.BigEndian.Uint32(f[4:]) }

// IsAtomic reports whether the packet is whole in spite of its fragment header (RFC 6946).
func (f FragmentHeader) IsAtomic() bool { return binary.BigEndian.Uint16(f[2:])&0xfff9 == 0 }

// MarshalFragmentHeader writes a fragment header to the start of b and returns
// FragmentHeaderLen. The offset is in bytes; it panics when it is not a
// multiple of 8 in 0..65528.
func MarshalFragmentHeader(b []byte, next uint8, offset int, more bool, id uint32) int {
	if offset&7 != 0 || uint(offset) > 65528 {
		panic("ipv6: fragment offset out of range")
	}
	word := uint16(offset)
	if more {
		word |= 1
	}
	binary.BigEndian.PutUint64(b, uint64(next)<<56|uint64(word)<<32|uint64(id))
	return FragmentHeaderLen
}
