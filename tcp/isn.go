package tcp

import (
	"encoding/binary"
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
	local = netip.AddrPortFrom(local.Addr(), 0)
	remote = netip.AddrPortFrom(remote.Addr(), 0)
	return uint32(tupleHash(&secret, purposeTSOffset, local, remote, 0))
}

// PortOffset returns where the search for an ephemeral port begins for connections from localAddr to
// remote: the "offset" of RFC 6056 §3.3.3, algorithm 3, to be used modulo the number of ports.
func PortOffset(secret [16]byte, localAddr netip.Addr, remote netip.AddrPort) uint32 {
	return uint32(tupleHash(&secret, purposePortOffset, netip.AddrPortFrom(localAddr, 0), remote, 0))
}

// tupleHash hashes a pair of sockets, a purpose and a number under key. Messages of the two families
// differ in length, which SipHash takes in.
func tupleHash(key *[16]byte, purpose uint8, local, remote netip.AddrPort, n uint32) uint64 {
	var msg [16 + 16 + 9]byte
	i := 0
	if local.Addr().Is4() && remote.Addr().Is4() {
		a, b := local.Addr().As4(), remote.Addr().As4()
		i += copy(msg[i:], a[:])
		i += copy(msg[i:], b[:])
	} else {
		a, b := local.Addr().As16(), remote.Addr().As16()
		i += copy(msg[i:], a[:])
		i += copy(msg[i:], b[:])
	}
	binary.BigEndian.PutUint16(msg[i:], local.Port())
	binary.BigEndian.PutUint16(msg[i+2:], remote.Port())
	binary.BigEndian.PutUint32(msg[i+4:], n)
	msg[i+8] = purpose
	return sipHash(key, msg[:i+9])
}
