package sim

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/socket"
)

// A Net is a network of hosts on one loopback interface. All of 127.0.0.0/8 is this computer; a Host is a name with an
// address of its own in it, and links, partitions and crashes are rules between such addresses.
//
//	n, err := sim.NewNet(sim.NetConfig{Seed: 42})
//	db, web := n.Host("db"), n.Host("web")
//	n.Link(db, web, sim.Impairment{Delay: 20 * time.Millisecond, Loss: 0.05})
//	l, err := db.Listen("tcp", ":5432")
//	c, err := web.Dial("tcp", "db:5432")
//
// Hosts between which there is no Link reach each other without delay and loss.
//
// Every delivery and every timer of the network is an event of one Queue on package time. In a testing/synctest bubble
// (see package simtest) each has a nanosecond of its own, and what it wakes comes to rest before the next: equal seeds
// give equal bytes at equal times for programs whose goroutines do not race among themselves. What is left to such
// races, and therefore to the runtime's scheduler, is:
//
//   - goroutines of one host that dial at the same instant, which draw their ports in the order in which they come,
//     unless they have labels (WithLabel);
//   - goroutines that write to one connection at the same instant, or wake one another in no fixed order, as those of
//     HTTP/2 do;
//   - timers of the program (time.Sleep, contexts) that happen to end in the very nanosecond of an event;
//   - packets that reach a line with a Rate, which they share, at the same instant.
//
// A Net is safe for concurrent use.
type Net struct {
	cfg   NetConfig
	queue *Queue
	stack *socket.Stack
	link  *Impaired
	rec   *Recording
	state atomic.Pointer[netState]

	mu      sync.Mutex
	byName  map[string]*Host
	links   map[[2]netip.Addr]func() // how to remove what Link added
	cuts    []func()                 // how to remove what Partition added
	parts   int
	planned uint64 // calls of At
	labels  map[labelled]uint64
}

// netState is what the packet path asks; it is replaced, never changed.
type netState struct {
	down map[netip.Addr]bool
}

// NetConfig describes a Net. The zero value is a perfect network.
type NetConfig struct {
	// Seed is what everything random follows from: impairments, sequence numbers, ports. 0 counts as 1.
	Seed uint64
	// Stack is the configuration of the stack; Clock, Parker, Queues, Link and Seed are the Net's.
	Stack socket.Config
	// Impair is that of the link; Seed, Scheduler, Inner and Queued are the Net's.
	Impair ImpairConfig
	// CaptureBytes bounds the memory of the recording of what is sent; 64 MiB if 0, nothing is recorded if negative.
	CaptureBytes int
}

const defaultCaptureBytes = 64 << 20

// NewNet makes a network on package time: inside a testing/synctest bubble, on the bubble's. Its errors are those of
// the configuration.
func NewNet(cfg NetConfig) (*Net, error) {
	n := new(Net)
	if err := n.init(cfg, NewTimeQueue(1), nil); err != nil {
		return nil, err
	}
	return n, nil
}

// init makes a network on a queue.
func (n *Net) init(cfg NetConfig, q *Queue, parker socket.Parker) (err error) {
	cfg.Seed = max(cfg.Seed, 1)
	cfg.CaptureBytes = cmp.Or(cfg.CaptureBytes, defaultCaptureBytes)
	n.cfg, n.queue = cfg, q
	n.byName, n.links = map[string]*Host{}, map[[2]netip.Addr]func(){}
	n.state.Store(&netState{})
	ic := cfg.Impair
	ic.Seed, ic.Scheduler, ic.Inner, ic.Queued = cfg.Seed, q, gate{n}, true
	n.rec = NewRecording(q.start(), cfg.Seed, cfg.CaptureBytes)
	sc := cfg.Stack
	if cfg.CaptureBytes > 0 {
		n.rec.Configure(&ic, &sc)
	}
	if n.link, err = NewImpaired(ic); err != nil {
		return err
	}
	sc.Clock, sc.Parker, sc.Queues, sc.Link, sc.Seed = NewClock(q), parker, 1, n.link, cfg.Seed
	sc.Staged = parker == nil // coroutines run one at a time: no need
	if n.stack, err = socket.NewChecked(sc); err != nil {
		return err
	}
	if cfg.CaptureBytes > 0 {
		n.rec.Begin(n.stack, n.link)
	}
	return nil
}

// Seed returns the seed of the network.
func (n *Net) Seed() uint64 { return n.cfg.Seed }

// Stack returns the computer that all hosts are on.
func (n *Net) Stack() *socket.Stack { return n.stack }

// Impaired returns the link, for rules that Link does not make.
func (n *Net) Impaired() *Impaired { return n.link }

// Recording returns what was sent so far.
func (n *Net) Recording() *Recording { return n.rec }

// Now returns how long the network has been there.
func (n *Net) Now() time.Duration { return n.queue.Now() }

// Decisions returns the latest decisions of the link, ordered by time and, within an instant, by flow: not, as those
// of Impaired, by who came first.
func (n *Net) Decisions() []Decision { return n.link.sorted() }

// sorted returns the decisions ordered by time and flow.
func (l *Impaired) sorted() []Decision {
	all := l.Decisions()
	slices.SortStableFunc(all, func(a, b Decision) int {
		return cmp.Or(cmp.Compare(a.At, b.At), a.Flow.Compare(b.Flow))
	})
	return all
}

// Close ends every connection and socket of all hosts; who waits on one gets net.ErrClosed. Nothing happens on the
// network any more: packets on their way do not arrive, and what At has planned is not called.
func (n *Net) Close() error {
	err := n.stack.Close()
	n.queue.clear()
	return err
}

// At calls f once, d from now, as an event of the network: nothing else happens on it meanwhile. f must not wait for
// anything that comes by the network.
func (n *Net) At(d time.Duration, f func()) {
	n.mu.Lock()
	n.planned++
	seq := n.planned
	n.mu.Unlock()
	n.queue.At(later(n.queue.Now(), d), Key{Kind: kindPlan, Seq: seq}, f)
}

// Link says what happens to packets between a and b, in both directions, which share nothing. It replaces what was
// said before; the zero Impairment makes the link perfect. It panics when the impairment is not a valid one (ErrRule).
func (n *Net) Link(a, b *Host, m Impairment) {
	n.LinkOneWay(a, b, m)
	n.LinkOneWay(b, a, m)
}

// LinkOneWay is Link for the packets from one host to another only.
func (n *Net) LinkOneWay(from, to *Host, m Impairment) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := [2]netip.Addr{from.addr, to.addr}
	if remove := n.links[key]; remove != nil {
		remove()
		delete(n.links, key)
	}
	// The name is what decisions are drawn by: it must not depend on what else there is.
	n.links[key] = n.rule(Rule{Name: from.name + ">" + to.name, From: host32(from), To: host32(to), Impairment: m})
}

// rule adds a rule; one that is not valid is the program's mistake.
func (n *Net) rule(r Rule) (remove func()) {
	remove, err := n.link.AddRule(r)
	if err != nil {
		panic(err.Error())
	}
	return remove
}

func host32(h *Host) netip.Prefix { return netip.PrefixFrom(h.addr, h.addr.BitLen()) }

// Partition cuts a off from the others, in both directions, or from all hosts if none is named: what is sent from now
// on is lost. Packets on their way arrive. Partitions add up until Heal.
func (n *Net) Partition(a *Host, others ...*Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.parts++
	name := fmt.Sprintf("partition %d", n.parts)
	r := Rule{Name: name, From: host32(a), Both: true, Impairment: Impairment{Blackhole: true}}
	r.Match = func(i *PacketInfo) bool { return i.Flow.Src.Addr() != i.Flow.Dst.Addr() } // it still reaches itself
	if len(others) == 0 {
		n.cuts = append(n.cuts, n.rule(r))
		return
	}
	for _, b := range others {
		r.Name, r.To = name+" "+a.name+"|"+b.name, host32(b)
		n.cuts = append(n.cuts, n.rule(r))
	}
}

// Heal ends all partitions.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, remove := range n.cuts {
		remove()
	}
	n.cuts = nil
}

// setDown notes that a host is down, or up again.
func (n *Net) setDown(a netip.Addr, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := &netState{down: map[netip.Addr]bool{}}
	for k := range n.state.Load().down {
		next.down[k] = true
	}
	if next.down[a] = down; !down {
		delete(next.down, a)
	}
	n.state.Store(next)
}

// gate is the loopback wire without the hosts that are down: what arrives for them is lost.
type gate struct{ n *Net }

// Send implements device.Link.
func (g gate) Send(nic *device.NIC, q int, now time.Duration, ps []*device.Packet) {
	state := g.n.state.Load()
	if len(state.down) == 0 {
		device.Loopback{}.Send(nic, q, now, ps)
		return
	}
	kept := make([]*device.Packet, 0, len(ps))
	for _, p := range ps {
		if len(p.Head) >= 20 && p.Head[0]>>4 == 4 && state.down[netip.AddrFrom4([4]byte(p.Head[16:20]))] {
			nic.Drop(p, device.DropLink)
			continue
		}
		kept = append(kept, p)
	}
	device.Loopback{}.Send(nic, q, now, kept)
}
