package packetdrill

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// fakeKernel is a computer that knows just enough TCP, UDP and ICMP to
// answer the scripts of the tests, in a way that is easy to foresee: it
// acknowledges every segment at once, sends what is written at once in
// segments of at most 1000 bytes, and repeats it every 200 ms until it is
// acknowledged. It shares no code with the stack.
type fakeKernel struct {
	setup   Setup
	now     time.Duration
	timers  []fakeTimer
	out     []fakePacket
	socks   []*fakeSock
	sysctls map[string]string
	mutate  func(*packet) // changes packets on their way out
	damage  func([]byte)  // changes their bytes
	closed  bool
}

type fakeTimer struct {
	at time.Duration
	do func()
}

type fakePacket struct {
	at time.Duration
	b  []byte
}

type fakeSock struct {
	k             *fakeKernel
	typ           SocketType
	local, remote netip.AddrPort // as the application sees them
	listening     bool
	backlog       []*fakeSock
	state         string
	isn, snd, una uint32
	rcv           uint32
	tsBase        uint32
	tsRecent      uint32
	ts            bool
	recv          []byte
	unsent        int // bytes that wait for the window of 4000
	queue         []byte
	fin, eof      bool
	err           syscall.Errno
	opts          map[string]any
	mss           int
	repeats       int
}

const fakeEpoch = 5 * time.Second

func newFake(s Setup) (*fakeKernel, error) {
	k := &fakeKernel{setup: s, now: fakeEpoch, sysctls: map[string]string{}}
	for name, value := range s.Sysctls {
		if err := k.SetSysctl(name, value); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// fakeWith makes kernels whose packets are changed on the way out.
func fakeWith(mutate func(*packet), damage func([]byte)) func(Setup) (Kernel, error) {
	return func(s Setup) (Kernel, error) {
		k, err := newFake(s)
		if err != nil {
			return nil, err
		}
		k.mutate, k.damage = mutate, damage
		return k, nil
	}
}

func (k *fakeKernel) Now() time.Duration { return k.now }

func (k *fakeKernel) Deadline() time.Duration {
	if len(k.timers) == 0 {
		return Never
	}
	return k.timers[0].at
}

func (k *fakeKernel) Advance(to time.Duration) {
	for len(k.timers) > 0 && k.timers[0].at <= to {
		t := k.timers[0]
		k.timers = k.timers[1:]
		k.now = max(k.now, t.at)
		t.do()
	}
	k.now = max(k.now, to)
}

func (k *fakeKernel) after(d time.Duration, do func()) {
	k.timers = append(k.timers, fakeTimer{k.now + d, do})
	slices.SortStableFunc(k.timers, func(a, b fakeTimer) int { return int(a.at - b.at) })
}

func (k *fakeKernel) NextOutbound() ([]byte, time.Duration, bool) {
	if len(k.out) == 0 {
		return nil, 0, false
	}
	p := k.out[0]
	k.out = k.out[1:]
	return p.b, p.at, true
}

func (k *fakeKernel) SetSysctl(name, value string) error {
	if name != "net.ipv4.tcp_sack" && name != "net.ipv4.tcp_timestamps" && name != "net.ipv4.tcp_window_scaling" {
		return fmt.Errorf("unknown sysctl %s", name)
	}
	k.sysctls[name] = value
	return nil
}

func (k *fakeKernel) Close() error {
	if k.closed {
		return fmt.Errorf("closed twice")
	}
	k.closed = true
	return nil
}

func (k *fakeKernel) emit(p *packet) {
	p.ttl, p.df = 64, true
	if k.mutate != nil {
		k.mutate(p)
	}
	if p.body == nil {
		p.encode()
	}
	b := p.marshal()
	if k.damage != nil {
		k.damage(b)
	}
	k.out = append(k.out, fakePacket{k.now, b})
}

func (s *fakeSock) segment(flags tcpFlags, seq uint32, data []byte) *packet {
	p := &packet{proto: protoTCP, src: s.local.Addr().Unmap(), srcPort: s.local.Port(), dst: s.remote.Addr().Unmap(), dstPort: s.remote.Port(),
		flags: flags, seq: seq, win: 4000, data: data}
	if flags&flagACK != 0 {
		p.ack = s.rcv
	}
	stamp := tcpOption{kind: optTimestamps, value: s.tsBase + uint32((s.k.now-fakeEpoch)/time.Millisecond), ecr: s.tsRecent}
	switch {
	case flags&flagRST != 0:
	case flags&flagSYN != 0 && s.ts:
		p.opts = []tcpOption{{kind: optMSS, value: 1000}, {kind: optSACKOK}, stamp, {kind: optNOP}, {kind: optWScale, value: 7}}
	case flags&flagSYN != 0:
		p.opts = []tcpOption{{kind: optMSS, value: 1000}, {kind: optNOP}, {kind: optNOP}, {kind: optSACKOK}, {kind: optNOP}, {kind: optWScale, value: 7}}
	case s.ts:
		p.opts = []tcpOption{{kind: optNOP}, {kind: optNOP}, stamp}
	}
	return p
}

func (k *fakeKernel) Inject(b []byte) error {
	p, err := decode(b)
	if err != nil || p.frag {
		return nil // dropped
	}
	switch p.proto {
	case protoUDP:
		k.udp(p)
	case protoTCP:
		k.tcp(p)
	case protoICMP, protoICMPv6:
		k.icmp(p)
	}
	return nil
}

func (k *fakeKernel) icmp(p *packet) {
	if p.icmpType == 8 || p.icmpType == 128 {
		reply := &packet{proto: p.proto, src: p.dst, dst: p.src, icmpRest: p.icmpRest, data: p.data}
		if p.icmpType == 128 {
			reply.icmpType = 129
		}
		k.emit(reply)
		return
	}
	q, _, ok := quoted(p.data)
	if !ok {
		return
	}
	for _, s := range k.socks {
		if s.remote.Port() == q.dstPort && s.local.Port() == q.srcPort {
			s.err = syscall.ECONNREFUSED
			if icmpTooBig(p.proto == protoICMPv6, p.icmpType, p.icmpCode) && p.icmpRest == 600 && q.seq == s.una {
				s.err, s.mss = 0, 500
			}
		}
	}
}

func (k *fakeKernel) udp(p *packet) {
	for _, s := range k.socks {
		if s != nil && s.typ == Dgram && s.local.Port() == p.dstPort {
			s.recv = append([]byte(nil), p.data...)
			s.queue = []byte{1}
			s.remote = netip.AddrPortFrom(p.src, p.srcPort)
			if s.local.Addr().Is6() && p.src.Is4() {
				s.remote = netip.AddrPortFrom(netip.AddrFrom16(p.src.As16()), p.srcPort)
			}
			return
		}
	}
	typ, code, proto := uint8(3), uint8(3), protoICMP
	if p.src.Is6() {
		typ, code, proto = 1, 4, protoICMPv6
	}
	q := *p
	q.encode()
	k.emit(&packet{proto: proto, src: p.dst, dst: p.src, icmpType: typ, icmpCode: code, data: q.marshal()})
}

func (k *fakeKernel) tcp(p *packet) {
	var listener *fakeSock
	for _, s := range k.socks {
		switch {
		case s == nil || s.typ != Stream:
		case s.listening && s.local.Port() == p.dstPort:
			listener = s
		case s.local.Port() == p.dstPort && s.remote.Port() == p.srcPort && s.state != "":
			s.input(p)
			return
		}
	}
	switch {
	case p.flags == flagSYN && listener != nil:
		s := &fakeSock{k: k, typ: Stream, state: "SYN-RECEIVED", isn: 0xfffffff0 + uint32(len(k.socks)), rcv: p.seq + 1, tsBase: 77000, mss: 1000, opts: map[string]any{}}
		s.local = netip.AddrPortFrom(listener.mapped(p.dst), p.dstPort)
		s.remote = netip.AddrPortFrom(listener.mapped(p.src), p.srcPort)
		s.stamps(p)
		s.snd, s.una = s.isn+1, s.isn+1
		k.socks = append(k.socks, s)
		k.emit(s.segment(flagSYN|flagACK, s.isn, nil))
		listener.backlog = append(listener.backlog, s)
	case p.flags&flagRST != 0:
	case p.flags&flagACK != 0:
		k.emit(&packet{proto: protoTCP, src: p.dst, dst: p.src, srcPort: p.dstPort, dstPort: p.srcPort, flags: flagRST, seq: p.ack})
	default:
		k.emit(&packet{proto: protoTCP, src: p.dst, dst: p.src, srcPort: p.dstPort, dstPort: p.srcPort, flags: flagRST | flagACK, ack: p.seq + 1})
	}
}

func (s *fakeSock) mapped(a netip.Addr) netip.Addr {
	if s.local.Addr().Is6() && a.Is4() {
		return netip.AddrFrom16(a.As16())
	}
	return a
}

func (s *fakeSock) stamps(p *packet) {
	for _, o := range p.opts {
		if o.kind == optTimestamps {
			s.ts, s.tsRecent = true, o.value
			if p.flags&flagACK != 0 && (o.ecr < s.tsBase || o.ecr > s.tsBase+1000) {
				s.k.emit(s.segment(flagRST, 0, nil)) // an echo that was not mapped
			}
		}
	}
}

func (s *fakeSock) input(p *packet) {
	switch {
	case p.flags&flagRST != 0:
		s.state, s.err = "", syscall.ECONNRESET
		return
	case s.state == "SYN-SENT" && p.flags&flagSYN != 0:
		s.rcv, s.una = p.seq+1, p.ack
		s.state = "ESTABLISHED"
		s.stamps(p)
		s.k.emit(s.segment(flagACK, s.snd, nil))
		return
	}
	s.state = "ESTABLISHED"
	s.stamps(p)
	if d := int32(p.ack - s.una); d > 0 && int(d) <= len(s.queue)+1 {
		s.queue = s.queue[min(int(d), len(s.queue)):]
		s.una = p.ack
		s.flush()
	}
	for _, o := range p.opts {
		for _, b := range o.blocks {
			if int32(b.start-s.una) < 0 || int32(s.snd-b.end) < 0 {
				s.k.emit(s.segment(flagRST, 0, nil)) // a block that was not mapped
			}
		}
	}
	if p.seq == s.rcv {
		s.recv = append(s.recv, p.data...)
		s.rcv += uint32(len(p.data))
	}
	if p.flags&flagFIN != 0 {
		s.rcv++
		s.eof = true
	}
	if len(p.data) > 0 || p.flags&flagFIN != 0 {
		ack := s.segment(flagACK, s.snd, nil)
		if p.seq != s.rcv-uint32(len(p.data)) && p.flags&flagFIN == 0 {
			end := p.seq + uint32(len(p.data))
			ack.opts = append(ack.opts, tcpOption{kind: optNOP}, tcpOption{kind: optNOP}, tcpOption{kind: optSACK, blocks: []sackBlock{{p.seq, end}}})
		}
		s.k.emit(ack)
	}
}

// flush sends what the window allows.
func (s *fakeSock) flush() {
	for s.unsent > 0 && len(s.queue)-s.unsent < 4000 {
		off := len(s.queue) - s.unsent
		n := min(s.unsent, s.mss, 4000-off)
		flags := flagACK
		if n == s.unsent {
			flags |= flagPSH
		}
		data := append([]byte(nil), s.queue[off:off+n]...)
		seq := s.snd
		s.snd += uint32(n)
		s.unsent -= n
		s.k.emit(s.segment(flags, seq, data))
		s.repeat(seq, data)
	}
}

func (s *fakeSock) repeat(seq uint32, data []byte) {
	const limit = 1000 // times in all, so that no script runs for ever
	if s.repeats++; s.repeats > limit {
		return
	}
	s.k.after(200*time.Millisecond, func() {
		if int32(seq+uint32(len(data))-s.una) > 0 && s.state != "" {
			s.k.emit(s.segment(flagACK|flagPSH, seq, data))
			s.repeat(seq, data)
		}
	})
}
