package socket

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"

	"example.com/loopback/device"
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

// same is ==, which the compiler would call a function for.
func (k *flowKey) same(o *flowKey) bool {
	return k.local.lo == o.local.lo && k.remote.lo == o.remote.lo && k.lport == o.lport && k.rport == o.rport &&
		k.local.hi == o.local.hi && k.remote.hi == o.remote.hi
}

// less is the stable order of sockets: by addresses and ports, which do not
// depend on who came first.
func (k flowKey) less(o flowKey) bool {
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

// A flowNode is a socket's place in a flowTable.
type flowNode[T any] struct {
	key   flowKey
	hash  uint32
	queue uint8 // of the NIC: where its packets go, if it is a connection's
	baton bool  // who holds the socket's lock has that queue's baton, too; guarded by the lock
	next  atomic.Pointer[flowNode[T]]
	val   T // set before the node is inserted
}

// A flowTable finds the socket of a packet. Look-ups take no lock and do not
// write; inserts and removals take one. It grows and shrinks by powers of two.
//
// A look-up that runs while the table is being resized may be led into
// another chain and miss; a miss therefore counts only if nothing moved
// meanwhile, and is repeated under the lock otherwise. A hit is always right,
// because nodes carry their key.
type flowTable[T any] struct {
	moves   atomic.Uint32 // changes before nodes move to other chains; odd while they do
	mu      sync.Mutex
	proto   uint8 // of the packets it is asked for
	count   int
	buckets atomic.Pointer[[]atomic.Pointer[flowNode[T]]]
}

const minBuckets = 16

// find returns the node under k, whose hash is h; nil when there is none.
func (t *flowTable[T]) find(k *flowKey, h uint32) *flowNode[T] {
	before := t.moves.Load()
	if b := t.buckets.Load(); b != nil {
		if n := findIn(*b, k, h); n != nil {
			return n
		}
	}
	if before&1 == 0 && t.moves.Load() == before {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.buckets.Load(); b != nil {
		return findIn(*b, k, h)
	}
	return nil
}

func findIn[T any](b []atomic.Pointer[flowNode[T]], k *flowKey, h uint32) *flowNode[T] {
	for n := b[h&uint32(len(b)-1)].Load(); n != nil; n = n.next.Load() {
		if n.hash == h && n.key.same(k) {
			return n
		}
	}
	return nil
}

// insert enters n under its key and reports false when the key is taken.
func (t *flowTable[T]) insert(n *flowNode[T]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.hash = n.key.hash(t.proto)
	b := t.buckets.Load()
	if b == nil || t.count >= len(*b) {
		b = t.resize(max(minBuckets, 2*t.count))
	}
	if findIn(*b, &n.key, n.hash) != nil {
		return false
	}
	head := &(*b)[n.hash&uint32(len(*b)-1)]
	if n.next.Load() != nil {
		t.moves.Add(2) // it was in before, and somebody may still stand on it
	}
	n.next.Store(head.Load())
	head.Store(n)
	t.count++
	return true
}

// remove takes n out and reports whether it was in.
func (t *flowTable[T]) remove(n *flowNode[T]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.place(n)
	if at == nil {
		return false
	}
	at.Store(n.next.Load()) // n.next stays: a look-up standing on n goes on from it
	t.count--
	if b := t.buckets.Load(); len(*b) > minBuckets && t.count < len(*b)/8 {
		t.resize(len(*b) / 4)
	}
	return true
}

// place returns the pointer that leads to n; the lock is held.
func (t *flowTable[T]) place(n *flowNode[T]) *atomic.Pointer[flowNode[T]] {
	b := t.buckets.Load()
	if b == nil {
		return nil
	}
	at := &(*b)[n.hash&uint32(len(*b)-1)]
	for m := at.Load(); m != nil; m = at.Load() {
		if m == n {
			return at
		}
		at = &m.next
	}
	return nil
}

// resize moves every node into a table of at least size buckets; the lock is held.
func (t *flowTable[T]) resize(size int) *[]atomic.Pointer[flowNode[T]] {
	size = max(minBuckets, 1<<bits.Len(uint(size-1)))
	fresh := make([]atomic.Pointer[flowNode[T]], size)
	t.moves.Add(1)
	defer t.moves.Add(1)
	if old := t.buckets.Load(); old != nil {
		for i := range *old {
			for n := (*old)[i].Load(); n != nil; {
				next := n.next.Load()
				head := &fresh[n.hash&uint32(size-1)]
				n.next.Store(head.Load())
				head.Store(n)
				n = next
			}
		}
	}
	t.buckets.Store(&fresh)
	return &fresh
}

// all returns every value, in no particular order.
func (t *flowTable[T]) all() []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buckets.Load()
	if b == nil {
		return nil
	}
	out := make([]T, 0, t.count)
	for i := range *b {
		for n := (*b)[i].Load(); n != nil; n = n.next.Load() {
			out = append(out, n.val)
		}
	}
	return out
}
