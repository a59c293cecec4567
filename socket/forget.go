package socket

import "net/netip"

// Forget drops every socket whose local address match wants, as a power cut at a computer with those addresses would:
// nothing is sent, to nobody. It is called with addresses that sockets are bound to, which for those bound to no
// particular one are 0.0.0.0 and ::. Connections, half-open ones included, what is left of those in TIME-WAIT,
// listeners, UDP and raw sockets are gone afterwards and their ports free; data that nobody has read is lost. Users
// who wait on such a socket, or use it later, get net.ErrClosed. Peers learn of it when they send something and are
// answered by a RST, or not at all if packets do not get through any more.
//
// It returns how many sockets there were. match is called without locks held, perhaps more than once for an address.
// A simulation in which several computers share one lo crashes one of them with it.
func (s *Stack) Forget(match func(local netip.Addr) bool) int {
	n := 0
	// A listener may be admitting a connection meanwhile, which the next round finds.
	for {
		found := s.forgetTCP(match)
		if n += found; found == 0 {
			break
		}
	}
	for _, u := range s.udp.all() {
		if match(u.node.key.local.addr()) && u.close() {
			n++
		}
	}
	for _, c := range s.raw.all() {
		if match(c.local.addr()) && c.close() {
			n++
		}
	}
	return n
}

// forgetTCP is one round of Forget for TCP: listeners first, so that they admit nobody any more.
func (s *Stack) forgetTCP(match func(local netip.Addr) bool) int {
	var wanted []tcpEnd
	for _, e := range sortedEnds(s.tcp.all()) {
		if match(e.timerKey().local.addr()) {
			wanted = append(wanted, e)
		}
	}
	n := 0
	for _, e := range wanted {
		if l, ok := e.(*TCPListener); ok && l.forget() {
			n++
		}
	}
	for _, e := range wanted {
		switch e := e.(type) {
		case *TCPConn:
			e.forget()
			n++
		}
	}
	for _, k := range s.timeWaits.keys() {
		if match(k.local.addr()) && s.timeWaits.kill(&k) {
			n++
		}
	}
	return n
}

// forget closes l without a word to those that it has not accepted. Those that are still connected are in the
// demultiplexer and found there; the others, which have data that nobody is going to read, are not.
func (l *TCPListener) forget() bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.closed = true
	queue := l.queue.takeAll()
	l.half = nil
	l.s.disarm(&l.timer)
	l.acc.wakeAll()
	l.s.tcp.remove(&l.node)
	l.s.tcpPorts.release(l.node.key.local, l.node.key.lport, l.how)
	l.mu.Unlock()
	for _, c := range queue {
		c.lock()
		if c.detached {
			c.shut()
			c.detach() // gives back what it had received
		}
		c.mu.Unlock()
	}
	return true
}

// forget is kill without last words.
func (c *TCPConn) forget() {
	c.lock()
	if c.pending != nil {
		c.s.count.outDiscards.Add(1)
		c.pending.Release()
		c.pending = nil
	}
	c.mu.Unlock()
	c.kill()
}
