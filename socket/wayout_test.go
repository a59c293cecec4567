package socket

import (
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
)

// TestLoneWrites: a text that leaves alone, by the short way, leaves as it would by the long one, which a deadline for writing
// makes it go. Every byte, counter and time is compared.
func TestLoneWrites(t *testing.T) {
	OnProcessors(t, 1) // else a reader's ACK may be sent before or after the next piece of a long text
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80"} {
		for _, verify := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s verify %v", addr, verify), func(t *testing.T) {
				want := questions(t, addr, verify, true)
				require.Equal(t, want, questions(t, addr, verify, false))
			})
		}
	}
}

// questions has a dialogue with messages of many sizes and returns what can be seen of it.
func questions(t *testing.T, addr string, verify, long bool) (seen []string) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Seed: 7, VerifyChecksums: verify})
		s.NIC().AddTap(func(dir device.Direction, now time.Duration, n *device.NIC, p *device.Packet) {
			seen = append(seen, fmt.Sprintf("%v %v cause %d flags %d queue %d hash %x, %x", dir, now, p.Cause, p.Flags, p.Queue, p.Hash, n.AppendWire(nil, p)))
		})
		l, err := s.Listen("tcp", addr)
		require.NoError(t, err)
		dialled, err := s.Dial("tcp", addr)
		require.NoError(t, err)
		accepted, err := l.Accept()
		require.NoError(t, err)
		ends := []*TCPConn{dialled.(*TCPConn), accepted.(*TCPConn)}
		require.NoError(t, ends[1].SetTOS(0x10))
		if long {
			for _, c := range ends {
				require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Hour)))
			}
		}
		text := make([]byte, 40000)
		for i := range text {
			text[i] = byte(i * 7)
		}
		for i, n := range []int{1, 64, 183, 184, 185, 203, 204, 205, 256, 257, 1000, 16000, 16383, 16384, 16385, 40000, 1, 2, 3, 64} {
			from, to := ends[i%2], ends[(i+1)%2]
			from.mu.Lock()
			lone := from.unhindered(n) && from.tcb.Lone(n)
			from.mu.Unlock()
			if i < 12 { // before what does not fit into a segment
				require.Equal(t, !long, lone, "%d bytes", n)
			}
			k, err := from.Write(text[:n])
			require.NoError(t, err)
			require.Equal(t, n, k)
			got := make([]byte, n)
			_, err = io.ReadFull(to, got)
			require.NoError(t, err)
			require.Equal(t, text[:n], got)
			if i%3 == 0 {
				require.NoError(t, from.SetReadDeadline(time.Now().Add(time.Duration(i)*17*time.Millisecond)))
				_, err = from.Read(got)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.NoError(t, from.SetReadDeadline(time.Time{}))
			}
		}
		seen = append(seen, fmt.Sprintf("%+v", s.NIC().Counters()))
		s.eachTCP(func(_, name string, n uint64) bool {
			seen = append(seen, fmt.Sprint(name, " ", n))
			return true
		})
		for _, c := range ends {
			seen = append(seen, fmt.Sprintf("%+v", c.Info()))
			require.NoError(t, c.Close())
		}
		require.NoError(t, l.Close())
		require.NoError(t, s.Close())
	})
	return seen
}

// TestSteadyEnds: a dialogue is steady until somebody does anything else with the connection, and goes on after it.
func TestSteadyEnds(t *testing.T) {
	for name, do := range map[string]func(c, peer *TCPConn){
		"TCP_NODELAY":               func(c, _ *TCPConn) { _ = c.SetNoDelay(false) },
		"keep-alive":                func(c, _ *TCPConn) { _ = c.SetKeepAlive(true) },
		"a text that does not fit":  func(c, p *TCPConn) { _, _ = c.Write(make([]byte, 40000)); _, _ = io.ReadFull(p, make([]byte, 40000)) },
		"nothing":                   func(c, _ *TCPConn) { _, _ = c.Write(nil) },
		"a large text arrives":      func(c, p *TCPConn) { _, _ = p.Write(make([]byte, 40000)); _, _ = io.ReadFull(c, make([]byte, 40000)) },
		"a text nobody waits for":   func(c, p *TCPConn) { _, _ = p.Write([]byte("hello")); _, _ = io.ReadFull(c, make([]byte, 5)) },
		"the writing side is shut":  func(c, _ *TCPConn) { _ = c.CloseWrite() },
		"the peer's is":             func(_, p *TCPConn) { _ = p.CloseWrite() },
		"the reading side is shut":  func(c, _ *TCPConn) { _ = c.CloseRead() },
		"the connection is closed":  func(c, _ *TCPConn) { _ = c.Close() },
		"the peer closes it":        func(_, p *TCPConn) { _ = p.Close() },
		"the peer resets it":        func(_, p *TCPConn) { _ = p.SetLinger(0); _ = p.Close() },
		"a timer expires":           func(*TCPConn, *TCPConn) { time.Sleep(time.Second) },
		"the stack is closed":       func(c, _ *TCPConn) { _ = c.s.Close() },
		"somebody wants to know":    func(c, _ *TCPConn) { c.Info() },
		"somebody wants the errors": func(c, _ *TCPConn) { _ = c.opError("read", io.EOF) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Config{})
				defer s.Close()
				l, err := s.Listen("tcp", "127.0.0.1:80")
				require.NoError(t, err)
				dialled, err := s.Dial("tcp", "127.0.0.1:80")
				require.NoError(t, err)
				accepted, err := l.Accept()
				require.NoError(t, err)
				c, peer := dialled.(*TCPConn), accepted.(*TCPConn)
				defer peer.Close()
				defer c.Close()
				talk := func() (err error) {
					for i := range 40 {
						ends := []*TCPConn{c, peer}
						from, to := ends[i%2], ends[1-i%2]
						go func() {
							_, err = io.ReadFull(to, make([]byte, 10))
						}()
						synctest.Wait() // until it waits
						if _, err := from.Write([]byte("0123456789")); err != nil {
							return err
						}
						if synctest.Wait(); err != nil {
							return err
						}
					}
					return nil
				}
				require.NoError(t, talk())
				steady := func() bool {
					c.mu.Lock()
					defer c.mu.Unlock()
					return c.steady
				}
				require.True(t, steady())
				do(c, peer)
				synctest.Wait()
				require.False(t, steady())
				failed := c.closed || c.wshut || c.detached || !c.tcb.MayReceive()
				err = talk()
				require.Equal(t, failed, err != nil, "%v", err)
			})
		})
	}
}
