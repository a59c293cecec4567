package socket

// An acceptQueue holds the connections that wait to be accepted, first come,
// first served. Its memory is used again: a listener whose users keep up
// allocates nothing for it. It belongs to the listener's lock.
type acceptQueue struct {
	conns []*TCPConn
	first int // those before it are gone
}

func (q *acceptQueue) len() int { return len(q.conns) - q.first }

// push appends c.
func (q *acceptQueue) push(c *TCPConn) {
	if len(q.conns) == cap(q.conns) && q.first > len(q.conns)/2 {
		n := copy(q.conns, q.conns[q.first:])
		clear(q.conns[n:])
		q.conns, q.first = q.conns[:n], 0
	}
	q.conns = append(q.conns, c)
}

// pop takes the first one out; nil when there is none.
func (q *acceptQueue) pop() *TCPConn {
	if q.len() == 0 {
		return nil
	}
	c := q.conns[q.first]
	q.conns[q.first] = nil
	if q.first++; q.first == len(q.conns) {
		q.conns, q.first = q.conns[:0], 0
	}
	return c
}

// takeAll empties the queue, whose memory goes with what it held.
func (q *acceptQueue) takeAll() []*TCPConn {
	all := q.conns[q.first:]
	*q = acceptQueue{}
	return all
}
