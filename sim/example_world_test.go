package sim_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/loopback/sim"
)

// A handshake, one event at a time, as one would show it to a class.
func ExampleWorld_Step() {
	w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	client, server := w.Host("client"), w.Host("server")
	w.Link(client, server, sim.Impairment{Delay: 20 * time.Millisecond})
	l, err := server.Listen("tcp", ":80")
	if err != nil {
		fmt.Println(err)
		return
	}
	w.Go("server", func() { l.Accept() })
	w.Go("client", func() { client.Dial("tcp", "server:80") })

	port := regexp.MustCompile(`client:\d+`) // which depends on the seed
	for w.Now() < 60*time.Millisecond {
		e, ok := w.Step()
		if !ok {
			break
		}
		fmt.Println(strings.TrimSpace(fmt.Sprint(e.At.Round(time.Millisecond), " ", e.Kind, " ", e.Name)))
		for _, note := range e.Notes {
			if !strings.Contains(note, "sends") { // e prints whole packets, too, in the words of tcpdump
				fmt.Println("    " + port.ReplaceAllString(note, "client"))
			}
		}
	}
	// Output:
	// 0s start server
	//     server runs
	// 0s start client
	//     client runs
	//     client CLOSED → SYN-SENT
	// 20ms delivery
	//     server:80 CLOSED → SYN-RECEIVED
	// 40ms delivery
	//     client rtt 40ms, srtt 40ms, rto 240ms
	//     client SYN-SENT → ESTABLISHED
	//     client runs
	//     client ends
	// 60ms delivery
	//     server:80 rtt 40ms, srtt 40ms, rto 240ms
	//     server:80 SYN-RECEIVED → ESTABLISHED
	//     server runs
	//     server ends
}

// A host crashes while a client waits for its answer, and comes back knowing nothing.
func ExampleWorld() {
	w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	client, server := w.Host("client"), w.Host("server")
	w.Link(client, server, sim.Impairment{Delay: 20 * time.Millisecond})
	l, err := server.Listen("tcp", ":80")
	if err != nil {
		fmt.Println(err)
		return
	}
	w.Go("server", func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(io.Discard, c)
	})

	c, err := client.Dial("tcp", "server:80") // runs the World until there is a connection
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("connected at", w.Now().Round(time.Millisecond))
	w.At(time.Second, server.Crash)
	w.At(time.Minute, server.Restart)
	w.Sleep(2 * time.Second)
	io.WriteString(c, "anybody there?")
	_, err = c.Read(make([]byte, 1))
	fmt.Println("at", w.Now().Round(time.Minute), "the server, asked again, knows nothing of it:", err != nil)
	_, err = client.Dial("tcp", "server:80")
	fmt.Println("and nobody listens:", err != nil)
	// Output:
	// connected at 40ms
	// at 1m0s the server, asked again, knows nothing of it: true
	// and nobody listens: true
}

// serveCalculator is a server of a line protocol, as somebody might have written it for package net.
func serveCalculator(c net.Conn) {
	defer c.Close()
	for s := bufio.NewScanner(c); s.Scan(); {
		var x, y int
		if _, err := fmt.Sscanf(s.Text(), "add %d %d", &x, &y); err != nil {
			fmt.Fprintln(c, "what?")
			continue
		}
		fmt.Fprintln(c, x+y)
	}
}

// fuzzCalculator is one execution of a fuzz target: what a client sends, on a network that the seed makes bad.
func fuzzCalculator(seed uint64, input []byte) (answer string, err error) {
	w, err := sim.NewWorld(sim.NetConfig{Seed: seed, CaptureBytes: -1})
	if err != nil {
		return "", err
	}
	defer w.Close()
	w.MaxEvents = 100_000 // a server that never comes to rest is a finding as well
	client, server := w.Host("client"), w.Host("server")
	w.Link(client, server, sim.Impairment{Delay: time.Millisecond, Loss: 0.05, Cut: sim.Cut{Max: 5, Probability: 0.5}})
	l, err := server.Listen("tcp", ":80")
	if err != nil {
		return "", err
	}
	w.Go("server", func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.Go("connection", func() { serveCalculator(c) })
		}
	})
	c, err := client.Dial("tcp", "server:80")
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(w.Time().Add(time.Hour)); err != nil {
		return "", err
	}
	w.Go("client", func() {
		c.Write(input)
		c.(interface{ CloseWrite() error }).CloseWrite()
	})
	b, err := io.ReadAll(c) // a panic of the server comes out here, with its stack
	return string(b), err
}

// A protocol server in a fuzz target: each execution has a network of its own, and what was found once is found again.
func ExampleWorld_fuzz() {
	fuzz := func(f *testing.F) {
		f.Add(uint64(1), []byte("add 1 2\n"))
		f.Fuzz(func(t *testing.T, seed uint64, input []byte) {
			if _, err := fuzzCalculator(seed, input); err != nil {
				t.Error(err)
			}
		})
	}
	_ = fuzz // in a test file: func FuzzCalculator(f *testing.F)
	fmt.Println(fuzzCalculator(1, []byte("add 1 2\nadd 3\n")))
	// Output:
	// 3
	// what?
	//  <nil>
}

// FuzzCalculator is the target of the example.
func FuzzCalculator(f *testing.F) {
	f.Add(uint64(1), []byte("add 1 2\n"))
	f.Fuzz(func(t *testing.T, seed uint64, input []byte) {
		if _, err := fuzzCalculator(seed, input); err != nil {
			t.Error(err)
		}
	})
}
