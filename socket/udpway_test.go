package socket

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a socket remembers of its last destination is forgotten when the addresses change.
func TestLastWay(t *testing.T) {
	s := New(Config{})
	t.Cleanup(func() { s.Close() })
	one, two := netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")
	require.NoError(t, s.NIC().AddAddr(one))
	require.NoError(t, s.NIC().AddAddr(two))
	u, err := s.ListenUDP("udp4", nil)
	require.NoError(t, err)
	port := u.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	// echo sends to addr and tells from where it arrived.
	echo := func(addr netip.Addr) (netip.Addr, error) {
		if _, err := u.WriteToUDPAddrPort([]byte("x"), netip.AddrPortFrom(addr, port)); err != nil {
			return netip.Addr{}, err
		}
		n, from, err := u.ReadFromUDPAddrPort(make([]byte, 9))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		return from.Addr(), nil
	}
	for range 2 {
		for _, p := range []netip.Prefix{one, one, two, one} {
			from, err := echo(p.Addr())
			require.NoError(t, err)
			require.Equal(t, p.Addr(), from)
		}
	}
	require.NoError(t, s.NIC().DelAddr(one))
	_, err = echo(one.Addr())
	require.ErrorIs(t, err, syscall.ENETUNREACH)
	require.NoError(t, s.NIC().AddAddr(one))
	_, err = echo(one.Addr())
	require.NoError(t, err)
	s.NIC().SetUp(false)
	_, err = echo(one.Addr())
	require.ErrorIs(t, err, syscall.ENETUNREACH)
}

// Datagrams find the socket that is the right one now, whichever they found before.
func TestLastSocket(t *testing.T) {
	s := New(Config{})
	t.Cleanup(func() { s.Close() })
	listen := func(addr string, port int) *UDPConn {
		u, err := s.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(addr), Port: port})
		require.NoError(t, err)
		return u
	}
	from := listen("127.0.0.9", 0)
	counts := func(us ...*UDPConn) {
		t.Helper()
		_, err := from.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("127.0.0.1:53"))
		require.NoError(t, err)
		for i, u := range us {
			n := 0
			u.mu.Lock()
			n = u.queue.len()
			u.mu.Unlock()
			require.Equal(t, i == 0, n == 1, "socket %d", i)
		}
		_, _, err = us[0].ReadFromUDPAddrPort(make([]byte, 9))
		require.NoError(t, err)
	}
	wild := listen("0.0.0.0", 53)
	counts(wild)
	counts(wild)
	require.NoError(t, wild.Close())
	one := listen("127.0.0.1", 53)
	counts(one)
	other := listen("127.0.0.2", 53)
	counts(one, other)
	peer, err := s.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 3), Port: 53}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9), Port: 1})
	require.NoError(t, err)
	counts(one, other, peer)
	require.NoError(t, one.Close())
	_, err = from.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("127.0.0.1:53"))
	require.NoError(t, err)
	again := listen("0.0.0.0", 0)
	require.NoError(t, again.Close())
	all := listen("127.0.0.1", 53)
	counts(all, other, peer)
}
