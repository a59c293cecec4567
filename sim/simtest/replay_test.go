package simtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

// Eight clients of package net/http at once, three requests each.
func TestReplayHTTP(t *testing.T) {
	replay(t, func(t *testing.T, n *sim.Net) {
		server, clients := star(n, 8)
		l, err := server.Listen("tcp", ":80")
		require.NoError(t, err)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			size, _ := strconv.Atoi(r.URL.Query().Get("n"))
			io.WriteString(w, strings.Repeat("x", size))
		})}
		go srv.Serve(l)
		var wg sync.WaitGroup
		for i, h := range clients {
			wg.Go(func() {
				tr := &http.Transport{DialContext: h.DialContext, DisableCompression: true}
				defer tr.CloseIdleConnections()
				c := &http.Client{Transport: tr, Timeout: 5 * time.Minute}
				for k := range 3 {
					want := (i + 1) * (k + 1) * 1000
					resp, err := c.Get(fmt.Sprintf("http://server/?n=%d", want))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.Copy(io.Discard, resp.Body)
					if err != nil || int(got) != want {
						t.Errorf("%d bytes of %d, %v", got, want, err)
					}
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
		srv.Close()
	})
}

// serveEcho answers on every connection with what comes.
func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

// echo sends size bytes and wants them back.
func echo(c net.Conn, size int) error {
	out := make([]byte, size)
	for i := range out {
		out[i] = byte(i * 7)
	}
	fail := make(chan error, 1)
	go func() {
		_, err := c.Write(out)
		fail <- errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
	}()
	in, err := io.ReadAll(c)
	if string(in) != string(out) && err == nil {
		err = fmt.Errorf("%d bytes came back of %d", len(in), size)
	}
	return errors.Join(err, <-fail)
}

// A hundred connections (twenty, with -short) from four hosts. Those of one host dial a microsecond apart.
func TestReplayTCP(t *testing.T) {
	connections := 100
	if testing.Short() {
		connections = 20
	}
	replay(t, func(t *testing.T, n *sim.Net) {
		server, clients := star(n, 4)
		l, err := server.Listen("tcp", ":7")
		require.NoError(t, err)
		go serveEcho(l)
		var wg sync.WaitGroup
		for i := range connections {
			wg.Go(func() {
				time.Sleep(time.Duration(i/len(clients)) * time.Microsecond)
				c, err := clients[i%len(clients)].Dial("tcp", "server:7")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				if err := echo(c, 1000+100*i); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		l.Close()
	})
}

// Requests by UDP, repeated until they are answered.
func TestReplayUDP(t *testing.T) {
	replay(t, func(t *testing.T, n *sim.Net) {
		server, clients := star(n, 5)
		s, err := server.ListenPacket("udp", ":53")
		require.NoError(t, err)
		go func() {
			b := make([]byte, 2000)
			for {
				k, from, err := s.ReadFrom(b)
				if err != nil {
					return
				}
				s.WriteTo(b[:k], from)
			}
		}()
		var wg sync.WaitGroup
		for _, h := range clients {
			wg.Go(func() {
				c, err := h.Dial("udp", "server:53")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				for k := range 20 {
					if err := request(c, fmt.Sprintf("question %d of %s", k, h.Name())); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		s.Close()
	})
}

// request sends a question until its answer comes.
func request(c net.Conn, question string) error {
	b := make([]byte, 2000)
	for range 10 {
		if _, err := io.WriteString(c, question); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			k, err := c.Read(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return err
			}
			if string(b[:k]) == question {
				return nil
			}
		}
	}
	return context.DeadlineExceeded
}

// Everything happens at once: eight hosts ask at the same instant over lines of the same delay, and what goroutines of
// the server answer depends on which of them comes first.
func TestReplayTies(t *testing.T) {
	replay(t, func(t *testing.T, n *sim.Net) {
		server := n.Host("server")
		l, err := server.Listen("tcp", ":80")
		require.NoError(t, err)
		var tickets atomic.Int64
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					for b := make([]byte, 1); ; {
						if _, err := c.Read(b); err != nil {
							return
						}
						fmt.Fprintf(c, "%03d", tickets.Add(1))
					}
				}()
			}
		}()
		var wg sync.WaitGroup
		for i := range 8 {
			h := n.Host(fmt.Sprintf("client%d", i))
			n.Link(h, server, sim.Impairment{Delay: 20 * time.Millisecond})
			wg.Go(func() {
				c, err := h.Dial("tcp", "server:80")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				for range 20 {
					io.WriteString(c, "?")
					if _, err := io.ReadFull(c, make([]byte, 3)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		l.Close()
	})
}
