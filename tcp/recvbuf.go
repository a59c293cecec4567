package tcp

// recvBuf is the receive queue: bytes in order that the user has not read, as pieces of the memory they
// arrived in.
type recvBuf struct {
	pieces  queue[Piece]
	bytes   int  // in all pieces
	private bool // the last piece is memory of ours with room behind it
}

const (
	// pieceOverhead is what a piece or a segment held counts beyond its bytes, so that many small ones
	// fill the receive buffer too.
	pieceOverhead = 256
	// A piece below smallPiece bytes is copied to others of its kind when smallPieces are queued: each
	// holds on to a whole buffer.
	smallPiece   = 1 << 10
	smallPieces  = 8
	privateChunk = 16 << 10
)

// append takes the bytes of p, with a reference of its own to their memory where it does not copy. It
// returns how many pieces it copied instead.
func (r *recvBuf) append(alloc Allocator, p *Payload) (copied int) {
	for i := range p.Pieces {
		q := p.Pieces[i]
		if len(q.B) == 0 {
			continue
		}
		r.bytes += len(q.B)
		if p.Lent {
			r.keep(alloc, q)
			continue
		}
		if r.join(q) {
			continue
		}
		if len(q.B) < smallPiece && r.pieces.len() >= smallPieces {
			r.absorb(alloc, q)
			copied++
			continue
		}
		if q.Owner != nil {
			q.Owner.Retain()
		}
		r.pieces.push(q)
		r.private = false
	}
	return copied
}

// join makes the last piece longer when q follows it in the same memory.
func (r *recvBuf) join(q Piece) bool {
	k := r.pieces.len()
	if k == 0 {
		return false
	}
	last := &r.pieces.all()[k-1]
	n := len(last.B)
	if q.Owner == nil || last.Owner != q.Owner || cap(last.B)-n < len(q.B) || &last.B[:n+1][n] != &q.B[0] {
		return false
	}
	last.B = last.B[:n+len(q.B)]
	return true
}

// absorb copies q behind the last piece when that is ours, or into a new piece of our own.
func (r *recvBuf) absorb(alloc Allocator, q Piece) {
	r.copyIn(alloc, q, privateChunk)
}

// keep is absorb for bytes that are lent: there may be no others.
func (r *recvBuf) keep(alloc Allocator, q Piece) { r.copyIn(alloc, q, max(len(q.B), minChunk)) }

// copyIn copies q behind the last piece when that is ours, or into a new piece of size bytes.
func (r *recvBuf) copyIn(alloc Allocator, q Piece, size int) {
	if k := r.pieces.len(); k > 0 && r.private {
		last := &r.pieces.all()[k-1]
		if cap(last.B)-len(last.B) >= len(q.B) {
			last.B = append(last.B, q.B...)
			return
		}
	}
	mem, owner := alloc.Get(size)
	r.pieces.push(Piece{B: append(mem[:0], q.B...), Owner: owner})
	r.private = true
}

// borrowed is the owner of bytes that stay where they are for now: what is lent, see TCB.InputBorrowed.
type borrowed struct{}

// Retain and Release do nothing: who lent the bytes says how long they are there.
func (borrowed) Retain()  {}
func (borrowed) Release() {}

// borrow appends b, which is not empty, without a copy.
func (r *recvBuf) borrow(b []byte) {
	r.pieces.push(Piece{B: b, Owner: borrowed{}})
	r.bytes += len(b)
	r.private = false
}

// own copies what is borrowed, and returns how many bytes that is.
func (r *recvBuf) own(alloc Allocator) (n int) {
	ps := r.pieces.all()
	for i := range ps {
		if ps[i].Owner == (borrowed{}) {
			n += len(ps[i].B)
			ps[i] = ps[i].owned(alloc)
		}
	}
	return n
}

// read copies to p what fits, gives memory that was read completely back, and returns the count.
func (r *recvBuf) read(p []byte) int {
	n := 0
	for n < len(p) && r.pieces.len() > 0 {
		k := copy(p[n:], r.pieces.all()[0].B)
		n += k
		r.skip(k)
	}
	return n
}

// skip drops the first n bytes of the first piece, which has them.
func (r *recvBuf) skip(n int) {
	first := &r.pieces.all()[0]
	r.bytes -= n
	if n < len(first.B) {
		first.B = first.B[n:]
		return
	}
	if first.Owner != nil {
		first.Owner.Release()
	}
	r.pieces.pop()
	if r.pieces.len() == 0 {
		r.private = false
	}
}

// peek copies bytes from offset off on to p without taking them.
func (r *recvBuf) peek(p []byte, off int) int {
	n := 0
	for _, q := range r.pieces.all() {
		if n == len(p) {
			break
		}
		if off >= len(q.B) {
			off -= len(q.B)
			continue
		}
		n += copy(p[n:], q.B[off:])
		off = 0
	}
	return n
}

// release gives everything back.
func (r *recvBuf) release() {
	for _, q := range r.pieces.all() {
		if q.Owner != nil {
			q.Owner.Release()
		}
	}
	r.pieces.clear()
	r.bytes, r.private = 0, false
}
