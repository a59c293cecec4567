package tcp

import (
	"math"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/require"
)

// windowOf returns a window in the middle of a connection's life.
func windowOf(cwnd, ssthresh uint32) Window {
	var w Window
	w.Init(0, 10)
	w.Cwnd, w.Ssthresh = cwnd, ssthresh
	return w
}

func TestWindowInit(t *testing.T) {
	var w Window
	w.Init(5, 10)
	require.Equal(t, uint32(10), w.Cwnd)
	require.Equal(t, uint32(0x7fffffff), w.Ssthresh, "tcpi_snd_ssthresh of a new connection on Linux")
	require.True(t, w.InSlowStart())
	w.Init(5, 0)
	require.Equal(t, uint32(1), w.Cwnd, "a window of nothing could never open")
}

func TestWindowSlowStart(t *testing.T) {
	tests := []struct {
		name                         string
		cwnd, ssthresh, clamp, acked uint32
		want, left                   uint32
	}{
		{"one", 10, InfiniteSsthresh, math.MaxUint32, 1, 11, 0},
		{"a stretch ACK", 10, InfiniteSsthresh, math.MaxUint32, 10, 20, 0},
		{"up to ssthresh", 10, 15, math.MaxUint32, 8, 15, 3},
		{"at ssthresh already", 15, 15, math.MaxUint32, 8, 15, 8},
		{"above ssthresh", 20, 15, math.MaxUint32, 8, 20, 8},
		{"the clamp", 10, InfiniteSsthresh, 12, 8, 12, 0},
		{"a clamp of nothing leaves one", 1, 5, 0, 3, 1, 0},
		{"nothing", 10, 15, math.MaxUint32, 0, 10, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := windowOf(tt.cwnd, tt.ssthresh)
			w.Clamp = tt.clamp
			require.Equal(t, tt.left, w.SlowStart(tt.acked))
			require.Equal(t, tt.want, w.Cwnd)
		})
	}
}

func TestWindowCongAvoid(t *testing.T) {
	t.Run("one segment per window", func(t *testing.T) {
		w := windowOf(10, 10)
		for i := range 9 {
			w.CongAvoid(w.Cwnd, 1)
			require.Equal(t, uint32(10), w.Cwnd, "ACK %d", i+1)
		}
		w.CongAvoid(w.Cwnd, 1)
		require.Equal(t, uint32(11), w.Cwnd)
		require.Zero(t, w.CwndCnt)
	})
	t.Run("stretch ACKs count in full", func(t *testing.T) {
		w := windowOf(10, 10)
		w.CongAvoid(10, 25)
		require.Equal(t, uint32(12), w.Cwnd)
		require.Equal(t, uint32(5), w.CwndCnt)
	})
	t.Run("credit from a slower slope pays for one segment", func(t *testing.T) {
		w := windowOf(10, 10)
		w.CwndCnt = 1000
		w.CongAvoid(10, 1)
		require.Equal(t, uint32(11), w.Cwnd)
		require.Equal(t, uint32(1), w.CwndCnt)
	})
	t.Run("the clamp", func(t *testing.T) {
		w := windowOf(10, 10)
		w.Clamp = 11
		w.CongAvoid(1, 100)
		require.Equal(t, uint32(11), w.Cwnd)
	})
	t.Run("no slope at all", func(t *testing.T) {
		w := windowOf(10, 10)
		w.CongAvoid(0, 2)
		require.Equal(t, uint32(12), w.Cwnd)
	})
	t.Run("at the end of the numbers", func(t *testing.T) {
		w := windowOf(math.MaxUint32-1, 10)
		w.CongAvoid(1, math.MaxUint32)
		require.Equal(t, uint32(math.MaxUint32), w.Cwnd)
	})
}

// TestWindowCongAvoidSplit: how acknowledgments are bundled does not change the window.
func TestWindowCongAvoidSplit(t *testing.T) {
	check := func(per uint8, acks []uint8) bool {
		p := uint32(per) + 1
		whole, parts := windowOf(10, 10), windowOf(10, 10)
		for _, n := range acks {
			whole.CongAvoid(p, uint32(n))
			for range n {
				parts.CongAvoid(p, 1)
			}
		}
		return whole == parts
	}
	require.NoError(t, quick.Check(check, nil))
}

func TestWindowCurrentSsthresh(t *testing.T) {
	for _, tt := range [][3]uint32{{100, 20, 75}, {100, 90, 90}, {7, 2, 4}, {10, InfiniteSsthresh, InfiniteSsthresh}} {
		w := windowOf(tt[0], tt[1])
		require.Equal(t, tt[2], w.CurrentSsthresh(), "cwnd %d, ssthresh %d", tt[0], tt[1])
	}
}

func TestWindowIsLimited(t *testing.T) {
	tests := []struct {
		name           string
		cwnd, ssthresh uint32
		out            uint32
		full           bool
		want           bool
	}{
		{"slow start, window full", 10, 100, 10, true, true},
		{"slow start, more than half", 10, 100, 6, false, true},
		{"slow start, half", 10, 100, 5, false, false},
		{"congestion avoidance, window full", 10, 10, 10, true, true},
		{"congestion avoidance, nearly", 10, 10, 9, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := windowOf(tt.cwnd, tt.ssthresh)
			w.Validate(Usage{Una: 0, Nxt: 1000, Out: tt.out, Limited: tt.full})
			require.Equal(t, tt.want, w.IsLimited())
		})
	}
}

// TestWindowLimitedForARoundTrip: once the window was full, it counts as full until the round trip is
// over, and the largest flight of a round trip is the one that counts.
func TestWindowLimitedForARoundTrip(t *testing.T) {
	w := windowOf(10, 10)
	w.Validate(Usage{Una: 0, Nxt: 1000, Out: 10, Limited: true})
	w.Validate(Usage{Una: 500, Nxt: 1200, Out: 5})
	require.True(t, w.IsLimited(), "SND.UNA is still in the round trip")
	w.Validate(Usage{Una: 1000, Nxt: 1500, Out: 5})
	require.False(t, w.IsLimited(), "a new round trip")

	w = windowOf(10, 100)
	w.Validate(Usage{Una: 0, Nxt: 1000, Out: 3})
	require.False(t, w.IsLimited())
	w.Validate(Usage{Una: 10, Nxt: 1100, Out: 8})
	w.Validate(Usage{Una: 20, Nxt: 1100, Out: 2})
	require.True(t, w.IsLimited(), "8 were out in this round trip")

	w = windowOf(10, 100)
	w.Validate(Usage{Una: 0, Nxt: 1000, Out: 8})
	w.Validate(Usage{Una: 500, Nxt: 1500, Out: 8})
	w.Validate(Usage{Una: 1000, Nxt: 1600, Out: 2})
	require.False(t, w.IsLimited(), "a flight as large as the largest does not make the round trip longer")
}

func TestWindowValidateShrinks(t *testing.T) {
	const rto = 200 * ms
	use := func(w *Window, at time.Duration, out uint32, shrink bool) {
		seq := Seq(at / ms) // every call in a round trip of its own
		w.Validate(Usage{Now: at, RTO: rto, Una: seq, Nxt: seq + 1, Out: out, Shrink: shrink})
	}
	t.Run("half of the way to what is used, once per RTO", func(t *testing.T) {
		w := windowOf(100, 50)
		use(&w, 199*ms, 20, true)
		require.Equal(t, uint32(100), w.Cwnd, "not before an RTO has passed")
		use(&w, 200*ms, 12, true)
		require.Equal(t, uint32(60), w.Cwnd, "(100 + 20) / 2")
		require.Equal(t, uint32(75), w.Ssthresh, "three quarters of 100 are remembered")
		use(&w, 399*ms, 12, true)
		require.Equal(t, uint32(60), w.Cwnd)
		use(&w, 400*ms, 12, true)
		require.Equal(t, uint32(36), w.Cwnd, "(60 + 12) / 2: the 20 are forgotten")
	})
	t.Run("not below the initial window", func(t *testing.T) {
		w := windowOf(12, 5)
		use(&w, time.Second, 1, true)
		require.Equal(t, uint32(11), w.Cwnd)
		w = windowOf(10, 5)
		use(&w, time.Second, 1, true)
		require.Equal(t, uint32(10), w.Cwnd)
		require.Equal(t, uint32(5), w.Ssthresh)
	})
	t.Run("not when it is not wanted", func(t *testing.T) {
		w := windowOf(100, 50)
		use(&w, time.Hour, 1, false)
		require.Equal(t, uint32(100), w.Cwnd)
	})
	t.Run("not when it was used up lately", func(t *testing.T) {
		w := windowOf(100, 50)
		w.Validate(Usage{Now: time.Second, RTO: rto, Una: 1, Nxt: 2, Out: 100, Limited: true, Shrink: true})
		use(&w, time.Second+199*ms, 1, true)
		require.Equal(t, uint32(100), w.Cwnd)
	})
}

func TestWindowRestartAfterIdle(t *testing.T) {
	const rto = 200 * ms
	tests := []struct {
		name           string
		cwnd, ssthresh uint32
		idle           time.Duration
		want, thresh   uint32
	}{
		{"just sent", 100, 50, 0, 100, 50},
		{"an RTO exactly", 100, 50, rto, 100, 50},
		{"more than one", 100, 50, rto + 1, 50, 75},
		{"two", 100, 50, 2 * rto, 50, 75},
		{"more than two", 100, 50, 2*rto + 1, 25, 75},
		{"down to the initial window", 100, 50, time.Hour, 10, 75},
		{"a window below the initial one stays", 4, 2, time.Hour, 4, 3},
		{"a new connection", 10, InfiniteSsthresh, time.Hour, 10, InfiniteSsthresh},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := windowOf(tt.cwnd, tt.ssthresh)
			w.RestartAfterIdle(time.Hour, tt.idle, rto)
			require.Equal(t, tt.want, w.Cwnd)
			require.Equal(t, tt.thresh, w.Ssthresh)
		})
	}
	t.Run("no RTO at all ends nevertheless", func(t *testing.T) {
		w := windowOf(math.MaxUint32, 5)
		w.RestartAfterIdle(0, math.MaxInt64, 0)
		require.Equal(t, uint32(10), w.Cwnd)
	})
}

func TestSelect(t *testing.T) {
	for name, want := range map[string]string{"": "cubic", "cubic": "cubic", "reno": "reno", "newreno": "reno", "cubic-rfc9438": "cubic-rfc9438"} {
		c, err := Select(name)
		require.NoError(t, err)
		require.Equal(t, want, c.Name(), "Select(%q)", name)
		require.True(t, c.Droppable())
	}
	c, err := Select("vegas")
	require.Nil(t, c)
	require.Equal(t, UnknownCongestionError("vegas"), err)
	require.EqualError(t, err, "tcp: unknown congestion control vegas")
	for _, name := range CongestionNames() {
		c, err := Select(name)
		require.NoError(t, err)
		require.Equal(t, name, c.Name())
	}
	a, _ := Select("cubic")
	b, _ := Select("cubic")
	require.NotSame(t, a, b, "state is a connection's own")
}

func TestCongestionEventString(t *testing.T) {
	require.Equal(t, []string{"loss", "ecn", "rto"},
		[]string{CongestionLoss.String(), CongestionECN.String(), CongestionRTO.String()})
}

// A single segment with nothing else outstanding is validated in fewer steps, to the same end.
func TestWindowLoneOut(t *testing.T) {
	same := func(cwnd, used, maxOut uint8, limited, shrink bool, stamp, rto uint16) bool {
		a := windowOf(max(uint32(cwnd), 1), InfiniteSsthresh)
		a.used, a.maxOut, a.limited, a.usageEnd, a.stamp = uint32(used), uint32(maxOut), limited, 900, time.Duration(stamp)
		b := a
		const now = 1 << 15
		a.Validate(Usage{Now: now, RTO: time.Duration(rto), Una: 1000, Nxt: 1010, Out: 1, Limited: a.Cwnd <= 1, Shrink: shrink})
		if b.loneOut(1010); b.isOdd(now, time.Duration(rto)) {
			b.loneOdd(now, shrink)
		}
		return a == b
	}
	require.NoError(t, quick.Check(same, &quick.Config{MaxCount: 20000}))
	require.True(t, same(1, 3, 3, true, true, 0, 1))
	require.True(t, same(200, 3, 3, true, true, 0, 1))
}
