package socket_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

// serveShort accepts connections until l is closed. Each has a goroutine, which sends one byte back, reads to the end unless it is to
// close first, closes and calls done.
func serveShort(l net.Listener, first bool, done func(error)) {
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
			if err == nil && !first {
				err = readEnd(c, b)
			}
			done(errors.Join(err, c.Close()))
		}()
	}
}

// readEnd reads the end of what comes by c.
func readEnd(c net.Conn, b []byte) error {
	switch n, err := c.Read(b); {
	case err == io.EOF:
		return nil
	case err == nil:
		return fmt.Errorf("%d bytes instead of the end", n)
	default:
		return err
	}
}

// short is a connection to a server as above: one byte there and back.
func short(s *socket.Stack, to *net.TCPAddr, b []byte, serverFirst bool) error {
	c, err := s.DialTCP("tcp4", nil, to)
	if err != nil {
		return err
	}
	if _, err = c.Write(b); err == nil {
		_, err = c.Read(b)
	}
	if err == nil && serverFirst {
		err = readEnd(c, b)
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
	go serveShort(l, false, func(err error) { closed <- err })
	to := l.Addr().(*net.TCPAddr)
	b := make([]byte, 1)
	once := func() error { return errors.Join(short(s, to, b, false), <-closed) }
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
	socket.OnProcessors(t, 1)                        // each has stacks in store
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would take back what a stack has grown
	s := socket.New(socket.Config{})
	defer s.Close()
	l, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	defer l.Close()
	const connections = 500
	closed, leave := make(chan error), make(chan struct{})
	defer close(leave)
	go serveShort(l, false, func(err error) {
		closed <- err
		<-leave // with the stack that it has by now
	})
	to := l.Addr().(*net.TCPAddr)
	b := make([]byte, 1)
	run := func() (stacks uint64) {
		for range connections {
			require.NoError(t, errors.Join(short(s, to, b, false), <-closed))
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.StackInuse
	}
	before, least := run(), uint64(math.MaxUint64)
	for range 3 { // what else has stacks in this process may need more of them meanwhile, but not each time
		now := run()
		before, least = now, min(least, (now-before)/connections)
	}
	require.Less(t, least, uint64(3<<10), "the next larger stack is 4 KiB")
}

// TestServersDoNotPileUp: on one processor a client that dials again and again leaves no more than a few servers behind that
// have yet to close, whoever closes first, and whether the client waits for an answer or not.
func TestServersDoNotPileUp(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		answered, serverFirst bool
	}{
		{"the client closes first", true, false},
		{"the server closes first", true, true},
		{"the client does not wait", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socket.OnProcessors(t, 1)
			s := socket.New(socket.Config{})
			defer s.Close()
			l, err := s.Listen("tcp4", "127.0.0.1:80")
			require.NoError(t, err)
			defer l.Close()
			go serveShort(l, tt.serverFirst, func(error) {}) // the last may find s closed
			to, b := l.Addr().(*net.TCPAddr), make([]byte, 1)
			before, most := runtime.NumGoroutine(), 0
			for range 2000 {
				if tt.answered {
					require.NoError(t, short(s, to, b, tt.serverFirst))
				} else {
					c, err := s.DialTCP("tcp4", nil, to)
					require.NoError(t, err)
					_, err = c.Write(b)
					require.NoError(t, errors.Join(err, c.Close()))
				}
				most = max(most, runtime.NumGoroutine()-before)
			}
			require.Less(t, most, 70)
		})
	}
}
