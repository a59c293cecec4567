package socket

// A timerHeap holds timers by due time, then key: a 4-ary heap, the first one
// being the earliest. Each timer knows where it is.
type timerHeap []*timer

// before is small enough to be part of the caller.
func (h timerHeap) before(a, b *timer) bool {
	return a.due < b.due || a.due == b.due && a.keyBefore(b)
}

// keyBefore orders what is due together.
//
//go:noinline
func (t *timer) keyBefore(o *timer) bool {
	return t.owner.timerKey().less(o.owner.timerKey())
}

func (h timerHeap) put(i int, t *timer) {
	h[i] = t
	t.pos = int32(i + 1)
}

func (h *timerHeap) push(t *timer) {
	t.level = nearLevel
	*h = append(*h, t)
	h.put(len(*h)-1, t)
	h.up(len(*h) - 1)
}

func (h timerHeap) up(i int) {
	t := h[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !h.before(t, h[parent]) {
			break
		}
		h.put(i, h[parent])
		i = parent
	}
	h.put(i, t)
}

func (h timerHeap) down(i int) {
	t := h[i]
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if h.before(h[c], h[least]) {
				least = c
			}
		}
		if !h.before(h[least], t) {
			break
		}
		h.put(i, h[least])
		i = least
	}
	h.put(i, t)
}

// remove takes out the timer at index i.
func (h *timerHeap) remove(i int) {
	old := *h
	last := len(old) - 1
	old[i].pos = 0
	moved := old[last]
	old[last] = nil
	*h = old[:last]
	if i < last {
		h.put(i, moved)
		h.up(i)
		h.down(int(moved.pos) - 1)
	}
}
