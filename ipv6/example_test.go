package ipv6_test

import (
	"fmt"
	"net/netip"

	"example.com/loopback/ipv6"
)

func ExampleParse() {
	lo := netip.IPv6Loopback()
	r := ipv6.Repr{NextHeader: ipv6.ProtoUDP, HopLimit: 64, PayloadLen: 5, Src: lo, Dst: lo}
	packet := make([]byte, 45)
	copy(packet[r.Marshal(packet):], "hello")

	h, payload, why := ipv6.Parse(packet)
	fmt.Println(h.Src(), h.Dst(), h.HopLimit(), string(payload), why)

	_, _, why = ipv6.Parse(packet[:44])
	fmt.Println(why, "-", why.Detail())
	// Output:
	// ::1 ::1 64 hello InDelivers
	// InTruncatedPkts - payload length larger than the packet
}

func ExampleExtLimits_Walk() {
	lo := netip.IPv6Loopback()
	r := ipv6.Repr{NextHeader: ipv6.ProtoDstOptions, HopLimit: 64, PayloadLen: 8, Src: lo, Dst: lo}
	packet := make([]byte, 48)
	copy(packet[r.Marshal(packet):], []byte{ipv6.ProtoUDP, 0, 0xde, 4, 1, 2, 3, 4}) // an option nobody knows
	h, payload, _ := ipv6.Parse(packet)
	_, problem, why := ipv6.ExtLimits{}.Walk(h, payload)
	fmt.Println(why.Detail(), problem.Send, problem.Code, problem.Pointer)
	// Output: unrecognised option true 2 42
}

func ExampleReassembler() {
	lo := netip.IPv6Loopback()
	r := ipv6.Repr{NextHeader: ipv6.ProtoUDP, HopLimit: 64, Src: lo, Dst: lo}
	payload := make([]byte, 2000)
	var reassembler ipv6.Reassembler
	for off, more := 0, true; more; {
		var n int
		n, more, _ = ipv6.FragmentAt(len(payload), off, ipv6.HeaderLen, ipv6.MinMTU)
		b := make([]byte, 48)
		r.MarshalFragment(b, off, n, more, 1)
		packet, _ := reassembler.Input(0, ipv6.Header(b[:40]), b[40:], payload[off:off+n])
		off += n
		fmt.Println(n, more, len(packet))
	}
	// Output:
	// 1232 true 0
	// 768 false 2040
}
