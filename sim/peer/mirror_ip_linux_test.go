package peer

import (
	"encoding/binary"
	"net"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

func udpPackets(family int) []singlePacket {
	udp := func(port uint16, n int) func(p probe) []byte {
		return func(p probe) []byte { return p.udp(port, make([]byte, n)) }
	}
	change := func(port uint16, n int, change func(u []byte), sum bool) func(p probe) []byte {
		return func(p probe) []byte {
			b := p.udp(port, make([]byte, n))
			u := b[len(b)-n-8:]
			change(u)
			if sum {
				fixed(p, 17, 6, u)
			}
			return b
		}
	}
	return []singlePacket{
		{name: "UDP to a socket", make: udp(openPort, 100)},
		{name: "UDP to a closed port", make: udp(closedPort, 100)},
		{name: "UDP to a closed port, empty", make: udp(closedPort, 0)},
		{name: "UDP to a closed port, long", make: udp(closedPort, 1400)},
		{name: "UDP to a closed port, as long as is quoted", make: udp(closedPort, 576-20-8-20-8)},
		{name: "UDP to a closed port, one byte longer", make: udp(closedPort, 576-20-8-20-8+1)},
		{name: "UDP to a closed port, TOS 0x2e", make: func(p probe) []byte { p.tos = 0x2e; return p.udp(closedPort, nil) }},
		{name: "UDP to a closed port, TOS 0xe1", make: func(p probe) []byte { p.tos = 0xe1; return p.udp(closedPort, nil) }},
		{name: "UDP to port 0", make: udp(0, 4)},
		{name: "UDP of a wrong checksum to a closed port", make: change(closedPort, 8, func(u []byte) { u[9]++ }, false)},
		{name: "UDP without checksum to a closed port", make: change(closedPort, 8, func(u []byte) { u[6], u[7] = 0, 0 }, false)},
		{name: "UDP longer than the packet", make: change(closedPort, 8, func(u []byte) { u[5] = 17 }, true)},
		{name: "UDP shorter than its header", make: change(closedPort, 8, func(u []byte) { u[5] = 7 }, true)},
		{name: "half a UDP header", make: func(p probe) []byte { return p.raw(layers.IPProtocolUDP, make([]byte, 4)) }},
		{name: "an unknown protocol", make: func(p probe) []byte { return p.raw(253, []byte("hello")) }},
		{name: "an unknown protocol, nothing in it", make: func(p probe) []byte { return p.raw(253, nil) }},
		{name: "the other family's ICMP", make: func(p probe) []byte {
			return p.raw(map[int]layers.IPProtocol{4: 58, 6: 1}[family], []byte{8, 0, 0, 0, 0, 1, 0, 1})
		}},
		{name: "TTL 0", make: func(p probe) []byte {
			b := p.udp(closedPort, nil)
			if family == 6 {
				b[7] = 0
				return b
			}
			b[8] = 0
			return resum4(b)
		}},
	}
}

// resum4 computes the checksum of an IPv4 header.
func resum4(b []byte) []byte {
	b[10], b[11] = 0, 0
	var sum uint32
	for i := 0; i < int(b[0]&15)*4 && i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	return b
}

// echo4 is an echo request with something about its header changed.
func echo4(change func(p *probe)) func(p probe) []byte {
	return func(p probe) []byte { change(&p); return p.icmp4(8, 0, 3, []byte("0123456789")) }
}

func icmp4Packets() []singlePacket {
	return []singlePacket{
		{name: "echo", make: echo4(func(p *probe) {})},
		{name: "echo, TOS 0x2e", make: echo4(func(p *probe) { p.tos = 0x2e })},
		{name: "echo, DF", make: echo4(func(p *probe) { p.flags = layers.IPv4DontFragment })},
		{name: "echo, TTL 1", make: echo4(func(p *probe) { p.ttl = 1 })},
		{name: "echo, code 1", make: func(p probe) []byte { return p.icmp4(8, 1, 3, nil) }},
		{name: "echo of 1400 bytes", make: func(p probe) []byte { return p.icmp4(8, 0, 3, make([]byte, 1400)) }},
		{name: "echo reply", make: func(p probe) []byte { return p.icmp4(0, 0, 3, nil) }},
		{
			name:    "ICMP timestamp request",
			make:    func(p probe) []byte { return p.icmp4(13, 0, 3, make([]byte, 12)) },
			differs: "Linux tells the time of day, we do not (RFC 1122 §3.2.2.8: MAY)",
		},
		{name: "ICMP information request", make: func(p probe) []byte { return p.icmp4(15, 0, 3, make([]byte, 12)) }},
		{name: "ICMP of an unknown type", make: func(p probe) []byte { return p.icmp4(77, 0, 3, nil) }},
		{name: "ICMP of a wrong checksum", make: func(p probe) []byte { b := p.icmp4(8, 0, 3, nil); b[23]++; return b }},
		{name: "half an ICMP header", make: func(p probe) []byte { return p.raw(1, []byte{8, 0, 0xf7, 0xff}) }},
		{name: "port unreachable about nothing of ours", make: func(p probe) []byte { return p.icmp4(3, 3, 0, make([]byte, 28)) }},
	}
}

// header4 is an echo request whose header's bytes are changed, and its checksum made right again.
func header4(change func(b []byte)) func(p probe) []byte {
	return func(p probe) []byte {
		b := p.icmp4(8, 0, 3, []byte("0123456789"))
		change(b)
		return resum4(b)
	}
}

func headers4() []singlePacket {
	martian := func(src net.IP) func(p probe) []byte {
		return header4(func(b []byte) { copy(b[12:16], src.To4()) })
	}
	return []singlePacket{
		{name: "a wrong header checksum", make: func(p probe) []byte { b := p.icmp4(8, 0, 3, nil); b[10]++; return b }},
		{name: "version 5", make: header4(func(b []byte) { b[0] = 0x55 })},
		{name: "a header of 16 bytes", make: header4(func(b []byte) { b[0] = 0x44 })},
		{name: "a length beyond the packet", make: header4(func(b []byte) { b[3]++ })},
		{name: "a length short of the packet", make: header4(func(b []byte) { b[3]-- })},
		{name: "the reserved flag", make: header4(func(b []byte) { b[6] |= 0x80 })},
		{name: "from itself", make: martian(addrA[4].AsSlice())},
		{name: "from 127.0.0.1", make: martian(net.IPv4(127, 0, 0, 1))},
		{name: "from 0.0.0.0", make: martian(net.IPv4zero)},
		{name: "from 224.0.0.1", make: martian(net.IPv4(224, 0, 0, 1))},
		{name: "from 255.255.255.255", make: martian(net.IPv4bcast)},
		{name: "to 127.0.0.1", make: header4(func(b []byte) { copy(b[16:], []byte{127, 0, 0, 1}) })},
		{name: "to 255.255.255.255", make: header4(func(b []byte) { copy(b[16:], []byte{255, 255, 255, 255}) })},
		{name: "UDP to a closed port at 255.255.255.255", make: func(p probe) []byte {
			b := p.udp(closedPort, nil)
			copy(b[16:], []byte{255, 255, 255, 255})
			b[26], b[27] = 0, 0
			return resum4(b)
		}},
		{name: "a fragment that is not a multiple of 8", make: func(p probe) []byte {
			p.flags = layers.IPv4MoreFragments
			return p.raw(17, make([]byte, 12))
		}},
		{name: "a fragment that would be longer than 65535", make: func(p probe) []byte {
			p.offset = 65528
			return p.raw(17, make([]byte, 16))
		}},
	}
}

// options4Of is an echo request with options, a multiple of four bytes.
func options4Of(opts ...byte) func(p probe) []byte {
	return func(p probe) []byte {
		b := p.icmp4(8, 0, 3, []byte("0123456789"))
		b = slices.Insert(b, 20, opts...)
		b[0] += byte(len(opts) / 4)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		return resum4(b)
	}
}

func options4() []singlePacket {
	return []singlePacket{
		{name: "options NOP", make: options4Of(1, 1, 1, 0)},
		{name: "an unknown option", make: options4Of(0x99, 4, 1, 2)},
		{name: "an option longer than the header", make: options4Of(0x99, 9, 1, 2)},
		{name: "an option of length 1", make: options4Of(0x99, 1, 1, 2)},
		{name: "an option of length 0", make: options4Of(1, 0x99, 0, 2)},
		{name: "an option without length", make: options4Of(1, 1, 1, 0x99)},
		{name: "a loose source route that is done", make: options4Of(0x83, 7, 8, 192, 0, 2, 9, 0)},
	}
}

func echo6(p probe) []byte { return p.icmp6(128, 0, []byte("\x00\x01\x00\x02abcdefgh")) }

func icmp6Packets() []singlePacket {
	return []singlePacket{
		{name: "echo", make: echo6},
		{name: "echo, traffic class 0x2e", make: func(p probe) []byte { p.tos = 0x2e; return echo6(p) }},
		{name: "echo, hop limit 1", make: func(p probe) []byte { p.ttl = 1; return echo6(p) }},
		{name: "echo, code 1", make: func(p probe) []byte { return p.icmp6(128, 1, make([]byte, 12)) }},
		{name: "echo of 1400 bytes", make: func(p probe) []byte { return p.icmp6(128, 0, make([]byte, 1400)) }},
		{name: "echo reply", make: func(p probe) []byte { return p.icmp6(129, 0, make([]byte, 12)) }},
		{name: "ICMPv6 of an unknown informational type", make: func(p probe) []byte { return p.icmp6(201, 0, make([]byte, 12)) }},
		{name: "ICMPv6 of an unknown error type", make: func(p probe) []byte { return p.icmp6(101, 0, make([]byte, 48)) }},
		{name: "ICMPv6 of a wrong checksum", make: header6(func(b []byte) { b[42]++ })},
		{name: "half an ICMPv6 header", make: func(p probe) []byte { return p.raw(58, []byte{128, 0, 0, 0}) }},
		{name: "port unreachable about nothing of ours", make: func(p probe) []byte { return p.icmp6(1, 4, make([]byte, 52)) }},
	}
}

// header6 is an echo request some of whose bytes are changed.
func header6(change func(b []byte)) func(p probe) []byte {
	return func(p probe) []byte { b := echo6(p); change(b); return b }
}

// source6 is an echo request from src.
func source6(src string) func(p probe) []byte {
	return func(p probe) []byte {
		h := p.ip6(layers.IPProtocolICMPv6)
		h.SrcIP = net.ParseIP(src)
		m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}
		_ = m.SetNetworkLayerForChecksum(h)
		return serialize(h, m, gopacket.Payload("\x00\x01\x00\x02abcdefgh"))
	}
}

func headers6() []singlePacket {
	return []singlePacket{
		{name: "a flow label", make: header6(func(b []byte) { b[1], b[2], b[3] = 1, 2, 3 })},
		{name: "a length beyond the packet", make: header6(func(b []byte) { b[5]++ })},
		{name: "a length short of the packet", make: header6(func(b []byte) { b[5]-- })},
		{name: "from itself", make: source6("2001:db8::1")},
		{name: "from ::1", make: source6("::1")},
		{name: "from ::", make: source6("::")},
		{name: "from ff02::1", make: source6("ff02::1")},
		{name: "from ::ffff:192.0.2.2", make: source6("::ffff:192.0.2.2")},
		{name: "to ::1", make: header6(func(b []byte) { copy(b[24:], net.IPv6loopback) })},
	}
}

// Values of the next header field.
const (
	extHopByHop = 0
	extRouting  = 43
	extFragment = 44
	extICMP     = 58
	extNone     = 59
	extOptions  = 60
)

// behind6 is an echo request behind extension headers, of which first is the kind of the first.
func behind6(first uint8, ext ...byte) func(p probe) []byte {
	return func(p probe) []byte {
		b := slices.Insert(echo6(p), 40, ext...)
		b[6] = first
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		return b
	}
}

func extensions6() []singlePacket {
	return []singlePacket{
		{name: "no next header", make: behind6(extNone)},
		{name: "hop-by-hop options of padding", make: behind6(extHopByHop, extICMP, 0, 1, 4, 0, 0, 0, 0)},
		{name: "destination options of padding", make: behind6(extOptions, extICMP, 0, 1, 4, 0, 0, 0, 0)},
		{name: "destination options, Pad1 only", make: behind6(extOptions, extICMP, 0, 0, 0, 0, 0, 0, 0)},
		{name: "destination options twice", make: behind6(extOptions, extOptions, 0, 1, 4, 0, 0, 0, 0, extICMP, 0, 1, 4, 0, 0, 0, 0)},
		{name: "hop-by-hop options not in first place", make: behind6(extOptions, extHopByHop, 0, 1, 4, 0, 0, 0, 0, extICMP, 0, 1, 4, 0, 0, 0, 0)},
		{name: "an unknown option to be skipped", make: behind6(extOptions, extICMP, 0, 0x1e, 4, 0, 0, 0, 0)},
		{name: "an unknown option to be discarded", make: behind6(extOptions, extICMP, 0, 0x5e, 4, 0, 0, 0, 0)},
		{name: "an unknown option to be reported", make: behind6(extOptions, extICMP, 0, 0x9e, 4, 0, 0, 0, 0)},
		{name: "an unknown option to be reported but to multicast", make: behind6(extOptions, extICMP, 0, 0xde, 4, 0, 0, 0, 0)},
		{name: "an unknown hop-by-hop option to be reported", make: behind6(extHopByHop, extICMP, 0, 0x9e, 4, 0, 0, 0, 0)},
		{name: "an unknown option in the second header", make: behind6(extOptions, extOptions, 0, 1, 4, 0, 0, 0, 0, extICMP, 0, 1, 0, 0x9e, 2, 0, 0)},
		{name: "an option longer than its header", make: behind6(extOptions, extICMP, 0, 0x1e, 9, 0, 0, 0, 0)},
		{name: "a header longer than the packet", make: behind6(extOptions, extICMP, 9, 1, 4, 0, 0, 0, 0)},
		{name: "a routing header of type 0", make: behind6(extRouting, extICMP, 2, 0, 1, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9)},
		{name: "a routing header of type 0 with no segments left", make: behind6(extRouting, extICMP, 2, 0, 0, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9)},
		{name: "a routing header of an unknown type", make: behind6(extRouting, extICMP, 0, 200, 1, 0, 0, 0, 0)},
		{name: "a routing header of an unknown type with no segments left", make: behind6(extRouting, extICMP, 0, 200, 0, 0, 0, 0, 0)},
		{name: "an atomic fragment", make: behind6(extFragment, extICMP, 0, 0, 0, 0, 0, 0, 9)},
		{name: "an unknown next header", make: behind6(200)},
		{name: "an unknown next header behind destination options", make: behind6(extOptions, 200, 0, 1, 4, 0, 0, 0, 0)},
		{name: "a fragment that is not a multiple of 8", make: func(p probe) []byte {
			return p.raw(extFragment, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, make([]byte, 12)...))
		}},
		{name: "a fragment that would be longer than 65535", make: func(p probe) []byte {
			return p.raw(extFragment, append([]byte{17, 0, 0xff, 0xf8, 0, 0, 0, 2}, make([]byte, 16)...))
		}},
		{name: "a first fragment without the whole header chain", make: func(p probe) []byte {
			return p.raw(extFragment, append([]byte{extOptions, 0, 0, 1, 0, 0, 0, 3}, 17, 2, 1, 4, 0, 0, 0, 0))
		}},
	}
}
