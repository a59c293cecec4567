package main

import "slices"

// What a cache for instructions is like, nearly everywhere: 32 KiB in lines of 64 bytes, each of which has one
// of eight places, given by its address. So what is executed in a circle and lies on half as many lines as there are may
// miss all the same, where more than eight of them share their places.
const (
	lineBits = 6
	pageBits = 12
	sets     = 64
	ways     = 8
)

// missed returns at which steps a line of code has to be fetched from further away while they are gone through again and again,
// by a processor whose cache has so many ways and forgets what was not used for longest. Half of the ways are what is left
// of it when another hardware thread of the same core is busy.
func missed(steps []executed, ways int) (at []int) {
	var cache [sets][]uintptr // the last used is the last
	for range 2 {             // the first time fills it
		at = at[:0]
		last := ^uintptr(0)
		for i, step := range steps {
			line := step.pc >> lineBits
			if line == last {
				continue
			}
			last = line
			set := &cache[line%sets]
			if j := slices.Index(*set, line); j >= 0 {
				*set = slices.Delete(*set, j, j+1)
			} else if at = append(at, i); len(*set) == ways {
				*set = slices.Delete(*set, 0, 1)
			}
			*set = append(*set, line)
		}
	}
	return at
}
