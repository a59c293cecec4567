package tcp

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newRun returns the ends of a connection that has carried something, and on which nothing is going on.
func newRun(t *testing.T) *pipe {
	p := newPipe(t)
	p.mtu = 16436
	p.connect()
	p.read = make([]byte, 1<<20)
	for range 4 { // so that the windows are wide
		p.write(false, make([]byte, 200<<10))
		p.run(func() bool { return p.a.Unacked() == 0 })
	}
	p.write(true, make([]byte, 50))
	p.until(p.now + 5*time.Second)
	p.read = nil
	return p
}

// joined is a segment that SendRun gave for so many.
type joined struct {
	Segment
	segs int
}

// sendJoined returns what SendRun gives of text, which has just been lent, when several segments may have so much together.
func sendJoined(t testing.TB, now time.Duration, e *TCB, text []byte, room int) (all []joined) {
	t.Helper()
	for len(text) > 0 {
		require.True(t, len(all) == 0 || e.RunGoesOn(len(text)))
		b := (*[TSHeaderLen]byte)(bytes.Repeat([]byte{0xa5}, TSHeaderLen))
		k, segs := e.SendRun(now, b, room, nil)
		require.True(t, segs == 1 || k <= room && k%segs == 0)
		s := joined{segs: segs}
		n, why := ParseHeader(b[:], &s.Segment)
		require.Equal(t, ReasonOK, why)
		require.Equal(t, TSHeaderLen, n)
		s.Cause = CauseNewData
		s.Payload = Payload{Pieces: [2]Piece{{B: text[:k:k]}}, N: k, Lent: true}
		all, text = append(all, s), text[k:]
	}
	e.RunSent(now)
	require.True(t, e.Quiet())
	return all
}

// apart returns the segments that s stands for.
func (s *joined) apart() (segs []Segment) {
	text := s.Payload.Pieces[0].B
	n := len(text) / s.segs
	for i := range s.segs {
		one := s.Segment
		one.Seq = s.Seq.Add(uint32(i * n))
		if i < s.segs-1 {
			one.Flags &^= PSH
		}
		one.Payload.Pieces[0].B, one.Payload.N = text[i*n:(i+1)*n:(i+1)*n], n
		segs = append(segs, one)
	}
	return segs
}

// sendRun is sendJoined taken apart. If room is not given none are joined.
func sendRun(t testing.TB, now time.Duration, e *TCB, text []byte, room ...int) (segs []Segment) {
	t.Helper()
	for _, s := range sendJoined(t, now, e, text, append(room, 0)[0]) {
		segs = append(segs, s.apart()...)
	}
	return segs
}

// most is the most text that an IP packet has room for.
const most = 65535 - 20 - TSHeaderLen

// TestLoneRun: what is out of the ordinary goes the long way.
func TestLoneRun(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int // segments
		more bool
		do   func(p *pipe)
		want bool
	}{
		{name: "the ordinary", n: 4, want: true},
		{name: "more is to come, and all segments are full", n: 4, more: true, want: true},
		{name: "more than the peer's window", n: 4, do: func(p *pipe) { p.a.snd.wnd = uint32(4*p.a.SendMSS() - 1) }},
		{name: "as much as the peer's window", n: 4, do: func(p *pipe) { p.a.snd.wnd = uint32(4 * p.a.SendMSS()) }, want: true},
		{name: "more than the congestion window", n: 4, do: func(p *pipe) { p.a.cong.Cwnd = 3 }},
		{name: "as much as the congestion window", n: 4, do: func(p *pipe) { p.a.cong.Cwnd = 4 }, want: true},
		{name: "corked", n: 4, do: func(p *pipe) { p.a.SetCork(true) }},
		{name: "a FIN waits", n: 4, do: func(p *pipe) { _ = p.a.CloseWrite(p.now) }},
		{name: "no short cuts", n: 4, do: func(p *pipe) { p.a.env.full = true }},
		{name: "the user wants something else", n: 4, do: func(p *pipe) { p.a.needOpt() }},
		{name: "an ACK is due", n: 4, do: func(p *pipe) { p.a.ack.now(CauseAck) }},
		{name: "an ACK is owed", n: 4, do: func(p *pipe) { p.a.ack.schedule() }, want: true},
		{name: "something is outstanding", n: 4, do: func(p *pipe) {
			p.a.Write(p.now, make([]byte, 100))
			p.a.Output(p.now, new(Segment))
		}},
		{name: "a write did not fit", n: 4, do: func(p *pipe) { p.a.flags |= fNoSpace }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newRun(t)
			text := make([]byte, tt.n*p.a.SendMSS())
			if tt.do != nil {
				tt.do(p)
			}
			lone := p.a.MayLend(len(text))
			if lone {
				p.a.Lend(p.now, text, tt.more, nil)
				lone = p.a.LoneRun()
			}
			require.Equal(t, tt.want, lone)
		})
	}
	p := newRun(t)
	text := make([]byte, 4*p.a.SendMSS()-1)
	require.True(t, p.a.MayLend(len(text)))
	p.a.Lend(p.now, text, true, nil)
	require.False(t, p.a.LoneRun(), "more is to come, and the last segment waits for it")
}

// TestRunLeavesTheSame: the segments that SendRun gives, joined or not, and what it leaves in the TCB, are those of Output.
func TestRunLeavesTheSame(t *testing.T) {
	full := newRun(t).a.SendMSS()
	lazy := *(*Config)(nil).Defaults()
	lazy.SlowStartAfterIdle = Off
	for _, tt := range []struct {
		name  string
		cfg   *Config
		late  time.Duration
		tight bool // the windows are just as large as they must be
		fast  bool // three segments are a run, two are pushed
	}{
		{name: "at once"},
		{name: "tight", tight: true},
		{name: "fast", fast: true},
		{name: "after long", late: 100 * time.Second},
		{name: "after long, tight", late: 100 * time.Second, tight: true},
		{name: "after long, without slow start", late: 100 * time.Second, cfg: &lazy},
	} {
		for _, n := range []int{2 * full, 2*full + 1, 3*full - 1, 3 * full, 4 * full, 4*full + 100, 64 << 10, 7 * full, 150_000} {
			for _, more := range []bool{false, n%full == 0} {
				send := func(long bool, room int) (segs []Segment, state string) {
					p := newRun(t)
					if tt.cfg != nil {
						p.a.env.cfg = tt.cfg
					}
					a := &p.a
					alg := &Cubic{begun: true, start: 1}
					a.needExtra().alg = alg
					p.now += tt.late
					text := make([]byte, n)
					if require.True(t, a.MayLend(n)); tt.tight || tt.fast {
						a.maxWnd = uint32(4 * full) // much is pushed
					}
					if a.Lend(p.now, text, more, nil); tt.tight {
						a.snd.wnd, a.cong.Cwnd = uint32(n), uint32((n+full-1)/full)
					} else if tt.fast {
						a.cong.Cwnd = 1000
					}
					if a.ack.schedule(); !long {
						require.True(t, a.LoneRun())
						segs = sendRun(t, p.now, a, text, room)
					} else {
						var s Segment
						for a.Output(p.now, &s) {
							segs = append(segs, s)
						}
					}
					return segs, fmt.Sprintf("%+v", []any{a.flags, a.force, a.events, a.snd, a.rcv, a.ack, a.timers, a.cong, a.total, a.lastSend, a.txq(),
						a.x.snd.run, a.nonagle, *alg})
				}
				segs, want := send(true, 0)
				for _, room := range []int{0, 2 * full, 3*full - 1, most} {
					got, have := send(false, room)
					require.Equal(t, want, have, "%s: %d bytes, more %v, joined %d", tt.name, n, more, room)
					require.Equal(t, segs, got, "%s: %d bytes, more %v, joined %d", tt.name, n, more, room)
				}
			}
		}
	}
}

// TestRunInterrupted: SendRun does not go on when others had the TCB and something came of it.
func TestRunInterrupted(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(p *pipe)
		want bool
	}{
		{name: "nothing", want: true},
		{name: "time passes", do: func(p *pipe) { p.now += time.Millisecond }, want: true},
		{name: "others have sent the rest", do: func(p *pipe) { p.drain() }},
		{name: "others have sent some of it", do: func(p *pipe) { p.a.Output(p.now, new(Segment)) }},
		{name: "all of what was sent was acknowledged", do: func(p *pipe) { p.a.snd.una = p.a.snd.nxt }},
		{name: "the peer's window has shrunk", do: func(p *pipe) { p.a.snd.wnd = uint32(4*p.a.SendMSS() - 1) }},
		{name: "the congestion window has shrunk", do: func(p *pipe) { p.a.cong.Cwnd = 3 }},
		{name: "as much as the windows allow", do: func(p *pipe) { p.a.snd.wnd, p.a.cong.Cwnd = uint32(4*p.a.SendMSS()), 4 }, want: true},
		{name: "a FIN waits", do: func(p *pipe) { _ = p.a.CloseWrite(p.now) }},
		{name: "an ACK is owed", do: func(p *pipe) { p.a.ack.schedule() }},
		{name: "corked", do: func(p *pipe) { p.a.SetCork(true) }},
		{name: "reset", do: func(p *pipe) { p.a.Abort(p.now) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newRun(t)
			text := make([]byte, 4*p.a.SendMSS())
			require.True(t, p.a.MayLend(len(text)))
			p.a.Lend(p.now, text, false, nil)
			require.True(t, p.a.LoneRun())
			n, segs := p.a.SendRun(p.now, new([TSHeaderLen]byte), 0, nil)
			require.Equal(t, p.a.SendMSS(), n)
			require.Equal(t, 1, segs)
			require.NotZero(t, p.a.timer(TimerRetransmit), "whatever comes now")
			if tt.do != nil {
				tt.do(p)
			}
			require.Equal(t, tt.want, p.a.RunGoesOn(len(text)-n))
		})
	}
}

// TestRunsJoined: the segments of a run are joined as far as there is room, but not those of two runs, and none that is not full.
func TestRunsJoined(t *testing.T) {
	full := newRun(t).a.SendMSS()
	for _, tt := range []struct {
		n, room int
		want    []int
	}{
		{4 * full, most, []int{3, 1}},
		{6 * full, most, []int{3, 3}},
		{5 * full, most, []int{3, 2}},
		{3 * full, 3 * full, []int{3}},
		{3 * full, 3*full - 1, []int{2, 1}},
		{2 * full, 2*full - 1, []int{1, 1}},
		{5*full - 1, most, []int{3, 1, 1}},
		{3*full - 1, most, []int{2, 1}},
		{7 * full, 0, []int{1, 1, 1, 1, 1, 1, 1}},
	} {
		p := newRun(t)
		text := make([]byte, tt.n)
		require.True(t, p.a.MayLend(tt.n))
		p.a.Lend(p.now, text, false, nil)
		p.a.cong.Cwnd = 1000 // much may leave at once
		require.True(t, p.a.LoneRun())
		var segs []int
		for _, s := range sendJoined(t, p.now, &p.a, text, tt.room) {
			segs = append(segs, s.segs)
		}
		require.Equal(t, tt.want, segs, "%d bytes in %d", tt.n, tt.room)
	}
}

// TestLoanIsForgotten: of what was lent nothing is kept when all of it is acknowledged, and that more was announced is
// over, too (MSG_MORE).
func TestLoanIsForgotten(t *testing.T) {
	for _, full := range []bool{false, true} {
		p := newRun(t)
		p.a.env.full = false
		text := make([]byte, 7*p.a.SendMSS())
		require.True(t, p.a.MayLend(len(text)))
		p.a.Lend(p.now, text, true, nil)
		chunks := &p.a.x.snd.chunks
		require.Len(t, chunks.all(), 2)
		for _, s := range sendRun(t, p.now, &p.a, text) {
			require.True(t, p.b.InputHeld(p.now, &s, 1, len(text)))
		}
		p.b.HeldRead(p.now, len(text))
		p.a.env.full = full // the long way
		require.False(t, p.a.LoanOver())
		ack := sendAck(t, p.now, &p.b)
		if !full {
			require.True(t, p.a.inputFast(p.now, &ack))
		} else {
			p.a.Input(p.now, &ack)
		}
		require.Zero(t, p.a.nonagle)
		p.a.snd.shy = 1
		p.a.events |= EvReadable
		require.False(t, p.a.LoanOver(), "something else happened")
		p.a.events &^= EvReadable
		require.True(t, p.a.LoanOver())
		require.Zero(t, p.a.events)
		require.Zero(t, p.a.snd.shy)
		require.Empty(t, chunks.all())
		for _, c := range chunks.items[:cap(chunks.items)] {
			require.Zero(t, c)
		}
	}
}
