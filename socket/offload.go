package socket

import (
	"encoding/binary"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
)

// Segmentation offload, as lo has it on Linux: the segments of a run, which TCP has accounted for one by one, travel in one
// packet, behind one header, and the reader who waits for them takes them in one piece. Nobody else sees such a packet: counters
// count segments, taps and links see segments, and who is not that reader gets segments. So it is made only by one who has
// the baton, and who passes it on himself (device.NIC.Pass); all others send what fits the MTU.

// apartFor is for how many packets segments are not joined after some had to be taken apart though a reader waited: he has less
// room, or the segments are looked at one by one for another reason, which will not be gone at once.
const apartFor = 64

// roomToJoin returns how many bytes of text several segments may have that are sent in one packet now, behind headers of so
// many bytes. An IP packet has no more than 65,535 bytes, and each segment has a checksum of its own, which somebody
// would have to compute.
func (r *receiver) roomToJoin(head int) int {
	if r.s.verify || !r.s.nic.Quiet(r.queue) {
		return 0
	}
	if r.apart > 0 {
		r.apart--
		return 0
	}
	return device.MaxPacket - head
}

// transmitJoined transmits p, which stands for several segments, and returns it for the caller to hand to its receiver. If it is
// not alone on the ring, as it was to be a moment ago, it is taken apart there, and nil returned; what the ring has no room for
// then is lost, as in a full queue.
func (r *receiver) transmitJoined(now time.Duration, p *device.Packet) *device.Packet {
	nic := r.s.nic
	res, lost := nic.Transmit(now, p), uint64(0)
	if res == device.TxOK {
		if own := nic.Pass(r.queue); own != nil {
			return own
		}
	}
	for {
		rest := r.behind(p) // also on the ring p is ours until we poll
		if res != device.TxOK {
			p.Release()
			lost++
		}
		if p = rest; p == nil {
			break
		}
		res = nic.Transmit(now, p)
	}
	if lost > 0 {
		r.s.count.outDiscards.Add(lost)
	}
	return nil
}

// takeApart hands the segments of p, which has several, to their receivers one by one.
func (r *receiver) takeApart(p *device.Packet) {
	for p != nil {
		rest := r.behind(p)
		r.handle(p)
		p = rest
	}
}

// behind leaves the first segment in p and returns a packet with the others, nil if there is none: with the length, the identification
// and the sequence number of each, and PSH on the last.
func (r *receiver) behind(p *device.Packet) *device.Packet {
	if p.Segs <= 1 {
		return nil
	}
	rest := r.s.nic.NewPacket(r.queue, true)
	at := int(p.CsumStart)
	first, second := p.Head, rest.SetHead(len(p.Head))
	copy(second, first)
	rest.Hash, rest.Queue, rest.Cause, rest.Flags, rest.At = p.Hash, p.Queue, p.Cause, p.Flags, p.At
	rest.CsumStart, rest.CsumOffset = p.CsumStart, p.CsumOffset
	text := p.Frags[0].B
	n := len(text) / int(p.Segs)
	p.Frags[0].B, rest.Frags[0].B = text[:n:n], text[n:]
	p.Segs, rest.Segs = 0, p.Segs-1
	if rest.Segs == 1 {
		rest.Segs = 0
	}
	first[at+tcpFlags] &^= byte(tcp.PSH)
	seq := second[at+tcpSeq:]
	binary.BigEndian.PutUint32(seq, binary.BigEndian.Uint32(seq)+uint32(n))
	setLength(first, at, n)
	if second[0]>>4 == 4 {
		id := second[ipv4ID:]
		binary.BigEndian.PutUint16(id, binary.BigEndian.Uint16(id)+1)
	}
	setLength(second, at, len(text)-n)
	return rest
}

// Offsets of fields in the headers of TCP and IP.
const (
	tcpSeq     = 4
	tcpFlags   = 13
	ipv4Len    = 2
	ipv4ID     = 4
	ipv4Sum    = 10
	ipv6Length = 4
)

// setLength makes b the headers of a segment with n bytes of text, the TCP header at offset at, and does the sums: of
// the IPv4 header, and of the pseudo-header.
func setLength(b []byte, at, n int) {
	length, addrs := len(b)-at+n, b[12:ipv4.MinHeaderLen]
	if b[0]>>4 == 4 {
		binary.BigEndian.PutUint16(b[ipv4Len:], uint16(at+length))
		binary.BigEndian.PutUint16(b[ipv4Sum:], 0)
		binary.BigEndian.PutUint16(b[ipv4Sum:], ^checksum.Fold(checksum.Sum(b[:at], 0)))
	} else {
		binary.BigEndian.PutUint16(b[ipv6Length:], uint16(length))
		addrs = b[8:ipv6.HeaderLen]
	}
	binary.BigEndian.PutUint16(b[at+tcpCsumOffset:], checksum.Fold(checksum.Sum(addrs, uint32(protoTCP+length))))
}
