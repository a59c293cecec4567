// Package goodput measures how much TCP gets through a bad network, in virtual time, and knows what it ought to get: what
// theory gives, and what Linux's kernel got through the same network.
//
//	cell := goodput.Cell{Algorithm: "cubic", Path: goodput.Path{Loss: 0.01, RTT: 20 * time.Millisecond}}
//	r, err := goodput.Measure(cell, 1)
//	fmt.Printf("%.2f Mbit/s, at most %.2f\n", r.Goodput/1e6, cell.Ceiling()/1e6)
//
// The path is a line of 100 Mbit/s with a queue of 1000 packets before it (netem's default), which loses data packets
// at random and no ACKs. The golden table in testdata has every cell of loss × RTT × algorithm; a test holds it against
// both oracles, within bounds that it states. Kernel values are recorded by package sim/peer's TestRecordGoodput.
//
// # Theory
//
// Without timeouts a window that grows by a segment each round trip and is halved for each loss is √(3/2p) segments on
// average (Mathis, Semke, Mahdavi and Ott, 1997), and so is CUBIC's Reno-friendly one (RFC 9438 §4.3). CUBIC's own window
// is ⁴√(C(3+β)/(4(1-β))) · (RTT/p)^¾ (RFC 9438 §5.1), where that is larger. Both are ceilings, as is the line. The floor
// is PFTK's formula (Padhye, Firoiu, Towsley and Kurose, 1998) for a Reno that loses all ACK information at each timeout:
// SACK, RACK, tail loss probes and limited transmit were invented to do better.
//
// # Where we differ from Linux
//
// Over paths of 20 and 100 ms the medians of Reno are within a tenth of the kernel's, those of CUBIC within a
// quarter and above them: Linux keeps the slope
// of its Reno-friendly window at 0.53 segments a round trip, where RFC 9438 §4.3 makes it 1 once the window before the
// last loss is reached; the model with Linux's slope falls short by the same tenth or so. On the path of 1 ms the
// kernel's CUBIC gets as little as a third of what its Reno gets, although the RFC wants as much: it looks at its curve
// at most every 31 ms as long as the window stands still, which is 31 round trips here. We follow the RFC, and there
// our CUBIC is held against the kernel's Reno.
//
// # Limits
//
// One connection at a time, one way, on an otherwise empty path.
package goodput
