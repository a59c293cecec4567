package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func testResolver(t testing.TB) *Resolver {
	t.Helper()
	h := new(Hosts)
	require.NoError(t, h.Parse(DefaultHosts+`
127.0.0.1	loopback
127.0.0.7	seven Seven.Example
10.0.0.1	db
fd00::1		db
::1		six
`))
	return &Resolver{hosts: h, lazy: new(lazyNetErrors)}
}

func addrPorts(text ...string) []netip.AddrPort {
	var as []netip.AddrPort
	for _, t := range text {
		if t[0] == ':' { // no host
			p := netip.MustParseAddrPort("0.0.0.0" + t)
			as = append(as, netip.AddrPortFrom(netip.Addr{}, p.Port()))
			continue
		}
		as = append(as, netip.MustParseAddrPort(t))
	}
	return as
}

func TestDialAddrs(t *testing.T) {
	r := testResolver(t)
	for _, c := range []struct {
		network, address string
		want             []netip.AddrPort
	}{
		{"tcp", "localhost:80", addrPorts("[::1]:80", "127.0.0.1:80")},
		{"tcp4", "localhost:80", addrPorts("127.0.0.1:80")},
		{"tcp6", "LOCALHOST.:80", addrPorts("[::1]:80")},
		{"udp", "localhost:ntp", addrPorts("[::1]:123", "127.0.0.1:123")},
		{"tcp", "localhost:ipp", addrPorts("[::1]:631", "127.0.0.1:631")},
		{"tcp", "loopback:http", addrPorts("127.0.0.1:80")},
		{"tcp", "seven.example:1", addrPorts("127.0.0.7:1")},
		{"tcp", "db:1", addrPorts("10.0.0.1:1", "[fd00::1]:1")},
		{"tcp", "127.0.0.2:", addrPorts("127.0.0.2:0")},
		{"tcp", "[::1]:80", addrPorts("[::1]:80")},
		{"tcp", "[::1%lo]:80", addrPorts("[::1%lo]:80")},
		{"tcp4", "[::ffff:127.0.0.1]:80", addrPorts("127.0.0.1:80")},
		{"tcp", ":80", addrPorts(":80")},
		{"tcp6", ":80", addrPorts(":80")},
		{"tcp", "0.0.0.0:80", addrPorts("0.0.0.0:80")},
		{"tcp", "[::]:80", addrPorts("[::]:80", "0.0.0.0:80")},
		{"tcp6", "[::]:80", addrPorts("[::]:80")},
		{"tcp4", "[::]:80", addrPorts("0.0.0.0:80")},
		{"ip4:icmp", "localhost", addrPorts("127.0.0.1:0")},
		{"ip:icmp", "127.0.0.9", addrPorts("127.0.0.9:0")},
		{"ip6:58", "::1", addrPorts("[::1]:0")},
	} {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			got, err := r.dialAddrs(context.Background(), c.network, c.address, nil)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

// failingAddresses are refused before any socket is opened and any name server is asked.
var failingAddresses = []struct {
	network, address string
	local            net.Addr
}{
	{network: "tcp", address: ""},
	{network: "tcp", address: "127.0.0.1"},
	{network: "tcp", address: "[::1]"},
	{network: "tcp", address: "::1"},
	{network: "tcp", address: "a:b:c"},
	{network: "tcp", address: "[::1:80"},
	{network: "tcp", address: "[::1]80"},
	{network: "tcp", address: "[a]b]:80"},
	{network: "tcp", address: "a]:80"},
	{network: "tcp", address: "a[b:80"},
	{network: "tcp", address: "127.0.0.1:65536"},
	{network: "tcp", address: "127.0.0.1:-1"},
	{network: "tcp", address: "127.0.0.1:nosuch"},
	{network: "udp", address: "127.0.0.1:99999999999"},
	{network: "tcp", address: "no..such:80"},
	{network: "tcp", address: "-x:80"},
	{network: "tcp", address: "127.1:80"},
	{network: "tcp", address: "1.2.3.4.5:80"},
	{network: "tcp", address: "127.0.0.1%lo:80"},
	{network: "tcp", address: "%:80"},
	{network: "tcp", address: "[]x:80"},
	{network: "tcp4", address: "[::1]:80"},
	{network: "tcp6", address: "127.0.0.1:80"},
	{network: "udp6", address: "[::ffff:127.0.0.1]:80"},
	{network: "ip4:icmp", address: "::1"},
	{network: "ip4:icmp", address: ""},
	{network: "ip4", address: "127.0.0.1"},
	{network: "tcp7", address: "127.0.0.1:80"},
	{network: "tcp", address: "127.0.0.1:80", local: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}},
	{network: "udp", address: "127.0.0.1:80", local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5}},
	{network: "tcp", address: "127.0.0.1:80", local: &net.IPAddr{}},
	{network: "ip4:icmp", address: "127.0.0.1", local: &net.TCPAddr{}},
	{network: "tcp", address: "127.0.0.1:80", local: &net.UnixAddr{Name: "/x", Net: "unix"}},
	{network: "tcp", address: "127.0.0.1:80", local: &net.TCPAddr{IP: net.IPv6loopback}},
	{network: "tcp", address: "[::1]:80", local: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7}},
	{network: "udp", address: "[::1]:80", local: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7}},
	{network: "ip:icmp", address: "::1", local: &net.IPAddr{IP: net.IPv4(127, 0, 0, 1)}},
}

func TestDialAddrsFailLikePackageNet(t *testing.T) {
	r := testResolver(t)
	for _, c := range failingAddresses {
		t.Run(fmt.Sprintf("%s %s %v", c.network, c.address, c.local), func(t *testing.T) {
			_, want := (&net.Dialer{LocalAddr: c.local}).Dial(c.network, c.address)
			require.Error(t, want)
			op := want.(*net.OpError)
			require.Nil(t, op.Addr, "failed before an address was chosen")
			_, err := r.dialAddrs(context.Background(), c.network, c.address, c.local)
			requireSameError(t, op.Err, err)
		})
	}
}

func TestDialAddrsWithLocalAddress(t *testing.T) {
	r := testResolver(t)
	for _, c := range []struct {
		network, address string
		local            net.Addr
		want             []netip.AddrPort
	}{
		{"tcp", "localhost:80", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, addrPorts("127.0.0.1:80")},
		{"tcp", "localhost:80", &net.TCPAddr{IP: net.IPv6loopback}, addrPorts("[::1]:80")},
		{"tcp", "localhost:80", &net.TCPAddr{Port: 9}, addrPorts("[::1]:80", "127.0.0.1:80")},
		{"tcp", "localhost:80", &net.TCPAddr{IP: net.IPv6zero}, addrPorts("[::1]:80", "127.0.0.1:80")},
		{"tcp", "localhost:80", (*net.TCPAddr)(nil), addrPorts("[::1]:80", "127.0.0.1:80")},
		{"udp", ":80", &net.UDPAddr{IP: net.IPv6loopback}, addrPorts(":80")},
		{"udp", "0.0.0.0:80", &net.UDPAddr{IP: net.IPv6loopback}, addrPorts("0.0.0.0:80")},
		{"ip:icmp", "localhost", &net.IPAddr{IP: net.IPv6loopback}, addrPorts("[::1]:0")},
	} {
		t.Run(fmt.Sprint(c.network, c.address, c.local), func(t *testing.T) {
			got, err := r.dialAddrs(context.Background(), c.network, c.address, c.local)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestListenAddr(t *testing.T) {
	r := testResolver(t)
	for _, c := range []struct {
		network, address string
		addr             netip.AddrPort
		bound            string
		dual             bool
	}{
		{"tcp", "localhost:0", addrPorts("127.0.0.1:0")[0], "127.0.0.1:0", false},
		{"tcp6", "localhost:0", addrPorts("[::1]:0")[0], "[::1]:0", false},
		{"tcp", "six:0", addrPorts("[::1]:0")[0], "[::1]:0", false},
		{"tcp", "", addrPorts(":0")[0], "[::]:0", true},
		{"tcp", ":http", addrPorts(":80")[0], "[::]:80", true},
		{"tcp", "0.0.0.0:0", addrPorts("0.0.0.0:0")[0], "[::]:0", true},
		{"udp", "[::]:9", addrPorts("0.0.0.0:9")[0], "[::]:9", true},
		{"tcp4", ":5", addrPorts(":5")[0], "0.0.0.0:5", false},
		{"tcp6", ":5", addrPorts(":5")[0], "[::]:5", false},
		{"tcp4", "[::]:5", addrPorts("0.0.0.0:5")[0], "0.0.0.0:5", false},
		{"tcp", "[::1%lo]:5", addrPorts("[::1%lo]:5")[0], "[::1]:5", false},
		{"ip4:icmp", "127.0.0.1", addrPorts("127.0.0.1:0")[0], "127.0.0.1:0", false},
		{"ip4:icmp", "", addrPorts(":0")[0], "0.0.0.0:0", false},
	} {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			addr, b, found, err := r.listenAddr(context.Background(), c.network, c.address)
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, c.addr, addr)
			require.Equal(t, netip.MustParseAddrPort(c.bound), b.addr)
			require.Equal(t, c.dual, b.dual())
		})
	}
}

func TestListenAddrFailsLikePackageNet(t *testing.T) {
	r := testResolver(t)
	for _, c := range failingAddresses {
		if c.local != nil || c.address == "" && c.network != "ip4" {
			continue
		}
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			var want error
			if c.network[0] == 't' {
				_, want = net.Listen(c.network, c.address)
			} else {
				_, want = net.ListenPacket(c.network, c.address)
			}
			require.Error(t, want)
			_, _, found, err := r.listenAddr(context.Background(), c.network, c.address)
			require.False(t, found)
			requireSameError(t, want.(*net.OpError).Err, err)
		})
	}
}

func TestLookups(t *testing.T) {
	r := testResolver(t)
	ctx := context.Background()

	hosts, err := r.LookupHost(ctx, "localhost")
	require.NoError(t, err)
	require.Equal(t, []string{"127.0.0.1", "::1"}, hosts, "in the table's order")
	hosts, err = r.LookupHost(ctx, "::FFFF:1.2.3.4")
	require.NoError(t, err)
	require.Equal(t, []string{"::FFFF:1.2.3.4"}, hosts, "an address stands for itself, as it was written")

	ips, err := r.LookupIPAddr(ctx, "localhost")
	require.NoError(t, err)
	require.Equal(t, []net.IPAddr{{IP: net.IPv6loopback}, {IP: net.IPv4(127, 0, 0, 1)}}, ips, "in the order of RFC 6724")
	ips, err = r.LookupIPAddr(ctx, "fe80::1%lo")
	require.NoError(t, err)
	require.Equal(t, []net.IPAddr{{IP: net.ParseIP("fe80::1"), Zone: "lo"}}, ips)

	for network, want := range map[string][]netip.Addr{
		"ip": addrs("10.0.0.1", "fd00::1"), "ip4": addrs("10.0.0.1"), "ip6": addrs("fd00::1"),
	} {
		got, err := r.LookupNetIP(ctx, network, "DB")
		require.NoError(t, err)
		require.Equal(t, want, got, network)
	}
	_, err = r.LookupNetIP(ctx, "ip6", "loopback")
	require.EqualError(t, err, "address loopback: no suitable address found")
	_, err = r.LookupNetIP(ctx, "tcp", "db")
	require.Equal(t, net.UnknownNetworkError("tcp"), err)

	names, err := r.LookupAddr(ctx, "127.0.0.7")
	require.NoError(t, err)
	require.Equal(t, []string{"seven", "Seven.Example."}, names)
	port, err := r.LookupPort(ctx, "tcp", "https")
	require.NoError(t, err)
	require.Equal(t, 443, port)
}

func TestLookupsOfTheUnknown(t *testing.T) {
	r := testResolver(t)
	ctx := context.Background()
	for _, name := range []string{"", "nobody", "no such", "127.1", "localhost.localdomain", "localhost..", "..", "%"} {
		t.Run(name, func(t *testing.T) {
			want := &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
			_, err := r.LookupHost(ctx, name)
			require.Equal(t, want, err)
			_, err = r.LookupIPAddr(ctx, name)
			require.Equal(t, want, err)
			_, err = r.LookupNetIP(ctx, "ip", name)
			require.Equal(t, want, err)
			require.EqualError(t, err, "lookup "+name+": no such host")
		})
	}
	_, err := r.LookupAddr(ctx, "127.0.0.77")
	require.Equal(t, &net.DNSError{Err: "no such host", Name: "127.0.0.77", IsNotFound: true}, err)
	_, err = r.LookupAddr(ctx, "nobody")
	_, want := (&net.Resolver{PreferGo: true}).LookupAddr(ctx, "nobody")
	requireSameError(t, want, err)
}

// TestLookupsRespectTheContext: nothing here waits, but a caller that has given up gets no answer.
func TestLookupsRespectTheContext(t *testing.T) {
	r := testResolver(t)
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	late, stop := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer stop()
	for _, c := range []struct {
		ctx  context.Context
		is   error
		text string
		late bool
	}{
		{canceled, context.Canceled, "lookup localhost: operation was canceled", false},
		{late, context.DeadlineExceeded, "lookup localhost: i/o timeout", true},
	} {
		for _, lookup := range []func() error{
			func() error { _, err := r.LookupHost(c.ctx, "localhost"); return err },
			func() error { _, err := r.LookupIPAddr(c.ctx, "localhost"); return err },
			func() error { _, err := r.LookupNetIP(c.ctx, "ip", "localhost"); return err },
			func() error { _, err := r.LookupAddr(c.ctx, "localhost"); return err },
			func() error { _, err := r.LookupPort(c.ctx, "tcp", "localhost"); return err },
			func() error { _, err := r.dialAddrs(c.ctx, "tcp", "localhost:80", nil); return err },
			func() error { _, _, _, err := r.listenAddr(c.ctx, "tcp", "localhost:80"); return err },
		} {
			err := lookup()
			require.EqualError(t, err, c.text)
			require.ErrorIs(t, err, c.is)
			require.Equal(t, c.late, err.(*net.DNSError).Timeout())
			require.Equal(t, c.late, err.(*net.DNSError).Temporary())
		}
	}
	got, err := r.dialAddrs(canceled, "tcp", "127.0.0.1:80", nil)
	require.NoError(t, err, "an address needs no lookup: the dial itself will notice")
	require.Equal(t, addrPorts("127.0.0.1:80"), got)
	// Package net's lookup has a goroutine of its own. If that is quicker than the look at the context it is the dial that fails.
	var want *net.DNSError
	for range 1000 {
		if _, err := new(net.Dialer).DialContext(canceled, "tcp", "localhost:80"); errors.As(err, &want) {
			break
		}
	}
	require.NotNil(t, want)
	_, err = r.dialAddrs(canceled, "tcp", "localhost:80", nil)
	requireSameError(t, want, err)
}

// FuzzAddresses compares with package net's resolution whatever needs no name server.
func FuzzAddresses(f *testing.F) {
	for _, c := range failingAddresses {
		f.Add(c.network, c.address)
	}
	f.Add("tcp", "[::1%lo]:80")
	f.Add("udp4", "[::ffff:1.2.3.4]:+0080")
	f.Fuzz(func(t *testing.T, network, address string) {
		r := testResolver(t)
		got, err := r.dialAddrs(context.Background(), network, address, nil)
		n, netErr := parseNetwork(network)
		host, port, splitErr := net.SplitHostPort(address)
		if netErr != nil || n.transport == transportIP || address == "" {
			return
		}
		if splitErr != nil {
			requireSameError(t, splitErr, err)
			return
		}
		if _, isNumber := parsePort(port); !isNumber {
			return
		}
		if _, litErr := netip.ParseAddr(host); litErr != nil && host != "" {
			return // a name: package net would ask others
		}
		var want net.Addr
		var wantErr error
		if n.transport == transportTCP {
			want, wantErr = net.ResolveTCPAddr(network, address)
		} else {
			want, wantErr = net.ResolveUDPAddr(network, address)
		}
		requireSameError(t, wantErr, err)
		if err == nil {
			require.Contains(t, fmt.Sprint(texts(n, got)), want.String())
		}
	})
}

// texts are the addresses as errors would show them.
func texts(n netSpec, as []netip.AddrPort) []string {
	var out []string
	for _, a := range as {
		if n.transport == transportTCP {
			out = append(out, net.TCPAddrFromAddrPort(a).String())
		} else {
			out = append(out, net.UDPAddrFromAddrPort(a).String())
		}
	}
	return out
}
