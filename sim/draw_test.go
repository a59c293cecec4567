package sim

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDrawsAreUniform(t *testing.T) {
	// One draw for each packet of a flow, as links take them.
	const count = 100000
	var buckets [16]int
	ones := [64]int{}
	for k := range uint64(count) {
		d := newDraw(12345, k, 0, forLoss)
		v := d.next()
		buckets[v>>60]++
		for bit := range ones {
			ones[bit] += int(v >> bit & 1)
		}
	}
	for _, n := range buckets {
		require.InDelta(t, count/16, n, 5*math.Sqrt(count/16))
	}
	for _, n := range ones {
		require.InDelta(t, count/2, n, 5*math.Sqrt(count)/2)
	}
}

func TestDrawsDifferByWhatTheyAreAbout(t *testing.T) {
	seen := map[uint64]bool{}
	add := func(d draw) {
		v := d.next()
		require.False(t, seen[v])
		seen[v] = true
	}
	for number := range uint64(50) {
		for nth := range uint64(5) {
			for why := forLoss; why <= forQueue; why++ {
				add(newDraw(1, number, nth, why))
				add(newDraw(2, number, nth, why))
			}
		}
	}
}

// Decisions of one seed are the same on every machine and in every later version: they are part of what a seed means.
func TestDrawsAreForever(t *testing.T) {
	d := newDraw(1, 2, 3, forDelay)
	require.Equal(t, []uint64{0xa9549b4f02e95076, 0x406913bdd3e71682}, []uint64{d.next(), d.next()})
	require.Equal(t, []int64{76489, -6556}, []int64{d.normal(), d.pareto()})
	require.Equal(t, uint64(0x3a1bfde904093f9), flowOf(49152).hash())
}

func TestDistributions(t *testing.T) {
	const count = 200000
	for _, x := range []struct {
		name            string
		sample          func(d *draw) int64
		mean, sd        float64
		skew            float64
		least, greatest float64
		quantiles       map[float64]float64 // share below → value
	}{
		{"normal", (*draw).normal, 0, 1, 0, -6, 6, map[float64]float64{0.0228: -2, 0.1587: -1, 0.5: 0, 0.8413: 1, 0.9772: 2}},
		// Moments by integration: E[min(x, c)^k] for x = u^(-1/3) and c = 1.5 + 4·0.866; x has the quantiles (1-p)^(-1/3), here moved by 1.5 and scaled by 0.866.
		{"pareto", (*draw).pareto, -0.0234, 0.737, 2.91, -0.578, 4, map[float64]float64{0.5: -0.2772, 0.9: 0.7557, 0.99: 3.6276}},
	} {
		t.Run(x.name, func(t *testing.T) {
			var all []float64
			sum, squares, cubes := 0.0, 0.0, 0.0
			for k := range uint64(count) {
				d := newDraw(77, k, 0, forDelay)
				v := float64(x.sample(&d)) / 65536
				all = append(all, v)
				sum += v
				squares += v * v
				cubes += v * v * v
				require.True(t, v >= x.least && v <= x.greatest, v)
			}
			mean := sum / count
			sd := math.Sqrt(squares/count - mean*mean)
			require.InDelta(t, x.mean, mean, 0.01)
			require.InDelta(t, x.sd, sd, 0.01)
			require.InDelta(t, x.skew, (cubes/count-3*mean*sd*sd-mean*mean*mean)/(sd*sd*sd), 0.15)
			for p, value := range x.quantiles {
				below := 0
				for _, v := range all {
					if v < value {
						below++
					}
				}
				require.InDelta(t, p, float64(below)/count, 0.004, "share below %v", value)
			}
		})
	}
}

func TestRoots(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	values := []uint64{0, 1, 2, 7, 8, 9, 26, 27, 28, math.MaxUint64, math.MaxUint64 - 1, 1 << 63, 1 << 62, 2642245*2642245*2642245 - 1, 2642245 * 2642245 * 2642245}
	for range 2000 {
		values = append(values, rnd.Uint64()>>rnd.IntN(64))
	}
	pow := func(v uint64, n int) *big.Int {
		return new(big.Int).Exp(new(big.Int).SetUint64(v), big.NewInt(int64(n)), nil)
	}
	for _, v := range values {
		x := new(big.Int).SetUint64(v)
		for n, root := range map[int]uint64{3: cubeRoot(v), 2: squareRoot(v)} {
			require.LessOrEqual(t, pow(root, n).Cmp(x), 0, "root %d of %d", n, v)
			require.Positive(t, pow(root+1, n).Cmp(x), "root %d of %d", n, v)
		}
	}
}

func TestScale(t *testing.T) {
	require.Equal(t, 1500*time.Millisecond, scale(time.Second, 3<<15, 16))
	require.Equal(t, -1500*time.Millisecond, scale(time.Second, -3<<15, 16))
	require.Equal(t, maxDelay*4, scale(maxDelay, 4<<16, 16), "no overflow")
	require.Equal(t, -maxDelay, scale(maxDelay, -1<<31, 31))
}

func TestCorrelated(t *testing.T) {
	require.EqualValues(t, 1000, correlated(1000, 5, 0))
	require.EqualValues(t, 5, correlated(1000, 5, one))
	require.EqualValues(t, 502, correlated(1000, 5, one/2))
	require.EqualValues(t, uint32(math.MaxUint32), correlated(math.MaxUint32, math.MaxUint32, one/3)+1-1)
}

func TestBelow(t *testing.T) {
	var counts [7]int
	for k := range uint64(70000) {
		d := newDraw(5, k, 0, forCut)
		counts[d.below(7)]++
	}
	for _, n := range counts {
		require.InDelta(t, 10000, n, 500)
	}
}
