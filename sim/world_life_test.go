package sim_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/socket"
)

// idleWorld is a connection whose ends have keep-alive with the times that are Linux's defaults.
func idleWorld(tb testing.TB) (*sim.World, net.Conn) {
	w, err := sim.NewWorld(sim.NetConfig{Seed: 1, CaptureBytes: -1})
	require.NoError(tb, err)
	client, server := w.Host("client"), w.Host("server")
	l, err := server.Listen("tcp", ":80")
	require.NoError(tb, err)
	c, err := client.Dial("tcp", "server:80")
	require.NoError(tb, err)
	s, err := l.Accept()
	require.NoError(tb, err)
	for _, c := range []net.Conn{c, s} {
		ka := net.KeepAliveConfig{Enable: true, Idle: 2 * time.Hour, Interval: 75 * time.Second, Count: 9}
		require.NoError(tb, c.(*socket.TCPConn).SetKeepAliveConfig(ka))
	}
	return w, c
}

// The tests of this file assert virtual times; what they take of real time is reported (go test -v -run WorldLife) and is
// measured by BenchmarkWorldLife.
var lives = []struct {
	name string
	live func(tb testing.TB, w *sim.World)
}{
	{"keep-alive death", keepAliveDeath},
	{"TIME-WAIT", timeWaitExpiry},
	{"back-off", backOff},
}

func TestWorldLife(t *testing.T) {
	for _, x := range lives {
		t.Run(x.name, func(t *testing.T) {
			start := time.Now()
			w, err := sim.NewWorld(sim.NetConfig{Seed: 1})
			require.NoError(t, err)
			x.live(t, w)
			require.NoError(t, w.Close())
			t.Logf("%v of virtual time in %v of real time, %d events", w.Now(), time.Since(start), w.Events())
		})
	}
}

func BenchmarkWorldLife(b *testing.B) {
	for _, x := range lives {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w, err := sim.NewWorld(sim.NetConfig{Seed: 1})
				require.NoError(b, err)
				x.live(b, w)
				w.Close()
			}
		})
	}
}

// lifePair is a connection without keep-alive.
func lifePair(tb testing.TB, w *sim.World) (client, server *sim.Host, c, s *socket.TCPConn) {
	client, server = w.Host("client"), w.Host("server")
	l, err := server.Listen("tcp", ":80")
	require.NoError(tb, err)
	dialed, err := client.Dial("tcp", "server:80")
	require.NoError(tb, err)
	accepted, err := l.Accept()
	require.NoError(tb, err)
	require.NoError(tb, l.Close())
	c, s = dialed.(*socket.TCPConn), accepted.(*socket.TCPConn)
	require.NoError(tb, c.SetKeepAlive(false))
	require.NoError(tb, s.SetKeepAlive(false))
	return client, server, c, s
}

// After two hours without a word keep-alive asks nine times, 75 s apart, and gives the connection up.
func keepAliveDeath(tb testing.TB, w *sim.World) {
	client, _, c, _ := lifePair(tb, w)
	ka := net.KeepAliveConfig{Enable: true, Idle: 2 * time.Hour, Interval: 75 * time.Second, Count: 9}
	require.NoError(tb, c.SetKeepAliveConfig(ka))
	w.Partition(client)
	start := w.Now()
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(tb, err, syscall.ETIMEDOUT)
	require.InDelta(tb, (2*time.Hour + 9*75*time.Second).Seconds(), (w.Now() - start).Seconds(), 1)
}

// Whoever closes first keeps the name of the connection for a minute.
func timeWaitExpiry(tb testing.TB, w *sim.World) {
	_, _, c, s := lifePair(tb, w)
	require.NoError(tb, c.Close())
	_, err := s.Read(make([]byte, 1))
	require.Equal(tb, io.EOF, err)
	require.NoError(tb, s.Close())
	w.Sleep(59 * time.Second)
	require.Len(tb, w.Stack().Sockets(), 1, "in TIME-WAIT")
	w.Sleep(2 * time.Second)
	require.Empty(tb, w.Stack().Sockets())
	require.NoError(tb, w.Run(sim.Never))
	require.Equal(tb, 61*time.Second, w.Now().Round(time.Second), "nothing is left to happen")
}

// Fifteen retransmissions (tcp_retries2), ever later, take about a quarter of an hour.
func backOff(tb testing.TB, w *sim.World) {
	client, server, c, _ := lifePair(tb, w)
	w.Partition(client, server)
	start, before := w.Now(), w.Recording().Len()
	_, err := c.Write([]byte("hello?"))
	require.NoError(tb, err)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(tb, err, syscall.ETIMEDOUT)
	// 924.6 s is the least: as on Linux, the first time-out after that is the end.
	took := (w.Now() - start).Seconds()
	require.GreaterOrEqual(tb, took, 924.6)
	require.LessOrEqual(tb, took, 924.6+121)
	require.GreaterOrEqual(tb, w.Recording().Len()-before, 16)
}
