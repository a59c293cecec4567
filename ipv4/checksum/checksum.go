package checksum

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Sum adds the bytes b, taken as big-endian 16-bit words with a zero byte
// appended when their number is odd (RFC 1071 §1), to the running sum initial
// and returns the new running sum. The bytes must start at an even offset of
// the checksummed whole; see SumAt otherwise.
func Sum(b []byte, initial uint32) uint32 {
	return add32(initial, uint32(bits.ReverseBytes16(fold64(sumLittle(b)))))
}

// SumAt is Sum for bytes whose offset in the checksummed whole is odd when odd
// is true: each byte then counts in the other half of its word (RFC 1071 §2 B,
// byte order independence).
func SumAt(b []byte, odd bool, initial uint32) uint32 {
	return add32(initial, placed(sumLittle(b), odd))
}

// placed is the sum s of sumLittle, of bytes that begin at an odd offset or not, as a part of a running sum.
func placed(s uint64, odd bool) uint32 {
	f := fold64(s)
	if !odd {
		f = bits.ReverseBytes16(f)
	}
	return uint32(f)
}

// SumPieces adds pieces that follow one another in the checksummed whole, of
// any lengths, odd ones included, to the running sum initial. The first starts
// at an even offset.
func SumPieces(initial uint32, pieces ...[]byte) uint32 {
	odd := false
	for _, p := range pieces {
		if len(p) == 0 {
			continue
		}
		initial = add32(initial, placed(sumLittle(p), odd))
		odd = odd != (len(p)&1 != 0)
	}
	return initial
}

// Combine returns the running sum of two adjacent parts from their own sums:
// first covers firstLen bytes, second what follows, and each was summed as if
// it started at an even offset.
func Combine(first, second uint32, firstLen int) uint32 {
	if firstLen&1 != 0 {
		second = uint32(bits.ReverseBytes16(Fold(second)))
	}
	return add32(first, second)
}

// Fold brings a running sum to 16 bits. The result is not complemented: a
// checksum field is ^Fold(sum), and a received packet is intact when the sum
// over all of it folds to 0xffff.
func Fold(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum)
}

// Pseudo returns the running sum of the pseudo-header of an upper-layer packet
// of length bytes and protocol proto between src and dst: that of RFC 9293
// §3.1 and RFC 768 for IPv4 addresses, that of RFC 8200 §8.1 for IPv6 ones.
// Both addresses must be valid and of one family; IPv4 ones in their 4-byte
// form. The length is in 0..65535 for IPv4 and 0..2³²-1 for IPv6.
func Pseudo(src, dst netip.Addr, proto uint8, length int) uint32 {
	sum := uint64(proto) + uint64(length)>>16 + uint64(length)&0xffff
	if src.Is4() && dst.Is4() {
		s, d := src.As4(), dst.As4()
		sum += uint64(binary.BigEndian.Uint32(s[:])) + uint64(binary.BigEndian.Uint32(d[:]))
		return uint32(fold64(sum))
	}
	s, d := src.As16(), dst.As16()
	sum += uint64(binary.BigEndian.Uint32(s[0:])) + uint64(binary.BigEndian.Uint32(s[4:])) +
		uint64(binary.BigEndian.Uint32(s[8:])) + uint64(binary.BigEndian.Uint32(s[12:]))
	sum += uint64(binary.BigEndian.Uint32(d[0:])) + uint64(binary.BigEndian.Uint32(d[4:])) +
		uint64(binary.BigEndian.Uint32(d[8:])) + uint64(binary.BigEndian.Uint32(d[12:]))
	return uint32(fold64(sum))
}

// Fill completes a partial checksum in place, as a network card with checksum
// offload does: the checksum covers b[start:], and the 16-bit field at
// b[start+offset] holds the folded pseudo-header sum, not complemented. A
// computed checksum of 0 is stored as 0xffff, which every protocol may do
// (both are zero in one's complement) and UDP must (RFC 768). Offsets that do
// not lie inside b leave it unchanged.
func Fill(b []byte, start, offset int) {
	if start < 0 || offset < 0 || start > len(b) || offset > len(b)-start-2 {
		return
	}
	b = b[start:]
	field := ^Fold(Sum(b, 0))
	if field == 0 {
		field = 0xffff
	}
	binary.BigEndian.PutUint16(b[offset:], field)
}

// add32 is one's-complement addition of 32-bit running sums. The carry cannot
// be lost: when the addition overflows, its low word is at most 2³²-2.
func add32(a, b uint32) uint32 {
	s, c := bits.Add32(a, b, 0)
	return s + c
}

// fold64 brings a 64-bit one's-complement sum to 16 bits.
func fold64(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// sumLittle sums b as little-endian words in 64-bit one's complement. Words of
// any even width may be added at any even offset: 2¹⁶ is 1 modulo 2¹⁶-1, so
// the order of the 16-bit lanes does not matter, and the byte order of the
// words only swaps the bytes of the folded result (RFC 1071 §2 B, C).
func sumLittle(b []byte) uint64 {
	var s, c uint64
	if len(b) >= block {
		s, b = sumBlocks(b)
	}
	for len(b) >= 32 {
		p := (*[32]byte)(b)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[0:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[24:]), c)
		b = b[32:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
		b = b[8:]
	}
	var tail uint64 // at most 7 bytes: they fit one more word
	if len(b) >= 4 {
		tail = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		tail += uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		tail += uint64(b[0])
	}
	s, c = bits.Add64(s, tail, c)
	s, c = bits.Add64(s, 0, c)
	return s + c
}

// block is how many bytes sumBlocks takes at a time.
const block = 128

// sumBlocks is sumLittle for as many blocks as there are. It returns what is left of b.
//
// Additions with carry are one long chain, of one word a clock. Two words of each eight go another way, as halves that
// need no carry, side by side with it: their sums overflow beyond 2³⁷ bytes.
func sumBlocks(b []byte) (sum uint64, rest []byte) {
	var s, c, low, high uint64
	for len(b) >= block {
		p := (*[block]byte)(b)
		w0 := binary.LittleEndian.Uint64(p[0:])
		w1 := binary.LittleEndian.Uint64(p[8:])
		w2 := binary.LittleEndian.Uint64(p[64:])
		w3 := binary.LittleEndian.Uint64(p[72:])
		low += w0&0xffffffff + w1&0xffffffff + w2&0xffffffff + w3&0xffffffff
		high += w0>>32 + w1>>32 + w2>>32 + w3>>32
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[24:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[32:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[40:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[48:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[56:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[80:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[88:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[96:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[104:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[112:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[120:]), c)
		b = b[block:]
	}
	s, c = bits.Add64(s, low, c)
	s, c = bits.Add64(s, high<<32, c)
	s, c = bits.Add64(s, high>>32, c)
	return s + c, b
}
