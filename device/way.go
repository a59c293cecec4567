package device

import "time"

// The way of a packet through the NIC of one who holds the baton and polls, in the order it travels: made, put on the TX ring
// (Ring.Put), taken off it and handed to its receiver, who gives it back. Why that is in one file says socket/wayout.go.

// NewPacket is Pool.NewPacket for a packet that will travel on queue q. held says that the caller has the queue's baton: he
// has free packets of his own there.
func (n *NIC) NewPacket(q int, held bool) *Packet {
	if !held {
		return n.pool.NewPacket()
	}
	qu := &n.queues[q]
	if p := qu.spare; p != nil {
		qu.spare = nil
		n.pool.handOut(p)
		return p
	}
	return n.morePacket(qu)
}

// morePacket is NewPacket where there is more than one packet under way.
func (n *NIC) morePacket(qu *queue) *Packet {
	r := qu.rings.Load()
	if r == nil {
		r = qu.open(n)
	}
	last := len(r.spare) - 1
	if last < 0 {
		if r.want = min(r.want+1, maxSpare); r.spare == nil {
			r.spare = make([]*Packet, 0, cacheLine/8) // not beside those of another queue
		}
		return n.pool.NewPacket()
	}
	p := r.spare[last]
	r.spare = r.spare[:last]
	n.pool.handOut(p)
	return p
}

// Transmit puts p on the TX ring of its flow's queue. TxOK: the NIC owns p, and the caller must ring
// that queue's bell (Ring) before it forgets about it; the packet moves when the queue is polled.
// Otherwise the caller keeps p, and the refusal is counted.
//
// The payload of a packet with FlagLent is lent by the caller, who holds the baton of its queue: the bytes of Frags that have
// no owner are his until Lent says, between two polls of his, that they are no longer used. Only who receives the packet within
// such a poll sees them; all others get copies.
func (n *NIC) Transmit(now time.Duration, p *Packet) TxResult {
	if !n.up.Load() {
		n.refusedDown.Add(1)
		return TxDown
	}
	p.At = now
	lent := p.Flags & FlagLent // p is the NIC's as soon as it is on the ring
	qu := &n.queues[n.steer(p)]
	r := qu.rings.Load()
	if r == nil {
		r = qu.open(n)
	}
	d, ok := p.number(n.pool)
	if !ok {
		d, ok = n.pool.desc(p)
	}
	if ok && r.tx.Put(d) {
		if lent != 0 {
			r.lent++
		}
		return TxOK
	}
	n.pool.undesc(p, d, ok)
	n.refusedFull.Add(1)
	return TxFull
}

// Poll moves packets: from queue q's TX ring to the link, and from its RX ring through the filter and
// the taps to h, which owns them then. It goes on until both rings are empty or budget packets (a
// batch if budget is 0 or less) were taken from either, and returns how many it took from the RX ring.
// Only the holder of the baton may call it, and h must not call Poll or Rest for the same queue; h may
// call everything else, Transmit and Ring above all.
func (n *NIC) Poll(q int, now time.Duration, budget int, h func(*Packet)) int {
	qu := &n.queues[q]
	qu.hear()
	r := qu.rings.Load()
	if r == nil {
		return 0
	}
	if budget <= 0 {
		budget = batch
	}
	taken := 0
	for taken < budget {
		p := n.lone(r, qu)
		if p == nil {
			return n.pollMany(q, now, budget, taken, h)
		}
		taken++
		h(p)
		if !r.busy() {
			break
		}
	}
	return taken
}

// lone takes a packet from queue qu that sends and receives itself, so to speak: it is alone there, n is plain, and
// it comes back. Most packets are of this kind. It returns nil if there is none.
func (n *NIC) lone(r *rings, qu *queue) *Packet {
	if !n.plain.Load() {
		return nil
	}
	if r.received() != 0 {
		return nil
	}
	d, waiting := r.tx.last()
	if waiting != 1 {
		return nil
	}
	p := r.packet(d)
	if p.Flags&FlagOutside != 0 || p.pool != r.pool {
		return nil
	}
	r.tx.takeLast()
	if p.Flags&FlagLent != 0 {
		r.lent--
	}
	qu.both.add(1, uint64(p.Len()))
	return p
}

// Quiet reports whether a packet that is put on queue q now would be taken off by Pass, if nobody else puts one there. Only
// the holder of the baton may call it.
func (n *NIC) Quiet(q int) bool {
	r := n.queues[q].rings.Load()
	return n.plain.Load() && r != nil && !r.busy()
}

// Pass is the poll of the packet that Transmit has just put on queue q, with what its handler does left to the caller, who holds
// the baton: it returns the packet if that is all there is on the rings, and nothing is between TX and RX. If not it returns
// nil, the packet is on the ring, and if its owner changes it before he polls he changes what will be received.
//
// What stands for several segments is counted as that many packets, each with the headers of it.
func (n *NIC) Pass(q int) *Packet {
	qu := &n.queues[q]
	r := qu.rings.Load()
	if r == nil {
		return nil
	}
	p := n.lone(r, qu)
	if p != nil && p.Segs > 1 {
		more := uint64(p.Segs - 1)
		qu.both.add(more, more*uint64(len(p.Head)))
	}
	return p
}

// Exchange is Transmit and Pass in one, for the holder of the baton of the queue that p travels on: back is p if Pass would
// return it. Until he polls nobody looks at p's bytes, only at how many they are: the caller may write them afterwards.
func (n *NIC) Exchange(now time.Duration, p *Packet) (back *Packet, res TxResult) {
	q := n.steer(p)
	qu := &n.queues[q]
	r := qu.rings.Load()
	d, ok := p.number(n.pool)
	if !n.plain.Load() || r == nil || !ok || p.Flags&(FlagOutside|FlagLent) != 0 || p.Segs > 1 || r.busy() || !r.tx.tryPut(d, r.tx.links.of(d)) {
		if res = n.Transmit(now, p); res == TxOK {
			back = n.Pass(q)
		}
		return back, res
	}
	p.At = now
	if _, waiting := r.tx.last(); waiting != 1 {
		return nil, TxOK
	}
	r.tx.takeLast()
	qu.both.add(1, uint64(p.Len()))
	return p, TxOK
}

// Rest gives queue q's baton back, if the bell was not rung since the last Poll began and nothing is
// left on the rings. Otherwise it returns false, and the caller, who still holds the baton, polls again.
func (n *NIC) Rest(q int) bool {
	qu := &n.queues[q]
	if r := qu.rings.Load(); r != nil && r.busy() {
		return false // a poll would move something
	}
	return qu.bell.CompareAndSwap(held, idle)
}

// ReleaseHeld is p.Release for the holder of the baton of queue q.
func (n *NIC) ReleaseHeld(q int, p *Packet) {
	if p.pool != n.pool {
		p.Release()
		return
	}
	if p.holds() {
		p.giveUp()
	}
	n.pool.takeBack(p)
	p.clear()
	if !n.queues[q].keep(p) {
		n.pool.putPacket(p)
	}
}

// keep keeps a retired packet for NewPacket, if there is use for it.
func (q *queue) keep(p *Packet) bool {
	if q.spare == nil {
		q.spare = p
		return true
	}
	r := q.rings.Load()
	if r == nil || len(r.spare) >= r.want {
		return false
	}
	r.spare = append(r.spare, p)
	return true
}
