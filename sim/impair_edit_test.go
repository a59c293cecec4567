package sim

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/tcp"
)

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
