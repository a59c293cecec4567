package goodput_test

import (
	"fmt"
	"time"

	"example.com/loopback/sim/goodput"
)

func ExampleMeasure() {
	cell := goodput.Cell{Algorithm: "reno", Path: goodput.Path{Loss: 0.05, RTT: 20 * time.Millisecond}}
	r, err := goodput.Measure(cell, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.1f Mbit/s, %.1f by the formula\n", r.Goodput/1e6, cell.Formula()/1e6)
	// Output: 2.6 Mbit/s, 3.2 by the formula
}
