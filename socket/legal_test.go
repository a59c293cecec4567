package socket

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/loopback/ipv4/checksum"
	"github.com/stretchr/testify/require"
)

// That a pair of addresses was legal in the last packet does not make it legal for ever, nor the other way
// round.
func TestLegalAgain(t *testing.T) {
	s := New(Config{})
	t.Cleanup(func() { s.Close() })
	ours := netip.MustParsePrefix("192.0.2.1/32")
	require.NoError(t, s.NIC().AddAddr(ours))
	_, err := s.ListenPacket("udp4", "192.0.2.1:7")
	require.NoError(t, err)
	inject := func(src, dst string, want Drop) {
		t.Helper()
		var before [numDrops]uint64
		for d := range before {
			before[d] = s.count.dropped[d].Load()
		}
		from, to := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
		raw := slices.Concat([]byte{0x45, 0, 0, 29, 0, 0, 0, 0, 64, protoUDP, 0, 0}, from[:], to[:], []byte{0, 9, 0, 7, 0, 9, 0, 0, 'x'})
		binary.BigEndian.PutUint16(raw[10:], ^checksum.Fold(checksum.Sum(raw[:20], 0)))
		require.NoError(t, s.NIC().Inject(time.Second, raw))
		for d := range before {
			if Drop(d) == want {
				before[d]++
			}
			require.Equal(t, before[d], s.count.dropped[d].Load(), Drop(d).String())
		}
	}
	const none = numDrops
	for range 2 {
		inject("192.0.2.1", "192.0.2.1", none)
		inject("192.0.2.1", "192.0.2.1", none)
		inject("192.0.2.2", "192.0.2.1", DropMartian)
		inject("192.0.2.2", "192.0.2.1", DropMartian)
		inject("192.0.2.1", "192.0.2.3", DropNotLocal)
		inject("192.0.2.1", "192.0.2.3", DropNotLocal)
	}
	inject("192.0.2.1", "192.0.2.1", none)
	require.NoError(t, s.NIC().DelAddr(ours))
	inject("192.0.2.1", "192.0.2.1", DropMartian)
	require.NoError(t, s.NIC().AddAddr(ours))
	inject("192.0.2.1", "192.0.2.1", none)
}
