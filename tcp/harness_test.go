package tcp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// countingAlloc hands out reference-counted memory and knows what is out.
type countingAlloc struct{ out int }

type countedBuf struct {
	a    *countingAlloc
	refs int
}

func (b *countedBuf) Retain() { b.refs++ }

func (b *countedBuf) Release() {
	if b.refs--; b.refs == 0 {
		b.a.out--
	} else if b.refs < 0 {
		panic("released too often")
	}
}

func (a *countingAlloc) Get(n int) ([]byte, Buffer) {
	a.out++
	b := make([]byte, max(n, 512))
	for i := range b {
		b[i] = 0xa5
	}
	return b, &countedBuf{a, 1}
}

var (
	hostA = netip.MustParseAddrPort("127.0.0.1:40000")
	hostB = netip.MustParseAddrPort("127.0.0.2:80")
)

// pipe joins two TCBs by a link with virtual time.
type pipe struct {
	t     testing.TB
	now   time.Duration
	a, b  TCB
	alloc countingAlloc
	stats Stats
	cfgA  *Config
	cfgB  *Config
	mtu   int

	delay  time.Duration
	rng    *rand.Rand
	drop   float64
	dup    float64
	reord  float64
	jitter time.Duration
	lose   func(p *pipe, toB bool, s *Segment) bool // deterministic loss

	wire  []flight
	seqno int
	trace []string
	steps int
	read  []byte                   // not nil: both users wait for text with this buffer
	into  bool                     // it is given to Input, but for every fourth time
	got   int                      // how much was read to it
	sink  func(atB bool, b []byte) // gets what was read
	room  int                      // a packet of that many bytes has its text with its headers
	check bool                     // verify invariants after every step

	steady map[*TCB]int // how often Input was told, while it can be told, and so was Lone
	told   int
	taken  int // by TakeLone
	kept   int // of these, for a user who did not wait

	edge [2]Seq // right edge of the receive window seen by the peer
	evA  Events
	evB  Events
}

type flight struct {
	at  time.Duration
	n   int
	toB bool
	seg Segment
}

func newPipe(t testing.TB) *pipe {
	p := &pipe{t: t, steady: map[*TCB]int{}, now: time.Second, mtu: 1500, delay: 10 * time.Millisecond, check: true}
	p.cfgA = (*Config)(nil).Defaults()
	p.cfgB = p.cfgA
	return p
}

func (p *pipe) params(local, remote netip.AddrPort, cfg *Config, iss Seq) *Params {
	return &Params{Config: cfg, Alloc: &p.alloc, Stats: &p.stats, Local: local, Remote: remote, MTU: p.mtu, ISS: iss, TSOffset: uint32(iss) * 7}
}

// connect performs the handshake; lossless unless loss is configured.
func (p *pipe) connect() {
	p.t.Helper()
	p.a.Connect(p.now, p.params(hostA, hostB, p.cfgA, 0xfffffff0))
	p.drain()
	p.run(func() bool { return p.a.State() == StateEstablished && p.b.State() == StateEstablished })
	require.Equal(p.t, StateEstablished, p.a.State(), p.log())
	require.Equal(p.t, StateEstablished, p.b.State(), p.log())
}

func (p *pipe) end(toB bool) *TCB {
	if toB {
		return &p.b
	}
	return &p.a
}

// write is what an owner does when the user of one end writes b.
func (p *pipe) write(atB bool, b []byte) int {
	e := p.end(atB)
	n := len(b)
	lone := e.Lone(n)
	if p.steady[e] > 0 {
		require.Equal(p.t, lone, e.LoneSteady(n), p.log())
	}
	if lone {
		p.transmit(!atB, sendLone(p.t, p.now, e, b, p.room-20-TSHeaderLen))
	} else {
		delete(p.steady, e)
		n = e.Write(p.now, b)
	}
	p.drain()
	return n
}

// sendLone returns the segment that SendLone gives. Text that room holds goes without an owner.
func sendLone(t testing.TB, now time.Duration, e *TCB, text []byte, room int) (s Segment) {
	t.Helper()
	return sendLoneWith(t, now, e, text, room, nil)
}

// sendLoneWith is sendLone of one who has spares.
func sendLoneWith(t testing.TB, now time.Duration, e *TCB, text []byte, room int, spares *Spares) (s Segment) {
	t.Helper()
	var piece Piece
	if len(text) <= min(room, LoneCopied) {
		piece.B = bytes.Clone(text)
	} else {
		piece.B, piece.Owner = e.env.alloc.Get(len(text))
		piece.B = piece.B[:copy(piece.B, text)]
	}
	b := (*[TSHeaderLen]byte)(bytes.Repeat([]byte{0xa5}, TSHeaderLen))
	e.SendLone(now, piece.B, piece.Owner, b, 0x1234, spares)
	n, why := ParseHeader(b[:], &s)
	require.Equal(t, ReasonOK, why)
	require.Equal(t, TSHeaderLen, n)
	require.Equal(t, uint16(0x1234), binary.BigEndian.Uint16(b[ChecksumOffset:]))
	s.Cause = CauseNewData
	s.Payload = Payload{Pieces: [2]Piece{piece}, N: len(piece.B)}
	return s
}

// sendAck returns the segment that SendAck gives.
func sendAck(t testing.TB, now time.Duration, e *TCB) (s Segment) {
	t.Helper()
	b := (*[TSHeaderLen]byte)(bytes.Repeat([]byte{0xa5}, TSHeaderLen))
	s.Cause = e.SendAck(now, b, 0x1234, nil)
	n, why := ParseHeader(b[:], &s)
	require.Equal(t, ReasonOK, why)
	require.Equal(t, TSHeaderLen, n)
	require.Equal(t, uint16(0x1234), binary.BigEndian.Uint16(b[ChecksumOffset:]))
	require.True(t, e.Quiet())
	return s
}

// drain puts what both ends have to say on the wire.
func (p *pipe) drain() {
	for _, fromA := range []bool{true, false} {
		e := p.end(!fromA)
		var s Segment
		if !e.Quiet() {
			delete(p.steady, e)
		}
		if e.LoneAck() {
			p.transmit(fromA, sendAck(p.t, p.now, e))
		}
		for n := 0; e.Output(p.now, &s); n++ {
			require.Less(p.t, n, 10000, "Output never ends\n%s", p.log())
			p.transmit(fromA, s)
		}
		p.verify(e)
	}
	p.evA |= p.a.TakeEvents()
	p.evB |= p.b.TakeEvents()
}

func (p *pipe) transmit(toB bool, s Segment) {
	tag := ""
	copies := 1
	at := p.now + p.delay
	switch {
	case p.lose != nil && p.lose(p, toB, &s):
		tag, copies = " LOST", 0
	case p.rng != nil && p.rng.Float64() < p.drop:
		tag, copies = " LOST", 0
	case p.rng != nil && p.rng.Float64() < p.dup:
		tag, copies = " DUP", 2
	}
	if p.rng != nil && p.rng.Float64() < p.reord {
		at += time.Duration(p.rng.Int64N(int64(max(p.jitter, 1))))
	}
	p.note(toB, &s, tag)
	for range copies {
		f := flight{at: at, n: p.seqno, toB: toB, seg: p.overTheWire(&s)}
		p.seqno++
		p.wire = append(p.wire, f)
	}
	s.Payload.Release()
}

// overTheWire marshals and parses the header, so that what the peer sees is what fits into one. The payload
// gets a reference of its own.
func (p *pipe) overTheWire(s *Segment) Segment {
	b := make([]byte, MaxHeaderLen)
	n := s.MarshalHeader(b)
	require.Equal(p.t, s.HeaderLen(), n)
	require.LessOrEqual(p.t, n+s.Payload.N+20, p.mtu, "segment larger than the MTU\n%s", p.log())
	var out Segment
	_, why := ParseHeader(b[:n], &out)
	require.Equal(p.t, ReasonOK, why)
	if s.Payload.Lent { // it will be somebody else's before it arrives
		s.Payload = s.Payload.copied(&p.alloc)
	}
	out.Payload, out.ECN = s.Payload, s.ECN
	if p.room > 0 && s.Payload.N > 0 && n+s.Payload.N+20 <= p.room { // it travels with its header
		text := make([]byte, s.Payload.N)
		s.Payload.CopyTo(text, 0)
		out.Payload = Payload{Pieces: [2]Piece{{B: text}}, N: len(text), Lent: true}
	}
	out.Payload.Retain()
	return out
}

func (p *pipe) note(toB bool, s *Segment, tag string) {
	dir := "A>B"
	if !toB {
		dir = "B>A"
	}
	line := fmt.Sprintf("%10.6f %s %s %d:%d(%d) ack %d win %d", p.now.Seconds(), dir, s.Flags, uint32(s.Seq), uint32(s.Seq)+uint32(s.Payload.N), s.Payload.N, uint32(s.Ack), s.Wnd)
	for _, r := range s.Opts.SACK[:s.Opts.NSACK] {
		line += fmt.Sprintf(" sack %d:%d", uint32(r.Start), uint32(r.End))
	}
	p.trace = append(p.trace, line+" ["+s.Cause.String()+"]"+tag)
	if len(p.trace) > 4000 {
		p.trace = p.trace[1000:]
	}
}

func (p *pipe) log() string {
	tr := p.trace
	if len(tr) > 120 {
		tr = tr[len(tr)-120:]
	}
	return strings.Join(tr, "\n") + fmt.Sprintf("\nnow %v A %v B %v\n", p.now, p.a.State(), p.b.State())
}

// next returns when something happens next.
func (p *pipe) next() time.Duration {
	at := min(p.a.Deadline(), p.b.Deadline())
	for _, f := range p.wire {
		at = min(at, f.at)
	}
	return at
}

// step advances to the next event and handles everything due.
func (p *pipe) step() bool {
	at := p.next()
	if at == Never {
		return false
	}
	p.now = max(p.now, at)
	p.steps++
	for {
		best := -1
		for i, f := range p.wire {
			if f.at <= p.now && (best < 0 || f.at < p.wire[best].at || f.at == p.wire[best].at && f.n < p.wire[best].n) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		f := p.wire[best]
		p.wire = append(p.wire[:best], p.wire[best+1:]...)
		p.deliver(&f)
		p.drain()
	}
	for _, e := range []*TCB{&p.a, &p.b} {
		if e.Deadline() <= p.now {
			delete(p.steady, e)
			e.Timeout(p.now)
			p.drain()
		}
	}
	return true
}

func (p *pipe) deliver(f *flight) {
	e := p.end(f.toB)
	if f.toB && e.State() == StateClosed && e.env == nil && f.seg.Flags&(SYN|ACK) == SYN {
		e.Passive(p.now, p.params(hostB, hostA, p.cfgB, 1000), &f.seg)
	} else if e.env != nil {
		if p.into && p.steps%4 != 1 {
			f.seg.Into = p.read
		}
		f.seg.Steady = p.steady[e] > 0
		if !p.takeLone(e, &f.seg) {
			e.Input(p.now, &f.seg)
		}
		if f.seg.Steady {
			p.steady[e]++
			p.told = max(p.told, p.steady[e])
			require.True(p.t, e.Quiet(), p.log())
			require.Zero(p.t, e.Readable(), p.log())
			require.Zero(p.t, e.events&^(EvReadable|EvSent), p.log())
		} else {
			delete(p.steady, e)
		}
		if f.seg.Payload.Lent { // the owner of the wire uses the memory again
			for i := range f.seg.Payload.Pieces[0].B {
				f.seg.Payload.Pieces[0].B[i] = 0xa5
			}
		}
		p.took(f.toB, f.seg.Taken)
		if p.read != nil && !f.seg.Steady {
			p.took(f.toB, e.Read(p.now, p.read))
		}
	}
	f.seg.Payload.Release()
	p.verify(e)
}

// took notes that n bytes were read.
func (p *pipe) took(atB bool, n int) {
	p.got += n
	if p.sink != nil {
		p.sink(atB, p.read[:n])
	}
}

// run steps until done or nothing is left to happen; a million steps are a hang.
func (p *pipe) run(done func() bool) {
	p.t.Helper()
	for n := 0; !done(); n++ {
		require.Less(p.t, n, 1000000, "no end\n%s", p.log())
		if !p.step() {
			return
		}
	}
}

// until runs up to the given time.
func (p *pipe) until(at time.Duration) {
	for p.next() <= at {
		p.step()
	}
	p.now = max(p.now, at)
}

func (p *pipe) verify(e *TCB) {
	if !p.check || e.env == nil {
		return
	}
	checkInvariants(p.t, e, p.log)
	i := 0
	if e == &p.b {
		i = 1
	}
	if e.State().in(synchronized) {
		edge := e.rcv.wup.Add(e.rcv.wnd)
		if p.edge[i] != 0 {
			require.False(p.t, edge.Before(p.edge[i]) && !e.has(fFinRcvd), "the window's right edge moved left\n%s", p.log())
		}
		p.edge[i] = edge
	}
}

// checkInvariants verifies what must hold for any TCB at any time.
func checkInvariants(t testing.TB, e *TCB, log func() string) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Fatalf("invariant: %s\n%s", fmt.Sprintf(format, args...), log())
	}
	if e.snd.una.After(e.snd.nxt) || e.snd.nxt.After(e.snd.end) {
		fail("snd.una %d ≤ snd.nxt %d ≤ end %d", e.snd.una, e.snd.nxt, e.snd.end)
	}
	if e.cong.Cwnd < 1 {
		fail("cwnd %d", e.cong.Cwnd)
	}
	e = unfolded(e)
	q := e.txq()
	if e.state != StateClosed && e.state != StateTimeWait {
		at := e.snd.una
		for i, s := range q {
			if i > 0 && s.seq != at || s.end.AtOrBefore(s.seq) || i == 0 && s.seq.After(at) {
				fail("retransmission queue has a hole at %d: %+v", i, s)
			}
			at = s.end
		}
		if len(q) > 0 && at != e.snd.nxt || len(q) == 0 && e.snd.una != e.snd.nxt {
			fail("retransmission queue ends at %d, snd.nxt %d", at, e.snd.nxt)
		}
	}
	checkScoreboard(e, fail)
	if e.inFlight() < 0 {
		fail("in flight %d", e.inFlight())
	}
	if n := int(e.rcv.nxt.Sub(e.rcv.read)); e.state.in(canReceive) && n != e.Readable() {
		fail("rcv.nxt - rcv.read = %d, queue %d", n, e.Readable())
	}
	checkOutOfOrder(e, fail)
	limit := int(e.rcvLimit) + int(e.rcvLimit)/2 + 140000
	if e.charge() > limit {
		fail("receive buffer charge %d of %d", e.charge(), e.rcvLimit)
	}
	running := 0
	for k := TimerRetransmit; k <= TimerPersist; k++ {
		if e.timer(k) != 0 {
			running++
		}
	}
	if running > 1 {
		fail("%d retransmission timers run", running)
	}
	if e.state.in(synchronized) && e.state != StateTimeWait && len(q) > 0 && running == 0 {
		fail("data in flight and no timer")
	}
}

// checkScoreboard compares the counters with the marks.
func checkScoreboard(e *TCB, fail func(string, ...any)) {
	q := unfolded(e).txq()
	if r := e.rec; r != nil {
		var sacked, lost, retrans int
		for _, s := range q {
			if s.is(markSACKed) {
				sacked++
			}
			if s.is(markLost) {
				lost++
			}
			if s.is(markRetrans) {
				retrans++
			}
			if s.is(markSACKed | markLost) {
				fail("SACKed and lost")
			}
		}
		if e.has(fSACK) && sacked != r.sacked || lost != r.lost || retrans != r.retrans {
			fail("scoreboard: sacked %d/%d lost %d/%d retrans %d/%d", sacked, r.sacked, lost, r.lost, retrans, r.retrans)
		}
	}
}

// checkOutOfOrder verifies that the queue is sorted, without overlaps, and counted.
func checkOutOfOrder(e *TCB, fail func(string, ...any)) {
	if o := e.ooo; o != nil {
		at, bytes := e.rcv.nxt, 0
		for _, s := range o.segs {
			if s.seq.Before(at) || s.end.AtOrBefore(s.seq) {
				fail("out-of-order queue not sorted")
			}
			at = s.end
			bytes += s.payload.N
		}
		if bytes != o.bytes {
			fail("out-of-order bytes %d, counted %d", o.bytes, bytes)
		}
	}
}
