package device

import (
	"sync"
	"time"
)

// DefaultPortSize is how many packets a Port keeps if its maker does not say.
const DefaultPortSize = 1024

// A Port is an open wire whose far end is in the program's hands: packets routed off this computer are
// queued as raw IP packets with checksums filled in, for Next, AppendNext or Drain; local packets loop
// back; and what comes from the far end is given to NIC.Inject. When the queue is full the newest packet
// is dropped and counted (DropWireFull). All methods are safe for concurrent use.
type Port struct {
	out func(now time.Duration, n *NIC, p *Packet)

	mu    sync.Mutex
	limit int
	queue []portPacket // circular: used of them, from first on
	first int
	used  int
}

// A portPacket is a raw packet and the pool memory it lies in.
type portPacket struct {
	raw   []byte
	owner *Buf
}

// NewPort returns a port that queues up to limit packets; DefaultPortSize if limit is 0 or less.
func NewPort(limit int) *Port {
	if limit <= 0 {
		limit = DefaultPortSize
	}
	return &Port{limit: limit}
}

// NewPortFunc returns a port that queues nothing and calls out for each packet instead. out must not
// keep raw. It is called by the holder of the baton: in order for one queue of the NIC, concurrently for
// several.
func NewPortFunc(out func(now time.Duration, raw []byte)) *Port {
	return NewPortPackets(func(now time.Duration, n *NIC, p *Packet) {
		b := n.pool.Get(p.Len())
		out(now, n.AppendWire(b.Bytes()[:0], p))
		b.Release()
	})
}

// NewPortPackets is NewPortFunc for an out that wants to know more of a packet than its bytes, which
// n.AppendWire gives. out must not keep or change p.
func NewPortPackets(out func(now time.Duration, n *NIC, p *Packet)) *Port {
	return &Port{out: out}
}

// Open implements Opener.
func (t *Port) Open() bool { return true }

// Send implements Link.
func (t *Port) Send(n *NIC, q int, now time.Duration, ps []*Packet) {
	n.ReceiveBatch(q, now, keepLocal(n, ps, func(p *Packet) { t.leave(n, now, p) }))
}

// leave takes one packet that leaves this computer.
func (t *Port) leave(n *NIC, now time.Duration, p *Packet) {
	if t.out != nil {
		t.out(now, n, p)
		p.Release()
		return
	}
	b := n.pool.Get(p.Len())
	if !t.push(portPacket{n.AppendWire(b.Bytes()[:0], p), b}) {
		b.Release()
		n.Drop(p, DropWireFull)
		return
	}
	p.Release()
}

// push puts a packet at the end of the queue. It returns false when the queue is full.
func (t *Port) push(k portPacket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == t.limit {
		return false
	}
	if t.used == len(t.queue) {
		bigger := make([]portPacket, min(max(2*t.used, 8), t.limit))
		m := copy(bigger, t.queue[t.first:])
		copy(bigger[m:], t.queue[:t.first])
		t.queue, t.first = bigger, 0
	}
	t.queue[(t.first+t.used)%len(t.queue)] = k
	t.used++
	return true
}

// pop takes the packet at the start of the queue.
func (t *Port) pop() (k portPacket, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == 0 {
		return k, false
	}
	k, t.queue[t.first] = t.queue[t.first], k
	t.first = (t.first + 1) % len(t.queue)
	t.used--
	return k, true
}

// Len returns the number of packets queued.
func (t *Port) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used
}

// AppendNext takes the oldest packet off the queue and appends it to dst; ok is false when there is none.
// It allocates only when dst is too short.
func (t *Port) AppendNext(dst []byte) (b []byte, ok bool) {
	k, ok := t.pop()
	if !ok {
		return dst, false
	}
	dst = append(dst, k.raw...)
	k.owner.Release()
	return dst, true
}

// Next takes the oldest packet off the queue; ok is false when there is none. The packet is the caller's.
func (t *Port) Next() (raw []byte, ok bool) { return t.AppendNext(nil) }

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
