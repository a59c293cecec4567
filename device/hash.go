package device

import (
	"encoding/binary"
	"math/bits"
)

// FlowHash returns the flow hash of an IP packet: a number that is the same for all packets of a flow
// and for both its directions. The flow is the two addresses and the protocol and, for TCP and UDP
// packets that are not fragments and have no IPv6 extension headers, the two ports. Bytes that are no IP
// packet give some number.
func FlowHash(raw []byte) uint32 {
	switch {
	case len(raw) >= 20 && raw[0]>>4 == 4:
		ihl := int(raw[0]&15) * 4
		src := uint64(binary.BigEndian.Uint32(raw[12:]))
		dst := uint64(binary.BigEndian.Uint32(raw[16:]))
		fragment := binary.BigEndian.Uint16(raw[6:])&0x3fff != 0
		s, d := ports(raw, ihl, raw[9], fragment)
		return flowHash(src, dst, s, d, raw[9])
	case len(raw) >= 40 && raw[0]>>4 == 6:
		s, d := ports(raw, 40, raw[6], false)
		return flowHash(fold16(raw[8:24]), fold16(raw[24:40]), s, d, raw[6])
	}
	return 0
}

// FlowHash4 returns what FlowHash gives for an IPv4 packet with these addresses, protocol and ports.
func FlowHash4(src, dst [4]byte, proto uint8, srcPort, dstPort uint16) uint32 {
	return flowHash(uint64(binary.BigEndian.Uint32(src[:])), uint64(binary.BigEndian.Uint32(dst[:])), srcPort, dstPort, proto)
}

// FlowHash6 returns what FlowHash gives for an IPv6 packet with these addresses, protocol and ports.
func FlowHash6(src, dst *[16]byte, proto uint8, srcPort, dstPort uint16) uint32 {
	return flowHash(fold16(src[:]), fold16(dst[:]), srcPort, dstPort, proto)
}

// ports returns the ports of a TCP or UDP header at offset at, zeros where there is none.
func ports(raw []byte, at int, proto uint8, fragment bool) (src, dst uint16) {
	if (proto != 6 && proto != 17) || fragment || at < 20 || len(raw) < at+4 {
		return 0, 0
	}
	return binary.BigEndian.Uint16(raw[at:]), binary.BigEndian.Uint16(raw[at+2:])
}

// fold16 makes an IPv6 address one number.
func fold16(a []byte) uint64 {
	return binary.BigEndian.Uint64(a)*0x9e3779b97f4a7c15 ^ binary.BigEndian.Uint64(a[8:])
}

// flowHash mixes each end by itself, so that adding the two gives the same in both directions.
func flowHash(src, dst uint64, srcPort, dstPort uint16, proto uint8) uint32 {
	h := endHash(src, srcPort) + endHash(dst, dstPort) + uint64(proto)
	h *= 0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

func endHash(addr uint64, port uint16) uint64 {
	hi, lo := bits.Mul64(addr^0x2545f4914f6cdd1d, 0x9fb21c651e98df25^uint64(port)<<17)
	return hi ^ lo
}
