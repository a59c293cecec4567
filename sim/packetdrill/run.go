package packetdrill

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// runner is one run of a script.
type runner struct {
	script *Script
	cfg    *config
	seed   uint64
	k      Kernel
	start  time.Duration // kernel's time at script time 0
	ev     *event        // under way
	spins  int           // steps of the kernel without progress of time

	files     map[int64]*file // by the script's descriptor
	conns     []*conn
	tcp, udp  *conn      // connections that packets without ports belong to
	listening bool       // a listen came after r.tcp: the next SYN opens another
	listener  *file      // of the last listen
	blocked   *call      // system call that has not returned yet
	out       []captured // packets that left and were not expected yet
	pieces    []byte     // of the outbound datagram that is being reassembled
	sent      []string   // UDP payloads that the application sent
	ports     uint16     // remote ports given out
	vars      map[string]pyValue
	funcs     map[string]pyStmt
	watching  bool // an epoll_wait was made
	trace     []string
}

// captured is a packet that left the kernel.
type captured struct {
	at  time.Duration // script time
	p   *packet
	err error // what is wrong with it whatever the script says
}

// spinLimit is how often a kernel may have something due at once before it
// counts as stuck.
const spinLimit = 100_000

// Run plays the script on a kernel that newKernel makes for it, and closes
// that. A deviation gives a *Failure, a mistake in the script that shows only
// now (an unknown constant) as well; Parse errors of Options.Defines are
// *SyntaxError, errors of newKernel come as they are.
func (s *Script) Run(newKernel func(Setup) (Kernel, error), o Options) (err error) {
	if len(o.Defines) > 0 {
		if s, err = ParseWith(s.name, s.src, o.Defines); err != nil {
			return err
		}
	}
	cfg, err := s.config(o)
	if err != nil {
		return err
	}
	r := &runner{script: s, cfg: cfg, seed: o.Seed, files: map[int64]*file{}, vars: map[string]pyValue{}}
	defer func() {
		if e := recover(); e != nil {
			f, ok := e.(*Failure)
			if !ok {
				panic(e)
			}
			err = f
		}
	}()
	events, setup := r.setup()
	if r.k, err = newKernel(setup); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	defer func() {
		if e := r.k.Close(); e != nil && err == nil {
			err = fmt.Errorf("%s: %w", s.name, e)
		}
	}()
	r.start = r.k.Now()
	r.play(events)
	return nil
}

// setup runs the commands before the first other event: they configure the
// kernel. The other events are left.
func (r *runner) setup() ([]event, Setup) {
	setup := Setup{Script: r.script.name, Local: []netip.Prefix{r.cfg.local}, Remote: r.cfg.remote.Masked(), MTU: r.cfg.mtu,
		Sysctls: map[string]string{}, Seed: r.seed}
	events := r.script.events
	for len(events) > 0 {
		c, ok := events[0].act.(*commandSpec)
		if !ok || events[0].when.from > 0 {
			break
		}
		r.ev = &events[0]
		fx, err := shell(c.text)
		if err != nil {
			r.fail("%v", err)
		}
		if fx.sleep > 0 {
			break
		}
		for _, set := range fx.sysctls {
			setup.Sysctls[set.name] = set.value
		}
		events = events[1:]
	}
	return events, setup
}

// now is the script's time.
func (r *runner) now() time.Duration { return r.k.Now() - r.start }

func (r *runner) play(events []event) {
	for i := range events {
		r.ev = &events[i]
		if p, ok := r.ev.act.(*packetSpec); ok && !p.inbound {
			r.expect(p)
			continue
		}
		if _, ok := r.ev.act.(*callSpec); ok {
			r.awaitIdle()
		}
		r.waitUntil(r.due())
		switch act := r.ev.act.(type) {
		case *packetSpec:
			r.arrive(act)
		case *callSpec:
			r.begin(act)
		case *commandSpec:
			r.command(act)
		case *codeSpec:
			r.code(act)
		}
		r.capture()
		r.retry()
	}
	r.finish()
}

// finish looks at what is left at the end of the script: calls that have not
// returned, packets that nobody expected.
func (r *runner) finish() {
	r.awaitIdle()
	if len(r.out) > 0 && !r.cfg.trailing {
		left := r.out[0]
		f := r.failure("a packet left that the script does not expect, at " + seconds(left.at))
		f.Actual = r.format(left.p)
		panic(f)
	}
}

// due is when the event is to happen. Something that is late already happens
// at once, if the tolerance allows.
func (r *runner) due() time.Duration {
	now, w := r.now(), r.ev.when
	at := w.from
	switch w.kind {
	case timeAny:
		return now
	case timeRelative:
		at += now
	}
	if late := now - at; late > r.cfg.tolerance && now > w.to {
		r.fail("event is %v late: what came before took until %s", late, seconds(now))
	}
	return max(at, now)
}

// waitUntil lets the kernel run up to the script time t.
func (r *runner) waitUntil(t time.Duration) {
	r.capture()
	r.retry()
	for r.step(t) {
	}
	if r.now() < t {
		r.k.Advance(r.start + t)
		r.capture()
	}
}

// step lets the next thing happen that is due by the script time limit; false
// if there is none.
func (r *runner) step(limit time.Duration) bool {
	at := r.next()
	if at > limit {
		return false
	}
	before := r.k.Now()
	r.k.Advance(max(before, at+r.start))
	if r.spins++; r.k.Now() > before {
		r.spins = 0
	}
	if r.spins > spinLimit {
		r.fail("the kernel is busy at %s and never gets done", seconds(r.now()))
	}
	r.capture()
	r.retry()
	return true
}

// next is the script time at which something will happen by itself.
func (r *runner) next() time.Duration {
	at := r.k.Deadline()
	if at != Never {
		at -= r.start
	}
	if r.blocked != nil {
		at = min(at, r.blocked.timeout)
	}
	return at
}

// capture takes the packets that left.
func (r *runner) capture() {
	defer r.watch()
	r.stampAcks()
	for {
		b, at, ok := r.k.NextOutbound()
		if !ok {
			return
		}
		c := captured{at: at - r.start}
		c.p, c.err = decode(b)
		if c.p == nil {
			r.fail("the kernel sent %d bytes that are no packet: %v", len(b), c.err)
		}
		if housekeeping(c.p) {
			continue
		}
		r.identify(c.p)
		r.stampSent(c)
		r.note(c.at, "%s%s", r.format(c.p), r.cause())
		r.out = append(r.out, c)
	}
}

// cause is what the trace says of why the packet taken last was sent.
func (r *runner) cause() string {
	if e, ok := r.k.(Explainer); ok {
		if why := e.OutboundCause(); why != "" {
			return " (" + why + ")"
		}
	}
	return ""
}

// housekeeping tells packets of the IP layer that no script is about:
// neighbour and multicast listener discovery, IGMP.
func housekeeping(p *packet) bool {
	const igmp = 2
	if p.proto == igmp || p.proto == 0 {
		return true
	}
	t := p.icmpType
	return p.proto == protoICMPv6 && (t >= 130 && t <= 137 || t == 143)
}

// command runs a command in backticks between events.
func (r *runner) command(c *commandSpec) {
	r.note(r.now(), "`%s`", squeeze(c.text))
	fx, err := shell(c.text)
	if err != nil {
		r.fail("%v", err)
	}
	for _, set := range fx.sysctls {
		if err := r.k.SetSysctl(set.name, set.value); err != nil {
			r.fail("sysctl %s=%s: %v", set.name, set.value, err)
		}
	}
	if fx.sleep > 0 {
		r.waitUntil(r.now() + fx.sleep)
	}
}

// code runs a %{ }% block over a snapshot of the connection under test.
func (r *runner) code(c *codeSpec) {
	if r.funcs == nil {
		r.funcs = map[string]pyStmt{}
	}
	scope := pyScope{vars: r.vars, funcs: r.funcs}
	if f := r.underTest(); f != nil {
		if info, err := r.k.TCPInfo(f.fd); err == nil {
			scope.info = info
		}
	}
	err := scope.run(c.stmts)
	if err == nil {
		return
	}
	var pe *pyError
	if !errors.As(err, &pe) {
		r.fail("%v", err)
	}
	f := r.failure(pe.msg)
	f.Line, f.Col = c.pos.line+pe.line-1, 1
	panic(f)
}

// underTest is the descriptor that code blocks look at: the one of the
// connection under test, else the TCP socket opened last.
func (r *runner) underTest() *file {
	if r.tcp != nil && r.tcp.file != nil && !r.tcp.file.closed {
		return r.tcp.file
	}
	var best *file
	for _, f := range r.files {
		if f.typ == Stream && (best == nil || f.order > best.order) {
			best = f
		}
	}
	return best
}
