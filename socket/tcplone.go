package socket

import (
	"encoding/binary"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/tcp"
)

// A Write of text that leaves at once as one packet, nothing else being outstanding: what questions and answers are. It is
// the long way of tcpuser.go and tcpconn.go, without the questions whose answers are known: nobody waits for
// room, and there is one packet and no event.

// unhindered reports whether nothing about the socket keeps n bytes that are written now from leaving at once; the TCB
// must be asked, too. The lock is held. It is small enough to be part of the caller.
func (c *TCPConn) unhindered(n int) bool {
	return !c.writing && !c.closed && !c.wshut && !c.detached && c.soErr == 0 && c.pending == nil && (c.due == nil || c.due.write == never) &&
		!c.wr.busy() && int(c.burst)+n < writeBurst && !c.s.cfg.Staged
}

// writeLone is Write of such a text, if neither unhindered nor Lone says no, but for what the packet brings about: the caller
// polls the queue as of now if he has the baton, see stackroom.go. It gives up the lock.
func (c *TCPConn) writeLone(p []byte) (now time.Duration, baton bool) {
	s, q := c.s, int(c.node.queue)
	now = c.at(s.now())
	held := s.nic.Ring(q) // who has the baton sends more cheaply
	var pk *device.Packet
	var spares *tcp.Spares
	if held {
		pk, spares = s.nic.NewPacketHeld(q), &s.receivers[q].spares
	} else {
		pk = s.pool.NewPacket()
	}
	c.node.label(pk, tcp.CauseNewData, c.outside)
	k := &c.node.key
	length, at := tcp.TSHeaderLen+len(p), k.ipLen()
	var owner tcp.Buffer
	if at+length <= device.MaxHead {
		copy(pk.SetHead(at + length)[at+tcp.TSHeaderLen:], p)
	} else {
		pk.SetHead(at + tcp.TSHeaderLen)
		s.attach(pk, p)
		p, owner = pk.Frags[0].B, pk.Frags[0].Owner
	}
	if at == ipv4.MinHeaderLen {
		b := (*[ipv4.MinHeaderLen]byte)(pk.Head)
		first, second := s.plain4(k, protoTCP).Words(c.tos, c.ipID, ipv4.FlagDF, uint64(at+length), uint64(c.node.sum))
		binary.BigEndian.PutUint64(b[0:], first)
		binary.BigEndian.PutUint64(b[8:], second)
		binary.BigEndian.PutUint32(b[16:], uint32(k.remote.lo))
	} else {
		s.plain6(pk.Head, k, protoTCP, c.tos, length)
	}
	c.ipID++
	due := c.tcb.SendLone(now, p, owner, (*[tcp.TSHeaderLen]byte)(pk.Head[at:]), pseudoSum(c.node.sum, protoTCP, length), spares)
	if s.cfg.VerifyChecksums {
		s.checksum(pk, c.node.sum, protoTCP, at, tcpCsumOffset)
	} else {
		pk.CsumStart, pk.CsumOffset = uint16(at), tcpCsumOffset
		pk.Flags |= device.FlagCsumPartial
	}
	if res := s.nic.Transmit(now, pk); res != device.TxOK && !c.refused(pk, res) {
		c.pending, c.steady = pk, false
	}
	if !c.timer.set || c.timer.due > due { // else it is set early enough for all others
		c.rearm()
	}
	c.burst += int32(len(p))
	c.mu.Unlock()
	return now, held || s.nic.Ring(q)
}
