package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNames: every value of every enumeration has a name of its own, and others do not panic.
func TestNames(t *testing.T) {
	check := func(kind string, n int, name func(i int) string) {
		seen := map[string]bool{}
		for i := range n {
			s := name(i)
			require.NotEmpty(t, s, "%s %d", kind, i)
			require.False(t, seen[s], "%s %q twice", kind, s)
			seen[s] = true
		}
		require.Contains(t, name(200), "?", kind)
	}
	check("state", int(numStates), func(i int) string { return State(i).String() })
	check("drop", int(numDrops), func(i int) string { return DropReason(i).String() })
	check("timer", int(numTimers), func(i int) string { return Timer(i).String() })
	check("recovery state", 5, func(i int) string { return CAState(i).String() })
	check("event", int(numEventKinds)-1, func(i int) string {
		if i == 200 {
			return EventKind(200).String()
		}
		return EventKind(i + 1).String()
	})
	for e := Error(1); e < numErrors; e++ {
		require.Contains(t, e.Error(), "tcp: ")
	}
	require.Equal(t, "tcp: unknown error", numErrors.Error())
	require.Equal(t, "SYN-RECEIVED", StateSynReceived.String())
}

func TestStateSets(t *testing.T) {
	for s := range numStates {
		require.Equal(t, s == StateEstablished || s == StateCloseWait, s.CanSend(), s)
		unfinished := s == StateEstablished || s == StateFinWait1 || s == StateCloseWait || s == StateClosing || s == StateLastAck
		require.Equal(t, unfinished, s.Unfinished(), s)
	}
}

func TestStats(t *testing.T) {
	d := newDuo(t, nil)
	d.roundTrip(make([]byte, 10), make([]byte, 10))
	counts := map[string]uint64{}
	groups := map[string]int{}
	d.stats.Each(func(group, name string, n uint64) bool {
		counts[name] = n
		groups[group]++
		return true
	})
	require.Len(t, groups, 2)
	require.Equal(t, uint64(1), counts["ActiveOpens"])
	require.Equal(t, uint64(1), counts["PassiveOpens"])
	require.Equal(t, uint64(2), counts["CurrEstab"])
	require.Equal(t, counts["InSegs"], counts["OutSegs"]-1, "the SYN went to Passive, not to Input")
	n := 0
	d.stats.Each(func(string, string, uint64) bool { n++; return n < 3 })
	require.Equal(t, 3, n)
}

// TestConservation: what one end sends, the other receives, and both agree.
func TestConservation(t *testing.T) {
	d := newDuo(t, nil)
	msg, buf := make([]byte, 100000), make([]byte, 64<<10)
	d.bulk(msg, buf)
	a, b := d.a.Info(d.now), d.b.Info(d.now)
	require.Equal(t, uint64(100000), a.BytesSent)
	require.Equal(t, uint64(100001), a.BytesAcked, "as in Linux with the SYN of an active open")
	require.Equal(t, uint64(100000), b.BytesReceived)
	require.Equal(t, a.DataSegsOut, b.DataSegsIn)
	require.Equal(t, a.SegsIn, b.SegsOut+1, "as in Linux the SYN-ACK is the listener's")
	require.Equal(t, a.SegsOut, b.SegsIn)
	require.Equal(t, a.SndNxt, b.RcvNxt)
	require.Equal(t, StateEstablished, a.State)
	require.Equal(t, uint8(7), a.SndWscale)
	require.Equal(t, uint8(InfoOptTimestamps|InfoOptSACK|InfoOptWScale), a.Options)
	require.Equal(t, uint32(16384), a.SndMSS)
	require.Equal(t, "cubic", a.Congestion)
}

// TestObserverSeesEverything: each kind of event happens in a transfer with losses, and every retransmission on the
// wire was told with its reason.
func TestObserverSeesEverything(t *testing.T) {
	var l eventLog
	p := newPipe(t)
	drop := map[Seq]bool{}
	told := 0
	p.lose = func(_ *pipe, toB bool, s *Segment) bool {
		if toB && s.Cause.Retransmission() {
			told++
		}
		lost := toB && s.Payload.N > 0 && s.Seq%7 == 0 && !drop[s.Seq]
		drop[s.Seq] = true
		return lost
	}
	params := p.params(hostA, hostB, p.cfgA, 5)
	params.Observer = &l
	p.a.Connect(p.now, params)
	p.drain()
	p.run(func() bool { return p.a.State() == StateEstablished && p.b.State() == StateEstablished })
	in := randomBytes(1, 300000)
	got, _ := p.transfer(in, nil)
	require.Equal(t, in, got)
	kinds := map[EventKind]int{}
	for _, e := range l.events {
		kinds[e.Kind]++
		if e.Kind == EventRetransmit {
			require.True(t, e.Cause.Retransmission(), "%v", e.Cause)
			require.False(t, e.Range.Empty())
		}
	}
	require.Equal(t, told, kinds[EventRetransmit])
	for _, k := range []EventKind{EventState, EventRTT, EventCwnd, EventCA, EventRetransmit, EventLost, EventTimer} {
		require.NotZero(t, kinds[k], k)
	}
}

func TestConfigDefaults(t *testing.T) {
	c := (*Config)(nil).Defaults()
	require.Equal(t, On, c.Timestamps)
	require.Equal(t, Off, c.RFC1337)
	require.Equal(t, ECNPassive, c.ECN)
	require.Equal(t, [3]int{4096, 131072, 6291456}, c.Rmem)
	require.Equal(t, 6, c.SynRetries)
	require.Equal(t, 15, c.Retries2)
	require.Equal(t, 200*time.Millisecond, c.RTOMin)
	require.Equal(t, "cubic", c.CongestionControl)
	d := (&Config{SynRetries: -1, RTOMin: time.Second, InvalidRatelimit: -1, AdvWinScale: -1}).Defaults()
	require.Zero(t, d.SynRetries, "negative means Linux's zero")
	require.Zero(t, d.InvalidRatelimit)
	require.Equal(t, time.Second, d.RTOMin)
	require.Equal(t, 1000, d.winFromSpace(1000))
	require.Equal(t, 1000, d.spaceFromWin(1000))
	e := d.Defaults()
	require.Equal(t, d, e, "defaults of defaults change nothing")
	require.NotSame(t, d, e)
}

// TestEnvIsShared: connections of one stack share what is the same for all, and only then.
func TestEnvIsShared(t *testing.T) {
	var s Stats
	cfg := (*Config)(nil).Defaults()
	p := Params{Config: cfg, Stats: &s, Alloc: HeapAllocator{}}
	a, b := newEnv(&p), newEnv(&p)
	require.Same(t, a, b)
	p.Observer = &eventLog{}
	require.NotSame(t, a, newEnv(&p))
	p.Observer = uncomparable{func() {}}
	require.NotPanics(t, func() { newEnv(&p); newEnv(&p) })
	q := Params{}
	require.NotSame(t, newEnv(&q), newEnv(&q))
}

type uncomparable struct{ f func() }

func (uncomparable) Event(*TCB, Event) {}

func TestQueue(t *testing.T) {
	var q queue[int]
	var want []int
	ops := 0
	for i := range 20000 {
		switch {
		case i%3 != 0 || len(want) == 0:
			q.push(i)
			want = append(want, i)
		case i%97 == 0 && len(want) > 4:
			q.remove(1, 3)
			want = append(want[:1:1], want[3:]...)
		case i%101 == 0 && len(want) > 2:
			q.insert(2, -i)
			want = append(want[:2:2], append([]int{-i}, want[2:]...)...)
		default:
			q.pop()
			want = want[1:]
		}
		if i%500 < 200 && len(want) > 0 {
			q.pop()
			want = want[1:]
		}
		ops++
		require.Equal(t, len(want), q.len())
	}
	require.Equal(t, fmt.Sprint(want), fmt.Sprint(q.all()))
	q.remove(0, q.len())
	require.Zero(t, q.len())
	large := cap(q.items)
	q.keep(large, make([]int, 3))
	require.Equal(t, large, cap(q.items))
	q.keep(large-1, make([]int, 3))
	require.Equal(t, 3, cap(q.items))
	*q.first() = 7
	require.Equal(t, []int{7}, q.all())
	require.NotZero(t, ops)
}

// TestFastOpenIsOfOneConnection: a TCB that is used again does not put the data of the connection before on its SYN.
func TestFastOpenIsOfOneConnection(t *testing.T) {
	var e TCB
	var out Segment
	for _, data := range [][]byte{make([]byte, 100), nil} {
		p := &Params{Local: hostA, Remote: hostB, MTU: 1500, ISS: 1}
		if data != nil {
			p.FastOpen = &FastOpen{NoCookie: true, Data: data}
		}
		e.Connect(0, p)
		require.True(t, e.Output(0, &out))
		require.Equal(t, len(data), out.Payload.N)
		out.Payload.Release()
		e.Release()
	}
}

// TestFastOpenClosedWindow: what waits for a window does not take the timer of the SYN-ACK, which brings one.
func TestFastOpenClosedWindow(t *testing.T) {
	var e TCB
	var out Segment
	syn := Segment{SrcPort: 1, DstPort: 2, Seq: 100, Flags: SYN}
	e.Passive(0, &Params{Local: hostA, Remote: hostB, MTU: 1500, ISS: 1, FastOpen: &FastOpen{Accept: true}}, &syn)
	e.Write(0, make([]byte, 100))
	var causes []Cause
	for now := time.Duration(0); now < 4*time.Second; now = e.Deadline() {
		e.Timeout(now)
		for e.Output(now, &out) {
			causes = append(causes, out.Cause)
			out.Payload.Release()
		}
	}
	require.Equal(t, []Cause{CauseSYNACK, CauseRetransmitSYN, CauseRetransmitSYN}, causes)
}

// TestTimersOfOddSettings: settings that make no sense do not make a timer due again at once, for ever.
func TestTimersOfOddSettings(t *testing.T) {
	c := (&Config{RTOMin: -1, RTOMax: -1}).Defaults()
	var e TCB
	var out Segment
	e.Connect(0, &Params{Config: c, Local: hostA, Remote: hostB, MTU: 1500})
	for now := time.Duration(0); e.State() == StateSynSent; now = e.Deadline() {
		e.Timeout(now)
		for e.Output(now, &out) {
		}
		require.Greater(t, e.Deadline(), now)
	}
	e.SetRTOMax(1)
	require.Equal(t, time.Second, e.RTOMax())
}

// TestSysctlRanges: what Linux 6.18 refuses to have written to /proc/sys is refused.
func TestSysctlRanges(t *testing.T) {
	for _, x := range []struct {
		name        string
		least, most int64
	}{
		{"tcp_adv_win_scale", -31, 31}, {"tcp_app_win", 0, 31}, {"tcp_syn_retries", 1, 127}, {"tcp_syn_linear_timeouts", 0, 127},
		{"tcp_synack_retries", 0, 255}, {"tcp_keepalive_probes", 0, 255}, {"tcp_recovery", 0, 255}, {"tcp_frto", 0, 255},
		{"tcp_tso_win_divisor", 0, 255}, {"tcp_comp_sack_nr", 0, 255}, {"tcp_pingpong_thresh", 1, 255}, {"tcp_early_retrans", 0, 4},
		{"tcp_min_snd_mss", 48, 65535}, {"tcp_mtu_probe_floor", 48, 65535}, {"tcp_mtu_probing", 0, 255}, {"tcp_rto_min_us", 1, 1<<31 - 1}, {"tcp_rto_max_ms", 1000, 120000}, {"tcp_min_rtt_wlen", 0, 86400},
		{"tcp_reordering", 1, 300}, {"tcp_max_reordering", 1, 1<<31 - 1}, {"tcp_notsent_lowat", 0, 1<<32 - 1}, {"tcp_fastopen", -1 << 31, 1<<31 - 1},
	} {
		for n, ok := range map[int64]bool{x.least - 1: false, x.least: true, x.most: true, x.most + 1: false} {
			err := (&Config{}).Set("net.ipv4."+x.name, fmt.Sprint(n))
			require.Equal(t, ok, err == nil, "%s = %d: %v", x.name, n, err)
		}
	}
}
