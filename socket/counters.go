package socket

import (
	"sync/atomic"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv6"
)

// Drop names a reason for which the stack did not deliver a packet that the
// NIC had received. Every such packet increments exactly one of them.
type Drop uint8

// The reasons of the IP layer and above that are not a wire format's own; those
// are counted under their package's names (see [Counters]).
const (
	DropNone           Drop = iota
	DropNotIP               // neither version 4 nor 6
	DropIPv4Header          // ipv4.Parse refused it (see Counters.IPv4)
	DropIPv6Header          // ipv6.Parse refused it (see Counters.IPv6)
	DropMartian             // an address that is not legal where it stands
	DropNotLocal            // for somebody else; we do not forward
	DropReassembly          // fragment refused by the reassembler
	DropUnknownProto        // no such transport protocol
	DropTCPHeader           // tcp.ParseHeader refused it
	DropTCPChecksum         // TCP checksum wrong
	DropTCPNoSocket         // nobody has that port; answered with RST where due
	DropTCPListen           // a segment that LISTEN ignores
	DropTCPSynQueue         // SYN refused: half-open queue full (TCPReqQFullDrop)
	DropTCPAcceptQueue      // SYN or ACK refused: accept queue full (ListenOverflows)
	DropUDPHeader           // udp.Parse refused it
	DropUDPChecksum         // UDP checksum wrong
	DropUDPNoSocket         // nobody has that port (UdpNoPorts); answered with ICMP
	DropUDPRecvBuf          // receive buffer full (UdpRcvbufErrors)
	DropICMP                // malformed or unknown ICMP
	DropStackClosed         // the stack was closed
	numDrops
)

var dropNames = [numDrops]string{
	"None", "IpNotIP", "IpInHdrErrors", "Ip6InHdrErrors", "IPReversePathFilter", "IpInAddrErrors",
	"IpReasmFails", "IpInUnknownProtos", "TcpInErrs", "TcpInCsumErrors", "TcpNoPorts",
	"TcpListenIgnored", "TCPReqQFullDrop", "ListenOverflows", "UdpInErrors", "UdpInCsumErrors",
	"UdpNoPorts", "UdpRcvbufErrors", "IcmpInErrors", "StackClosed",
}

// String returns the name of the counter, a MIB name where there is one.
func (d Drop) String() string {
	if d < numDrops {
		return dropNames[d]
	}
	return "Drop(?)"
}

// counters are the stack's own; safe for concurrent use.
type counters struct {
	fragments   atomic.Uint64 // of these, fragments now waiting or merged into a datagram
	reassembled atomic.Uint64 // datagrams put together and handed on as one packet
	dropped     [numDrops]atomic.Uint64
	ipv4        [ipv4.NumReasons]atomic.Uint64
	ipv6        [ipv6.NumReasons]atomic.Uint64
	tcp         [16]atomic.Uint64 // by tcp.Reason
	udp         [16]atomic.Uint64 // by udp.Reason

	outRefused  atomic.Uint64 // packets the NIC did not take and nobody kept
	outDiscards atomic.Uint64 // could not be sent: ring full, lo down
	outNoRoutes atomic.Uint64
	fragCreates atomic.Uint64
	icmpIn      atomic.Uint64
	icmpOut     atomic.Uint64
	icmpLimited atomic.Uint64
	icmpOrphans atomic.Uint64 // errors about flows nobody has
	rawDrops    atomic.Uint64 // copies that a raw socket had no room for
	twOverflow  atomic.Uint64
}

// drop counts p under why and gives it back.
func (s *Stack) drop(p *device.Packet, why Drop) {
	s.count.dropped[why].Add(1)
	p.Release()
}

// A tally counts what every packet counts, for one queue: the holder of its
// baton adds, without a locked instruction, and shows the sum when it has taken
// what there was, so that no two cores write to one cache line for every packet.
type tally struct {
	n     uint64
	shown atomic.Uint64
}

func (t *tally) show() {
	if t.n != t.shown.Load() {
		t.shown.Store(t.n)
	}
}

// A pairTally is a tally of datagrams or segments that came in and went out. On
// the loopback wire there are as many of the one as of the other, and showing
// them together takes one addition.
type pairTally struct{ pairs, restIn, restOut atomic.Uint64 }

// add shows so many more. It is small enough to be part of the caller.
func (t *pairTally) add(in, out uint64) {
	if in == out {
		t.pairs.Add(in)
	} else {
		t.addRest(in, out)
	}
}

// addRest is add where there is more of the one than of the other.
//
//go:noinline
func (t *pairTally) addRest(in, out uint64) {
	n := min(in, out)
	if n != 0 {
		t.pairs.Add(n)
	}
	if in > n {
		t.restIn.Add(in - n)
	} else {
		t.restOut.Add(out - n)
	}
}

// load returns the sums as shown.
func (t *pairTally) load() (in, out uint64) {
	n := t.pairs.Load()
	return n + t.restIn.Load(), n + t.restOut.Load()
}

// deliver counts a packet that reached a transport.
func (r *receiver) deliver() { r.delivered.n++ }

// deliveries returns how many packets reached a transport, and how many of
// these UDP.
func (s *Stack) deliveries() (all, udp uint64) {
	for q := range s.receivers {
		in, _ := s.receivers[q].datagrams.load()
		udp += in
		all += s.receivers[q].delivered.shown.Load()
		in, _ = s.receivers[q].segments.load()
		all += in
	}
	return all + udp, udp
}

// segmentsIn returns how many segments have come, modulo 1<<32.
func (s *Stack) segmentsIn() uint32 {
	var n uint64
	for q := range s.receivers {
		in, _ := s.receivers[q].segments.load()
		n += in
	}
	return uint32(n)
}

// eachTCP is tcpStats.Each, with the segments that are counted elsewhere.
func (s *Stack) eachTCP(yield func(group, name string, n uint64) bool) {
	var in, out, acks uint64
	for q := range s.receivers {
		i, o := s.receivers[q].segments.load()
		in, out, acks = in+i, out+o, acks+s.receivers[q].pureAcks.shown.Load()
	}
	s.tcpStats.Each(func(group, name string, n uint64) bool {
		switch name {
		case "InSegs":
			n += in
		case "OutSegs":
			n += out
		case "TCPPureAcks":
			n += acks
		}
		return yield(group, name, n)
	})
}

// datagramsSent returns how many datagrams UDP has sent.
func (s *Stack) datagramsSent() (n uint64) {
	for q := range s.receivers {
		_, out := s.receivers[q].datagrams.load()
		n += out + s.receivers[q].othersOut.Load()
	}
	return n
}

// received returns how many packets the IP layer was given: those of the NIC,
// and those put together of fragments.
func (s *Stack) received() uint64 {
	return s.nic.Counters().RX.Packets + s.count.reassembled.Load()
}
