package socket

import (
	"sync"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// timeWait stands in for a connection in TIME-WAIT (or a FIN-WAIT-2 that
// nobody holds any more): a hundred bytes instead of a TCPConn.
type timeWait struct {
	s       *Stack
	mu      sync.Mutex
	tcb     tcp.TimeWait
	node    flowNode[tcpEnd]
	timer   timer
	prev    *timeWait // the stack's list, oldest first
	next    *timeWait
	how     hold
	bound   ip // the address how was claimed for
	outside bool
	dead    bool
}

// twList is the stack's stand-ins in the order in which they came, so that the
// oldest can be given up when there are too many (tcp_max_tw_buckets).
type twList struct {
	mu          sync.Mutex
	first, last *timeWait
	n           int
}

func (s *Stack) enterTimeWait(tw *timeWait, now time.Duration) {
	l := &s.timeWaits
	l.mu.Lock()
	tw.prev = l.last
	if l.last != nil {
		l.last.next = tw
	} else {
		l.first = tw
	}
	l.last = tw
	l.n++
	var oldest *timeWait
	if l.n > s.cfg.MaxTWBuckets {
		oldest = l.first
	}
	l.mu.Unlock()

	tw.mu.Lock()
	s.arm(&tw.timer, tw.tcb.Deadline())
	tw.mu.Unlock()
	if oldest != nil {
		s.count.twOverflow.Add(1)
		oldest.kill()
	}
}

// unlink takes tw off the list.
func (l *twList) unlink(tw *timeWait) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tw.prev != nil {
		tw.prev.next = tw.next
	} else if l.first == tw {
		l.first = tw.next
	}
	if tw.next != nil {
		tw.next.prev = tw.prev
	} else if l.last == tw {
		l.last = tw.prev
	}
	tw.prev, tw.next = nil, nil
	l.n--
}

// kill ends the stand-in and frees its port. tw's lock is not held.
func (tw *timeWait) kill() {
	tw.mu.Lock()
	first := tw.die()
	tw.mu.Unlock()
	if first {
		tw.bury()
	}
}

// die marks tw as ended and reports whether it was not before; then the caller
// buries it, once it has given up tw's lock.
func (tw *timeWait) die() bool {
	if tw.dead {
		return false
	}
	tw.dead = true
	tw.s.disarm(&tw.timer)
	return true
}

func (tw *timeWait) bury() {
	tw.s.tcp.remove(&tw.node)
	tw.s.tcpPorts.release(tw.bound, tw.node.key.lport, tw.how)
	tw.s.timeWaits.unlink(tw)
}

// giveWay lets c, a new connection of the same name, take tw's place if its
// segments can be told from those of the old one by their timestamps. The lock
// of the ports is held, as is c's.
func (tw *timeWait) giveWay(c *TCPConn, now time.Duration) bool {
	s := tw.s
	tw.mu.Lock()
	defer tw.mu.Unlock()
	prior := &tcp.Params{}
	if tw.dead || !tw.tcb.Reusable(now, s.cfg.TWReuseDelay, prior) || !s.tcp.replace(&tw.node, &c.node) {
		return false
	}
	c.needOpening().prior = prior
	tw.die()
	s.tcpPorts.drop(tw.bound, tw.node.key.lport, tw.how)
	s.timeWaits.unlink(tw)
	return true
}

func (tw *timeWait) timerKey() flowKey { return tw.node.key }

func (tw *timeWait) expire(now time.Duration) {
	tw.mu.Lock()
	tw.timer.set = false
	due := tw.tcb.Deadline()
	if due > now && !tw.dead {
		tw.s.arm(&tw.timer, due)
	}
	tw.mu.Unlock()
	if due <= now {
		tw.kill()
	}
}

// receive answers a segment for a connection that is over.
func (tw *timeWait) receive(r *receiver, p *device.Packet, seg *tcp.Segment, flow *flowKey) {
	s := tw.s
	var out tcp.Segment
	tw.mu.Lock()
	verdict, hint := tcp.Drop, tcp.Seq(0)
	if !tw.dead {
		verdict, hint = tw.tcb.Input(r.now, seg, &out)
	}
	var answer *device.Packet
	if verdict == tcp.Reply || verdict == tcp.DeadReply {
		answer = s.tcpPacket(&tw.node, &out, 0, tw.outside) // no identification, as Linux
	}
	tw.mu.Unlock()
	if answer != nil {
		s.send(r.now, answer)
		r.kickOther(int(tw.node.queue))
	}
	switch verdict {
	case tcp.Dead, tcp.DeadReply:
		tw.kill()
	case tcp.Recycle:
		// A new SYN that cannot be mistaken for the old connection's: the
		// listener, if there is one, takes it (RFC 9293 §3.6.1, RFC 6191).
		if ln := s.findListener(flow); ln != nil {
			tw.kill()
			ln.open(r, p, seg, flow, hint)
			return
		}
	}
	r.deliver()
	p.Release()
}
