package ipv6_test

import (
	"bytes"
	"testing"

	"example.com/loopback/ipv6"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

const (
	hop, dest, route, frag = ipv6.ProtoHopByHop, ipv6.ProtoDstOptions, ipv6.ProtoRouting, ipv6.ProtoFragment
	udp, tcp, none         = ipv6.ProtoUDP, ipv6.ProtoTCP, ipv6.ProtoNoNext
)

// routing returns a routing header without addresses.
func routing(next, typ, segmentsLeft uint8) []byte {
	return []byte{next, 0, typ, segmentsLeft, 0, 0, 0, 0}
}

// walk runs Walk over a packet whose first next header is first.
func walk(t *testing.T, dst string, limits ipv6.ExtLimits, first uint8, parts ...[]byte) (ipv6.Chain, ipv6.Problem, ipv6.Reason) {
	t.Helper()
	r := sample()
	r.NextHeader, r.Dst = first, addr(dst)
	h, payload := parse(t, packet(r, parts...))
	return limits.Walk(h, payload)
}

func TestWalkAccepts(t *testing.T) {
	data := make([]byte, 24)
	alert := []byte{5, 2, 0, 0}
	tests := []struct {
		name  string
		first uint8
		parts [][]byte
		want  ipv6.Chain
	}{
		{"none", udp, [][]byte{data}, ipv6.Chain{Proto: udp, Offset: 40, NextField: 6}},
		{"destination options", dest, [][]byte{ext(udp), data}, ipv6.Chain{Proto: udp, Offset: 48, NextField: 40}},
		{"hop-by-hop options with router alert", hop, [][]byte{ext(tcp, alert...), data}, ipv6.Chain{Proto: tcp, Offset: 48, NextField: 40, RouterAlert: true}},
		{"hop-by-hop, destination, routing, destination", hop, [][]byte{ext(dest), ext(route), routing(dest, 2, 0), ext(udp), data}, ipv6.Chain{Proto: udp, Offset: 72, NextField: 64}},
		{"routing type 0 without segments left", route, [][]byte{routing(udp, 0, 0), data}, ipv6.Chain{Proto: udp, Offset: 48, NextField: 40}},
		{"an option to be skipped", dest, [][]byte{ext(udp, 0x1e, 3, 1, 2, 3), data}, ipv6.Chain{Proto: udp, Offset: 48, NextField: 40}},
		{"router alert in destination options is one to be skipped", dest, [][]byte{ext(udp, alert...), data}, ipv6.Chain{Proto: udp, Offset: 48, NextField: 40}},
		{"a long header", dest, [][]byte{ext(udp, append([]byte{0x1e, 250}, make([]byte, 250)...)...), data}, ipv6.Chain{Proto: udp, Offset: 296, NextField: 40}},
		{"seven bytes of padding one by one", dest, [][]byte{ext(udp, 0x1e, 3, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0x1e, 0), data}, ipv6.Chain{Proto: udp, Offset: 56, NextField: 40}},
		{"padding before and after an option", dest, [][]byte{ext(udp, 1, 2, 0, 0, 0x1e, 2, 9, 9, 1, 4, 0, 0, 0, 0), data}, ipv6.Chain{Proto: udp, Offset: 56, NextField: 40}},
		{"an unknown protocol ends the walk", dest, [][]byte{ext(51), data}, ipv6.Chain{Proto: 51, Offset: 48, NextField: 40}},
		{"an atomic fragment", frag, [][]byte{fragmentHeader(udp, 0, false, 7), data}, ipv6.Chain{Proto: udp, Offset: 48, NextField: 40}},
		{"a first fragment", frag, [][]byte{fragmentHeader(udp, 0, true, 7), data}, ipv6.Chain{Proto: udp, Offset: 48, NextField: 40, Fragment: true}},
		{"a first fragment with more headers", frag, [][]byte{fragmentHeader(dest, 0, true, 7), ext(route), routing(tcp, 0, 0), data}, ipv6.Chain{Proto: tcp, Offset: 64, NextField: 40, Fragment: true}},
		{"a first fragment of nothing", frag, [][]byte{fragmentHeader(none, 0, true, 7), data}, ipv6.Chain{Proto: none, Offset: 48, NextField: 40, Fragment: true}},
		{"a later fragment", frag, [][]byte{fragmentHeader(udp, 8, true, 7), {1}}, ipv6.Chain{Proto: frag, Offset: 48, NextField: 6, Fragment: true}},
		{"a later fragment of an options header is payload", dest, [][]byte{ext(frag), fragmentHeader(dest, 8, false, 7), {1}}, ipv6.Chain{Proto: frag, Offset: 56, NextField: 40, Fragment: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, problem, why := walk(t, "::1", ipv6.ExtLimits{}, tt.first, tt.parts...)
			require.Equal(t, ipv6.OK, why, why.Detail())
			require.Equal(t, tt.want, c)
			require.Zero(t, problem)
		})
	}
}

func TestWalkRefuses(t *testing.T) {
	data := make([]byte, 24)
	problem := func(code uint8, pointer uint32) ipv6.Problem {
		return ipv6.Problem{Send: true, Code: code, Pointer: pointer}
	}
	group := problem(ipv6.CodeUnknownOption, 42)
	group.ToGroup = true
	nine := bytes.Repeat(ext(dest), 9)
	tests := []struct {
		name  string
		dst   string
		first uint8
		parts [][]byte
		why   ipv6.Reason
		want  ipv6.Problem
	}{
		{"nothing follows", "::1", none, nil, ipv6.ReasonNoNextHeader, ipv6.Problem{}},
		{"nothing follows the options", "::1", dest, [][]byte{ext(none), data}, ipv6.ReasonNoNextHeader, ipv6.Problem{}},
		{"a header is missing", "::1", dest, nil, ipv6.ReasonExtTruncated, ipv6.Problem{}},
		{"7 bytes of a header", "::1", dest, [][]byte{make([]byte, 7)}, ipv6.ReasonExtTruncated, ipv6.Problem{}},
		{"a header past the end", "::1", dest, [][]byte{{udp, 3, 1, 4, 0, 0, 0, 0}, data[:16]}, ipv6.ReasonExtTruncated, ipv6.Problem{}},
		{"a fragment header past the end", "::1", frag, [][]byte{{udp, 0, 0, 1}}, ipv6.ReasonExtTruncated, ipv6.Problem{}},
		{"hop-by-hop options second", "::1", dest, [][]byte{ext(hop), ext(udp), data}, ipv6.ReasonHopByHopPlace, problem(ipv6.CodeUnknownNextHeader, 40)},
		{"nine headers", "::1", dest, [][]byte{nine, data}, ipv6.ReasonExtLimit, ipv6.Problem{}},
		{"headers larger than the smallest MTU", "::1", dest, [][]byte{
			ext(dest, append([]byte{0x1e, 255}, make([]byte, 255)...)...), ext(dest, append([]byte{0x1e, 255}, make([]byte, 255)...)...),
			ext(dest, append([]byte{0x1e, 255}, make([]byte, 255)...)...), ext(dest, append([]byte{0x1e, 255}, make([]byte, 255)...)...),
			ext(udp, append([]byte{0x1e, 255}, make([]byte, 255)...)...), data,
		}, ipv6.ReasonExtLimit, ipv6.Problem{}},
		{"routing type 0 with segments left", "::1", route, [][]byte{routing(udp, 0, 1), data}, ipv6.ReasonRouting, problem(ipv6.CodeErroneousField, 42)},
		{"unknown routing type with segments left", "::1", dest, [][]byte{ext(route), routing(udp, 99, 1), data}, ipv6.ReasonRouting, problem(ipv6.CodeErroneousField, 50)},
		{"option past its header", "::1", dest, [][]byte{{udp, 0, 0x1e, 5, 0, 0, 0, 0}, data}, ipv6.ReasonOptionLength, ipv6.Problem{}},
		{"option without its length", "::1", dest, [][]byte{{udp, 0, 0x1e, 3, 0, 0, 0, 0x1e}, data}, ipv6.ReasonOptionLength, ipv6.Problem{}},
		{"router alert of 3 bytes", "::1", hop, [][]byte{ext(udp, 5, 3, 0, 0, 0), data}, ipv6.ReasonOptionLength, ipv6.Problem{}},
		{"nine options", "::1", dest, [][]byte{ext(udp, bytes.Repeat([]byte{0x1e, 0}, 9)...), data}, ipv6.ReasonOptionLimit, ipv6.Problem{}},
		{"eight bytes of padding", "::1", dest, [][]byte{ext(udp, 0x1e, 2, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0), data}, ipv6.ReasonOptionPadding, ipv6.Problem{}},
		{"eight paddings of one byte", "::1", dest, [][]byte{ext(udp, 0, 0, 0, 0, 0, 0, 0, 0, 0x1e, 0), data}, ipv6.ReasonOptionPadding, ipv6.Problem{}},
		{"padding that says something", "::1", dest, [][]byte{ext(udp, 1, 1, 7), data}, ipv6.ReasonOptionPadding, ipv6.Problem{}},
		{"unknown option: discard", "::1", dest, [][]byte{ext(udp, 0x5e, 0), data}, ipv6.ReasonOptionDiscard, ipv6.Problem{}},
		{"unknown option: report", "::1", dest, [][]byte{ext(udp, 0x9e, 0), data}, ipv6.ReasonOptionUnknown, group},
		{"unknown option: report, to a group", "ff02::1", dest, [][]byte{ext(udp, 0x9e, 0), data}, ipv6.ReasonOptionUnknown, group},
		{"unknown option: report unless to a group", "::1", dest, [][]byte{ext(udp, 0xde, 0), data}, ipv6.ReasonOptionUnknown, problem(ipv6.CodeUnknownOption, 42)},
		{"unknown option: report unless to a group, to a group", "ff02::1", dest, [][]byte{ext(udp, 0xde, 0), data}, ipv6.ReasonOptionDiscard, ipv6.Problem{}},
		{"a jumbo payload option is not known", "::1", hop, [][]byte{ext(udp, 0xc2, 4, 0, 1, 0, 0), data}, ipv6.ReasonOptionUnknown, problem(ipv6.CodeUnknownOption, 42)},
		{"first fragment that ends in an options header", "::1", frag, [][]byte{fragmentHeader(dest, 0, true, 7), {udp, 3, 0, 0, 0, 0, 0, 0}}, ipv6.ReasonFragmentIncomplete, problem(ipv6.CodeIncompleteChain, 0)},
		{"first fragment that ends before an options header", "::1", frag, [][]byte{fragmentHeader(dest, 0, true, 7)}, ipv6.ReasonFragmentIncomplete, problem(ipv6.CodeIncompleteChain, 0)},
		{"first fragment with half a TCP header", "::1", frag, [][]byte{fragmentHeader(tcp, 0, true, 7), data[:16]}, ipv6.ReasonFragmentIncomplete, problem(ipv6.CodeIncompleteChain, 0)},
		{"first fragment with nine headers", "::1", frag, [][]byte{fragmentHeader(dest, 0, true, 7), nine, data}, ipv6.ReasonExtLimit, ipv6.Problem{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got, why := walk(t, tt.dst, ipv6.ExtLimits{}, tt.first, tt.parts...)
			require.Equal(t, tt.why, why, why.Detail())
			require.Equal(t, tt.want, got)
		})
	}
}

func TestWalkLimits(t *testing.T) {
	two := [][]byte{ext(dest, 0x1e, 0, 0x1e, 0), ext(udp), make([]byte, 8)}
	for _, tt := range []struct {
		name   string
		limits ipv6.ExtLimits
		want   ipv6.Reason
	}{
		{"defaults", ipv6.ExtLimits{}, ipv6.OK},
		{"exact", ipv6.ExtLimits{Headers: 2, Options: 2, Bytes: 16}, ipv6.OK},
		{"headers", ipv6.ExtLimits{Headers: 1}, ipv6.ReasonExtLimit},
		{"options", ipv6.ExtLimits{Options: 1}, ipv6.ReasonOptionLimit},
		{"bytes", ipv6.ExtLimits{Bytes: 15}, ipv6.ReasonExtLimit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, why := walk(t, "::1", tt.limits, dest, two...)
			require.Equal(t, tt.want, why, why.Detail())
		})
	}
}

func TestFragmentHeaderAgainstGopacket(t *testing.T) {
	for _, tt := range []struct {
		offset int
		more   bool
		id     uint32
	}{{0, true, 1}, {8, false, 0xdeadbeef}, {65528, true, 0xffffffff}, {0, false, 0}} {
		b := fragmentHeader(udp, tt.offset, tt.more, tt.id)
		p := gopacket.NewPacket(b, layers.LayerTypeIPv6Fragment, gopacket.Default)
		l, ok := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
		require.True(t, ok)
		require.EqualValues(t, udp, l.NextHeader)
		require.EqualValues(t, tt.offset/8, l.FragmentOffset)
		require.Equal(t, tt.more, l.MoreFragments)
		require.Equal(t, tt.id, l.Identification)
		require.Zero(t, l.Reserved1|l.Reserved2)

		f := ipv6.FragmentHeader(b)
		require.Equal(t, tt.offset, f.Offset())
		require.Equal(t, tt.more, f.MoreFragments())
		require.Equal(t, tt.id, f.ID())
		require.EqualValues(t, udp, f.NextHeader())
		require.Equal(t, tt.offset == 0 && !tt.more, f.IsAtomic())
	}
	reserved := ipv6.FragmentHeader{udp, 0xff, 0, 6, 0, 0, 0, 1}
	require.True(t, reserved.IsAtomic(), "reserved bits are ignored on reception")
	require.Zero(t, reserved.Offset())
}

// TestWalkAgainstGopacket: both find the same upper layer in legal chains.
func TestWalkAgainstGopacket(t *testing.T) {
	datagram := []byte{0x12, 0x34, 0x77, 53, 0, 12, 0, 0, 1, 2, 3, 4}
	chains := map[string][]gopacket.SerializableLayer{
		"destination options": {&layers.IPv6Destination{
			Options: []*layers.IPv6DestinationOption{{OptionType: 0x1e, OptionData: []byte{1, 2, 3, 4}}},
		}},
	}
	for name, ls := range chains {
		t.Run(name, func(t *testing.T) {
			ls[0].(*layers.IPv6Destination).NextHeader = udp
			ip := &layers.IPv6{Version: 6, NextHeader: dest, HopLimit: 64, SrcIP: addrA.AsSlice(), DstIP: addrB.AsSlice()}
			b := encode(t, append(append([]gopacket.SerializableLayer{ip}, ls...), gopacket.Payload(datagram))...)
			h, payload := parse(t, b)
			c, _, why := ipv6.ExtLimits{}.Walk(h, payload)
			require.Equal(t, ipv6.OK, why, why.Detail())
			_, p := decode(t, b)
			require.Equal(t, datagram, b[c.Offset:])
			l, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
			require.True(t, ok)
			require.EqualValues(t, 0x1234, l.SrcPort)
		})
	}
}

func FuzzWalk(f *testing.F) {
	add := func(first uint8, parts ...[]byte) {
		r := sample()
		r.NextHeader = first
		f.Add(packet(r, parts...))
	}
	add(hop, ext(dest, 5, 2, 0, 0), ext(route), routing(frag, 0, 0), fragmentHeader(dest, 0, true, 9), ext(tcp), make([]byte, 40))
	add(dest, ext(udp, 0x9e, 0), make([]byte, 8))
	add(frag, fragmentHeader(udp, 16, false, 9), make([]byte, 8))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, why := ipv6.Parse(b)
		if why != ipv6.OK {
			return
		}
		c, problem, why := ipv6.ExtLimits{}.Walk(h, payload)
		if c.Offset < ipv6.HeaderLen || c.Offset > h.TotalLen() || c.NextField >= h.TotalLen() {
			t.Fatalf("%+v outside a packet of %d bytes", c, h.TotalLen())
		}
		if problem.Send && (why == ipv6.OK || int(problem.Pointer) >= h.TotalLen()) {
			t.Fatalf("%+v for %s", problem, why.Detail())
		}
		ipv6.ErrorAllowed(b, ipv6.ICMPParameterProblem, problem.Code)
		ipv6.ParseQuote(b)
		if c.Fragment {
			var r ipv6.Reassembler
			_, why := r.Input(0, h, payload)
			if why == ipv6.ReasonExtTruncated {
				t.Fatal("Input does not find the fragment header that Walk found")
			}
			ipv6.FragmentProblem(h, payload, why)
		}
	})
}
