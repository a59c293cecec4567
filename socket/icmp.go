package socket

import (
	"net/netip"
	"syscall"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
)

// inputICMP4 answers echoes and passes errors on to the socket they concern.
func (r *receiver) inputICMP4(p *device.Packet, d *datagram) {
	s := r.s
	b := contiguous(p, d)
	m, why := ipv4.ParseICMP(b, p.Flags&device.FlagCsumPartial != 0)
	if why != ipv4.OK {
		s.count.ipv4[why].Add(1)
		s.drop(p, DropICMP)
		return
	}
	s.count.icmpIn.Add(1)
	switch {
	case m.Type == ipv4.ICMPEchoRequest:
		m.Type = ipv4.ICMPEchoReply
		reply := make([]byte, m.Len())
		m.Marshal(reply)
		r.reply(d, protoICMP, p.Head[1], reply) // RFC 1122 §3.2.2.6: the same TOS
	case m.Type.IsError():
		if q, ok := ipv4.ParseQuote(m.Data); ok {
			kind, known := kindOf4(m)
			r.icmpReport(icmpReport{
				proto: q.Protocol, src: q.Src, dst: q.Dst, seq: q.TCPSeq,
				kind: kind, forTCP: known, code: m.Code, mtu: int(m.MTU), err: errnoOf4(m),
			})
		} else {
			s.count.icmpOrphans.Add(1)
		}
	}
	r.deliver()
	p.Release()
}

// inputICMP6 is inputICMP4 for IPv6.
func (r *receiver) inputICMP6(p *device.Packet, d *datagram) {
	s := r.s
	b := contiguous(p, d)
	m, why := ipv6.ParseICMP(b, d.src.addr(), d.dst.addr(), p.Flags&device.FlagCsumPartial != 0)
	if why != ipv6.OK {
		s.count.ipv6[why].Add(1)
		s.drop(p, DropICMP)
		return
	}
	s.count.icmpIn.Add(1)
	switch {
	case m.Type == ipv6.ICMPEchoRequest:
		m.Type = ipv6.ICMPEchoReply
		reply := make([]byte, m.Len())
		m.Marshal(reply, d.dst.addr(), d.src.addr())
		r.reply(d, protoICMPv6, ipv6.Header(p.Head).TrafficClass(), reply)
	case m.Type.IsError():
		if q, ok := ipv6.ParseQuote(m.Data); ok {
			kind, known := kindOf6(m)
			r.icmpReport(icmpReport{
				proto: q.Protocol, src: q.Src, dst: q.Dst, seq: q.TCPSeq,
				kind: kind, forTCP: known, code: m.Code, mtu: int(m.MTU), err: errnoOf6(m),
			})
		} else {
			s.count.icmpOrphans.Add(1)
		}
	}
	r.deliver()
	p.Release()
}

// contiguous returns the transport's part of p in one piece.
func contiguous(p *device.Packet, d *datagram) []byte {
	if len(p.Frags[0].B) == 0 {
		return d.head
	}
	if len(d.head) == 0 && len(p.Frags[1].B) == 0 {
		return p.Frags[0].B
	}
	b := make([]byte, 0, d.length)
	return append(append(append(b, d.head...), p.Frags[0].B...), p.Frags[1].B...)
}

// reply sends an ICMP message back to where d came from.
func (r *receiver) reply(d *datagram, proto, tos uint8, m []byte) {
	s := r.s
	k := flowKey{local: d.dst, remote: d.src}
	s.count.icmpOut.Add(1)
	// A message may be cut into fragments, so each has an identification of its own.
	id := s.firstIPID(&k) + uint16(s.icmpID.Add(1))
	hash := s.sendRaw(r.time(), &k, proto, tos, m, id, !s.nic.IsLocal(d.src.addr()))
	r.kickOther(s.queueOf(hash))
}

// icmpProblem is what is wrong with a packet, in terms of both ICMPs.
type icmpProblem struct {
	kind    problemKind
	code    uint8  // of an ICMPv6 parameter problem
	pointer uint32 // to the byte to blame
}

type problemKind uint8

const (
	problemPort       problemKind = iota // nobody has the port
	problemProtocol                      // nobody speaks the protocol
	problemParameter                     // a malformed header
	problemReassembly                    // fragments did not come in time
)

// icmpError tells the sender of p what was wrong with it, if that is allowed
// and there were not too many such messages lately. Traffic of this computer
// with itself is not limited, as on Linux.
func (r *receiver) icmpError(p *device.Packet, d *datagram, why icmpProblem) {
	s := r.s
	if p.Flags&device.FlagFromWire != 0 && !s.mayComplain(r) {
		s.count.icmpLimited.Add(1)
		return
	}
	r.icmpErrorAbout(s.nic.AppendWire(nil, p), d, why)
}

func (s *Stack) mayComplain(r *receiver) bool {
	s.icmpLimit.mu.Lock()
	defer s.icmpLimit.mu.Unlock()
	return s.icmpLimit.Allow(r.time())
}

// icmpErrorAbout sends the error about the packet orig.
func (r *receiver) icmpErrorAbout(orig []byte, d *datagram, why icmpProblem) {
	if d.dst.is4() {
		if ipv4.ErrorAllowed(orig, nil) {
			m := why.message4()
			m.Data = ipv4.Quote(orig, ipv4.MinHeaderLen)
			b := make([]byte, m.Len())
			m.Marshal(b)
			r.reply(d, protoICMP, orig[1]&tosMask|tosInternetControl, b)
		}
		return
	}
	m := why.message6()
	if ipv6.ErrorAllowed(orig, m.Type, m.Code) {
		m.Data = ipv6.Quote(orig, 0)
		b := make([]byte, m.Len())
		m.Marshal(b, d.dst.addr(), d.src.addr())
		r.reply(d, protoICMPv6, 0, b)
	}
}

// The TOS of an ICMP error is that of the packet it is about, with the
// precedence "internetwork control" (RFC 1812 §4.3.2.5, for hosts as well on Linux).
const (
	tosMask            = 0x1e
	tosInternetControl = 0xc0
)

func (why icmpProblem) message4() ipv4.ICMP {
	switch why.kind {
	case problemPort:
		return ipv4.ICMP{Type: ipv4.ICMPDestUnreachable, Code: ipv4.CodePortUnreachable}
	case problemProtocol:
		return ipv4.ICMP{Type: ipv4.ICMPDestUnreachable, Code: ipv4.CodeProtocolUnreachable}
	case problemReassembly:
		return ipv4.ICMP{Type: ipv4.ICMPTimeExceeded, Code: ipv4.CodeReassemblyExceeded}
	}
	return ipv4.ICMP{Type: ipv4.ICMPParameterProblem, Code: ipv4.CodePointer, Pointer: uint8(why.pointer)}
}

func (why icmpProblem) message6() ipv6.ICMP {
	switch why.kind {
	case problemPort:
		return ipv6.ICMP{Type: ipv6.ICMPDestUnreachable, Code: ipv6.CodePortUnreachable}
	case problemProtocol:
		return ipv6.ICMP{Type: ipv6.ICMPParameterProblem, Code: ipv6.CodeUnknownNextHeader, Pointer: why.pointer}
	case problemReassembly:
		return ipv6.ICMP{Type: ipv6.ICMPTimeExceeded, Code: ipv6.CodeReassemblyExceeded}
	}
	return ipv6.ICMP{Type: ipv6.ICMPParameterProblem, Code: why.code, Pointer: why.pointer}
}

// icmpReport is an ICMP error, for the socket that sent the packet it is about.
type icmpReport struct {
	proto    uint8
	src, dst netip.AddrPort // of the packet it is about: src is ours
	seq      uint32         // TCP: of the segment it is about
	kind     tcp.ICMPKind
	forTCP   bool // kind is one that TCP knows
	code     uint8
	mtu      int
	err      error // what a UDP socket is told; nil: nothing
}

// icmpReport finds the socket that sent the packet and tells it.
func (r *receiver) icmpReport(e icmpReport) {
	s := r.s
	flow := flowKey{local: ipOf(e.src.Addr()), remote: ipOf(e.dst.Addr()), lport: e.src.Port(), rport: e.dst.Port()}
	switch e.proto {
	case protoTCP:
		node := s.tcp.find(&flow, flow.hash(protoTCP))
		if node == nil {
			break
		}
		if c, ok := node.val.(*TCPConn); ok && e.forTCP {
			c.icmp(r, e)
		}
		return
	case protoUDP:
		if e.kind == tcp.ICMPPacketTooBig && s.findUDP(&flow, flow.hash(protoUDP)) != nil {
			s.tooBig(r.time(), flow.remote, e.mtu)
		}
		// Only a connected socket is told: another could not say which of its
		// datagrams it was.
		if node := s.udp.find(&flow, flow.hash(protoUDP)); node != nil && node.val.connected {
			if e.err != nil {
				node.val.fail(e.err)
			}
			return
		}
	case protoICMP, protoICMPv6:
		if e.kind == tcp.ICMPPacketTooBig && s.raw.wants(e.proto, flow.local) {
			s.tooBig(r.time(), flow.remote, e.mtu)
		}
		return // a raw socket has its copy of the message
	}
	s.count.icmpOrphans.Add(1)
}

// icmp hands an ICMP error to the TCB, which decides what to believe (RFC 5927).
func (c *TCPConn) icmp(r *receiver, e icmpReport) {
	c.lock()
	now := c.at(r.time())
	c.tcb.ICMP(now, tcp.ICMPError{Kind: e.kind, Code: e.code, MTU: e.mtu, Seq: tcp.Seq(e.seq), Unaccepted: c.ln != nil})
	if e.kind == tcp.ICMPPacketTooBig && c.outside && int(c.tcb.Info(now).PMTU) == e.mtu {
		c.s.tooBig(now, c.node.key.remote, e.mtu) // it was believed: others may profit
	}
	w := c.settle(now)
	c.mu.Unlock()
	w.run()
	r.kickOther(int(c.node.queue))
}

// kindOf4 is what an ICMP error means to TCP.
func kindOf4(m ipv4.ICMP) (kind tcp.ICMPKind, ok bool) {
	switch m.Type {
	case ipv4.ICMPTimeExceeded:
		return tcp.ICMPTimeExceeded, true
	case ipv4.ICMPParameterProblem:
		return tcp.ICMPParamProblem, true
	case ipv4.ICMPDestUnreachable:
		switch m.Code {
		case ipv4.CodeProtocolUnreachable:
			return tcp.ICMPProtoUnreach, true
		case ipv4.CodePortUnreachable:
			return tcp.ICMPPortUnreach, true
		case ipv4.CodeFragmentationNeeded:
			return tcp.ICMPPacketTooBig, true
		case ipv4.CodeHostUnreachable, ipv4.CodeSourceRouteFailed, ipv4.CodeHostUnknown, ipv4.CodeHostIsolated, ipv4.CodeHostTOS:
			return tcp.ICMPHostUnreach, true
		case ipv4.CodeHostProhibited, ipv4.CodeFiltered:
			return tcp.ICMPAdminProhibited, true
		}
		return tcp.ICMPNetUnreach, true
	}
	return 0, false
}

// errnoOf4 is what a UDP socket is told of an ICMP error: hard errors only, as
// Linux does without IP_RECVERR.
func errnoOf4(m ipv4.ICMP) error {
	switch m.Type {
	case ipv4.ICMPParameterProblem:
		return syscall.EPROTO
	case ipv4.ICMPDestUnreachable:
		switch m.Code {
		case ipv4.CodeProtocolUnreachable:
			return syscall.ENOPROTOOPT
		case ipv4.CodePortUnreachable:
			return syscall.ECONNREFUSED
		case ipv4.CodeFragmentationNeeded:
			return syscall.EMSGSIZE
		case ipv4.CodeNetUnknown, ipv4.CodeNetProhibited:
			return syscall.ENETUNREACH
		case ipv4.CodeHostUnknown:
			return syscall.EHOSTDOWN
		case ipv4.CodeHostIsolated:
			return errNoNet
		case ipv4.CodeHostProhibited, ipv4.CodeFiltered, ipv4.CodePrecedenceViolation, ipv4.CodePrecedenceCutoff:
			return syscall.EHOSTUNREACH
		}
	}
	return nil
}

// kindOf6 is what an ICMPv6 error means to TCP.
func kindOf6(m ipv6.ICMP) (kind tcp.ICMPKind, ok bool) {
	switch m.Type {
	case ipv6.ICMPPacketTooBig:
		return tcp.ICMPPacketTooBig, true
	case ipv6.ICMPTimeExceeded:
		return tcp.ICMPTimeExceeded, true
	case ipv6.ICMPParameterProblem:
		return tcp.ICMPParamProblem, true
	case ipv6.ICMPDestUnreachable:
		switch m.Code {
		case ipv6.CodePortUnreachable:
			return tcp.ICMPPortUnreach, true
		case ipv6.CodeNoRoute:
			return tcp.ICMPNetUnreach, true
		case ipv6.CodeProhibited, ipv6.CodeSourcePolicy, ipv6.CodeRejectRoute:
			return tcp.ICMPAdminProhibited, true
		}
		return tcp.ICMPHostUnreach, true
	}
	return 0, false
}

// errnoOf6 is errnoOf4 for ICMPv6.
func errnoOf6(m ipv6.ICMP) error {
	switch m.Type {
	case ipv6.ICMPParameterProblem:
		return syscall.EPROTO
	case ipv6.ICMPPacketTooBig:
		return syscall.EMSGSIZE
	case ipv6.ICMPDestUnreachable:
		if m.Code > ipv6.CodeRejectRoute {
			return syscall.EPROTO // a code nobody has defined yet
		}
		switch m.Code {
		case ipv6.CodePortUnreachable:
			return syscall.ECONNREFUSED
		case ipv6.CodeProhibited, ipv6.CodeSourcePolicy, ipv6.CodeRejectRoute:
			return syscall.EACCES
		}
	}
	return nil
}
