package peer

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDatagrams sends datagrams of all sizes from a to b and back, those beyond the MTU in fragments.
func TestDatagrams(t *testing.T) {
	eachPair(t, func(t *testing.T, l *lab, family int) {
		b, err := l.b.listenPacket("udp", netip.AddrPortFrom(addrB[family], 0).String())
		require.NoError(t, err)
		defer b.Close()
		a, err := l.a.dial("udp", netip.AddrPort{}, b.LocalAddr().(*net.UDPAddr).AddrPort(), patience)
		require.NoError(t, err)
		defer a.Close()
		deadline := time.Now().Add(patience)
		require.NoError(t, a.SetDeadline(deadline))
		require.NoError(t, b.SetDeadline(deadline))

		room := mtu - 20 - 8 // what fits one packet
		largest := 65507
		if family == 6 {
			room, largest = mtu-40-8, 65527
		}
		buf := make([]byte, 1<<16)
		for _, size := range []int{0, 1, 100, room, room + 1, 2 * room, 8000, 32768, largest} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				data := pattern(size)
				l.wire.forget()
				_, err := a.Write(data)
				require.NoError(t, err)
				n, from, err := b.ReadFrom(buf)
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, buf[:n]), "%d bytes came", n)
				require.Equal(t, a.LocalAddr().String(), from.String())
				packets := 1
				if size > room { // fragments carry multiples of 8 bytes
					per := map[int]int{4: (mtu - 20) &^ 7, 6: (mtu - 40 - 8) &^ 7}[family]
					packets = (size + 8 + per - 1) / per
				}
				require.Equal(t, packets, len(l.wire.packets()))
				_, err = b.WriteTo(buf[:n], from)
				require.NoError(t, err)
				n, err = a.Read(buf)
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, buf[:n]), "%d bytes came back", n)
			})
		}
		_, err = a.Write(make([]byte, largest+1))
		require.Equal(t, "write: EMSGSIZE", errText(err))
	})
}
