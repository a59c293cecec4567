package tcp

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// sipKey is the key of the paper's test vectors: 00 01 02 … 0f.
func sipKey() (k [16]byte) {
	for i := range k {
		k[i] = byte(i)
	}
	return k
}

// TestSipHashVectors are results that the authors of SipHash publish, for messages 00 01 02 … of each
// length; the one of 15 bytes is worked out in appendix A of the paper.
func TestSipHashVectors(t *testing.T) {
	want := map[int]uint64{
		0:  0x726fdb47dd0e0e31,
		1:  0x74f839c593dc67fd,
		2:  0x0d6c8009d9a94f5a,
		3:  0x85676696d7fb7e2d,
		4:  0xcf2794e0277187b7,
		5:  0x18765564cd99a68d,
		6:  0xcbc9466e58fee3ce,
		7:  0xab0200f58b01d137,
		8:  0x93f5f5799a932462,
		15: 0xa129ca6149be45e5,
	}
	key := sipKey()
	for n, sum := range want {
		msg := make([]byte, n)
		for i := range msg {
			msg[i] = byte(i)
		}
		require.Equal(t, sum, sipHash(&key, msg), "%d bytes", n)
	}
}

// TestSipHashSensitivity: about half of the result changes with any bit of key or message.
func TestSipHashSensitivity(t *testing.T) {
	key := sipKey()
	msg := []byte("127.0.0.1:40000 > 127.0.0.1:631")
	base := sipHash(&key, msg)
	check := func(what string, flip func(bit int), nbits int) {
		total := 0
		for i := range nbits {
			flip(i)
			diff := popcount(base ^ sipHash(&key, msg))
			flip(i)
			require.NotZero(t, diff, "%s bit %d", what, i)
			total += diff
		}
		mean := float64(total) / float64(nbits)
		require.InDelta(t, 32, mean, 2, "%s: mean number of bits that change", what)
	}
	check("key", func(i int) { key[i/8] ^= 1 << (i % 8) }, 128)
	check("message", func(i int) { msg[i/8] ^= 1 << (i % 8) }, len(msg)*8)
}

func popcount(x uint64) (n int) {
	for ; x != 0; x &= x - 1 {
		n++
	}
	return n
}

func BenchmarkSipHash(b *testing.B) {
	key, msg := sipKey(), make([]byte, 17)
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		sipHash(&key, msg)
	}
}
