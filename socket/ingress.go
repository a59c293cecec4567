package socket

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
	"example.com/loopback/udp"
)

// A receiver takes in what a queue of the NIC received. It is used by the
// holder of the queue's baton alone and holds what one packet needs, so that
// nothing is allocated for it.
type receiver struct {
	s      *Stack
	queue  int // its number
	handle func(*device.Packet)
	met    acquaintances

	// What each packet of a dialogue writes to, on one cache line (TestLinesApart).
	now      time.Duration // for TCP and ICMP: by the clock, see time
	coarse   bool          // now is not by the clock
	spares   tcp.Spares
	segments pairTally // of TCP, those that spares counts

	lender   *TCPConn // its Write has lent its buffer to packets of the queue
	held     *TCPConn // has text for its reader that is not read yet; see settleLoans
	heldN    int      // how much
	heldRoom int      // how much he had room for
	borrower *TCPConn // its receive queue refers to what is lent; held, if there is one
	looks    uint8    // see oneProcessor
	single   bool     // the same
	odd      bool     // seg holds, or held last, one that is not plain
	addrs    uint64   // of a plain IPv4 packet: source and destination
	ports    uint32   // of a plain packet: the same
	seg      tcp.Segment
	flow     flowKey // of seg, as its receiver is called
	hash     uint32  // of flow, once it was found to be no connection's
	listener lastListener
	last     lastUDP
	legal    legalEnds
	woken    *waiter // the latest reader of a connection that was woken since run looked
	apart    int     // for so many packets segments are not joined, see offload.go
	rules4   ipv4.AddrRules
	rules6   ipv6.AddrRules
	pureAcks tally // among segments

	delivered tally     // packets that reached a transport but UDP, and not counted among segments
	datagrams pairTally // of UDP, those that others sent aside

	udpIn, udpOut uint64 // datagrams that datagrams does not show yet

	_         [128]byte     // what senders write, and
	othersOut atomic.Uint64 // datagrams that others sent
	_         [160]byte     // what the next queue's holder writes lies on other cache lines
}

func (r *receiver) init(s *Stack, queue int, isLocal func(netip.Addr) bool) {
	r.s, r.queue = s, queue
	r.seg.Spares = &r.spares
	r.handle = r.handler()
	r.odd = true
	r.rules4 = ipv4.AddrRules{IsLocal: isLocal}
	r.rules6 = ipv6.AddrRules{IsLocal: isLocal}
}

// time is when the packet is taken in, by the clock.
func (r *receiver) time() time.Duration {
	if r.coarse {
		r.now, r.coarse = r.s.now(), false
	}
	return r.now
}

// kickOther sees to what was put on queue q while r's was polled. Of its own
// queue r itself is the one who polls.
func (r *receiver) kickOther(q int) {
	if q != r.queue {
		r.s.kick(q, r.time())
	}
}

// A datagram is what the IP layer found in a packet: who it is from and for,
// and where the transport's part begins.
type datagram struct {
	src, dst ip
	proto    uint8
	ecn      uint8
	ttl      uint8
	trusted  bool   // checksums of packets that never left our hands are not verified
	at       int    // offset of the transport header in the packet
	head     []byte // what Head holds from there on; the packet's Frags follow
	length   int    // of the transport's part
	field    int    // IPv6: offset of the byte that names proto
}

// input takes any packet in. A plain one goes a shorter way (see handler).
func (r *receiver) input(p *device.Packet) {
	s := r.s
	r.odd = true
	if s.closed.Load() {
		s.drop(p, DropStackClosed)
		return
	}
	var d datagram
	d.trusted = p.Flags&(device.FlagFromWire|device.FlagImpaired) == 0
	switch version(p.Head) {
	case 4:
		if r.input4(p, &d) {
			r.transport(p, &d)
		}
	case 6:
		if r.input6(p, &d) {
			r.transport(p, &d)
		}
	default:
		s.drop(p, DropNotIP)
	}
}

func version(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0] >> 4
}

// input4 is the IPv4 layer: it validates p and fills in d. It returns false
// when p went no further.
func (r *receiver) input4(p *device.Packet, d *datagram) bool {
	h, rest, why := ipv4.ParseHead(p.Head, p.Len(), d.trusted)
	if why != ipv4.OK {
		r.s.count.ipv4[why].Add(1)
		r.s.drop(p, DropIPv4Header)
		return false
	}
	d.src, d.dst = ip4(h[12:]), ip4(h[16:])
	d.proto, d.ecn, d.ttl = h.Protocol(), h.ECN(), h.TTL()
	d.at, d.head, d.length = len(h), rest, h.PayloadLen()
	if !d.trusted && !r.legalAgain(p, d) {
		if why := r.rules4.Check(h); why != ipv4.OK {
			r.legal = legalEnds{}
			r.s.count.ipv4[why].Add(1)
			r.s.drop(p, martianOrForeign(why == ipv4.ReasonDestNotLocal))
			return false
		}
	}
	if len(h) > ipv4.MinHeaderLen && !r.options4(p, h, d) {
		return false
	}
	if h.IsFragment() {
		r.fragment4(p, h, d)
		return false
	}
	return true
}

func martianOrForeign(foreign bool) Drop {
	if foreign {
		return DropNotLocal
	}
	return DropMartian
}

// options4 checks the options of a header that has some. A malformed one is
// answered by a parameter problem, a source route refused.
func (r *receiver) options4(p *device.Packet, h ipv4.Header, d *datagram) bool {
	set, pointer, why := h.CheckOptions()
	if why == ipv4.OK && set.SourceRoute {
		why = ipv4.ReasonSourceRoute
	}
	if why == ipv4.OK {
		return true
	}
	r.s.count.ipv4[why].Add(1)
	if why == ipv4.ReasonOption {
		r.icmpError(p, d, icmpProblem{kind: problemParameter, pointer: uint32(pointer)})
	}
	r.s.drop(p, DropIPv4Header)
	return false
}

// input6 is the IPv6 layer, extension headers included.
func (r *receiver) input6(p *device.Packet, d *datagram) bool {
	h, rest, why := ipv6.ParseHead(p.Head, p.Len())
	if why != ipv6.OK {
		r.s.count.ipv6[why].Add(1)
		r.s.drop(p, DropIPv6Header)
		return false
	}
	d.src, d.dst = ip6(h[8:]), ip6(h[24:])
	d.proto, d.ecn, d.ttl = h.NextHeader(), h.ECN(), h.HopLimit()
	d.at, d.head, d.length, d.field = len(h), rest, h.PayloadLen(), nextHeaderField
	if !d.trusted && !r.legalAgain(p, d) {
		if why := r.rules6.Check(h); why != ipv6.OK {
			r.legal = legalEnds{}
			r.s.count.ipv6[why].Add(1)
			r.s.drop(p, martianOrForeign(why == ipv6.ReasonDestNotLocal))
			return false
		}
	}
	switch d.proto {
	case protoTCP, protoUDP, protoICMPv6:
		return true
	}
	return r.extensions6(p, h, rest, d)
}

// nextHeaderField is the offset of the next header value in the fixed header.
const nextHeaderField = 6

// extensions6 walks the extension headers; they all lie in Head, since only
// fragments of ours and packets from outside have any.
func (r *receiver) extensions6(p *device.Packet, h ipv6.Header, rest []byte, d *datagram) bool {
	chain, problem, why := ipv6.ExtLimits{}.Walk(h, rest)
	if why == ipv6.ReasonNoNextHeader {
		r.s.count.ipv6[why].Add(1)
		r.deliver() // RFC 8200 §4.7: nothing follows, and that is fine
		p.Release()
		return false
	}
	if why != ipv6.OK {
		r.s.count.ipv6[why].Add(1)
		if problem.Send {
			r.icmpError(p, d, icmpProblem{kind: problemParameter, code: problem.Code, pointer: problem.Pointer})
		}
		r.s.drop(p, DropIPv6Header)
		return false
	}
	d.proto, d.field = chain.Proto, chain.NextField
	if chain.Fragment {
		r.fragment6(p, h, d)
		return false
	}
	d.length -= chain.Offset - d.at
	d.at = chain.Offset
	d.head = rest[chain.Offset-len(h):]
	return true
}

// transport hands the packet to the protocol it carries.
func (r *receiver) transport(p *device.Packet, d *datagram) {
	if r.s.raw.n.Load() > 0 {
		r.s.raw.copy(p, d) // raw sockets see it as well
	}
	switch {
	case d.proto == protoTCP:
		r.inputTCP(p, d)
	case d.proto == protoUDP:
		r.inputUDP(p, d)
	case d.proto == protoICMP && d.dst.is4():
		r.inputICMP4(p, d)
	case d.proto == protoICMPv6 && !d.dst.is4():
		r.inputICMP6(p, d)
	default:
		if !r.s.raw.wants(d.proto, d.dst) {
			r.icmpError(p, d, icmpProblem{kind: problemProtocol, pointer: uint32(d.field)})
		}
		r.s.drop(p, DropUnknownProto)
	}
}

// checksumOK verifies the transport checksum of a packet for which it was not
// left to the device, where it never could be wrong.
func (r *receiver) checksumOK(p *device.Packet, d *datagram) bool {
	sum := foldTo32(d.src.sum() + d.dst.sum() + uint64(d.proto) + uint64(d.length))
	return checksum.Fold(checksum.SumPieces(sum, d.head, p.Frags[0].B, p.Frags[1].B)) == 0xffff
}

// inputTCP finds the connection of a segment.
func (r *receiver) inputTCP(p *device.Packet, d *datagram) {
	s, seg, flow := r.s, &r.seg, &r.flow
	r.time()
	n, why := tcp.ParseHeader(d.head, seg)
	if why == tcp.ReasonOptTruncated || why == tcp.ReasonOptLength {
		// RFC 9293 MUST-7: be prepared for an illegal option length. As Linux
		// does, the options that can be read count, and the segment is taken.
		s.count.tcp[why].Add(1)
		why = tcp.ReasonOK
	}
	if why != tcp.ReasonOK {
		s.count.tcp[why].Add(1)
		s.tcpStats.InErrs.Add(1)
		s.drop(p, DropTCPHeader)
		return
	}
	if p.Flags&device.FlagCsumPartial == 0 && !r.checksumOK(p, d) {
		s.tcpStats.InCsumErrors.Add(1)
		s.tcpStats.InErrs.Add(1)
		s.drop(p, DropTCPChecksum)
		return
	}
	seg.ECN, seg.Into, seg.Taken, seg.Steady = d.ecn, nil, 0, false
	r.payload(p, d.head[n:])
	*flow = flowKey{local: d.dst, remote: d.src, lport: seg.DstPort, rport: seg.SrcPort}
	hash := p.Hash
	if !d.trusted {
		hash = flow.hash(protoTCP)
	}
	r.demux(p, seg, flow, hash)
}

// demux hands a segment of flow, whose hash is hash, to its connection or to whoever else it is for.
func (r *receiver) demux(p *device.Packet, seg *tcp.Segment, flow *flowKey, hash uint32) {
	s := r.s
	if node := s.tcp.find(flow, hash); node != nil {
		node.val.receive(r, p, seg, flow)
		return
	}
	r.hash = hash
	if s.timeWaits.receive(r, p, seg, flow, hash) {
		return
	}
	if l := r.findListener(flow); l != nil {
		l.receive(r, p, seg, flow)
		return
	}
	s.noSocket(r, p, seg)
}

// payload makes r.seg's payload of rest, what Head holds of it, and the
// packet's Frags. What is lent is the first of them.
func (r *receiver) payload(p *device.Packet, rest []byte) {
	pl := &r.seg.Payload
	*pl = tcp.Payload{}
	if len(rest) > 0 {
		if p.HeadOwner == nil { // it lies in its descriptor, which will be used again
			if p.Frags[0].B == nil {
				pl.Pieces[0].B, pl.N, pl.Lent = rest, len(rest), true
				return
			}
			b := r.s.pool.Get(len(rest))
			rest = b.Bytes()[:copy(b.Bytes(), rest)]
			p.HeadOwner = b
		}
		pl.Append(tcp.Piece{B: rest, Owner: p.HeadOwner})
	}
	if len(p.Frags[1].B) == 0 && pl.N == 0 { // the usual case, without moving pieces about
		if f := &p.Frags[0]; len(f.B) > 0 {
			pl.Pieces[0].B, pl.N = f.B, len(f.B)
			if f.Owner != nil {
				pl.Pieces[0].Owner = f.Owner
			}
			pl.Lent = p.Flags&device.FlagLent != 0
		}
		return
	}
	for i := range p.Frags {
		if f := &p.Frags[i]; len(f.B) > 0 {
			piece := tcp.Piece{B: f.B}
			if f.Owner != nil {
				piece.Owner = f.Owner
			}
			pl.Append(piece)
		}
	}
}

// findListener returns the listener for segments of flow: one bound to the
// very address before one bound to all of the family before one bound to all.
func (s *Stack) findListener(flow *flowKey) *TCPListener {
	k := flowKey{local: flow.local, lport: flow.lport}
	for {
		if node := s.tcp.find(&k, k.hash(protoTCP)); node != nil {
			if l, ok := node.val.(*TCPListener); ok && !(l.how.has(holdOnly6) && flow.local.is4()) {
				return l
			}
		}
		if !k.widen() {
			break
		}
	}
	return nil
}

// lastListener is who was found to listen for segments to that address and port.
type lastListener struct {
	local ip
	port  uint16
	when  uint32 // of the stack's listening, if l is something
	l     *TCPListener
}

// findListener is that of the stack, which is asked again only if listeners have come or gone.
func (r *receiver) findListener(flow *flowKey) *TCPListener {
	last, when := &r.listener, r.s.listening.Load()
	if last.l == nil || last.when != when || last.port != flow.lport || last.local != flow.local {
		*last = lastListener{flow.local, flow.lport, when, r.s.findListener(flow)}
	}
	return last.l
}

// noSocket answers a segment that nobody has a socket for (RFC 9293
// §3.10.7.1): with a reset, unless it is one itself.
func (s *Stack) noSocket(r *receiver, p *device.Packet, seg *tcp.Segment) {
	var out tcp.Segment
	if tcp.Reset(seg, &out) {
		s.tcpStats.OutRsts.Add(1)
		src, dst := packetEnds(p)
		flow := flowKey{local: dst, remote: src, lport: seg.DstPort, rport: seg.SrcPort}
		r.sendSegment(&flow, &out)
	}
	s.drop(p, DropTCPNoSocket)
}

// packetEnds returns the addresses in an IP header that has been validated.
func packetEnds(p *device.Packet) (src, dst ip) {
	if version(p.Head) == 4 {
		return ip4(p.Head[12:]), ip4(p.Head[16:])
	}
	return ip6(p.Head[8:]), ip6(p.Head[24:])
}

// inputUDP queues a datagram on the socket it is for.
func (r *receiver) inputUDP(p *device.Packet, d *datagram) {
	s := r.s
	h, rest, why := udp.ParseHead(d.head, d.length)
	if why != udp.OK {
		s.count.udp[why].Add(1)
		s.drop(p, DropUDPHeader)
		return
	}
	length := int(binary.BigEndian.Uint16(h[4:]))
	switch {
	case h.Checksum() == 0 && d.dst.is4() && p.Flags&device.FlagCsumPartial == 0: // none was computed
	case h.Checksum() == 0 && !d.dst.is4() && p.Flags&device.FlagCsumPartial == 0: // RFC 8200 §8.1
		s.count.udp[udp.ReasonNoChecksum].Add(1)
		s.drop(p, DropUDPHeader)
		return
	default:
		d.length = length
		if p.Flags&device.FlagCsumPartial == 0 && !r.checksumOK(p, d) {
			s.count.udp[udp.ReasonChecksum].Add(1)
			s.drop(p, DropUDPChecksum)
			return
		}
	}
	flow := flowKey{local: d.dst, remote: d.src, lport: h.DstPort(), rport: h.SrcPort()}
	hash := p.Hash
	if p.Flags&device.FlagCsumPartial == 0 { // not as one of our sockets sent it
		hash = flow.hash(protoUDP)
	}
	u := r.udpSocket(&flow, hash)
	if u == nil {
		r.icmpError(p, d, icmpProblem{kind: problemPort})
		s.drop(p, DropUDPNoSocket)
		return
	}
	p.Head = rest // what is left of it is payload
	u.receive(r, p, flow.remote, flow.rport)
}
