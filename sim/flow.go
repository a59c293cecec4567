package sim

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
)

// A Flow names one direction of a conversation: protocol, where packets come from and where they go. For TCP and
// UDP the ports are theirs, for ICMP echo the source's port is the identifier, and otherwise ports are 0. Flows
// can be compared and used as map keys.
type Flow struct {
	Proto    uint8 // IP protocol number
	Src, Dst netip.AddrPort
}

// Reverse returns the flow of the packets that travel the other way.
func (f Flow) Reverse() Flow {
	f.Src, f.Dst = f.Dst, f.Src
	if f.isICMP() {
		f.Src, f.Dst = netip.AddrPortFrom(f.Src.Addr(), f.Dst.Port()), netip.AddrPortFrom(f.Dst.Addr(), 0)
	}
	return f
}

func (f Flow) isICMP() bool { return f.Proto == ipv4.ProtoICMP || f.Proto == ipv6.ProtoICMP }

// Compare orders flows by protocol, source and destination: -1, 0 or 1.
func (f Flow) Compare(o Flow) int {
	return cmp.Or(cmp.Compare(f.Proto, o.Proto), f.Src.Compare(o.Src), f.Dst.Compare(o.Dst))
}

// String returns the flow as in "127.0.0.1:49152>127.0.0.1:631"; for protocols without ports it begins with the
// protocol's name or number, as in "icmp 127.0.0.1>127.0.0.1 id 7".
func (f Flow) String() string {
	switch f.Proto {
	case ipv4.ProtoTCP, ipv4.ProtoUDP:
		return f.Src.String() + ">" + f.Dst.String()
	case ipv4.ProtoICMP, ipv6.ProtoICMP:
		s := "icmp " + f.Src.Addr().String() + ">" + f.Dst.Addr().String()
		if f.Src.Port() != 0 {
			s += " id " + strconv.Itoa(int(f.Src.Port()))
		}
		return s
	}
	return "proto " + strconv.Itoa(int(f.Proto)) + " " + f.Src.Addr().String() + ">" + f.Dst.Addr().String()
}

// hash returns a number that depends on the flow alone: not on the process, the machine or the run.
func (f Flow) hash() uint64 {
	var b [16 + 16 + 2 + 2 + 1]byte
	src, dst := f.Src.Addr().As16(), f.Dst.Addr().As16()
	copy(b[:], src[:])
	copy(b[16:], dst[:])
	binary.BigEndian.PutUint16(b[32:], f.Src.Port())
	binary.BigEndian.PutUint16(b[34:], f.Dst.Port())
	b[36] = f.Proto
	return hashBytes(b[:])
}

// PacketInfo is what rules may ask about a packet.
type PacketInfo struct {
	Flow    Flow
	Now     time.Duration // since the stack's epoch, when the packet came to the link
	Number  uint64        // of this packet among those of its flow, from 1
	Segment uint64        // of this segment among those of its flow that carry data, from 1; 0 if it carries none. Retransmissions count.
	Len     int           // of the whole packet, in bytes
	Header  int           // length of the IP and transport headers, in bytes
	Payload int           // length of the transport's payload, in bytes
	// Of TCP only:
	Flags    tcp.Flags
	Seq, Ack tcp.Seq
	// Offset is how far into the stream the payload begins, in bytes. It is known (not -1) when the link saw the SYN.
	Offset int64
	// Fragment says that this is a part of a datagram. Parts after the first belong to the first one's flow if the
	// link saw that.
	Fragment bool

	v6        bool
	l4        int    // where the transport header begins
	later     bool   // a fragment that is not the first
	id        uint32 // identification of the datagram
	truncated bool   // too short for what its headers promise
}

// Data reports whether the packet carries data of its transport protocol.
func (i *PacketInfo) Data() bool { return i.Payload > 0 || i.Flow.Proto == ipv4.ProtoUDP }

// headRoom is how many bytes of a packet are looked at when its head alone does not say enough.
const headRoom = 192

// parse fills i from the packet; the numbers are for the flow table to fill in. Bytes that are no IP packet give a
// flow without addresses.
func (i *PacketInfo) parse(p *device.Packet, scratch []byte) {
	b := p.Head
	if len(b) < 60 && len(b) < p.Len() {
		b = gather(scratch[:0], p, headRoom)
	}
	i.parseIP(b, p.Len())
	if i.truncated && len(b) < p.Len() && len(b) < headRoom {
		i.parseIP(gather(scratch[:0], p, headRoom), p.Len())
	}
}

// gather appends at most limit bytes of the packet to dst.
func gather(dst []byte, p *device.Packet, limit int) []byte {
	for _, b := range [...][]byte{p.Head, p.Frags[0].B, p.Frags[1].B} {
		dst = append(dst, b[:min(len(b), limit-len(dst))]...)
	}
	return dst
}

func (i *PacketInfo) parseIP(b []byte, total int) {
	*i = PacketInfo{Len: total, Header: min(total, len(b)), Offset: -1, Now: i.Now}
	switch {
	case len(b) >= 20 && b[0]>>4 == 4 && len(b) >= ipv4.Header(b).Len():
		i.parse4(b)
	case len(b) >= 40 && b[0]>>4 == 6:
		i.parse6(b)
	default:
		i.truncated = true
	}
}

func (i *PacketInfo) parse4(b []byte) {
	h := ipv4.Header(b)
	i.l4 = max(h.Len(), 20)
	i.id = uint32(h.ID())
	i.Fragment = h.IsFragment()
	i.later = h.FragmentOffset() > 0
	i.transport(b, h.Protocol(), h.Src(), h.Dst())
}

func (i *PacketInfo) parse6(b []byte) {
	h := ipv6.Header(b)
	i.v6 = true
	next, at := h.NextHeader(), 40
	for {
		size := 0
		switch next {
		case ipv6.ProtoHopByHop, ipv6.ProtoRouting, ipv6.ProtoDstOptions:
			if len(b) >= at+8 {
				size = (int(b[at+1]) + 1) * 8
			}
		case ipv6.ProtoFragment:
			if len(b) >= at+8 {
				size = 8
				f := ipv6.FragmentHeader(b[at : at+8])
				i.Fragment, i.later, i.id = !f.IsAtomic(), f.Offset() > 0, f.ID()
			}
		default:
			i.l4 = at
			i.transport(b, next, h.Src(), h.Dst())
			return
		}
		if size == 0 || i.later {
			i.l4 = min(at+size, len(b))
			if i.later {
				next = b[at]
			}
			i.truncated = size == 0
			i.transport(b[:i.l4], next, h.Src(), h.Dst())
			return
		}
		next, at = b[at], at+size
	}
}

// transport reads the ports and what else there is in the header of the transport protocol.
func (i *PacketInfo) transport(b []byte, proto uint8, src, dst netip.Addr) {
	i.Flow = Flow{Proto: proto, Src: netip.AddrPortFrom(src, 0), Dst: netip.AddrPortFrom(dst, 0)}
	i.Header = min(i.l4, i.Len)
	i.Payload = i.Len - i.Header
	if i.later || i.l4 > len(b) {
		i.truncated = i.truncated || i.l4 > len(b)
		return
	}
	t := b[i.l4:]
	switch proto {
	case ipv4.ProtoTCP:
		i.transportTCP(t)
	case ipv4.ProtoUDP:
		if len(t) < 8 {
			i.truncated = true
			return
		}
		i.ports(binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:]))
		i.headers(8)
	case ipv4.ProtoICMP, ipv6.ProtoICMP:
		if len(t) < 8 {
			i.truncated = true
			return
		}
		if isEcho(proto, t[0]) {
			i.ports(binary.BigEndian.Uint16(t[4:]), 0)
		}
		i.headers(8)
	}
}

func isEcho(proto, typ uint8) bool {
	if proto == ipv4.ProtoICMP {
		return typ == uint8(ipv4.ICMPEchoRequest) || typ == uint8(ipv4.ICMPEchoReply)
	}
	return typ == uint8(ipv6.ICMPEchoRequest) || typ == uint8(ipv6.ICMPEchoReply)
}

func (i *PacketInfo) transportTCP(t []byte) {
	if len(t) < 20 {
		i.truncated = true
		return
	}
	i.ports(binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:]))
	i.Seq = tcp.Seq(binary.BigEndian.Uint32(t[4:]))
	i.Ack = tcp.Seq(binary.BigEndian.Uint32(t[8:]))
	i.Flags = tcp.Flags(t[13])
	i.headers(max(int(t[12]>>4)*4, 20))
}

func (i *PacketInfo) ports(src, dst uint16) {
	i.Flow.Src = netip.AddrPortFrom(i.Flow.Src.Addr(), src)
	i.Flow.Dst = netip.AddrPortFrom(i.Flow.Dst.Addr(), dst)
}

// headers says how long the transport header is.
func (i *PacketInfo) headers(n int) {
	i.Header = min(i.l4+n, i.Len)
	i.Payload = i.Len - i.Header
}

// withoutPorts returns the flow of fragments, which do not tell their ports.
func (f Flow) withoutPorts() Flow {
	f.Src = netip.AddrPortFrom(f.Src.Addr(), 0)
	f.Dst = netip.AddrPortFrom(f.Dst.Addr(), 0)
	return f
}
