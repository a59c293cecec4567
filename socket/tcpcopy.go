package socket

import (
	"io"
	"net"
	"syscall"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// What io.Copy finds on a TCPConn: ReadFrom and WriteTo.

// ReadFrom copies from r until io.EOF; it implements io.ReaderFrom.
func (c *TCPConn) ReadFrom(r io.Reader) (int64, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	b := c.s.pool.Get(device.MaxBuf)
	defer b.Release()
	n, err := io.CopyBuffer(onlyWriter{c}, r, b.Bytes())
	if err != nil {
		err = c.opError("readfrom", err) // around Write's own: package net has both
	}
	return n, err
}

// WriteTo copies to w until the peer closes; it implements io.WriterTo. w gets
// the memory in which the bytes arrived, not a copy: like every io.Writer it
// must not change them, nor keep them.
func (c *TCPConn) WriteTo(w io.Writer) (int64, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	n, err := c.writeTo(w)
	if err != nil {
		err = c.opError("writeto", err) // around Read's own: package net has both
	}
	return n, err
}

func (c *TCPConn) writeTo(w io.Writer) (n int64, err error) {
	if c.s.staged {
		return io.Copy(w, onlyReader{c}) // Reads have their turns there
	}
	for {
		q, err := c.takePiece()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, c.opError("read", err)
		}
		k, err := w.Write(q.B)
		n += int64(k)
		if err == nil && k < len(q.B) {
			err = io.ErrShortWrite
		}
		if q.Owner != nil {
			q.Owner.Release()
		}
		if err != nil {
			return n, err
		}
	}
}

// takePiece takes what can be read now, with its memory, waiting as Read does.
func (c *TCPConn) takePiece() (tcp.Piece, error) {
	c.lock()
	for {
		q, done, err := c.tryTake()
		if done {
			c.afterRead(len(q.B))
			return q, err
		}
		c.rd.waitOrUnlock(c.s, &c.mu)
	}
}

// smallPiece is the least that takePiece hands over in the memory in which it
// arrived while there is more. Many small messages make one piece, as they would
// make one Read.
const smallPiece = 8 << 10

// tryTake is tryRead with the memory.
func (c *TCPConn) tryTake() (q tcp.Piece, done bool, err error) {
	switch {
	case c.closed:
		return q, true, net.ErrClosed
	case c.rpast:
		return q, true, errDeadline
	}
	if first := len(c.tcb.ReadPiece()); first < smallPiece && first < c.tcb.Pending() {
		b := c.s.pool.Get(2 * smallPiece)
		if n := c.tcb.Read(c.recent(), b.Bytes()); n > 0 {
			return tcp.Piece{B: b.Bytes()[:n], Owner: b}, true, nil
		}
		b.Release()
	} else if q, ok := c.tcb.TakePiece(c.recent(), device.MaxBuf); ok {
		return q, true, nil
	}
	done, err = c.atEnd()
	return q, done, err
}

// onlyWriter and onlyReader hide the fast paths from io.Copy, which would call
// them again.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }
