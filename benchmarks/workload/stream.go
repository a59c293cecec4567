package workload

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"example.com/loopback/benchmarks/transport"
)

// pair is one connection, and what must be closed with it.
type pair struct {
	tr             transport.Transport
	l              net.Listener
	client, server net.Conn
}

// openPair makes a transport, a listener and one connection.
func openPair(env *Env, o transport.Options) (*pair, error) {
	tr, err := env.Open(o)
	if err != nil {
		return nil, err
	}
	l, err := tr.Listen()
	if err != nil {
		_ = tr.Close()
		return nil, err
	}
	client, server, err := transport.Connect(tr, l, 0)
	if err != nil {
		_, _ = l.Close(), tr.Close()
		return nil, err
	}
	return &pair{tr, l, client, server}, nil
}

func (p *pair) close() {
	_, _, _, _ = p.client.Close(), p.server.Close(), p.l.Close(), p.tr.Close()
}

// roundTrips are the request and response of one connection.
func roundTrips() []Workload {
	return []Workload{{
		Name: "rtt", Title: "TCP round trip, 64 bytes",
		About: "the client writes 64 bytes and reads 64; the server echoes them from its own goroutine",
		Procs: []int{1, 2},
		Start: func(env *Env) (*Loop, error) {
			p, err := openPair(env, transport.Options{})
			if err != nil {
				return nil, err
			}
			go echo(p.server, 64)
			buf := message(64)
			return &Loop{
				Run:     func(n int) error { return pingPong(p.client, buf, n) },
				Stop:    p.close,
				Metrics: timeAndAllocs, Transport: p.tr,
			}, nil
		},
	}}
}

func timeAndAllocs(s Sample) []Metric {
	return []Metric{{"ns/op", s.nanoseconds()}, {"allocs/op", s.allocs()}}
}

// echo answers messages of size bytes until the connection ends.
func echo(c net.Conn, size int) {
	buf := make([]byte, size)
	for {
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

func pingPong(c net.Conn, buf []byte, n int) error {
	for range n {
		if _, err := c.Write(buf); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			return err
		}
	}
	return nil
}

// bulks are one-way transfers.
func bulks() []Workload {
	return []Workload{
		bulk("bulk-64k", "TCP bulk, 64 KiB writes", 64<<10, transport.Options{}),
		bulk("bulk-1m", "TCP bulk, 1 MiB writes", 1<<20, transport.Options{}),
		bulk("bulk-csum", "TCP bulk with checksums computed and verified, 64 KiB writes", 64<<10,
			transport.Options{Checksums: true}),
	}
}

func bulk(name, title string, size int, o transport.Options) Workload {
	return Workload{
		Name: name, Title: title,
		About: "one goroutine writes, another reads into a buffer of the same size and answers one " +
			"byte at the end; MB are 10⁶ bytes, CPU seconds are user and system time of the process",
		Procs: []int{1, 2},
		Start: func(env *Env) (*Loop, error) {
			p, err := openPair(env, o)
			if err != nil {
				return nil, err
			}
			return &Loop{
				Run:     func(n int) error { return transfer(p.client, p.server, size, alone(n)) },
				Stop:    p.close,
				Metrics: func(s Sample) []Metric { return bulkMetrics(s, size) }, Transport: p.tr,
			}, nil
		},
	}
}

func bulkMetrics(s Sample, size int) []Metric {
	bytes := float64(s.N) * float64(size)
	m := []Metric{{"MB/s", bytes / 1e6 / s.Elapsed.Seconds()}}
	if s.CPU > 0 {
		m = append(m, Metric{"cpu-s/GB", s.CPU.Seconds() / (bytes / 1e9)})
	}
	return append(m, Metric{"allocs/MB", float64(s.Mallocs) / (bytes / 1e6)})
}

// transfer moves messages of size bytes from one end to the other, as many as work hands out, and ends when the last byte has
// been read there.
func transfer(from, to net.Conn, size int, work *shares) error {
	read := make(chan error, 1)
	total := new(atomic.Int64) // bytes; 0 while it is not known yet
	go func() {
		err := drain(to, make([]byte, size), total)
		if err == nil {
			_, err = to.Write([]byte{1})
		}
		read <- err
	}()
	buf := message(size)
	sent := 0
	for n := work.next(); n > 0; n = work.next() {
		for range n {
			if _, err := from.Write(buf); err != nil {
				return err
			}
		}
		sent += n * size
	}
	// One byte more, for the reader may be waiting already when it turns out that nothing more comes.
	total.Store(int64(sent + 1))
	if _, err := from.Write(buf[:1]); err != nil {
		return err
	}
	if _, err := io.ReadFull(from, buf[:1]); err != nil {
		return err
	}
	return <-read
}

// message returns size bytes to send. They are written to: memory that never was is one page of
// zeros to the processor's caches, and makes the first copy of a transfer look free.
func message(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i)
	}
	return p
}

// drain reads until it has read total bytes, once that is known.
func drain(c net.Conn, buf []byte, total *atomic.Int64) error {
	for got := int64(0); ; {
		n, err := c.Read(buf)
		got += int64(n)
		switch want := total.Load(); {
		case want != 0 && got == want:
			return nil
		case want != 0 && got > want:
			return fmt.Errorf("%d bytes too many", got-want)
		case err != nil:
			return fmt.Errorf("after %d of %d bytes: %w", got, want, err)
		}
	}
}

// flows are several independent connections at once: their sum shows how a transport uses a
// second core.
func flows() []Workload {
	var all []Workload
	for _, n := range []int{2, 4} {
		all = append(all, Workload{
			Name: fmt.Sprintf("flows-bulk-%d", n), Title: fmt.Sprintf("%d independent bulk flows, 64 KiB writes", n),
			About: "as bulk-64k, on several connections of one transport at once; the sum",
			Procs: []int{1, 2},
			Start: func(env *Env) (*Loop, error) { return startFlows(env, n, 64<<10) },
		})
	}
	return append(all, Workload{
		Name: "flows-rtt-4", Title: "4 independent flows of 64-byte round trips",
		About: "as rtt, on several connections of one transport at once; the sum",
		Procs: []int{1, 2},
		Start: func(env *Env) (*Loop, error) { return startFlows(env, 4, 64) },
	})
}

// startFlows opens flows connections; small messages are echoed, large ones flow one way.
func startFlows(env *Env, flows, size int) (*Loop, error) {
	first, err := openPair(env, transport.Options{})
	if err != nil {
		return nil, err
	}
	pairs := []*pair{first}
	stop := func() {
		for _, p := range pairs[1:] {
			_, _ = p.client.Close(), p.server.Close()
		}
		first.close()
	}
	for len(pairs) < flows {
		c, s, err := transport.Connect(first.tr, first.l, len(pairs))
		if err != nil {
			stop()
			return nil, err
		}
		pairs = append(pairs, &pair{client: c, server: s})
	}
	if size > 64 {
		run := func(p *pair, work *shares) error { return transfer(p.client, p.server, size, work) }
		return &Loop{
			Run:     func(n int) error { return parallel(pairs, n, run) },
			Stop:    stop,
			Metrics: func(s Sample) []Metric { return bulkMetrics(s, size*flows) },
		}, nil
	}
	for _, p := range pairs {
		go echo(p.server, size)
	}
	run := func(p *pair, work *shares) error {
		buf := message(size)
		for n := work.next(); n > 0; n = work.next() {
			if err := pingPong(p.client, buf, n); err != nil {
				return err
			}
		}
		return nil
	}
	return &Loop{
		Run:  func(n int) error { return parallel(pairs, n, run) },
		Stop: stop,
		Metrics: func(s Sample) []Metric {
			return []Metric{{"rt/s", float64(flows) * s.perSecond()}, {"allocs/op", s.allocs() / float64(flows)}}
		},
	}, nil
}

// parallel runs n operations for each pair, on all pairs at once.
func parallel(pairs []*pair, n int, run func(*pair, *shares) error) error {
	work := among(len(pairs), n*len(pairs))
	errs := make([]error, len(pairs))
	var wg sync.WaitGroup
	for i, p := range pairs {
		wg.Go(func() { errs[i] = run(p, work) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
