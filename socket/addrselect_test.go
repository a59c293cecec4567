package socket

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDestinationOrder has the examples of RFC 6724 §10.2 that apply, and the ones a loopback computer meets.
func TestDestinationOrder(t *testing.T) {
	for _, c := range []struct {
		name    string
		sources map[string]string // destination → source; absent: its own source; "" unreachable
		in, out []string
	}{
		{"one is one", nil, []string{"::1"}, []string{"::1"}},
		{"localhost: ::1 has the highest precedence", nil, []string{"127.0.0.1", "::1"}, []string{"::1", "127.0.0.1"}},
		{"rule 1: unreachable goes last", map[string]string{"::1": ""}, []string{"::1", "127.0.0.1"}, []string{"127.0.0.1", "::1"}},
		{"rule 1: all unreachable stay", map[string]string{"10.1.1.1": "", "2001:db8::9": ""},
			[]string{"10.1.1.1", "2001:db8::9"}, []string{"10.1.1.1", "2001:db8::9"}},
		{"rule 2: matching scope", map[string]string{"2001:db8:1::1": "2001:db8:1::2", "198.51.100.121": "169.254.13.78"},
			[]string{"198.51.100.121", "2001:db8:1::1"}, []string{"2001:db8:1::1", "198.51.100.121"}},
		{"rule 2: matching scope, IPv4 wins", map[string]string{"2001:db8:1::1": "fe80::1", "198.51.100.121": "198.51.100.117"},
			[]string{"2001:db8:1::1", "198.51.100.121"}, []string{"198.51.100.121", "2001:db8:1::1"}},
		{"rule 5: matching label", map[string]string{"2002:c633:6401::1": "2002:c633:6401::2", "2001:db8:1::1": "2002:c633:6401::2"},
			[]string{"2001:db8:1::1", "2002:c633:6401::1"}, []string{"2002:c633:6401::1", "2001:db8:1::1"}},
		{"rule 6: precedence", map[string]string{"2001:db8:1::1": "2001:db8:1::2", "10.1.2.3": "10.1.2.4"},
			[]string{"10.1.2.3", "2001:db8:1::1"}, []string{"2001:db8:1::1", "10.1.2.3"}},
		{"rule 6: unique local after IPv4", nil, []string{"fd00::1", "10.0.0.1"}, []string{"10.0.0.1", "fd00::1"}},
		{"rule 6: the rest of the table", nil,
			[]string{"3ffe::1", "fec0::1", "::2", "2001::1", "2002::1", "2600::1"},
			[]string{"2600::1", "2002::1", "2001::1", "fec0::1", "3ffe::1", "::2"}},
		{"rule 8: smaller scope", map[string]string{"fe80::1": "fe80::2", "2001:db8:1::1": "2001:db8:1::2"},
			[]string{"2001:db8:1::1", "fe80::1"}, []string{"fe80::1", "2001:db8:1::1"}},
		{"rule 9: longest prefix", map[string]string{"2001:db8:1::1": "2001:db8:1::2", "2001:db8:3ffe::1": "2001:db8:3f44::2"},
			[]string{"2001:db8:3ffe::1", "2001:db8:1::1"}, []string{"2001:db8:1::1", "2001:db8:3ffe::1"}},
		{"rule 9 is not for IPv4", map[string]string{"10.0.0.9": "10.255.0.1", "10.0.0.8": "10.0.0.7"},
			[]string{"10.0.0.9", "10.0.0.8"}, []string{"10.0.0.9", "10.0.0.8"}},
		{"rule 10: as they come", nil, []string{"127.0.0.3", "127.0.0.1", "127.0.0.2"}, []string{"127.0.0.3", "127.0.0.1", "127.0.0.2"}},
		{"multicast has the scope it says", nil, []string{"2600::1", "ff01::1"}, []string{"ff01::1", "2600::1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := addrs(c.in...)
			sortDestinations(got, func(d netip.Addr) netip.Addr {
				s, ok := c.sources[d.String()]
				if !ok {
					return d
				}
				a, _ := netip.ParseAddr(s)
				return a
			})
			require.Equal(t, addrs(c.out...), got)
		})
	}
}
