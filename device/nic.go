package device

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMTU is the loopback device's MTU in bytes: 16 KiB of data, and the headers of TCP over IPv4
// with timestamps (20 + 20 + 12).
const DefaultMTU = (16 * 1024) + 20 + 20 + 12

// Limits and defaults of Config.
const (
	DefaultRingSize = 256
	MaxRingSize     = 1 << 16
	MaxQueues       = 256
	MinMTU          = 68    // RFC 791 §3.2: what every IPv4 link carries
	MaxMTU          = 65536 // what newer Linux gives lo
)

// Config describes a NIC. The zero value gives lo as Linux has it, on the loopback wire.
type Config struct {
	// Name is the interface's name; "lo" if empty.
	Name string
	// MTU in bytes, MinMTU to MaxMTU; DefaultMTU if 0.
	MTU int
	// Metric is what ifconfig shows; 1 if 0.
	Metric int
	// TxQueueLen is what ifconfig and ip show as the length of the queue before the device. Nothing
	// queues there; old Linux shows 0 for lo, newer 1000.
	TxQueueLen int
	// Queues is the number of pairs of RX and TX rings, 1 to MaxQueues; 1 if 0.
	Queues int
	// RingSize is the number of descriptors of each ring, rounded up to a power of two, at most
	// MaxRingSize; DefaultRingSize if 0. A ring's memory is allocated when it is first used.
	RingSize int
	// Link is what the NIC is plugged into; Loopback if nil.
	Link Link
	// FillChecksum completes the partial checksum of the packet b: the sum covers b[start:], the
	// field is at start+offset and holds the folded pseudo-header sum. If nil, partial checksums stay.
	FillChecksum func(b []byte, start, offset int)
	// Interrupt, if not nil, is called when packets were put on RX ring q from outside a poll while
	// nobody held the queue's baton. The baton is the callee's: it must see to it that Poll is called
	// until Rest returns true.
	Interrupt func(q int)
	// Pool is where copies of packets get their memory; the NIC has its own if nil.
	Pool *Pool
}

// fill replaces what is unset by the defaults, and what is out of range by the nearest in range.
func (c *Config) fill() {
	if c.Name == "" {
		c.Name = "lo"
	}
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	c.MTU = min(max(c.MTU, MinMTU), MaxMTU)
	if c.Metric <= 0 {
		c.Metric = 1
	}
	c.TxQueueLen = max(c.TxQueueLen, 0)
	c.Queues = min(max(c.Queues, 1), MaxQueues)
	if c.RingSize <= 0 {
		c.RingSize = DefaultRingSize
	}
	c.RingSize = 1 << bits.Len(uint(min(c.RingSize, MaxRingSize)-1))
	if c.Link == nil {
		c.Link = Loopback{}
	}
	if c.Pool == nil {
		c.Pool = new(Pool)
	}
}

// A TxResult says what became of a packet given to Transmit.
type TxResult uint8

const (
	// TxOK: the NIC owns the packet.
	TxOK TxResult = iota
	// TxFull: the TX ring is full; the caller keeps the packet and may try again after a poll.
	TxFull
	// TxDown: the NIC is down; the caller keeps the packet.
	TxDown
)

// String returns the result's name.
func (r TxResult) String() string {
	switch r {
	case TxOK:
		return "TxOK"
	case TxFull:
		return "TxFull"
	case TxDown:
		return "TxDown"
	}
	return "TxUnknown"
}

// A NIC is a virtual network interface: TX and RX rings in pairs (queues), a link between them,
// counters, addresses, taps and a filter.
//
// All methods are safe for concurrent use, except that Poll and Rest of a queue belong to the holder
// of its baton (see Ring).
type NIC struct {
	// What each packet of a dialogue needs is one cache line.
	pool   *Pool
	queues []queue
	up     atomic.Bool
	plain  atomic.Bool // up, on the loopback wire, with no tap and no filter: nothing is between TX and RX
	link   atomic.Pointer[Link]
	mtu    atomic.Int64

	taps       atomic.Pointer[[]*tap]
	filter     atomic.Pointer[func([]byte) int]
	addrs      atomic.Pointer[addrTable]
	fillSum    func(b []byte, start, offset int)
	interrupt  func(q int)
	name       string
	txQueueLen int
	metric     int
	ringSize   int

	_  [cacheLine]byte // above is what every packet's way reads, below what is written
	mu sync.Mutex      // guards changes of what is plain or not, and of addrs

	refusedDown, refusedFull atomic.Uint64
	drops                    [NumDropReasons]atomic.Uint64
}

// NewNIC returns a NIC that is up and running, with the addresses 127.0.0.1/8 and ::1/128. Values of
// cfg that are out of range are replaced by the nearest in range.
func NewNIC(cfg Config) *NIC {
	cfg.fill()
	n := &NIC{
		name:       cfg.Name,
		txQueueLen: cfg.TxQueueLen,
		metric:     cfg.Metric,
		ringSize:   cfg.RingSize,
		fillSum:    cfg.FillChecksum,
		interrupt:  cfg.Interrupt,
		pool:       cfg.Pool,
		queues:     make([]queue, cfg.Queues),
	}
	n.up.Store(true)
	n.mtu.Store(int64(cfg.MTU))
	n.link.Store(&cfg.Link)
	n.judge()
	n.addrs.Store(loopbackAddrs)
	return n
}

// Name returns the interface's name.
func (n *NIC) Name() string { return n.name }

// MTU returns the longest IP packet in bytes that the interface carries.
func (n *NIC) MTU() int { return int(n.mtu.Load()) }

// SetMTU changes the MTU. It returns ErrMTU when mtu is not within MinMTU and MaxMTU.
func (n *NIC) SetMTU(mtu int) error {
	if mtu < MinMTU || mtu > MaxMTU {
		return ErrMTU
	}
	n.mtu.Store(int64(mtu))
	return nil
}

// Queues returns the number of queues.
func (n *NIC) Queues() int { return len(n.queues) }

// Pool returns the pool from which the NIC takes memory.
func (n *NIC) Pool() *Pool { return n.pool }

// Up reports whether the NIC is up.
func (n *NIC) Up() bool { return n.up.Load() }

// SetUp brings the NIC up or down. While it is down Transmit refuses and arriving packets are dropped;
// what was on the rings is dropped, by SetUp itself where nobody holds the baton, else by the holder's
// next poll. Addresses stay.
func (n *NIC) SetUp(up bool) {
	n.mu.Lock()
	was := n.up.Swap(up)
	n.judge()
	n.mu.Unlock()
	if was == up || up {
		return
	}
	for q := range n.queues {
		if n.Ring(q) {
			n.discard(q)
		}
	}
}

// judge sees whether n is plain, after a change; mu is held.
func (n *NIC) judge() {
	_, lo := (*n.link.Load()).(Loopback)
	n.plain.Store(lo && n.up.Load() && n.taps.Load() == nil && n.filter.Load() == nil)
}

// Timed reports whether somebody is told when packets pass: a tap, or a link other than the loopback wire
// and a port that queues.
func (n *NIC) Timed() bool {
	if n.taps.Load() != nil {
		return true
	}
	switch l := (*n.link.Load()).(type) {
	case Loopback:
		return false
	case *Port:
		return l.out != nil
	}
	return true
}

// QueueOf returns the number of the queue that carries packets of a flow hash, if they are not steered.
func (n *NIC) QueueOf(hash uint32) int {
	if len(n.queues) == 1 {
		return 0
	}
	return int(hash % uint32(len(n.queues)))
}

// steer returns the number of the queue that p travels on, and writes it into p.
func (n *NIC) steer(p *Packet) int {
	if p.Flags&FlagSteered != 0 && int(p.Queue) < len(n.queues) {
		return int(p.Queue)
	}
	q := n.QueueOf(p.Hash)
	p.Queue = uint8(q)
	return q
}

// Lent reports whether there are packets on queue q whose bytes are lent. Only the holder of its baton may call it, not
// within a poll.
func (n *NIC) Lent(q int) bool {
	r := n.queues[q].rings.Load()
	return r != nil && r.lent != 0
}

// Busy reports whether something is left for the next poll of queue q. Only the holder of its baton may call it.
func (n *NIC) Busy(q int) bool {
	r := n.queues[q].rings.Load()
	return r != nil && r.busy()
}

// maxSpare is how many free packets a queue keeps at most, 384 bytes each. It keeps as many as its holder has ever
// missed: others come from the pool and go back there.
const maxSpare = 256

// Recycle lets the holder of the baton of queue q have a packet that was retired, for NewPacket.
func (n *NIC) Recycle(q int, p *Packet) {
	if p.pool != n.pool {
		p.Recycle()
		return
	}
	if !n.queues[q].keep(p) {
		n.pool.putPacket(p)
	}
}

// Transmitted returns how many packets Transmit has accepted since the NIC was made.
func (n *NIC) Transmitted() uint64 {
	var sum uint64
	for q := range n.queues {
		qu := &n.queues[q]
		if r := qu.rings.Load(); r != nil {
			both, _ := qu.both.load()
			tx, _ := qu.tx.load()
			left := both + tx // at most what came; the ring, which forgets laps of its count, knows how much less
			sum += left + (r.tx.Claimed()-left)%claimedLap
		}
	}
	return sum
}

// TxRoom returns about how many packets of queue q Transmit would take now.
func (n *NIC) TxRoom(q int) int {
	r := n.queues[q].rings.Load()
	if r == nil {
		return n.ringSize
	}
	return r.tx.Room()
}

// Receive puts p on the RX ring of its flow's queue; links call it. It takes ownership in any case: if
// the ring is full or the NIC down, the packet is counted and released, and Receive returns false. It
// does not ring the bell: who delivers from outside a poll calls Kick afterwards.
func (n *NIC) Receive(now time.Duration, p *Packet) bool {
	if !n.up.Load() {
		n.Drop(p, DropRxDown)
		return false
	}
	q := n.steer(p)
	if !n.pool.put(n.queues[q].open(n).openRX(n), p) {
		n.Drop(p, DropRxFull)
		return false
	}
	return true
}

// ReceiveBatch is Receive for what a Link's Send hands back, on the queue q that Send is called for: only the
// holder of that queue's baton may call it. The packets are received by the same poll and need
// no Kick. For Late(q) anybody may call it, and kicks the queue afterwards. It takes ownership of the packets, not of
// ps, and returns how many there was room for; as Send is given no more packets than that, only a link that makes more
// of them, or delivers late, can lose some.
func (n *NIC) ReceiveBatch(q int, now time.Duration, ps []*Packet) int {
	taken, why := 0, DropRxDown
	if n.up.Load() {
		why = DropRxFull
		if q < 0 {
			taken = n.pool.putBatch(n.queues[^q].open(n).openRX(n), ps)
		} else {
			taken = n.queues[q].open(n).back.put(ps)
		}
	}
	if lost := ps[taken:]; len(lost) > 0 {
		if q >= 0 {
			n.queues[q].open(n).arrived(lost)
		}
		n.dropAll(lost, why)
	}
	return taken
}

// Inject delivers raw, an IP packet from outside, as if it had come in by the wire: it is copied,
// marked FlagFromWire and put on the RX ring, and whoever is needed is interrupted. The error is ErrEmpty,
// ErrTooLong, ErrDown or ErrRingFull; each is counted.
func (n *NIC) Inject(now time.Duration, raw []byte) error {
	switch {
	case len(raw) == 0:
		n.drops[DropRxEmpty].Add(1)
		return ErrEmpty
	case len(raw) > MaxPacket:
		n.drops[DropRxLength].Add(1)
		return ErrTooLong
	case !n.up.Load():
		n.drops[DropRxDown].Add(1)
		return ErrDown
	}
	hash := FlowHash(raw)
	q := n.QueueOf(hash)
	if n.interrupt == nil || !n.Ring(q) {
		if !n.Receive(now, n.copyIn(n.pool.NewPacket(), raw, hash)) {
			return ErrRingFull
		}
		n.Kick(q)
		return nil
	}
	// Who holds the baton first has packets of his own.
	taken := n.Receive(now, n.copyIn(n.NewPacket(q, true), raw, hash))
	n.interrupt(q)
	if !taken {
		return ErrRingFull
	}
	return nil
}

// copyIn makes p a packet from outside.
func (n *NIC) copyIn(p *Packet, raw []byte, hash uint32) *Packet {
	if len(raw) > MaxHead {
		p.HeadOwner = n.pool.Get(len(raw))
		p.Head = p.HeadOwner.Bytes()[:0]
	}
	p.Head = append(p.Head, raw...)
	p.Hash = hash
	p.Flags = FlagFromWire
	return p
}

// AppendWire appends p's bytes to dst as they look on the wire: with a partial checksum filled in.
func (n *NIC) AppendWire(dst []byte, p *Packet) []byte {
	start := len(dst)
	dst = p.AppendTo(dst)
	if p.Flags&FlagCsumPartial != 0 && n.fillSum != nil {
		n.fillSum(dst[start:], int(p.CsumStart), int(p.CsumOffset))
	}
	return dst
}
