package tcp

import "slices"

// queue is a first-in first-out list in one slice: what is in it lies contiguous and in order, so that it
// can be searched. It keeps its memory when it is emptied.
type queue[T any] struct {
	items []T // items[:head] are free
	head  int // index of the first
}

// all returns the items in order. It is valid until the next push, insert or pop.
func (q *queue[T]) all() []T { return q.items[q.head:] }

func (q *queue[T]) len() int { return len(q.items) - q.head }

// push adds v at the end.
func (q *queue[T]) push(v T) {
	if len(q.items) == cap(q.items) && q.head > 0 && q.head >= len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// first adds an item to an empty queue that has memory. It holds anything: the caller sets all of its fields.
func (q *queue[T]) first() *T {
	q.items = q.items[:1]
	return &q.items[0]
}

// pop removes the first item.
func (q *queue[T]) pop() {
	var zero T
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

// drop removes the first n items, which hold no pointers: they are not cleared.
func (q *queue[T]) drop(n int) {
	q.head += n
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}

// insert puts v before the item that is i-th now.
func (q *queue[T]) insert(i int, v T) { q.items = slices.Insert(q.items, q.head+i, v) }

// remove takes out the items from the i-th to before the j-th.
func (q *queue[T]) remove(i, j int) {
	q.items = slices.Delete(q.items, q.head+i, q.head+j)
	if q.len() == 0 {
		q.items, q.head = q.items[:0], 0
	}
}

// clear removes all items.
func (q *queue[T]) clear() {
	clear(q.items)
	q.items, q.head = q.items[:0], 0
}

// room gives an empty queue its memory.
func (q *queue[T]) room(items []T) { q.items, q.head = items[:0], 0 }

// keep exchanges the memory of an empty queue for first if it has room for more than n items.
func (q *queue[T]) keep(n int, first []T) {
	if cap(q.items) > n {
		q.room(first)
	}
}
