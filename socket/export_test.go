package socket

import (
	"net"
	"runtime"
	"testing"
)

// OnProcessors lets a test have n processors. On one, waits begin with a rest.
func OnProcessors(t *testing.T, n int) {
	old := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
}

// Armed reports whether the stack's timer is armed.
func Armed(s *Stack) bool {
	s.timers.mu.Lock()
	defer s.timers.mu.Unlock()
	return s.timers.at != never || len(s.timers.near) > 0
}

// Kept is tcp.TCB.Kept of c's.
func Kept(c net.Conn) bool {
	t := c.(*TCPConn)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tcb.Kept()
}

// Steady reports whether nothing is the matter with the dialogue of c, a *TCPConn.
func Steady(c net.Conn) bool {
	t := c.(*TCPConn)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.steady
}

// WithLock calls f while it holds the lock of c, a TCPConn.
func WithLock(c net.Conn, f func()) {
	t := c.(*TCPConn)
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}
