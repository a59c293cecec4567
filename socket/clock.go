package socket

import "time"

// A Clock tells a Stack the time and calls it back: the first of the two
// things a stack asks of its surroundings (the other is [Parker]).
//
// The zero [Config] uses package time, which inside a testing/synctest bubble
// is the bubble's fake time. A simulation supplies its own.
type Clock interface {
	// Now returns the current time. It never goes backwards.
	Now() time.Time
	// AfterFunc arranges for f to be called once, d from now (at once when
	// d ≤ 0), never from within the call to AfterFunc or Reset itself.
	AfterFunc(d time.Duration, f func()) Timer
}

// A Timer is a pending call made by [Clock.AfterFunc]; *time.Timer is one.
type Timer interface {
	// Stop prevents the call and reports whether it was still pending.
	Stop() bool
	// Reset makes the call due d from now and reports whether it was pending.
	Reset(d time.Duration) bool
}

// never is the due time of what is not going to happen.
const never = time.Duration(1<<63 - 1)

// now is the time since the stack was made. Everything below socket counts
// time this way, so that a zero clock is a fresh computer.
func (s *Stack) now() time.Duration {
	if s.clock == nil {
		return time.Since(s.epoch)
	}
	return s.clock.Now().Sub(s.epoch)
}

// afterFunc is Clock.AfterFunc on the stack's clock.
func (s *Stack) afterFunc(d time.Duration, f func()) Timer {
	if s.clock == nil {
		return time.AfterFunc(d, f)
	}
	return s.clock.AfterFunc(d, f)
}

// wallNow is the time of day that users' deadlines are measured against.
func (s *Stack) wallNow() time.Time {
	if s.clock == nil {
		return time.Now()
	}
	return s.clock.Now()
}

// until converts a user's absolute deadline: zero means none (never), and
// one that has passed gives a due time that is not after now. now is only told
// where there is a deadline that could be in the future.
func (s *Stack) until(t time.Time) (due, now time.Duration) {
	if t.IsZero() {
		return never, 0
	}
	if t.Before(s.epoch) {
		return 0, 0 // how net/http ends a read: no need for the clock, twice a request
	}
	d := t.Sub(s.wallNow())
	now = s.now() // after the other, so that nothing is due too early
	if d > 0 && now > never-d {
		return never, now
	}
	return max(now+d, 0), now
}
