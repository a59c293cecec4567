package tcp

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSYNOptions(t *testing.T) {
	host6 := netip.MustParseAddrPort("[::1]:80")
	for _, c := range []struct {
		name   string
		cfg    Config
		mtu    int
		remote netip.AddrPort
		setup  func(*TCB)
		want   Options
		wnd    uint16
	}{
		{"lo of 16436", Config{}, 16436, hostB, nil,
			Options{HasMSS: true, MSS: 16396, SACKPermitted: true, HasTS: true, HasWScale: true, WScale: 7}, 49188},
		{"ethernet", Config{}, 1500, hostB, nil,
			Options{HasMSS: true, MSS: 1460, SACKPermitted: true, HasTS: true, HasWScale: true, WScale: 7}, 64240},
		{"IPv6", Config{}, 1500, host6, nil,
			Options{HasMSS: true, MSS: 1440, SACKPermitted: true, HasTS: true, HasWScale: true, WScale: 7}, 64800},
		{"nothing but MSS", Config{Timestamps: Off, SACK: Off, WindowScaling: Off}, 1500, hostB, nil,
			Options{HasMSS: true, MSS: 1460}, 64240},
		{"TCP_MAXSEG", Config{Timestamps: Off}, 1500, hostB, func(e *TCB) { e.SetMaxSeg(700) },
			Options{HasMSS: true, MSS: 700, SACKPermitted: true, HasWScale: true, WScale: 7}, 65100},
		{"small receive buffer", Config{Timestamps: Off}, 1500, hostB, func(e *TCB) { e.SetRcvBuf(16000) },
			Options{HasMSS: true, MSS: 1460, SACKPermitted: true, HasWScale: true}, 7300},
		{"large receive buffer", Config{Timestamps: Off}, 1500, hostB, func(e *TCB) { e.SetRcvBuf(64 << 20) },
			Options{HasMSS: true, MSS: 1460, SACKPermitted: true, HasWScale: true, WScale: 9}, 65535},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e TCB
			if c.setup != nil {
				c.setup(&e)
			}
			e.Connect(time.Second, &Params{Config: &c.cfg, Local: hostA, Remote: c.remote, MTU: c.mtu, ISS: 5, TSOffset: 17})
			var s Segment
			require.True(t, e.Output(time.Second, &s))
			if c.want.HasTS {
				c.want.TSVal = 1017
			}
			require.Equal(t, c.want, s.Opts)
			require.Equal(t, c.wnd, s.Wnd, "window of a SYN is not scaled")
			require.Equal(t, SYN, s.Flags)
		})
	}
}

// TestSYNACKOptions: a SYN-ACK has only what the SYN had.
func TestSYNACKOptions(t *testing.T) {
	all := Options{HasMSS: true, MSS: 1000, SACKPermitted: true, HasTS: true, TSVal: 5, HasWScale: true, WScale: 3}
	for _, c := range []struct {
		name string
		cfg  Config
		syn  Options
		ok   func(o Options) bool
	}{
		{"all", Config{}, all, func(o Options) bool { return o.SACKPermitted && o.HasTS && o.HasWScale && o.TSEcr == 5 }},
		{"none", Config{}, Options{}, func(o Options) bool { return !o.SACKPermitted && !o.HasTS && !o.HasWScale && o.HasMSS }},
		{"we want none", Config{Timestamps: Off, SACK: Off, WindowScaling: Off}, all,
			func(o Options) bool { return !o.SACKPermitted && !o.HasTS && !o.HasWScale && o.HasMSS }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e TCB
			syn := Segment{Flags: SYN, Seq: 1, Wnd: 1000, Opts: c.syn}
			e.Passive(time.Second, &Params{Config: &c.cfg, Local: hostB, Remote: hostA, MTU: 1500, ISS: 5}, &syn)
			var s Segment
			require.True(t, e.Output(time.Second, &s))
			require.Equal(t, SYN|ACK, s.Flags)
			require.True(t, c.ok(s.Opts), "%+v", s.Opts)
		})
	}
}

// TestSendMSS: Eff.snd.MSS = min(SendMSS+20, MMS_S) - TCPhdrsize - IPoptionsize (RFC 9293 §3.7.1).
func TestSendMSS(t *testing.T) {
	host6 := netip.MustParseAddrPort("[::1]:80")
	for _, c := range []struct {
		name   string
		remote netip.AddrPort
		mtu    int
		opts   Options
		want   int
	}{
		{"no option, IPv4", hostB, 1500, Options{}, 536},
		{"no option, IPv6", host6, 1500, Options{}, 1220},
		{"option smaller than MTU", hostB, 1500, Options{HasMSS: true, MSS: 900}, 900},
		{"option larger than MTU", hostB, 1500, Options{HasMSS: true, MSS: 9000}, 1460},
		{"timestamps take 12", hostB, 1500, Options{HasMSS: true, MSS: 1460, HasTS: true, TSVal: 1}, 1448},
		{"lo carries 16 KiB", hostB, 16436, Options{HasMSS: true, MSS: 16396, HasTS: true, TSVal: 1}, 16384},
		{"absurdly small", hostB, 1500, Options{HasMSS: true, MSS: 1}, 48},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e TCB
			syn := Segment{Flags: SYN, Seq: 1, Wnd: 65535, Opts: c.opts}
			e.Passive(time.Second, &Params{Local: hostA, Remote: c.remote, MTU: c.mtu, ISS: 5}, &syn)
			require.Equal(t, c.want, e.SendMSS())
		})
	}
}

func TestSACKBlocksTakeRoom(t *testing.T) {
	c := established(t, nil, synOpts)
	c.in(seg{flags: ACK, seq: 1001, ack: 1, len: 500})
	c.want("duplicate ACK", seg{flags: ACK, seq: 1, ack: 1})
	c.write(2000)
	c.want("12 bytes less text", seg{flags: ACK, seq: 1, ack: 1, len: 988})
	require.Equal(t, uint8(1), c.last.Opts.NSACK)
	c.want("12 bytes less text", seg{flags: ACK, seq: 989, ack: 1, len: 988})
}

// TestSynReceivedRemembers: MUST-11. A reset returns a passive open to LISTEN silently, and fails an active one.
func TestSynReceivedRemembers(t *testing.T) {
	passive := newConn(t, nil)
	syn := Segment{Flags: SYN, Seq: peerISS, Wnd: 1000}
	passive.tcb.Passive(passive.now, &passive.p, &syn)
	passive.want("SYN-ACK", seg{flags: SYN | ACK, ack: 1})
	passive.in(seg{flags: RST, seq: 1})
	passive.wantState(StateClosed)
	require.False(t, passive.tcb.TakeEvents()&EvConnected != 0)
	passive.wantIdle("nothing answers a reset")
	require.Equal(t, uint64(1), passive.stats.EmbryonicRsts.Load())

	active := newConn(t, nil)
	active.tcb.Connect(active.now, &active.p)
	active.want("SYN", seg{flags: SYN})
	active.in(seg{flags: SYN, opts: synOpts})
	active.wantState(StateSynReceived)
	active.want("SYN-ACK", seg{flags: SYN | ACK, ack: 1})
	active.in(seg{flags: RST | ACK, seq: 1, ack: 1})
	active.wantState(StateClosed)
	require.Equal(t, ErrReset, active.tcb.Err())
	require.NotZero(t, active.tcb.TakeEvents()&EvError)
}

// TestConnectTimesOut: SYNs at 0, 1, 3, 7, 15, 31, 63 s, and ETIMEDOUT at 127 s.
func TestConnectTimesOut(t *testing.T) {
	c := newConn(t, nil)
	start := c.now
	c.tcb.Connect(c.now, &c.p)
	c.want("first SYN", seg{flags: SYN})
	for _, at := range []int{1, 3, 7, 15, 31, 63} {
		c.timer()
		require.Equal(t, time.Duration(at)*time.Second, c.now-start)
		c.wantCause("another SYN", seg{flags: SYN}, CauseRetransmitSYN)
		c.wantIdle("one is enough")
	}
	c.timer()
	require.Equal(t, 127*time.Second, c.now-start)
	c.wantIdle("it gives up")
	c.wantState(StateClosed)
	require.Equal(t, ErrTimeout, c.tcb.Err())
	require.Equal(t, Never, c.tcb.Deadline())
	require.Equal(t, uint64(6), c.stats.TCPSynRetrans.Load())
}

func TestSynRetriesAndLinearTimeouts(t *testing.T) {
	c := newConn(t, &Config{SynLinearTimeouts: 4})
	c.tcb.SetSynRetries(2)
	start := c.now
	c.tcb.Connect(c.now, &c.p)
	c.want("first SYN", seg{flags: SYN})
	for _, at := range []int{1, 2, 3, 4, 5, 7} {
		c.timer()
		require.Equal(t, time.Duration(at)*time.Second, c.now-start)
		c.want("another SYN", seg{flags: SYN})
	}
	c.timer()
	require.Equal(t, 11*time.Second, c.now-start)
	require.Equal(t, ErrTimeout, c.tcb.Err())
}

func TestSynAckTimesOut(t *testing.T) {
	c := newConn(t, nil)
	syn := Segment{Flags: SYN, Seq: peerISS, Wnd: 1000}
	start := c.now
	c.tcb.Passive(c.now, &c.p, &syn)
	c.want("SYN-ACK", seg{flags: SYN | ACK, ack: 1})
	for _, at := range []int{1, 3, 7, 15, 31} {
		c.timer()
		require.Equal(t, time.Duration(at)*time.Second, c.now-start)
		c.wantCause("SYN-ACK again", seg{flags: SYN | ACK, ack: 1}, CauseRetransmitSYN)
	}
	c.timer()
	require.Equal(t, 63*time.Second, c.now-start)
	c.wantState(StateClosed)
}

func TestConnectUserTimeout(t *testing.T) {
	c := newConn(t, nil)
	c.tcb.SetUserTimeout(2500 * time.Millisecond)
	require.Equal(t, 2500*time.Millisecond, c.tcb.UserTimeout())
	c.tcb.Connect(c.now, &c.p)
	start := c.now
	c.want("SYN", seg{flags: SYN})
	c.timer()
	c.want("SYN again", seg{flags: SYN})
	c.timer()
	c.wantState(StateClosed)
	require.Equal(t, 2500*time.Millisecond, c.now-start)
}

// TestCookies: a listener without room answers with a cookie and makes the connection from the ACK alone.
func TestCookies(t *testing.T) {
	secret := [16]byte{1, 2, 3}
	now := time.Hour
	for _, c := range []struct {
		name string
		opts Options
		ece  Flags
	}{
		{"with timestamps", Options{HasMSS: true, MSS: 1460, SACKPermitted: true, HasTS: true, TSVal: 77, HasWScale: true, WScale: 5}, ECE | CWR},
		{"without timestamps", Options{HasMSS: true, MSS: 1460, SACKPermitted: true, HasWScale: true, WScale: 5}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stats Stats
			p := &Params{Stats: &stats, Local: hostB, Remote: hostA, MTU: 1500, TSOffset: 1000}
			syn := Segment{SrcPort: hostA.Port(), DstPort: hostB.Port(), Seq: 5000, Flags: SYN | c.ece, Wnd: 1000, Opts: c.opts}
			require.Equal(t, ListenSYN, ListenInput(&syn))
			iss := MakeCookie(secret, now, hostB, hostA, &syn)
			var synack Segment
			CookieSYNACK(p, &syn, iss, uint32(now/time.Millisecond), &synack)
			require.Equal(t, iss, synack.Seq)
			require.Equal(t, Seq(5001), synack.Ack)
			require.Equal(t, c.opts.HasTS, synack.Opts.HasTS)
			require.Equal(t, c.opts.HasTS, synack.Opts.SACKPermitted, "only timestamps can carry it")
			require.Equal(t, c.opts.HasTS, synack.Opts.HasWScale)
			require.Equal(t, c.ece != 0, synack.Flags&ECE != 0)

			ack := Segment{SrcPort: hostA.Port(), DstPort: hostB.Port(), Seq: 5001, Ack: iss + 1, Flags: ACK | PSH, Wnd: 1000}
			if c.opts.HasTS {
				ack.Opts = Options{HasTS: true, TSVal: 80, TSEcr: synack.Opts.TSVal}
			}
			ack.Payload.Append(Piece{B: []byte("hello")})
			require.Equal(t, ListenACK, ListenInput(&ack))
			state, ok := CheckCookie(secret, now+time.Second, hostB, hostA, &ack, p.TSOffset)
			require.True(t, ok)
			var e TCB
			e.PassiveCookie(now+time.Second, p, &ack, state)
			require.Equal(t, StateEstablished, e.State())
			require.NotZero(t, e.TakeEvents()&EvConnected)
			buf := make([]byte, 10)
			require.Equal(t, "hello", string(buf[:e.Read(now, buf)]))
			require.Equal(t, c.opts.HasTS, e.has(fTS))
			require.Equal(t, c.opts.HasTS, e.has(fSACK))
			require.Equal(t, c.opts.HasTS, e.has(fWScale))
			require.Equal(t, c.ece != 0, e.ecn&ecnOK != 0)
			checkInvariants(t, &e, func() string { return "" })
			require.Equal(t, uint64(1), stats.SyncookiesSent.Load())
			require.Equal(t, uint64(1), stats.SyncookiesRecv.Load())
			var s Segment
			require.True(t, e.Output(now+time.Second, &s))
			require.Equal(t, Seq(5006), s.Ack)
		})
	}
}

// TestListenInput is RFC 9293 §3.10.7.2.
func TestListenInput(t *testing.T) {
	for f := range Flags(255) {
		want := ListenDrop
		switch {
		case f&RST != 0:
		case f&ACK != 0 && f&SYN != 0:
			want = ListenReset
		case f&ACK != 0:
			want = ListenACK
		case f&SYN != 0 && f&FIN == 0:
			want = ListenSYN
		}
		require.Equal(t, want, ListenInput(&Segment{Flags: f}), "%v", f)
	}
}

// TestTextOnSYN: it is not taken, and the peer sends it again.
func TestTextOnSYN(t *testing.T) {
	c := newConn(t, nil)
	syn := Segment{Flags: SYN, Seq: peerISS, Wnd: 1000}
	syn.Payload.Append(Piece{B: make([]byte, 100)})
	c.tcb.Passive(c.now, &c.p, &syn)
	c.want("only the SYN is acknowledged", seg{flags: SYN | ACK, ack: 1})
	c.in(seg{flags: ACK, seq: 1, ack: 1, len: 100})
	c.wantState(StateEstablished)
	require.Equal(t, 100, c.tcb.Readable())
}

// TestWriteBeforeEstablished: "Queue the data for transmission after entering ESTABLISHED state" (§3.10.2).
func TestWriteBeforeEstablished(t *testing.T) {
	c := newConn(t, nil)
	c.tcb.Connect(c.now, &c.p)
	c.want("SYN without text", seg{flags: SYN})
	c.write(1500)
	c.wantIdle("the connection is not there yet")
	c.in(seg{flags: SYN | ACK, ack: 1, wnd: 10000, opts: synOpts})
	c.want("the text carries the ACK", seg{flags: ACK, seq: 1, ack: 1, len: 1000})
	c.want("and the rest", seg{flags: ACK | PSH, seq: 1001, ack: 1, len: 500})
	c.wantIdle("no ACK besides")
}

// TestWritePending: the ACK of the handshake waits for a writer who waits for the handshake, 200 ms at most.
func TestWritePending(t *testing.T) {
	open := func(on bool) *conn {
		c := newConn(t, nil)
		c.tcb.SetWritePending(true) // too early: it means nothing
		c.tcb.Connect(c.now, &c.p)
		c.want("SYN", seg{flags: SYN})
		c.tcb.SetWritePending(on)
		c.in(seg{flags: SYN | ACK, ack: 1, wnd: 10000, opts: synOpts})
		return c
	}
	c := open(true)
	c.wantIdle("the writer is about to write")
	c.write(100)
	c.want("its text carries the ACK", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 100})

	c = open(true)
	c.wantIdle("the writer is about to write")
	require.Equal(t, 200*ms, c.timer())
	c.want("the writer does not write", seg{flags: ACK, seq: 1, ack: 1})

	c = open(false)
	c.want("nobody waits", seg{flags: ACK, seq: 1, ack: 1})
}

// TestCloseInSynReceived queues the FIN behind the handshake.
func TestCloseInSynReceived(t *testing.T) {
	c := newConn(t, nil)
	syn := Segment{Flags: SYN, Seq: peerISS, Wnd: 1000}
	c.tcb.Passive(c.now, &c.p, &syn)
	c.want("SYN-ACK", seg{flags: SYN | ACK, ack: 1})
	require.NoError(t, c.tcb.CloseWrite(c.now))
	c.wantIdle("the FIN waits")
	c.in(seg{flags: ACK, seq: 1, ack: 1})
	c.wantState(StateFinWait1)
	c.want("the FIN", seg{flags: FIN | ACK, seq: 1, ack: 1})
}

// TestSequenceNumbersWrap runs whole connections over every interesting place of sequence space.
func TestSequenceNumbersWrap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, iss := range []Seq{0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0xffff0000, Seq(r.Uint32())} {
		p := newPipe(t)
		p.a.Connect(p.now, p.params(hostA, hostB, p.cfgA, iss))
		p.drain()
		p.run(func() bool { return p.a.State() == StateEstablished && p.b.State() == StateEstablished })
		in := randomBytes(uint64(iss), 200000)
		gotB, gotA := p.transfer(in, in[:70000])
		require.Equal(t, in, gotB)
		require.Equal(t, in[:70000], gotA)
		p.finish()
	}
}

func TestInherit(t *testing.T) {
	var l, e TCB
	l.SetNoDelay(true)
	l.SetRcvBuf(10000)
	l.SetSndBuf(20000)
	l.SetMaxSeg(500)
	l.SetUserTimeout(time.Second)
	l.SetKeepAlive(0, KeepAliveConfig{Enable: true, Idle: time.Minute})
	require.NoError(t, l.SetCongestion("reno"))
	e.Inherit(&l)
	syn := Segment{Flags: SYN, Seq: 1, Wnd: 1000, Opts: synOpts}
	e.Passive(time.Second, &Params{Local: hostB, Remote: hostA, MTU: 1500, ISS: 5}, &syn)
	require.True(t, e.NoDelay())
	require.Equal(t, 10000, e.RcvBuf())
	require.Equal(t, 20000, e.SndBuf())
	require.Equal(t, 500, e.SendMSS())
	require.Equal(t, time.Second, e.UserTimeout())
	require.Equal(t, "reno", e.Congestion())
	k := e.KeepAlive()
	require.True(t, k.Enable)
	require.Equal(t, time.Minute, k.Idle)
	require.Equal(t, 75*time.Second, k.Interval, "the default")
	l.SetUserTimeout(time.Minute)
	require.Equal(t, time.Second, e.UserTimeout(), "options are not shared")
}
