package socket_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"unsafe"

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
			socket.OnProcessors(t, 1)
			beginSmall(t)
			require.LessOrEqual(t, grownServers(t, tt.cfg), 10, "of 500: those on whose way tables are made larger")
		})
	}
}

// beginSmall has goroutines begin with a stack of 2 KiB until the end of the test: they begin with what those that the last
// collection saw used on average, which is more when others are under way whose stacks are deep.
func beginSmall(t *testing.T) {
	leave := make(chan struct{})
	for range 1000 {
		go func() { <-leave }()
	}
	runtime.GC()
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		close(leave)
	})
	grew := make(chan bool)
	go func() { grew <- growsBy2K() }()
	require.True(t, <-grew, "2 KiB more do not fit into it")
}

func growsBy2K() bool {
	var here byte
	at := uintptr(unsafe.Pointer(&here))
	use2K()
	return uintptr(unsafe.Pointer(&here)) != at
}

//go:noinline
func use2K() (b byte) {
	var room [2 << 10]byte
	for i := range room {
		b += room[i]
	}
	return b
}

// grownServers is of how many of 500 servers of short connections the stack grew, which then is somewhere else.
func grownServers(t *testing.T, cfg socket.Config) (grown int) {
	s := socket.New(cfg)
	defer s.Close()
	l, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	defer l.Close()
	closed, grew := make(chan error), make(chan bool)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go modestServer(c, make([]byte, 1), closed, grew)
		}
	}()
	to, b := l.Addr().(*net.TCPAddr), make([]byte, 1)
	idle, err := s.DialTCP("tcp4", nil, to) // whose timer is among those that are put in order
	require.NoError(t, err)
	defer idle.Close()
	for i := range 600 {
		require.NoError(t, errors.Join(short(s, to, b, false), <-closed))
		if <-grew && i >= 100 { // the first connections set up what is for all
			grown++
		}
	}
	return grown
}

// modestServer serves c as serveShort does, and says whether its stack grew. Beside what the calls need it uses some 60 bytes.
func modestServer(c net.Conn, b []byte, closed chan<- error, grew chan<- bool) {
	var own [48]byte
	at := uintptr(unsafe.Pointer(&own))
	_, err := c.Read(b)
	own[b[0]%48] = b[0]
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
	b[0] = own[b[0]%48]
	closed <- err
	grew <- uintptr(unsafe.Pointer(&own)) != at
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
