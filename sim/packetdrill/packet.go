package packetdrill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// packet is one IPv4 or IPv6 packet, all fields as they are on the wire.
type packet struct {
	src, dst netip.Addr
	tos      uint8
	ttl      uint8
	flow     uint32 // IPv6 flow label
	id       uint32 // identification: of IPv4, or of the IPv6 fragment header
	df, mf   bool
	fragOff  int // bytes
	frag     bool
	proto    protocol
	body     []byte // IP payload

	// TCP and UDP, of packets that are no fragments.
	srcPort, dstPort uint16
	flags            tcpFlags
	seq, ack         uint32
	win, urg         uint16
	opts             []tcpOption
	data             []byte // transport payload

	// ICMP and ICMPv6.
	icmpType, icmpCode uint8
	icmpRest           uint32 // second word of the header
}

const (
	ipv4Header   = 20
	ipv6Header   = 40
	ipv6Fragment = 44 // next header value
	tcpHeader    = 20
	udpHeader    = 8
	icmpHeader   = 8
)

// sum16 adds b to a one's-complement sum (RFC 1071).
func sum16(b []byte, sum uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}

// pseudoSum is the sum of the pseudo-header of TCP, UDP and ICMPv6.
func pseudoSum(src, dst netip.Addr, proto protocol, n int) uint32 {
	sum := sum16(src.AsSlice(), 0)
	sum = sum16(dst.AsSlice(), sum)
	return sum16([]byte{byte(n >> 8), byte(n), 0, byte(proto)}, sum)
}

// transportSum is the checksum of the IP payload b: zero if b contains its
// right checksum already.
func transportSum(src, dst netip.Addr, proto protocol, b []byte) uint16 {
	var sum uint32
	if proto != protoICMP {
		sum = pseudoSum(src, dst, proto, len(b))
	}
	return ^uint16(sum16(b, sum))
}

// encode builds body from the transport fields.
func (p *packet) encode() {
	var b []byte
	at := 16 // offset of the checksum
	switch p.proto {
	case protoTCP:
		opts := appendOptions(nil, p.opts)
		b = make([]byte, tcpHeader, tcpHeader+len(opts)+len(p.data))
		binary.BigEndian.PutUint16(b, p.srcPort)
		binary.BigEndian.PutUint16(b[2:], p.dstPort)
		binary.BigEndian.PutUint32(b[4:], p.seq)
		binary.BigEndian.PutUint32(b[8:], p.ack)
		binary.BigEndian.PutUint16(b[12:], uint16((tcpHeader+len(opts))/4)<<12|uint16(p.flags))
		binary.BigEndian.PutUint16(b[14:], p.win)
		binary.BigEndian.PutUint16(b[18:], p.urg)
		b = append(b, opts...)
	case protoUDP:
		at = 6
		b = make([]byte, udpHeader, udpHeader+len(p.data))
		binary.BigEndian.PutUint16(b, p.srcPort)
		binary.BigEndian.PutUint16(b[2:], p.dstPort)
		binary.BigEndian.PutUint16(b[4:], uint16(udpHeader+len(p.data)))
	default:
		at = 2
		b = make([]byte, icmpHeader, icmpHeader+len(p.data))
		b[0], b[1] = p.icmpType, p.icmpCode
		binary.BigEndian.PutUint32(b[4:], p.icmpRest)
	}
	b = append(b, p.data...)
	sum := transportSum(p.src, p.dst, p.proto, b)
	if sum == 0 && p.proto == protoUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[at:], sum)
	p.body = b
}

// marshal writes the packet; its body must be encoded.
func (p *packet) marshal() []byte {
	if p.src.Is4() {
		return p.marshal4()
	}
	return p.marshal6()
}

func (p *packet) marshal4() []byte {
	b := make([]byte, ipv4Header, ipv4Header+len(p.body))
	b[0], b[1] = 0x45, p.tos
	binary.BigEndian.PutUint16(b[2:], uint16(ipv4Header+len(p.body)))
	binary.BigEndian.PutUint16(b[4:], uint16(p.id))
	frag := uint16(p.fragOff / 8)
	if p.df {
		frag |= 1 << 14
	}
	if p.mf {
		frag |= 1 << 13
	}
	binary.BigEndian.PutUint16(b[6:], frag)
	b[8], b[9] = p.ttl, byte(p.proto)
	copy(b[12:], p.src.AsSlice())
	copy(b[16:], p.dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum16(b, 0)))
	return append(b, p.body...)
}

func (p *packet) marshal6() []byte {
	b := make([]byte, ipv6Header, ipv6Header+8+len(p.body))
	binary.BigEndian.PutUint32(b, 6<<28|uint32(p.tos)<<20|p.flow&0xfffff)
	n, next := len(p.body), byte(p.proto)
	if p.frag {
		n, next = n+8, ipv6Fragment
	}
	binary.BigEndian.PutUint16(b[4:], uint16(n))
	b[6], b[7] = next, p.ttl
	copy(b[8:], p.src.AsSlice())
	copy(b[24:], p.dst.AsSlice())
	if p.frag {
		off := uint16(p.fragOff)
		if p.mf {
			off |= 1
		}
		b = append(b, byte(p.proto), 0)
		b = binary.BigEndian.AppendUint16(b, off)
		b = binary.BigEndian.AppendUint32(b, p.id)
	}
	return append(b, p.body...)
}

func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

var errShort = errors.New("packet is cut short")

// decode reads a packet that left the kernel and checks everything that must
// be right whatever the script says: lengths and checksums.
func decode(b []byte) (*packet, error) {
	var p *packet
	var err error
	switch {
	case len(b) > 0 && b[0]>>4 == 4:
		p, err = decode4(b)
	case len(b) > 0 && b[0]>>4 == 6:
		p, err = decode6(b)
	default:
		return nil, errors.New("packet is neither IPv4 nor IPv6")
	}
	if err != nil || p.frag {
		return p, err
	}
	return p, p.decodeBody()
}

func decode4(b []byte) (*packet, error) {
	if len(b) < ipv4Header {
		return nil, errShort
	}
	hlen := int(b[0]&15) * 4
	if hlen < ipv4Header || len(b) < hlen {
		return nil, errors.New("IPv4 header length is wrong")
	}
	if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b) {
		return nil, fmt.Errorf("IPv4 total length is %d for a packet of %d bytes", n, len(b))
	}
	if ^uint16(sum16(b[:hlen], 0)) != 0 {
		return nil, errors.New("IPv4 header checksum is wrong")
	}
	frag := binary.BigEndian.Uint16(b[6:])
	p := &packet{tos: b[1], ttl: b[8], proto: protocol(b[9]), id: uint32(binary.BigEndian.Uint16(b[4:])),
		df: frag&(1<<14) != 0, mf: frag&(1<<13) != 0, fragOff: int(frag&0x1fff) * 8, body: b[hlen:]}
	p.frag = p.mf || p.fragOff > 0
	p.src, _ = netip.AddrFromSlice(b[12:16])
	p.dst, _ = netip.AddrFromSlice(b[16:20])
	return p, nil
}

func decode6(b []byte) (*packet, error) {
	if len(b) < ipv6Header {
		return nil, errShort
	}
	word := binary.BigEndian.Uint32(b)
	p := &packet{tos: uint8(word >> 20), flow: word & 0xfffff, ttl: b[7], proto: protocol(b[6]), body: b[ipv6Header:], df: true}
	if n := int(binary.BigEndian.Uint16(b[4:])); n != len(p.body) {
		return nil, fmt.Errorf("IPv6 payload length is %d for %d bytes", n, len(p.body))
	}
	p.src, _ = netip.AddrFromSlice(b[8:24])
	p.dst, _ = netip.AddrFromSlice(b[24:40])
	if p.proto == ipv6Fragment {
		if len(p.body) < 8 {
			return nil, errShort
		}
		off := binary.BigEndian.Uint16(p.body[2:])
		p.frag, p.proto, p.fragOff, p.mf = true, protocol(p.body[0]), int(off&^7), off&1 != 0
		p.id = binary.BigEndian.Uint32(p.body[4:])
		p.body = p.body[8:]
	}
	return p, nil
}

// decodeBody reads the transport header.
func (p *packet) decodeBody() error {
	b := p.body
	switch p.proto {
	case protoTCP:
		if len(b) < tcpHeader {
			return errShort
		}
		word := binary.BigEndian.Uint16(b[12:])
		hlen := int(word>>12) * 4
		if hlen < tcpHeader || hlen > len(b) {
			return errors.New("TCP data offset is wrong")
		}
		p.srcPort, p.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		p.seq, p.ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		p.flags = tcpFlags(word & 0x1ff)
		p.win, p.urg = binary.BigEndian.Uint16(b[14:]), binary.BigEndian.Uint16(b[18:])
		var err error
		if p.opts, err = parseOptions(b[tcpHeader:hlen]); err != nil {
			return err
		}
		p.data = b[hlen:]
	case protoUDP:
		if len(b) < udpHeader {
			return errShort
		}
		if n := int(binary.BigEndian.Uint16(b[4:])); n != len(b) {
			return fmt.Errorf("UDP length is %d for %d bytes", n, len(b))
		}
		p.srcPort, p.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		p.data = b[udpHeader:]
		if b[6] == 0 && b[7] == 0 && p.src.Is4() {
			return nil // RFC 768: no checksum
		}
	case protoICMP, protoICMPv6:
		if len(b) < icmpHeader {
			return errShort
		}
		p.icmpType, p.icmpCode, p.icmpRest = b[0], b[1], binary.BigEndian.Uint32(b[4:])
		p.data = b[icmpHeader:]
	default:
		return nil
	}
	if transportSum(p.src, p.dst, p.proto, b) != 0 {
		return fmt.Errorf("%s checksum is wrong", p.proto)
	}
	return nil
}

func (p protocol) String() string {
	switch p {
	case protoICMP:
		return "icmp"
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	case protoICMPv6:
		return "icmpv6"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}
