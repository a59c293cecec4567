package sim

import "time"

// An event is what a Queue has to do at a time to come. Those who own one (a timer, a packet in a link) enter it again and
// again; those made for a call of At belong to the Queue, which uses them again. All of it is guarded by the Queue's lock.
type event struct {
	due   time.Duration
	key   Key
	order uint64 // of scheduling: decides between equal keys, which the users should not have
	f     func()
	pos   int    // index in the heap plus one; 0: not pending
	spare *event // the next one in the Queue's list of those that are free
	ours  bool   // the Queue's
}

// before reports whether e happens before o, when both are due at the same time.
func (e *event) before(o *event) bool {
	if c := e.key.Compare(o.key); c != 0 {
		return c < 0
	}
	return e.order < o.order
}

// eventHeap is a binary heap: the earliest event is the first. Entries have the due time beside the pointer, as it is what
// nearly all comparisons are decided by.
type eventHeap []heapEntry

type heapEntry struct {
	due time.Duration
	e   *event
}

func (a heapEntry) before(b heapEntry) bool {
	if a.due != b.due {
		return a.due < b.due
	}
	return a.e.before(b.e)
}

// push enters an event that is not pending.
func (h *eventHeap) push(e *event) {
	*h = append(*h, heapEntry{})
	h.up(len(*h)-1, heapEntry{e.due, e})
}

// pop takes the first event out.
func (h *eventHeap) pop() *event {
	e := (*h)[0].e
	h.remove(0)
	return e
}

// remove takes out the i-th entry.
func (h *eventHeap) remove(i int) {
	s := *h
	s[i].e.pos = 0
	last := len(s) - 1
	moved := s[last]
	s[last] = heapEntry{} // for the garbage collector
	*h = s[:last]
	if i < last {
		h.fix(i, moved)
	}
}

// fix puts x where it belongs, beginning at the i-th place, which is free.
func (h *eventHeap) fix(i int, x heapEntry) {
	if i > 0 && x.before((*h)[(i-1)/2]) {
		h.up(i, x)
	} else {
		h.down(i, x)
	}
}

func (h *eventHeap) up(i int, x heapEntry) {
	s := *h
	for i > 0 {
		parent := (i - 1) / 2
		if !x.before(s[parent]) {
			break
		}
		s[i] = s[parent]
		s[i].e.pos = i + 1
		i = parent
	}
	s[i] = x
	x.e.pos = i + 1
}

func (h *eventHeap) down(i int, x heapEntry) {
	s := *h
	for {
		c := 2*i + 1
		if c >= len(s) {
			break
		}
		if c+1 < len(s) && s[c+1].before(s[c]) {
			c++
		}
		if !s[c].before(x) {
			break
		}
		s[i] = s[c]
		s[i].e.pos = i + 1
		i = c
	}
	s[i] = x
	x.e.pos = i + 1
}
