package ipv6_test

import (
	"net/netip"
	"testing"

	"example.com/loopback/ipv6"
	"github.com/stretchr/testify/require"
)

// The computer of these tests has 2001:db8::1 besides ::1, and listens to ff02::1 and ff01::1.
func isLocal(a netip.Addr) bool  { return a.IsLoopback() || a == addr("2001:db8::1") }
func isMember(a netip.Addr) bool { return a == addr("ff02::1") || a == addr("ff01::1") }

func TestAddrRules(t *testing.T) {
	loop := ipv6.AddrRules{Loopback: true, Source: ipv6.SourceMustBeLocal, IsLocal: isLocal}
	open := ipv6.AddrRules{Source: ipv6.SourceMustNotBeLocal, IsLocal: isLocal, IsMember: isMember}
	openLo := open
	openLo.Loopback = true
	zero := ipv6.AddrRules{}
	tests := []struct {
		name     string
		rules    ipv6.AddrRules
		src, dst string
		want     ipv6.Reason
	}{
		{"loopback to loopback on the loopback wire", loop, "::1", "::1", ipv6.OK},
		{"own address on the loopback wire", loop, "2001:db8::1", "::1", ipv6.OK},
		{"stranger on the loopback wire", loop, "2001:db8::2", "::1", ipv6.ReasonSourceNotLocal},
		{"to a stranger on the loopback wire", loop, "::1", "2001:db8::2", ipv6.ReasonDestNotLocal},
		{"stranger from outside", open, "2001:db8::2", "2001:db8::1", ipv6.OK},
		{"loopback source from outside", open, "::1", "2001:db8::1", ipv6.ReasonSourceLoopback},
		{"loopback destination from outside", open, "2001:db8::2", "::1", ipv6.ReasonDestLoopback},
		{"our own address from outside", open, "2001:db8::1", "2001:db8::1", ipv6.ReasonSourceOurs},
		{"loopback on a loopback interface with an open wire", openLo, "::1", "::1", ipv6.OK},
		{"source is a group", open, "ff02::1", "2001:db8::1", ipv6.ReasonSourceMulticast},
		{"source unspecified", open, "::", "2001:db8::1", ipv6.ReasonSourceUnspecified},
		{"source IPv4-mapped", open, "::ffff:127.0.0.1", "2001:db8::1", ipv6.ReasonSourceMapped},
		{"destination unspecified", open, "2001:db8::2", "::", ipv6.ReasonDestUnspecified},
		{"destination IPv4-mapped", open, "2001:db8::2", "::ffff:127.0.0.1", ipv6.ReasonDestMapped},
		{"group that we listen to", open, "2001:db8::2", "ff02::1", ipv6.OK},
		{"group that we do not listen to", open, "2001:db8::2", "ff02::2", ipv6.ReasonDestNotLocal},
		{"group without listeners", loop, "::1", "ff02::1", ipv6.ReasonDestNotLocal},
		{"group of reserved scope", openLo, "2001:db8::2", "ff00::1", ipv6.ReasonDestScope},
		{"group of interface-local scope from outside", open, "2001:db8::2", "ff01::1", ipv6.ReasonDestScope},
		{"group of interface-local scope on a loopback interface", openLo, "2001:db8::2", "ff01::1", ipv6.OK},
		{"zero rules: nothing but ::1 is local", zero, "2001:db8::2", "2001:db8::1", ipv6.ReasonDestNotLocal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := sample()
			r.Src, r.Dst = addr(tt.src), addr(tt.dst)
			why := tt.rules.Check(ipv6.Header(packet(r)))
			require.Equal(t, tt.want, why, why.Detail())
			if why != ipv6.OK {
				require.Equal(t, "InAddrErrors", why.String())
			}
		})
	}
}
