package device

import (
	"sync/atomic"
	"time"
)

// batch is how many packets move from ring to ring at a time.
const batch = 32

// The states of a queue's bell.
const (
	idle   = 0 // nobody holds the baton
	held   = 1 // somebody does, and has seen everything that was rung for
	missed = 2 // somebody does, and must poll once more
)

// A queue is one TX ring, one RX ring, and the baton of whoever moves the packets.
//
// What a packet that travels alone needs of it lies together, on one cache line wherever the allocator puts it: with two processors
// at work the line goes back and forth.
type queue struct {
	bell  atomic.Uint32
	rings atomic.Pointer[rings]
	both  traffic // packets that were sent and received in one go
	spare *Packet // to be used again, the first of those; see rings. It belongs to the holder of the baton
	_     [cacheLine - 48]byte

	tx, rx traffic // packets counted in one direction
	_      [cacheLine - 48]byte
}

// rings is what a queue needs once it is used. All but the rings belongs to the holder of the baton.
type rings struct {
	// What a packet alone asks for is on one cache line, and not on one with what tx writes.
	pool *Pool                // the NIC's
	rx   atomic.Pointer[Ring] // what came in outside of polls; few queues ever need one
	back backlog              // what the link handed back within a poll

	tx       Ring
	spare    []*Packet      // to be used again, beside the queue's
	want     int            // how many of spare to keep
	lent     int            // packets on their way through these whose bytes are lent
	rxFirst  bool           // whose turn it is: the ring's or the backlog's
	descs    [batch]Desc    // what a ring had
	txb, rxb [batch]*Packet // the batches at hand; they keep what a few past packets are made of alive
	tapTime  time.Duration  // the latest time a tap was told
	scratch  []byte         // room for the filter to see a packet in one piece
}

// open returns the queue's rings, and makes them at first use.
func (q *queue) open(n *NIC) *rings {
	if r := q.rings.Load(); r != nil {
		return r
	}
	r := new(rings)
	r.tx.Init(n.ringSize, &n.pool.numbers.links)
	r.pool = n.pool
	r.back.limit = n.ringSize
	if q.rings.CompareAndSwap(nil, r) {
		return r
	}
	return q.rings.Load()
}

// openRX returns the ring for what comes in outside of polls, and makes it at first use.
func (r *rings) openRX(n *NIC) *Ring {
	if rx := r.rx.Load(); rx != nil {
		return rx
	}
	rx := new(Ring)
	rx.Init(n.ringSize, &n.pool.numbers.links)
	if r.rx.CompareAndSwap(nil, rx) {
		return rx
	}
	return r.rx.Load()
}

// Ring rings the bell of queue q: there is something on its rings. If it returns true the caller now
// holds the queue's baton and must call Poll, and then Rest until that returns true, polling again
// each time it does not. If it returns false somebody else holds the baton and will see what the
// caller put on the rings before.
func (n *NIC) Ring(q int) bool {
	bell := &n.queues[q].bell
	for {
		switch bell.Load() {
		case missed: // the holder has yet to start the poll that will see it
			return false
		case held:
			if bell.CompareAndSwap(held, missed) {
				return false
			}
		default:
			if bell.CompareAndSwap(idle, held) {
				return true
			}
		}
	}
}

// received returns how many packets wait to be received.
func (r *rings) received() uint64 {
	n := uint64(r.back.end - r.back.first)
	if rx := r.rx.Load(); rx != nil {
		n += rx.waiting()
	}
	return n
}

// busy reports whether a poll would move something.
func (r *rings) busy() bool { return r.tx.waiting()+r.received() != 0 }

// Idle reports whether nobody holds queue q's baton: all that was rung for has been handled. A packet
// whose sender has yet to ring does not count.
func (n *NIC) Idle(q int) bool { return n.queues[q].bell.Load() == idle }

// Kick rings the bell of queue q on behalf of a link that put packets on the RX ring outside a poll,
// and interrupts if nobody held the baton. Without Config.Interrupt it tells the holder of the baton, if
// there is one, and otherwise leaves it to the NIC's owner to poll.
func (n *NIC) Kick(q int) {
	if n.interrupt != nil {
		if n.Ring(q) {
			n.interrupt(q)
		}
		return
	}
	bell := &n.queues[q].bell
	for bell.Load() == held && !bell.CompareAndSwap(held, missed) {
	}
}

// hear takes note of all that was rung for so far, before the holder of the baton looks at the rings: who
// rings from here on is seen by Rest.
func (q *queue) hear() {
	if q.bell.Load() == missed {
		q.bell.Store(held)
	}
}

// discard drops what is on queue q's rings, because the NIC went down, and gives the baton back, which
// the caller holds.
func (n *NIC) discard(q int) {
	qu := &n.queues[q]
	for {
		qu.hear()
		if r := qu.rings.Load(); r != nil {
			for s := r.getBatch(&r.tx, r.txb[:]); s > 0; s = r.getBatch(&r.tx, r.txb[:]) {
				r.arrived(r.txb[:s])
				n.dropAll(r.txb[:s], DropTxDown)
			}
			for g := r.take(batch); g > 0; g = r.take(batch) {
				r.arrived(r.rxb[:g])
				n.dropAll(r.rxb[:g], DropRxDown)
			}
		}
		if n.Rest(q) {
			return
		}
	}
}

// pollMany goes on with a poll that sent and took so many packets.
func (n *NIC) pollMany(q int, now time.Duration, budget, taken int, h func(*Packet)) int {
	qu := &n.queues[q]
	r := qu.rings.Load()
	sent := taken
	for sent < budget && taken < budget && r.busy() {
		var s, g int
		if r.received() != 0 || !n.plain.Load() {
			s, g = n.pollBatch(r, qu, q, now, budget-sent, budget-taken, h)
		} else {
			s, g = n.pollPlain(r, qu, budget-max(sent, taken), h)
		}
		sent += s
		taken += g
	}
	return taken
}

// pollBatch sends a batch and receives one, each of at most so many packets, and returns how many they were.
func (n *NIC) pollBatch(r *rings, qu *queue, q int, now time.Duration, send, receive int, h func(*Packet)) (sent, received int) {
	var packets, bytes uint64
	if r.tx.Ready() {
		sent, packets, bytes = n.pollTX(r, qu, q, now, min(batch, send))
	}
	received = r.take(receive)
	r.arrived(r.rxb[:received])
	n.pollRX(r, qu, now, r.rxb[:received], packets, bytes, h)
	return sent, received
}

// pollPlain is pollTX, Loopback.Send and pollRX in one for the usual case: n is plain, and nothing waits to be
// received, so that what is sent now would be all that is received next. It returns how many packets it
// took from the TX ring, and how many of them h got.
func (n *NIC) pollPlain(r *rings, qu *queue, limit int, h func(*Packet)) (sent, received int) {
	ps := r.txb[:r.getBatch(&r.tx, r.txb[:min(limit, batch)])]
	sent, packets, bytes := len(ps), uint64(len(ps)), lenAll(ps)
	r.arrived(ps)
	ps = keepLocal(n, ps, func(p *Packet) { n.Drop(p, DropUnreachable) })
	if len(ps) == sent {
		qu.both.add(packets, bytes)
	} else {
		qu.account(packets, bytes, uint64(len(ps)), lenAll(ps))
	}
	for _, p := range ps {
		h(p)
	}
	return sent, len(ps)
}

// lenAll returns the length of all of ps in bytes.
func lenAll(ps []*Packet) (bytes uint64) {
	for _, p := range ps {
		bytes += uint64(p.Len())
	}
	return bytes
}

// packet returns the packet that is on a ring as d. Off it, one that is not of the pool's has no use for its number.
func (r *rings) packet(d Desc) *Packet { return r.pool.numbers.packets.Load().by[d] }

// getBatch takes packets off a ring, as many as there are and ps has room for, a batch at most.
func (r *rings) getBatch(ring *Ring, ps []*Packet) int {
	ds := r.descs[:min(len(ps), batch)]
	ds = ds[:ring.GetBatch(ds)]
	if len(ds) == 0 {
		return 0
	}
	for i, d := range ds {
		p := r.packet(d)
		if p.pool != r.pool {
			r.pool.numbers.takeBack(d)
		}
		ps[i] = p
	}
	return len(ds)
}

// arrived notes that ps were lent, if they were, and are no longer on their way. It is small enough to be part of the
// caller.
func (r *rings) arrived(ps []*Packet) {
	if r.lent != 0 {
		r.returned(ps)
	}
}

func (r *rings) returned(ps []*Packet) {
	for _, p := range ps {
		if p.Flags&FlagLent != 0 {
			r.lent--
		}
	}
}

// take takes received packets into rxb, at most limit and a batch, and returns how many. Neither what came
// in from outside nor what the link handed back can keep the other waiting: they take turns at being
// first, and who is first leaves half of the room.
func (r *rings) take(limit int) int {
	ps := r.rxb[:min(batch, limit)]
	rx := r.rx.Load()
	if rx == nil || !rx.Ready() {
		return r.back.take(ps)
	}
	if r.back.len() == 0 {
		return r.getBatch(rx, ps)
	}
	half := ps[:(len(ps)+1)/2]
	if r.rxFirst = !r.rxFirst; r.rxFirst {
		n := r.getBatch(rx, half)
		return n + r.back.take(ps[n:])
	}
	n := r.back.take(half)
	return n + r.getBatch(rx, ps[n:])
}

// pollTX sends a batch of at most limit packets, no more than the backlog has room for, so that the
// loopback wire loses nothing. It returns how many it took, and the packets and bytes that are still to
// be added to the counters.
func (n *NIC) pollTX(r *rings, qu *queue, q int, now time.Duration, limit int) (taken int, packets, bytes uint64) {
	ps := r.txb[:r.getBatch(&r.tx, r.txb[:min(limit, r.back.room())])]
	if len(ps) == 0 {
		return 0, 0, 0
	}
	if !n.up.Load() {
		r.arrived(ps)
		n.dropAll(ps, DropTxDown)
		return len(ps), 0, 0
	}
	packets, bytes = uint64(len(ps)), lenAll(ps)
	if taps := n.taps.Load(); taps != nil {
		for _, p := range ps {
			n.tap(r, *taps, DirTX, p.At, p)
		}
	}
	link := *n.link.Load()
	if lo, ok := link.(Loopback); ok {
		lo.Send(n, q, now, ps)
		return len(ps), packets, bytes
	}
	qu.account(packets, bytes, 0, 0) // before anyone can see the packets elsewhere
	packets, bytes = 0, 0
	r.arrived(ps)
	for _, p := range ps {
		p.Own(n.pool) // who knows what becomes of them
	}
	link.Send(n, q, now, ps)
	return len(ps), packets, bytes
}

// pollRX receives a batch. The counters are right before h sees the first packet.
func (n *NIC) pollRX(r *rings, qu *queue, now time.Duration, ps []*Packet, txPackets, txBytes uint64, h func(*Packet)) {
	if len(ps) > 0 && !n.up.Load() {
		n.dropAll(ps, DropRxDown)
		ps = ps[:0]
	}
	if filter := n.filter.Load(); filter != nil {
		ps = n.filterBatch(r, *filter, ps)
	}
	qu.account(txPackets, txBytes, uint64(len(ps)), lenAll(ps))
	taps := n.taps.Load()
	for _, p := range ps {
		if taps != nil {
			n.tap(r, *taps, DirRX, now, p)
		}
		h(p)
	}
}
