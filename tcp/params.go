package tcp

import (
	"math"
	"net/netip"
	"time"
)

// Never is the Deadline of a TCB that waits for nothing.
const Never time.Duration = math.MaxInt64

// Allocator gives memory for payload. It is called with the TCB locked.
type Allocator interface {
	// Get returns at least n bytes, not zeroed, and their owner, of which the caller holds one
	// reference; or a nil owner when the memory belongs to the garbage collector.
	Get(n int) ([]byte, Buffer)
}

// HeapAllocator is an Allocator whose memory is the garbage collector's. For tests and tools.
type HeapAllocator struct{}

// Get returns n fresh bytes.
func (HeapAllocator) Get(n int) ([]byte, Buffer) { return make([]byte, n), nil }

// Params is what a connection needs to begin. It is read by Connect, Passive and PassiveCookie and not
// kept, except for what the pointers and interfaces in it refer to.
type Params struct {
	Config   *Config   // nil: Linux's defaults. Use Config.Defaults once per stack
	Alloc    Allocator // nil: HeapAllocator
	Stats    *Stats    // nil: counted into the void
	Observer Observer  // nil: nobody watches

	Local, Remote netip.AddrPort
	MTU           int    // path MTU, bytes, IP header included
	ISS           Seq    // initial send sequence number (see ISN)
	TSOffset      uint32 // added to the clock to make timestamps (see TSOffset)

	Wire     bool      // segments come from beyond a wire: count their buffers as Linux does for a TUN device
	FastOpen *FastOpen // nil: no Fast Open

	// Reuse of a pair that was in TIME-WAIT (see TimeWait.Reusable): the last timestamp seen from the
	// peer and when.
	TSRecent   uint32
	TSRecentAt time.Duration
	HasTSRecnt bool
}

// headerLen returns the length of the IP header that counts against the MTU.
func ipHeaderLen(v6 bool) int {
	if v6 {
		return 40
	}
	return 20
}

// Default MSS when the peer does not announce one: "TCP implementations MUST assume a default send MSS of
// 536 (576 - 40) for IPv4 or 1220 (1280 - 60) for IPv6" (RFC 9293 §3.7.1, MUST-15).
const (
	defaultMSS4 = 536
	defaultMSS6 = 1220
)

func defaultMSS(v6 bool) uint16 {
	if v6 {
		return defaultMSS6
	}
	return defaultMSS4
}
