package tcp

import "sort"

// chunk is a run of the stream waiting to be sent or acknowledged, in memory of the Allocator.
type chunk struct {
	b     []byte // bytes written so far; there is room for more up to its capacity
	owner Buffer
	start Seq  // sequence number of b[0]
	push  bool // its last byte was pushed (RFC 9293 §3.9.1.2) because much was written since the last push
	lent  bool // b is not the Allocator's, and is used again as soon as it is acknowledged
	loan  bool // b is the user's, until EndLoan
}

func (c *chunk) end() Seq { return c.start.Add(uint32(len(c.b))) }

// sendBuf is the send queue: every byte from SND.UNA to the last one written, in chunks. Segments
// refer to chunks and never copy; a chunk goes back when all of it is acknowledged.
type sendBuf struct {
	chunks queue[chunk]
	run    Seq   // where the run being gathered begins: what Linux has in one buffer (see left)
	cur    int32 // index of the chunk that the latest segment began in: where to look first
}

// Sizes of chunks in bytes: small writes share a small chunk, so that a connection that carries little
// holds little; bulk fills large ones.
const (
	minChunk = 512
	maxChunk = 64 << 10
)

// left returns how many bytes the run at the end of the queue still takes: runs have goal bytes, and what was sent
// of one is no longer part of it.
func (s *sendBuf) left(nxt, end Seq, goal int) int {
	if s.chunks.len() == 0 || nxt.After(s.run) {
		s.run = nxt
	}
	if n := goal - int(end.Sub(s.run)); n > 0 {
		return n
	}
	s.run = end
	return goal
}

// fresh reports whether the next byte begins another run.
func (s *sendBuf) fresh(nxt, end Seq, goal int) bool {
	return s.chunks.len() == 0 || !end.After(nxt) || int(end.Sub(s.run)) >= goal
}

// write appends bytes of p behind what is there, as many as fit into the last chunk or one new one, and
// returns how many. at is the sequence number of the next byte. goal bounds the chunk's size, backlog is
// how much waits already: a queue that grows takes larger chunks.
func (s *sendBuf) write(alloc Allocator, at Seq, p []byte, goal, backlog int) (n int) {
	if k := s.chunks.len(); k > 0 {
		c := &s.chunks.all()[k-1]
		if room := cap(c.b) - len(c.b); room > 0 {
			n = min(room, len(p))
			c.b = append(c.b, p[:n]...)
			return n
		}
	}
	size := min(max(len(p), backlog, minChunk), max(goal, minChunk))
	mem, owner := alloc.Get(size)
	mem = mem[:0:min(len(mem), max(goal, minChunk))]
	n = min(cap(mem), len(p))
	s.chunks.push(chunk{b: append(mem, p[:n]...), owner: owner, start: at})
	return n
}

// lend is write for memory that stays the user's: all of p is a chunk of its own.
func (s *sendBuf) lend(at Seq, p []byte) {
	s.chunks.push(chunk{b: p[:len(p):len(p)], start: at, loan: true})
}

// pushed reports whether the end of a pushed chunk is among the bytes up to seq, which follow those of the call before.
func (s *sendBuf) pushed(seq Seq) (push bool) {
	for cs := s.chunks.all(); int(s.cur) < len(cs) && !cs[s.cur].end().After(seq); s.cur++ {
		push = push || cs[s.cur].push
	}
	return push
}

// endLoan copies what is lent and not acknowledged before una to memory of alloc, and returns how many bytes.
func (s *sendBuf) endLoan(alloc Allocator, una Seq) (n int) {
	cs := s.chunks.all()
	for i := range cs {
		c := &cs[i]
		if !c.loan {
			continue
		}
		if done := int(una.Sub(c.start)); done > 0 {
			c.b, c.start = c.b[done:], una
		}
		mem, owner := alloc.Get(len(c.b))
		k := copy(mem, c.b)
		c.b, c.owner, c.loan = mem[:k:k], owner, false
		n += k
	}
	return n
}

// pushLast marks the end of the last chunk as pushed; nothing is added to it any more.
func (s *sendBuf) pushLast() {
	if k := s.chunks.len(); k > 0 {
		c := &s.chunks.all()[k-1]
		c.b = c.b[:len(c.b):len(c.b)]
		c.push = true
	}
}

// ackLent is ack when all there is is a chunk that is lent, which has no owner and needs no clearing: it lies where
// the next one will. It returns false when that is not the case.
func (s *sendBuf) ackLent(una Seq) bool {
	q := &s.chunks
	if q.head != len(q.items)-1 {
		return false
	}
	if c := &q.items[q.head]; !c.lent || c.end() != una {
		return false
	}
	q.items, q.head, s.cur = q.items[:0], 0, 0
	return true
}

// ackLoan is ack when all there is is on loan, and acknowledged. It returns false when that is not the case.
func (s *sendBuf) ackLoan(una Seq) bool {
	cs := s.chunks.all()
	if len(cs) == 0 {
		return false
	}
	if c := &cs[len(cs)-1]; !c.loan || c.end() != una { // those before the last are what it is, see MayLend
		return false
	}
	s.chunks.clear()
	s.cur = 0
	return true
}

// ack gives back the chunks all of whose bytes come before una.
func (s *sendBuf) ack(una Seq) {
	for s.chunks.len() > 0 {
		c := &s.chunks.all()[0]
		if c.end().After(una) {
			return
		}
		if c.owner != nil {
			c.owner.Release()
		}
		s.chunks.pop()
		s.cur = max(s.cur-1, 0)
	}
}

// release gives everything back.
func (s *sendBuf) release() {
	for _, c := range s.chunks.all() {
		if c.owner != nil {
			c.owner.Release()
		}
	}
	s.chunks.clear()
	s.cur = 0
}

// find returns the index of the chunk that holds seq, which is in the queue.
func (s *sendBuf) find(seq Seq) int {
	cs := s.chunks.all()
	for i := int(s.cur); i < len(cs) && i < int(s.cur)+2; i++ { // where it was last, or the next
		if seq.InWindow(cs[i].start, uint32(len(cs[i].b))) {
			return i
		}
	}
	return sort.Search(len(cs)-1, func(i int) bool { return cs[i].end().After(seq) })
}

// payload makes out the n > 0 bytes from seq on, which are in the queue. It takes
// a reference for each piece. push tells that the end of a pushed chunk is among them. Bytes in more
// than two chunks are gathered into a fresh one.
func (s *sendBuf) payload(alloc Allocator, seq Seq, n int, out *Payload) (push bool) {
	cs, i := s.chunks.all(), int(s.cur)
	if i >= len(cs) || !seq.InWindow(cs[i].start, uint32(len(cs[i].b))) {
		i = s.find(seq)
		s.cur = int32(i)
	}
	c := &cs[i]
	off := int(uint32(seq.Sub(c.start)))
	have := len(c.b) - off
	if have < n || c.lent {
		*out = Payload{}
		return s.gather(alloc, cs[i:], off, n, out)
	}
	if out.N != len(out.Pieces[0].B) {
		out.Pieces[1] = Piece{}
	}
	p := &out.Pieces[0]
	p.B, p.Owner, out.N, out.Lent = c.b[off:off+n], c.owner, n, c.loan
	if c.owner != nil {
		c.owner.Retain()
	}
	return c.push && have == n
}

// gather is payload for bytes that lie in several chunks, beginning at off in the first, or in memory that is lent.
func (s *sendBuf) gather(alloc Allocator, cs []chunk, off, n int, out *Payload) (push bool) {
	first := len(cs[0].b) - off
	push = cs[0].push && first <= n
	if !cs[0].lent && !cs[0].loan && !cs[1].loan && first+len(cs[1].b) >= n {
		out.Append(Piece{B: cs[0].b[off:], Owner: cs[0].owner})
		out.Append(Piece{B: cs[1].b[:n-first], Owner: cs[1].owner})
		out.Retain()
		return push || cs[1].push && n-first == len(cs[1].b)
	}
	mem, owner := alloc.Get(n)
	mem = mem[:n:n]
	got := copy(mem, cs[0].b[off:])
	for _, c := range cs[1:] {
		if got == n {
			break
		}
		got += copy(mem[got:], c.b)
		push = push || c.push
	}
	out.Append(Piece{B: mem, Owner: owner})
	return push
}
