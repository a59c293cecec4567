package ipv4

import "net/netip"

// SourceRule says which source addresses are legal by who owns them.
type SourceRule uint8

const (
	SourceAny            SourceRule = iota // ours and others': no rule
	SourceMustBeLocal                      // only ours: the loopback wire, which never leaves the computer
	SourceMustNotBeLocal                   // only others': an open wire, where a packet from ourselves is forged
)

// AddrRules says which addresses are legal in a packet that came in on one
// interface. Its methods read only, so one value serves any number of callers.
type AddrRules struct {
	// Loopback permits 127.0.0.0/8 at either end: the interface is a loopback one.
	Loopback bool
	// Source is the rule of ownership for sources.
	Source SourceRule
	// IsLocal reports whether an address is ours. nil: 127.0.0.0/8 is.
	IsLocal func(netip.Addr) bool
	// IsBroadcast reports whether an address is the broadcast address of a
	// network that we are on; 255.255.255.255 always is. nil: no other.
	IsBroadcast func(netip.Addr) bool
	// IsMember reports whether we listen to a group or to a broadcast
	// address. nil: to none.
	IsMember func(netip.Addr) bool
}

// Check decides on the addresses of a received packet: OK, or which rule made
// it a martian (RFC 1122 §3.2.1.3, RFC 1812 §5.3.7). The source is looked at
// first, as it is the forged one more often.
func (a *AddrRules) Check(h Header) Reason {
	if why := a.checkSource(h.Src()); why != OK {
		return why
	}
	return a.checkDest(h.Dst())
}

func (a *AddrRules) checkSource(src netip.Addr) Reason {
	switch top := src.As4()[0]; {
	case top == 0:
		return ReasonSourceThisNet
	case top == 127 && !a.Loopback:
		return ReasonSourceLoopback
	case top >= 224 && top < 240:
		return ReasonSourceMulticast
	case a.broadcast(src):
		return ReasonSourceBroadcast
	case top >= 240:
		return ReasonSourceReserved
	}
	switch a.Source {
	case SourceMustBeLocal:
		if !a.local(src) {
			return ReasonSourceNotLocal
		}
	case SourceMustNotBeLocal:
		// An interface that may carry loopback addresses carries them from
		// ourselves, so only other addresses of ours are forged there.
		if !src.IsLoopback() && a.local(src) {
			return ReasonSourceOurs
		}
	}
	return OK
}

func (a *AddrRules) checkDest(dst netip.Addr) Reason {
	top := dst.As4()[0]
	switch {
	case top == 0:
		return ReasonDestThisNet
	case top == 127 && !a.Loopback:
		return ReasonDestLoopback
	case top >= 224 && top < 240 || a.broadcast(dst):
		if a.IsMember == nil || !a.IsMember(dst) {
			return ReasonDestNotLocal
		}
		return OK
	case top >= 240:
		return ReasonDestReserved
	case !a.local(dst):
		return ReasonDestNotLocal
	}
	return OK
}

func (a *AddrRules) broadcast(x netip.Addr) bool {
	return x == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || a.IsBroadcast != nil && a.IsBroadcast(x)
}

func (a *AddrRules) local(x netip.Addr) bool {
	if a.IsLocal == nil {
		return x.IsLoopback()
	}
	return a.IsLocal(x)
}
