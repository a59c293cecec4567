package ipv4_test

import (
	"testing"

	"example.com/loopback/ipv4"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/icmp"
	xipv4 "golang.org/x/net/ipv4"
)

// message returns m marshalled over memory that was not clean.
func message(m ipv4.ICMP) []byte {
	b := dirty(m.Len() + 3)
	n := m.Marshal(b)
	return b[:n:n]
}

// quote is a datagram that an error may be about.
func quote(payload []byte) []byte {
	r := sample()
	return packet(r, payload)
}

// messages are one of each kind.
func messages() map[string]ipv4.ICMP {
	q := quote(randomBytes(3, 24))
	ms := map[string]ipv4.ICMP{
		"echo request":         {Type: ipv4.ICMPEchoRequest, ID: 0x1234, Seq: 0x5678, Data: []byte("abcdefg")},
		"echo reply":           {Type: ipv4.ICMPEchoReply, ID: 0xffff, Seq: 1, Data: []byte("abcdefgh")},
		"echo without data":    {Type: ipv4.ICMPEchoRequest, ID: 1, Seq: 2, Data: []byte{}},
		"timestamp":            {Type: ipv4.ICMPTimestamp, ID: 7, Seq: 8, Data: make([]byte, 12)},
		"timestamp reply":      {Type: ipv4.ICMPTimestampReply, ID: 7, Seq: 8, Data: randomBytes(4, 12)},
		"time to live":         {Type: ipv4.ICMPTimeExceeded, Code: ipv4.CodeTTLExceeded, Data: q},
		"reassembly time":      {Type: ipv4.ICMPTimeExceeded, Code: ipv4.CodeReassemblyExceeded, Data: q},
		"parameter problem":    {Type: ipv4.ICMPParameterProblem, Code: ipv4.CodePointer, Pointer: 22, Data: q},
		"option missing":       {Type: ipv4.ICMPParameterProblem, Code: ipv4.CodeOptionMissing, Data: q},
		"fragmentation needed": {Type: ipv4.ICMPDestUnreachable, Code: ipv4.CodeFragmentationNeeded, MTU: 1400, Data: q},
		"source quench":        {Type: ipv4.ICMPSourceQuench, Data: q},
		"redirect":             {Type: ipv4.ICMPRedirect, Code: 1, Gateway: [4]byte{10, 0, 0, 1}, Data: q},
	}
	for code := uint8(ipv4.CodeNetUnreachable); code <= ipv4.CodePrecedenceCutoff; code++ {
		if code != ipv4.CodeFragmentationNeeded {
			ms["unreachable "+layers.CreateICMPv4TypeCode(3, code).String()] = ipv4.ICMP{Type: ipv4.ICMPDestUnreachable, Code: code, Data: q}
		}
	}
	return ms
}

func TestICMPAgainstGopacket(t *testing.T) {
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			b := message(m)
			back, why := ipv4.ParseICMP(b, false)
			require.Equal(t, ipv4.OK, why)
			require.Equal(t, m, back, "what was emitted is parsed again")

			var l layers.ICMPv4
			require.NoError(t, l.DecodeFromBytes(b, gopacket.NilDecodeFeedback))
			require.Equal(t, uint8(m.Type), l.TypeCode.Type())
			require.Equal(t, m.Code, l.TypeCode.Code())
			require.Equal(t, append([]byte{}, m.Data...), append([]byte{}, l.Payload...))
			switch m.Type {
			case ipv4.ICMPEchoRequest, ipv4.ICMPEchoReply, ipv4.ICMPTimestamp, ipv4.ICMPTimestampReply:
				require.Equal(t, m.ID, l.Id)
				require.Equal(t, m.Seq, l.Seq)
			case ipv4.ICMPDestUnreachable:
				require.Zero(t, l.Id, "unused bytes are zero")
				require.Equal(t, m.MTU, l.Seq, "next-hop MTU, RFC 1191 §4")
			case ipv4.ICMPParameterProblem:
				require.Equal(t, uint16(m.Pointer)<<8, l.Id)
				require.Zero(t, l.Seq)
			case ipv4.ICMPRedirect:
				require.Equal(t, m.Gateway[:], b[4:8])
			default:
				require.Zero(t, b[4]|b[5]|b[6]|b[7], "unused bytes are zero")
			}
			again := encode(t, &l, gopacket.Payload(m.Data))
			require.Equal(t, again, b, "gopacket writes the same bytes, checksum included")
		})
	}
}

func TestICMPAgainstXNet(t *testing.T) {
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			x, err := icmp.ParseMessage(1, message(m))
			require.NoError(t, err)
			require.Equal(t, xipv4.ICMPType(m.Type), x.Type)
			require.Equal(t, int(m.Code), x.Code)
			switch body := x.Body.(type) {
			case *icmp.Echo:
				require.Equal(t, int(m.ID), body.ID)
				require.Equal(t, int(m.Seq), body.Seq)
				back, err := x.Marshal(nil)
				require.NoError(t, err)
				require.Equal(t, back, message(m))
			case *icmp.DstUnreach:
				require.Equal(t, m.Data, body.Data)
			case *icmp.TimeExceeded:
				require.Equal(t, m.Data, body.Data)
			case *icmp.ParamProb:
				require.EqualValues(t, m.Pointer, body.Pointer)
				require.Equal(t, m.Data, body.Data)
			}
		})
	}
}

func TestParseICMPDrops(t *testing.T) {
	echo := message(ipv4.ICMP{Type: ipv4.ICMPEchoRequest, ID: 1, Seq: 2, Data: []byte("data")})
	unreachable := func(q []byte) []byte {
		return message(ipv4.ICMP{Type: ipv4.ICMPDestUnreachable, Code: ipv4.CodePortUnreachable, Data: q})
	}
	long := sample()
	long.Options = make([]byte, 8)
	tests := []struct {
		name string
		b    []byte
		want ipv4.Reason
		mib  string
	}{
		{"nothing", nil, ipv4.ReasonICMPShort, "IcmpInErrors"},
		{"7 bytes", echo[:7], ipv4.ReasonICMPShort, "IcmpInErrors"},
		{"a byte cut off", echo[:len(echo)-1], ipv4.ReasonICMPChecksum, "IcmpInCsumErrors"},
		{"unassigned type", message(ipv4.ICMP{Type: 44}), ipv4.ReasonICMPType, "IcmpInErrors"},
		{"information request, obsolete", message(ipv4.ICMP{Type: 15}), ipv4.ReasonICMPType, "IcmpInErrors"},
		{"error that quotes nothing", unreachable(nil), ipv4.ReasonICMPQuote, "IcmpInErrors"},
		{"error that quotes a header only", unreachable(quote(make([]byte, 7))), ipv4.ReasonICMPQuote, "IcmpInErrors"},
		{"error that quotes a header and 8 bytes", unreachable(quote(make([]byte, 8))), ipv4.OK, "InDelivers"},
		{"error that quotes options but not 8 bytes more", unreachable(packet(long, make([]byte, 7))), ipv4.ReasonICMPQuote, "IcmpInErrors"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, why := ipv4.ParseICMP(tt.b, false)
			require.Equal(t, tt.want, why, why.Detail())
			require.Equal(t, tt.mib, why.String())
		})
	}
	echo[9] ^= 1
	_, why := ipv4.ParseICMP(echo, false)
	require.Equal(t, ipv4.ReasonICMPChecksum, why)
	m, why := ipv4.ParseICMP(echo, true)
	require.Equal(t, ipv4.OK, why, "trusted messages are not verified")
	require.EqualValues(t, 2, m.Seq)
}

func TestICMPTypeNames(t *testing.T) {
	for typ, want := range map[ipv4.ICMPType]string{
		0: "echo reply", 3: "unreachable", 4: "source quench", 5: "redirect", 8: "echo request",
		11: "time exceeded", 12: "parameter problem", 13: "time stamp query", 14: "time stamp reply", 77: "type-77",
	} {
		require.Equal(t, want, typ.String())
	}
}

func TestErrorAllowed(t *testing.T) {
	with := func(edit func(r *ipv4.Repr), payload ...byte) []byte {
		r := sample()
		edit(&r)
		return packet(r, payload)
	}
	from := func(s string) func(*ipv4.Repr) { return func(r *ipv4.Repr) { r.Src = addr(s) } }
	to := func(s string) func(*ipv4.Repr) { return func(r *ipv4.Repr) { r.Dst = addr(s) } }
	icmpOf := func(r *ipv4.Repr) { r.Protocol = ipv4.ProtoICMP }
	tests := []struct {
		name string
		orig []byte
		want bool
	}{
		{"a datagram", with(func(r *ipv4.Repr) {}, 1, 2, 3), true},
		{"a first fragment", with(func(r *ipv4.Repr) { r.MoreFragments = true }), true},
		{"a later fragment", with(func(r *ipv4.Repr) { r.FragmentOffset = 8 }), false},
		{"to a group", with(to("224.0.0.1")), false},
		{"to everyone", with(to("255.255.255.255")), false},
		{"to a subnet's broadcast", with(to("10.1.1.255")), false},
		{"to class E", with(to("240.1.1.1")), false},
		{"from a subnet's broadcast", with(from("10.1.1.255")), false},
		{"from a group", with(from("224.0.0.1")), false},
		{"from class E", with(from("241.0.0.1")), false},
		{"from nobody", with(from("0.0.0.0")), false},
		{"from this network", with(from("0.0.0.9")), false},
		{"an echo request", with(icmpOf, 8), true},
		{"an echo reply", with(icmpOf, 0), true},
		{"destination unreachable", with(icmpOf, 3), false},
		{"source quench", with(icmpOf, 4), false},
		{"redirect", with(icmpOf, 5), false},
		{"time exceeded", with(icmpOf, 11), false},
		{"parameter problem", with(icmpOf, 12), false},
		{"ICMP of unknown type", with(icmpOf, 99), false},
		{"ICMP without its type", with(icmpOf), false},
		{"less than a header", []byte{0x45}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, ipv4.ErrorAllowed(tt.orig, isBroadcast))
		})
	}
	require.True(t, ipv4.ErrorAllowed(with(to("10.1.1.255")), nil), "without a table of networks it is a host")
}

func TestQuoteFits576(t *testing.T) {
	tests := []struct {
		name           string
		payload, extra int // extra: padding of the link
		header, want   int
	}{
		{"a small datagram whole", 9, 0, 20, 29},
		{"padding is not quoted", 9, 17, 20, 29},
		{"just fits", 528, 0, 20, 548},
		{"one byte too many", 529, 0, 20, 548},
		{"a large one", 16000, 0, 20, 548},
		{"options of the error take room", 16000, 0, 28, 540},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			orig := append(quote(randomBytes(1, tt.payload)), make([]byte, tt.extra)...)
			q := ipv4.Quote(orig, tt.header)
			require.Len(t, q, tt.want)
			require.Equal(t, orig[:tt.want], q)
			m := ipv4.ICMP{Type: ipv4.ICMPTimeExceeded, Data: q}
			require.LessOrEqual(t, tt.header+m.Len(), ipv4.MaxErrorLen)
		})
	}
	require.Len(t, ipv4.Quote([]byte{1, 2, 3}, 20), 3, "less than a header is quoted as it is")
}

func TestParseQuote(t *testing.T) {
	l4 := func(proto uint8, payload ...byte) []byte {
		r := sample()
		r.Protocol = proto
		return packet(r, payload)
	}
	ports := []byte{0x12, 0x34, 0x00, 0x50, 0xde, 0xad, 0xbe, 0xef, 9, 9}
	t.Run("TCP", func(t *testing.T) {
		q, ok := ipv4.ParseQuote(l4(ipv4.ProtoTCP, ports...))
		require.True(t, ok)
		require.Equal(t, "127.0.0.1:4660", q.Src.String())
		require.Equal(t, "127.9.8.7:80", q.Dst.String())
		require.Equal(t, uint32(0xdeadbeef), q.TCPSeq)
		require.EqualValues(t, ipv4.ProtoTCP, q.Protocol)
		require.Equal(t, ports, q.Payload)
		require.Equal(t, uint16(0x1234), q.Header.ID())
	})
	t.Run("UDP", func(t *testing.T) {
		q, ok := ipv4.ParseQuote(l4(ipv4.ProtoUDP, ports...))
		require.True(t, ok)
		require.Equal(t, "127.0.0.1:4660", q.Src.String())
		require.Zero(t, q.TCPSeq)
	})
	t.Run("echo", func(t *testing.T) {
		q, ok := ipv4.ParseQuote(l4(ipv4.ProtoICMP, message(ipv4.ICMP{Type: ipv4.ICMPEchoRequest, ID: 77, Seq: 3})...))
		require.True(t, ok)
		require.EqualValues(t, 77, q.EchoID)
		require.EqualValues(t, 3, q.EchoSeq)
		require.Zero(t, q.Src.Port())
	})
	t.Run("another protocol", func(t *testing.T) {
		q, ok := ipv4.ParseQuote(l4(89, ports...))
		require.True(t, ok)
		require.Zero(t, q.Src.Port()|q.Dst.Port())
	})
	t.Run("cut to the quote, total length is the original's", func(t *testing.T) {
		q, ok := ipv4.ParseQuote(ipv4.Quote(l4(ipv4.ProtoUDP, randomBytes(5, 3000)...), 20))
		require.True(t, ok)
		require.Equal(t, 3020, q.Header.TotalLen())
	})
	later := sample()
	later.FragmentOffset = 8
	for name, b := range map[string][]byte{
		"nothing": nil, "19 bytes": make([]byte, 19), "IPv6": append([]byte{0x60}, make([]byte, 60)...),
		"7 bytes of payload": l4(ipv4.ProtoTCP, ports[:7]...), "a later fragment": packet(later, ports),
		"header length 16": append([]byte{0x44}, make([]byte, 60)...), "header past the end": append([]byte{0x4f}, make([]byte, 40)...),
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			_, ok := ipv4.ParseQuote(b)
			require.False(t, ok)
		})
	}
}

func FuzzICMP(f *testing.F) {
	for _, m := range messages() {
		f.Add(message(m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, why := ipv4.ParseICMP(b, true)
		if why == ipv4.OK {
			out := message(m)
			again, why := ipv4.ParseICMP(out, false)
			if why != ipv4.OK || again.Type != m.Type || again.Code != m.Code || again.MTU != m.MTU || again.ID != m.ID || again.Pointer != m.Pointer {
				t.Fatalf("emitted % x from % x: %s", out, b, why.Detail())
			}
			if m.Type.IsError() {
				ipv4.ParseQuote(m.Data)
			}
		}
		ipv4.ParseQuote(b)
		ipv4.ErrorAllowed(b, nil)
		if q := ipv4.Quote(b, 20); len(q) > 548 {
			t.Fatalf("quoted %d bytes", len(q))
		}
	})
}
