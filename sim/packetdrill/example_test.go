package packetdrill_test

import (
	"errors"
	"fmt"

	"example.com/loopback/sim/packetdrill"
)

// A script is parsed and played on the stack of this module. What does not
// match is a Failure that says where.
func Example() {
	script, err := packetdrill.Parse("handshake.pkt", `
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 65535 <mss 1460>
+0   > S. 0:0(0) ack 1 <mss 1460>
+.1  < . 1:1(0) ack 1 win 65535
+0   accept(3, ..., ...) = 4
+0   write(4, ..., 1000) = 1000
+0   > P. 1:1000(999) ack 1
`)
	if err != nil {
		panic(err)
	}
	err = script.Run(packetdrill.NewStack, packetdrill.Options{})
	var failure *packetdrill.Failure
	if errors.As(err, &failure) {
		fmt.Printf("line %d: %s\n", failure.Line, failure.Reason)
		fmt.Println("expected", failure.Expected)
		fmt.Println("actual  ", failure.Actual)
	}
	// Output:
	// line 10: packet differs in length: 1000 instead of 999
	// expected > P. 1:1000(999) ack 1
	// actual   > P. 1:1001(1000) ack 1 win 64240
}
