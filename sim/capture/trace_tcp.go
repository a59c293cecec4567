package capture

import "encoding/binary"

// maxConversations bounds what a Printer remembers. The oldest is forgotten first; a conversation that goes on
// after that is printed like one that began before the capture.
const maxConversations = 1 << 16

// conversation names the two ends of a TCP connection in the order of (port, address), not of client and server.
type conversation struct {
	lo, hi         [16]byte
	loPort, hiPort uint16
	v6             bool
}

// origins are the sequence numbers that count as 0 in a conversation, of the lower and of the higher end.
type origins struct{ lo, hi uint32 }

// conversations is a bounded table of them.
type conversations struct {
	m    map[conversation]origins
	ring []conversation // in order of arrival; next is the oldest once it is full
	next int
}

func (c *conversations) put(k conversation, o origins) {
	if c.m == nil {
		c.m = make(map[conversation]origins)
	}
	if _, known := c.m[k]; !known {
		if len(c.ring) < maxConversations {
			c.ring = append(c.ring, k)
		} else {
			delete(c.m, c.ring[c.next])
			c.ring[c.next] = k
			c.next = (c.next + 1) % maxConversations
		}
	}
	c.m[k] = o
}

// relative gives seq and ack as tcpdump prints them, and what to take from the edges of SACK blocks. A segment
// with SYN, or the first of its conversation that is seen, sets the origins and is printed absolute.
func (p *Printer) relative(in *packetInfo, h []byte) (seq, ack, sackOrigin uint32) {
	seq, ack = binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	flags := h[13]
	if p.opt.Absolute || flags&tcpACK == 0 {
		return seq, ack, 0
	}
	k := conversation{loPort: binary.BigEndian.Uint16(h), hiPort: binary.BigEndian.Uint16(h[2:]), v6: len(in.src) == 16}
	copy(k.lo[:], in.src)
	copy(k.hi[:], in.dst)
	swapped := k.loPort > k.hiPort || k.loPort == k.hiPort && string(in.src) > string(in.dst)
	if swapped {
		k.lo, k.hi = k.hi, k.lo
		k.loPort, k.hiPort = k.hiPort, k.loPort
	}
	o, known := p.convs.m[k]
	fresh := !known || flags&tcpSYN != 0
	if fresh {
		o = origins{lo: seq, hi: ack - 1}
		if swapped {
			o = origins{lo: ack - 1, hi: seq}
		}
		p.convs.put(k, o)
	}
	mine, theirs := o.lo, o.hi
	if swapped {
		mine, theirs = theirs, mine
	}
	if !fresh {
		seq, ack = seq-mine, ack-theirs
	}
	return seq, ack, theirs
}

// The flags of the TCP header.
const (
	tcpFIN = 1 << iota
	tcpSYN
	tcpRST
	tcpPSH
	tcpACK
	tcpURG
	tcpECE
	tcpCWR
)

// flagLetters are the flags in the order in which tcpdump prints them.
const flagLetters = "FSRP.UEW"

// tcp prints a TCP segment; length is what the IP header says of its size.
func (p *Printer) tcp(in *packetInfo, b []byte, length int) {
	if len(b) < 4 {
		p.hosts(in)
		p.cut("tcp")
		return
	}
	sport, dport := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p.endpoints(in, sport, dport)
	p.str(" ")
	if len(b) < 20 {
		p.cut("tcp")
		return
	}
	hlen := int(b[12]>>4) * 4
	if hlen < 20 {
		p.tcpShort(hlen, length)
		return
	}
	flags := b[13]
	p.str("Flags [")
	if flags == 0 {
		p.str("none")
	}
	for i := range len(flagLetters) {
		if flags&(1<<i) != 0 {
			p.buf = append(p.buf, flagLetters[i])
		}
	}
	p.str("]")
	seq, ack, sackOrigin := p.relative(in, b)
	if hlen > length {
		p.str(" [bad hdr length ")
		p.num(hlen)
		p.str(" - too long, > ")
		p.num(length)
		p.str("]")
		return
	}
	length -= hlen
	p.tcpNumbers(b, seq, ack, length)
	if hlen > 20 && !p.tcpOptions(b[20:min(hlen, len(b))], hlen-20, sackOrigin) {
		return
	}
	p.str(", length ")
	p.num(length)
	switch {
	case length == 0:
	case len(b) < hlen:
		p.remaining(len(b), hlen)
		p.cut("tcp")
	default:
		p.application(sport, dport, b[hlen:], len(b)-hlen == length)
	}
}

func (p *Printer) tcpShort(hlen, length int) {
	p.str(" tcp ")
	p.num(length - hlen)
	p.str(" [bad hdr length ")
	p.num(hlen)
	p.str(" - too short, < 20]")
}

// remaining says that less of a header was captured than its length field announces.
func (p *Printer) remaining(have, want int) {
	p.str(" [remaining caplen(")
	p.num(have)
	p.str(") < header length(")
	p.num(want)
	p.str(")]")
}

// tcpNumbers prints sequence and acknowledgment numbers, window and urgent pointer.
func (p *Printer) tcpNumbers(b []byte, seq, ack uint32, length int) {
	flags := b[13]
	if length > 0 || flags&(tcpSYN|tcpFIN|tcpRST) != 0 {
		p.str(", seq ")
		p.u32(seq)
		if length > 0 {
			p.str(":")
			p.u32(seq + uint32(length))
		}
	}
	if flags&tcpACK != 0 {
		p.str(", ack ")
		p.u32(ack)
	}
	p.str(", win ")
	p.num(int(binary.BigEndian.Uint16(b[14:])))
	if flags&tcpURG != 0 {
		p.str(", urg ")
		p.num(int(binary.BigEndian.Uint16(b[18:])))
	}
}

// TCP option kinds.
const (
	optEOL    = 0
	optNOP    = 1
	optMSS    = 2
	optWScale = 3
	optSACKOK = 4
	optSACK   = 5
	optEcho   = 6
	optReply  = 7
	optTS     = 8
	optCC     = 11
	optCCNew  = 12
	optCCEcho = 13
	optMD5    = 19
	optUTO    = 28
	optTFO    = 34
)

// optionName returns tcpdump's name of an option, "" when it has none (which is also its name of CC.ECHO).
func optionName(kind byte) (name string, known bool) {
	switch kind {
	case optEOL:
		return "eol", true
	case optNOP:
		return "nop", true
	case optMSS:
		return "mss", true
	case optWScale:
		return "wscale", true
	case optSACKOK:
		return "sackOK", true
	case optSACK:
		return "sack", true
	case optEcho:
		return "echo", true
	case optReply:
		return "echoreply", true
	case optTS:
		return "TS", true
	case optCC:
		return "cc", true
	case optCCNew:
		return "ccnew", true
	case optCCEcho:
		return "", true
	case optMD5:
		return "md5", true
	case optUTO:
		return "uto", true
	case optTFO:
		return "tfo", true
	}
	return "", false
}

// optionData is how many bytes tcpdump takes from an option of this kind, whatever its length says.
func optionData(kind byte, length int) int {
	switch kind {
	case optEOL, optNOP, optSACKOK:
		return 0
	case optMSS, optUTO:
		return 2
	case optWScale:
		return 1
	case optTS:
		return 8
	case optEcho, optReply, optCC, optCCNew, optCCEcho:
		return 4
	case optMD5:
		return 16
	}
	return length - 2
}

// tcpOptions prints the options: b is what is there of them, left how long they should be. It reports whether
// the line goes on.
func (p *Printer) tcpOptions(b []byte, left int, sackOrigin uint32) bool {
	p.str(", options [")
	first := true
	for left > 0 {
		if !first {
			p.str(",")
		}
		if len(b) == 0 {
			p.cut("tcp")
			return false
		}
		kind, length, head := b[0], 1, 1
		if kind > optNOP {
			if len(b) < 2 {
				p.cut("tcp")
				return false
			}
			length, head = int(b[1]), 2
			if length < 2 || length > left {
				return p.badOption(first)
			}
		}
		if name, known := optionName(kind); known {
			p.str(name)
		} else {
			p.str("unknown-")
			p.num(int(kind))
		}
		n := optionData(kind, length)
		if kind == optSACK && n%8 == 0 {
			p.str(" ")
			p.num(n / 8)
			p.str(" ")
		}
		if n > left-head {
			return p.badOption(first)
		}
		if n > len(b)-head {
			if kind == optSACK && n%8 == 0 {
				p.sack(b[head:head+(len(b)-head)&^7], sackOrigin)
			} else if kind == optSACK {
				p.str(" invalid sack, [|tcp]")
				return false
			}
			p.cut("tcp")
			if !first {
				p.str(">")
			}
			return false
		}
		p.option(kind, b[head:head+n], sackOrigin)
		if n+head != length {
			p.str("[len ")
			p.num(length)
			p.str("]")
		}
		b, left, first = b[head+n:], left-head-n, false
		if kind == optEOL {
			break
		}
	}
	p.str("]")
	return true
}

func (p *Printer) badOption(first bool) bool {
	p.str("[bad opt]")
	if !first {
		p.str("]")
	}
	return false
}

// option prints the value of one option.
func (p *Printer) option(kind byte, d []byte, sackOrigin uint32) {
	switch kind {
	case optEOL, optNOP, optSACKOK:
	case optMSS:
		p.str(" ")
		p.num(int(binary.BigEndian.Uint16(d)))
	case optWScale:
		p.str(" ")
		p.num(int(d[0]))
	case optEcho, optReply, optCC, optCCNew, optCCEcho:
		p.str(" ")
		p.u32(binary.BigEndian.Uint32(d))
	case optTS:
		p.str(" val ")
		p.u32(binary.BigEndian.Uint32(d))
		p.str(" ecr ")
		p.u32(binary.BigEndian.Uint32(d[4:]))
	case optSACK:
		p.sack(d, sackOrigin)
	case optMD5:
		p.str(" shared secret not supplied with -M, can't check - ")
		p.hexBytes(d)
	case optUTO:
		p.userTimeout(binary.BigEndian.Uint16(d))
	case optTFO:
		p.fastOpen(d)
	default:
		if len(d) > 0 {
			p.str(" 0x")
			p.hexBytes(d)
		}
	}
}

func (p *Printer) hexBytes(d []byte) {
	for _, c := range d {
		p.hexByte(c)
	}
}

func (p *Printer) sack(d []byte, origin uint32) {
	if len(d)%8 != 0 {
		p.str(" invalid sack")
		return
	}
	for ; len(d) > 0; d = d[8:] {
		p.str("{")
		p.u32(binary.BigEndian.Uint32(d) - origin)
		p.str(":")
		p.u32(binary.BigEndian.Uint32(d[4:]) - origin)
		p.str("}")
	}
}

// userTimeout prints an option of RFC 5482 in seconds; tcpdump takes the lowest bit for the granularity bit.
func (p *Printer) userTimeout(v uint16) {
	p.str(" ")
	p.hex(uint32(v))
	p.str(" ")
	if v&1 != 0 {
		p.num(int(v>>1) * 60)
		return
	}
	p.num(int(v >> 1))
}

func (p *Printer) fastOpen(d []byte) {
	p.str("  cookie")
	switch {
	case len(d) == 0:
		p.str("req")
	case len(d)%2 != 0 || len(d) < 4 || len(d) > 16:
		p.buf = p.buf[:len(p.buf)-len("cookie")]
		p.str("(invalid)")
	default:
		p.str(" ")
		p.hexBytes(d)
	}
}
