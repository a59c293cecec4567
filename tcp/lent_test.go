package tcp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLentText: small texts that are lent arrive unaltered, whatever is lost, doubled or overtaken, and wherever they
// have to wait. The wire and the TCBs use the memory again as early as they may.
func TestLentText(t *testing.T) {
	for _, into := range []bool{false, true} {
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("into %v seed %d", into, seed), func(t *testing.T) {
				p := newPipe(t)
				p.room = 256
				p.connect()
				choose := rand.New(rand.NewPCG(seed, 1))
				if seed > 0 {
					p.rng, p.drop, p.dup, p.reord = rand.New(rand.NewPCG(seed, 2)), 0.05, 0.05, 0.1
					p.jitter = 30 * time.Millisecond
				}
				p.read, p.into = make([]byte, 4096), into
				lent := 0
				p.lose = func(_ *pipe, _ bool, s *Segment) bool {
					if s.Payload.Lent {
						lent++
						require.NotEqual(t, CauseRetransmitRTO, s.Cause)
					}
					return p.rng != nil && p.rng.Float64() < p.drop
				}
				var wrote, took [2]int // towards A and B; the text is a function of the position
				p.sink = func(atB bool, b []byte) {
					for _, c := range b {
						if c != textAt(took[index(atB)]) {
							t.Fatalf("octet %d is %#x\n%s", took[index(atB)], c, p.log())
						}
						took[index(atB)]++
					}
				}
				for range 300 {
					toB := choose.IntN(2) == 0
					n := []int{1 + choose.IntN(20), 1 + choose.IntN(300), 1 + choose.IntN(3000)}[choose.IntN(3)]
					b := make([]byte, n)
					for i := range b {
						b[i] = textAt(wrote[index(toB)] + i)
					}
					wrote[index(toB)] += p.end(!toB).Write(p.now, b)
					p.drain()
					if choose.IntN(4) > 0 {
						p.until(p.now + time.Duration(choose.IntN(60))*time.Millisecond)
					}
				}
				p.run(func() bool { return took == wrote })
				require.Equal(t, wrote, took, p.log())
				require.Positive(t, lent)
				p.until(p.now + time.Minute)
				require.Zero(t, p.alloc.out)
			})
		}
	}
}

func textAt(i int) byte { return byte(i*7 + i>>8) }

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestLentOnceOnly: what has to be sent again, or together with more, is given in memory with an owner.
func TestLentOnceOnly(t *testing.T) {
	p := newPipe(t)
	p.room = 256
	p.connect()
	p.a.SetNoDelay(true)
	p.drain()
	var s Segment
	require.Equal(t, 100, p.a.Write(p.now, make([]byte, 100)))
	require.True(t, p.a.Output(p.now, &s))
	require.True(t, s.Payload.Lent)
	require.Equal(t, 100, s.Payload.N)
	require.Zero(t, p.alloc.out)
	require.Equal(t, 50, p.a.Write(p.now, make([]byte, 50)))
	require.True(t, p.a.Output(p.now, &s))
	require.False(t, s.Payload.Lent)
	require.NotNil(t, s.Payload.Pieces[0].Owner)
	s.Payload.Release()
	again := false
	for range 2 { // the tail loss probe sends the second again, the timeout the first
		p.now = p.a.Deadline()
		p.a.Timeout(p.now)
		for p.a.Output(p.now, &s) {
			require.False(t, s.Payload.Lent)
			require.NotNil(t, s.Payload.Pieces[0].Owner)
			s.Payload.Release()
			again = again || s.Seq == p.a.snd.una
		}
	}
	require.True(t, again)

	q := newPipe(t)
	q.room = 256
	q.connect()
	require.Equal(t, 100, q.a.Write(q.now, make([]byte, 100)))
	require.True(t, q.a.Output(q.now, &s))
	require.True(t, s.Payload.Lent)
	require.False(t, q.a.Output(q.now, &s))
	q.now = q.a.Deadline()
	q.a.Timeout(q.now)
	require.True(t, q.a.Output(q.now, &s), "the probe")
	require.Equal(t, 100, s.Payload.N)
	require.False(t, s.Payload.Lent)
	require.NotNil(t, s.Payload.Pieces[0].Owner)
	s.Payload.Release()

	q = newPipe(t)
	q.room = 256
	q.connect()
	require.Equal(t, 300, q.a.Write(q.now, make([]byte, 300)), "too much for the room")
	require.True(t, q.a.Output(q.now, &s))
	require.False(t, s.Payload.Lent)
	require.NotNil(t, s.Payload.Pieces[0].Owner)
	s.Payload.Release()
}
