package socket

import (
	"net/netip"

	"example.com/loopback/device"
)

// A dgram is a datagram that waits to be read: its packet, of whose Head the
// payload is left, and who sent it.
type dgram struct {
	p    *device.Packet
	from ip
	port uint16
}

func (d *dgram) sender() netip.AddrPort { return netip.AddrPortFrom(d.from.addr(), d.port) }

// inline reports whether the packet holds all of its bytes itself.
func (d *dgram) inline() bool {
	return d.p.HeadOwner == nil && d.p.Frags[0].B == nil && d.p.Frags[1].B == nil
}

// A dgramQueue is the receive queue of a UDP socket, for whoever holds the
// socket's lock. It is a circular buffer in three parts: packets that were read
// and retired wait from spent on for the next who receives, and who has use for
// them as the holder of a baton; datagrams that wait to be read, from first on;
// room.
type dgramQueue struct {
	slots             []dgram // len is a power of two
	spent, first, end uint
}

// Bounds of a dgramQueue.
const (
	firstDgrams = 8   // room at first
	maxSpent    = 128 // retired packets kept, 384 bytes each
)

// len returns how many datagrams wait.
func (q *dgramQueue) len() int { return int(q.end - q.first) }

func (q *dgramQueue) at(i uint) *dgram { return &q.slots[i&uint(len(q.slots)-1)] }

// push appends a datagram.
func (q *dgramQueue) push(p *device.Packet, from ip, port uint16) {
	if q.end-q.spent == uint(len(q.slots)) {
		q.makeRoom()
	}
	d := q.at(q.end)
	d.p, d.from, d.port = p, from, port
	q.end++
}

// makeRoom makes room for one more, in the place of a retired packet if there is one.
func (q *dgramQueue) makeRoom() {
	if q.spent != q.first {
		q.giveUp()
		return
	}
	slots := make([]dgram, max(firstDgrams, 2*len(q.slots)))
	n := copy(slots, q.slots[q.first&uint(len(q.slots)-1):])
	copy(slots[n:], q.slots[:len(q.slots)-n])
	*q = dgramQueue{slots: slots, end: uint(len(q.slots))}
}

// front returns the datagram to be read next; there is one.
func (q *dgramQueue) front() *dgram { return q.at(q.first) }

// pop takes the first datagram out and returns its packet.
func (q *dgramQueue) pop() *device.Packet {
	d := q.front()
	p := d.p
	d.p = nil
	q.skip()
	return p
}

// retire gives up the packet of the first datagram, which is inline.
func (q *dgramQueue) retire() {
	d := q.front()
	if q.first-q.spent >= maxSpent {
		d.p.Release()
		d.p = nil
	} else {
		d.p.Retire()
	}
	q.skip()
}

// skip goes on to the next datagram. Slots without a packet are not worth returning to.
func (q *dgramQueue) skip() {
	if q.at(q.first).p == nil && q.spent == q.first {
		q.spent++
	}
	q.first++
}

// giveUp returns the first of the retired packets to its pool.
func (q *dgramQueue) giveUp() {
	if d := q.at(q.spent); d.p != nil {
		d.p.Recycle()
		d.p = nil
	}
	q.spent++
}

// recycle hands retired packets to the holder of the baton of queue n, about as
// many as he has use for who brings one.
func (q *dgramQueue) recycle(nic *device.NIC, n int) {
	for range 2 {
		if q.spent == q.first {
			return
		}
		d := q.at(q.spent)
		if d.p != nil {
			nic.Recycle(n, d.p)
			d.p = nil
		}
		q.spent++
	}
}

// clear gives up all that is there.
func (q *dgramQueue) clear() {
	for q.len() > 0 {
		q.pop().Release()
	}
	for q.spent != q.first {
		q.giveUp()
	}
	*q = dgramQueue{}
}
