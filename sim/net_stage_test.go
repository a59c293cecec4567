package sim_test

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

// What a connection sends after an instant does not tell which of its user's goroutines ran first: here one reads, which
// opens the window, and another writes, which tells it.
func TestReaderAndWriterOfOneInstant(t *testing.T) {
	lines := map[string]bool{}
	for range 200 {
		inNet(t, sim.NetConfig{}, func(t *testing.T, n *sim.Net) {
			client, server := n.Host("client"), n.Host("server")
			l, err := server.Listen("tcp", ":7")
			require.NoError(t, err)
			defer l.Close()
			c, err := client.Dial("tcp", "server:7")
			require.NoError(t, err)
			s, err := l.Accept()
			require.NoError(t, err)
			_, err = c.Write(make([]byte, 30000))
			require.NoError(t, err)
			time.Sleep(time.Second)
			before := n.Recording().Len()
			var wg sync.WaitGroup
			wg.Go(func() { io.ReadFull(s, make([]byte, 30000)) })
			wg.Go(func() { s.Write([]byte("answer")) })
			wg.Wait()
			time.Sleep(time.Millisecond)
			var b bytes.Buffer
			require.NoError(t, n.Recording().WriteText(&b))
			lines[strings.Split(b.String(), "\n")[before]] = true
		})
	}
	require.Len(t, lines, 1)
	for line := range lines {
		require.Contains(t, line, "length 6")
	}
}

// A connection has one Read an instant: what the reader told others of the first has been done before the second.
func TestOneReadAnInstant(t *testing.T) {
	inNet(t, sim.NetConfig{}, func(t *testing.T, n *sim.Net) {
		client, server := n.Host("client"), n.Host("server")
		l, err := server.Listen("tcp", ":7")
		require.NoError(t, err)
		defer l.Close()
		c, err := client.Dial("tcp", "server:7")
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		_, err = c.Write([]byte("abc"))
		require.NoError(t, err)
		time.Sleep(time.Second)
		told := make(chan byte, 3)
		var got atomic.Int32
		go func() {
			for range told {
				got.Add(1)
			}
		}()
		for k := range 3 {
			b := make([]byte, 1)
			_, err := s.Read(b)
			require.NoError(t, err)
			require.EqualValues(t, k, got.Load(), "all that it was told")
			told <- b[0]
		}
		// The turn is not awaited longer than the reader wants, or after the end.
		s.SetReadDeadline(time.Now())
		_, err = s.Read(make([]byte, 1))
		require.ErrorContains(t, err, "timeout")
		s.Close()
		_, err = s.Read(make([]byte, 1))
		require.ErrorContains(t, err, "use of closed network connection")
		close(told)
	})
}

// Nothing of the network happens before all that goroutines do at an instant has been done.
func TestEventsAfterTheInstant(t *testing.T) {
	inNet(t, sim.NetConfig{}, func(t *testing.T, n *sim.Net) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		done := 0
		for range 100 {
			wg.Go(func() {
				time.Sleep(time.Second)
				n.At(0, func() {
					mu.Lock()
					defer mu.Unlock()
					require.Equal(t, 100, done)
				})
				mu.Lock()
				done++
				mu.Unlock()
			})
		}
		wg.Wait()
		time.Sleep(time.Millisecond)
	})
}
