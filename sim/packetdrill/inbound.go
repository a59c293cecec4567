package packetdrill

import "encoding/binary"

const inboundTTL = 64

// arrive injects a packet of the script.
func (r *runner) arrive(spec *packetSpec) {
	p := r.build(spec)
	b := p.marshal()
	r.note(r.now(), "%s", spec)
	if err := r.k.Inject(b); err != nil {
		r.fail("the kernel does not take the packet: %v", err)
	}
}

// build makes the packet that the script describes, as it is on the wire.
func (r *runner) build(spec *packetSpec) *packet {
	p := &packet{proto: spec.proto, ttl: inboundTTL, tos: spec.ip.tosByte(), src: r.cfg.remote.Addr(), dst: r.cfg.local.Addr()}
	if spec.ip.ttl >= 0 {
		p.ttl = uint8(spec.ip.ttl)
	}
	if spec.ip.flow >= 0 {
		p.flow = uint32(spec.ip.flow)
	}
	if v6 := p.src.Is6(); spec.proto == protoICMP && v6 || spec.proto == protoICMPv6 && !v6 {
		r.fail("%s packet in a run over %s", spec.proto, r.cfg.version)
	}
	switch spec.proto {
	case protoTCP:
		r.buildTCP(p, spec)
	case protoUDP:
		c := r.peer(spec, protoUDP)
		p.address(c)
		p.data = fillPattern(make([]byte, spec.udpLen), 0)
	default:
		r.buildICMP(p, spec)
	}
	p.encode()
	r.fragment(p, spec)
	return p
}

// tosByte is the type of service of an inbound packet.
func (s *ipSpec) tosByte() uint8 {
	tos := uint8(max(s.tos, 0))
	switch s.ecn {
	case ecnECT0:
		tos = tos&^3 | 2
	case ecnECT1:
		tos = tos&^3 | 1
	case ecnCE:
		tos |= 3
	}
	return tos
}

// address gives an inbound packet the ends of its flow.
func (p *packet) address(c *conn) {
	p.src, p.srcPort = c.remote.Addr(), c.remote.Port()
	p.dst, p.dstPort = c.local.Addr(), c.local.Port()
}

func (r *runner) buildTCP(p *packet, spec *packetSpec) {
	t := &spec.tcp
	c := r.peer(spec, protoTCP)
	p.address(c)
	p.flags, p.seq, p.win, p.urg = t.flags, t.seq.start, uint16(t.win), uint16(max(t.urg, 0))
	if t.flags&flagACK != 0 {
		p.ack = c.toLive(t.ack)
	}
	for _, o := range t.opts {
		if o.kind == optMSS && !o.raw && t.flags&flagSYN != 0 {
			c.mss = o.value
		}
		switch {
		case o.raw:
		case o.kind == optTimestamps:
			o.ecr = c.stampToLive(o.ecr)
		case o.kind == optSACK:
			blocks := make([]sackBlock, len(o.blocks))
			for i, b := range o.blocks {
				blocks[i] = sackBlock{c.toLive(b.start), c.toLive(b.end)}
			}
			o.blocks = blocks
		}
		p.opts = append(p.opts, o)
	}
	syn := t.flags&flagSYN != 0
	if syn && t.flags&flagRST == 0 {
		// Another sequence number makes it another connection, for which the
		// kernel may choose another number too.
		if c.remoteKnown && c.remoteISN != t.seq.start && c.passive {
			c.restarted, c.nextISN = true, t.seq.start
			c.read, c.written, c.literals = 0, 0, nil
		}
		if !c.remoteKnown {
			c.remoteKnown, c.remoteISN = true, t.seq.start
		}
	}
	if t.flags&flagURG != 0 {
		c.opaque = true
	}
	p.seq = c.remoteToLive(t.seq.start, syn)
	off := t.seq.start - 1 // in the stream
	if syn {
		off = 0
	}
	p.data = fillPattern(make([]byte, t.seq.length), off)
}

// buildICMP makes an echo or an error about a packet of the kernel.
func (r *runner) buildICMP(p *packet, spec *packetSpec) {
	m := &spec.icmp
	v6 := spec.proto == protoICMPv6
	p.icmpType, p.icmpCode = m.typ, m.code
	if icmpEcho(v6, m.typ) {
		p.icmpRest = uint32(max(m.id, 0))<<16 | uint32(max(m.seq, 0))
		p.data = fillPattern(make([]byte, m.length), 0)
		return
	}
	if m.mtu >= 0 {
		p.icmpRest = uint32(m.mtu)
	}
	p.data = r.quote(spec)
	if !m.quoteTCP && !m.quoteUDP {
		r.fail("an ICMP error needs what it quotes: [SEQ:END(LEN)] or [udp (LEN)]")
	}
}

// quotedBytes is how much of a quoted packet follows its IP header, the least
// that RFC 792 asks for.
const quotedBytes = 8

// quote makes the beginning of the kernel's packet that an ICMP error is
// about.
func (r *runner) quote(spec *packetSpec) []byte {
	m := &spec.icmp
	q := &packet{ttl: inboundTTL - 1, proto: protoTCP, df: true}
	if m.quoteUDP {
		q.proto = protoUDP
	}
	quoted := *spec
	quoted.proto = q.proto
	c := r.peer(&quoted, q.proto)
	q.src, q.srcPort = c.local.Addr(), c.local.Port()
	q.dst, q.dstPort = c.remote.Addr(), c.remote.Port()
	if m.quoteUDP {
		q.data = make([]byte, m.quoteLen)
	} else {
		q.flags, q.seq = flagACK, c.toLive(m.quoteSeq.start)
		q.data = make([]byte, m.quoteSeq.length)
	}
	q.encode()
	b := q.marshal()
	return b[:min(len(b), len(b)-len(q.body)+quotedBytes)]
}

// fragment cuts out the part of the packet that the script wants to arrive.
func (r *runner) fragment(p *packet, spec *packetSpec) {
	p.id, p.df = uint32(max(spec.ip.id, 0)), spec.ip.df == 1
	if !spec.ip.frag {
		return
	}
	lo, hi := spec.ip.fragLo, spec.ip.fragHi
	if hi > len(p.body) {
		r.fail("fragment ends at %d, the packet has %d bytes", hi, len(p.body))
	}
	p.frag, p.fragOff, p.mf = true, lo, hi < len(p.body)
	p.body = p.body[lo:hi]
}

// echo splits the second word of an echo's header.
func echo(rest uint32) (id, seq int) { return int(rest >> 16), int(rest & 0xffff) }

// quoted reads what an ICMP error of the kernel quotes: the IP header and the
// ports of a packet that the script sent. ok is false if that is malformed.
func quoted(data []byte) (q *packet, length int, ok bool) {
	var hlen int
	switch {
	case len(data) >= ipv4Header && data[0]>>4 == 4:
		hlen = int(data[0]&15) * 4
		length = int(binary.BigEndian.Uint16(data[2:])) - hlen
		q = &packet{proto: protocol(data[9])}
		q.src, q.dst = addr(data[12:16]), addr(data[16:20])
	case len(data) >= ipv6Header && data[0]>>4 == 6:
		hlen = ipv6Header
		length = int(binary.BigEndian.Uint16(data[4:]))
		q = &packet{proto: protocol(data[6])}
		q.src, q.dst = addr(data[8:24]), addr(data[24:40])
	default:
		return nil, 0, false
	}
	if len(data) < hlen+quotedBytes || hlen < ipv4Header {
		return nil, 0, false
	}
	b := data[hlen:]
	q.srcPort, q.dstPort, q.seq = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
	return q, length, true
}
