package device

// A DropReason says why a NIC or its link gave up a packet. Every packet given up counts under
// exactly one reason.
type DropReason uint8

const (
	// DropTxDown: the NIC went down with the packet on its TX ring.
	DropTxDown DropReason = iota
	// DropUnreachable: the packet was routed off this computer, and the link leads nowhere.
	DropUnreachable
	// DropWireFull: the open wire's queue was full.
	DropWireFull
	// DropLink: the link lost the packet on purpose (an impairment).
	DropLink
	// DropRxFull: the RX ring was full.
	DropRxFull
	// DropRxDown: the packet arrived at, or waited on the RX ring of, a NIC that is down.
	DropRxDown
	// DropFiltered: the filter rejected the packet.
	DropFiltered
	// DropRxEmpty: an injected packet had no bytes.
	DropRxEmpty
	// DropRxLength: an injected packet was longer than MaxPacket.
	DropRxLength

	// NumDropReasons is the number of reasons.
	NumDropReasons = int(iota)
)

// String returns the reason's name as counters are named, such as "RxFull".
func (r DropReason) String() string {
	switch r {
	case DropTxDown:
		return "TxDown"
	case DropUnreachable:
		return "TxUnreachable"
	case DropWireFull:
		return "TxWireFull"
	case DropLink:
		return "TxLink"
	case DropRxFull:
		return "RxFull"
	case DropRxDown:
		return "RxDown"
	case DropFiltered:
		return "RxFiltered"
	case DropRxEmpty:
		return "RxEmpty"
	case DropRxLength:
		return "RxLength"
	}
	return "Unknown"
}

// Drops is the number of packets dropped for each reason since the NIC was made.
type Drops [NumDropReasons]uint64

// Total returns the number of packets dropped for any reason.
func (d Drops) Total() uint64 {
	var n uint64
	for _, v := range d {
		n += v
	}
	return n
}

// Drops returns a snapshot of the drop counters. Safe for concurrent use.
func (n *NIC) Drops() Drops {
	var d Drops
	for i := range d {
		d[i] = n.drops[i].Load()
	}
	return d
}

// Drop counts p as dropped for the given reason and releases it. Links use it for what they lose.
func (n *NIC) Drop(p *Packet, why DropReason) {
	n.drops[why].Add(1)
	p.Release()
}

// dropAll is Drop for several packets.
func (n *NIC) dropAll(ps []*Packet, why DropReason) {
	for _, p := range ps {
		n.Drop(p, why)
	}
}
