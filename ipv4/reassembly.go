package ipv4

import (
	"encoding/binary"
	"net/netip"
	"time"

	"example.com/loopback/ipv4/reasm"
)

// ReassemblyTimeout is how long the fragments of a datagram are kept from the
// arrival of the first of them: Linux's, within the 15 s of RFC 791 and the 60
// to 120 s of RFC 1122 §3.3.2.
const ReassemblyTimeout = 30 * time.Second

// Never is the deadline of a Reassembler that holds nothing.
const Never = reasm.Never

// Reassembler puts the fragments of datagrams together (RFC 791 §3.2, RFC 815).
// It reads no clock: times are those of its caller, and must not run backwards.
// The zero value works, with the limits of package reasm. It is not safe for
// concurrent use.
//
// The policy on fragments that overlap is Linux's: one whose bytes have all
// been received already is dropped and changes nothing; any other overlap drops
// the whole datagram, so that no two hosts can read different things from it.
// We differ from Linux in a fragment that is not the last and whose length is
// not a multiple of 8: Linux cuts it, here it is dropped.
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
}

// Input takes one fragment: its header, and its payload in any number of
// pieces, which are copied, as far as the header's total length goes. When it completes its datagram, that is returned
// whole: the header of the first fragment, its options included, with total
// length, flags, ECN and checksum brought up to date, and the payload. Otherwise
// datagram is nil, and why is OK when the fragment is kept for later. A packet
// that is not a fragment is returned at once, copied.
func (r *Reassembler) Input(now time.Duration, h Header, payload ...[]byte) (datagram []byte, why Reason) {
	f := reasm.Fragment{Head: h, Pieces: payload, Offset: h.FragmentOffset(), More: h.MoreFragments(), ECN: h.ECN()}
	for _, p := range payload {
		f.Len += len(p)
	}
	f.Len = max(min(f.Len, h.PayloadLen()), 0)
	switch {
	case len(h)+f.Offset+f.Len > MaxLen:
		return nil, r.refuse(ReasonFragmentTooBig)
	case !h.IsFragment():
		return r.whole(h, payload, f.Len), OK
	case f.Len == 0 || f.More && f.Len&7 != 0:
		return nil, r.refuse(ReasonFragmentLength)
	}
	r.prepare()
	key := reasm.Key{Src: h.Src(), Dst: h.Dst(), ID: uint32(h.ID()), Proto: h.Protocol()}
	d, v := r.table.Input(now, key, &f)
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

// refuse counts a fragment that does not reach the table.
func (r *Reassembler) refuse(why Reason) Reason {
	r.table.Stats.Fragments++
	r.table.Stats.Refused++
	return why
}

// prepare passes the limits on; they may have been changed since the last call.
func (r *Reassembler) prepare() {
	r.table.Limits = reasm.Limits{
		Timeout: r.maxAge(), MaxBytes: r.MaxBytes,
		MaxDatagrams: r.MaxDatagrams, MaxPerSource: r.MaxPerSource,
	}
}

func (r *Reassembler) maxAge() time.Duration {
	if r.MaxAge == 0 {
		return ReassemblyTimeout
	}
	return r.MaxAge
}

// whole returns a copy of a packet that is not a fragment.
func (r *Reassembler) whole(h Header, payload [][]byte, n int) []byte {
	b := append(r.alloc(len(h) + n)[:0], h...)
	for _, p := range payload {
		b = append(b, p[:min(len(p), len(h)+n-len(b))]...)
	}
	return b
}

// complete builds the datagram of d. The first fragment's header may be longer
// than those that the others' lengths were checked with.
func (r *Reassembler) complete(d *reasm.Datagram) ([]byte, Reason) {
	head := Header(d.Head())
	total := len(head) + d.Len()
	if total > MaxLen {
		r.table.Reject(d)
		return nil, ReasonFragmentTooBig
	}
	ecn, ok := d.ECN(head.ECN())
	if !ok {
		r.table.Reject(d)
		return nil, ReasonFragmentECN
	}
	b := r.alloc(total)
	h := Header(b[:copy(b, head)])
	h.SetTOS(h.TOS()&^3 | ecn)
	binary.BigEndian.PutUint16(h[2:], uint16(total))
	binary.BigEndian.PutUint16(h[6:], 0)
	h.UpdateChecksum()
	d.CopyPayload(b[len(h):])
	r.table.Release(d)
	return b, OK
}

func (r *Reassembler) alloc(n int) []byte {
	if r.Alloc == nil {
		return make([]byte, n)
	}
	return r.Alloc(n)[:n]
}

// Deadline returns when Timeout is to be called next; Never when nothing is held.
func (r *Reassembler) Deadline() time.Duration { return r.table.Deadline() }

// Timeout drops the datagrams that were not completed in time at now and calls
// expired, unless nil, for each, in the order in which they were begun. first
// is the fragment with offset 0, as it came but cut to MaxErrorLen bytes: what
// a time exceeded message with CodeReassemblyExceeded quotes. It is nil when
// that fragment has not come, and then "no time exceeded need be sent at all"
// (RFC 792). It is the callee's to keep.
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
