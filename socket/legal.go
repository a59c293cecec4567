package socket

import (
	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv6"
)

// legalEnds are the addresses of the last packet from outside that could have
// them: most have those of the one before.
type legalEnds struct {
	src, dst ip
	version  uint32 // of the NIC's addresses
	inside   bool
	known    bool
}

// legalAgain reports whether d's addresses are those that were legal last. If not,
// the rules are set for p, and to be asked; what they allow is remembered already.
//
// A packet from outside may have these addresses: on the loopback wire only our
// own at either end; on an open wire no loopback address, and none of ours as the
// source.
func (r *receiver) legalAgain(p *device.Packet, d *datagram) bool {
	inside := !r.s.nic.Open() || p.Flags&device.FlagFromWire == 0
	version := r.s.nic.AddrVersion()
	if l := &r.legal; l.known && l.src == d.src && l.dst == d.dst && l.version == version && l.inside == inside {
		return true
	}
	r.legal = legalEnds{d.src, d.dst, version, inside, true}
	r.rules4.Loopback, r.rules6.Loopback = inside, inside
	r.rules4.Source, r.rules6.Source = ipv4.SourceMustNotBeLocal, ipv6.SourceMustNotBeLocal
	if inside {
		r.rules4.Source, r.rules6.Source = ipv4.SourceMustBeLocal, ipv6.SourceMustBeLocal
	}
	return false
}
