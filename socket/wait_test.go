package socket

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/tcp"
)

// impatient is a Parker on whose conditions nobody waits: they panic.
type impatient struct{}

type impatientCond struct{}

func (impatient) NewCond(sync.Locker) Cond { return impatientCond{} }
func (impatientCond) Wait()                { panic("no waiting") }
func (impatientCond) Signal()              {}
func (impatientCond) Broadcast()           {}

// A wait that does not return leaves no lock behind.
func TestWaitThatDoesNotReturn(t *testing.T) {
	s := New(Config{Parker: impatient{}, Seed: 1})
	defer s.Close()
	gives := func(name string, f func()) { t.Helper(); require.PanicsWithValue(t, "no waiting", f, name) }
	l, err := s.Listen("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	gives("accept", func() { l.Accept() })
	c, err := s.Dial("tcp", "127.0.0.1:80") // on a perfect link nobody has to wait
	require.NoError(t, err)
	p, err := l.Accept()
	require.NoError(t, err)
	gives("read", func() { c.Read(make([]byte, 1)) })
	gives("write", func() { p.Write(make([]byte, 64<<20)) })
	gives("second write", func() { p.Write(make([]byte, 1)) })
	u, err := s.ListenPacket("udp", "127.0.0.1:53")
	require.NoError(t, err)
	gives("datagram", func() { u.ReadFrom(make([]byte, 1)) })
	r, err := s.ListenPacket("ip4:99", "127.0.0.1")
	require.NoError(t, err)
	gives("raw", func() { r.ReadFrom(make([]byte, 1)) })
	s.NIC().SetFilter(func([]byte) int { return 0 })
	gives("dial", func() { s.Dial("tcp", "127.0.0.1:80") })
	for _, x := range []interface {
		Close() error
		SetDeadline(time.Time) error
	}{c, p, u, r, l.(*TCPListener)} {
		require.NoError(t, x.SetDeadline(time.Now()))
		require.NoError(t, x.Close())
	}
}

// seenTCBs is a tcp.Observer that asks whose the TCB is.
type seenTCBs struct {
	s    *Stack
	seen map[[2]netip.AddrPort]bool
}

func (o *seenTCBs) Event(t *tcp.TCB, _ tcp.Event) {
	if local, remote, ok := o.s.AddrsOf(t); ok {
		o.seen[[2]netip.AddrPort{local, remote}] = true
	}
}

// Those who watch a stack are told whose TCB it is, and whose timer is next.
func TestWatching(t *testing.T) {
	o := &seenTCBs{seen: map[[2]netip.AddrPort]bool{}}
	s := New(Config{Seed: 1, Observer: o})
	o.s = s
	defer s.Close()
	_, ok := s.NextTimer()
	require.False(t, ok)
	l, err := s.Listen("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	c, err := s.Dial("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	_, err = l.Accept()
	require.NoError(t, err)
	local, remote := c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
	require.Equal(t, map[[2]netip.AddrPort]bool{{local, remote}: true, {remote, local}: true}, o.seen)
	_, _, ok = s.AddrsOf(new(tcp.TCB))
	require.False(t, ok)

	timer, ok := s.NextTimer()
	require.True(t, ok)
	require.EqualValues(t, 6, timer.Proto)
	require.Contains(t, []netip.AddrPort{local, remote}, timer.Local)
	require.Positive(t, timer.Due)
	u, err := s.ListenPacket("udp", "127.0.0.1:53")
	require.NoError(t, err)
	require.NoError(t, u.SetReadDeadline(time.Now().Add(time.Nanosecond)))
	_, _, err = u.ReadFrom(make([]byte, 1))
	require.Error(t, err)
}

// TestLetRun: one who woke a reader lets it run, and comes back when it does, also if the reader was quicker or
// goes back to waiting at once.
func TestLetRun(t *testing.T) {
	s := New(Config{})
	var mu sync.Mutex
	var q waitq
	const rounds = 2000
	seen, told := 0, 0 // told is how often the reader was told to go on
	var wg sync.WaitGroup
	wg.Go(func() {
		mu.Lock()
		defer mu.Unlock()
		for seen < rounds {
			if seen == told {
				q.wait(s, &mu)
				continue
			}
			seen++
		}
	})
	for range rounds {
		mu.Lock()
		for !q.busy() {
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
		}
		told++
		w := q.waiters()
		mu.Unlock()
		w.broadcast()
		w.letRun()
		mu.Lock()
		require.Equal(t, told, seen, "the reader ran")
		mu.Unlock()
	}
	wg.Wait()
	require.Zero(t, q.waiting)
	require.Zero(t, q.behind)
	q.waiter.letRun() // nobody was woken
}

// TestWritersLetReadersRun: long writes on several connections at once arrive, with one and with two readers.
func TestWritersLetReadersRun(t *testing.T) {
	s := New(Config{Queues: 2})
	defer s.Close()
	l, err := s.Listen("tcp", "127.0.0.1:80")
	require.NoError(t, err)
	const total = 20 * 100 << 10
	var wg sync.WaitGroup
	var got [4]atomic.Int64
	for i := range got {
		c, err := s.Dial("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		p, err := l.Accept()
		require.NoError(t, err)
		wg.Go(func() {
			for range 20 {
				if _, err := c.Write(make([]byte, 100<<10)); err != nil {
					t.Error(err)
				}
			}
			c.Close()
		})
		for range 1 + i%2 {
			wg.Go(func() {
				n, err := io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{p})
				if err != nil {
					t.Error(err)
				}
				got[i].Add(n)
			})
		}
	}
	wg.Wait()
	for i := range got {
		require.Equal(t, int64(total), got[i].Load())
	}
}

// TestTurnAtClose: who runs before a Close returns.
func TestTurnAtClose(t *testing.T) {
	for _, tt := range []struct {
		name       string
		processors int
		waited     bool // the client has waited for something to read
		before     func(c, peer *TCPConn) error
		accepted   bool // the other end closes
		want       turn
	}{
		{"two processors", 2, true, nil, false, wokensTurn},
		{"two processors, who never waited", 2, false, nil, false, wokensTurn},
		{"two processors, who accepted", 2, true, nil, true, callersTurn},
		{"two processors, second to close", 2, true, func(_, peer *TCPConn) error { return peer.CloseWrite() }, false, callersTurn},
		{"one processor", 1, true, nil, false, callersTurn},
		{"one processor, who never waited", 1, false, nil, false, othersTurn},
		{"one processor, who accepted", 1, false, nil, true, callersTurn},
	} {
		t.Run(tt.name, func(t *testing.T) {
			OnProcessors(t, tt.processors)
			s := New(Config{})
			defer s.Close()
			l, err := s.ListenTCP("tcp4", &net.TCPAddr{Port: 80})
			require.NoError(t, err)
			c, err := s.DialTCP("tcp4", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80})
			require.NoError(t, err)
			peer, err := l.AcceptTCP()
			require.NoError(t, err)
			if tt.waited {
				c.rd.waiter = s.newWaiter(&c.mu)
			}
			if tt.before != nil {
				require.NoError(t, tt.before(c, peer))
			}
			if tt.accepted {
				c = peer
			}
			c.lock()
			got := c.turnAtClose(false)
			c.mu.Unlock()
			require.Equal(t, tt.want, got)
		})
	}
}

// TestSimulationDecidesWhoRuns: nobody waits for one who was woken where that is not for the scheduler of the real computer to arrange.
func TestSimulationDecidesWhoRuns(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"with a clock of its own", Config{Clock: stillClock{}}},
		{"with goroutines of its own", Config{Parker: impatient{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(tt.cfg)
			defer s.Close()
			var mu sync.Mutex
			q := waitq{s.newWaiter(&mu)}
			q.waiting = 1 // who never runs
			require.NotNil(t, q.waiters())
			s.yield(q.waiter, false)
			s.yield(q.waiter, true)
		})
	}
}
