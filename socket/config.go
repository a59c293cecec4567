package socket

import (
	"time"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// Config describes the computer that [New] makes. The zero value is a computer
// with lo at MTU 16436, Linux's TCP defaults, the wall clock and random seeds.
type Config struct {
	// MTU of lo in bytes, 68 to 65535 (1280 or more for IPv6);
	// 0 means device.DefaultMTU, 16436.
	MTU int
	// Queues is the number of RX and TX ring pairs of lo, 1 to 64. TCP connections
	// take turns in them, all else is steered to one by the hash of its addresses
	// and ports; packets of one flow stay in order. 0 means 1.
	Queues int
	// RingSize is the number of descriptors in each ring, rounded up to a
	// power of two; 0 means 256.
	RingSize int
	// Link joins the TX ring to the RX ring; nil is the loopback wire. With an
	// open wire (device.Port, device.Wire) packets to addresses that are not
	// local leave by it.
	Link device.Link

	// Clock and Parker are the stack's surroundings; nil means package time
	// and package sync.
	Clock  Clock
	Parker Parker

	// Staged puts off what the calls of TCP's users send until Clock calls
	// next. With a clock that waits until all goroutines have come to rest
	// (package sim's, in a testing/synctest bubble), what a connection sends
	// after an instant then depends on what its users did in that instant and
	// not on which of them was first: a segment's window does not tell whether
	// a reader ran before or after a writer. Writes of one instant may share a
	// segment, as with Linux's autocorking.
	Staged bool

	// Seed fixes everything the stack draws at random: initial sequence
	// numbers, timestamp offsets, ephemeral ports, IP identifications. 0 draws
	// a fresh seed from crypto/rand.
	Seed uint64

	// TCP holds the parameters of TCP, named after Linux's sysctls; nil
	// means Linux's defaults. It must not be changed afterwards.
	TCP *tcp.Config
	// SynCookies is tcp_syncookies: whether a listener with too many half-open
	// connections answers with cookies (RFC 4987) instead of not at all; on.
	// tcp.Always: every listener does so, for every SYN.
	SynCookies tcp.Switch
	// MaxTWBuckets is tcp_max_tw_buckets: how many connections may be in
	// TIME-WAIT; beyond that the oldest is given up. 0 means 262144.
	MaxTWBuckets int
	// TWReuse is tcp_tw_reuse: whether a dial may take over a name in
	// TIME-WAIT when timestamps tell the connections apart (RFC 6191); on, as
	// on Linux for loopback traffic.
	TWReuse tcp.Switch
	// TWReuseDelay is tcp_tw_reuse_delay: how long TIME-WAIT must have lasted
	// before that; 0 means 1 s.
	TWReuseDelay time.Duration
	// Observer is told of every state change, RTT sample, change of the
	// congestion window and retransmission of every connection; nil for none.
	// It is called with the connection locked and must not call back into
	// the stack.
	Observer tcp.Observer

	// Hosts is added to the hosts table, in /etc/hosts syntax: one address
	// and its names a line. localhost, ip6-localhost and ip6-loopback are
	// there already.
	Hosts string

	// TTL is net.ipv4.ip_default_ttl and net.ipv6.conf.all.hop_limit: the time
	// to live, 1 to 255, of packets sent; 0 means 64.
	TTL int

	// SoMaxConn bounds the accept queue of every listener (net.core.somaxconn);
	// 0 means 4096.
	SoMaxConn int
	// EphemeralPorts is the range, both ends included, from which ports are
	// drawn (net.ipv4.ip_local_port_range); zero means 32768 to 60999.
	EphemeralPorts [2]uint16
	// UDPRecvBuf bounds the datagrams waiting in one UDP socket, in bytes of
	// payload and bookkeeping (net.core.rmem_default); 0 means 212992.
	UDPRecvBuf int

	// VerifyChecksums makes the NIC work without checksum offload: transport
	// checksums are computed for every packet sent and verified for every
	// packet received, also those that never left this process.
	VerifyChecksums bool
}

// Defaults of Config.
const (
	defaultTTL          = 64
	defaultSoMaxConn    = 4096
	defaultUDPRecvBuf   = 212992
	defaultMaxTWBuckets = 262144
	defaultTWReuseDelay = time.Second
	firstEphemeral      = 32768
	lastEphemeral       = 60999
)

func (c *Config) fill() {
	if c.MTU == 0 {
		c.MTU = device.DefaultMTU
	}
	if c.TTL == 0 {
		c.TTL = defaultTTL
	}
	if c.SoMaxConn == 0 {
		c.SoMaxConn = defaultSoMaxConn
	}
	if c.MaxTWBuckets == 0 {
		c.MaxTWBuckets = defaultMaxTWBuckets
	}
	if c.TWReuseDelay == 0 {
		c.TWReuseDelay = defaultTWReuseDelay
	}
	if c.UDPRecvBuf == 0 {
		c.UDPRecvBuf = defaultUDPRecvBuf
	}
	if c.EphemeralPorts == [2]uint16{} {
		c.EphemeralPorts = [2]uint16{firstEphemeral, lastEphemeral}
	}
}
