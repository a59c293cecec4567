package ipv4

import (
	"encoding/binary"
	"net/netip"
)

// Repr is what an IPv4 header says, in a form to compute with. Fields that
// follow from others (version, header length, checksum) are not in it.
type Repr struct {
	TOS            uint8  // DSCP<<2 | ECN
	TTL            uint8  // hops
	Protocol       uint8  // of the payload
	DontFragment   bool   // DF
	MoreFragments  bool   // MF
	ID             uint16 // identification
	FragmentOffset int    // bytes, a multiple of 8 in 0..65528
	PayloadLen     int    // bytes after the header
	Src, Dst       netip.Addr
	Options        []byte // at most 40 bytes; Marshal pads to a multiple of 4 with end-of-options
}

// Repr returns what the header says. Options alias the header.
func (h Header) Repr() Repr {
	return Repr{
		TOS: h.TOS(), TTL: h.TTL(), Protocol: h.Protocol(),
		DontFragment: h.DontFragment(), MoreFragments: h.MoreFragments(),
		ID: h.ID(), FragmentOffset: h.FragmentOffset(), PayloadLen: h.PayloadLen(),
		Src: h.Src(), Dst: h.Dst(), Options: h.Options(),
	}
}

// HeaderLen returns the length in bytes of the header that Marshal writes.
func (r *Repr) HeaderLen() int { return MinHeaderLen + (len(r.Options)+3)&^3 }

// Marshal writes the header, checksum included, to the start of b and returns
// its length. It writes every byte of it, whatever was there before. It panics
// when b is shorter than HeaderLen, when Options exceed 40 bytes, when the
// datagram would exceed 65535 bytes, when FragmentOffset is out of range and
// when an address is not an IPv4 one: those are the caller's broken invariants.
func (r *Repr) Marshal(b []byte) int {
	n := r.HeaderLen()
	total := n + r.PayloadLen
	if n > MaxHeaderLen || uint(total) > MaxLen || r.PayloadLen < 0 || uint(r.FragmentOffset) > offsetMask*8 || r.FragmentOffset&7 != 0 {
		panic("ipv4: header fields out of range")
	}
	frag := uint16(r.FragmentOffset / 8)
	if r.DontFragment {
		frag |= FlagDF
	}
	if r.MoreFragments {
		frag |= flagMF
	}
	p := (*[MinHeaderLen]byte)(b)
	src, dst := r.Src.As4(), r.Dst.As4()
	// Words of 8 bytes: version, header length, TOS, total length, ID and the
	// fragment word; then TTL, protocol, a zero checksum and the source.
	binary.BigEndian.PutUint64(p[0:], uint64(0x40|n/4)<<56|uint64(r.TOS)<<48|uint64(total)<<32|uint64(r.ID)<<16|uint64(frag))
	binary.BigEndian.PutUint64(p[8:], uint64(r.TTL)<<56|uint64(r.Protocol)<<48|uint64(binary.BigEndian.Uint32(src[:])))
	copy(p[16:], dst[:])
	if len(r.Options) > 0 {
		copy(b[MinHeaderLen:n], r.Options)
		clear(b[MinHeaderLen+len(r.Options) : n]) // end of options, RFC 791 §3.1
	}
	binary.LittleEndian.PutUint16(p[10:], ^headerSum(b[:n])) // lanes are little-endian, see headerSum
	return n
}

// Plain is what the headers of a flow's whole datagrams without options have in
// common, its addresses as numbers: for those who send by the million.
type Plain struct {
	TTL, Protocol uint8
	Src, Dst      uint32 // 127.0.0.1 is 0x7f000001
}

// Words returns the first sixteen bytes of a header, checksum included, after which comes Dst. sum is that of the addresses in
// 16-bit words, not complemented, total the length of the datagram with the header, flags what is in the word with id. It
// is small enough to be part of the caller, who sees to it that total is no more than MaxLen.
func (h Plain) Words(tos uint8, id uint16, flags, total, sum uint64) (first, second uint64) {
	first = 0x45<<56 | uint64(tos)<<48 | total<<32 | uint64(id)<<16 | flags
	second = uint64(h.TTL)<<56 | uint64(h.Protocol)<<48
	s := first>>48 + total + uint64(id) + flags + second>>48 + sum
	s = s>>16 + s&0xffff
	s += s >> 16
	return first, second | uint64(h.Src) | (^s&0xffff)<<32
}
