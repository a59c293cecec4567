package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCloseOrders closes a pipe in every order, with data in both directions, and nothing may be lost or
// leak.
func TestCloseOrders(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(p *pipe)
	}{
		{"A first", func(p *pipe) { p.a.Close(p.now); p.drain(); p.runFor(time.Second); p.b.Close(p.now) }},
		{"B first", func(p *pipe) { p.b.Close(p.now); p.drain(); p.runFor(time.Second); p.a.Close(p.now) }},
		{"both at once", func(p *pipe) { p.a.Close(p.now); p.b.Close(p.now) }},
		{"half-close, then the other", func(p *pipe) {
			require.NoError(p.t, p.a.CloseWrite(p.now))
			p.drain()
			p.runFor(time.Second)
			require.Equal(p.t, 3000, p.b.Write(p.now, make([]byte, 3000)))
			p.drain()
			p.runFor(time.Second)
			require.Equal(p.t, 3000, p.a.Read(p.now, make([]byte, 5000)))
			require.NoError(p.t, p.b.CloseWrite(p.now))
			p.drain()
			p.runFor(time.Second)
			require.True(p.t, p.a.ReadEOF())
		}},
		{"with data and FIN lost once", func(p *pipe) {
			lost := false
			p.lose = func(_ *pipe, _ bool, s *Segment) bool {
				l := !lost && s.Flags&FIN != 0
				lost = lost || l
				return l
			}
			require.Equal(p.t, 500, p.a.Write(p.now, make([]byte, 500)))
			p.a.Close(p.now)
			p.drain()
			p.runFor(2 * time.Second)
			require.Equal(p.t, 500, p.b.Read(p.now, make([]byte, 1000)))
			require.True(p.t, p.b.ReadEOF())
			p.b.Close(p.now)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPipe(t)
			p.connect()
			c.run(p)
			p.drain()
			p.finish()
			require.Zero(t, p.stats.CurrEstab.Load())
		})
	}
}

// runFor lets d pass.
func (p *pipe) runFor(d time.Duration) { p.until(p.now + d) }

func TestCloseWithUnreadData(t *testing.T) {
	c := established(t, nil, synOpts)
	c.in(seg{flags: ACK, seq: 1, ack: 1, len: 100})
	c.want("ACK", seg{flags: ACK, seq: 1, ack: 101})
	c.tcb.Close(c.now)
	c.want("a reset says that data was lost (SHLD-3)", seg{flags: RST | ACK, seq: 1, ack: 101})
	c.wantState(StateClosed)
	require.NotZero(t, c.tcb.TakeEvents()&EvClosed)
	require.Equal(t, uint64(1), c.stats.TCPAbortOnClose.Load())
	c.tcb.Close(c.now)
	c.wantIdle("closing twice is nothing")
}

func TestAbort(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(c *conn)
		rst   *seg
	}{
		{"established", func(c *conn) {}, &seg{flags: RST | ACK, seq: 1, ack: 1}},
		{"with data in flight", func(c *conn) { c.write(1500); c.next(); c.next() }, &seg{flags: RST | ACK, seq: 1501, ack: 1}},
		{"close-wait", func(c *conn) { c.in(seg{flags: FIN | ACK, seq: 1, ack: 1}) }, &seg{flags: RST | ACK, seq: 1, ack: 2}},
		{"fin-wait-1", func(c *conn) { _ = c.tcb.CloseWrite(c.now); c.next() }, &seg{flags: RST | ACK, seq: 2, ack: 1}},
		{"fin-wait-2", func(c *conn) { _ = c.tcb.CloseWrite(c.now); c.next(); c.in(seg{flags: ACK, seq: 1, ack: 2}) }, &seg{flags: RST | ACK, seq: 2, ack: 1}},
		{"last-ack", func(c *conn) { c.in(seg{flags: FIN | ACK, seq: 1, ack: 1}); _ = c.tcb.CloseWrite(c.now); c.next() }, nil},
		{"closing, FIN not sent", func(c *conn) {
			c.write(20000)
			for _, ok := c.next(); ok; _, ok = c.next() {
			}
			_ = c.tcb.CloseWrite(c.now)
			c.in(seg{flags: FIN | ACK, seq: 1, ack: 1})
			c.next()
		}, &seg{flags: RST | ACK, seq: 10001, ack: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := established(t, nil, synOpts)
			c.setup(k)
			k.tcb.Abort(k.now)
			if c.rst != nil {
				k.want("reset", *c.rst)
			}
			k.wantIdle("that is all")
			k.wantState(StateClosed)
			require.Zero(t, k.alloc.out)
			k.tcb.Abort(k.now)
			k.wantIdle("aborting twice is nothing")
		})
	}
}

// TestTellsOfAbort: MUST-12: the user learns of an aborted connection, and what was received stays readable.
func TestTellsOfAbort(t *testing.T) {
	c := established(t, nil, synOpts)
	c.in(seg{flags: ACK, seq: 1, ack: 1, len: 100})
	c.next()
	c.in(seg{flags: RST, seq: 101})
	require.Equal(t, ErrReset, c.tcb.Err())
	e := c.tcb.TakeEvents()
	require.NotZero(t, e&EvError)
	require.NotZero(t, e&EvClosed)
	require.Equal(t, 100, c.tcb.Read(c.now, make([]byte, 1000)), "the data first")
	require.Zero(t, c.tcb.Write(c.now, []byte{1}))
	require.Equal(t, ErrNotConnected, c.tcb.CloseWrite(c.now))
	require.Equal(t, ErrNotConnected, c.tcb.CloseRead(c.now))
}

// timeWaitOpts are those of a peer with timestamps.
func timeWaitOpts() Options {
	o := synOpts
	o.HasTS, o.TSVal, o.TSEcr = true, 1000, uint32(time.Minute/time.Millisecond)+99
	return o
}

// enterTimeWait takes a connection to TIME-WAIT and replaces it by its stand-in.
func enterTimeWait(t *testing.T) (*conn, TimeWait) {
	c := established(t, nil, timeWaitOpts())
	require.NoError(t, c.tcb.CloseWrite(c.now))
	c.want("FIN", seg{flags: FIN | ACK, seq: 1, ack: 1})
	c.in(seg{flags: FIN | ACK, seq: 1, ack: 2, opts: Options{HasTS: true, TSVal: 1010}})
	c.want("ACK", seg{flags: ACK, seq: 2, ack: 2})
	c.wantState(StateTimeWait)
	require.NotZero(t, c.tcb.TakeEvents()&EvTimeWait)
	var w TimeWait
	c.tcb.TimeWait(&w)
	require.Equal(t, StateClosed, c.tcb.State())
	require.Zero(t, c.tcb.TakeEvents())
	require.Equal(t, Never, c.tcb.Deadline())
	return c, w
}

// TestTimeWait: MUST-13, MAY-2, SHLD-4.
func TestTimeWait(t *testing.T) {
	enter := enterTimeWait
	syn := func(seq int, ts uint32) *Segment {
		return &Segment{Seq: peerISS + Seq(seq), Flags: SYN, Wnd: 100, Opts: Options{HasTS: ts != 0, TSVal: ts}}
	}

	t.Run("lasts 2 MSL, anew with each FIN", func(t *testing.T) {
		c, w := enter(t)
		require.Equal(t, c.now+time.Minute, w.Deadline())
		require.Equal(t, StateTimeWait, w.State())
		c.now += 30 * time.Second
		fin := Segment{Seq: peerISS + 1, Ack: connISS + 2, Flags: FIN | ACK, Opts: Options{HasTS: true, TSVal: 1020}}
		var out Segment
		v, _ := w.Input(c.now, c.tcb.env.stats, &fin, &out)
		require.Equal(t, Reply, v)
		require.Equal(t, ACK, out.Flags)
		require.Equal(t, peerISS+2, out.Ack)
		require.Equal(t, connISS+2, out.Seq)
		require.Equal(t, CauseTimeWait, out.Cause)
		require.Equal(t, c.now+time.Minute, w.Deadline())
	})
	t.Run("a later SYN begins a new connection", func(t *testing.T) {
		c, w := enter(t)
		var out Segment
		v, iss := w.Input(c.now, c.tcb.env.stats, syn(100, 0), &out)
		require.Equal(t, Recycle, v)
		require.True(t, iss.After(connISS.Add(65535)), "beyond all numbers of the old connection")
	})
	t.Run("timestamps make any sequence number good", func(t *testing.T) {
		c, w := enter(t)
		var out Segment
		v, _ := w.Input(c.now, c.tcb.env.stats, syn(-5000, 2000), &out)
		require.Equal(t, Recycle, v)
	})
	t.Run("an old SYN does not", func(t *testing.T) {
		c, w := enter(t)
		var out Segment
		v, _ := w.Input(c.now, c.tcb.env.stats, syn(-5000, 500), &out)
		require.Equal(t, Reply, v)
		require.Equal(t, ACK, out.Flags)
		v, _ = w.Input(c.now, c.tcb.env.stats, syn(-5000, 500), &out)
		require.Equal(t, Drop, v, "answers are limited")
	})
}

// TestTimeWaitEnds: how TIME-WAIT ends before its time, and without a stand-in.
func TestTimeWaitEnds(t *testing.T) {
	o, enter := timeWaitOpts(), enterTimeWait
	t.Run("RFC 1337", func(t *testing.T) {
		c, w := enter(t)
		var out Segment
		rst := &Segment{Seq: peerISS + 2, Flags: RST}
		v, _ := w.Input(c.now, c.tcb.env.stats, rst, &out)
		require.Equal(t, Dead, v, "Linux lets a reset end TIME-WAIT")
		c = established(t, &Config{RFC1337: On}, o)
		require.NoError(t, c.tcb.CloseWrite(c.now))
		c.next()
		c.in(seg{flags: FIN | ACK, seq: 1, ack: 2})
		c.next()
		c.tcb.TimeWait(&w)
		v, _ = w.Input(c.now, c.tcb.env.stats, rst, &out)
		require.Equal(t, Drop, v, "unless tcp_rfc1337 is on")
	})
	t.Run("reuse by connect", func(t *testing.T) {
		c, w := enter(t)
		var p Params
		require.False(t, w.Reusable(c.now, time.Second, &p), "too early")
		require.True(t, w.Reusable(c.now+1001*time.Millisecond, time.Second, &p))
		require.True(t, p.HasTSRecnt)
		require.Equal(t, uint32(1010), p.TSRecent)
		require.True(t, p.ISS.After(connISS.Add(65535)))
	})
	t.Run("without a stand-in", func(t *testing.T) {
		c := established(t, nil, o)
		require.NoError(t, c.tcb.CloseWrite(c.now))
		c.next()
		c.in(seg{flags: FIN | ACK, seq: 1, ack: 2})
		c.want("ACK", seg{flags: ACK, seq: 2, ack: 2})
		c.now += 30 * time.Second
		c.in(seg{flags: FIN | ACK, seq: 1, ack: 2})
		c.wantCause("ACK again", seg{flags: ACK, seq: 2, ack: 2}, CauseTimeWait)
		require.Equal(t, time.Minute, c.timer())
		c.wantState(StateClosed)
		require.NoError(t, c.tcb.Err())
	})
}

// TestOrphans: what happens after close when the peer does not.
func TestOrphans(t *testing.T) {
	t.Run("FIN-WAIT-2 ends", func(t *testing.T) {
		c := established(t, nil, synOpts)
		c.tcb.Close(c.now)
		c.want("FIN", seg{flags: FIN | ACK, seq: 1, ack: 1})
		c.in(seg{flags: ACK, seq: 1, ack: 2})
		c.wantState(StateFinWait2)
		require.NotZero(t, c.tcb.TakeEvents()&EvTimeWait, "a stand-in will do")
		require.Equal(t, 60*time.Second, c.timer(), "tcp_fin_timeout")
		c.wantState(StateClosed)
	})
	t.Run("negative TCP_LINGER2 resets", func(t *testing.T) {
		c := established(t, nil, synOpts)
		c.tcb.SetLinger2(-1)
		c.tcb.Close(c.now)
		c.want("FIN", seg{flags: FIN | ACK, seq: 1, ack: 1})
		c.in(seg{flags: ACK, seq: 1, ack: 2})
		c.want("RST", seg{flags: RST, seq: 2})
		c.wantState(StateClosed)
		require.Equal(t, uint64(1), c.stats.TCPAbortOnLinger.Load())

		c = established(t, nil, synOpts)
		c.tcb.SetLinger2(-1)
		require.NoError(t, c.tcb.CloseWrite(c.now))
		c.next()
		c.in(seg{flags: ACK, seq: 1, ack: 2})
		c.wantState(StateFinWait2)
		c.tcb.Close(c.now)
		c.want("RST", seg{flags: RST | ACK, seq: 2, ack: 1})
	})
	t.Run("new data after close is answered with a reset", func(t *testing.T) {
		c := established(t, nil, synOpts)
		c.tcb.Close(c.now)
		c.want("FIN", seg{flags: FIN | ACK, seq: 1, ack: 1})
		c.in(seg{flags: ACK, seq: 1, ack: 2, len: 100})
		c.want("RST", seg{flags: RST, seq: 2})
		c.wantState(StateClosed)
		require.Equal(t, uint64(1), c.stats.TCPAbortOnData.Load())
	})
	t.Run("retries are fewer", func(t *testing.T) {
		c := established(t, nil, synOpts)
		start := c.now
		c.tcb.Close(c.now)
		c.want("FIN", seg{flags: FIN | ACK, seq: 1, ack: 1})
		for c.tcb.State() != StateClosed {
			c.timer()
			c.next()
		}
		require.Greater(t, c.now-start, 100*time.Second)
		require.Less(t, c.now-start, 300*time.Second)
		require.Equal(t, ErrTimeout, c.tcb.Err())
	})
	t.Run("closed window", func(t *testing.T) {
		c := established(t, nil, synOpts)
		c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: -1})
		c.write(100)
		c.tcb.Close(c.now)
		c.wantIdle("the window is closed")
		for n := 0; c.tcb.State() != StateClosed; n++ {
			require.Less(t, n, 100)
			c.timer()
			if _, ok := c.next(); ok {
				c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: -1})
			}
		}
		require.Equal(t, ErrTimeout, c.tcb.Err(), "an orphan does not wait for ever, even if probes are answered")
	})
}

// TestOrphanLimit: the stack looks after so many orphans and no more (tcp_max_orphans); what waits for nobody but the
// peer's FIN or old segments is none.
func TestOrphanLimit(t *testing.T) {
	cfg := &Config{MaxOrphans: -1}
	c := established(t, cfg, synOpts)
	c.write(10)
	c.next()
	c.tcb.Close(c.now)
	c.want("RST", seg{flags: RST | ACK, seq: 11, ack: 1})
	c.wantState(StateClosed)
	require.Equal(t, uint64(1), c.stats.TCPAbortOnMemory.Load())
	require.Zero(t, c.stats.Orphans())

	cfg = &Config{MaxOrphans: 1}
	c = established(t, cfg, synOpts)
	c.tcb.Close(c.now)
	c.want("FIN", seg{flags: FIN | ACK, seq: 1, ack: 1})
	require.Equal(t, 1, c.stats.Orphans())
	c.tcb.Close(c.now)
	require.Equal(t, 1, c.stats.Orphans(), "closed already")
	c.in(seg{flags: ACK, seq: 1, ack: 2})
	c.wantState(StateFinWait2)
	require.Zero(t, c.stats.Orphans())

	c = established(t, cfg, synOpts)
	c.in(seg{flags: FIN | ACK, seq: 1, ack: 1})
	c.next()
	c.tcb.Close(c.now)
	c.wantState(StateLastAck)
	c.next()
	require.Equal(t, 1, c.stats.Orphans())
	c.in(seg{flags: ACK, seq: 2, ack: 2})
	c.wantState(StateClosed)
	require.Zero(t, c.stats.Orphans())
}

// TestOrphanFinWait2StandIn: the stand-in in FIN-WAIT-2.
func TestOrphanFinWait2StandIn(t *testing.T) {
	enter := func() (*conn, TimeWait) {
		c := established(t, nil, synOpts)
		c.tcb.Close(c.now)
		c.want("FIN", seg{flags: FIN | ACK, seq: 1, ack: 1})
		c.in(seg{flags: ACK, seq: 1, ack: 2})
		var w TimeWait
		c.tcb.TimeWait(&w)
		require.Equal(t, StateFinWait2, w.State())
		return c, w
	}
	for _, k := range []struct {
		name  string
		in    Segment
		v     Verdict
		flags Flags
		state State
	}{
		{"FIN", Segment{Seq: peerISS + 1, Flags: FIN | ACK}, Reply, ACK, StateTimeWait},
		{"data", Segment{Seq: peerISS + 1, Flags: ACK, Payload: Payload{N: 1}}, DeadReply, RST, StateFinWait2},
		{"RST", Segment{Seq: peerISS + 1, Flags: RST}, Dead, 0, StateFinWait2},
		{"ACK", Segment{Seq: peerISS + 1, Flags: ACK}, Drop, 0, StateFinWait2},
		{"out of window", Segment{Seq: peerISS - 100, Flags: ACK}, Reply, ACK, StateFinWait2},
		{"SYN", Segment{Seq: peerISS + 1, Flags: SYN}, DeadReply, RST | ACK, StateFinWait2},
	} {
		t.Run(k.name, func(t *testing.T) {
			c, w := enter()
			k.in.Ack = connISS + 2
			var out Segment
			v, _ := w.Input(c.now, c.tcb.env.stats, &k.in, &out)
			require.Equal(t, k.v, v)
			require.Equal(t, k.flags, out.Flags)
			require.Equal(t, k.state, w.State())
		})
	}
}

// TestHalfClose: MAY-1 and the rest: the other direction goes on.
func TestHalfClose(t *testing.T) {
	c := established(t, nil, synOpts)
	require.NoError(t, c.tcb.CloseWrite(c.now))
	require.NoError(t, c.tcb.CloseWrite(c.now), "as long as a second FIN is not emitted")
	c.want("FIN", seg{flags: FIN | ACK, seq: 1, ack: 1})
	c.wantIdle("one")
	require.Zero(t, c.tcb.Write(c.now, []byte{1}))
	c.in(seg{flags: ACK, seq: 1, ack: 2})
	c.wantState(StateFinWait2)
	c.in(seg{flags: ACK, seq: 1, ack: 2, len: 1000})
	c.want("still received", seg{flags: ACK, seq: 2, ack: 1001})
	require.Equal(t, 1000, c.tcb.Read(c.now, make([]byte, 2000)))
	require.False(t, c.tcb.ReadEOF())
	require.False(t, c.tcb.PeerClosed())
	c.in(seg{flags: FIN | ACK, seq: 1001, ack: 2})
	require.True(t, c.tcb.ReadEOF())
	require.True(t, c.tcb.PeerClosed())
	c.want("ACK", seg{flags: ACK, seq: 2, ack: 1002})
	require.Equal(t, ErrNotConnected, c.tcb.CloseWrite(c.now))
}

func TestCloseRead(t *testing.T) {
	c := established(t, nil, synOpts)
	c.in(seg{flags: ACK, seq: 1, ack: 1, len: 10})
	c.next()
	require.NoError(t, c.tcb.CloseRead(c.now))
	require.False(t, c.tcb.ReadEOF(), "what is pending first")
	require.Equal(t, 10, c.tcb.Read(c.now, make([]byte, 100)))
	require.True(t, c.tcb.ReadEOF())
	c.in(seg{flags: ACK, seq: 11, ack: 1, len: 10})
	require.False(t, c.tcb.ReadEOF(), "later data still arrives")
	require.Equal(t, 10, c.tcb.Read(c.now, make([]byte, 100)))
}

// TestClosedAnswersWithReset: RFC 9293 §3.10.7.1.
func TestClosedAnswersWithReset(t *testing.T) {
	var e TCB
	var out Segment
	e.Input(0, &Segment{Seq: 10, Flags: SYN, Payload: Payload{N: 5}})
	require.True(t, e.Output(0, &out))
	require.Equal(t, RST|ACK, out.Flags)
	require.Equal(t, Seq(16), out.Ack)
	e.Input(0, &Segment{Seq: 10, Ack: 77, Flags: ACK})
	require.True(t, e.Output(0, &out))
	require.Equal(t, RST, out.Flags)
	require.Equal(t, Seq(77), out.Seq)
	e.Input(0, &Segment{Seq: 10, Ack: 77, Flags: ACK | RST})
	require.False(t, e.Output(0, &out))
	require.Equal(t, StateClosed, e.State())
	require.NoError(t, e.Err())
	require.NoError(t, e.SoftErr())
	e.Close(0)
	e.Timeout(0)
	e.Release()
	require.Equal(t, Never, e.Deadline())
	require.Zero(t, e.Read(0, make([]byte, 1)))
	require.Zero(t, e.Write(0, make([]byte, 1)))
	require.False(t, e.NeedsOutput())
}

// TestQueuesGoBack: a connection that ends keeps no memory of its queues, whatever it still had to send.
func TestQueuesGoBack(t *testing.T) {
	sending := func(t *testing.T) *conn {
		c := established(t, &Config{Retries2: 1}, synOpts)
		c.write(3000)
		for _, more := c.next(); more; _, more = c.next() {
		}
		require.NotNil(t, c.tcb.x)
		return c
	}
	t.Run("reset by the peer", func(t *testing.T) {
		c := sending(t)
		c.in(seg{flags: RST, seq: 1})
		require.Equal(t, StateClosed, c.tcb.State())
		require.Nil(t, c.tcb.x)
	})
	t.Run("timed out", func(t *testing.T) {
		c := sending(t)
		for c.tcb.State() != StateClosed {
			c.timer()
			c.next()
		}
		require.Equal(t, ErrTimeout, c.tcb.Err())
		require.Nil(t, c.tcb.x)
	})
	t.Run("released", func(t *testing.T) {
		c := sending(t)
		c.tcb.Release()
		require.Nil(t, c.tcb.x)
	})
	t.Run("aborted", func(t *testing.T) {
		c := sending(t)
		c.tcb.Abort(c.now)
		require.Zero(t, c.tcb.Unsent()+c.tcb.Unacked())
		c.tcb.Release()
		require.Nil(t, c.tcb.x)
	})
	t.Run("closed in turn", func(t *testing.T) {
		c := sending(t)
		c.tcb.Close(c.now)
		c.next()
		c.in(seg{flags: ACK, seq: 1, ack: 3002})
		c.in(seg{flags: FIN | ACK, seq: 1, ack: 3002})
		require.Equal(t, StateTimeWait, c.tcb.State())
		require.Nil(t, c.tcb.x)
	})
	t.Run("an orphan of which only the peer's end is left", func(t *testing.T) {
		c := sending(t)
		c.tcb.Close(c.now)
		c.next()
		c.in(seg{flags: ACK, seq: 1, ack: 3002})
		require.Equal(t, StateFinWait2, c.tcb.State())
		require.Nil(t, c.tcb.x, "nothing is left for TimeWait to give back")
	})
}
