package sim

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"example.com/loopback/device"
)

// ImpairConfig describes an impaired link. The zero value is a perfect one.
type ImpairConfig struct {
	// Seed is what all random choices follow from.
	Seed uint64
	// Rules say what happens to which packets; see also Impaired.AddRule.
	Rules []Rule
	// Scheduler delivers what is delayed; nil means a Queue on package time.
	Scheduler Scheduler
	// Inner is the link that packets go on to; the loopback wire if nil.
	Inner device.Link
	// Queued makes every packet, delayed or not, arrive by the scheduler.
	Queued bool

	// Held bounds the packets that the link holds at a time, in delays and queues; 65536 if 0.
	Held int
	// Flows bounds the flows that the link remembers; the one not seen for longest is forgotten first, and
	// counts from 1 again when it comes back. 65536 if 0.
	Flows int
	// Log bounds the decisions that are kept for Decisions, the latest ones; 65536 if 0, none if negative.
	Log int
	// LogDelays keeps each draw of jitter, too.
	LogDelays bool

	// Filter, if not nil, may veto a decision by returning false: then it is not carried out. A search for the
	// decisions that make a test fail is made of this. Observe, if not nil, sees every decision that is carried
	// out. Both are called with the link locked, must not keep d and must not call the link.
	Filter  func(d *Decision) bool
	Observe func(d *Decision)
	// Passed, if not nil, is told of every packet that the link hands on, at the stack's time at. Packets that the
	// link made by itself are not among them. It is called as Observe is.
	Passed func(i *PacketInfo, copy uint32, at time.Duration)
}

// Defaults of ImpairConfig.
const (
	defaultHeld  = 1 << 16
	defaultFlows = 1 << 16
	defaultLog   = 1 << 16
)

// Impaired is a device.Link that does to packets what its rules say, and hands what is left to another link. Without
// rules it hands packets on untouched. It is safe for concurrent use, and may be the link of several NICs.
//
// Packets that the rules change are copies with their checksums filled in and marked device.FlagImpaired, so that the
// stack verifies them. Every packet is accounted for: see Stats.
type Impaired struct {
	cfg   ImpairConfig
	sched Scheduler
	inner device.Link
	rules atomic.Pointer[[]*rule]
	fast  atomic.Uint64 // packets that passed while there were no rules

	mu      sync.Mutex
	named   int
	flows   flowTable
	stats   Stats
	parked  int // packets that wait for the scheduler or a line
	log     decisionLog
	current Decision // the one that Filter and Observe look at
	todo    []*transit
	spare   *transit
	boxes   *outbox
	wire    []byte // scratch: a packet in one piece
	cuts    []int  // scratch
	pieces  []*transit
	scratch [headRoom]byte
}

// rule is a Rule in one direction, made ready.
type rule struct {
	Rule
	backward bool
	key      uint64
	gone     bool // removed: what is kept of it for flows may be forgotten
	line     *line
}

// NewImpaired returns an impaired link. The error is one of a rule (see ErrRule).
func NewImpaired(cfg ImpairConfig) (*Impaired, error) {
	if cfg.Scheduler == nil {
		cfg.Scheduler = NewTimeQueue(0)
	}
	if cfg.Inner == nil {
		cfg.Inner = device.Loopback{}
	}
	if cfg.Held == 0 {
		cfg.Held = defaultHeld
	}
	if cfg.Flows <= 0 {
		cfg.Flows = defaultFlows
	}
	if cfg.Log == 0 {
		cfg.Log = defaultLog
	}
	l := &Impaired{cfg: cfg, sched: cfg.Scheduler, inner: cfg.Inner}
	l.log.limit = max(cfg.Log, 0)
	l.flows.limit = cfg.Flows
	l.rules.Store(new([]*rule))
	for _, r := range cfg.Rules {
		if _, err := l.AddRule(r); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Open implements device.Opener: the link leads where its inner one does.
func (l *Impaired) Open() bool {
	o, ok := l.inner.(device.Opener)
	return ok && o.Open()
}

// AddRule adds a rule behind the others. What the others remember of flows stays. remove takes the rule away again; it
// may be called more than once, and packets that the rule holds still arrive. The error is ErrRule with what is wrong.
func (l *Impaired) AddRule(r Rule) (remove func(), err error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := *l.rules.Load()
	l.named++
	if r.Name == "" {
		r.Name = "rule " + strconv.Itoa(l.named)
	}
	if slices.ContainsFunc(old, func(o *rule) bool { return o.Name == r.Name }) {
		return nil, fmt.Errorf("%w: there is a rule %q already", ErrRule, r.Name)
	}
	added := compile(r, l.cfg.Seed)
	rules := append(slices.Clone(old), added...)
	l.rules.Store(&rules)
	return func() { l.removeRules(added) }, nil
}

// compile makes one rule for each direction.
func compile(r Rule, seed uint64) []*rule {
	if r.perfect() && !r.Last {
		return nil
	}
	key := mix(seed) ^ hashBytes([]byte(r.Name))
	rules := []*rule{{Rule: r, key: key}}
	if r.Both {
		rules = append(rules, &rule{Rule: r, key: key, backward: true})
	}
	for _, c := range rules {
		if c.Rate > 0 && !c.Queue.PerFlow {
			c.line = newLine(c)
		}
	}
	return rules
}

func (l *Impaired) removeRules(gone []*rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rules := slices.DeleteFunc(slices.Clone(*l.rules.Load()), func(r *rule) bool { return slices.Contains(gone, r) })
	for _, r := range gone {
		r.gone = true
	}
	l.rules.Store(&rules)
}

// transit is a packet on its way through the link.
type transit struct {
	l       *Impaired
	p       *device.Packet
	n       *device.NIC
	q       int
	offset  time.Duration // the stack's clock minus the scheduler's
	info    PacketInfo
	flow    *flowState
	state   *ruleState    // of the rule that the packet is at
	rules   []*rule       // all that were there when it came
	at      int           // index of the rule it is at
	stage   stage         // the next one in that rule
	copy    uint32        // see DecisionID
	made    uint32        // how many copies were made of it
	own     bool          // p is a copy of ours that may be changed
	damaged bool          // bits were flipped: no checksum may be made right again
	line    *line         // the line it is being sent on
	behind  bool          // it is one of ruleState.pending
	ordered bool          // it was, at the rule it is at
	queued  bool          // it went through the scheduler
	since   time.Duration // when it joined the queue of a line
	fire    func()
	next    *transit
}

// Send implements device.Link.
func (l *Impaired) Send(n *device.NIC, q int, now time.Duration, ps []*device.Packet) {
	rules := *l.rules.Load()
	if len(rules) == 0 && !l.cfg.Queued {
		l.fast.Add(uint64(len(ps)))
		l.inner.Send(n, q, now, ps)
		return
	}
	holder := n
	if q < 0 { // late already: another link like this one is around us
		holder, q = nil, device.Late(q)
	}
	l.mu.Lock()
	box := l.getBox()
	offset := now - l.sched.Now()
	for _, p := range ps {
		t := l.newTransit()
		t.p, t.n, t.q, t.offset, t.rules = p, n, q, offset, rules
		l.enter(t, now)
		l.run(box, t)
	}
	l.mu.Unlock()
	l.deliver(box, holder, q)
}

// enter counts a packet and finds its flow.
func (l *Impaired) enter(t *transit, now time.Duration) {
	l.stats.In++
	i := &t.info
	i.Now = now
	i.parse(t.p, l.scratch[:])
	t.flow = l.flows.get(i)
	t.flow.count(i)
}

// event is what the scheduler calls for a packet that was parked.
func (t *transit) event() {
	l := t.l
	l.mu.Lock()
	l.parked--
	box := l.getBox()
	if t.behind {
		t.behind = false
		t.state.pending--
	}
	ln := t.line
	t.line = nil
	l.run(box, t)
	if ln != nil {
		l.lineFree(ln)
	}
	l.mu.Unlock()
	l.deliver(box, nil, 0)
}

// run takes a packet, and the copies that come of it, as far as they get.
func (l *Impaired) run(box *outbox, t *transit) {
	first := len(l.todo)
	l.advance(box, t)
	for len(l.todo) > first {
		c := l.todo[first]
		l.todo = append(l.todo[:first], l.todo[first+1:]...)
		l.advance(box, c)
	}
}

func (l *Impaired) advance(box *outbox, t *transit) {
	for t.at < len(t.rules) {
		r := t.rules[t.at]
		if t.stage == 0 {
			if !r.matches(&t.info, r.backward) {
				t.at++
				continue
			}
			t.state = t.flow.state(r)
		}
		for t.stage < numStages {
			s := t.stage
			t.stage++
			if !l.perform(s, box, t, r) {
				return
			}
		}
		if r.Last {
			break
		}
		t.at++
		t.stage, t.ordered = 0, false
	}
	if l.cfg.Queued && !t.queued {
		t.at, t.stage = len(t.rules), 0
		l.park(t, t.now())
		return
	}
	l.stats.Passed++
	if l.cfg.Passed != nil {
		l.cfg.Passed(&t.info, t.copy, t.now())
	}
	box.add(t.n, t.q, t.now(), t.p)
	l.free(t)
}

// now is the stack's time.
func (t *transit) now() time.Duration { return t.l.sched.Now() + t.offset }

// park leaves the packet to the scheduler until due by the stack's clock; it reports false when too many are held
// already and the packet was dropped.
func (l *Impaired) park(t *transit, due time.Duration) bool {
	if l.parked >= l.cfg.Held && l.decide(t, "held", KindDrop, ReasonHeld, 0, 0) {
		l.drop(t, ReasonHeld)
		return false
	}
	l.parked++
	t.queued = true
	t.flow.events++
	l.sched.At(due-t.offset, Key{Flow: t.info.Flow, Seq: t.flow.events}, t.fire)
	return true
}

// drop ends a packet.
func (l *Impaired) drop(t *transit, why Reason) {
	l.stats.Dropped[why]++
	t.n.Drop(t.p, device.DropLink)
	l.free(t)
}

// decide asks whether a decision is to be carried out, and records it if so.
func (l *Impaired) decide(t *transit, rule string, kind DecisionKind, why Reason, delay time.Duration, value int) bool {
	d := &l.current
	*d = Decision{
		DecisionID: DecisionID{Rule: rule, Kind: kind, Flow: t.info.Flow, Packet: t.info.Number, Copy: t.copy},
		At:         t.now(), Reason: why, Segment: t.info.Segment, Delay: delay, Value: value,
	}
	if l.cfg.Filter != nil && !l.cfg.Filter(d) {
		return false
	}
	if kind != KindDelay || l.cfg.LogDelays {
		l.log.add(d)
	}
	l.stats.Decisions[kind]++
	if l.cfg.Observe != nil {
		l.cfg.Observe(d)
	}
	return true
}

// Decisions returns the latest decisions, oldest first; see ImpairConfig.Log.
func (l *Impaired) Decisions() []Decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.all()
}

// Forgotten returns how many decisions are no longer in the log.
func (l *Impaired) Forgotten() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.lost
}

// Stats counts packets. At all times
//
//	In + Duplicates + Pieces + Injected = Passed + the sum of Dropped + Held
type Stats struct {
	In         uint64 // packets that came
	Passed     uint64 // packets handed to the inner link
	Duplicates uint64 // copies made by Duplicate
	Pieces     uint64 // packets that cutting and fragmenting made more than there were
	Injected   uint64 // RST segments and ICMP errors made by the link
	Held       uint64 // packets in delays and queues now
	Dropped    [NumReasons]uint64
	Decisions  [numKinds]uint64 // by DecisionKind
}

const numKinds = len(kindNames)

// Drops returns the sum of Dropped.
func (s Stats) Drops() uint64 {
	var n uint64
	for _, d := range s.Dropped {
		n += d
	}
	return n
}

// Balanced reports whether every packet is accounted for.
func (s Stats) Balanced() bool {
	return s.In+s.Duplicates+s.Pieces+s.Injected == s.Passed+s.Drops()+s.Held
}

// Stats returns a snapshot of the counters.
func (l *Impaired) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	fast := l.fast.Load()
	s.In += fast
	s.Passed += fast
	s.Held = uint64(l.parked)
	return s
}

// newTransit returns a blank one.
func (l *Impaired) newTransit() *transit {
	t := l.spare
	if t == nil {
		t = &transit{l: l}
		t.fire = t.event
		return t
	}
	l.spare = t.next
	fire := t.fire
	*t = transit{l: l, fire: fire}
	return t
}

func (l *Impaired) free(t *transit) {
	t.p, t.n, t.flow, t.state, t.rules = nil, nil, nil, nil, nil
	t.next = l.spare
	l.spare = t
}

// outbox collects what leaves the link while it is locked.
type outbox struct {
	items []parcel
	batch []*device.Packet
	next  *outbox
}

type parcel struct {
	n   *device.NIC
	q   int
	now time.Duration
	p   *device.Packet
}

func (b *outbox) add(n *device.NIC, q int, now time.Duration, p *device.Packet) {
	b.items = append(b.items, parcel{n, q, now, p})
}

func (l *Impaired) getBox() *outbox {
	b := l.boxes
	if b == nil {
		return new(outbox)
	}
	l.boxes = b.next
	return b
}

// deliver hands the packets to the inner link, in order, without the lock. The baton of queue q of n, if n is not nil,
// is the caller's; other queues are told that there is something for them.
func (l *Impaired) deliver(b *outbox, n *device.NIC, q int) {
	for items := b.items; len(items) > 0; {
		first := items[0]
		k := 0
		for k < len(items) && items[k].n == first.n && items[k].q == first.q {
			b.batch = append(b.batch, items[k].p)
			k++
		}
		if first.n == n && first.q == q {
			l.inner.Send(first.n, first.q, first.now, b.batch)
		} else {
			l.inner.Send(first.n, device.Late(first.q), first.now, b.batch)
			first.n.Kick(first.q)
		}
		clear(b.batch)
		b.batch = b.batch[:0]
		items = items[k:]
	}
	clear(b.items)
	b.items = b.items[:0]
	l.mu.Lock()
	b.next = l.boxes
	l.boxes = b
	l.mu.Unlock()
}
