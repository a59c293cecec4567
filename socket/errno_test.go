package socket

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"example.com/loopback/tcp"
	"github.com/stretchr/testify/require"
)

// TestErrnoOf: every end of a connection is the errno that Linux has for it.
func TestErrnoOf(t *testing.T) {
	for end, want := range map[error]error{
		tcp.ErrReset: syscall.ECONNRESET, tcp.ErrRefused: syscall.ECONNREFUSED, tcp.ErrTimeout: syscall.ETIMEDOUT,
		tcp.ErrPipe: syscall.EPIPE, tcp.ErrAborted: syscall.ECONNABORTED, tcp.ErrNetUnreach: syscall.ENETUNREACH,
		tcp.ErrHostUnreach: syscall.EHOSTUNREACH, tcp.ErrProtoUnreach: syscall.ENOPROTOOPT, tcp.ErrProto: syscall.EPROTO,
		tcp.ErrAccess: syscall.EACCES, tcp.ErrMessageSize: syscall.EMSGSIZE, tcp.ErrNotConnected: syscall.ENOTCONN,
	} {
		require.Equal(t, want, errnoOf(end), "%v", end)
	}
	other := errors.New("no end of a connection")
	require.Equal(t, other, errnoOf(other))
}

// TestRawSocketCalls: a raw socket by system calls; no comparison with the kernel, where that takes privileges.
func TestRawSocketCalls(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	lo := netip.AddrPortFrom(loopback4, 0)
	a, err := s.Socket("ip4:253")
	require.NoError(t, err)
	b, err := s.Socket("ip4:253")
	require.NoError(t, err)
	buf := make([]byte, 100)
	_, _, err = a.Recv(buf, 0)
	require.Equal(t, syscall.EAGAIN, err)
	require.NoError(t, a.Connect(lo)) // opens it
	n, err := b.Send([]byte("hello"), 0, lo)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	n, from, err := a.Recv(buf, 0)
	require.NoError(t, err)
	require.Contains(t, string(buf[:n]), "hello")
	require.Equal(t, loopback4, from.Addr())
	_, _, err = a.Recv(buf, 0)
	require.Equal(t, syscall.EAGAIN, err)
	require.Equal(t, syscall.EOPNOTSUPP, a.Listen(1))
	require.NoError(t, a.Close())
	require.Equal(t, syscall.EBADF, a.CloseNow())
	require.NoError(t, b.CloseNow())
	require.Zero(t, s.OpenSockets())
}
