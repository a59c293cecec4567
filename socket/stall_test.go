package socket_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/socket"
	"github.com/stretchr/testify/require"
)

// TestFullRingServesEverybody: a thousand connections whose keep-alive probes
// are due at one instant share a ring of sixteen places; each probe is sent
// once and answered.
func TestFullRingServesEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.New(socket.Config{RingSize: 16})
		l, err := s.Listen("tcp4", "127.0.0.1:80")
		require.NoError(t, err)
		const pairs = 500
		var conns []net.Conn
		for range pairs {
			c, err := s.Dial("tcp4", "127.0.0.1:80")
			require.NoError(t, err)
			d, err := l.Accept()
			require.NoError(t, err)
			conns = append(conns, c, d)
		}
		time.Sleep(15500 * time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 2*pairs, counter(s, "TcpExt", "TCPKeepAlive"))
		require.Zero(t, counter(s, "TcpExt", "TCPTimeouts"))
		time.Sleep(time.Minute)
		for _, c := range conns {
			_, err := c.Write([]byte("still here"))
			require.NoError(t, err)
		}
		requireBalance(t, s)
		require.NoError(t, s.Close())
	})
}

// TestWriteThatTimesOut: a long write that nobody reads ends at its deadline, and what it says it took
// arrives, to the last byte.
func TestWriteThatTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.New(socket.Config{})
		l, err := s.Listen("tcp4", "127.0.0.1:80")
		require.NoError(t, err)
		c, err := s.Dial("tcp4", "127.0.0.1:80")
		require.NoError(t, err)
		d, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Minute)))
		sent := make([]byte, 20<<20)
		for i := range sent {
			sent[i] = byte(i * i >> 8)
		}
		n, err := c.Write(sent)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Greater(t, n, 256<<10, "several pieces")
		got := make([]byte, n)
		_, err = io.ReadFull(d, got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent[:n], got))
		require.NoError(t, s.Close())
	})
}
