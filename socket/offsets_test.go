package socket

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/loopback/tcp"
)

// TestOffsets: what is kept of a pair of addresses is what tcp has for it, in either direction, whichever was asked for
// before.
func TestOffsets(t *testing.T) {
	s := New(Config{Seed: 1})
	defer s.Close()
	addrs := []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"}
	for _, first := range addrs {
		for _, second := range addrs {
			a, b := netip.MustParseAddr(first), netip.MustParseAddr(second)
			for _, ends := range [][2]netip.Addr{{a, b}, {b, a}, {a, b}, {a, a}} {
				k := flowKey{local: ipOf(ends[0]), remote: ipOf(ends[1]), lport: 1, rport: 2}
				forward, backward := s.offsets(&k)
				require.Equal(t, tcp.TSOffset(s.secret, k.localAddr(), k.remoteAddr()), forward)
				require.Equal(t, tcp.TSOffset(s.secret, k.remoteAddr(), k.localAddr()), backward)
			}
		}
	}
}
