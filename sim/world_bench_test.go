package sim_test

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

// exchangeOnce is what a fuzzer does for one input: a World, a connection, a request and its response, the end.
func exchangeOnce(tb testing.TB, cfg sim.NetConfig, m sim.Impairment) {
	w, err := sim.NewWorld(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	defer w.Close()
	server, client := w.Host("server"), w.Host("client")
	if m.Delay > 0 {
		w.Link(client, server, m)
	}
	l, err := server.Listen("tcp", ":80")
	if err != nil {
		tb.Fatal(err)
	}
	w.Go("server", func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		var b [64]byte
		n, _ := c.Read(b[:])
		c.Write(b[:n])
	})
	c, err := client.Dial("tcp", "server:80")
	if err != nil {
		tb.Fatal(err)
	}
	var b [64]byte
	if _, err := c.Write(b[:]); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(c, b[:]); err != nil {
		tb.Fatal(err)
	}
	c.Close()
}

// BenchmarkWorldExchange is the price of a World: making it, one connection, one request and response, closing it.
func BenchmarkWorldExchange(b *testing.B) {
	for _, x := range []struct {
		name string
		cfg  sim.NetConfig
		m    sim.Impairment
	}{
		{"plain", sim.NetConfig{Seed: 1, CaptureBytes: -1}, sim.Impairment{}},
		{"recorded", sim.NetConfig{Seed: 1}, sim.Impairment{}},
		{"delayed", sim.NetConfig{Seed: 1}, sim.Impairment{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond}},
	} {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			cpu := cpuTime()
			for b.Loop() {
				exchangeOnce(b, x.cfg, x.m)
			}
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkWorldEvents is how many events a second there are in a World in which 64-byte messages go back and forth on ten connections.
func BenchmarkWorldEvents(b *testing.B) {
	for _, x := range []struct {
		name string
		cfg  sim.NetConfig
		m    sim.Impairment
	}{
		{"perfect", sim.NetConfig{Seed: 1, CaptureBytes: -1}, sim.Impairment{Delay: 20 * time.Millisecond}},
		{"impaired", sim.NetConfig{Seed: 1, CaptureBytes: -1}, impairedLink},
	} {
		b.Run(x.name, func(b *testing.B) {
			w, err := sim.NewWorld(x.cfg)
			require.NoError(b, err)
			defer w.Close()
			server, client := w.Host("server"), w.Host("client")
			w.Link(client, server, x.m)
			l, err := server.Listen("tcp", ":80")
			require.NoError(b, err)
			w.Go("server", func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					w.Go("echo", func() { echoMessages(c) })
				}
			})
			for range 10 {
				w.Go("client", func() {
					c, err := client.Dial("tcp", "server:80")
					if err != nil {
						panic(err)
					}
					var m [64]byte
					c.Write(m[:])
					echoMessages(c)
				})
			}
			b.ReportAllocs()
			before, cpu := w.Events(), cpuTime()
			for b.Loop() {
				if err := w.Run(w.Now() + time.Second); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(w.Events()-before)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(w.Events()-before)/(cpuTime()-cpu).Seconds(), "events/cpu-s")
		})
	}
}

// impairedLink is the link of the proofs.
var impairedLink = sim.Impairment{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.05, Duplicate: 0.02, Reorder: 0.02}

// echoMessages sends back what comes, for as long as it does.
func echoMessages(c io.ReadWriter) {
	var m [64]byte
	for {
		if _, err := io.ReadFull(c, m[:]); err != nil {
			return
		}
		if _, err := c.Write(m[:]); err != nil {
			return
		}
	}
}

// BenchmarkWorldIdle is how many hours go by in a second for an idle connection whose ends probe each other as Linux does by default,
// every two hours.
func BenchmarkWorldIdle(b *testing.B) {
	const hours = 100_000
	b.ReportAllocs()
	cpu := cpuTime()
	for b.Loop() {
		w, c := idleWorld(b)
		if err := w.Run(hours * time.Hour); err != nil {
			b.Fatal(err)
		}
		c.Close()
		w.Close()
	}
	b.ReportMetric(hours*float64(b.N)/b.Elapsed().Seconds(), "hours/s")
	b.ReportMetric(hours*float64(b.N)/(cpuTime()-cpu).Seconds(), "hours/cpu-s")
}
