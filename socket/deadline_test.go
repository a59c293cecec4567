package socket_test

import (
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/socket"
	"github.com/stretchr/testify/assert"
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

// dialled returns both ends of a connection of a stack that is closed when the test is over.
func dialled(t *testing.T) (c, d net.Conn) {
	s := socket.New(socket.Config{})
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	l, err := s.Listen("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	c, err = s.Dial("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	d, err = l.Accept()
	require.NoError(t, err)
	return c, d
}

// TestDeadlineWhileWaiting: a reader and a writer who wait already go by the deadline that was set last.
func TestDeadlineWhileWaiting(t *testing.T) {
	const far, near = time.Minute, 5 * time.Millisecond // before any timer of TCP's
	tests := []struct {
		name        string
		first, then time.Duration // 0: none
		want        time.Duration // when the call ends; it is done after an hour by itself
		err         error
	}{
		{"earlier", far, near, near, os.ErrDeadlineExceeded},
		{"later", near, far, far, os.ErrDeadlineExceeded},
		{"removed", near, 0, time.Hour, nil},
		{"one after none", 0, near, near, os.ErrDeadlineExceeded},
		{"past", far, -time.Hour, time.Millisecond, os.ErrDeadlineExceeded},
		{"past after none", 0, -time.Hour, time.Millisecond, os.ErrDeadlineExceeded},
		{"still none", 0, 0, time.Hour, nil},
	}
	for _, tt := range tests {
		for _, reads := range []bool{true, false} {
			t.Run(tt.name+map[bool]string{true: ", read", false: ", write"}[reads], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, d := dialled(t)
					start := time.Now()
					at := func(d time.Duration) time.Time {
						if d == 0 {
							return time.Time{}
						}
						return start.Add(d)
					}
					set, call, end := c.SetReadDeadline, c.Read, func() { _, _ = d.Write([]byte("at last")) }
					if !reads {
						set, call = c.SetWriteDeadline, c.Write
						end = func() { _, _ = io.CopyN(io.Discard, d, 64<<20) }
					}
					require.NoError(t, set(at(tt.first)))
					time.AfterFunc(time.Millisecond, func() { assert.NoError(t, set(at(tt.then))) })
					time.AfterFunc(time.Hour, end)
					_, err := call(make([]byte, 64<<20))
					if tt.err == nil {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, tt.err)
					}
					require.InDelta(t, float64(tt.want), float64(time.Since(start)), float64(time.Millisecond))
				})
			})
		}
	}
}

// TestDialogueSteadyThroughDeadlines: to make sure that there is no deadline, as servers do, changes nothing for a
// dialogue; one that passed does.
func TestDialogueSteadyThroughDeadlines(t *testing.T) {
	synctest.Test(t, testSteadyThroughDeadlines)
}

func testSteadyThroughDeadlines(t *testing.T) {
	c, d := dialled(t)
	defer d.Close()
	go func() {
		_, _ = io.Copy(struct{ io.Writer }{d}, struct{ io.Reader }{d})
	}()
	p := make([]byte, 8)
	steady := false
	for range 1000 {
		_, err := c.Write(p)
		require.NoError(t, err)
		_, err = io.ReadFull(c, p)
		require.NoError(t, err)
		if steady = socket.Steady(c); steady {
			break
		}
	}
	require.True(t, steady)
	require.NoError(t, c.SetDeadline(time.Time{}))
	require.True(t, socket.Steady(c))
	require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
	require.False(t, socket.Steady(c))
	late := make([]error, 2)
	for i := range late {
		_, late[i] = c.Read(p)
		require.ErrorIs(t, late[i], os.ErrDeadlineExceeded)
	}
	require.Same(t, late[0], late[1])
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	_, err := c.Write(p)
	require.NoError(t, err)
	_, err = io.ReadFull(c, p)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.SetDeadline(time.Time{}), net.ErrClosed)
}
