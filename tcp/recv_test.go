package tcp

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// quiet makes c one that waits with ACKs (TCP_QUICKACK off).
func quiet(c *conn) { c.tcb.SetQuickAck(c.now, false) }

// TestAggregateAcks: MUST-58, MUST-59: what arrived before Output is acknowledged by one segment.
func TestAggregateAcks(t *testing.T) {
	c := established(t, nil, synOpts)
	for i := range 5 {
		c.in(seg{flags: ACK, seq: 1 + i*1000, ack: 1, len: 1000})
	}
	c.want("one ACK for all", seg{flags: ACK, seq: 1, ack: 5001})
	c.wantIdle("one")
}

// TestDelayedAck: SHLD-18, SHLD-19, MUST-40.
func TestDelayedAck(t *testing.T) {
	c := established(t, nil, synOpts)
	quiet(c)
	c.in(seg{flags: ACK | PSH, seq: 1, ack: 1, len: 100})
	c.wantIdle("the ACK may travel with an answer")
	d := c.timer()
	require.Equal(t, 40*time.Millisecond, d)
	c.wantCause("nobody answered", seg{flags: ACK, seq: 1, ack: 101}, CauseDelayedAck)

	c = established(t, nil, synOpts)
	quiet(c)
	c.in(seg{flags: ACK | PSH, seq: 1, ack: 1, len: 100})
	c.write(10)
	c.want("the answer carries the ACK", seg{flags: ACK | PSH, seq: 1, ack: 101, len: 10})
	c.wantIdle("nothing else")

	c = established(t, nil, synOpts)
	quiet(c)
	c.in(seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	c.tcb.Read(c.now, make([]byte, 2000))
	c.wantIdle("one full segment can wait")
	c.in(seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
	c.tcb.Read(c.now, make([]byte, 2000))
	c.want("every second full segment is acknowledged, at the latest when it is read", seg{flags: ACK, seq: 1, ack: 2001})
}

// TestDelayedAckBound: however long the peer's pauses, the delay stays below half a second (MUST-40).
// TestDelayedAckBound: no ACK is delayed for half a second (MUST-40), also on a path whose round trip takes longer and
// from a peer that speaks as seldom.
func TestDelayedAckBound(t *testing.T) {
	t.Run("a long path", func(t *testing.T) {
		c := established(t, nil, synOpts)
		sent := 1
		say := func(n int) {
			c.write(n)
			c.next()
			sent += n
		}
		for range 30 {
			say(100)
			c.pass(3 * time.Second)
			c.in(seg{flags: ACK, seq: 1, ack: sent})
		}
		require.Greater(t, c.tcb.Info(c.now).RTT, 2*time.Second)
		longest := time.Duration(0)
		for i, seq := 0, 1; i < 200; i, seq = i+1, seq+100 {
			c.in(seg{flags: ACK, seq: seq, ack: sent, len: 100})
			for _, ok := c.next(); ok; _, ok = c.next() {
			}
			if at := c.tcb.Deadline(); at != Never {
				longest = max(longest, at-c.now)
			}
			c.tcb.Read(c.now, make([]byte, 5000))
			c.pass(min(time.Duration(25+5*i)*time.Millisecond, 390*time.Millisecond))
			for _, ok := c.next(); ok; _, ok = c.next() {
			}
		}
		require.Greater(t, longest, 100*time.Millisecond, "the guess follows the peer's pace")
		require.Less(t, longest, 500*time.Millisecond)
	})
	c := established(t, nil, synOpts)
	r := rand.New(rand.NewPCG(1, 1))
	seq := 1
	for range 300 {
		c.pass(time.Duration(r.IntN(700)) * time.Millisecond)
		for _, ok := c.next(); ok; _, ok = c.next() {
		}
		n := 1 + r.IntN(1000)
		c.in(seg{flags: ACK | PSH, seq: seq, ack: 1, len: n})
		seq += n
		for _, ok := c.next(); ok; _, ok = c.next() {
		}
		require.True(t, c.tcb.Deadline() == Never || c.tcb.Deadline()-c.now < 500*time.Millisecond, c.trace())
		c.tcb.Read(c.now, make([]byte, 5000))
	}
}

func TestQuickAck(t *testing.T) {
	c := established(t, nil, synOpts)
	require.True(t, c.tcb.QuickAck())
	quiet(c)
	require.False(t, c.tcb.QuickAck())
	c.in(seg{flags: ACK | PSH, seq: 1, ack: 1, len: 100})
	c.tcb.Read(c.now, make([]byte, 100))
	c.wantIdle("waits")
	c.tcb.SetQuickAck(c.now, true)
	c.want("switching it on sends what is owed", seg{flags: ACK, seq: 1, ack: 101})
}

// TestOutOfOrder: SHLD-31, MAY-13; SACK blocks as RFC 2018 §4 wants them, duplicates as RFC 2883.
func TestOutOfOrder(t *testing.T) {
	c := established(t, nil, synOpts)
	blocks := func() []Range {
		return c.last.Opts.SACK[:c.last.Opts.NSACK]
	}
	rng := func(a, b int) Range { return Range{peerISS + Seq(a), peerISS + Seq(b)} }
	c.in(seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
	c.wantCause("a duplicate ACK at once", seg{flags: ACK, seq: 1, ack: 1}, CauseDupAck)
	require.Equal(t, []Range{rng(1001, 2001)}, blocks())
	c.in(seg{flags: ACK, seq: 3001, ack: 1, len: 1000})
	c.want("another", seg{flags: ACK, seq: 1, ack: 1})
	require.Equal(t, []Range{rng(3001, 4001), rng(1001, 2001)}, blocks(), "the latest first")
	c.in(seg{flags: ACK, seq: 1001, ack: 1, len: 1000})
	c.want("a duplicate", seg{flags: ACK, seq: 1, ack: 1})
	require.Equal(t, []Range{rng(1001, 2001), rng(1001, 2001), rng(3001, 4001)}, blocks(), "reported first, then its block")
	c.in(seg{flags: ACK, seq: 2001, ack: 1, len: 1000})
	c.pass(time.Millisecond)
	c.want("joined", seg{flags: ACK, seq: 1, ack: 1})
	require.Equal(t, []Range{rng(1001, 4001)}, blocks())
	require.Zero(t, c.tcb.Readable())
	c.in(seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	c.want("the gap is filled", seg{flags: ACK, seq: 1, ack: 4001})
	require.Empty(t, blocks())
	require.Equal(t, 4000, c.tcb.Readable())
	require.Nil(t, c.tcb.ooo)
}

// TestReassembly delivers random overlapping pieces of a known stream in random order, and compares with it.
func TestReassembly(t *testing.T) {
	for seed := range 200 {
		r := rand.New(rand.NewPCG(uint64(seed), 9))
		stream := randomBytes(uint64(seed), 20000)
		c := established(t, nil, synOpts)
		var got []byte
		buf := make([]byte, 30000)
		for len(got) < len(stream) {
			at := r.IntN(len(stream))
			if r.IntN(3) == 0 {
				at = len(got)
			}
			n := min(1+r.IntN(1400), len(stream)-at)
			in := Segment{Seq: peerISS + 1 + Seq(at), Ack: connISS + 1, Flags: ACK, Wnd: 256}
			mem, owner := c.alloc.Get(n)
			copy(mem, stream[at:at+n])
			k := r.IntN(n + 1)
			owner.Retain()
			if in.Payload.Append(Piece{B: mem[:k:k], Owner: owner}); k == 0 {
				owner.Release()
			}
			if in.Payload.Append(Piece{B: mem[k:n], Owner: owner}); k == n {
				owner.Release()
			}
			if at+n == len(stream) {
				in.Flags |= FIN
			}
			c.tcb.Input(c.now, &in)
			in.Payload.Release()
			checkInvariants(t, &c.tcb, c.trace)
			for _, ok := c.next(); ok; _, ok = c.next() {
			}
			if r.IntN(2) == 0 {
				k := c.tcb.Read(c.now, buf[:r.IntN(len(buf))])
				got = append(got, buf[:k]...)
			}
		}
		got = append(got, buf[:c.tcb.Read(c.now, buf)]...)
		require.True(t, bytes.Equal(stream, got), "seed %d", seed)
		require.True(t, c.tcb.ReadEOF())
		c.tcb.Release()
		require.Zero(t, c.alloc.out)
	}
}

// TestReceiveMemoryIsBounded: tiny segments, in order and out of order, that nobody reads.
func TestReceiveMemoryIsBounded(t *testing.T) {
	for _, gap := range []int{0, 1} {
		c := established(t, nil, synOpts)
		c.tcb.SetRcvBuf(65536)
		for i := range 60000 {
			in := Segment{Seq: peerISS + 1 + Seq(i*(1+gap)+gap), Ack: connISS + 1, Flags: ACK, Wnd: 256}
			mem, owner := c.alloc.Get(1)
			in.Payload.Append(Piece{B: mem[:1:1], Owner: owner})
			c.tcb.Input(c.now, &in)
			in.Payload.Release()
			for _, ok := c.next(); ok; _, ok = c.next() {
			}
		}
		checkInvariants(t, &c.tcb, c.trace)
		require.Less(t, c.alloc.out, 600, "buffers of memory held, gap %d", gap)
		if gap > 0 {
			require.Less(t, c.tcb.ooo.len(), 600)
			require.NotZero(t, c.stats.OfoPruned.Load()+c.stats.TCPOFODrop.Load())
		} else {
			require.NotZero(t, c.stats.TCPRcvCollapsed.Load())
		}
		c.tcb.Release()
		require.Zero(t, c.alloc.out)
	}
}

// TestSillyWindowReceiver: MUST-39: the window opens by a segment or half the buffer, not by bytes.
func TestSillyWindowReceiver(t *testing.T) {
	c := newConn(t, nil)
	c.tcb.SetRcvBuf(8000)
	require.Equal(t, 8000, c.tcb.RcvBuf())
	c.tcb.Connect(c.now, &c.p)
	c.want("SYN", seg{flags: SYN})
	c.in(seg{flags: SYN | ACK, ack: 1, wnd: 65535, opts: Options{HasMSS: true, MSS: 1000}})
	c.want("ACK", seg{flags: ACK, seq: 1, ack: 1})
	wnd := int(c.last.Wnd)
	seq := 1
	for wnd > 0 {
		n := min(1000, wnd)
		c.in(seg{flags: ACK, seq: seq, ack: 1, len: n})
		seq += n
		s, ok := c.next()
		for !ok {
			c.timer()
			s, ok = c.next()
		}
		require.GreaterOrEqual(t, s.ack+s.wnd, seq, "the right edge never moves left (SHLD-14)")
		wnd = s.ack + s.wnd - seq
	}
	buf := make([]byte, 100)
	read := 0
	for {
		read += c.tcb.Read(c.now, buf)
		if s, ok := c.next(); ok {
			require.GreaterOrEqual(t, s.wnd, 900, "a window update is worth a segment")
			require.GreaterOrEqual(t, read, 900)
			break
		}
		require.Less(t, read, 5000)
	}
}

// TestSillyWindowReceiverScaled: with scaling a window that was closed opens by a sixteenth of the buffer and a segment
// at least, and at once when there is so much.
func TestSillyWindowReceiverScaled(t *testing.T) {
	c := newConn(t, nil)
	c.tcb.SetRcvBuf(400_000)
	c.tcb.Connect(c.now, &c.p)
	c.want("SYN", seg{flags: SYN})
	c.in(seg{flags: SYN | ACK, ack: 1, wnd: 65535, opts: Options{HasMSS: true, MSS: 1000, HasWScale: true}})
	c.want("ACK", seg{flags: ACK, seq: 1, ack: 1})
	require.Positive(t, c.tcb.rwin.scale)
	seq, small := 1, 0
	for left := 1; left > 0; {
		require.Less(t, seq, 1_000_000, "the window closes some time")
		n := min(1000, max(left, 1))
		c.in(seg{flags: ACK, seq: seq, ack: 1, len: n})
		seq += n
		s, ok := c.next()
		for i := 0; !ok; i++ {
			require.Less(t, i, 100, "an ACK comes some time")
			c.timer()
			s, ok = c.next()
		}
		left = s.ack + int(c.last.Wnd)<<c.tcb.rwin.scale - seq
		if left < 1000 && left > 0 {
			small++
		}
	}
	require.LessOrEqual(t, small, 1, "what was promised is kept, but nothing small is promised")
	read, buf := 0, make([]byte, 500)
	for {
		n := c.tcb.Read(c.now, buf)
		require.Positive(t, n, "the window opens before all is read")
		read += n
		if _, ok := c.next(); ok {
			break
		}
	}
	require.GreaterOrEqual(t, int(c.last.Wnd)<<c.tcb.rwin.scale, 400_000/2/16)
	require.LessOrEqual(t, read, 400_000/2/8)
}

// TestWindowIsUnsigned: MUST-1.
func TestWindowIsUnsigned(t *testing.T) {
	c := established(t, &Config{InitCwnd: 200}, Options{HasMSS: true, MSS: 1000})
	c.tcb.SetSndBuf(200000)
	c.in(seg{flags: ACK, seq: 1, ack: 1, wnd: 65535})
	c.write(100000)
	sent := 0
	for s, ok := c.next(); ok; s, ok = c.next() {
		sent += s.len
	}
	require.Equal(t, 65535, sent, "windows above 32767 are large, not negative")
}

// TestReceiveAutotuning: a reader that keeps up gets a larger window, without SO_RCVBUF.
func TestReceiveAutotuning(t *testing.T) {
	for _, c := range []struct {
		name  string
		cfg   Config
		set   int
		grows bool
	}{
		{"timestamps", Config{}, 0, true},
		{"no timestamps", Config{Timestamps: Off}, 0, true},
		{"SO_RCVBUF", Config{}, 60000, false},
		{"switched off", Config{ModerateRcvbuf: Off}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPipe(t)
			p.cfgA, p.cfgB = c.cfg.Defaults(), c.cfg.Defaults()
			if c.set > 0 {
				p.b.SetRcvBuf(c.set)
			}
			p.connect()
			before := p.b.RcvBuf()
			in := randomBytes(3, 3<<20)
			got, _ := p.transfer(in, nil)
			require.Len(t, got, len(in))
			require.Equal(t, c.grows, p.b.RcvBuf() > before, "%d then %d", before, p.b.RcvBuf())
			require.LessOrEqual(t, p.b.RcvBuf(), 6291456)
			require.Zero(t, p.stats.RetransSegs.Load())
		})
	}
}

func TestReadPeekDiscardTake(t *testing.T) {
	c := established(t, nil, synOpts)
	text := []byte("the quick brown fox jumps over the lazy dog")
	for i, at := 0, 0; at < len(text); i++ {
		n := min(1+i%7, len(text)-at)
		in := Segment{Seq: peerISS + 1 + Seq(at), Ack: connISS + 1, Flags: ACK, Wnd: 256}
		mem, owner := c.alloc.Get(n)
		copy(mem, text[at:at+n])
		in.Payload.Append(Piece{B: mem[:n:n], Owner: owner})
		c.tcb.Input(c.now, &in)
		in.Payload.Release()
		at += n
	}
	buf := make([]byte, 100)
	require.Equal(t, len(text), c.tcb.Peek(buf, 0))
	require.Equal(t, text, buf[:len(text)])
	require.Equal(t, 5, c.tcb.Peek(buf[:5], 4))
	require.Equal(t, "quick", string(buf[:5]))
	require.Zero(t, c.tcb.Peek(buf, 1000))
	require.Equal(t, 4, c.tcb.Discard(c.now, 4))
	require.Equal(t, byte('q'), c.tcb.ReadPiece()[0])
	var got []byte
	for {
		q, ok := c.tcb.TakePiece(c.now, 3)
		if !ok {
			break
		}
		require.LessOrEqual(t, len(q.B), 3)
		got = append(got, q.B...)
		q.Owner.Release()
	}
	require.Equal(t, string(text[4:]), string(got))
	require.Nil(t, c.tcb.ReadPiece())
	require.Zero(t, c.tcb.Discard(c.now, 5))
	require.Zero(t, c.tcb.Read(c.now, buf))
	require.Zero(t, c.alloc.out)
	require.False(t, c.tcb.ReadEOF())
}

// TestJoinsPieces: text that lies together in memory is one piece with one reference.
func TestJoinsPieces(t *testing.T) {
	c := established(t, nil, synOpts)
	mem, owner := c.alloc.Get(512)
	for i := range 50 {
		in := Segment{Seq: peerISS + 1 + Seq(i*10), Ack: connISS + 1, Flags: ACK, Wnd: 256}
		in.Payload.Append(Piece{B: mem[i*10 : i*10+10], Owner: owner})
		c.tcb.Input(c.now, &in)
	}
	require.Equal(t, 1, c.tcb.x.rcv.pieces.len())
	require.Equal(t, 2, owner.(*countedBuf).refs)
	require.Equal(t, 500, len(c.tcb.ReadPiece()))
}

// TestPAWSAndTimestamps: RFC 7323 §5.
func TestPAWSAndTimestamps(t *testing.T) {
	o := synOpts
	o.HasTS, o.TSVal, o.TSEcr = true, 1000, uint32(time.Minute/time.Millisecond)+99
	c := established(t, nil, o)
	ts := func(v uint32) Options { return Options{HasTS: true, TSVal: v} }
	c.in(seg{flags: ACK, seq: 1, ack: 1, len: 10, opts: ts(2000)})
	c.want("TS.Recent is echoed", seg{flags: ACK, seq: 1, ack: 11})
	require.Equal(t, uint32(2000), c.last.Opts.TSEcr)
	c.in(seg{flags: ACK, seq: 11, ack: 1, len: 10, opts: ts(1500)})
	c.want("an old segment is acknowledged and dropped", seg{flags: ACK, seq: 1, ack: 11})
	require.Equal(t, uint64(1), c.stats.PAWSEstab.Load())
	c.in(seg{flags: ACK, seq: 31, ack: 1, len: 10, opts: ts(3000)})
	c.want("out of order", seg{flags: ACK, seq: 1, ack: 11})
	require.Equal(t, uint32(2000), c.last.Opts.TSEcr, "only what is at or before Last.ACK.sent sets TS.Recent")
	c.now += 25 * 24 * time.Hour
	c.in(seg{flags: ACK, seq: 11, ack: 1, len: 10, opts: ts(1500)})
	c.want("after 24 days of silence TS.Recent says nothing (§5.5)", seg{flags: ACK, seq: 1, ack: 21})
	require.Contains(t, c.seen.drops(), DropPAWS)
}

// TestAckCompression: duplicate ACKs beyond those that start fast retransmit wait up to a millisecond.
func TestAckCompression(t *testing.T) {
	c := established(t, nil, synOpts)
	c.tcb.rcvRTT = uint32(100000) << 3 // 100 ms
	for i := range 3 {
		c.in(seg{flags: ACK, seq: 1001 + i*1000, ack: 1, len: 1000})
		c.want("duplicate ACK", seg{flags: ACK, seq: 1, ack: 1})
	}
	for i := 3; i < 20; i++ {
		c.in(seg{flags: ACK, seq: 1001 + i*1000, ack: 1, len: 1000})
	}
	// Quick ACKs are still granted to this connection, so they come at once; without them they are held.
	for _, ok := c.next(); ok; _, ok = c.next() {
	}
	c.tcb.ack.quick, c.tcb.ack.dups = 0, 3
	c.in(seg{flags: ACK, seq: 30001, ack: 1, len: 1000})
	c.wantIdle("held back")
	c.in(seg{flags: ACK, seq: 31001, ack: 1, len: 1000})
	c.wantIdle("held back")
	require.Equal(t, 500*time.Microsecond, c.timer(), "5% of the RTT")
	c.wantCause("one for all", seg{flags: ACK, seq: 1, ack: 1}, CauseDupAck)
	c.tcb.ack.dups = 3
	c.in(seg{flags: ACK, seq: 32001, ack: 1, len: 1000})
	c.wantIdle("held back")
	c.in(seg{flags: ACK, seq: 35001, ack: 1, len: 1000})
	c.wantCause("a third block lets out the ACK that was held back", seg{flags: ACK, seq: 1, ack: 1}, CauseDupAck)
	c.wantIdle("and is held back itself")
	require.NotZero(t, c.stats.TCPAckCompressed.Load())
}

// TestBeyondWindow: text that reaches beyond the window is dropped while something is queued.
func TestBeyondWindow(t *testing.T) {
	c := established(t, nil, synOpts)
	edge := int(c.tcb.rcv.wup.Add(c.tcb.rcv.wnd).Sub(peerISS))
	c.in(seg{flags: ACK, seq: 1, ack: 1, len: 10})
	c.want("ACK", seg{flags: ACK, seq: 1, ack: 11})
	c.in(seg{flags: ACK, seq: edge - 10, ack: 1, len: 500})
	c.want("not acceptable", seg{flags: ACK, seq: 1, ack: 11})
	require.NotZero(t, c.stats.BeyondWindow.Load())
	require.Nil(t, c.tcb.ooo)
}

func TestECNReceiver(t *testing.T) {
	c := newConn(t, nil)
	syn := Segment{Flags: SYN | ECE | CWR, Seq: peerISS, Wnd: 1000, Opts: synOpts}
	c.tcb.Passive(c.now, &c.p, &syn)
	c.want("agreed", seg{flags: SYN | ACK | ECE, ack: 1})
	c.in(seg{flags: ACK, seq: 1, ack: 1})
	c.in(seg{flags: ACK | PSH, seq: 1, ack: 1, len: 10, ecn: ECNCE})
	c.want("CE is echoed", seg{flags: ACK | ECE, seq: 1, ack: 11})
	c.in(seg{flags: ACK | PSH, seq: 11, ack: 1, len: 10, ecn: ECNECT0})
	c.want("until the peer has heard", seg{flags: ACK | ECE, seq: 1, ack: 21})
	c.in(seg{flags: ACK | PSH | CWR, seq: 21, ack: 1, len: 10, ecn: ECNECT0})
	c.want("no more", seg{flags: ACK, seq: 1, ack: 31})
	c.write(10)
	c.want("text is ECN-capable", seg{flags: ACK | PSH, seq: 1, ack: 31, len: 10})
	require.Equal(t, uint8(ECNECT0), c.last.ECN)
	c.timer()
	c.want("retransmissions are not (RFC 3168 §6.1.5)", seg{flags: ACK | PSH, seq: 1, ack: 31, len: 10})
	require.Zero(t, c.last.ECN)
	require.NotZero(t, c.tcb.Info(c.now).Options&(InfoOptECN|InfoOptECNSeen))
}

func TestECNSender(t *testing.T) {
	c := newConn(t, &Config{ECN: ECNActive, CongestionControl: "reno"})
	c.tcb.Connect(c.now, &c.p)
	c.want("asks for ECN", seg{flags: SYN | ECE | CWR})
	c.in(seg{flags: SYN | ACK | ECE, ack: 1, wnd: 65535, opts: synOpts})
	c.want("ACK", seg{flags: ACK, seq: 1, ack: 1})
	c.in(seg{flags: ACK, seq: 1, ack: 1})
	c.write(20000)
	c.wantData("ten segments", 1, 10001, 1)
	c.pass(10 * time.Millisecond)
	c.in(seg{flags: ACK | ECE, seq: 1, ack: 2001})
	require.Equal(t, uint32(5), c.tcb.Info(c.now).SndSsthresh, "halved")
	require.Equal(t, CACWR, c.tcb.Info(c.now).CAState)
	for ack := 3001; ack <= 10001; ack += 1000 {
		c.in(seg{flags: ACK | ECE, seq: 1, ack: ack})
		for s, ok := c.next(); ok; s, ok = c.next() {
			if s.seq == 10001 {
				require.NotZero(t, s.flags&CWR, "the first new segment tells")
			} else {
				require.Zero(t, s.flags&CWR)
			}
		}
	}
	require.Equal(t, uint32(5), c.tcb.Info(c.now).SndSsthresh, "once per window (RFC 3168 §6.1.2)")
	c.in(seg{flags: ACK, seq: 1, ack: 11001})
	require.Equal(t, CAOpen, c.tcb.Info(c.now).CAState)
}
