package tcp

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
)

// optionCases returns a segment for every combination of options that can be sent.
func optionCases() []Segment {
	rng := rand.New(rand.NewPCG(1, 2))
	base := func(f Flags) Segment {
		return Segment{
			SrcPort: uint16(rng.Uint32()), DstPort: uint16(rng.Uint32()),
			Seq: Seq(rng.Uint32()), Ack: Seq(rng.Uint32()), Flags: f,
			Wnd: uint16(rng.Uint32()), Urg: uint16(rng.Uint32()),
		}
	}
	ts := func(s *Segment) {
		s.Opts.HasTS, s.Opts.TSVal, s.Opts.TSEcr = true, rng.Uint32(), rng.Uint32()
	}
	var all []Segment
	for bits := range 16 {
		s := base(SYN | Flags(rng.Uint32()))
		if bits&1 != 0 {
			s.Opts.HasMSS, s.Opts.MSS = true, uint16(rng.Uint32()|1)
		}
		if bits&2 != 0 {
			s.Opts.SACKPermitted = true
		}
		if bits&4 != 0 {
			ts(&s)
		}
		if bits&8 != 0 {
			s.Opts.HasWScale, s.Opts.WScale = true, uint8(rng.IntN(15))
		}
		all = append(all, s)
	}
	for n := range 5 {
		for withTS := range 2 {
			if withTS == 1 && n == 4 {
				continue
			}
			s := base(Flags(rng.Uint32()) &^ SYN)
			if withTS == 1 {
				ts(&s)
			}
			s.Opts.NSACK = uint8(n)
			for i := range n {
				s.Opts.SACK[i] = Range{Seq(rng.Uint32()), Seq(rng.Uint32())}
			}
			all = append(all, s)
		}
	}
	return all
}

// dirty returns memory in which a byte that was not written shows.
func dirty(n int) []byte { return bytes.Repeat([]byte{0xa5}, n) }

func decodeTCP(t *testing.T, b []byte) *layers.TCP {
	t.Helper()
	var tcp layers.TCP
	require.NoError(t, tcp.DecodeFromBytes(b, gopacket.NilDecodeFeedback))
	return &tcp
}

// wireKinds lists the options gopacket sees, padding included.
func wireKinds(tcp *layers.TCP) []layers.TCPOptionKind {
	kinds := []layers.TCPOptionKind{}
	for _, o := range tcp.Options {
		kinds = append(kinds, o.OptionType)
	}
	return kinds
}

func TestMarshalHeaderOracle(t *testing.T) {
	for _, s := range optionCases() {
		b := dirty(MaxHeaderLen + 4)
		n := s.MarshalHeader(b)
		require.Equal(t, s.HeaderLen(), n, "%+v", s)
		require.Zero(t, n%4)
		require.Equal(t, dirty(MaxHeaderLen+4-n), b[n:], "wrote behind the header")

		tcp := decodeTCP(t, b[:n])
		require.Equal(t, n, int(tcp.DataOffset)*4)
		require.Zero(t, tcp.Checksum)
		got := fromOracle(t, tcp)
		require.Equal(t, s, got)
	}
}

// fromOracle translates gopacket's view into ours.
func fromOracle(t *testing.T, tcp *layers.TCP) Segment {
	t.Helper()
	s := Segment{
		SrcPort: uint16(tcp.SrcPort), DstPort: uint16(tcp.DstPort),
		Seq: Seq(tcp.Seq), Ack: Seq(tcp.Ack), Wnd: tcp.Window, Urg: tcp.Urgent,
	}
	for i, on := range []bool{tcp.FIN, tcp.SYN, tcp.RST, tcp.PSH, tcp.ACK, tcp.URG, tcp.ECE, tcp.CWR} {
		if on {
			s.Flags |= 1 << i
		}
	}
	require.False(t, tcp.NS)
	word := func(b []byte) uint32 { return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) }
	for _, o := range tcp.Options {
		switch o.OptionType {
		case layers.TCPOptionKindNop:
		case layers.TCPOptionKindMSS:
			s.Opts.HasMSS, s.Opts.MSS = true, uint16(o.OptionData[0])<<8|uint16(o.OptionData[1])
		case layers.TCPOptionKindWindowScale:
			s.Opts.HasWScale, s.Opts.WScale = true, o.OptionData[0]
		case layers.TCPOptionKindSACKPermitted:
			s.Opts.SACKPermitted = true
		case layers.TCPOptionKindTimestamps:
			s.Opts.HasTS, s.Opts.TSVal, s.Opts.TSEcr = true, word(o.OptionData), word(o.OptionData[4:])
		case layers.TCPOptionKindSACK:
			for d := o.OptionData; len(d) > 0; d = d[8:] {
				s.Opts.SACK[s.Opts.NSACK] = Range{Seq(word(d)), Seq(word(d[4:]))}
				s.Opts.NSACK++
			}
		default:
			t.Fatalf("option %v", o.OptionType)
		}
	}
	return s
}

// TestParseHeaderOracle lets gopacket lay out the options, each in a place of its own choosing, and
// reads them.
func TestParseHeaderOracle(t *testing.T) {
	for _, want := range optionCases() {
		b := dirty(MaxHeaderLen)
		tcp := decodeTCP(t, b[:want.MarshalHeader(b)])
		var unpadded []layers.TCPOption
		for _, o := range tcp.Options {
			if o.OptionType != layers.TCPOptionKindNop {
				unpadded = append(unpadded, o)
			}
		}
		rand.New(rand.NewPCG(3, uint64(want.Seq))).Shuffle(len(unpadded), func(i, j int) {
			unpadded[i], unpadded[j] = unpadded[j], unpadded[i]
		})
		tcp.Options = unpadded
		buf := gopacket.NewSerializeBuffer()
		require.NoError(t, tcp.SerializeTo(buf, gopacket.SerializeOptions{FixLengths: true}))
		wire := append(buf.Bytes(), "payload"...)

		var got Segment
		n, why := ParseHeader(wire, &got)
		require.Equal(t, ReasonOK, why)
		require.Equal(t, len(wire)-len("payload"), n)
		require.Equal(t, want, got)
	}
}

func TestOptionOrder(t *testing.T) {
	const (
		mss  = layers.TCPOptionKindMSS
		sok  = layers.TCPOptionKindSACKPermitted
		ts   = layers.TCPOptionKindTimestamps
		nop  = layers.TCPOptionKindNop
		ws   = layers.TCPOptionKindWindowScale
		sack = layers.TCPOptionKindSACK
	)
	full := Options{MSS: 16396, HasMSS: true, WScale: 7, HasWScale: true, SACKPermitted: true, HasTS: true}
	noTS := full
	noTS.HasTS = false
	noSACK := full
	noSACK.SACKPermitted = false
	type kinds = []layers.TCPOptionKind
	tests := []struct {
		name string
		f    Flags
		o    Options
		want kinds
	}{
		{"SYN with everything", SYN, full, kinds{mss, sok, ts, nop, ws}},
		{"SYN-ACK with everything", SYN | ACK, full, kinds{mss, sok, ts, nop, ws}},
		{"SYN without timestamps", SYN, noTS, kinds{mss, nop, nop, sok, nop, ws}},
		{"SYN without SACK", SYN, noSACK, kinds{mss, nop, nop, ts, nop, ws}},
		{"SYN with the MSS alone", SYN, Options{MSS: 1460, HasMSS: true}, kinds{mss}},
		{"plain data", ACK, Options{}, kinds{}},
		{"data", ACK, Options{HasTS: true}, kinds{nop, nop, ts}},
		{"SACK", ACK, Options{HasTS: true, NSACK: 1}, kinds{nop, nop, ts, nop, nop, sack}},
		{"SACK without timestamps", ACK, Options{NSACK: 4}, kinds{nop, nop, sack}},
		{"what belongs to a SYN stays there", ACK, full, kinds{nop, nop, ts}},
		{"no SACK blocks in a SYN", SYN, Options{NSACK: 2}, kinds{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Segment{Flags: tt.f, Opts: tt.o}
			b := dirty(MaxHeaderLen)
			n := s.MarshalHeader(b)
			require.Equal(t, n, s.HeaderLen())
			require.Equal(t, tt.want, wireKinds(decodeTCP(t, b[:n])))
		})
	}
}

// TestMarshalHeaderBytes is a SYN as Linux sends it over lo at MTU 16436, byte for byte.
func TestMarshalHeaderBytes(t *testing.T) {
	s := Segment{
		SrcPort: 0x1234, DstPort: 631, Seq: 0x01020304, Flags: SYN, Wnd: 0xffff,
		Opts: Options{
			MSS: 16396, HasMSS: true, SACKPermitted: true, HasTS: true, TSVal: 0xaabbccdd,
			WScale: 7, HasWScale: true,
		},
	}
	b := dirty(40)
	require.Equal(t, 40, s.MarshalHeader(b))
	require.Equal(t, []byte{
		0x12, 0x34, 0x02, 0x77, 1, 2, 3, 4, 0, 0, 0, 0, 0xa0, 0x02, 0xff, 0xff, 0, 0, 0, 0,
		2, 4, 0x40, 0x0c, 4, 2, 8, 10, 0xaa, 0xbb, 0xcc, 0xdd, 0, 0, 0, 0, 1, 3, 3, 7,
	}, b)
}

func TestMarshalHeaderLimits(t *testing.T) {
	t.Run("SACK blocks beside timestamps", func(t *testing.T) {
		s := Segment{Flags: ACK, Opts: Options{HasTS: true, NSACK: 4, SACK: [4]Range{{1, 2}, {3, 4}, {5, 6}, {7, 8}}}}
		b := dirty(MaxHeaderLen)
		require.Equal(t, MaxHeaderLen, s.MarshalHeader(b))
		var got Segment
		_, why := ParseHeader(b, &got)
		require.Equal(t, ReasonOK, why)
		require.Equal(t, uint8(3), got.Opts.NSACK)
		require.Equal(t, [4]Range{{1, 2}, {3, 4}, {5, 6}}, got.Opts.SACK)
	})
	t.Run("more blocks than there are", func(t *testing.T) {
		s := Segment{Flags: ACK, Opts: Options{NSACK: 200}}
		require.Equal(t, MinHeaderLen+4+32, s.HeaderLen())
		require.Equal(t, s.HeaderLen(), s.MarshalHeader(dirty(MaxHeaderLen)))
	})
	t.Run("window scale", func(t *testing.T) {
		s := Segment{Flags: SYN, Opts: Options{HasWScale: true, WScale: 200}}
		b := dirty(MaxHeaderLen)
		s.MarshalHeader(b)
		require.Equal(t, byte(MaxWScale), b[23])
	})
	t.Run("no room", func(t *testing.T) {
		require.Panics(t, func() { (&Segment{}).MarshalHeader(make([]byte, 19)) })
	})
}

// rawHeader returns a header with the given flags and option bytes, which must be padded to words.
func rawHeader(f Flags, opts ...byte) []byte {
	b := make([]byte, MinHeaderLen, MinHeaderLen+len(opts))
	b[offDataOff] = byte((MinHeaderLen + len(opts)) / 4 << 4)
	b[offFlags] = byte(f)
	return append(b, opts...)
}

func TestParseHeaderLengths(t *testing.T) {
	long := make([]byte, 80)
	for n := range 20 {
		got, why := ParseHeader(long[:n], new(Segment))
		require.Equal(t, 0, got)
		require.Equal(t, ReasonTruncated, why, "%d bytes", n)
	}
	for words := range 16 {
		b := make([]byte, 80)
		b[offDataOff] = byte(words<<4 | 0xf) // reserved bits are not ours to judge
		n, why := ParseHeader(b, new(Segment))
		if words < 5 {
			require.Equal(t, ReasonDataOffset, why, "%d words", words)
			require.Equal(t, 0, n)
			continue
		}
		require.Equal(t, ReasonOK, why, "%d words", words)
		require.Equal(t, words*4, n)

		n, why = ParseHeader(b[:words*4-1], new(Segment))
		require.Equal(t, ReasonTruncated, why, "%d words less one byte", words)
		require.Equal(t, 0, n)
	}
}

func TestParseOptions(t *testing.T) {
	mss := Options{HasMSS: true, MSS: 1460}
	ts := Options{HasTS: true, TSVal: 0x01020304, TSEcr: 0x05060708}
	tests := []struct {
		name string
		f    Flags
		b    []byte
		want Options
		why  Reason
	}{
		{"MSS (MUST-4)", SYN, []byte{2, 4, 0x05, 0xb4}, mss, ReasonOK},
		{"NOPs around it (MUST-4, MUST-64)", SYN, []byte{1, 2, 4, 0x05, 0xb4, 1, 1, 1}, mss, ReasonOK},
		{"the list ends early (MUST-4)", SYN, []byte{0, 2, 4, 0x05, 0xb4, 0, 0, 0}, Options{}, ReasonOK},
		{"garbage behind the end", SYN, []byte{2, 4, 0x05, 0xb4, 0, 99, 0, 77}, mss, ReasonOK},
		{"options in any segment (MUST-5)", ACK, []byte{2, 4, 0x05, 0xb4}, Options{}, ReasonOK},
		{"timestamps in any segment (MUST-5)", RST, []byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0}, ts, ReasonOK},
		{"timestamps the usual way", ACK, []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, ts, ReasonOK},
		{"unknown option (MUST-6)", SYN, []byte{254, 6, 0, 0, 0, 0, 2, 4, 0x05, 0xb4, 1, 1}, mss, ReasonOK},
		{"unknown option without data (MUST-6, MUST-68)", SYN, []byte{77, 2, 2, 4, 0x05, 0xb4, 0, 0}, mss, ReasonOK},
		{"length zero (MUST-7)", SYN, []byte{2, 4, 0x05, 0xb4, 77, 0, 1, 1}, mss, ReasonOptLength},
		{"length one (MUST-7)", ACK, []byte{77, 1, 1, 1}, Options{}, ReasonOptLength},
		{"beyond the header (MUST-7)", SYN, []byte{2, 4, 0x05, 0xb4, 77, 5, 1, 1}, mss, ReasonOptTruncated},
		{"known option beyond the header", ACK, []byte{8, 10, 0, 0}, Options{}, ReasonOptTruncated},
		{"no length byte", ACK, []byte{1, 1, 1, 8}, Options{}, ReasonOptTruncated},
		{"MSS of zero", SYN, []byte{2, 4, 0, 0}, Options{}, ReasonOK},
		{"MSS too short", SYN, []byte{2, 3, 5, 1}, Options{}, ReasonOptLength},
		{"MSS too short, another option behind it", SYN, []byte{2, 3, 5, 4, 2, 1, 1, 1}, Options{SACKPermitted: true}, ReasonOptLength},
		{"MSS too short, not in a SYN", ACK, []byte{2, 3, 5, 1}, Options{}, ReasonOptLength},
		{"window scale too long", SYN, []byte{3, 4, 7, 0}, Options{}, ReasonOptLength},
		{"SACK-permitted too long", SYN, []byte{4, 3, 0, 0}, Options{}, ReasonOptLength},
		{"timestamps too short", ACK, []byte{8, 8, 1, 2, 3, 4, 5, 6}, Options{}, ReasonOptLength},
		{"SACK of no block", ACK, []byte{5, 2, 0, 0}, Options{}, ReasonOptLength},
		{"SACK of half a block", ACK, []byte{5, 6, 0, 0, 0, 1, 0, 0}, Options{}, ReasonOptLength},
		{"SACK of half a block in a SYN", SYN, []byte{5, 6, 0, 0, 0, 1, 0, 0}, Options{}, ReasonOptLength},
		{"SACK block", ACK, []byte{5, 10, 0, 0, 0, 1, 0, 0, 0, 9, 1, 1},
			Options{NSACK: 1, SACK: [4]Range{{1, 9}}}, ReasonOK},
		{"SACK block in a SYN", SYN, []byte{5, 10, 0, 0, 0, 1, 0, 0, 0, 9, 1, 1}, Options{}, ReasonOK},
		{"window scale", SYN, []byte{3, 3, 14, 1}, Options{HasWScale: true, WScale: 14}, ReasonOK},
		{"window scale beyond 14 is 14 (RFC 7323 2.3)", SYN, []byte{3, 3, 15, 1},
			Options{HasWScale: true, WScale: 14}, ReasonOK},
		{"window scale not in a SYN", ACK, []byte{3, 3, 7, 1}, Options{}, ReasonOK},
		{"SACK-permitted", SYN, []byte{4, 2, 0, 0}, Options{SACKPermitted: true}, ReasonOK},
		{"SACK-permitted not in a SYN", ACK, []byte{4, 2, 0, 0}, Options{}, ReasonOK},
		{"the last of two counts", SYN, []byte{2, 4, 1, 1, 2, 4, 0x05, 0xb4}, mss, ReasonOK},
		{"the last SACK counts, with all of its blocks", ACK,
			[]byte{5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 5, 10, 0, 0, 0, 5, 0, 0, 0, 6},
			Options{NSACK: 1, SACK: [4]Range{{5, 6}}}, ReasonOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := rawHeader(tt.f, tt.b...)
			s := Segment{Opts: Options{HasTS: true, NSACK: 4, SACK: [4]Range{{1, 1}, {2, 2}, {3, 3}, {4, 4}}}}
			n, why := ParseHeader(b, &s)
			require.Equal(t, tt.why, why)
			require.Equal(t, len(b), n)
			require.Equal(t, tt.want, s.Opts)
		})
	}
}

func TestParseHeaderLeavesTheRest(t *testing.T) {
	owner := &countingBuffer{refs: 1}
	s := Segment{ECN: ECNCE, Cause: CauseProbe, Payload: Payload{N: 3, Pieces: [2]Piece{{B: []byte("abc"), Owner: owner}}}}
	_, why := ParseHeader(rawHeader(ACK), &s)
	require.Equal(t, ReasonOK, why)
	require.Equal(t, 3, s.Payload.N)
	require.Equal(t, uint8(ECNCE), s.ECN)
	require.Equal(t, CauseProbe, s.Cause)
	require.Equal(t, 1, owner.refs)
}

func TestReasonString(t *testing.T) {
	seen := map[string]bool{}
	for r := ReasonOK; r < NumReasons; r++ {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()], "%v counts twice", r)
		seen[r.String()] = true
	}
	require.Equal(t, "InCsumErrors", ReasonChecksum.String())
	require.Equal(t, "Reason(?)", NumReasons.String())
}

func TestHeaderAllocatesNothing(t *testing.T) {
	b := make([]byte, MaxHeaderLen)
	for _, s := range optionCases() {
		var got Segment
		require.Zero(t, testing.AllocsPerRun(50, func() {
			n := s.MarshalHeader(b)
			if _, why := ParseHeader(b[:n], &got); why != ReasonOK {
				panic(why)
			}
		}))
	}
	in, out := Segment{Flags: SYN}, Segment{}
	require.Zero(t, testing.AllocsPerRun(50, func() { Reset(&in, &out) }))
}

// FuzzParseHeader: nothing makes it panic or read beyond its input, and what it accepts survives being
// written and read again.
func FuzzParseHeader(f *testing.F) {
	for _, s := range optionCases() {
		b := make([]byte, MaxHeaderLen)
		f.Add(b[:s.MarshalHeader(b)])
	}
	f.Add(rawHeader(SYN, 2, 4, 0x05, 0xb4, 77, 0, 1, 1))
	f.Add(rawHeader(ACK, 8, 10, 0, 0))
	f.Add(rawHeader(ACK, 0, 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Segment
		n, why := ParseHeader(b, &s)
		switch why {
		case ReasonTruncated, ReasonDataOffset:
			require.Equal(t, 0, n)
			return
		case ReasonOK, ReasonOptLength, ReasonOptTruncated:
			require.True(t, n >= MinHeaderLen && n <= MaxHeaderLen && n <= len(b) && n%4 == 0, "length %d of %d", n, len(b))
		default:
			t.Fatalf("reason %v", why)
		}
		out := dirty(MaxHeaderLen)
		m := s.MarshalHeader(out)
		require.Equal(t, s.HeaderLen(), m)
		var again Segment
		k, why := ParseHeader(out[:m], &again)
		require.Equal(t, ReasonOK, why)
		require.Equal(t, m, k)
		require.Equal(t, s, again)
	})
}

func benchSegment() Segment {
	return Segment{
		SrcPort: 40000, DstPort: 631, Seq: 1 << 30, Ack: 1 << 20, Flags: ACK | PSH, Wnd: 512,
		Opts: Options{HasTS: true, TSVal: 123456, TSEcr: 123455},
	}
}

func BenchmarkParseHeader(b *testing.B) {
	run := func(name string, s Segment) {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, MaxHeaderLen)
			wire := buf[:s.MarshalHeader(buf)]
			var got Segment
			b.ReportAllocs()
			for b.Loop() {
				ParseHeader(wire, &got)
			}
		})
	}
	s := benchSegment()
	run("ts", s)
	s.Opts.NSACK = 3
	run("ts+sack3", s)
	run("plain", Segment{Flags: ACK})
	run("syn", Segment{Flags: SYN, Opts: Options{HasMSS: true, MSS: 1460, SACKPermitted: true, HasTS: true, HasWScale: true}})
}

func BenchmarkMarshalHeader(b *testing.B) {
	run := func(name string, s Segment) {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, MaxHeaderLen)
			b.ReportAllocs()
			for b.Loop() {
				s.MarshalHeader(buf)
			}
		})
	}
	s := benchSegment()
	run("ts", s)
	s.Opts.NSACK = 3
	run("ts+sack3", s)
	run("plain", Segment{Flags: ACK})
	run("syn", Segment{Flags: SYN, Opts: Options{HasMSS: true, MSS: 1460, SACKPermitted: true, HasTS: true, HasWScale: true}})
}
