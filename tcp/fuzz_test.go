package tcp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script is fuzz input read as a sequence of decisions. At its end it gives zeros.
type script struct{ b []byte }

func (s *script) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *script) uint16() uint16 { return uint16(s.byte())<<8 | uint16(s.byte()) }

// near returns a number at or near one of the given ones, or anywhere.
func (s *script) near(base ...Seq) Seq {
	c := s.byte()
	q := base[int(c&7)%len(base)]
	switch c >> 3 & 7 {
	case 0, 1, 2:
		return q
	case 3:
		return q - 1
	case 4:
		return q + 1
	case 5:
		return q + Seq(s.byte())
	case 6:
		return q - Seq(s.byte())
	}
	return q + Seq(s.uint16())<<8
}

// segment makes a segment, most often a plausible one, for the present state of t.
func (s *script) segment(t *TCB) Segment {
	in := Segment{SrcPort: 1, DstPort: 2}
	in.Seq = s.near(t.rcv.nxt, t.edge.irs, t.rcv.nxt.Add(t.rcv.wnd), t.rcv.wup, t.rcv.nxt+1000)
	in.Ack = s.near(t.snd.nxt, t.snd.una, t.edge.iss, t.snd.una+1000, t.snd.end)
	switch c := s.byte(); {
	case c < 128:
		in.Flags = ACK
	case c < 160:
		in.Flags = ACK | PSH
	case c < 176:
		in.Flags = ACK | FIN
	case c < 184:
		in.Flags = SYN
	case c < 192:
		in.Flags = SYN | ACK
	case c < 194:
		in.Flags = RST
	default:
		in.Flags = Flags(s.byte()) &^ RST
	}
	in.Wnd = s.uint16()
	in.ECN = s.byte() & 3
	o := s.byte()
	if o&1 != 0 && o&0x80 == 0 || t.has(fTS) {
		in.Opts.HasTS = true
		in.Opts.TSVal = t.tsRecent + uint32(s.byte()) - uint32(o>>6)
		in.Opts.TSEcr = t.tsOffset + uint32(s.uint16())
	}
	in.Opts.HasMSS, in.Opts.MSS = o&2 != 0, s.uint16()
	in.Opts.HasWScale, in.Opts.WScale = o&4 != 0, s.byte()%16
	in.Opts.SACKPermitted = o&8 != 0
	if in.Flags&SYN != 0 && o&16 != 0 {
		in.Opts.FastOpen = s.cookie()
	}
	if in.Flags&URG != 0 {
		in.Urg = s.uint16() % 4000
	}
	for range min(o>>4&7, 4) {
		at := s.near(t.snd.una, t.snd.nxt, t.snd.una+1000, t.snd.una+2000)
		in.Opts.SACK[in.Opts.NSACK] = Range{at, at + Seq(s.uint16())}
		in.Opts.NSACK++
	}
	if s.byte()&3 != 0 {
		in.Payload.Append(Piece{B: make([]byte, int(s.uint16())%3000+1)})
	}
	return in
}

func (s *script) cookie() *FastOpenCookie {
	c := s.byte()
	return &FastOpenCookie{N: []uint8{0, 4, 8, 16}[c&3], Experimental: c&4 != 0}
}

// config makes up to three settings other than the defaults, to values that Linux may refuse.
func (s *script) config() *Config {
	c := &Config{}
	names := []string{
		"tcp_timestamps", "tcp_sack", "tcp_dsack", "tcp_window_scaling", "tcp_slow_start_after_idle", "tcp_moderate_rcvbuf", "tcp_retrans_collapse",
		"tcp_ecn_fallback", "tcp_rfc1337", "tcp_adv_win_scale", "tcp_app_win", "tcp_fastopen", "tcp_syn_retries", "tcp_syn_linear_timeouts",
		"tcp_synack_retries", "tcp_retries1", "tcp_retries2", "tcp_orphan_retries", "tcp_keepalive_probes", "tcp_reordering", "tcp_max_reordering",
		"tcp_recovery", "tcp_early_retrans", "tcp_frto", "tcp_pingpong_thresh", "tcp_comp_sack_nr", "tcp_challenge_ack_limit", "route.initcwnd",
		"route.initrwnd", "tcp_notsent_lowat", "tcp_min_snd_mss", "tcp_tso_win_divisor", "tcp_rto_min_us", "tcp_rto_max_ms", "tcp_fin_timeout",
		"tcp_keepalive_time", "tcp_keepalive_intvl", "tcp_comp_sack_delay_ns", "tcp_invalid_ratelimit", "tcp_min_rtt_wlen", "tcp_ecn",
		"tcp_congestion_control", "tcp_rmem", "tcp_wmem", "tcp_mtu_probing", "tcp_base_mss", "tcp_mtu_probe_floor", "tcp_probe_threshold",
		"tcp_probe_interval", "tcp_max_orphans",
	}
	values := []string{"0", "1", "2", "3", "-1", "40", "255", "1000", "70000", "2147483647", "-2147483648", "9223372036854775807",
		"reno", "0 0 0", "1 1 1", "4096 100000 1000"}
	for range s.byte() % 4 {
		_ = c.Set(names[int(s.byte())%len(names)], values[int(s.byte())%len(values)])
	}
	return c.Defaults()
}

// live is a TCB under fuzzing.
type live struct {
	t     *testing.T
	now   time.Duration
	tcb   TCB
	alloc countingAlloc
	log   []string
	edge  Seq
	known bool
	sent  int
	iss   uint32
	full  bool // no short cuts
	cfg   *Config
}

func (l *live) note(format string, args ...any) {
	if len(l.log) < 2000 {
		l.log = append(l.log, fmt.Sprintf("%v %v: ", l.now, l.tcb.State())+fmt.Sprintf(format, args...))
	}
}

func (l *live) check() {
	l.t.Helper()
	checkInvariants(l.t, &l.tcb, func() string { return strings.Join(l.log, "\n") })
	e := &l.tcb
	if !e.State().in(synchronized) || e.has(fFinRcvd) {
		l.known = false
		return
	}
	edge := e.rcv.wup.Add(e.rcv.wnd)
	if l.known && edge.Before(l.edge) {
		l.t.Fatalf("the receive window's right edge moved left\n%s", strings.Join(l.log, "\n"))
	}
	l.edge, l.known = edge, true
}

func (l *live) drain() {
	var out Segment
	if l.tcb.LoneAck() {
		out = sendAck(l.t, l.now, &l.tcb)
		l.gave(0, &out)
	}
	for n := 0; l.tcb.Output(l.now, &out); n++ {
		if n > 4000 {
			l.t.Fatalf("Output never ends\n%s", strings.Join(l.log, "\n"))
		}
		l.gave(n, &out)
	}
	l.check()
}

// gave looks at the n-th segment in a row, which goes nowhere.
func (l *live) gave(n int, out *Segment) {
	l.sent++
	if n < 20 {
		l.note("> %v %d:%d ack %d win %d ts %d %d %v", out.Flags, uint32(out.Seq), out.Payload.N, uint32(out.Ack), out.Wnd, out.Opts.TSVal, out.Opts.TSEcr, out.Cause)
	}
	if n := out.HeaderLen(); n > MaxHeaderLen || n+out.Payload.N+20 > 1500 {
		l.t.Fatalf("segment of %d+%d bytes", n, out.Payload.N)
	}
	out.Payload.Release()
}

func (l *live) params() *Params {
	l.iss++
	return &Params{Config: l.cfg, Alloc: &l.alloc, Local: hostA, Remote: hostB, MTU: 1500, ISS: Seq(l.iss << 30), TSOffset: 7}
}

func (l *live) act(s *script) {
	switch op := s.byte(); {
	case l.tcb.State() == StateClosed:
		l.tcb.Release()
		p := l.params()
		if op&1 != 0 {
			if op&2 != 0 {
				p.FastOpen = &FastOpen{Cookie: *s.cookie(), MSS: s.uint16(), NoCookie: op&4 != 0, Data: make([]byte, s.uint16()%3000)}
			}
			l.tcb.Connect(l.now, p)
		} else {
			syn := s.segment(&l.tcb)
			syn.Flags = SYN | syn.Flags&(ECE|CWR)
			if op&2 != 0 {
				p.FastOpen = &FastOpen{Grant: s.cookie(), Accept: op&4 != 0}
			}
			l.tcb.Passive(l.now, p, &syn)
		}
		l.known = false
		l.tcb.env.full = l.full
	case op < 150:
		in := s.segment(&l.tcb)
		o := in.Opts
		o.FastOpen = nil // an address
		l.note("< %v %d:%d ack %d win %d %+v", in.Flags, uint32(in.Seq), in.Payload.N, uint32(in.Ack), in.Wnd, o)
		l.tcb.Input(l.now, &in)
	case op < 180:
		text := make([]byte, int(s.uint16())%20000)
		if l.tcb.Lone(len(text)) {
			l.note("write %d", len(text))
			out := sendLone(l.t, l.now, &l.tcb, text, smallText)
			l.gave(0, &out)
			break
		}
		if len(text) > 0 && l.tcb.MayLend(len(text)) {
			l.note("write %d", len(text))
			l.tcb.Lend(l.now, text, false, nil)
			if l.tcb.LoneRun() {
				for i, out := range sendRun(l.t, l.now, &l.tcb, text, int(op&1)*most) {
					l.gave(i, &out)
				}
			} else {
				l.drain()
			}
			l.tcb.EndLoan()
			l.tcb.snd.shy = 0
			break
		}
		l.note("write %d", l.tcb.Write(l.now, text))
	case op < 190:
		l.tcb.WriteMore(l.now, make([]byte, int(s.byte())))
	case op < 205:
		l.note("read %d", l.tcb.Read(l.now, make([]byte, s.uint16())))
	case op < 235:
		l.now += time.Duration(s.uint16()) * time.Microsecond << (s.byte() % 12)
		l.note("time")
		for n := 0; l.tcb.Deadline() <= l.now; n++ {
			if n > 1000 {
				l.t.Fatalf("timers that never come to rest\n%s", strings.Join(l.log, "\n"))
			}
			l.tcb.Timeout(l.now)
			l.drain()
		}
	default:
		l.userCall(op, s)
	}
}

func (l *live) userCall(op byte, s *script) {
	l.note("user call %d", op)
	switch op {
	case 235, 236:
		_ = l.tcb.CloseWrite(l.now)
	case 237:
		l.tcb.Close(l.now)
	case 238:
		l.tcb.Abort(l.now)
	case 239:
		_ = l.tcb.CloseRead(l.now)
	case 240, 241, 242:
		l.tcb.ICMP(l.now, ICMPError{Kind: ICMPKind(s.byte() % 11), MTU: int(s.uint16()), Seq: s.near(l.tcb.snd.una, l.tcb.snd.nxt)})
	case 243:
		l.tcb.SetNoDelay(s.byte()&1 != 0)
	case 244:
		l.tcb.SetCork(s.byte()&1 != 0)
	case 245:
		l.tcb.SetQuickAck(l.now, s.byte()&1 != 0)
	case 246:
		l.tcb.SetKeepAlive(l.now, KeepAliveConfig{Enable: s.byte()&1 != 0, Idle: time.Duration(s.byte()) * time.Second, Interval: time.Second, Count: 3})
	case 247:
		l.tcb.SetUserTimeout(time.Duration(s.byte()) * 100 * time.Millisecond)
	case 248:
		l.tcb.SetSndBuf(int(s.uint16()))
	case 249:
		l.tcb.SetMaxSeg(int(s.uint16()) % 2000)
	case 250:
		l.tcb.Discard(l.now, int(s.uint16()))
	case 251:
		if e := l.tcb.State(); e == StateTimeWait || e == StateFinWait2 && l.tcb.has(fOrphan) {
			l.timeWait(s)
		}
	case 252:
		l.option(s)
	case 253:
		l.tcb.WriteUrgent(l.now, make([]byte, int(s.byte())))
		l.tcb.UrgentMark()
	case 254:
		_, _ = l.tcb.ReadUrgent(s.byte()&1 != 0)
	default:
		l.tcb.Info(l.now)
		l.tcb.Peek(make([]byte, 10), int(s.byte()))
	}
}

// option sets what is rarely set.
func (l *live) option(s *script) {
	n := s.uint16()
	switch s.byte() % 12 {
	case 0:
		l.tcb.SetUrgentInline(n&1 != 0)
	case 1:
		l.tcb.SetLinger2(time.Duration(int16(n)) * time.Second)
	case 2:
		l.tcb.SetSynRetries(int(n) % 256)
	case 3:
		l.tcb.SetDeferAccept(time.Duration(n) * time.Second)
	case 4:
		l.tcb.SetWindowClamp(int(n))
	case 5:
		l.tcb.SetNotsentLowat(uint32(n))
	case 6:
		l.tcb.SetRcvLowat(int(n))
	case 7:
		l.tcb.SetRTOMax(time.Duration(n) * time.Millisecond)
	case 8:
		l.tcb.SetRcvBuf(int(n))
	case 9:
		_ = l.tcb.SetCongestion(CongestionNames()[int(n)%len(CongestionNames())])
	case 10:
		for q, ok := l.tcb.TakePiece(l.now, int(n)); ok; q, ok = l.tcb.TakePiece(l.now, int(n)) {
			if q.Owner != nil {
				q.Owner.Release()
			}
		}
	case 11:
		l.tcb.Flush()
		l.tcb.EndRecord()
	}
}

// timeWait replaces the TCB by its stand-in and throws segments at that.
func (l *live) timeWait(s *script) {
	l.drain()
	if l.tcb.State() == StateClosed {
		return
	}
	ref := l.tcb
	var w TimeWait
	l.tcb.TimeWait(&w)
	for range 5 {
		in := s.segment(&ref)
		var out Segment
		v, _ := w.Input(l.now, ref.env.stats, &in, &out)
		if v == Dead || v == DeadReply || v == Recycle {
			break
		}
		require.Less(l.t, l.now, w.Deadline()+time.Hour)
	}
}

// FuzzTCB throws arbitrary segments, user calls and times at a TCB. Nothing may panic or hang, what the TCB
// holds stays bounded, and the invariants hold after every step.
func FuzzTCB(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(randomBytes(seed, 200+int(seed)*100))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzOne(t, data) })
}

// FuzzSet: whatever is written to a sysctl, the error is one or the configuration has no negative numbers or times but
// those that mean something, and it can be completed.
func FuzzSet(f *testing.F) {
	f.Add("net.ipv4.tcp_rmem", "4096 131072 6291456")
	f.Add("tcp_rto_max_ms", "1000")
	f.Add("tcp_ecn", "0x1")
	f.Add("tcp_keepalive_time", "9223372036854775807")
	f.Fuzz(func(t *testing.T, name, value string) {
		var c Config
		if err := c.Set(name, value); err != nil {
			var why *SysctlError
			require.ErrorAs(t, err, &why)
			require.NotEmpty(t, why.Reason)
			return
		}
		d := c.Defaults()
		for _, n := range []time.Duration{d.RTOMin, d.RTOMax, d.FinTimeout, d.KeepaliveTime, d.KeepaliveIntvl, d.CompSackDelay, d.InvalidRatelimit, d.MinRTTWin} {
			require.GreaterOrEqual(t, n, time.Duration(0))
		}
		require.GreaterOrEqual(t, min(d.Rmem[0], d.Rmem[1], d.Rmem[2], d.Wmem[0], d.Wmem[1], d.Wmem[2], d.InitCwnd-1, d.SynRetries, d.Retries2), 0)
		require.LessOrEqual(t, d.RTOMin, d.RTOMax)
		require.Equal(t, d, d.Defaults())
	})
}

// fuzzOne does what data says, with short cuts and without, which does not show.
func fuzzOne(t *testing.T, data []byte) {
	want := fuzzTCB(t, data, true)
	require.Equal(t, want, fuzzTCB(t, data, false))
}

func fuzzTCB(t *testing.T, data []byte, full bool) (log []string) {
	l := &live{t: t, now: time.Second, full: full}
	s := &script{b: data}
	l.cfg = s.config()
	l.note("%+v", *l.cfg)
	defer func() {
		if r := recover(); r != nil {
			t.Log(strings.Join(l.log, "\n"))
			panic(r)
		}
	}()
	for steps := 0; len(s.b) > 0 && steps < 2000; steps++ {
		l.act(s)
		l.check()
		l.drain()
		l.tcb.TakeEvents()
		// Each segment yields a bounded number of answers, so nothing can amplify without data of ours.
		if held := l.alloc.out; held > 3000 {
			t.Fatalf("%d buffers held\n%s", held, strings.Join(l.log, "\n"))
		}
	}
	l.tcb.Release()
	require.Zero(t, l.alloc.out, "buffers leaked\n%s", strings.Join(l.log, "\n"))
	return l.log
}

// TestRandomSegments is a longer walk than the fuzzer's seeds, the same every time.
func TestRandomSegments(t *testing.T) {
	n := 3000
	if testing.Short() {
		n = 300
	}
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		b := make([]byte, 3000)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		fuzzOne(t, b)
	}
}
