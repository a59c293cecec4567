package ipv6_test

import (
	"testing"

	"example.com/loopback/ipv6"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/icmp"
	xipv6 "golang.org/x/net/ipv6"
)

// message returns m from addrA to addrB marshalled over memory that was not clean.
func message(m ipv6.ICMP) []byte {
	b := dirty(m.Len() + 3)
	n := m.Marshal(b, addrA, addrB)
	return b[:n:n]
}

func messages() map[string]ipv6.ICMP {
	q := packet(sample(), randomBytes(3, 24))
	ms := map[string]ipv6.ICMP{
		"echo request":       {Type: ipv6.ICMPEchoRequest, ID: 0x1234, Seq: 0x5678, Data: []byte("abcdefg")},
		"echo reply":         {Type: ipv6.ICMPEchoReply, ID: 0xffff, Seq: 1, Data: []byte("abcdefgh")},
		"echo without data":  {Type: ipv6.ICMPEchoRequest, ID: 1, Seq: 2, Data: []byte{}},
		"packet too big":     {Type: ipv6.ICMPPacketTooBig, MTU: 0x12345, Data: q},
		"hop limit":          {Type: ipv6.ICMPTimeExceeded, Code: ipv6.CodeHopLimitExceeded, Data: q},
		"reassembly time":    {Type: ipv6.ICMPTimeExceeded, Code: ipv6.CodeReassemblyExceeded, Data: q},
		"an unknown error":   {Type: 100, Code: 9, Data: q},
		"largest error code": {Type: 127, Code: 255, Data: q},
	}
	for code := uint8(ipv6.CodeNoRoute); code <= ipv6.CodeSourceRoutingError; code++ {
		ms["unreachable "+layers.CreateICMPv6TypeCode(1, code).String()] = ipv6.ICMP{Type: ipv6.ICMPDestUnreachable, Code: code, Data: q}
	}
	for code := uint8(ipv6.CodeErroneousField); code <= ipv6.CodeIncompleteChain; code++ {
		ms["problem "+layers.CreateICMPv6TypeCode(4, code).String()] = ipv6.ICMP{Type: ipv6.ICMPParameterProblem, Code: code, Pointer: 0x10002, Data: q}
	}
	return ms
}

func TestICMPAgainstGopacket(t *testing.T) {
	ip := &layers.IPv6{SrcIP: addrA.AsSlice(), DstIP: addrB.AsSlice(), NextHeader: layers.IPProtocolICMPv6}
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			b := message(m)
			back, why := ipv6.ParseICMP(b, addrA, addrB, false)
			require.Equal(t, ipv6.OK, why)
			require.Equal(t, m, back, "what was emitted is parsed again")

			var l layers.ICMPv6
			require.NoError(t, l.DecodeFromBytes(b, gopacket.NilDecodeFeedback))
			require.Equal(t, uint8(m.Type), l.TypeCode.Type())
			require.Equal(t, m.Code, l.TypeCode.Code())
			if m.Type == ipv6.ICMPEchoRequest || m.Type == ipv6.ICMPEchoReply {
				var e layers.ICMPv6Echo
				require.NoError(t, e.DecodeFromBytes(l.Payload, gopacket.NilDecodeFeedback))
				require.Equal(t, m.ID, e.Identifier)
				require.Equal(t, m.Seq, e.SeqNumber)
			}
			require.NoError(t, l.SetNetworkLayerForChecksum(ip))
			again := encode(t, &l, gopacket.Payload(l.Payload))
			require.Equal(t, again, b, "gopacket computes the same checksum")
		})
	}
}

func TestICMPAgainstXNet(t *testing.T) {
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			x, err := icmp.ParseMessage(58, message(m))
			require.NoError(t, err)
			require.Equal(t, xipv6.ICMPType(m.Type), x.Type)
			require.Equal(t, int(m.Code), x.Code)
			switch body := x.Body.(type) {
			case *icmp.Echo:
				require.Equal(t, int(m.ID), body.ID)
				require.Equal(t, int(m.Seq), body.Seq)
			case *icmp.PacketTooBig:
				require.EqualValues(t, m.MTU, body.MTU)
				require.Equal(t, m.Data, body.Data)
			case *icmp.DstUnreach:
				require.Equal(t, m.Data, body.Data)
			case *icmp.TimeExceeded:
				require.Equal(t, m.Data, body.Data)
			case *icmp.ParamProb:
				require.EqualValues(t, m.Pointer, body.Pointer)
				require.Equal(t, m.Data, body.Data)
			default:
				require.True(t, m.Type >= 100 && m.Type < 128)
			}
			if m.Type < 100 && x.Type != xipv6.ICMPTypeDestinationUnreachable {
				back, err := x.Marshal(icmp.IPv6PseudoHeader(addrA.AsSlice(), addrB.AsSlice()))
				require.NoError(t, err)
				require.Equal(t, back, message(m))
			}
		})
	}
}

func TestParseICMPDrops(t *testing.T) {
	echo := message(ipv6.ICMP{Type: ipv6.ICMPEchoRequest, ID: 1, Seq: 2, Data: []byte("data")})
	tests := []struct {
		name string
		b    []byte
		want ipv6.Reason
		mib  string
	}{
		{"nothing", nil, ipv6.ReasonICMPShort, "Icmp6InErrors"},
		{"7 bytes", echo[:7], ipv6.ReasonICMPShort, "Icmp6InErrors"},
		{"a byte cut off", echo[:len(echo)-1], ipv6.ReasonICMPChecksum, "Icmp6InCsumErrors"},
		{"unknown informational type", message(ipv6.ICMP{Type: 200}), ipv6.ReasonICMPType, "Icmp6InErrors"},
		{"neighbour solicitation", message(ipv6.ICMP{Type: 135, Data: make([]byte, 16)}), ipv6.ReasonICMPType, "Icmp6InErrors"},
		{"error that quotes 39 bytes", message(ipv6.ICMP{Type: 1, Data: make([]byte, 39)}), ipv6.ReasonICMPQuote, "Icmp6InErrors"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, why := ipv6.ParseICMP(tt.b, addrA, addrB, false)
			require.Equal(t, tt.want, why, why.Detail())
			require.Equal(t, tt.mib, why.String())
		})
	}
	_, why := ipv6.ParseICMP(echo, addrA, addrA, false)
	require.Equal(t, ipv6.ReasonICMPChecksum, why, "the addresses are part of the checksum")
	m, why := ipv6.ParseICMP(echo, addrA, addrA, true)
	require.Equal(t, ipv6.OK, why, "trusted messages are not verified")
	require.EqualValues(t, 2, m.Seq)
}

func TestICMPTypeNames(t *testing.T) {
	for typ, want := range map[ipv6.ICMPType]string{
		1: "destination unreachable", 2: "packet too big", 3: "time exceeded", 4: "parameter problem",
		128: "echo request", 129: "echo reply", 137: "redirect", 200: "type-200",
	} {
		require.Equal(t, want, typ.String())
	}
}

func TestErrorAllowed(t *testing.T) {
	with := func(first uint8, src, dst string, parts ...[]byte) []byte {
		r := sample()
		r.NextHeader, r.Src, r.Dst = first, addr(src), addr(dst)
		return packet(r, parts...)
	}
	un := func(b []byte) bool { return ipv6.ErrorAllowed(b, ipv6.ICMPDestUnreachable, ipv6.CodePortUnreachable) }
	const icmp6 = ipv6.ProtoICMP
	tests := []struct {
		name string
		orig []byte
		want bool
	}{
		{"a datagram", with(udp, "::1", "::1", make([]byte, 8)), true},
		{"from nobody", with(udp, "::", "::1", make([]byte, 8)), false},
		{"from a group", with(udp, "ff02::1", "::1", make([]byte, 8)), false},
		{"to a group", with(udp, "::1", "ff02::1", make([]byte, 8)), false},
		{"an echo request", with(icmp6, "::1", "::1", []byte{128}), true},
		{"an unknown informational message", with(icmp6, "::1", "::1", []byte{222}), true},
		{"an error", with(icmp6, "::1", "::1", []byte{1}), false},
		{"an unknown error", with(icmp6, "::1", "::1", []byte{127}), false},
		{"a redirect", with(icmp6, "::1", "::1", []byte{137}), false},
		{"an error behind options", with(dest, "::1", "::1", ext(icmp6), []byte{1}), false},
		{"an echo behind an atomic fragment header", with(frag, "::1", "::1", fragmentHeader(icmp6, 0, false, 1), []byte{128}), true},
		{"ICMPv6 without its type", with(icmp6, "::1", "::1"), false},
		{"a first fragment", with(frag, "::1", "::1", fragmentHeader(udp, 0, true, 1), make([]byte, 8)), true},
		{"a later fragment", with(frag, "::1", "::1", fragmentHeader(udp, 8, true, 1), make([]byte, 8)), false},
		{"an incomplete chain", with(dest, "::1", "::1", []byte{udp, 9, 0, 0}), true},
		{"a header past the end", with(dest, "::1", "::1", []byte{udp, 9, 0, 0, 0, 0, 0, 0}), true},
		{"less than a header", make([]byte, 39), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, un(tt.orig)) })
	}
	group := with(udp, "::1", "ff02::1", make([]byte, 8))
	require.True(t, ipv6.ErrorAllowed(group, ipv6.ICMPPacketTooBig, 0), "for path MTU discovery of groups")
	require.True(t, ipv6.ErrorAllowed(group, ipv6.ICMPParameterProblem, ipv6.CodeUnknownOption), "options that ask for it")
	require.False(t, ipv6.ErrorAllowed(group, ipv6.ICMPParameterProblem, ipv6.CodeErroneousField))

	later := with(frag, "::1", "::1", fragmentHeader(udp, 65528, false, 1), make([]byte, 16))
	require.True(t, ipv6.ErrorAllowed(later, ipv6.ICMPParameterProblem, ipv6.CodeErroneousField), "RFC 8200 §4.5 wants it")
	require.False(t, ipv6.ErrorAllowed(later, ipv6.ICMPParameterProblem, ipv6.CodeUnknownOption))
	unknown := with(frag, "::1", "::1", fragmentHeader(icmp6, 65528, false, 1), make([]byte, 16))
	require.False(t, ipv6.ErrorAllowed(unknown, ipv6.ICMPParameterProblem, ipv6.CodeErroneousField), "it may be part of an error")
}

func TestQuoteFits1280(t *testing.T) {
	for _, tt := range []struct {
		name                      string
		payload, extra, ext, want int
	}{
		{"a small packet whole", 9, 0, 0, 49},
		{"padding is not quoted", 9, 17, 0, 49},
		{"just fits", 1192, 0, 0, 1232},
		{"one byte too many", 1193, 0, 0, 1232},
		{"extension headers of the error take room", 16000, 0, 8, 1224},
	} {
		t.Run(tt.name, func(t *testing.T) {
			orig := append(packet(sample(), randomBytes(1, tt.payload)), make([]byte, tt.extra)...)
			q := ipv6.Quote(orig, tt.ext)
			require.Len(t, q, tt.want)
			require.Equal(t, orig[:tt.want], q)
			m := ipv6.ICMP{Type: ipv6.ICMPTimeExceeded, Data: q}
			require.LessOrEqual(t, ipv6.HeaderLen+tt.ext+m.Len(), 1280)
		})
	}
	require.Len(t, ipv6.Quote([]byte{1, 2, 3}, 0), 3)
}

func TestParseQuote(t *testing.T) {
	ports := []byte{0x12, 0x34, 0x00, 0x50, 0xde, 0xad, 0xbe, 0xef, 9, 9}
	with := func(first uint8, parts ...[]byte) []byte {
		r := sample()
		r.NextHeader = first
		return packet(r, parts...)
	}
	t.Run("TCP behind extension headers", func(t *testing.T) {
		q, ok := ipv6.ParseQuote(with(hop, ext(frag), fragmentHeader(tcp, 0, true, 1), ports))
		require.True(t, ok)
		require.Equal(t, "[::1]:4660", q.Src.String())
		require.Equal(t, "[2001:db8::9:8]:80", q.Dst.String())
		require.Equal(t, uint32(0xdeadbeef), q.TCPSeq)
		require.EqualValues(t, tcp, q.Protocol)
		require.Equal(t, ports, q.Payload)
		require.Equal(t, uint32(0xabcde), q.Header.FlowLabel())
	})
	t.Run("UDP, cut", func(t *testing.T) {
		q, ok := ipv6.ParseQuote(ipv6.Quote(with(udp, ports, make([]byte, 5000)), 0))
		require.True(t, ok)
		require.Equal(t, "[::1]:4660", q.Src.String())
		require.Equal(t, 5010, q.Header.PayloadLen())
	})
	t.Run("echo", func(t *testing.T) {
		q, ok := ipv6.ParseQuote(with(ipv6.ProtoICMP, message(ipv6.ICMP{Type: ipv6.ICMPEchoRequest, ID: 77, Seq: 3})))
		require.True(t, ok)
		require.EqualValues(t, 77, q.EchoID)
		require.EqualValues(t, 3, q.EchoSeq)
		require.Zero(t, q.Src.Port())
	})
	t.Run("another protocol", func(t *testing.T) {
		q, ok := ipv6.ParseQuote(with(89, ports))
		require.True(t, ok)
		require.Zero(t, q.Src.Port()|q.Dst.Port())
	})
	for name, b := range map[string][]byte{
		"nothing": nil, "39 bytes": make([]byte, 39), "IPv4": append([]byte{0x45}, make([]byte, 60)...),
		"7 bytes of payload": with(tcp, ports[:7]), "a later fragment": with(frag, fragmentHeader(udp, 8, false, 1), ports),
		"an incomplete chain": with(dest, []byte{udp, 9, 0, 0, 0, 0, 0, 0}),
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			_, ok := ipv6.ParseQuote(b)
			require.False(t, ok)
		})
	}
}

func FuzzICMP(f *testing.F) {
	for _, m := range messages() {
		f.Add(message(m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, why := ipv6.ParseICMP(b, addrA, addrB, true)
		if why == ipv6.OK {
			out := message(m)
			again, why := ipv6.ParseICMP(out, addrA, addrB, false)
			if why != ipv6.OK || again.Type != m.Type || again.Code != m.Code || again.MTU != m.MTU || again.ID != m.ID || again.Pointer != m.Pointer {
				t.Fatalf("emitted % x from % x: %s", out, b, why.Detail())
			}
			if m.Type.IsError() {
				ipv6.ParseQuote(m.Data)
			}
		}
		if q := ipv6.Quote(b, 0); len(q) > 1232 {
			t.Fatalf("quoted %d bytes", len(q))
		}
		if len(b) >= 40 {
			ipv6.ErrorAllowed(b, ipv6.ICMPTimeExceeded, 0)
		}
	})
}
