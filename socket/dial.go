package socket

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"example.com/loopback/tcp"
)

// A Dialer has the options of a dial, as net.Dialer has. There are no Control
// and ControlContext, since there is no file descriptor to control, and names
// are looked up in the stack's tables, so there is no Resolver.
type Dialer struct {
	// Stack is the computer to dial from.
	Stack *Stack
	// Timeout bounds the dial; 0 means no bound but TCP's own (127 s).
	Timeout time.Duration
	// Deadline is when the dial fails; zero means no deadline.
	Deadline time.Time
	// LocalAddr is the address to dial from, of the network's type; nil lets
	// the stack choose.
	LocalAddr net.Addr
	// DualStack has no effect, as in package net.
	DualStack bool
	// FallbackDelay is how long to wait for the first address of a name before
	// the first one of the other family is tried as well (RFC 6555); 0 means
	// 300 ms, negative tries one after the other.
	FallbackDelay time.Duration
	// KeepAlive is the keep-alive idle time and interval: 0 means 15 s,
	// negative none. KeepAliveConfig.Enable overrides it.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig
	// Cancel ends the dial when it is closed.
	//
	// Deprecated: use DialContext.
	Cancel <-chan struct{}
}

// Dial connects to address on the named network; see DialContext.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to address on the named network: "tcp", "tcp4", "tcp6",
// "udp", "udp4", "udp6", or a raw one such as "ip4:icmp". The meaning of
// network and address, the order in which a name's addresses are tried and the
// errors are those of net.Dialer.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	s := d.Stack
	due := d.due(ctx)
	if d.Cancel != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer d.watch(cancel)()
	}
	addrs, err := s.resolver.dialAddrs(ctx, network, address, d.LocalAddr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Source: nil, Addr: nil, Err: err}
	}
	spec, _ := parseNetwork(network)
	primaries, fallbacks := addrs, []netip.AddrPort(nil)
	if d.FallbackDelay >= 0 && spec.transport == transportTCP && spec.family == 0 {
		primaries, fallbacks = partition(addrs)
	}
	return d.race(ctx, attempt{d: d, network: network, spec: spec, due: due}, primaries, fallbacks)
}

// due is when the dial fails: the earliest of the Dialer's time-out, its
// deadline and the context's.
func (d *Dialer) due(ctx context.Context) time.Duration {
	due, _ := d.Stack.until(d.Deadline)
	if d.Timeout != 0 {
		due = min(due, max(d.Stack.now()+d.Timeout, 0))
	}
	if t, ok := ctx.Deadline(); ok {
		end, _ := d.Stack.until(t)
		due = min(due, end)
	}
	return due
}

// watch cancels when the user closes Cancel; the function it returns ends that.
func (d *Dialer) watch(cancel context.CancelFunc) (stop func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-d.Cancel:
			cancel()
		case <-done:
		}
	}()
	return func() { close(done) }
}

// partition separates the addresses of the first one's family from the others.
func partition(addrs []netip.AddrPort) (primaries, fallbacks []netip.AddrPort) {
	for _, a := range addrs {
		if a.Addr().Is4() == addrs[0].Addr().Is4() {
			primaries = append(primaries, a)
		} else {
			fallbacks = append(fallbacks, a)
		}
	}
	return primaries, fallbacks
}

// An attempt is what all addresses of one dial have in common.
type attempt struct {
	d       *Dialer
	network string
	spec    netSpec
	due     time.Duration
}

// race tries the primaries, and the fallbacks as well when the primaries have
// neither succeeded nor failed after FallbackDelay. It is package net's
// dialParallel without its goroutines: the first list is simply given up for
// the second while that one is tried, and resumed should that fail.
func (d *Dialer) race(ctx context.Context, at attempt, primaries, fallbacks []netip.AddrPort) (net.Conn, error) {
	if len(fallbacks) == 0 {
		return at.serial(ctx, primaries)
	}
	delay := d.FallbackDelay
	if delay == 0 {
		delay = 300 * time.Millisecond
	}
	first := at
	first.due = min(at.due, d.Stack.now()+delay)
	c, err := first.serial(ctx, primaries)
	if err == nil {
		return c, nil
	}
	late := first.due < at.due && isTimeout(err)
	c, err2 := at.serial(ctx, fallbacks)
	switch {
	case err2 == nil:
		return c, nil
	case late && ctx.Err() == nil && !d.Stack.expired(at.due):
		return at.serial(ctx, primaries)
	}
	return nil, err // the error of the first address, as package net has it
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

// serial tries one address after the other, each with its share of the time
// that is left, and returns the first error when all fail.
func (at *attempt) serial(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	var first error
	for i, a := range addrs {
		if err := ctx.Err(); err != nil {
			return nil, at.opError(nil, a, at.d.Stack.errs().dialContext(err))
		}
		c, err := at.one(ctx, a, at.share(len(addrs)-i))
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = &net.OpError{Op: "dial", Net: at.network, Err: at.d.Stack.errs().missingAddress}
	}
	return nil, first
}

// share divides the time left among n addresses, but gives each two seconds if
// there are as many.
func (at *attempt) share(n int) time.Duration {
	if at.due == never || n <= 1 {
		return at.due
	}
	now := at.d.Stack.now()
	left := at.due - now
	part := left / time.Duration(n)
	return now + max(part, min(left, 2*time.Second))
}

// one dials a single address.
func (at *attempt) one(ctx context.Context, to netip.AddrPort, due time.Duration) (net.Conn, error) {
	s := at.d.Stack
	var local inetAddr
	if at.d.LocalAddr != nil {
		local, _ = inetOf(at.spec, at.d.LocalAddr)
	}
	haveLocal := at.d.LocalAddr != nil
	remote := inetOfAddrPort(to)
	var c net.Conn
	var err error
	switch at.spec.transport {
	case transportTCP:
		c, err = conn(s.dialTCP(ctx, at.spec, local, remote, haveLocal, due, keepAliveConfig(at.d.KeepAlive, at.d.KeepAliveConfig)))
	case transportUDP:
		c, err = conn(s.dialUDP(at.spec, local, remote, haveLocal))
	default:
		c, err = conn(s.dialIP(at.network, at.spec, local, remote, haveLocal))
	}
	if err != nil {
		return nil, at.opError(at.d.LocalAddr, to, err)
	}
	return c, nil
}

// conn keeps a nil pointer from becoming an interface that is not nil.
func conn[C net.Conn](c C, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (at *attempt) opError(source net.Addr, to netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: at.network, Source: source, Addr: dialOpAddr(at.spec, to), Err: err}
}

// dialOpAddr is the address a dial error shows.
func dialOpAddr(spec netSpec, to netip.AddrPort) net.Addr { return listenOpAddr(spec, to) }

// dialTCP opens a connection and waits for it. The error is what package net
// puts in its *net.OpError.
func (s *Stack) dialTCP(ctx context.Context, spec netSpec, local, remote inetAddr, haveLocal bool, due time.Duration, ka net.KeepAliveConfig) (*TCPConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.errs().dialContext(err)
	}
	if s.expired(due) {
		return nil, s.errs().dialContext(context.DeadlineExceeded)
	}
	if s.closed.Load() {
		return nil, net.ErrClosed
	}
	e, err := dialEndpoints(spec, local, remote, haveLocal)
	if err != nil {
		return nil, err
	}
	nw := networkOf(spec)
	if e.family == 6 {
		nw |= netWide
	}
	c := s.newTCPConn(nw)
	if err := c.open(e, false, &ka); err != nil {
		return nil, err
	}
	if err := c.await(ctx, due); err != nil {
		c.giveUp()
		return nil, err
	}
	return c, nil
}

// open binds c, enters it, and sends the SYN.
//
// bound says that e.local's port is held already, as c.how says. ka, if there is one,
// is what is to be set on a connection of package net's.
func (c *TCPConn) open(e endpoints, bound bool, ka *net.KeepAliveConfig) error {
	s := c.s
	local, err := s.bindable(e.local.Addr())
	if err != nil {
		return os.NewSyscallError("bind", err)
	}
	now := s.now()
	c.lock()
	held := e.local.Port()
	if !bound {
		if held, err = c.bindLocal(e, local); err != nil {
			c.mu.Unlock()
			return os.NewSyscallError("bind", err)
		}
	}
	r, err := route{}, e.connectErr
	if err == nil {
		r, err = s.routeFrom(e.local.Addr(), e.remote.Addr())
		if err == nil && s.ofMany(r, e.remote.Addr()) {
			err = syscall.ENETUNREACH // RFC 9293 §3.9.2.3, MUST-46: "reject ... a broadcast or multicast address"
		}
		if err != nil {
			err = os.NewSyscallError("connect", err)
		}
	}
	if err == nil {
		c.outside = r.outside
		err = c.claim(e, r, held, now)
	}
	if err != nil {
		if held != 0 && !bound {
			s.tcpPorts.release(local, held, c.how)
		}
		c.detached = true
		c.mu.Unlock()
		return err
	}
	var params tcp.Params
	c.params(now, &params)
	if e := c.earlyData(); e != nil {
		params.FastOpen = c.fastOpenAsk(e.data, e.noCookie)
	}
	c.tcb.Connect(now, &params)
	if ka != nil {
		c.setDefaults(now, *ka)
	}
	if e := c.earlyData(); e != nil {
		e.sent = params.FastOpen.Sent
	} else {
		c.opening = nil
	}
	c.deliver(now)
	return nil
}

// bindLocal takes the address that the user asked for, if any: bind, before
// connect. Without a port in it one is drawn, which is then the socket's alone,
// whereas those that connect draws may serve several destinations. It returns 0
// when the choice is left to claim.
func (c *TCPConn) bindLocal(e endpoints, local ip) (uint16, error) {
	if !e.bind {
		return 0, nil
	}
	return c.s.tcpPorts.bind(local, e.local.Port(), c.how, c.s.portOffset(e.local, e.remote))
}

// claim enters the connection under its four names, drawing a port if none is
// held; a connection in TIME-WAIT that can be told apart by timestamps makes way.
func (c *TCPConn) claim(e endpoints, r route, held uint16, now time.Duration) error {
	s := c.s
	key := flowKey{local: ipOf(r.src), remote: ipOf(e.remote.Addr()), rport: e.remote.Port()}
	queue := s.steer()
	take := func(num uint16) bool {
		c.node.key = key
		c.node.key.lport = num
		c.node.hash = c.node.key.hash(protoTCP)
		c.node.queue = queue
		if c.outside { // answers come in on the queue of the hash
			c.node.queue = uint8(s.queueOf(c.node.hash))
		}
		return s.timeWaits.admit(&c.node) || s.timeWaits.giveWay(c, now)
	}
	if held != 0 {
		if !take(held) {
			return os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)
		}
	} else {
		local := netip.AddrPortFrom(r.src, 0)
		c.how = holdAuto
		if _, err := s.tcpPorts.connect(key.local, s.portOffset(local, e.remote), take); err != nil {
			return os.NewSyscallError("connect", err)
		}
	}
	if held != 0 {
		bound, _ := s.bindable(e.local.Addr())
		c.claimed = claimFor(bound)
	}
	c.ipID = s.firstIPID(&c.node.key)
	return nil
}

// await waits until the handshake has succeeded or failed.
func (c *TCPConn) await(ctx context.Context, due time.Duration) error {
	c.lock()
	connected := c.connected // as it is where the other end is on this computer, and no link takes its time
	c.mu.Unlock()
	if connected {
		return nil
	}
	if ctx.Done() != nil {
		defer onDone(ctx, func() {
			c.lock()
			c.wr.wakeAll()
			c.mu.Unlock()
		})()
	}
	c.lock()
	defer c.mu.Unlock()
	c.setDue(never, due)
	defer c.setDue(never, never)
	for {
		switch err := ctx.Err(); {
		case c.connected:
			return nil
		case c.soErr != 0:
			return os.NewSyscallError("connect", c.takeError())
		case err != nil:
			return c.s.errs().dialContext(err)
		case c.s.expired(due):
			return c.s.errs().dialContext(context.DeadlineExceeded)
		case c.closed || c.detached:
			return net.ErrClosed // by Stack.Close
		}
		c.waitWrite()
	}
}

// giveUp ends a connection whose dial failed.
func (c *TCPConn) giveUp() {
	c.lock()
	c.shut()
	now := c.s.now()
	if !c.detached {
		c.tcb.Abort(now)
		c.settleUser(now).run()
	}
	c.detach()
	q := int(c.node.queue)
	c.mu.Unlock()
	c.s.kick(q, now)
}

// Dial connects to address on the named network, as net.Dial does.
func (s *Stack) Dial(network, address string) (net.Conn, error) {
	d := Dialer{Stack: s}
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout is Dial with a time-out.
func (s *Stack) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	d := Dialer{Stack: s, Timeout: timeout}
	return d.DialContext(context.Background(), network, address)
}

// DialContext is Dial with a context; it fits http.Transport.DialContext.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d := Dialer{Stack: s}
	return d.DialContext(ctx, network, address)
}

// DialTCP is Dial for TCP networks, as net.DialTCP: a nil laddr lets the stack
// choose, a raddr without an IP means this computer.
func (s *Stack) DialTCP(network string, laddr, raddr *net.TCPAddr) (*TCPConn, error) {
	spec, err := parseNetwork(network)
	switch {
	case err != nil || spec.transport != transportTCP:
		err = net.UnknownNetworkError(network)
	case raddr == nil:
		err = s.errs().missingAddress
	default:
		var c *TCPConn
		ka := keepAliveConfig(0, net.KeepAliveConfig{})
		if c, err = s.dialTCP(context.Background(), spec, inetOfTCP(laddr), inetOfTCP(raddr), laddr != nil, never, ka); err == nil {
			return c, nil
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Source: opAddr(laddr), Addr: opAddr(raddr), Err: err}
}

// DialUDP is Dial for UDP networks, as net.DialUDP: a nil laddr lets the stack
// choose, a raddr without an IP means this computer.
func (s *Stack) DialUDP(network string, laddr, raddr *net.UDPAddr) (*UDPConn, error) {
	spec, err := parseNetwork(network)
	switch {
	case err != nil || spec.transport != transportUDP:
		err = net.UnknownNetworkError(network)
	case raddr == nil:
		err = s.errs().missingAddress
	default:
		var u *UDPConn
		if u, err = s.dialUDP(spec, inetOfUDP(laddr), inetOfUDP(raddr), laddr != nil); err == nil {
			return u, nil
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Source: opAddr(laddr), Addr: opAddr(raddr), Err: err}
}
