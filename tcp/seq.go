package tcp

// Seq is a sequence number: a position in the byte stream modulo 2**32 (RFC 9293 §3.4).
//
// Sequence numbers wrap, so they are compared in serial arithmetic: a is before b when the shortest
// way from a to b leads forward. That is an order only among numbers less than 2**31 apart, which the
// largest scaled window (2**30, RFC 7323 §2.3) guarantees for everything inside a connection. Two
// numbers exactly 2**31 apart are each before the other, as in Linux.
//
// Never compare Seq values with < or >; == is fine.
type Seq uint32

// Before reports whether s comes before o: SEQ.LT in the RFC's notation.
func (s Seq) Before(o Seq) bool { return int32(s-o) < 0 }

// After reports whether s comes after o.
func (s Seq) After(o Seq) bool { return int32(o-s) < 0 }

// AtOrBefore reports whether s equals o or comes before it.
func (s Seq) AtOrBefore(o Seq) bool { return int32(o-s) >= 0 }

// AtOrAfter reports whether s equals o or comes after it.
func (s Seq) AtOrAfter(o Seq) bool { return int32(s-o) >= 0 }

// InWindow reports whether s is one of the wnd numbers start, start+1, … start+wnd-1:
// "start =< s < start+wnd". Nothing is in an empty window. Exact for every wnd, also beyond 2**31.
func (s Seq) InWindow(start Seq, wnd uint32) bool { return uint32(s-start) < wnd }

// Between reports whether lo =< s =< hi, walking forward from lo. Exact at any distance; the
// acceptable-ACK test "SND.UNA < SEG.ACK =< SND.NXT" is s.Between(una.Add(1), nxt) for una != nxt.
func (s Seq) Between(lo, hi Seq) bool { return uint32(s-lo) <= uint32(hi-lo) }

// Add returns the number n bytes further on.
func (s Seq) Add(n uint32) Seq { return s + Seq(n) }

// Sub returns the signed distance from o to s: positive when s is after o.
func (s Seq) Sub(o Seq) int32 { return int32(s - o) }

// Max returns the later of s and o.
func (s Seq) Max(o Seq) Seq {
	if s.Before(o) {
		return o
	}
	return s
}

// Min returns the earlier of s and o.
func (s Seq) Min(o Seq) Seq {
	if o.Before(s) {
		return o
	}
	return s
}

// Range is the half-open interval [Start, End) of sequence numbers, for instance a SACK block
// (RFC 2018 §3: left edge, and the number immediately following the right edge).
type Range struct{ Start, End Seq }

// Len returns the number of sequence numbers in r. A range whose End is before its Start has none.
func (r Range) Len() uint32 {
	if r.End.AtOrBefore(r.Start) {
		return 0
	}
	return uint32(r.End - r.Start)
}

// Empty reports whether r holds no sequence number.
func (r Range) Empty() bool { return r.End.AtOrBefore(r.Start) }

// Contains reports whether s lies in r.
func (r Range) Contains(s Seq) bool { return s.InWindow(r.Start, r.Len()) }

// Covers reports whether every number of o lies in r. An empty o is covered by everything.
func (r Range) Covers(o Range) bool {
	return o.Empty() || r.Start.AtOrBefore(o.Start) && o.End.AtOrBefore(r.End)
}

// Overlaps reports whether r and o share a number. Ranges that only touch do not.
func (r Range) Overlaps(o Range) bool {
	return !r.Empty() && !o.Empty() && r.Start.Before(o.End) && o.Start.Before(r.End)
}
