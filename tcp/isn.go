package tcp

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"
)

// isnTick is the period of the clock in initial sequence numbers (RFC 9293 §3.4.1).
const isnTick = 4 * time.Microsecond

// What a keyed hash is for. The purpose is part of what is hashed: one secret serves all of them, and
// none tells anything about another.
const (
	purposeISN = iota + 1
	purposeTSOffset
	purposePortOffset
	purposeCookieBase
	purposeCookieData
)

// ISN returns the initial sequence number of a connection: "ISN = M + F(localip, localport, remoteip,
// remoteport, secretkey)" (RFC 6528 §3). M is a clock of 4 µs; F is SipHash-2-4 under the stack's secret.
// The numbers of one pair of sockets rise with time, so that a new connection does not take segments of
// the one before, and tell a stranger nothing about those of another pair.
func ISN(secret [16]byte, now time.Duration, local, remote netip.AddrPort) Seq {
	m := uint32(uint64(max(now, 0)) / uint64(isnTick))
	return Seq(m + uint32(tupleHash(&secret, purposeISN, local, remote, 0)))
}

// TSOffset returns what a connection adds to its clock to make timestamps, so that they tell nobody how
// long the computer is up (RFC 7323 §7.1). It is the same for every connection between two
// addresses, whatever their ports: a host that checks timestamps across connections (PAWS for a reused
// pair, RFC 6191) sees them rise. Ports are not looked at.
func TSOffset(secret [16]byte, local, remote netip.AddrPort) uint32 {
	return uint32(addrHash(&secret, purposeTSOffset, local.Addr(), remote.Addr(), 0, 0))
}

// PortOffset returns where the search for an ephemeral port begins for connections from localAddr to
// remote: the "offset" of RFC 6056 §3.3.3, algorithm 3, to be used modulo the number of ports.
func PortOffset(secret [16]byte, localAddr netip.Addr, remote netip.AddrPort) uint32 {
	return uint32(addrHash(&secret, purposePortOffset, localAddr, remote.Addr(), uint32(remote.Port()), 0))
}

// tupleHash hashes a pair of sockets, a purpose and a number under key.
func tupleHash(key *[16]byte, purpose uint8, local, remote netip.AddrPort, n uint32) uint64 {
	return addrHash(key, purpose, local.Addr(), remote.Addr(), uint32(local.Port())<<16|uint32(remote.Port()), n)
}

// addrHash is tupleHash, the local port being the higher half of ports. What is hashed is the addresses, the ports, the
// number and the purpose, in this order and in network byte order. Messages of the two families differ in
// length, which SipHash takes in.
func addrHash(key *[16]byte, purpose uint8, local, remote netip.Addr, ports, n uint32) uint64 {
	end := bits.ReverseBytes64(uint64(ports)<<32 | uint64(n))
	if local.Is4() && remote.Is4() {
		a, b := local.As4(), remote.As4()
		addrs := uint64(binary.LittleEndian.Uint32(a[:])) | uint64(binary.LittleEndian.Uint32(b[:]))<<32
		return sipWords(key, []uint64{addrs, end}, uint64(purpose)|(4+4+9)<<56)
	}
	a, b := local.As16(), remote.As16()
	le := binary.LittleEndian
	return sipWords(key, []uint64{le.Uint64(a[:]), le.Uint64(a[8:]), le.Uint64(b[:]), le.Uint64(b[8:]), end}, uint64(purpose)|(16+16+9)<<56)
}
