package tcp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLentText: small texts that have no owner arrive unaltered, whatever is lost, doubled or overtaken, and wherever they
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
				lone := 0
				p.lose = func(_ *pipe, _ bool, s *Segment) bool {
					if s.Payload.N > 0 && s.Payload.Pieces[0].Owner == nil {
						lone++
						require.Equal(t, CauseNewData, s.Cause)
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
					wrote[index(toB)] += p.write(!toB, b)
					if choose.IntN(4) > 0 {
						p.until(p.now + time.Duration(choose.IntN(60))*time.Millisecond)
					}
				}
				p.run(func() bool { return took == wrote })
				require.Equal(t, wrote, took, p.log())
				require.Positive(t, lone)
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

// TestKeptText: of text that SendLone has copied nothing goes out again, or together with more, but in memory with an owner.
func TestKeptText(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.a.SetNoDelay(true)
	p.drain()
	var s Segment
	require.True(t, p.a.Lone(100))
	sendLone(t, p.now, &p.a, make([]byte, 100), 100)
	require.Zero(t, p.alloc.out)
	require.Equal(t, 50, p.a.Write(p.now, make([]byte, 50)))
	require.True(t, p.a.Output(p.now, &s))
	require.Equal(t, 50, s.Payload.N)
	require.NotNil(t, s.Payload.Pieces[0].Owner)
	s.Payload.Release()
	again := false
	for range 2 { // the tail loss probe sends the second again, the timeout the first
		p.now = p.a.Deadline()
		p.a.Timeout(p.now)
		for p.a.Output(p.now, &s) {
			require.NotNil(t, s.Payload.Pieces[0].Owner)
			s.Payload.Release()
			again = again || s.Seq == p.a.snd.una
		}
	}
	require.True(t, again)

	q := newPipe(t)
	q.connect()
	require.True(t, q.a.Lone(100))
	sendLone(t, q.now, &q.a, make([]byte, 100), 100)
	require.False(t, q.a.Output(q.now, &s))
	q.now = q.a.Deadline()
	q.a.Timeout(q.now)
	require.True(t, q.a.Output(q.now, &s), "the probe")
	require.Equal(t, 100, s.Payload.N)
	require.NotNil(t, s.Payload.Pieces[0].Owner)
	s.Payload.Release()

	for name, n := range map[string]int{"no room": 100, "too much": smallText + 1} {
		q = newPipe(t)
		q.connect()
		s = sendLone(t, q.now, &q.a, make([]byte, n), 99)
		require.Equal(t, 1, q.alloc.out, name)
		require.NotNil(t, s.Payload.Pieces[0].Owner)
		require.True(t, q.a.txq()[0].is(markPSH))
		s.Payload.Release()
		q.a.Release()
		require.Zero(t, q.alloc.out)
	}
}
