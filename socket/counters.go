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

// flowCounters are those that every packet increments, one set for each queue
// so that flows on different cores do not wait for each other.
type flowCounters struct {
	_          [64]byte
	inReceives atomic.Uint64 // packets the NIC handed over
	delivered  atomic.Uint64 // packets a transport accepted
	_          [64]byte
	requests   atomic.Uint64 // packets that transports wanted sent
	udpOut     atomic.Uint64 // of these, datagrams
	udpIn      atomic.Uint64 // datagrams that reached a socket
}

// deliver counts a packet that reached a transport.
func (r *receiver) deliver() { r.count.delivered.Add(1) }

// total sums one of the flowCounters.
func (s *Stack) total(of func(*flowCounters) *atomic.Uint64) (n uint64) {
	for q := range s.receivers {
		n += of(&s.receivers[q].count).Load()
	}
	return n
}

func inReceives(c *flowCounters) *atomic.Uint64 { return &c.inReceives }
func delivered(c *flowCounters) *atomic.Uint64  { return &c.delivered }
func requests(c *flowCounters) *atomic.Uint64   { return &c.requests }
func udpIn(c *flowCounters) *atomic.Uint64      { return &c.udpIn }
func udpOut(c *flowCounters) *atomic.Uint64     { return &c.udpOut }
