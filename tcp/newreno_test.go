package tcp

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// ackWindow acknowledges a whole window one segment at a time.
func ackWindow(c Congestion, w *Window) {
	for range w.Cwnd {
		c.OnAck(w, Ack{Acked: 1, Limited: true})
	}
}

func TestNewRenoGrowth(t *testing.T) {
	var c NewReno
	w := windowOf(10, 40)
	var got []uint32
	for range 6 {
		ackWindow(c, &w)
		got = append(got, w.Cwnd)
	}
	require.Equal(t, []uint32{20, 40, 41, 42, 43, 44}, got, "a window per round trip, doubling up to ssthresh")
}

func TestNewRenoOnAck(t *testing.T) {
	tests := []struct {
		name           string
		cwnd, ssthresh uint32
		ack            Ack
		want, cnt      uint32
	}{
		{"slow start", 10, 100, Ack{Acked: 2, Limited: true}, 12, 0},
		{"slow start, not limited", 10, 100, Ack{Acked: 2}, 10, 0},
		{"across ssthresh", 10, 12, Ack{Acked: 5, Limited: true}, 12, 3},
		{"congestion avoidance", 10, 10, Ack{Acked: 2, Limited: true}, 10, 2},
		{"congestion avoidance, not limited", 10, 10, Ack{Acked: 2}, 10, 0},
		{"nothing acknowledged", 10, 10, Ack{Limited: true}, 10, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := windowOf(tt.cwnd, tt.ssthresh)
			NewReno{}.OnAck(&w, tt.ack)
			require.Equal(t, tt.want, w.Cwnd)
			require.Equal(t, tt.cnt, w.CwndCnt)
		})
	}
}

func TestNewRenoOnCongestion(t *testing.T) {
	for cwnd, want := range map[uint32]uint32{100: 50, 11: 5, 10: 5, 5: 2, 4: 2, 3: 2, 2: 2, 1: 2} {
		for _, why := range []CongestionEvent{CongestionLoss, CongestionECN, CongestionRTO} {
			w := windowOf(cwnd, InfiniteSsthresh)
			w.CwndCnt = 1
			NewReno{}.OnCongestion(&w, 0, why)
			require.Equal(t, want, w.Ssthresh, "cwnd %d", cwnd)
			require.Equal(t, cwnd, w.Cwnd, "how it comes down is recovery's choice")
			require.Zero(t, w.CwndCnt)
		}
	}
}

func TestNewRenoUndo(t *testing.T) {
	t.Run("restores both", func(t *testing.T) {
		w := windowOf(40, 30)
		NewReno{}.OnCongestion(&w, 0, CongestionLoss)
		w.Cwnd = 20
		NewReno{}.Undo(&w)
		require.Equal(t, uint32(40), w.Cwnd)
		require.Equal(t, uint32(30), w.Ssthresh, "ssthresh was 3/4 of cwnd")
		w.Cwnd, w.Ssthresh = 1, 2
		NewReno{}.Undo(&w)
		require.Equal(t, uint32(1), w.Cwnd, "only once")
	})
	t.Run("an infinite threshold comes back", func(t *testing.T) {
		w := windowOf(40, InfiniteSsthresh)
		NewReno{}.OnCongestion(&w, 0, CongestionRTO)
		w.Cwnd = 1
		NewReno{}.Undo(&w)
		require.Equal(t, uint32(40), w.Cwnd)
		require.Equal(t, uint32(InfiniteSsthresh), w.Ssthresh)
	})
	t.Run("does not take away what was gained", func(t *testing.T) {
		w := windowOf(40, 30)
		NewReno{}.OnCongestion(&w, 0, CongestionLoss)
		w.Cwnd, w.Ssthresh = 50, 60
		NewReno{}.Undo(&w)
		require.Equal(t, uint32(50), w.Cwnd)
		require.Equal(t, uint32(60), w.Ssthresh)
	})
	t.Run("not after it was settled", func(t *testing.T) {
		w := windowOf(40, 30)
		NewReno{}.OnCongestion(&w, 0, CongestionLoss)
		w.Cwnd = 20
		w.Settled()
		NewReno{}.Undo(&w)
		require.Equal(t, uint32(20), w.Cwnd)
		require.Equal(t, uint32(20), w.Ssthresh)
	})
	t.Run("nothing happened", func(t *testing.T) {
		w := windowOf(40, 30)
		before := w
		NewReno{}.Undo(&w)
		require.Equal(t, before, w)
	})
}

func TestNewRenoIgnoresIdleTime(t *testing.T) {
	w := windowOf(40, 30)
	before := w
	NewReno{}.OnRestart(&w, 0, 100*ms)
	require.Equal(t, before, w)
	require.True(t, NewReno{}.Droppable())
}

func TestCongestionAllocatesNothing(t *testing.T) {
	for _, name := range CongestionNames() {
		c, err := Select(name)
		require.NoError(t, err)
		w := windowOf(10, InfiniteSsthresh)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			c.OnAck(&w, Ack{Acked: 1, RTT: ms, SRTT: ms, Limited: true})
			c.OnCongestion(&w, 0, CongestionLoss)
			c.OnAck(&w, Ack{Acked: 1, RTT: ms, SRTT: ms, Limited: true})
			c.OnRestart(&w, 0, ms)
			c.Undo(&w)
		}), name)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = Select("reno") }), "NewReno has no state")
}

func BenchmarkOnAck(b *testing.B) {
	for _, name := range CongestionNames() {
		for phase, ssthresh := range map[string]uint32{"slowstart": InfiniteSsthresh, "avoidance": 5} {
			b.Run(name+"/"+phase, func(b *testing.B) {
				c, _ := Select(name)
				w := windowOf(100, ssthresh)
				w.Clamp = 1000
				a := Ack{RTT: 10 * ms, SRTT: 10 * ms, Acked: 1, Limited: true}
				for b.Loop() {
					a.Now += ms
					a.Una, a.Nxt = a.Una+1, a.Una+100
					c.OnAck(&w, a)
				}
			})
		}
	}
}
