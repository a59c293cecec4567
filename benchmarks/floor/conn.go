package floor

import (
	"net"
	"time"
)

// Conn is one end of a connection; it is a net.Conn with CloseWrite. All methods may be called
// concurrently.
type Conn struct {
	in, out *half
}

// Pipe returns the two ends of a new connection.
func Pipe() (*Conn, *Conn) {
	a, b := newHalf(), newHalf()
	return &Conn{in: a, out: b}, &Conn{in: b, out: a}
}

// Read returns what the other end wrote, waiting for the first byte.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write copies p into the ring, waiting for room.
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// CloseWrite lets the other end read end of file after what was written.
func (c *Conn) CloseWrite() error {
	c.out.closeWrite()
	return nil
}

// Close ends both directions. What was written can still be read at the other end.
func (c *Conn) Close() error {
	c.out.closeWrite()
	c.in.closeRead()
	return nil
}

// LocalAddr returns a name: the floor knows no addresses.
func (c *Conn) LocalAddr() net.Addr { return addr{} }

// RemoteAddr returns a name: the floor knows no addresses.
func (c *Conn) RemoteAddr() net.Addr { return addr{} }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setLimit(&c.in.readLimit, &c.in.readable, t)
	c.out.setLimit(&c.out.writeLimit, &c.out.writable, t)
	return nil
}

// SetReadDeadline makes reads fail with os.ErrDeadlineExceeded after t; the zero time: never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setLimit(&c.in.readLimit, &c.in.readable, t)
	return nil
}

// SetWriteDeadline makes writes fail with os.ErrDeadlineExceeded after t; the zero time: never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setLimit(&c.out.writeLimit, &c.out.writable, t)
	return nil
}

type addr struct{}

func (addr) Network() string { return "floor" }
func (addr) String() string  { return "floor" }
