// Package workload has what is measured, each workload written once for all peers.
//
// A workload opens its connections on a transport and then runs a number of operations that the
// caller asks for; the time belongs to the caller. So the same code serves the comparison and
// `go test -bench`.
//
//	peer, _ := transport.Find("bufconn")
//	w, _ := workload.Find("rtt")
//	results, err := workload.Measure(w, &workload.Env{Peer: peer.Name, Time: time.Second})
package workload

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"example.com/loopback/benchmarks/queue"
	"example.com/loopback/benchmarks/transport"
)

// Workload is one thing to measure.
type Workload struct {
	Name  string
	Title string // heading of its table
	About string // what one operation is

	// Procs are the values of GOMAXPROCS it is measured at.
	Procs []int
	// Peers are the names it can be measured on, if not those of package transport.
	Peers func() []string
	// Weight says how long it takes: what does not fit into a quick comparison is Slow, what takes
	// gigabytes or minutes is Huge and must be asked for.
	Weight Weight

	// Start prepares a Loop. Exactly one of Start and Once is set.
	Start func(*Env) (*Loop, error)
	// Once measures in its own way and returns complete results.
	Once func(*Env) ([]Result, error)
}

// Weight is the cost of a workload.
type Weight int

const (
	Quick Weight = iota // part of every comparison
	Slow                // left out of a quick one
	Huge                // only when named
)

// Loop is a prepared workload.
type Loop struct {
	Run     func(n int) error     // n operations
	Stop    func()                // closes what Start opened
	Metrics func(Sample) []Metric // what to say of a run

	// Transport is asked for the packets of a run, if it can count them.
	Transport transport.Transport
}

// Env is what a workload runs on.
type Env struct {
	Peer string
	// Time is how long a measurement of this workload should take.
	Time time.Duration
	// Calm, unless nil, calls a measurement again when the machine was not calm meanwhile. Workloads that are not Quick, of which
	// each measurement is but a part, ask it for each of them.
	Calm func(measure func() error) error
}

// timed is timed, in calm.
func (e *Env) timed(run func(int) error, want time.Duration) (s Sample, err error) {
	measure := func() error {
		s, err = timed(run, want)
		return err
	}
	if e.Calm == nil {
		err = measure()
	} else {
		err = e.Calm(measure)
	}
	return s, err
}

// Open makes a transport of the environment's peer.
func (e *Env) Open(o transport.Options) (transport.Transport, error) {
	p, err := transport.Find(e.Peer)
	if err != nil {
		return nil, err
	}
	return p.New(o)
}

// Sample is one timed run.
type Sample struct {
	N       int           // operations
	Elapsed time.Duration // wall time
	CPU     time.Duration // user and system time of the process; 0 where unknown
	Mallocs uint64        // heap objects allocated
}

// Metric is one number of a result. The first metric of a result is the one that is compared.
type Metric struct {
	Unit  string
	Value float64
}

// Result is what one measurement yields: one row of a table for one peer.
type Result struct {
	Params  string // "others=1000": tells the rows of one workload apart; often empty
	N       int    // operations measured
	Metrics []Metric
}

// HigherIsBetter tells how to read a unit.
func HigherIsBetter(unit string) bool {
	switch unit {
	case "MB/s", "conn/s", "req/s", "pkt/s", "rt/s":
		return true
	}
	return false
}

// All returns every workload, in the order of the tables.
func All() []Workload {
	var all []Workload
	all = append(all, roundTrips()...)
	all = append(all, bulks()...)
	all = append(all, churn(), http(1), http(16))
	all = append(all, datagrams()...)
	all = append(all, rawPath(), idle(), newStack(), rings())
	all = append(all, flows()...)
	return append(all, growth(), million())
}

// Find returns the workload of that name.
func Find(name string) (Workload, error) {
	for _, w := range All() {
		if w.Name == name {
			return w, nil
		}
	}
	return Workload{}, fmt.Errorf("no workload named %q", name)
}

// PeerNames returns the names that w can be measured on.
func (w Workload) PeerNames() []string {
	if w.Peers != nil {
		return w.Peers()
	}
	var names []string
	for _, p := range transport.Peers() {
		names = append(names, p.Name)
	}
	return names
}

// queueNames are the peers of the ring workload.
func queueNames() []string {
	var names []string
	for _, k := range queue.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// Measure runs w on its own in this process and returns its results, or an error that is
// errors.ErrUnsupported when the peer cannot do it. It sees the whole process: nothing else
// should run.
func Measure(w Workload, env *Env) ([]Result, error) {
	if w.Once != nil {
		return w.Once(env)
	}
	loop, err := w.Start(env)
	if err != nil {
		return nil, err
	}
	defer loop.Stop()
	var packets uint64
	run := loop.Run
	counter, counts := loop.Transport.(transport.PacketCounter)
	if counts {
		run = func(n int) error {
			before := counter.Packets()
			err := loop.Run(n)
			packets = counter.Packets() - before
			return err
		}
	}
	s, err := timed(run, env.Time)
	if err != nil {
		return nil, err
	}
	metrics := loop.Metrics(s)
	if s.CPU > 0 && !slices.ContainsFunc(metrics, func(m Metric) bool { return m.Unit == "cpu-s/GB" }) {
		metrics = append(metrics, Metric{"cpu-ns/op", float64(s.CPU.Nanoseconds()) / float64(s.N)})
	}
	if counts {
		metrics = append(metrics, Metric{"packets/op", float64(packets) / float64(s.N)})
	}
	return []Result{{N: s.N, Metrics: metrics}}, nil
}

// timed runs run with growing numbers of operations until one run takes as long as asked, and
// returns that one. What came before has warmed caches, pools and windows.
func timed(run func(int) error, want time.Duration) (Sample, error) {
	const most = 1 << 40
	for n := 1; ; {
		s, err := once(run, n)
		if err != nil {
			return s, err
		}
		if s.Elapsed >= want || n >= most {
			return s, nil
		}
		per := max(float64(s.Elapsed)/float64(n), 0.01)
		// A fifth more than needed, so that the next run is long enough, but no wild guesses from
		// a short one.
		n = max(n+1, min(int(1.2*float64(want)/per), 100*n))
	}
}

// once times one run.
func once(run func(int) error, n int) (Sample, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu := cpuTime()
	start := time.Now()
	err := run(n)
	elapsed := time.Since(start)
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	return Sample{N: n, Elapsed: elapsed, CPU: cpu, Mallocs: after.Mallocs - before.Mallocs}, err
}

// perSecond is a rate of operations.
func (s Sample) perSecond() float64 { return float64(s.N) / s.Elapsed.Seconds() }

// nanoseconds is the time of one operation.
func (s Sample) nanoseconds() float64 { return float64(s.Elapsed.Nanoseconds()) / float64(s.N) }

// allocs is the number of heap objects of one operation.
func (s Sample) allocs() float64 { return float64(s.Mallocs) / float64(s.N) }

// errLost says that a datagram did not arrive.
var errLost = errors.New("datagram lost")
