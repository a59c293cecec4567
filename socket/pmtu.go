package socket

import (
	"sync"
	"sync/atomic"
	"time"

	"example.com/loopback/ipv6"
)

// Bounds of path MTU discovery (RFC 1191, RFC 8201).
const (
	pathMTULife = 10 * time.Minute // net.ipv4.route.mtu_expires
	leastMTU4   = 552              // net.ipv4.route.min_pmtu
	maxPathMTUs = 1024             // paths known at a time
)

// pathMTUs is what routers beyond the open wire said by ICMP about the ways to
// single destinations. The path learned of first is forgotten first when there
// are too many. The zero value knows nothing.
type pathMTUs struct {
	any atomic.Bool // something was learned once

	mu    sync.Mutex
	known map[ip]pathMTU
	order []ip // circular: the keys of known in the order of learning
	next  int  // where the next key goes
}

// pathMTU is what is known of one path.
type pathMTU struct {
	mtu    int
	until  time.Duration
	at     int  // in order
	tooLow bool // the router asked for less than we believe: packets go without DF
}

// learn takes note that packets to dst must not be longer than mtu, if that is
// news and can be: now is what they may be as far as we know. IPv6 has no paths
// with an MTU of less than 1280 (RFC 8201 §4).
func (m *pathMTUs) learn(now time.Duration, dst ip, mtu, current int) {
	if mtu >= current || !dst.is4() && mtu < ipv6.MinMTU {
		return
	}
	path := pathMTU{mtu: mtu, until: now + pathMTULife}
	if dst.is4() && mtu < leastMTU4 {
		path.mtu, path.tooLow = min(current, leastMTU4), true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known, m.order = make(map[ip]pathMTU), make([]ip, maxPathMTUs)
	}
	if old, ok := m.known[dst]; ok {
		path.at = old.at
	} else {
		if last := m.order[m.next]; m.known[last].at == m.next {
			delete(m.known, last)
		}
		path.at = m.next
		m.order[m.next] = dst
		m.next = (m.next + 1) % maxPathMTUs
	}
	m.known[dst] = path
	m.any.Store(true)
}

// find returns what is known of the path to dst, and forgets what is too old.
func (m *pathMTUs) find(now time.Duration, dst ip) (path pathMTU, ok bool) {
	if !m.any.Load() {
		return path, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	path, ok = m.known[dst]
	if ok && now >= path.until {
		delete(m.known, dst)
		ok = false
	}
	return path, ok
}

// mtuTo returns how long a packet to dst may be, and whether IPv4 packets have
// to do without DF. It allocates nothing, and is small enough to be part of the
// caller.
func (s *Stack) mtuTo(now time.Duration, dst ip, outside bool) (mtu int, noDF bool) {
	if outside {
		return s.pathMTU(now, dst)
	}
	return s.nic.MTU(), false
}

// pathMTU is mtuTo for a dst that is not on this computer.
func (s *Stack) pathMTU(now time.Duration, dst ip) (mtu int, noDF bool) {
	mtu = s.nic.MTU()
	if path, ok := s.paths.find(now, dst); ok {
		return min(mtu, path.mtu), path.tooLow
	}
	return mtu, false
}

// tooBig is called for an ICMP error that says how long packets to dst may be,
// about one that may well have been sent.
func (s *Stack) tooBig(now time.Duration, dst ip, mtu int) {
	if s.nic.IsLocal(dst.addr()) {
		return // there is no router on the loopback wire
	}
	current, _ := s.mtuTo(now, dst, true)
	s.paths.learn(now, dst, mtu, current)
}
