package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

// worldRuns is how often a World is run with one seed: as often as LOOPBACK_REPLAY says.
func worldRuns(t *testing.T) int {
	if s := os.Getenv("LOOPBACK_REPLAY"); s != "" {
		runs, err := strconv.Atoi(s)
		require.NoError(t, err)
		return runs
	}
	if testing.Short() {
		return 3
	}
	return 20
}

// worldPrograms are what is run again and again.
var worldPrograms = []struct {
	name string
	run  func(w *sim.World)
}{
	{"100 connections of TCP", func(w *sim.World) { worldTCP(w, 100) }},
	{"questions by UDP", worldUDP},
	{"faults", worldFaults},
}

// worldTCP is count connections from eight hosts, all of which dial at the beginning, and whose bytes come back.
func worldTCP(w *sim.World, count int) {
	server := w.Host("server")
	l, err := server.Listen("tcp", ":7")
	must(err)
	w.Go("server", func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.Go("echo", func() {
				io.Copy(c, c)
				c.Close()
			})
		}
	})
	for i := range count {
		h := w.Host(fmt.Sprint("client", i%8))
		w.Link(h, server, impairedLink)
		w.Go(h.Name(), func() {
			c, err := h.Dial("tcp", "server:7")
			must(err)
			out := make([]byte, 2000+100*i)
			for k := range out {
				out[k] = byte(k * i)
			}
			w.Go("writer", func() {
				_, err := c.Write(out)
				must(err)
				must(c.(interface{ CloseWrite() error }).CloseWrite())
			})
			in, err := io.ReadAll(c)
			must(err)
			if string(in) != string(out) {
				panic(fmt.Sprintf("%d bytes came back of %d", len(in), len(out)))
			}
			must(c.Close())
		})
	}
}

// worldUDP is questions that are asked until they are answered.
func worldUDP(w *sim.World) {
	s, err := w.Host("server").ListenPacket("udp", ":53")
	must(err)
	w.Go("server", func() {
		var b [512]byte
		for {
			n, from, err := s.ReadFrom(b[:])
			if err != nil {
				return
			}
			s.WriteTo(b[:n], from)
		}
	})
	for i := range 8 {
		h := w.Host(fmt.Sprint("client", i))
		w.Link(h, w.Host("server"), impairedLink)
		w.Go(h.Name(), func() {
			c, err := h.Dial("udp", "server:53")
			must(err)
			defer c.Close()
			var b [512]byte
			for k := range 20 {
				for answered := false; !answered; {
					fmt.Fprintf(c, "question %d of %s", k, h.Name())
					must(c.SetReadDeadline(w.Time().Add(100 * time.Millisecond)))
					_, err := c.Read(b[:])
					answered = err == nil
					if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
						panic(err)
					}
				}
			}
		})
	}
}

// worldFaults is TCP through a partition and a crash.
func worldFaults(w *sim.World) {
	server, client := w.Host("server"), w.Host("client")
	w.Link(client, server, impairedLink)
	serve := func() {
		l, err := server.Listen("tcp", ":80")
		must(err)
		w.Go("server", func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				w.Go("echo", func() { echoMessages(c) })
			}
		})
	}
	serve()
	w.At(3*time.Second, func() { w.Partition(client) })
	w.At(5*time.Second, w.Heal)
	w.At(8*time.Second, server.Crash)
	w.At(9*time.Second, func() { server.Restart(); serve() })
	w.Go("client", func() {
		var m [64]byte
		for w.Now() < 30*time.Second {
			ctx, cancel := w.WithTimeout(context.Background(), 2*time.Second)
			c, err := client.DialContext(ctx, "tcp", "server:80")
			cancel()
			if err != nil {
				continue
			}
			for w.Now() < 30*time.Second && err == nil {
				must(c.SetDeadline(w.Time().Add(2 * time.Second)))
				if _, err = c.Write(m[:]); err == nil {
					_, err = io.ReadFull(c, m[:])
				}
			}
			c.Close()
		}
	})
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// worldHash is what a program sends and what happens to it on the way, event by event if steps is set.
func worldHash(t *testing.T, seed uint64, run func(w *sim.World), steps bool) string {
	w, err := sim.NewWorld(sim.NetConfig{Seed: seed})
	require.NoError(t, err)
	defer w.Close()
	run(w)
	for more := steps; more && w.Now() < time.Hour; {
		_, more = w.Step()
	}
	require.NoError(t, w.Err())
	require.NoError(t, w.Run(max(w.Now(), time.Hour)))
	require.NotZero(t, w.Recording().Len())
	require.Zero(t, w.Recording().Lost())
	require.True(t, w.Impaired().Stats().Balanced())
	return fmt.Sprintf("%x, %d packets, %d decisions, %d events",
		w.Recording().Hash(), w.Recording().Len(), len(w.Decisions()), w.Events())
}

// Runs of a World with one seed are one run, on however many processors, alone or beside others, in one go or step by step.
//
//	LOOPBACK_REPLAY=1000 go test -run TestWorldReplays -v ./sim
func TestWorldReplays(t *testing.T) {
	for _, p := range worldPrograms {
		t.Run(p.name, func(t *testing.T) {
			runs := worldRuns(t)
			hashes := map[string]int{worldHash(t, 42, p.run, true): 1}
			var mu sync.Mutex
			for _, procs := range []int{1, 2, 8} {
				func() {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
					var wg sync.WaitGroup
					for worker := range procs {
						wg.Go(func() {
							for range (runs + worker) / procs {
								h := worldHash(t, 42, p.run, false)
								mu.Lock()
								hashes[h]++
								mu.Unlock()
							}
						})
					}
					wg.Wait()
				}()
			}
			for h, n := range hashes {
				t.Logf("%d runs: %s", n, h)
			}
			require.Len(t, hashes, 1)
			require.NotContains(t, hashes, worldHash(t, 43, p.run, false), "another seed is another run")
		})
	}
}
