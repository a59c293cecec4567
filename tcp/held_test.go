package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestInputHeldIsInput: what InputHeld and InputBorrowed learn from a segment, or from several in one, is what Input does; when to acknowledge is
// left for later.
func TestInputHeldIsInput(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(b *TCB)
	}{
		{"the ordinary", func(b *TCB) {}},
		{"the peer's segments seemed smaller", func(b *TCB) { b.rwin.mss = 1000 }},
		{"and larger", func(b *TCB) { b.rwin.mss = 20_000 }},
		{"an odd one came before", func(b *TCB) { b.lastSeg = 1000 }},
		{"the window still grows", func(b *TCB) { b.rwin.ssthresh = b.rwin.clamp / 2 }},
		{"no delay is known", func(b *TCB) { b.ack.ato = 0 }},
		{"text comes seldom", func(b *TCB) { b.lastData -= 30 * time.Millisecond }},
		{"a round trip is known", func(b *TCB) { b.rcvRTT = 80_000 }},
		{"an answer was sent", func(b *TCB) { b.ack.pingpong = 3 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			taken := 0
			const input, held, borrowed = 0, 1, 2
			state := func(how, room int) (all []string) {
				p := newRun(t)
				a, b := &p.a, &p.b
				params := p.params(hostB, hostA, p.cfgB, 0)
				params.Stats = new(Stats)
				b.env = newEnv(params) // a's does not change
				b.env.full = how == input
				b.flags |= fRcvLocked // so that its buffer stays as large as it is
				b.rwin.ssthresh = b.rwin.clamp
				tt.do(b)
				for round := range 4 {
					p.now += 3 * time.Millisecond
					text := make([]byte, 5*a.SendMSS()-500*round)
					require.True(t, a.MayLend(len(text)))
					a.Lend(p.now, text, false, nil)
					require.True(t, a.LoneRun())
					into := make([]byte, len(text))
					got := 0
					take := func(s *Segment, segs int) bool {
						if how == borrowed {
							return b.InputBorrowed(p.now, s, segs)
						}
						ok := b.InputHeld(p.now, s, segs, len(into[got:]))
						if ok {
							got += s.Payload.N
						}
						return ok
					}
					for _, j := range sendJoined(t, p.now, a, text, room) {
						if j.segs > 1 && take(&j.Segment, j.segs) {
							taken++
							continue
						}
						for _, s := range j.apart() {
							if how != input {
								require.True(t, take(&s, 1), "round %d, at %d", round, got)
								continue
							}
							b.Input(p.now, &s)
							b.ack.pending &^= ackNow
							b.timers.left[slotAck] = 0
							got += b.x.rcv.read(into[got:]) // and the window knows nothing of it
							b.idleX(nil)
						}
					}
					if how == borrowed {
						got = b.x.rcv.read(into)
						b.idleX(nil)
					}
					require.Equal(t, len(text), got)
					b.ack.cause, b.events = CauseNone, 0
					b.HeldRead(p.now, got)
					if b.rwin.ssthresh < b.rwin.clamp { // what is in the queue for an instant leaves less room to grow
						require.Greater(t, b.rwin.ssthresh, b.rwin.clamp/2)
						b.rwin.ssthresh, b.ack.quick = b.rwin.clamp/2, 0
					}
					all = append(all, fmt.Sprintf("%+v", []any{b.flags, b.force, b.events, b.snd, b.rcv, b.ack, b.timers.left, b.cong, b.total, b.lastRecv, b.drs, b.tsRecent, b.recentAt}))
					p.drain()
					p.run(func() bool { return a.Unacked() == 0 })
					a.EndLoan()
					a.snd.shy = 0
				}
				return all
			}
			want := state(input, 0)
			for _, how := range []int{held, borrowed} {
				taken = 0
				require.Equal(t, want, state(how, 0))
				require.Zero(t, taken)
				require.Equal(t, want, state(how, most))
				if tt.name != "the window still grows" {
					require.Greater(t, taken, 5)
				}
			}
		})
	}
}

// TestNotHeld: what InputHeld and InputBorrowed leave to Input.
func TestNotHeld(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(p *pipe, s *Segment)
		want   bool
		borrow bool // want, of InputBorrowed only
	}{
		{name: "the ordinary", want: true},
		{name: "pushed", do: func(_ *pipe, s *Segment) { s.Flags |= PSH }, want: true},
		{name: "a FIN", do: func(_ *pipe, s *Segment) { s.Flags |= FIN }},
		{name: "not the next", do: func(_ *pipe, s *Segment) { s.Seq++ }},
		{name: "a repetition", do: func(_ *pipe, s *Segment) { s.Seq-- }},
		{name: "without timestamps", do: func(_ *pipe, s *Segment) { s.Opts.HasTS = false }},
		{name: "an older timestamp", do: func(_ *pipe, s *Segment) { s.Opts.TSVal -= 10_000 }},
		{name: "with SACK", do: func(_ *pipe, s *Segment) { s.Opts.NSACK = 1 }},
		{name: "another window", do: func(_ *pipe, s *Segment) { s.Wnd-- }},
		{name: "more than was offered", do: func(p *pipe, s *Segment) { p.b.rcv.wnd = uint32(s.Payload.N - 1) }},
		{name: "all that was offered", do: func(p *pipe, s *Segment) { p.b.rcv.wnd = uint32(s.Payload.N) }, want: true},
		{name: "something is in the queue", do: func(p *pipe, _ *Segment) {
			p.b.needX(nil).rcv.append(p.b.env.alloc, &Payload{Pieces: [2]Piece{{B: []byte{1}}}, N: 1, Lent: true})
		}, borrow: true},
		{name: "more is in the queue than there may be", do: func(p *pipe, _ *Segment) {
			p.b.needX(nil).rcv.append(p.b.env.alloc, &Payload{Pieces: [2]Piece{{B: []byte{1}}}, N: 1, Lent: true})
			p.b.rcvLimit = int32(p.b.charge() - 1)
		}},
		{name: "the buffer is small, but nothing in it", do: func(p *pipe, _ *Segment) { p.b.rcvLimit = 0 }, want: true},
		{name: "it acknowledges something", do: func(p *pipe, s *Segment) {
			p.b.Write(p.now, make([]byte, 100))
			p.b.Output(p.now, new(Segment))
			s.Ack = p.b.snd.nxt
		}},
		{name: "something is outstanding", do: func(p *pipe, _ *Segment) {
			p.b.Write(p.now, make([]byte, 100))
			p.b.Output(p.now, new(Segment))
		}},
		{name: "something is outstanding, but another segment came at the same time", do: func(p *pipe, _ *Segment) {
			p.b.Write(p.now, make([]byte, 100))
			p.b.Output(p.now, new(Segment))
			p.b.lastRecv = p.now
		}, want: true},
		{name: "something waits to be sent", do: func(p *pipe, _ *Segment) { p.b.Write(p.now, make([]byte, 100)) }},
		{name: "no short cuts", do: func(p *pipe, _ *Segment) { p.b.env.full = true }},
		{name: "the first text", do: func(p *pipe, _ *Segment) { p.b.total.dataIn = 0 }},
		{name: "the user wants something else", do: func(p *pipe, _ *Segment) { p.b.needOpt() }},
		{name: "the user has closed", do: func(p *pipe, _ *Segment) { p.b.Close(p.now) }},
	} {
		for _, borrow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s borrow %v", tt.name, borrow), func(t *testing.T) {
				p := newRun(t)
				p.now += time.Millisecond
				text := make([]byte, 3*p.a.SendMSS())
				require.True(t, p.a.MayLend(len(text)))
				p.a.Lend(p.now, text, false, nil)
				s := sendRun(t, p.now, &p.a, text)[0]
				if tt.do != nil {
					tt.do(p, &s)
				}
				into := make([]byte, s.Payload.N)
				require.False(t, p.b.InputHeld(p.now, &s, 1, len(into[1:])), "no room")
				require.False(t, p.b.InputHeld(p.now, &s, 2, len(into)), "halves that are not full")
				require.False(t, p.b.InputBorrowed(p.now, &s, 2), "halves that are not full")
				nxt, in, queued := p.b.rcv.nxt, p.b.total.segsIn, p.b.Readable()
				want := tt.want || borrow && tt.borrow
				if borrow {
					require.Equal(t, want, p.b.InputBorrowed(p.now, &s, 1))
				} else {
					require.Equal(t, want, p.b.InputHeld(p.now, &s, 1, len(into)))
				}
				if !want {
					require.Equal(t, nxt, p.b.rcv.nxt)
					require.Equal(t, in, p.b.total.segsIn)
				}
				if borrow && want {
					require.Equal(t, s.Payload.N, p.b.Readable()-queued)
				} else {
					require.Equal(t, queued, p.b.Readable())
				}
			})
		}
	}
}

// TestJoinedNotHeld: where segments that came one by one would teach the receiver more than that there was one more, they have to.
func TestJoinedNotHeld(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(b *TCB, s *Segment)
		want bool
	}{
		{name: "the ordinary", want: true},
		{name: "the peer's segments seemed smaller", do: func(b *TCB, _ *Segment) { b.rwin.mss-- }},
		{name: "and larger", do: func(b *TCB, _ *Segment) { b.rwin.mss++ }},
		{name: "larger than they may be", do: func(b *TCB, _ *Segment) { b.rwin.adv-- }},
		{name: "the window still grows", do: func(b *TCB, _ *Segment) { b.rwin.ssthresh = b.rwin.clamp - 1 }},
		{name: "no delay is known", do: func(b *TCB, _ *Segment) { b.ack.ato = 0 }},
		{name: "text comes seldom", do: func(b *TCB, _ *Segment) { b.lastData -= 30 * time.Millisecond }},
		{name: "no echo", do: func(_ *TCB, s *Segment) { s.Opts.TSEcr = 0 }},
		{name: "an echo of what comes", do: func(_ *TCB, s *Segment) { s.Opts.TSEcr += 10_000 }},
		{name: "less window", do: func(b *TCB, s *Segment) { b.rcv.wnd = uint32(s.Payload.N - 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newRun(t)
			p.b.flags |= fRcvLocked
			p.b.rwin.ssthresh = p.b.rwin.clamp
			into := make([]byte, 2*p.a.SendMSS())
			give := func() *joined {
				p.now += time.Millisecond
				require.True(t, p.a.MayLend(len(into)))
				p.a.Lend(p.now, make([]byte, len(into)), false, nil)
				all := sendJoined(t, p.now, &p.a, into, most)
				require.Len(t, all, 1)
				return &all[0]
			}
			for _, s := range give().apart() { // that are seen to be full
				require.True(t, p.b.InputHeld(p.now, &s, 1, len(into)))
			}
			p.b.HeldRead(p.now, len(into))
			p.drain()
			p.run(func() bool { return p.a.Unacked() == 0 })
			p.a.EndLoan()
			p.a.snd.shy = 0

			s := give()
			if tt.do != nil {
				tt.do(&p.b, &s.Segment)
			}
			require.False(t, p.b.InputHeld(p.now, &s.Segment, 2, len(into[1:])), "no room")
			state := func() string { return fmt.Sprintf("%+v", p.b) }
			before := state()
			require.Equal(t, tt.want, p.b.InputHeld(p.now, &s.Segment, 2, len(into)))
			require.Equal(t, tt.want, state() != before)
			if tt.want {
				require.Equal(t, s.Seq.Add(uint32(s.Payload.N/2)), p.b.snd.wl1, "the second is the last that spoke of the window")
			}
		})
	}
}
