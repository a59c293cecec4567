package socket

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// TCPListener waits for connections: a [net.Listener] with the methods of
// *net.TCPListener. All methods may be called concurrently.
type TCPListener struct {
	s    *Stack
	mu   sync.Mutex
	node flowNode[tcpEnd]

	// queue are the connections whose handshake is done, in that order, half
	// those whose handshake is not: both bounded by backlog.
	queue   acceptQueue
	half    []*TCPConn
	backlog int

	acc       waitq
	due       time.Duration // deadline of Accept
	timer     timer
	keepAlive net.KeepAliveConfig
	how       hold
	network   network
	laddr     *net.TCPAddr
	wide      bool          // an IPv6 socket
	lastFull  time.Duration // when the half-open queue last was full; never: not yet
	template  *TCPConn      // whose options accepted connections inherit; nil: none set
	closed    bool

	// Fast Open: how many connections may be pending (0: not offered), how many are, until when those that were reset
	// count too, and the options.
	foLimit, foPending int
	foReset            []time.Duration
	foKeys             [][16]byte
	foNoCookie         bool
}

// receive is state LISTEN (RFC 9293 §3.10.7.2).
func (l *TCPListener) receive(r *receiver, p *device.Packet, seg *tcp.Segment, flow *flowKey) {
	switch {
	case seg.Flags&tcp.RST != 0: // first, check for a RST: ignored
		r.s.drop(p, DropTCPListen)
	case seg.Flags&tcp.ACK != 0: // second, check for an ACK: there is nothing to acknowledge, but for a cookie
		if seg.Flags&tcp.SYN == 0 && l.openCookie(r, p, seg, flow) {
			return
		}
		r.s.noSocket(r, p, seg)
	case seg.Flags&tcp.SYN != 0 && seg.Flags&tcp.FIN == 0: // third, check for a SYN
		l.open(r, p, seg, flow, 0)
	default: // fourth, other: drop (SYN+FIN too, as Linux does)
		r.s.drop(p, DropTCPListen)
	}
}

// open answers a SYN: with a half-open connection, a cookie when there are too
// many of those, or not at all when nobody accepts what is there already. A
// hint other than 0 is an initial sequence number beyond those of the
// connection that had the same name before.
func (l *TCPListener) open(r *receiver, p *device.Packet, seg *tcp.Segment, flow *flowKey, hint tcp.Seq) {
	s := l.s
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		s.noSocket(r, p, seg)
		return
	case l.full():
		l.mu.Unlock()
		s.tcpStats.ListenOverflows.Add(1)
		s.tcpStats.ListenDrops.Add(1)
		s.drop(p, DropTCPAcceptQueue)
		return
	case len(l.half) > l.backlog, s.cfg.SynCookies == tcp.Always && hint == 0:
		l.lastFull = r.now
		l.mu.Unlock()
		l.sendCookie(r, p, seg, flow)
		return
	}
	c := l.child(r, flow)
	l.half = append(l.half, c)
	fast := l.fastOpenAnswer(r.now, seg, flow)
	if fast != nil && fast.Accept {
		l.foPending++
	}
	l.mu.Unlock()

	c.lock()
	if hint != 0 {
		c.needOpening().prior = &tcp.Params{ISS: hint}
	}
	var params tcp.Params
	c.params(r.now, &params)
	c.opening = nil
	params.FastOpen = fast
	c.tcb.Passive(r.now, &params, seg)
	l.admit(c, r, p)
}

// child makes the socket of a connection that came in to r as flow says.
func (l *TCPListener) child(r *receiver, flow *flowKey) *TCPConn {
	c := l.s.newTCPConn(l.network)
	c.ln = l
	if l.wide {
		c.network |= netWide
	}
	c.node.key, c.node.hash, c.node.queue = *flow, r.hash, uint8(r.queue)
	c.how = holdReuse
	c.outside = !l.s.nic.IsLocal(flow.remote.addr())
	if l.template != nil {
		c.tcb.Inherit(&l.template.tcb)
		c.linger, c.tos = l.template.linger, l.template.tos
	}
	return c
}

// admit enters c, whose TCB has seen its first segment and whose lock is
// held, and sends the answer.
func (l *TCPListener) admit(c *TCPConn, r *receiver, p *device.Packet) {
	s := l.s
	if c.detached || !s.timeWaits.admit(&c.node) {
		// The listener was closed just now, or two SYNs of one flow came at the
		// same time on different queues.
		c.detached = true
		c.shut()
		c.tcb.Release()
		l.gone(c)
		c.ln = nil
		c.mu.Unlock()
		s.drop(p, DropTCPListen)
		return
	}
	s.tcpPorts.hold(c.node.key.local, c.node.key.lport, c.how)
	c.ipID = s.firstIPID(&c.node.key)
	c.node.baton = true
	w := c.settle(r.now)
	c.node.baton = false
	c.mu.Unlock()
	r.deliver()
	s.nic.ReleaseHeld(r.queue, p)
	w.run()
}

// sendCookie answers a SYN without keeping anything of it (RFC 4987 §3.6).
func (l *TCPListener) sendCookie(r *receiver, p *device.Packet, seg *tcp.Segment, flow *flowKey) {
	s := l.s
	if s.cfg.SynCookies == tcp.Off {
		s.tcpStats.ListenDrops.Add(1)
		s.drop(p, DropTCPSynQueue)
		return
	}
	local, remote := flow.localAddr(), flow.remoteAddr()
	params := l.cookieParams(flow)
	iss := tcp.MakeCookie(s.secret, r.now, local, remote, seg)
	var out tcp.Segment
	tcp.CookieSYNACK(&params, seg, iss, uint32(r.now/time.Millisecond), &out)
	s.tcpStats.TCPReqQFullDoCookies.Add(1)
	r.sendSegment(flow, &out)
	r.deliver()
	p.Release()
}

// cookieParams are the parameters of a connection that does not exist.
func (l *TCPListener) cookieParams(flow *flowKey) (p tcp.Params) {
	c := TCPConn{s: l.s}
	c.node.key = *flow
	c.params(0, &p)
	return p
}

// cookieLifetime is how long after the half-open queue was full an ACK may
// bring back a cookie.
const cookieLifetime = 128 * time.Second

// openCookie accepts an ACK that brings back a cookie and reports whether it did.
func (l *TCPListener) openCookie(r *receiver, p *device.Packet, seg *tcp.Segment, flow *flowKey) bool {
	s := l.s
	l.mu.Lock()
	recent := l.lastFull != never && r.now-l.lastFull < cookieLifetime
	full, closed := l.full(), l.closed
	l.mu.Unlock()
	if !recent || closed {
		return false
	}
	params := l.cookieParams(flow)
	state, ok := tcp.CheckCookie(s.secret, r.now, flow.localAddr(), flow.remoteAddr(), seg, params.TSOffset)
	if !ok {
		s.tcpStats.SyncookiesFailed.Add(1)
		return false
	}
	if full {
		s.tcpStats.ListenOverflows.Add(1)
		s.drop(p, DropTCPAcceptQueue)
		return true
	}
	l.mu.Lock()
	if l.closed { // meanwhile: nobody would look after the connection
		l.mu.Unlock()
		return false
	}
	c := l.child(r, flow)
	l.half = append(l.half, c)
	l.mu.Unlock()
	c.lock()
	params = tcp.Params{}
	c.params(r.now, &params)
	c.tcb.PassiveCookie(r.now, &params, seg, state)
	l.admit(c, r, p)
	return true
}

// full reports whether the accept queue has no room; Linux lets it hold one
// more than the backlog.
func (l *TCPListener) full() bool { return l.queue.len() > l.backlog }

// admits reports whether c may process seg: the ACK that would complete its
// handshake is ignored while the accept queue is full, and comes again. c's
// lock is held.
func (l *TCPListener) admits(c *TCPConn, seg *tcp.Segment) bool {
	if c.tcb.State() != tcp.StateSynReceived || seg.Flags&(tcp.ACK|tcp.RST) != tcp.ACK {
		return true
	}
	l.mu.Lock()
	full := l.full()
	l.mu.Unlock()
	if full {
		l.s.tcpStats.ListenOverflows.Add(1)
	}
	return !full
}

// ready moves c, whose handshake is done, to the accept queue and returns whom
// to wake. c's lock is held.
func (l *TCPListener) ready(c *TCPConn) *waiter {
	var w *waiter
	l.mu.Lock()
	if !l.closed && l.dropHalf(c) {
		l.queue.push(c)
		w = l.acc.waiters()
	}
	l.mu.Unlock()
	return w
}

// gone forgets c when its handshake failed. c's lock is held. A connection
// that was established is accepted all the same, and then says what happened.
func (l *TCPListener) gone(c *TCPConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropHalf(c)
}

func (l *TCPListener) dropHalf(c *TCPConn) bool {
	for i, h := range l.half {
		if h == c {
			l.half = append(l.half[:i], l.half[i+1:]...)
			return true
		}
	}
	return false
}

// Accept waits for the next connection and returns it as a net.Conn; see AcceptTCP.
func (l *TCPListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptTCP waits for the next connection, until the deadline if one is set.
// The connection has TCP_NODELAY set and keep-alive as the ListenConfig says,
// as package net's do. Errors are *net.OpError with Op "accept".
func (l *TCPListener) AcceptTCP() (*TCPConn, error) {
	if !l.ok() {
		return nil, syscall.EINVAL
	}
	c, err := l.next()
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: l.network.String(), Addr: l.laddr, Err: err}
	}
	c.lock()
	c.ln = nil
	c.setDefaults(c.recent(), l.keepAlive) // probes are due by when the peer was last heard
	c.rearm()
	c.mu.Unlock()
	return c, nil
}

func (l *TCPListener) next() (*TCPConn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return nil, net.ErrClosed
		}
		if l.s.expired(l.due) {
			return nil, errDeadline
		}
		if c := l.queue.pop(); c != nil {
			return c, nil
		}
		l.s.arm(&l.timer, l.due)
		l.acc.wait(l.s, &l.mu)
	}
}

func (l *TCPListener) timerKey() *flowKey { return &l.node.key }

func (l *TCPListener) expire(now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer.set = false
	if l.due <= now {
		l.acc.wakeAll()
	} else if l.acc.busy() {
		l.s.arm(&l.timer, l.due)
	}
}

// Addr returns the listener's address, a *net.TCPAddr.
func (l *TCPListener) Addr() net.Addr { return l.laddr }

// ok reports whether l was made by a Stack; the methods of a zero TCPListener
// return EINVAL.
func (l *TCPListener) ok() bool { return l.s != nil }

// SetDeadline bounds Accept calls, pending and future ones; zero means none.
func (l *TCPListener) SetDeadline(t time.Time) error {
	if !l.ok() {
		return syscall.EINVAL
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed // as package net's: not wrapped
	}
	l.due, _ = l.s.until(t)
	l.acc.wakeAll()
	return nil
}

// Close stops listening. Pending Accepts return; connections that nobody
// accepted are reset. Connections that were accepted live on.
func (l *TCPListener) Close() error {
	if !l.ok() {
		return syscall.EINVAL
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return &net.OpError{Op: "close", Net: l.network.String(), Addr: l.laddr, Err: net.ErrClosed}
	}
	l.closed = true
	queue, half := l.queue.takeAll(), l.half
	l.half = nil
	l.s.disarm(&l.timer)
	l.acc.wakeAll()
	l.mu.Unlock()

	l.s.tcp.remove(&l.node)
	l.s.listening.Add(1)
	l.s.tcpPorts.release(l.node.key.local, l.node.key.lport, l.how)
	for _, c := range half {
		c.abandon(true)
	}
	for _, c := range queue {
		c.abandon(false)
	}
	return nil
}

// abandon resets a connection that is not going to be accepted. One whose
// handshake is not done goes without a word.
func (c *TCPConn) abandon(silent bool) {
	now := c.s.now()
	c.lock()
	c.ln = nil
	c.shut()
	if !silent || c.tcb.State() != tcp.StateSynReceived {
		c.tcb.Abort(now)
		c.settle(now).run()
	}
	c.detach()
	c.mu.Unlock()
	c.s.kick(int(c.node.queue), now)
}

// File is refused: there is no file descriptor behind a simulated listener.
func (l *TCPListener) File() (*os.File, error) {
	return nil, &net.OpError{Op: "file", Net: l.network.String(), Addr: l.laddr, Err: errNoFile}
}

// bindTCP makes a listener bound as b says; the error is an errno of bind.
func (s *Stack) bindTCP(nw network, b binding) (*TCPListener, error) {
	local, err := s.bindable(b.addr.Addr())
	if err != nil {
		return nil, err
	}
	l := &TCPListener{
		s: s, network: nw, backlog: s.cfg.SoMaxConn, due: never, lastFull: never,
		how: holdListening | holdReuse | holdIf(holdOnly6, b.v6only),
	}
	l.timer.owner = l
	l.node.val = l
	num, err := s.tcpPorts.bind(local, b.addr.Port(), l.how, s.portOffset(b.addr, netip.AddrPort{}))
	if err != nil {
		return nil, err
	}
	l.node.key = flowKey{local: local, lport: num}
	l.wide = b.family == 6
	l.laddr = tcpAddr(netip.AddrPortFrom(b.addr.Addr(), num), l.wide)
	s.tcp.insert(&l.node)
	s.listening.Add(1)
	return l, nil
}
