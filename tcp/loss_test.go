package tcp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sendTen writes 20000 bytes and takes the initial window of ten segments.
func sendTen(c *conn) {
	c.write(20000)
	c.wantData("the initial window", 1, 10001, 1)
	c.pass(20 * time.Millisecond)
}

func TestFastRetransmitSACK(t *testing.T) {
	c := established(t, &Config{CongestionControl: "reno"}, synOpts)
	sendTen(c)
	c.in(seg{flags: ACK, seq: 1, ack: 1, opts: sack(1001, 2001)})
	c.want("limited transmit (RFC 3042)", seg{flags: ACK, seq: 10001, ack: 1, len: 1000})
	c.wantIdle("no retransmission yet")
	require.Equal(t, CADisorder, c.tcb.Info(c.now).CAState)
	c.in(seg{flags: ACK, seq: 1, ack: 1, opts: sack(1001, 4001)})
	c.wantCause("the hole", seg{flags: ACK, seq: 1, ack: 1, len: 1000}, CauseRetransmitRACK)
	i := c.tcb.Info(c.now)
	require.Equal(t, CARecovery, i.CAState)
	require.Equal(t, uint32(5), i.SndSsthresh)
	require.Equal(t, uint32(3), i.Sacked)
	require.Equal(t, uint32(1), i.Lost)
	require.Equal(t, uint32(1), i.Retrans)
	for _, ok := c.next(); ok; _, ok = c.next() {
	}
	c.pass(20 * time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: int(c.tcb.snd.nxt.Sub(connISS))})
	for _, ok := c.next(); ok; _, ok = c.next() {
	}
	require.Equal(t, CAOpen, c.tcb.Info(c.now).CAState)
	require.LessOrEqual(t, c.tcb.Info(c.now).SndCwnd, uint32(6))
	require.Equal(t, uint64(1), c.stats.TCPSackRecovery.Load())
	require.Equal(t, uint64(1), c.stats.TCPFastRetrans.Load())
}

func TestFastRetransmitNewReno(t *testing.T) {
	c := established(t, &Config{CongestionControl: "reno", TSOWinDivisor: -1}, Options{HasMSS: true, MSS: 1000})
	c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: 65535})
	sendTen(c)
	c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: 65535})
	c.next()
	c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: 65535})
	c.next()
	c.wantIdle("two duplicates are not enough")
	c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: 65535})
	c.wantCause("three are", seg{flags: ACK, seq: 1, ack: 1, len: 1000}, CauseRetransmitFast)
	c.pass(10 * time.Millisecond)
	for range 4 {
		for _, ok := c.next(); ok; _, ok = c.next() {
		}
		c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: 65535})
	}
	for _, ok := c.next(); ok; _, ok = c.next() {
	}
	c.in(seg{flags: ACK, seq: 1, ack: 3001, wnd: 65535})
	c.wantIdle("proportional rate reduction has no segment for this ACK (RFC 6937)")
	c.in(seg{flags: ACK, seq: 1, ack: 3001, wnd: 65535})
	c.wantCause("a partial ACK: the next hole (RFC 6582)", seg{flags: ACK, seq: 3001, ack: 1, len: 1000}, CauseRetransmitFast)
	require.Equal(t, CARecovery, c.tcb.Info(c.now).CAState)
}

func TestTailLossProbe(t *testing.T) {
	c := established(t, nil, synOpts)
	c.write(3000)
	c.wantData("three segments", 1, 3001, 1)
	rtt := c.tcb.Info(c.now).RTT
	require.Equal(t, 2*rtt+2*time.Millisecond, c.timer(), "PTO")
	c.wantCause("the last segment again", seg{flags: ACK, seq: 2001, ack: 1, len: 1000}, CauseRetransmitTLP)
	c.wantIdle("one")
	require.Equal(t, uint64(1), c.stats.TCPLossProbes.Load())
	require.Equal(t, CAOpen, c.tcb.Info(c.now).CAState)
	c.pass(12 * time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: 1, opts: sack(2001, 3001)})
	for n := 0; c.tcb.Info(c.now).CAState != CARecovery; n++ {
		require.Less(t, n, 3, c.trace())
		c.timer()
	}
	c.wantCause("the probe's SACK shows the loss", seg{flags: ACK, seq: 1, ack: 1, len: 1000}, CauseRetransmitRACK)
}

// TestTailLossProbeNewData: when there is new text and room in the peer's window, that is the probe.
func TestTailLossProbeNewData(t *testing.T) {
	c := established(t, &Config{InitCwnd: 2}, synOpts)
	c.write(3000)
	c.wantData("two segments: the window", 1, 2001, 1)
	c.timer()
	c.wantCause("a third, beyond cwnd", seg{flags: ACK, seq: 2001, ack: 1, len: 1000}, CauseNewTLP)
	require.Equal(t, uint64(1), c.stats.TCPLossProbes.Load())
	c.in(seg{flags: ACK, seq: 1, ack: 3001})
	require.Equal(t, CAOpen, c.tcb.Info(c.now).CAState)
}

// TestTLPRecovery: an ACK beyond the probe, without a report of a duplicate, shows that the original was lost: the
// window is reduced (RFC 8985 §7.4.2).
func TestTLPRecovery(t *testing.T) {
	c := established(t, &Config{CongestionControl: "reno"}, synOpts)
	c.write(3000)
	c.wantData("three segments", 1, 3001, 1)
	c.timer()
	c.want("probe", seg{flags: ACK, seq: 2001, ack: 1, len: 1000})
	c.write(1000)
	c.want("more text", seg{flags: ACK, seq: 3001, ack: 1, len: 1000})
	c.pass(5 * time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: 4001})
	require.Equal(t, uint64(1), c.stats.TCPLossProbeRecovery.Load())
	require.Equal(t, uint32(5), c.tcb.Info(c.now).SndCwnd)
}

func TestUndoByDSACK(t *testing.T) {
	c := established(t, &Config{CongestionControl: "reno"}, synOpts)
	sendTen(c)
	c.in(seg{flags: ACK, seq: 1, ack: 1, opts: sack(1001, 5001)})
	for _, ok := c.next(); ok; _, ok = c.next() {
	}
	require.Equal(t, uint32(5), c.tcb.Info(c.now).SndSsthresh)
	c.pass(time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: 5001, opts: sack(1, 1001)}) // it was late, and the retransmission came twice
	i := c.tcb.Info(c.now)
	require.Equal(t, uint32(InfiniteSsthresh), i.SndSsthresh)
	require.GreaterOrEqual(t, i.SndCwnd, uint32(10))
	require.Equal(t, uint32(1), i.DsackDups)
}

func TestRenegingSurvived(t *testing.T) {
	c := established(t, nil, synOpts)
	sendTen(c)
	c.in(seg{flags: ACK, seq: 1, ack: 1, opts: sack(1001, 10001)})
	for _, ok := c.next(); ok; _, ok = c.next() {
	}
	c.pass(20 * time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: 1001}) // it has forgotten all it had SACKed
	for _, ok := c.next(); ok; _, ok = c.next() {
	}
	c.timer()
	require.Equal(t, uint64(1), c.stats.TCPSACKReneging.Load())
	ack := 1001
	for n := 0; ack < 20001; n++ {
		require.Less(t, n, 200, c.trace())
		s, ok := c.next()
		if !ok {
			c.timer()
			continue
		}
		if s.seq <= ack && s.seq+s.len > ack {
			ack = s.seq + s.len
			c.pass(10 * time.Millisecond)
			c.in(seg{flags: ACK, seq: 1, ack: ack})
		}
	}
}

// TestIdleRestart: RFC 5681 §4.1; a window that was not used is not believed.
func TestIdleRestart(t *testing.T) {
	for _, on := range []Switch{On, Off} {
		c := established(t, &Config{CongestionControl: "reno", SlowStartAfterIdle: on}, synOpts)
		ack := 1
		for range 3 {
			c.write(30000)
			for s, ok := c.next(); ok; s, ok = c.next() {
				ack = s.seq + s.len
			}
			c.pass(10 * time.Millisecond)
			c.in(seg{flags: ACK, seq: 1, ack: ack})
			for s, ok := c.next(); ok; s, ok = c.next() {
				ack = s.seq + s.len
			}
			c.in(seg{flags: ACK, seq: 1, ack: ack})
		}
		require.Greater(t, c.tcb.Info(c.now).SndCwnd, uint32(20))
		c.now += 10 * time.Second
		c.write(1000)
		c.want("text", seg{flags: ACK, seq: ack, ack: 1, len: 1000})
		require.Equal(t, on == On, c.tcb.Info(c.now).SndCwnd == 10, "%v", c.tcb.Info(c.now).SndCwnd)
	}
}

func TestCongestionControlChoice(t *testing.T) {
	c := established(t, nil, synOpts)
	require.Equal(t, "cubic", c.tcb.Congestion())
	require.NoError(t, c.tcb.SetCongestion("reno"))
	require.Equal(t, "reno", c.tcb.Congestion())
	require.Error(t, c.tcb.SetCongestion("vegas"))
	sendTen(c)
	c.in(seg{flags: ACK, seq: 1, ack: 2001})
	require.Equal(t, "reno", c.tcb.alg().Name())
	require.NoError(t, c.tcb.SetCongestion("cubic"))
	require.Equal(t, "cubic", c.tcb.alg().Name())
	require.NoError(t, c.tcb.SetCongestion(""))
	require.Equal(t, "cubic", c.tcb.Congestion())
}

// TestRecoveryModes runs impaired transfers through every combination of loss recovery settings.
func TestRecoveryModes(t *testing.T) {
	for _, cfg := range []Config{
		{Recovery: -1}, {FRTO: -1}, {EarlyRetrans: -1}, {DSACK: Off}, {Recovery: 7},
		{RetransCollapse: Off}, {SACK: Off, Timestamps: Off}, {CompSackNr: -1}, {WindowScaling: Off},
	} {
		t.Run(fmt.Sprintf("%+v", cfg), func(t *testing.T) {
			for seed := range uint64(4) {
				p := newPipe(t)
				p.cfgA, p.cfgB = cfg.Defaults(), cfg.Defaults()
				p.rng = rand.New(rand.NewPCG(seed, 3))
				p.drop, p.dup, p.reord = 0.05, 0.02, 0.1
				p.jitter = 20 * time.Millisecond
				p.a.Connect(p.now, p.params(hostA, hostB, p.cfgA, 77))
				p.drain()
				p.run(func() bool { return p.a.State() == StateEstablished && p.b.State() == StateEstablished })
				in := randomBytes(seed, 300000)
				got, _ := p.transfer(in, nil)
				require.Equal(t, in, got)
			}
		})
	}
}

// TestReorderingIsLearned: a path that reorders makes fast retransmit more patient.
func TestReorderingIsLearned(t *testing.T) {
	c := established(t, nil, synOpts)
	sendTen(c)
	require.Equal(t, uint32(3), c.tcb.Info(c.now).Reordering)
	c.in(seg{flags: ACK, seq: 1, ack: 1, opts: sack(8001, 9001)})
	for _, ok := c.next(); ok; _, ok = c.next() {
	}
	c.in(seg{flags: ACK, seq: 1, ack: 9001})
	i := c.tcb.Info(c.now)
	require.Greater(t, i.Reordering, uint32(3))
	require.Equal(t, uint32(1), i.ReordSeen)
	require.Zero(t, c.stats.RetransSegs.Load())
}

// TestBlocksInAnyOrderAreNoReordering: an ACK names the latest block first (RFC 2018 §4); that two holes
// opened is no sign of a path that reorders.
func TestBlocksInAnyOrderAreNoReordering(t *testing.T) {
	c := established(t, nil, synOpts)
	sendTen(c)
	c.in(seg{flags: ACK, seq: 1, ack: 1, opts: sack(5001, 6001, 2001, 3001)})
	i := c.tcb.Info(c.now)
	require.Equal(t, uint32(2), i.Sacked)
	require.Equal(t, uint32(3), i.Reordering)
	require.Zero(t, i.ReordSeen)
}
