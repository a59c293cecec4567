package tcp

// Buffer owns payload memory by reference count (*device.Buf satisfies it). The memory is used again
// after the last Release.
type Buffer interface {
	Retain()
	Release()
}

// Piece is a run of payload bytes and the owner of their memory; a nil Owner means memory of the
// garbage collector, which needs no reference.
type Piece struct {
	B     []byte
	Owner Buffer
}

// owned is a copy of q, which is not empty, in memory of alloc.
func (q Piece) owned(alloc Allocator) Piece {
	b, owner := alloc.Get(len(q.B))
	return Piece{B: append(b[:0], q.B...), Owner: owner}
}

// Payload is the data of one segment: up to two pieces in order, so that a segment may straddle the
// boundary of two send buffer chunks without a copy. The zero value is empty.
//
// Copying a Payload copies no reference; Retain and Release say who keeps the memory alive. The bytes
// are shared and must not be written once the payload was given to somebody.
type Payload struct {
	Pieces [2]Piece // filled from the front
	N      int      // total bytes
	// Lent says that the bytes have no owner and are used for something else when Input returns. Who keeps them copies
	// them.
	Lent bool
}

// Len returns the number of bytes.
func (p *Payload) Len() int { return p.N }

// At returns the i-th byte, of N.
func (p *Payload) At(i int) byte {
	if n := len(p.Pieces[0].B); i >= n {
		return p.Pieces[1].B[i-n]
	}
	return p.Pieces[0].B[i]
}

// Append puts q behind the payload and reports whether there was room. Neither takes nor drops a
// reference: one that comes with q passes to p on success. An empty q leaves p as it is and is
// reported as success, and then its reference, if any, stays with the caller.
func (p *Payload) Append(q Piece) bool {
	if len(q.B) == 0 {
		return true
	}
	for i := range p.Pieces {
		if len(p.Pieces[i].B) == 0 {
			p.Pieces[i] = q
			p.N += len(q.B)
			return true
		}
	}
	return false
}

// Retain takes one more reference on every piece.
func (p *Payload) Retain() {
	for i := range p.Pieces {
		if o := p.Pieces[i].Owner; o != nil {
			o.Retain()
		}
	}
}

// Release drops one reference on every piece and empties p.
func (p *Payload) Release() {
	for i := range p.Pieces {
		if o := p.Pieces[i].Owner; o != nil {
			o.Release()
		}
	}
	*p = Payload{}
}

// copied returns p in memory of alloc, with one reference.
func (p *Payload) copied(alloc Allocator) Payload {
	b, owner := alloc.Get(p.N)
	b = b[:p.N:p.N]
	p.CopyTo(b, 0)
	return Payload{Pieces: [2]Piece{{B: b, Owner: owner}}, N: p.N}
}

// Slice returns the bytes [from, to) of p, clamped to what there is. It takes no reference: pieces
// that lie outside are left out, so Retain the result, not p, to keep exactly these bytes.
func (p *Payload) Slice(from, to int) Payload {
	out := Payload{Lent: p.Lent}
	from = max(from, 0)
	to = min(to, p.N)
	for i := range p.Pieces {
		q := p.Pieces[i]
		lo, hi := max(from, 0), min(to, len(q.B))
		if lo < hi {
			out.Append(Piece{B: q.B[lo:hi], Owner: q.Owner})
		}
		from -= len(q.B)
		to -= len(q.B)
	}
	return out
}

// CopyTo copies the bytes from offset off on into dst and returns how many were copied.
func (p *Payload) CopyTo(dst []byte, off int) int {
	n := 0
	for i := range p.Pieces {
		b := p.Pieces[i].B
		if off >= len(b) {
			off -= len(b)
			continue
		}
		n += copy(dst[n:], b[max(off, 0):])
		off = 0
	}
	return n
}
