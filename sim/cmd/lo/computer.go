package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/sim"
	"example.com/loopback/sim/capture"
	"example.com/loopback/socket"
)

// computerFlags describe the simulated computer.
type computerFlags struct {
	Write  string   `short:"w" placeholder:"FILE" help:"Record all packets in a pcapng file, for Wireshark."`
	Ladder string   `placeholder:"FILE" help:"Draw each TCP connection as a message sequence chart: as text in FILE.txt, or in FILE.svg, FILE-2.svg and so on."`
	Trace  bool     `help:"Print every packet to standard error, as tcpdump -n does, and why segments are sent again."`
	Why    bool     `help:"Print to standard error what the network does to packets, and why."`
	MTU    int      `name:"mtu" placeholder:"BYTES" help:"MTU of lo; 16436 by default."`
	Seed   uint64   `help:"Fix everything that is drawn at random; 0 draws a seed."`
	Hosts  []string `name:"host" sep:"none" placeholder:"\"ADDR NAME\"" help:"Add a line to the hosts table. May be repeated."`

	Delay     time.Duration `group:"Network" help:"How long each packet takes."`
	Jitter    time.Duration `group:"Network" help:"How much that varies."`
	Loss      float64       `group:"Network" placeholder:"P" help:"Probability, 0 to 1, that a packet is lost."`
	Duplicate float64       `group:"Network" placeholder:"P" help:"Probability that a packet arrives twice."`
	Corrupt   float64       `group:"Network" placeholder:"P" help:"Probability that a bit of a packet is flipped."`
	Reorder   float64       `group:"Network" placeholder:"P" help:"Probability that a packet overtakes others."`
	Rate      float64       `group:"Network" placeholder:"BIT/S" help:"Rate of the line in bits per second."`
}

// computer is the simulated one, and what records it.
type computer struct {
	*socket.Stack
	seed   uint64
	writer *capture.Writer
	file   *os.File
	trace  *capture.Printer
	says   *lockedWriter  // where the trace goes
	rec    *sim.Recording // for ladder
	ladder string
}

// start makes the computer.
func (f *computerFlags) start(stderr io.Writer) (*computer, error) {
	if f.MTU != 0 && (f.MTU < device.MinMTU || f.MTU > device.MaxPacket) {
		return nil, usageError("an MTU of %d is not within %d and %d", f.MTU, device.MinMTU, device.MaxPacket)
	}
	if ext := filepath.Ext(f.Ladder); f.Ladder != "" && ext != ".svg" && ext != ".txt" {
		return nil, usageError("--ladder %s is neither .svg nor .txt", f.Ladder)
	}
	cfg := socket.Config{MTU: f.MTU, Seed: f.Seed, Hosts: strings.Join(f.Hosts, "\n")}
	m := sim.Impairment{Delay: f.Delay, Jitter: f.Jitter, Loss: f.Loss, Duplicate: f.Duplicate, Corrupt: f.Corrupt, Reorder: f.Reorder, Rate: int64(f.Rate)}
	messages := &lockedWriter{w: stderr}
	network := sim.ImpairConfig{Seed: f.Seed, Rules: []sim.Rule{{Name: "network", Impairment: m}}}
	if f.Why {
		network.Observe = func(d *sim.Decision) { fmt.Fprintln(messages, d.Explain()) }
	}
	epoch := time.Now()
	c := &computer{seed: f.Seed, ladder: f.Ladder, says: messages}
	if f.Ladder != "" {
		network.Queued = true // so that the link tells when packets arrive, although it may be perfect
		c.rec = sim.NewRecording(epoch, f.Seed, 0)
		c.rec.Configure(&network, &cfg)
	}
	link, err := sim.NewImpaired(network)
	if err != nil {
		return nil, usageError("%w", err)
	}
	cfg.Link = link
	if c.Stack, err = socket.NewChecked(cfg); err != nil {
		return nil, usageError("%w", err)
	}
	if c.rec != nil {
		c.rec.Begin(c.Stack, link)
	}
	if f.Write != "" {
		if c.file, err = os.Create(f.Write); err != nil {
			return nil, usageError("%w", err)
		}
		c.writer = capture.NewWriter(c.file, capture.Options{Epoch: epoch})
		c.NIC().AddTap(c.writer.Tap())
	}
	if f.Trace {
		c.trace = capture.NewPrinter(messages, capture.TraceOptions{Epoch: epoch, Location: time.Local, Causes: true})
		c.NIC().AddTap(c.trace.Tap())
	}
	return c, nil
}

// finish ends the computer and its recordings; it returns err, or what went wrong with those.
func (c *computer) finish(err error) error {
	c.Close()
	c.says.end()
	if c.rec != nil {
		if ladderErr := writeLadders(c.rec.Ladders(), c.ladder); err == nil && ladderErr != nil {
			err = usageError("%w", ladderErr)
		}
	}
	if c.file != nil {
		if flushErr := c.writer.Flush(); err == nil && flushErr != nil {
			err = usageError("%s: %w", c.file.Name(), flushErr)
		}
		if closeErr := c.file.Close(); err == nil && closeErr != nil {
			err = usageError("%w", closeErr)
		}
	}
	if c.trace != nil && err == nil {
		if traceErr := c.trace.Err(); traceErr != nil {
			err = fmt.Errorf("trace: %w", traceErr)
		}
	}
	return err
}

// lockedWriter lets the trace and messages share a stream.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// end makes the stream its owner's again: a server that has yet to notice that its computer was switched off may still
// close a connection, of which the trace would tell.
func (l *lockedWriter) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w = io.Discard
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
