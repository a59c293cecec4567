package socket

import "runtime"

// A rest is how a wait begins on a single processor: the caller lets the others run before he parks. He who will answer is
// as a rule among them, and when he has answered nobody need be parked and woken, which costs as much as all of TCP. The
// caller does not lose his turn by it: he goes on after those who could run before him.
//
// Where there are more processors a rest would wake one of them that has nothing to do, and the caller would go on there,
// away from what he has in his cache.
type rest struct {
	allowed bool // the scheduler of the real computer decides who runs
	told    bool // the one who waits was told to go on
	parked  bool // he has parked
	left    int8 // how many waits begin with a rest before that is thought over; if negative, how many do not
	vain    int8 // how many of the next will not, if this one brings nothing
}

// await begins the wait of the only one who waits, during which bytes may be put into p. It reports whether to rest first: the
// caller then gives up the lock, calls runtime.Gosched, takes the lock, and calls rested. After that he calls park, and served.
// All of this is small enough to be part of the caller, who should be the one whom the user called: of the functions that
// return after another goroutine has run, the processor no longer knows where to, and each costs as much as a
// hundred instructions.
func (w *waiter) await(p []byte) bool {
	w.buf, w.waiting, w.rest.told = p, 1, false
	return w.rest.left > 0 || w.rest.not()
}

// not is the beginning of a wait without a rest.
//
//go:noinline
func (r *rest) not() bool {
	if r.left++; r.left == 0 {
		r.think()
	}
	return false
}

// rested notes whether the rest has brought what is waited for.
func (w *waiter) rested() {
	r := &w.rest
	switch r.left--; {
	case !r.told:
		r.vain = min(2*r.vain+1, 63)
		r.left = -r.vain
	case r.left == 0:
		r.vain = 0
		r.think()
	default:
		r.vain = 0
	}
}

// park waits until somebody wakes the caller, if nobody has told him to go on while he rested.
func (w *waiter) park() {
	if !w.rest.told {
		w.rest.parked = true
		w.own.Wait()
		w.rest.parked = false
	}
}

// think decides how the next waits begin.
func (r *rest) think() {
	r.left = -64
	if r.allowed && runtime.GOMAXPROCS(0) == 1 {
		r.left = 64
	}
}
