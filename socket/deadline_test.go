package socket_test

import (
	"errors"
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
	return dialledOn(t, s)
}

// dialledOn returns both ends of a connection of s.
func dialledOn(t *testing.T, s *socket.Stack) (c, d net.Conn) {
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

// TestDialogueSteadyThroughDeadlines: deadlines are no matter of a dialogue's, and are kept all the same. A server of net/http sets two a
// request, one of them past, to end a read.
func TestDialogueSteadyThroughDeadlines(t *testing.T) {
	past, soon, none := func() time.Time { return time.Unix(1, 0) }, func() time.Time { return time.Now().Add(time.Second) }, time.Time{}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, c, d net.Conn)
		ends bool // it is not steady any more
	}{
		{"none", func(t *testing.T, c, _ net.Conn) { require.NoError(t, c.SetDeadline(none)) }, false},
		{"for reading, and not any more", func(t *testing.T, c, _ net.Conn) {
			require.NoError(t, c.SetReadDeadline(soon()))
			require.NoError(t, c.SetReadDeadline(none))
			time.Sleep(2 * time.Second)
		}, true}, // a timer has expired
		{"past, for reading", func(t *testing.T, c, _ net.Conn) {
			require.NoError(t, c.SetReadDeadline(past()))
			_, first := c.Read(make([]byte, 8))
			require.ErrorIs(t, first, os.ErrDeadlineExceeded)
			_, err := c.Read(make([]byte, 8))
			require.Same(t, first, err)
			require.NoError(t, c.SetReadDeadline(none))
		}, false},
		{"past while somebody reads", func(t *testing.T, c, _ net.Conn) {
			read := make(chan error)
			go func() {
				_, err := c.Read(make([]byte, 8))
				read <- err
			}()
			synctest.Wait()
			require.NoError(t, c.SetReadDeadline(past()))
			require.ErrorIs(t, <-read, os.ErrDeadlineExceeded)
			require.NoError(t, c.SetReadDeadline(none))
		}, false},
		{"past, and text comes", func(t *testing.T, c, d net.Conn) {
			_, err := c.Write([]byte("question"))
			require.NoError(t, err)
			_, err = io.ReadFull(d, make([]byte, 8))
			require.NoError(t, err)
			require.NoError(t, c.SetReadDeadline(past()))
			_, err = d.Write([]byte("answered"))
			require.NoError(t, err)
			require.True(t, socket.Kept(c))
			_, err = c.Read(make([]byte, 8))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.True(t, socket.Kept(c))
			require.NoError(t, c.SetReadDeadline(none))
			got := make([]byte, 8)
			_, err = c.Read(got)
			require.NoError(t, err)
			require.Equal(t, "answered", string(got))
		}, false},
		{"for reading, which passes", func(t *testing.T, c, _ net.Conn) {
			require.NoError(t, c.SetReadDeadline(soon()))
			began := time.Now()
			_, err := c.Read(make([]byte, 8))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, time.Second, time.Since(began))
			require.NoError(t, c.SetReadDeadline(none))
		}, true},
		{"for writing", func(t *testing.T, c, d net.Conn) {
			require.NoError(t, c.SetWriteDeadline(soon()))
			_, err := c.Write([]byte("question"))
			require.NoError(t, err)
			_, err = io.ReadFull(d, make([]byte, 8))
			require.NoError(t, err)
			require.NoError(t, c.SetWriteDeadline(none))
		}, true},
		{"past, for writing", func(t *testing.T, c, _ net.Conn) {
			require.NoError(t, c.SetWriteDeadline(past()))
			_, err := c.Write([]byte("question"))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, c.SetWriteDeadline(none))
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, d := dialled(t)
				defer d.Close()
				defer c.Close()
				talk := func() {
					for i := range 100 {
						from, to := c, d
						if i%2 == 1 {
							from, to = d, c
						}
						done := make(chan struct{})
						go func() {
							_, _ = io.ReadFull(to, make([]byte, 8))
							close(done)
						}()
						synctest.Wait()
						_, err := from.Write([]byte("a text !"))
						require.NoError(t, err)
						<-done
					}
				}
				talk()
				require.True(t, socket.Steady(c))
				tt.do(t, c, d)
				require.Equal(t, !tt.ends, socket.Steady(c))
				talk()
				require.True(t, socket.Steady(c))
				require.NoError(t, c.Close())
				require.ErrorIs(t, c.SetDeadline(none), net.ErrClosed)
			})
		})
	}
}

// TestReadAfterLateOne: what a read says whose deadline has passed, as one before it has been told, is what it said then, unless there is
// something to be said before that.
func TestReadAfterLateOne(t *testing.T) {
	past, none := time.Unix(1, 0), time.Time{}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, c, d net.Conn)
		room int // of the read
		n    int
		err  error
	}{
		{"another", func(*testing.T, net.Conn, net.Conn) {}, 8, 0, os.ErrDeadlineExceeded},
		{"of nothing", func(*testing.T, net.Conn, net.Conn) {}, 0, 0, nil},
		{"of one who has closed", func(t *testing.T, c, _ net.Conn) { require.NoError(t, c.Close()) }, 8, 0, net.ErrClosed},
		{"when the peer has closed", func(t *testing.T, _, d net.Conn) { require.NoError(t, d.Close()) }, 8, 0, os.ErrDeadlineExceeded},
		{"when there is text", func(t *testing.T, _, d net.Conn) {
			_, err := d.Write([]byte("text"))
			require.NoError(t, err)
		}, 8, 0, os.ErrDeadlineExceeded},
		{"when there is text, and no deadline", func(t *testing.T, c, d net.Conn) {
			_, err := d.Write([]byte("text"))
			require.NoError(t, err)
			require.NoError(t, c.SetReadDeadline(none))
		}, 8, 4, nil},
		{"with another past deadline", func(t *testing.T, c, _ net.Conn) {
			require.NoError(t, c.SetReadDeadline(none))
			require.NoError(t, c.SetReadDeadline(past))
		}, 8, 0, os.ErrDeadlineExceeded},
		{"while writes have a deadline", func(t *testing.T, c, _ net.Conn) {
			require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
			require.NoError(t, c.SetReadDeadline(none))
			require.NoError(t, c.SetReadDeadline(past))
			time.Sleep(2 * time.Second)
			_, err := c.Write([]byte("text"))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}, 8, 0, os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, d := dialled(t)
				defer d.Close()
				defer c.Close()
				require.NoError(t, c.SetReadDeadline(past))
				_, first := c.Read(make([]byte, 8))
				require.ErrorIs(t, first, os.ErrDeadlineExceeded)
				tt.do(t, c, d)
				n, err := c.Read(make([]byte, tt.room))
				require.Equal(t, tt.n, n)
				require.ErrorIs(t, err, tt.err)
				if tt.err == os.ErrDeadlineExceeded {
					require.Same(t, first, err)
				}
			})
		})
	}
}

// TestNoDeadlineNoLock: to make sure that there is no deadline, as a server of net/http does five times a request, waits for
// nobody where there is none, whatever there was before.
func TestNoDeadlineNoLock(t *testing.T) {
	past, soon, none := time.Unix(1, 0), func() time.Time { return time.Now().Add(time.Second) }, time.Time{}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, c net.Conn)
	}{
		{"never any", func(*testing.T, net.Conn) {}},
		{"one to come was taken back", func(t *testing.T, c net.Conn) {
			require.NoError(t, c.SetDeadline(soon()))
			require.NoError(t, c.SetDeadline(none))
		}},
		{"a past one was taken back", func(t *testing.T, c net.Conn) {
			require.NoError(t, c.SetReadDeadline(past))
			require.NoError(t, c.SetReadDeadline(none))
		}},
		{"one that a write has met", func(t *testing.T, c net.Conn) {
			require.NoError(t, c.SetWriteDeadline(past))
			_, err := c.Write([]byte("text"))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, c.SetWriteDeadline(none))
		}},
		{"both taken back, one by one", func(t *testing.T, c net.Conn) {
			require.NoError(t, c.SetDeadline(soon()))
			require.NoError(t, c.SetWriteDeadline(none))
			time.Sleep(2 * time.Second)
			require.NoError(t, c.SetReadDeadline(none))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, d := dialled(t)
				for _, c := range []net.Conn{c, d} {
					tt.do(t, c)
					socket.WithLock(c, func() { // he who asked for it would wait for ever
						require.NoError(t, c.SetDeadline(none))
						require.NoError(t, c.SetReadDeadline(none))
						require.NoError(t, c.SetWriteDeadline(none))
					})
				}
			})
		})
	}
}

// TestNoDeadlineOfClosed: that there is no deadline cannot be said of a connection that is closed, by whomever.
func TestNoDeadlineOfClosed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		close func(s *socket.Stack, c, d net.Conn) error
	}{
		{"by the user", func(_ *socket.Stack, c, d net.Conn) error { return errors.Join(c.Close(), d.Close()) }},
		{"with the stack", func(s *socket.Stack, _, _ net.Conn) error { return s.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := socket.New(socket.Config{})
				defer s.Close()
				c, d := dialledOn(t, s)
				require.NoError(t, tt.close(s, c, d))
				for _, c := range []net.Conn{c, d} {
					for _, set := range []func(time.Time) error{c.SetDeadline, c.SetReadDeadline, c.SetWriteDeadline} {
						require.ErrorIs(t, set(time.Time{}), net.ErrClosed)
					}
				}
			})
		})
	}
}
