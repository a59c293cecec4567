package device

import "time"

// Loopback is the loopback wire: what a NIC sends comes back to it at once, unchanged and in order. It
// leads nowhere else, so packets that are routed off this computer are dropped as unreachable.
type Loopback struct{}

// Send implements Link.
func (Loopback) Send(n *NIC, q int, now time.Duration, ps []*Packet) {
	n.ReceiveBatch(q, now, keepLocal(n, ps, func(p *Packet) { n.Drop(p, DropUnreachable) }))
}

// keepLocal gives the packets that are routed off this computer to outside and returns the others, in
// order, in the same array.
func keepLocal(n *NIC, ps []*Packet, outside func(*Packet)) []*Packet {
	for i, p := range ps {
		if p.Flags&FlagOutside != 0 {
			return splitLocal(ps, i, outside)
		}
	}
	return ps
}

// splitLocal is keepLocal's slow path; the first i packets are known to be local.
func splitLocal(ps []*Packet, i int, outside func(*Packet)) []*Packet {
	kept := ps[:i]
	for _, p := range ps[i:] {
		if p.Flags&FlagOutside != 0 {
			outside(p)
		} else {
			kept = append(kept, p)
		}
	}
	return kept
}
