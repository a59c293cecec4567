package socket_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"runtime/debug"
	"sync/atomic"
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
	for _, tt := range []struct {
		name string
		cfg  socket.Config
	}{
		{"in TIME-WAIT there is room", socket.Config{}},
		{"each in TIME-WAIT ends another", socket.Config{MaxTWBuckets: 20}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socket.OnProcessors(t, 1)                        // each has stacks in store
			defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would take back what a stack has grown
			require.Less(t, stackOfServer(t, tt.cfg), uint64(3<<10), "the next larger stack is 4 KiB")
		})
	}
}

// stackOfServer is how many bytes the stack of a server of a short connection has when the connection is closed.
func stackOfServer(t *testing.T, cfg socket.Config) uint64 {
	s := socket.New(cfg)
	defer s.Close()
	l, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	defer l.Close()
	const connections = 500
	closed, leave := make(chan error), make(chan struct{})
	defer close(leave)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go modestServer(c, make([]byte, 1), closed, leave)
		}
	}()
	to := l.Addr().(*net.TCPAddr)
	idle, err := s.DialTCP("tcp4", nil, to) // whose timer is among those that are put in order
	require.NoError(t, err)
	defer idle.Close()
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
	return least
}

// modestServer serves c as serveShort does, and stays with the stack that it has by then. Beside what the calls need it uses 64 bytes.
func modestServer(c net.Conn, b []byte, closed chan<- error, leave <-chan struct{}) {
	var own [64]byte
	_, err := c.Read(b)
	own[b[0]&63] = b[0]
	if err == nil {
		_, err = c.Write(b)
	}
	if err == nil {
		if _, err = c.Read(b); err == io.EOF {
			err = nil
		}
	}
	if e := c.Close(); err == nil {
		err = e
	}
	b[0] = own[b[0]&63]
	closed <- err
	<-leave
}

// TestServersDoNotPileUp: a client that dials again and again leaves no more than a few servers behind that have yet to
// close. On one processor that is so whoever closes first, and whether the client waits for an answer or not.
func TestServersDoNotPileUp(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		processors            int
		answered, serverFirst bool
	}{
		{"the client closes first", 1, true, false},
		{"the server closes first", 1, true, true},
		{"the client does not wait", 1, false, false},
		{"the client closes first, on two", 2, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socket.OnProcessors(t, tt.processors)
			s := socket.New(socket.Config{})
			defer s.Close()
			l, err := s.Listen("tcp4", "127.0.0.1:80")
			require.NoError(t, err)
			defer l.Close()
			var closed atomic.Int32
			go serveShort(l, tt.serverFirst, func(error) { closed.Add(1) }) // the last may find s closed
			to, b := l.Addr().(*net.TCPAddr), make([]byte, 1)
			most := 0
			for i := range 2000 {
				if tt.answered {
					require.NoError(t, short(s, to, b, tt.serverFirst))
				} else {
					c, err := s.DialTCP("tcp4", nil, to)
					require.NoError(t, err)
					_, err = c.Write(b)
					require.NoError(t, errors.Join(err, c.Close()))
				}
				most = max(most, i+1-int(closed.Load()))
			}
			require.Less(t, most, 50)
		})
	}
}
