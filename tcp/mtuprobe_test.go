package tcp

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMTUProbing: a path loses what is larger than 1300 bytes without a word. Both ways of probing get the data
// through, and find the size but for the threshold (RFC 4821 §7). Single segments that the kernel sends likewise are in
// sim/packetdrill/testdata/pmtu.
func TestMTUProbing(t *testing.T) {
	const limit = 1300
	for _, mode := range []int{1, 2} {
		p := newPipe(t)
		p.cfgA = (&Config{MTUProbing: mode, BaseMSS: 512}).Defaults()
		p.lose = func(_ *pipe, _ bool, s *Segment) bool { return 20+s.HeaderLen()+s.Payload.N > limit }
		p.connect()
		in := randomBytes(1, 3<<20)
		out, _ := p.transfer(in, nil)
		require.Equal(t, sha256.Sum256(in), sha256.Sum256(out), "mode %d", mode)
		found := p.a.mssToMTU(p.a.SendMSS())
		require.LessOrEqual(t, found, limit, "mode %d", mode)
		require.Greater(t, found, limit-p.cfgA.ProbeThreshold, "mode %d", mode)
		require.Positive(t, p.stats.TCPMTUPSuccess.Load())
		require.Positive(t, p.stats.TCPMTUPFail.Load())
	}
}

// TestMTUProbingLosesNoWindow: probes that are lost are not congestion (§7.6.2).
func TestMTUProbingLosesNoWindow(t *testing.T) {
	p := newPipe(t)
	p.cfgA = (&Config{MTUProbing: 2, BaseMSS: 1024, CongestionControl: "reno"}).Defaults()
	p.connect()
	p.a.extra.mtu.low = 1100 // as if it had been found before
	p.a.syncMSS()
	p.lose = func(_ *pipe, _ bool, s *Segment) bool { return 20+s.HeaderLen()+s.Payload.N > 1100 }
	in := randomBytes(1, 1<<20)
	out, _ := p.transfer(in, nil)
	require.Equal(t, sha256.Sum256(in), sha256.Sum256(out))
	require.Positive(t, p.stats.TCPMTUPFail.Load())
	require.Zero(t, p.stats.TCPTimeouts.Load())
	require.Equal(t, uint32(InfiniteSsthresh), p.a.cong.Ssthresh)
}

// TestMTUProbingAgain: the search begins anew after tcp_probe_interval, when the path may have become wider.
func TestMTUProbingAgain(t *testing.T) {
	p := newPipe(t)
	p.cfgA = (&Config{MTUProbing: 2, BaseMSS: 512}).Defaults()
	limit := 1200
	p.lose = func(_ *pipe, _ bool, s *Segment) bool { return 20+s.HeaderLen()+s.Payload.N > limit }
	p.connect()
	buf := make([]byte, 1<<18)
	push := func(n int) {
		for n > 0 || p.a.packetsOut() > 0 {
			n -= p.a.Write(p.now, buf[:min(n, len(buf))])
			p.drain()
			p.b.Read(p.now, buf)
			require.True(t, p.step(), p.log())
		}
	}
	push(2 << 20)
	require.Less(t, p.a.SendMSS(), 1200)
	limit = 1500
	p.until(p.now + 11*time.Minute)
	push(2 << 20)
	require.Greater(t, p.a.SendMSS(), 1440)
}

// TestMTUProbingOff: without it a black hole is one.
func TestMTUProbingOff(t *testing.T) {
	p := newPipe(t)
	p.lose = func(_ *pipe, _ bool, s *Segment) bool { return s.Payload.N > 1000 }
	p.connect()
	p.a.Write(p.now, make([]byte, 5000))
	p.drain()
	p.until(p.now + time.Minute)
	require.Equal(t, 1448, p.a.SendMSS())
	require.Zero(t, p.b.Readable())
}
