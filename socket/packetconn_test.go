package socket_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPacketConn is to packet connections what nettest.TestConn is to streams: a suite that every implementation of
// net.PacketConn on a loopback device has to pass. It runs on the kernel's sockets and on ours.
func TestPacketConn(t *testing.T) {
	onBoth(t, func(t *testing.T, api netAPI) {
		for _, network := range []string{"udp4", "udp6"} {
			t.Run(network, func(t *testing.T) {
				testPacketConn(t, func(t *testing.T) (a, b net.PacketConn) {
					return listenPacket(t, api, network), listenPacket(t, api, network)
				})
			})
			t.Run(network+" connected", func(t *testing.T) {
				testConnectedPacketConn(t, func(t *testing.T) (a, b udpConn) { return connectedPair(t, api, network) })
			})
		}
		t.Run("udp, both families at once", func(t *testing.T) { testDualPacketConn(t, api) })
	})
}

func loopbackOf(network string) string {
	if network[len(network)-1] == '6' {
		return "[::1]:0"
	}
	return "127.0.0.1:0"
}

func listenPacket(t *testing.T, api netAPI, network string) net.PacketConn {
	c, err := api.ListenPacket(network, loopbackOf(network))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// connectedPair are two sockets, each the other's peer.
func connectedPair(t *testing.T, api netAPI, network string) (a, b udpConn) {
	reserved := listenPacket(t, api, network).(udpConn)
	addr := reserved.LocalAddr().(*net.UDPAddr)
	require.NoError(t, reserved.Close())
	b0 := listenPacket(t, api, network)
	a, err := api.DialUDP(network, addr, b0.LocalAddr().(*net.UDPAddr))
	require.NoError(t, err)
	require.NoError(t, b0.Close())
	b, err = api.DialUDP(network, b0.LocalAddr().(*net.UDPAddr), addr)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// makePackets returns two unconnected packet connections that can reach each other.
type makePackets func(t *testing.T) (a, b net.PacketConn)

func testPacketConn(t *testing.T, mk makePackets) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, a, b net.PacketConn)
	}{
		{"BasicIO", packetBasicIO},
		{"Boundaries", packetBoundaries},
		{"Truncation", packetTruncation},
		{"PingPong", packetPingPong},
		{"Addresses", packetAddresses},
		{"RacyRead", packetRacyRead},
		{"RacyWrite", packetRacyWrite},
		{"ReadTimeout", packetReadTimeout},
		{"WriteTimeout", packetWriteTimeout},
		{"PastTimeout", packetPastTimeout},
		{"PresentTimeout", packetPresentTimeout},
		{"FutureTimeout", packetFutureTimeout},
		{"CloseUnblocks", packetCloseUnblocks},
		{"ConcurrentMethods", packetConcurrentMethods},
		{"ToNobody", packetToNobody},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := mk(t)
			c.test(t, a, b)
		})
	}
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var ne net.Error
	require.True(t, errors.As(err, &ne), "%T is a net.Error", err)
	require.True(t, ne.Timeout())
}

// packet is datagram number i of a sequence: its number, and bytes that follow from it.
func packet(i, size int) []byte {
	p := make([]byte, max(size, 4))
	rand.New(rand.NewSource(int64(i))).Read(p)
	binary.BigEndian.PutUint32(p, uint32(i))
	return p
}

// packetBasicIO: datagrams of every size arrive whole, once, in order, from whom they came.
func packetBasicIO(t *testing.T, a, b net.PacketConn) {
	require.NoError(t, b.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 1<<16)
	for i, size := range []int{4, 5, 100, 1472, 1473, 9000, 16380, 16408, 16409, 32768, 65000, 65507} {
		want := packet(i, size)
		n, err := a.WriteTo(want, b.LocalAddr())
		require.NoError(t, err, "%d bytes", size)
		require.Equal(t, size, n)
		n, from, err := b.ReadFrom(buf)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, buf[:n]), "%d bytes arrive as they were sent", size)
		require.Equal(t, a.LocalAddr().String(), from.String())
	}
}

// packetBoundaries: several datagrams waiting are still several, and an empty one is one of them.
func packetBoundaries(t *testing.T, a, b net.PacketConn) {
	require.NoError(t, b.SetReadDeadline(time.Now().Add(patience)))
	sizes := []int{3, 0, 1, 0, 0, 7}
	for _, size := range sizes {
		n, err := a.WriteTo(bytes.Repeat([]byte{byte(size)}, size), b.LocalAddr())
		require.NoError(t, err)
		require.Equal(t, size, n)
	}
	for _, size := range sizes {
		buf := make([]byte, 100)
		n, _, err := b.ReadFrom(buf)
		require.NoError(t, err, "an empty datagram is no EOF")
		require.Equal(t, bytes.Repeat([]byte{byte(size)}, size), buf[:n])
	}
}

// packetTruncation: what does not fit the reader's buffer is gone, and the next datagram is the next.
func packetTruncation(t *testing.T, a, b net.PacketConn) {
	require.NoError(t, b.SetReadDeadline(time.Now().Add(patience)))
	for _, text := range []string{"first datagram", "second", "third"} {
		_, err := a.WriteTo([]byte(text), b.LocalAddr())
		require.NoError(t, err)
	}
	buf := make([]byte, 5)
	n, from, err := b.ReadFrom(buf)
	require.NoError(t, err)
	require.Equal(t, "first", string(buf[:n]))
	require.Equal(t, a.LocalAddr().String(), from.String())
	n, _, err = b.ReadFrom(nil)
	require.NoError(t, err)
	require.Zero(t, n)
	n, _, err = b.ReadFrom(buf)
	require.NoError(t, err)
	require.Equal(t, "third", string(buf[:n]))
}

// packetPingPong: a counter goes to and fro.
func packetPingPong(t *testing.T, a, b net.PacketConn) {
	const rounds = 1000
	var wg sync.WaitGroup
	play := func(c, peer net.PacketConn) {
		buf := make([]byte, 16)
		_ = c.SetDeadline(time.Now().Add(patience))
		for i := range rounds {
			n, from, err := c.ReadFrom(buf)
			if err != nil || n != 8 || from.String() != peer.LocalAddr().String() {
				t.Errorf("round %d: ReadFrom = %d, %v, %v", i, n, from, err)
				return
			}
			v := binary.LittleEndian.Uint64(buf)
			binary.LittleEndian.PutUint64(buf, v+1)
			if v >= 2*rounds-1 {
				return
			}
			if _, err := c.WriteTo(buf[:8], from); err != nil {
				t.Errorf("round %d: WriteTo: %v", i, err)
				return
			}
		}
	}
	wg.Go(func() { play(a, b) })
	wg.Go(func() { play(b, a) })
	_, err := a.WriteTo(make([]byte, 8), b.LocalAddr())
	require.NoError(t, err)
	wg.Wait()
}

// packetAddresses: addresses are stable, complete, and the same from both ends.
func packetAddresses(t *testing.T, a, b net.PacketConn) {
	for _, c := range []net.PacketConn{a, b} {
		addr, ok := c.LocalAddr().(*net.UDPAddr)
		require.True(t, ok)
		require.NotZero(t, addr.Port)
		require.True(t, addr.IP.IsLoopback())
		require.Equal(t, "udp", addr.Network())
		require.Equal(t, addr.String(), c.LocalAddr().String())
	}
	require.NotEqual(t, a.LocalAddr().String(), b.LocalAddr().String())
	before := a.LocalAddr().String()
	require.NoError(t, a.Close())
	require.Equal(t, before, a.LocalAddr().String(), "a closed socket still knows its name")
}

// packetRacyRead: many readers, with deadlines that come and go; every datagram is read by one at most.
func packetRacyRead(t *testing.T, a, b net.PacketConn) {
	stop := make(chan struct{})
	var sender, readers sync.WaitGroup
	sender.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_, _ = a.WriteTo(packet(i, 64), b.LocalAddr())
			}
		}
	})
	var mu sync.Mutex
	seen := make(map[uint32]bool)
	for range 10 {
		readers.Go(func() {
			buf := make([]byte, 128)
			_ = b.SetReadDeadline(time.Now().Add(time.Millisecond))
			for range 20 {
				n, _, err := b.ReadFrom(buf)
				if err != nil {
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("ReadFrom: %v", err)
					}
					_ = b.SetReadDeadline(time.Now().Add(time.Millisecond))
					continue
				}
				i := binary.BigEndian.Uint32(buf)
				if !bytes.Equal(buf[:n], packet(int(i), 64)) {
					t.Errorf("datagram %d is damaged", i)
				}
				mu.Lock()
				if seen[i] {
					t.Errorf("datagram %d was read twice", i)
				}
				seen[i] = true
				mu.Unlock()
			}
		})
	}
	readers.Wait()
	close(stop)
	sender.Wait()
}

// packetRacyWrite: many writers, with deadlines that come and go; nothing that arrives is a mixture.
func packetRacyWrite(t *testing.T, a, b net.PacketConn) {
	_ = b.SetReadDeadline(time.Now().Add(patience))
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 128)
		for {
			n, _, err := b.ReadFrom(buf)
			if err != nil {
				select {
				case <-done:
				default:
					t.Errorf("ReadFrom: %v", err)
				}
				return
			}
			if i := binary.BigEndian.Uint32(buf); !bytes.Equal(buf[:n], packet(int(i), 64)) {
				t.Errorf("datagram %d is damaged", i)
			}
		}
	})
	var writers sync.WaitGroup
	for w := range 10 {
		writers.Go(func() {
			for i := range 20 {
				n, err := a.WriteTo(packet(100*w+i, 64), b.LocalAddr())
				switch {
				case errors.Is(err, os.ErrDeadlineExceeded):
					_ = a.SetWriteDeadline(time.Now().Add(time.Millisecond))
				case err != nil || n != 64:
					t.Errorf("WriteTo = %d, %v", n, err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	_ = b.SetReadDeadline(past())
	reader.Wait()
}

// packetReadTimeout: a read that is too late does not keep writes from working.
func packetReadTimeout(t *testing.T, a, b net.PacketConn) {
	require.NoError(t, a.SetReadDeadline(past()))
	n, from, err := a.ReadFrom(make([]byte, 10))
	requireTimeout(t, err)
	require.Zero(t, n)
	require.Nil(t, from)
	_, err = a.WriteTo([]byte("x"), b.LocalAddr())
	require.NoError(t, err)
}

// packetWriteTimeout: a write that is too late does not keep reads from working.
func packetWriteTimeout(t *testing.T, a, b net.PacketConn) {
	require.NoError(t, a.SetWriteDeadline(past()))
	n, err := a.WriteTo([]byte("x"), b.LocalAddr())
	requireTimeout(t, err)
	require.Zero(t, n)
	_, err = b.WriteTo([]byte("y"), a.LocalAddr())
	require.NoError(t, err)
	require.NoError(t, a.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 10)
	n, _, err = a.ReadFrom(buf)
	require.NoError(t, err)
	require.Equal(t, "y", string(buf[:n]))
}

// packetPastTimeout: after both have timed out, both work again, and what waited meanwhile is there.
func packetPastTimeout(t *testing.T, a, b net.PacketConn) {
	require.NoError(t, a.SetDeadline(past()))
	_, err := b.WriteTo([]byte("meanwhile"), a.LocalAddr())
	require.NoError(t, err)
	for range 2 {
		n, _, err := a.ReadFrom(make([]byte, 100))
		requireTimeout(t, err)
		require.Zero(t, n)
		_, err = a.WriteTo(nil, b.LocalAddr())
		requireTimeout(t, err)
	}
	require.NoError(t, a.SetDeadline(time.Now().Add(patience)))
	buf := make([]byte, 100)
	n, _, err := a.ReadFrom(buf)
	require.NoError(t, err)
	require.Equal(t, "meanwhile", string(buf[:n]))
	_, err = a.WriteTo([]byte("x"), b.LocalAddr())
	require.NoError(t, err)
}

// packetPresentTimeout: a deadline in the past wakes whoever waits.
func packetPresentTimeout(t *testing.T, a, _ net.PacketConn) {
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			if _, _, err := a.ReadFrom(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("ReadFrom: %v", err)
			}
		})
	}
	require.NoError(t, a.SetReadDeadline(past()))
	readers.Wait()
}

// packetFutureTimeout: a read waits until the deadline and no less; moving it moves the wait.
func packetFutureTimeout(t *testing.T, a, _ net.PacketConn) {
	for _, wait := range []time.Duration{time.Millisecond, 30 * time.Millisecond} {
		begin := time.Now()
		require.NoError(t, a.SetDeadline(begin.Add(wait)))
		_, _, err := a.ReadFrom(make([]byte, 10))
		requireTimeout(t, err)
		require.GreaterOrEqual(t, time.Since(begin), wait)
	}
	begin := time.Now()
	require.NoError(t, a.SetReadDeadline(begin.Add(time.Hour)))
	var reader sync.WaitGroup
	reader.Go(func() {
		_, _, err := a.ReadFrom(make([]byte, 10))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) < 10*time.Millisecond {
			t.Errorf("ReadFrom: %v after %v", err, time.Since(begin))
		}
	})
	require.NoError(t, a.SetReadDeadline(begin.Add(10*time.Millisecond)))
	reader.Wait()
}

// packetCloseUnblocks: Close wakes whoever waits, and everything after it fails.
func packetCloseUnblocks(t *testing.T, a, b net.PacketConn) {
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			if _, _, err := a.ReadFrom(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("ReadFrom: %v", err)
			}
		})
	}
	require.NoError(t, a.Close())
	readers.Wait()
	_, _, err := a.ReadFrom(make([]byte, 10))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = a.WriteTo([]byte("x"), b.LocalAddr())
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, a.SetDeadline(time.Time{}), net.ErrClosed)
	require.ErrorIs(t, a.Close(), net.ErrClosed)
}

// packetConcurrentMethods: every method at once, for the race detector.
func packetConcurrentMethods(t *testing.T, a, b net.PacketConn) {
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { _, _ = a.WriteTo([]byte("x"), b.LocalAddr()) })
		wg.Go(func() { _, _, _ = b.ReadFrom(make([]byte, 10)) })
		wg.Go(func() { _ = b.SetDeadline(time.Now().Add(time.Millisecond)) })
		wg.Go(func() { _ = b.SetReadDeadline(time.Now().Add(time.Millisecond)) })
		wg.Go(func() { _ = b.SetWriteDeadline(time.Now().Add(time.Millisecond)) })
		wg.Go(func() { _, _ = a.LocalAddr(), b.LocalAddr() })
	}
	_ = b.SetDeadline(time.Now().Add(time.Millisecond))
	wg.Wait()
}

// packetToNobody: a datagram that nobody receives is nobody's error when the sender has no peer.
func packetToNobody(t *testing.T, a, b net.PacketConn) {
	require.NoError(t, b.Close())
	for range 3 {
		n, err := a.WriteTo([]byte("x"), b.LocalAddr())
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, _, err := a.ReadFrom(make([]byte, 10))
	requireTimeout(t, err)
}

// testConnectedPacketConn is about sockets that have a peer.
func testConnectedPacketConn(t *testing.T, mk func(t *testing.T) (a, b udpConn)) {
	t.Run("Stream of datagrams", func(t *testing.T) {
		a, b := mk(t)
		require.NoError(t, b.SetReadDeadline(time.Now().Add(patience)))
		buf := make([]byte, 2000)
		for i := range 100 {
			n, err := a.Write(packet(i, 1000+i))
			require.NoError(t, err)
			require.Equal(t, 1000+i, n)
			n, err = b.Read(buf)
			require.NoError(t, err)
			require.True(t, bytes.Equal(packet(i, 1000+i), buf[:n]))
		}
	})
	t.Run("Addresses", func(t *testing.T) {
		a, b := mk(t)
		require.Equal(t, a.LocalAddr().String(), b.RemoteAddr().String())
		require.Equal(t, b.LocalAddr().String(), a.RemoteAddr().String())
		_, err := a.WriteTo([]byte("x"), b.LocalAddr())
		require.ErrorIs(t, err, net.ErrWriteToConnected)
	})
	t.Run("Refused", func(t *testing.T) {
		a, b := mk(t)
		require.NoError(t, b.Close())
		require.NoError(t, a.SetDeadline(time.Now().Add(patience)))
		_, err := a.Write([]byte("x"))
		require.NoError(t, err, "the first goes out")
		_, err = a.Read(make([]byte, 10))
		require.Contains(t, fmt.Sprint(err), "connection refused", "the answer to it is an error")
		_, err = a.Write([]byte("y"))
		require.NoError(t, err, "an error is told once")
	})
	t.Run("The peer comes back", func(t *testing.T) {
		a, b := mk(t)
		require.NoError(t, a.SetDeadline(time.Now().Add(patience)))
		require.NoError(t, b.Close())
		_, _ = a.Write([]byte("lost"))
		_, err := a.Read(make([]byte, 10))
		require.Error(t, err)
		_, err = a.Read(readNothing(t, a))
		requireTimeout(t, err)
	})
}

// readNothing prepares a for a read that finds nothing.
func readNothing(t *testing.T, c net.Conn) []byte {
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
	return make([]byte, 10)
}

// testDualPacketConn: a socket on the wildcard serves both families and answers each from its own.
func testDualPacketConn(t *testing.T, api netAPI) {
	server, err := api.ListenPacket("udp", ":0")
	require.NoError(t, err)
	defer server.Close()
	require.NoError(t, server.SetDeadline(time.Now().Add(patience)))
	port := server.LocalAddr().(*net.UDPAddr).Port
	for _, host := range []string{"127.0.0.1", "::1", "127.0.0.9"} {
		client, err := api.Dial("udp", net.JoinHostPort(host, fmt.Sprint(port)))
		require.NoError(t, err)
		defer client.Close()
		require.NoError(t, client.SetDeadline(time.Now().Add(patience)))
		_, err = client.Write([]byte(host))
		require.NoError(t, err)
		buf := make([]byte, 100)
		n, from, err := server.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, host, string(buf[:n]))
		require.Equal(t, client.LocalAddr().String(), from.String())
		if host == "127.0.0.9" {
			continue // the answer of an unbound socket comes from 127.0.0.1: the client, connected to .9, must not take it
		}
		_, err = server.WriteTo([]byte("answer"), from)
		require.NoError(t, err)
		n, err = client.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "answer", string(buf[:n]))
	}
}
