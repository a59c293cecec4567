package workload

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSharesHandOutEverythingOnce(t *testing.T) {
	for _, tt := range []struct {
		name       string
		workers, n int
		block      int64
	}{
		{"nothing", 3, 0, 1},
		{"fewer than workers", 4, 2, 1},
		{"not a multiple", 3, 1000, 5},
		{"many", 2, 100_001, 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			work := among(tt.workers, tt.n)
			require.Equal(t, tt.block, work.block)
			var done atomic.Int64
			var wg sync.WaitGroup
			for range tt.workers {
				wg.Go(func() {
					for n := work.next(); n > 0; n = work.next() {
						done.Add(int64(n))
					}
				})
			}
			wg.Wait()
			require.Equal(t, int64(tt.n), done.Load())
			require.Zero(t, work.next(), "nothing is left")
		})
	}
	one := alone(1000)
	require.Equal(t, 1000, one.next(), "in one block")
	require.Zero(t, one.next())
}
