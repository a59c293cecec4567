package socket

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// tcpEnd is what the demultiplexer finds for a TCP packet: a connection or a
// listener. What is left of connections in TIME-WAIT is in a table of its own.
type tcpEnd interface {
	// receive handles one segment, p being its packet, which it takes over.
	// flow names the receiver as the packet does.
	receive(r *receiver, p *device.Packet, seg *tcp.Segment, flow *flowKey)
	// timerKey is its name, for a stable order.
	timerKey() *flowKey
}

// TCPConn is a TCP connection, one end of it: a [net.Conn] with the methods of
// *net.TCPConn. All methods may be called concurrently.
//
// It is also the socket itself: the TCB under its lock, its place in the
// demultiplexer, its timer. Nobody ever holds the locks of two of them.
//
// It is kept small, for those who open a million of them: what most connections
// do not need most of the time is in memory of its own. The order is that of use.
type TCPConn struct {
	node flowNode[tcpEnd] // its key is what the connection is called

	s       *Stack
	rd, wr  waitq          // readers; writers, dialers and lingering closers
	ln      *TCPListener   // while it waits to be accepted
	pending *device.Packet // cut from the TCB when the TX ring was full
	due     *dues          // until when the user's calls may wait; nil: for ever
	timer   timer

	opening   *opening    // what only opening it needs; nil: nothing
	addrs     *tcpAddrs   // made when first asked for
	linger    int32       // seconds; -1: the default
	bounded   atomic.Bool // the user has set a deadline, which may have passed, or closed it; changed with the lock held
	connected bool        // the handshake is done
	how       hold        // its claim on the local port
	claimed   claimAddr   // the address how was claimed for
	network   network     // what it was dialled or listened as, for errors, and netWide
	_         [4]byte

	// What each packet of a dialogue writes to begins a cache line here, and goes on in the TCB (TestLinesApart).
	mu    sync.Mutex
	clock time.Duration // the latest time the TCB was told; see at
	burst int32         // bytes written since the writer last let others run
	ipID  uint16        // next IP identification

	steady   bool      // a dialogue is under way; see lock
	detached bool      // out of the demultiplexer
	closed   bool      // by the user
	writing  bool      // a Write is under way; others wait for it
	wshut    bool      // CloseWrite was called
	rpast    bool      // the read deadline has passed: reads need not ask the clock
	stalled  bool      // on the stack's list of those that wait for ring room
	outside  bool      // the peer is beyond the open wire
	soErr    tcp.Error // told to the next caller, once (Linux's sk_err)
	tos      uint8     // IP_TOS, IPV6_TCLASS: without ECN

	tcb tcp.TCB
}

// dues are the deadlines of a connection that has some.
type dues struct {
	read, write time.Duration // set by the user; never: none
	turn        time.Duration // when the next Read has its turn; see awaitTurn
	_           [40]byte      // a cache line, so that connections on several processors do not share one
}

// opening is what some connections bring along to be opened with.
type opening struct {
	early *earlyData  // to be sent with the SYN (Fast Open); nil: nothing
	prior *tcp.Params // what an earlier connection of this name left; nil: nothing
}

// tcpAddrs are the names of both ends.
type tcpAddrs struct {
	local, remote net.TCPAddr
	late          *net.OpError // of a read beyond its deadline, once there was one
}

// wakes is whom to wake once the locks are given up.
type wakes struct{ rd, wr, accept *waiter }

// run is small enough to be part of the caller: mostly there is nobody.
func (w wakes) run() {
	if w.rd != nil || w.wr != nil || w.accept != nil {
		w.wake()
	}
}

func (w wakes) wake() {
	if w.rd != nil {
		w.rd.broadcast()
	}
	if w.wr != nil {
		w.wr.broadcast()
	}
	if w.accept != nil {
		w.accept.signal()
	}
}

// newTCPConn makes a socket without an address.
func (s *Stack) newTCPConn(nw network) *TCPConn {
	c := &TCPConn{s: s, network: nw, linger: -1}
	c.timer.owner = c
	c.node.val = c
	return c
}

// params fills in p, which is zero, what the TCB has to know about the connection c is to be.
func (c *TCPConn) params(now time.Duration, p *tcp.Params) {
	s := c.s
	p.Config, p.Alloc, p.Stats, p.Observer = s.tcpConfig.Load(), s, &s.tcpStats, s.cfg.Observer
	p.Local, p.Remote = c.node.key.localAddr(), c.node.key.remoteAddr()
	p.MTU, _ = s.mtuTo(now, c.node.key.remote, c.outside)
	p.Wire = c.outside
	p.ISS = tcp.ISN(s.secret, now, p.Local, p.Remote)
	p.TSOffset, _ = s.offsets(&c.node.key)
	if o := c.opening; o != nil && o.prior != nil {
		p.ISS = o.prior.ISS
		p.TSRecent, p.TSRecentAt, p.HasTSRecnt = o.prior.TSRecent, o.prior.TSRecentAt, o.prior.HasTSRecnt
	}
}

// needOpening returns c.opening, made if there was none.
func (c *TCPConn) needOpening() *opening {
	if c.opening == nil {
		c.opening = new(opening)
	}
	return c.opening
}

// readDue is the read deadline, never if there is none. The lock is held.
func (c *TCPConn) readDue() time.Duration {
	if c.due == nil {
		return never
	}
	return c.due.read
}

// writeDue is the write deadline, never if there is none. The lock is held.
func (c *TCPConn) writeDue() time.Duration {
	if c.due == nil {
		return never
	}
	return c.due.write
}

// setDue sets the deadlines; the lock is held.
func (c *TCPConn) setDue(read, write time.Duration) {
	if read != never || write != never || c.s.staged {
		c.needDue().read, c.needDue().write = read, write
	} else {
		c.due = nil
	}
}

// shut notes that the user has closed c, or lost it. The lock is held.
func (c *TCPConn) shut() {
	c.closed = true
	c.bounded.Store(true)
}

func (c *TCPConn) needDue() *dues {
	if c.due == nil {
		c.due = &dues{read: never, write: never}
	}
	return c.due
}

// at is now as the TCB may be told it: a connection's time does not go back,
// although those who run it have looked at the clock at different times, a
// receiver once for many packets. A peer drops segments whose timestamps go
// back (PAWS, RFC 7323 §5.3). The lock is held.
func (c *TCPConn) at(now time.Duration) time.Duration {
	c.clock = max(c.clock, now)
	return c.clock
}

// recent is the latest time the TCB was told: good enough where being a little
// late does no harm, and cheaper than asking the clock. The lock is held.
func (c *TCPConn) recent() time.Duration {
	if c.s.staged {
		return c.at(c.s.now()) // the clock costs nothing there
	}
	return c.clock
}

// lock takes the lock to do anything but what a dialogue consists of: receiving what the user waits for, and writing an
// answer that leaves at once. These leave steady as it is, which says that for them nothing is the matter with the
// socket and its TCB, deadlines apart; while nobody else has had the lock they need not ask for all of it again. Neither does it end by
// setting deadlines, which a server of net/http does some times a request.
func (c *TCPConn) lock() {
	c.mu.Lock()
	c.steady = false
}

// answer is what follows from a segment in general. It gives up the lock.
func (c *TCPConn) answer(r *receiver, p *device.Packet, now time.Duration) {
	c.node.baton = int(c.node.queue) == r.queue
	w := c.settle(now)
	c.node.baton = false
	c.mu.Unlock()
	r.deliver()
	r.s.nic.ReleaseHeld(r.queue, p)
	if w.rd != nil {
		r.woken = w.rd
	}
	w.run()
	if q := int(c.node.queue); q != r.queue {
		r.kickOther(q)
	}
}

// receiveOdd is for a connection that just left or that nobody has accepted yet: it may refuse the segment, or be done
// with it, and has given up the lock then.
func (c *TCPConn) receiveOdd(r *receiver, p *device.Packet, seg *tcp.Segment, flow *flowKey) (refused, done bool) {
	r.time()
	if c.detached {
		// It was found before it left, and cannot be found again.
		c.mu.Unlock()
		r.met.forget(c)
		r.odd, seg.Into = true, nil
		r.demux(p, seg, flow, c.node.hash)
		return false, true
	}
	if c.ln.admits(c, seg) {
		return false, false
	}
	if r.s.tcpConfig.Load().AbortOnOverflow != tcp.On {
		c.mu.Unlock()
		r.s.drop(p, DropTCPAcceptQueue)
		return false, true
	}
	return true, false
}

// settle sends what the TCB has to send and acts on what happened to it. The
// lock is held; the caller wakes w when it has given the lock up.
func (c *TCPConn) settle(now time.Duration) (w wakes) { return c.settleSoon(now, false) }

// settleUser is settle after a call of the user, whose output may be put off
// (Config.Staged). A connection that the call has ended has no later.
func (c *TCPConn) settleUser(now time.Duration) (w wakes) {
	return c.settleSoon(now, c.s.staged && !c.detached && c.tcb.State() != tcp.StateClosed)
}

// settleSoon is settle, which leaves it to the timer to send if later says so.
func (c *TCPConn) settleSoon(now time.Duration, later bool) (w wakes) {
	now = c.at(now)
	switch {
	case !later:
		if c.pending != nil || !c.tcb.Quiet() {
			c.output(now)
		}
	case c.tcb.NeedsOutput():
		c.s.arm(&c.timer, now)
	}
	// What most segments bring about is told apart from the rest, which is long.
	const usual = tcp.EvReadable | tcp.EvWritable | tcp.EvSent
	if ev := c.tcb.TakeEvents(); ev&^usual != 0 {
		w = c.actOn(now, ev)
	} else if ev != 0 {
		if ev&tcp.EvReadable != 0 {
			w.rd = c.rd.waiters()
		}
		if ev&(tcp.EvWritable|tcp.EvSent) != 0 {
			w.wr = c.wr.waiters()
		}
	}
	if !c.armed() {
		c.rearm()
	}
	return w
}

// actOn acts on the events ev.
func (c *TCPConn) actOn(now time.Duration, ev tcp.Events) (w wakes) {
	if ev&tcp.EvError != 0 {
		c.soErr, _ = c.tcb.Err().(tcp.Error)
		w.rd, w.wr = c.rd.waiters(), c.wr.waiters()
	}
	if ev&(tcp.EvReadable|tcp.EvPeerClosed) != 0 {
		w.rd = c.rd.waiters()
	}
	if ev&(tcp.EvWritable|tcp.EvConnected|tcp.EvSent) != 0 {
		w.wr = c.wr.waiters()
	}
	c.connected = c.connected || ev&tcp.EvConnected != 0
	if ev&tcp.EvConnected != 0 && c.ln != nil {
		w.accept = c.ln.ready(c)
	}
	if ev&tcp.EvFastOpen != 0 {
		c.fastOpenEvent(now)
	}
	if ev&tcp.EvTimeWait != 0 {
		c.s.timeWaits.replace(c) // a compact stand-in, which has the port
		if !c.detached {
			c.leave()
		}
	}
	if ev&(tcp.EvClosed|tcp.EvTimeWait) != 0 {
		c.unlist()
		w.rd, w.wr = c.rd.waiters(), c.wr.waiters()
	}
	return w
}

// armed reports whether rearm would find the timer set early enough, as it mostly is:
// it is lazy, and the deadlines of a connection that is alive move to later times.
func (c *TCPConn) armed() bool {
	return c.timer.set && c.timer.due <= c.tcb.Deadline() && c.due == nil && !c.detached
}

// rearm sees to it that expire is called when the TCB or a waiting user wants.
func (c *TCPConn) rearm() {
	due := c.tcb.Deadline()
	if c.detached {
		due = never
	}
	if c.due != nil {
		if !c.rpast && !c.closed {
			due = min(due, c.due.read)
		}
		if c.wr.busy() {
			due = min(due, c.due.write)
		}
	}
	if due == never {
		if c.detached {
			c.s.disarm(&c.timer)
		}
		return
	}
	c.s.arm(&c.timer, due)
}

func (c *TCPConn) timerKey() *flowKey { return &c.node.key }

// expire is the timer's call: protocol timers and users' deadlines.
func (c *TCPConn) expire(now time.Duration) {
	c.lock()
	c.timer.set = false
	var w wakes
	if !c.detached && c.tcb.Deadline() <= now {
		c.tcb.Timeout(c.at(now))
	}
	w = c.settle(now)
	if d := c.due; d != nil {
		c.rpast = c.rpast || d.read <= now
		if c.rpast || c.s.staged && d.turn <= now {
			w.rd = c.rd.waiters()
		}
		if d.write <= now {
			w.wr = c.wr.waiters()
		}
	}
	q := int(c.node.queue)
	c.mu.Unlock()
	w.run()
	c.s.kick(q, now)
}

// resume is called when the TX ring has room again. It reports false when
// that was not enough, and c is back on the list.
func (c *TCPConn) resume(now time.Duration) bool {
	c.lock()
	now = c.at(now)
	c.stalled = false
	w := c.settle(now)
	enough := !c.stalled
	c.mu.Unlock()
	w.run()
	return enough
}

// detach takes the connection out of the demultiplexer and gives its port
// back. What was received stays readable.
func (c *TCPConn) detach() {
	c.unlist()
	c.s.disarm(&c.timer)
}

// unlist is detach for one who calls rearm after that, which takes out the timer, with fewer frames on the stack.
func (c *TCPConn) unlist() {
	if !c.detached {
		if c.s.tcp.remove(&c.node) {
			c.s.tcpPorts.release(c.claimed.of(c.node.key.local), c.node.key.lport, c.how)
		}
		c.leave()
	}
	if c.closed {
		c.tcb.Release()
	}
}

// leave is what is left to do when the connection is out of the demultiplexer.
func (c *TCPConn) leave() {
	c.detached = true
	if c.pending != nil {
		// Its own last words (an RST, say) must still get out.
		if c.s.nic.Transmit(c.s.now(), c.pending) != device.TxOK {
			c.s.count.outDiscards.Add(1)
			c.pending.Release()
		}
		c.pending = nil
	}
	if c.ln != nil {
		c.ln.gone(c)
		c.ln = nil
	}
}
