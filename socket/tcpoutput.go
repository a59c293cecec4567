package socket

import (
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/tcp"
)

// output moves segments from the TCB to the TX ring. When the ring is full the
// bytes stay where they are, and the stack comes back when there is room.
func (c *TCPConn) output(now time.Duration) {
	if c.pending != nil {
		if res := c.s.nic.Transmit(now, c.pending); res != device.TxOK && !c.refused(c.pending, res) {
			return
		}
		c.pending = nil
	}
	if c.tcb.LoneAck() {
		c.sendAck(now)
		return
	}
	c.outputSegments(now)
}

// outputSegments is output where it is more than an ACK. The segment makes its frame a large one, which those do without
// who only acknowledge: see stackroom.go.
func (c *TCPConn) outputSegments(now time.Duration) {
	var seg tcp.Segment
	seg.Spares = c.spares()
	for seg.Payload.N > 0 && c.tcb.OutputRun(now, &seg) || c.tcb.Output(now, &seg) {
		seg.ECN |= c.tos
		id := c.ipID
		if c.ln != nil && seg.Flags&tcp.SYN != 0 || seg.Flags&(tcp.RST|tcp.ACK) == tcp.RST {
			id = 0 // Linux: it is not the connection that sends SYN-ACKs, and resets in answer
		} else {
			c.ipID++
		}
		p := c.s.tcpPacket(&c.node, &seg, id, c.outside)
		if ttl := c.tcb.TTL(); ttl != 0 {
			setTTL(p.Head, ttl)
		}
		if res := c.s.nic.Transmit(now, p); res != device.TxOK && !c.refused(p, res) {
			c.pending = p
			return
		}
	}
}

// refused is called for a packet that the NIC did not take, for the reason res, and reports whether it is off our hands.
func (c *TCPConn) refused(p *device.Packet, res device.TxResult) bool {
	switch res {
	case device.TxFull:
		p.Own(&c.s.pool)
		if !c.stalled {
			c.stalled = true
			c.s.stall(c)
		}
		return false
	default: // lo is down: lost, as on a dead wire; TCP will retransmit
		c.s.count.outDiscards.Add(1)
		p.Release()
		return true
	}
}

// spares are those of the holder of the baton of c's queue, if it is he who has the lock; else nil.
func (c *TCPConn) spares() *tcp.Spares {
	if !c.node.baton {
		return nil
	}
	return &c.s.receivers[c.node.queue].spares
}

// sendAck is output where the TCB has a pure ACK to send and nothing else, see [tcp.TCB.LoneAck]: headers are written to the
// packet, and there is no Segment in between.
func (c *TCPConn) sendAck(now time.Duration) {
	s := c.s
	p := s.nic.NewPacket(int(c.node.queue), c.node.baton)
	at := c.node.key.ipLen()
	b := p.SetHead(at + tcp.TSHeaderLen)
	s.ipBehind(b, &c.node.key, c.node.sum, protoTCP, c.tos, c.ipID, ipv4.FlagDF, tcp.TSHeaderLen)
	c.ipID++
	sum := pseudoSum(c.node.sum, protoTCP, tcp.TSHeaderLen)
	why := c.tcb.SendAck(now, (*[tcp.TSHeaderLen]byte)(b[at:]), sum, c.spares())
	c.node.label(p, why, c.outside)
	if s.verify {
		s.checksum(p, c.node.sum, protoTCP, at, tcpCsumOffset)
	} else {
		offload(p, at, tcpCsumOffset)
	}
	if res := c.s.nic.Transmit(now, p); res != device.TxOK && !c.refused(p, res) {
		c.pending = p
	}
}
