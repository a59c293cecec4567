package ipv6

import (
	"encoding/binary"
	"net/netip"
	"time"

	"example.com/loopback/ipv4/reasm"
)

// ReassemblyTimeout is how long the fragments of a datagram are kept from the
// arrival of the first of them (RFC 8200 §4.5).
const ReassemblyTimeout = 60 * time.Second

// Never is the deadline of a Reassembler that holds nothing.
const Never = reasm.Never

// Reassembler puts the fragments of datagrams together (RFC 8200 §4.5). It
// reads no clock: times are those of its caller, and must not run backwards.
// The zero value works, with the limits of package reasm. It is not safe for
// concurrent use.
//
// The policy on fragments that overlap is RFC 5722's: exact duplicates are
// dropped and change nothing; any other overlap silently drops the whole
// datagram, those of its fragments that are still to come included. Atomic
// fragments never meet others (RFC 6946).
type Reassembler struct {
	// MaxBytes, MaxDatagrams and MaxPerSource bound what is held; past a bound
	// the oldest datagram is dropped. 0: 4 MiB, 1024 datagrams, 512 of one source.
	MaxBytes, MaxDatagrams, MaxPerSource int
	// MaxAge is how long a datagram may take, counted from its first
	// fragment's arrival. 0: ReassemblyTimeout.
	MaxAge time.Duration
	// Alloc returns memory of n bytes for a complete datagram, which need not
	// be zeroed and becomes the caller's of Input. nil: make.
	Alloc func(n int) []byte

	table reasm.Table
	head  [HeaderLen + maxUnfragmentable + FragmentHeaderLen]byte // of the fragment in hand
}

// maxUnfragmentable bounds the extension headers before the fragment header.
const maxUnfragmentable = 256

// Input takes one fragment: its fixed header, and its payload in any number of
// pieces, which are copied as far as the payload length goes. The first piece holds all extension headers up to
// the fragment header, which Walk has accepted. When the fragment completes its
// datagram, that is returned whole: the headers of the first fragment without
// the fragment header, payload length and ECN brought up to date, and the rest
// of the payload. Otherwise datagram is nil, and why is OK when the fragment is
// kept for later. An atomic fragment is returned at once, without its fragment
// header. What parameter problem a reason calls for FragmentProblem says.
func (r *Reassembler) Input(now time.Duration, h Header, payload ...[]byte) (datagram []byte, why Reason) {
	if len(payload) == 0 {
		return nil, r.refuse(ReasonExtTruncated)
	}
	at, _, ok := findFragment(h.NextHeader(), payload[0])
	if !ok || at > maxUnfragmentable {
		return nil, r.refuse(ReasonExtTruncated)
	}
	fh := FragmentHeader(payload[0][at : at+FragmentHeaderLen])
	head := append(append(r.head[:0], h[:HeaderLen]...), payload[0][:at+FragmentHeaderLen]...)
	f := reasm.Fragment{Head: head, Pieces: payload, Offset: fh.Offset(), More: fh.MoreFragments(), ECN: h.ECN()}
	for _, p := range payload {
		f.Len += len(p)
	}
	f.Len = max(min(f.Len, h.PayloadLen())-at-FragmentHeaderLen, 0)
	switch {
	case at+f.Offset+f.Len > MaxPayloadLen:
		return nil, r.refuse(ReasonFragmentTooBig)
	case f.More && f.Len&7 != 0:
		return nil, r.refuse(ReasonFragmentLength)
	case f.Len == 0 && !fh.IsAtomic():
		return nil, r.refuse(ReasonFragmentEmpty)
	}
	first := payload[0]
	payload[0] = first[at+FragmentHeaderLen:]
	datagram, why = r.place(now, fh, &f, head, h)
	payload[0] = first
	return datagram, why
}

// place hands the fragment f to the table.
func (r *Reassembler) place(now time.Duration, fh FragmentHeader, f *reasm.Fragment, head []byte, h Header) ([]byte, Reason) {
	if fh.IsAtomic() {
		b := r.join(head, f.Len)
		rest := b[len(head)-FragmentHeaderLen:]
		for _, p := range f.Pieces {
			rest = rest[copy(rest, p):]
		}
		return b, OK
	}
	r.prepare()
	// The next header is not part of the key (RFC 8200 §4.5): that of the
	// first fragment is used.
	d, v := r.table.Input(now, reasm.Key{Src: h.Src(), Dst: h.Dst(), ID: fh.ID()}, f)
	switch v {
	case reasm.Complete:
		return r.complete(d)
	case reasm.Duplicate:
		return nil, ReasonFragmentDup
	case reasm.Overlap:
		return nil, ReasonFragmentOverlap
	case reasm.BadEnd:
		return nil, ReasonFragmentEnd
	case reasm.Full:
		return nil, ReasonReassemblyFull
	}
	return nil, OK
}

// findFragment returns where in the payload b the fragment header is, behind
// headers of the first type proto, and where the next header byte is that
// names it, -1 standing for the fixed header's.
func findFragment(proto uint8, b []byte) (at, nextField int, ok bool) {
	nextField = -1
	for proto != ProtoFragment {
		switch proto {
		case ProtoHopByHop, ProtoDstOptions, ProtoRouting:
		default:
			return 0, 0, false
		}
		if at+8 > len(b) {
			return 0, 0, false
		}
		proto, nextField = b[at], at
		at += 8 + int(b[at+1])*8
	}
	return at, nextField, at+FragmentHeaderLen <= len(b)
}

// refuse counts a fragment that does not reach the table.
func (r *Reassembler) refuse(why Reason) Reason {
	r.table.Stats.Fragments++
	r.table.Stats.Refused++
	return why
}

// prepare passes the limits on; they may have been changed since the last call.
func (r *Reassembler) prepare() {
	age := r.MaxAge
	if age == 0 {
		age = ReassemblyTimeout
	}
	r.table.Limits = reasm.Limits{
		Timeout: age, MaxBytes: r.MaxBytes,
		MaxDatagrams: r.MaxDatagrams, MaxPerSource: r.MaxPerSource, Strict: true,
	}
}

// complete builds the datagram of d. The first fragment's extension headers may
// be longer than those that the others' lengths were checked with.
func (r *Reassembler) complete(d *reasm.Datagram) ([]byte, Reason) {
	head := d.Head()
	if len(head)-HeaderLen-FragmentHeaderLen+d.Len() > MaxPayloadLen {
		r.table.Reject(d)
		return nil, ReasonFragmentTooBig
	}
	ecn, ok := d.ECN(Header(head).ECN())
	if !ok {
		r.table.Reject(d)
		return nil, ReasonFragmentECN
	}
	b := r.join(head, d.Len())
	h := Header(b)
	h.SetTrafficClass(h.TrafficClass()&^3 | ecn)
	d.CopyPayload(b[len(head)-FragmentHeaderLen:])
	r.table.Release(d)
	return b, OK
}

// join allocates a packet with n bytes of payload behind the headers head,
// which end with a fragment header, and writes them there without it.
func (r *Reassembler) join(head []byte, n int) []byte {
	unfragmentable := len(head) - FragmentHeaderLen
	b := r.alloc(unfragmentable + n)
	copy(b, head[:unfragmentable])
	next := head[unfragmentable]
	if _, field, _ := findFragment(head[6], head[HeaderLen:]); field < 0 {
		b[6] = next
	} else {
		b[HeaderLen+field] = next
	}
	binary.BigEndian.PutUint16(b[4:], uint16(unfragmentable-HeaderLen+n))
	return b
}

func (r *Reassembler) alloc(n int) []byte {
	if r.Alloc == nil {
		return make([]byte, n)
	}
	return r.Alloc(n)[:n]
}

// FragmentProblem returns the parameter problem that RFC 8200 §4.5 wants for a
// fragment that Input refused for the reason why: h and payload are what Input
// got, the first piece being enough. Send is false for reasons without one.
func FragmentProblem(h Header, payload []byte, why Reason) Problem {
	switch why {
	case ReasonFragmentLength: // points to the payload length field
		return Problem{Send: true, Code: CodeErroneousField, Pointer: 4}
	case ReasonFragmentTooBig: // points to the fragment offset field
		if at, _, ok := findFragment(h.NextHeader(), payload); ok {
			return Problem{Send: true, Code: CodeErroneousField, Pointer: uint32(HeaderLen + at + 2)}
		}
	}
	return Problem{}
}

// Deadline returns when Timeout is to be called next; Never when nothing is held.
func (r *Reassembler) Deadline() time.Duration { return r.table.Deadline() }

// Timeout drops the datagrams that were not completed in time at now and calls
// expired, unless nil, for each, in the order in which they were begun. first
// is the fragment with offset 0, as it came but cut to MaxErrorLen bytes: what
// a time exceeded message with CodeReassemblyExceeded quotes. It is nil when
// that fragment has not come, and then none is sent (RFC 8200 §4.5). It is the
// callee's to keep.
func (r *Reassembler) Timeout(now time.Duration, expired func(first []byte, src, dst netip.Addr)) {
	if r.table.Deadline() > now {
		return
	}
	r.table.Timeout(now, func(d *reasm.Datagram) {
		if expired != nil {
			expired(d.First(MaxErrorLen), d.Key.Src, d.Key.Dst)
		}
	})
}

// ReassemblyStats counts what became of fragments and datagrams; see there.
type ReassemblyStats = reasm.Stats

// Stats returns the counters so far.
func (r *Reassembler) Stats() ReassemblyStats { return r.table.Stats }

// Held returns how many incomplete datagrams there are, of how many fragments,
// and the memory that they are accounted with.
func (r *Reassembler) Held() (datagrams, fragments, bytes int) { return r.table.Held() }
