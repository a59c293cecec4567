package device

import "time"

// MaxHead is the room in bytes that every Packet has: for the headers of our own packets, which are at most IPv6 (40) +
// fragment header (8) + TCP with options (60), or IPv4 with options (60) + TCP (60), and for a small payload, which is
// cheaper to copy than to own.
const MaxHead = 256

// MaxPacket is the length in bytes of the longest IP packet (RFC 791 §3.1: a 16 bit total length).
const MaxPacket = 65535

// A Piece is a part of a packet's payload: bytes, and the chunk of pool memory they lie in.
// Owner is nil when B is ordinary memory that the garbage collector looks after.
type Piece struct {
	B     []byte
	Owner *Buf
}

// PacketFlags say where a packet has been and what is left to do to it.
type PacketFlags uint8

const (
	// FlagCsumPartial: the transport checksum was left to the device (checksum offload). The checksum
	// field holds the folded pseudo-header sum, not complemented, as in virtio-net. It is trusted on
	// receipt and filled in for taps and for packets that leave this computer.
	FlagCsumPartial PacketFlags = 1 << iota
	// FlagOutside: the packet is routed off this computer. It leaves by an open wire and is
	// unreachable on the loopback wire.
	FlagOutside
	// FlagFromWire: the packet came in from outside or was injected. Verify everything; the rules
	// about martian addresses apply.
	FlagFromWire
	// FlagImpaired: an impairing link touched the packet (copied it, perhaps corrupted it). Verify its
	// checksums.
	FlagImpaired
	// FlagSteered: Queue is set and says which queue the packet travels on, not Hash.
	FlagSteered
	// FlagLent: the bytes of Frags are lent by somebody who waits until the packet has been received (see
	// NIC.Transmit). Who keeps them longer makes them the packet's own (Own).
	FlagLent
)

// A Packet is one IP packet and the descriptor that travels through the rings. The packet's bytes
// are Head, then Frags[0], then Frags[1].
//
// A packet has one owner at a time, who alone may look at it or change it; passing it to
// NIC.Transmit (when that says TxOK), NIC.Receive or a handler passes the ownership on. The last
// owner calls Release once.
//
// What differs from one small packet to the next is on the first of its cache lines, and its bytes begin on the third.
type Packet struct {
	// Head is the IP header and everything that follows it in one piece. For our own packets it is
	// exactly the headers and lies in the packet itself (see SetHead); for packets from outside and
	// reassembled ones it is the whole packet.
	Head []byte
	// At is when NIC.Transmit took the packet, since the stack's epoch.
	At time.Duration
	// Hash is the flow hash, equal for both directions of a flow (see FlowHash). It chooses the queue,
	// unless FlagSteered is set.
	Hash uint32
	// CsumStart and CsumOffset describe the checksum to fill in when FlagCsumPartial is set: it covers
	// the bytes of the packet from CsumStart to its end and is stored, 16 bits, at CsumStart+CsumOffset.
	CsumStart, CsumOffset uint16
	// Flags say where the packet has been.
	Flags PacketFlags
	// Queue is the queue the packet travels on; the NIC sets it, unless FlagSteered is set.
	Queue uint8
	// Cause says why the packet was sent, in numbers of its protocol (a tcp.Cause); 0 is not said. It is
	// for taps: no protocol depends on it.
	Cause uint8
	// Segs is how many segments of equal length the packet stands for, if more than one: segmentation offload. Such a
	// packet is for NIC.Pass: a poll would take it for a single one, longer than the MTU, and so would taps and links.
	Segs uint8

	// state is the packet's number plus one, 0 if it has none, and liveBit, which in audit mode is set while
	// the packet is out of its pool and changed by atomic operations.
	state uint32
	pool  *Pool

	// HeadOwner owns Head's memory when that is pool memory outside the packet.
	HeadOwner *Buf
	// Frags is the payload after Head, in order. The packet holds one reference to each owner.
	Frags [2]Piece

	inline [MaxHead]byte
}

// liveBit is above all numbers.
const liveBit = 1 << 31

// number returns the number that p has among the packets of pool; ok is false if it has none.
func (p *Packet) number(pool *Pool) (d Desc, ok bool) {
	state := p.state &^ liveBit
	return Desc(state - 1), state != 0 && p.pool == pool
}

// Len returns the packet's length in bytes, IP header included.
func (p *Packet) Len() int {
	return len(p.Head) + len(p.Frags[0].B) + len(p.Frags[1].B)
}

// SetHead makes Head the first n bytes of the room inside the packet and returns it. The bytes are
// not zeroed. It panics when n exceeds MaxHead.
func (p *Packet) SetHead(n int) []byte {
	p.Head = p.inline[:n]
	return p.Head
}

// AppendTo appends the packet's bytes to dst, as they are: a partial checksum stays partial.
// NIC.AppendWire gives the bytes with the checksum filled in.
func (p *Packet) AppendTo(dst []byte) []byte {
	dst = append(dst, p.Head...)
	dst = append(dst, p.Frags[0].B...)
	return append(dst, p.Frags[1].B...)
}

// Own makes what is lent of the packet's bytes its own, by a copy in memory of pool.
func (p *Packet) Own(pool *Pool) {
	if p.Flags&FlagLent == 0 {
		return
	}
	p.Flags &^= FlagLent
	for i := range p.Frags {
		f := &p.Frags[i]
		if f.Owner == nil && len(f.B) > 0 {
			f.Owner = pool.Get(len(f.B))
			f.B = f.Owner.Bytes()[:copy(f.Owner.Bytes(), f.B)]
		}
	}
}

// Release gives up the packet: it releases HeadOwner and the owners of Frags, and returns the packet
// to its pool. Its owner calls it exactly once and must not touch the packet afterwards.
func (p *Packet) Release() {
	p.Retire()
	p.Recycle()
}

// Recycle is the second half of Release: it returns a packet that was retired to its pool. The holder of a
// baton uses NIC.Recycle.
func (p *Packet) Recycle() {
	if p.pool != nil {
		p.pool.putPacket(p)
	}
}

// Retire is the first half of Release: it gives up the packet and all that it holds, but leaves it to the
// caller to see that it is used again, by Recycle or by handing it to the holder of a baton for
// NIC.Recycle. Nobody else gives its memory back.
func (p *Packet) Retire() {
	if p.holds() {
		p.giveUp()
	}
	if p.pool != nil {
		p.pool.takeBack(p)
	}
	p.clear()
}

// holds reports whether there is something to give up.
func (p *Packet) holds() bool {
	return p.HeadOwner != nil || p.Frags[0].B != nil || p.Frags[0].Owner != nil || p.Frags[1].B != nil || p.Frags[1].Owner != nil
}

// clear makes all the other fields what NewPacket promises.
func (p *Packet) clear() {
	p.Head = p.inline[:0]
	p.At = 0
	p.Hash = 0
	p.CsumStart, p.CsumOffset = 0, 0
	p.Flags = 0
	p.Queue = 0
	p.Cause = 0
	p.Segs = 0
}

// giveUp gives up what p holds.
func (p *Packet) giveUp() {
	if p.HeadOwner != nil {
		p.HeadOwner.Release()
		p.HeadOwner = nil
	}
	p.Frags[0].giveUp()
	if p.Frags[1].B != nil || p.Frags[1].Owner != nil {
		p.Frags[1].giveUp()
	}
}

// giveUp gives up what f holds. It is small enough to be part of the caller.
func (f *Piece) giveUp() {
	if f.Owner != nil {
		f.Owner.Release()
		f.Owner = nil
	}
	f.B = nil
}
