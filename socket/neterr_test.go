package socket

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNetErrorsAreTheVeryValues compares with ==, as programs do.
func TestNetErrorsAreTheVeryValues(t *testing.T) {
	errs := new(lazyNetErrors).get()
	inner := func(err error) error { return err.(*net.OpError).Err }

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := new(net.Dialer).DialContext(ctx, "udp", "127.0.0.1:9")
	require.True(t, inner(err) == errs.canceled)
	require.EqualError(t, errs.canceled, "operation was canceled")
	require.ErrorIs(t, errs.canceled, context.Canceled)

	_, err = (&net.Dialer{Deadline: time.Unix(1, 0)}).Dial("tcp", "127.0.0.1:9")
	require.True(t, inner(err) == errs.timeout)
	require.EqualError(t, errs.timeout, "i/o timeout")
	require.ErrorIs(t, errs.timeout, context.DeadlineExceeded)
	require.True(t, errs.timeout.(net.Error).Timeout())

	_, err = net.Dial("tcp", "")
	require.True(t, inner(err) == errs.missingAddress)
	require.EqualError(t, errs.missingAddress, "missing address")
}

func TestNetErrorsOfContexts(t *testing.T) {
	errs := new(lazyNetErrors).get()
	require.True(t, errs.context(context.Canceled) == errs.canceled)
	require.True(t, errs.context(context.DeadlineExceeded) == errs.timeout)
	other := errors.New("other")
	require.True(t, errs.context(other) == other)
	require.True(t, errs.dialContext(context.Canceled) == errs.canceled)
	require.True(t, errs.dialContext(other) == other)
	require.True(t, innermost(other) == other)

	late := &net.OpError{Op: "dial", Net: "tcp", Err: errs.dialContext(context.DeadlineExceeded)}
	require.EqualError(t, late, "dial tcp: i/o timeout")
	require.ErrorIs(t, late, context.DeadlineExceeded)
	require.ErrorIs(t, late, os.ErrDeadlineExceeded)
	require.ErrorIs(t, late, errs.timeout)
	require.NotErrorIs(t, late, context.Canceled)
	require.True(t, late.Timeout())
	require.True(t, late.Temporary())
	require.True(t, os.IsTimeout(late))
}
