package floor

import (
	"net"
	"sync"
)

// Listener hands connections that somebody delivers to whoever accepts them. It serves the floor
// and every other transport that has connections but no listener.
type Listener struct {
	mu      sync.Mutex
	arrived sync.Cond
	queue   []net.Conn
	first   int // of queue: what is before it has been accepted
	closed  bool
}

// NewListener returns a listener with nothing to accept.
func NewListener() *Listener {
	l := new(Listener)
	l.arrived.L = &l.mu
	return l
}

// Deliver queues c for Accept. It fails with net.ErrClosed when the listener is closed; the
// caller then still owns c.
func (l *Listener) Deliver(c net.Conn) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return net.ErrClosed
	}
	l.queue = append(l.queue, c)
	l.mu.Unlock()
	l.arrived.Signal()
	return nil
}

// Accept waits for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return nil, net.ErrClosed
		}
		if l.first < len(l.queue) {
			c := l.queue[l.first]
			l.queue[l.first] = nil
			if l.first++; l.first == len(l.queue) {
				l.queue, l.first = l.queue[:0], 0
			}
			return c, nil
		}
		l.arrived.Wait()
	}
}

// Close wakes those in Accept and closes what nobody accepted.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return net.ErrClosed
	}
	l.closed = true
	rest := l.queue[l.first:]
	l.queue, l.first = nil, 0
	l.mu.Unlock()
	l.arrived.Broadcast()
	for _, c := range rest {
		_ = c.Close() // best effort: its dialler sees the close
	}
	return nil
}

// Addr returns a name: the floor knows no addresses.
func (l *Listener) Addr() net.Addr { return addr{} }
