//go:build linux

package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestStreamsLikeTheKernel has what can happen to a TCP connection and to a listener.
func TestStreamsLikeTheKernel(t *testing.T) {
	compareWithKernel(t, resetSituations)
	compareWithKernel(t, closeSituations)
	compareWithKernel(t, deadlineSituations)
	compareWithKernel(t, listenerSituations)
	compareWithKernel(t, copySituations)
}

// reset sends a reset from c.
func reset(c tcpConn) {
	if err := c.SetLinger(0); err != nil {
		panic(err)
	}
	_ = c.Close()
}

var resetSituations = []situation{
	{name: "read after a reset", play: func(s *scene) {
		c, p := s.pair()
		reset(p)
		s.read(c, 10)
		s.read(c, 10)
		s.write(c, "x")
		s.write(c, "x")
		s.read(c, 10)
		s.outcome("CloseWrite", c.CloseWrite())
		s.outcome("CloseRead", c.CloseRead())
		s.outcome("Close", c.Close())
	}},
	{name: "write after a reset", play: func(s *scene) {
		c, p := s.pair()
		reset(p)
		s.write(c, "x")
		s.write(c, "x")
		s.read(c, 10)
		s.write(c, "")
	}},
	{name: "data, then a reset", play: func(s *scene) {
		c, p := s.pair()
		s.write(p, "last words")
		reset(p)
		s.read(c, 4)
		s.read(c, 100)
		s.read(c, 100)
		s.read(c, 100)
	}},
	{name: "FIN, then a reset", play: func(s *scene) {
		c, p := s.pair()
		s.outcome("CloseWrite", p.CloseWrite())
		s.read(c, 10)
		reset(p)
		s.read(c, 10)
		s.write(c, "x")
		s.write(c, "x")
	}},
	{name: "a reset while a read waits", play: func(s *scene) {
		c, p := s.pair()
		join := s.aside(func(s *scene) { s.read(c, 10) })
		reset(p)
		join()
	}},
	{name: "linger 0 with data unsent and unread", play: func(s *scene) {
		c, p := s.pair()
		s.write(p, "to c")
		s.write(c, "to p")
		reset(c)
		s.read(p, 10)
		s.read(p, 10)
		s.read(p, 10)
	}},
	{name: "the peer closes with unread data", play: func(s *scene) {
		c, p := s.pair()
		s.write(c, "unread")
		_ = p.Close()
		s.read(c, 10)
		s.read(c, 10)
		s.write(c, "x")
	}},
	{name: "write after the peer has closed", play: func(s *scene) {
		c, p := s.pair()
		_ = p.Close()
		s.write(c, "answered by a reset")
		s.write(c, "x")
		s.read(c, 10)
		s.read(c, 10)
		s.outcome("CloseWrite", c.CloseWrite())
	}},
	{name: "read, then write after the peer has closed", play: func(s *scene) {
		c, p := s.pair()
		_ = p.Close()
		s.read(c, 10)
		s.write(c, "x")
		s.write(c, "x")
		s.read(c, 10)
	}},
	{name: "data arrives after CloseRead and Close", play: func(s *scene) {
		c, p := s.pair()
		_ = c.Close()
		s.read(p, 10)
		s.write(p, "nobody is there")
		s.write(p, "x")
	}},
	{name: "the listener closes with a connection in its queue", play: func(s *scene) {
		l := s.listener()
		c := guarded(s, must(s.Dial("tcp", l.Addr().String())).(tcpConn))
		_ = l.Close()
		s.read(c, 10)
		s.read(c, 10)
		s.write(c, "x")
	}},
	{name: "accepted after it was reset", play: func(s *scene) {
		l := s.listener()
		c := must(s.Dial("tcp", l.Addr().String())).(tcpConn)
		reset(c)
		p, err := l.Accept()
		s.outcome("Accept", err)
		if err != nil {
			return
		}
		guarded(s, p)
		s.tell("%v <- %v", p.LocalAddr(), p.RemoteAddr())
		s.read(p, 10)
		s.read(p, 10)
	}},
	{name: "accepted after data and FIN", play: func(s *scene) {
		l := s.listener()
		c := must(s.Dial("tcp", l.Addr().String())).(tcpConn)
		s.write(c, "early")
		_ = c.Close()
		p := guarded(s, must(l.Accept()).(tcpConn))
		s.tell("%v <- %v", p.LocalAddr(), p.RemoteAddr())
		s.read(p, 10)
		s.read(p, 10)
		s.write(p, "late")
		s.write(p, "later")
	}},
}

var closeSituations = []situation{
	{name: "everything on a closed connection", play: func(s *scene) {
		c, p := s.pair()
		s.outcome("Close", c.Close())
		s.outcome("Close again", c.Close())
		s.read(c, 10)
		s.read(c, 0)
		s.write(c, "x")
		s.write(c, "")
		s.outcome("SetDeadline", c.SetDeadline(time.Now()))
		s.outcome("SetReadDeadline", c.SetReadDeadline(time.Time{}))
		s.outcome("SetWriteDeadline", c.SetWriteDeadline(time.Now()))
		s.outcome("CloseRead", c.CloseRead())
		s.outcome("CloseWrite", c.CloseWrite())
		s.outcome("SetLinger", c.SetLinger(1))
		s.outcome("SetNoDelay", c.SetNoDelay(true))
		s.outcome("SetKeepAlive", c.SetKeepAlive(true))
		s.outcome("SetKeepAlivePeriod", c.SetKeepAlivePeriod(time.Second))
		s.outcome("SetKeepAliveConfig", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}))
		s.outcome("SetReadBuffer", c.SetReadBuffer(4096))
		s.outcome("SetWriteBuffer", c.SetWriteBuffer(4096))
		n, err := c.ReadFrom(strings.NewReader("x"))
		s.result("ReadFrom", int(n), err)
		n, err = c.WriteTo(io.Discard)
		s.result("WriteTo", int(n), err)
		s.tell("%v -> %v, peer %v -> %v", c.LocalAddr(), c.RemoteAddr(), p.LocalAddr(), p.RemoteAddr())
	}},
	{name: "closed while it blocks", play: func(s *scene) {
		c, _ := s.pair()
		join := s.aside(func(s *scene) { s.read(c, 10) })
		_ = c.Close()
		join()

		c, _ = s.pair()
		join = s.aside(func(s *scene) {
			_, err := io.Copy(c, endless{})
			s.outcome("write", err)
		})
		_ = c.Close()
		join()
	}},
	{name: "peer closes", play: func(s *scene) {
		c, p := s.pair()
		s.write(p, "bye")
		_ = p.Close()
		s.read(c, 10)
		s.read(c, 10)
		s.read(c, 0)
		s.read(c, 10)
	}},
	{name: "nothing read, nothing written", play: func(s *scene) {
		c, p := s.pair()
		s.read(c, 0)
		s.write(c, "")
		s.write(p, "data")
		s.read(c, 0)
		_ = p.Close()
		s.read(c, 10)
		s.read(c, 0)
	}},
	{name: "CloseRead", play: func(s *scene) {
		c, p := s.pair()
		s.write(p, "pending")
		s.read(c, 1)
		s.outcome("CloseRead", c.CloseRead())
		s.read(c, 10)
		s.read(c, 10)
		s.write(p, "later")
		s.read(c, 10)
		s.read(c, 10)
		s.write(c, "the other way")
		s.read(p, 20)
		s.outcome("CloseRead again", c.CloseRead())
	}},
	{name: "CloseRead wakes a reader", play: func(s *scene) {
		c, _ := s.pair()
		join := s.aside(func(s *scene) { s.read(c, 10) })
		s.outcome("CloseRead", c.CloseRead())
		join()
	}},
	{name: "CloseWrite", play: func(s *scene) {
		c, p := s.pair()
		s.write(c, "all")
		s.outcome("CloseWrite", c.CloseWrite())
		s.outcome("CloseWrite again", c.CloseWrite())
		s.write(c, "x")
		s.write(c, "")
		s.read(p, 10)
		s.read(p, 10)
		s.write(p, "half open")
		s.read(c, 10)
		s.outcome("peer CloseWrite", p.CloseWrite())
		s.read(c, 10)
		s.outcome("CloseWrite after both FINs", c.CloseWrite())
		s.outcome("peer CloseWrite after both FINs", p.CloseWrite())
		s.outcome("CloseRead after both FINs", c.CloseRead())
		s.outcome("Close", c.Close())
		s.outcome("peer Close", p.Close())
	}},
	{name: "CloseWrite after a reset", play: func(s *scene) {
		c, p := s.pair()
		reset(p)
		s.read(c, 1)
		s.outcome("CloseWrite", c.CloseWrite())
		s.outcome("CloseRead", c.CloseRead())
		s.outcome("SetNoDelay", c.SetNoDelay(true))
		s.outcome("SetKeepAlive", c.SetKeepAlive(false))
		s.outcome("SetLinger", c.SetLinger(-1))
		s.outcome("SetReadBuffer", c.SetReadBuffer(4096))
	}},
	{name: "both close at once", play: func(s *scene) {
		c, p := s.pair()
		join := s.aside(func(s *scene) { _ = p.Close() })
		s.outcome("Close", c.Close())
		join()
		s.read(c, 1)
		s.read(p, 1)
	}},
	{name: "linger", play: func(s *scene) {
		c, p := s.pair()
		s.outcome("SetLinger", c.SetLinger(2))
		s.write(c, "lingering")
		s.outcome("Close", c.Close())
		s.read(p, 20)
		s.read(p, 20)
	}},
	{name: "options", play: func(s *scene) {
		c, _ := s.pair()
		s.outcome("SetNoDelay", c.SetNoDelay(false))
		s.outcome("SetKeepAlive", c.SetKeepAlive(true))
		s.outcome("SetKeepAlivePeriod", c.SetKeepAlivePeriod(time.Minute))
		s.outcome("SetKeepAlivePeriod 0", c.SetKeepAlivePeriod(0))
		s.outcome("SetKeepAlivePeriod of a day", c.SetKeepAlivePeriod(24*time.Hour))
		s.outcome("SetKeepAliveConfig", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: time.Second, Count: 3}))
		s.outcome("SetKeepAliveConfig defaults", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}))
		s.outcome("SetKeepAliveConfig off", c.SetKeepAliveConfig(net.KeepAliveConfig{}))
		s.outcome("SetKeepAliveConfig unchanged", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}))
		s.outcome("SetKeepAliveConfig too many", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Count: 128}))
		s.outcome("SetKeepAliveConfig too long", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 40000 * time.Second}))
		s.outcome("SetReadBuffer", c.SetReadBuffer(1<<20))
		s.outcome("SetReadBuffer 0", c.SetReadBuffer(0))
		s.outcome("SetWriteBuffer", c.SetWriteBuffer(1<<20))
		s.outcome("SetLinger", c.SetLinger(5))
		s.outcome("SetLinger off", c.SetLinger(-1))
	}},
	{name: "zero values", only: 4, play: func(s *scene) {
		c, l, u := s.ZeroConns()
		s.read(c, 1)
		s.write(c, "x")
		s.outcome("Close", c.Close())
		s.outcome("SetDeadline", c.SetDeadline(past()))
		s.outcome("CloseWrite", c.CloseWrite())
		s.outcome("SetNoDelay", c.SetNoDelay(true))
		s.outcome("SetLinger", c.SetLinger(1))
		s.tell("%v %v", c.LocalAddr(), c.RemoteAddr())
		_, err := l.Accept()
		s.outcome("Accept", err)
		s.outcome("Close", l.Close())
		s.outcome("SetDeadline", l.SetDeadline(past()))
		s.read(u, 1)
		s.write(u, "x")
		_, _, err = u.ReadFrom(nil)
		s.outcome("ReadFrom", err)
		_, err = u.WriteTo(nil, nil)
		s.outcome("WriteTo", err)
		s.outcome("Close", u.Close())
	}},
}

var deadlineSituations = []situation{
	{name: "deadline past", play: func(s *scene) {
		c, p := s.pair()
		s.outcome("SetDeadline", c.SetDeadline(past()))
		s.read(c, 10)
		s.read(c, 0)
		s.write(c, "x")
		s.write(c, "")
		s.write(p, "kept")
		s.read(c, 10)
		s.outcome("SetReadDeadline", c.SetReadDeadline(time.Time{}))
		s.read(c, 10)
		s.write(c, "x")
		s.outcome("SetWriteDeadline", c.SetWriteDeadline(time.Now().Add(patience)))
		s.write(c, "in time")
		s.read(p, 10)
		s.outcome("CloseWrite is no write", c.CloseWrite())
	}},
	{name: "deadline of the reader only, of the writer only", play: func(s *scene) {
		c, p := s.pair()
		_ = c.SetReadDeadline(past())
		s.write(c, "x")
		s.read(p, 10)
		s.read(c, 1)
		_ = p.SetWriteDeadline(past())
		s.write(p, "x")
		s.write(c, "y")
		s.read(p, 10)
	}},
	{name: "deadline to come", play: func(s *scene) {
		c, _ := s.pair()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		s.read(c, 10)
		s.read(c, 10)
	}},
	{name: "deadline set while a read waits", play: func(s *scene) {
		c, _ := s.pair()
		join := s.aside(func(s *scene) { s.read(c, 10) })
		s.outcome("SetReadDeadline", c.SetReadDeadline(past()))
		join()
	}},
	{name: "a full pipe and a deadline", play: func(s *scene) {
		c, _ := s.pair()
		much := make([]byte, 16<<20) // more than all buffers together
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := c.Write(much)
		s.tell("part was written: %t", n > 0 && n < len(much))
		s.outcome("Write", err)
		s.write(c, "x")
		s.outcome("Close", c.Close())
	}},
	{name: "EOF beats no deadline", play: func(s *scene) {
		c, p := s.pair()
		_ = p.Close()
		_ = c.SetReadDeadline(past())
		s.read(c, 10)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		s.read(c, 10)
	}},
}

var listenerSituations = []situation{
	{name: "everything on a closed listener", play: func(s *scene) {
		l := s.listener()
		s.outcome("Close", l.Close())
		s.outcome("Close again", l.Close())
		_, err := l.Accept()
		s.outcome("Accept", err)
		s.outcome("SetDeadline", l.SetDeadline(time.Now()))
		s.outcome("SetDeadline zero", l.SetDeadline(time.Time{}))
		s.tell("%v", l.Addr())
	}},
	{name: "Accept with a deadline", play: func(s *scene) {
		l := s.listener()
		s.outcome("SetDeadline", l.SetDeadline(past()))
		c, err := l.Accept()
		s.outcome("Accept", err)
		s.tell("conn is nil: %t", c == nil)
		d := must(s.Dial("tcp", l.Addr().String()))
		defer d.Close()
		_, err = l.Accept()
		s.outcome("Accept with one waiting", err)
		_ = l.SetDeadline(time.Now().Add(5 * time.Millisecond))
		a, err := l.Accept()
		s.outcome("Accept in time", err)
		if err == nil {
			_ = a.Close()
		}
		_, err = l.Accept()
		s.outcome("Accept too late", err)
		_ = l.SetDeadline(time.Time{})
	}},
	{name: "closed while Accept waits", play: func(s *scene) {
		l := s.listener()
		join := s.aside(func(s *scene) {
			_, err := l.Accept()
			s.outcome("Accept", err)
		})
		_ = l.Close()
		join()
	}},
	{name: "accepted addresses on a wildcard", play: func(s *scene) {
		l := guarded(s, must(s.Listen("tcp", ":0")).(tcpListener))
		d := must(s.Dial("tcp", s.host()+l.Addr().String()[len("[::]"):]))
		defer d.Close()
		a := guarded(s, must(l.Accept()).(tcpConn))
		s.tell("%v <- %v", a.LocalAddr(), a.RemoteAddr())
		s.tell("%#v", a.RemoteAddr().(*net.TCPAddr).IP)
		s.read(closedConn(a), 1)
		_ = d.Close()
	}},
}

// closedConn closes c and returns it, so that its next error shows its network.
func closedConn(c tcpConn) tcpConn {
	_ = c.Close()
	return c
}

var copySituations = []situation{
	{name: "ReadFrom and WriteTo", play: func(s *scene) {
		c, p := s.pair()
		n, err := c.ReadFrom(strings.NewReader("copied"))
		s.result("ReadFrom", int(n), err)
		_ = c.CloseWrite()
		var b bytes.Buffer
		n, err = p.WriteTo(&b)
		s.result("WriteTo", int(n), err)
		s.tell("%q", b.String())
		n, err = p.WriteTo(&b)
		s.result("WriteTo at EOF", int(n), err)
	}},
	{name: "ReadFrom a reader that fails", play: func(s *scene) {
		c, p := s.pair()
		n, err := c.ReadFrom(io.MultiReader(strings.NewReader("some"), failing{}))
		s.result("ReadFrom", int(n), err)
		s.read(p, 10)
	}},
	{name: "WriteTo a writer that fails", play: func(s *scene) {
		c, p := s.pair()
		s.write(p, "some")
		n, err := c.WriteTo(failing{})
		s.result("WriteTo", int(n), err)
	}},
	{name: "ReadFrom to a connection that is reset", play: func(s *scene) {
		c, p := s.pair()
		reset(p)
		s.read(c, 1)
		n, err := c.ReadFrom(strings.NewReader("x"))
		s.result("ReadFrom", int(n), err)
	}},
	{name: "WriteTo from a connection that is reset", play: func(s *scene) {
		c, p := s.pair()
		s.write(p, "some")
		reset(p)
		var b bytes.Buffer
		n, err := c.WriteTo(&b)
		s.result("WriteTo", int(n), err)
		s.tell("%q", b.String())
	}},
	{name: "copies past their deadline", play: func(s *scene) {
		c, _ := s.pair()
		_ = c.SetDeadline(past())
		n, err := c.WriteTo(&bytes.Buffer{})
		s.result("WriteTo", int(n), err)
		n, err = c.ReadFrom(strings.NewReader("x"))
		s.result("ReadFrom", int(n), err)
	}},
	{name: "io.Copy between connections", play: func(s *scene) {
		a, b := s.pair()
		c, d := s.pair()
		s.write(a, "through two connections")
		_ = a.CloseWrite()
		n, err := io.Copy(c, b)
		s.result("Copy", int(n), err)
		_ = c.CloseWrite()
		s.read(d, 100)
		s.read(d, 100)
	}},
}

// failing is a reader and writer that cannot.
type failing struct{}

var errFailing = errors.New("out of order")

func (failing) Read([]byte) (int, error)  { return 0, errFailing }
func (failing) Write([]byte) (int, error) { return 0, errFailing }
