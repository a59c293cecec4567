package device

import "sync/atomic"

// Counters are the interface's counters as ifconfig prints them. Bytes are IP bytes, as Linux counts
// them on lo.
type Counters struct {
	RX RXCounters
	TX TXCounters
}

// RXCounters count what came in.
type RXCounters struct {
	Packets, Bytes uint64 // delivered to the stack
	Errors         uint64 // malformed: the sum of the kinds of errors below
	Dropped        uint64 // lost for any reason but errors: ring full, down, filtered
	Overruns       uint64 // of Dropped, those lost because the RX ring was full
	Frame          uint64 // no packet at all: empty or too long
	Filtered       uint64 // of Dropped, those the filter rejected
}

// TXCounters count what went out.
type TXCounters struct {
	Packets, Bytes uint64 // given to the link
	Errors         uint64 // the sum of the kinds of errors below
	Dropped        uint64 // lost on the way to or on the link
	Overruns       uint64 // of Dropped, those lost because the wire's queue was full
	Carrier        uint64 // refused because the NIC was down
	Collisions     uint64 // always 0: no medium is shared
	Busy           uint64 // refused because the TX ring was full; the sender kept the packet
}

// traffic counts one queue's packets and their bytes, with one atomic addition for each batch and so that
// whoever reads gets a number of packets and the bytes of just these. Only the holder of the queue's
// baton adds.
type traffic struct {
	sum  atomic.Uint64 // packets<<packetShift + bytes, modulo 1<<64
	mark uint64        // the holder's: base.sum
	base atomic.Pointer[trafficBase]
}

// trafficBase is what the counts were when sum had a certain value. What sum gained since is small
// enough to be told apart: a new base is made before it no longer is.
type trafficBase struct{ sum, packets, bytes uint64 }

const (
	packetShift = 44
	// newBase is how far sum may get from its base: half a million packets, which are at most 1<<35
	// bytes, and room for the largest batch by far.
	newBase = 1 << 63
)

// add counts packets and bytes.
func (t *traffic) add(packets, bytes uint64) {
	if t.sum.Add(packets<<packetShift+bytes)-t.mark >= newBase {
		t.rebase()
	}
}

// rebase makes a base of what was counted so far.
func (t *traffic) rebase() {
	base := &trafficBase{sum: t.sum.Load()}
	base.packets, base.bytes = t.load()
	t.mark = base.sum
	t.base.Store(base)
}

// load returns the counts.
func (t *traffic) load() (packets, bytes uint64) {
	for {
		old := t.base.Load()
		sum := t.sum.Load()
		if t.base.Load() != old {
			continue // sum may belong to the new base
		}
		var base trafficBase
		if old != nil {
			base = *old
		}
		gain := sum - base.sum
		return base.packets + gain>>packetShift, base.bytes + gain&(1<<packetShift-1)
	}
}

// account adds a batch to a queue's counters. On the perfect wire what is sent is received at once,
// so the usual batch is the same in both directions and costs one addition, not two.
func (q *queue) account(txPackets, txBytes, rxPackets, rxBytes uint64) {
	if txPackets == rxPackets && txBytes == rxBytes {
		if txPackets != 0 {
			q.both.add(txPackets, txBytes)
		}
		return
	}
	if txPackets != 0 {
		q.tx.add(txPackets, txBytes)
	}
	if rxPackets != 0 {
		q.rx.add(rxPackets, rxBytes)
	}
}

// Counters returns a snapshot of the counters. Safe for concurrent use; while packets move, the
// counters of one snapshot may be a batch apart.
func (n *NIC) Counters() Counters {
	var c Counters
	for i := range n.queues {
		q := &n.queues[i]
		packets, bytes := q.both.load()
		rxPackets, rxBytes := q.rx.load()
		txPackets, txBytes := q.tx.load()
		c.RX.Packets += packets + rxPackets
		c.RX.Bytes += bytes + rxBytes
		c.TX.Packets += packets + txPackets
		c.TX.Bytes += bytes + txBytes
	}
	d := n.Drops()
	c.RX.Frame = d[DropRxEmpty] + d[DropRxLength]
	c.RX.Errors = c.RX.Frame
	c.RX.Overruns = d[DropRxFull]
	c.RX.Filtered = d[DropFiltered]
	c.RX.Dropped = d[DropRxFull] + d[DropFiltered] + d[DropRxDown]
	c.TX.Carrier = n.refusedDown.Load()
	c.TX.Errors = c.TX.Carrier
	c.TX.Overruns = d[DropWireFull]
	c.TX.Dropped = d[DropTxDown] + d[DropUnreachable] + d[DropWireFull] + d[DropLink]
	c.TX.Busy = n.refusedFull.Load()
	return c
}
