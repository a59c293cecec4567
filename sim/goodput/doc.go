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
// # Linux's CUBIC and that of RFC 9438
//
// "cubic" is what Linux has. The medians of all cells, Reno's and CUBIC's, are within a sixth of the kernel's.
// "cubic-rfc9438" is what the RFC says. It gets up to three times as much on the path of 1 ms: there Linux gets less
// than its own Reno. Why is shown by leaving out of ours one thing after the other in which Linux differs (see tcp.Cubic;
// medians of five seeds, Mbit/s):
//
//	                                          1 ms              20 ms
//	loss                                1 %   5 %  10 %   1 %   5 %  10 %
//	cubic, as Linux has it             56.5  13.5   4.3  5.97  2.10  1.21
//	Reno's slope 1 instead of 8/15     66.8  12.6   4.3  7.86  2.89  1.57
//	no pause of 32 ms in growth        77.9  24.9   8.1  6.20  2.21  1.26
//	both                               89.3  38.6  11.9  8.54  2.95  1.60
//	no HyStart                         57.8  13.1   4.3  6.03  2.10  1.21
//	no growth of 5 % after a timeout   56.2  10.9   3.0  5.92  2.10  1.21
//	jiffies of 4 ms instead of 1       62.9  15.9   3.7  5.99  2.09  1.20
//
// So the pause makes the difference at 1 ms, and at 10 % loss timeouts do the rest; the slope makes it at 20 ms. Without
// loss and at 100 ms HyStart leaves slow start early, which costs 4 % of the line, and costs the kernel as much.
//
// # Limits
//
// One connection at a time, one way, on an otherwise empty path.
package goodput
