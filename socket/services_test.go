package socket

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLookupPortLikePackageNet takes package net as the oracle for everything that is not a matter of the table.
func TestLookupPortLikePackageNet(t *testing.T) {
	for _, network := range []string{"tcp", "udp", "ip", "", "sctp"} {
		for _, service := range []string{
			"", "0", "1", "80", "+80", "-0", "-1", "0080", "00000000000000080", "65535", "65536", "+65536", "1073741824",
			"10737418240x", "99999999999", "-99999999999", "99999999999x", "1x", "x", "+", "-", "+-1", "1 ", "٣", "http",
			"HTTP", "sSh", "telnet", "no-such-service", "tcp/80",
		} {
			t.Run(fmt.Sprintf("%s/%s", network, service), func(t *testing.T) {
				want, wantErr := net.LookupPort(network, service)
				got, err := lookupPort(network, service)
				requireSameError(t, wantErr, err)
				require.Equal(t, want, got)
			})
		}
	}
}

// requireSameError compares type and fields of the errors of names and addresses.
func requireSameError(t *testing.T, want, got error) {
	t.Helper()
	if want == nil {
		require.NoError(t, got)
		return
	}
	require.Error(t, got)
	require.Equal(t, fmt.Sprintf("%T", want), fmt.Sprintf("%T", got))
	require.Equal(t, want.Error(), got.Error())
	var w, g *net.DNSError
	if errors.As(want, &w) && errors.As(got, &g) {
		require.Equal(t, *w, *g)
	}
}

func TestServices(t *testing.T) {
	for _, c := range []struct {
		name     string
		tcp, udp int
	}{
		{"ftp", 21, 0}, {"ssh", 22, 0}, {"telnet", 23, 0}, {"smtp", 25, 0}, {"domain", 53, 53}, {"http", 80, 0},
		{"www", 80, 0}, {"pop3", 110, 0}, {"ntp", 0, 123}, {"imap", 143, 0}, {"snmp", 161, 161}, {"ldap", 389, 389},
		{"https", 443, 443}, {"submission", 587, 0}, {"ipp", 631, 0}, {"imaps", 993, 0}, {"mysql", 3306, 0},
		{"postgresql", 5432, 0}, {"http-alt", 8080, 0}, {"tftp", 0, 69}, {"syslog", 0, 514}, {"shell", 514, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for network, want := range map[string]int{"tcp": c.tcp, "tcp4": c.tcp, "tcp6": c.tcp, "udp": c.udp, "udp4": c.udp, "udp6": c.udp} {
				got, err := lookupPort(network, c.name)
				require.Equal(t, want, got, network)
				require.Equal(t, want == 0, err != nil, network)
			}
			either, err := lookupPort("ip", c.name)
			require.NoError(t, err)
			want := c.tcp
			if want == 0 {
				want = c.udp
			}
			require.Equal(t, want, either, "TCP's port is preferred")
		})
	}
}

// TestServicesAgreeWithTheSystem: every name of ours that this machine's own table has too has the same port there.
func TestServicesAgreeWithTheSystem(t *testing.T) {
	agreed := 0
	for _, name := range []string{
		"echo", "discard", "sink", "daytime", "chargen", "time", "ftp-data", "ftp", "ssh", "telnet", "smtp", "mail", "whois",
		"domain", "bootps", "bootpc", "tftp", "gopher", "finger", "http", "www", "kerberos", "pop3", "sunrpc", "portmapper",
		"nntp", "ntp", "imap", "imap2", "snmp", "snmp-trap", "snmptrap", "bgp", "irc", "ldap", "https", "submissions", "smtps",
		"urd", "syslog", "shell", "printer", "rtsp", "submission", "ipp", "ldaps", "rsync", "ftps-data", "ftps", "imaps",
		"pop3s", "socks", "openvpn", "ms-sql-s", "radius", "radius-acct", "nfs", "mysql", "ms-wbt-server", "svn", "sip",
		"sip-tls", "xmpp-client", "xmpp-server", "mdns", "postgresql", "amqp", "amqps", "x11", "redis", "git", "http-alt",
		"webcache",
	} {
		found := false
		for _, network := range []string{"tcp", "udp"} {
			got, err := lookupPort(network, name)
			found = found || err == nil
			if want, systemErr := net.LookupPort(network, name); systemErr == nil && err == nil {
				require.Equal(t, want, got, "%s/%s", network, name)
				agreed++
			}
		}
		require.True(t, found, "%s has a port", name)
	}
	require.GreaterOrEqual(t, agreed, 10, "package net itself knows ten")
}

func TestProtocolNumbers(t *testing.T) {
	for name, want := range map[string]int{"icmp": 1, "ICMP": 1, "igmp": 2, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "IPv6-ICMP": 58,
		"ip": 0, "ipv6": 41, "gre": 47, "sctp": 132} {
		got, ok := protocolNumber(name)
		require.True(t, ok, name)
		require.Equal(t, want, got, name)
	}
	_, ok := protocolNumber("")
	require.False(t, ok)
}
