package device

// A backlog is a bounded first-in-first-out queue of packets, for the holder of a queue's baton alone: the
// part of the RX ring on which a link puts what it hands back within a poll. It needs no atomic
// instruction for it, and grows with use.
type backlog struct {
	first uint      // the next to take
	end   uint      // behind the last
	limit int       // the most it holds
	slots []*Packet // len is a power of two
}

// firstBacklog is how many packets a backlog has room for at first.
const firstBacklog = 8

// len returns how many packets wait, and room how many more there is room for.
func (l *backlog) len() int  { return int(l.end - l.first) }
func (l *backlog) room() int { return l.limit - l.len() }

// put appends the first of ps, as many as there is room for, and returns how many.
func (l *backlog) put(ps []*Packet) int {
	n := min(len(ps), l.room())
	if l.len()+n > len(l.slots) {
		l.grow(l.len() + n)
	}
	if n == 1 { // the usual case
		l.slots[l.end&uint(len(l.slots)-1)] = ps[0]
		l.end++
		return 1
	}
	first := copy(l.slots[l.end&uint(len(l.slots)-1):], ps[:n])
	copy(l.slots, ps[first:n])
	l.end += uint(n)
	return n
}

// grow makes room for n packets, unless that is more than the limit.
func (l *backlog) grow(n int) bool {
	if n > l.limit {
		return false
	}
	size := max(len(l.slots), min(firstBacklog, l.limit))
	for size < n {
		size *= 2
	}
	slots := make([]*Packet, size)
	used := l.take(slots)
	l.slots, l.first, l.end = slots, 0, uint(used)
	return true
}

// take moves the oldest packets to ps, as many as there are and ps has room for, and returns how many.
func (l *backlog) take(ps []*Packet) int {
	n := min(len(ps), l.len())
	switch n {
	case 0:
		return 0
	case 1:
		s := &l.slots[l.first&uint(len(l.slots)-1)]
		ps[0], *s = *s, nil
		l.first++
		return 1
	}
	part := l.slots[l.first&uint(len(l.slots)-1):]
	first := copy(ps[:n], part)
	clear(part[:first])
	rest := l.slots[:n-first]
	copy(ps[first:n], rest)
	clear(rest)
	l.first += uint(n)
	return n
}
