package socket

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
)

// destination is an address with what RFC 6724 wants to know about it.
type destination struct {
	addr, source netip.Addr
}

// sortDestinations puts the addresses of a name into the order in which they are to be tried, by RFC 6724 §6.
// source returns the address that the stack would send from, or the zero Addr for an unreachable destination.
// Equals keep their order (rule 10). Rules 3, 4 and 7 speak of deprecated, home and tunnelled addresses, which a
// loopback device does not have.
func sortDestinations(addrs []netip.Addr, source func(netip.Addr) netip.Addr) {
	if len(addrs) < 2 {
		return
	}
	ds := make([]destination, len(addrs))
	for i, a := range addrs {
		ds[i] = destination{a, source(a)}
	}
	slices.SortStableFunc(ds, compareDestinations)
	for i, d := range ds {
		addrs[i] = d.addr
	}
}

// compareDestinations is negative if a is to be tried before b.
func compareDestinations(a, b destination) int {
	// Rule 1: Avoid unusable destinations.
	if !a.source.IsValid() || !b.source.IsValid() {
		return preferTrue(a.source.IsValid(), b.source.IsValid())
	}
	// Rule 2: Prefer matching scope.
	if c := preferTrue(scopeOf(a.addr) == scopeOf(a.source), scopeOf(b.addr) == scopeOf(b.source)); c != 0 {
		return c
	}
	// Rule 5: Prefer matching label.
	precA, labelA := policyOf(a.addr)
	precB, labelB := policyOf(b.addr)
	_, sourceLabelA := policyOf(a.source)
	_, sourceLabelB := policyOf(b.source)
	if c := preferTrue(labelA == sourceLabelA, labelB == sourceLabelB); c != 0 {
		return c
	}
	// Rule 6: Prefer higher precedence.
	if c := cmp.Compare(precB, precA); c != 0 {
		return c
	}
	// Rule 8: Prefer smaller scope.
	if c := cmp.Compare(scopeOf(a.addr), scopeOf(b.addr)); c != 0 {
		return c
	}
	// Rule 9: Use longest matching prefix. We differ, with package net: not for IPv4, where it would defeat the
	// round robin of a name's addresses.
	if a.addr.Is6() && b.addr.Is6() {
		return cmp.Compare(commonPrefix(b.addr, b.source), commonPrefix(a.addr, a.source))
	}
	return 0
}

func preferTrue(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// policyOf is the default policy table of RFC 6724 §2.1.
func policyOf(a netip.Addr) (precedence, label uint8) {
	b := a.As16()
	switch {
	case a.Is4() || a.Is4In6():
		return 35, 4
	case a == netip.IPv6Loopback():
		return 50, 0
	case b[0] == 0x20 && b[1] == 0x02: // 2002::/16, 6to4
		return 30, 2
	case b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0: // 2001::/32, Teredo
		return 5, 5
	case b[0]&0xfe == 0xfc: // fc00::/7, unique local
		return 3, 13
	case [12]byte(b[:12]) == [12]byte{}: // ::/96
		return 1, 3
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0: // fec0::/10, site-local
		return 1, 11
	case b[0] == 0x3f && b[1] == 0xfe: // 3ffe::/16
		return 1, 12
	}
	return 40, 1
}

// Scopes of RFC 4291 §2.7 and RFC 6724 §3.1, in which loopback addresses are link-local ones.
const (
	scopeLinkLocal = 0x2
	scopeSiteLocal = 0x5
	scopeGlobal    = 0xe
)

func scopeOf(a netip.Addr) uint8 {
	b := a.As16()
	switch {
	case a.IsLoopback() || a.IsLinkLocalUnicast():
		return scopeLinkLocal
	case a.Is6() && a.IsMulticast():
		return b[1] & 0x0f
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0:
		return scopeSiteLocal
	}
	return scopeGlobal
}

// commonPrefix counts the leading bits that two IPv6 addresses share, at most 64: the rest is the interface's.
func commonPrefix(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range 8 {
		if d := x[i] ^ y[i]; d != 0 {
			return 8*i + bits.LeadingZeros8(d)
		}
	}
	return 64
}
