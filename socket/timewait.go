package socket

import (
	"sync"
	"sync/atomic"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// timeWait stands in for a connection in TIME-WAIT (or a FIN-WAIT-2 that
// nobody holds any more): 136 bytes instead of a TCPConn, and no pointer.
type timeWait struct {
	key        flowKey
	tcb        tcp.TimeWait
	hash       uint32
	prev, next twIndex // in the queue of those that end in turn; next of one that is free: the next free one
	queue      uint8
	how        hold
	claimed    claimAddr // the address how was claimed for
	outside    bool
	odd        bool // ends out of turn, by a timer of its own
}

// before is the order in which stand-ins end: that of their timers.
func (w *timeWait) before(o *timeWait) bool {
	if w.tcb.Deadline() != o.tcb.Deadline() {
		return w.tcb.Deadline() < o.tcb.Deadline()
	}
	return w.key.less(&o.key)
}

// A twIndex names a stand-in of a table; 0 is none.
type twIndex uint32

// A twTable holds what is left of connections that are over. A server of short
// connections has hundreds of thousands of them, so they lie in memory in which
// there is nothing for the garbage collector to follow, and which is used again.
//
// All of them stay equally long, hence they end in the order in which they came:
// the one timer of the table is due with the first. Those few for which that is
// not so, because a socket has a FIN-WAIT-2 time-out of its own or the
// parameters of TCP were changed, have timers of their own.
type twTable struct {
	s  *Stack
	mu sync.Mutex
	n  atomic.Int32 // changed with the lock held

	chunks [][]timeWait // a stand-in never moves but within the first chunk
	free   twIndex      // those that are free
	slots  twSlots      // those that are not, by hash

	first, last twIndex
	timer       timer
	head        flowKey // of the one that was the first when the timer was armed
	odd         map[twIndex]*oddTimeWait
}

// An oddTimeWait ends a stand-in out of turn.
type oddTimeWait struct {
	t     *twTable
	i     twIndex
	key   flowKey
	timer timer
}

const (
	twChunk = 256 // stand-ins in a chunk
	twSteps = 8   // how far from the end of the queue a stand-in may belong
)

func (t *twTable) init(s *Stack) { t.s, t.timer.owner = s, t }

func (t *twTable) at(i twIndex) *timeWait {
	return &t.chunks[(i-1)/twChunk][(i-1)%twChunk]
}

// find returns the stand-in of the connection k, whose hash is h, or 0.
func (t *twTable) find(k *flowKey, h uint32) twIndex {
	if len(t.slots) == 0 {
		return 0
	}
	mask := uint32(len(t.slots) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		if slot := t.slots[at]; slot.i == 0 || slot.hash == h && t.at(slot.i).key.same(k) {
			return slot.i
		}
	}
}

// alloc returns a stand-in that is free. The caller fills it in and enters it.
func (t *twTable) alloc() twIndex {
	if i := t.free; i != 0 {
		t.free = t.at(i).next
		t.at(i).next = 0
		return i
	}
	last := len(t.chunks) - 1
	switch {
	case last < 0:
		t.chunks = append(t.chunks, nil)
		last = 0
	case len(t.chunks[last]) == twChunk:
		t.chunks = append(t.chunks, make([]timeWait, 0, twChunk))
		last++
	}
	t.chunks[last] = append(t.chunks[last], timeWait{})
	return twIndex(last*twChunk + len(t.chunks[last]))
}

// enter enters i, which is filled in.
func (t *twTable) enter(i twIndex) {
	if n := int(t.n.Add(1)); !t.slots.fits(n) {
		t.slots = t.slots.larger(n)
	}
	t.slots.enter(t.at(i).hash, i)
	t.line(i)
}

// A twPort is the port that a stand-in holds.
type twPort struct {
	addr ip
	num  uint16
	how  hold
}

// remove takes i out and returns the port that it held. The memory of many is given back
// when none is left.
func (t *twTable) remove(i twIndex) twPort {
	t.unline(i)
	w := t.at(i)
	t.slots.remove(w.hash, i)
	port := twPort{w.claimed.of(w.key.local), w.key.lport, w.how}
	*w = timeWait{next: t.free}
	t.free = i
	if t.n.Add(-1) == 0 && len(t.chunks) > 1 {
		t.chunks, t.slots, t.free = nil, nil, 0
	}
	return port
}

// line puts i into the queue, by its deadline.
func (t *twTable) line(i twIndex) {
	w := t.at(i)
	p := t.last
	for n := 0; p != 0 && w.before(t.at(p)); p = t.at(p).prev {
		if n++; n > twSteps {
			t.oddOne(i)
			return
		}
	}
	w.prev, w.next = p, t.first
	if p != 0 {
		w.next = t.at(p).next
		t.at(p).next = i
	} else {
		t.first = i
	}
	if w.next != 0 {
		t.at(w.next).prev = i
	} else {
		t.last = i
	}
	if t.first == i {
		t.rearm()
	}
}

// oddOne gives i a timer of its own.
func (t *twTable) oddOne(i twIndex) {
	w := t.at(i)
	w.odd = true
	o := &oddTimeWait{t: t, i: i, key: w.key}
	o.timer.owner = o
	if t.odd == nil {
		t.odd = map[twIndex]*oddTimeWait{}
	}
	t.odd[i] = o
	t.s.arm(&o.timer, w.tcb.Deadline())
}

// unline undoes line.
func (t *twTable) unline(i twIndex) {
	w := t.at(i)
	if w.odd {
		w.odd = false
		t.s.disarm(&t.odd[i].timer)
		delete(t.odd, i)
		return
	}
	if w.next != 0 {
		t.at(w.next).prev = w.prev
	} else {
		t.last = w.prev
	}
	if w.prev != 0 {
		t.at(w.prev).next = w.next
	} else {
		t.first = w.next
		t.rearm()
	}
	w.prev, w.next = 0, 0
}

// rearm sets the timer for the first of the queue. Where there are so many that each new one ends the oldest the timer
// stays as it is, which is early enough: it fires for one that is gone, and is set for the first then.
func (t *twTable) rearm() {
	if t.first == 0 {
		t.s.disarm(&t.timer)
		return
	}
	w := t.at(t.first)
	if t.timer.set && t.timer.due <= w.tcb.Deadline() && int(t.n.Load()) > t.s.cfg.MaxTWBuckets {
		return
	}
	t.s.disarm(&t.timer)
	t.head = w.key // nobody reads it while the timer is not armed
	t.s.arm(&t.timer, w.tcb.Deadline())
}

func (t *twTable) timerKey() *flowKey     { return &t.head }
func (o *oddTimeWait) timerKey() *flowKey { return &o.key }

// expire ends the first of the queue; those due together are asked for one
// after the other, as there may be other timers between them.
func (t *twTable) expire(now time.Duration) {
	t.mu.Lock()
	t.timer.set = false
	i := t.first
	if i == 0 || t.at(i).tcb.Deadline() > now {
		t.rearm()
		t.mu.Unlock()
		return
	}
	port := t.remove(i)
	t.mu.Unlock()
	t.bury(port)
}

func (o *oddTimeWait) expire(now time.Duration) {
	t := o.t
	t.mu.Lock()
	o.timer.set = false
	if t.odd[o.i] != o {
		t.mu.Unlock()
		return
	}
	port := t.remove(o.i)
	t.mu.Unlock()
	t.bury(port)
}

// bury gives back the port of a stand-in that has been removed.
func (t *twTable) bury(p twPort) { t.s.tcpPorts.release(p.addr, p.num, p.how) }

// replace puts a stand-in in c's place. Whoever looks c's name up finds either.
// c's lock is held.
func (t *twTable) replace(c *TCPConn) {
	t.mu.Lock()
	i := t.alloc()
	w := t.at(i)
	w.key, w.hash, w.queue = c.node.key, c.node.hash, c.node.queue
	w.how, w.claimed, w.outside = c.how, c.claimed, c.outside
	c.tcb.TimeWait(&w.tcb)
	t.enter(i)
	if !t.s.tcp.remove(&c.node) { // it was not in: closed meanwhile, and its port is free
		t.remove(i)
		t.mu.Unlock()
		return
	}
	over := int(t.n.Load()) > t.s.cfg.MaxTWBuckets
	var victim twPort
	if over {
		if t.first != 0 {
			i = t.first
		}
		victim = t.remove(i)
	}
	t.mu.Unlock()
	if over {
		t.s.count.twOverflow.Add(1)
		t.bury(victim)
	}
}

// admit enters a new connection, which knows its hash, into the demultiplexer, unless
// its name is taken, be it by a stand-in.
func (t *twTable) admit(n *flowNode[tcpEnd]) bool {
	t.mu.Lock()
	free := t.n.Load() == 0 || t.find(&n.key, n.hash) == 0
	if free {
		free = t.s.tcp.insertHashed(n)
	}
	t.mu.Unlock()
	return free
}

// giveWay lets c, a new connection, have the name of one in TIME-WAIT if its
// segments can be told from those of the old one by their timestamps (RFC 6191,
// tcp_tw_reuse). The lock of the ports is held, as is c's.
func (t *twTable) giveWay(c *TCPConn, now time.Duration) bool {
	s := t.s
	if s.cfg.TWReuse == tcp.Off {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(&c.node.key, c.node.hash)
	prior := &tcp.Params{}
	if i == 0 || !t.at(i).tcb.Reusable(now, s.cfg.TWReuseDelay, prior) || !s.tcp.insertHashed(&c.node) {
		return false
	}
	port := t.remove(i)
	s.tcpPorts.drop(port.addr, port.num, port.how)
	c.needOpening().prior = prior
	return true
}

// kill ends the stand-in of a connection, if there is one.
func (t *twTable) kill(k *flowKey) bool {
	t.mu.Lock()
	i := t.find(k, k.hash(protoTCP))
	if i == 0 {
		t.mu.Unlock()
		return false
	}
	port := t.remove(i)
	t.mu.Unlock()
	t.bury(port)
	return true
}

// keys returns the names of all.
func (t *twTable) keys() []flowKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]flowKey, 0, t.n.Load())
	for _, slot := range t.slots {
		if slot.i != 0 {
			out = append(out, t.at(slot.i).key)
		}
	}
	return out
}

// receive answers a segment for a connection that is over, whose hash is h. It
// reports false if there is none.
func (t *twTable) receive(r *receiver, p *device.Packet, seg *tcp.Segment, flow *flowKey, h uint32) bool {
	if t.n.Load() == 0 {
		return false
	}
	t.mu.Lock()
	i := t.find(flow, h)
	if i == 0 {
		t.mu.Unlock()
		return false
	}
	s, w := t.s, t.at(i)
	var out tcp.Segment
	was := w.tcb.Deadline()
	verdict, hint := w.tcb.Input(r.now, &s.tcpStats, seg, &out)
	dead := verdict == tcp.Dead || verdict == tcp.DeadReply
	var ln *TCPListener
	if verdict == tcp.Recycle {
		// A new SYN that cannot be mistaken for the old connection's: the
		// listener, if there is one, takes it (RFC 9293 §3.6.1, RFC 6191).
		ln = s.findListener(flow)
		if dead = ln != nil; !dead {
			verdict = w.tcb.Challenge(r.now, &s.tcpStats, &out)
		}
	}
	queue, outside := w.queue, w.outside
	var port twPort
	switch {
	case dead:
		port = t.remove(i)
	case w.tcb.Deadline() != was:
		t.unline(i)
		t.line(i)
	}
	t.mu.Unlock()
	if dead {
		t.bury(port)
	}
	if ln != nil && seg.Flags&tcp.FIN != 0 {
		s.drop(p, DropTCPListen) // as in LISTEN
		return true
	}
	if ln != nil {
		ln.open(r, p, seg, flow, hint)
		return true
	}
	if verdict == tcp.Reply || verdict == tcp.DeadReply {
		n := nameless(flow, h, queue)
		s.send(r.now, s.tcpPacket(&n, &out, 0, outside)) // no identification, as Linux
		r.kickOther(int(queue))
	}
	r.deliver()
	p.Release()
	return true
}
