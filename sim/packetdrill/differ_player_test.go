package packetdrill

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A moment is an event of a generated script: what the application or the
// peer does, and when since the beginning. What the kernel makes of it is not
// part of it.
type moment struct {
	at   time.Duration
	text string // as in a script, calls without their result; or one of the observations below
}

// Observations are moments at which a script looks at the connection.
const (
	lookInfo  = "#info"  // TCP_INFO
	lookPoll  = "#poll"  // poll, without waiting
	lookError = "#error" // SO_ERROR
	lookQueue = "#queue" // SIOCINQ
	lookEnd   = "#end"   // nothing: time passes up to here
)

// A plan is a generated script before any kernel answered it.
type plan struct {
	name    string
	header  []string // options and commands
	ports   bool     // packets are written with their ports
	moments []moment
}

// A line is an event of a recorded script.
type line struct {
	at   time.Duration
	text string
	out  bool // a packet that left
}

// player plays moments on a kernel one by one and writes down what it does.
// Unlike a run of a script it expects nothing, and whoever drives it may choose
// the next moment by what left so far.
type player struct {
	r      *runner
	plan   plan
	at     time.Duration // of the moment under way
	lines  []line
	seen   []captured    // what left, for the driver to take
	stamps []uint32      // timestamps of what left, as scripts call them
	last   time.Duration // when the latest moment was played
	timer  time.Duration // when something left last because time had passed
	late   time.Duration // by how much the worst moment was late: real time is not exact
}

// playOn lets drive play on a kernel that newKernel makes.
func playOn(newKernel func(Setup) (Kernel, error), p plan, o Options, drive func(*player)) (pl *player, err error) {
	script, err := Parse(p.name, strings.Join(p.header, "\n"))
	if err != nil {
		return nil, err
	}
	cfg, err := script.config(o)
	if err != nil {
		return nil, err
	}
	pl = &player{plan: plan{name: p.name, header: p.header, ports: p.ports},
		r: &runner{script: script, cfg: cfg, seed: o.Seed, files: map[int64]*file{}, vars: map[string]pyValue{}}}
	defer func() {
		if e := recover(); e != nil {
			f, ok := e.(*Failure)
			if !ok {
				panic(e)
			}
			err = f
		}
	}()
	_, setup := pl.r.setup()
	if pl.r.k, err = newKernel(setup); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pl.r.k.Close()) }()
	pl.r.start = pl.r.k.Now()
	drive(pl)
	return pl, err
}

// replay plays a plan.
func replay(newKernel func(Setup) (Kernel, error), p plan, o Options) (*player, error) {
	return playOn(newKernel, p, o, func(pl *player) {
		for _, m := range p.moments {
			pl.wait(m.at - pl.at)
			pl.do(m.text)
		}
	})
}

// wait lets time pass.
func (p *player) wait(d time.Duration) {
	p.at += max(d, 0)
	p.advance(p.at)
}

// advance lets the kernel run up to the script time to.
func (p *player) advance(to time.Duration) {
	for {
		p.collect()
		if p.r.now() >= to {
			return
		}
		p.r.k.Advance(max(min(p.r.k.Deadline(), p.r.start+to), p.r.k.Now()))
	}
}

// awaitPacket lets the kernel run until something leaves, for d at most.
func (p *player) awaitPacket(d time.Duration) bool {
	limit := p.at + d
	for p.collect(); len(p.seen) == 0 && p.r.now() < limit; p.collect() {
		p.r.k.Advance(max(min(p.r.k.Deadline(), p.r.start+limit), p.r.k.Now()))
	}
	p.at = max(p.at, p.r.now())
	return len(p.seen) > 0
}

// take gives what left since it was asked last.
func (p *player) take() []captured {
	seen := p.seen
	p.seen = nil
	return seen
}

// firstStamp is what recorded scripts call the first timestamp of the kernel.
const firstStamp = 1000

// collect writes down what left.
func (p *player) collect() {
	p.r.capture()
	for _, c := range p.r.out {
		conn := p.r.findConnOut(c.p)
		syn := c.p.flags&flagSYN != 0 && c.p.proto == protoTCP && !c.p.frag
		fresh := syn && (!conn.localKnown || conn.restarted)
		if fresh {
			conn.learn(0, c.p.seq)
			for _, o := range c.p.opts {
				if o.kind == optTimestamps {
					conn.stamps = nil
					conn.learnStamp(firstStamp, o.value)
				}
			}
		}
		text := p.expectation(c.p)
		if c.err != nil {
			text += " // " + c.err.Error()
		}
		const soon = 10 * time.Millisecond
		if c.at-p.last > soon {
			p.timer = c.at
		}
		p.lines = append(p.lines, line{c.at, text, true})
	}
	p.seen = append(p.seen, p.r.out...)
	p.r.out = nil
}

// expectation is how a script expects a packet: in all detail.
func (p *player) expectation(got *packet) string {
	s := p.r.describe(got)
	if s.ip.ecn == ecnNone {
		s.ip.ecn = ecnUnchecked
	}
	stamp := uint32(0)
	for _, o := range s.tcp.opts {
		if o.kind == optTimestamps {
			stamp = o.value
		}
	}
	p.stamps = append(p.stamps, stamp)
	if p.plan.ports && got.proto == protoTCP {
		s.ip.portSrc, s.ip.portDst = int(got.srcPort), int(got.dstPort)
	}
	if s.icmp.quoteTCP { // any, numbers count from elsewhere
		s.icmp.quoteTCP = false
	}
	return s.String()
}

// do makes a moment happen.
func (p *player) do(text string) {
	p.plan.moments = append(p.plan.moments, moment{p.at, text})
	p.late, p.last = max(p.late, p.r.now()-p.at), p.at
	switch text {
	case lookInfo:
		p.info()
		return
	case lookPoll:
		p.poll()
		return
	case lookError:
		p.socketError()
		return
	case lookQueue:
		p.queue()
		return
	case lookEnd:
		p.note("%{ True }%")
		return
	}
	text = p.resolve(text)
	parsed := text
	if text[0] != '<' && text[0] != '`' {
		parsed += " = ?"
	}
	script, err := Parse(p.plan.name, "0 "+parsed)
	if text[0] == '`' {
		script, err = Parse(p.plan.name, parsed)
	}
	if err != nil {
		panic(fmt.Errorf("%s: %q: %w", p.plan.name, text, err))
	}
	p.r.ev = &script.events[0]
	switch act := script.events[0].act.(type) {
	case *packetSpec:
		p.note(text)
		p.r.arrive(act)
	case *callSpec:
		c := &call{r: p.r, ev: p.r.ev, spec: act, do: systemCall(act.name), timeout: Never}
		n, err := c.do(c)
		p.note(text + " = " + result(n, err))
	case *commandSpec:
		p.note(text)
		p.r.command(act)
	}
	p.collect()
}

// resolve puts in the timestamps that a peer echoes: @N is that of the packet that
// left as number N from 0, @ that of the last.
func (p *player) resolve(text string) string {
	before, after, ok := strings.Cut(text, "@")
	if !ok {
		return text
	}
	digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
	n := len(p.stamps) - 1
	if i, err := strconv.Atoi(digits); err == nil {
		n = min(i, n)
	}
	var stamp uint32
	if n >= 0 {
		stamp = p.stamps[n]
	}
	return fmt.Sprintf("%s%d%s", before, stamp, after[len(digits):])
}

// note writes an event down, of the moment under way.
func (p *player) note(text string) { p.lines = append(p.lines, line{p.at, text, false}) }

// Fields of TCP_INFO that generated scripts compare.
func infoFields() []string {
	return strings.Fields("state ca_state backoff retransmits probes snd_mss unacked sacked lost retrans snd_ssthresh snd_cwnd total_retrans notsent_bytes")
}

// info asserts TCP_INFO.
func (p *player) info() {
	f := p.r.underTest()
	if f == nil || f.closed {
		return
	}
	info, err := p.r.k.TCPInfo(f.fd)
	const synSent, closed, listening = 2, 7, 10
	if state := info["tcpi_state"]; err != nil || state == closed || state == listening || state == synSent {
		return // what it says of no connection means nothing
	}
	var b strings.Builder
	for _, name := range infoFields() {
		fmt.Fprintf(&b, "assert tcpi_%s == %d; ", name, info["tcpi_"+name])
	}
	p.note("%{ " + strings.TrimSuffix(b.String(), "; ") + " }%")
}

// open are the sockets that are not closed, by their numbers in the script.
func (p *player) open(num int64) *file {
	if f := p.r.files[num]; f != nil && !f.closed {
		return f
	}
	return nil
}

const pollAll = PollIn | PollPri | PollOut | PollRdHup

func (p *player) poll() {
	for _, num := range []int64{3, 4} {
		f := p.open(num)
		if f == nil {
			continue
		}
		got, err := p.r.ready(f, pollAll)
		if err != nil {
			continue
		}
		n := 0
		if got != 0 {
			n = 1
		}
		p.note(fmt.Sprintf("poll([{fd=%d, events=%s, revents=%s}], 1, 0) = %d", num, pollAll, got&pollMask, n))
	}
}

func (p *player) socketError() {
	for _, num := range []int64{3, 4} {
		f := p.open(num)
		if f == nil || f.listening {
			continue
		}
		v, err := p.r.k.GetSockOpt(f.fd, "SOL_SOCKET", "SO_ERROR")
		if err != nil {
			continue
		}
		if errno, ok := v.(syscall.Errno); ok {
			v = errnoNumber(errno)
		}
		p.note(fmt.Sprintf("getsockopt(%d, SOL_SOCKET, SO_ERROR, [%v], [4]) = 0", num, v))
	}
}

func (p *player) queue() {
	if f := p.open(4); f != nil {
		if n, err := p.r.k.Ioctl(f.fd, "SIOCINQ"); err == nil {
			p.note(fmt.Sprintf("ioctl(4, SIOCINQ, [%d]) = 0", n))
		}
	}
}
