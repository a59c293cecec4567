package packetdrill

import (
	"fmt"
	"strings"
)

// String writes a packet in script notation.
func (p *packetSpec) String() string {
	var b strings.Builder
	b.WriteString(map[bool]string{true: "< ", false: "> "}[p.inbound])
	b.WriteString(p.ip.String())
	if p.ip.portSrc >= 0 {
		fmt.Fprintf(&b, "%d > %d ", p.ip.portSrc, p.ip.portDst)
	}
	switch p.proto {
	case protoTCP:
		b.WriteString(p.tcp.String())
	case protoUDP:
		fmt.Fprintf(&b, "udp (%d)", p.udpLen)
	default:
		b.WriteString(p.icmp.format(p.proto))
	}
	return b.String()
}

func (s *ipSpec) String() string {
	var parts []string
	add := func(n int, format string) {
		if n >= 0 {
			parts = append(parts, fmt.Sprintf(format, n))
		}
	}
	if s.ecn != ecnUnchecked {
		parts = append(parts, s.ecn.String())
	}
	add(s.tos, "tos %#x")
	add(s.ttl, "ttl %d")
	add(s.flow, "flowlabel %#x")
	add(s.id, "id %d")
	if s.df >= 0 {
		parts = append(parts, map[int]string{0: "nodf", 1: "df"}[s.df])
	}
	if s.frag {
		parts = append(parts, fmt.Sprintf("frag %d:%d", s.fragLo, s.fragHi))
	}
	if len(parts) == 0 {
		return ""
	}
	return "[" + strings.Join(parts, ", ") + "] "
}

func (e ecnCheck) String() string {
	switch e {
	case ecnNone:
		return "noecn"
	case ecnECT0:
		return "ect0"
	case ecnECT1:
		return "ect1"
	case ecnCE:
		return "ce"
	case ecnECT01:
		return "ect01"
	}
	return ""
}

func (q seqSpec) String() string { return fmt.Sprintf("%d:%d(%d)", q.start, q.end, q.length) }

func (t *tcpSpec) String() string {
	text := t.flags.String() + " " + t.seq.String()
	if t.flags&flagACK != 0 {
		text += " ack " + anyNumber(t.ack, t.ackAny)
	}
	if t.win >= 0 {
		text += fmt.Sprintf(" win %d", t.win)
	}
	if t.urg >= 0 {
		text += fmt.Sprintf(" urg %d", t.urg)
	}
	switch {
	case t.optsAny:
		text += " <...>"
	case len(t.opts) > 0:
		text += " " + formatOptions(t.opts)
	}
	return text
}

func (m *icmpSpec) format(proto protocol) string {
	v6 := proto == protoICMPv6
	text := proto.String() + " " + icmpName(v6, m.typ, m.code)
	if m.mtu >= 0 {
		text += fmt.Sprintf(" mtu %d", m.mtu)
	}
	if m.id >= 0 {
		text += fmt.Sprintf(" id %d", m.id)
	}
	if m.seq >= 0 {
		text += fmt.Sprintf(" seq %d", m.seq)
	}
	if icmpEcho(v6, m.typ) {
		text += fmt.Sprintf(" (%d)", m.length)
	}
	if m.quoteTCP {
		text += " [" + m.quoteSeq.String() + "]"
	}
	if m.quoteUDP {
		text += fmt.Sprintf(" [udp (%d)]", m.quoteLen)
	}
	return text
}

// describe turns a packet that left the kernel into what a script would have
// to say to expect it, in all detail.
func (r *runner) describe(p *packet) *packetSpec {
	s := &packetSpec{proto: p.proto, ip: ipSpec{tos: -1, ttl: -1, flow: -1, df: -1, id: -1, portSrc: -1, portDst: -1}}
	s.ip.ecn = [...]ecnCheck{ecnNone, ecnECT1, ecnECT0, ecnCE}[p.tos&3]
	if p.frag {
		s.ip.frag, s.ip.fragLo, s.ip.fragHi = true, p.fragOff, p.fragOff+len(p.body)
		s.udpLen = -1
		return s
	}
	c := r.findConnOut(p)
	switch p.proto {
	case protoTCP:
		s.tcp = describeTCP(c, p)
	case protoUDP:
		s.udpLen = len(p.data)
	case protoICMP, protoICMPv6:
		s.icmp = r.describeICMP(p)
	}
	return s
}

func (r *runner) findConnOut(p *packet) *conn {
	local, remote := p.ends(false)
	if c := r.findConn(p.proto, local, remote); c != nil {
		return c
	}
	return &conn{}
}

func describeTCP(c *conn, p *packet) tcpSpec {
	t := tcpSpec{flags: p.flags, win: int(p.win), urg: -1}
	if p.flags&flagACK != 0 {
		t.ack = c.remoteToScript(p.ack, p.flags)
	}
	t.seq.start = c.toScript(p.seq, p.flags&flagSYN != 0)
	switch syn := p.flags&flagSYN != 0; {
	case syn && (!c.localKnown || c.restarted):
		t.seq.start = 0 // as every script numbers it
	case !c.localKnown:
		t.seq.start = p.seq
	}
	t.seq.length = len(p.data)
	t.seq.end = t.seq.start + uint32(len(p.data))
	if p.flags&flagURG != 0 {
		t.urg = int(p.urg)
	}
	for _, o := range p.opts {
		switch o.kind {
		case optTimestamps:
			o.value = c.stampToScript(o.value)
		case optSACK:
			blocks := make([]sackBlock, len(o.blocks))
			for i, b := range o.blocks {
				blocks[i] = sackBlock{c.remoteToScript(b.start, 0), c.remoteToScript(b.end, 0)}
			}
			o.blocks = blocks
		}
		t.opts = append(t.opts, o)
	}
	return t
}

func (r *runner) describeICMP(p *packet) icmpSpec {
	v6 := p.proto == protoICMPv6
	m := icmpSpec{typ: p.icmpType, code: p.icmpCode, mtu: -1, id: -1, seq: -1}
	switch {
	case icmpEcho(v6, p.icmpType):
		m.id, m.seq = echo(p.icmpRest)
		m.length = len(p.data)
		return m
	case icmpTooBig(v6, p.icmpType, p.icmpCode):
		m.mtu = int64(p.icmpRest)
	}
	q, length, ok := quoted(p.data)
	switch {
	case !ok:
	case q.proto == protoUDP:
		m.quoteUDP, m.quoteLen = true, length-udpHeader
	case q.proto == protoTCP:
		m.quoteTCP = true
		m.quoteSeq = seqSpec{q.seq, q.seq, 0}
	}
	return m
}

// format writes a packet that left the kernel in script notation.
func (r *runner) format(p *packet) string {
	s := r.describe(p)
	if s.ip.ecn == ecnNone {
		s.ip.ecn = ecnUnchecked // the ordinary case
	}
	text := s.String()
	if p.frag {
		text = fmt.Sprintf("> %s%s fragment of packet %d", s.ip.String(), p.proto, p.id)
	}
	local, remote := p.ends(false)
	switch c := r.findConnOut(p); {
	case c.proto == 0 && (p.proto == protoTCP || p.proto == protoUDP) && !p.frag:
		text += fmt.Sprintf("   // %s > %s, no connection of the script", local, remote)
	case c.proto == protoTCP && c != r.tcp:
		text += fmt.Sprintf("   // %s > %s", local, remote)
	}
	return text
}
