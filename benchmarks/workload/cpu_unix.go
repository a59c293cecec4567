//go:build unix

package workload

import (
	"syscall"
	"time"
)

// cpuTime returns the user and system time of the process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// raiseFileLimit lets the process open as many files as it may: the kernel's connections need two
// each.
func raiseFileLimit(want uint64) {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil || r.Cur >= want {
		return
	}
	r.Cur = want
	if r.Max < want {
		r.Max = want // needs privileges
	}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		r.Cur = r.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r) // what is missing shows as a failed dial
	}
}
