package socket

import "time"

// A rest is a wait's beginning: the caller lets the others run before he parks. He who will answer is often among them, and
// when he has answered nobody need be parked and woken, which costs as much as all of TCP. The caller does not lose his
// turn by it: he goes on after those who could run before him.
//
// It is for answers that come within microseconds. Where waits take long a rest saves nothing, and if that is because some goroutine
// computes without end, it costs much: who rests goes on only after that one's time slice, who parks at once when he is woken.
//
// On a single processor all other waits begin with one, if several dialogues are under way. (It must not be tried then what is faster: he
// who parks is the next to run when he is woken, which is at the expense of those who rest.) A dialogue that is alone tries both, for some
// waits at a time, and rests are kept if they took markedly less time: a quarter less for two who answer each other, but nothing where more
// goroutines have a part in each answer, and each rest takes the scheduler's lock three times.
//
// Where there are more processors a rest may wake one of them that has nothing to do, and the caller may go on there, away from what
// he has in his cache: good for two who answer each other, bad where many do. So that is tried as well.
type rest struct {
	told    bool   // the one who waits was told to go on
	parked  bool   // he has parked
	allowed bool   // the scheduler of the real computer decides who runs
	rests   bool   // how waits begin now
	trial   bool   // that is being tried
	left    int8   // how many more waits begin with a rest; if negative, how many do not
	kept    int8   // how many more after those will, when left is negative only because rests brought nothing
	vain    int8   // how many of the next will not, if this one brings nothing
	pause   uint8  // blocks of waits before the next trial
	pauses  uint8  // how many there are between trials
	slow    uint16 // blocks after this one without rests, because waits took long
	slows   uint16 // how many blocks that will be the next time

	since, took time.Duration // when this block began, how long the last one took
}

const (
	restBlock    = 64   // waits of a block
	restPause    = 4    // blocks between trials, after one that was a success
	restPauseMax = 128  // the same after many that were not
	slowMax      = 1024 // blocks without rests, after waits took long many times

	slowWait = 500 * time.Microsecond // waits that take longer on average are long
)

// begin is how the first waits begin, at about now. single says that there is only one processor.
func (r *rest) begin(allowed, single bool, now time.Duration) {
	*r = rest{allowed: allowed, rests: allowed && single, pause: 1, pauses: restPause, slows: 1, since: now}
	r.next()
}

// next begins a block.
func (r *rest) next() {
	if r.left, r.kept = -restBlock, 0; r.rests {
		r.left = restBlock
	}
}

// blockOver is called at the end of a block, if rests are allowed, and decides about the next. shared says that other dialogues are under way
// on the only processor.
func (r *rest) blockOver(now time.Duration, shared bool) {
	took := now - r.since
	r.since = now
	switch {
	case r.slow > 0:
		r.slow--
		r.rests = false
	case shared:
		r.rests, r.trial = true, false
	case took == 0: // in a bubble of package testing/synctest, where nothing can be learned of time
	case r.trial && r.rests:
		r.verdict(true, worthwhile(took, r.took))
	case r.trial:
		r.verdict(false, worthwhile(r.took, took))
	case r.pause > 0:
		r.pause--
	default:
		r.took, r.trial, r.rests = took, true, !r.rests
	}
	r.next()
}

// worthwhile reports whether blocks with rests are to be kept, which took rests and not parks: by a sixteenth less.
func worthwhile(rests, parks time.Duration) bool { return rests < parks-parks/16 }

// verdict ends a trial, of blocks with rests or without, and says whether those with are to be kept. What is found as it was
// before is tried less often.
func (r *rest) verdict(tried, keep bool) {
	r.trial = false
	if keep == tried {
		r.pauses = restPause
	} else {
		r.pauses = 2 * min(r.pauses, restPauseMax/2)
	}
	r.rests, r.pause = keep, r.pauses
}

// look is called after the second rest of a block, and three times more: if waits take long the next blocks are without, and a
// trial that has already lost is over.
func (r *rest) look(now time.Duration) {
	waits := time.Duration(restBlock - r.left)
	if now-r.since <= waits*slowWait {
		if r.trial && !worthwhile(now-r.since, r.took) {
			r.verdict(true, false)
			r.next()
		}
		return
	}
	if r.rests, r.trial = false, false; r.pause == 0 {
		r.pause = r.pauses
	}
	r.slow, r.slows = r.slows-1, 4*min(r.slows, slowMax/4)
	r.since = now
	r.next()
}

// await begins the wait of the only one who waits, during which bytes may be put into p. It reports whether to rest first: the
// caller then gives up the lock, calls runtime.Gosched, takes the lock, and calls rested. After that he calls park, and served.
// All of this is small enough to be part of the caller, who should be the one whom the user called: of the functions that
// return after another goroutine has run, the processor no longer knows where to, and each costs as much as a
// hundred instructions.
func (w *waiter) await(p []byte) bool {
	w.buf, w.waiting, w.rest.told = p, 1, false
	return w.rest.left > 0 || w.noRest()
}

// noRest is the beginning of a wait without a rest.
//
//go:noinline
func (w *waiter) noRest() bool {
	r := &w.rest
	switch r.left++; {
	case r.left < 0:
	case r.kept > 0:
		r.left, r.kept = r.kept, 0
	case !r.allowed: // ever
		r.next()
	default:
		w.blockOver()
	}
	return false
}

// blockOver is rest.blockOver of one who waits. A dialogue is alone if hardly more segments have come since the last time than it takes itself.
func (w *waiter) blockOver() {
	shared := false
	if oneProcessor() {
		was := w.seen
		w.seen = w.s.segmentsIn()
		shared = w.seen-was > 3*restBlock
	}
	w.rest.blockOver(w.s.now(), shared)
}

// restedWell is rested for a rest that brought what is waited for, after which there is nothing to decide; if not it returns false.
// It is small enough to be part of the caller.
func (w *waiter) restedWell() bool {
	r := &w.rest
	if !r.told || r.left == 1 || r.left%16 == (restBlock-1)%16 {
		return false
	}
	r.left--
	r.vain = 0
	return true
}

// rested notes whether the rest has brought what is waited for.
func (w *waiter) rested() {
	r := &w.rest
	r.left--
	if r.told {
		r.vain = 0
	} else {
		r.vain = min(2*r.vain+1, restBlock-1)
		r.left, r.kept = -r.vain, max(r.left-r.vain, 0)
	}
	switch {
	case r.left == 0:
		r.slows = 1
		w.blockOver()
	case r.left%16 == (restBlock-2)%16:
		r.look(w.s.now())
	}
}
