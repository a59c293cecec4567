package tcp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLone: what is out of the ordinary goes the long way.
func TestLone(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int
		do   func(p *pipe)
		want bool
	}{
		{name: "the ordinary", n: 1, want: true},
		{name: "almost a full segment", n: 1447, want: true},
		{name: "a full segment", n: 1448},
		{name: "nothing", n: 0},
		{name: "corked", n: 1, do: func(p *pipe) { p.a.SetCork(true) }},
		{name: "more is to come", n: 1, do: func(p *pipe) { p.a.WriteMore(p.now, []byte{1}) }},
		{name: "more than the window", n: 100, do: func(p *pipe) { p.a.snd.wnd = 99 }},
		{name: "as much as the window", n: 100, do: func(p *pipe) { p.a.snd.wnd = 100 }, want: true},
		{name: "more than the send buffer", n: 100, do: func(p *pipe) { p.a.sndLimit = 99 }},
		{name: "a FIN waits", n: 1, do: func(p *pipe) { _ = p.a.CloseWrite(p.now) }},
		{name: "the peer has closed", n: 1, do: func(p *pipe) {
			_ = p.b.CloseWrite(p.now)
			p.drain()
			p.until(p.now + time.Second)
		}},
		{name: "no short cuts", n: 1, do: func(p *pipe) { p.a.env.full = true }},
		{name: "the user wants something else", n: 1, do: func(p *pipe) { p.a.needOpt() }},
		{name: "an ACK is due", n: 1, do: func(p *pipe) { p.a.ack.now(CauseAck) }},
		{name: "an ACK is owed", n: 1, do: func(p *pipe) { p.a.ack.schedule() }, want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPipe(t)
			p.connect()
			if tt.do != nil {
				tt.do(p)
			}
			require.Equal(t, tt.want, p.a.Lone(tt.n))
		})
	}
}

// TestSpares: who runs many connections has what one needed for the next.
func TestSpares(t *testing.T) {
	p := newPipe(t)
	p.connect()
	var spares Spares
	list := func() (free []*transfer) {
		for x := spares.first; x != nil; x = x.next {
			free = append(free, x)
		}
		require.Len(t, free, spares.n)
		return free
	}
	require.Nil(t, p.a.x)
	first, second := newTransfer(), newTransfer()
	first.next, spares.first, spares.n = second, first, 2
	counts := func(e *env) []uint64 {
		return []uint64{spares.In, spares.Out, e.stats.InSegs.Load(), e.stats.OutSegs.Load()}
	}
	before := counts(p.a.env)
	s := sendLoneWith(t, p.now, &p.a, make([]byte, 10), 10, &spares)
	require.Same(t, first, p.a.x)
	require.Nil(t, first.next)
	require.Equal(t, []*transfer{second}, list())
	p.b.Input(p.now, &s)
	require.Equal(t, 10, p.b.Read(p.now, make([]byte, 20)))
	require.True(t, p.b.Output(p.now, &s), "a quick ACK, which gets lost")
	require.True(t, p.b.Lone(10))
	s = sendLone(t, p.now, &p.b, make([]byte, 10), 10)
	s.Into, s.Spares = make([]byte, 10), &spares
	p.a.Input(p.now, &s)
	require.Equal(t, 10, s.Taken)
	require.Same(t, first, p.a.x, "an ACK is owed")
	p.a.ack.now(CauseAck)
	s.Spares = &spares
	require.True(t, p.a.Output(p.now, &s))
	require.Nil(t, p.a.x)
	require.Equal(t, []*transfer{first, second}, list())
	before[0]++    // what a received
	before[1] += 2 // what a sent
	before[2]++    // what b received
	before[3] += 2
	require.Equal(t, before, counts(p.a.env), "each segment is counted once")
	for range 2 * maxSpares {
		p.a.needX(nil).rtx.room(make([]txSeg, queueKeep+1))
		p.a.idleX(&spares)
	}
	require.Len(t, list(), maxSpares)
	for _, x := range list()[:maxSpares-2] {
		require.Same(t, &x.firstRtx[0], x.rtx.first(), "what has grown large is given up")
	}
}

// TestWindowOfNothingHeld: the window that is chosen in few steps while nothing is held is the one chosen otherwise.
func TestWindowOfNothingHeld(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	short := 0
	for i := range 20000 {
		cfg := Config{AdvWinScale: r.IntN(4), ShrinkWindow: []Switch{Off, On}[r.IntN(2)]}
		scale := uint8(r.IntN(15))
		nxt := Seq(r.Uint32())
		size := 1 << r.IntN(22)
		a := TCB{env: newEnv(&Params{Config: &cfg}), rcvLimit: int32(1 + r.IntN(size)), rcv: recvVars{
			nxt: nxt, wup: nxt - Seq(r.IntN(size)/(1+r.IntN(50))), wnd: min(uint32(r.IntN(size)), 65535<<scale),
		}, rwin: rwinVars{ssthresh: uint32(r.IntN(size)), clamp: uint32(1 + r.IntN(size)), mss: uint32(1 + r.IntN(3000)), scale: scale}}
		if i%2 == 0 {
			a.rwin.ssthresh = min(a.rwin.ssthresh, a.rwin.clamp)
		}
		b := a
		b.ooo = new(oooQueue) // something may be held
		require.Equal(t, scale > 0 && cfg.ShrinkWindow == Off, a.roomy())
		require.False(t, b.roomy())
		require.Equal(t, b.selectWindow(), a.selectWindow(), "%+v %+v", a.rcv, a.rwin)
		require.Equal(t, b.rcv, a.rcv)
		require.Equal(t, b.ack.quick, a.ack.quick)
		require.Equal(t, b.offer(), a.offer(), "%+v", a.rcv)
		if a.receiveWindow() >= scaledUp(a.rwin.ssthresh, scale) {
			short++
		}
	}
	require.Greater(t, short, 200)
}

// TestLoneLeavesTheSame: what SendLone leaves in the TCB is what Write and Output leave.
func TestLoneLeavesTheSame(t *testing.T) {
	for _, n := range []int{1, 100, smallText + 1, 1447} {
		state := func(long bool) string {
			p := newPipe(t)
			p.connect()
			p.a.env.full = long
			p.write(true, make([]byte, 50)) // so that something has arrived, and an ACK is owed
			p.until(p.now + 20*time.Millisecond)
			p.now += 300 * time.Millisecond
			if require.Equal(t, !long, p.a.Lone(n)); long {
				require.Equal(t, n, p.a.Write(p.now, make([]byte, n)))
				p.drain()
			} else {
				sendLone(t, p.now, &p.a, make([]byte, n), smallText)
			}
			a := unfolded(&p.a)
			a.total.una, a.edge.got = 0, 0
			return fmt.Sprintf("%+v", []any{a.flags, a.edge, a.rto, a.rack, a.force, a.events, a.snd, a.rcv, a.ack, a.timers, a.cong, a.total, a.lastSend, a.txq(), a.x.snd.run, a.x.snd.cur})
		}
		require.Equal(t, state(true), state(false), "%d bytes", n)
	}
}
