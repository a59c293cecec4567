package device

import (
	"slices"
	"time"
)

// A Direction is the way a packet passes a NIC.
type Direction uint8

const (
	// DirRX is towards the stack.
	DirRX Direction = iota
	// DirTX is towards the link.
	DirTX
)

// String returns "RX" or "TX".
func (d Direction) String() string {
	if d == DirTX {
		return "TX"
	}
	return "RX"
}

// A Tap sees every packet that passes a NIC: on the way out when the packet is given to the link, at the
// time it was transmitted; on the way in after the filter, right before the stack gets it. It must
// not change or keep p; n.AppendWire gives its bytes. Calls for one queue come one at a time, with
// times that never decrease; queues call concurrently.
type Tap func(dir Direction, now time.Duration, n *NIC, p *Packet)

// tap makes every tap a thing of its own, so that the same function may be added twice.
type tap struct{ f Tap }

// AddTap adds a tap, from the next batch on. remove takes it away again; it may be called more than once.
func (n *NIC) AddTap(f Tap) (remove func()) {
	t := &tap{f}
	n.changeTaps(func(old []*tap) []*tap { return append(slices.Clone(old), t) })
	return func() {
		n.changeTaps(func(old []*tap) []*tap {
			return slices.DeleteFunc(slices.Clone(old), func(x *tap) bool { return x == t })
		})
	}
}

func (n *NIC) changeTaps(change func([]*tap) []*tap) {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.judge()
	var taps []*tap
	if p := n.taps.Load(); p != nil {
		taps = *p
	}
	if taps = change(taps); len(taps) == 0 {
		n.taps.Store(nil)
		return
	}
	n.taps.Store(&taps)
}

// tap shows p to the taps.
func (n *NIC) tap(r *rings, taps []*tap, dir Direction, now time.Duration, p *Packet) {
	r.tapTime = max(r.tapTime, now)
	for _, t := range taps {
		t.f(dir, r.tapTime, n, p)
	}
}

// SetFilter makes f decide which arriving packets the stack gets to see, like a socket's BPF filter: 0
// drops the packet, anything else lets it pass. f sees the packet's bytes as they are on the wire and
// must not keep or change them; queues call it concurrently. nil lets everything pass. (Package
// device/bpffilter adapts the programs of golang.org/x/net/bpf.)
func (n *NIC) SetFilter(f func(packet []byte) int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.judge()
	if f == nil {
		n.filter.Store(nil)
		return
	}
	n.filter.Store(&f)
}

// filterBatch drops what the filter rejects and returns the rest, in order, in the same array.
func (n *NIC) filterBatch(r *rings, filter func([]byte) int, ps []*Packet) []*Packet {
	kept := ps[:0]
	for _, p := range ps {
		b := p.Head
		if p.Flags&FlagCsumPartial != 0 || len(b) < p.Len() {
			r.scratch = n.AppendWire(r.scratch[:0], p)
			b = r.scratch
		}
		if filter(b) == 0 {
			n.Drop(p, DropFiltered)
			continue
		}
		kept = append(kept, p)
	}
	return kept
}
