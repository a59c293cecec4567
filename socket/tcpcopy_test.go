package socket_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

// ends returns both ends of a connection of a stack of its own.
func ends(t testing.TB) (a, b *socket.TCPConn) {
	s := socket.New(socket.Config{})
	t.Cleanup(func() { s.Close() })
	l, err := s.Listen("tcp", "127.0.0.1:7")
	require.NoError(t, err)
	c, err := s.Dial("tcp", "127.0.0.1:7")
	require.NoError(t, err)
	d, err := l.Accept()
	require.NoError(t, err)
	return c.(*socket.TCPConn), d.(*socket.TCPConn)
}

// TestCopyThrough: what goes in by ReadFrom at one end comes out by WriteTo at the other, across a relay that does both.
func TestCopyThrough(t *testing.T) {
	in := make([]byte, 3<<20+17)
	for i := range in {
		in[i] = byte(i * 2654435761 >> 13)
	}
	from, relayIn := ends(t)
	relayOut, to := ends(t)
	go func() {
		n, err := io.Copy(from, onlyReader{bytes.NewReader(in)}) // ReadFrom
		if n != int64(len(in)) || err != nil {
			t.Error(n, err)
		}
		from.CloseWrite()
	}()
	go func() {
		n, err := io.Copy(relayOut, relayIn) // WriteTo
		if n != int64(len(in)) || err != nil {
			t.Error(n, err)
		}
		relayOut.CloseWrite()
	}()
	h := sha256.New()
	n, err := to.WriteTo(h)
	require.NoError(t, err)
	require.Equal(t, int64(len(in)), n)
	require.Equal(t, sha256.Sum256(in), [32]byte(h.Sum(nil)))
}

type onlyReader struct{ io.Reader }

// pieces notes the sizes of what it is given, and fails when it has enough.
type pieces struct {
	sizes []int
	left  int
}

var errEnough = errors.New("enough")

func (p *pieces) Write(b []byte) (int, error) {
	p.sizes = append(p.sizes, len(b))
	if p.left -= len(b); p.left <= 0 {
		return len(b), errEnough
	}
	return len(b), nil
}

// TestWriteToPieces: large text is handed over in the pieces in which it came, many small ones as few.
func TestWriteToPieces(t *testing.T) {
	a, b := ends(t)
	for range 100 {
		_, err := a.Write(make([]byte, 50))
		require.NoError(t, err)
	}
	small := pieces{left: 5000}
	n, err := b.WriteTo(&small)
	require.ErrorIs(t, err, errEnough)
	require.Equal(t, int64(5000), n)
	require.Less(t, len(small.sizes), 30)

	_, err = a.Write(make([]byte, 40_000))
	require.NoError(t, err)
	large := pieces{left: 40_000}
	n, err = b.WriteTo(&large)
	require.ErrorIs(t, err, errEnough)
	require.Equal(t, int64(40_000), n)
	require.Less(t, len(large.sizes), 4)
}

// TestWriteToEnds: an end is no error, a deadline and a writer that takes too little are.
func TestWriteToEnds(t *testing.T) {
	a, b := ends(t)
	_, err := a.Write([]byte("hello"))
	require.NoError(t, err)
	n, err := b.WriteTo(tooLittle{})
	require.ErrorIs(t, err, io.ErrShortWrite)
	require.Equal(t, int64(1), n)

	require.NoError(t, b.SetReadDeadline(time.Unix(1, 0)))
	n, err = b.WriteTo(io.Discard)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Zero(t, n)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "writeto", op.Op)

	require.NoError(t, b.SetReadDeadline(time.Time{}))
	_, err = a.Write([]byte("bye"))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	n, err = b.WriteTo(io.Discard)
	require.NoError(t, err)
	require.Equal(t, int64(3), n)
	require.NoError(t, b.Close())
	_, err = b.WriteTo(io.Discard)
	require.ErrorIs(t, err, net.ErrClosed)
}

type tooLittle struct{}

func (tooLittle) Write([]byte) (int, error) { return 1, nil }

// BenchmarkRelay moves 64 KiB through a relay of two connections: with WriteTo, and with Read.
func BenchmarkRelay(b *testing.B) {
	for name, through := range map[string]func(io.Writer, *socket.TCPConn) (int64, error){
		"WriteTo": func(w io.Writer, c *socket.TCPConn) (int64, error) { return io.Copy(w, c) },
		"Read":    func(w io.Writer, c *socket.TCPConn) (int64, error) { return io.Copy(w, onlyReader{c}) },
	} {
		b.Run(name, func(b *testing.B) {
			from, in := ends(b)
			out, to := ends(b)
			go func() {
				through(struct{ io.Writer }{out}, in)
				out.Close()
			}()
			p := make([]byte, 64<<10)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			go func() {
				for range b.N {
					from.Write(p)
				}
				from.Close()
			}()
			q := make([]byte, 64<<10)
			for {
				if _, err := to.Read(q); err != nil {
					break
				}
			}
		})
	}
}
