package sim

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

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

// TestDamageIsNotRepaired: what the link does to a packet after it was corrupted, in the same rule or a later one, does
// not make its checksums right again.
func TestDamageIsNotRepaired(t *testing.T) {
	corrupt := Impairment{Corrupt: 1}
	with := func(f func(m *Impairment)) Impairment {
		m := corrupt
		f(&m)
		return m
	}
	mark := QueueConfig{Discipline: RED, ECN: true, Min: 1, Max: 2, Weight: 1, Packets: 100}
	for _, x := range []struct {
		name  string
		rules []Rule
	}{
		{"cut", []Rule{{Impairment: with(func(m *Impairment) { m.Cut = Cut{Size: 7} })}}},
		{"cut by another rule", []Rule{{Impairment: corrupt}, {Impairment: Impairment{Cut: Cut{Max: 20}}}}},
		{"fragmented by another rule", []Rule{{Impairment: corrupt}, {Impairment: Impairment{MTU: 68}}}},
		{"marked", []Rule{{Impairment: with(func(m *Impairment) { m.Rate, m.Queue = 1e6, mark })}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t, ImpairConfig{Seed: 5}, x.rules...)
			for k := range 100 {
				r.send(segment{src: hostA, dst: hostB, sport: 1, dport: 2, seq: uint32(k * 100), flags: tcp.ACK, payload: make([]byte, 100), ect: true}.build(t))
				r.send(datagram(t, hostA, hostB, 3, 4, make([]byte, 100)))
			}
			r.settle()
			require.NotEmpty(t, r.got)
			for _, raw := range r.raws() {
				require.False(t, intact(raw), "% x", raw)
			}
		})
	}
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
