package ipv6

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
	// Loopback permits ::1 at either end: the interface is a loopback one.
	Loopback bool
	// Source is the rule of ownership for sources.
	Source SourceRule
	// IsLocal reports whether an address is ours. nil: ::1 is.
	IsLocal func(netip.Addr) bool
	// IsMember reports whether we listen to a group. nil: to none.
	IsMember func(netip.Addr) bool
}

// Check decides on the addresses of a received packet: OK, or which rule made
// it a martian (RFC 4291 §2.5.2, §2.5.3, §2.7, RFC 6890). The source is looked
// at first, as it is the forged one more often.
func (a *AddrRules) Check(h Header) Reason {
	if why := a.checkSource(h.Src()); why != OK {
		return why
	}
	return a.checkDest(h.Dst())
}

func (a *AddrRules) checkSource(src netip.Addr) Reason {
	switch {
	case src.Is4In6(): // first: what netip says of the others holds of the IPv4 address inside
		return ReasonSourceMapped
	case src.IsMulticast():
		return ReasonSourceMulticast
	case src.IsUnspecified(): // legal in neighbour discovery only, which lo has none of
		return ReasonSourceUnspecified
	case src.IsLoopback():
		if !a.Loopback {
			return ReasonSourceLoopback
		}
	}
	switch a.Source {
	case SourceMustBeLocal:
		if !a.local(src) {
			return ReasonSourceNotLocal
		}
	case SourceMustNotBeLocal:
		// An interface that may carry ::1 carries it from ourselves, so only
		// other addresses of ours are forged there.
		if !src.IsLoopback() && a.local(src) {
			return ReasonSourceOurs
		}
	}
	return OK
}

func (a *AddrRules) checkDest(dst netip.Addr) Reason {
	switch {
	case dst.Is4In6():
		return ReasonDestMapped
	case dst.IsUnspecified():
		return ReasonDestUnspecified
	case dst.IsMulticast():
		// Scope 0 is reserved, and scope 1 never leaves the interface.
		if scope := dst.As16()[1] & 0xf; scope == 0 || scope == 1 && !a.Loopback {
			return ReasonDestScope
		}
		if a.IsMember == nil || !a.IsMember(dst) {
			return ReasonDestNotLocal
		}
		return OK
	case dst.IsLoopback():
		if !a.Loopback {
			return ReasonDestLoopback
		}
	}
	if !a.local(dst) {
		return ReasonDestNotLocal
	}
	return OK
}

func (a *AddrRules) local(x netip.Addr) bool {
	if a.IsLocal == nil {
		return x.IsLoopback()
	}
	return a.IsLocal(x)
}
