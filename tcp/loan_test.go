package tcp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// transfers writes texts of many sizes, lent where that may be, and scribbles over each as soon as the loan has ended. It
// returns what was on the wire, and how often something was lent, and left at once as a run.
func transfers(t *testing.T, seed uint64, drop float64, lend bool) (seen []string, loans, runs int) {
	p := newPipe(t)
	p.mtu = []int{1500, 16436}[seed%2]
	p.connect()
	p.rng, p.drop, p.reord = rand.New(rand.NewPCG(seed, 1)), drop, drop/2
	choose := rand.New(rand.NewPCG(seed, 2))
	p.read = make([]byte, 64<<10)
	var want, got []byte
	p.sink = func(atB bool, b []byte) { got = append(got, b...) }
	for range 12 {
		text := make([]byte, 1+choose.IntN(150_000))
		for i := range text {
			text[i] = byte(choose.Uint32())
		}
		want = append(want, text...)
		for rest := text; len(rest) > 0; {
			n := 0
			if lend && p.a.MayLend(len(rest)) {
				loans++
				n = len(rest)
				p.a.Lend(p.now, rest, false, nil)
				if p.a.LoneRun() {
					runs++
					for _, s := range sendRun(t, p.now, &p.a, rest, runs%2*most) {
						p.transmit(true, s)
					}
				}
				p.drain()
				p.a.EndLoan()
				p.a.snd.shy = 0 // nothing ever is acknowledged so soon here
				clear(rest[:n])
			} else {
				n = p.a.Write(p.now, rest)
				p.drain()
			}
			rest = rest[n:]
			if n == 0 && !p.step() {
				break
			}
		}
		p.until(p.now + []time.Duration{0, time.Millisecond, 100 * time.Millisecond, 2 * time.Second}[choose.IntN(4)])
	}
	p.run(func() bool { return len(got) == len(want) && p.a.Unacked() == 0 })
	require.True(t, bytes.Equal(want, got), "%d bytes of %d", len(got), len(want))
	return p.trace, loans, runs
}

// TestLoan: whether text is lent or copied cannot be told from the segments, lost or not, and nothing is sent of the
// user's memory once the loan has ended.
func TestLoan(t *testing.T) {
	for _, drop := range []float64{0, 0.002, 0.02} {
		loans, runs := 0, 0
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("loss %v seed %d", drop, seed), func(t *testing.T) {
				want, _, _ := transfers(t, seed, drop, false)
				got, n, m := transfers(t, seed, drop, true)
				require.Equal(t, want, got)
				loans += n
				runs += m
			})
		}
		require.Greater(t, loans, runs)
		require.Positive(t, runs)
	}
}

// lend has a's user write text, lent, and returns the segments.
func lend(p *pipe, text []byte) (segs []Segment) {
	p.a.Lend(p.now, text, false, nil)
	var s Segment
	for p.a.Output(p.now, &s) {
		segs = append(segs, s)
	}
	return segs
}

// TestHeld: text that goes straight to the user and is held is acknowledged when it has been read, by one ACK.
func TestHeld(t *testing.T) {
	for _, tt := range []struct {
		name string
		hold bool
		into int // what room the user has
		held int // how many segments are held
		acks int // how many are sent before the user has read
	}{
		{"held", true, 64 << 10, 3, 0},
		{"held as far as it fits", true, 40 << 10, 2, 1},
		{"not held", false, 64 << 10, 0, 2},
		{"no room", true, 0, 0, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPipe(t)
			p.mtu = 16436
			p.connect()
			p.write(false, []byte("0")) // the first text, from which there is more to learn
			p.until(p.now + time.Second)
			p.b.Read(p.now, make([]byte, 1))
			p.drain()
			p.a.ack.quick, p.b.ack.quick = 0, 0
			text := bytes.Repeat([]byte("0123456789abcdef"), 3<<10)
			require.True(t, p.a.MayLend(len(text)))
			segs := lend(p, text)
			require.Len(t, segs, 3)
			into, taken, held, acks := make([]byte, tt.into), 0, 0, 0
			var ack Segment
			for i := range segs {
				s := &segs[i]
				require.True(t, s.Payload.Lent)
				if tt.hold && p.b.InputHeld(p.now, s, 1, len(into[taken:])) {
					held++
					taken += copy(into[taken:], s.Payload.Pieces[0].B)
					continue
				}
				s.Into = into[taken:]
				p.b.Input(p.now, s)
				taken += s.Taken
				for p.b.Output(p.now, &ack) {
					acks++
					p.a.Input(p.now, &ack)
				}
			}
			require.Equal(t, tt.held, held)
			require.Equal(t, tt.acks, acks)
			p.b.HeldRead(p.now, taken)
			rest := make([]byte, len(text))
			got := append(into[:taken:taken], rest[:p.b.Read(p.now, rest)]...)
			require.Equal(t, text, got)
			for p.b.Output(p.now, &ack) {
				acks++
				p.a.Input(p.now, &ack)
			}
			require.Zero(t, p.a.Unacked())
			require.Equal(t, p.b.rcv.nxt, p.b.rcv.read)
			if held == 3 {
				require.Equal(t, 1, acks)
			}
			p.a.EndLoan()
			require.Zero(t, p.a.snd.shy)
		})
	}
}

// TestShyLender: after two loans in a row for which nobody waited there are none for a while.
func TestShyLender(t *testing.T) {
	p := newPipe(t)
	p.mtu = 16436
	p.connect()
	text := make([]byte, 48<<10)
	p.read = text
	arrive := func() {
		p.drain()
		p.run(func() bool { return p.a.Unacked() == 0 })
	}
	for range 2 {
		require.True(t, p.a.MayLend(len(text)))
		p.a.Lend(p.now, text, false, nil)
		p.a.EndLoan()
		arrive()
	}
	for range shyFor {
		require.False(t, p.a.MayLend(len(text)))
	}
	require.True(t, p.a.MayLend(len(text)))
	p.a.Lend(p.now, text, false, nil)
	arrive()
	p.a.EndLoan()
	require.Zero(t, p.a.snd.shy)
	require.True(t, p.a.MayLend(len(text)))
}

// TestLoanAcrossChunks: a segment that begins in one chunk that is lent and ends in another has memory of its own.
func TestLoanAcrossChunks(t *testing.T) {
	var s sendBuf
	text := []byte("0123456789")
	s.lend(100, text[:6])
	s.lend(106, text[6:])
	var out Payload
	s.payload(HeapAllocator{}, 102, 4, &out)
	require.True(t, out.Lent)
	out = Payload{}
	s.payload(HeapAllocator{}, 103, 5, &out)
	require.False(t, out.Lent)
	clear(text)
	require.Equal(t, "34567", string(out.Pieces[0].B))
}

// TestLoanSize: loans grow while they are taken in one piece, as far as the windows go.
func TestLoanSize(t *testing.T) {
	const unit = 64 << 10
	for _, tt := range []struct {
		name string
		do   func(a *TCB)
		room int
		want []int // of loans that are taken
	}{
		{"wide windows", func(a *TCB) {}, 4 * unit, []int{unit, 2 * unit, 4 * unit, 4 * unit}},
		{"the peer's window", func(a *TCB) { a.snd.wnd = 4*unit - 1 }, 9 * unit, []int{unit, 2 * unit, 2 * unit}},
		{"just enough", func(a *TCB) { a.snd.wnd = 4 * unit }, 9 * unit, []int{unit, 2 * unit, 4 * unit}},
		{"the congestion window", func(a *TCB) { a.cong.Cwnd = 8 }, 9 * unit, []int{unit, 2 * unit, 2 * unit}},
		{"the send buffer", func(a *TCB) { a.sndLimit, a.flags = 2*unit-1, a.flags|fSndLocked }, 9 * unit, []int{unit, unit}},
		{"a send buffer that grows with the congestion window", func(a *TCB) { a.sndLimit = 2*unit - 1 }, 9 * unit, []int{unit, 2 * unit, 4 * unit}},
		{"as far as it may", func(a *TCB) { a.sndLimit, a.env.cfg.Wmem[2] = 2*unit-1, 4*unit-1 }, 9 * unit, []int{unit, 2 * unit, 2 * unit}},
		{"the user's room", func(a *TCB) {}, 2*unit - 1, []int{unit, unit}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newRun(t)
			a := &p.a
			a.snd.wnd, a.cong.Cwnd, a.sndLimit = 100*unit, 1000, 100*unit
			tt.do(a)
			for _, want := range tt.want {
				require.Equal(t, want, a.LoanSize(unit))
				a.LoanTaken(want-1, tt.room, unit, 4*unit) // the end of a write
				require.Equal(t, want, a.LoanSize(unit))
				a.LoanTaken(want, tt.room, unit, 4*unit)
			}
			a.LoanTaken(1, 0, unit, 4*unit)
			require.Equal(t, unit, a.LoanSize(unit))
		})
	}
}
