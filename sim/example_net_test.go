package sim_test

import (
	"fmt"
	"io"
	"time"

	"example.com/loopback/sim"
)

// A network need not be in a bubble: here it runs on the wall clock. What is written during a partition arrives when it has
// healed, and a host that has crashed knows nothing of its connections.
func ExampleNet() {
	n, err := sim.NewNet(sim.NetConfig{Seed: 42})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer n.Close()
	web, db := n.Host("web"), n.Host("db")
	n.Link(web, db, sim.Impairment{Delay: time.Millisecond})

	l, err := db.Listen("tcp", ":5432")
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := web.Dial("tcp", "db:5432")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}

	n.Partition(web, db)
	io.WriteString(c, "select")
	n.At(50*time.Millisecond, n.Heal)
	b := make([]byte, 6)
	io.ReadFull(s, b)
	fmt.Printf("%s\n", b)

	db.Crash()
	_, err = s.Read(b)
	fmt.Println("db:", err != nil)
	db.Restart()
	io.WriteString(c, "insert")
	_, err = c.Read(b)
	fmt.Println("web:", err != nil)
	_, err = web.Dial("tcp", "db:5432")
	fmt.Println("nobody listens:", err != nil)
	// Output:
	// select
	// db: true
	// web: true
	// nobody listens: true
}
