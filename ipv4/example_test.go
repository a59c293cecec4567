package ipv4_test

import (
	"fmt"
	"net/netip"

	"example.com/loopback/ipv4"
)

func ExampleParse() {
	r := ipv4.Repr{
		TTL: 64, Protocol: ipv4.ProtoUDP, PayloadLen: 5,
		Src: netip.MustParseAddr("127.0.0.1"), Dst: netip.MustParseAddr("127.0.0.2"),
	}
	packet := make([]byte, 25)
	copy(packet[r.Marshal(packet):], "hello")

	h, payload, why := ipv4.Parse(packet)
	fmt.Println(h.Src(), h.Dst(), h.TTL(), string(payload), why)

	packet[8]-- // on the way
	_, _, why = ipv4.Parse(packet)
	fmt.Println(why, "-", why.Detail())
	// Output:
	// 127.0.0.1 127.0.0.2 64 hello InDelivers
	// InCsumErrors - wrong header checksum
}

func ExampleErrorAllowed() {
	orig := ipv4.Repr{
		TTL: 64, Protocol: ipv4.ProtoUDP,
		Src: netip.MustParseAddr("127.0.0.1"), Dst: netip.MustParseAddr("127.0.0.2"),
	}
	packet := make([]byte, 20)
	orig.Marshal(packet)
	if ipv4.ErrorAllowed(packet, nil) {
		m := ipv4.ICMP{Type: ipv4.ICMPDestUnreachable, Code: ipv4.CodePortUnreachable, Data: ipv4.Quote(packet, 20)}
		b := make([]byte, m.Len())
		fmt.Println(m.Type, m.Marshal(b), "bytes")
	}
	// Output: unreachable 28 bytes
}

func ExampleReassembler() {
	r := ipv4.Repr{
		TTL: 64, Protocol: ipv4.ProtoUDP, PayloadLen: 100,
		Src: netip.MustParseAddr("127.0.0.1"), Dst: netip.MustParseAddr("127.0.0.2"),
	}
	payload := make([]byte, r.PayloadLen)
	var reassembler ipv4.Reassembler
	for off := 0; off < r.PayloadLen; {
		f, _ := r.FragmentAt(off, ipv4.MinMTU)
		h := make(ipv4.Header, f.HeaderLen())
		f.Marshal(h)
		datagram, _ := reassembler.Input(0, h, payload[off:off+f.PayloadLen])
		off += f.PayloadLen
		fmt.Println(f.PayloadLen, f.MoreFragments, len(datagram))
	}
	// Output:
	// 48 true 0
	// 48 true 0
	// 4 false 120
}
