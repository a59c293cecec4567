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
	k := &n.key
	p := s.newPacket(int(n.queue), n.baton)
	p.Hash, p.Queue = n.hash, n.queue
	p.Flags |= device.FlagSteered
	p.Cause = uint8(seg.Cause)
	if outside {
		p.Flags |= device.FlagOutside
	}
	hlen := seg.HeaderLen()
	inline := hlen // what goes with the headers
	if seg.Payload.Lent {
		inline += seg.Payload.N
	}
	b, at := s.ipHeader(p, k, protoTCP, inline, hlen+seg.Payload.N, seg.ECN, id, true)
	seg.SrcPort, seg.DstPort = k.lport, k.rport
	seg.MarshalHeader(b[at:])
	if seg.Payload.Lent {
		copy(b[at+hlen:], seg.Payload.Pieces[0].B)
		s.checksum(p, k, protoTCP, at, tcpCsumOffset)
		return p
	}
	for i := range seg.Payload.Pieces {
		piece := &seg.Payload.Pieces[i]
		if len(piece.B) == 0 {
			break
		}
		owner, _ := piece.Owner.(*device.Buf)
		p.Frags[i] = device.Piece{B: piece.B, Owner: owner}
	}
	s.checksum(p, k, protoTCP, at, tcpCsumOffset)
	return p
}

// ipHeader makes p's Head an IP header for hlen more bytes of header and a
// payload of length bytes (those included), from k.local to k.remote. It
// returns the head and where the transport header goes.
func (s *Stack) ipHeader(p *device.Packet, k *flowKey, proto uint8, hlen, length int, tos uint8, id uint16, df bool) ([]byte, int) {
	if k.remote.is4() {
		b := p.SetHead(ipv4.MinHeaderLen + hlen)
		h := ipv4.Plain{
			TOS: tos, TTL: s.ttl, Protocol: proto, DontFragment: df, ID: id,
			PayloadLen: uint16(length), Src: uint32(k.local.lo), Dst: uint32(k.remote.lo),
		}
		return b, h.Marshal(b)
	}
	b := p.SetHead(ipv6.HeaderLen + hlen)
	h := ipv6.Plain{
		TrafficClass: tos, HopLimit: s.ttl, NextHeader: proto, PayloadLen: uint16(length),
		Src: [2]uint64{k.local.hi, k.local.lo}, Dst: [2]uint64{k.remote.hi, k.remote.lo},
	}
	return b, h.Marshal(b)
}

// setTTL changes the time to live or hop limit of the packet whose IP header is at the beginning of b.
func setTTL(b []byte, ttl uint8) {
	if b[0]>>4 == 6 {
		b[7] = ttl
		return
	}
	b[8] = ttl
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], ^checksum.Fold(checksum.SumPieces(0, b[:ipv4.MinHeaderLen], nil, nil)))
}

// checksum leaves the transport checksum of p, whose transport header is at
// offset at, to the NIC, or computes it when the NIC does not offload.
func (s *Stack) checksum(p *device.Packet, k *flowKey, proto uint8, at, offset int) {
	length := p.Len() - at
	sum := k.local.sum() + k.remote.sum() + uint64(proto) + uint64(length)
	partial := checksum.Fold(foldTo32(sum))
	field := p.Head[at+offset:]
	if !s.cfg.VerifyChecksums {
		binary.BigEndian.PutUint16(field, partial)
		p.CsumStart, p.CsumOffset = uint16(at), uint16(offset)
		p.Flags |= device.FlagCsumPartial
		return
	}
	binary.BigEndian.PutUint16(field, 0)
	c := ^checksum.Fold(checksum.SumPieces(uint32(partial), p.Head[at:], p.Frags[0].B, p.Frags[1].B))
	if c == 0 {
		c = 0xffff // the same number in one's complement; in UDP 0 means none
	}
	binary.BigEndian.PutUint16(field, c)
}

// foldTo32 folds a 64-bit one's-complement sum of 32-bit words.
func foldTo32(sum uint64) uint32 {
	sum = sum>>32 + sum&0xffffffff
	return uint32(sum>>32 + sum&0xffffffff)
}

// sendSegment sends a segment for which there is no socket, in answer to one
// that r received.
func (r *receiver) sendSegment(flow *flowKey, seg *tcp.Segment) {
	s := r.s
	n := flowNode[tcpEnd]{key: *flow, hash: flow.hash(protoTCP), queue: uint8(r.queue), baton: true}
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
