package sim

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// v6 builds an IPv6 packet of a first next header and what follows the fixed header.
func v6(t testing.TB, next layers.IPProtocol, body []byte) []byte {
	return serialize(t, ipLayer(hostA6, hostB6, next).(*layers.IPv6), gopacket.Payload(body))
}

func TestPacketsAreToldApart(t *testing.T) {
	seg := segment{src: hostA6, dst: hostB6, sport: 1, dport: 2, seq: 9, ack: 8, flags: tcp.ACK | tcp.FIN, payload: []byte("abc")}.build(t)
	udp := datagram(t, hostA6, hostB6, 3, 4, []byte("hello"))
	echo := func(typ uint8) []byte {
		return serialize(t, ipLayer(hostA, hostB, 1).(*layers.IPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, 0), Id: 7, Seq: 9}, gopacket.Payload("x"))
	}
	a6, b6 := netip.AddrPortFrom(hostA6, 0), netip.AddrPortFrom(hostB6, 0)
	for _, x := range []struct {
		name string
		raw  []byte
		want PacketInfo
	}{
		{"tcp", data(t, 0, 10), PacketInfo{Flow: flowOf(49152).to(631), Len: 62, Header: 52, Payload: 10, Flags: tcp.ACK, Seq: 1001, Ack: 77, l4: 20, id: 7}},
		{"tcp over IPv6", seg, PacketInfo{Flow: Flow{6, netip.AddrPortFrom(hostA6, 1), netip.AddrPortFrom(hostB6, 2)}, Len: 75, Header: 72, Payload: 3, Flags: tcp.ACK | tcp.FIN, Seq: 9, Ack: 8, v6: true, l4: 40}},
		{"udp over IPv6", udp, PacketInfo{Flow: Flow{17, netip.AddrPortFrom(hostA6, 3), netip.AddrPortFrom(hostB6, 4)}, Len: 53, Header: 48, Payload: 5, v6: true, l4: 40}},
		{"udp behind options", v6(t, 0, append([]byte{60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}, udp[40:]...)), PacketInfo{Flow: Flow{17, netip.AddrPortFrom(hostA6, 3), netip.AddrPortFrom(hostB6, 4)}, Len: 69, Header: 64, Payload: 5, v6: true, l4: 56}},
		{"udp in an atomic fragment", v6(t, 44, append([]byte{17, 0, 0, 0, 0, 0, 0, 5}, udp[40:]...)), PacketInfo{Flow: Flow{17, netip.AddrPortFrom(hostA6, 3), netip.AddrPortFrom(hostB6, 4)}, Len: 61, Header: 56, Payload: 5, v6: true, l4: 48, id: 5}},
		{"a first fragment", v6(t, 44, append([]byte{17, 0, 0, 1, 0, 0, 0, 5}, udp[40:48]...)), PacketInfo{Flow: Flow{17, netip.AddrPortFrom(hostA6, 3), netip.AddrPortFrom(hostB6, 4)}, Len: 56, Header: 56, Fragment: true, v6: true, l4: 48, id: 5}},
		{"a later fragment", v6(t, 44, append([]byte{17, 0, 0, 8, 0, 0, 0, 5}, udp[48:]...)), PacketInfo{Flow: Flow{17, a6, b6}, Len: 53, Header: 48, Payload: 5, Fragment: true, v6: true, l4: 48, id: 5, later: true}},
		{"echo request", echo(8), PacketInfo{Flow: Flow{1, netip.AddrPortFrom(hostA, 7), netip.AddrPortFrom(hostB, 0)}, Len: 29, Header: 28, Payload: 1, l4: 20, id: 7}},
		{"echo reply", echo(0), PacketInfo{Flow: Flow{1, netip.AddrPortFrom(hostA, 7), netip.AddrPortFrom(hostB, 0)}, Len: 29, Header: 28, Payload: 1, l4: 20, id: 7}},
		{"timestamp", echo(13), PacketInfo{Flow: Flow{1, netip.AddrPortFrom(hostA, 0), netip.AddrPortFrom(hostB, 0)}, Len: 29, Header: 28, Payload: 1, l4: 20, id: 7}},
		{"icmpv6 echo", v6(t, 58, []byte{128, 0, 0, 0, 0, 7, 0, 1}), PacketInfo{Flow: Flow{58, netip.AddrPortFrom(hostA6, 7), b6}, Len: 48, Header: 48, v6: true, l4: 40}},
		{"another protocol", v6(t, 200, []byte{1, 2}), PacketInfo{Flow: Flow{200, a6, b6}, Len: 42, Header: 40, Payload: 2, v6: true, l4: 40}},
		{"a cut TCP header", data(t, 0, 10)[:30], PacketInfo{Flow: Flow{6, netip.AddrPortFrom(hostA, 0), netip.AddrPortFrom(hostB, 0)}, Len: 30, Header: 20, Payload: 10, l4: 20, id: 7, truncated: true}},
		{"a cut UDP header", udp[:44], PacketInfo{Flow: Flow{17, a6, b6}, Len: 44, Header: 40, Payload: 4, v6: true, l4: 40, truncated: true}},
		{"a cut ICMP header", echo(8)[:24], PacketInfo{Flow: Flow{1, netip.AddrPortFrom(hostA, 0), netip.AddrPortFrom(hostB, 0)}, Len: 24, Header: 20, Payload: 4, l4: 20, id: 7, truncated: true}},
		{"a cut extension header", v6(t, 0, []byte{17, 0, 1}), PacketInfo{Flow: Flow{0, a6, b6}, Len: 43, Header: 40, Payload: 3, v6: true, l4: 40, truncated: true}},
		{"extension headers beyond the end", v6(t, 0, []byte{17, 9, 1, 4, 0, 0, 0, 0}), PacketInfo{Flow: Flow{17, a6, b6}, Len: 48, Header: 48, v6: true, l4: 120, truncated: true}},
		{"a cut IPv6 header", udp[:39], PacketInfo{Len: 39, Header: 39, truncated: true}},
		{"nothing", nil, PacketInfo{truncated: true}},
		{"version 5", []byte("Uxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), PacketInfo{Len: 29, Header: 29, truncated: true}},
	} {
		t.Run(x.name, func(t *testing.T) {
			x.want.Offset = -1
			var got PacketInfo
			got.parseIP(x.raw, len(x.raw))
			require.Equal(t, x.want, got)
			// Wherever the packet is divided into head and payload, what is told is the same.
			var pool device.Pool
			for at := range min(len(x.raw), device.MaxHead) {
				p := pool.NewPacket()
				copy(p.SetHead(at), x.raw)
				mid := at + (len(x.raw)-at)/3
				p.Frags = [2]device.Piece{{B: x.raw[at:mid]}, {B: x.raw[mid:]}}
				var scratch [headRoom]byte
				got.parse(p, scratch[:])
				require.Equal(t, x.want, got, "head of %d bytes", at)
			}
		})
	}
}

// to returns the flow to another port.
func (f Flow) to(port uint16) Flow {
	f.Dst = netip.AddrPortFrom(f.Dst.Addr(), port)
	return f
}

func TestFlowsReadWell(t *testing.T) {
	for _, x := range []struct {
		flow      Flow
		want, rev string
	}{
		{flowOf(49152).to(631), "127.0.0.1:49152>127.0.0.2:631", "127.0.0.2:631>127.0.0.1:49152"},
		{Flow{17, netip.AddrPortFrom(hostA6, 1), netip.AddrPortFrom(hostB6, 2)}, "[::1]:1>[fd00::2]:2", "[fd00::2]:2>[::1]:1"},
		{Flow{1, netip.AddrPortFrom(hostA, 7), netip.AddrPortFrom(hostB, 0)}, "icmp 127.0.0.1>127.0.0.2 id 7", "icmp 127.0.0.2>127.0.0.1 id 7"},
		{Flow{58, netip.AddrPortFrom(hostA6, 0), netip.AddrPortFrom(hostB6, 0)}, "icmp ::1>fd00::2", "icmp fd00::2>::1"},
		{Flow{200, netip.AddrPortFrom(hostA, 0), netip.AddrPortFrom(hostB, 0)}, "proto 200 127.0.0.1>127.0.0.2", "proto 200 127.0.0.2>127.0.0.1"},
	} {
		require.Equal(t, x.want, x.flow.String())
		require.Equal(t, x.rev, x.flow.Reverse().String())
		require.Equal(t, x.flow, x.flow.Reverse().Reverse())
	}
}

func TestOffsetsInLongStreams(t *testing.T) {
	r := newRig(t, ImpairConfig{Log: -1})
	var offsets []int64
	_, err := r.l.AddRule(Rule{Match: func(i *PacketInfo) bool { offsets = append(offsets, i.Offset); return false }, Impairment: Impairment{Loss: 1}})
	require.NoError(t, err)
	at := func(seq uint32, flags tcp.Flags) {
		r.send(segment{src: hostA, dst: hostB, sport: 1, dport: 2, seq: seq, flags: flags, payload: []byte("x")}.build(t))
	}
	at(5, tcp.ACK)
	at(999, tcp.SYN)
	at(1000, tcp.ACK)
	at(1000+1<<30, tcp.ACK)
	at(1000+2<<30, tcp.ACK)
	at(1000+3<<30, tcp.ACK)
	at(1000, tcp.ACK) // round once
	at(1000+3<<30, tcp.ACK)
	at(3000, tcp.ACK)
	require.Equal(t, []int64{-1, 0, 0, 1 << 30, 2 << 30, 3 << 30, 4 << 30, 3 << 30, 4<<30 + 2000}, offsets)
}

func FuzzParse(f *testing.F) {
	f.Add(data(f, 0, 10), uint8(20))
	f.Add(datagram(f, hostA6, hostB6, 1, 2, []byte("x")), uint8(40))
	f.Add(v6(f, 44, []byte{17, 0, 0, 1, 0, 0, 0, 5, 1, 2, 3, 4}), uint8(60))
	f.Add(v6(f, 0, []byte{17, 9, 1, 4, 0, 0, 0, 0}), uint8(3))
	f.Fuzz(func(t *testing.T, raw []byte, at uint8) {
		if len(raw) > 4000 {
			return
		}
		head := min(int(at), len(raw), device.MaxHead)
		var pool device.Pool
		p := pool.NewPacket()
		copy(p.SetHead(head), raw)
		p.Frags[0] = device.Piece{B: raw[head:]}
		var i PacketInfo
		var scratch [headRoom]byte
		i.parse(p, scratch[:])
		if i.Header < 0 || i.Payload < 0 || i.Header > len(raw) || i.Len != len(raw) {
			t.Fatalf("%+v", i)
		}
		if !i.truncated && i.Header+i.Payload != len(raw) {
			t.Fatalf("%+v", i)
		}
		// And through everything that a rule can do.
		r := newRig(t, ImpairConfig{Seed: uint64(at)}, Rule{Impairment: Impairment{Duplicate: 0.5, Corrupt: 0.5, MTU: 100, Cut: Cut{Size: 30}, Rate: 1e9,
			Queue: QueueConfig{Discipline: RED, ECN: true, Min: 1, Max: 2, Weight: 1}, Reset: Reset{Probability: 1}}})
		r.transmit(p)
		if r.n.Ring(0) {
			r.poll()
		}
		for r.q.Step() {
		}
		if s := r.l.Stats(); !s.Balanced() {
			t.Fatalf("%+v", s)
		}
	})
}
