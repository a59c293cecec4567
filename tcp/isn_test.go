package tcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// pairs are pairs of sockets that differ in one thing each.
func pairs() [][2]netip.AddrPort {
	return [][2]netip.AddrPort{
		{ap("127.0.0.1:631"), ap("127.0.0.1:40000")},
		{ap("127.0.0.1:40000"), ap("127.0.0.1:631")},
		{ap("127.0.0.1:632"), ap("127.0.0.1:40000")},
		{ap("127.0.0.1:631"), ap("127.0.0.1:40001")},
		{ap("127.0.0.2:631"), ap("127.0.0.1:40000")},
		{ap("127.0.0.1:631"), ap("127.0.0.2:40000")},
		{ap("[::1]:631"), ap("[::1]:40000")},
		{ap("[::1]:40000"), ap("[::1]:631")},
		{ap("[::1]:631"), ap("[::2]:40000")},
		{ap("[::7f00:1]:631"), ap("[::7f00:1]:40000")},
	}
}

// requireDistinct fails when f gives two pairs the same value.
func requireDistinct(t *testing.T, f func(p [2]netip.AddrPort) uint32) {
	t.Helper()
	seen := map[uint32]string{}
	for _, p := range pairs() {
		v, name := f(p), fmt.Sprint(p)
		require.Empty(t, seen[v], "%s has the value of another pair", name)
		seen[v] = name
	}
}

func TestISN(t *testing.T) {
	key := sipKey()
	local, remote := ap("127.0.0.1:631"), ap("127.0.0.1:40000")
	isn := func(now time.Duration) Seq { return ISN(key, now, local, remote) }

	t.Run("the clock ticks every 4 µs (RFC 9293 3.4.1)", func(t *testing.T) {
		require.Equal(t, isn(0), isn(3999*time.Nanosecond))
		require.Equal(t, int32(1), isn(4*time.Microsecond).Sub(isn(0)))
		require.Equal(t, int32(250_000), isn(time.Second).Sub(isn(0)))
		require.Equal(t, int32(250_000), isn(100*time.Hour+time.Second).Sub(isn(100*time.Hour)))
	})
	t.Run("a cycle takes 4.77 hours", func(t *testing.T) {
		require.Equal(t, isn(0), isn((1<<32)*4*time.Microsecond))
		require.NotEqual(t, isn(0), isn((1<<31)*4*time.Microsecond))
	})
	t.Run("a clock before the epoch is the epoch", func(t *testing.T) {
		require.Equal(t, isn(0), isn(-time.Hour))
	})
	t.Run("every pair has its own space", func(t *testing.T) {
		requireDistinct(t, func(p [2]netip.AddrPort) uint32 { return uint32(ISN(key, 0, p[0], p[1])) })
	})
	t.Run("every secret has its own space", func(t *testing.T) {
		other := key
		other[15] ^= 1
		require.NotEqual(t, isn(0), ISN(other, 0, local, remote))
	})
}

func TestTSOffset(t *testing.T) {
	key := sipKey()
	a, b := ap("127.0.0.1:631"), ap("127.0.0.2:40000")
	base := TSOffset(key, a, b)
	require.Equal(t, base, TSOffset(key, ap("127.0.0.1:1"), ap("127.0.0.2:2")), "ports do not matter")
	require.NotEqual(t, base, TSOffset(key, b, a), "direction matters")
	require.NotEqual(t, base, TSOffset(key, a, ap("127.0.0.3:40000")))
	require.NotEqual(t, base, TSOffset([16]byte{}, a, b))
	require.NotEqual(t, TSOffset(key, ap("[::1]:1"), ap("[::2]:2")), TSOffset(key, ap("[::1]:1"), ap("[::3]:2")))
}

func TestPortOffset(t *testing.T) {
	key := sipKey()
	addr := netip.MustParseAddr("127.0.0.1")
	base := PortOffset(key, addr, ap("127.0.0.2:80"))
	require.Equal(t, base, PortOffset(key, addr, ap("127.0.0.2:80")))
	require.NotEqual(t, base, PortOffset(key, addr, ap("127.0.0.2:81")), "the remote port matters (RFC 6056 3.3.3)")
	require.NotEqual(t, base, PortOffset(key, addr, ap("127.0.0.3:80")))
	require.NotEqual(t, base, PortOffset(key, netip.MustParseAddr("127.0.0.9"), ap("127.0.0.2:80")))
	require.NotEqual(t, base, PortOffset([16]byte{1}, addr, ap("127.0.0.2:80")))
}

// TestPurposes: one secret, several functions of the same sockets, nothing in common.
func TestPurposes(t *testing.T) {
	key := sipKey()
	local, remote := ap("127.0.0.1:0"), ap("127.0.0.2:0")
	values := map[uint32]bool{
		uint32(ISN(key, 0, local, remote)):                    true,
		TSOffset(key, local, remote):                          true,
		PortOffset(key, local.Addr(), remote):                 true,
		cookieBase(&key, local, remote, 0):                    true,
		cookieHash(&key, local, remote, 0):                    true,
		cookieHash(&key, local, remote, 1):                    true,
		uint32(tupleHash(&key, 99, local, remote, 0)):         true,
		uint32(tupleHash(&key, 99, local, remote, 1<<24)):     true,
		uint32(tupleHash(&key, 99, local, remote, 1)):         true,
		uint32(tupleHash(&key, purposeISN, remote, local, 0)): true,
	}
	require.Len(t, values, 10)
}

func TestHashesAllocateNothing(t *testing.T) {
	key := sipKey()
	for _, p := range pairs()[5:7] {
		syn := Segment{Flags: SYN}
		ack := Segment{Flags: ACK}
		require.Zero(t, testing.AllocsPerRun(50, func() {
			ISN(key, time.Second, p[0], p[1])
			TSOffset(key, p[0], p[1])
			PortOffset(key, p[0].Addr(), p[1])
			MakeCookie(key, time.Second, p[0], p[1], &syn)
			CheckCookie(key, time.Second, p[0], p[1], &ack, 0)
		}))
	}
}

func BenchmarkISN(b *testing.B) {
	key := sipKey()
	for _, p := range []int{0, 6} {
		local, remote := pairs()[p][0], pairs()[p][1]
		b.Run(local.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ISN(key, time.Second, local, remote)
			}
		})
	}
}

func TestTupleHashIsOfBytes(t *testing.T) {
	key := sipKey()
	for _, p := range pairs() {
		local, remote := p[0], p[1]
		msg := append(local.Addr().AsSlice(), remote.Addr().AsSlice()...)
		msg = binary.BigEndian.AppendUint16(msg, local.Port())
		msg = binary.BigEndian.AppendUint16(msg, remote.Port())
		msg = append(binary.BigEndian.AppendUint32(msg, 0x01020304), purposeISN)
		require.Equal(t, sipHash(&key, msg), tupleHash(&key, purposeISN, local, remote, 0x01020304), p)
	}
}
