package socket

import (
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestServersDoNotPileUp: on one processor a client that dials again and again leaves no more than a few servers behind that
// have yet to close, whoever closes first.
func TestServersDoNotPileUp(t *testing.T) {
	onProcessors(t, 1)
	for _, serverFirst := range []bool{true, false} {
		s := New(Config{})
		l, err := s.Listen("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		b := make([]byte, 1)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					b := make([]byte, 1)
					_, _ = io.ReadFull(c, b)
					_, _ = c.Write(b)
					if !serverFirst {
						_, _ = io.ReadFull(c, b)
					}
					_ = c.Close()
				}()
			}
		}()
		before, most := runtime.NumGoroutine(), 0
		for range 2000 {
			func(c net.Conn, err error) {
				require.NoError(t, err)
				_, err = c.Write(b)
				require.NoError(t, err)
				_, err = io.ReadFull(c, b)
				require.NoError(t, err)
				if serverFirst {
					_, err = c.Read(b)
					require.ErrorIs(t, err, io.EOF)
				}
				require.NoError(t, c.Close())
			}(s.Dial("tcp", "127.0.0.1:80"))
			most = max(most, runtime.NumGoroutine()-before)
		}
		require.Less(t, most, 70, "the server closes first: %v", serverFirst)
		require.NoError(t, l.Close())
		require.NoError(t, s.Close())
	}
}
