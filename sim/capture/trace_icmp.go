package capture

import "encoding/binary"

// icmp4 prints an ICMP message of length bytes, of which b is there.
func (p *Printer) icmp4(b []byte, length int) {
	start := len(p.buf)
	p.str(" ICMP ")
	if !p.icmp4Body(b, length) {
		// What was printed of it so far is withdrawn, as tcpdump does.
		p.buf = p.buf[:start]
		p.str(" ")
		p.cut("icmp")
		return
	}
	p.str(", length ")
	p.num(length)
}

// icmp4Body prints the message and reports whether all it needed was there.
func (p *Printer) icmp4Body(b []byte, length int) bool {
	if len(b) < 2 {
		return false
	}
	switch typ, code := b[0], b[1]; typ {
	case 0, 8:
		if len(b) < 8 {
			return false
		}
		name := "echo request, id "
		if typ == 0 {
			name = "echo reply, id "
		}
		p.str(name)
		p.num(int(binary.BigEndian.Uint16(b[4:])))
		p.str(", seq ")
		p.num(int(binary.BigEndian.Uint16(b[6:])))
	case 3:
		return p.icmp4Unreachable(b, code)
	case 4:
		p.str("source quench")
	case 5:
		return p.icmp4Redirect(b, code)
	case 11:
		if len(b) < 28 {
			return false
		}
		switch code {
		case 0:
			p.str("time exceeded in-transit")
		case 1:
			p.str("ip reassembly time exceeded")
		default:
			p.str("time exceeded-#")
			p.num(int(code))
		}
	case 12:
		p.str("parameter problem - ")
		if code != 0 {
			p.str("code ")
			p.num(int(code))
			break
		}
		if len(b) < 5 {
			return false
		}
		p.str("octet ")
		p.num(int(b[4]))
	default:
		return p.icmp4Rare(b, typ)
	}
	return true
}

// icmp4Rare prints the messages that no modern stack sends, those of them that have a name.
func (p *Printer) icmp4Rare(b []byte, typ byte) bool {
	id := func() {
		p.num(int(binary.BigEndian.Uint16(b[4:])))
		p.str(" seq ")
		p.num(int(binary.BigEndian.Uint16(b[6:])))
	}
	switch typ {
	case 10:
		p.str("router solicitation")
	case 13:
		if len(b) < 8 {
			return false
		}
		p.str("time stamp query id ")
		id()
	case 14:
		if len(b) < 20 {
			return false
		}
		p.str("time stamp reply id ")
		id()
		for i, name := range []string{": org ", ", recv ", ", xmit "} {
			p.str(name)
			v := int(binary.BigEndian.Uint32(b[8+4*i:]))
			p.digits(v/3600000, 2)
			p.str(":")
			p.digits(v/60000%60, 2)
			p.str(":")
			p.digits(v/1000%60, 2)
			p.str(".")
			p.digits(v%1000, 3)
		}
	case 15:
		p.str("information request")
	case 16:
		p.str("information reply")
	case 17:
		p.str("address mask request")
	case 18:
		if len(b) < 12 {
			return false
		}
		p.str("address mask is 0x")
		p.hexBytes(b[8:12])
	default:
		p.str("type-#")
		p.num(int(typ))
	}
	return true
}

// unreachText holds what stands before and after the address that cannot be reached.
var unreachText = [...][2]string{
	0:  {"net ", " unreachable"},
	1:  {"host ", " unreachable"},
	5:  {"", " unreachable - source route failed"},
	6:  {"net ", " unreachable - unknown"},
	7:  {"host ", " unreachable - unknown"},
	8:  {"", " unreachable - source host isolated"},
	9:  {"net ", " unreachable - admin prohibited"},
	10: {"host ", " unreachable - admin prohibited"},
	11: {"net ", " unreachable - tos prohibited"},
	12: {"host ", " unreachable - tos prohibited"},
	13: {"host ", " unreachable - admin prohibited filter"},
	14: {"host ", " unreachable - host precedence violation"},
	15: {"host ", " unreachable - precedence cutoff"},
}

// icmp4Unreachable prints a destination unreachable; the destination is that of the packet it quotes.
func (p *Printer) icmp4Unreachable(b []byte, code byte) bool {
	if len(b) < 28 {
		return false
	}
	quote := b[8:]
	if int(code) < len(unreachText) && unreachText[code][1] != "" {
		p.str(unreachText[code][0])
		p.addr4(quote[16:20])
		p.str(unreachText[code][1])
		return true
	}
	p.addr4(quote[16:20])
	switch code {
	case 2:
		p.str(" protocol ")
		p.num(int(quote[9]))
		p.str(" unreachable")
	case 3:
		return p.portUnreachable(quote)
	case 4:
		p.str(" unreachable - need to frag")
		if mtu := binary.BigEndian.Uint16(b[6:]); mtu != 0 {
			p.str(" (mtu ")
			p.num(int(mtu))
			p.str(")")
		}
	default:
		p.str(" unreachable - #")
		p.num(int(code))
	}
	return true
}

func (p *Printer) portUnreachable(quote []byte) bool {
	hlen := int(quote[0]&15) * 4
	if len(quote) < hlen+4 {
		return false
	}
	switch quote[9] {
	case protoTCP:
		p.str(" tcp port ")
	case protoUDP:
		p.str(" udp port ")
	default:
		p.str(" protocol ")
		p.num(int(quote[9]))
		p.str(" port ")
	}
	p.num(int(binary.BigEndian.Uint16(quote[hlen+2:])))
	p.str(" unreachable")
	return true
}

func (p *Printer) icmp4Redirect(b []byte, code byte) bool {
	if len(b) < 28 {
		return false
	}
	to := " to "
	switch code {
	case 0:
		p.str("redirect ")
		to = " to net "
	case 1:
		p.str("redirect ")
		to = " to host "
	case 2:
		p.str("redirect-tos ")
		to = " to net "
	case 3:
		p.str("redirect-tos ")
		to = " to host "
	default:
		p.str("redirect-#")
		p.num(int(code))
		p.str(" ")
	}
	p.addr4(b[24:28])
	p.str(to)
	p.addr4(b[4:8])
	return true
}

// icmp6 prints an ICMPv6 message.
func (p *Printer) icmp6(b []byte, length int) {
	p.str(" ICMP6, ")
	if length == 0 {
		p.str("length 0 (invalid)")
		return
	}
	if len(b) == 0 {
		p.buf = p.buf[:len(p.buf)-len("ICMP6, ")]
		p.cut("icmp6")
		return
	}
	length, full, whole := p.icmp6Body(b, length)
	switch {
	case !whole:
		p.cut("icmp6")
	case full:
		p.str(", length ")
		p.num(length)
	}
}

// icmp6Body prints the message. It reports the length to print, whether one is printed at all (a code that
// tcpdump does not know ends the line with a dump) and whether all it needed was there.
func (p *Printer) icmp6Body(b []byte, length int) (int, bool, bool) {
	var code byte
	if len(b) > 1 {
		code = b[1]
	}
	switch b[0] {
	case 1:
		full, whole := p.icmp6Unreachable(b, code)
		return length, full, whole
	case 2:
		p.str("packet too big")
		if len(b) < 8 {
			return 0, false, false
		}
		p.str(", mtu ")
		p.u32(binary.BigEndian.Uint32(b[4:]))
	case 3:
		return length, true, p.icmp6TimeExceeded(b, code)
	case 4:
		return length, true, p.icmp6Problem(b, code)
	case 128, 129:
		name := "echo request"
		if b[0] == 129 {
			name = "echo reply"
		}
		p.str(name)
		if len(b) < 8 {
			return 0, false, false
		}
		p.str(", id ")
		p.num(int(binary.BigEndian.Uint16(b[4:])))
		p.str(", seq ")
		p.num(int(binary.BigEndian.Uint16(b[6:])))
	default:
		p.str("unknown icmp6 type (")
		p.num(int(b[0]))
		p.str("), length ")
		p.num(length)
		p.dump(b)
		return 0, false, true
	}
	return length, true, true
}

// icmp6Unreachable prints a destination unreachable; see icmp6Body for the results.
func (p *Printer) icmp6Unreachable(b []byte, code byte) (full, whole bool) {
	p.str("destination unreachable")
	if len(b) < 2 {
		return false, false
	}
	names := [...]string{
		", unreachable route ", ",  unreachable prohibited ", ", beyond scope ", ", unreachable address ",
	}
	if int(code) < len(names) {
		p.str(names[code])
	}
	if code > 4 {
		p.str(", unknown unreach code (")
		p.num(int(code))
		p.str(")")
		p.dump(b)
		return false, true
	}
	if code == 4 {
		p.str(", unreachable port")
		return true, p.icmp6Port(b)
	}
	if len(b) < 48 {
		p.buf = p.buf[:len(p.buf)-1]
		return false, false
	}
	p.addr6(b[32:48])
	if code == 2 {
		p.str(", source address ")
		p.addr6(b[16:32])
	}
	return true, true
}

// icmp6Port prints the port of the datagram that the message quotes, whose extension headers are skipped.
func (p *Printer) icmp6Port(b []byte) bool {
	if len(b) < 48 {
		return false
	}
	quote := b[8:]
	next, body := quote[6], quote[40:]
	for next == protoHopByHop || next == protoDestOpts || next == protoFragment {
		if len(body) < 8 {
			return false
		}
		size := 8
		if next != protoFragment {
			size = (int(body[1]) + 1) * 8
		}
		if len(body) < size {
			return false
		}
		next, body = body[0], body[size:]
	}
	var name string
	switch next {
	case protoTCP:
		name = " tcp port "
	case protoUDP:
		name = " udp port "
	default:
		return false
	}
	if len(body) < 4 {
		return false
	}
	p.str(", ")
	p.addr6(quote[24:40])
	p.str(name)
	p.num(int(binary.BigEndian.Uint16(body[2:])))
	return true
}

func (p *Printer) icmp6TimeExceeded(b []byte, code byte) bool {
	p.str("time exceeded in-transit")
	switch code {
	case 0:
		if len(b) < 48 {
			return false
		}
		p.str(" for ")
		p.addr6(b[32:48])
	case 1:
		p.str(" (reassembly)")
	default:
		p.str(", unknown code (")
		p.num(int(code))
		p.str(")")
	}
	return true
}

func (p *Printer) icmp6Problem(b []byte, code byte) bool {
	p.str("parameter problem")
	if len(b) < 48 {
		return false
	}
	names := [...]string{", erroneous - octet ", ", next header - octet ", ", option - octet ", ", incomplete header chain - octet "}
	if int(code) >= len(names) {
		p.str(", code-#")
		p.num(int(code))
		return true
	}
	p.str(names[code])
	p.u32(binary.BigEndian.Uint32(b[4:]))
	return true
}
