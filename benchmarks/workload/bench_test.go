package workload_test

import (
	"errors"
	"testing"

	"example.com/loopback/benchmarks/workload"
)

// Benchmark runs the workloads as Go benchmarks, for profiles of one of them:
//
//	go test ./workload -run - -bench /rtt/loopback -cpuprofile rtt.prof
func Benchmark(b *testing.B) {
	for _, w := range workload.All() {
		if w.Start == nil {
			continue
		}
		for _, peer := range w.PeerNames() {
			b.Run(w.Name+"/"+peer, func(b *testing.B) {
				loop, err := w.Start(&workload.Env{Peer: peer})
				if errors.Is(err, errors.ErrUnsupported) {
					b.Skip(err)
				}
				if err != nil {
					b.Fatal(err)
				}
				defer loop.Stop()
				b.ReportAllocs()
				b.ResetTimer()
				if err := loop.Run(b.N); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				for _, m := range loop.Metrics(workload.Sample{N: b.N, Elapsed: b.Elapsed()}) {
					if workload.HigherIsBetter(m.Unit) {
						b.ReportMetric(m.Value, m.Unit)
					}
				}
			})
		}
	}
}
