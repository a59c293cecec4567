package socket

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestListenersComeAndGo: whoever listens at the moment gets the connections, whoever did so before.
func TestListenersComeAndGo(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	dial := func() error {
		c, err := s.Dial("tcp4", "127.0.0.1:80")
		if err == nil {
			err = c.Close()
		}
		return err
	}
	for range 3 {
		require.ErrorIs(t, dial(), syscall.ECONNREFUSED)
		for _, address := range []string{"0.0.0.0:80", "127.0.0.1:80", "[::]:80"} {
			l, err := s.Listen("tcp", address)
			require.NoError(t, err)
			for range 2 {
				require.NoError(t, dial(), address)
				c, err := l.Accept()
				require.NoError(t, err, address)
				require.NoError(t, c.Close())
			}
			require.NoError(t, l.Close())
			require.ErrorIs(t, dial(), syscall.ECONNREFUSED, address)
		}
	}
	other, err := s.Listen("tcp4", "127.0.0.2:80")
	require.NoError(t, err)
	require.ErrorIs(t, dial(), syscall.ECONNREFUSED)
	any, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	require.NoError(t, dial())
	_, err = any.Accept()
	require.NoError(t, err)
	require.NoError(t, other.Close())
	require.NoError(t, dial())
}
