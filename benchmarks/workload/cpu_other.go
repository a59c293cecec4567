//go:build !unix

package workload

import "time"

// cpuTime returns 0: unknown here.
func cpuTime() time.Duration { return 0 }

func raiseFileLimit(uint64) {}
