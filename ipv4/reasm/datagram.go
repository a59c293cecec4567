package reasm

import (
	"slices"
	"time"
)

// unknown is the length of a datagram whose last fragment has not come.
const unknown = -1

// Datagram is one that is being reassembled.
type Datagram struct {
	Key Key

	head     []byte // headers of the fragment with offset 0
	extents  []extent
	data     [][]byte // of the extents, in the order of arrival
	total    int      // payload bytes, or unknown
	received int      // payload bytes in data
	seenECN  uint8    // bit 1<<codepoint for each one seen
	failed   bool     // strict policy: discard all that comes
	begun    time.Duration
	cost     int

	older, newer *Datagram // the table's list; newer also links spare ones
}

// extent is a received part of the payload, [off, end). Extents are kept in
// order, and small, since inserting one moves those behind it.
type extent struct{ off, end, data uint16 }

// place decides on f: Held, and where its extent belongs, or why not.
func (d *Datagram) place(f *Fragment, strict bool) (at int, v Verdict) {
	if d.failed {
		return 0, Overlap
	}
	off, end := f.Offset, f.Offset+f.Len
	n := len(d.extents)
	if d.total != unknown && end > d.total {
		return 0, BadEnd
	}
	if !f.More && n > 0 && int(d.extents[n-1].end) > end { // an earlier end included
		return 0, BadEnd
	}
	at = n // the common case: fragments come in order
	if n > 0 && off < int(d.extents[n-1].end) {
		at, _ = slices.BinarySearchFunc(d.extents, off, func(e extent, off int) int {
			if int(e.end) <= off {
				return -1
			}
			return 1
		})
		// All extents before at end at or before off.
		if at < n && int(d.extents[at].off) < end {
			return 0, d.overlap(at, off, end, strict)
		}
	}
	return at, Held
}

// overlap tells a duplicate from an overlap, the extent at being the first to
// share bytes with [off, end).
func (d *Datagram) overlap(at, off, end int, strict bool) Verdict {
	e := d.extents[at]
	if strict {
		if int(e.off) == off && int(e.end) == end {
			return Duplicate
		}
		return Overlap
	}
	if int(e.off) > off {
		return Overlap
	}
	for int(e.end) < end { // is every byte of it in extents that touch?
		at++
		if at == len(d.extents) || d.extents[at].off != e.end {
			return Overlap
		}
		e = d.extents[at]
	}
	return Duplicate
}

// insert adds the extent of f with its data.
func (d *Datagram) insert(at int, f *Fragment, buf []byte) {
	end := f.Offset + f.Len
	d.extents = slices.Insert(d.extents, at, extent{uint16(f.Offset), uint16(end), uint16(len(d.data))})
	d.data = append(d.data, buf)
	d.received += f.Len
	d.seenECN |= 1 << (f.ECN & 3)
	if !f.More {
		d.total = end
	}
}

// Len returns the length in bytes of a complete datagram's payload.
func (d *Datagram) Len() int { return d.total }

// Head returns the headers of the fragment with offset 0, or nothing when it
// has not come. They are valid until the datagram is released.
func (d *Datagram) Head() []byte { return d.head }

// CopyPayload copies a complete datagram's payload to dst, of at least Len bytes.
func (d *Datagram) CopyPayload(dst []byte) {
	for _, e := range d.extents {
		copy(dst[e.off:e.end], d.data[e.data])
	}
}

// First returns the fragment with offset 0, headers and payload, as it came but
// cut to limit bytes, or nil when it has not come. The memory is the caller's.
func (d *Datagram) First(limit int) []byte {
	if len(d.extents) == 0 || d.extents[0].off != 0 {
		return nil
	}
	b := append([]byte(nil), d.head...)
	b = append(b, d.data[d.extents[0].data]...)
	return b[:min(len(b), limit)]
}

// ECN returns the codepoint of the whole datagram from those of its fragments,
// the first one's being first (RFC 3168 §5.3, as Linux reads it): congestion
// experienced by one is experienced by all, but fragments that take part in ECN
// and others that do not (Not-ECT) cannot be of one datagram: ok is false.
func (d *Datagram) ECN(first uint8) (ecn uint8, ok bool) {
	const notECT, ce = 1 << 0, 1 << 3
	if d.seenECN&notECT != 0 {
		return 0, d.seenECN == notECT
	}
	if d.seenECN&ce != 0 {
		return 3, true
	}
	return first & 3, true
}

// spares recycles datagrams and buffers, so that a stream of fragmented
// datagrams allocates nothing, in bounded number.
type spares struct {
	datagrams *Datagram // linked by newer
	n         int
	buffers   [spareBuffers][]byte
	oldest    int // of the buffers: the next to be replaced
}

const (
	spareDatagrams = 16
	spareBuffers   = 16
	keepExtents    = 256 // a spare datagram's lists are not kept when they grew larger
)

// datagram returns an empty one.
func (s *spares) datagram() *Datagram {
	d := s.datagrams
	if d == nil {
		return &Datagram{}
	}
	s.datagrams, s.n = d.newer, s.n-1
	d.newer = nil
	return d
}

// put takes d back, emptied.
func (s *spares) put(d *Datagram) {
	s.strip(d)
	if s.n >= spareDatagrams {
		return
	}
	*d = Datagram{head: d.head[:0], extents: d.extents[:0], data: d.data[:0], newer: s.datagrams}
	s.datagrams, s.n = d, s.n+1
}

// strip frees what d holds.
func (s *spares) strip(d *Datagram) {
	for i, b := range d.data {
		s.keep(b)
		d.data[i] = nil
	}
	d.data, d.head, d.received = d.data[:0], d.head[:0], 0
	d.extents = d.extents[:0]
	if cap(d.extents) > keepExtents {
		d.extents, d.data = nil, nil
	}
}

// buffer returns an empty buffer with room for n bytes.
func (s *spares) buffer(n int) []byte {
	for i, b := range s.buffers {
		// A much larger one would hold memory that is not accounted for.
		if c := cap(b); c >= n && c <= n+n/8+64 {
			s.buffers[i] = nil
			return b[:0]
		}
	}
	return make([]byte, 0, n)
}

// keep stores a buffer for later, in a free place or that of the oldest, so
// that the stock follows the sizes in use.
func (s *spares) keep(b []byte) {
	for i := range s.buffers {
		if s.buffers[i] == nil {
			s.buffers[i] = b
			return
		}
	}
	s.buffers[s.oldest] = b
	s.oldest = (s.oldest + 1) % spareBuffers
}
