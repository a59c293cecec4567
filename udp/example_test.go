package udp_test

import (
	"fmt"
	"net/netip"

	"example.com/loopback/udp"
)

func ExampleParse() {
	src, dst := netip.MustParseAddrPort("127.0.0.1:5000"), netip.MustParseAddrPort("127.0.0.1:53")
	b := make([]byte, udp.HeaderLen+5)
	udp.Marshal(b, src, dst, []byte("hello"))

	h, payload, why := udp.Parse(b, src.Addr(), dst.Addr())
	fmt.Println(h.SrcPort(), h.DstPort(), h.Length(), string(payload), why)

	b[8] = 'H'
	_, _, why = udp.Parse(b, src.Addr(), dst.Addr())
	fmt.Println(why, "-", why.Detail())
	// Output:
	// 5000 53 13 hello InDatagrams
	// InCsumErrors - wrong checksum
}
