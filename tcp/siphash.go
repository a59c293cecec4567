package tcp

import (
	"encoding/binary"
	"math/bits"
)

// sipHash is SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed
// function whose results nobody can predict without the key. RFC 6528 §3 asks for one like that, and it
// is not one of those that programs in FIPS mode may not touch.
func sipHash(key *[16]byte, msg []byte) uint64 {
	h := newSip(key)
	last := uint64(len(msg)) << 56 // the last word ends with the length
	for ; len(msg) >= 8; msg = msg[8:] {
		h.add(binary.LittleEndian.Uint64(msg))
	}
	for i, b := range msg {
		last |= uint64(b) << (8 * i)
	}
	return h.sum(last)
}

// sip is the state of SipHash while a message is taken in, for those whose message is words to begin with.
type sip struct{ v0, v1, v2, v3 uint64 }

func newSip(key *[16]byte) sip {
	k0 := binary.LittleEndian.Uint64(key[:8])
	k1 := binary.LittleEndian.Uint64(key[8:])
	// "somepseudorandomlygeneratedbytes"
	return sip{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
}

// add takes in eight bytes of the message, the first lowest.
func (h *sip) add(m uint64) {
	v0, v1, v2, v3 := sipRound(h.v0, h.v1, h.v2, h.v3^m)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	h.v0, h.v1, h.v2, h.v3 = v0^m, v1, v2, v3
}

// sum takes in the last word, whose highest byte is the length of the message, and returns the hash.
func (h *sip) sum(last uint64) uint64 {
	h.add(last)
	v0, v1, v2, v3 := h.v0, h.v1, h.v2^0xff, h.v3
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
