package tcp

import (
	"encoding/binary"
	"math/bits"
)

// sipHash is SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed
// function whose results nobody can predict without the key. RFC 6528 §3 asks for one like that, and it
// is not one of those that programs in FIPS mode may not touch. msg has less than 72 bytes.
func sipHash(key *[16]byte, msg []byte) uint64 {
	var words [8]uint64
	last := uint64(len(msg)) << 56 // the last word ends with the length
	n := 0
	for ; len(msg) >= 8; msg = msg[8:] {
		words[n] = binary.LittleEndian.Uint64(msg)
		n++
	}
	for i, b := range msg {
		last |= uint64(b) << (8 * i)
	}
	return sipWords(key, words[:n], last)
}

// sipWords is sipHash of a message whose bytes are those of words, the lowest first, and of last, whose highest
// byte is the length of the message.
func sipWords(key *[16]byte, words []uint64, last uint64) uint64 {
	k0 := binary.LittleEndian.Uint64(key[:8])
	k1 := binary.LittleEndian.Uint64(key[8:])
	v0, v1 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d // "somepseudorandomlygeneratedbytes"
	v2, v3 := k0^0x6c7967656e657261, k1^0x7465646279746573
	for _, m := range words {
		v3 ^= m
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0 ^= m
	}
	v3 ^= last
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xff
	for range 4 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

// sipRound is SipRound (figure 2.1 of the paper). It is small enough to be inlined, so that the state stays in
// registers.
func sipRound(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v2 += v3
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v1
	v0 += v3
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	return v0, v1, bits.RotateLeft64(v2, 32), v3
}
