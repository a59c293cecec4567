package tcp

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBorrowed: text that the receive queue has borrowed is read as any other, acknowledged when it is asked for, by one ACK, and of what nobody has read
// by the end of the loan there is a copy.
func TestBorrowed(t *testing.T) {
	whole := func(b *TCB, now time.Duration, n int) []byte {
		p := make([]byte, n)
		return p[:b.Read(now, p)]
	}
	for _, tt := range []struct {
		name string
		take func(b *TCB, now time.Duration) []byte // before the loan ends
		own  int                                    // of how many bytes there is a copy then
	}{
		{"all is read", func(b *TCB, now time.Duration) []byte { return whole(b, now, 1<<20) }, 0},
		{"nothing is read", func(b *TCB, now time.Duration) []byte { return nil }, 48 << 10},
		{"a part is read", func(b *TCB, now time.Duration) []byte { return whole(b, now, 20_000) }, 48<<10 - 20_000},
		{"looked at", func(b *TCB, now time.Duration) []byte {
			require.Equal(t, 48<<10, b.Peek(make([]byte, 1<<20), 0))
			return nil
		}, 48 << 10},
		{"taken with its memory", func(b *TCB, now time.Duration) []byte {
			q, ok := b.TakePiece(now, 10_000)
			require.True(t, ok)
			require.NotEqual(t, borrowed{}, q.Owner)
			defer q.Owner.Release()
			return bytes.Clone(q.B)
		}, 48<<10 - 10_000},
		{"dropped", func(b *TCB, now time.Duration) []byte {
			p := make([]byte, 5000)
			require.Equal(t, len(p), b.Peek(p, 0))
			require.Equal(t, len(p), b.Discard(now, len(p)))
			return p
		}, 48<<10 - 5000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, room := range []int{0, most} {
				p := newRun(t)
				p.b.flags |= fRcvLocked
				p.b.rwin.ssthresh = p.b.rwin.clamp
				p.a.ack.quick, p.b.ack.quick = 0, 0
				text := make([]byte, 48<<10)
				require.True(t, p.a.MayLend(len(text)))
				p.a.Lend(p.now, text, false, nil)
				for _, s := range sendRun(t, p.now, &p.a, text) { // that are seen to be full
					require.True(t, p.b.InputHeld(p.now, &s, 1, len(text)))
				}
				p.b.HeldRead(p.now, len(text))
				p.drain()
				p.run(func() bool { return p.a.Unacked() == 0 })
				p.a.EndLoan()
				p.a.snd.shy = 0
				p.b.TakeEvents()
				for i := range text {
					text[i] = textAt(i)
				}
				want := bytes.Clone(text)
				require.True(t, p.a.MayLend(len(text)))
				p.a.Lend(p.now, text, false, nil)
				for _, j := range sendJoined(t, p.now, &p.a, text, room) {
					require.True(t, p.b.InputBorrowed(p.now, &j.Segment, j.segs))
				}
				require.Equal(t, EvReadable, p.b.TakeEvents())
				require.Equal(t, len(text), p.b.Readable())
				out := p.alloc.out
				var none Segment
				require.False(t, p.b.Output(p.now, &none), "no ACK before it is asked for")
				p.b.AckBorrowed()
				require.True(t, p.b.LoneAck())
				ack := sendAck(t, p.now, &p.b)
				p.b.AckBorrowed()
				require.False(t, p.b.LoneAck(), "nothing is owed any more")
				p.a.Input(p.now, &ack)
				require.True(t, p.a.LoanOver())
				require.False(t, p.b.Output(p.now, &none))

				got := tt.take(&p.b, p.now)
				require.Equal(t, out, p.alloc.out, "nothing was copied so far")
				require.Equal(t, tt.own, p.b.OwnBorrowed())
				require.Zero(t, p.b.OwnBorrowed(), "once")
				clear(text)
				got = append(got, whole(&p.b, p.now, len(text))...)
				require.True(t, bytes.Equal(want, got))
				require.Equal(t, p.b.rcv.nxt, p.b.rcv.read)
				require.Equal(t, out, p.alloc.out, "the copies are given back")
			}
		})
	}
}

// TestNothingIsAddedToBorrowed: memory that is borrowed is not TCP's, and text that comes later is not put behind it.
func TestNothingIsAddedToBorrowed(t *testing.T) {
	p := newPipe(t)
	var r recvBuf
	lent := func(s string) *Payload { return &Payload{Pieces: [2]Piece{{B: []byte(s)}}, N: len(s), Lent: true} }
	r.append(&p.alloc, lent("one "))
	whole := []byte("two and more")
	r.borrow(whole[:4])
	r.append(&p.alloc, lent("three"))
	require.Equal(t, "two and more", string(whole))
	require.Equal(t, 4, r.own(&p.alloc))
	got := make([]byte, 20)
	require.Equal(t, "one two three", string(got[:r.read(got)]))
	require.Zero(t, p.alloc.out)
}
