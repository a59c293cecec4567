package socket

// Armed reports whether the stack's timer is armed.
func Armed(s *Stack) bool {
	s.timers.mu.Lock()
	defer s.timers.mu.Unlock()
	return s.timers.at != never || len(s.timers.near) > 0
}
