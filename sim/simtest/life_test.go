package simtest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/sim/simtest"
	"example.com/loopback/socket"
)

// pair is a connection from client to server and both its ends.
func pair(t *testing.T, n *sim.Net) (client, server *sim.Host, c, s net.Conn) {
	t.Helper()
	client, server = n.Host("client"), n.Host("server")
	l, err := server.Listen("tcp", ":80")
	require.NoError(t, err)
	c, err = client.Dial("tcp", "server:80")
	require.NoError(t, err)
	s, err = l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return client, server, c, s
}

// fast reports what virtual time has cost of real time. What the tests assert is virtual.
func fast(t *testing.T, f func()) {
	start := time.Now()
	f()
	t.Logf("%v of real time", time.Since(start))
}

// After two hours without a word keep-alive asks nine times, 75 s apart, and gives the connection up.
func TestKeepAliveDeath(t *testing.T) {
	fast(t, func() {
		simtest.Run(t, func(t *testing.T, n *sim.Net) {
			client, _, c, _ := pair(t, n)
			ka := net.KeepAliveConfig{Enable: true, Idle: 2 * time.Hour, Interval: 75 * time.Second, Count: 9}
			require.NoError(t, c.(*socket.TCPConn).SetKeepAliveConfig(ka))
			n.Partition(client)
			start := time.Now()
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ETIMEDOUT)
			took := time.Since(start)
			require.InDelta(t, (2*time.Hour + 9*75*time.Second).Seconds(), took.Seconds(), 1)
		})
	})
}

// Whoever closes first keeps the name of the connection for a minute.
func TestTimeWaitExpiry(t *testing.T) {
	fast(t, func() {
		simtest.Run(t, func(t *testing.T, n *sim.Net) {
			_, _, c, s := pair(t, n)
			require.NoError(t, c.Close())
			_, err := s.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			require.NoError(t, s.Close())
			time.Sleep(59 * time.Second)
			require.Len(t, n.Stack().Sockets(), 1, "in TIME-WAIT")
			time.Sleep(2 * time.Second)
			require.Empty(t, n.Stack().Sockets())
		})
	})
}

// Fifteen retransmissions (tcp_retries2), ever later, take about a quarter of an hour.
func TestBackOff(t *testing.T) {
	fast(t, func() {
		simtest.Run(t, func(t *testing.T, n *sim.Net) {
			client, server, c, _ := pair(t, n)
			require.NoError(t, c.(*socket.TCPConn).SetKeepAlive(false))
			n.Partition(client, server)
			start, before := time.Now(), n.Recording().Len()
			_, err := c.Write([]byte("hello?"))
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ETIMEDOUT)
			// 924.6 s is the least: as on Linux, the first time-out after that is the end.
			took := time.Since(start).Seconds()
			require.GreaterOrEqual(t, took, 924.6)
			require.LessOrEqual(t, took, 924.6+121)
			require.GreaterOrEqual(t, n.Recording().Len()-before, 16)
		})
	})
}

// What is written during a partition arrives when it has healed; others are not concerned.
func TestPartitionAndHeal(t *testing.T) {
	simtest.Run(t, func(t *testing.T, n *sim.Net) {
		client, server, c, s := pair(t, n)
		n.Partition(client, server)
		n.At(10*time.Second, n.Heal)
		start := time.Now()
		_, err := c.Write([]byte("late"))
		require.NoError(t, err)
		other, err := server.Listen("tcp", ":81")
		require.NoError(t, err)
		d, err := n.Host("third").Dial("tcp", "server:81")
		require.NoError(t, err)
		d.Close()
		other.Close()
		own, err := client.Listen("tcp", ":82")
		require.NoError(t, err)
		d, err = client.Dial("tcp", "client:82")
		require.NoError(t, err, "it still reaches itself")
		d.Close()
		own.Close()
		require.Less(t, time.Since(start), time.Second)

		b := make([]byte, 4)
		s.SetReadDeadline(start.Add(10 * time.Second))
		_, err = io.ReadFull(s, b)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		s.SetReadDeadline(time.Time{})
		_, err = io.ReadFull(s, b)
		require.NoError(t, err)
		require.Equal(t, "late", string(b))
		require.Greater(t, time.Since(start), 10*time.Second)
		require.Less(t, time.Since(start), 25*time.Second, "the next retransmission")
		c.Close()
		s.Close()
	})
}

// A crash is silent; after the restart those who still talk are told by a RST.
func TestCrashAndRestart(t *testing.T) {
	simtest.Run(t, func(t *testing.T, n *sim.Net) {
		_, server, c, s := pair(t, n)
		l, err := server.Listen("tcp", ":81")
		require.NoError(t, err)
		u, err := server.ListenPacket("udp", ":53")
		require.NoError(t, err)
		gone := make(chan error, 3)
		go func() { _, err := s.Read(make([]byte, 1)); gone <- err }()
		go func() { _, err := l.Accept(); gone <- err }()
		go func() { _, _, err := u.ReadFrom(make([]byte, 1)); gone <- err }()
		time.Sleep(time.Second)
		sent := n.Recording().Len()
		server.Crash()
		require.True(t, server.Down())
		for range 3 {
			require.ErrorIs(t, <-gone, net.ErrClosed)
		}
		_, err = server.Listen("tcp", ":81")
		require.ErrorIs(t, err, syscall.ENETDOWN)
		_, err = server.Dial("tcp", "client:80")
		require.ErrorIs(t, err, syscall.ENETDOWN)
		time.Sleep(time.Second)
		require.Equal(t, sent, n.Recording().Len(), "it says nothing")

		_, err = c.Write([]byte("anybody?"))
		require.NoError(t, err)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		d, err := n.Host("client").Dial("tcp", "server:81")
		require.Error(t, err, d)
		require.True(t, errors.Is(err, syscall.ETIMEDOUT), "%v", err)

		server.Restart()
		require.False(t, server.Down())
		c.SetReadDeadline(time.Time{})
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = n.Host("client").Dial("tcp", "server:81")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		l, err = server.Listen("tcp", ":81")
		require.NoError(t, err, "its port is free")
		d, err = n.Host("client").Dial("tcp", "server:81")
		require.NoError(t, err)
		d.Close()
		l.Close()
	})
}
