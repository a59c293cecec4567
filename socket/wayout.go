package socket

import (
	"encoding/binary"
	"syscall"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/tcp"
)

// The way of a packet of a dialogue, from Write to the NIC and, with the baton, out of it again, in the order it travels;
// wayin.go has the rest, to Read. Such a text leaves at once as one packet, nothing else being outstanding, as questions and
// answers do. It is the long way of tcpuser.go and tcpconn.go, without the questions whose answers are known: nobody waits for
// room, and there is one packet and no event.
//
// What lies together here lies together in memory, where the functions of a package are in the order of its files: the
// processor's cache for instructions has few places for lines that are a page apart, and functions strewn over a package
// take each other's. The same goes for wayin.go and wayout.go in tcp, and device/way.go.

// Write sends p, waiting for room in the send buffer as needed. It returns
// early with the number of bytes taken when the connection fails, is closed,
// or the write deadline passes. Concurrent Writes are not interleaved.
func (c *TCPConn) Write(p []byte) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	c.mu.Lock()
	lone := c.steady && c.due == nil && c.tcb.LoneSteady(len(p)) && int(c.burst)+len(p) < writeBurst
	if !lone {
		c.steady = false
		growStack()
		lone = c.unhindered(len(p)) && c.tcb.Lone(len(p))
	}
	if lone {
		if r, own := c.writeLone(p); own != nil {
			if !r.pass(c, own, p) {
				r.run()
			}
		} else if r != nil {
			r.run()
		}
		return len(p), nil
	}
	n, err := c.write(p)
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

// unhindered reports whether nothing about the socket keeps n bytes that are written now from leaving at once; the TCB
// must be asked, too. The lock is held. It is small enough to be part of the caller.
func (c *TCPConn) unhindered(n int) bool {
	return !c.writing && !c.closed && !c.wshut && !c.detached && c.soErr == 0 && c.pending == nil && (c.due == nil || c.due.write == never) &&
		!c.wr.busy() && int(c.burst)+n < writeBurst && !c.s.staged
}

// writeLone is Write of such a text, if neither unhindered nor Lone says no, but for what the packet brings about: if r is not
// nil the caller has the baton, and lets r pass on own, if that is not nil, with p, or run; see stackroom.go. It gives up the lock.
func (c *TCPConn) writeLone(p []byte) (r *receiver, own *device.Packet) {
	s, q, k := c.s, int(c.node.queue), &c.node.key
	var now time.Duration
	if s.clock == nil {
		now = time.Since(s.epoch) // s.now without its call
	} else {
		now = s.now()
	}
	now = c.at(now)
	if !s.nic.Ring(q) {
		return c.writeOdd(now, p, nil)
	}
	r = &s.receivers[q]
	r.now, r.coarse = now, false
	if len(p) > device.MaxHead-plainHead4 || !k.remote.is4() || s.verify {
		return c.writeOdd(now, p, r)
	}
	pk := s.nic.NewPacket(q, true) // who has the baton sends more cheaply
	c.node.label(pk, tcp.CauseNewData, c.outside)
	b := (*[plainHead4]byte)(pk.SetHead(plainHead4 + len(p))) // p is copied only for those who look at the packet
	first, second := s.plain4(k, protoTCP).Words(c.tos, c.ipID, ipv4.FlagDF, uint64(plainHead4+len(p)), uint64(c.node.sum))
	binary.BigEndian.PutUint64(b[0:], first)
	binary.BigEndian.PutUint64(b[8:], second)
	binary.BigEndian.PutUint32(b[16:], uint32(k.remote.lo))
	c.ipID++
	offload(pk, ipv4.MinHeaderLen, tcpCsumOffset)
	due := c.tcb.SendLone(now, p, nil, (*[tcp.TSHeaderLen]byte)(b[ipv4.MinHeaderLen:]), pseudoSum(c.node.sum, protoTCP, plainTCPLen+len(p)), &r.spares)
	own, res := s.nic.Exchange(now, pk)
	if own == nil {
		complete(pk, p) // it is on the ring, which nobody takes it off but the caller, or still c's
	}
	if res != device.TxOK {
		c.refusedLone(pk, res)
	}
	if !c.timer.set || c.timer.due > due { // else it is set early enough for all others
		c.rearm()
	}
	c.burst += int32(len(p))
	c.mu.Unlock()
	return r, own
}

// writeOdd is what is left of writeLone in the other cases: somebody else has the baton and r is nil, the text does not go with the
// headers, the connection is IPv6's, or checksums are computed.
func (c *TCPConn) writeOdd(now time.Duration, p []byte, r *receiver) (_ *receiver, own *device.Packet) {
	s, q := c.s, int(c.node.queue)
	pk := s.nic.NewPacket(q, r != nil)
	var spares *tcp.Spares
	if r != nil {
		spares = &r.spares
	}
	c.node.label(pk, tcp.CauseNewData, c.outside)
	k := &c.node.key
	length, at := tcp.TSHeaderLen+len(p), k.ipLen()
	var owner tcp.Buffer
	if at+length <= device.MaxHead {
		copy(pk.SetHead(at + length)[at+tcp.TSHeaderLen:], p)
	} else {
		pk.SetHead(at + tcp.TSHeaderLen)
		s.attach(pk, p)
		p, owner = pk.Frags[0].B, pk.Frags[0].Owner
	}
	if at == ipv4.MinHeaderLen {
		b := (*[ipv4.MinHeaderLen]byte)(pk.Head)
		first, second := s.plain4(k, protoTCP).Words(c.tos, c.ipID, ipv4.FlagDF, uint64(at+length), uint64(c.node.sum))
		binary.BigEndian.PutUint64(b[0:], first)
		binary.BigEndian.PutUint64(b[8:], second)
		binary.BigEndian.PutUint32(b[16:], uint32(k.remote.lo))
	} else {
		s.plain6(pk.Head, k, protoTCP, c.tos, length)
	}
	c.ipID++
	due := c.tcb.SendLone(now, p, owner, (*[tcp.TSHeaderLen]byte)(pk.Head[at:]), pseudoSum(c.node.sum, protoTCP, length), spares)
	if s.verify {
		s.checksum(pk, c.node.sum, protoTCP, at, tcpCsumOffset)
	} else {
		offload(pk, at, tcpCsumOffset)
	}
	var res device.TxResult
	if r != nil {
		own, res = s.nic.Exchange(now, pk)
	} else {
		res = s.nic.Transmit(now, pk)
	}
	if res != device.TxOK {
		c.refusedLone(pk, res)
	}
	if !c.timer.set || c.timer.due > due {
		c.rearm()
	}
	c.burst += int32(len(p))
	c.mu.Unlock()
	if r == nil && s.nic.Ring(q) {
		r = &s.receivers[q]
		r.now, r.coarse = now, false
	}
	return r, own
}

// refusedLone sees to a packet that was not let on the ring.
func (c *TCPConn) refusedLone(pk *device.Packet, res device.TxResult) {
	if !c.refused(pk, res) {
		c.pending, c.steady = pk, false
	}
}

// run is Stack.run as of r.now. One who has worked for others
// long enough hands the baton to a timer that is due at once.
func (r *receiver) run() (woken *waiter) {
	done, old := 0, 0 // packets handled: all, and since the look at the clock
	for {
		if !r.coarse && r.now-r.s.recent() >= recentGrain {
			r.s.lastNow.Store(int64(r.now))
		}
		n := r.s.nic.Poll(r.queue, r.now, pollBatch, r.handle)
		if r.held != nil || r.lender != nil {
			r.settleLoans()
		}
		if in, out := r.spares.In, r.spares.Out; in|out != 0 {
			r.spares.In, r.spares.Out = 0, 0
			r.delivered.n -= in // deliver had them, too
			r.segments.add(in, out)
			r.pureAcks.n = r.spares.PureAcks
			r.pureAcks.show()
		}
		r.delivered.show()
		if in, out := r.udpIn, r.udpOut; in|out != 0 {
			r.udpIn, r.udpOut = 0, 0
			r.datagrams.add(in, out)
		}
		if r.s.anyStall.Load() {
			r.s.resumeStalled(r.time())
		}
		if r.woken != nil {
			woken, r.woken = r.woken, nil
		}
		if r.s.nic.Rest(r.queue) {
			return woken
		}
		if done += n; done >= pollBudget && r.lender == nil {
			r.s.runLater(r.queue)
			return woken
		}
		if old += n; old >= pollBatch {
			r.now, r.coarse, old = r.s.now(), false, 0
		}
	}
}
