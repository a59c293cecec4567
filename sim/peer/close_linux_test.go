package peer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A scene is one way for a connection to begin and end, played by two hosts: a connects to b. What the users on
// both sides see is written down.
type scene struct {
	*lab
	t      *testing.T
	family int
	ends   map[string]tcpConn // "a" and "b"
	local  [2]netip.AddrPort  // of a and b
	notes  []string
}

// A play is a scene with a name.
type play struct {
	name string
	play func(s *scene)
	much bool // so much data that the segments depend on timing
}

// outcome is what can be seen of a scene. Hosts of the same behaviour give the same outcome.
type outcome struct {
	notes    []string    // results of the calls, and the states at the end
	segments [2][]string // what each side sent; see wire.segments
}

// perform plays a scene in a lab.
func (l *lab) perform(t *testing.T, p play, family int) outcome {
	t.Helper()
	l.wire.settle()
	l.wire.forget()
	s := &scene{lab: l, t: t, family: family, ends: map[string]tcpConn{}}
	p.play(s)
	l.wire.settle()
	for i, h := range []host{l.a, l.b} {
		s.note("%s ends in %v", "ab"[i:i+1], h.states(s.local[i]))
	}
	o := outcome{notes: s.notes}
	if !p.much {
		o.segments = l.wire.segments()
	}
	for _, c := range s.ends { // of what is still open nothing shall remain
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	return o
}

func (s *scene) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// listen makes b's listener.
func (s *scene) listen() net.Listener {
	s.t.Helper()
	listener, err := s.b.listen("tcp", netip.AddrPortFrom(addrB[s.family], 0))
	require.NoError(s.t, err)
	s.local[1] = listener.Addr().(*net.TCPAddr).AddrPort()
	return listener
}

// dial connects a to a listener of b.
func (s *scene) dial(to net.Listener) {
	s.t.Helper()
	s.add("a", s.lab.dial(s.t, s.family, to))
	s.local[0] = s.ends["a"].LocalAddr().(*net.TCPAddr).AddrPort()
}

func (s *scene) accept(listener net.Listener) {
	s.t.Helper()
	c, err := listener.Accept()
	require.NoError(s.t, err)
	s.add("b", c.(tcpConn))
}

func (s *scene) add(who string, c tcpConn) {
	s.t.Helper()
	require.NoError(s.t, c.SetDeadline(time.Now().Add(patience)))
	s.ends[who] = c
}

// open makes the connection.
func (s *scene) open() {
	s.t.Helper()
	listener := s.listen()
	s.dial(listener)
	s.accept(listener)
	require.NoError(s.t, listener.Close())
	s.wire.settle()
}

// The calls of a scene. Each notes its result.

func (s *scene) write(who string, n int) {
	got, err := s.ends[who].Write(make([]byte, n))
	s.note("%s writes %d of %d: %s", who, got, n, errText(err))
}

// read reads exactly n bytes, or up to an error.
func (s *scene) read(who string, n int) {
	got, err := io.ReadFull(s.ends[who], make([]byte, n))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	s.note("%s reads %d of %d: %s", who, got, n, errText(err))
}

// readAll reads up to EOF or an error.
func (s *scene) readAll(who string) {
	n, err := io.Copy(io.Discard, struct{ io.Reader }{s.ends[who]})
	s.note("%s reads all %d: %s", who, n, errText(err))
}

func (s *scene) close(who string) { s.note("%s closes: %s", who, errText(s.ends[who].Close())) }
func (s *scene) closeWrite(who string) {
	s.note("%s ends its stream: %s", who, errText(s.ends[who].CloseWrite()))
}
func (s *scene) closeRead(who string) {
	s.note("%s stops reading: %s", who, errText(s.ends[who].CloseRead()))
}

func (s *scene) abort(who string) {
	require.NoError(s.t, s.ends[who].SetLinger(0))
	s.note("%s closes with linger 0: %s", who, errText(s.ends[who].Close()))
}

// crossing runs f, which makes both sides send something, so that the one's packets and the other's cross on the wire.
func (s *scene) crossing(f func()) {
	s.wire.hold()
	f()
	s.wire.waiting()
	s.wire.release()
	s.wire.settle()
}

// errText is an error without what differs from run to run: addresses and ports.
func errText(err error) string {
	var errno unix.Errno
	var op *net.OpError
	prefix := ""
	if errors.As(err, &op) {
		prefix = op.Op + ": "
	}
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno):
		return prefix + unix.ErrnoName(errno)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return prefix + "time-out"
	}
	return prefix + err.Error()
}

// TestCloseOrders plays every way to end a connection between two kernels, and then with a Stack in either part: the
// results, the segments and the final states have to be the same.
func TestCloseOrders(t *testing.T) {
	for _, family := range families {
		t.Run(familyName(family), func(t *testing.T) {
			t.Parallel()
			labs := []*lab{newLab(t, "kernel", "kernel")}
			for _, p := range pairs {
				labs = append(labs, newLab(t, p[0], p[1]))
			}
			for _, p := range plays() {
				t.Run(p.name, func(t *testing.T) {
					var outcomes []outcome
					for _, calm := range calms {
						if outcomes = performAll(t, labs, p, family, calm); allSame(outcomes) {
							return
						}
						// Perhaps the machine is too busy for what is told from the calm.
						t.Log("again, with more patience than", calm)
					}
					for i, got := range outcomes[1:] {
						if got.String() != outcomes[0].String() {
							t.Errorf("a is the %v, b the %v; got\n%s\nwant, as between two kernels\n%s\nthe wire\n%s",
								labs[1+i].a, labs[1+i].b, got, outcomes[0], labs[1+i].wire.trace())
						}
					}
				})
			}
		})
	}
}

// calms are for how long nothing passes when the hosts have said all they have to say. On a busy machine that may be
// longer, and even two kernels may then differ (in whether a segment within a write carries PSH, say): what is the same
// once is the same.
var calms = []time.Duration{15 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond, time.Second, time.Second}

// performAll plays a scene in all labs at once.
func performAll(t *testing.T, labs []*lab, p play, family int, calm time.Duration) []outcome {
	outcomes := make([]outcome, len(labs))
	var wg sync.WaitGroup
	for i, l := range labs {
		l.wire.calm = calm
		wg.Go(func() { outcomes[i] = l.perform(t, p, family) })
	}
	wg.Wait()
	return outcomes
}

func allSame(outcomes []outcome) bool {
	for _, o := range outcomes {
		if o.String() != outcomes[0].String() {
			return false
		}
	}
	return true
}

func (o outcome) String() string {
	return fmt.Sprintf("  %s\n  a sends\n    %s\n  b sends\n    %s", strings.Join(o.notes, "\n  "),
		strings.Join(o.segments[0], "\n    "), strings.Join(o.segments[1], "\n    "))
}
