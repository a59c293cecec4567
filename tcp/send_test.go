package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNagle(t *testing.T) {
	c := established(t, nil, synOpts)
	c.write(100)
	c.want("nothing is unacknowledged: send", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 100})
	c.write(100)
	c.write(100)
	c.wantIdle("a small segment is unacknowledged")
	c.write(900)
	c.want("a full segment goes", seg{flags: ACK, seq: 101, ack: 1, len: 1000})
	c.wantIdle("its rest waits")
	c.in(seg{flags: ACK, seq: 1, ack: 101})
	c.want("until the small one is acknowledged", seg{flags: ACK | PSH, seq: 1101, ack: 1, len: 100})
	c.tcb.SetNoDelay(true)
	c.wantIdle("nothing waits")
	c.write(25)
	c.want("TCP_NODELAY: at once", seg{flags: ACK | PSH, seq: 1201, ack: 1, len: 25})
	c.write(25)
	c.want("each", seg{flags: ACK | PSH, seq: 1226, ack: 1, len: 25})
	c.tcb.SetNoDelay(false)
	c.write(50)
	c.wantIdle("Nagle again")
	c.tcb.SetNoDelay(true)
	c.want("switching it off sends what waits", seg{flags: ACK | PSH, seq: 1251, ack: 1, len: 50})
	require.True(t, c.tcb.NoDelay())
}

func TestCork(t *testing.T) {
	c := established(t, nil, synOpts)
	c.tcb.SetCork(true)
	require.True(t, c.tcb.Cork())
	c.write(1500)
	c.want("full segments pass a cork", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	c.wantIdle("others do not")
	c.in(seg{flags: ACK, seq: 1, ack: 1001})
	c.wantIdle("not even with nothing unacknowledged")
	c.tcb.SetCork(false)
	c.want("uncorked", seg{flags: ACK, seq: 1001, ack: 1, len: 500})
	c.in(seg{flags: ACK, seq: 1, ack: 1501})

	require.Equal(t, 10, c.tcb.WriteMore(c.now, make([]byte, 10)))
	c.wantIdle("MSG_MORE: more is to come")
	c.write(10)
	c.want("and came", seg{flags: ACK | PSH, seq: 1501, ack: 1, len: 20})
	c.in(seg{flags: ACK, seq: 1, ack: 1521})

	c.tcb.WriteMore(c.now, make([]byte, 10))
	c.wantIdle("more is to come again")
	c.tcb.Flush()
	c.want("but did not", seg{flags: ACK | PSH, seq: 1521, ack: 1, len: 10})
}

// TestPush: the last segment of a write carries PSH (RFC 9293 §3.9.1.2, MUST-61), and so does one in every half
// window of a large write.
func TestPush(t *testing.T) {
	c := established(t, nil, synOpts)
	c.write(2500)
	c.want("first", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	c.want("second", seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
	c.want("last of the write is pushed", seg{flags: ACK | PSH, seq: 2001, ack: 1, len: 500})
	c.wantIdle("nothing is held back (MUST-60)")
}

// TestSillyWindowSender: MUST-38.
func TestSillyWindowSender(t *testing.T) {
	c := established(t, nil, Options{HasMSS: true, MSS: 1000, SACKPermitted: true})
	c.write(3000)
	c.wantData("what there is", 1, 3001, 1)
	c.in(seg{flags: ACK, seq: 1, ack: 3001, wnd: 900})
	c.write(2000)
	c.wantIdle("a window of less than a segment is not used")
	c.in(seg{flags: ACK, seq: 1, ack: 3001, wnd: 1200})
	c.want("one full segment", seg{flags: ACK, seq: 3001, ack: 1, len: 1000})
	c.want("we differ: as Linux with segmentation offload, a burst may fill the window", seg{flags: ACK, seq: 4001, ack: 1, len: 200})
	c.in(seg{flags: ACK, seq: 1, ack: 4001, wnd: 1100})
	c.wantIdle("but what is left then is not used")
}

// TestShrinkingWindow: MUST-34, SHLD-15, SHLD-16, SHLD-17.
func TestShrinkingWindow(t *testing.T) {
	c := established(t, nil, Options{HasMSS: true, MSS: 1000, SACKPermitted: true})
	c.write(6000)
	c.wantData("all fits", 1, 6001, 1)
	c.pass(10 * time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: 1001, wnd: 2000}) // was up to 65536, is up to 3001
	c.write(1000)
	c.wantIdle("no new text into a window that shrank (SHLD-15)")
	for c.tcb.Deadline() < c.now+time.Second {
		c.timer()
		for s, ok := c.next(); ok; s, ok = c.next() {
			require.LessOrEqual(t, s.seq+s.len, 3001, "text inside of the window is retransmitted (SHLD-16), outside not%s", c.trace())
		}
	}
	c.in(seg{flags: ACK, seq: 1, ack: 6001, wnd: 0xffff})
	c.want("what was outside counts as received, too (MUST-34)", seg{flags: ACK, seq: 6001, ack: 1, len: 1000})
	c.wantState(StateEstablished)
	c.in(seg{flags: ACK, seq: 1, ack: 6001, wnd: -1})
	for range 3 {
		c.timer()
		c.wantCause("closed over what is in flight: that is the probe", seg{flags: ACK, seq: 6001, ack: 1, len: 1000}, CauseRetransmitProbe)
	}
}

// TestZeroWindow: MUST-35, MUST-36, MUST-37, SHLD-29, SHLD-30.
func TestZeroWindow(t *testing.T) {
	c := established(t, nil, synOpts)
	c.write(1000)
	c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	c.pass(10 * time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: 1001, wnd: -1})
	c.write(1000)
	c.wantIdle("the window is closed")
	last := c.tcb.Info(c.now).RTO
	require.Equal(t, last, c.timer(), "the first probe comes after RTO")
	c.wantCause("a probe", seg{flags: ACK, seq: 1000, ack: 1}, CauseProbe)
	c.wantIdle("one")
	var total time.Duration
	for i := range 50 {
		c.in(seg{flags: ACK, seq: 1, ack: 1001, wnd: -1})
		c.wantIdle("still closed")
		d := c.timer()
		if i == 1 {
			require.Greater(t, d, last)
		}
		require.LessOrEqual(t, d, 120*time.Second)
		c.want("another probe", seg{flags: ACK, seq: 1000, ack: 1})
		last = d
		total += d
	}
	require.Greater(t, total, time.Hour, "it stays open as long as probes are answered (MUST-37)")
	require.Equal(t, 120*time.Second, last, "backoff ends at the limit")
	c.wantState(StateEstablished)
	c.in(seg{flags: ACK, seq: 1, ack: 1001})
	c.want("the window opened", seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
	require.Zero(t, c.tcb.Info(c.now).Backoff)
}

// TestProbesUnanswered: nobody at home.
func TestProbesUnanswered(t *testing.T) {
	c := established(t, nil, synOpts)
	c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: -1})
	c.write(1000)
	c.wantIdle("the window is closed")
	probes := 0
	for c.tcb.State() == StateEstablished {
		c.timer()
		if _, ok := c.next(); ok {
			probes++
		}
		c.wantIdle("one at a time")
	}
	require.Equal(t, 15, probes, "tcp_retries2")
	require.Equal(t, ErrTimeout, c.tcb.Err())
}

func TestKarn(t *testing.T) {
	c := established(t, nil, synOpts)
	before := c.tcb.Info(c.now).RTT
	c.write(500)
	c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 500})
	c.timer()
	c.want("again", seg{flags: ACK, seq: 1, ack: 1, len: 500})
	c.pass(50 * time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: 501})
	require.Equal(t, before, c.tcb.Info(c.now).RTT, "no sample from what was retransmitted (MUST-18)")
	c.write(500)
	c.want("text", seg{flags: ACK, seq: 501, ack: 1, len: 500})
	c.pass(50 * time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: 1001})
	require.Greater(t, c.tcb.Info(c.now).RTT, before, "a sample from what was not")
}

// TestTimestampRTT: with timestamps also a retransmission gives a sample (RFC 7323 §4).
func TestTimestampRTT(t *testing.T) {
	o := synOpts
	o.HasTS, o.TSVal, o.TSEcr = true, 1000, uint32(time.Minute/time.Millisecond)+99
	c := established(t, nil, o)
	require.Equal(t, 988, c.tcb.SendMSS())
	c.write(500)
	c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 500})
	c.timer()
	c.want("again", seg{flags: ACK, seq: 1, ack: 1, len: 500})
	echo := c.last.Opts.TSVal
	c.pass(100 * time.Millisecond)
	before := c.tcb.Info(c.now).RTT
	c.in(seg{flags: ACK, seq: 1, ack: 501, opts: Options{HasTS: true, TSVal: 1100, TSEcr: echo}})
	require.Greater(t, c.tcb.Info(c.now).RTT, before)
}

// TestBackoffAndSlowStart: MUST-19.
func TestBackoffAndSlowStart(t *testing.T) {
	c := established(t, &Config{CongestionControl: "reno", EarlyRetrans: -1}, synOpts)
	require.Equal(t, uint32(10), c.tcb.Info(c.now).SndCwnd, "initial window (RFC 6928)")
	c.write(20000)
	c.wantData("the initial window", 1, 10001, 1)
	rto := c.tcb.Info(c.now).RTO
	require.Equal(t, rto, c.timer())
	c.wantCause("the first segment again", seg{flags: ACK, seq: 1, ack: 1, len: 1000}, CauseRetransmitRTO)
	c.wantIdle("one segment: the loss window")
	require.Equal(t, uint32(1), c.tcb.Info(c.now).SndCwnd)
	require.Equal(t, uint32(5), c.tcb.Info(c.now).SndSsthresh)
	for range 3 {
		require.Equal(t, 2*rto, c.timer(), "exponential backoff")
		rto *= 2
		c.want("again", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	}
	c.pass(10 * time.Millisecond)
	c.in(seg{flags: ACK, seq: 1, ack: 1001})
	c.wantData("slow start: two for one", 10001, 12001, 1) // F-RTO tries new text first
	c.in(seg{flags: ACK, seq: 1, ack: 1001, opts: sack(10001, 12001)})
	require.Equal(t, CALoss, c.tcb.Info(c.now).CAState)
}

// TestR1R2: MUST-20, MUST-21: the path is doubted after R1, the connection ends after R2.
func TestR1R2(t *testing.T) {
	c := established(t, &Config{EarlyRetrans: -1}, synOpts)
	start := c.now
	c.write(1000)
	c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	n := 0
	var r1 time.Duration
	for c.tcb.State() == StateEstablished {
		c.timer()
		if _, ok := c.next(); ok {
			n++
		}
		if r1 == 0 && c.stats.TCPTimeoutRehash.Load() > 0 {
			r1 = c.now - start
		}
		c.tcb.ICMP(c.now, ICMPError{Kind: ICMPHostUnreach, Seq: c.tcb.snd.nxt + 9999}) // not ours
	}
	require.Equal(t, ErrTimeout, c.tcb.Err())
	require.Equal(t, 15, n, "tcp_retries2")
	require.Greater(t, c.now-start, 900*time.Second, "R2 at least 100 seconds (SHLD-11)")
	require.Greater(t, r1, 3*time.Second)
	require.Less(t, r1, 10*time.Second)
	require.NotZero(t, c.tcb.TakeEvents()&EvClosed)
}

func TestUserTimeout(t *testing.T) {
	c := established(t, &Config{EarlyRetrans: -1}, synOpts)
	c.tcb.SetUserTimeout(3 * time.Second)
	start := c.now
	c.write(1000)
	c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	for c.tcb.State() == StateEstablished {
		c.timer()
		c.next()
	}
	require.Equal(t, ErrTimeout, c.tcb.Err())
	require.InDelta(t, 3.2, (c.now - start).Seconds(), 0.05, "3 s from the first retransmission on")
}

func TestSoftErrorIsTheReason(t *testing.T) {
	c := established(t, &Config{EarlyRetrans: -1}, synOpts)
	c.tcb.SetUserTimeout(3 * time.Second)
	c.write(1000)
	c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	c.tcb.ICMP(c.now, ICMPError{Kind: ICMPHostUnreach, Seq: connISS + 1})
	require.Equal(t, ErrHostUnreach, c.tcb.SoftErr())
	for c.tcb.State() == StateEstablished {
		c.timer()
		c.next()
	}
	require.Equal(t, ErrHostUnreach, c.tcb.Err())
}

// TestKeepAlive: MAY-5, MUST-24 to MUST-29, SHLD-12.
func TestKeepAlive(t *testing.T) {
	c := established(t, nil, synOpts)
	require.Equal(t, Never, c.tcb.Deadline(), "off by default (MUST-25)")
	c.tcb.SetKeepAlive(c.now, KeepAliveConfig{Enable: true})
	k := c.tcb.KeepAlive()
	require.GreaterOrEqual(t, k.Idle, 2*time.Hour, "MUST-28")
	require.Equal(t, 75*time.Second, k.Interval)
	require.Equal(t, 9, k.Count)

	require.Equal(t, 2*time.Hour, c.timer(), "only after silence (MUST-26)")
	c.wantCause("a probe without text (SHLD-12)", seg{flags: ACK, seq: 0, ack: 1}, CauseKeepalive)
	c.in(seg{flags: ACK, seq: 1, ack: 1})
	c.wantIdle("it lives")
	require.Equal(t, 75*time.Second, c.timer())
	c.wantIdle("silence begins anew with the answer")
	require.Equal(t, 2*time.Hour-75*time.Second, c.timer())
	c.want("next probe", seg{flags: ACK, seq: 0, ack: 1})
	for range 8 {
		require.Equal(t, 75*time.Second, c.timer(), "lost answers are tolerated (MUST-29)")
		c.want("next probe", seg{flags: ACK, seq: 0, ack: 1})
		c.wantState(StateEstablished)
	}
	c.timer()
	c.want("nine were not answered", seg{flags: RST | ACK, seq: 1, ack: 1})
	c.wantState(StateClosed)
	require.Equal(t, ErrTimeout, c.tcb.Err())
}

func TestKeepAliveConfig(t *testing.T) {
	c := established(t, nil, synOpts)
	c.tcb.SetKeepAlive(c.now, KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: time.Second, Count: 2})
	require.Equal(t, 10*time.Second, c.timer(), "MUST-27")
	c.want("probe", seg{flags: ACK, seq: 0, ack: 1})
	require.Equal(t, time.Second, c.timer())
	c.want("probe", seg{flags: ACK, seq: 0, ack: 1})
	c.tcb.SetKeepAlive(c.now, KeepAliveConfig{})
	require.Equal(t, Never, c.tcb.Deadline())
	c.write(100)
	c.want("text", seg{flags: ACK, seq: 1, ack: 1, len: 100})
	c.tcb.SetKeepAlive(c.now, KeepAliveConfig{Enable: true, Idle: time.Second})
	c.in(seg{flags: ACK, seq: 1, ack: 101})
	c.write(100)
	c.want("text", seg{flags: ACK, seq: 101, ack: 1, len: 100})
}

func TestUrgent(t *testing.T) {
	c := established(t, nil, synOpts)
	require.Equal(t, 1500, c.tcb.WriteUrgent(c.now, make([]byte, 1500)), "of any length (MUST-31)")
	c.want("urgent", seg{flags: ACK | URG, seq: 1, ack: 1, len: 1000})
	require.Equal(t, uint16(1500), c.last.Urg, "points behind the urgent text (MUST-62)")
	c.want("urgent", seg{flags: ACK | URG | PSH, seq: 1001, ack: 1, len: 500})
	require.Equal(t, uint16(500), c.last.Urg)
	c.write(1000)
	c.want("not urgent", seg{flags: ACK, seq: 1501, ack: 1, len: 1000})
	c.in(seg{flags: ACK, seq: 1, ack: 2501})
	c.write(10)
	c.want("not urgent", seg{flags: ACK | PSH, seq: 2501, ack: 1, len: 10})

	c.in(seg{flags: ACK | URG, seq: 1, ack: 2511, len: 100, urg: 50})
	require.NotZero(t, c.tcb.TakeEvents()&EvUrgent, "the user is told (MUST-32)")
	n, ok := c.tcb.UrgentMark()
	require.True(t, ok)
	require.Equal(t, 50, n, "and can ask how much (MUST-33)")
	require.Equal(t, 30, c.tcb.Read(c.now, make([]byte, 30)))
	n, _ = c.tcb.UrgentMark()
	require.Equal(t, 20, n)
	c.in(seg{flags: ACK | URG, seq: 1, ack: 2511, len: 100, urg: 50})
	require.Zero(t, c.tcb.TakeEvents()&EvUrgent, "told once")
	require.Equal(t, 19, c.tcb.Read(c.now, make([]byte, 100)), "up to the mark")
	require.True(t, c.tcb.AtMark())
	_, err := c.tcb.ReadUrgent(true)
	require.NoError(t, err, "peeked at")
	require.True(t, c.tcb.UrgentReadable())
	_, err = c.tcb.ReadUrgent(false)
	require.NoError(t, err)
	_, err = c.tcb.ReadUrgent(false)
	require.ErrorIs(t, err, ErrNoUrgent, "it was read")
	require.Equal(t, 50, c.tcb.Read(c.now, make([]byte, 100)), "without the urgent byte")
	_, ok = c.tcb.UrgentMark()
	require.False(t, ok)

	c.in(seg{flags: ACK | URG, seq: 101, ack: 2511, len: 10, urg: 20})
	_, err = c.tcb.ReadUrgent(false)
	require.ErrorIs(t, err, ErrUrgentAhead)
	c.in(seg{flags: ACK | URG, seq: 111, ack: 2511, len: 10, urg: 10})
	require.True(t, c.tcb.UrgentReadable())
	c.tcb.SetUrgentInline(true)
	require.Equal(t, 20, c.tcb.Pending())
	require.Equal(t, 19, c.tcb.Read(c.now, make([]byte, 100)))
	require.Equal(t, 1, c.tcb.Read(c.now, make([]byte, 100)), "the byte is in the stream")
}

// TestUrgentZeroWindow: MUST-66.
func TestUrgentZeroWindow(t *testing.T) {
	c := established(t, nil, synOpts)
	c.tcb.rcv.wnd, c.tcb.rcv.wup = 0, c.tcb.rcv.nxt // as after advertising a closed window
	c.in(seg{flags: ACK | URG, seq: 1, ack: 1, urg: 5000})
	require.NotZero(t, c.tcb.TakeEvents()&EvUrgent, "URG is processed with a zero window")
	c.in(seg{flags: RST, seq: 1})
	c.wantState(StateClosed)
}

func TestSendBufferAndWakeups(t *testing.T) {
	c := established(t, nil, synOpts)
	c.tcb.SetSndBuf(10000)
	require.Equal(t, 10000, c.tcb.SndBuf())
	n := c.tcb.Write(c.now, make([]byte, 100000))
	require.GreaterOrEqual(t, n, 10000)
	require.Less(t, n, 30000)
	require.Zero(t, c.tcb.Write(c.now, []byte{1}), "full")
	require.Zero(t, c.tcb.WriteSpace())
	c.wantData("the initial window", 1, 10001, 1)
	require.Equal(t, n, c.tcb.Unacked())
	require.Equal(t, n-10000, c.tcb.Unsent())
	c.tcb.TakeEvents()
	c.in(seg{flags: ACK, seq: 1, ack: 1001})
	require.Zero(t, c.tcb.TakeEvents()&EvWritable, "not for a single segment")
	for ack := 2001; ack <= n; ack += 1000 {
		for _, ok := c.next(); ok; _, ok = c.next() {
		}
		c.in(seg{flags: ACK, seq: 1, ack: ack})
	}
	require.NotZero(t, c.tcb.TakeEvents()&EvWritable)
	require.Positive(t, c.tcb.WriteSpace())
}

// TestSndbufGrows: without SO_SNDBUF the send buffer follows the congestion window.
func TestSndbufGrows(t *testing.T) {
	p := newPipe(t)
	p.connect()
	before := p.a.SndBuf()
	in := randomBytes(3, 4<<20)
	got, _ := p.transfer(in, nil)
	require.Len(t, got, len(in))
	require.Greater(t, p.a.SndBuf(), before)
	require.LessOrEqual(t, p.a.SndBuf(), 4<<20)
}

// TestGather: a segment made of many small writes is gathered, whatever chunks they lie in.
func TestGather(t *testing.T) {
	c := established(t, nil, synOpts)
	c.tcb.SetCork(true)
	c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: -1})
	var all []byte
	for i := range 300 {
		b := []byte{byte(i), byte(i >> 8), 7}
		all = append(all, b...)
		require.Equal(t, 3, c.tcb.Write(c.now, b))
		if i%100 == 50 {
			c.tcb.x.snd.chunks.items[len(c.tcb.x.snd.chunks.items)-1].b = c.tcb.x.snd.chunks.items[len(c.tcb.x.snd.chunks.items)-1].b[:len(c.tcb.x.snd.chunks.items[len(c.tcb.x.snd.chunks.items)-1].b):len(c.tcb.x.snd.chunks.items[len(c.tcb.x.snd.chunks.items)-1].b)]
		}
	}
	require.Greater(t, c.tcb.x.snd.chunks.len(), 3)
	c.in(seg{flags: ACK, seq: 1, ack: 1})
	c.tcb.SetCork(false)
	var s Segment
	require.True(t, c.tcb.Output(c.now, &s))
	require.Equal(t, 900, s.Payload.N)
	got := make([]byte, 900)
	s.Payload.CopyTo(got, 0)
	require.Equal(t, all, got)
	s.Payload.Release()
	c.in(seg{flags: ACK, seq: 1, ack: 901})
	require.Zero(t, c.alloc.out)
}

func TestRetransmissionSharesMemory(t *testing.T) {
	c := established(t, nil, synOpts)
	c.write(1000)
	var a, b Segment
	require.True(t, c.tcb.Output(c.now, &a))
	c.timer()
	require.True(t, c.tcb.Output(c.now, &b))
	require.Same(t, &a.Payload.Pieces[0].B[0], &b.Payload.Pieces[0].B[0], "not copied again")
	c.in(seg{flags: ACK, seq: 1, ack: 1001})
	require.Equal(t, 1, c.alloc.out, "still referenced by the segments")
	a.Payload.Release()
	b.Payload.Release()
	require.Zero(t, c.alloc.out)
}
