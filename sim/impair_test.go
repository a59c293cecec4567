package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/tcp"
)

func TestPerfectLinkTouchesNothing(t *testing.T) {
	for _, x := range []struct {
		name string
		rule []Rule
		fast bool
	}{
		{"no rules", nil, true},
		{"a rule that does nothing", []Rule{{Name: "nothing"}}, true},
		{"a rule for others", []Rule{{Proto: 17, Impairment: Impairment{Loss: 1}}}, false},
		{"a rule that never strikes", []Rule{{Impairment: Impairment{DropSegments: []uint64{1 << 40}}}}, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t, ImpairConfig{}, x.rule...)
			raws := stream(t, 5, 1000)
			packets := map[*device.Packet]bool{}
			for _, raw := range raws {
				p := r.packet(raw)
				packets[p] = true
				r.transmit(p)
			}
			require.True(t, r.n.Ring(0))
			r.n.Poll(0, 0, 64, func(p *device.Packet) {
				require.True(t, packets[p], "the very same packet")
				require.Zero(t, p.Flags)
				r.got = append(r.got, arrival{raw: p.AppendTo(nil)})
				p.Release()
			})
			require.True(t, r.n.Rest(0))
			require.Equal(t, raws, r.raws())
			require.Equal(t, x.fast, r.l.fast.Load() > 0)
			r.settle()
		})
	}
}

func TestPerfectLinkAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, x := range []struct {
		name  string
		rules []Rule
	}{
		{"no rules", nil},
		{"a rule that never strikes", []Rule{{Impairment: Impairment{Loss: 1e-12, DropPackets: []uint64{1 << 40}}}}},
		{"a constant delay", []Rule{{Impairment: Impairment{Delay: time.Millisecond}}}},
		{"jitter and a rate", []Rule{{Impairment: Impairment{Delay: time.Millisecond, Jitter: 100 * time.Microsecond, Rate: 1e9}}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t, ImpairConfig{}, x.rules...)
			raw := data(t, 0, 1000)
			count := 0
			round := func() {
				for range 8 {
					r.transmit(r.packet(raw))
				}
				if r.n.Ring(0) {
					for {
						r.n.Poll(0, r.q.Now(), 64, func(p *device.Packet) { count++; p.Release() })
						if r.n.Rest(0) {
							break
						}
					}
				}
				for r.q.Step() {
				}
				r.got = r.got[:0]
			}
			r.n = device.NewNIC(device.Config{Link: r.l, Pool: &r.pool, Interrupt: func(int) {
				for {
					r.n.Poll(0, r.q.Now(), 64, func(p *device.Packet) { count++; p.Release() })
					if r.n.Rest(0) {
						return
					}
				}
			}})
			for range 20 {
				round()
			}
			require.Zero(t, testing.AllocsPerRun(50, round))
			require.Greater(t, count, 500)
		})
	}
}

func TestAFlowsFateDependsOnItAlone(t *testing.T) {
	rule := Rule{Impairment: Impairment{Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1, Reorder: 0.1, Delay: 5 * time.Millisecond, Jitter: time.Millisecond,
		Burst: GilbertElliott{ToBad: 0.02, ToGood: 0.3}, DelayCorrelation: 0.3, Cut: Cut{Max: 50, Probability: 0.2}}}
	run := func(others int) (log []string) {
		r := newRig(t, ImpairConfig{Seed: 99, LogDelays: true, Log: 1 << 20}, rule)
		rnd := rand.New(rand.NewPCG(uint64(others), 1))
		for k := range 200 {
			r.send(data(t, k, 100))
			for range others {
				r.send(segment{src: hostA, dst: hostB, sport: uint16(50000 + rnd.IntN(20)), dport: 631, flags: tcp.ACK, payload: make([]byte, 1+rnd.IntN(100))}.build(t))
			}
			r.wait(time.Millisecond)
		}
		r.settle()
		for _, d := range r.l.Decisions() {
			if d.Flow.Src.Port() == 49152 {
				log = append(log, d.Explain())
			}
		}
		return log
	}
	alone := run(0)
	require.Greater(t, len(alone), 200)
	require.Equal(t, alone, run(3))
	require.Equal(t, alone, run(1))
}

func TestSeedsAndNamesChangeDecisions(t *testing.T) {
	run := func(seed uint64, name string) (log string) {
		r := newRig(t, ImpairConfig{Seed: seed}, Rule{Name: name, Impairment: Impairment{Loss: 0.3}})
		for range 64 {
			r.send(data(t, 0, 10))
		}
		for _, d := range r.l.Decisions() {
			log += fmt.Sprintln(d.Packet)
		}
		return log
	}
	require.Equal(t, run(1, "a"), run(1, "a"))
	require.NotEqual(t, run(1, "a"), run(2, "a"))
	require.NotEqual(t, run(1, "a"), run(1, "b"))
}

func TestFlowsHaveFatesOfTheirOwn(t *testing.T) {
	r := newRig(t, ImpairConfig{Seed: 1}, Rule{Impairment: Impairment{Loss: 0.3}})
	for range 64 {
		for port := range uint16(4) {
			r.send(datagram(t, hostA, hostB, port, 9, nil))
		}
	}
	fates := map[string]bool{}
	for port := range uint16(4) {
		fate := ""
		for _, d := range r.l.Decisions() {
			if d.Flow.Src.Port() == port {
				fate += fmt.Sprint(d.Packet, " ")
			}
		}
		fates[fate] = true
	}
	require.Len(t, fates, 4)
}

func TestDirectionsAreIndependent(t *testing.T) {
	r := newRig(t, ImpairConfig{}, Rule{From: netip.PrefixFrom(hostA, 32), Both: true, Impairment: Impairment{LossEvery: 2}})
	there := data(t, 0, 10)
	back := segment{src: hostB, dst: hostA, sport: 631, dport: 49152, flags: tcp.ACK, payload: []byte("x")}.build(t)
	r.send(there, back, there, back, there, back)
	require.Equal(t, [][]byte{there, back, there, back}, r.raws())
	r.settle()
}

func TestFilterSuppressesDecisions(t *testing.T) {
	rule := Rule{Name: "r", Impairment: Impairment{Loss: 0.2, Duplicate: 0.2, Corrupt: 0.2, Reorder: 0.2, Delay: time.Millisecond,
		Jitter: 100 * time.Microsecond, Reset: Reset{Probability: 0.1}, Cut: Cut{Size: 30}, MTU: 120, Rate: 1e6, Queue: QueueConfig{Packets: 3}}}
	raws := stream(t, 50, 100)
	r := newRig(t, ImpairConfig{Seed: 4, Held: 2, Filter: func(*Decision) bool { return false }}, rule)
	r.send(raws...)
	r.settle()
	require.Equal(t, raws, r.raws(), "with every decision vetoed the link only delays")
	require.Empty(t, r.l.Decisions())

	// The decisions of one run, and a second run with one of them only.
	r = newRig(t, ImpairConfig{Seed: 4}, Rule{Name: "r", Impairment: Impairment{Loss: 0.2}})
	r.send(raws...)
	keep := r.l.Decisions()[2].DecisionID
	r = newRig(t, ImpairConfig{Seed: 4, Filter: func(d *Decision) bool { return d.DecisionID == keep }}, Rule{Name: "r", Impairment: Impairment{Loss: 0.2}})
	r.send(raws...)
	require.Len(t, r.l.Decisions(), 1)
	require.Equal(t, keep, r.l.Decisions()[0].DecisionID)
	require.Len(t, r.got, 49)
	r.settle()
}

func TestRulesComeAndGo(t *testing.T) {
	r := newRig(t, ImpairConfig{}, Rule{Name: "slow", Impairment: Impairment{Delay: time.Second}})
	r.send(data(t, 0, 10))
	heal, err := r.l.AddRule(Rule{Name: "partition", From: netip.PrefixFrom(hostA, 32), To: netip.PrefixFrom(hostB, 32), Both: true, Impairment: Impairment{Blackhole: true}})
	require.NoError(t, err)
	r.send(data(t, 1, 10))
	heal()
	heal()
	r.send(data(t, 2, 10))
	r.settle()
	require.Equal(t, [][]byte{data(t, 0, 10), data(t, 2, 10)}, r.raws())

	_, err = r.l.AddRule(Rule{Name: "slow"})
	require.ErrorIs(t, err, ErrRule)
	require.EqualError(t, err, `sim: invalid rule: there is a rule "slow" already`)
}

func TestRemovedRulesStillDeliverWhatTheyHold(t *testing.T) {
	r := newRig(t, ImpairConfig{})
	remove, err := r.l.AddRule(Rule{Impairment: Impairment{Delay: time.Second, Rate: 8e6}})
	require.NoError(t, err)
	r.send(stream(t, 10, 1000)...)
	remove()
	r.send(data(t, 99, 10))
	require.Len(t, r.got, 1, "what comes now is not delayed")
	r.settle()
	require.Len(t, r.got, 11)
	for k := range 40 { // what flows remember of rules that are gone is forgotten
		remove, err := r.l.AddRule(Rule{Impairment: Impairment{Loss: 1e-9}})
		require.NoError(t, err)
		r.send(data(t, k, 10))
		remove()
	}
	require.LessOrEqual(t, len(r.l.flows.newest.rules), 2)
}

func TestBadRules(t *testing.T) {
	for _, x := range []struct {
		want string
		rule Rule
	}{
		{"Loss 1.5 is not within 0 and 1", Rule{Impairment: Impairment{Loss: 1.5}}},
		{"Duplicate -0.1 is not within 0 and 1", Rule{Impairment: Impairment{Duplicate: -0.1}}},
		{"Corrupt NaN is not within 0 and 1", Rule{Impairment: Impairment{Corrupt: math.NaN()}}},
		{"LossEvery -1 is negative", Rule{Impairment: Impairment{LossEvery: -1}}},
		{"Delay -1 is negative", Rule{Impairment: Impairment{Delay: -1}}},
		{"MTU 67 is less than 68, which every IPv4 link carries", Rule{Impairment: Impairment{MTU: 67}}},
		{"unknown distribution 9", Rule{Impairment: Impairment{Distribution: 9}}},
		{"unknown discipline 9", Rule{Impairment: Impairment{Queue: QueueConfig{Discipline: 9}}}},
		{"Queue.Weight 25 is more than 24", Rule{Impairment: Impairment{Queue: QueueConfig{Weight: 25}}}},
		{"a delay of more than 10000h0m0s", Rule{Impairment: Impairment{Delay: 1 << 62}}},
		{"From ::1/128 and To 127.0.0.1/32 are of different families", Rule{From: netip.PrefixFrom(hostA6, 128), To: netip.PrefixFrom(hostA, 32)}},
	} {
		_, err := NewImpaired(ImpairConfig{Rules: []Rule{x.rule}})
		require.ErrorIs(t, err, ErrRule)
		require.EqualError(t, err, "sim: invalid rule: "+x.want)
	}
}

func TestForgottenFlowsCountFromOne(t *testing.T) {
	r := newRig(t, ImpairConfig{Flows: 2}, Rule{Impairment: Impairment{DropPackets: []uint64{2}}})
	flow := func(port uint16) []byte { return datagram(t, hostA, hostB, port, 9, nil) }
	r.send(flow(1), flow(2), flow(1), flow(3))
	require.Len(t, r.got, 3, "1, 2, 3: the second of 1 is lost")
	r.send(flow(1), flow(2), flow(2))
	require.Len(t, r.got, 5, "2 was seen least recently and began anew")
	require.Len(t, r.l.flows.m, 2)
	r.settle()
}

func TestHeldPacketsAreBounded(t *testing.T) {
	r := newRig(t, ImpairConfig{Held: 10}, Rule{Impairment: Impairment{Delay: time.Second}})
	r.send(stream(t, 15, 10)...)
	s := r.l.Stats()
	require.EqualValues(t, 10, s.Held)
	require.EqualValues(t, 5, s.Dropped[ReasonHeld])
	require.True(t, s.Balanced())
	r.settle()
	require.Len(t, r.got, 10)
}

func TestLogIsBounded(t *testing.T) {
	r := newRig(t, ImpairConfig{Log: 4}, Rule{Impairment: Impairment{LossEvery: 1}})
	r.send(stream(t, 10, 10)...)
	var numbers []uint64
	for _, d := range r.l.Decisions() {
		numbers = append(numbers, d.Packet)
	}
	require.Equal(t, []uint64{7, 8, 9, 10}, numbers)
	require.EqualValues(t, 6, r.l.Forgotten())
	r = newRig(t, ImpairConfig{Log: -1}, Rule{Impairment: Impairment{LossEvery: 1}})
	r.send(stream(t, 10, 10)...)
	require.Empty(t, r.l.Decisions())
	require.EqualValues(t, 10, r.l.Stats().Decisions[KindDrop])
}

func TestQueuedPutsEverythingOnTheScheduler(t *testing.T) {
	r := newRig(t, ImpairConfig{Queued: true})
	sent := stream(t, 5, 10)
	r.send(sent...)
	require.Empty(t, r.got)
	require.Equal(t, 5, r.q.Len())
	r.settle()
	require.Equal(t, sent, r.raws())
	require.Equal(t, make([]time.Duration, 5), r.times())
}

func TestGarbagePasses(t *testing.T) {
	r := newRig(t, ImpairConfig{Seed: 1}, Rule{Impairment: Impairment{Duplicate: 0.5, Corrupt: 0.5, MTU: 100, Cut: Cut{Size: 3}, Delay: time.Millisecond, Rate: 1e9,
		Queue: QueueConfig{Discipline: CoDel, ECN: true}, Reset: Reset{Probability: 1}}})
	rnd := rand.New(rand.NewPCG(1, 2))
	good := stream(t, 1, 200)[0]
	for range 2000 {
		b := append([]byte(nil), good[:1+rnd.IntN(len(good))]...)
		for range rnd.IntN(5) {
			b[rnd.IntN(len(b))] = byte(rnd.Uint32())
		}
		p := r.pool.NewPacket()
		at := rnd.IntN(min(len(b), device.MaxHead) + 1)
		copy(p.SetHead(at), b)
		mid := at + rnd.IntN(len(b)-at+1)
		p.Frags = [2]device.Piece{{B: b[at:mid]}, {B: b[mid:]}}
		r.transmit(p)
		if r.n.Ring(0) {
			r.poll()
		}
	}
	r.settle()
}

// The sum of everything, over random rules and traffic.
func TestConservation(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		p := func(max float64) float64 { return max * rnd.Float64() * float64(rnd.IntN(2)) }
		var rules []Rule
		for range 1 + rnd.IntN(3) {
			rules = append(rules, Rule{Both: rnd.IntN(2) == 0, Proto: []uint8{0, 6, 17}[rnd.IntN(3)], Impairment: Impairment{
				Loss: p(0.3), Duplicate: p(0.3), DuplicateCorrelation: p(1), Corrupt: p(0.3), CorruptBits: rnd.IntN(4), Reorder: p(0.5), ReorderGap: rnd.IntN(3),
				LossEvery: rnd.IntN(2) * 7, MTU: rnd.IntN(2) * 700, Delay: time.Duration(rnd.IntN(5)) * time.Millisecond,
				Jitter: time.Duration(rnd.IntN(3)) * time.Millisecond, Distribution: Distribution(rnd.IntN(3)), InOrder: rnd.IntN(2) == 0,
				Rate: int64(rnd.IntN(2)) * 1e7, Queue: QueueConfig{Discipline: Discipline(rnd.IntN(3)), Packets: 1 + rnd.IntN(20), ECN: rnd.IntN(2) == 0, PerFlow: rnd.IntN(2) == 0, Min: 1000, Max: 5000, Weight: 1, Probability: 0.5},
				Cut: Cut{Max: rnd.IntN(2) * 300}, Reset: Reset{Probability: p(0.1), Swallow: rnd.IntN(2) == 0}, Burst: GilbertElliott{ToBad: p(0.1), ToGood: 0.3},
			}})
		}
		r := newRig(t, ImpairConfig{Seed: seed, Held: 50 + rnd.IntN(200)}, rules...)
		for k := range 200 {
			switch rnd.IntN(3) {
			case 0:
				r.send(data(t, k, 1+rnd.IntN(1400)))
			case 1:
				raw := datagram(t, hostA, hostB, 5, 6, make([]byte, rnd.IntN(3000)))
				raw[6] &^= 0x40
				ipv4.Header(raw[:20]).UpdateChecksum()
				r.send(raw)
			default:
				r.send(segment{src: hostB, dst: hostA, sport: 631, dport: 49152, seq: uint32(k), flags: tcp.ACK, ect: true, payload: make([]byte, rnd.IntN(500))}.build(t))
			}
			s := r.l.Stats()
			require.True(t, s.Balanced(), "%+v", s)
			r.wait(time.Duration(rnd.IntN(300)) * time.Microsecond)
		}
		r.settle()
	}
}

func TestLinksAreSafeForConcurrentUse(t *testing.T) {
	const senders, each = 4, 200
	l, err := NewImpaired(ImpairConfig{Seed: 1, Rules: []Rule{
		{Impairment: Impairment{Duplicate: 1, Delay: 50 * time.Microsecond, Jitter: 50 * time.Microsecond}},
		{Impairment: Impairment{Rate: 1e10, Queue: QueueConfig{Packets: 1e6}}},
	}})
	require.NoError(t, err)
	var arrived sync.WaitGroup
	arrived.Add(2 * senders * each)
	var n *device.NIC
	poll := func(q int) {
		for {
			n.Poll(q, 0, 64, func(p *device.Packet) {
				p.Release()
				arrived.Done()
			})
			if n.Rest(q) {
				return
			}
		}
	}
	n = device.NewNIC(device.Config{Link: l, Queues: senders, RingSize: 4096, Interrupt: poll})
	var wg sync.WaitGroup
	for g := range senders {
		raw := datagram(t, hostA, hostB, uint16(g), 9, make([]byte, 100))
		wg.Go(func() {
			for range each {
				p := n.Pool().NewPacket()
				p.HeadOwner = n.Pool().Get(len(raw))
				p.Head = append(p.HeadOwner.Bytes()[:0], raw...)
				p.Hash = uint32(g)
				if n.Transmit(0, p) != device.TxOK {
					panic("no room")
				}
				if n.Ring(g) {
					poll(g)
				}
				l.Stats()
				l.Decisions()
			}
		})
	}
	remove, err := l.AddRule(Rule{Name: "more", Impairment: Impairment{Delay: time.Microsecond}})
	require.NoError(t, err)
	remove()
	wg.Wait()
	arrived.Wait()
	require.True(t, l.Stats().Balanced())
	require.Zero(t, l.Stats().Held)
}

// leavers is a link that counts what leaves the computer by it.
type leavers struct {
	device.Loopback
	open bool
	n    int
}

func (l *leavers) Open() bool { return l.open }
func (l *leavers) Send(n *device.NIC, q int, now time.Duration, ps []*device.Packet) {
	l.n += len(ps)
	l.Loopback.Send(n, q, now, ps)
}

func TestInnerLink(t *testing.T) {
	for _, open := range []bool{false, true} {
		inner := &leavers{open: open}
		r := newRig(t, ImpairConfig{Inner: inner}, Rule{Impairment: Impairment{LossEvery: 2}})
		r.send(stream(t, 4, 10)...)
		require.Equal(t, 2, inner.n)
		require.Equal(t, open, r.l.Open())
		require.Equal(t, open, r.n.Open())
		r.settle()
	}
	l, err := NewImpaired(ImpairConfig{})
	require.NoError(t, err)
	require.False(t, l.Open(), "the loopback wire leads nowhere")
}

func TestNamesOfKindsAndReasons(t *testing.T) {
	require.Equal(t, "ECN mark", KindMark.String())
	require.Equal(t, "kind 99", DecisionKind(99).String())
	require.Equal(t, "CoDel", ReasonCoDel.String())
	require.Equal(t, "reason 99", Reason(99).String())
	d := Decision{DecisionID: DecisionID{Rule: "r", Kind: KindCut, Flow: flowOf(1), Packet: 2, Copy: 3}, Value: 4}
	require.Equal(t, `cut of packet 2 of 127.0.0.1:1>127.0.0.2:80 at 0.000 s (copy 3) by "r": 4 pieces`, d.Explain())
	d = Decision{DecisionID: DecisionID{Rule: "r", Kind: KindReorder, Flow: flowOf(1), Packet: 2}, At: 1500001 * time.Nanosecond, Delay: time.Millisecond}
	require.Equal(t, `reordering of packet 2 of 127.0.0.1:1>127.0.0.2:80 at 0.001500001 s by "r": 1ms`, d.Explain())
}

func BenchmarkImpaired(b *testing.B) {
	for _, x := range []struct {
		name  string
		rules []Rule
	}{
		{"no rules", nil},
		{"a rule for others", []Rule{{Proto: 17, Impairment: Impairment{Loss: 1}}}},
		{"loss", []Rule{{Impairment: Impairment{Loss: 0.05}}}},
		{"delay", []Rule{{Impairment: Impairment{Delay: time.Millisecond}}}},
		{"everything", []Rule{{Impairment: Impairment{Loss: 0.05, Duplicate: 0.05, Corrupt: 0.05, Reorder: 0.05, Delay: time.Millisecond, Jitter: 100 * time.Microsecond, Rate: 1e12}}}},
	} {
		b.Run(x.name, func(b *testing.B) {
			r := newRig(b, ImpairConfig{Log: -1}, x.rules...)
			r.pool.Audit = false
			raw := data(b, 0, 1000)
			ps := make([]*device.Packet, 1)
			drain := func() {
				if r.n.Ring(0) {
					for done := false; !done; done = r.n.Rest(0) {
						r.n.Poll(0, 0, 64, func(p *device.Packet) { p.Release() })
					}
				}
			}
			r.n = device.NewNIC(device.Config{Link: r.l, Pool: &r.pool})
			b.ReportAllocs()
			for b.Loop() {
				ps[0] = r.packet(raw)
				r.l.Send(r.n, 0, r.q.Now(), ps)
				for r.q.Step() {
				}
				drain()
			}
		})
	}
}
