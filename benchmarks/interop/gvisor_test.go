package interop_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"example.com/loopback/socket"
)

// TestGVisorBulk sends 10 MB both ways at once over a wire that loses 1 % in each direction.
func TestGVisorBulk(t *testing.T) {
	for _, r := range roles() {
		for _, loss := range []float64{0, 0.01} {
			t.Run(fmt.Sprintf("%s, loss %v", r.name, loss), func(t *testing.T) {
				t.Parallel()
				b := newLab(t, loss, 1)
				ours, theirs := r.connect(t, b)
				both(t, ours, theirs, 10_000_000)
				require.NoError(t, ours.Close())
				require.NoError(t, theirs.Close())
				b.settled(t)
				if loss > 0 {
					require.Positive(t, b.lost.Load(), "the wire lost nothing: this tested nothing")
					require.Positive(t, b.theirs.Stats().TCP.Retransmits.Value())
				}
				t.Logf("%d packets passed, %d lost", b.passed.Load(), b.lost.Load())
			})
		}
	}
}

// both moves total bytes each way at once and compares hashes; each side half-closes when it has
// sent everything.
func both(t *testing.T, a, b halfCloser, total int) {
	t.Helper()
	var sums [4][sha256.Size]byte
	var errs [4]error
	var wg sync.WaitGroup
	wg.Go(func() { sums[0], errs[0] = sendAndFinish(a, 1, total) })
	wg.Go(func() { sums[1], errs[1] = receive(b) })
	wg.Go(func() { sums[2], errs[2] = sendAndFinish(b, 2, total) })
	wg.Go(func() { sums[3], errs[3] = receive(a) })
	wg.Wait()
	for i, err := range errs {
		require.NoError(t, err, "%d", i)
	}
	require.Equal(t, sums[0], sums[1], "ours to gVisor")
	require.Equal(t, sums[2], sums[3], "gVisor to ours")
	require.NotEqual(t, sums[0], sums[2])
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

func sendAndFinish(c halfCloser, seed uint64, total int) (sum [sha256.Size]byte, err error) {
	r := rand.New(rand.NewPCG(seed, 9))
	h := sha256.New()
	buf := make([]byte, 70_000)
	for total > 0 {
		p := buf[:min(total, 1+r.IntN(len(buf)))]
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		h.Write(p)
		if _, err = c.Write(p); err != nil {
			return sum, fmt.Errorf("write: %w", err)
		}
		total -= len(p)
	}
	return [sha256.Size]byte(h.Sum(nil)), c.CloseWrite()
}

func receive(c net.Conn) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if _, err = io.Copy(h, c); err != nil {
		return sum, fmt.Errorf("read: %w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// TestGVisorCloseOrders closes connections in every order, and checks what each side then sees.
func TestGVisorCloseOrders(t *testing.T) {
	orders := []struct {
		name string
		run  func(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn)
	}{
		{"we close first", closeFirst(true)},
		{"gVisor closes first", closeFirst(false)},
		{"both close at once", closeAtOnce},
		{"we half-close, gVisor still sends", halfClose(true)},
		{"gVisor half-closes, we still send", halfClose(false)},
		{"we half-close, then gVisor, then both close", halfCloseBoth},
		{"we close with unread data", closeUnread},
		{"gVisor closes with unread data", gvisorCloseUnread},
		{"we reset", reset},
		{"gVisor resets", gvisorReset},
		{"data, then our close, read at the end", lateRead(true)},
		{"data, then gVisor's close, read at the end", lateRead(false)},
	}
	for _, r := range roles() {
		for _, o := range orders {
			for _, loss := range []float64{0, 0.05} {
				t.Run(fmt.Sprintf("%s/%s/loss=%v", r.name, o.name, loss), func(t *testing.T) {
					t.Parallel()
					b := newLab(t, loss, 3)
					ours, theirs := r.connect(t, b)
					exchange(t, ours, theirs)
					o.run(t, b, ours, theirs)
				})
			}
		}
	}
}

// exchange shows that the connection works both ways.
func exchange(t *testing.T, a, b net.Conn) {
	t.Helper()
	say(t, a, b, "from us")
	say(t, b, a, "from gVisor")
}

func say(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(from, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(to, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

func closeFirst(we bool) func(*testing.T, *lab, *socket.TCPConn, *gvisorConn) {
	return func(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn) {
		var first, second net.Conn = ours, theirs
		if !we {
			first, second = second, first
		}
		require.NoError(t, first.Close())
		require.Empty(t, readAll(t, second), "end of file")
		require.NoError(t, second.Close())
		b.settled(t)
	}
}

func closeAtOnce(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn) {
	var wg sync.WaitGroup
	wg.Go(func() { _ = ours.Close() })
	wg.Go(func() { _ = theirs.Close() })
	wg.Wait()
	b.settled(t)
}

func halfClose(we bool) func(*testing.T, *lab, *socket.TCPConn, *gvisorConn) {
	return func(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn) {
		var first, second halfCloser = ours, theirs
		if !we {
			first, second = second, first
		}
		require.NoError(t, first.CloseWrite())
		require.Empty(t, readAll(t, second))
		var sent, got [sha256.Size]byte
		var errs [2]error
		var wg sync.WaitGroup
		wg.Go(func() { sent, errs[0] = sendAndFinish(second, 5, 300_000) })
		wg.Go(func() { got, errs[1] = receive(first) })
		wg.Wait()
		require.NoError(t, errs[0])
		require.NoError(t, errs[1])
		require.Equal(t, sent, got)
		require.NoError(t, first.Close())
		require.NoError(t, second.Close())
		b.settled(t)
	}
}

func halfCloseBoth(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn) {
	require.NoError(t, ours.CloseWrite())
	require.NoError(t, theirs.CloseWrite())
	require.Empty(t, readAll(t, ours))
	require.Empty(t, readAll(t, theirs))
	require.NoError(t, theirs.Close())
	require.NoError(t, ours.Close())
	b.settled(t)
}

// closeUnread: RFC 2525 section 2.17: what was not read is answered with a reset.
func closeUnread(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn) {
	_, err := io.WriteString(theirs, "never read")
	require.NoError(t, err)
	requireReceived(t, b, ours)
	require.NoError(t, ours.Close())
	requireFails(t, theirs)
	require.NoError(t, theirs.Close())
	b.settled(t)
}

// requireReceived waits until our end has bytes to read.
func requireReceived(t *testing.T, b *lab, ours *socket.TCPConn) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, s := range b.ours.Sockets() {
			if s.Proto == "tcp" && s.Local.String() == ours.LocalAddr().String() && s.RecvQ > 0 {
				return true
			}
		}
		return false
	}, patience, time.Millisecond)
}

func gvisorCloseUnread(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn) {
	_, err := io.WriteString(ours, "never read")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		n, terr := theirs.ep.GetSockOptInt(tcpip.ReceiveQueueSizeOption)
		return terr == nil && n > 0
	}, patience, time.Millisecond)
	require.NoError(t, theirs.Close())
	_, err = ours.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NoError(t, ours.Close())
	b.settled(t)
}

func reset(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn) {
	require.NoError(t, ours.SetLinger(0))
	require.NoError(t, ours.Close())
	requireFails(t, theirs)
	require.NoError(t, theirs.Close())
	b.settled(t)
}

// requireFails writes at gVisor's end until it knows that the connection is gone: a reset that the
// wire lost is sent again for each segment that comes.
func requireFails(t *testing.T, theirs *gvisorConn) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := theirs.Write([]byte("x"))
		return err != nil
	}, patience, time.Millisecond)
}

func gvisorReset(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn) {
	theirs.abort()
	require.Eventually(t, func() bool {
		_, err := ours.Write([]byte("x"))
		return err != nil
	}, patience, time.Millisecond)
	require.NoError(t, ours.Close())
	b.settled(t)
}

func lateRead(we bool) func(*testing.T, *lab, *socket.TCPConn, *gvisorConn) {
	return func(t *testing.T, b *lab, ours *socket.TCPConn, theirs *gvisorConn) {
		var first, second net.Conn = ours, theirs
		if !we {
			first, second = second, first
		}
		text := make([]byte, 20_000)
		for i := range text {
			text[i] = byte(i * 7)
		}
		_, err := first.Write(text)
		require.NoError(t, err)
		require.NoError(t, first.Close())
		require.Equal(t, text, readAll(t, second), "everything that was written before the close")
		require.NoError(t, second.Close())
		b.settled(t)
	}
}

// TestGVisorRefused dials ports where nobody listens.
func TestGVisorRefused(t *testing.T) {
	b := newLab(t, 0, 1)
	a := theirsAddr()
	_, err := b.ours.DialTCP("tcp4", nil, &net.TCPAddr{IP: a[:], Port: 9})
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = gonet.DialTCP(b.theirs, tcpip.FullAddress{Addr: tcpip.AddrFrom4(oursAddr()), Port: 9}, ipv4.ProtocolNumber)
	require.ErrorContains(t, err, "refused")
}

// TestGVisorUDP carries datagrams of every size up to what must be fragmented many times.
func TestGVisorUDP(t *testing.T) {
	b := newLab(t, 0, 1)
	ours, err := b.ours.ListenUDP("udp4", &net.UDPAddr{})
	require.NoError(t, err)
	defer ours.Close()
	require.NoError(t, ours.SetReadDeadline(time.Now().Add(patience)))
	theirs, err := gonet.DialUDP(b.theirs, &tcpip.FullAddress{Addr: tcpip.AddrFrom4(theirsAddr()), Port: 4000},
		&tcpip.FullAddress{Addr: tcpip.AddrFrom4(oursAddr()), Port: uint16(ours.LocalAddr().(*net.UDPAddr).Port)},
		ipv4.ProtocolNumber)
	require.NoError(t, err)
	defer theirs.Close()
	require.NoError(t, theirs.SetReadDeadline(time.Now().Add(patience)))
	to := theirsAddr()
	buf := make([]byte, 1<<16)
	for _, size := range []int{1, 64, 1472, 1473, 5000, 30_000} {
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(i * 13)
		}
		_, err := theirs.Write(p)
		require.NoError(t, err)
		n, from, err := ours.ReadFromUDP(buf)
		require.NoError(t, err)
		require.Equal(t, p, buf[:n])
		require.Equal(t, 4000, from.Port)
		_, err = ours.WriteToUDP(p, &net.UDPAddr{IP: to[:], Port: 4000})
		require.NoError(t, err)
		n, err = theirs.Read(buf)
		require.NoError(t, err)
		require.Equal(t, p, buf[:n])
	}
}
