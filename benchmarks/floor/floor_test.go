package floor_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/benchmarks/floor"
)

// TestStreamAgainstBuffer plays random writes and reads on a connection and on a bytes.Buffer.
func TestStreamAgainstBuffer(t *testing.T) {
	const capacity = 256 << 10
	r := rand.New(rand.NewPCG(1, 1))
	a, b := floor.Pipe()
	var model bytes.Buffer
	for range 20_000 {
		if p := make([]byte, 1+r.IntN(1<<r.IntN(15))); r.IntN(2) == 0 && model.Len()+len(p) <= capacity {
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			n, err := a.Write(p)
			require.NoError(t, err)
			require.Equal(t, len(p), n)
			model.Write(p)
		} else if model.Len() > 0 {
			want := model.Next(len(p))
			got := make([]byte, len(want))
			_, err := io.ReadFull(b, got)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

// TestMailbox sends numbered datagrams of random sizes through a small ring, by turns more than it
// holds and less: they come out whole and in order, and none is lost while there was room. In virtual time,
// where the deadline that says "it is empty" passes only when it is.
func TestMailbox(t *testing.T) {
	synctest.Test(t, testMailbox)
}

func testMailbox(t *testing.T) {
	const capacity, largest = 5000, 1200
	r := rand.New(rand.NewPCG(2, 2))
	m := floor.NewMailbox(capacity)
	next, lost := 0, 0
	for burst := range 5000 {
		light := burst%2 == 0 // fits in half of the ring, wherever in it the burst begins
		sent := make(map[int]int)
		for sum := 0; sum < capacity*2; {
			size := 4 + r.IntN(largest)
			if sum += size + 4; light && sum > capacity/2-largest {
				break
			}
			require.NoError(t, m.Send(numbered(next, size)))
			sent[next] = size
			next++
		}
		require.NoError(t, m.Send(numbered(-1, 4))) // finds room or not: ends the burst if it does
		got := receiveBurst(t, m, sent)
		if light {
			require.Equal(t, len(sent), got, "nothing is lost while there is room")
		}
		lost += len(sent) - got
	}
	require.Positive(t, lost, "the mailbox was never full: this tested less than it says")
}

// numbered is a datagram that says which it is, in all of its bytes.
func numbered(n, size int) []byte {
	p := make([]byte, size)
	binary.LittleEndian.PutUint32(p, uint32(n))
	for i := 4; i < size; i++ {
		p[i] = byte(n + i)
	}
	return p
}

// receiveBurst empties the mailbox and returns how many of the sent datagrams came.
func receiveBurst(t *testing.T, m *floor.Mailbox, sent map[int]int) int {
	t.Helper()
	buf := make([]byte, 4096)
	got, last := 0, -1
	for {
		require.NoError(t, m.SetReadDeadline(time.Now().Add(time.Millisecond)))
		n, err := m.Recv(buf)
		if err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			return got
		}
		id := int(int32(binary.LittleEndian.Uint32(buf)))
		if id == -1 {
			return got
		}
		require.Greater(t, id, last, "in order")
		require.Equal(t, sent[id], n)
		require.True(t, bytes.Equal(numbered(id, n), buf[:n]))
		last = id
		got++
	}
}

// TestDeadlines run in virtual time.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := floor.Pipe()
		start := time.Now()
		require.NoError(t, a.SetReadDeadline(start.Add(3*time.Second)))
		_, err := a.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))

		require.NoError(t, a.SetWriteDeadline(start.Add(5*time.Second)))
		n, err := a.Write(make([]byte, 1<<20))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 256<<10, n, "what found room")
		require.Equal(t, 5*time.Second, time.Since(start))

		require.NoError(t, a.SetDeadline(time.Time{}))
		go func() {
			time.Sleep(time.Hour)
			_, _ = b.Write([]byte("x"))
		}()
		_, err = a.Read(make([]byte, 1))
		require.NoError(t, err, "no deadline any more")

		m := floor.NewMailbox(100)
		require.NoError(t, m.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = m.Recv(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

// TestSetReadDeadlineWakes is what net/http needs after every request: a past deadline ends a read
// that sleeps.
func TestSetReadDeadlineWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := floor.Pipe()
		errs := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 1))
			errs <- err
		}()
		synctest.Wait()
		require.NoError(t, a.SetReadDeadline(time.Unix(1, 0)))
		require.ErrorIs(t, <-errs, os.ErrDeadlineExceeded)
	})
}

func TestClose(t *testing.T) {
	a, b := floor.Pipe()
	_, err := a.Write([]byte("last"))
	require.NoError(t, err)
	require.NoError(t, a.CloseWrite())
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, "last", string(got))
	_, err = a.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	require.NoError(t, b.Close())
	_, err = b.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = a.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)

	a, b = floor.Pipe()
	require.NoError(t, b.Close())
	_, err = a.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe, "nobody will read it")
}

func TestListener(t *testing.T) {
	l := floor.NewListener()
	a, b := floor.Pipe()
	require.NoError(t, l.Deliver(a))
	require.NoError(t, l.Deliver(b))
	first, err := l.Accept()
	require.NoError(t, err)
	require.Same(t, a, first, "in order")
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Close(), net.ErrClosed)
	_, err = b.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed, "what nobody accepted is closed")
	require.ErrorIs(t, l.Deliver(a), net.ErrClosed)
	_, err = l.Accept()
	require.True(t, errors.Is(err, net.ErrClosed))
}
