package socket

import (
	crand "crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/ipv4/ratelimit"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
)

// Protocol numbers of the IP header.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// A Stack is one simulated computer: the interface lo, IP, TCP, UDP and the
// sockets of its users. All methods are safe for concurrent use.
//
// A Stack has no goroutine. Whoever puts a packet on a ring of the NIC works
// until the rings are empty, unless somebody is at it already (see package
// device on the baton). One that is dropped is collected; Close is for those
// who want the connections on it to fail now.
type Stack struct {
	// What each packet of a dialogue asks for is on three cache lines (TestLinesApart).
	epoch    time.Time
	clock    Clock // nil: package time
	nic      *device.NIC
	anyStall atomic.Bool // see stalled
	closed   atomic.Bool
	ttl      uint8 // of what we send
	staged   bool  // of cfg
	verify   bool  // the same
	serial   bool  // the clock hands out one event at a time

	raw       rawTable
	receivers []receiver // one for each queue, used by the holder of its baton

	lastNow atomic.Int64 // see recent
	pool    device.Pool

	cfg       Config
	parker    Parker
	secret    [16]byte
	stalledMu sync.Mutex
	stalled   []*TCPConn // wait for room on a TX ring

	tcp       flowTable[tcpEnd]
	udp       flowTable[*UDPConn]
	tcpPorts  ports
	udpPorts  ports
	udpPeers  atomic.Int32 // UDP sockets that are connected
	timeWaits twTable
	timers    timerQueue
	reasm     atomic.Pointer[reassembly]
	paths     pathMTUs
	fastOpen  fastOpenState

	tcpConfig atomic.Pointer[tcp.Config]
	tcpStats  tcp.Stats
	count     counters
	icmpID    atomic.Uint32 // ICMP messages sent
	steered   atomic.Uint32 // connections that were given a queue
	listening atomic.Uint32 // changes with the listeners
	lastPair  atomic.Pointer[pairOffsets]
	icmpLimit struct {
		mu sync.Mutex
		ratelimit.Limiter
	}

	hosts    Hosts
	resolver Resolver
	netErrs  lazyNetErrors
}

// New makes a computer that is up and running. It starts no goroutine and
// needs no privileges. It panics when cfg.Hosts does not parse or cfg.TCP names
// a congestion control that does not exist; NewChecked returns an error instead.
func New(cfg Config) *Stack {
	s, err := NewChecked(cfg)
	if err != nil {
		panic("socket: " + err.Error())
	}
	return s
}

// NewChecked is New for a configuration that comes from a user.
func NewChecked(cfg Config) (*Stack, error) {
	cfg.fill()
	tcpConfig, err := fillTCP(cfg.TCP)
	if err != nil {
		return nil, err
	}
	s := &Stack{cfg: cfg, clock: cfg.Clock, parker: cfg.Parker, serial: cfg.Clock != nil, staged: cfg.Staged, verify: cfg.VerifyChecksums}
	s.tcpConfig.Store(tcpConfig)
	s.epoch = s.wallNow()
	s.secret = newSecret(cfg.Seed)
	s.ttl = uint8(min(max(cfg.TTL, 1), 255))
	s.timers.init()
	s.tcp.proto, s.udp.proto = protoTCP, protoUDP
	s.timeWaits.init(s)
	s.tcpPorts.init(cfg.EphemeralPorts)
	s.udpPorts.init(cfg.EphemeralPorts)
	// UDP begins elsewhere: the ports of one protocol do not tell those of the other.
	s.udpPorts.rest = s.portOffset(netip.AddrPortFrom(loopback4, 0), netip.AddrPortFrom(loopback4, protoUDP))
	s.nic = device.NewNIC(device.Config{
		MTU: cfg.MTU, Queues: cfg.Queues, RingSize: cfg.RingSize, Link: cfg.Link, Pool: &s.pool,
		FillChecksum: checksum.Fill,
		Interrupt:    s.interrupt,
	})
	s.receivers = make([]receiver, s.nic.Queues())
	isLocal := s.nic.IsLocal // one function value for all
	for q := range s.receivers {
		s.receivers[q].init(s, q, isLocal)
	}
	s.resolver = Resolver{hosts: &s.hosts, lazy: &s.netErrs, stack: s}
	s.hosts.beginWithDefault()
	if cfg.Hosts != "" {
		if err := s.hosts.Parse(cfg.Hosts); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// defaultTCP is what all stacks share whose users do not care. Nobody changes it.
var defaultTCP = new(tcp.Config).Defaults()

// fillTCP completes the parameters of TCP.
func fillTCP(c *tcp.Config) (*tcp.Config, error) {
	if c == nil {
		return defaultTCP, nil
	}
	c = c.Defaults()
	if _, err := tcp.Select(c.CongestionControl); err != nil {
		return nil, err
	}
	return c, nil
}

// newSecret is the key of everything drawn at random.
func newSecret(seed uint64) (key [16]byte) {
	if seed == 0 {
		crand.Read(key[:]) // never fails
		return key
	}
	binary.BigEndian.PutUint64(key[:], seed)
	binary.BigEndian.PutUint64(key[8:], ^seed*0x9e3779b97f4a7c15)
	return key
}

// NIC returns the interface lo, for its counters, addresses, taps and filter,
// and to bring it up and down.
func (s *Stack) NIC() *device.NIC { return s.nic }

// Hosts returns the hosts table.
func (s *Stack) Hosts() *Hosts { return &s.hosts }

// errs are package net's own error values.
func (s *Stack) errs() *netErrors { return s.netErrs.get() }

// Resolver answers questions about names, as net.Resolver does.
func (s *Stack) Resolver() *Resolver { return &s.resolver }

// MTU returns the MTU of lo in bytes.
func (s *Stack) MTU() int { return s.nic.MTU() }

// SetTCP changes the parameters of TCP for connections that begin from now on.
// c must not be changed afterwards.
func (s *Stack) SetTCP(c *tcp.Config) error {
	filled, err := fillTCP(c)
	if err != nil {
		return err
	}
	s.tcpConfig.Store(filled)
	return nil
}

// sourceOf is the source address for dst, invalid when there is no way to it.
func (s *Stack) sourceOf(dst netip.Addr) netip.Addr {
	r, err := s.route(dst)
	if err != nil {
		return netip.Addr{}
	}
	return r.src
}

// Get implements tcp.Allocator with the NIC's pool.
func (s *Stack) Get(n int) ([]byte, tcp.Buffer) {
	b := s.pool.Get(n)
	return b.Bytes(), b
}

// recent is about the time of the latest poll: good enough where being a little
// late does no harm, and cheaper than asking the clock.
func (s *Stack) recent() time.Duration { return time.Duration(s.lastNow.Load()) }

// steer chooses the queue of a connection that begins here: the next in turn,
// so that a few connections do not meet on one queue as they would by their
// hashes (on real cards this is the flow director's work). The end that is
// called stays on the queue on which it was called.
func (s *Stack) steer() uint8 {
	if len(s.receivers) == 1 {
		return 0
	}
	return uint8(s.steered.Add(1) % uint32(len(s.receivers)))
}

// kick makes sure that the packets on the rings of queue q are taken care of:
// by us, if nobody is at it. No socket's lock is held.
func (s *Stack) kick(q int, now time.Duration) {
	if s.nic.Ring(q) {
		s.run(q, now, false)
	}
}

// queueOf is the queue of the NIC that carries what is not a connection's.
func (s *Stack) queueOf(hash uint32) int { return s.nic.QueueOf(hash) }

// recentGrain is how far recent may be behind: so far, that the cores do not
// fight over the cache line it is on.
const recentGrain = time.Millisecond

// Bounds on what one caller does before somebody else has to go on.
const (
	pollBatch  = 64   // packets between looks at the clock
	pollBudget = 4096 // packets before the baton is handed on
)

// run polls queue q, whose baton we hold, until nothing is left to do. coarse
// says that now is not by the clock (see sendTime). It returns the last
// reader of a connection that was woken.
func (s *Stack) run(q int, now time.Duration, coarse bool) *waiter {
	r := &s.receivers[q]
	r.now, r.coarse = now, coarse
	return r.run()
}

// runLater hands the baton of queue q on to a timer that is due at once.
//
//go:noinline
func (s *Stack) runLater(q int) { s.afterFunc(0, func() { s.run(q, s.now(), false) }) }

// interrupt is called when packets came in from outside, with the baton of queue q.
func (s *Stack) interrupt(q int) {
	now, coarse := s.pollTime()
	s.run(q, now, coarse)
}

// stall notes that c waits for room on a TX ring; c's lock is held.
func (s *Stack) stall(c *TCPConn) {
	s.stalledMu.Lock()
	defer s.stalledMu.Unlock()
	s.stalled = append(s.stalled, c)
	s.anyStall.Store(true)
}

// resumeStalled lets those go on that wait for room, in the order in which
// they came, for as long as there is room: what is left is asked again after
// the next batch of packets, whose number bounds the work.
func (s *Stack) resumeStalled(now time.Duration) {
	for {
		c := s.nextStalled()
		if c == nil || !c.resume(now) {
			return
		}
		s.kick(int(c.node.queue), now) // another queue's, perhaps; on ours it only rings
	}
}

// nextStalled takes the first of those that wait off the list, nil if there is
// none or no room for it.
func (s *Stack) nextStalled() *TCPConn {
	s.stalledMu.Lock()
	defer s.stalledMu.Unlock()
	if len(s.stalled) == 0 {
		s.stalled = nil
		s.anyStall.Store(false)
		return nil
	}
	c := s.stalled[0]
	if s.nic.TxRoom(int(c.node.queue)) == 0 {
		return nil
	}
	s.stalled[0] = nil
	s.stalled = s.stalled[1:]
	return c
}

// Close ends every connection and every socket: users waiting on them return
// net.ErrClosed, and nothing of the stack remains armed. It does not say
// good-bye to peers beyond an open wire.
func (s *Stack) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	for _, e := range sortedEnds(s.tcp.all()) {
		switch e := e.(type) {
		case *TCPListener:
			e.Close()
		case *TCPConn:
			e.kill()
		}
	}
	for _, k := range s.timeWaits.keys() {
		s.timeWaits.kill(&k)
	}
	for _, u := range s.udp.all() {
		u.close()
	}
	s.raw.closeAll()
	s.timers.stop()
	return nil
}

// kill closes c at once and in silence.
func (c *TCPConn) kill() {
	c.lock()
	c.shut()
	c.detach()
	c.rd.wakeAll()
	c.wr.wakeAll()
	c.mu.Unlock()
}

// pairOffsets are tcp.TSOffset of a pair of addresses, in both directions.
type pairOffsets struct {
	a, b       ip
	aToB, bToA uint32
}

// offsets returns tcp.TSOffset of the addresses of k as they are and in the other direction. They are the same
// whatever the ports, and both ends of a connection ask: so those of the pair that was met last are kept.
func (s *Stack) offsets(k *flowKey) (forward, backward uint32) {
	o := s.lastPair.Load()
	switch {
	case o != nil && o.a == k.local && o.b == k.remote:
		return o.aToB, o.bToA
	case o != nil && o.a == k.remote && o.b == k.local:
		return o.bToA, o.aToB
	}
	local, remote := k.localAddr(), k.remoteAddr()
	o = &pairOffsets{
		a: k.local, b: k.remote,
		aToB: tcp.TSOffset(s.secret, local, remote), bToA: tcp.TSOffset(s.secret, remote, local),
	}
	s.lastPair.Store(o)
	return o.aToB, o.bToA
}

// firstIPID is where the IP identifications of a socket begin.
func (s *Stack) firstIPID(k *flowKey) uint16 {
	_, backward := s.offsets(k)
	return uint16(backward)
}

// reassembly puts fragments together; one lock, as fragments are rare.
type reassembly struct {
	mu    sync.Mutex
	v4    ipv4.Reassembler
	v6    ipv6.Reassembler
	timer timer
}
