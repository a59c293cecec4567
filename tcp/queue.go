package tcp

import "slices"

// queue is a first-in first-out list in one slice: what is in it lies contiguous and in order, so that
// it can be searched. It begins in room that its owner has (see begin), takes memory of its own when
// that is too small, and goes back when it has not been needed for a while.
type queue[T any] struct {
	items []T   // items[:head] are free
	head  int32 // index of the first
	peak  int32 // most items since the queue was last empty
	calm  uint8 // times in a row that the room of the owner would have been enough
}

// calmEnough is after how many small fillings a queue gives its own memory back.
const calmEnough = 8

// begin empties q into room, whose length is 0 and whose memory lives as long as q.
func (q *queue[T]) begin(room []T) {
	clear(q.items)
	*q = queue[T]{items: room}
}

// all returns the items in order. It is valid until the next push, insert or pop.
func (q *queue[T]) all() []T { return q.items[q.head:] }

func (q *queue[T]) len() int { return len(q.items) - int(q.head) }

// push adds v at the end and returns where it lies.
func (q *queue[T]) push(v T) *T {
	if len(q.items) == cap(q.items) && q.head > 0 && int(q.head) >= len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
	q.peak = max(q.peak, int32(q.len()))
	return &q.items[len(q.items)-1]
}

// pop removes the first item. room is that of begin: an emptied queue may return there.
func (q *queue[T]) pop(room []T) {
	var zero T
	q.items[q.head] = zero
	q.head++
	if int(q.head) < len(q.items) {
		return
	}
	q.items, q.head = q.items[:0], 0
	if int(q.peak) > cap(room) {
		q.calm = 0
	} else if cap(q.items) > cap(room) {
		if q.calm++; q.calm >= calmEnough {
			q.items, q.calm = room[:0], 0
		}
	}
	q.peak = 0
}

// insert puts v before the item that is i-th now.
func (q *queue[T]) insert(i int, v T) {
	q.items = slices.Insert(q.items, int(q.head)+i, v)
	q.peak = max(q.peak, int32(q.len()))
}

// remove takes out the items from the i-th to before the j-th.
func (q *queue[T]) remove(i, j int) {
	q.items = slices.Delete(q.items, int(q.head)+i, int(q.head)+j)
	if q.len() == 0 {
		q.items, q.head = q.items[:0], 0
	}
}
