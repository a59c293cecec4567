package socket

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// netErrors holds the error values that package net keeps to itself. Programs, and the tests of Go's own
// libraries, compare them by identity or match their text, so a look-alike is not good enough: we make package
// net hand over the very values. Every call below fails before it would open a socket.
type netErrors struct {
	canceled       error // "operation was canceled"; Is context.Canceled
	timeout        error // "i/o timeout"; Is context.DeadlineExceeded; Timeout and Temporary
	missingAddress error // "missing address"
}

// lazyNetErrors asks package net for its values when they are first needed, and remembers them. Each stack has its
// own: nothing is shared, and a stack that never fails never asks.
type lazyNetErrors struct {
	once sync.Once
	errs netErrors
}

func (l *lazyNetErrors) get() *netErrors {
	l.once.Do(l.errs.ask)
	return &l.errs
}

func (e *netErrors) ask() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	late, stop := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer stop()
	var d net.Dialer
	_, canceled := d.DialContext(ctx, "tcp", "127.0.0.1:1")
	_, timeout := d.DialContext(late, "tcp", "127.0.0.1:1")
	_, missing := net.DialUDP("udp", nil, nil)
	e.canceled, e.timeout, e.missingAddress = innermost(canceled), innermost(timeout), innermost(missing)
}

// innermost unwraps the *net.OpError that package net put around its value.
func innermost(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// context translates the error of a context into the value that package net reports for it.
func (e *netErrors) context(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return e.canceled
	case errors.Is(err, context.DeadlineExceeded):
		return e.timeout
	}
	return err
}

// dialTimeout is the error of a dial that took too long. Package net reports its own time-out value (which Is
// context.DeadlineExceeded) or os.ErrDeadlineExceeded, depending on whether the context or the poller noticed
// first; both have the same text. We differ: ours is always both, so that no program depends on a race.
type dialTimeout struct{ net error }

func (e *dialTimeout) Error() string   { return e.net.Error() }
func (e *dialTimeout) Timeout() bool   { return true }
func (e *dialTimeout) Temporary() bool { return true }
func (e *dialTimeout) Unwrap() []error { return []error{e.net, os.ErrDeadlineExceeded} }

// dialContext is context for an attempt to connect: time-outs satisfy both of package net's ways to say so.
func (e *netErrors) dialContext(err error) error {
	err = e.context(err)
	if err == e.timeout {
		return &dialTimeout{net: err}
	}
	return err
}
