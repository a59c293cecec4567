package simtest

import "sync"

// ddmin looks for a subset of all that still fails and of which no part is left that can be taken away on its own: the
// delta debugging of Zeller and Hildebrandt (2002), which halves first and takes one away at a time in the end. all itself
// must fail. As many candidates as at are tried at a time; of those that fail the first counts, so that the outcome does
// not depend on which is done first. stop ends the search early.
func ddmin[T any](all []T, at int, fails func([]T) bool, stop func() bool) []T {
	parts := 2
	for len(all) > 0 && !stop() {
		if len(all) == 1 {
			if fails(nil) {
				return nil
			}
			return all
		}
		parts = min(parts, len(all))
		candidates := subsets(all, parts)
		k := firstFailing(candidates, at, fails, stop)
		switch {
		case k < 0 && parts == len(all):
			return all
		case k < 0:
			parts *= 2
		case k < parts: // a part is enough
			all, parts = candidates[k], 2
		default: // a part is not needed
			all, parts = candidates[k], max(parts-1, 2)
		}
	}
	return all
}

// subsets cuts all into parts, and returns those and all without each of them.
func subsets[T any](all []T, parts int) [][]T {
	var some, rest [][]T
	for i := range parts {
		from, to := len(all)*i/parts, len(all)*(i+1)/parts
		some = append(some, all[from:to:to])
		without := append([]T(nil), all[:from]...)
		rest = append(rest, append(without, all[to:]...))
	}
	return append(some, rest...)
}

// firstFailing returns the index of the first candidate that fails, -1 if none does.
func firstFailing[T any](candidates [][]T, at int, fails func([]T) bool, stop func() bool) int {
	for first := 0; first < len(candidates) && !stop(); first += at {
		batch := candidates[first:min(first+at, len(candidates))]
		failed := make([]bool, len(batch))
		var wg sync.WaitGroup
		for i := range batch {
			wg.Go(func() { failed[i] = fails(batch[i]) })
		}
		wg.Wait()
		for i, f := range failed {
			if f {
				return first + i
			}
		}
	}
	return -1
}
