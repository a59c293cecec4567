package socket

import (
	"context"
	"net"
	"net/netip"
)

// Resolver answers questions about names the way net.Resolver does, but from the stack's own tables: the hosts
// table for names of hosts, and a built-in table of IANA's service names for ports. It never asks anything
// outside, and never blocks; a context that has ended is respected all the same. Errors have the types and the
// texts of package net's. All methods may be called concurrently.
type Resolver struct {
	hosts *Hosts
	lazy  *lazyNetErrors
	// stack chooses the source addresses by which RFC 6724 orders the addresses of a name; nil stands for a
	// computer on which every address is its own.
	stack *Stack
}

func (r *Resolver) errs() *netErrors { return r.lazy.get() }

// source is the address the stack would use for dst, invalid when there is no way to it.
func (r *Resolver) source(dst netip.Addr) netip.Addr {
	if r.stack == nil {
		return dst
	}
	return r.stack.sourceOf(dst)
}

// LookupHost returns the addresses of host in the order of the hosts table; an address stands for itself.
// The error is a *net.DNSError.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	addrs, err := r.lookupName(ctx, host)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out, nil
}

// LookupIPAddr returns the addresses of host in the order in which they should be tried (RFC 6724); an address
// stands for itself, and keeps its zone. The error is a *net.DNSError.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	addrs, err := r.lookupAddrs(ctx, host)
	if err != nil {
		return nil, err
	}
	out := make([]net.IPAddr, len(addrs))
	for i, a := range addrs {
		sixteen := a.As16()
		out[i] = net.IPAddr{IP: sixteen[:], Zone: a.Zone()}
	}
	return out, nil
}

// LookupNetIP returns the addresses of host that network ("ip", "ip4" or "ip6") admits, in the order in which they
// should be tried. IPv4 addresses are plain IPv4. Errors: net.UnknownNetworkError, *net.DNSError, and *net.AddrError
// if none of the addresses is of the wanted family.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	var family int
	switch network {
	case "ip":
	case "ip4":
		family = 4
	case "ip6":
		family = 6
	default:
		return nil, net.UnknownNetworkError(network)
	}
	addrs, err := r.lookupAddrs(ctx, host)
	if err != nil {
		return nil, err
	}
	return ofFamily(addrs, family, host)
}

// LookupAddr returns the names of an address, the canonical one first; a name with a dot in it gets one at its
// end. The error is a *net.DNSError.
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if err := r.ended(ctx, addr); err != nil {
		return nil, err
	}
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "unrecognized address", Name: addr}
	}
	names := r.hosts.LookupAddr(a)
	if len(names) == 0 {
		return nil, noSuchHost(addr)
	}
	for i, name := range names {
		names[i] = absoluteName(name)
	}
	return names, nil
}

// LookupPort returns the port of a service, by name or decimal number. network is "tcp", "udp" (with or without 4
// or 6) or "ip" for either. Errors: *net.AddrError for a number that is no port and for an unknown network,
// *net.DNSError for an unknown name.
func (r *Resolver) LookupPort(ctx context.Context, network, service string) (int, error) {
	if err := r.ended(ctx, service); err != nil {
		return 0, err
	}
	return lookupPort(network, service)
}

// ended returns the error of a lookup of name whose context has ended, or nil.
func (r *Resolver) ended(ctx context.Context, name string) error {
	if ctx.Err() == nil {
		return nil
	}
	err := r.errs().context(ctx.Err())
	late := err == r.errs().timeout
	return &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: name, IsTimeout: late, IsTemporary: late}
}

// lookupName finds a name in the hosts table.
func (r *Resolver) lookupName(ctx context.Context, name string) ([]netip.Addr, error) {
	if name == "" {
		return nil, noSuchHost(name)
	}
	if err := r.ended(ctx, name); err != nil {
		return nil, err
	}
	addrs := r.hosts.Lookup(name)
	if len(addrs) == 0 {
		return nil, noSuchHost(name)
	}
	return addrs, nil
}

// lookupAddrs returns the addresses of a name or an address literal, the best destination first.
func (r *Resolver) lookupAddrs(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	addrs, err := r.lookupName(ctx, host)
	if err != nil {
		return nil, err
	}
	sortDestinations(addrs, r.source)
	return addrs, nil
}

// ofFamily keeps the addresses of one family (0: all); host is for the error if none is left.
func ofFamily(addrs []netip.Addr, family int, host string) ([]netip.Addr, error) {
	kept := addrs[:0]
	for _, a := range addrs {
		if family == 0 || a.Is4() == (family == 4) {
			kept = append(kept, a)
		}
	}
	if len(kept) == 0 {
		return nil, &net.AddrError{Err: noSuitableAddress, Addr: host}
	}
	return kept, nil
}

const noSuitableAddress = "no suitable address found"

// addrList turns the address of a Dial or Listen into all the endpoints it may mean, best first. "host:port" is
// split for tcp and udp; for ip the whole is the host. An empty host gives the zero netip.Addr. Zones are kept:
// errors show them.
func (r *Resolver) addrList(ctx context.Context, n netSpec, network, address string) ([]netip.AddrPort, error) {
	host, port := address, 0
	if n.transport != transportIP && address != "" {
		h, service, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if port, err = lookupPort(network, service); err != nil {
			return nil, err
		}
		host = h
	}
	if host == "" {
		return []netip.AddrPort{netip.AddrPortFrom(netip.Addr{}, uint16(port))}, nil
	}
	addrs, err := r.lookupAddrs(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 1 && addrs[0] == netip.IPv6Unspecified() {
		addrs = append(addrs, netip.IPv4Unspecified()) // [::] means every address there is
	}
	if addrs, err = ofFamily(addrs, n.family, host); err != nil {
		return nil, err
	}
	list := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		list[i] = netip.AddrPortFrom(a, uint16(port))
	}
	return list, nil
}

// dialAddrs returns the endpoints that a Dial to address tries, in order; local, if not nil, is the Dialer's
// LocalAddr, and leaves those of its own family. The zero netip.Addr stands for an empty host; dialEndpoints knows
// what that and other wildcards connect to. The errors are those that package net puts inside *net.OpError.
func (r *Resolver) dialAddrs(ctx context.Context, network, address string, local net.Addr) ([]netip.AddrPort, error) {
	n, err := parseNetwork(network)
	if err != nil {
		return nil, err
	}
	if address == "" {
		return nil, r.errs().missingAddress
	}
	addrs, err := r.addrList(ctx, n, network, address)
	if err != nil || local == nil {
		return addrs, err
	}
	from, ok := inetOf(n, local)
	if !ok {
		return nil, &net.AddrError{Err: "mismatched local address type", Addr: local.String()}
	}
	kept := addrs[:0]
	for _, to := range addrs {
		wildcard := from.isWildcard() || !to.Addr().IsValid() || to.Addr().IsUnspecified()
		if wildcard || to.Addr().Is4() == (from.family() == 4) {
			kept = append(kept, to)
		}
	}
	if len(kept) == 0 {
		return nil, &net.AddrError{Err: noSuitableAddress, Addr: local.String()}
	}
	return kept, nil
}

// inetOf reads an address of the type that belongs to the transport; ok is false for any other type.
func inetOf(n netSpec, a net.Addr) (_ inetAddr, ok bool) {
	switch a := a.(type) {
	case *net.TCPAddr:
		return inetOfTCP(a), n.transport == transportTCP
	case *net.UDPAddr:
		return inetOfUDP(a), n.transport == transportUDP
	case *net.IPAddr:
		return inetOfIP(a), n.transport == transportIP
	}
	return inetAddr{}, false
}

// listenAddr returns the endpoint that a Listen on address means — IPv4 first if a name has several — as the user
// wrote it (for errors), and where to bind. Resolution's errors come with a zero addr: package net's *net.OpError
// has no address then. An error of the choice of family comes with the address.
func (r *Resolver) listenAddr(ctx context.Context, network, address string) (addr netip.AddrPort, b binding, found bool, err error) {
	n, err := parseNetwork(network)
	if err != nil {
		return netip.AddrPort{}, binding{}, false, err
	}
	addrs, err := r.addrList(ctx, n, network, address)
	if err != nil {
		return netip.AddrPort{}, binding{}, false, err
	}
	addr = addrs[0]
	for _, a := range addrs {
		if a.Addr().Is4() {
			addr = a
			break
		}
	}
	b, err = listenBinding(n, inetOfAddrPort(addr))
	return addr, b, true, err
}

// absoluteName gives a name of several labels the final dot that package net's reverse lookups have.
func absoluteName(name string) string {
	for i := 0; i < len(name)-1; i++ {
		if name[i] == '.' {
			if name[len(name)-1] != '.' {
				return name + "."
			}
			break
		}
	}
	return name
}
