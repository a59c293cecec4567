package socket

import (
	"encoding/binary"
	"net/netip"

	"example.com/loopback/device"
	"example.com/loopback/ipv4/checksum"
)

// An ip is an address of either family in the form the demultiplexer compares:
// two words, IPv4 mapped into ::ffff:0:0/96. The zero ip is "any address" of
// IPv6, anyV4 that of IPv4.
type ip struct{ hi, lo uint64 }

const mappedPrefix = 0xffff << 32

var (
	anyV4 = ip{0, mappedPrefix}
	anyV6 = ip{}
)

func ip4(b []byte) ip { return ip{0, mappedPrefix | uint64(binary.BigEndian.Uint32(b))} }

func ip6(b []byte) ip {
	return ip{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func ipOf(a netip.Addr) ip {
	if a.Is4() {
		b := a.As4()
		return ip4(b[:])
	}
	b := a.As16()
	return ip6(b[:])
}

func (a ip) is4() bool { return a.hi == 0 && a.lo>>32 == 0xffff }

func (a ip) as4() (b [4]byte) {
	binary.BigEndian.PutUint32(b[:], uint32(a.lo))
	return b
}

func (a ip) as16() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return b
}

func (a ip) addr() netip.Addr {
	if a.is4() {
		return netip.AddrFrom4(a.as4())
	}
	return netip.AddrFrom16(a.as16())
}

// sum is the address's share of a pseudo-header checksum, a running sum.
func (a ip) sum() uint64 {
	if a.is4() {
		return a.lo & 0xffffffff
	}
	return a.hi>>32 + a.hi&0xffffffff + a.lo>>32 + a.lo&0xffffffff
}

// A flowKey names the packets that belong to one socket. A remote of zero
// (address and port) is that of a socket without a peer, a local address of
// any that of a socket bound to a port only.
type flowKey struct {
	local, remote ip
	lport, rport  uint16
}

func (k flowKey) localAddr() netip.AddrPort  { return netip.AddrPortFrom(k.local.addr(), k.lport) }
func (k flowKey) remoteAddr() netip.AddrPort { return netip.AddrPortFrom(k.remote.addr(), k.rport) }

// ports is both ports in one word.
func (k *flowKey) ports() uint32 { return uint32(k.lport) | uint32(k.rport)<<16 }

// same is ==, which the compiler would call a function for. What tells a connection from its peer, which has
// the same hash, comes first.
func (k *flowKey) same(o *flowKey) bool {
	return k.ports() == o.ports() && k.local.lo == o.local.lo && k.remote.lo == o.remote.lo &&
		k.local.hi == o.local.hi && k.remote.hi == o.remote.hi
}

// sum is the share of the addresses in the checksum of a pseudo-header, not
// complemented.
func (k *flowKey) sum() uint16 {
	const low = 0xffffffff
	sum := k.local.lo&low + k.remote.lo&low
	if !k.remote.is4() {
		sum += k.local.lo>>32 + k.remote.lo>>32 + k.local.hi>>32 + k.local.hi&low + k.remote.hi>>32 + k.remote.hi&low
	}
	return checksum.Fold(uint32(sum>>32 + sum>>16&0xffff + sum&0xffff))
}

// pseudoSum is the checksum of a pseudo-header, not complemented: addrs is the
// share of the addresses, length that of the packet without its IP header.
func pseudoSum(addrs uint16, proto uint8, length int) uint16 {
	return checksum.Fold(uint32(addrs) + uint32(proto) + uint32(length))
}

// less is the stable order of sockets: by addresses and ports, which do not
// depend on who came first.
func (k *flowKey) less(o *flowKey) bool {
	switch {
	case k.local != o.local:
		return k.local.hi < o.local.hi || k.local.hi == o.local.hi && k.local.lo < o.local.lo
	case k.lport != o.lport:
		return k.lport < o.lport
	case k.remote != o.remote:
		return k.remote.hi < o.remote.hi || k.remote.hi == o.remote.hi && k.remote.lo < o.remote.lo
	}
	return k.rport < o.rport
}

// hash is the NIC's flow hash of the packets of protocol proto under k: the
// same for both directions, so that a connection and its peer share a queue.
func (k *flowKey) hash(proto uint8) uint32 {
	if k.local.is4() && (k.remote.is4() || k.remote == anyV6) {
		return device.FlowHash4(k.local.as4(), k.remote.as4(), proto, k.lport, k.rport)
	}
	local, remote := k.local.as16(), k.remote.as16()
	return device.FlowHash6(&local, &remote, proto, k.lport, k.rport)
}

// widen makes the local address that k is bound to the next less specific one: an
// address becomes all of its family, IPv4 becomes both. It reports false when
// there is none.
func (k *flowKey) widen() bool {
	switch {
	case k.local == anyV6:
		return false
	case k.local.is4() && k.local != anyV4:
		k.local = anyV4
	default:
		k.local = anyV6
	}
	return true
}
