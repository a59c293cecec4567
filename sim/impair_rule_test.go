package sim

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/tcp"
)

// traffic is a packet of every kind that rules tell apart, each with the answer to it, in both families. The names
// tell the protocol, the family and the direction: > is from host A to host B.
type traffic struct {
	names []string
	raws  map[string][]byte
}

func mixedTraffic(t testing.TB) traffic {
	t.Helper()
	m := traffic{raws: map[string][]byte{}}
	add := func(name string, raw []byte) {
		m.names = append(m.names, name)
		m.raws[name] = raw
	}
	for _, f := range []struct {
		name string
		a, b netip.Addr
	}{{"4", hostA, hostB}, {"6", hostA6, hostB6}} {
		add("tcp"+f.name+">", segment{src: f.a, dst: f.b, sport: 49152, dport: 631, flags: tcp.ACK, payload: []byte("ask")}.build(t))
		add("tcp"+f.name+"<", segment{src: f.b, dst: f.a, sport: 631, dport: 49152, flags: tcp.ACK, payload: []byte("tell")}.build(t))
		add("udp"+f.name+">", datagram(t, f.a, f.b, 5353, 53, []byte("ask")))
		add("udp"+f.name+"<", datagram(t, f.b, f.a, 53, 5353, []byte("tell")))
	}
	echo := func(src, dst netip.Addr, kind uint8) []byte {
		return serialize(t, ipLayer(src, dst, layers.IPProtocolICMPv4).(*layers.IPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0), Id: 7})
	}
	echo6 := func(src, dst netip.Addr, kind uint8) []byte {
		l3, h := ipLayer(src, dst, layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
		require.NoError(t, h.SetNetworkLayerForChecksum(l3))
		return serialize(t, l3.(gopacket.SerializableLayer), h, &layers.ICMPv6Echo{Identifier: 7})
	}
	add("icmp4>", echo(hostA, hostB, 8))
	add("icmp4<", echo(hostB, hostA, 0))
	add("icmp6>", echo6(hostA6, hostB6, 128))
	add("icmp6<", echo6(hostB6, hostA6, 129))
	return m
}

// send sends everything and returns the names of what did not arrive.
func (m traffic) send(r *rig) (lost []string) {
	for _, name := range m.names {
		before := len(r.got)
		r.send(m.raws[name])
		if len(r.got) == before {
			lost = append(lost, name)
		}
	}
	return lost
}

// What a rule matches is what it drops.
func TestWhatRulesMatch(t *testing.T) {
	m := mixedTraffic(t)
	loop4, loop6 := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::/0")
	port := func(first, last uint16) [2]uint16 { return [2]uint16{first, last} }
	for _, x := range []struct {
		name string
		rule Rule
		want []string
	}{
		{"zero matches everything", Rule{}, m.names},
		{"from a host", Rule{From: prefix(hostA)}, []string{"tcp4>", "udp4>", "icmp4>"}},
		{"to a host", Rule{To: prefix(hostA)}, []string{"tcp4<", "udp4<", "icmp4<"}},
		{"from a host of IPv6", Rule{From: prefix(hostB6)}, []string{"tcp6<", "udp6<", "icmp6<"}},
		{"to a host of IPv6", Rule{To: prefix(hostB6)}, []string{"tcp6>", "udp6>", "icmp6>"}},
		{"from a network of IPv4", Rule{From: loop4}, []string{"tcp4>", "tcp4<", "udp4>", "udp4<", "icmp4>", "icmp4<"}},
		{"from a network of IPv6", Rule{From: loop6}, []string{"tcp6>", "tcp6<", "udp6>", "udp6<", "icmp6>", "icmp6<"}},
		{"to a network that ends before", Rule{To: netip.MustParsePrefix("127.0.0.0/31")}, []string{"tcp4<", "udp4<", "icmp4<"}},
		{"to a network that reaches further", Rule{To: netip.MustParsePrefix("fd00::/8")}, []string{"tcp6>", "udp6>", "icmp6>"}},
		{"a prefix with bits of the host", Rule{From: netip.MustParsePrefix("127.0.0.77/8"), To: prefix(hostB)}, []string{"tcp4>", "udp4>", "icmp4>"}},
		{"from and to", Rule{From: prefix(hostA), To: prefix(hostB)}, []string{"tcp4>", "udp4>", "icmp4>"}},
		{"from and to the same", Rule{From: prefix(hostA), To: prefix(hostA)}, nil},
		{"from and to, both ways", Rule{From: prefix(hostA), To: prefix(hostB), Both: true}, []string{"tcp4>", "tcp4<", "udp4>", "udp4<", "icmp4>", "icmp4<"}},
		{"from IPv6, both ways", Rule{From: prefix(hostA6), Both: true}, []string{"tcp6>", "tcp6<", "udp6>", "udp6<", "icmp6>", "icmp6<"}},
		{"TCP", Rule{Proto: 6}, []string{"tcp4>", "tcp4<", "tcp6>", "tcp6<"}},
		{"UDP", Rule{Proto: 17}, []string{"udp4>", "udp4<", "udp6>", "udp6<"}},
		{"ICMP", Rule{Proto: 1}, []string{"icmp4>", "icmp4<"}},
		{"ICMPv6", Rule{Proto: 58}, []string{"icmp6>", "icmp6<"}},
		{"SCTP", Rule{Proto: 132}, nil},
		{"from a port", Rule{FromPorts: port(631, 0)}, []string{"tcp4<", "tcp6<"}},
		{"to a port", Rule{ToPorts: port(53, 0)}, []string{"udp4>", "udp6>"}},
		{"to a port, both ways", Rule{ToPorts: port(53, 0), Both: true}, []string{"udp4>", "udp4<", "udp6>", "udp6<"}},
		{"a range that begins with the port", Rule{ToPorts: port(631, 700)}, []string{"tcp4>", "tcp6>"}},
		{"a range that ends with the port", Rule{ToPorts: port(54, 631)}, []string{"tcp4>", "tcp6>"}},
		{"a range beside the ports", Rule{ToPorts: port(54, 630)}, nil},
		{"from and to ports", Rule{FromPorts: port(5000, 6000), ToPorts: port(1, 1023)}, []string{"udp4>", "udp6>"}},
		{"from and to ports that are not together", Rule{FromPorts: port(5353, 0), ToPorts: port(631, 0)}, nil},
		{"from and to ports, both ways", Rule{FromPorts: port(49152, 0), ToPorts: port(631, 0), Both: true}, []string{"tcp4>", "tcp4<", "tcp6>", "tcp6<"}},
		{"a port of the other protocol", Rule{Proto: 17, ToPorts: port(631, 0)}, nil},
		{"any port from", Rule{FromPorts: port(1, 65535)}, []string{"tcp4>", "tcp4<", "udp4>", "udp4<", "tcp6>", "tcp6<", "udp6>", "udp6<"}},
		{"an echo's identifier is no port", Rule{FromPorts: port(7, 0), Both: true}, nil},
		{"predicate", Rule{Match: func(i *PacketInfo) bool { return i.Payload == 4 }}, []string{"tcp4<", "udp4<", "tcp6<", "udp6<"}},
		{"predicate that never says yes", Rule{Match: func(*PacketInfo) bool { return false }}, nil},
		{"predicate within a prefix, both ways", Rule{From: prefix(hostA6), Both: true, Match: func(i *PacketInfo) bool { return i.Payload == 4 }}, []string{"tcp6<", "udp6<"}},
		{"all of it", Rule{From: prefix(hostB6), To: prefix(hostA6), Proto: 6, FromPorts: port(631, 0), ToPorts: port(49152, 65535),
			Match: func(i *PacketInfo) bool { return i.Segment == 1 }}, []string{"tcp6<"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.rule.Blackhole = true
			r := newRig(t, ImpairConfig{}, x.rule)
			require.ElementsMatch(t, x.want, m.send(r))
			require.EqualValues(t, len(x.want), r.l.Stats().Dropped[ReasonBlackhole])
			r.settle()
		})
	}
}

// A predicate is asked about the packets that the rest of the rule matches, once each, and told what they are.
func TestPredicatesSeeWhatTheRestMatches(t *testing.T) {
	m := mixedTraffic(t)
	var seen []PacketInfo
	r := newRig(t, ImpairConfig{}, Rule{Proto: 17, From: netip.MustParsePrefix("::/0"), Impairment: Impairment{Loss: 1}, Both: true, Match: func(i *PacketInfo) bool {
		seen = append(seen, *i)
		return false
	}})
	require.Empty(t, m.send(r))
	require.Len(t, seen, 2)
	for k, i := range seen {
		require.EqualValues(t, 17, i.Flow.Proto)
		require.EqualValues(t, 1, i.Number)
		require.Equal(t, time.Second, i.Now)
		require.Equal(t, 48, i.Header)
		require.Equal(t, []int{3, 4}[k], i.Payload)
	}
	require.Equal(t, netip.AddrPortFrom(hostB6, 53), seen[0].Flow.Dst)
	require.Equal(t, seen[0].Flow.Reverse(), seen[1].Flow)
	r.settle()
}

// A rule for both directions concerns a packet that matches it either way, but once.
func TestRulesForBothDirectionsActOnce(t *testing.T) {
	local := netip.MustParsePrefix("127.0.0.0/8")
	for _, x := range []struct {
		name string
		rule Rule
	}{
		{"everything", Rule{}},
		{"within a network", Rule{From: local, To: local}},
		{"predicate", Rule{Match: func(*PacketInfo) bool { return true }}},
		{"between hosts", Rule{From: prefix(hostA), To: prefix(hostB)}},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.rule.Both, x.rule.Impairment = true, Impairment{Delay: 10 * time.Millisecond, Duplicate: 1}
			r := newRig(t, ImpairConfig{}, x.rule)
			r.send(data(t, 0, 10), segment{src: hostB, dst: hostA, sport: 631, dport: 49152, flags: tcp.ACK}.build(t))
			r.settle()
			const once = 10 * time.Millisecond
			require.Equal(t, []time.Duration{once, once, once, once}, r.times())
		})
	}
}

// Of several rules each sees what the ones before let through and what matches it.
func TestRulesOfATable(t *testing.T) {
	m := mixedTraffic(t)
	r := newRig(t, ImpairConfig{},
		Rule{Name: "names pass", Proto: 17, ToPorts: [2]uint16{53}, Both: true, Last: true},
		Rule{Name: "no IPv6", From: netip.MustParsePrefix("::/0"), Impairment: Impairment{Blackhole: true}},
		Rule{Name: "no answers", FromPorts: [2]uint16{1, 1023}, Impairment: Impairment{Blackhole: true}},
		Rule{Name: "the rest", Match: func(i *PacketInfo) bool { return i.Flow.Proto == 1 }, Impairment: Impairment{LossEvery: 1}})
	require.Equal(t, []string{"tcp4<", "tcp6>", "tcp6<", "icmp4>", "icmp4<", "icmp6>", "icmp6<"}, m.send(r))
	var by []string
	for _, d := range r.l.Decisions() {
		by = append(by, d.Rule+": "+d.Reason.String())
	}
	require.Equal(t, []string{"no answers: blackhole", "no IPv6: blackhole", "no IPv6: blackhole", "the rest: every n-th", "the rest: every n-th", "no IPv6: blackhole", "no IPv6: blackhole"}, by)
	s := r.l.Stats()
	require.EqualValues(t, 5, s.Dropped[ReasonBlackhole])
	require.EqualValues(t, 2, s.Dropped[ReasonEvery])
	r.settle()
}

func TestBlackhole(t *testing.T) {
	m := mixedTraffic(t)
	there, back := []string{"tcp4>", "udp4>", "icmp4>"}, []string{"tcp4<", "udp4<", "icmp4<"}
	for _, x := range []struct {
		name string
		rule Rule
		want []string
	}{
		{"one direction", Rule{From: prefix(hostA), To: prefix(hostB)}, there},
		{"the other direction", Rule{From: prefix(hostB), To: prefix(hostA)}, back},
		{"both directions", Rule{From: prefix(hostA), To: prefix(hostB), Both: true}, append(append([]string(nil), there...), back...)},
		{"everything", Rule{}, m.names},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.rule.Name = "hole"
			// Nothing else that the rule would do may happen: nobody is told, nothing is copied or held.
			x.rule.Impairment = Impairment{Blackhole: true, LossEvery: 1, Loss: 1, MTU: 68, Reset: Reset{Probability: 1}, Duplicate: 1, Corrupt: 1,
				Rate: 1e6, Delay: time.Hour, Reorder: 1}
			r := newRig(t, ImpairConfig{}, x.rule)
			const rounds = 5
			for range rounds { // it does not end by itself
				require.ElementsMatch(t, x.want, m.send(r))
				r.wait(time.Minute)
			}
			s := r.l.Stats()
			want := Stats{In: uint64(rounds * len(m.names)), Passed: uint64(rounds * (len(m.names) - len(x.want)))}
			want.Dropped[ReasonBlackhole] = uint64(rounds * len(x.want))
			want.Decisions[KindDrop] = uint64(rounds * len(x.want))
			require.Equal(t, want, s, "every packet is lost to the black hole and to nothing else")
			all := r.l.Decisions()
			require.Len(t, all, rounds*len(x.want))
			for _, d := range all {
				require.Equal(t, "hole", d.Rule)
				require.Equal(t, KindDrop, d.Kind)
				require.Equal(t, ReasonBlackhole, d.Reason)
				require.True(t, d.Given(), "it is no matter of chance")
			}
			r.settle()
		})
	}
}
