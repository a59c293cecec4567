package socket

import (
	"net/netip"
	"sync"
	"syscall"

	"example.com/loopback/tcp"
)

// ports keeps who uses which port, for bind's questions: may this address and
// port be taken, and which port is free? Packets are steered by the flowTable
// alone.
type ports struct {
	mu    sync.Mutex
	first uint16
	last  uint16
	users portTable
	// next counts the draws of each local address, so that hosts that draw at
	// the same instant do not race for a common counter (RFC 6056 §3.3.3 has
	// one counter; we keep one for each local address).
	next map[ip]*uint32
	// rest is the counter of addresses beyond maxCounters.
	rest uint32
	// latest is the counter of the address that drew last; nil: none yet.
	latest     *uint32
	latestAddr ip
	// free are portUsers for new ones, by next. Connections that are over hold
	// ports for a minute: so where there are many they come by the dozen.
	free *portUser
}

const (
	maxCounters = 1 << 16
	maxFresh    = 64 // portUsers that are made at once
)

// A portUser counts the sockets that hold a port in the same way. Most ports
// have one.
type portUser struct {
	addr ip
	num  uint16
	how  hold
	n    int32
	next *portUser // in the chain of a portTable
}

// A portTable finds the users of a port number: a hash table that knows that
// ports are drawn one after the other, so that a number is its own hash.
type portTable struct {
	chains []*portUser // as many as a power of two; nil: no users yet
	count  int
}

// first is the first of a chain that the users of port num are in.
func (t *portTable) first(num uint16) *portUser {
	if t.chains == nil {
		return nil
	}
	return t.chains[int(num)&(len(t.chains)-1)]
}

// put enters u.
func (t *portTable) put(u *portUser) {
	if t.count >= len(t.chains) && len(t.chains) < 1<<16 { // with 1<<16 each number has its own
		old := t.chains
		t.chains = make([]*portUser, max(minBuckets, 2*len(old)))
		for _, u := range old {
			for u != nil {
				next := u.next
				t.link(u)
				u = next
			}
		}
	}
	t.link(u)
	t.count++
}

func (t *portTable) link(u *portUser) {
	head := &t.chains[int(u.num)&(len(t.chains)-1)]
	u.next = *head
	*head = u
}

// take removes u.
func (t *portTable) take(u *portUser) {
	at := &t.chains[int(u.num)&(len(t.chains)-1)]
	for *at != u {
		at = &(*at).next
	}
	*at = u.next
	t.count--
}

// hold is how a socket came by its port.
type hold uint8

const (
	holdListening hold = 1 << iota // no second bind to an overlapping address
	holdReuse                      // SO_REUSEADDR, as package net sets it on listeners and they leave to what they accept
	holdAuto                       // drawn by connect: other destinations may share it
	holdOnly6                      // an IPv6 wildcard that leaves IPv4 alone
)

func (h hold) has(one hold) bool { return h&one != 0 }

// holdIf is h if on.
func holdIf(h hold, on bool) hold {
	if on {
		return h
	}
	return 0
}

// A claimAddr says in a byte for which address a connection has claimed its
// port: its own, unless it was bound to all addresses before it was connected.
type claimAddr uint8

const (
	claimOwn claimAddr = iota
	claimAny4
	claimAny6
)

// claimFor is the claimAddr of a socket that is bound to bound.
func claimFor(bound ip) claimAddr {
	switch bound {
	case anyV4:
		return claimAny4
	case anyV6:
		return claimAny6
	}
	return claimOwn
}

// of returns the address, local being the connection's own.
func (a claimAddr) of(local ip) ip {
	switch a {
	case claimAny4:
		return anyV4
	case claimAny6:
		return anyV6
	}
	return local
}

// init sets the range, both ends included, from which ports are drawn.
func (p *ports) init(r [2]uint16) { p.first, p.last = r[0], r[1] }

// overlap reports whether sockets bound to a and b would both be asked for
// some packet. The IPv6 wildcard covers IPv4 as well unless it is only6.
func overlap(a ip, aOnly6 bool, b ip, bOnly6 bool) bool {
	covers := func(wild ip, only6 bool, x ip) bool {
		switch wild {
		case anyV6:
			return !only6 || !x.is4()
		case anyV4:
			return x.is4()
		}
		return wild == x
	}
	return covers(a, aOnly6, b) || covers(b, bOnly6, a)
}

// conflict reports whether a socket that wants addr and num in the manner how
// has to be refused: inet_csk_bind_conflict's rule.
func (p *ports) conflict(addr ip, num uint16, how hold) bool {
	for u := p.users.first(num); u != nil; u = u.next {
		if u.num != num || !overlap(addr, how.has(holdOnly6), u.addr, u.how.has(holdOnly6)) {
			continue
		}
		if !how.has(holdReuse) || !u.how.has(holdReuse) || u.how.has(holdListening) {
			return true
		}
	}
	return false
}

// bind takes port num at addr, or draws one when num is 0.
func (p *ports) bind(addr ip, num uint16, how hold, offset uint32) (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if num != 0 {
		if p.conflict(addr, num, how) {
			return 0, syscall.EADDRINUSE
		}
		p.add(addr, num, how)
		return num, nil
	}
	num, ok := p.draw(addr, offset, func(n uint16) bool {
		return !p.conflict(addr, n, how&holdOnly6)
	})
	if !ok {
		return 0, syscall.EADDRINUSE
	}
	p.add(addr, num, how)
	return num, nil
}

// connect draws a port for a connection from addr: one that nobody has bound
// and for which take (which enters the 4-tuple into the demultiplexer) succeeds.
func (p *ports) connect(addr ip, offset uint32, take func(num uint16) bool) (uint16, error) {
	p.mu.Lock()
	num, ok := p.draw(addr, offset, func(n uint16) bool {
		return p.onlyAuto(n) && take(n)
	})
	if ok {
		p.add(addr, num, holdAuto)
	}
	p.mu.Unlock()
	if !ok {
		return 0, syscall.EADDRNOTAVAIL
	}
	return num, nil
}

// onlyAuto reports whether connect may draw port num too.
func (p *ports) onlyAuto(num uint16) bool {
	for u := p.users.first(num); u != nil; u = u.next {
		if u.num == num && !u.how.has(holdAuto) {
			return false
		}
	}
	return true
}

// draw tries the ephemeral ports in the order of RFC 6056's algorithm 3: from
// a start that depends on the destination by a keyed hash, onwards by one at
// every draw.
func (p *ports) draw(addr ip, offset uint32, ok func(uint16) bool) (uint16, bool) {
	size := uint32(p.last) - uint32(p.first) + 1
	next := p.counter(addr)
	start := *next
	num := (offset + start) % size
	for i := range size {
		if port := p.first + uint16(num); ok(port) {
			*next = start + i + 1
			return port, true
		}
		if num++; num == size {
			num = 0
		}
	}
	return 0, false
}

// counter returns the counter of addr.
func (p *ports) counter(addr ip) *uint32 {
	if p.latest != nil && p.latestAddr == addr {
		return p.latest
	}
	n := p.next[addr]
	if n == nil {
		if len(p.next) >= maxCounters {
			return &p.rest
		}
		if p.next == nil {
			p.next = map[ip]*uint32{}
		}
		n = new(uint32)
		*n = p.rest
		p.next[addr] = n
	}
	p.latest, p.latestAddr = n, addr
	return n
}

// hold notes one more socket that uses a port somebody else has bound: what a
// listener accepted.
func (p *ports) hold(addr ip, num uint16, how hold) {
	p.mu.Lock()
	p.add(addr, num, how)
	p.mu.Unlock()
}

func (p *ports) add(addr ip, num uint16, how hold) {
	for u := p.users.first(num); u != nil; u = u.next {
		if u.num == num && u.addr == addr && u.how == how {
			u.n++
			return
		}
	}
	if p.free == nil {
		more := make([]portUser, min(1+p.users.count/8, maxFresh))
		for i := range more[1:] {
			more[i].next = &more[i+1]
		}
		p.free = &more[0]
	}
	u := p.free
	p.free = u.next
	*u = portUser{addr: addr, num: num, how: how, n: 1}
	p.users.put(u)
}

// release undoes one bind, connect or hold.
func (p *ports) release(addr ip, num uint16, how hold) {
	p.mu.Lock()
	p.drop(addr, num, how)
	p.mu.Unlock()
}

// drop is release with the lock held.
func (p *ports) drop(addr ip, num uint16, how hold) {
	for u := p.users.first(num); u != nil; u = u.next {
		if u.num != num || u.addr != addr || u.how != how {
			continue
		}
		if u.n--; u.n == 0 {
			p.users.take(u)
			u.next, p.free = p.free, u
			if p.users.count == 0 {
				p.free = nil // the memory of many
			}
		}
		return
	}
}

// portOffset is RFC 6056's F: where the search for a port to a destination begins.
func (s *Stack) portOffset(local, remote netip.AddrPort) uint32 {
	return tcp.PortOffset(s.secret, local.Addr(), remote)
}
