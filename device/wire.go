package device

import (
	"sync"
	"time"
)

// A Wire joins two NICs: packets routed off the one computer arrive at the other, in order, as copies
// with checksums filled in; local packets loop back.
type Wire struct {
	a, b *NIC
}

// NewWire joins a and b: it becomes the link of both.
func NewWire(a, b *NIC) *Wire {
	w := &Wire{a, b}
	a.SetLink(w)
	b.SetLink(w)
	return w
}

// Send implements Link.
func (w *Wire) Send(n *NIC, q int, now time.Duration, ps []*Packet) {
	to := w.a
	if n == w.a {
		to = w.b
	}
	var kicks [MaxQueues / 64]uint64 // the queues of the other NIC that got something
	local := keepLocal(n, ps, func(p *Packet) {
		c := to.copyPacket(n, p)
		p.Release()
		rq := to.queueOf(c.Hash)
		if to.Receive(now, c) {
			kicks[rq/64] |= 1 << (rq % 64)
		}
	})
	n.ReceiveBatch(q, now, local)
	if len(local) == len(ps) {
		return
	}
	for rq := range to.queues {
		if kicks[rq/64]&(1<<(rq%64)) != 0 {
			to.Kick(rq)
		}
	}
}

// copyPacket makes a packet of n's from one that comes from another NIC.
func (n *NIC) copyPacket(from *NIC, p *Packet) *Packet {
	c := n.pool.NewPacket()
	if l := p.Len(); l > MaxHead {
		c.HeadOwner = n.pool.Get(l)
		c.Head = c.HeadOwner.Bytes()[:0]
	}
	c.Head = from.AppendWire(c.Head, p)
	c.Hash = p.Hash
	c.Flags = FlagFromWire | p.Flags&FlagImpaired
	return c
}

// DefaultPortSize is how many packets a Port keeps if its maker does not say.
const DefaultPortSize = 1024

// A Port is an open wire whose far end is in the program's hands: packets routed off this computer are
// queued as raw IP packets with checksums filled in, for Next or Drain; local packets loop back; and
// what comes from the far end is given to NIC.Inject. A full queue drops the newest packet, which is counted
// as WireFull. All methods are safe for concurrent use.
type Port struct {
	mu    sync.Mutex
	limit int
	queue [][]byte // in use from first on, as many as used
	first int
	used  int
	out   func(now time.Duration, raw []byte)
}

// NewPort returns a port that queues up to limit packets; DefaultPortSize if limit is 0 or less.
func NewPort(limit int) *Port {
	if limit <= 0 {
		limit = DefaultPortSize
	}
	return &Port{limit: limit}
}

// NewPortFunc returns a port that queues nothing and calls out for each packet instead. out must not
// keep raw. It is called by the holder of the queue's baton, while other queues may call it too.
func NewPortFunc(out func(now time.Duration, raw []byte)) *Port {
	return &Port{out: out}
}

// Send implements Link.
func (t *Port) Send(n *NIC, q int, now time.Duration, ps []*Packet) {
	n.ReceiveBatch(q, now, keepLocal(n, ps, func(p *Packet) { t.send(n, now, p) }))
}

// send takes one packet that leaves.
func (t *Port) send(n *NIC, now time.Duration, p *Packet) {
	if t.out != nil {
		b := n.pool.Get(p.Len())
		t.out(now, n.AppendWire(b.Bytes()[:0], p))
		b.Release()
		p.Release()
		return
	}
	t.mu.Lock()
	full := t.used == t.limit
	if !full {
		slot := t.grow()
		*slot = n.AppendWire((*slot)[:0], p)
	}
	t.mu.Unlock()
	if full {
		n.Drop(p, DropWireFull)
		return
	}
	p.Release()
}

// grow makes the queue one packet longer and returns the new last place.
func (t *Port) grow() *[]byte {
	if t.used == len(t.queue) {
		bigger := make([][]byte, min(max(2*len(t.queue), 8), t.limit))
		m := copy(bigger, t.queue[t.first:])
		copy(bigger[m:], t.queue[:t.first])
		t.queue, t.first = bigger, 0
	}
	slot := &t.queue[(t.first+t.used)%len(t.queue)]
	t.used++
	return slot
}

// Len returns the number of packets queued.
func (t *Port) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used
}

// Next takes the oldest packet off the queue; ok is false when there is none. The packet is the
// caller's.
func (t *Port) Next() (raw []byte, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == 0 {
		return nil, false
	}
	slot := &t.queue[t.first]
	raw, *slot = *slot, nil
	t.advance()
	return raw, true
}

// AppendNext takes the oldest packet off the queue and appends it to dst; ok is false when there is none.
// Unlike Next it lets the port use the packet's memory again, so that nothing is allocated in the
// long run.
func (t *Port) AppendNext(dst []byte) (b []byte, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == 0 {
		return dst, false
	}
	dst = append(dst, t.queue[t.first]...)
	t.advance()
	return dst, true
}

func (t *Port) advance() {
	t.first = (t.first + 1) % len(t.queue)
	t.used--
}

// Drain takes packets off the queue, in order, until there is none, and calls f for each; f owns raw. It
// returns how many there were.
func (t *Port) Drain(f func(raw []byte)) int {
	for n := 0; ; n++ {
		raw, ok := t.Next()
		if !ok {
			return n
		}
		f(raw)
	}
}
