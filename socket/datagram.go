package socket

import (
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv6"
	"example.com/loopback/udp"
)

// sendTime is the time for sending a datagram of n bytes; see pollTime. Also a
// path that is forgotten after a while and a reassembler look at the time.
func (s *Stack) sendTime(n int, outside bool) (now time.Duration, coarse bool) {
	if outside || n+udp.HeaderLen+ipv6.HeaderLen > s.nic.MTU() || s.clock != nil || s.nic.Timed() {
		return s.now(), false
	}
	return s.recent(), true
}

// pollTime is the time for moving packets. Looking at the clock takes longer
// than anything else about a small one, so that is done only where somebody
// looks at the time: a tap, a link that delays, a simulation; those who take a
// packet in and want to know ask their receiver. Otherwise it is coarse: some
// earlier time, which may be long ago.
func (s *Stack) pollTime() (now time.Duration, coarse bool) {
	if s.clock != nil || s.nic.Timed() {
		return s.now(), false
	}
	return s.recent(), true
}

// sendDatagram sends b the way w by UDP, in fragments if it is too long for the
// path. q is the queue for it, and held says that the
// caller has the queue's baton. The payload is copied once; a small one into the
// packet, and fragments share the copy.
func (s *Stack) sendDatagram(now time.Duration, q int, held bool, w *udpWay, b []byte, id uint16) {
	k, hash, outside := &w.key, w.hash, w.outside
	if r := &s.receivers[q]; held {
		r.udpOut++
	} else {
		r.othersOut.Add(1)
	}
	length := udp.HeaderLen + len(b)
	ipLen := k.ipLen()
	mtu, noDF := s.mtuTo(now, k.remote, outside)
	if ipLen+length > mtu {
		s.sendFragments(now, k, protoUDP, 0, s.wholeDatagram(k, b), hash, id, outside)
		return
	}
	p := s.nic.NewPacket(q, held)
	p.Hash = hash
	if outside {
		p.Flags |= device.FlagOutside
	}
	inline := udp.HeaderLen // what goes with the headers: all of a small datagram
	if ipLen+length <= device.MaxHead {
		inline = length
	}
	head, flags := p.SetHead(ipLen+inline), uint64(ipv4.FlagDF)
	if noDF {
		flags = 0
	}
	s.ipBehind(head, k, w.sum, protoUDP, 0, id, flags, length)
	udp.MarshalHeader(head[ipLen:], k.lport, k.rport, len(b), pseudoSum(w.sum, protoUDP, length))
	if inline == length {
		copy(head[ipLen+udp.HeaderLen:], b)
	} else {
		s.attach(p, b)
	}
	if s.verify {
		s.checksum(p, w.sum, protoUDP, ipLen, udpCsumOffset)
	} else {
		offload(p, ipLen, udpCsumOffset)
	}
	s.send(now, p)
}

// attach makes a copy of b the payload of p.
func (s *Stack) attach(p *device.Packet, b []byte) {
	if len(b) == 0 {
		return
	}
	buf := s.pool.Get(len(b))
	p.Frags[0] = device.Piece{B: buf.Bytes()[:copy(buf.Bytes(), b)], Owner: buf}
}

// wholeDatagram is a UDP datagram in one buffer, checksum computed: that of a
// datagram in fragments cannot be left to the device.
func (s *Stack) wholeDatagram(k *flowKey, b []byte) *device.Packet {
	buf := s.pool.Get(udp.HeaderLen + len(b))
	m := buf.Bytes()[:udp.HeaderLen+len(b)]
	copy(m[udp.HeaderLen:], b)
	udp.Marshal(m, k.localAddr(), k.remoteAddr(), m[udp.HeaderLen:])
	p := s.pool.NewPacket()
	p.Frags[0] = device.Piece{B: m, Owner: buf}
	return p
}

// sendFragments sends the IP payload that lies in whole's Frags[0] in as many
// fragments as the MTU makes it (RFC 791 §3.2, RFC 8200 §4.5), and releases whole.
func (s *Stack) sendFragments(now time.Duration, k *flowKey, proto, tos uint8, whole *device.Packet, hash uint32, id uint16, outside bool) {
	defer whole.Release()
	m, owner := whole.Frags[0].B, whole.Frags[0].Owner
	v4 := k.remote.is4()
	mtu, _ := s.mtuTo(now, k.remote, outside)
	room := mtu - ipv4.MinHeaderLen
	if !v4 {
		room = mtu - ipv6.HeaderLen - ipv6.FragmentHeaderLen
	}
	room &^= 7
	for off := 0; off < len(m); off += room {
		part := m[off:min(off+room, len(m))]
		more := off+len(part) < len(m)
		p := s.pool.NewPacket()
		p.Hash = hash
		if outside {
			p.Flags |= device.FlagOutside
		}
		// The transport header goes with the headers, where receivers look.
		extra := 0
		if off == 0 {
			extra = min(udp.HeaderLen, len(part))
		}
		var rest []byte
		if v4 {
			rest = s.fragmentHeader4(p, k, proto, tos, len(part), off, more, id, extra)
		} else {
			rest = s.fragmentHeader6(p, k, proto, tos, len(part), off, more, uint32(id), extra)
		}
		part = part[copy(rest, part[:extra]):]
		owner.Retain()
		p.Frags[0] = device.Piece{B: part, Owner: owner}
		s.count.fragCreates.Add(1)
		if !s.send(now, p) {
			return // the rest would be of no use
		}
	}
}

// fragmentHeader4 writes the header of a fragment of n bytes and returns the
// room for extra bytes after it in the packet's head.
func (s *Stack) fragmentHeader4(p *device.Packet, k *flowKey, proto, tos uint8, n, off int, more bool, id uint16, extra int) []byte {
	b := p.SetHead(ipv4.MinHeaderLen + extra)
	h := ipv4.Repr{
		TOS: tos, TTL: s.ttl, Protocol: proto, MoreFragments: more, FragmentOffset: off, ID: id,
		PayloadLen: n, Src: k.local.addr(), Dst: k.remote.addr(),
	}
	return b[h.Marshal(b):]
}

// fragmentHeader6 is fragmentHeader4 for IPv6.
func (s *Stack) fragmentHeader6(p *device.Packet, k *flowKey, proto, tos uint8, n, off int, more bool, id uint32, extra int) []byte {
	b := p.SetHead(ipv6.HeaderLen + ipv6.FragmentHeaderLen + extra)
	h := ipv6.Repr{
		TrafficClass: tos, HopLimit: s.ttl, NextHeader: ipv6.ProtoFragment,
		PayloadLen: ipv6.FragmentHeaderLen + n, Src: k.local.addr(), Dst: k.remote.addr(),
	}
	at := h.Marshal(b)
	return b[at+ipv6.MarshalFragmentHeader(b[at:], proto, off, more, id):]
}
