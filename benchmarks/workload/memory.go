package workload

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"syscall"
	"time"

	"example.com/loopback/benchmarks/transport"
)

// heap is what lives on the heap now.
type heap struct {
	bytes, objects float64
	goroutines     int
}

// heapNow collects garbage, with what finalizers hold, and counts what is left.
func heapNow() heap {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return heap{float64(m.HeapAlloc + m.StackInuse), float64(m.HeapObjects), runtime.NumGoroutine()}
}

// perItem is the growth since before, divided by n.
func (h heap) perItem(before heap, n int) (bytes, objects float64) {
	return (h.bytes - before.bytes) / float64(n), (h.objects - before.objects) / float64(n)
}

const (
	idlePairs  = 2000
	idleMemory = 512 << 20 // open no more pairs than fit here
	portsPer   = 20_000    // connections to one address of a listener
)

// idle is what a connection costs that does nothing.
func idle() Workload {
	return Workload{
		Name: "idle", Title: "Memory of an idle connection pair",
		About: "heap bytes and objects of one established connection, both ends together, per pair of " +
			"2000 (as many as fit in 512 MB): as opened, and after each end sent and read 1 KiB",
		Procs: []int{2},
		Once:  measureIdle,
	}
}

func measureIdle(env *Env) ([]Result, error) {
	peer, err := transport.Find(env.Peer)
	if err != nil {
		return nil, err
	}
	if peer.Outside {
		return nil, fmt.Errorf("memory outside this process: %w", transport.ErrUnsupported)
	}
	crowd, err := openCrowd(env)
	if err != nil {
		return nil, err
	}
	defer crowd.close()
	crowd.pairs = make([]ends, 0, idlePairs)
	if err := crowd.grow(10); err != nil { // what the first connection sets up for all
		return nil, err
	}
	before := heapNow()
	first := len(crowd.pairs)
	if err := crowd.grow(first + 100); err != nil {
		return nil, err
	}
	per, _ := heapNow().perItem(before, 100)
	if err := crowd.grow(min(idlePairs, first+100+int(idleMemory/max(per, 1)))); err != nil {
		return nil, err
	}
	n := len(crowd.pairs) - first
	bytes, objects := heapNow().perItem(before, n)
	results := []Result{{Params: "state=new", N: n, Metrics: []Metric{{"B/pair", bytes}, {"objects/pair", objects}}}}
	if err := crowd.carry(1 << 10); err != nil {
		return nil, err
	}
	bytes, objects = heapNow().perItem(before, n)
	return append(results, Result{
		Params: "state=used", N: n, Metrics: []Metric{{"B/pair", bytes}, {"objects/pair", objects}},
	}), nil
}

// ends are the two ends of one connection.
type ends struct{ client, server net.Conn }

// crowd is many idle connections of one listener.
type crowd struct {
	tr    transport.Transport
	l     net.Listener
	pairs []ends
	quiet bool // without keep-alive probes
}

// still turns off the keep-alive probes that package net's connections send, and those of other
// peers that are modelled on it: who sends is not idle.
func still(conns ...net.Conn) error {
	for _, c := range conns {
		if k, ok := c.(interface{ SetKeepAlive(on bool) error }); ok {
			if err := k.SetKeepAlive(false); err != nil {
				return err
			}
		}
	}
	return nil
}

func openCrowd(env *Env) (*crowd, error) {
	tr, err := env.Open(transport.Options{})
	if err != nil {
		return nil, err
	}
	l, err := tr.Listen()
	if err != nil {
		_ = tr.Close()
		return nil, err
	}
	return &crowd{tr: tr, l: l}, nil
}

// grow opens connections until there are n, one after another, so that both ends are known to
// belong together.
func (c *crowd) grow(n int) error {
	first := len(c.pairs)
	if n <= first {
		return nil
	}
	c.pairs = append(c.pairs, make([]ends, n-first)...)
	type accepted struct {
		conn net.Conn
		err  error
	}
	ch := make(chan accepted, 1)
	go func() {
		for range n - first {
			conn, err := c.l.Accept()
			ch <- accepted{conn, err}
			if err != nil {
				return
			}
		}
	}()
	for i := first; i < n; i++ {
		client, err := c.tr.Dial(c.l, i/portsPer)
		if err != nil {
			_ = c.l.Close()
			return errors.Join(fmt.Errorf("connection %d: %w", i, err), (<-ch).err)
		}
		a := <-ch
		if a.err != nil {
			_ = client.Close()
			return fmt.Errorf("accepting connection %d: %w", i, a.err)
		}
		c.pairs[i] = ends{client, a.conn}
		if c.quiet {
			if err := still(client, a.conn); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
	}
	return nil
}

// carry sends size bytes from each end of every connection to the other.
func (c *crowd) carry(size int) error {
	buf, in := make([]byte, size), make([]byte, size)
	next := make(chan net.Conn)
	written := make(chan error)
	defer close(next)
	go func() {
		for w := range next { // a synchronous pipe needs a writer and a reader at once
			_, err := w.Write(buf)
			written <- err
		}
	}()
	for i, p := range c.pairs {
		for _, way := range []struct{ from, to net.Conn }{{p.client, p.server}, {p.server, p.client}} {
			next <- way.from
			_, err := io.ReadFull(way.to, in)
			if err = errors.Join(err, <-written); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
	}
	return nil
}

func (c *crowd) close() {
	for _, p := range c.pairs {
		if p.client != nil {
			_ = p.client.Close()
		}
		if p.server != nil {
			_ = p.server.Close()
		}
	}
	_, _ = c.l.Close(), c.tr.Close()
}

// newStack is the making of a whole network.
func newStack() Workload {
	return Workload{
		Name: "new-stack", Title: "A new stack",
		About: "time to make one, and heap bytes and goroutine stacks that it holds while nothing uses it",
		Procs: []int{2},
		Once:  measureNewStack,
	}
}

func measureNewStack(env *Env) ([]Result, error) {
	peer, err := transport.Find(env.Peer)
	if err != nil {
		return nil, err
	}
	if !peer.Stack {
		return nil, fmt.Errorf("no stack: %w", transport.ErrUnsupported)
	}
	var opened []transport.Transport
	closeAll := func() {
		for _, tr := range opened {
			_ = tr.Close()
		}
		opened = opened[:0]
	}
	defer closeAll()
	open := func(n int) error {
		for range n {
			tr, err := peer.New(transport.Options{})
			if err != nil {
				return err
			}
			opened = append(opened, tr)
		}
		return nil
	}
	const held = 200
	opened = make([]transport.Transport, 0, held)
	if err := open(1); err != nil {
		return nil, err
	}
	before := heapNow()
	if err := open(held - 1); err != nil {
		return nil, err
	}
	bytes, objects := heapNow().perItem(before, held-1)
	closeAll()
	s, err := timed(func(n int) error { return openAndClose(peer, n) }, env.Time)
	if err != nil {
		return nil, err
	}
	return []Result{{N: s.N, Metrics: []Metric{
		{"ns/op", s.nanoseconds()}, {"B/stack", bytes}, {"objects/stack", objects},
	}}}, nil
}

// openAndClose makes stacks one after another. Where a stack has goroutines, closing it is part of
// its price.
func openAndClose(peer transport.Peer, n int) error {
	for range n {
		tr, err := peer.New(transport.Options{})
		if err != nil {
			return err
		}
		if err := tr.Close(); err != nil {
			return err
		}
	}
	return nil
}

// growth is what a connection feels of others that are open.
func growth() Workload {
	return Workload{
		Name: "growth", Title: "Round trip and bulk beside other established connections",
		About: "rtt and bulk-64k on one connection while others are established and idle (no keep-alive probes)",
		Procs: []int{2}, Weight: Slow,
		Once: func(env *Env) ([]Result, error) { return measureGrowth(env, []int{1, 1000, 100_000}) },
	}
}

// million is growth, to a million.
func million() Workload {
	return Workload{
		Name: "million", Title: "1,000,000 established connections",
		About: "time to open them, both ends in this process, on 50 addresses; the heap they take; rtt and " +
			"bulk-64k on one more connection beside them, which are idle (no keep-alive probes)",
		Procs: []int{2}, Weight: Huge,
		Once: func(env *Env) ([]Result, error) { return measureGrowth(env, []int{1, 1000, 1_000_000}) },
	}
}

// untilIdle is how long connections that were just opened are left alone before they count as idle: a TCP may have timers that
// were set for the handshake, RFC 6298's second, and come to nothing only when they expire.
const untilIdle = 2 * time.Second

// growthMemory is what idle connections may take: more are not opened.
const growthMemory = 12 << 30

func measureGrowth(env *Env, steps []int) ([]Result, error) {
	peer, err := transport.Find(env.Peer)
	if err != nil {
		return nil, err
	}
	raiseFileLimit(uint64(2*steps[len(steps)-1] + 1000))
	c, err := openCrowd(env)
	if err != nil {
		return nil, err
	}
	defer c.close()
	c.quiet = true
	var results []Result
	before := heapNow()
	if err := c.grow(1); err != nil {
		return nil, err
	}
	var per float64
	for _, n := range steps {
		if per*float64(n) > growthMemory {
			break // as many as there is room for
		}
		start := time.Now()
		if err := c.grow(n); errors.Is(err, syscall.EMFILE) && len(results) > 0 {
			break // as many as the system lets this process have
		} else if err != nil {
			return nil, err
		}
		opened := time.Since(start)
		time.Sleep(untilIdle)
		now := heapNow()
		if n >= 1000 { // fewer do not say what one costs
			per, _ = now.perItem(before, n)
		}
		r, err := c.beside(env)
		if err != nil {
			return nil, err
		}
		if n > 1 {
			r = append(r, Metric{"open-s", opened.Seconds()})
			if !peer.Outside {
				r = append(r, Metric{"MiB", (now.bytes - before.bytes) / (1 << 20)})
			}
		}
		results = append(results, Result{Params: fmt.Sprintf("others=%d", n), N: n, Metrics: r})
	}
	return results, nil
}

// beside measures one more connection, several times.
func (c *crowd) beside(env *Env) ([]Metric, error) {
	client, server, err := transport.Connect(c.tr, c.l, len(c.pairs)/portsPer+1)
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = client.Close(), server.Close() }()
	var ns, mbs [besideTimes]float64
	for i := range mbs {
		s, err := env.timed(func(n int) error { return transfer(client, server, 64<<10, alone(n)) }, env.Time/besideParts)
		if err != nil {
			return nil, err
		}
		mbs[i] = bulkMetrics(s, 64<<10)[0].Value
	}
	go echo(server, 64)
	buf := message(64)
	for i := range ns {
		s, err := env.timed(func(n int) error { return pingPong(client, buf, n) }, env.Time/besideParts)
		if err != nil {
			return nil, err
		}
		ns[i] = s.nanoseconds()
	}
	slices.Sort(ns[:])
	slices.Sort(mbs[:])
	return []Metric{{"ns/op", ns[besideTimes/2]}, {"MB/s", mbs[besideTimes/2]}}, nil
}

// besideTimes is how often a connection is measured beside others, of which the median is told: the others take minutes to open, and
// are there in one round only or in few, when on two processors a round trip takes half as long again now and then. Each time
// takes one of besideParts parts of the time of a measurement.
const (
	besideTimes = 15
	besideParts = 5
)
