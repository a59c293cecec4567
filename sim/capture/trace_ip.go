package capture

import "encoding/binary"

// IP protocol numbers and IPv6 next headers that the trace knows.
const (
	protoHopByHop = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoICMPv6   = 58
	protoNoNext   = 59
	protoDestOpts = 60
)

// packetInfo is what the upper layers need of the IP header.
type packetInfo struct {
	src, dst []byte // addresses, 4 or 16 bytes each
	fragment bool   // a first fragment: the transport's own length goes beyond what is here
	bare     bool   // the addresses are printed already (IPv6 extension headers print them)
}

// ip4 prints an IPv4 packet.
func (p *Printer) ip4(b []byte) {
	if len(b) > 0 && b[0]>>4 != 4 {
		p.str("IP")
		p.num(int(b[0] >> 4))
		p.str(" (invalid)")
		return
	}
	p.str("IP ")
	if len(b) < 20 {
		p.cut("ip")
		return
	}
	hlen, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case hlen < 20:
		p.str("bad-hlen ")
		p.num(hlen)
		return
	case total > len(b):
		p.str("truncated-ip - ")
		p.num(total - len(b))
		p.str(" bytes missing! ")
	default:
		b = b[:total]
	}
	if total < hlen {
		p.str("bad-len ")
		p.num(total)
		return
	}
	if len(b) < hlen {
		p.remaining(len(b), hlen)
		p.cut("ip")
		return
	}
	frag := binary.BigEndian.Uint16(b[6:])
	in := packetInfo{src: b[12:16], dst: b[16:20], fragment: frag&0x2000 != 0}
	if frag&0x1fff != 0 {
		p.hosts(&in)
		p.str(" ip-proto-")
		p.num(int(b[9]))
		return
	}
	p.transport(&in, int(b[9]), b[hlen:], total-hlen)
}

// transport prints the payload of an IP packet: l4 is what is there of it, length what the IP header says.
func (p *Printer) transport(in *packetInfo, proto int, l4 []byte, length int) {
	switch {
	case proto == protoTCP:
		p.tcp(in, l4, length)
	case proto == protoUDP:
		p.udp(in, l4, length)
	case proto == protoICMP && len(in.src) == 16:
		p.hosts(in)
		p.str(" [ICMP requires IPv4] (invalid)")
	case proto == protoICMP:
		p.hosts(in)
		p.icmp4(l4, length)
	case proto == protoICMPv6 && len(in.src) == 16:
		p.hosts(in)
		p.icmp6(l4, length)
	case proto == protoICMPv6:
		p.hosts(in)
		p.str(" [ICMPv6 requires IPv6] (invalid)")
	default:
		p.hosts(in)
		p.str("  ip-proto-")
		p.num(proto)
		p.str(" ")
		p.num(length)
	}
}

// hosts prints "src > dst:" unless an extension header did.
func (p *Printer) hosts(in *packetInfo) {
	if in.bare {
		// What follows brings its own space.
		if n := len(p.buf); n > 0 && p.buf[n-1] == ' ' {
			p.buf = p.buf[:n-1]
		}
		return
	}
	p.addr(in.src)
	p.str(" > ")
	p.addr(in.dst)
	p.str(":")
}

// endpoints prints "src.port > dst.port:", or the ports alone behind an extension header.
func (p *Printer) endpoints(in *packetInfo, sport, dport uint16) {
	if !in.bare {
		p.addr(in.src)
		p.str(".")
	}
	p.num(int(sport))
	p.str(" > ")
	if !in.bare {
		p.addr(in.dst)
		p.str(".")
	}
	p.num(int(dport))
	p.str(":")
}

func (p *Printer) addr(b []byte) {
	if len(b) == 4 {
		p.addr4(b)
		return
	}
	p.addr6(b)
}

// ip6 prints an IPv6 packet.
func (p *Printer) ip6(b []byte) {
	if len(b) < 40 {
		p.cut("ip6")
		return
	}
	p.str("IP6 ")
	length := int(binary.BigEndian.Uint16(b[4:]))
	in := packetInfo{src: b[8:24], dst: b[24:40]}
	next, body := int(b[6]), b[40:]
	if length > len(body) {
		p.str("truncated-ip6 - ")
		p.num(length - len(body))
		p.str(" bytes missing!")
	} else {
		body = body[:length]
	}
	p.ip6Headers(&in, next, body, length)
}

// ip6Headers walks the chain of extension headers. length counts down what the fixed header promised.
func (p *Printer) ip6Headers(in *packetInfo, next int, b []byte, length int) {
	for {
		var size int
		switch next {
		case protoHopByHop, protoDestOpts:
			name, cut := "HBH ", "hbhopt"
			if next == protoDestOpts {
				name, cut = "DSTOPT ", "dstopt"
			}
			size = p.ip6Options(in, b, name, cut)
		case protoRouting:
			size = p.ip6Routing(in, b)
		case protoFragment:
			size = p.ip6Fragment(in, b, length)
		case protoNoNext:
			p.hosts(in)
			p.str(" no next header")
			return
		default:
			p.transport(in, next, b, length)
			return
		}
		if size == 0 {
			return
		}
		next, b, length = int(b[0]), b[size:], length-size
	}
}

// lead prints the addresses before the first extension header.
func (p *Printer) lead(in *packetInfo) {
	if !in.bare {
		p.hosts(in)
		p.str(" ")
		in.bare = true
	}
}

// ip6Options prints a hop-by-hop or destination options header and returns its size, 0 when it is cut off.
func (p *Printer) ip6Options(in *packetInfo, b []byte, name, cut string) int {
	p.lead(in)
	if len(b) < 2 || len(b) < (int(b[1])+1)*8 {
		p.cut(cut)
		return 0
	}
	p.str(name)
	size := (int(b[1]) + 1) * 8
	for o := b[2:size]; len(o) > 0; {
		n := 1
		if o[0] != 0 {
			if len(o) < 2 || len(o) < int(o[1])+2 {
				p.cut(cut)
				return 0
			}
			n = int(o[1]) + 2
		}
		o = o[n:]
	}
	return size
}

// ip6Routing prints a routing header of type 0 or 2, the two that tcpdump lists the addresses of.
func (p *Printer) ip6Routing(in *packetInfo, b []byte) int {
	p.lead(in)
	if len(b) < 4 {
		p.cut("rt6")
		return 0
	}
	length, typ := int(b[1]), int(b[2])
	size := (length + 1) * 8
	p.str("RT6 (len=")
	p.num(length)
	p.str(", type=")
	p.num(typ)
	if typ == 0 {
		p.str(" [Deprecated]")
	}
	p.str(", segleft=")
	p.num(int(b[3]))
	if typ == 0 || typ == 2 {
		if len(b) < 8 {
			p.cut("rt6")
			return 0
		}
		if rsv := binary.BigEndian.Uint32(b[4:]); rsv != 0 {
			p.str(", rsv=")
			p.hex(rsv)
		}
		if len(b) < size {
			p.cut("rt6")
			return 0
		}
		for i := 0; i < length/2; i++ {
			p.str(", [")
			p.num(i)
			p.str("]")
			p.addr6(b[8+16*i:][:16])
		}
	}
	if len(b) < size {
		p.cut("rt6")
		return 0
	}
	p.str(") ")
	return size
}

// ip6Fragment prints a fragment header. It returns 0 when nothing can be said of what follows: a later fragment.
func (p *Printer) ip6Fragment(in *packetInfo, b []byte, length int) int {
	p.lead(in)
	if len(b) < 4 {
		p.cut("frag6")
		return 0
	}
	v := binary.BigEndian.Uint16(b[2:])
	p.str("frag (")
	p.num(int(v &^ 7))
	p.str("|")
	p.num(length - 8)
	p.str(")")
	if v&^7 != 0 {
		return 0
	}
	p.str(" ")
	if len(b) < 8 {
		return 0
	}
	in.fragment = true
	return 8
}

// udp prints a UDP datagram.
func (p *Printer) udp(in *packetInfo, b []byte, length int) {
	if len(b) < 4 {
		p.hosts(in)
		p.str(" ")
		p.cut("udp")
		return
	}
	sport, dport := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p.endpoints(in, sport, dport)
	p.str(" ")
	if length < 8 {
		p.str("truncated-udp ")
		p.num(length)
		return
	}
	if len(b) < 6 {
		p.cut("udp")
		return
	}
	ulen := int(binary.BigEndian.Uint16(b[4:]))
	if ulen < 8 {
		p.str("truncated-udplength ")
		p.num(ulen)
		return
	}
	if len(b) < 8 {
		p.cut("udp")
		return
	}
	p.str("UDP, ")
	if ulen > length && !in.fragment {
		p.str("bad length ")
		p.num(ulen - 8)
		p.str(" > ")
		p.num(length - 8)
		return
	}
	p.str("length ")
	p.num(ulen - 8)
}
