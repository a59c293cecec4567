package socket_test

import (
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/socket"
	"github.com/stretchr/testify/require"
)

// TestDroppedStackIsCollected: a stack with open connections, whose keep-alive
// timers are armed, and with a listener goes when nobody holds it any more,
// without Close.
func TestDroppedStackIsCollected(t *testing.T) {
	gone := make(chan struct{})
	func() {
		s := socket.New(socket.Config{})
		l, err := s.Listen("tcp", ":80")
		require.NoError(t, err)
		c, err := s.Dial("tcp", "localhost:80")
		require.NoError(t, err)
		d, err := l.Accept()
		require.NoError(t, err)
		_, err = c.Write([]byte("hello"))
		require.NoError(t, err)
		_, err = io.ReadFull(d, make([]byte, 5))
		require.NoError(t, err)
		_, err = s.ListenPacket("udp", ":53")
		require.NoError(t, err)
		runtime.AddCleanup(s, func(ch chan struct{}) { close(ch) }, gone)
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			return
		default:
			runtime.Gosched()
		}
	}
	t.Fatal("the stack is still there")
}

// TestIdleStackHasNoGoroutine: neither listening nor an established connection
// costs one.
func TestIdleStackHasNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		s := socket.New(socket.Config{})
		l, err := s.Listen("tcp", ":80")
		require.NoError(t, err)
		for range 10 {
			_, err := s.Dial("tcp", "localhost:80")
			require.NoError(t, err)
			_, err = l.Accept()
			require.NoError(t, err)
		}
		// Fewer, when those of an earlier test were just ending.
		require.LessOrEqual(t, runtime.NumGoroutine(), before)
	})
}

// TestClosingLeavesNoTimers: when all sockets are closed and TIME-WAIT is
// over, nothing is armed: the bubble's time would otherwise go on by the
// keep-alive interval, and OpenSockets and Sockets would show what is left.
func TestClosingLeavesNoTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.New(socket.Config{})
		l, err := s.Listen("tcp", ":80")
		require.NoError(t, err)
		c, err := s.Dial("tcp", "localhost:80")
		require.NoError(t, err)
		d, err := l.Accept()
		require.NoError(t, err)
		require.Equal(t, 3, s.OpenSockets())
		require.NoError(t, c.Close())
		require.NoError(t, d.Close())
		require.NoError(t, l.Close())
		require.Zero(t, s.OpenSockets())
		require.Len(t, s.Sockets(), 1, "the side that closed first is in TIME-WAIT")
		require.Equal(t, "TIME-WAIT", s.Sockets()[0].State)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, s.Sockets())
		require.False(t, socket.Armed(s), "a timer is armed")
		require.NoError(t, s.Close())
	})
}

// TestCloseStackEndsEverything: whoever waits on any socket of the stack
// returns.
func TestCloseStackEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.New(socket.Config{})
		l, err := s.Listen("tcp", ":80")
		require.NoError(t, err)
		c, err := s.Dial("tcp", "localhost:80")
		require.NoError(t, err)
		d, err := l.Accept()
		require.NoError(t, err)
		full, err := s.Dial("tcp", "localhost:80")
		require.NoError(t, err)
		p, err := s.ListenPacket("udp", ":53")
		require.NoError(t, err)
		r, err := s.ListenPacket("ip4:icmp", "127.0.0.1")
		require.NoError(t, err)
		_, err = l.Accept()
		require.NoError(t, err)
		errs := make(chan error, 6)
		go func() { _, err := l.Accept(); errs <- err }()
		go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := d.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := io.Copy(full, endless{}); errs <- err }()
		go func() { _, _, err := p.ReadFrom(make([]byte, 1)); errs <- err }()
		go func() { _, _, err := r.ReadFrom(make([]byte, 1)); errs <- err }()
		synctest.Wait()
		require.NoError(t, s.Close())
		for range cap(errs) {
			require.ErrorIs(t, <-errs, net.ErrClosed)
		}
		require.False(t, socket.Armed(s))
		_, err = s.Dial("tcp", "localhost:80")
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = s.Listen("tcp", ":81")
		require.ErrorIs(t, err, net.ErrClosed)
	})
}
