package socket

import (
	"net"
	"net/netip"
	"sync"
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
