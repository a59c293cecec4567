package sim

import (
	"net/netip"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// A Driver runs one computer from one goroutine: application, wire and time in
// exact order, without goroutines and without waiting. It is what packet
// scripts, fuzzers and outside judges of the stack stand on.
//
//	d, err := sim.NewDriver(sim.DriverConfig{Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
//	d.Inject(syn)             // a packet arrives by the wire
//	out, ok := d.Next()       // the answer, and when it left
//	d.Advance(d.Deadline())   // until something happens by itself
//	k, err := d.Stack().Socket("tcp4")
//
// lo is on an open wire: packets for an address that is not local leave by it,
// with all checksums filled in, and injected ones arrive by it. Work that a call
// causes is done when the call returns. A Driver is not safe for concurrent use.
// FuzzStack, among the tests of this package, is a fuzzer made of one.
type Driver struct {
	q     Queue
	stack *socket.Stack
	out   []Sent
	first int
}

// Sent is a packet that left by the wire.
type Sent struct {
	Packet []byte        // from its IP header on
	At     time.Duration // virtual time, since the Driver was made
	Cause  tcp.Cause     // why, if it is a TCP segment
}

// DriverConfig describes the computer of a Driver.
type DriverConfig struct {
	// Stack is the configuration of the computer; Clock, Link and Queues are
	// the Driver's. A Seed of 0 counts as 1: a Driver always repeats itself.
	Stack socket.Config
	// Addrs are given to lo besides its own, as `ip addr add … dev lo` does.
	Addrs []netip.Prefix
	// Local are prefixes all of whose addresses are local, as
	// `ip route add local … dev lo` makes them.
	Local []netip.Prefix
}

// NewDriver makes a computer at virtual time 0.
func NewDriver(cfg DriverConfig) (*Driver, error) {
	d := &Driver{}
	c := cfg.Stack
	c.Clock, c.Parker, c.Queues = NewClock(&d.q), nil, 1
	c.Link = device.NewPortPackets(d.leave)
	if c.Seed == 0 {
		c.Seed = 1
	}
	var err error
	if d.stack, err = socket.NewChecked(c); err != nil {
		return nil, err
	}
	for _, a := range cfg.Addrs {
		if err := d.stack.NIC().AddAddr(a); err != nil {
			return nil, err
		}
	}
	for _, p := range cfg.Local {
		if err := d.stack.NIC().AddPrefix(p); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// leave takes a packet that leaves by the wire.
func (d *Driver) leave(_ time.Duration, n *device.NIC, p *device.Packet) {
	raw := n.AppendWire(make([]byte, 0, p.Len()), p)
	d.out = append(d.out, Sent{raw, d.q.Now(), tcp.Cause(p.Cause)})
}

// Stack returns the computer. Its blocking calls (Dial, Accept, Read …) would
// wait for ever; Stack.Socket makes sockets whose calls do not wait.
func (d *Driver) Stack() *socket.Stack { return d.stack }

// Inject delivers one raw IP packet by the wire. The error is the NIC's
// (device.ErrDown and the like); a packet that the stack drops is no error.
func (d *Driver) Inject(raw []byte) error { return d.stack.NIC().Inject(d.q.Now(), raw) }

// Next takes the oldest packet that left by the wire and was not taken yet.
func (d *Driver) Next() (Sent, bool) {
	if d.first == len(d.out) {
		d.out, d.first = d.out[:0], 0
		return Sent{}, false
	}
	s := d.out[d.first]
	d.out[d.first] = Sent{}
	d.first++
	return s, true
}

// Now returns virtual time since the Driver was made. Only Advance changes it.
func (d *Driver) Now() time.Duration { return d.q.Now() }

// Deadline returns when something will next happen by itself; Never if nothing
// will.
func (d *Driver) Deadline() time.Duration {
	if due, ok := d.q.Next(); ok {
		return max(due, d.q.Now())
	}
	return Never
}

// Never is the Deadline of a computer in which nothing will happen by itself.
const Never = never

// Advance moves time to the given instant and runs, in order and each at its
// own time, what is due on the way. A time in the past runs what is due now.
// Advance(Never) goes on until nothing will happen by itself any more and
// leaves time at what happened last; beware of keep-alive that is answered.
func (d *Driver) Advance(to time.Duration) {
	if to == Never {
		for d.q.Step() {
		}
		return
	}
	d.q.Run(max(to, d.q.Now()))
}

// Close ends the computer.
func (d *Driver) Close() error { return d.stack.Close() }
