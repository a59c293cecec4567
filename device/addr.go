package device

import (
	"net/netip"
	"slices"
)

// addrTable is the NIC's addresses at one time; a change makes a new one.
type addrTable struct {
	addrs    []netip.Prefix // as shown, in the order they were added
	locals   []netip.Addr   // the addresses of addrs, sorted
	prefixes []netip.Prefix // local as a whole
	loop4    bool           // 127.0.0.0/8 is local as a whole
	version  uint32         // how many changes led to it
}

// loopback4 returns the prefix that belongs to the loopback device as a whole (RFC 1122 §3.2.1.3).
func loopback4() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8) }

// loopbackAddrs is what all NICs begin with. Tables are never changed.
var loopbackAddrs = &addrTable{
	addrs: []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8),
		netip.PrefixFrom(netip.IPv6Loopback(), 128),
	},
	locals: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()},
	loop4:  true,
}

// checkPrefix returns ErrPrefix for what is no prefix of the stack's addresses.
func checkPrefix(p netip.Prefix) error {
	if !p.IsValid() || p.Addr().Is4In6() {
		return ErrPrefix
	}
	return nil
}

// AddAddr adds an address with the length of its network's prefix, as `ip addr add` does. The address
// becomes local, not the whole prefix: only within 127.0.0.0/8 a prefix is local as a whole, and see
// AddPrefix. The error is ErrPrefix or ErrExists.
func (n *NIC) AddAddr(p netip.Prefix) error {
	if err := checkPrefix(p); err != nil || p.Addr().IsMulticast() || p.Addr().IsUnspecified() {
		return ErrPrefix
	}
	return n.changeAddrs(func(t *addrTable) error {
		i, found := slices.BinarySearchFunc(t.locals, p.Addr(), netip.Addr.Compare)
		if found {
			return ErrExists
		}
		t.addrs = append(slices.Clone(t.addrs), p)
		t.locals = slices.Insert(slices.Clone(t.locals), i, p.Addr())
		return nil
	})
}

// DelAddr removes what AddAddr or AddPrefix added, or one of the NIC's first addresses. Without
// 127.0.0.1/8 nothing of 127.0.0.0/8 is local that was not added itself. The error is ErrNoAddr when
// there is no such address with this prefix length.
func (n *NIC) DelAddr(p netip.Prefix) error {
	return n.changeAddrs(func(t *addrTable) error {
		if i := slices.Index(t.addrs, p); i >= 0 {
			t.addrs = slices.Delete(slices.Clone(t.addrs), i, i+1)
			j, _ := slices.BinarySearchFunc(t.locals, p.Addr(), netip.Addr.Compare)
			t.locals = slices.Delete(slices.Clone(t.locals), j, j+1)
			return nil
		}
		if i := slices.Index(t.prefixes, p.Masked()); i >= 0 && p == p.Masked() {
			t.prefixes = slices.Delete(slices.Clone(t.prefixes), i, i+1)
			return nil
		}
		return ErrNoAddr
	})
}

// AddPrefix makes all addresses of p local without showing them among the interface's addresses, as
// `ip route add local` does (AnyIP). Host bits are ignored. The error is ErrPrefix or ErrExists.
func (n *NIC) AddPrefix(p netip.Prefix) error {
	if err := checkPrefix(p); err != nil {
		return err
	}
	p = p.Masked()
	return n.changeAddrs(func(t *addrTable) error {
		if slices.Contains(t.prefixes, p) {
			return ErrExists
		}
		t.prefixes = append(slices.Clone(t.prefixes), p)
		return nil
	})
}

func (n *NIC) changeAddrs(change func(*addrTable) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := *n.addrs.Load()
	if err := change(&t); err != nil {
		return err
	}
	t.version++
	t.loop4 = false
	for _, p := range append(slices.Clone(t.prefixes), t.addrs...) {
		if p.Masked() == loopback4() {
			t.loop4 = true
		}
	}
	n.addrs.Store(&t)
	return nil
}

// AddrVersion is another number after every change of the addresses: what was concluded from them holds while it is
// the same. It wraps around.
func (n *NIC) AddrVersion() uint32 { return n.addrs.Load().version }

// Addrs returns the interface's addresses, in the order in which they were added.
func (n *NIC) Addrs() []netip.Prefix { return slices.Clone(n.addrs.Load().addrs) }

// Prefixes returns the prefixes added by AddPrefix.
func (n *NIC) Prefixes() []netip.Prefix { return slices.Clone(n.addrs.Load().prefixes) }

// IsLocal reports whether a is an address of this computer, up or down: one of Addrs, one within
// 127.0.0.0/8 while 127.0.0.1/8 is there, or one within Prefixes. It takes no lock and allocates nothing.
func (n *NIC) IsLocal(a netip.Addr) bool {
	t := n.addrs.Load()
	if t.loop4 && a.Is4() && a.As4()[0] == 127 {
		return true
	}
	if t.has(a) {
		return true
	}
	for _, p := range t.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// fewAddrs is up to how many addresses looking at each is quicker than a search.
const fewAddrs = 8

// has reports whether a is one of the addresses.
func (t *addrTable) has(a netip.Addr) bool {
	if len(t.locals) > fewAddrs {
		_, found := slices.BinarySearchFunc(t.locals, a, netip.Addr.Compare)
		return found
	}
	for i := range t.locals {
		if t.locals[i] == a {
			return true
		}
	}
	return false
}
