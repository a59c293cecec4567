package goodput

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"example.com/loopback/sim"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// A Result is what one connection did.
type Result struct {
	Goodput float64       // bits per second that the receiver's application got
	Took    time.Duration // for the bytes that count
	Info    tcp.Info      // of the sender, at the end
}

// port is where the receiver listens.
const port = 5001

// Measure sends the cell's bytes over its path, in virtual time. Equal seeds give equal results, on every machine.
func Measure(c Cell, seed uint64) (Result, error) {
	r, err := newRun(c, seed)
	if err != nil {
		return Result{}, err
	}
	defer r.stack.Close()
	return r.measure()
}

// A run is one measurement: both ends on one computer, and everything in one goroutine.
type run struct {
	c        Cell
	q        sim.Queue
	stack    *socket.Stack
	from, to *socket.Socket
	warm     int64
	counted  int64
	sent     int64
	got      int64
	began    time.Duration // when the warming up was over
	ended    time.Duration
	buf      []byte
}

func newRun(c Cell, seed uint64) (*run, error) {
	r := &run{c: c, buf: make([]byte, 64<<10)}
	r.warm, r.counted = c.Bytes()
	link, err := sim.NewImpaired(sim.ImpairConfig{Seed: seed, Log: -1, Scheduler: &r.q, Rules: c.rules()})
	if err != nil {
		return nil, err
	}
	r.stack, err = socket.NewChecked(socket.Config{
		MTU: MTU, Seed: seed, Queues: 1, Link: link, Clock: sim.NewClock(&r.q), RingSize: 4096,
		TCP: &tcp.Config{CongestionControl: c.Algorithm},
	})
	return r, err
}

// errStalled: nothing will happen any more, yet there is something to send.
var errStalled = errors.New("goodput: the connection has come to a halt")

// limit is when a measurement is given up.
const limit = time.Hour

func (r *run) measure() (Result, error) {
	listener, err := r.listen()
	if err != nil {
		return Result{}, err
	}
	if r.from, err = r.stack.Socket("tcp4"); err != nil {
		return Result{}, err
	}
	if err := r.from.Bind(netip.AddrPortFrom(sender, 0)); err != nil {
		return Result{}, err
	}
	if err := r.from.Connect(netip.AddrPortFrom(receiver, port)); !errors.Is(err, syscall.EINPROGRESS) {
		return Result{}, fmt.Errorf("goodput: connect: %w", err)
	}
	for r.ended == 0 {
		if !r.q.Step() || r.q.Now() > limit {
			return Result{}, errStalled
		}
		if r.to == nil {
			if r.to, _, err = listener.Accept(); errors.Is(err, syscall.EAGAIN) {
				continue
			} else if err != nil {
				return Result{}, err
			}
		}
		if err := r.applications(); err != nil {
			return Result{}, err
		}
	}
	took := r.ended - r.began
	return Result{
		Goodput: float64(r.counted) * 8 / took.Seconds(),
		Took:    took,
		Info:    r.from.Conn().Info(),
	}, nil
}

func (r *run) listen() (*socket.Socket, error) {
	l, err := r.stack.Socket("tcp4")
	if err == nil {
		err = l.Bind(netip.AddrPortFrom(receiver, port))
	}
	if err == nil {
		err = l.Listen(1)
	}
	return l, err
}

// applications lets the sender write and the receiver read what they can.
func (r *run) applications() error {
	for r.sent < r.warm+r.counted {
		n, err := r.from.Send(r.buf[:min(int64(len(r.buf)), r.warm+r.counted-r.sent)], 0, netip.AddrPort{})
		r.sent += int64(n)
		if errors.Is(err, syscall.EAGAIN) {
			break
		} else if err != nil {
			return fmt.Errorf("goodput: send: %w", err)
		}
	}
	for r.ended == 0 {
		n, _, err := r.to.Recv(r.buf, 0)
		if errors.Is(err, syscall.EAGAIN) {
			return nil
		} else if err != nil {
			return fmt.Errorf("goodput: receive: %w", err)
		}
		r.got += int64(n)
		if r.began == 0 && r.got >= r.warm {
			r.began = r.q.Now()
			r.counted -= r.got - r.warm
		}
		if r.got >= r.warm+r.counted {
			r.ended = r.q.Now()
		}
	}
	return nil
}
