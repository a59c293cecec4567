package tcp

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// Cookies are Linux's, as its kernel gave them for the same keys and addresses.
func TestFastOpenCookie(t *testing.T) {
	key := [16]byte{0xa1, 0xa1, 0xa1, 0xa1, 0xb2, 0xb2, 0xb2, 0xb2, 0xc3, 0xc3, 0xc3, 0xc3, 0xd4, 0xd4, 0xd4, 0xd4}
	local, remote := netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("192.0.2.1")
	c := FastOpenCookieFor(key, local, remote)
	require.Equal(t, []byte{0x30, 0x21, 0xb9, 0xd8, 0x89, 0x01, 0x7e, 0xeb}, c.B[:c.N])
	other := FastOpenCookieFor(key, local, netip.MustParseAddr("192.0.2.2"))
	require.False(t, c.Equal(&other), "it depends on the client")
	other = FastOpenCookieFor(key, netip.MustParseAddr("fd3d::1"), netip.MustParseAddr("2001:db8::1"))
	require.Equal(t, uint8(8), other.N)
}

func TestFastOpenOption(t *testing.T) {
	tests := []struct {
		name string
		raw  []byte
		want *FastOpenCookie
	}{
		{"request", []byte{34, 2, 1, 1}, &FastOpenCookie{}},
		{"cookie", []byte{34, 6, 1, 2, 3, 4, 1, 1}, &FastOpenCookie{B: [16]byte{1, 2, 3, 4}, N: 4}},
		{"experimental", []byte{254, 8, 0xf9, 0x89, 1, 2, 3, 4}, &FastOpenCookie{B: [16]byte{1, 2, 3, 4}, N: 4, Experimental: true}},
		{"experimental request", []byte{254, 4, 0xf9, 0x89}, &FastOpenCookie{Experimental: true}},
		{"odd", []byte{34, 7, 1, 2, 3, 4, 5, 1}, nil},
		{"too short", []byte{34, 4, 1, 2}, nil},
		{"too long", append([]byte{34, 20}, make([]byte, 18)...), nil},
		{"another experiment", []byte{254, 4, 1, 2}, nil},
		{"experiment without a number", []byte{254, 3, 1, 1}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o Options
			require.Equal(t, ReasonOK, o.parse(tt.raw, true))
			require.Equal(t, tt.want, o.FastOpen)
			if tt.want != nil {
				b := make([]byte, 40)
				for i := range b {
					b[i] = 0xa5
				}
				n := o.marshal(b, true)
				require.Equal(t, tt.raw, b[:n])
				require.Equal(t, n, o.marshaledLen(true))
			}
			o = Options{}
			o.parse(tt.raw, false)
			require.Nil(t, o.FastOpen, "only on a SYN")
		})
	}
}

// What Linux charged SO_RCVBUF for packets of a TUN device (SO_MEMINFO), the packet's length and the sum behind it.
func TestWireBuffers(t *testing.T) {
	w := &wireBufs{ratio: 128}
	for i, step := range []struct{ text, want int }{
		{200, 1280}, {200, 1280}, {200, 1280}, {200, 2560}, {200, 2560}, {200, 2560}, {10, 3392}, {10, 3392}, {10, 3392},
		{1400, 5696}, {1400, 8000}, {10, 8000}, {10, 8000}, {100, 8000}, {100, 8000}, {100, 8832}, {100, 9664},
		{536, 10944}, {700, 13248}, {700, 13248}, {700, 15552}, {300, 15552}, {300, 15552}, {300, 15552}, {300, 16832}, {1, 16832},
	} {
		size, room := bufferFor(40 + step.text)
		w.add(step.text, size, room)
		require.Equal(t, step.want, w.total, "step %d", i)
	}
	w.consume(599)
	require.Equal(t, 16832, w.total, "a buffer is given back when all of it was read")
	w.consume(1)
	require.Equal(t, 16832-1280, w.total)
	before := w.total
	w.collapse()
	require.Less(t, w.total, before)
	w.consume(1 << 20)
	require.Zero(t, w.total)
	require.Zero(t, w.bufs.len())
}
