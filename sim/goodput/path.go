package goodput

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"example.com/loopback/sim"
)

// The line of every path.
const (
	Rate  = 100e6 // bits per second
	Queue = 1000  // packets
	MTU   = 1500  // bytes
	MSS   = 1448  // bytes of a full segment with timestamps
)

// A Path is a way from a sender to a receiver and back.
type Path struct {
	Loss float64       // probability that a packet to the receiver is lost
	RTT  time.Duration // without queueing
}

// Forth is what happens to packets to the receiver.
func (p Path) Forth() sim.Impairment {
	return sim.Impairment{Loss: p.Loss, Rate: Rate, Queue: sim.QueueConfig{Packets: Queue}, Delay: p.RTT / 2}
}

// Back is what happens to packets to the sender.
func (p Path) Back() sim.Impairment { return sim.Impairment{Delay: p.RTT / 2} }

// A Cell is one entry of the table.
type Cell struct {
	Algorithm string // "reno", "cubic" or "cubic-rfc9438"
	Path
}

// Cells are those of the table, in its order.
func Cells() (cells []Cell) {
	for _, algorithm := range []string{"reno", "cubic", "cubic-rfc9438"} {
		for _, rtt := range []time.Duration{1, 20, 100} {
			for _, loss := range []float64{0, 0.001, 0.01, 0.05, 0.1} {
				cells = append(cells, Cell{algorithm, Path{loss, rtt * time.Millisecond}})
			}
		}
	}
	return cells
}

// Linux reports whether the algorithm is one of Linux's, so that the kernel can be measured too.
func (c Cell) Linux() bool { return c.Algorithm != "cubic-rfc9438" }

// String gives the cell's name in the tables.
func (c Cell) String() string {
	return fmt.Sprintf("%s %gms %g%%", c.Algorithm, float64(c.RTT)/1e6, c.Loss*100)
}

// Bytes is how many bytes a measurement takes: those that are not counted, until the first slow start is over, and
// those that are. There are more the rarer losses are.
func (c Cell) Bytes() (warm, counted int64) {
	switch {
	case c.Loss == 0:
		return 15e6, 30e6
	case c.Loss < 0.01:
		return 15e6, 60e6
	case c.Loss < 0.05:
		return 2e6, 15e6
	}
	return 0.3e6, 3e6
}

// lineGoodput is what the line carries of payload, in bits per second.
const lineGoodput = Rate * MSS / MTU

// Formula is the goodput in bits per second by the formulas of the literature, which take losses to come at equal
// distances and timeouts never; no more than the line carries.
func (c Cell) Formula() float64 {
	if c.Loss == 0 {
		return lineGoodput
	}
	window := math.Sqrt(3 / (2 * c.Loss))
	if c.Algorithm != "reno" {
		const C, beta = cubicC, cubicBeta
		window = max(window, math.Pow(C*(3+beta)/(4*(1-beta)), 0.25)*math.Pow(c.RTT.Seconds()/c.Loss, 0.75))
	}
	return min(lineGoodput, window*MSS*8/c.RTT.Seconds())
}

// Floor is the goodput in bits per second that a Reno of 1990 has on this path, which knows of nothing but three
// duplicate ACKs and timeouts of at least 200 ms. Without loss it is that of a line whose queue, of one bandwidth-delay
// product at least, never runs empty: the line's.
func (c Cell) Floor() float64 {
	p := c.Loss
	if p == 0 {
		return lineGoodput
	}
	rtt, rto := c.RTT.Seconds(), c.RTT.Seconds()+0.2
	perSegment := rtt*math.Sqrt(2*p/3) + rto*min(1, 3*math.Sqrt(3*p/8))*p*(1+32*p*p)
	return min(lineGoodput, (1-p)*MSS*8/perSegment)
}

// Addresses of the two ends.
var (
	sender   = netip.MustParseAddr("127.0.0.1")
	receiver = netip.MustParseAddr("127.0.0.2")
)

// rules are those of the path between the two.
func (p Path) rules() []sim.Rule {
	a, b := netip.PrefixFrom(sender, 32), netip.PrefixFrom(receiver, 32)
	return []sim.Rule{
		{Name: "forth", From: a, To: b, Impairment: p.Forth()},
		{Name: "back", From: b, To: a, Impairment: p.Back()},
	}
}
