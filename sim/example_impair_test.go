package sim_test

import (
	"fmt"
	"net/netip"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/sim"
)

// A link that loses the third datagram and delays the others; in virtual time.
func ExampleImpaired() {
	var q sim.Queue
	link, err := sim.NewImpaired(sim.ImpairConfig{Scheduler: &q, Rules: []sim.Rule{{
		Name:       "slow and lossy",
		Proto:      17,
		To:         netip.MustParsePrefix("127.0.0.2/32"),
		Impairment: sim.Impairment{DropSegments: []uint64{3}, Delay: 20 * time.Millisecond},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}

	// A NIC as a stack would have it, and five datagrams, 100 ms apart.
	var nic *device.NIC
	poll := func(queue int) {
		for done := false; !done; done = nic.Rest(queue) {
			nic.Poll(queue, q.Now(), 64, func(p *device.Packet) {
				fmt.Printf("%v: %d bytes arrived\n", q.Now(), p.Len())
				p.Release()
			})
		}
	}
	nic = device.NewNIC(device.Config{Link: link, Interrupt: poll})
	for range 5 {
		p := nic.Pool().NewPacket()
		copy(p.SetHead(28), "\x45\x00\x00\x1c\x00\x00\x40\x00\x40\x11\x3c\xce\x7f\x00\x00\x01\x7f\x00\x00\x02"+"\xc0\x00\x00\x35\x00\x08\x00\x00")
		nic.Transmit(q.Now(), p)
		if nic.Ring(0) {
			poll(0)
		}
		q.Run(q.Now() + 100*time.Millisecond)
	}
	for _, d := range link.Decisions() {
		fmt.Println(d.Explain())
	}
	// Output:
	// 20ms: 28 bytes arrived
	// 120ms: 28 bytes arrived
	// 320ms: 28 bytes arrived
	// 420ms: 28 bytes arrived
	// drop of datagram 3 of 127.0.0.1:49152>127.0.0.2:53 at 0.200 s by "slow and lossy": chosen
}

// Events of one instant happen in the order of their keys.
func ExampleQueue() {
	var q sim.Queue
	q.At(time.Second, sim.Key{Seq: 2}, func() { fmt.Println("second, at", q.Now()) })
	q.At(time.Second, sim.Key{Seq: 1}, func() { fmt.Println("first, at", q.Now()) })
	fmt.Println(q.Run(time.Minute), "events")
	// Output:
	// first, at 1s
	// second, at 1s
	// 2 events
}
