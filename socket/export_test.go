package socket

import "net"

// Armed reports whether the stack's timer is armed.
func Armed(s *Stack) bool {
	s.timers.mu.Lock()
	defer s.timers.mu.Unlock()
	return s.timers.at != never || len(s.timers.near) > 0
}

// Steady reports whether nothing is the matter with the dialogue of c, a *TCPConn.
func Steady(c net.Conn) bool {
	t := c.(*TCPConn)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.steady
}
