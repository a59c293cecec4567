package socket

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseNetwork(t *testing.T) {
	for network, want := range map[string]netSpec{
		"tcp": {transportTCP, 0, 6}, "tcp4": {transportTCP, 4, 6}, "tcp6": {transportTCP, 6, 6},
		"udp": {transportUDP, 0, 17}, "udp4": {transportUDP, 4, 17}, "udp6": {transportUDP, 6, 17},
		"ip:icmp": {transportIP, 0, 1}, "ip4:icmp": {transportIP, 4, 1}, "ip4:ICMP": {transportIP, 4, 1},
		"ip6:ipv6-icmp": {transportIP, 6, 58}, "ip6:58": {transportIP, 6, 58}, "ip:255": {transportIP, 0, 255},
		"ip4:0001": {transportIP, 4, 1}, "ip4:300": {transportIP, 4, 300},
	} {
		t.Run(network, func(t *testing.T) {
			got, err := parseNetwork(network)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Contains(t, network, got.transport.String())
		})
	}
}

// TestParseNetworkRefuses takes what package net says at a Dial, which fails before it opens anything.
func TestParseNetworkRefuses(t *testing.T) {
	for _, network := range []string{"", "4", "6", "tcp5", "tcp44", "TCP", "tcp:1", "tcp4:80", "udp:1", "ip", "ip4", "ip6", "sctp",
		"ip5:icmp", "ip4:nosuch", "ip4:", "ip:+1", "ip4:-1", "ip4:1x", "ip4:99999999999", "ip4:16777216", "ip4:icmp:1", ":", ":1"} {
		t.Run(network, func(t *testing.T) {
			_, want := net.Dial(network, "127.0.0.1")
			require.Error(t, want)
			_, err := parseNetwork(network)
			requireSameError(t, want.(*net.OpError).Err, err)
		})
	}
	for _, network := range []string{"unix", "unixgram", "unixpacket"} {
		_, err := parseNetwork(network)
		require.Equal(t, net.UnknownNetworkError(network), err, "package net has it, a loopback device does not")
	}
}

// The addresses with which family and endpoints are chosen; only local ones, as the oracle is the real kernel.
var oddAddresses = []net.IP{nil, {}, {127, 0, 0, 1}, net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4zero,
	net.IPv6zero, {1, 2, 3}, {127, 0, 0, 2}}

// TestListenBindingLikeTheKernel lets the kernel say which family and address a listening socket gets.
func TestListenBindingLikeTheKernel(t *testing.T) {
	for _, network := range []string{"udp", "udp4", "udp6"} {
		for _, ip := range oddAddresses {
			t.Run(fmt.Sprintf("%s %#v", network, ip), func(t *testing.T) {
				n, err := parseNetwork(network)
				require.NoError(t, err)
				b, err := listenBinding(n, inetOfUDP(&net.UDPAddr{IP: ip}))
				c, want := net.ListenUDP(network, &net.UDPAddr{IP: ip})
				if want != nil {
					requireSameError(t, want.(*net.OpError).Err, err)
					return
				}
				defer c.Close()
				require.NoError(t, err)
				bound := c.LocalAddr().(*net.UDPAddr)
				require.Equal(t, b.addr.Addr(), bound.AddrPort().Addr().Unmap())
				require.Equal(t, b.family, map[int]int{4: 4, 16: 6}[len(bound.IP)], "family of the socket")
				require.Equal(t, b.dual(), receives(c, 4) && receives(c, 6), "dual stack")
				require.True(t, b.addr.IsValid())
			})
		}
	}
	b, err := listenBinding(netSpec{transport: transportTCP}, inetOfTCP(nil))
	require.NoError(t, err)
	require.True(t, b.dual())
	require.Equal(t, netip.MustParseAddrPort("[::]:0"), b.addr)
}

// receives reports whether a datagram sent over the family to loopback reaches c.
func receives(c *net.UDPConn, family int) bool {
	port := c.LocalAddr().(*net.UDPAddr).Port
	s, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: map[int]net.IP{4: {127, 0, 0, 1}, 6: net.IPv6loopback}[family], Port: port})
	if err != nil {
		return false
	}
	defer s.Close()
	if _, err := s.Write([]byte{1}); err != nil {
		return false
	}
	_, err = s.Write([]byte{2}) // the refusal of the first is reported now, as loopback delivers at once
	return err == nil
}

// TestDialEndpointsLikeTheKernel lets the kernel say where connected sockets of every mixture of addresses end up.
func TestDialEndpointsLikeTheKernel(t *testing.T) {
	for _, network := range []string{"udp", "udp4", "udp6"} {
		for _, remote := range oddAddresses {
			for i := -1; i < len(oddAddresses); i++ {
				var local *net.UDPAddr
				if i >= 0 {
					local = &net.UDPAddr{IP: oddAddresses[i]}
				}
				t.Run(fmt.Sprintf("%s %v to %#v", network, local, remote), func(t *testing.T) {
					checkDialEndpoints(t, network, local, &net.UDPAddr{IP: remote, Port: 9})
				})
			}
		}
	}
}

func checkDialEndpoints(t *testing.T, network string, local, remote *net.UDPAddr) {
	n, err := parseNetwork(network)
	require.NoError(t, err)
	e, err := dialEndpoints(n, inetOfUDP(local), inetOfUDP(remote), local != nil)
	if err == nil {
		err = e.connectErr
	}
	c, want := net.DialUDP(network, local, remote)
	if want != nil {
		requireSameError(t, want.(*net.OpError).Err, err)
		return
	}
	defer c.Close()
	require.NoError(t, err)
	from, to := c.LocalAddr().(*net.UDPAddr), c.RemoteAddr().(*net.UDPAddr)
	require.Equal(t, to.AddrPort().Addr().Unmap(), e.remote.Addr())
	require.Equal(t, uint16(9), e.remote.Port())
	require.Equal(t, map[int]int{4: 4, 16: 6}[len(from.IP)], e.family)
	if !e.local.Addr().IsUnspecified() {
		require.Equal(t, from.AddrPort().Addr().Unmap(), e.local.Addr())
	}
}

func TestInetOf(t *testing.T) {
	require.Equal(t, inetAddr{}, inetOfTCP(nil))
	require.Equal(t, inetAddr{}, inetOfUDP(nil))
	require.Equal(t, inetAddr{}, inetOfIP(nil))
	ip := net.IPv4(127, 0, 0, 7)
	require.Equal(t, inetAddr{ip, 5}, inetOfTCP(&net.TCPAddr{IP: ip, Port: 5}))
	require.Equal(t, inetAddr{ip, 0}, inetOfIP(&net.IPAddr{IP: ip}))
	require.Equal(t, inetAddr{net.IP{127, 0, 0, 7}, 5}, inetOfAddrPort(netip.MustParseAddrPort("127.0.0.7:5")))
	require.Equal(t, inetAddr{nil, 5}, inetOfAddrPort(netip.AddrPortFrom(netip.Addr{}, 5)))
}
