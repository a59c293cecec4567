package transport

import "encoding/binary"

// rawLocal is the stack's end of the raw path.
func rawLocal() [4]byte { return [4]byte{10, 0, 0, 1} }

// rawRemote is the other end of the raw path, a host outside.
func rawRemote() [4]byte { return [4]byte{10, 0, 0, 2} }

// RawPacket returns an IPv4 packet with payload bytes of UDP from 10.0.0.2 to 10.0.0.1, both
// checksums valid: what a device would receive from a wire.
func RawPacket(payload int) []byte {
	const ipHeader, udpHeader = 20, 8
	p := make([]byte, ipHeader+udpHeader+payload)
	p[0] = 0x45
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[6] = 0x40 // don't fragment
	p[8] = 64   // TTL
	p[9] = 17   // UDP
	src, dst := rawRemote(), rawLocal()
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	binary.BigEndian.PutUint16(p[10:], ^onesSum(p[:ipHeader], 0))

	u := p[ipHeader:]
	binary.BigEndian.PutUint16(u[0:], 40000)
	binary.BigEndian.PutUint16(u[2:], rawPort)
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	for i := range u[udpHeader:] {
		u[udpHeader+i] = byte(i)
	}
	pseudo := onesSum(p[12:20], 17+uint32(len(u)))
	sum := ^onesSum(u, uint32(pseudo))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(u[6:], sum)
	return p
}

// onesSum is the one's-complement sum of RFC 1071, folded.
func onesSum(b []byte, initial uint32) uint16 {
	sum := initial
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
