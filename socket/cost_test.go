package socket

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestNewStackCost: a computer that nobody has used yet is a handful of objects and less than 16 KiB: tables,
// rings, names and error values come when they are needed.
func TestNewStackCost(t *testing.T) {
	const queues = 2
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { New(Config{Queues: queues}) }), 10.0)
	size := unsafe.Sizeof(Stack{}) + queues*unsafe.Sizeof(receiver{})
	require.LessOrEqual(t, size, uintptr(14<<10), "the NIC has a budget of its own")
	s := New(Config{})
	require.Nil(t, s.hosts.byName)
	require.Nil(t, s.tcpPorts.byNum)
	require.Nil(t, s.tcp.buckets.Load())
}

// TestHostsBeginWithDefault: every method of a stack's table sees the names it begins with.
func TestHostsBeginWithDefault(t *testing.T) {
	for name, see := range map[string]func(h *Hosts) bool{
		"Lookup":     func(h *Hosts) bool { return len(h.Lookup("localhost")) == 2 },
		"LookupAddr": func(h *Hosts) bool { return len(h.LookupAddr(loopback4)) == 1 },
		"String":     func(h *Hosts) bool { return h.String() == DefaultHosts },
		"Remove":     func(h *Hosts) bool { return h.Remove("ip6-loopback") && len(h.Lookup("ip6-localhost")) == 1 },
		"Add":        func(h *Hosts) bool { return h.Add(loopback4, "me") == nil && len(h.LookupAddr(loopback4)) == 2 },
		"Parse":      func(h *Hosts) bool { return h.Parse("127.0.0.1 me") == nil && len(h.LookupAddr(loopback4)) == 2 },
	} {
		require.True(t, see(New(Config{}).Hosts()), name)
	}
}
