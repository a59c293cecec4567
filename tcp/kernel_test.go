package tcp

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testdata/kernel holds scripts that were played to the kernel of Linux 6.18 over a TUN device, in a network
// namespace of its own, and what it sent and what its system calls returned. Here they are played to a TCB, in
// virtual time. scenes.txt has one situation a script; states.txt tries, in each state, each kind of segment at
// sequence numbers in, at the edge of and outside the window. Settings of the kernel: congestion control
// cubic, tcp_rmem 4096 131072 6291456, tcp_syn_linear_timeouts 0, all else as by default. Left out are a few cases in
// which we follow the RFCs and Linux does not: an ACK of ISS itself completes no simultaneous open, and no
// window is scaled when the peer's SYN had no scale.
//
// A block is "== name", the script, "--", and the trace. A script line is a delay in seconds and
//
//	< FLAGS seq:end(len) [ack N] [win N] [<options>] [[ecn]]   a segment arrives; numbers are relative to
//	                                                           the ISNs, a timestamp echo "@" is the latest
//	                                                           value received, "@-5" five before
//	listen, connect, accept, read N, write N [more], close, shutdown rd|wr|rdwr, opt NAME N, info NAMES, wait
//
// "set NAME=VALUE" and "mtu N" come first. Times in traces are compared with a tolerance.
type kernelRun struct {
	t      *testing.T
	now    time.Duration
	tcb    TCB
	cfg    Config
	mtu    int
	pre    [][]string
	listen bool
	dead   bool
	tw     *TimeWait
	out    []string
	lastTS uint32
	closed bool
	exact  int  // lines of out before text arrived
	told   bool // the error was returned by a system call
}

const (
	kernelISS   = Seq(0xfffff000)
	kernelStart = 1000 * time.Second
)

func (r *kernelRun) emit(format string, args ...any) {
	r.out = append(r.out, fmt.Sprintf("%.3f ", (r.now-kernelStart).Seconds())+fmt.Sprintf(format, args...))
}

func (r *kernelRun) drain() {
	var s Segment
	for i := 0; r.tcb.Output(r.now, &s); i++ {
		require.Less(r.t, i, 1000)
		r.show(&s)
		s.Payload.Release()
	}
	checkInvariants(r.t, &r.tcb, func() string { return strings.Join(r.out, "\n") })
	if e := r.tcb.TakeEvents(); e&EvTimeWait != 0 {
		r.tw = new(TimeWait)
		r.tcb.TimeWait(r.tw)
	} else if e&EvClosed != 0 {
		r.dead = true
	}
}

func (r *kernelRun) show(s *Segment) {
	rel := func(q Seq) int32 {
		if q == 0 {
			return 0 // of a reset
		}
		return q.Sub(kernelISS)
	}
	seq := rel(s.Seq)
	line := fmt.Sprintf("> %s %d:%d(%d)", s.Flags, seq, int(seq)+s.Payload.N, s.Payload.N)
	if s.Flags&ACK != 0 {
		line += fmt.Sprintf(" ack %d", uint32(s.Ack))
	}
	line += fmt.Sprintf(" win %d", s.Wnd)
	b := make([]byte, MaxHeaderLen)
	n := s.MarshalHeader(b)
	if o := r.options(b[MinHeaderLen:n], rel); o != "" {
		line += " <" + o + ">"
	}
	if s.ECN != 0 {
		line += " [" + [...]string{"", "ect1", "ect0", "ce"}[s.ECN] + "]"
	}
	if s.Opts.HasTS {
		r.lastTS = s.Opts.TSVal
	}
	r.emit("%s", line)
}

func (r *kernelRun) options(b []byte, rel func(Seq) int32) string {
	be := func(b []byte) uint32 { return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) }
	var o []string
	for len(b) > 0 {
		switch b[0] {
		case optNOP:
			o = append(o, "nop")
			b = b[1:]
			continue
		case optMSS:
			o = append(o, fmt.Sprint("mss ", int(b[2])<<8|int(b[3])))
		case optWScale:
			o = append(o, fmt.Sprint("wscale ", b[2]))
		case optSACKPermitted:
			o = append(o, "sackOK")
		case optTS:
			o = append(o, fmt.Sprint("TS ecr ", be(b[6:])))
		case optSACK:
			var x []string
			for i := 2; i < int(b[1]); i += 8 {
				x = append(x, fmt.Sprintf("%d:%d", be(b[i:]), be(b[i+4:])))
			}
			o = append(o, "sack "+strings.Join(x, " "))
		}
		b = b[b[1]:]
	}
	return strings.Join(o, ",")
}

// advance handles timers up to at.
func (r *kernelRun) advance(at time.Duration) {
	for r.tcb.Deadline() <= at {
		r.now = max(r.now, r.tcb.Deadline())
		r.tcb.Timeout(r.now)
		r.drain()
	}
	r.now = at
}

func (r *kernelRun) inject(spec string) {
	var s Segment
	f := strings.Fields(spec)
	for _, c := range f[0] {
		s.Flags |= map[rune]Flags{'F': FIN, 'S': SYN, 'R': RST, 'P': PSH, '.': ACK, 'U': URG, 'E': ECE, 'W': CWR}[c]
	}
	num := func(x string) uint32 {
		n, err := strconv.ParseInt(x, 10, 64)
		require.NoError(r.t, err, spec)
		return uint32(n)
	}
	seq, rest, _ := strings.Cut(f[1], ":")
	s.Seq = Seq(num(seq))
	_, n, _ := strings.Cut(strings.TrimSuffix(rest, ")"), "(")
	if k := int(num(n)); k > 0 {
		s.Payload.Append(Piece{B: make([]byte, k)})
	}
	spec = strings.Join(f[2:], " ")
	if i := strings.IndexByte(spec, '<'); i >= 0 {
		j := strings.IndexByte(spec, '>')
		r.parseOptions(&s, spec[i+1:j])
		spec = spec[:i] + spec[j+1:]
	}
	f = strings.Fields(spec)
	for i := 0; i < len(f); i++ {
		switch {
		case f[i] == "ack":
			s.Ack = Seq(num(f[i+1])) + kernelISS
			i++
		case f[i] == "win":
			s.Wnd = uint16(num(f[i+1]))
			i++
		default:
			s.ECN = map[string]uint8{"[ect0]": ECNECT0, "[ect1]": ECNECT1, "[ce]": ECNCE}[f[i]]
		}
	}
	if s.Payload.N > 0 && r.exact == 0 {
		r.exact = len(r.out)
	}
	r.deliver(&s)
}

func (r *kernelRun) parseOptions(s *Segment, spec string) {
	num := func(x string) uint32 {
		n, err := strconv.ParseInt(x, 10, 64)
		require.NoError(r.t, err, spec)
		return uint32(n)
	}
	for _, o := range strings.Split(spec, ",") {
		w := strings.Fields(o)
		switch w[0] {
		case "mss":
			s.Opts.MSS, s.Opts.HasMSS = uint16(num(w[1])), true
		case "wscale":
			s.Opts.WScale, s.Opts.HasWScale = uint8(num(w[1])), true
		case "sackOK":
			s.Opts.SACKPermitted = true
		case "TS":
			s.Opts.HasTS, s.Opts.TSVal = true, num(w[1])
			switch e := w[2]; {
			case e == "@":
				s.Opts.TSEcr = r.lastTS
			case e[0] == '@':
				s.Opts.TSEcr = r.lastTS + num(e[1:])
			default:
				s.Opts.TSEcr = num(e)
			}
		case "sack":
			for _, b := range w[1:] {
				x, y, _ := strings.Cut(b, ":")
				s.Opts.SACK[s.Opts.NSACK] = Range{Seq(num(x)) + kernelISS, Seq(num(y)) + kernelISS}
				s.Opts.NSACK++
			}
		}
	}
}

func (r *kernelRun) deliver(s *Segment) {
	var out Segment
	if r.tw != nil && r.tw.Deadline() <= r.now {
		r.tw, r.dead = nil, true
	}
	switch {
	case r.tw != nil:
		switch v, hint := r.tw.Input(r.now, r.tcb.env.stats, s, &out); v {
		case Recycle:
			r.tw = nil
			if ListenInput(s) == ListenSYN {
				p := r.params()
				p.ISS = hint
				r.tcb.Passive(r.now, p, s)
				r.drain()
			} else {
				r.dead = true
			}
		case Reply:
			r.show(&out)
		case DeadReply:
			r.show(&out)
			r.tw = nil
			r.dead = true
		case Dead:
			r.tw = nil
			r.dead = true
		}
		return
	case r.listen && (r.tcb.State() == StateClosed):
		switch ListenInput(s) {
		case ListenSYN:
			r.tcb.Passive(r.now, r.params(), s)
			r.drain()
		case ListenACK, ListenReset:
			if Reset(s, &out) {
				r.show(&out)
			}
		}
		return
	case r.dead:
		if Reset(s, &out) {
			r.show(&out)
		}
		return
	}
	r.tcb.Input(r.now, s)
	r.drain()
}

func (r *kernelRun) params() *Params {
	return &Params{Config: r.cfg.Defaults(), Local: hostB, Remote: hostA, MTU: r.mtu, ISS: kernelISS, TSOffset: 12345}
}

func (r *kernelRun) op(w []string) {
	arg := 0
	if len(w) > 1 {
		arg, _ = strconv.Atoi(w[1])
	}
	res := ""
	switch w[0] {
	case "preopt":
		r.pre = append(r.pre, w[1:])
		return
	case "listen":
		r.listen = true
		r.preopts()
		return
	case "connect":
		r.preopts()
		r.tcb.Connect(r.now, r.params())
		r.drain()
		return
	case "accept":
		return
	case "opt":
		r.setopt(w[1:])
		r.drain()
		return
	case "write":
		res = r.write(arg, len(w) > 2)
	case "read":
		res = r.read(arg)
	case "close":
		if r.closed {
			return
		}
		r.closed = true
		if r.tcb.opt != nil && r.tcb.opt.linger2 == 1 {
			r.tcb.Abort(r.now)
		} else {
			r.tcb.Close(r.now)
		}
	case "shutdown":
		var err error
		if w[1] != "wr" {
			err = r.tcb.CloseRead(r.now)
		}
		if w[1] != "rd" && err == nil {
			err = r.tcb.CloseWrite(r.now)
		}
		if err != nil {
			res = "ENOTCONN"
		}
	case "info":
		res = r.info(w[1:])
	}
	r.emit("%s -> %s", strings.Join(w, " "), res)
	r.drain()
}

func (r *kernelRun) write(n int, more bool) string {
	if err := r.tcb.Err(); err != nil && !r.told {
		r.told = true
		return errnoName(err)
	}
	if !r.tcb.State().CanSend() {
		return "EPIPE"
	}
	k := 0
	if more {
		k = r.tcb.WriteMore(r.now, make([]byte, n))
	} else {
		k = r.tcb.Write(r.now, make([]byte, n))
	}
	if k == 0 {
		return "EAGAIN"
	}
	return fmt.Sprint(k)
}

func errnoName(err error) string {
	return map[error]string{ErrReset: "ECONNRESET", ErrPipe: "EPIPE", ErrTimeout: "ETIMEDOUT", ErrRefused: "ECONNREFUSED"}[err]
}

func (r *kernelRun) read(n int) string {
	k := r.tcb.Read(r.now, make([]byte, n))
	switch {
	case k > 0:
		return fmt.Sprint(k)
	case r.tcb.Err() != nil && !r.told && !r.tcb.PeerClosed():
		r.told = true
		return errnoName(r.tcb.Err())
	case r.tcb.ReadEOF():
		return "0"
	}
	return "EAGAIN"
}

func (r *kernelRun) info(names []string) string {
	i := r.tcb.Info(r.now)
	var o []string
	for _, n := range names {
		v := map[string]int64{
			"state": map[State]int64{StateEstablished: 1, StateSynSent: 2, StateSynReceived: 3, StateFinWait1: 4, StateFinWait2: 5, StateTimeWait: 6, StateClosed: 7, StateCloseWait: 8, StateLastAck: 9, StateClosing: 11}[i.State],
			"ca":    int64(i.CAState), "retransmits": int64(i.Retransmits), "probes": int64(i.Probes), "backoff": int64(i.Backoff),
			"unacked": int64(i.Unacked), "sacked": int64(i.Sacked), "lost": int64(i.Lost), "retrans": int64(i.Retrans),
			"ssthresh": int64(i.SndSsthresh), "cwnd": int64(i.SndCwnd), "reordering": int64(i.Reordering),
			"snd_mss": int64(i.SndMSS), "rcv_mss": int64(i.RcvMSS), "advmss": int64(i.AdvMSS), "pmtu": int64(i.PMTU),
			"rcv_ssthresh": int64(i.RcvSsthresh), "total_retrans": int64(i.TotalRetrans), "rto": i.RTO.Microseconds(), "options": int64(i.Options),
			"ato": i.ATO.Microseconds(), "rtt": i.RTT.Microseconds(),
		}[n]
		o = append(o, fmt.Sprintf("%s=%d", n, v))
	}
	return strings.Join(o, " ")
}

func (r *kernelRun) preopts() {
	for _, o := range r.pre {
		r.setopt(o)
	}
}

func (r *kernelRun) setopt(o []string) {
	n, _ := strconv.Atoi(o[len(o)-1])
	switch o[0] {
	case "nodelay":
		r.tcb.SetNoDelay(n != 0)
	case "cork":
		r.tcb.SetCork(n != 0)
	case "maxseg":
		r.tcb.SetMaxSeg(n)
	case "quickack":
		r.tcb.SetQuickAck(r.now, n != 0)
	case "user_timeout":
		r.tcb.SetUserTimeout(time.Duration(n) * time.Millisecond)
	case "rcvbuf":
		r.tcb.SetRcvBuf(2 * n)
	case "sndbuf":
		r.tcb.SetSndBuf(max(2*n, 4608))
	case "keepalive":
		k := r.tcb.KeepAlive()
		k.Enable = n != 0
		r.tcb.SetKeepAlive(r.now, k)
	case "keepidle", "keepintvl", "keepcnt":
		k := r.tcb.KeepAlive()
		switch o[0] {
		case "keepidle":
			k.Idle = time.Duration(n) * time.Second
		case "keepintvl":
			k.Interval = time.Duration(n) * time.Second
		case "keepcnt":
			k.Count = n
		}
		r.tcb.SetKeepAlive(r.now, k)
	case "linger":
		r.tcb.SetLinger2(1) // marks linger 0 for close, see op
	case "linger2":
		r.tcb.SetLinger2(time.Duration(n) * time.Second)
	case "cc":
		require.NoError(r.t, r.tcb.SetCongestion(o[1]))
	}
}

func (r *kernelRun) run(script string) []string {
	r.now, r.mtu = kernelStart, 1500
	for _, l := range strings.Split(script, "\n") {
		l, _, _ = strings.Cut(l, "#")
		l = strings.TrimSpace(l)
		switch {
		case l == "":
		case strings.HasPrefix(l, "set "):
			k, v, _ := strings.Cut(l[4:], "=")
			require.NoError(r.t, r.cfg.Set(strings.TrimSpace(k), v))
		case strings.HasPrefix(l, "mtu "):
			r.mtu, _ = strconv.Atoi(l[4:])
		default:
			w := strings.Fields(l)
			d, err := strconv.ParseFloat(w[0], 64)
			require.NoError(r.t, err, l)
			r.advance(r.now + time.Duration(d*1e6+0.5)*time.Microsecond)
			if w[1] == "<" {
				r.inject(strings.Join(w[2:], " "))
			} else if w[1] != "wait" {
				r.op(w[1:])
			}
		}
	}
	return r.out
}
