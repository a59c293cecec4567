package sim_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"example.com/loopback/sim"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// A server on the computer, a client made of raw packets, and time that passes when told to: what packet scripts and
// fuzzers do, in one goroutine.
func ExampleDriver() {
	// The computer is 192.0.2.1; all else is beyond the wire. The same seed gives the same sequence numbers.
	d, err := sim.NewDriver(sim.DriverConfig{
		Stack: socket.Config{MTU: 1500, Seed: 1, TCP: &tcp.Config{Timestamps: tcp.Off}},
		Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
	})
	if err != nil {
		panic(err)
	}
	defer d.Close()

	// Sockets never block: what would wait says EAGAIN or EINPROGRESS.
	listener, _ := d.Stack().Socket("tcp4")
	listener.Bind(netip.MustParseAddrPort("192.0.2.1:80"))
	listener.Listen(1)
	_, _, err = listener.Accept()
	fmt.Println("nobody to accept yet:", errors.Is(err, syscall.EAGAIN))

	// The client's packets arrive by the wire; what the computer answers is there at once.
	send := func(flags string, seq, ack uint32, text string) {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IPv4(192, 0, 2, 2), DstIP: net.IPv4(192, 0, 2, 1)}
		h := &layers.TCP{SrcPort: 5000, DstPort: 80, Seq: seq, Ack: ack, Window: 65535, SYN: flags == "S", ACK: flags != "S", PSH: flags == "P."}
		h.SetNetworkLayerForChecksum(ip)
		buf := gopacket.NewSerializeBuffer()
		gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, h, gopacket.Payload(text))
		d.Inject(buf.Bytes())
	}
	var iss uint32
	show := func() {
		for s, ok := d.Next(); ok; s, ok = d.Next() {
			h := gopacket.NewPacket(s.Packet, layers.LayerTypeIPv4, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
			if h.SYN {
				iss = h.Seq
			}
			fmt.Printf("%v: SYN %t seq %d ack %d %q\n", s.At, h.SYN, h.Seq-iss, h.Ack, h.Payload)
		}
	}
	send("S", 100, 0, "")
	show()
	send(".", 101, iss+1, "")
	send("P.", 101, iss+1, "ping")
	show()

	conn, from, _ := listener.Accept()
	buf := make([]byte, 10)
	n, _, _ := conn.Recv(buf, 0)
	fmt.Printf("from %v: %q\n", from, buf[:n])
	conn.Send([]byte("pong"), 0, netip.AddrPort{})
	show()

	// Nobody acknowledges. Deadline says when something happens by itself, Advance lets it.
	for range 2 {
		d.Advance(d.Deadline())
		show()
	}
	fmt.Println("sent again:", conn.Conn().Info().TotalRetrans, "times, by", d.Now())
	// Output:
	// nobody to accept yet: true
	// 0s: SYN true seq 0 ack 101 ""
	// 0s: SYN false seq 1 ack 105 ""
	// from 192.0.2.2:5000: "ping"
	// 0s: SYN false seq 1 ack 105 "pong"
	// 200.001ms: SYN false seq 1 ack 105 "pong"
	// 600.003ms: SYN false seq 1 ack 105 "pong"
	// sent again: 2 times, by 600.003ms
}
