// Package goodput measures how much TCP gets through a bad network, in virtual time, and knows what it ought to get: what
// theory gives, and what Linux's kernel got through the same network.
//
//	cell := goodput.Cell{Algorithm: "cubic", Path: goodput.Path{Loss: 0.01, RTT: 20 * time.Millisecond}}
//	r, err := goodput.Measure(cell, 1)
//	fmt.Printf("%.1f Mbit/s, %.1f by the formula\n", r.Goodput/1e6, cell.Formula()/1e6)
//
// The path is a line of 100 Mbit/s with a queue of 1000 packets before it (netem's default), which loses data packets
// at random and no ACKs. The golden table in testdata has every cell of loss × RTT × algorithm; a test holds it against
// both oracles, within bounds that it states. Kernel values are recorded by package sim/peer's TestGoodputOfKernel.
// By default one seed of nine is measured anew; all of them with -long, and -update rewrites the tables.
//
// # Theory
//
// Without timeouts a window that grows by a segment each round trip and is halved for each loss is √(3/2p) segments on
// average (Mathis, Semke, Mahdavi and Ott, 1997), and so is CUBIC's Reno-friendly one (RFC 9438 §4.3). CUBIC's own window
// is ⁴√(C(3+β)/(4(1-β))) · (RTT/p)^¾ (RFC 9438 §5.1), where that is larger. Losses that come
// at random rather than at equal distances make windows larger, CUBIC's above all: Model reckons with that. The floor is
// PFTK's formula (Padhye, Firoiu, Towsley and Kurose, 1998) for a Reno that loses all ACK information at each timeout:
// SACK, RACK, tail loss probes and limited transmit were invented to do better.
//
// # Where we differ from Linux
//
// Over paths of 20 and 100 ms the medians of Reno are within a tenth of the kernel's, those of CUBIC up to a quarter
// above them: Linux keeps the slope of its Reno-friendly window at 0.53 segments a round trip, where RFC 9438 §4.3 makes
// it 1 once the window before the last loss is reached; the model with Linux's slope falls short by a tenth to a seventh.
// On the path of 1 ms the kernel's CUBIC gets as little as a third of what its Reno gets, although the RFC wants as much.
// Part of it is that Linux looks at its curve at most every 31 ms as long as the window stands still, which is 31 round
// trips here: the model that does the same falls by a quarter, and with windows of two and three segments timeouts do
// the rest. We follow the RFC, and there our CUBIC is held against the kernel's Reno.
//
// # Limits
//
// One connection at a time, one way, on an otherwise empty path.
package goodput
