package floor

// The ring of a stream begins at firstCap bytes, on the first write, and doubles when it is full
// until it holds maxCap bytes: an idle connection owns no buffer, a bulk transfer has one that
// stays within a core's own cache.
const (
	firstCap = 64
	maxCap   = 256 << 10
)

// ring is a byte queue. It is not safe for concurrent use: its owner has the mutex.
type ring struct {
	buf  []byte // capacity is a power of two, or nil
	head int    // where the oldest byte is
	n    int    // bytes held
}

// put copies as much of p as fits and returns how much that was.
func (r *ring) put(p []byte) int {
	for r.n+len(p) > len(r.buf) && len(r.buf) < maxCap {
		r.grow()
	}
	free := len(r.buf) - r.n
	if len(p) > free {
		p = p[:free]
	}
	if len(p) == 0 {
		return 0
	}
	tail := (r.head + r.n) & (len(r.buf) - 1)
	done := copy(r.buf[tail:], p)
	copy(r.buf, p[done:])
	r.n += len(p)
	return len(p)
}

// get copies up to len(p) of the oldest bytes out and forgets them.
func (r *ring) get(p []byte) int {
	if len(p) > r.n {
		p = p[:r.n]
	}
	if len(p) == 0 {
		return 0
	}
	done := copy(p, r.buf[r.head:])
	copy(p[done:], r.buf)
	r.n -= len(p)
	r.head = (r.head + len(p)) & (len(r.buf) - 1)
	if r.n == 0 {
		r.head = 0 // start again where the cache is warm
	}
	return len(p)
}

// grow doubles the ring.
func (r *ring) grow() {
	size := firstCap
	if len(r.buf) > 0 {
		size = 2 * len(r.buf)
	}
	buf := make([]byte, size)
	done := copy(buf, r.buf[r.head:min(r.head+r.n, len(r.buf))])
	copy(buf[done:], r.buf[:r.n-done])
	r.buf, r.head = buf, 0
}
