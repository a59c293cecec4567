package socket_test

import (
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/socket"
	"github.com/stretchr/testify/require"
)

// TestReadDeadlineByTimer: a deadline that passed while nobody was reading counts for the next read, whatever has
// arrived meanwhile, and is gone with the next one that is set.
func TestReadDeadlineByTimer(t *testing.T) {
	for _, network := range []string{"tcp4", "udp4"} {
		t.Run(network, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := socket.New(socket.Config{})
				var c, d net.Conn
				if network == "udp4" {
					server, client := udpPair(t, s, "127.0.0.1:0")
					c, d = client, server
					_, err := client.Write([]byte("hello"))
					require.NoError(t, err)
					_, from, err := server.ReadFrom(make([]byte, 9))
					require.NoError(t, err)
					write := server
					d = &toOne{write, from}
				} else {
					l, err := s.Listen(network, "127.0.0.1:80")
					require.NoError(t, err)
					c, err = s.Dial(network, "127.0.0.1:80")
					require.NoError(t, err)
					d, err = l.Accept()
					require.NoError(t, err)
				}
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
				_, err := d.Write([]byte("x"))
				require.NoError(t, err)
				time.Sleep(time.Second)
				synctest.Wait()
				n, err := c.Read(make([]byte, 9))
				require.Zero(t, n)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
				n, err = c.Read(make([]byte, 9))
				require.NoError(t, err)
				require.Equal(t, 1, n, "nothing was lost")
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)), "earlier than before")
				start := time.Now()
				_, err = c.Read(make([]byte, 9))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Equal(t, time.Minute, time.Since(start))
				require.NoError(t, s.Close())
				require.False(t, socket.Armed(s))
			})
		})
	}
}

// toOne writes to one peer of an unconnected socket.
type toOne struct {
	*socket.UDPConn
	to net.Addr
}

func (c *toOne) Write(p []byte) (int, error) { return c.WriteTo(p, c.to) }

// TestDatagramsWithoutTheClock: where nobody looks, a datagram is sent without a look at the clock; a tap sees the
// right time all the same.
func TestDatagramsWithoutTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.New(socket.Config{})
		defer s.Close()
		server, client := udpPair(t, s, "127.0.0.1:0")
		time.Sleep(time.Hour)
		_, err := client.Write([]byte("an hour later"))
		require.NoError(t, err)
		_, _, err = server.ReadFrom(make([]byte, 99))
		require.NoError(t, err)

		var seen []time.Duration
		remove := s.NIC().AddTap(func(_ device.Direction, now time.Duration, _ *device.NIC, _ *device.Packet) { seen = append(seen, now) })
		defer remove()
		_, err = client.Write([]byte("seen"))
		require.NoError(t, err)
		require.Equal(t, []time.Duration{time.Hour, time.Hour}, seen, "with a tap the time is exact")
	})
}
