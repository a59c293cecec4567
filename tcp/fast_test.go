package tcp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dialogue is question and answer of random lengths, with pauses and idle times; every tenth has up to most bytes. The users read at once; into says
// whether they give Input their buffer, full that no short cuts are taken. It returns all that can be seen.
func dialogue(t *testing.T, seed uint64, drop float64, most int, into, full bool) (seen []string) {
	p := newPipe(t)
	p.mtu = []int{1500, 16436}[seed%2]
	p.connect()
	p.a.env.full, p.b.env.full = full, full
	choose := rand.New(rand.NewPCG(seed, 2)) // apart from rng, which packets ask
	p.rng, p.drop, p.reord = rand.New(rand.NewPCG(seed, 1)), drop, drop/2
	buf := make([]byte, 64<<10)
	p.read, p.into = buf, into
	for turn := range 60 {
		n := choose.IntN(200)
		if turn%10 == 9 {
			n = choose.IntN(most)
		}
		if turn == 30 {
			p.room = 256
		}
		sent := 0
		p.got = 0
		p.run(func() bool {
			if sent < n {
				sent += p.write(turn%2 == 1, buf[:n-sent])
			}
			return p.got == n
		})
		require.Equal(t, n, p.got, p.log())
		p.until(p.now + []time.Duration{0, time.Millisecond, 30 * time.Millisecond, 2 * time.Second}[choose.IntN(4)])
	}
	seen = append(seen, p.trace...)
	seen = append(seen, fmt.Sprintf("%+v", p.a.Info(p.now)), fmt.Sprintf("%+v", p.b.Info(p.now)))
	p.stats.Each(func(_, name string, n uint64) bool {
		seen = append(seen, fmt.Sprint(name, " ", n))
		return true
	})
	return seen
}

// chatter is short texts of random lengths from both ends with random pauses, answers mostly, sometimes some in a row; otherwise as dialogue.
func chatter(t *testing.T, seed uint64, rmem int, into, full bool) (seen []string) {
	p := newPipe(t)
	p.cfgB = (&Config{Rmem: [3]int{4096, rmem, rmem}}).Defaults()
	p.delay = time.Duration(seed%3) * 4 * time.Millisecond
	p.connect()
	p.a.env.full, p.b.env.full = full, full
	p.a.SetNoDelay(seed%5 < 3)
	p.b.SetNoDelay(seed%5 < 3)
	choose := rand.New(rand.NewPCG(seed, 3))
	p.read, p.into = make([]byte, 64<<10), into
	for turn := range 300 {
		toB := turn%2 == 1
		if choose.IntN(4) == 0 {
			toB = !toB
		}
		n := 1 + choose.IntN([]int{20, 140, 500, 700}[seed%4])
		if choose.IntN(60) == 0 {
			n += 500
		}
		require.Equal(t, n, p.write(!toB, make([]byte, n)))
		p.until(p.now + time.Duration(choose.IntN(9)*choose.IntN(9)*choose.IntN(9))*100*time.Microsecond)
	}
	p.until(p.now + time.Minute)
	seen = append(seen, p.trace...)
	seen = append(seen, fmt.Sprintf("%+v", p.a.Info(p.now)), fmt.Sprintf("%+v", p.b.Info(p.now)))
	p.stats.Each(func(_, name string, n uint64) bool {
		seen = append(seen, fmt.Sprint(name, " ", n))
		return true
	})
	return seen
}

// The short cuts change nothing that can be seen: not a segment, not a figure, not a counter.
func TestFastPath(t *testing.T) {
	for _, drop := range []float64{0, 0.05} {
		for seed := range uint64(10) {
			t.Run(fmt.Sprintf("loss %v seed %d", drop, seed), func(t *testing.T) {
				require.Equal(t, dialogue(t, seed, drop, 64<<10, false, true), dialogue(t, seed, drop, 64<<10, false, false))
			})
		}
	}
}

// Text that goes straight to a waiting user is text that he reads at once.
func TestReadersWithBuffers(t *testing.T) {
	for _, drop := range []float64{0, 0.05} {
		for seed := range uint64(10) {
			t.Run(fmt.Sprintf("loss %v seed %d", drop, seed), func(t *testing.T) {
				want := dialogue(t, seed, drop, 1000, false, true)
				require.Equal(t, want, dialogue(t, seed, drop, 1000, true, true))
				require.Equal(t, want, dialogue(t, seed, drop, 1000, true, false))
			})
		}
	}
}

// TestChatter: neither can that be told which way short texts go, nor whether the user has a buffer ready, unless the
// receive buffer is so small that even what is read at once counts.
func TestChatter(t *testing.T) {
	for _, mem := range []int{4096, 1 << 17} {
		for seed := range uint64(20) {
			t.Run(fmt.Sprintf("%d bytes seed %d", mem, seed), func(t *testing.T) {
				queued, direct := chatter(t, seed, mem, false, true), chatter(t, seed, mem, true, true)
				require.Equal(t, queued, chatter(t, seed, mem, false, false))
				require.Equal(t, direct, chatter(t, seed, mem, true, false))
				if mem > 4096 {
					require.Equal(t, queued, direct)
				}
			})
		}
	}
}

// TestSteady: in a dialogue that goes on and on nothing is asked again, and nothing of that can be seen, whatever comes
// between.
func TestSteady(t *testing.T) {
	for _, tt := range []struct {
		name    string
		between func(p *pipe, e *TCB) // every seventh time
	}{
		{"nothing", nil},
		{"a long pause", func(p *pipe, _ *TCB) { p.until(p.now + time.Second) }},
		{"two questions", func(p *pipe, e *TCB) { p.write(e == &p.b, make([]byte, 30)) }},
		{"a large one", func(p *pipe, e *TCB) { p.write(e == &p.b, make([]byte, 5000)) }},
		{"one is lost", func(p *pipe, e *TCB) {
			p.lose = func(p *pipe, _ bool, _ *Segment) bool { p.lose = nil; return true }
			p.write(e == &p.b, make([]byte, 30))
			p.until(p.now + 3*time.Second)
		}},
		{"the user closes", func(p *pipe, e *TCB) { delete(p.steady, e); _ = e.CloseWrite(p.now) }},
		{"corked", func(p *pipe, e *TCB) { delete(p.steady, e); e.SetCork(!e.Cork()) }},
		{"the peer does not write any more", func(p *pipe, e *TCB) { p.write(e != &p.b, make([]byte, 2000)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			talk := func(full bool) (seen []string, told, taken, kept int) {
				p := newPipe(t)
				p.delay, p.room = 10*time.Microsecond, 256
				p.connect()
				p.a.env.full, p.b.env.full = full, full
				p.read, p.into = make([]byte, 64<<10), true
				r := rand.New(rand.NewPCG(3, 4))
				for turn := range 100 {
					if e := p.end(turn%2 == 1); e.State().CanSend() && !e.has(fFinQueued) {
						p.write(turn%2 == 1, make([]byte, 1+r.IntN(100)))
					}
					p.until(p.now + time.Duration(r.IntN(int(5*time.Millisecond))))
					if turn%7 == 6 && turn > 20 && tt.between != nil {
						tt.between(p, p.end(turn%2 == 1))
						p.drain()
					}
				}
				p.until(p.now + time.Minute)
				seen = append(p.trace, fmt.Sprintf("%+v", p.a.Info(p.now)), fmt.Sprintf("%+v", p.b.Info(p.now)))
				return seen, p.told, p.taken, p.kept
			}
			want, never, none, _ := talk(true)
			got, told, taken, kept := talk(false)
			require.Equal(t, want, got)
			require.Zero(t, never+none)
			require.Greater(t, told, 5)
			require.Greater(t, taken, 5)
			require.Positive(t, kept)
		})
	}
}

// Only little text goes straight to a user: of large segments all would be acknowledged, two by two.
func TestMostInto(t *testing.T) {
	p := newPipe(t)
	p.mtu = 16436
	p.connect()
	for _, n := range []int{mostInto, mostInto + 1} {
		require.Equal(t, n, p.a.Write(p.now, make([]byte, n)))
		var s Segment
		require.True(t, p.a.Output(p.now, &s))
		s.Into = make([]byte, 64<<10)
		p.b.Input(p.now, &s)
		require.Equal(t, n <= mostInto, s.Taken == n, "%d bytes", n)
		require.Equal(t, n-s.Taken, p.b.Readable())
		s.Payload.Release()
		p.drain()
		p.until(p.now + time.Second)
	}
}

// The plainest of dialogues takes the short cuts.
func TestFastPathIsTaken(t *testing.T) {
	p := newPipe(t)
	p.connect()
	require.True(t, p.a.Lone(100))
	s := sendLone(t, p.now, &p.a, make([]byte, 100), 100)
	require.False(t, p.a.NeedsOutput())
	require.True(t, p.a.Quiet())
	require.False(t, p.a.Output(p.now, &s))
	s.Into = make([]byte, 100)
	require.True(t, p.b.inputFast(p.now, &s))
	require.Equal(t, 100, s.Taken)
	require.Equal(t, 50, p.a.Write(p.now, make([]byte, 50)))
	require.False(t, p.a.Lone(100), "something is outstanding")

	require.Equal(t, 50, p.b.Write(p.now, make([]byte, 50)))
	require.False(t, p.b.Lone(100), "something is to be sent")
	require.True(t, p.b.outputFast(p.now, &s), "the answer carries the ACK")
	require.True(t, p.b.Quiet())
	s.Into, s.Taken = nil, 0
	require.True(t, p.a.inputFast(p.now, &s))
	require.Zero(t, p.a.packetsOut())
	require.Equal(t, 50, p.a.Read(p.now, make([]byte, 60)))
	s.Payload.Release()
}

// So do the segments of a run behind its first.
func TestRunsAreTaken(t *testing.T) {
	p := newPipe(t)
	p.connect()
	require.Equal(t, 4*p.a.SendMSS(), p.a.Write(p.now, make([]byte, 4*p.a.SendMSS())))
	var s Segment
	for i := range 4 {
		require.Equal(t, i > 0, p.a.OutputRun(p.now, &s), "out %d", i)
		if i == 0 {
			require.True(t, p.a.Output(p.now, &s))
		}
		require.Equal(t, i > 0, p.b.inputRun(p.now, &s), "in %d", i)
		if i == 0 {
			p.b.Input(p.now, &s)
		}
		require.Equal(t, s.Seq, p.b.snd.wl1)
		text := s.Payload // Release forgets it, and the next segment is told by this one
		text.Release()
	}
	require.False(t, p.a.OutputRun(p.now, &s))
	require.Equal(t, 4*p.a.SendMSS(), p.b.Readable())
}

// What makes a segment none of the run.
func TestRunsEnd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(p *pipe, s *Segment)
	}{
		{"nothing", nil},
		{"another segment", func(_ *pipe, s *Segment) { *s = Segment{} }},
		{"another connection's", func(_ *pipe, s *Segment) { s.SrcPort++ }},
		{"later", func(p *pipe, _ *Segment) { p.now += time.Millisecond }},
		{"text arrived meanwhile", func(p *pipe, _ *Segment) {
			p.b.Write(p.now, make([]byte, 2000))
			var in Segment
			require.True(p.t, p.b.Output(p.now, &in))
			p.a.Input(p.now, &in)
			in.Payload.Release()
		}},
		{"all was acknowledged", func(p *pipe, s *Segment) {
			p.a.Input(p.now, &Segment{SrcPort: s.DstPort, DstPort: s.SrcPort, Seq: p.a.rcv.nxt, Ack: p.a.snd.nxt, Flags: ACK,
				Wnd: uint16(p.a.snd.wnd >> p.a.snd.scale), Opts: Options{HasTS: true, TSVal: p.b.tsNow(p.now), TSEcr: s.Opts.TSVal}})
		}},
		{"a duplicate is to be told", func(p *pipe, _ *Segment) { p.a.setDSACK(p.a.rcv.nxt-1, p.a.rcv.nxt) }},
		{"a timer demands something", func(p *pipe, _ *Segment) { p.a.force |= forceHead }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPipe(t)
			p.connect()
			p.a.Write(p.now, make([]byte, 4*p.a.SendMSS()))
			var s Segment
			require.True(t, p.a.Output(p.now, &s))
			text := s.Payload
			text.Release()
			if tt.change != nil {
				tt.change(p, &s)
			}
			require.Equal(t, tt.change == nil, p.a.OutputRun(p.now, &s))
		})
	}
}

// TestDialogueIsTaken: once both sides are used to answering, questions and answers go the shortest way.
func TestDialogueIsTaken(t *testing.T) {
	p := newPipe(t)
	p.connect()
	var s Segment
	taken := 0
	for range 10 {
		for _, e := range []struct{ from, to *TCB }{{&p.a, &p.b}, {&p.b, &p.a}} {
			p.now += time.Millisecond
			require.Equal(t, 100, e.from.Write(p.now, make([]byte, 100)))
			require.True(t, e.from.Output(p.now, &s))
			s.Into = make([]byte, 200)
			if e.to.dialogue(p.now, &s, false) {
				taken++
			} else {
				e.to.Input(p.now, &s)
			}
			require.Equal(t, 100, s.Taken)
			s.Payload.Release()
			for e.to.Output(p.now, &s) {
				e.from.Input(p.now, &s)
			}
		}
	}
	require.GreaterOrEqual(t, taken, 16)
}

// TestNoDialogue: what looks like one more question or answer, and is not.
func TestNoDialogue(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(b *TCB, s *Segment)
		want bool
	}{
		{"one more", func(b *TCB, s *Segment) {}, true},
		{"not pushed", func(b *TCB, s *Segment) { s.Flags &^= PSH }, false},
		{"the last", func(b *TCB, s *Segment) { s.Flags |= FIN }, false},
		{"not the next", func(b *TCB, s *Segment) { s.Seq++ }, false},
		{"an older timestamp", func(b *TCB, s *Segment) { s.Opts.TSVal -= 10_000 }, false},
		{"it acknowledges nothing", func(b *TCB, s *Segment) { s.Ack = b.snd.una }, false},
		{"it acknowledges a part", func(b *TCB, s *Segment) { s.Ack-- }, false},
		{"more than was offered", func(b *TCB, s *Segment) { b.rcv.wnd, b.rwin.clamp = 99, 90 }, false},
		{"all that was offered", func(b *TCB, s *Segment) { b.rcv.wnd, b.rwin.clamp = 200, 190 }, true},
		{"no room for it", func(b *TCB, s *Segment) { s.Into = s.Into[:99] }, false},
		{"an ACK is owed", func(b *TCB, s *Segment) { b.ack.schedule() }, false},
		{"nobody is used to answering", func(b *TCB, s *Segment) { b.ack.pingpong = 0 }, false},
		{"the last was long ago", func(b *TCB, s *Segment) { b.lastData -= time.Second }, false},
		{"no short cuts", func(b *TCB, s *Segment) { b.env.full = true }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPipe(t)
			p.connect()
			var s Segment
			for i := range 11 {
				e := struct{ from, to *TCB }{&p.a, &p.b}
				if i%2 == 1 {
					e.from, e.to = e.to, e.from
				}
				p.now += time.Millisecond
				require.Equal(t, 100, e.from.Write(p.now, make([]byte, 100)))
				require.True(t, e.from.Output(p.now, &s))
				s.Into = make([]byte, 200)
				if i < 10 {
					e.to.Input(p.now, &s)
					require.Equal(t, 100, s.Taken)
					s.Payload.Release()
					continue
				}
				tt.do(e.to, &s)
				nxt, in := e.to.rcv.nxt, e.to.total.segsIn
				require.Equal(t, tt.want, e.to.dialogue(p.now, &s, false))
				if !tt.want {
					require.Equal(t, nxt, e.to.rcv.nxt)
					require.Equal(t, in, e.to.total.segsIn)
				}
			}
		})
	}
}

// TestPushedSegmentIsAcknowledgedWhenRead: a full segment with PSH is the end of something, and who has read it all says so
// at once, if he is not used to answering. One without waits for the next.
func TestPushedSegmentIsAcknowledgedWhenRead(t *testing.T) {
	for _, pushed := range []bool{false, true} {
		p := newPipe(t)
		p.connect()
		n := p.a.SendMSS()
		require.Equal(t, n, p.a.Write(p.now, make([]byte, n)))
		var s Segment
		require.True(t, p.a.Output(p.now, &s))
		require.NotZero(t, s.Flags&PSH)
		if !pushed {
			s.Flags &^= PSH
		}
		p.b.ack.ato, p.b.lastData = p.b.env.cfg.DelackMin, p.now // not the first text, and
		p.b.ack.quick = 0                                        // no quick ACKs left
		p.b.Input(p.now, &s)
		require.Zero(t, p.b.ack.pending&ackNow)
		require.Equal(t, n, p.b.Read(p.now, make([]byte, n)))
		require.Equal(t, pushed, p.b.ack.pending&ackNow != 0, "pushed: %v", pushed)
		s.Payload.Release()
	}
}
