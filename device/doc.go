// Package device is a simulated network interface: the loopback device lo of a computer that exists only
// inside the program, with packet buffers, lock-free TX and RX rings, a link between them, counters, taps
// and a filter. It needs nothing but the standard library, starts no goroutine, reads no clock, and never
// blocks.
//
// A packet's way:
//
//	Pool.NewPacket ─▶ NIC.Transmit ─▶ TX ring ─▶ taps, TX counters ─▶ Link.Send ─▶ NIC.ReceiveBatch
//	  ─▶ RX ring ─▶ filter, RX counters, taps ─▶ the handler given to NIC.Poll ─▶ Packet.Release
//
// What a link hands back at once (ReceiveBatch) waits on a part of the RX ring that belongs to the holder of
// the baton and needs no locked instruction; what comes in from outside (Receive, Inject), on one that any
// goroutine may use. The two take turns. On the loopback wire with no taps and no filter, if nothing waits to
// be received, what is sent next would be what is received next, and goes on without lying there first. Who
// holds the baton before he makes packets has some of his own (NewPacket, ReleaseHeld).
//
// What any goroutine may use is a Ring. It carries numbers, and putting one there is one locked instruction; a
// packet gets its number when it first needs one.
//
// Transmit and Receive only enqueue. Packets move when somebody polls, and who polls is decided by the
// baton: after enqueuing one calls NIC.Ring, and if that returns true one has to poll until NIC.Rest says
// that all is done. See the example.
//
// # Concurrency
//
// Any goroutine may transmit, inject, look at counters, and change addresses, taps, filter and link at any
// time. Each queue is polled by one goroutine at a time, the holder of its baton; several queues, to which
// packets are steered by Packet.Hash, are polled in parallel. Packets of one flow stay in order.
//
// # Speed
//
// A packet that travels alone, with its bell and its rest, costs four locked instructions; in bursts, a little
// more than one. Nothing is allocated for a packet, and nothing is copied unless it leaves this computer.
// An unused NIC takes less than a kilobyte; its rings come with the first packet.
//
// # Losing nothing unnoticed
//
// A packet that is not delivered increments exactly one of the counters that NIC.Drops returns, by reason;
// NIC.Counters are the interface's totals as ifconfig and ip show them. At rest
//
//	packets accepted by Transmit + packets given to Receive and Inject
//	  = packets delivered to the handler + packets that left by the wire + Drops().Total()
//
// # Links
//
// Loopback is the default. Wire joins two NICs; Port leads to and from raw packets in the program's hands.
// Impairments and captures are links and taps made elsewhere; the NIC does not know them.
//
// # Limits
//
// There is no link layer: packets are bare IP packets, as on Linux's lo where the Ethernet header has only
// zeros. There is no queueing discipline before the TX ring. Whoever sends keeps to the MTU, and the NIC does not check.
// Segmentation offload (Packet.Segs) is for those who pass a packet on themselves, to a receiver who takes it as it is (Pass): the
// NIC cannot take one apart. A filter judges arriving packets only. The loopback wire loses nothing.
package device
