package socket

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/ipv6"
)

// IPConn is a raw IP socket: it sends and receives the payloads of one IP
// protocol, a [net.PacketConn] with the methods of *net.IPConn. Pings are made
// with ListenPacket("ip4:icmp", …). All methods may be called concurrently.
type IPConn struct {
	s      *Stack
	mu     sync.Mutex
	proto  uint8
	family int
	local  ip // any, or the address packets must be for
	remote ip // of a connected socket; else any
	queue  []rawPacket
	bytes  int
	limit  int // of bytes

	rd         waitq
	rdue, wdue time.Duration
	timer      timer
	network    string
	laddr      *net.IPAddr
	raddr      *net.IPAddr
	ipID       uint16
	closed     bool
}

// A rawPacket is what a raw socket received: the payload, copied, as several
// sockets may want it.
type rawPacket struct {
	b    []byte
	from netip.Addr
}

// rawTable lists the raw sockets. The stack looks at it for every packet, so
// an empty one costs one load.
type rawTable struct {
	n    atomic.Int32
	mu   sync.Mutex
	list []*IPConn
}

func (t *rawTable) add(c *IPConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list[:len(t.list):len(t.list)], c)
	t.n.Store(int32(len(t.list)))
}

func (t *rawTable) remove(c *IPConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rest []*IPConn
	for _, o := range t.list {
		if o != c {
			rest = append(rest, o)
		}
	}
	t.list = rest
	t.n.Store(int32(len(rest)))
}

// all returns the sockets; the slice is not changed afterwards.
func (t *rawTable) all() []*IPConn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list
}

func (t *rawTable) closeAll() {
	for _, c := range t.all() {
		c.close()
	}
}

// wants reports whether some raw socket takes packets of proto to dst.
func (t *rawTable) wants(proto uint8, dst ip) bool {
	if t.n.Load() == 0 {
		return false
	}
	for _, c := range t.all() {
		if c.proto == proto && (c.family == 4) == dst.is4() {
			return true
		}
	}
	return false
}

// copy gives every raw socket that wants it a copy of the packet's payload.
func (t *rawTable) copy(p *device.Packet, d *datagram) {
	for _, c := range t.all() {
		if c.proto == d.proto && (c.family == 4) == d.dst.is4() {
			c.receive(p, d)
		}
	}
}

func (c *IPConn) receive(p *device.Packet, d *datagram) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bound := c.local != anyV4 && c.local != anyV6
	connected := c.remote != anyV4 && c.remote != anyV6
	if c.closed || bound && c.local != d.dst || connected && c.remote != d.src {
		return
	}
	if c.bytes+d.length+dgramOverhead > c.limit {
		c.s.count.rawDrops.Add(1)
		return
	}
	b := make([]byte, 0, d.length)
	b = append(append(append(b, d.head...), p.Frags[0].B...), p.Frags[1].B...)
	c.queue = append(c.queue, rawPacket{b, d.src.addr()})
	c.bytes += len(b) + dgramOverhead
	if w := c.rd.waiters(); w != nil {
		w.signal()
	}
}

// newIPConn makes a raw socket of the given protocol.
func (s *Stack) newIPConn(network string, proto, family int, local, remote netip.Addr) (*IPConn, error) {
	switch {
	case proto == 0:
		return nil, os.NewSyscallError("socket", syscall.EPROTONOSUPPORT)
	case proto < 0 || proto > 255:
		return nil, os.NewSyscallError("socket", syscall.EINVAL)
	}
	network, _, _ = strings.Cut(network, ":") // errors of package net show the family only
	addr, err := s.bindable(local)
	if err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if family == 4 && addr == anyV6 {
		addr = anyV4
	}
	c := &IPConn{s: s, proto: uint8(proto), family: family, local: addr, remote: anyV6, rdue: never, wdue: never, network: network, limit: s.cfg.UDPRecvBuf}
	c.timer.owner = c
	c.laddr = &net.IPAddr{IP: local.AsSlice()}
	if remote.IsValid() {
		c.remote = ipOf(remote)
		c.raddr = &net.IPAddr{IP: remote.AsSlice()}
		r, err := s.routeFrom(local, remote)
		if err != nil {
			return nil, os.NewSyscallError("connect", err)
		}
		c.local = ipOf(r.src) // Linux: connect binds
		c.laddr = &net.IPAddr{IP: r.src.AsSlice()}
	}
	s.raw.add(c)
	return c, nil
}

// ReadFromIP reads the payload of the next packet and says who sent it. What
// does not fit b is lost.
func (c *IPConn) ReadFromIP(b []byte) (int, *net.IPAddr, error) {
	p, err := c.next()
	if err != nil {
		return 0, nil, c.opError("read", err)
	}
	return copy(b, p.b), &net.IPAddr{IP: p.from.AsSlice()}, nil
}

// ReadFrom implements net.PacketConn; see ReadFromIP.
func (c *IPConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, a, err := c.ReadFromIP(b)
	if a == nil {
		return n, nil, err
	}
	return n, a, err
}

// Read reads the payload of the next packet.
func (c *IPConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFromIP(b)
	return n, err
}

// tryRecv is recvfrom without waiting, for Socket.
func (c *IPConn) tryRecv(b []byte) (int, netip.Addr, error) {
	c.mu.Lock()
	waiting := len(c.queue) == 0
	c.mu.Unlock()
	if waiting {
		return 0, netip.Addr{}, syscall.EAGAIN
	}
	p, err := c.next()
	return copy(b, p.b), p.from, err
}

func (c *IPConn) next() (rawPacket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return rawPacket{}, net.ErrClosed
		case c.s.expired(c.rdue):
			return rawPacket{}, errDeadline
		case len(c.queue) > 0:
			p := c.queue[0]
			c.queue = c.queue[1:]
			c.bytes -= len(p.b) + dgramOverhead
			return p, nil
		}
		c.s.arm(&c.timer, c.rdue)
		c.rd.wait(c.s, &c.mu)
	}
}

// WriteToIP sends b as the payload of one packet. For ICMPv6 the checksum is
// filled in, as RFC 3542 §3.1 has it; for all else that is the caller's.
func (c *IPConn) WriteToIP(b []byte, addr *net.IPAddr) (int, error) {
	switch {
	case c.raddr != nil && addr == nil:
		return 0, c.opErrorTo("write", nil, net.ErrWriteToConnected)
	case c.raddr != nil:
		return 0, c.opErrorTo("write", addr, net.ErrWriteToConnected)
	case addr == nil:
		return 0, c.opErrorTo("write", nil, c.s.errs().missingAddress)
	}
	to, err := inetOfIP(addr).sockaddr(c.family)
	if err == nil {
		err = c.send(b, to.Addr())
	}
	if err != nil {
		return 0, c.opErrorTo("write", addr, err)
	}
	return len(b), nil
}

// WriteTo implements net.PacketConn; see WriteToIP.
func (c *IPConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	a, ok := addr.(*net.IPAddr)
	if !ok {
		return 0, c.opErrorTo("write", addr, syscall.EINVAL)
	}
	return c.WriteToIP(b, a)
}

// Write sends b to the peer of a connected socket.
func (c *IPConn) Write(b []byte) (int, error) {
	if c.raddr == nil {
		return 0, c.opError("write", os.NewSyscallError("write", syscall.EDESTADDRREQ))
	}
	if err := c.send(b, c.remote.addr()); err != nil {
		return 0, c.opError("write", err)
	}
	return len(b), nil
}

func (c *IPConn) send(b []byte, to netip.Addr) error {
	c.mu.Lock()
	closed, late, id := c.closed, c.s.expired(c.wdue), c.ipID
	c.ipID++
	c.mu.Unlock()
	switch {
	case closed:
		return net.ErrClosed
	case late:
		return errDeadline
	}
	from := netip.Addr{}
	if c.local != anyV4 && c.local != anyV6 {
		from = c.local.addr()
	}
	to = thisComputer(c.anyOr(from), to)
	r, err := c.s.routeFrom(from, to)
	if to.Is4() != (c.family == 4) {
		err = syscall.ENETUNREACH // a raw IPv6 socket has no IPv4-mapped addresses
	}
	if err != nil {
		return os.NewSyscallError("sendto", err)
	}
	limit := ipv6.MaxPayloadLen
	if c.family == 4 {
		limit = ipv4.MaxLen - ipv4.MinHeaderLen
	}
	if len(b) > limit {
		return os.NewSyscallError("sendto", syscall.EMSGSIZE)
	}
	k := flowKey{local: ipOf(r.src), remote: ipOf(to)}
	now := c.s.now()
	hash := c.s.sendRaw(now, &k, c.proto, 0, b, id, r.outside)
	c.s.kick(c.s.queueOf(hash), now)
	return nil
}

// anyOr is local, or the unspecified address of the socket's family.
func (c *IPConn) anyOr(local netip.Addr) netip.Addr {
	switch {
	case local.IsValid():
		return local
	case c.family == 4:
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// sendRaw sends b as the payload of a packet of the given protocol, in
// fragments if need be, and returns its flow hash.
func (s *Stack) sendRaw(now time.Duration, k *flowKey, proto, tos uint8, b []byte, id uint16, outside bool) uint32 {
	hash := k.hash(proto)
	p := s.pool.NewPacket()
	p.Hash = hash
	s.attach(p, b)
	if proto == protoICMPv6 && len(b) >= icmpCsumOffset+2 {
		m := p.Frags[0].B
		m[icmpCsumOffset], m[icmpCsumOffset+1] = 0, 0
		c := ^checksum.Fold(checksum.Sum(m, checksum.Pseudo(k.local.addr(), k.remote.addr(), proto, len(m))))
		m[icmpCsumOffset], m[icmpCsumOffset+1] = byte(c>>8), byte(c)
	}
	hlen := ipv6.HeaderLen
	if k.remote.is4() {
		hlen = ipv4.MinHeaderLen
	}
	if mtu, _ := s.mtuTo(now, k.remote, outside); hlen+len(b) > mtu {
		s.sendFragments(now, k, proto, tos, p, hash, id, outside)
		return hash
	}
	if outside {
		p.Flags |= device.FlagOutside
	}
	s.ipBehind(p.SetHead(hlen), k, k.sum(), proto, tos, id, 0, len(b))
	s.send(now, p)
	return hash
}

func (c *IPConn) timerKey() *flowKey { return &flowKey{local: c.local, remote: c.remote} }

func (c *IPConn) expire(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.set = false
	if c.rdue <= now {
		c.rd.wakeAll()
	} else if c.rd.busy() {
		c.s.arm(&c.timer, c.rdue)
	}
}

// LocalAddr returns the local address, a *net.IPAddr.
func (c *IPConn) LocalAddr() net.Addr { return c.laddr }

// RemoteAddr returns the peer's address, nil for an unconnected socket.
func (c *IPConn) RemoteAddr() net.Addr {
	if c.raddr == nil {
		return nil
	}
	return c.raddr
}

// SetDeadline sets the read and the write deadline; zero means none.
func (c *IPConn) SetDeadline(t time.Time) error { return c.setDeadline(t, true, true) }

// SetReadDeadline bounds reads; zero means none.
func (c *IPConn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, true, false) }

// SetWriteDeadline bounds writes, which never wait; zero means none.
func (c *IPConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, false, true) }

func (c *IPConn) setDeadline(t time.Time, read, write bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.setError(net.ErrClosed)
	}
	due, _ := c.s.until(t)
	if read {
		c.rdue = due
		c.rd.wakeAll()
	}
	if write {
		c.wdue = due
	}
	return nil
}

// Close closes the socket. A second Close returns net.ErrClosed.
func (c *IPConn) Close() error {
	if !c.close() {
		return c.opError("close", net.ErrClosed)
	}
	return nil
}

func (c *IPConn) close() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed = true
	c.queue = nil
	c.s.raw.remove(c)
	c.s.disarm(&c.timer)
	c.rd.wakeAll()
	return true
}

// SetReadBuffer sets SO_RCVBUF in bytes: how much may wait to be read. Like
// Linux, twice that is reserved.
func (c *IPConn) SetReadBuffer(bytes int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return c.setError(net.ErrClosed)
	case bytes < 0:
		return c.setError(errInvalidOption)
	}
	c.limit = max(2*bytes, minUDPRecvBuf)
	return nil
}

// SetWriteBuffer is accepted and has no effect: a packet is on the ring when
// Write returns.
func (c *IPConn) SetWriteBuffer(bytes int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return c.setError(net.ErrClosed)
	case bytes < 0:
		return c.setError(errInvalidOption)
	}
	return nil
}

// setError is the error of a failed option, which has one address only.
func (c *IPConn) setError(err error) error {
	return &net.OpError{Op: "set", Net: c.network, Addr: c.laddr, Err: err}
}

func (c *IPConn) opError(op string, err error) error {
	var addr net.Addr
	if c.raddr != nil {
		addr = c.raddr
	}
	return c.opErrorTo(op, addr, err)
}

func (c *IPConn) opErrorTo(op string, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: c.network, Source: c.laddr, Addr: addr, Err: err}
}
