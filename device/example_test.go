package device_test

import (
	"fmt"
	"net/netip"
	"time"

	"example.com/loopback/device"
)

// A packet goes out by lo and comes back.
func Example() {
	n := device.NewNIC(device.Config{})
	p := n.Pool().NewPacket()
	copy(p.SetHead(20), "twenty bytes of data")
	var now time.Duration // since whenever
	if n.Transmit(now, p) != device.TxOK {
		p.Release() // down, or the ring is full
	}
	if n.Ring(0) { // the baton is ours: move packets until there is nothing left to do
		for done := false; !done; done = n.Rest(0) {
			n.Poll(0, now, 64, func(p *device.Packet) {
				fmt.Printf("%s\n", p.Head)
				p.Release()
			})
		}
	}
	fmt.Print(device.IfconfigNew(n))
	// Output:
	// twenty bytes of data
	// lo: flags=73<UP,LOOPBACK,RUNNING>  mtu 16436
	//         inet 127.0.0.1  netmask 255.0.0.0
	//         inet6 ::1  prefixlen 128  scopeid 0x10<host>
	//         loop  txqueuelen 0  (Local Loopback)
	//         RX packets 1  bytes 20 (20.0 B)
	//         RX errors 0  dropped 0  overruns 0  frame 0
	//         TX packets 1  bytes 20 (20.0 B)
	//         TX errors 0  dropped 0 overruns 0  carrier 0  collisions 0
}

// Two computers on one wire. What comes in interrupts the one that gets it, which polls on the sender's
// back.
func ExampleNewWire() {
	var b *device.NIC
	a := device.NewNIC(device.Config{})
	b = device.NewNIC(device.Config{Interrupt: func(q int) {
		for done := false; !done; done = b.Rest(q) {
			b.Poll(q, 0, 64, func(p *device.Packet) {
				fmt.Printf("b got %d bytes\n", p.Len())
				p.Release()
			})
		}
	}})
	device.NewWire(a, b)
	p := a.Pool().NewPacket()
	p.SetHead(100)
	p.Flags = device.FlagOutside // routed off computer a
	a.Transmit(0, p)
	if a.Ring(0) {
		for done := false; !done; done = a.Rest(0) {
			a.Poll(0, 0, 64, (*device.Packet).Release)
		}
	}
	// Output: b got 100 bytes
}

// More addresses on lo, as `ip addr add` and `ip route add local` give it.
func ExampleNIC_AddAddr() {
	n := device.NewNIC(device.Config{})
	n.AddAddr(netip.MustParsePrefix("10.0.0.1/32"))
	n.AddPrefix(netip.MustParsePrefix("2001:db8::/64"))
	for _, a := range []string{"127.1.2.3", "10.0.0.1", "10.0.0.2", "2001:db8::42"} {
		fmt.Println(a, n.IsLocal(netip.MustParseAddr(a)))
	}
	// Output:
	// 127.1.2.3 true
	// 10.0.0.1 true
	// 10.0.0.2 false
	// 2001:db8::42 true
}
