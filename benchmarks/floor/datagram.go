package floor

import (
	"encoding/binary"
	"net"
	"os"
	"sync"
	"time"
)

// Mailbox is the floor of a datagram socket: a ring of datagrams with one mutex. Like UDP's
// receive queue it drops what does not fit. All methods may be called concurrently.
type Mailbox struct {
	mu      sync.Mutex
	arrived sync.Cond
	buf     []byte
	head    int // oldest datagram's length word
	tail    int // where the next one goes
	count   int
	asleep  int
	closed  bool
	expired bool
	timer   *time.Timer
	version uint64
}

const (
	lengthWord = 4
	wrapMark   = 1<<32 - 1 // a length that says: go on at the start of the ring
)

// NewMailbox returns a mailbox that holds size bytes of datagrams.
func NewMailbox(size int) *Mailbox {
	m := &Mailbox{buf: make([]byte, size)}
	m.arrived.L = &m.mu
	return m
}

// Send copies p into the mailbox; a full mailbox drops it, without an error, as a socket does.
func (m *Mailbox) Send(p []byte) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return net.ErrClosed
	}
	at, ok := m.place(lengthWord + len(p))
	if ok {
		binary.LittleEndian.PutUint32(m.buf[at:], uint32(len(p)))
		copy(m.buf[at+lengthWord:], p)
		m.tail = at + lengthWord + len(p)
		m.count++
	}
	wake := m.asleep > 0
	m.mu.Unlock()
	if wake {
		m.arrived.Signal()
	}
	return nil
}

// place finds room for n bytes in one piece.
func (m *Mailbox) place(n int) (at int, ok bool) {
	if m.count == 0 {
		m.head, m.tail = 0, 0
		return 0, n <= len(m.buf)
	}
	if m.tail > m.head {
		if m.tail+n <= len(m.buf) {
			return m.tail, true
		}
		if n >= m.head { // never let the tail meet the head: that would look empty
			return 0, false
		}
		if m.tail+lengthWord <= len(m.buf) {
			binary.LittleEndian.PutUint32(m.buf[m.tail:], wrapMark)
		}
		return 0, true
	}
	return m.tail, m.tail+n < m.head
}

// Recv waits for the oldest datagram and copies it to p, cutting it off where p ends.
func (m *Mailbox) Recv(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.count == 0 || m.closed || m.expired {
		if m.closed {
			return 0, net.ErrClosed
		}
		if m.expired {
			return 0, os.ErrDeadlineExceeded
		}
		m.asleep++
		m.arrived.Wait()
		m.asleep--
	}
	if m.head+lengthWord > len(m.buf) || binary.LittleEndian.Uint32(m.buf[m.head:]) == wrapMark {
		m.head = 0
	}
	n := int(binary.LittleEndian.Uint32(m.buf[m.head:]))
	start := m.head + lengthWord
	m.head = start + n
	m.count--
	return copy(p, m.buf[start:start+n]), nil
}

// SetReadDeadline makes Recv fail with os.ErrDeadlineExceeded after t; the zero time: never.
func (m *Mailbox) SetReadDeadline(t time.Time) error {
	m.mu.Lock()
	m.version++
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
	m.expired = false
	if !t.IsZero() {
		version := m.version
		m.timer = time.AfterFunc(max(0, time.Until(t)), func() { m.expire(version) })
	}
	m.mu.Unlock()
	return nil
}

func (m *Mailbox) expire(version uint64) {
	m.mu.Lock()
	if m.version == version {
		m.expired = true
	}
	m.mu.Unlock()
	m.arrived.Broadcast()
}

// Close wakes those in Recv.
func (m *Mailbox) Close() error {
	m.mu.Lock()
	m.closed = true
	if m.timer != nil {
		m.timer.Stop()
	}
	m.mu.Unlock()
	m.arrived.Broadcast()
	return nil
}
