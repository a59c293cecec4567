package socket

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIPRoundTrip(t *testing.T) {
	for _, text := range []string{"127.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "::", "2001:db8::1", "fe80::1"} {
		a := netip.MustParseAddr(text)
		require.Equal(t, a, ipOf(a).addr())
		require.Equal(t, a.Is4(), ipOf(a).is4())
	}
}

func key(n int) flowKey {
	return flowKey{
		local: ipOf(loopback4), remote: ipOf(netip.AddrFrom4([4]byte{127, 0, byte(n >> 24), 1})),
		lport: uint16(n), rport: uint16(n >> 16),
	}
}

func TestFlowHashIsSymmetric(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		k := flowKey{local: ip{r.Uint64(), r.Uint64()}, remote: ip{r.Uint64(), r.Uint64()}, lport: uint16(r.Uint32()), rport: uint16(r.Uint32())}
		if r.IntN(2) == 0 {
			k.local, k.remote = ip4([]byte{127, 0, 0, byte(r.IntN(4))}), ip4([]byte{127, 0, 0, byte(r.IntN(4))})
		}
		back := flowKey{local: k.remote, remote: k.local, lport: k.rport, rport: k.lport}
		require.Equal(t, k.hash(protoTCP), back.hash(protoTCP))
	}
}

// TestFlowTableAgainstMap drives the table and a map with the same operations.
func TestFlowTableAgainstMap(t *testing.T) {
	table := flowTable[int]{proto: protoTCP}
	model := map[flowKey]*flowNode[int]{}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 20000 {
		k := key(r.IntN(3000))
		growing := i/5000%2 == 0 // then shrinking: resizes both ways
		switch have := model[k]; {
		case have == nil && (growing || r.IntN(8) == 0):
			n := &flowNode[int]{key: k, val: i}
			require.True(t, table.insert(n))
			model[k] = n
		case have != nil && !growing:
			require.True(t, table.remove(have))
			require.False(t, table.remove(have))
			delete(model, k)
		case have != nil:
			require.False(t, table.insert(&flowNode[int]{key: k}), "the name is taken")
		}
		probe := key(r.IntN(3000))
		require.Equal(t, model[probe], table.find(&probe, probe.hash(protoTCP)))
	}
	require.Equal(t, len(model), table.count)
	require.Len(t, table.all(), len(model))
	for _, n := range model {
		require.True(t, table.remove(n))
	}
	require.EqualValues(t, minBuckets, table.size(), "it has shrunk again")
	require.Nil(t, table.segments[2].Load())
}

// TestFlowTableBuckets: whatever the size, a hash has one bucket among those there are; a bucket more takes hashes from
// one other only; and every bucket has a place.
func TestFlowTableBuckets(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for size := uint32(minBuckets); size < 3000; size++ {
		sibling := bucketOf(size, shapeOf(size))
		for range 50 {
			h := r.Uint32()
			before, after := bucketOf(h, shapeOf(size)), bucketOf(h, shapeOf(size+1))
			if before >= size || after != before && (after != size || before != sibling) {
				t.Fatalf("hash %#x: bucket %d of %d, then %d", h, before, size, after)
			}
		}
		k, first := segmentOf(size)
		if size < first || size-first >= max(first, minBuckets) || k >= flowSegments {
			t.Fatalf("bucket %d is in segment %d from %d on", size, k, first)
		}
	}
}

// TestFlowTableLookupsDuringResize: a node that stays in the table is found by
// every look-up, whatever the others do.
func TestFlowTableLookupsDuringResize(t *testing.T) {
	table := flowTable[int]{proto: protoTCP}
	const stay = 64
	for i := range stay {
		require.True(t, table.insert(&flowNode[int]{key: key(i), val: i}))
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for range 30 {
			var nodes []*flowNode[int]
			for i := range 2000 {
				n := &flowNode[int]{key: key(stay + i)}
				table.insert(n)
				nodes = append(nodes, n)
			}
			for _, n := range nodes {
				table.remove(n)
			}
		}
		close(done)
	})
	for range 2 {
		wg.Go(func() {
			for {
				for i := range stay {
					k := key(i)
					n := table.find(&k, k.hash(protoTCP))
					if n == nil || n.val != i {
						t.Errorf("node %d: got %v", i, n)
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
}
