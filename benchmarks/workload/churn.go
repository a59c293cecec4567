package workload

import (
	"io"
	"net"

	"example.com/loopback/benchmarks/transport"
)

// churn is the life of a short connection.
func churn() Workload {
	return Workload{
		Name: "churn", Title: "Connect, echo one byte, close",
		About: "one client, one connection after another: dial, write 1 byte, read it back, close; every 20,000 connections go to " +
			"another address of the same listener, because the ports of one rest in TIME-WAIT; the " +
			"server gives each connection a goroutine, which closes after the client did",
		Procs: []int{1, 2},
		Start: func(env *Env) (*Loop, error) {
			tr, err := env.Open(transport.Options{})
			if err != nil {
				return nil, err
			}
			l, err := tr.Listen()
			if err != nil {
				_ = tr.Close()
				return nil, err
			}
			go serveEcho(l)
			opened := 0
			return &Loop{
				Transport: tr,
				Run: func(n int) error {
					defer func() { opened += n }()
					return connectEchoClose(tr, l, opened, n)
				},
				Stop: func() { _, _ = l.Close(), tr.Close() },
				Metrics: func(s Sample) []Metric {
					return []Metric{{"conn/s", s.perSecond()}, {"allocs/op", s.allocs()}}
				},
			}, nil
		},
	}
}

func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			echo(c, 1)
			_ = c.Close()
		}()
	}
}

// connectEchoClose opens n connections, after those that have been opened before. A port that was
// used rests in TIME-WAIT: when an address has had most of its ports used, the next one is dialled.
func connectEchoClose(tr transport.Transport, l net.Listener, opened, n int) error {
	buf := []byte{1}
	for i := range n {
		c, err := tr.Dial(l, (opened+i)/portsPer)
		if err != nil {
			return err
		}
		if _, err = c.Write(buf); err == nil {
			_, err = io.ReadFull(c, buf)
		}
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}
