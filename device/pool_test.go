package device

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPoolClasses(t *testing.T) {
	pool := &Pool{Audit: true}
	for _, c := range []struct{ n, want int }{
		{-1, 512}, {0, 512}, {1, 512}, {512, 512}, {513, 2048}, {2048, 2048}, {2049, 18432}, {DefaultMTU, 18432}, {18432, 18432},
		{18433, 65536}, {MaxPacket, 65536}, {MaxBuf, 65536}, {65537, 65537}, {1 << 20, 1 << 20},
	} {
		b := pool.Get(c.n)
		require.Len(t, b.Bytes(), c.want, c.n)
		require.EqualValues(t, 1, pool.Stats().BufsOut)
		b.Release()
		require.Zero(t, pool.Stats().BufsOut)
	}
}

// TestPoolRecycles: what is released is used again, once nobody refers to it any more, unless it is too
// large.
func TestPoolRecycles(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool forgets at random")
	}
	var pool Pool
	b := pool.Get(600)
	b.Retain()
	b.Release()
	require.NotSame(t, b, pool.Get(600), "still in use")
	b.Release()
	require.Same(t, b, pool.Get(1500))
	require.EqualValues(t, 2, pool.Stats().BufsAllocated)

	large := pool.Get(MaxBuf + 1)
	large.Release()
	require.NotSame(t, large, pool.Get(MaxBuf+1))

	p := pool.NewPacket()
	p.Release()
	require.Same(t, p, pool.NewPacket())
	require.EqualValues(t, 1, pool.Stats().PacketsAllocated)
	require.False(t, pool.Stats().Audited)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b := pool.Get(2000)
		b.Retain()
		b.Release()
		b.Release()
		pool.NewPacket().Release()
	}))
}

// TestPoolForgets: what lies idle goes back to the garbage collector.
func TestPoolForgets(t *testing.T) {
	var pool Pool
	freed := make(chan bool)
	b := pool.Get(MaxBuf)
	runtime.AddCleanup(b, func(c chan bool) { close(c) }, freed)
	b.Release()
	b = nil
	for range 10 {
		runtime.GC()
		select {
		case <-freed:
			return
		case <-time.After(time.Second):
		}
	}
	t.Fatal("the chunk is still there")
}

func TestNewPacketIsClean(t *testing.T) {
	var pool Pool
	for range 10 {
		p := pool.NewPacket()
		require.Empty(t, p.Head)
		require.Equal(t, MaxHead, cap(p.Head))
		require.Equal(t, MaxHead, len(p.SetHead(MaxHead)))
		require.Equal(t, p.Head, p.inline[:])
		require.Panics(t, func() { p.SetHead(MaxHead + 1) })
		want := Packet{pool: &pool, state: p.state, inline: p.inline}
		want.Head = p.Head
		require.Equal(t, want, *p)
		b := pool.Get(100)
		b.Retain()
		b.Retain()
		*p = Packet{
			Head: b.Bytes(), HeadOwner: b, Frags: [2]Piece{{b.Bytes(), b}, {b.Bytes(), b}}, At: 1, Hash: 2,
			CsumStart: 3, CsumOffset: 4, Flags: 5, Queue: 6, pool: &pool, state: p.state,
		}
		p.Release()
	}
}

func TestPacketBytes(t *testing.T) {
	var pool Pool
	p := pool.NewPacket()
	require.Zero(t, p.Len())
	require.Empty(t, p.AppendTo(nil))
	copy(p.SetHead(3), "abc")
	p.Frags = [2]Piece{{B: []byte("de")}, {B: []byte("f")}}
	require.Equal(t, 6, p.Len())
	require.Equal(t, "xabcdef", string(p.AppendTo([]byte("x"))))
	p.Release()
	(&Packet{Head: []byte("of no pool")}).Release()
}

// TestPacketReleasesOwners: a packet gives up one reference to each owner.
func TestPacketReleasesOwners(t *testing.T) {
	pool := &Pool{Audit: true}
	p := pool.NewPacket()
	p.HeadOwner = pool.Get(1)
	p.Frags[0].Owner = pool.Get(1)
	p.Frags[1].Owner = p.Frags[0].Owner
	p.Frags[1].Owner.Retain()
	kept := pool.Get(1)
	require.EqualValues(t, 3, pool.Stats().BufsOut)
	p.Release()
	require.EqualValues(t, 1, pool.Stats().BufsOut)
	require.Zero(t, pool.Stats().PacketsOut)
	kept.Release()
}

func TestReleasedTooOften(t *testing.T) {
	pool := &Pool{Audit: true}
	b := pool.Get(1)
	b.Release()
	require.PanicsWithValue(t, "device: Buf released more often than retained", b.Release)
	p := pool.NewPacket()
	p.Release()
	require.PanicsWithValue(t, "device: Packet released twice", p.Release)
	large := pool.Get(MaxBuf + 1)
	large.Release()
	require.Panics(t, large.Release)
}

// TestReferencesConcurrent: references counted by several goroutines at the same time; the last one, and
// no earlier one, gives the chunk back.
func TestReferencesConcurrent(t *testing.T) {
	pool := &Pool{Audit: true}
	for round := range stress(5000) {
		b := pool.Get(64)
		b.Bytes()[0] = byte(round)
		var wg sync.WaitGroup
		for range 3 {
			b.Retain()
			wg.Go(func() {
				b.Retain()
				if b.Bytes()[0] != byte(round) {
					t.Error("reused while in use")
				}
				b.Release()
				b.Release()
			})
		}
		b.Release()
		wg.Wait()
		require.Zero(t, pool.Stats().BufsOut)
	}
}

// TestPoolAcrossCores: chunks got on one goroutine and released on another never have two users.
func TestPoolAcrossCores(t *testing.T) {
	pool := &Pool{Audit: true}
	ch := make(chan *Buf, 16)
	var wg sync.WaitGroup
	for g := range byte(3) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(g)))
			for range stress(10000) {
				b := pool.Get(rng.IntN(MaxBuf))
				b.Bytes()[0] = g
				runtime.Gosched()
				if b.Bytes()[0] != g {
					t.Error("two users")
				}
				ch <- b
			}
		})
	}
	var releasers sync.WaitGroup
	for range 2 {
		releasers.Go(func() {
			for b := range ch {
				b.Release()
			}
		})
	}
	wg.Wait()
	close(ch)
	releasers.Wait()
	require.Zero(t, pool.Stats().BufsOut)
}
