package floor

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// half carries the bytes of one direction.
type half struct {
	mu       sync.Mutex
	ring     ring
	readable sync.Cond // data, end of stream, or a reader's deadline
	writable sync.Cond // room, reader gone, or a writer's deadline
	readers  int       // goroutines asleep in readable
	writers  int       // goroutines asleep in writable
	eof      bool      // the writer closed: what is held can still be read
	dead     bool      // the reader closed: nothing can be written any more

	readLimit, writeLimit limit
}

// limit is a deadline of one side of a half.
type limit struct {
	timer   *time.Timer
	expired bool
	version uint64 // tells a late timer that it has been replaced
}

func newHalf() *half {
	h := new(half)
	h.readable.L = &h.mu
	h.writable.L = &h.mu
	return h
}

// read blocks until there is a byte, an end, or a deadline.
func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	for {
		switch {
		case h.dead:
			h.mu.Unlock()
			return 0, net.ErrClosed
		case h.readLimit.expired:
			h.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			h.mu.Unlock()
			return 0, nil
		case h.ring.n > 0:
			n := h.ring.get(p)
			wake := h.writers > 0
			h.mu.Unlock()
			if wake {
				h.writable.Signal()
			}
			return n, nil
		case h.eof:
			h.mu.Unlock()
			return 0, io.EOF
		}
		h.readers++
		h.readable.Wait()
		h.readers--
	}
}

// write blocks until all of p is in the ring or the connection is over.
func (h *half) write(p []byte) (int, error) {
	done := 0
	h.mu.Lock()
	for {
		switch {
		case h.eof:
			h.mu.Unlock()
			return done, net.ErrClosed
		case h.dead:
			h.mu.Unlock()
			return done, io.ErrClosedPipe
		case h.writeLimit.expired:
			h.mu.Unlock()
			return done, os.ErrDeadlineExceeded
		}
		done += h.ring.put(p[done:])
		wake := h.readers > 0
		if done == len(p) {
			h.mu.Unlock()
			if wake {
				h.readable.Signal()
			}
			return done, nil
		}
		if wake {
			h.readable.Signal()
		}
		h.writers++
		h.writable.Wait()
		h.writers--
	}
}

// closeWrite ends the stream after what it holds.
func (h *half) closeWrite() {
	h.mu.Lock()
	h.eof = true
	h.writeLimit.stop()
	h.mu.Unlock()
	h.readable.Broadcast()
	h.writable.Broadcast()
}

// closeRead throws away what the stream holds and refuses more.
func (h *half) closeRead() {
	h.mu.Lock()
	h.dead = true
	h.ring = ring{}
	h.readLimit.stop()
	h.mu.Unlock()
	h.readable.Broadcast()
	h.writable.Broadcast()
}

func (l *limit) stop() {
	l.version++
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// setLimit arms l, which is one of h's two, and wakes c when it expires.
func (h *half) setLimit(l *limit, c *sync.Cond, t time.Time) {
	h.mu.Lock()
	l.stop()
	l.expired = false
	if !t.IsZero() {
		if d := time.Until(t); d > 0 {
			version := l.version
			l.timer = time.AfterFunc(d, func() { h.expire(l, c, version) })
		} else {
			l.expired = true
		}
	}
	h.mu.Unlock()
	c.Broadcast()
}

func (h *half) expire(l *limit, c *sync.Cond, version uint64) {
	h.mu.Lock()
	if l.version == version {
		l.expired = true
	}
	h.mu.Unlock()
	c.Broadcast()
}
