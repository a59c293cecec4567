package transport_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/benchmarks/transport"
)

// patience bounds every wait of these tests: what takes longer hangs.
const patience = time.Minute

// eachStream runs f for every peer that has streams, with and without checksums.
func eachStream(t *testing.T, f func(t *testing.T, tr transport.Transport)) {
	t.Helper()
	eachPeer(t, func(t *testing.T, tr transport.Transport) {
		l, err := tr.Listen()
		if errors.Is(err, transport.ErrUnsupported) {
			t.Skip("no streams")
		}
		require.NoError(t, err)
		require.NoError(t, l.Close())
		f(t, tr)
	})
}

func eachPeer(t *testing.T, f func(t *testing.T, tr transport.Transport)) {
	t.Helper()
	for _, p := range transport.Peers() {
		for _, sums := range []bool{false, true} {
			name := p.Name
			if sums {
				name += "+checksums"
			}
			t.Run(name, func(t *testing.T) {
				tr, err := p.New(transport.Options{Checksums: sums})
				if errors.Is(err, transport.ErrUnsupported) && sums {
					t.Skip("no checksums")
				}
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, tr.Close()) })
				f(t, tr)
			})
		}
	}
}

func connect(t *testing.T, tr transport.Transport) (client, server net.Conn) {
	t.Helper()
	l, err := tr.Listen()
	require.NoError(t, err)
	client, server, err = transport.Connect(tr, l, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _, _, _ = client.Close(), server.Close(), l.Close() })
	limit := time.Now().Add(patience)
	require.NoError(t, client.SetDeadline(limit))
	require.NoError(t, server.SetDeadline(limit))
	return client, server
}

// send writes total bytes of a seeded stream in pieces of changing size and returns their hash.
func send(c net.Conn, seed uint64, total int) ([]byte, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	h := sha256.New()
	buf := make([]byte, 100_000)
	for total > 0 {
		p := buf[:min(total, 1+r.IntN(len(buf)))]
		if r.IntN(3) == 0 {
			p = p[:min(len(p), 1+r.IntN(100))]
		}
		fill(r, p)
		h.Write(p)
		n, err := c.Write(p)
		if err != nil {
			return nil, fmt.Errorf("write: %w", err)
		}
		if n != len(p) {
			return nil, fmt.Errorf("write took %d of %d bytes", n, len(p))
		}
		clear(p) // a transport that kept p without copying it would now deliver zeros
		total -= n
	}
	return h.Sum(nil), nil
}

func fill(r *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
}

// receive reads total bytes into buffers of changing size and returns their hash.
func receive(c net.Conn, seed uint64, total int) ([]byte, error) {
	r := rand.New(rand.NewPCG(seed, 2))
	h := sha256.New()
	buf := make([]byte, 100_000)
	for total > 0 {
		n, err := c.Read(buf[:1+r.IntN(len(buf))])
		h.Write(buf[:n])
		total -= n
		if err != nil && total > 0 {
			return nil, fmt.Errorf("read, %d bytes to come: %w", total, err)
		}
	}
	return h.Sum(nil), nil
}

func TestStreamsCarryBytesUnaltered(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport.Transport) {
		const total = 4 << 20
		client, server := connect(t, tr)
		var sums [4][]byte
		var errs [4]error
		var wg sync.WaitGroup
		wg.Go(func() { sums[0], errs[0] = send(client, 1, total) })
		wg.Go(func() { sums[1], errs[1] = receive(server, 1, total) })
		wg.Go(func() { sums[2], errs[2] = send(server, 2, total) })
		wg.Go(func() { sums[3], errs[3] = receive(client, 2, total) })
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.Equal(t, sums[0], sums[1], "client to server")
		require.Equal(t, sums[2], sums[3], "server to client")
		require.NotEqual(t, sums[0], sums[2], "the two directions carry different bytes")
	})
}

type writeCloser interface{ CloseWrite() error }

func TestHalfClose(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport.Transport) {
		client, server := connect(t, tr)
		half, ok := client.(writeCloser)
		if !ok {
			t.Skip("no CloseWrite")
		}
		const total = 1 << 20
		var sent []byte
		var sendErr error
		var wg sync.WaitGroup
		wg.Go(func() {
			if sent, sendErr = send(client, 3, total); sendErr == nil {
				sendErr = half.CloseWrite()
			}
		})
		got, err := hashAll(server)
		wg.Wait()
		require.NoError(t, sendErr)
		require.NoError(t, err, "the reader meets end of file, no error")
		require.Equal(t, sent, got)

		wg.Go(func() { sent, sendErr = send(server, 4, total) })
		got, err = receive(client, 4, total)
		wg.Wait()
		require.NoError(t, sendErr)
		require.NoError(t, err, "the other direction still carries")
		require.Equal(t, sent, got)
	})
}

func hashAll(r io.Reader) ([]byte, error) {
	var h hash.Hash = sha256.New()
	_, err := io.Copy(h, r)
	return h.Sum(nil), err
}

func TestCloseDeliversThenEnds(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport.Transport) {
		client, server := connect(t, tr)
		const text = "the last words"
		go func() { // a synchronous pipe writes only while somebody reads
			_, _ = io.WriteString(client, text)
			_ = client.Close()
		}()
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
		_, err = client.Read(make([]byte, 1))
		require.Error(t, err, "reading from a closed connection")
		_, err = client.Write([]byte("x"))
		require.Error(t, err, "writing to a closed connection")
		require.Eventually(t, func() bool {
			_, err := server.Write([]byte("x"))
			return err != nil
		}, patience, time.Millisecond, "writing to a connection that the peer closed fails in the end")
	})
}

func TestCloseWakesReader(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport.Transport) {
		client, _ := connect(t, tr)
		errs := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			errs <- err
		}()
		require.NoError(t, client.Close())
		requireErrorSoon(t, errs)
	})
}

func TestReadDeadline(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport.Transport) {
		client, server := connect(t, tr)
		require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, err := client.Read(make([]byte, 1))
		var timeout interface{ Timeout() bool }
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())

		require.NoError(t, client.SetReadDeadline(time.Now().Add(patience)))
		go func() { _, _ = server.Write([]byte("x")) }()
		n, err := client.Read(make([]byte, 1))
		require.NoError(t, err, "a new deadline makes the connection good again")
		require.Equal(t, 1, n)
	})
}

func TestListenerClose(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport.Transport) {
		l, err := tr.Listen()
		require.NoError(t, err)
		errs := make(chan error)
		go func() {
			_, err := l.Accept()
			errs <- err
		}()
		require.NoError(t, l.Close())
		requireErrorSoon(t, errs)
	})
}

// TestHosts dials the same listener at many addresses, as the workloads with very many
// connections do.
func TestHosts(t *testing.T) {
	eachStream(t, func(t *testing.T, tr transport.Transport) {
		l, err := tr.Listen()
		require.NoError(t, err)
		defer l.Close()
		for _, host := range []int{0, 1, 254, 255, 70_000} {
			client, server, err := transport.Connect(tr, l, host)
			require.NoError(t, err, "host %d", host)
			go func() { _, _ = client.Write([]byte{byte(host)}) }()
			got := make([]byte, 1)
			_, err = io.ReadFull(server, got)
			require.NoError(t, err)
			require.Equal(t, byte(host), got[0])
			require.NoError(t, client.Close())
			require.NoError(t, server.Close())
		}
	})
}

// within fails the test when f does not return: a raw path has no deadlines.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("still blocked")
	}
}

func requireErrorSoon(t *testing.T, errs <-chan error) {
	t.Helper()
	select {
	case err := <-errs:
		require.Error(t, err)
	case <-time.After(patience):
		t.Fatal("still blocked")
	}
}

func TestDatagramsKeepBytesAndBounds(t *testing.T) {
	eachPeer(t, func(t *testing.T, tr transport.Transport) {
		tx, rx, err := tr.Datagrams()
		if errors.Is(err, transport.ErrUnsupported) {
			t.Skip("no datagrams")
		}
		require.NoError(t, err)
		defer func() { _, _ = tx.Close(), rx.Close() }()
		require.NoError(t, rx.SetReadDeadline(time.Now().Add(patience)))
		r := rand.New(rand.NewPCG(5, 5))
		sizes := []int{0, 1, 2, 64, 1399, 1400, 1472, 8192, 16383, 16384}
		var sent [][]byte
		for _, size := range append(sizes, sizes...) {
			p := make([]byte, size)
			fill(r, p)
			sent = append(sent, append([]byte(nil), p...))
			require.NoError(t, tx.Send(p))
			clear(p)
		}
		buf := make([]byte, 1<<16)
		for i, want := range sent {
			n, err := rx.Recv(buf)
			require.NoError(t, err, "datagram %d", i)
			require.Len(t, want, n, "datagram %d", i)
			require.Equal(t, sha256.Sum256(want), sha256.Sum256(buf[:n]), "datagram %d", i)
		}
	})
}

func TestDatagramDeadlineAndClose(t *testing.T) {
	eachPeer(t, func(t *testing.T, tr transport.Transport) {
		tx, rx, err := tr.Datagrams()
		if errors.Is(err, transport.ErrUnsupported) {
			t.Skip("no datagrams")
		}
		require.NoError(t, err)
		require.NoError(t, rx.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, err = rx.Recv(make([]byte, 1))
		require.Error(t, err, "past the deadline")
		require.NoError(t, rx.SetReadDeadline(time.Time{}))
		require.NoError(t, tx.Send([]byte("x")))
		n, err := rx.Recv(make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.NoError(t, rx.Close())
		_, err = rx.Recv(make([]byte, 1))
		require.Error(t, err, "closed")
		_ = tx.Close() // the floor's two ends are one
	})
}

func TestRawPath(t *testing.T) {
	eachPeer(t, func(t *testing.T, tr transport.Transport) {
		raw, err := tr.RawUDP(64)
		if errors.Is(err, transport.ErrUnsupported) {
			t.Skip("no raw path")
		}
		require.NoError(t, err)
		defer raw.Close()
		want := transport.RawPacket(64)[28:]
		for range 300 {
			require.NoError(t, raw.Inject())
			got := make([]byte, 128)
			var n int
			within(t, func() { n, err = raw.Recv(got) })
			require.NoError(t, err)
			require.Equal(t, want, got[:n])
		}
	})
}
