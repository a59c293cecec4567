package ipv4_test

import (
	"net/netip"
	"testing"

	"example.com/loopback/ipv4"
	"github.com/stretchr/testify/require"
)

// The computer of these tests has 10.1.1.1/24 besides 127.0.0.0/8, and listens to 224.0.0.1.
func isLocal(a netip.Addr) bool {
	return a.IsLoopback() || a == netip.MustParseAddr("10.1.1.1")
}
func isBroadcast(a netip.Addr) bool { return a == netip.MustParseAddr("10.1.1.255") }
func isMember(a netip.Addr) bool {
	return a == netip.MustParseAddr("224.0.0.1") || a == netip.MustParseAddr("255.255.255.255")
}

func TestAddrRules(t *testing.T) {
	loop := ipv4.AddrRules{Loopback: true, Source: ipv4.SourceMustBeLocal, IsLocal: isLocal, IsBroadcast: isBroadcast}
	open := ipv4.AddrRules{Source: ipv4.SourceMustNotBeLocal, IsLocal: isLocal, IsBroadcast: isBroadcast, IsMember: isMember}
	openLo := open
	openLo.Loopback = true
	zero := ipv4.AddrRules{}
	inject := ipv4.AddrRules{Loopback: true}
	tests := []struct {
		name     string
		rules    ipv4.AddrRules
		src, dst string
		want     ipv4.Reason
	}{
		{"loopback to loopback on the loopback wire", loop, "127.0.0.1", "127.1.2.3", ipv4.OK},
		{"own address to loopback on the loopback wire", loop, "10.1.1.1", "127.0.0.1", ipv4.OK},
		{"stranger on the loopback wire", loop, "10.1.1.2", "127.0.0.1", ipv4.ReasonSourceNotLocal},
		{"to a stranger on the loopback wire", loop, "127.0.0.1", "10.1.1.2", ipv4.ReasonDestNotLocal},
		{"stranger from outside", open, "10.1.1.2", "10.1.1.1", ipv4.OK},
		{"loopback source from outside", open, "127.0.0.1", "10.1.1.1", ipv4.ReasonSourceLoopback},
		{"loopback destination from outside", open, "10.1.1.2", "127.0.0.1", ipv4.ReasonDestLoopback},
		{"our own address from outside", open, "10.1.1.1", "10.1.1.1", ipv4.ReasonSourceOurs},
		{"loopback source on a loopback interface with an open wire", openLo, "127.0.0.1", "127.0.0.1", ipv4.OK},
		{"source 0.0.0.0", open, "0.0.0.0", "10.1.1.1", ipv4.ReasonSourceThisNet},
		{"source 0.1.2.3", loop, "0.1.2.3", "127.0.0.1", ipv4.ReasonSourceThisNet},
		{"source 224.0.0.1", open, "224.0.0.1", "10.1.1.1", ipv4.ReasonSourceMulticast},
		{"source 239.255.255.255", open, "239.255.255.255", "10.1.1.1", ipv4.ReasonSourceMulticast},
		{"source 240.0.0.1", open, "240.0.0.1", "10.1.1.1", ipv4.ReasonSourceReserved},
		{"source 255.255.255.255", open, "255.255.255.255", "10.1.1.1", ipv4.ReasonSourceBroadcast},
		{"source is a subnet's broadcast", open, "10.1.1.255", "10.1.1.1", ipv4.ReasonSourceBroadcast},
		{"destination 0.0.0.0", open, "10.1.1.2", "0.0.0.0", ipv4.ReasonDestThisNet},
		{"destination 240.0.0.1", open, "10.1.1.2", "240.0.0.1", ipv4.ReasonDestReserved},
		{"destination not ours", open, "10.1.1.2", "10.1.1.3", ipv4.ReasonDestNotLocal},
		{"group that we listen to", open, "10.1.1.2", "224.0.0.1", ipv4.OK},
		{"group that we do not listen to", open, "10.1.1.2", "224.0.0.2", ipv4.ReasonDestNotLocal},
		{"limited broadcast that we listen to", open, "10.1.1.2", "255.255.255.255", ipv4.OK},
		{"subnet broadcast that we do not listen to", open, "10.1.1.2", "10.1.1.255", ipv4.ReasonDestNotLocal},
		{"broadcast without listeners", loop, "127.0.0.1", "255.255.255.255", ipv4.ReasonDestNotLocal},
		{"zero rules: stranger to loopback", zero, "10.1.1.2", "127.0.0.1", ipv4.ReasonDestLoopback},
		{"zero rules: nothing else is local", zero, "10.1.1.2", "10.1.1.1", ipv4.ReasonDestNotLocal},
		{"any source to the loopback", inject, "10.1.1.2", "127.0.0.1", ipv4.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := sample()
			r.Src, r.Dst = netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst)
			why := tt.rules.Check(ipv4.Header(packet(r, nil)))
			require.Equal(t, tt.want, why, why.Detail())
			if why != ipv4.OK {
				require.Equal(t, "InAddrErrors", why.String())
			}
		})
	}
}
