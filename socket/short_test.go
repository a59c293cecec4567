package socket_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

// TestShortConnectionCost: dialling, sending a byte there and back and closing, with what both users allocate for it
// (the goroutine of the server, its buffer and its net.Conn) and with what stays for TIME-WAIT.
func TestShortConnectionCost(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	s := socket.New(socket.Config{})
	defer s.Close()
	l, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	defer l.Close()
	closed := make(chan error)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				b := make([]byte, 1)
				_, err := c.Read(b)
				if err == nil {
					_, err = c.Write(b)
				}
				_, end := c.Read(b)
				if end == io.EOF {
					end = nil
				}
				closed <- errors.Join(err, end, c.Close())
			}()
		}
	}()
	to := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	b := make([]byte, 1)
	once := func() error {
		c, err := s.DialTCP("tcp4", nil, to)
		if err != nil {
			return err
		}
		if _, err = c.Write(b); err == nil {
			_, err = c.Read(b)
		}
		return errors.Join(err, c.Close(), <-closed)
	}
	for range 100 { // what the first connections set up for all
		require.NoError(t, once())
	}
	var failed error
	require.LessOrEqual(t, testing.AllocsPerRun(1000, func() { failed = errors.Join(failed, once()) }), 12.0)
	require.NoError(t, failed)
}
