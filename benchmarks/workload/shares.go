package workload

import "sync/atomic"

// shares hands out a number of operations to several goroutines, a block at a time, to whoever asks. Were they divided at the
// beginning, the last part of a measurement would be of the slowest alone: what is wanted is the rate while all are at work.
type shares struct {
	left  atomic.Int64
	block int64
}

// among returns n operations for several workers.
func among(workers, n int) *shares {
	// So many blocks that the end, when some find nothing more to do, is a small part; so few that asking is none at all.
	s := &shares{block: int64(min(max(n/(workers*64), 1), 64))}
	s.left.Store(int64(n))
	return s
}

// alone returns n operations for one worker, in one block.
func alone(n int) *shares {
	s := &shares{block: int64(n)}
	s.left.Store(int64(n))
	return s
}

// next takes a block and returns how many operations it has, 0 when all are taken.
func (s *shares) next() int {
	left := s.left.Add(-s.block) + s.block
	return int(max(min(left, s.block), 0))
}
