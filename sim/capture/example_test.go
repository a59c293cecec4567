package capture_test

import (
	"encoding/hex"
	"os"
	"time"

	"example.com/loopback/sim/capture"
)

// A packet is printed as tcpdump -n prints it. (A simulated computer's packets come to a Printer by its Tap.)
func ExamplePrinter() {
	p := capture.NewPrinter(os.Stdout, capture.TraceOptions{Time: capture.TimeEpoch})
	syn, _ := hex.DecodeString("4500003c1d0a40004006" + "1fb0" + "7f0000017f000001" +
		"c0000277" + "11223344" + "00000000" + "a002ffff" + "00000000" + "0204400c0402080a0000000100000000" + "01030307")
	_ = p.Print(204*time.Millisecond, syn)
	// Output:
	// 0.204000 IP 127.0.0.1.49152 > 127.0.0.1.631: Flags [S], seq 287454020, win 65535, options [mss 16396,sackOK,TS val 1 ecr 0,nop,wscale 7], length 0
}
