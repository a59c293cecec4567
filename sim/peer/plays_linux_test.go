package peer

import (
	"net"
	"net/netip"
	"sync"

	"github.com/stretchr/testify/require"
)

// plays are the ways for a connection to end.
func plays() []play {
	all := append(crossings(), unaccepted()...)
	for _, x := range [][2]string{{"a", "b"}, {"b", "a"}} {
		for _, of := range []func(x, y string) []play{closings, halfCloses, resets, lateWrites} {
			all = append(all, of(x[0], x[1])...)
		}
	}
	return all
}

// crossings are plays in which both sides do something at the same time.
func crossings() []play {
	return []play{
		{name: "linger 0 on both sides at once", play: func(s *scene) {
			s.open()
			s.crossing(func() { s.abort("a"); s.abort("b") })
		}},
		{name: "simultaneous close", play: func(s *scene) {
			s.open()
			s.crossing(func() { s.close("a"); s.close("b") })
		}},
		{name: "simultaneous half-close", play: func(s *scene) {
			s.open()
			s.crossing(func() { s.closeWrite("a"); s.closeWrite("b") })
			s.readAll("a")
			s.readAll("b")
			s.closeWrite("a")
			s.close("b")
			s.close("a")
		}},
		{name: "simultaneous half-close with data", play: func(s *scene) {
			s.open()
			s.crossing(func() { s.write("a", 700); s.closeWrite("a"); s.write("b", 900); s.closeWrite("b") })
			s.readAll("a")
			s.readAll("b")
			s.close("b")
			s.close("a")
		}},
		{name: "one closes, the other resets, at once", play: func(s *scene) {
			s.open()
			s.crossing(func() { s.close("a"); s.abort("b") })
		}},
		{name: "simultaneous open, then close", play: simultaneousOpen},
	}
}

// simultaneousOpen has both sides connect to the other at the same time (RFC 9293 figure 7).
func simultaneousOpen(s *scene) {
	s.turns++ // of what was played before something may be left in TIME-WAIT
	s.local = [2]netip.AddrPort{netip.AddrPortFrom(addrA[s.family], 4000+s.turns), netip.AddrPortFrom(addrB[s.family], 5000+s.turns)}
	var made [2]net.Conn
	var failed [2]error
	s.crossing(func() {
		var wg sync.WaitGroup
		for i, h := range []host{s.a, s.b} {
			wg.Go(func() {
				made[i], failed[i] = h.dial("tcp", s.local[i], s.local[1-i], patience)
			})
		}
		s.wire.waiting()
		s.wire.release()
		wg.Wait()
		s.wire.hold()
		require.NoError(s.t, failed[0])
		require.NoError(s.t, failed[1])
		s.add("a", made[0].(tcpConn))
		s.add("b", made[1].(tcpConn))
		s.write("a", 5)
		s.write("b", 6)
	})
	s.read("b", 5)
	s.read("a", 6)
	s.close("a")
	s.wire.settle()
	s.readAll("b")
	s.close("b")
}

// unaccepted are plays in which a connection ends before it is accepted.
func unaccepted() []play {
	return []play{
		{name: "closed before it is accepted", play: func(s *scene) {
			l := s.listen()
			s.dial(l)
			s.write("a", 10)
			s.close("a")
			s.wire.settle()
			s.accept(l)
			require.NoError(s.t, l.Close())
			s.readAll("b")
			s.close("b")
		}},
		{name: "reset before it is accepted", play: func(s *scene) {
			l := s.listen()
			s.dial(l)
			s.write("a", 10)
			s.wire.settle()
			s.abort("a")
			s.wire.settle()
			s.accept(l)
			require.NoError(s.t, l.Close())
			s.readAll("b")
			s.readAll("b")
			s.write("b", 1)
			s.close("b")
		}},
		{name: "listener closes with a connection waiting", play: func(s *scene) {
			l := s.listen()
			s.dial(l)
			s.write("a", 10)
			s.wire.settle()
			require.NoError(s.t, l.Close())
			s.wire.settle()
			s.readAll("a")
			s.readAll("a")
			s.close("a")
		}},
	}
}

// closings are plays in which x closes, and y gets to see it.
func closings(x, y string) []play {
	return []play{
		{name: x + " closes first", play: func(s *scene) {
			s.open()
			s.write(x, 100)
			s.close(x)
			s.readAll(y)
			s.close(y)
		}},
		{name: x + " closes first, data both ways", play: func(s *scene) {
			s.open()
			s.write(x, 100)
			s.read(y, 100)
			s.write(y, 3000)
			s.read(x, 3000)
			s.close(x)
			s.readAll(y)
			s.close(y)
		}},
		{name: x + " closes into a closed window", much: true, play: func(s *scene) {
			s.open()
			require.NoError(s.t, s.ends[y].SetReadBuffer(2048))
			s.write(x, 30_000) // more than the window of y, less than the send buffer of x
			s.close(x)
			s.wire.settle()
			s.read(y, 10_000)
			s.readAll(y)
			s.close(y)
		}},
		{name: x + " closes with much unsent", much: true, play: func(s *scene) {
			s.open()
			s.write(x, 50_000)
			s.close(x)
			s.readAll(y)
			s.close(y)
		}},
	}
}

// halfCloses are plays in which x closes one direction.
func halfCloses(x, y string) []play {
	return []play{
		{name: x + " half-closes, " + y + " goes on", play: func(s *scene) {
			s.open()
			s.closeWrite(x)
			s.readAll(y)
			s.write(y, 1000)
			s.read(x, 1000)
			s.write(y, 2000)
			s.read(x, 2000)
			s.write(x, 1)
			s.close(y)
			s.readAll(x)
			s.close(x)
		}},
		{name: x + " half-closes, " + y + " answers and half-closes", play: func(s *scene) {
			s.open()
			s.write(x, 5)
			s.closeWrite(x)
			s.readAll(y)
			s.write(y, 5)
			s.closeWrite(y)
			s.readAll(x)
			s.wire.settle()
			s.closeWrite(x)
			s.closeWrite(y)
			s.close(x)
			s.close(y)
		}},
		{name: x + " stops reading, " + y + " writes", play: func(s *scene) {
			s.open()
			s.closeRead(x)
			s.write(y, 5)
			s.wire.settle()
			s.read(x, 5)
			s.read(x, 1)
			s.close(x)
			s.wire.settle()
			s.readAll(y)
			s.close(y)
		}},
	}
}

// resets are plays in which x resets the connection.
func resets(x, y string) []play {
	return []play{
		{name: x + " closes with linger 0", play: func(s *scene) {
			s.open()
			s.abort(x)
			s.wire.settle()
			s.readAll(y)
			s.readAll(y)
			s.write(y, 1)
			s.close(y)
		}},
		{name: x + " closes with linger 0 after data", play: func(s *scene) {
			s.open()
			s.write(x, 100)
			s.wire.settle()
			s.abort(x)
			s.wire.settle()
			s.read(y, 100)
			s.readAll(y)
			s.readAll(y)
			s.write(y, 1)
			s.close(y)
		}},
		{name: x + " closes with unread data", play: func(s *scene) {
			s.open()
			s.write(y, 5)
			s.read(x, 1)
			s.close(x)
			s.wire.settle()
			s.readAll(y)
			s.readAll(y)
			s.write(y, 1)
			s.close(y)
		}},
		{name: x + " half-closes, then closes with unread data", play: func(s *scene) {
			s.open()
			s.closeWrite(x)
			s.readAll(y)
			s.write(y, 5)
			s.wire.settle()
			s.close(x)
			s.wire.settle()
			s.write(y, 1)
			s.close(y)
		}},
	}
}

// lateWrites are plays in which x writes to one who is gone.
func lateWrites(x, y string) []play {
	return []play{
		{name: x + " writes after " + y + " closed", play: func(s *scene) {
			s.open()
			s.close(y)
			s.wire.settle()
			s.write(x, 1)
			s.wire.settle()
			s.write(x, 1)
			s.readAll(x)
			s.close(x)
		}},
		{name: x + " reads and writes after " + y + " closed", play: func(s *scene) {
			s.open()
			s.write(y, 1)
			s.close(y)
			s.wire.settle()
			s.write(x, 1)
			s.wire.settle()
			s.readAll(x)
			s.readAll(x)
			s.close(x)
		}},
	}
}
