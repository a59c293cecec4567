package checksum_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"example.com/loopback/ipv4/checksum"
	"github.com/stretchr/testify/require"
)

// naive is RFC 1071 §1 word for word: pairs of bytes, end-around carry.
func naive(b []byte, initial uint32) uint16 {
	sum := uint64(initial)
	for i := 0; i < len(b); i += 2 {
		w := uint64(b[i]) << 8
		if i+1 < len(b) {
			w |= uint64(b[i+1])
		}
		sum += w
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func random(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestSumKnown(t *testing.T) {
	tests := []struct {
		name    string
		b       []byte
		initial uint32
		want    uint16
	}{
		{"empty", nil, 0, 0},
		{"the example of RFC 1071 §3", []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0, 0xddf2},
		{"one byte is the high half of its word", []byte{0xab}, 0, 0xab00},
		{"three bytes", []byte{0x12, 0x34, 0x56}, 0, 0x6834},
		{"end-around carry", []byte{0xff, 0xff, 0x00, 0x01}, 0, 0x0001},
		{"all ones stay all ones", []byte{0xff, 0xff, 0xff, 0xff}, 0, 0xffff},
		{"an initial sum is continued", []byte{0x00, 0x01}, 0xfffe, 0xffff},
		{"a full 32-bit initial sum loses no carry", []byte{0x00, 0x01}, 0xffffffff, 0x0001},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, checksum.Fold(checksum.Sum(tt.b, tt.initial)))
		})
	}
}

func TestSumAgainstDefinition(t *testing.T) {
	data := random(1, 70_000)
	ones := make([]byte, 70_000)
	for i := range ones {
		ones[i] = 0xff
	}
	for _, src := range [][]byte{data, ones} {
		for n := 0; n <= 300; n++ {
			for off := range 9 {
				b := src[off : off+n]
				require.Equal(t, naive(b, 0), checksum.Fold(checksum.Sum(b, 0)), "n=%d off=%d", n, off)
			}
		}
		for _, n := range []int{1023, 1480, 16383, 16384, 65535, 65536, 69999} {
			require.Equal(t, naive(src[:n], 77), checksum.Fold(checksum.Sum(src[:n], 77)), "n=%d", n)
		}
	}
}

func TestSumOfPieces(t *testing.T) {
	data := random(2, 4000)
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		n := r.IntN(len(data))
		i := r.IntN(n + 1)
		j := i + r.IntN(n-i+1)
		want := naive(data[:n], 0)
		a, b, c := data[:i], data[i:j], data[j:n]

		require.Equal(t, want, checksum.Fold(checksum.SumPieces(0, a, b, c)), "cut at %d and %d of %d", i, j, n)

		sum := checksum.Sum(a, 0)
		sum = checksum.SumAt(b, i&1 != 0, sum)
		sum = checksum.SumAt(c, j&1 != 0, sum)
		require.Equal(t, want, checksum.Fold(sum), "SumAt, cut at %d and %d of %d", i, j, n)

		sum = checksum.Combine(checksum.Sum(a, 0), checksum.Sum(b, 0), len(a))
		sum = checksum.Combine(sum, checksum.Sum(c, 0), j)
		require.Equal(t, want, checksum.Fold(sum), "Combine, cut at %d and %d of %d", i, j, n)
	}
}

// pseudoBytes lays the pseudo-header out as the RFCs draw it.
func pseudoBytes(src, dst netip.Addr, proto uint8, length int) []byte {
	if src.Is4() {
		b := append(src.AsSlice(), dst.AsSlice()...)
		b = append(b, 0, proto)
		return binary.BigEndian.AppendUint16(b, uint16(length))
	}
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	return append(b, 0, 0, 0, proto)
}

func TestPseudo(t *testing.T) {
	addr := netip.MustParseAddr
	tests := []struct {
		name     string
		src, dst netip.Addr
		proto    uint8
		length   int
	}{
		{"IPv4", addr("127.0.0.1"), addr("127.9.8.7"), 6, 20},
		{"IPv4, every carry", addr("255.255.255.255"), addr("255.255.255.255"), 255, 65535},
		{"IPv6", addr("::1"), addr("fe80::1234:5678"), 17, 1400},
		{"IPv6, every carry", addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 255, 65535},
		{"IPv6, upper-layer length above 16 bits", addr("::1"), addr("::1"), 58, 0x12345},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := naive(pseudoBytes(tt.src, tt.dst, tt.proto, tt.length), 0)
			require.Equal(t, want, checksum.Fold(checksum.Pseudo(tt.src, tt.dst, tt.proto, tt.length)))
		})
	}
}

func TestFill(t *testing.T) {
	t.Run("completes the partial sum of a segment inside a packet", func(t *testing.T) {
		src, dst := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
		for n := 20; n < 60; n++ {
			b := random(uint64(n), n)
			const start, offset = 3, 16
			if start+offset+2 > n {
				continue
			}
			pseudo := checksum.Pseudo(src, dst, 6, n-start)
			binary.BigEndian.PutUint16(b[start+offset:], checksum.Fold(pseudo))
			head := append([]byte(nil), b[:start]...)
			checksum.Fill(b, start, offset)
			require.Equal(t, uint16(0xffff), checksum.Fold(checksum.Sum(b[start:], pseudo)), "n=%d", n)
			require.Equal(t, head, b[:start], "bytes before start are not touched")
		}
	})
	t.Run("a computed zero is stored as 0xffff", func(t *testing.T) {
		b := []byte{0xff, 0xfe, 0x00, 0x01} // sum is 0xffff, the complement 0
		checksum.Fill(b, 0, 2)
		require.Equal(t, []byte{0xff, 0xfe, 0xff, 0xff}, b)
	})
	for _, tt := range []struct {
		name          string
		start, offset int
	}{
		{"start past the end", 9, 0}, {"negative start", -1, 0}, {"negative offset", 0, -1},
		{"field past the end", 0, 7}, {"field past the end of the rest", 4, 3},
	} {
		t.Run("unchanged: "+tt.name, func(t *testing.T) {
			b := []byte{1, 2, 3, 4, 5, 6, 7, 8}
			checksum.Fill(b, tt.start, tt.offset)
			require.Equal(t, []byte{1, 2, 3, 4, 5, 6, 7, 8}, b)
		})
	}
}

func TestAllocationsNone(t *testing.T) {
	b := random(5, 1500)
	src, dst := netip.MustParseAddr("::1"), netip.MustParseAddr("::2")
	var sink uint32
	n := testing.AllocsPerRun(100, func() {
		sink = checksum.Pseudo(src, dst, 6, len(b))
		sink = checksum.SumPieces(sink, b[:7], b[7:700], b[700:])
		checksum.Fill(b, 20, 16)
	})
	require.Zero(t, n)
	_ = sink
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{}, uint32(0), uint(0))
	f.Add([]byte{1, 2, 3}, uint32(0xffffffff), uint(1))
	f.Add(random(6, 200), uint32(0x1ffff), uint(77))
	f.Fuzz(func(t *testing.T, b []byte, initial uint32, cut uint) {
		want := naive(b, initial)
		if got := checksum.Fold(checksum.Sum(b, initial)); got != want {
			t.Fatalf("Sum = %#04x, want %#04x", got, want)
		}
		i := int(cut % uint(len(b)+1))
		if got := checksum.Fold(checksum.SumPieces(initial, b[:i], b[i:])); got != want {
			t.Fatalf("SumPieces cut at %d = %#04x, want %#04x", i, got, want)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 40, 64, 1500, 16384} {
		data := random(7, n)
		b.Run(sizeName(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			var s uint32
			for b.Loop() {
				s = checksum.Sum(data, s)
			}
		})
	}
}

func sizeName(n int) string {
	switch {
	case n >= 1024 && n%1024 == 0:
		return string(rune('0'+n/1024/10)) + string(rune('0'+n/1024%10)) + "KiB"
	case n >= 1000:
		return "1500B"
	}
	return string(rune('0'+n/10)) + string(rune('0'+n%10)) + "B"
}
