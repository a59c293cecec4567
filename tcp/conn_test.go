package tcp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// conn is one TCB whose peer is the test. Sequence numbers are relative: the peer's SYN is 0, ours is 0.
type conn struct {
	t     *testing.T
	now   time.Duration
	tcb   TCB
	stats Stats
	alloc countingAlloc
	p     Params
	log   []string
	seen  eventLog
	last  Segment // the latest segment it sent
}

// eventLog is an Observer that keeps what it is told.
type eventLog struct{ events []Event }

func (l *eventLog) Event(_ *TCB, e Event) { l.events = append(l.events, e) }

// drops returns the reasons of dropped segments.
func (l *eventLog) drops() (why []DropReason) {
	for _, e := range l.events {
		if e.Kind == EventDrop {
			why = append(why, e.Drop)
		}
	}
	return why
}

const (
	connISS = Seq(0xffffff00) // so that numbers wrap early
	peerISS = Seq(0x7fffff80)
)

// seg is a segment in relative numbers, for both directions.
type seg struct {
	flags    Flags
	seq, ack int
	len      int
	wnd      int
	opts     Options
	urg      uint16
	ecn      uint8
}

func newConn(t *testing.T, cfg *Config) *conn {
	c := &conn{t: t, now: time.Minute}
	c.p = Params{Config: cfg.Defaults(), Alloc: &c.alloc, Stats: &c.stats, Observer: &c.seen,
		Local: hostA, Remote: hostB, MTU: 1040, ISS: connISS, TSOffset: 99}
	return c
}

// synOpts are what our peers offer: segments of 1000 bytes (MTU 1040), SACK, no timestamps, scale 7.
var synOpts = Options{HasMSS: true, MSS: 1000, SACKPermitted: true, HasWScale: true, WScale: 7}

// established opens c actively with a peer that has window 256 << 7 and options o.
func established(t *testing.T, cfg *Config, o Options) *conn {
	t.Helper()
	c := newConn(t, cfg)
	c.tcb.Connect(c.now, &c.p)
	c.want("the SYN", seg{flags: SYN})
	c.pass(10 * time.Millisecond)
	c.in(seg{flags: SYN | ACK, ack: 1, wnd: 65535, opts: o})
	c.want("the handshake ends with an ACK", seg{flags: ACK, seq: 1, ack: 1})
	require.Equal(t, StateEstablished, c.tcb.State())
	require.Equal(t, EvConnected|EvWritable, c.tcb.TakeEvents())
	if o.HasWScale {
		c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: 256})
	}
	return c
}

func (c *conn) describe(s seg) string {
	return fmt.Sprintf("%v %d:%d(%d) ack %d", s.flags, s.seq, s.seq+s.len, s.len, s.ack)
}

func (c *conn) note(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf("%v %v ", c.now, c.tcb.State())+fmt.Sprintf(format, args...))
}

func (c *conn) trace() string { return "\n" + strings.Join(c.log, "\n") }

// in delivers a segment.
func (c *conn) in(s seg) {
	c.t.Helper()
	in := Segment{SrcPort: hostB.Port(), DstPort: hostA.Port(), Seq: peerISS + Seq(s.seq), Flags: s.flags,
		Wnd: uint16(s.wnd), Opts: s.opts, Urg: s.urg, ECN: s.ecn}
	if s.wnd == 0 && s.flags&(RST) == 0 {
		in.Wnd = 256
	}
	if s.wnd < 0 {
		in.Wnd = 0
	}
	if s.flags&ACK != 0 {
		in.Ack = connISS + Seq(s.ack)
	}
	for i := range in.Opts.SACK[:in.Opts.NSACK] {
		in.Opts.SACK[i].Start += connISS
		in.Opts.SACK[i].End += connISS
	}
	if s.len > 0 {
		in.Payload.Append(Piece{B: make([]byte, s.len)})
	}
	c.note("< %s %+v", c.describe(s), s.opts)
	c.tcb.Input(c.now, &in)
	checkInvariants(c.t, &c.tcb, c.trace)
}

// next takes the next segment it sends.
func (c *conn) next() (seg, bool) {
	c.t.Helper()
	if !c.tcb.Output(c.now, &c.last) {
		return seg{}, false
	}
	checkInvariants(c.t, &c.tcb, c.trace)
	o := &c.last
	s := seg{flags: o.Flags, seq: int(o.Seq.Sub(connISS)), len: o.Payload.N, wnd: int(o.Wnd), opts: o.Opts}
	if o.Flags&ACK != 0 {
		s.ack = int(o.Ack.Sub(peerISS))
	}
	o.Payload.Release()
	c.note("> %s %v", c.describe(s), o.Cause)
	return s, true
}

// want expects the next segment; windows and options are not compared, PSH only if it is asked for.
func (c *conn) want(sentence string, w seg) {
	c.t.Helper()
	s, ok := c.next()
	require.True(c.t, ok, "%s: nothing was sent, want %s%s", sentence, c.describe(w), c.trace())
	if w.flags&PSH == 0 {
		s.flags &^= PSH
	}
	require.Equal(c.t, c.describe(w), c.describe(s), "%s%s", sentence, c.trace())
}

// wantCause is want and the reason.
func (c *conn) wantCause(sentence string, w seg, why Cause) {
	c.t.Helper()
	c.want(sentence, w)
	require.Equal(c.t, why.String(), c.last.Cause.String(), "%s%s", sentence, c.trace())
}

// wantIdle expects that it has nothing to send.
func (c *conn) wantIdle(sentence string) {
	c.t.Helper()
	s, ok := c.next()
	require.False(c.t, ok, "%s, but it sent %s%s", sentence, c.describe(s), c.trace())
}

// wantData expects segments of new or old text from to to, and nothing else.
func (c *conn) wantData(sentence string, from, to, ack int) {
	c.t.Helper()
	for from < to {
		n := min(1000, to-from)
		c.want(sentence, seg{flags: ACK, seq: from, ack: ack, len: n})
		from += n
	}
	c.wantIdle(sentence)
}

// pass lets time go by, and handles timers at their time.
func (c *conn) pass(d time.Duration) {
	c.t.Helper()
	until := c.now + d
	for at := c.tcb.Deadline(); at <= until; at = c.tcb.Deadline() {
		c.now = max(c.now, at)
		c.tcb.Timeout(c.now)
		if c.tcb.NeedsOutput() {
			c.now = max(c.now, at)
			return // what it wants to send is for the test to see, now
		}
	}
	c.now = until
}

// timer lets time go by until the next timer expires and returns how long that took.
func (c *conn) timer() time.Duration {
	c.t.Helper()
	at := c.tcb.Deadline()
	require.NotEqual(c.t, Never, at, "no timer runs%s", c.trace())
	d := max(at-c.now, 0)
	c.now += d
	c.tcb.Timeout(c.now)
	return d
}

func (c *conn) write(n int) {
	c.t.Helper()
	require.Equal(c.t, n, c.tcb.Write(c.now, make([]byte, n)), c.trace())
}

func (c *conn) wantState(s State) {
	c.t.Helper()
	require.Equal(c.t, s.String(), c.tcb.State().String(), c.trace())
}

func sack(r ...int) Options {
	var o Options
	for i := 0; i < len(r); i += 2 {
		o.SACK[o.NSACK] = Range{Seq(r[i]), Seq(r[i+1])}
		o.NSACK++
	}
	return o
}
