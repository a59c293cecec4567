package checksum_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"example.com/loopback/ipv4/checksum"
)

func Example() {
	lo := netip.MustParseAddr("127.0.0.1")
	datagram := []byte{0x30, 0x39, 0, 9, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o'} // UDP, checksum 0
	sum := checksum.Pseudo(lo, lo, 17, len(datagram))
	binary.BigEndian.PutUint16(datagram[6:], ^checksum.Fold(checksum.Sum(datagram, sum)))
	fmt.Printf("%#04x\n", checksum.Fold(checksum.Sum(datagram, sum)))
	// Output: 0xffff
}
