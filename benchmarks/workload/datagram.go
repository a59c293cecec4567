package workload

import (
	"fmt"
	"time"

	"example.com/loopback/benchmarks/transport"
)

// window is how many datagrams are under way at most.
const window = 128

// recvPatience is how long a datagram may take before it counts as lost.
const recvPatience = 5 * time.Second

func datagrams() []Workload {
	return []Workload{
		datagram("udp-64", "UDP, 64 bytes", 64),
		datagram("udp-1400", "UDP, 1400 bytes", 1400),
		datagram("udp-16k", "UDP, 16384 bytes", 16<<10),
		{
			Name: "udp-64-2g", Title: "UDP, 64 bytes, sender and receiver in goroutines of their own",
			About: "as udp-64, but a second goroutine receives; the sender waits when 128 datagrams are under way",
			Procs: []int{1, 2},
			Start: func(env *Env) (*Loop, error) {
				return startDatagrams(env, 64, func(d *socketPair, n int) error { return d.stream(n) })
			},
		},
	}
}

func datagram(name, title string, size int) Workload {
	return Workload{
		Name: name, Title: title,
		About: "one goroutine sends 128 datagrams, then receives them; one operation is one datagram, sent and received",
		Procs: []int{1, 2},
		Start: func(env *Env) (*Loop, error) {
			return startDatagrams(env, size, func(d *socketPair, n int) error { return d.bursts(n) })
		},
	}
}

// socketPair is two sockets, what they send, and how much may be under way.
type socketPair struct {
	tr      transport.Transport
	tx, rx  transport.Datagram
	out, in []byte
	window  int
}

func startDatagrams(env *Env, size int, run func(*socketPair, int) error) (*Loop, error) {
	tr, err := env.Open(transport.Options{})
	if err != nil {
		return nil, err
	}
	tx, rx, err := tr.Datagrams()
	if err != nil {
		_ = tr.Close()
		return nil, err
	}
	d := &socketPair{tr: tr, tx: tx, rx: rx, out: message(size), in: make([]byte, size)}
	if err := d.fit(); err != nil {
		d.close()
		return nil, err
	}
	return &Loop{
		Run:  func(n int) error { return run(d, n) },
		Stop: d.close,
		Metrics: func(s Sample) []Metric {
			m := []Metric{{"pkt/s", s.perSecond()}, {"allocs/op", s.allocs()}}
			if d.window != window {
				m = append(m, Metric{"window", float64(d.window)})
			}
			return m
		},
	}, nil
}

func (d *socketPair) close() { _, _, _ = d.tx.Close(), d.rx.Close(), d.tr.Close() }

// fit finds the largest window, 128 at most, that the receiver's buffer holds: half of it each
// time that a datagram is lost.
func (d *socketPair) fit() error {
	for d.window = window; d.window > 0; d.window /= 2 {
		for range d.window {
			if err := d.tx.Send(d.out); err != nil {
				return err
			}
		}
		if err := d.rx.SetReadDeadline(time.Now().Add(recvPatience / 50)); err != nil {
			return err
		}
		got := 0
		for got < d.window && d.recv() == nil {
			got++
		}
		if got == d.window {
			return d.rx.SetReadDeadline(time.Time{})
		}
	}
	return fmt.Errorf("not even one: %w", errLost)
}

func (d *socketPair) recv() error {
	n, err := d.rx.Recv(d.in)
	if err == nil && n != len(d.out) {
		err = fmt.Errorf("datagram of %d bytes instead of %d", n, len(d.out))
	}
	return err
}

// bursts sends and receives by turns.
func (d *socketPair) bursts(n int) error {
	if err := d.rx.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	for n > 0 {
		k := min(n, d.window)
		for range k {
			if err := d.tx.Send(d.out); err != nil {
				return err
			}
		}
		for range k {
			if err := d.recv(); err != nil {
				return err
			}
		}
		n -= k
	}
	return nil
}

// stream sends here and receives in another goroutine, which gives back a quarter of the window at
// a time.
func (d *socketPair) stream(n int) error {
	if err := d.rx.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	batch := max(1, d.window/4)
	credit := make(chan int, d.window)
	received := make(chan error, 1)
	go func() {
		got := 0
		for range n {
			if err := d.recv(); err != nil {
				received <- err
				close(credit)
				return
			}
			if got++; got == batch {
				credit <- got
				got = 0
			}
		}
		received <- nil
	}()
	free := d.window
	for range n {
		if free == 0 {
			back, ok := <-credit
			if !ok {
				return <-received
			}
			free = back
		}
		if err := d.tx.Send(d.out); err != nil {
			return err
		}
		free--
	}
	return <-received
}

// rawPath is a packet's way in from a wire.
func rawPath() Workload {
	return Workload{
		Name: "raw-64", Title: "Raw path: inject, deliver, read, 64 bytes of UDP",
		About: "a raw IP packet is handed to the device, passes IP and UDP with their checksums verified, and " +
			"is read at a socket, in one goroutine",
		Procs: []int{1},
		Start: func(env *Env) (*Loop, error) {
			tr, err := env.Open(transport.Options{})
			if err != nil {
				return nil, err
			}
			raw, err := tr.RawUDP(64)
			if err != nil {
				_ = tr.Close()
				return nil, err
			}
			buf := make([]byte, 128)
			return &Loop{
				Run:     func(n int) error { return injectAndRead(raw, buf, n) },
				Stop:    func() { _, _ = raw.Close(), tr.Close() },
				Metrics: timeAndAllocs,
			}, nil
		},
	}
}

func injectAndRead(raw transport.RawPath, buf []byte, n int) error {
	for range n {
		if err := raw.Inject(); err != nil {
			return err
		}
		got, err := raw.Recv(buf)
		if err != nil {
			return err
		}
		if got != 64 {
			return fmt.Errorf("read %d bytes instead of 64", got)
		}
	}
	return nil
}
