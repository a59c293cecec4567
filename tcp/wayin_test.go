package tcp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// talk is a dialogue, a millisecond a question or an answer, without a wire between the two.
type talk struct {
	*pipe
	take   bool // by TakeLone, where that is allowed
	input  bool // by Input nevertheless
	keep   bool // nobody waits for what is said, but reads it later
	spares Spares
	known  [2]bool // an Input or TakeLone has told that it is
	taken  int
	turn   int
}

// newTalk returns one that has gone on for a while: no quick ACKs are left, and figures are not written down.
func newTalk(t *testing.T, take bool) *talk {
	w := &talk{pipe: newPipe(t), take: take}
	w.mtu = 16436
	w.connect()
	w.a.env.full = !take
	for range 40 {
		w.say(50)
	}
	require.Equal(t, take, w.a.lonesIn > 1 && w.b.lonesIn > 1)
	from, _ := w.ends()
	require.True(t, from.LoneSteady(50))
	return w
}

// ends are who writes next, and who reads then.
func (w *talk) ends() (from, to *TCB) { return w.end(w.turn%2 == 1), w.end(w.turn%2 == 0) }

// lone returns n bytes from who writes next.
func (w *talk) lone(n int) (h [TSHeaderLen]byte, s Segment) {
	from, _ := w.ends()
	if !w.take {
		require.Equal(w.t, n, from.Write(w.now, make([]byte, n)))
		require.True(w.t, from.Output(w.now, &s))
		require.False(w.t, from.Output(w.now, new(Segment)))
	} else {
		require.True(w.t, from.Lone(n))
		s = sendLone(w.t, w.now, from, make([]byte, n), smallText)
	}
	s.Payload = s.Payload.copied(&w.alloc)
	s.MarshalHeader(h[:])
	return h, s
}

// say sends n bytes to a user who waits for them.
func (w *talk) say(n int) {
	w.now += time.Millisecond
	h, s := w.lone(n)
	from, to := w.ends()
	w.turn++
	known := &w.known[w.turn%2]
	defer s.Payload.Release()
	var into []byte
	if !w.keep {
		into = make([]byte, n)
	}
	if w.take && !w.input && (*known || to.Dialogue()) {
		if got, _ := to.TakeLone(w.now, &h, s.Payload.Pieces[0].B, into, &w.spares); got > 0 {
			require.Equal(w.t, n, got)
			*known = !w.keep
			w.taken++
			return
		}
	}
	s.Into = into
	to.Input(w.now, &s)
	require.Equal(w.t, len(into), s.Taken)
	for ack := new(Segment); to.Output(w.now, ack); {
		require.Zero(w.t, ack.Payload.N)
		from.Input(w.now, ack)
	}
	to.TakeEvents()
	from.TakeEvents()
	*known = false
}

// read is the user's, who comes back to read n bytes that were kept for him, and answers at once.
func (w *talk) read(n int) {
	reader, _ := w.ends()
	require.Equal(w.t, n, reader.Readable())
	if reader.Kept() {
		require.Equal(w.t, n, reader.ReadKept(w.now, make([]byte, n+1)))
		require.False(w.t, reader.NeedsOutput())
	} else {
		require.Equal(w.t, n, reader.Read(w.now, make([]byte, n+1)))
	}
}

// state is all of e but where it lies, and who counts its segments.
func state(e *TCB) string {
	keep := unfolded(e)
	keep.total.una, keep.edge.got = 0, 0
	queue := keep.txq()
	apart := fmt.Sprintf("%+v %+v %+v %v", e.rec, e.ooo, e.opt, e.x == nil)
	keep.env, keep.x, keep.extra, keep.keep, keep.rec, keep.ooo, keep.opt = nil, nil, nil, nil, nil, nil, nil
	return fmt.Sprintf("%+v queue %+v %s", *keep, queue, apart)
}

// unfolded is a copy of e with its queues as they would be if somebody looked, which changes nothing of e.
func unfolded(e *TCB) *TCB {
	keep := *e
	if e.x != nil {
		x := *e.x
		keep.x, keep.env = &x, newEnv(&Params{Config: e.env.cfg}) // with an Allocator of its own
		keep.queues()
	}
	return &keep
}

// TestTakeLoneIsInput: what TakeLone learns from an answer is what Input does, without short cuts and with its own.
func TestTakeLoneIsInput(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int
		do   func(e *TCB)
		long bool // not by TakeLone
		wait time.Duration
	}{
		{"the ordinary", 50, nil, false, 0},
		{"longer", smallText + 1, nil, false, 0},
		{"the longest", surelyShort - 1, nil, false, 0},
		{"there were errors", 50, func(e *TCB) { e.softErr, e.probesOut, e.backoff = ErrTimeout, 3, 2 }, false, 0},
		{"the window was never as large", 50, func(e *TCB) { e.snd.wnd, e.maxWnd = 10_000, 10_000 }, false, 0},
		{"the window is the limit", 50, func(e *TCB) { e.unfold(); e.cong.Cwnd = 1 }, true, 0},
		{"congestion control is at work", 50, func(e *TCB) { e.algorithm() }, false, 0},
		{"an odd one came before", 50, func(e *TCB) { e.lastSeg = 700 }, false, 0},
		{"our window still grows", 200, func(e *TCB) { e.rwin.ssthresh = e.rwin.clamp * 3 / 4 }, false, 0},
		{"round trips were longer", 50, func(e *TCB) { e.minRTT.curr = time.Second }, false, 0},
		{"the window may become much larger", 50, func(e *TCB) { e.rwin.clamp = 8 << 20 }, false, 0},
		{"full segments came before", 50, func(e *TCB) { e.rcvRTT, e.drs.space = 8, 5000 }, false, 0},
		{"full segments came in the same round trip", 50, func(e *TCB) { e.rcvRTT, e.drs.space = 1<<30, 5000 }, false, 0},
		{"RACK has seen no progress", 50, func(e *TCB) { e.rackFlags = 0 }, false, 0},
		{"sent with another", 50, func(e *TCB) { e.rackSent, e.rack.nth = e.lastSend, e.total.segsIn }, false, 0},
		{"after a pause", 50, nil, true, 60 * time.Millisecond},
		{"after a timeout", 50, nil, true, 500 * time.Millisecond},
		{"the window went unused", 50, func(e *TCB) { e.unfold(); e.cong.Cwnd = 30 }, true, 500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			looked := false // at figures, now and then, which changes nothing
			look := func(ends ...*TCB) {
				for _, e := range ends {
					if looked {
						e.Deadline()
					}
				}
			}
			follow := func(take, input, keep bool) (all []string) {
				w := newTalk(t, take)
				w.input, w.keep = input, keep
				var log eventLog
				w.a.env.observer = &log
				for range 6 {
					from, to := w.ends()
					if tt.do != nil {
						tt.do(to)
					}
					taken := w.taken
					w.now += tt.wait
					w.say(tt.n)
					if take && !input {
						require.Equal(t, !tt.long, w.taken > taken)
					}
					all = append(all, state(to), state(from))
					look(to, from)
					if keep {
						w.read(tt.n)
						all = append(all, state(to))
						look(to)
					}
					if to.alg() != nil {
						all = append(all, fmt.Sprintf("%+v", to.alg()))
					}
				}
				for _, e := range log.events {
					if e.Kind == EventRTT {
						all = append(all, fmt.Sprintf("%+v", e))
					}
				}
				return all
			}
			for _, keep := range []bool{false, true} {
				want := follow(false, true, keep)
				for _, looked = range []bool{false, true} {
					require.Equal(t, want, follow(true, false, keep), "kept %v, looked at %v", keep, looked)
					require.Equal(t, want, follow(true, true, keep), "Input's own short cut, kept %v, looked at %v", keep, looked)
				}
			}
		})
	}
}

// TestTakenTransfer: what a question needed is there for the answer, and given back when the ACK leaves alone.
func TestTakenTransfer(t *testing.T) {
	for i := range 8 {
		large, bare, n := i&1 != 0, i&2 != 0, []int{50, smallText + 1}[i/4]
		t.Run(fmt.Sprintf("%d bytes, large %v, bare %v", n, large, bare), func(t *testing.T) {
			w := newTalk(t, true)
			w.say(n)
			w.now += time.Millisecond
			h, s := w.lone(n)
			_, e := w.ends()
			x := e.x
			x.rcv.private = true
			if large {
				x.rcv.pieces.room(make([]Piece, queueKeep+1))
			}
			w.spares = Spares{}
			taken, due := e.TakeLone(w.now, &h, s.Payload.Pieces[0].B, make([]byte, n), &w.spares)
			require.Equal(t, n, taken)
			require.Same(t, x, e.x)
			require.Zero(t, w.spares.n)
			require.Zero(t, x.rtx.len()+x.snd.chunks.len()+x.rcv.pieces.len())
			e.Timeout(due)
			if bare {
				require.True(t, e.LoneAck())
				e.SendAck(due, new([TSHeaderLen]byte), 0, &w.spares)
			} else {
				out := Segment{Spares: &w.spares}
				require.True(t, e.Output(due, &out))
				require.Zero(t, out.Payload.N)
			}
			require.Nil(t, e.x)
			require.Same(t, x, w.spares.first)
			require.False(t, x.rcv.private)
			require.True(t, x.modest())
		})
	}
}

// TestReleaseGivesTransferBack: also when an ACK is owed, which will never be sent.
func TestReleaseGivesTransferBack(t *testing.T) {
	for _, end := range []func(*talk, *TCB){
		func(_ *talk, e *TCB) { e.Release() },
		func(w *talk, e *TCB) { e.Abort(w.now); e.Release() },
	} {
		w := newTalk(t, true)
		w.now += time.Millisecond
		h, s := w.lone(50)
		_, e := w.ends()
		_, _ = e.TakeLone(w.now, &h, s.Payload.Pieces[0].B, make([]byte, 50), &w.spares)
		require.NotNil(t, e.x)
		end(w, e)
		require.Nil(t, e.x)
	}
}

// TestTextInSmall: text that nobody waits for stays where it was copied to until it is read, or somebody writes before he reads.
func TestTextInSmall(t *testing.T) {
	for _, tt := range []struct {
		name  string
		n     int
		small bool // it has room beside the queues
		write bool // an answer, before the question is read
		apart bool // by ReadKept
	}{
		{"read", 50, true, false, false},
		{"read at once", 50, true, false, true},
		{"the longest", smallText, true, false, false},
		{"too long", smallText + 1, false, false, true},
		{"answered first", 50, true, true, true},
		{"too long, answered first", smallText + 1, false, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTalk(t, true)
			w.now += time.Millisecond
			h, s := w.lone(tt.n)
			s.Payload.Release()
			_, e := w.ends()
			x, text := e.x, bytes.Repeat([]byte("?"), tt.n)
			require.True(t, e.Dialogue())
			before := w.alloc.out
			taken, _ := e.TakeLone(w.now, &h, text, nil, &w.spares)
			require.Equal(t, tt.n, taken)
			require.Equal(t, tt.small, e.Kept())
			require.Equal(t, tt.small, w.alloc.out == before)
			require.Equal(t, tt.n, e.Readable())
			binary.BigEndian.PutUint32(h[offSeq:], uint32(e.rcv.nxt))
			again, _ := e.TakeLone(w.now, &h, text, nil, &w.spares)
			require.Zero(t, again, "one more is for Input")
			require.Equal(t, !tt.small, e.LoneSteady(3))
			if tt.write {
				require.True(t, e.Lone(3))
				sendLone(t, w.now, e, []byte("yes"), 3)
				require.Equal(t, "yes", string(x.small[:3]))
				require.False(t, e.Kept())
				require.Equal(t, before+1, w.alloc.out)
			}
			got := make([]byte, tt.n+1)
			require.Zero(t, e.ReadKept(w.now, got[:tt.n-1]))
			if e.Kept() && tt.apart {
				require.Equal(t, tt.n, e.ReadKept(w.now, got))
			} else {
				require.Equal(t, tt.n, e.Read(w.now, got))
			}
			require.Equal(t, text, got[:tt.n])
			require.Zero(t, e.Readable())
			require.False(t, e.Kept())
			require.Equal(t, before, w.alloc.out)
			require.Same(t, x, e.x, "it is needed for the answer, or for what is outstanding")
		})
	}
}

// TestNotTaken: what TakeLone leaves to Input, untouched.
func TestNotTaken(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int // 0: 50
		room int // 0: enough, -1: none
		do   func(w *talk, e *TCB, s *Segment)
		want bool
	}{
		{name: "the ordinary", want: true},
		{name: "not the next", do: func(_ *talk, _ *TCB, s *Segment) { s.Seq++ }},
		{name: "a repetition", do: func(_ *talk, _ *TCB, s *Segment) { s.Seq-- }},
		{name: "an older timestamp", do: func(_ *talk, _ *TCB, s *Segment) { s.Opts.TSVal -= 10_000 }},
		{name: "no timestamp to compare with", do: func(_ *talk, e *TCB, _ *Segment) { e.tsRecent = 0 }},
		{name: "it acknowledges less", do: func(_ *talk, _ *TCB, s *Segment) { s.Ack-- }},
		{name: "nothing is outstanding", do: func(w *talk, e *TCB, s *Segment) {
			ack := Segment{Flags: ACK, Seq: s.Seq, Ack: s.Ack, Wnd: s.Wnd, Opts: s.Opts}
			e.Input(w.now, &ack)
		}},
		{name: "more is outstanding", do: func(w *talk, e *TCB, _ *Segment) {
			e.SetNoDelay(true)
			e.Write(w.now, make([]byte, 10))
			require.True(w.t, e.Output(w.now, new(Segment)))
		}},
		{name: "just enough room", room: 50, want: true},
		{name: "nobody waits", room: -1, want: true},
		{name: "little room", room: 49},
		{name: "small segments are full", do: func(_ *talk, e *TCB, _ *Segment) { e.rwin.mss = 50 }},
		{name: "almost full", do: func(_ *talk, e *TCB, _ *Segment) { e.rwin.mss = 51 }, want: true},
		{name: "after a while", do: func(w *talk, e *TCB, _ *Segment) { w.now = e.lastRecv + e.env.cfg.DelackMin/2 }, want: true},
		{name: "a long while after text, but not after an ACK", do: func(w *talk, e *TCB, _ *Segment) {
			e.tally()
			e.lastData -= e.env.cfg.DelackMin
		}},
		{name: "after a long while", do: func(w *talk, e *TCB, _ *Segment) { w.now = e.lastRecv + e.env.cfg.DelackMin/2 + 1 }},
		{name: "more than the window", do: func(_ *talk, e *TCB, _ *Segment) { e.rcv.wnd, e.rwin.clamp = 49, 0 }},
		{name: "the window is half closed", do: func(_ *talk, e *TCB, _ *Segment) {
			e.rcv.wnd, e.rwin.clamp, e.rwin.ssthresh = 64<<10+50, 128<<10, 128<<10
		}},
		{name: "it would be if it were larger", do: func(_ *talk, e *TCB, _ *Segment) {
			e.rcv.wnd, e.rwin.clamp, e.rwin.ssthresh = 64<<10+50, 128<<10, 128<<10-1<<e.rwin.scale
		}, want: true},
		{name: "more than in the best round trip", do: func(_ *talk, e *TCB, _ *Segment) { e.rcvRTT, e.drs = 8, rcvSpace{seq: e.rcv.read, space: 49} }},
		{name: "as much", do: func(_ *talk, e *TCB, _ *Segment) { e.rcvRTT, e.drs = 8, rcvSpace{seq: e.rcv.read, space: 50} }, want: true},
		{name: "it may grow far", do: func(_ *talk, e *TCB, _ *Segment) { e.rwin.clamp = 8 << 20 }, n: 127, want: true},
		{name: "it grows", do: func(_ *talk, e *TCB, _ *Segment) { e.rwin.clamp = 8 << 20 }, n: 128},
		{name: "almost", do: func(_ *talk, e *TCB, _ *Segment) { e.rwin.clamp = 2*(e.rcv.wnd-50) - 1 }, want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTalk(t, true)
			w.now += time.Millisecond
			if tt.n == 0 {
				tt.n = 50
			}
			_, s := w.lone(tt.n)
			_, e := w.ends()
			require.True(t, e.Dialogue())
			if tt.do != nil {
				tt.do(w, e, &s)
			}
			var h [TSHeaderLen]byte
			s.MarshalHeader(h[:])
			into := make([]byte, 200)
			if tt.room > 0 {
				into = into[:tt.room]
			} else if tt.room < 0 {
				into = nil
			}
			before := state(e)
			n, due := e.TakeLone(w.now, &h, s.Payload.Pieces[0].B, into, &w.spares)
			if tt.want {
				require.Equal(t, tt.n, n)
				require.Equal(t, e.Deadline(), due)
				if into == nil {
					s.Payload.Pieces[0].B[0] = 0xa5 // its memory is used again
					got := make([]byte, 100)
					require.Equal(t, 50, e.Read(w.now, got))
					require.Zero(t, got[0])
				}
				return
			}
			require.Zero(t, n)
			require.Zero(t, due)
			require.Equal(t, before, state(e))
		})
	}
}

// TestDialogue: what is not one, though nobody has said so.
func TestDialogue(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(w *talk, e *TCB)
		want bool
	}{
		{name: "the ordinary", want: true},
		{name: "nothing is outstanding", do: func(w *talk, e *TCB) { e.flushSend() }},
		{name: "more is outstanding", do: func(w *talk, e *TCB) {
			e.SetNoDelay(true)
			e.Write(w.now, make([]byte, 10))
			require.True(w.t, e.Output(w.now, new(Segment)))
		}},
		{name: "it was sent again", do: func(_ *talk, e *TCB) { e.txq()[0].marks |= markRetrans }},
		{name: "more is to be sent", do: func(w *talk, e *TCB) { e.Write(w.now, make([]byte, 10)) }},
		{name: "corked", do: func(_ *talk, e *TCB) { e.SetCork(true) }},
		{name: "the user has not read all", do: func(_ *talk, e *TCB) {
			e.x.rcv.append(e.env.alloc, &Payload{Pieces: [2]Piece{{B: []byte{1}}}, N: 1, Lent: true})
		}},
		{name: "memory is accounted for", do: func(_ *talk, e *TCB) { e.needExtra().wire = new(wireBufs) }},
		{name: "the user is not used to answer", do: func(_ *talk, e *TCB) { e.ack.pingpong = uint8(e.env.cfg.PingpongThr) - 1 }},
		{name: "just used to it", do: func(_ *talk, e *TCB) { e.ack.pingpong = uint8(e.env.cfg.PingpongThr) }, want: true},
		{name: "an ACK is owed", do: func(_ *talk, e *TCB) { e.ack.schedule() }},
		{name: "an ACK waits", do: func(w *talk, e *TCB) { e.timers.left[slotAck] = Never - w.now }},
		{name: "no delay is known", do: func(_ *talk, e *TCB) { e.ack.ato = 0 }},
		{name: "the delay is long", do: func(_ *talk, e *TCB) { e.ack.ato = e.env.cfg.DelackMin + 1 }},
		{name: "no short cuts", do: func(_ *talk, e *TCB) { e.env.full = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTalk(t, true)
			w.now += time.Millisecond
			w.lone(50)
			_, e := w.ends()
			if tt.do != nil {
				tt.do(w, e)
			}
			require.Equal(t, tt.want, e.Dialogue())
		})
	}
}

// takeLone is what an owner does who sees that s was made by SendLone; every third time he does not.
func (p *pipe) takeLone(e *TCB, s *Segment) bool {
	text := s.Payload.Pieces[0].B
	if !p.into || p.steps%3 == 0 || s.Flags != PSH|ACK || !s.TSOnly() || s.Payload.N == 0 || len(text) != s.Payload.N || p.steady[e] == 0 && !e.Dialogue() {
		return false
	}
	var b [TSHeaderLen]byte
	require.Equal(p.t, TSHeaderLen, s.MarshalHeader(b[:]))
	before, spares := fmt.Sprintf("%+v", *e), Spares{}
	into := s.Into
	n, due := e.TakeLone(p.now, &b, text, into, &spares)
	if n == 0 {
		require.Equal(p.t, before, fmt.Sprintf("%+v", *e), p.log())
		require.Zero(p.t, spares.In+spares.Out+uint64(due))
		return false
	}
	require.Len(p.t, text, n)
	require.Equal(p.t, Spares{In: 1}, spares)
	if s.Steady = into != nil; !s.Steady {
		require.Equal(p.t, n, e.Readable())
		p.kept++
	} else {
		require.Equal(p.t, text, into[:n])
		s.Taken = n
	}
	require.GreaterOrEqual(p.t, due, e.Deadline(), p.log())
	require.Equal(p.t, due, Never-e.timers.left[slotAck])
	e.env.stats.InSegs.add(e.localPort)
	p.taken++
	return true
}
