package socket

import (
	"encoding/binary"
	"io"
	"math/bits"
	"runtime"
	"syscall"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
)

// Most packets on the loopback wire are segments of our own established connections, all laid out alike: an IP header
// without options or extensions, a TCP header with timestamps and nothing else, ACK and perhaps PSH or FIN. Such a plain one is
// recognised by a few words and taken straight to its connection. What input does with any other packet it
// does not need: nothing came from outside that must be checked, nothing is a fragment, no raw socket wants a copy.
// TestPlain compares the two.
//
// This is the way of such a packet from the NIC to Read, in the order it travels, and why it lies in one file says wayout.go.

const (
	plainTCPLen  = tcp.MinHeaderLen + 12 // with timestamps
	plainHead4   = ipv4.MinHeaderLen + plainTCPLen
	plainHead6   = ipv6.HeaderLen + plainTCPLen
	wordNopNopTS = 0x0101080a // nop, nop, and a timestamps option of 10 bytes (RFC 7323 appendix A)

	// The first eight bytes of an IPv4 header: version and header length, TOS, total length, identification, flags
	// and fragment offset. Plain is 0x45, neither more fragments nor an offset.
	plainIPMask = 0xff<<56 | 0x3fff
	plainIP     = 0x45 << 56

	// Bytes 12 to 19 of a TCP header: data offset and reserved bits, flags, window, checksum, urgent pointer. Plain is
	// an offset of 8 words, ACK with or without PSH and FIN, no urgent pointer.
	plainTCPMask = 0xff<<56 | uint64(0xff&^(tcp.PSH|tcp.FIN))<<48 | 0xffff
	plainTCP     = plainTCPLen/4<<60 | uint64(tcp.ACK)<<48
)

// handler returns what takes a packet in: the shorter way if it is plain and for a connection. It must not be inlined, or
// what it returns would be compiled as part of a large function, where the compiler inlines next to nothing.
//
//go:noinline
func (r *receiver) handler() func(*device.Packet) {
	return func(p *device.Packet) {
		if r.plain(p) && (p.Flags&device.FlagCsumPartial != 0 || sound(p)) {
			if c := r.met.conn(r.addrs, r.ports, p.Hash); c != nil {
				c.receive(r, p, &r.seg, &c.node.key)
				return
			}
			// A hit is always right; a miss is for input to make sure of.
			if node := r.s.tcp.look(r.names(), p.Hash); node != nil {
				if c, ok := node.val.(*TCPConn); ok {
					r.met.note(r.addrs, r.ports, p.Hash, c)
					c.receive(r, p, &r.seg, &r.flow)
					return
				}
			}
		}
		if p.Segs > 1 {
			r.apart = apartFor
			r.takeApart(p)
			return
		}
		r.input(p)
	}
}

// pass takes p in, which the holder of the baton has made by writeLone of from, sent and received: what it says need not be
// read from it, and the text, which from's user is writing, need not be in it. If that is all there is to do it gives the
// baton back and returns true; if not run must follow.
func (r *receiver) pass(from *TCPConn, p *device.Packet, text []byte) bool {
	if r.s.raw.n.Load() > 0 {
		r.handleWhole(p, text)
		return false
	}
	var c *TCPConn
	b := (*[plainHead4]byte)(p.Head)
	h := (*[tcp.TSHeaderLen]byte)(b[ipv4.MinHeaderLen:])
	if p.CsumStart == ipv4.MinHeaderLen {
		c = r.met.conn(binary.BigEndian.Uint64(b[12:]), binary.BigEndian.Uint32(h[:]), p.Hash)
	}
	if c == nil {
		if c = r.meet(from, p); c == nil {
			r.handleWhole(p, text)
			return false
		}
		if p.CsumStart != ipv4.MinHeaderLen {
			h = (*[tcp.TSHeaderLen]byte)(p.Head[ipv6.HeaderLen:])
		}
	}
	c.mu.Lock()
	n, due, into := 0, never, c.rd.into()
	if (len(into) > 0 || !c.rd.busy()) && (c.steady || c.converses()) {
		n, due = c.tcb.TakeLone(c.at(r.now), h, text, into, &r.spares)
	}
	if n == 0 {
		c.mu.Unlock()
		r.handleWhole(p, text)
		return false
	}
	var reader *waiter // nobody, if the text is kept
	if len(into) > 0 {
		c.steady = true
		c.rd.filled(n)
		reader = c.rd.waiters()
	} else {
		c.steady = c.tcb.Kept()
	}
	if !c.timer.set || c.timer.due > due {
		c.rearm()
	}
	parked := reader != nil && reader.rest.parked
	c.mu.Unlock()
	r.s.nic.ReleaseHeld(r.queue, p)
	in, out := r.spares.In, r.spares.Out
	r.spares.In, r.spares.Out = 0, 0
	r.segments.add(in, out)
	if r.now-r.s.recent() >= recentGrain {
		r.s.lastNow.Store(int64(r.now))
	}
	rest := !r.s.anyStall.Load() && r.s.nic.Rest(r.queue) // nobody has lent anything: he would have the baton
	if parked {
		reader.broadcast() // takes as long as all of this: meanwhile others can have the baton
	}
	return rest
}

// handleWhole is handle for a packet whose text writeLone has left out. It is not on the way.
//
//go:noinline
func (r *receiver) handleWhole(p *device.Packet, text []byte) {
	complete(p, text)
	r.handle(p)
}

// complete puts text behind the headers of p, if that is where it belongs.
func complete(p *device.Packet, text []byte) {
	if len(p.Frags[0].B) == 0 {
		copy(p.Head[len(p.Head)-len(text):], text)
	}
}

// converses reports whether a dialogue is under way, though a steady one has not begun or was interrupted. It is not on the way. Whose
// text is outstanding has accepted the connection.
//
//go:noinline
func (c *TCPConn) converses() bool {
	return c.unhindered(0) && c.tcb.Dialogue()
}

// meet returns the connection that p is for, a packet of from's, nil if it is not one of ours or p is out of the ordinary. It is
// not on the way of those that have met.
//
//go:noinline
func (r *receiver) meet(from *TCPConn, p *device.Packet) *TCPConn {
	if p.CsumStart == 0 {
		return nil // checksums are computed, and to be verified
	}
	k := &from.node.key
	r.flow = flowKey{local: k.remote, remote: k.local, lport: k.rport, rport: k.lport}
	node := r.s.tcp.look(&r.flow, p.Hash)
	if node == nil {
		return nil
	}
	c, _ := node.val.(*TCPConn)
	if c != nil && p.CsumStart == ipv4.MinHeaderLen {
		r.met.note(binary.BigEndian.Uint64(p.Head[12:]), binary.BigEndian.Uint32(p.Head[ipv4.MinHeaderLen:]), p.Hash, c)
	}
	return c
}

// acquaintances are some of the connections that plain IPv4 packets came for lately: a few at first, more when that many are
// at work at the same time. One that has gone meanwhile says so when it is to receive.
type acquaintances struct {
	slots []acquaintance // a power of two, or none
	lost  int            // how many had to make room though they were not gone
}

type acquaintance struct {
	addrs uint64
	ports uint32
	c     *TCPConn
}

const (
	fewAcquaintances  = 8
	mostAcquaintances = 256
)

// place is where the connection is, if it is there. Both ends of one have the same hash; what they differ in is which port
// comes first.
func (a *acquaintances) place(ports, hash uint32) uint32 {
	return (hash<<1 | (ports-bits.RotateLeft32(ports, 16))>>31) & uint32(len(a.slots)-1)
}

// conn returns the connection for packets with those addresses and ports, nil if it is not there.
func (a *acquaintances) conn(addrs uint64, ports, hash uint32) *TCPConn {
	if i := a.place(ports, hash); int(i) < len(a.slots) {
		if e := &a.slots[i]; e.addrs == addrs && e.ports == ports {
			return e.c
		}
	}
	return nil
}

// note remembers c, which no lock is held of.
func (a *acquaintances) note(addrs uint64, ports, hash uint32, c *TCPConn) {
	if addrs == 0 {
		return
	}
	if len(a.slots) == 0 {
		a.slots = make([]acquaintance, fewAcquaintances)
	}
	e := &a.slots[a.place(ports, hash)]
	if e.c != nil && len(a.slots) < mostAcquaintances && !e.c.gone() {
		if a.lost++; a.lost > 4*len(a.slots) {
			*a = acquaintances{slots: make([]acquaintance, 2*len(a.slots))} // who is at work will be back soon
			e = &a.slots[a.place(ports, hash)]
		}
	}
	*e = acquaintance{addrs, ports, c}
}

// forget lets go of c, which has gone.
func (a *acquaintances) forget(c *TCPConn) {
	for i := range a.slots {
		if a.slots[i].c == c {
			a.slots[i] = acquaintance{}
		}
	}
}

// gone reports whether c is in no table any more.
func (c *TCPConn) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.detached
}

// plain reports whether p is plain, and has filled in r.seg, r.addrs and r.ports if so, and for IPv6, whose r.addrs is 0,
// the addresses of r.flow. p is untouched.
func (r *receiver) plain(p *device.Packet) bool {
	if p.Flags&(device.FlagFromWire|device.FlagImpaired) != 0 || len(p.Head) < plainHead4 {
		return false
	}
	if r.s.closed.Load() {
		return false
	}
	if r.s.raw.n.Load() > 0 {
		return false
	}
	ip := (*[plainHead4]byte)(p.Head)
	first, at := binary.BigEndian.Uint64(ip[0:]), ipv4.MinHeaderLen
	if first&plainIPMask == plainIP && ip[9] == protoTCP && int(first>>32&0xffff) == p.Len() {
		r.addrs = binary.BigEndian.Uint64(ip[12:])
		r.seg.ECN = ip[1] & 3
	} else if at = ipv6.HeaderLen; first>>60 != 6 || !r.plain6(p) {
		return false
	}
	h, n := (*[plainTCPLen]byte)(p.Head[at:]), at+plainTCPLen
	w := binary.BigEndian.Uint64(h[12:])
	if w&plainTCPMask != plainTCP || binary.BigEndian.Uint32(h[20:]) != wordNopNopTS || len(p.Frags[1].B) != 0 {
		return false
	}
	seg := &r.seg
	if r.odd {
		*seg = tcp.Segment{ECN: seg.ECN, Opts: tcp.Options{HasTS: true}, Spares: seg.Spares} // as all plain ones have it
		r.odd = false
	}
	pl, f := &seg.Payload, &p.Frags[0]
	switch {
	case len(f.B) == 0:
		if p.HeadOwner != nil {
			return false
		}
		pl.Pieces[0].B, pl.Pieces[0].Owner = p.Head[n:], nil
		pl.N, pl.Lent = len(p.Head)-n, true // its descriptor will be used again
	case len(p.Head) == n && f.Owner != nil:
		pl.Pieces[0].B, pl.Pieces[0].Owner = f.B, f.Owner
		pl.N, pl.Lent = len(f.B), false
	case len(p.Head) == n && p.Flags&device.FlagLent != 0:
		pl.Pieces[0].B, pl.Pieces[0].Owner = f.B, nil
		pl.N, pl.Lent = len(f.B), true
	default:
		return false
	}
	r.ports = binary.BigEndian.Uint32(h[0:])
	seg.SrcPort, seg.DstPort = uint16(r.ports>>16), uint16(r.ports)
	seg.Seq, seg.Ack = tcp.Seq(binary.BigEndian.Uint32(h[4:])), tcp.Seq(binary.BigEndian.Uint32(h[8:]))
	seg.Flags, seg.Wnd = tcp.Flags(w>>48), uint16(w>>32)
	seg.Opts.TSVal, seg.Opts.TSEcr = binary.BigEndian.Uint32(h[24:]), binary.BigEndian.Uint32(h[28:])
	return true
}

// plain6 is the part of plain for an IPv6 header, which p begins with.
func (r *receiver) plain6(p *device.Packet) bool {
	if len(p.Head) < plainHead6 {
		return false
	}
	h := (*[plainHead6]byte)(p.Head)
	if h[6] != protoTCP || int(binary.BigEndian.Uint16(h[4:])) != p.Len()-ipv6.HeaderLen {
		return false
	}
	r.addrs, r.flow.remote, r.flow.local = 0, ip6(h[8:]), ip6(h[24:])
	r.seg.ECN = h[1] >> 4 & 3
	return true
}

// sound verifies the TCP checksum of p, which is plain. To say what is wrong otherwise is for input.
func sound(p *device.Packet) bool {
	addrs, at := p.Head[12:ipv4.MinHeaderLen], ipv4.MinHeaderLen
	if p.Head[0]>>4 == 6 {
		addrs, at = p.Head[8:ipv6.HeaderLen], ipv6.HeaderLen
	}
	pseudo := checksum.Sum(addrs, uint32(protoTCP+p.Len()-at))
	return checksum.Fold(checksum.SumPieces(pseudo, p.Head[at:], p.Frags[0].B)) == 0xffff
}

// names returns r.flow, filled in for what plain has seen.
func (r *receiver) names() *flowKey {
	f := &r.flow
	f.lport, f.rport = r.seg.DstPort, r.seg.SrcPort
	if r.addrs != 0 {
		f.local, f.remote = ip{0, mappedPrefix | r.addrs&0xffffffff}, ip{0, mappedPrefix | r.addrs>>32}
	}
	return f
}

// receive runs the TCB on a segment and sends what it answers.
func (c *TCPConn) receive(r *receiver, p *device.Packet, seg *tcp.Segment, flow *flowKey) {
	c.mu.Lock()
	if p.Flags&device.FlagLent != 0 && c.hold(r, p, seg) {
		return
	}
	refused := false
	seg.Taken, seg.Steady = 0, c.steady
	if !c.steady && (c.detached || c.ln != nil) {
		var done bool
		if refused, done = c.receiveOdd(r, p, seg, flow); done {
			return
		}
	}
	now := c.at(r.time())
	if refused {
		c.tcb.Refuse(now, seg)
	} else {
		seg.Into = c.rd.into()
		c.tcb.Input(now, seg)
	}
	if seg.Taken > 0 {
		c.rd.filled(seg.Taken)
	}
	c.steady = seg.Steady && (c.steady || c.unhindered(0) && c.ln == nil)
	var reader *waiter
	switch {
	case c.steady: // the reader has what he waits for, and that is all: nothing to send, and no writer waits for anything
		reader = c.rd.waiters()
		c.tcb.TakeEvents()
		if !c.armed() {
			c.rearm()
		}
	case c == r.lender && r.borrower == nil && seg.Payload.N == 0 && !c.wr.busy() && !r.s.nic.Lent(r.queue) && c.tcb.LoanOver():
		r.lender = nil
	default:
		c.answer(r, p, now)
		return
	}
	parked := reader != nil && reader.rest.parked // else he need only be told
	c.mu.Unlock()
	r.deliver()
	r.s.nic.ReleaseHeld(r.queue, p)
	if reader != nil {
		r.woken = reader
	}
	if parked {
		reader.broadcast()
	}
}

// Read reads received data, waiting until there is some, the peer has closed
// (io.EOF), or the read deadline passes (os.ErrDeadlineExceeded).
func (c *TCPConn) Read(p []byte) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	c.mu.Lock()
	if c.s.staged {
		c.awaitTurn()
	} else if c.rpast && c.addrs != nil && c.addrs.late != nil && !c.closed && len(p) > 0 { // as a server of net/http is told with each request
		err := c.addrs.late
		c.mu.Unlock()
		return 0, err
	}
	for {
		steady := c.steady && len(p) > 0 && !c.rpast
		if steady && c.tcb.Kept() {
			if n := c.tcb.ReadKept(c.clock, p); n > 0 {
				c.mu.Unlock()
				return n, nil
			}
			steady = false
		}
		if !steady && !c.mustWait(p) {
			c.steady = c.steady && c.rpast // then the TCB is not asked
			n, done, err := c.tryRead(p)
			if done {
				if c.s.staged {
					c.needDue().turn = c.s.now() + 1
				}
				if err != nil && err != io.EOF {
					err = c.opErrorLocked("read", err)
				}
				return c.afterRead(n), err
			}
		}
		d := c.rd.alone()
		if d == nil {
			c.rd.waitAny(c.s, &c.mu)
			continue
		}
		if d.await(p) {
			c.mu.Unlock()
			runtime.Gosched()
			c.mu.Lock()
			if !d.restedWell() {
				d.rested()
			}
		}
		d.park()
		if d.woken {
			d.goOn()
		}
		if n := d.served(); n > 0 {
			c.mu.Unlock()
			return n, nil
		}
	}
}
