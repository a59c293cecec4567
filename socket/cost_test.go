package socket

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestNewStackCost: a computer that nobody has used yet is a handful of objects and less than 16 KiB: tables,
// rings, names and error values come when they are needed.
func TestNewStackCost(t *testing.T) {
	const queues = 2
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { New(Config{Queues: queues}) }), 10.0)
	size := unsafe.Sizeof(Stack{}) + queues*unsafe.Sizeof(receiver{})
	require.LessOrEqual(t, size, uintptr(8<<10+384), "the NIC has a budget of its own")
	s := New(Config{})
	require.Nil(t, s.hosts.byName)
	require.Nil(t, s.tcpPorts.users.chains)
	require.Zero(t, s.tcp.size())
}

// TestLinesApart: what connections write to while they are at work has cache lines of its own, where the allocator puts objects of
// one size side by side. (A TCPConn has eleven of them.)
func TestLinesApart(t *testing.T) {
	const line = 64
	require.Zero(t, unsafe.Sizeof(waiter{})%line)
	require.LessOrEqual(t, unsafe.Offsetof(waiter{}.rest)+unsafe.Offsetof(rest{}.since), uintptr(line), "what every wait writes to")
	require.Zero(t, unsafe.Offsetof(waiter{}.own)%line, "what parks and wakes write to")
	require.Zero(t, unsafe.Sizeof(dues{})%line)
	require.Zero(t, (unsafe.Sizeof(TCPConn{})+8)%line)
	var c TCPConn
	require.Zero(t, (unsafe.Offsetof(c.mu)+8)%line, "the allocator has 8 bytes before it")
	require.Equal(t, unsafe.Offsetof(c.mu)+line/2, unsafe.Offsetof(c.tcb), "as TestSizes of package tcp has it")
	require.Zero(t, unsafe.Sizeof(receiver{})%line)
	const allocators = 8 // bytes of an object, before the stack
	var s Stack
	require.LessOrEqual(t, allocators+unsafe.Offsetof(s.receivers)+16, uintptr(2*line), "what each packet asks of the stack")
	require.LessOrEqual(t, allocators+unsafe.Offsetof(s.pool)+32, uintptr(3*line), "the same, with what it asks of the pool: TestFewLines of package device")
	for _, queues := range []int{1, 2, 3, 4, 8} {
		s := New(Config{Queues: queues})
		for q := range queues {
			r := &s.receivers[q]
			first, last := uintptr(unsafe.Pointer(&r.now)), uintptr(unsafe.Pointer(&r.segments.pairs))
			require.Equal(t, first/line, last/line, "what each packet of a dialogue writes to, queue %d of %d", q, queues)
		}
	}
}

// TestIdleConnectionCost: an established connection that carries nothing is one object for each end, and its
// port's.
func TestIdleConnectionCost(t *testing.T) {
	// The allocator has a size class of 704 bytes, of which 8 are its own where an object holds pointers; the next one
	// is 768, and a pair of those with its port is beyond the 1,536 bytes that an idle pair may take.
	require.LessOrEqual(t, unsafe.Sizeof(TCPConn{}), uintptr(696))
	s := New(Config{})
	l, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	const pairs = 500
	kept := make([]net.Conn, 0, 2*pairs+20)
	open := func(n int) (bytes, objects uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what lay in pools
		runtime.ReadMemStats(&m)
		bytes, objects = m.HeapAlloc, m.HeapObjects
		for range n {
			c, err := s.Dial("tcp4", "127.0.0.1:80")
			require.NoError(t, err)
			a, err := l.Accept()
			require.NoError(t, err)
			kept = append(kept, c, a)
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc - bytes, m.HeapObjects - objects
	}
	open(10) // what the first connections set up for all
	bytes, objects := open(pairs)
	require.LessOrEqual(t, bytes, uint64(1536*pairs))
	require.LessOrEqual(t, objects, uint64(4*pairs))
	runtime.KeepAlive(kept)
}

// TestEndedReadCost: a read that is ended by a deadline in the past, as a server of net/http does with each request,
// allocates nothing.
func TestEndedReadCost(t *testing.T) {
	s := New(Config{})
	l, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	a, err := s.Dial("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	buf := make([]byte, 1)
	past := time.Unix(1, 0)
	end := func() {
		require.NoError(t, a.SetReadDeadline(past))
		_, err := a.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, a.SetReadDeadline(time.Time{}))
	}
	require.Zero(t, testing.AllocsPerRun(100, end))
	var op *net.OpError
	_ = a.SetReadDeadline(past)
	_, err = a.Read(buf)
	require.ErrorAs(t, err, &op)
	require.Equal(t, "read", op.Op)
	require.Equal(t, a.LocalAddr(), op.Source)
	require.Equal(t, l.Addr(), op.Addr)
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
