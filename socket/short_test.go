package socket_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

// serveShort accepts connections until l is closed. Each has a goroutine, which sends one byte back, reads to the end, closes and
// calls done.
func serveShort(l net.Listener, done func(error)) {
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
			done(errors.Join(err, end, c.Close()))
		}()
	}
}

// short is a connection to a server as above: one byte there and back.
func short(s *socket.Stack, to *net.TCPAddr, b []byte) error {
	c, err := s.DialTCP("tcp4", nil, to)
	if err != nil {
		return err
	}
	if _, err = c.Write(b); err == nil {
		_, err = c.Read(b)
	}
	return errors.Join(err, c.Close())
}

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
	go serveShort(l, func(err error) { closed <- err })
	to := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	b := make([]byte, 1)
	once := func() error { return errors.Join(short(s, to, b), <-closed) }
	for range 100 { // what the first connections set up for all
		require.NoError(t, once())
	}
	var failed error
	require.LessOrEqual(t, testing.AllocsPerRun(1000, func() { failed = errors.Join(failed, once()) }), 12.0)
	require.NoError(t, failed)
}

// TestShortConnectionStack: the goroutine of a server of short connections does with the 2 KiB of stack it begins with.
func TestShortConnectionStack(t *testing.T) {
	if underRace {
		t.Skip("the race detector's frames are larger")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))  // each processor has stacks in store
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would take back what a stack has grown
	s := socket.New(socket.Config{})
	defer s.Close()
	l, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	defer l.Close()
	const connections = 500
	closed, leave := make(chan error), make(chan struct{})
	defer close(leave)
	go serveShort(l, func(err error) {
		closed <- err
		<-leave // with the stack that it has by now
	})
	to := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	b := make([]byte, 1)
	run := func() (stacks uint64) {
		for range connections {
			require.NoError(t, errors.Join(short(s, to, b), <-closed))
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.StackInuse
	}
	first := run()
	require.Less(t, (run()-first)/connections, uint64(3<<10), "the next larger stack is 4 KiB")
}
