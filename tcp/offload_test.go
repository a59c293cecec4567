package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOffloadSegs: as many segments go at once as the pacing rate has in a millisecond, and 64 KiB more, halved for each half a millisecond of the
// least round trip (tcp_tso_autosize, with tcp_tso_rtt_log of 9).
func TestOffloadSegs(t *testing.T) {
	const gsoMax = 1<<16 - 1 - 320
	for _, tt := range []struct {
		name        string
		least, srtt time.Duration
		want        int // bytes, of segments of 100
	}{
		{"a short path", 511 * time.Microsecond, time.Second, gsoMax},
		{"a short path, and nothing known", 0, 0, gsoMax},
		{"a longer one", 512 * time.Microsecond, time.Second, gsoMax>>1 + 2*10*100/1024},
		{"longer", 1024 * time.Microsecond, time.Second, gsoMax>>2 + 2*10*100/1024},
		{"long", time.Second, time.Second, 200},
		{"long and fast", 20 * time.Millisecond, 10 * time.Microsecond, gsoMax},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPipe(t)
			p.connect()
			p.a.cong.Cwnd, p.a.cong.Ssthresh = 10, 1000
			p.a.minRTT = MinRTT{curr: tt.least}
			p.a.rtt.srtt = uint32(micros(tt.srtt)) << 3
			require.Equal(t, tt.want/100, p.a.offloadSegs(100))
		})
	}
}
