package sim_test

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/sim"
	"example.com/loopback/socket"
	"github.com/stretchr/testify/require"
)

// TestTransfersArriveIntact: 10 MB each way at once, by hash, over a link that
// drops, duplicates, reorders and corrupts 5 % of the packets each, for 50
// seeds, IPv4 and IPv6 in turn; and no packet gets lost without a name.
func TestTransfersArriveIntact(t *testing.T) {
	seeds, size := 50, 10_000_000
	if testing.Short() {
		seeds, size = 4, 2_000_000
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { transfer(t, uint64(seed+1), size) })
		})
	}
}

func transfer(t *testing.T, seed uint64, size int) {
	link, err := sim.NewImpaired(sim.ImpairConfig{
		Seed: seed, Log: -1,
		Rules: []sim.Rule{{Both: true, Impairment: sim.Impairment{
			Loss: 0.05, Duplicate: 0.05, Reorder: 0.05, Corrupt: 0.05, Delay: time.Millisecond,
		}}},
	})
	require.NoError(t, err)
	s := socket.New(socket.Config{Seed: seed, Link: link})
	addr := [...]string{"127.0.0.1:631", "[::1]:631"}[seed%2]
	l, err := s.Listen("tcp", addr)
	require.NoError(t, err)
	c, err := s.Dial("tcp", addr)
	require.NoError(t, err)
	d, err := l.Accept()
	require.NoError(t, err)

	var wg sync.WaitGroup
	sent, got := [2]hash.Hash{sha256.New(), sha256.New()}, [2]hash.Hash{sha256.New(), sha256.New()}
	for i, ends := range [2][2]net.Conn{{c, d}, {d, c}} {
		wg.Go(func() {
			src := io.LimitReader(rand.NewChaCha8([32]byte{byte(seed), byte(i)}), int64(size))
			if _, err := io.Copy(io.MultiWriter(ends[0], sent[i]), src); err != nil {
				t.Error(err)
			}
			if err := ends[0].(*socket.TCPConn).CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			n, err := io.Copy(got[i], ends[1])
			if err != nil || n != int64(size) {
				t.Errorf("received %d of %d bytes: %v", n, size, err)
			}
		})
	}
	wg.Wait()
	for i := range sent {
		require.Equal(t, sent[i].Sum(nil), got[i].Sum(nil), "direction %d", i)
	}
	require.NoError(t, c.Close())
	require.NoError(t, d.Close())
	require.NoError(t, l.Close())
	time.Sleep(5 * time.Minute) // what is still on its way arrives, TIME-WAIT ends
	synctest.Wait()
	require.Empty(t, s.Sockets())
	require.True(t, s.Conservation().Holds(), "%+v", s.Conservation())
	stats := link.Stats()
	require.True(t, stats.Balanced(), "%+v", stats)
	require.NotZero(t, stats.Drops(), "the link was supposed to lose packets")
}
