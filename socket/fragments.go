package socket

import (
	"net/netip"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv6"
)

// fragment4 takes in a fragment. When it completes its datagram, that goes on
// as one packet would have.
func (r *receiver) fragment4(p *device.Packet, h ipv4.Header, d *datagram) {
	f := r.s.reassembly()
	f.mu.Lock()
	whole, why := f.v4.Input(r.time(), h, d.head, p.Frags[0].B, p.Frags[1].B)
	r.s.armReassembly()
	f.mu.Unlock()
	if why != ipv4.OK {
		r.s.count.ipv4[why].Add(1)
		r.s.drop(p, DropReassembly)
		return
	}
	r.reassembled(p, whole)
}

// fragment6 is fragment4 for IPv6.
func (r *receiver) fragment6(p *device.Packet, h ipv6.Header, d *datagram) {
	f := r.s.reassembly()
	f.mu.Lock()
	whole, why := f.v6.Input(r.time(), h, p.Head[len(h):], p.Frags[0].B, p.Frags[1].B)
	r.s.armReassembly()
	f.mu.Unlock()
	if why != ipv6.OK {
		r.s.count.ipv6[why].Add(1)
		if problem := ipv6.FragmentProblem(h, p.Head[len(h):], why); problem.Send {
			r.icmpError(p, d, icmpProblem{kind: problemParameter, code: problem.Code, pointer: problem.Pointer})
		}
		r.s.drop(p, DropReassembly)
		return
	}
	r.reassembled(p, whole)
}

// reassembled counts the fragment p as used and takes in the datagram it
// completed, if any. Its checksum is verified: no device had a hand in it.
func (r *receiver) reassembled(p *device.Packet, whole []byte) {
	r.s.count.fragments.Add(1)
	flags := p.Flags &^ device.FlagCsumPartial
	p.Release()
	if whole == nil {
		return
	}
	r.s.count.reassembled.Add(1)
	q := r.s.pool.NewPacket()
	q.Head = whole
	q.Hash = device.FlowHash(whole)
	q.Flags = flags
	r.input(q)
}

// reassembly returns the reassemblers, which the first fragment makes.
func (s *Stack) reassembly() *reassembly {
	if f := s.reasm.Load(); f != nil {
		return f
	}
	s.reasm.CompareAndSwap(nil, new(reassembly))
	return s.reasm.Load()
}

// armReassembly sees to it that fragments do not wait for ever; the lock of
// the reassemblers is held.
func (s *Stack) armReassembly() {
	f := s.reassembly()
	if f.timer.owner == nil {
		f.timer.owner = s
	}
	s.arm(&f.timer, min(f.v4.Deadline(), f.v6.Deadline()))
}

func (s *Stack) timerKey() *flowKey { return &flowKey{} }

// expire gives up datagrams whose fragments did not all come in time, and
// tells the sender if the first one did (RFC 792, RFC 4443 §3.3).
func (s *Stack) expire(now time.Duration) {
	type late struct {
		orig     []byte
		src, dst netip.Addr
	}
	var gone []late
	note := func(first []byte, src, dst netip.Addr) {
		if first != nil {
			gone = append(gone, late{append([]byte(nil), first...), src, dst})
		}
	}
	f := s.reassembly()
	f.mu.Lock()
	f.timer.set = false
	f.v4.Timeout(now, note)
	f.v6.Timeout(now, note)
	s.armReassembly()
	f.mu.Unlock()

	r := receiver{s: s, now: now}
	for _, g := range gone {
		if s.mayComplain(&r) {
			d := datagram{src: ipOf(g.src), dst: ipOf(g.dst)}
			r.icmpErrorAbout(g.orig, &d, icmpProblem{kind: problemReassembly})
		}
	}
	for q := range s.receivers {
		s.kick(q, now)
	}
}
