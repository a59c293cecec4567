package socket

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
)

// TestDgramQueue runs a queue against a slice. Whatever is done with the packets
// that were read, datagrams come out as they went in, and none is given up twice
// or not at all.
func TestDgramQueue(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(9, seed))
		pool := &device.Pool{Audit: true}
		nic := device.NewNIC(device.Config{Pool: pool})
		require.True(t, nic.Ring(0))
		var q dgramQueue
		var want []dgram
		most := 1 + rng.IntN(400)
		for range 5000 {
			switch rng.IntN(4) {
			case 0, 1:
				if len(want) > most {
					continue
				}
				p := nic.NewPacket(0, true)
				p.SetHead(4)
				if rng.IntN(3) == 0 {
					b := pool.Get(600)
					p.Frags[0] = device.Piece{B: b.Bytes(), Owner: b}
				}
				d := dgram{p, ip{1, rng.Uint64()}, uint16(rng.Uint32())}
				want = append(want, d)
				q.push(p, d.from, d.port)
			case 2:
				if len(want) == 0 {
					continue
				}
				d := q.front()
				require.Equal(t, want[0], *d)
				if d.inline() {
					q.retire()
				} else {
					q.pop().Release()
				}
				want = want[1:]
			case 3:
				q.recycle(nic, 0)
			}
			require.Equal(t, len(want), q.len())
			require.Equal(t, int64(len(want)), pool.Stats().PacketsOut)
			require.LessOrEqual(t, q.first-q.spent, uint(maxSpent+most))
		}
		require.LessOrEqual(t, len(q.slots), 1024)
		q.clear()
		require.Zero(t, pool.Stats().PacketsOut)
		require.Zero(t, pool.Stats().BufsOut)
	}
}

// TestDgramQueueGivesBack: packets that were read and those that were not go back when the socket is closed. They
// came over a ring, so nobody else would give their memory back.
func TestDgramQueueGivesBack(t *testing.T) {
	pool := new(device.Pool)
	nic := device.NewNIC(device.Config{Pool: pool})
	require.True(t, nic.Ring(0))
	var q dgramQueue
	const n = 100
	for range n {
		require.Equal(t, device.TxOK, nic.Transmit(0, pool.NewPacket()))
	}
	require.Equal(t, n, nic.Poll(0, 0, n, func(p *device.Packet) { q.push(p, anyV4, 1) }))
	for range n - 10 {
		q.retire()
	}
	q.clear()
	before := pool.Stats().PacketsAllocated
	for range n {
		pool.NewPacket()
	}
	require.Equal(t, before, pool.Stats().PacketsAllocated)
}
