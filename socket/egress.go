package socket

import (
	"encoding/binary"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
)

// Offsets of the transport checksum fields.
const (
	tcpCsumOffset  = 16
	udpCsumOffset  = 6
	icmpCsumOffset = 2
)

// tcpPacket makes the packet of a segment of the flow that n names. The
// payload's references pass to it.
func (s *Stack) tcpPacket(n *flowNode[tcpEnd], seg *tcp.Segment, id uint16, outside bool) *device.Packet {
	p := s.nic.NewPacket(int(n.queue), n.baton)
	n.label(p, seg.Cause, outside)
	k, hlen := &n.key, tcp.TSHeaderLen
	if !seg.TSOnly() {
		hlen = seg.HeaderLen()
	}
	at, length := k.ipLen(), hlen+seg.Payload.N
	b := p.SetHead(at + hlen)
	s.ipBehind(b, k, n.sum, protoTCP, seg.ECN, id, ipv4.FlagDF, length)
	seg.SrcPort, seg.DstPort = k.lport, k.rport
	seg.MarshalHeader(b[at:])
	if seg.Payload.N > 0 {
		s.carry(p, &seg.Payload, n.baton)
	}
	if s.verify {
		s.checksum(p, n.sum, protoTCP, at, tcpCsumOffset)
	} else {
		binary.BigEndian.PutUint16(b[at+tcpCsumOffset:], pseudoSum(n.sum, protoTCP, length))
		offload(p, at, tcpCsumOffset)
	}
	return p
}

// ipBehind makes b begin with the IP header of a packet from k.local to k.remote with length bytes after it. addrs is
// the share of the addresses in checksums (see flowKey.sum), flags what IPv4 has in the word with id.
func (s *Stack) ipBehind(b []byte, k *flowKey, addrs uint16, proto, tos uint8, id uint16, flags uint64, length int) {
	if !k.remote.is4() {
		s.plain6(b, k, proto, tos, length)
		return
	}
	h := (*[ipv4.MinHeaderLen]byte)(b)
	first, second := s.plain4(k, proto).Words(tos, id, flags, uint64(ipv4.MinHeaderLen+length), uint64(addrs))
	binary.BigEndian.PutUint64(h[0:], first)
	binary.BigEndian.PutUint64(h[8:], second)
	binary.BigEndian.PutUint32(h[16:], uint32(k.remote.lo))
}

// carry makes pl the payload of p; baton says whether the sender has the baton of its queue.
func (s *Stack) carry(p *device.Packet, pl *tcp.Payload, baton bool) {
	carryPiece(&p.Frags[0], &pl.Pieces[0])
	if len(pl.Pieces[1].B) != 0 {
		carryPiece(&p.Frags[1], &pl.Pieces[1])
	}
	if pl.Lent {
		p.Flags |= device.FlagLent
		if !baton { // nobody waits until it has arrived
			p.Own(&s.pool)
		}
	}
}

func carryPiece(f *device.Piece, piece *tcp.Piece) {
	f.B = piece.B
	if piece.Owner != nil {
		f.Owner, _ = piece.Owner.(*device.Buf)
	}
}

// label says on p, which is new, what the NIC is to know of a segment of n's flow.
func (n *flowNode[T]) label(p *device.Packet, why tcp.Cause, outside bool) {
	p.Hash, p.Queue, p.Cause = n.hash, n.queue, uint8(why)
	p.Flags = device.FlagSteered
	if outside {
		p.Flags |= device.FlagOutside
	}
}

// ipLen is the length of the IP header of a packet under k.
func (k *flowKey) ipLen() int {
	if k.remote.is4() {
		return ipv4.MinHeaderLen
	}
	return ipv6.HeaderLen
}

// plain4 is what IPv4 headers under k have in common.
func (s *Stack) plain4(k *flowKey, proto uint8) ipv4.Plain {
	return ipv4.Plain{TTL: s.ttl, Protocol: proto, Src: uint32(k.local.lo), Dst: uint32(k.remote.lo)}
}

// plain6 writes an IPv6 header to b.
func (s *Stack) plain6(b []byte, k *flowKey, proto, class uint8, length int) {
	h := ipv6.Plain{
		TrafficClass: class, HopLimit: s.ttl, NextHeader: proto, PayloadLen: uint16(length),
		Src: [2]uint64{k.local.hi, k.local.lo}, Dst: [2]uint64{k.remote.hi, k.remote.lo},
	}
	h.Marshal(b)
}

// setTTL changes the time to live or hop limit of the packet whose IP header is at the beginning of b.
func setTTL(b []byte, ttl uint8) {
	if b[0]>>4 == 6 {
		b[7] = ttl
		return
	}
	b[8] = ttl
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], ^checksum.Fold(checksum.Sum(b[:ipv4.MinHeaderLen], 0)))
}

// checksum computes the transport checksum of p, whose transport header is at
// offset at. addrs is the share of the addresses (see flowKey.sum).
func (s *Stack) checksum(p *device.Packet, addrs uint16, proto uint8, at, offset int) {
	field := p.Head[at+offset:]
	binary.BigEndian.PutUint16(field, 0)
	pseudo := uint32(pseudoSum(addrs, proto, p.Len()-at))
	c := ^checksum.Fold(checksum.SumPieces(pseudo, p.Head[at:], p.Frags[0].B, p.Frags[1].B))
	if c == 0 {
		c = 0xffff // the same number in one's complement; in UDP 0 means none
	}
	binary.BigEndian.PutUint16(field, c)
}

// offload leaves the transport checksum of p to the NIC; its field holds the share of the pseudo-header.
func offload(p *device.Packet, at, offset int) {
	p.CsumStart, p.CsumOffset = uint16(at), uint16(offset)
	p.Flags |= device.FlagCsumPartial
}

// foldTo32 folds a 64-bit one's-complement sum of 32-bit words.
func foldTo32(sum uint64) uint32 {
	sum = sum>>32 + sum&0xffffffff
	return uint32(sum>>32 + sum&0xffffffff)
}

// nameless is the node of one who has a segment to send but is in no table: hash is flow's.
func nameless(flow *flowKey, hash uint32, queue uint8) flowNode[tcpEnd] {
	return flowNode[tcpEnd]{key: *flow, hash: hash, sum: flow.sum(), queue: queue}
}

// sendSegment sends a segment for which there is no socket, in answer to one
// that r received.
func (r *receiver) sendSegment(flow *flowKey, seg *tcp.Segment) {
	s := r.s
	n := nameless(flow, flow.hash(protoTCP), uint8(r.queue))
	n.baton = true
	s.send(r.now, s.tcpPacket(&n, seg, 0, !s.nic.IsLocal(flow.remote.addr())))
}

// send hands p to the NIC or counts its loss. The caller sees to the baton.
func (s *Stack) send(now time.Duration, p *device.Packet) bool {
	if s.nic.Transmit(now, p) == device.TxOK {
		return true
	}
	s.count.outRefused.Add(1)
	s.count.outDiscards.Add(1)
	p.Release()
	return false
}
