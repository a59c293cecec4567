package socket

import (
	"time"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// sendAck is output where the TCB has a pure ACK to send and nothing else, see [tcp.TCB.LoneAck]: headers are written to the
// packet, and there is no Segment in between.
func (c *TCPConn) sendAck(now time.Duration) {
	s, q := c.s, int(c.node.queue)
	var p *device.Packet
	var spares *tcp.Spares
	if c.node.baton {
		p, spares = s.nic.NewPacketHeld(q), &s.receivers[q].spares
	} else {
		p = s.pool.NewPacket()
	}
	at := c.node.key.ipLen()
	b := p.SetHead(at + tcp.TSHeaderLen)
	s.tcpBehind(b, &c.node, c.tos, c.ipID, tcp.TSHeaderLen)
	c.ipID++
	sum := pseudoSum(c.node.sum, protoTCP, tcp.TSHeaderLen)
	why := c.tcb.SendAck(now, (*[tcp.TSHeaderLen]byte)(b[at:]), sum, spares)
	c.node.label(p, why, c.outside)
	if s.cfg.VerifyChecksums {
		s.checksum(p, &c.node.key, protoTCP, at, tcpCsumOffset)
	} else {
		p.CsumStart, p.CsumOffset = uint16(at), tcpCsumOffset
		p.Flags |= device.FlagCsumPartial
	}
	if !c.transmit(now, p) {
		c.pending = p
	}
}
