package sim

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
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

// survivors returns which of the packets sent arrived, by number from 1.
func survivors(t *testing.T, r *rig, sent [][]byte) []int {
	t.Helper()
	var all []int
	for _, raw := range r.raws() {
		for k, s := range sent {
			if bytes.Equal(s, raw) {
				all = append(all, k+1)
			}
		}
	}
	return all
}

func TestChosenLosses(t *testing.T) {
	syn := segment{src: hostA, dst: hostB, sport: 49152, dport: 631, seq: 1000, flags: tcp.SYN}.build(t)
	sent := append([][]byte{syn}, stream(t, 6, 100)...)
	for _, x := range []struct {
		name string
		rule Rule
		want []int
		why  Reason
	}{
		{"the third data segment", Rule{Impairment: Impairment{DropSegments: []uint64{3}}}, []int{1, 2, 3, 5, 6, 7}, ReasonChosen},
		{"the third packet", Rule{Impairment: Impairment{DropPackets: []uint64{3}}}, []int{1, 2, 4, 5, 6, 7}, ReasonChosen},
		{"every second", Rule{Impairment: Impairment{LossEvery: 2}}, []int{1, 3, 5, 7}, ReasonEvery},
		{"blackhole", Rule{Impairment: Impairment{Blackhole: true}}, nil, ReasonBlackhole},
		{"by predicate", Rule{Match: func(i *PacketInfo) bool { return i.Offset == 200 }, Impairment: Impairment{Blackhole: true}}, []int{1, 2, 3, 5, 6, 7}, ReasonBlackhole},
		{"from elsewhere", Rule{From: netip.MustParsePrefix("127.0.0.9/32"), Impairment: Impairment{Blackhole: true}}, []int{1, 2, 3, 4, 5, 6, 7}, 0},
		{"from and to", Rule{From: netip.PrefixFrom(hostA, 32), To: netip.MustParsePrefix("127.0.0.0/30"), Impairment: Impairment{LossEvery: 4}}, []int{1, 2, 3, 5, 6, 7}, ReasonEvery},
		{"the other way", Rule{From: netip.PrefixFrom(hostB, 32), Impairment: Impairment{Blackhole: true}}, []int{1, 2, 3, 4, 5, 6, 7}, 0},
		{"the other way, too", Rule{From: netip.PrefixFrom(hostB, 32), Both: true, Impairment: Impairment{LossEvery: 4}}, []int{1, 2, 3, 5, 6, 7}, ReasonEvery},
		{"by port", Rule{ToPorts: [2]uint16{631}, Impairment: Impairment{LossEvery: 4}}, []int{1, 2, 3, 5, 6, 7}, ReasonEvery},
		{"by range of ports", Rule{FromPorts: [2]uint16{49000, 50000}, Impairment: Impairment{LossEvery: 4}}, []int{1, 2, 3, 5, 6, 7}, ReasonEvery},
		{"another port", Rule{ToPorts: [2]uint16{80, 90}, Impairment: Impairment{Blackhole: true}}, []int{1, 2, 3, 4, 5, 6, 7}, 0},
		{"by protocol", Rule{Proto: 6, Impairment: Impairment{LossEvery: 4}}, []int{1, 2, 3, 5, 6, 7}, ReasonEvery},
		{"another protocol", Rule{Proto: 17, Impairment: Impairment{Blackhole: true}}, []int{1, 2, 3, 4, 5, 6, 7}, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t, ImpairConfig{}, x.rule)
			r.send(sent...)
			require.Equal(t, x.want, survivors(t, r, sent))
			s := r.l.Stats()
			require.EqualValues(t, len(sent)-len(x.want), s.Dropped[x.why])
			require.EqualValues(t, len(sent)-len(x.want), s.Drops())
			require.Len(t, r.l.Decisions(), len(sent)-len(x.want))
			r.settle()
		})
	}
}

func TestDecisionReadsAsASentence(t *testing.T) {
	var seen []string
	r := newRig(t, ImpairConfig{Observe: func(d *Decision) { seen = append(seen, d.Explain()) }},
		Rule{Name: "lossy", Proto: 6, Impairment: Impairment{DropSegments: []uint64{3}}},
		Rule{Name: "udp", Proto: 17, Impairment: Impairment{LossEvery: 1}},
		Rule{Name: "echo", Proto: 1, Impairment: Impairment{Corrupt: 1}})
	r.send(stream(t, 2, 10)...)
	r.wait(204 * time.Millisecond)
	r.send(data(t, 2, 10), datagram(t, hostA6, hostB6, 5353, 53, nil))
	r.wait(1500 * time.Nanosecond)
	r.send(serialize(t, ipLayer(hostA, hostA, layers.IPProtocolICMPv4).(*layers.IPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7, Seq: 1}))
	all := r.l.Decisions()
	require.Len(t, all, 3)
	require.Equal(t, "drop of segment 3 of 127.0.0.1:49152>127.0.0.2:631 at 1.204 s", all[0].String())
	require.Equal(t, DecisionID{Rule: "lossy", Kind: KindDrop, Flow: all[0].Flow, Packet: 3}, all[0].DecisionID)
	require.Equal(t, "drop of datagram 1 of [::1]:5353>[fd00::2]:53 at 1.204 s", all[1].String())
	require.Regexp(t, `^corruption of packet 1 of icmp 127.0.0.1>127.0.0.1 id 7 at 1.204001500 s by "echo": bit \d+$`, all[2].Explain())
	require.Equal(t, []string{
		`drop of segment 3 of 127.0.0.1:49152>127.0.0.2:631 at 1.204 s by "lossy": chosen`,
		`drop of datagram 1 of [::1]:5353>[fd00::2]:53 at 1.204 s by "udp": every n-th`,
		all[2].Explain(),
	}, seen)
}

func TestLossRates(t *testing.T) {
	const count = 20000
	rate := func(t *testing.T, m Impairment) (lost []bool, share float64) {
		r := newRig(t, ImpairConfig{Seed: 7, Held: -1}, Rule{Impairment: m})
		raw := data(t, 0, 10)
		for range count {
			before := len(r.got)
			r.send(raw)
			lost = append(lost, len(r.got) == before)
		}
		r.settle()
		return lost, float64(r.l.Stats().Drops()) / count
	}
	// together returns how often a loss follows a loss.
	together := func(lost []bool) float64 {
		pairs, losses := 0.0, 0.0
		for k := 1; k < len(lost); k++ {
			if lost[k-1] {
				losses++
				if lost[k] {
					pairs++
				}
			}
		}
		return pairs / losses
	}
	lost, share := rate(t, Impairment{Loss: 0.05})
	require.InDelta(t, 0.05, share, 0.005)
	require.InDelta(t, 0.05, together(lost), 0.02, "losses are independent")

	lost, share = rate(t, Impairment{Loss: 0.3, LossCorrelation: 0.5})
	require.InDelta(t, 0.13, share, 0.02, "correlation narrows the distribution, as netem's does")
	require.Greater(t, together(lost), 0.3, "losses come together")

	// Gilbert: the share of bad time is p/(p+r), a burst lasts 1/r packets.
	lost, share = rate(t, Impairment{Burst: GilbertElliott{ToBad: 0.01, ToGood: 0.25}})
	require.InDelta(t, 0.01/0.26, share, 0.008)
	require.InDelta(t, 0.75, together(lost), 0.05)

	_, share = rate(t, Impairment{Burst: GilbertElliott{ToBad: 0.01, ToGood: 0.25, LossBad: 0.5, LossGood: 0.02}})
	require.InDelta(t, 0.01/0.26*0.5+0.25/0.26*0.02, share, 0.008)

	_, share = rate(t, Impairment{Loss: 1})
	require.EqualValues(t, 1, share)
}

func TestDuplicates(t *testing.T) {
	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Duplicate: 1}})
	sent := stream(t, 3, 100)
	r.send(sent...)
	require.Equal(t, [][]byte{sent[0], sent[0], sent[1], sent[1], sent[2], sent[2]}, r.raws())
	require.Zero(t, r.got[0].flags, "the packet itself is untouched")
	require.Equal(t, device.FlagImpaired, r.got[1].flags, "the copy is to be verified")
	require.EqualValues(t, 3, r.l.Stats().Duplicates)
	r.settle()

	r = newRig(t, ImpairConfig{Seed: 3}, Rule{Impairment: Impairment{Duplicate: 0.1}})
	for range 5000 {
		r.send(sent[0])
	}
	require.InDelta(t, 500, float64(r.l.Stats().Duplicates), 80)
	r.settle()
}

func TestTwoDuplicatingRulesMakeFour(t *testing.T) {
	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Duplicate: 1}}, Rule{Impairment: Impairment{Duplicate: 1}})
	r.send(stream(t, 2, 10)...)
	require.Len(t, r.got, 8)
	ids := map[DecisionID]bool{}
	for _, d := range r.l.Decisions() {
		ids[d.DecisionID] = true
	}
	require.Len(t, ids, 6, "each decision has a name of its own")
	r.settle()
}

func TestCorruptionIsCaughtByChecksums(t *testing.T) {
	raws := [][]byte{
		data(t, 0, 100),
		datagram(t, hostA, hostB, 1, 2, []byte("hello")),
		segment{src: hostA6, dst: hostB6, sport: 1, dport: 2, flags: tcp.ACK, payload: []byte("six")}.build(t),
	}
	for _, x := range []struct {
		name  string
		where CorruptWhere
	}{{"anywhere", CorruptAnywhere}, {"header", CorruptHeader}, {"payload", CorruptPayload}} {
		t.Run(x.name, func(t *testing.T) {
			for _, raw := range raws {
				var i PacketInfo
				i.parseIP(raw, len(raw))
				r := newRig(t, ImpairConfig{Seed: 11}, Rule{Impairment: Impairment{Corrupt: 1, CorruptWhere: x.where}})
				for range 300 {
					r.send(raw)
				}
				require.Len(t, r.got, 300)
				for k, a := range r.got {
					require.Equal(t, device.FlagImpaired, a.flags)
					bits := difference(raw, a.raw)
					require.Len(t, bits, 1)
					require.Equal(t, r.l.Decisions()[k].Value, bits[0])
					inHeader := bits[0]/8 < i.Header
					require.True(t, x.where == CorruptAnywhere || inHeader == (x.where == CorruptHeader))
					if raw[0]>>4 == 4 && i.Flow.Proto == 6 && bits[0]/8 >= 20 {
						require.False(t, intact(a.raw))
					}
				}
				r.settle()
			}
		})
	}
	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Corrupt: 1, CorruptBits: 5}})
	for range 100 {
		r.send(raws[0])
	}
	most := 0
	for _, a := range r.got {
		most = max(most, len(difference(raws[0], a.raw)))
	}
	require.Equal(t, 5, most)
	r.settle()
}

// difference returns the numbers of the bits in which two packets differ.
func difference(a, b []byte) []int {
	var all []int
	for k := range a {
		for bit := range 8 {
			if (a[k]^b[k])&(0x80>>bit) != 0 {
				all = append(all, k*8+bit)
			}
		}
	}
	return all
}

func TestPartialChecksumsAreFilledInBeforeCorruption(t *testing.T) {
	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Duplicate: 1}})
	raw := data(t, 0, 100)
	p := r.packet(raw)
	// As the stack leaves it: the folded sum of the pseudo-header in place of the checksum.
	p.Flags |= device.FlagCsumPartial
	p.CsumStart, p.CsumOffset = 20, 16
	copy(p.Head[36:], []byte{0, 0})
	sum := uint32(0)
	for k := 12; k < 20; k += 2 {
		sum += uint32(be16(raw, k))
	}
	sum += 6 + uint32(len(raw)-20)
	sum = sum&0xffff + sum>>16
	p.Head[36], p.Head[37] = byte(sum>>8), byte(sum)
	r.transmit(p)
	require.True(t, r.n.Ring(0))
	r.poll()
	require.Len(t, r.got, 2)
	require.Equal(t, device.FlagCsumPartial, r.got[0].flags)
	require.Equal(t, device.FlagImpaired, r.got[1].flags)
	require.Equal(t, raw, r.got[1].raw)
	r.settle()
}

func TestDelays(t *testing.T) {
	const ms = time.Millisecond
	for _, x := range []struct {
		name string
		m    Impairment
		want []time.Duration
	}{
		{"constant", Impairment{Delay: 20 * ms}, []time.Duration{20 * ms, 21 * ms, 22 * ms, 23 * ms}},
		{"zero", Impairment{}, []time.Duration{0, 1 * ms, 2 * ms, 3 * ms}},
		{"every packet ahead", Impairment{Delay: 20 * ms, Reorder: 1}, []time.Duration{0, 1 * ms, 2 * ms, 3 * ms}},
		{"every third ahead", Impairment{Delay: 20 * ms, Reorder: 1, ReorderGap: 3}, []time.Duration{2 * ms, 20 * ms, 21 * ms, 23 * ms}},
		{"held back without a delay", Impairment{Reorder: 1, ReorderGap: 4}, []time.Duration{0, 1 * ms, 2 * ms, 4 * ms}},
		{"held back for long", Impairment{Reorder: 1, ReorderGap: 3, ReorderBy: 5 * ms}, []time.Duration{0, 1 * ms, 3 * ms, 7 * ms}},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t, ImpairConfig{}, Rule{Impairment: x.m})
			for _, raw := range stream(t, 4, 10) {
				r.send(raw)
				r.wait(ms)
			}
			r.settle()
			require.Equal(t, x.want, r.times())
		})
	}
}

func TestDelaysOfRulesAddUp(t *testing.T) {
	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Delay: 3 * time.Millisecond}},
		Rule{Last: true, Impairment: Impairment{Delay: 4 * time.Millisecond}}, Rule{Impairment: Impairment{Delay: time.Hour}})
	r.send(data(t, 0, 10))
	r.settle()
	require.Equal(t, []time.Duration{7 * time.Millisecond}, r.times(), "the rule behind the last is not seen")
}

func TestJitterDistributions(t *testing.T) {
	const delay, jitter, count = 100 * time.Millisecond, 10 * time.Millisecond, 4000
	for _, x := range []struct {
		name        string
		m           Impairment
		mean, sd    float64 // ms
		least, most float64
	}{
		{"uniform", Impairment{Distribution: Uniform}, 100, 5.77, 90, 110},
		{"normal", Impairment{Distribution: Normal}, 100, 10, 40, 160},
		{"pareto", Impairment{Distribution: Pareto}, 99.5, 7.9, 94, 140.1},
		{"correlated uniform", Impairment{Distribution: Uniform, DelayCorrelation: 0.5}, 100, 3.3, 90, 110},
		{"correlated normal", Impairment{Distribution: Normal, DelayCorrelation: 0.5}, 100, 5.77, 60, 140},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.m.Delay, x.m.Jitter = delay, jitter
			r := newRig(t, ImpairConfig{Seed: 1, LogDelays: true}, Rule{Impairment: x.m})
			raw := data(t, 0, 10)
			for range count {
				r.send(raw)
			}
			r.settle()
			mean, sd := moments(r.times())
			require.InDelta(t, x.mean, mean, 0.6)
			require.InDelta(t, x.sd, sd, 0.8)
			require.GreaterOrEqual(t, r.times()[0].Seconds()*1000, x.least)
			require.LessOrEqual(t, r.times()[count-1].Seconds()*1000, x.most)
			all := r.l.Decisions()
			require.Len(t, all, count)
			require.Equal(t, KindDelay, all[0].Kind)
			require.Positive(t, all[0].Delay)
		})
	}
}

// moments returns mean and standard deviation in milliseconds.
func moments(all []time.Duration) (mean, sd float64) {
	var sum, squares float64
	for _, d := range all {
		v := d.Seconds() * 1000
		sum += v
		squares += v * v
	}
	n := float64(len(all))
	mean = sum / n
	variance := squares/n - mean*mean
	return mean, math.Sqrt(variance)
}

func TestJitterReordersUnlessInOrder(t *testing.T) {
	for _, inOrder := range []bool{false, true} {
		r := newRig(t, ImpairConfig{Seed: 5}, Rule{Impairment: Impairment{Delay: 20 * time.Millisecond, Jitter: 20 * time.Millisecond, InOrder: inOrder}})
		sent := stream(t, 100, 10)
		for _, raw := range sent {
			r.send(raw)
			r.wait(time.Millisecond)
		}
		r.settle()
		require.Equal(t, inOrder, bytes.Equal(payloads(t, sent), payloads(t, r.raws())))
		require.Len(t, r.got, 100)
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

func TestResets(t *testing.T) {
	seg := segment{src: hostA, dst: hostB, sport: 49152, dport: 631, seq: 1000, ack: 2000, flags: tcp.ACK | tcp.PSH, payload: []byte("hello")}
	seg6 := seg
	seg6.src, seg6.dst = hostA6, hostB6
	for _, x := range []struct {
		name  string
		reset Reset
		seg   segment
		want  []string
	}{
		{"both", Reset{Segments: []uint64{1}}, seg, []string{"127.0.0.1:49152>127.0.0.2:631 seq 1000 ack 2000", "127.0.0.2:631>127.0.0.1:49152 seq 2000 ack 1005"}},
		{"receiver, in IPv6", Reset{Probability: 1, To: ResetReceiver}, seg6, []string{"[::1]:49152>[fd00::2]:631 seq 1000 ack 2000"}},
		{"sender, blind", Reset{Probability: 1, To: ResetSender, SeqOffset: 10}, seg, []string{"127.0.0.2:631>127.0.0.1:49152 seq 2010 ack 1005"}},
		{"not this one", Reset{Segments: []uint64{2}}, seg, nil},
	} {
		for _, swallow := range []bool{false, true} {
			t.Run(fmt.Sprint(x.name, swallow), func(t *testing.T) {
				x.reset.Swallow = swallow
				r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Reset: x.reset}})
				r.send(x.seg.build(t))
				var resets []string
				passed := 0
				for _, a := range r.got {
					require.True(t, intact(a.raw))
					var i PacketInfo
					i.parseIP(a.raw, len(a.raw))
					h := decode(t, a.raw).TransportLayer().(*layers.TCP)
					if !h.RST {
						passed++
						continue
					}
					require.True(t, h.ACK)
					require.Empty(t, h.Payload)
					require.Equal(t, device.FlagImpaired, a.flags)
					resets = append(resets, fmt.Sprintf("%v seq %d ack %d", i.Flow, h.Seq, h.Ack))
				}
				require.Equal(t, x.want, resets)
				require.Equal(t, !swallow || x.want == nil, passed == 1)
				require.EqualValues(t, len(x.want), r.l.Stats().Injected)
				r.settle()
			})
		}
	}
}

func TestCuttingKeepsTheStream(t *testing.T) {
	const isn = 4294967000 // the stream crosses 2^32
	syn := segment{src: hostA, dst: hostB, sport: 49152, dport: 631, seq: isn, flags: tcp.SYN}
	for _, x := range []struct {
		name  string
		cut   Cut
		sizes []int
	}{
		{"by size", Cut{Size: 300}, []int{300, 300, 300, 100, 300, 300, 300, 100}},
		{"at offsets of the stream", Cut{At: []int64{7, 1000, 1999, 5000}}, []int{7, 993, 999, 1}},
		{"to single bytes, within bounds", Cut{Size: 1, MaxPieces: 4}, []int{1, 1, 1, 997, 1, 1, 1, 997}},
		{"size and offset", Cut{Size: 400, At: []int64{600}}, []int{400, 200, 200, 200, 400, 400, 200}},
		{"both at once", Cut{Size: 500, At: []int64{500}}, []int{500, 500, 500, 500}},
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprint(x.name, v6), func(t *testing.T) {
				a, b := hostA, hostB
				if v6 {
					a, b = hostA6, hostB6
				}
				syn.src, syn.dst = a, b
				one := segment{src: a, dst: b, sport: 49152, dport: 631, seq: (isn + 1) & 0xffffffff, ack: 5, flags: tcp.ACK | tcp.PSH | tcp.CWR, payload: bytes.Repeat([]byte("a"), 1000)}
				two := one
				two.seq, two.flags, two.payload = one.seq+1000, tcp.ACK|tcp.FIN|tcp.PSH, bytes.Repeat([]byte("b"), 1000)
				r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Cut: x.cut}})
				r.send(syn.build(t), one.build(t), two.build(t))
				r.settle()
				var sizes []int
				next := one.seq
				for k, raw := range r.raws()[1:] {
					require.True(t, intact(raw))
					h := decode(t, raw).TransportLayer().(*layers.TCP)
					require.Equal(t, next, h.Seq)
					require.Len(t, h.Options, 3, "every piece carries the timestamps")
					next += uint32(len(h.Payload))
					sizes = append(sizes, len(h.Payload))
					require.Equal(t, k == 0, h.CWR)
					require.Equal(t, next == two.seq+1000, h.FIN)
					require.Equal(t, next == two.seq || h.FIN, h.PSH)
				}
				require.Equal(t, x.sizes, sizes)
				require.Equal(t, append(one.payload, two.payload...), payloads(t, r.raws()))
				require.EqualValues(t, len(sizes)-2, r.l.Stats().Pieces)
			})
		}
	}
}

func TestCuttingAtRandom(t *testing.T) {
	r := newRig(t, ImpairConfig{Seed: 8}, Rule{Impairment: Impairment{Cut: Cut{Max: 200, Probability: 0.5}}})
	sent := stream(t, 100, 1000)
	for _, raw := range sent {
		r.send(raw, raw[:40+12]) // a segment without data in between: it keeps its place
	}
	r.settle()
	require.Equal(t, payloads(t, sent), payloads(t, r.raws()))
	cut := 0
	for _, d := range r.l.Decisions() {
		require.Equal(t, KindCut, d.Kind)
		cut++
	}
	require.InDelta(t, 50, cut, 15)
}

func TestWhatCannotBeCutIsLeftAlone(t *testing.T) {
	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Cut: Cut{Size: 10}}})
	raws := [][]byte{
		segment{src: hostA, dst: hostB, sport: 1, dport: 2, flags: tcp.SYN, payload: make([]byte, 100)}.build(t),
		segment{src: hostA, dst: hostB, sport: 1, dport: 2, flags: tcp.ACK | tcp.URG, payload: make([]byte, 100)}.build(t),
		segment{src: hostA, dst: hostB, sport: 1, dport: 2, flags: tcp.RST, payload: make([]byte, 100)}.build(t),
		segment{src: hostA, dst: hostB, sport: 1, dport: 2, flags: tcp.ACK, payload: make([]byte, 10)}.build(t),
		datagram(t, hostA, hostB, 1, 2, make([]byte, 100)),
	}
	r.send(raws...)
	require.Equal(t, raws, r.raws())
	r.settle()
}

func TestMTU(t *testing.T) {
	big, small := data(t, 0, 1000), data(t, 1, 10)
	big6 := segment{src: hostA6, dst: hostB6, sport: 1, dport: 2, flags: tcp.ACK, payload: make([]byte, 1500)}.build(t)
	loose := datagram(t, hostA, hostB, 1, 2, bytes.Repeat([]byte("0123456789"), 300))
	loose[6] &^= 0x40 // DF
	ipv4.Header(loose[:20]).UpdateChecksum()

	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{MTU: 600}})
	r.send(big, small)
	require.Len(t, r.got, 2)
	p := decode(t, r.got[0].raw)
	icmp := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	require.Equal(t, layers.CreateICMPv4TypeCode(3, 4), icmp.TypeCode)
	require.EqualValues(t, 600, icmp.Seq, "the MTU of the next hop")
	require.Equal(t, big[:len(icmp.Payload)], icmp.Payload)
	require.Equal(t, "127.0.0.2->127.0.0.1", p.NetworkLayer().NetworkFlow().String())
	require.Equal(t, small, r.got[1].raw)
	require.EqualValues(t, 1, r.l.Stats().Dropped[ReasonMTU])
	r.settle()

	r = newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{MTU: 1280}})
	r.send(big6)
	require.Len(t, r.got, 1)
	require.True(t, intact(r.got[0].raw))
	icmp6 := decode(t, r.got[0].raw).Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	require.EqualValues(t, 2, icmp6.TypeCode.Type())
	require.Equal(t, []byte{0, 0, 5, 0}, icmp6.Payload[:4])
	r.settle()

	r = newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{MTU: 600, MTUSilent: true}})
	r.send(big, big6)
	require.Empty(t, r.got)
	r.settle()

	r = newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{MTU: 600}})
	r.send(loose, small)
	r.settle()
	require.Equal(t, small, r.got[1].raw, "another flow does not wait for the fragments")
	fragments := append(r.raws()[:1], r.raws()[2:]...)
	var whole []byte
	for k, raw := range fragments {
		h := header4(raw)
		require.True(t, h.ChecksumOK())
		require.LessOrEqual(t, len(raw), 600)
		require.Equal(t, len(whole), h.FragmentOffset())
		require.Equal(t, k < len(fragments)-1, h.MoreFragments())
		require.Equal(t, ipv4.Header(loose).ID(), h.ID())
		whole = append(whole, raw[20:]...)
	}
	require.Equal(t, loose[20:], whole)
	require.EqualValues(t, 5, r.l.Stats().Pieces)
}

func TestFragmentsBelongToTheFlowOfTheFirst(t *testing.T) {
	loose := datagram(t, hostA, hostB, 1, 2, make([]byte, 3000))
	loose[6] &^= 0x40
	ipv4.Header(loose[:20]).UpdateChecksum()
	r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{MTU: 600}})
	r.send(loose)
	r.settle()
	fragments := r.raws()

	r = newRig(t, ImpairConfig{}, Rule{ToPorts: [2]uint16{2}, Impairment: Impairment{Blackhole: true}})
	r.send(fragments...)
	require.Empty(t, r.got, "later fragments carry no ports but are known")
	r.send(fragments[1])
	require.Empty(t, r.got)
	for k := range 16 { // as many other datagrams make the link forget
		other := append([]byte(nil), fragments[0]...)
		other[4], other[22], other[23] = byte(k+1), 0, 9
		r.send(other)
	}
	r.send(fragments[1])
	require.Len(t, r.got, 17)
	require.EqualValues(t, 1, r.l.flows.m[Flow{Proto: 17, Src: netip.AddrPortFrom(hostA, 1), Dst: netip.AddrPortFrom(hostB, 2)}].segments, "a datagram counts once")
	r.settle()
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
