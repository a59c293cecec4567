//go:build unix

package sim_test

import (
	"syscall"
	"time"
)

// cpuTime is how much of the processors this process has used. On a machine that is busy with other things it says what real time does
// on an idle one.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
