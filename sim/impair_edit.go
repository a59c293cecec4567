package sim

import (
	"encoding/binary"
	"slices"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
)

// clonePacket returns a copy of p with its checksum filled in, marked for verification.
func clonePacket(n *device.NIC, p *device.Packet) *device.Packet {
	c := blankPacket(n, p, p.Len())
	c.Head = n.AppendWire(c.Head[:0], p)
	return c
}

// blankPacket returns a packet of size bytes that travels like p; its content is to be written.
func blankPacket(n *device.NIC, p *device.Packet, size int) *device.Packet {
	c := n.Pool().NewPacket()
	if size > device.MaxHead {
		c.HeadOwner = n.Pool().Get(size)
		c.Head = c.HeadOwner.Bytes()[:size]
	} else {
		c.SetHead(size)
	}
	c.At, c.Hash, c.Queue, c.Cause = p.At, p.Hash, p.Queue, p.Cause
	c.Flags = p.Flags&^device.FlagCsumPartial | device.FlagImpaired
	return c
}

// makeOwn replaces the packet by a copy that may be changed, unless it is one.
func (t *transit) makeOwn() {
	if t.own {
		return
	}
	c := clonePacket(t.n, t.p)
	t.p.Release()
	t.p, t.own = c, true
}

// header4 returns the header of an IPv4 packet of at least 20 bytes.
func header4(b []byte) ipv4.Header {
	return ipv4.Header(b[:min(max(ipv4.Header(b).Len(), 20), len(b))])
}

// inject sends a packet that the link made.
func (l *Impaired) inject(box *outbox, t *transit, p *device.Packet) {
	l.stats.Injected++
	l.stats.Passed++
	box.add(t.n, t.q, t.now(), p)
}

// resetSegment builds a RST that seems to come from the flow's source.
func (l *Impaired) resetSegment(t *transit, f Flow, seq, ack tcp.Seq) *device.Packet {
	s := tcp.Segment{SrcPort: f.Src.Port(), DstPort: f.Dst.Port(), Seq: seq, Ack: ack, Flags: tcp.RST | tcp.ACK}
	size := s.HeaderLen()
	head := 20
	if t.info.v6 {
		head = 40
	}
	p := blankPacket(t.n, t.p, head+size)
	l.ipHeader(p.Head, f, size)
	segment := p.Head[head:]
	s.MarshalHeader(segment)
	fillTCP(f, segment)
	return p
}

// ipHeader writes the IP header of a packet that the link makes.
func (l *Impaired) ipHeader(b []byte, f Flow, payload int) {
	if f.Src.Addr().Is4() {
		h := ipv4.Repr{TTL: 64, Protocol: f.Proto, DontFragment: true, PayloadLen: payload, Src: f.Src.Addr(), Dst: f.Dst.Addr()}
		h.Marshal(b)
		return
	}
	h := ipv6.Repr{HopLimit: 64, NextHeader: f.Proto, PayloadLen: payload, Src: f.Src.Addr(), Dst: f.Dst.Addr()}
	h.Marshal(b)
}

// fillTCP computes the checksum of a whole segment.
func fillTCP(f Flow, segment []byte) {
	binary.BigEndian.PutUint16(segment[16:], 0)
	sum := checksum.Sum(segment, checksum.Pseudo(f.Src.Addr(), f.Dst.Addr(), ipv4.ProtoTCP, len(segment)))
	binary.BigEndian.PutUint16(segment[16:], ^checksum.Fold(sum))
}

// mark sets Congestion Experienced (RFC 3168 §5).
func (t *transit) mark() {
	t.makeOwn()
	if t.info.v6 {
		h := ipv6.Header(t.p.Head)
		h.SetTrafficClass(h.TrafficClass() | ipv4.ECNCE)
		return
	}
	h := header4(t.p.Head)
	h.SetTOS(h.TOS() | ipv4.ECNCE)
	if !t.damaged {
		h.UpdateChecksum()
	}
}

// ecnCapable reports whether the packet may be marked.
func (t *transit) ecnCapable() bool {
	switch b := t.p.Head; {
	case len(b) >= 20 && b[0]>>4 == 4:
		return ipv4.Header(b).ECN() != ipv4.ECNNotECT
	case len(b) >= 40 && b[0]>>4 == 6:
		return ipv6.Header(b).ECN() != ipv4.ECNNotECT
	}
	return false
}

// tooBig deals with a packet larger than the rule's MTU and reports whether it goes on.
func (l *Impaired) tooBig(box *outbox, t *transit, r *rule) bool {
	if t.info.truncated || t.damaged {
		return true
	}
	l.wire = t.n.AppendWire(l.wire[:0], t.p)
	if !t.info.v6 && !ipv4.Header(l.wire).DontFragment() {
		return l.fragment(t, r)
	}
	if !l.decide(t, r.Name, KindDrop, ReasonMTU, 0, 0) {
		return true
	}
	if !r.MTUSilent {
		l.tellTooBig(box, t, r.MTU)
	}
	l.drop(t, ReasonMTU)
	return false
}

// tellTooBig sends the sender an ICMP error about the packet in l.wire, as from the one it was sent to.
func (l *Impaired) tellTooBig(box *outbox, t *transit, mtu int) {
	f := Flow{Proto: ipv4.ProtoICMP, Src: t.info.Flow.Dst, Dst: t.info.Flow.Src}
	if t.info.v6 {
		if !ipv6.ErrorAllowed(l.wire, ipv6.ICMPPacketTooBig, 0) {
			return
		}
		f.Proto = ipv6.ProtoICMP
		m := ipv6.ICMP{Type: ipv6.ICMPPacketTooBig, MTU: uint32(mtu), Data: ipv6.Quote(l.wire, 0)}
		p := blankPacket(t.n, t.p, 40+m.Len())
		l.ipHeader(p.Head, f, m.Len())
		m.Marshal(p.Head[40:], f.Src.Addr(), f.Dst.Addr())
		l.inject(box, t, p)
		return
	}
	if !ipv4.ErrorAllowed(l.wire, nil) {
		return
	}
	m := ipv4.ICMP{Type: ipv4.ICMPDestUnreachable, Code: ipv4.CodeFragmentationNeeded, MTU: uint16(min(mtu, 65535)), Data: ipv4.Quote(l.wire, 20)}
	p := blankPacket(t.n, t.p, 20+m.Len())
	l.ipHeader(p.Head, f, m.Len())
	m.Marshal(p.Head[20:])
	l.inject(box, t, p)
}

// fragment splits the datagram in l.wire (RFC 791 §3.2) and reports whether anything of t goes on: the first fragment.
func (l *Impaired) fragment(t *transit, r *rule) bool {
	h := header4(l.wire)
	whole := h.Repr()
	whole.PayloadLen = min(whole.PayloadLen, len(l.wire)-h.Len())
	count := 0
	for off := 0; off < whole.PayloadLen; count++ {
		f, ok := whole.FragmentAt(off, r.MTU)
		if !ok {
			return true
		}
		off += f.PayloadLen
	}
	if count < 2 || !l.decide(t, r.Name, KindFragment, ReasonNone, 0, count) {
		return true
	}
	waits := t.state.pending > 0 && !t.ordered
	var first *device.Packet
	l.pieces = l.pieces[:0]
	for off := 0; off < whole.PayloadLen; {
		f, _ := whole.FragmentAt(off, r.MTU)
		size := f.HeaderLen()
		p := blankPacket(t.n, t.p, size+f.PayloadLen)
		f.Marshal(p.Head)
		copy(p.Head[size:], l.wire[h.Len()+off:][:f.PayloadLen])
		if off == 0 {
			first = p
		} else {
			c := l.piece(t, p, size, f.PayloadLen)
			c.info.Fragment, c.info.later = true, true
			l.pieces = append(l.pieces, c)
		}
		off += f.PayloadLen
	}
	t.replace(first, len(first.Head)-t.info.Header)
	t.info.Fragment = true
	l.followPieces(t, waits)
	return !waits
}

// followPieces sends the pieces made of t behind it, and t itself behind what is pending if it has to wait.
func (l *Impaired) followPieces(t *transit, waits bool) {
	if t.ordered = true; waits {
		l.follow(t)
	}
	for _, c := range l.pieces {
		l.follow(c)
	}
}

// piece returns a transit for a part of t's packet, with header and payload bytes as given.
func (l *Impaired) piece(t *transit, p *device.Packet, header, payload int) *transit {
	c := l.sibling(t)
	c.p = p
	c.info.Header, c.info.Payload, c.info.Len = header, payload, len(p.Head)
	l.stats.Pieces++
	return c
}

// replace makes p, a part of t's packet with so many bytes of payload, what t carries.
func (t *transit) replace(p *device.Packet, payload int) {
	t.p.Release()
	t.p, t.own = p, true
	t.info.Len = len(p.Head)
	t.info.Payload = payload
	t.info.Header = t.info.Len - payload
}

// follow sends a packet behind those of its flow that are pending at the rule: one event each, so that an RX ring that
// had room for one packet need not have room for all its pieces at once.
func (l *Impaired) follow(c *transit) {
	s := c.state
	c.behind, c.ordered = true, true
	s.pending++
	if !l.park(c, c.now()) {
		s.pending--
	}
}

// cut re-cuts a TCP segment, and keeps what follows behind pieces that are still on their way.
func (l *Impaired) cut(t *transit, r *rule) bool {
	if !r.Cut.active() && r.MTU == 0 {
		return true
	}
	s := t.state
	waits := s.pending > 0 && !t.ordered
	if r.Cut.active() && t.cuttable() {
		l.cuts = t.cutPoints(&r.Cut, l.cuts[:0])
		if len(l.cuts) > 0 && l.decide(t, r.Name, KindCut, ReasonNone, 0, len(l.cuts)+1) {
			return l.recut(t, l.cuts, waits)
		}
	}
	if !waits {
		return true
	}
	l.follow(t)
	return false
}

// cuttable reports whether the packet is a segment that can be cut without changing what it says.
func (t *transit) cuttable() bool {
	i := &t.info
	return !t.damaged && i.Flow.Proto == ipv4.ProtoTCP && !i.Fragment && !i.truncated && i.Payload > 1 && !i.Flags.Any(tcp.SYN|tcp.RST|tcp.URG)
}

// cutPoints appends to cuts the offsets in the payload at which the segment is to be cut, ascending.
func (t *transit) cutPoints(c *Cut, cuts []int) []int {
	i := &t.info
	d := t.draw(forCut)
	if v := fraction(d.u32()); c.Probability > 0 && v >= toFraction(c.Probability) {
		return cuts
	}
	limit := c.MaxPieces
	if limit == 0 {
		limit = 64
	}
	if i.Offset >= 0 {
		for _, at := range c.At {
			if at > i.Offset && at < i.Offset+int64(i.Payload) {
				cuts = append(cuts, int(at-i.Offset))
			}
		}
	}
	if c.Size > 0 {
		for at := c.Size; at < i.Payload && len(cuts) < limit; at += c.Size {
			cuts = append(cuts, at)
		}
	}
	if c.Max > 0 {
		for at := 0; len(cuts) < limit; {
			if at += 1 + int(d.below(uint64(c.Max))); at >= i.Payload {
				break
			}
			cuts = append(cuts, at)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	return cuts[:min(len(cuts), limit-1)]
}

// recut makes pieces of the segment. The first goes on, unless it has to wait for others, and the rest follows.
func (l *Impaired) recut(t *transit, cuts []int, waits bool) bool {
	l.wire = t.n.AppendWire(l.wire[:0], t.p)
	whole := t.info
	payload := l.wire[whole.Header:]
	l.pieces = l.pieces[:0]
	for k, from := range cuts {
		to := whole.Payload
		if k+1 < len(cuts) {
			to = cuts[k+1]
		}
		c := l.piece(t, whole.part(t, l.wire, payload[from:to], k+1, from, k+1 == len(cuts)), whole.Header, to-from)
		c.info.Seq = whole.Seq.Add(uint32(from))
		if whole.Offset >= 0 {
			c.info.Offset = whole.Offset + int64(from)
		}
		l.pieces = append(l.pieces, c)
	}
	t.replace(whole.part(t, l.wire, payload[:cuts[0]], 0, 0, false), cuts[0])
	l.followPieces(t, waits)
	return !waits
}

// part builds the k-th piece of a segment, which starts at the byte from of its payload. FIN and PSH belong to the
// last piece, CWR to the first, as with segmentation offload.
func (i *PacketInfo) part(t *transit, header, payload []byte, k, from int, last bool) *device.Packet {
	p := blankPacket(t.n, t.p, i.Header+len(payload))
	b := p.Head
	copy(b, header[:i.Header])
	copy(b[i.Header:], payload)
	if i.v6 {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	} else {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], uint16(be16(b, 4)+k))
		header4(b).UpdateChecksum()
	}
	segment := b[i.l4:]
	binary.BigEndian.PutUint32(segment[4:], uint32(i.Seq.Add(uint32(from))))
	if !last {
		segment[13] &^= uint8(tcp.FIN | tcp.PSH)
	}
	if k > 0 {
		segment[13] &^= uint8(tcp.CWR)
	}
	fillTCP(i.Flow, segment)
	return p
}
