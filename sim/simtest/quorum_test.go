package simtest_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"example.com/loopback/sim"
	"example.com/loopback/sim/simtest"
)

// A value is kept on three replicas. Whoever writes it waits until two of them have it, and whoever reads it asks until two
// have answered and takes the newer answer: of any two and any two of three, one is common.
//
// There is a mistake in put. It takes a network that loses two packets and duplicates a third for it to matter.
// One seed in some hundreds does that; see the README for how it is found:
//
//	go test ./sim/simtest -run '^TestQuorum$' -loopback.seeds=1-10000 -loopback.shrink
func TestQuorum(t *testing.T) {
	simtest.Run(t, func(t *testing.T, n *sim.Net) {
		writer, reader := n.Host("writer"), n.Host("reader")
		var replicas []*net.UDPAddr
		for i, name := range []string{"a", "b", "c"} {
			h := n.Host(name)
			bad := sim.Impairment{Delay: 10 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.1, Duplicate: 0.05}
			n.Link(writer, h, bad)
			if i == 0 {
				bad.Delay *= 2 // the reader is nearer to the others
			}
			n.Link(reader, h, bad)
			s, err := h.ListenPacket("udp", ":9")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			go replica(s)
			replicas = append(replicas, &net.UDPAddr{IP: h.Addr().AsSlice(), Port: 9})
		}
		w, err := writer.ListenPacket("udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		r, err := reader.ListenPacket("udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for version := 1; version <= 3; version++ {
			put(w, replicas, version)
			if got := get(r, replicas, version); got < version {
				t.Fatalf("version %d was written, but %d is read", version, got)
			}
		}
	})
}

// replica keeps the newest version that it was told.
func replica(s net.PacketConn) {
	newest := 0
	for b := make([]byte, 100); ; {
		k, from, err := s.ReadFrom(b)
		if err != nil {
			return
		}
		var version, id int
		if _, err := fmt.Sscanf(string(b[:k]), "put %d", &version); err == nil {
			newest = max(newest, version)
			fmt.Fprintf(to{s, from}, "done %d", version)
		} else if _, err := fmt.Sscanf(string(b[:k]), "get %d", &id); err == nil {
			fmt.Fprintf(to{s, from}, "have %d %d", newest, id)
		}
	}
}

// to writes datagrams to an address.
type to struct {
	net.PacketConn
	addr net.Addr
}

func (w to) Write(p []byte) (int, error) { return w.WriteTo(p, w.addr) }

// put returns when two replicas have the version.
func put(s net.PacketConn, replicas []*net.UDPAddr, version int) {
	answers := 0
	ask(s, replicas, fmt.Sprintf("put %d", version), func(text string, from net.Addr) bool {
		var v int
		if _, err := fmt.Sscanf(text, "done %d", &v); err == nil && v == version {
			answers++ // the mistake: whose?
		}
		return answers == 2
	})
}

// get returns the newest version that two replicas know of.
func get(s net.PacketConn, replicas []*net.UDPAddr, id int) (newest int) {
	answers := map[string]bool{}
	ask(s, replicas, fmt.Sprintf("get %d", id), func(text string, from net.Addr) bool {
		var v, of int
		if _, err := fmt.Sscanf(text, "have %d %d", &v, &of); err == nil && of == id {
			answers[from.String()] = true
			newest = max(newest, v)
		}
		return len(answers) == 2
	})
	return newest
}

// ask sends a question to all replicas, again and again, until answer says that it is answered.
func ask(s net.PacketConn, replicas []*net.UDPAddr, question string, answer func(text string, from net.Addr) bool) {
	for b := make([]byte, 100); ; {
		for _, r := range replicas {
			s.WriteTo([]byte(question), r)
		}
		s.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			k, from, err := s.ReadFrom(b)
			if err != nil {
				break
			}
			if answer(string(b[:k]), from) {
				return
			}
		}
	}
}
