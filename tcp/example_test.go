package tcp_test

import (
	"fmt"
	"net/netip"
	"time"

	"example.com/loopback/tcp"
)

// Two TCBs, a client and a server, talk to each other without any network: what one puts out goes into the other.
func Example() {
	here, there := netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:80")
	now := time.Second
	var client, server tcp.TCB

	var seg tcp.Segment
	exchange := func() {
		for again := true; again; {
			again = false
			for client.Output(now, &seg) {
				fmt.Println("client:", seg.Flags, seg.Payload.Len())
				if server.State() == tcp.StateClosed && tcp.ListenInput(&seg) == tcp.ListenSYN {
					server.Passive(now, &tcp.Params{Local: there, Remote: here, MTU: 16436, ISS: 2000}, &seg)
				} else {
					server.Input(now, &seg)
				}
				seg.Payload.Release()
				again = true
			}
			for server.Output(now, &seg) {
				fmt.Println("server:", seg.Flags, seg.Payload.Len())
				client.Input(now, &seg)
				seg.Payload.Release()
				again = true
			}
		}
	}

	client.Connect(now, &tcp.Params{Local: here, Remote: there, MTU: 16436, ISS: 1000})
	exchange()
	client.Write(now, []byte("hello"))
	exchange()
	buf := make([]byte, 100)
	n := server.Read(now, buf)
	fmt.Printf("server read %q, client is in %v\n", buf[:n], client.State())

	// Output:
	// client: S 0
	// server: S. 0
	// client: . 0
	// client: P. 5
	// server: . 0
	// server read "hello", client is in ESTABLISHED
}
