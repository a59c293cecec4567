package capture

// The Ethernet header that Linux's lo shows to a capture: addresses of zeros and the type of what follows.
const frameHeader = 14

// appendFrame appends raw with an Ethernet header of zero addresses before it.
func appendFrame(dst, raw []byte) []byte {
	etherType := [2]byte{0x08, 0x00}
	if len(raw) > 0 && raw[0]>>4 == 6 {
		etherType = [2]byte{0x86, 0xdd}
	}
	dst = append(dst, make([]byte, frameHeader-2)...)
	dst = append(dst, etherType[:]...)
	return append(dst, raw...)
}
