package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestICMPErrors: RFC 9293 §3.9.2.2, MUST-54 to MUST-56, SHLD-25, SHLD-26, with the checks of RFC 5927 §4.1.
func TestICMPErrors(t *testing.T) {
	kinds := []struct {
		kind ICMPKind
		want Error
	}{
		{ICMPNetUnreach, ErrNetUnreach}, {ICMPHostUnreach, ErrHostUnreach}, {ICMPProtoUnreach, ErrProtoUnreach},
		{ICMPPortUnreach, ErrRefused}, {ICMPAdminProhibited, ErrHostUnreach}, {ICMPTimeExceeded, ErrHostUnreach},
		{ICMPParamProblem, ErrProto},
	}
	for _, k := range kinds {
		t.Run(k.want.Error()+" while connecting", func(t *testing.T) {
			c := newConn(t, nil)
			c.tcb.Connect(c.now, &c.p)
			c.want("SYN", seg{flags: SYN})
			c.tcb.ICMP(c.now, ICMPError{Kind: k.kind, Seq: connISS + 5})
			c.wantState(StateSynSent)
			require.Equal(t, uint64(1), c.stats.OutOfWindowIcmps.Load(), "not about our SYN")
			c.tcb.ICMP(c.now, ICMPError{Kind: k.kind, Seq: connISS})
			c.wantState(StateClosed)
			require.Equal(t, k.want, c.tcb.Err())
		})
		t.Run(k.want.Error()+" while established", func(t *testing.T) {
			c := established(t, nil, synOpts)
			c.write(100)
			c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 100})
			c.tcb.TakeEvents()
			c.tcb.ICMP(c.now, ICMPError{Kind: k.kind, Seq: connISS + 1})
			c.wantState(StateEstablished)
			require.Equal(t, k.want, c.tcb.SoftErr(), "the user may learn of it (SHLD-25)")
			require.NotZero(t, c.tcb.TakeEvents()&EvError)
			require.NoError(t, c.tcb.Err(), "but the connection goes on (MUST-56)")
			c.in(seg{flags: ACK, seq: 1, ack: 101})
			require.NoError(t, c.tcb.SoftErr(), "something got through")
		})
	}
	t.Run("source quench is nothing (MUST-55)", func(t *testing.T) {
		c := established(t, nil, synOpts)
		c.tcb.ICMP(c.now, ICMPError{Kind: ICMPSourceQuench, Seq: connISS + 1})
		require.NoError(t, c.tcb.SoftErr())
		require.Equal(t, uint32(10), c.tcb.Info(c.now).SndCwnd)
	})
	require.Equal(t, ErrAccess, ICMPAdminProhibited.errorOf(true))
	require.Zero(t, ICMPKind(99).errorOf(false))
}

// TestPathMTU: a smaller MTU on the path makes segments smaller and sends again what was too large, without
// treating it as congestion (RFC 1191, RFC 9293 §3.7.2, SHLD-6).
func TestPathMTU(t *testing.T) {
	c := newConn(t, nil)
	c.p.MTU = 1500
	c.tcb.Connect(c.now, &c.p)
	c.want("SYN", seg{flags: SYN})
	c.in(seg{flags: SYN | ACK, ack: 1, wnd: 65535, opts: Options{HasMSS: true, MSS: 1460, SACKPermitted: true}})
	c.want("ACK", seg{flags: ACK, seq: 1, ack: 1})
	c.write(4380)
	for i := range 3 {
		c.want("full segments", seg{flags: ACK, seq: 1 + i*1460, ack: 1, len: 1460})
	}
	c.tcb.ICMP(c.now, ICMPError{Kind: ICMPPacketTooBig, MTU: 1000, Seq: connISS.Add(100000)})
	require.Equal(t, 1460, c.tcb.SendMSS(), "not about a segment of ours")
	c.tcb.ICMP(c.now, ICMPError{Kind: ICMPPacketTooBig, MTU: 1000, Seq: connISS + 1})
	require.Equal(t, 960, c.tcb.SendMSS())
	require.Equal(t, uint32(1000), c.tcb.Info(c.now).PMTU)
	at := 1
	for at < 4381 {
		s, ok := c.next()
		require.True(t, ok, c.trace())
		require.Equal(t, at, s.seq)
		require.LessOrEqual(t, s.len, 960)
		at += s.len
	}
	c.wantIdle("all of it")
	require.Equal(t, uint32(10), c.tcb.Info(c.now).SndCwnd, "no congestion")
	c.in(seg{flags: ACK, seq: 1, ack: 4381})
	require.Equal(t, CAOpen, c.tcb.Info(c.now).CAState)
	c.tcb.ICMP(c.now, ICMPError{Kind: ICMPPacketTooBig, MTU: 20, Seq: c.tcb.snd.una})
	require.Equal(t, 512, c.tcb.SendMSS(), "not below 552 bytes")
	c.tcb.ICMP(c.now, ICMPError{Kind: ICMPPacketTooBig, MTU: 9000, Seq: c.tcb.snd.una})
	require.Equal(t, 512, c.tcb.SendMSS(), "never larger")

	c = newConn(t, nil)
	c.p.MTU = 16436
	c.tcb.Connect(c.now, &c.p)
	c.want("SYN", seg{flags: SYN})
	c.tcb.ICMP(c.now, ICMPError{Kind: ICMPPacketTooBig, MTU: 1500, Seq: connISS})
	c.wantState(StateSynSent)
	c.timer()
	c.want("SYN", seg{flags: SYN})
	require.Equal(t, uint16(1460), c.last.Opts.MSS)
}

// TestRevertBackoff: RFC 6069: unreachable means that the retransmission was not lost by congestion.
func TestRevertBackoff(t *testing.T) {
	c := established(t, &Config{EarlyRetrans: -1}, synOpts)
	c.write(1000)
	c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	rto := c.tcb.Info(c.now).RTO
	for range 4 {
		c.timer()
		c.want("again", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	}
	require.Equal(t, 16*rto, c.tcb.Info(c.now).RTO)
	c.tcb.ICMP(c.now, ICMPError{Kind: ICMPHostUnreach, Seq: connISS + 1})
	require.Equal(t, 8*rto, c.tcb.Info(c.now).RTO)
	require.Equal(t, 8*rto, c.tcb.Deadline()-c.now)
	for range 10 {
		c.tcb.ICMP(c.now, ICMPError{Kind: ICMPHostUnreach, Seq: connISS + 1})
	}
	require.Equal(t, rto, c.tcb.Info(c.now).RTO)
	require.GreaterOrEqual(t, c.tcb.Deadline(), c.now)
}

// TestChallengeAckLimit: RFC 5961 §7: not for each bad segment an answer.
func TestChallengeAckLimit(t *testing.T) {
	c := established(t, nil, synOpts)
	answers := 0
	for range 1000 {
		c.in(seg{flags: SYN, seq: 1})
		if _, ok := c.next(); ok {
			answers++
		}
		c.now += time.Millisecond
	}
	require.Equal(t, 2, answers, "tcp_invalid_ratelimit")
	require.Equal(t, uint64(998), c.stats.TCPACKSkippedChallenge.Load())

	c = established(t, &Config{InvalidRatelimit: -1, ChallengeAckLimit: 5}, synOpts)
	c.now = 100 * time.Second
	answers = 0
	for range 20 {
		c.in(seg{flags: RST, seq: 50})
		if _, ok := c.next(); ok {
			answers++
		}
	}
	require.Equal(t, 5, answers, "tcp_challenge_ack_limit, for the whole stack")
	c.now += time.Second
	c.in(seg{flags: RST, seq: 50})
	c.wantCause("a new second", seg{flags: ACK, seq: 1, ack: 1}, CauseChallengeAck)
}

// TestBlindData: RFC 5961 §5, MAY-12.
func TestBlindData(t *testing.T) {
	c := established(t, nil, synOpts)
	c.write(1000)
	c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	for i, ack := range []int{-100000, 5000, -1 << 30} {
		c.now += time.Second
		c.in(seg{flags: ACK, seq: 1, ack: ack, len: 100})
		c.wantCause("its ACK cannot be", seg{flags: ACK, seq: 1001, ack: 1}, CauseChallengeAck)
		require.Zero(t, c.tcb.Readable(), "case %d", i)
	}
	c.in(seg{flags: ACK, seq: 1, ack: 1, len: 100})
	require.Equal(t, 100, c.tcb.Readable())
}
