package simtest

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"example.com/loopback/sim"
)

// Config says how a test is run. The zero value runs it as Run does.
type Config struct {
	// NetConfig describes the network. Its Seed counts if the flags name none.
	sim.NetConfig
	// OneProcessor runs the test with GOMAXPROCS=1 and without the garbage collector, whose work takes turns with
	// that of goroutines: then goroutines that race among themselves, such as those of HTTP/2, do so in the same
	// way nearly each time: what is left are the runtime's own dice (select among several channels that are ready;
	// everything, with -race) and that it takes the processor away from who has had it for 10 ms.
	OneProcessor bool
}

// Bounds on the garbage of a run without a collector.
const (
	garbageBefore = 64 << 20 // that is left by others: collected before the run
	garbageLimit  = 1 << 30  // from here on the collector works all the same
)

// oneProcessor begins a run on one processor; restore ends it.
func oneProcessor() (restore func()) {
	procs := runtime.GOMAXPROCS(1)
	if heap() > garbageBefore {
		runtime.GC()
	}
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		debug.SetMemoryLimit(garbageLimit)
	}
	percent := debug.SetGCPercent(-1)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
		runtime.GOMAXPROCS(procs)
	}
}

// heap returns the size of all objects, dead ones included, in bytes.
func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
