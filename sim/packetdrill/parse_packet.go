package packetdrill

import (
	"encoding/hex"
	"math"
	"strings"
)

// packet reads a packet after the time.
func (s *scanner) packet() *packetSpec {
	p := &packetSpec{pos: s.pos(), ip: ipSpec{tos: -1, ttl: -1, flow: -1, df: -1, id: -1, portSrc: -1, portDst: -1}}
	p.inbound = s.peek() == '<'
	s.advance(1)
	s.space()
	if s.peek() == '[' || s.peek() == '(' {
		s.ipInfo(&p.ip, p.inbound)
	}
	s.ports(&p.ip)
	s.space()
	switch w := s.peekWord(); {
	case w == "icmp" || w == "icmpv4":
		s.advance(len(w))
		p.proto = protoICMP
		s.icmp(p)
	case w == "icmpv6":
		s.advance(len(w))
		p.proto = protoICMPv6
		s.icmp(p)
	case w == "udp":
		s.advance(len(w))
		p.proto = protoUDP
		s.ports(&p.ip)
		s.expect("(")
		p.udpLen = s.integer0("length", math.MaxUint16-8)
		s.expect(")")
	case w == "ipv4" || w == "ipv6" || w == "gre" || w == "mpls" || w == "sctp" || w == "udplite":
		s.fail(s.pos(), "%s is not supported", w)
	default:
		p.proto = protoTCP
		s.tcp(p)
	}
	return p
}

// integer0 is integer for limits that fit an int.
func (s *scanner) integer0(what string, limit int) int {
	return int(s.integer(what, uint64(limit)))
}

// ports reads the optional "SOURCE > DESTINATION".
func (s *scanner) ports(ip *ipSpec) {
	s.space()
	if !isDigit(s.peek()) {
		return
	}
	save := *s
	src := s.integer("port", math.MaxUint64)
	if !s.accept(">") {
		*s = save // flags that begin with a digit, perhaps
		return
	}
	if src > math.MaxUint16 {
		s.fail(s.pos(), "port %d is greater than 65535", src)
	}
	ip.portSrc, ip.portDst = int(src), s.integer0("port", math.MaxUint16)
}

// ipInfo reads the properties of the IP header in brackets or parentheses.
func (s *scanner) ipInfo(ip *ipSpec, inbound bool) {
	closing := "]"
	if s.peek() == '(' {
		closing = ")"
	}
	for s.advance(1); !s.accept(closing); s.accept(",") {
		at := s.pos()
		switch w := s.word("a property of the IP header"); w {
		case "noecn", "nonect":
			ip.ecn = ecnNone
		case "ect0":
			ip.ecn = ecnECT0
		case "ect1":
			ip.ecn = ecnECT1
		case "ce":
			ip.ecn = ecnCE
		case "ect01":
			if ip.ecn = ecnECT01; inbound {
				s.fail(at, "an inbound packet is ect0 or ect1, not either")
			}
		case "tos", "tclass":
			ip.tos = s.integer0(w, 0xff)
		case "ttl", "hoplimit", "hlim":
			ip.ttl = s.integer0(w, 0xff)
		case "flowlabel":
			ip.flow = s.integer0(w, 0xfffff)
		case "id":
			ip.id = s.integer0(w, math.MaxUint32)
		case "df":
			ip.df = 1
		case "nodf":
			ip.df = 0
		case "frag":
			s.fragment(ip)
		default:
			s.fail(at, "unknown property of the IP header: %s", w)
		}
	}
}

// fragment reads LOW:HIGH, the bytes of the IP payload that a fragment has.
func (s *scanner) fragment(ip *ipSpec) {
	at := s.pos()
	ip.frag = true
	ip.fragLo = s.integer0("offset", math.MaxUint16)
	s.expect(":")
	ip.fragHi = s.integer0("offset", math.MaxUint16)
	if ip.fragLo%8 != 0 {
		s.fail(at, "offset of a fragment is no multiple of 8")
	}
	if ip.fragHi <= ip.fragLo {
		s.fail(at, "fragment is empty")
	}
}

// seq reads start:end(length).
func (s *scanner) seq() seqSpec {
	s.space()
	at := s.pos()
	var q seqSpec
	q.start = uint32(s.integer("sequence number", math.MaxUint32))
	s.expect(":")
	q.end = uint32(s.integer("sequence number", math.MaxUint32))
	s.expect("(")
	q.length = s.integer0("length", math.MaxUint16)
	s.expect(")")
	if q.start+uint32(q.length) != q.end {
		s.fail(at, "sequence numbers %d:%d do not span %d bytes", q.start, q.end, q.length)
	}
	return q
}

// tcp reads flags, sequence numbers, ack, win, urg and options.
func (s *scanner) tcp(p *packetSpec) {
	at := s.pos()
	t := &p.tcp
	t.win, t.urg = -1, -1
	t.flags = s.flags()
	t.seq = s.seq()
	if s.keyword("ack") {
		if t.ackAny = !p.inbound && s.accept("*"); !t.ackAny {
			t.ack = uint32(s.integer("acknowledgment", math.MaxUint32))
		}
	}
	if s.keyword("win") && (p.inbound || !s.accept("*")) {
		t.win = s.integer0("window", math.MaxUint16)
	}
	if s.keyword("urg") || s.keyword("urp") {
		t.urg = s.integer0("urgent pointer", math.MaxUint16)
	}
	if s.accept("<") {
		s.tcpOptions(p)
	}
	if p.inbound && t.win < 0 {
		if t.flags&flagRST == 0 {
			s.fail(at, "an inbound TCP segment needs a window: win N")
		}
		t.win = 0
	}
	if p.inbound && t.optsAny {
		s.fail(at, "an inbound TCP segment needs its options")
	}
}

// flags reads TCP flags: letters of "FSRP.UEWA", or "-" for none.
func (s *scanner) flags() tcpFlags {
	s.space()
	at := s.pos()
	var f tcpFlags
	if s.peek() == '-' {
		s.advance(1)
		return 0
	}
	for {
		i := strings.IndexByte(flagLetters, s.peek())
		if i < 0 || s.eof() {
			break
		}
		f |= 1 << i
		s.advance(1)
	}
	if c := s.peek(); f == 0 || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
		s.fail(at, "expected TCP flags, udp, icmp or icmpv6, found %s", s.found())
	}
	return f
}

func (s *scanner) tcpOptions(p *packetSpec) {
	at := s.pos()
	t := &p.tcp
	if s.accept("...") {
		s.expect(">")
		t.optsAny = true
		return
	}
	for !s.accept(">") {
		t.opts = append(t.opts, s.tcpOption(p.inbound))
		if !s.accept(",") && !s.has(">") {
			s.fail(s.pos(), "expected \",\" or \">\" after a TCP option, found %s", s.found())
		}
	}
	n := 0
	for _, o := range t.opts {
		n += o.size()
	}
	if n > maxTCPOptions {
		s.fail(at, "TCP options take %d bytes, at most %d fit", n, maxTCPOptions)
	}
}

func (s *scanner) tcpOption(inbound bool) tcpOption {
	s.space()
	at := s.pos()
	switch w := s.word("a TCP option"); strings.ToLower(w) {
	case "nop":
		return tcpOption{kind: optNOP}
	case "eol":
		return tcpOption{kind: optEOL}
	case "mss":
		return tcpOption{kind: optMSS, value: uint32(s.integer("mss", math.MaxUint16))}
	case "wscale":
		return tcpOption{kind: optWScale, value: uint32(s.integer("wscale", math.MaxUint8))}
	case "sackok":
		return tcpOption{kind: optSACKOK}
	case "sack":
		return s.sack()
	case "ts":
		return s.timestamps(inbound)
	case "fo":
		return tcpOption{kind: optFastOpen, data: s.hexBytes()}
	case "foexp":
		return tcpOption{kind: optExperimental, data: append([]byte{0xf9, 0x89}, s.hexBytes()...)}
	case "md5": // RFC 2385, which no stack here takes: what arrives may have it
		return tcpOption{kind: optMD5, raw: true, data: s.hexBytes()}
	case "bytes": // whatever they mean
		return tcpOption{kind: optNOP, raw: true, bytes: true, data: s.hexBytes()}
	case "kind": // any other: kind N 0xDATA
		kind := uint8(s.integer("kind of a TCP option", math.MaxUint8))
		if kind == optEOL || kind == optNOP {
			return tcpOption{kind: kind}
		}
		return tcpOption{kind: kind, raw: true, data: s.hexBytes()}
	default:
		s.fail(at, "unknown TCP option %s", w)
	}
	panic("unreachable")
}

func (s *scanner) sack() tcpOption {
	o := tcpOption{kind: optSACK}
	for s.space(); isDigit(s.peek()); s.space() {
		var b sackBlock
		b.start = uint32(s.integer("sequence number", math.MaxUint32))
		s.expect(":")
		b.end = uint32(s.integer("sequence number", math.MaxUint32))
		o.blocks = append(o.blocks, b)
	}
	return o
}

func (s *scanner) timestamps(inbound bool) tcpOption {
	o := tcpOption{kind: optTimestamps}
	if !s.keyword("val") {
		s.fail(s.pos(), "expected val, found %s", s.found())
	}
	if o.anyVal = !inbound && s.accept("*"); !o.anyVal {
		o.value = uint32(s.integer("timestamp", math.MaxUint32))
	}
	if !s.keyword("ecr") {
		s.fail(s.pos(), "expected ecr, found %s", s.found())
	}
	if o.anyEcr = !inbound && s.accept("*"); !o.anyEcr {
		o.ecr = uint32(s.integer("timestamp", math.MaxUint32))
	}
	return o
}

// hexBytes reads an optional run of hexadecimal digits, with or without 0x.
func (s *scanner) hexBytes() []byte {
	s.space()
	at := s.pos()
	w := s.peekWord()
	b, err := hex.DecodeString(strings.TrimPrefix(w, "0x"))
	if err != nil {
		s.fail(at, "%q is no even number of hexadecimal digits", w)
	}
	s.advance(len(w))
	return b
}

// icmp reads type, code, mtu, and what is quoted.
func (s *scanner) icmp(p *packetSpec) {
	c := &p.icmp
	c.mtu, c.id, c.seq = -1, -1, -1
	v6 := p.proto == protoICMPv6
	s.space()
	at := s.pos()
	w := s.peekWord()
	typ, ok := icmpTypeByName(v6, w)
	switch {
	case ok:
		s.advance(len(w))
	case s.keyword("type"):
		typ = uint8(s.integer("type", math.MaxUint8))
	default:
		s.fail(at, "unknown ICMP type %s", s.found())
	}
	c.typ, c.codeAny = typ, !p.inbound
	s.icmpCode(c, v6)
	for {
		switch {
		case s.keyword("mtu"):
			c.mtu = int64(s.integer("mtu", math.MaxUint32))
		case s.keyword("id"):
			c.id = s.integer0("id", math.MaxUint16)
		case s.keyword("seq"):
			c.seq = s.integer0("seq", math.MaxUint16)
		case s.accept("("):
			c.length = s.integer0("length", math.MaxUint16-8)
			s.expect(")")
		case s.has("["):
			s.icmpQuote(c)
		default:
			return
		}
	}
}

func (s *scanner) icmpCode(c *icmpSpec, v6 bool) {
	s.space()
	if s.keyword("code") {
		c.code, c.codeAny = uint8(s.integer("code", math.MaxUint8)), false
		return
	}
	w := s.peekWord()
	if code, ok := icmpCodeByName(v6, c.typ, w); ok {
		s.advance(len(w))
		c.code, c.codeAny = code, false
	}
}

func (s *scanner) icmpQuote(c *icmpSpec) {
	s.expect("[")
	if s.keyword("udp") {
		s.expect("(")
		c.quoteUDP, c.quoteLen = true, s.integer0("length", math.MaxUint16-8)
		s.expect(")")
	} else {
		s.keyword("tcp")
		c.quoteTCP, c.quoteSeq = true, s.seq()
	}
	s.expect("]")
}
