package device

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddrs(t *testing.T) {
	n := NewNIC(Config{})
	local := func(want bool, addrs ...string) {
		t.Helper()
		for _, a := range addrs {
			require.Equal(t, want, n.IsLocal(netip.MustParseAddr(a)), a)
		}
	}
	p := netip.MustParsePrefix
	local(true, "127.0.0.1", "127.0.0.0", "127.255.255.254", "127.9.8.7", "::1")
	local(false, "126.255.255.255", "128.0.0.1", "10.0.0.1", "::2", "::", "0.0.0.0", "::ffff:127.0.0.1", "::1%lo", "fe80::1")
	require.False(t, n.IsLocal(netip.Addr{}))

	require.NoError(t, n.AddAddr(p("10.0.0.1/24")))
	require.ErrorIs(t, n.AddAddr(p("10.0.0.1/32")), ErrExists)
	require.NoError(t, n.AddAddr(p("2001:db8::1/64")))
	require.NoError(t, n.AddAddr(p("1.1.1.1/32")))
	local(true, "10.0.0.1", "2001:db8::1", "1.1.1.1")
	local(false, "10.0.0.2", "10.0.0.255", "2001:db8::2", "1.1.1.2")

	require.NoError(t, n.AddPrefix(p("192.0.2.77/24")))
	require.ErrorIs(t, n.AddPrefix(p("192.0.2.0/24")), ErrExists)
	require.NoError(t, n.AddPrefix(p("2001:db8:1::/48")))
	local(true, "192.0.2.0", "192.0.2.255", "2001:db8:1:2::3")
	local(false, "192.0.3.0", "2001:db8:2::3")
	require.Equal(t, prefixes("127.0.0.1/8", "::1/128", "10.0.0.1/24", "2001:db8::1/64", "1.1.1.1/32"), n.Addrs())
	require.Equal(t, prefixes("192.0.2.0/24", "2001:db8:1::/48"), n.Prefixes())

	require.ErrorIs(t, n.DelAddr(p("10.0.0.1/32")), ErrNoAddr, "another length")
	require.ErrorIs(t, n.DelAddr(p("192.0.2.77/24")), ErrNoAddr)
	require.NoError(t, n.DelAddr(p("10.0.0.1/24")))
	require.NoError(t, n.DelAddr(p("192.0.2.0/24")))
	local(false, "10.0.0.1", "192.0.2.1")
	local(true, "2001:db8::1", "1.1.1.1")

	require.NoError(t, n.AddAddr(p("127.0.0.2/8")))
	require.NoError(t, n.DelAddr(p("127.0.0.1/8")))
	local(true, "127.0.0.1", "127.7.7.7")
	require.NoError(t, n.DelAddr(p("127.0.0.2/8")))
	local(false, "127.0.0.1", "127.0.0.2")
	require.NoError(t, n.AddAddr(p("127.0.0.3/32")))
	local(true, "127.0.0.3")
	local(false, "127.0.0.1")
	require.NoError(t, n.AddPrefix(p("127.0.0.0/8")))
	local(true, "127.0.0.1")
	require.NoError(t, n.AddPrefix(p("0.0.0.0/0")), "everything (AnyIP)")
	local(true, "8.8.8.8")

	for _, bad := range []netip.Prefix{{}, p("::ffff:1.2.3.4/128"), p("224.0.0.1/4"), p("ff02::1/128"), p("0.0.0.0/0"), p("::/0")} {
		require.ErrorIs(t, n.AddAddr(bad), ErrPrefix, bad)
	}
	require.ErrorIs(t, n.AddPrefix(netip.Prefix{}), ErrPrefix)
	require.ErrorIs(t, n.AddPrefix(p("::ffff:1.2.3.0/120")), ErrPrefix)
}

func TestIsLocalAllocs(t *testing.T) {
	n := NewNIC(Config{})
	require.NoError(t, n.AddPrefix(netip.MustParsePrefix("10.0.0.0/8")))
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		n.IsLocal(a)
		n.IsLocal(b)
	}))
}

// TestAddrsConcurrent: a look-up sees each address either there or not, and those that stay always.
func TestAddrsConcurrent(t *testing.T) {
	n := NewNIC(Config{})
	var wg sync.WaitGroup
	for g := range byte(3) {
		wg.Go(func() {
			for i := range byte(100) {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, g, 0, i}), 32)
				if n.AddAddr(p) != nil || !n.IsLocal(p.Addr()) || !n.IsLocal(netip.IPv6Loopback()) {
					t.Error("lost", p)
				}
				if i%2 == 0 && n.DelAddr(p) != nil {
					t.Error("cannot delete", p)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, n.Addrs(), 2+3*50)
}

func BenchmarkIsLocal(b *testing.B) {
	n := NewNIC(Config{})
	for name, s := range map[string]string{"127": "127.1.2.3", "::1": "::1", "outside": "10.0.0.1"} {
		a := netip.MustParseAddr(s)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n.IsLocal(a)
			}
		})
	}
}

// TestIsLocalFewAndMany: addresses are found however many there are, as they come and as they go.
func TestIsLocalFewAndMany(t *testing.T) {
	n := NewNIC(Config{})
	addr := func(i int) netip.Prefix {
		if i%2 == 0 {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), 24)
		}
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)}), 64)
	}
	const all = 3 * fewAddrs
	check := func(from, to int) {
		for i := range all + 1 {
			require.Equal(t, from <= i && i < to, n.IsLocal(addr(i).Addr()), "%d of %d to %d", i, from, to)
		}
	}
	for i := range all {
		check(0, i)
		require.NoError(t, n.AddAddr(addr(i)))
	}
	for i := range all {
		check(i, all)
		require.NoError(t, n.DelAddr(addr(i)))
	}
	check(0, 0)
}
