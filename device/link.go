package device

import "time"

// A Link is what a NIC's TX ring empties into.
type Link interface {
	// Send takes ownership of the packets ps, drained in order from TX ring q of n, and delivers
	// them, now or later, by NIC.Receive or in other ways, or drops them by NIC.Drop. It must not keep
	// ps. It is called by the holder of queue q's baton: one call at a time for each queue of a NIC,
	// but for different queues and NICs concurrently. A link that wraps another one and delivers by it
	// outside of a poll, not holding the baton, passes Late(q) for q and kicks the queue afterwards.
	Send(n *NIC, q int, now time.Duration, ps []*Packet)
}

// Late names queue q to Link.Send and NIC.ReceiveBatch for packets that are delivered later than in the
// poll that sent them, by somebody who does not hold the baton. Late(Late(q)) is q.
func Late(q int) int { return ^q }

// An Opener is a Link by which packets may leave this computer. A link that wraps another one answers as
// that does.
type Opener interface {
	Open() bool
}

// SetLink plugs the NIC into another link (Loopback if nil), from the next batch on. What the old link
// still holds stays with it.
func (n *NIC) SetLink(l Link) {
	if l == nil {
		l = Loopback{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link.Store(&l)
	n.judge()
}

// Link returns the link the NIC is plugged into.
func (n *NIC) Link() Link { return *n.link.Load() }

// Open reports whether the NIC's link leads anywhere but back: on a link that does not, packets with
// FlagOutside are unreachable.
func (n *NIC) Open() bool {
	o, ok := n.Link().(Opener)
	return ok && o.Open()
}
