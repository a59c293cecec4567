package socket

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
)

// TestPassed: a text of a dialogue whose writer has the baton is taken in without a look at its headers, unless somebody else
// sees the packet or the connection needs to see more of it; and nothing of that can be seen.
func TestPassed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     Config
		addr    string
		n       int  // bytes of a text
		room    int  // of its reader; 0: enough
		readers int  // who wait for it; -1: none
		bulk    bool // full segments went both ways before
		prepare func(t *testing.T, s *Stack, c *TCPConn)
		read    int // packets of ten whose headers are read
	}{
		{name: "short", n: 64},
		{name: "as long as goes with the headers", n: device.MaxHead - plainHead4},
		{name: "longer", n: device.MaxHead - plainHead4 + 1},
		{name: "long", n: 400},
		{name: "too long to be an answer", n: 600, read: 10},
		{name: "IPv6", addr: "[::1]:80", n: 64},
		{name: "long, IPv6", addr: "[::1]:80", n: 400},
		{name: "checksums", cfg: Config{VerifyChecksums: true}, n: 64, read: 10},
		{name: "the reader has little room", n: 64, room: 63, read: 10},
		{name: "after bulk", n: 64, bulk: true},
		{name: "nobody waits", n: 64, readers: -1},
		{name: "nobody waits, and comes with little room", n: 64, room: 63, readers: -1},
		{name: "nobody waits, long", n: 400, readers: -1},
		{name: "nobody waits, IPv6", addr: "[::1]:80", n: 64, readers: -1},
		{name: "two wait", n: 64, readers: 2, read: 10},
		{name: "a raw socket listens", n: 64, read: 10, prepare: func(_ *testing.T, s *Stack, _ *TCPConn) { s.raw.n.Add(1) }},
		{name: "tapped", n: 64, read: 10, prepare: func(_ *testing.T, s *Stack, _ *TCPConn) {
			s.nic.AddTap(func(device.Direction, time.Duration, *device.NIC, *device.Packet) {})
		}},
		{name: "the connection has been touched", n: 64, prepare: func(t *testing.T, _ *Stack, c *TCPConn) {
			c.Info()
			require.False(t, c.steady)
		}},
		{name: "nobody has met", n: 64, prepare: func(_ *testing.T, s *Stack, _ *TCPConn) { s.receivers[0].met = acquaintances{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.cfg.Queues = 1
				s := New(tt.cfg)
				s.pool.Audit = true
				if tt.addr == "" {
					tt.addr = "127.0.0.1:80"
				}
				c, a := ends(t, s, tt.addr)
				text := bytes.Repeat([]byte("a question, an answer. "), 50)[:tt.n]
				say := func(from, to *TCPConn) {
					text[0]++
					got, room := make([]byte, len(text)), tt.room
					if room == 0 {
						room = len(got)
					}
					read := make(chan error)
					take := func(got []byte) {
						n, err := to.Read(got[:min(room, len(got))])
						if err == nil {
							_, err = io.ReadFull(to, got[n:])
						}
						read <- err
					}
					readers := max(tt.readers, 1)
					begin := func() {
						for part := range slices.Chunk(got, len(got)/readers) {
							go take(part)
						}
						synctest.Wait()
					}
					if tt.readers >= 0 {
						begin()
					}
					_, err := from.Write(text)
					require.NoError(t, err)
					if tt.readers < 0 {
						begin()
					}
					for range readers {
						require.NoError(t, <-read)
					}
					if readers == 1 {
						require.Equal(t, text, got)
					}
				}
				for _, way := range [][2]*TCPConn{{c, a}, {a, c}} {
					if tt.bulk {
						go func() { _, _ = io.CopyN(io.Discard, way[1], 1<<20) }()
						_, err := way[0].Write(make([]byte, 1<<20))
						require.NoError(t, err)
						time.Sleep(time.Second) // what is read next is of another round trip
					}
				}
				for range 8 {
					say(c, a)
					say(a, c)
				}
				if tt.prepare != nil {
					tt.prepare(t, s, c)
				}
				r, headers := &s.receivers[0], 0
				handle := r.handle
				r.handle = func(p *device.Packet) {
					headers++
					handle(p)
				}
				packets, in, out := s.nic.Counters(), counterOf(s, "Tcp", "InSegs"), counterOf(s, "Tcp", "OutSegs")
				delivers := counterOf(s, "Ip", "InDelivers")
				for range 5 {
					say(c, a)
					say(a, c)
				}
				require.Equal(t, tt.read, headers)
				after := s.nic.Counters()
				require.EqualValues(t, 10, after.TX.Packets-packets.TX.Packets)
				require.EqualValues(t, 10, after.RX.Packets-packets.RX.Packets)
				require.Equal(t, after.TX.Bytes-packets.TX.Bytes, after.RX.Bytes-packets.RX.Bytes)
				require.EqualValues(t, 10, counterOf(s, "Tcp", "InSegs")-in)
				require.EqualValues(t, 10, counterOf(s, "Tcp", "OutSegs")-out)
				require.EqualValues(t, 10, counterOf(s, "Ip", "InDelivers")-delivers)
				require.NoError(t, c.Close())
				require.NoError(t, a.Close())
				require.NoError(t, s.Close())
				synctest.Wait()
				require.Zero(t, s.pool.Stats().PacketsOut)
				require.Zero(t, s.pool.Stats().BufsOut)
			})
		})
	}
}

// answer has from write a short text for which to waits. It is called in a bubble.
func answer(t *testing.T, from, to *TCPConn) {
	read := make(chan error)
	go func() {
		_, err := to.Read(make([]byte, 10))
		read <- err
	}()
	synctest.Wait()
	_, err := from.Write([]byte("well"))
	require.NoError(t, err)
	require.NoError(t, <-read)
}

// TestPassedIsAcknowledged: a text that was passed and is not answered is acknowledged when its delayed ACK is due.
func TestPassedIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Queues: 1})
		defer s.Close()
		c, a := ends(t, s, "127.0.0.1:80")
		for range 40 { // until a's timer, which runs late on purpose, waits for an ACK, not for an answer
			answer(t, c, a)
			answer(t, a, c)
			time.Sleep(7 * time.Millisecond)
		}
		unacked := func() int {
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.tcb.Unacked()
		}
		answer(t, c, a)
		before := s.nic.Counters().TX.Packets
		time.Sleep(10 * time.Millisecond)
		require.NotZero(t, unacked())
		require.Equal(t, before, s.nic.Counters().TX.Packets)
		time.Sleep(31 * time.Millisecond)
		require.Zero(t, unacked())
		require.Equal(t, before+1, s.nic.Counters().TX.Packets)
	})
}

// TestBatonBackFirst: who passes a text has given the baton back when he wakes its reader, which takes as long as all of the rest, and
// during which others would have to leave their packets to him.
func TestBatonBackFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Queues: 1})
		defer s.Close()
		c, a := ends(t, s, "127.0.0.1:80")
		for range 8 {
			answer(t, c, a)
			answer(t, a, c)
		}
		wakes := 0
		a.rd.cond = waking{a.rd.cond, func() {
			wakes++
			require.True(t, s.nic.Idle(0))
		}}
		answer(t, c, a)
		require.Equal(t, 1, wakes)
	})
}

// waking is a Cond that tells when somebody is woken.
type waking struct {
	Cond
	tell func()
}

func (w waking) Broadcast() {
	w.tell()
	w.Cond.Broadcast()
}
