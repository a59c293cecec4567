package tcp

import "encoding/binary"

// Options are the TCP options this package knows (RFC 9293 §3.2, RFC 7323, RFC 2018). The zero value
// means none. Which fields mean anything depends on the segment: MSS, WScale and SACKPermitted belong
// to segments with SYN, SACK blocks to those without.
type Options struct {
	TSVal, TSEcr  uint32 // timestamps option (RFC 7323 §3.2), when HasTS
	MSS           uint16 // maximum segment size in bytes, when HasMSS
	WScale        uint8  // shift count 0…14, when HasWScale (RFC 7323 §2.2)
	NSACK         uint8  // number of blocks in SACK, 0…4; at most 3 fit beside timestamps
	HasMSS        bool
	HasWScale     bool
	SACKPermitted bool // the sender understands SACK (RFC 2018 §2)
	HasTS         bool
	SACK          [4]Range        // SACK blocks in wire order (RFC 2018 §3)
	FastOpen      *FastOpenCookie // Fast Open option of a segment with SYN; nil: none
}

// MaxWScale is the largest window shift count (RFC 7323 §2.2).
const MaxWScale = 14

// Option kinds and their lengths on the wire.
const (
	optEOL           = 0
	optNOP           = 1
	optMSS           = 2
	optWScale        = 3
	optSACKPermitted = 4
	optSACK          = 5
	optTS            = 8

	lenMSS           = 4
	lenWScale        = 3
	lenSACKPermitted = 2
	lenTS            = 10
	lenSACKBase      = 2
	lenSACKBlock     = 8

	lenUsualSYN = 20 // MSS, SACK permitted, timestamps, window scale
)

// The 32-bit words that begin the options as we lay them out: like Linux, so that every option is
// aligned and its place says what else is there.
const (
	wordMSS        = optMSS<<24 | lenMSS<<16 // | mss
	wordNopNopTS   = optNOP<<24 | optNOP<<16 | optTS<<8 | lenTS
	wordSackOKTS   = optSACKPermitted<<24 | lenSACKPermitted<<16 | optTS<<8 | lenTS
	wordNopSackOK  = optNOP<<24 | optNOP<<16 | optSACKPermitted<<8 | lenSACKPermitted
	wordNopWScale  = optNOP<<24 | optWScale<<16 | lenWScale<<8          // | shift
	wordNopNopSACK = optNOP<<24 | optNOP<<16 | optSACK<<8 | lenSACKBase // + 8 × blocks
)

// parseUsualSYN reads the options in b, which are those of a SYN, into o, which is zero, if they are laid out as marshal
// does, each there and valid. It returns false, and leaves o alone, if they are not.
func (o *Options) parseUsualSYN(b *[lenUsualSYN]byte) bool {
	mss, scale := binary.BigEndian.Uint32(b[0:]), binary.BigEndian.Uint32(b[16:])
	if mss&^0xffff != wordMSS || mss == wordMSS || binary.BigEndian.Uint32(b[4:]) != wordSackOKTS || scale&^0xff != wordNopWScale {
		return false
	}
	o.MSS, o.HasMSS, o.SACKPermitted = uint16(mss), true, true
	o.TSVal, o.TSEcr, o.HasTS = binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:]), true
	o.WScale, o.HasWScale = min(uint8(scale), MaxWScale), true
	return true
}

// parse reads the options in b into o, which is zero. Options we do not implement are skipped by their
// length (MUST-6, MUST-68), wherever they are and however aligned (MUST-5, MUST-64); so are those whose length is
// not one their kind can have, which the Reason tells. Of an option that comes twice the last one counts, as in
// Linux.
func (o *Options) parse(b []byte, syn bool) (why Reason) {
	for len(b) > 0 {
		switch b[0] {
		case optEOL:
			// The rest is padding that its sender must have zeroed (MUST-69); nothing asks us to look.
			return why
		case optNOP:
			b = b[1:]
			continue
		}
		if len(b) < 2 {
			return ReasonOptTruncated
		}
		n := int(b[1])
		if n < 2 {
			return ReasonOptLength // zero would loop for ever (MUST-7)
		}
		if n > len(b) {
			return ReasonOptTruncated
		}
		if !o.parseOne(b[:n], syn) {
			why = ReasonOptLength
		}
		b = b[n:]
	}
	return why
}

// parseOne reads one option, kind and length byte included, whose length is as the length byte says.
// It returns false when that length is not one this kind can have. Options that have no business in
// this segment (those of the SYN elsewhere, SACK blocks in a SYN) are checked but not taken.
func (o *Options) parseOne(b []byte, syn bool) bool {
	switch b[0] {
	case optMSS:
		if len(b) != lenMSS {
			return false
		}
		// An MSS of zero announces nothing one could send; Linux ignores it too.
		if mss := binary.BigEndian.Uint16(b[2:]); syn && mss != 0 {
			o.MSS, o.HasMSS = mss, true
		}
	case optWScale:
		if len(b) != lenWScale {
			return false
		}
		if syn {
			// "If a Window Scale option is received with a shift.cnt value larger than 14, the TCP
			// SHOULD log the error but MUST use 14 instead" (RFC 7323 §2.3).
			o.WScale, o.HasWScale = min(b[2], MaxWScale), true
		}
	case optSACKPermitted:
		if len(b) != lenSACKPermitted {
			return false
		}
		o.SACKPermitted = o.SACKPermitted || syn
	case optTS:
		if len(b) != lenTS {
			return false
		}
		o.TSVal, o.TSEcr, o.HasTS = binary.BigEndian.Uint32(b[2:]), binary.BigEndian.Uint32(b[6:]), true
	case optSACK:
		return o.parseSACK(b[lenSACKBase:], syn)
	case optFastOpen:
		if syn {
			o.FastOpen = parseFastOpen(b[2:], false)
		}
	case optExperimental:
		if syn && len(b) >= 4 && binary.BigEndian.Uint16(b[2:]) == fastOpenMagic {
			o.FastOpen = parseFastOpen(b[4:], true)
		}
	}
	return true
}

// parseSACK reads the blocks of a SACK option. b is at most 38 bytes long, which holds four blocks.
func (o *Options) parseSACK(b []byte, syn bool) bool {
	if len(b) == 0 || len(b)%lenSACKBlock != 0 {
		return false
	}
	if syn {
		return true
	}
	o.NSACK = 0
	for i := range o.SACK {
		if len(b) < lenSACKBlock {
			o.SACK[i] = Range{}
			continue
		}
		o.SACK[i] = Range{
			Start: Seq(binary.BigEndian.Uint32(b)),
			End:   Seq(binary.BigEndian.Uint32(b[4:])),
		}
		o.NSACK++
		b = b[lenSACKBlock:]
	}
	return true
}

// nsack returns how many SACK blocks are sent: what there is, and what fits into 40 bytes of options.
func (o *Options) nsack() int {
	n := min(int(o.NSACK), len(o.SACK))
	if o.HasTS {
		n = min(n, len(o.SACK)-1)
	}
	return n
}

// marshaledLen returns the number of bytes marshal writes.
func (o *Options) marshaledLen(syn bool) int {
	n := 0
	if o.HasTS {
		n += 12
	}
	if !syn {
		if k := o.nsack(); k > 0 {
			n += 4 + k*lenSACKBlock
		}
		return n
	}
	if o.HasMSS {
		n += 4
	}
	if o.SACKPermitted && !o.HasTS {
		n += 4 // beside timestamps it takes the place of their two NOPs
	}
	if o.HasWScale {
		n += 4
	}
	if o.FastOpen != nil {
		n += o.FastOpen.marshaledLen()
	}
	return n
}

// marshal writes the options and returns their length, a multiple of four. The order and padding are
// those of Linux, by which tools recognise it:
//
//	SYN:  mss, sackOK, TS, nop, wscale   or without timestamps   mss, nop, nop, sackOK, nop, wscale
//	      and a Fast Open cookie behind that, with nops up to a multiple of four bytes
//	else: nop, nop, TS, nop, nop, SACK
func (o *Options) marshal(b []byte, syn bool) int {
	n := 0
	put := func(w uint32) {
		binary.BigEndian.PutUint32(b[n:], w)
		n += 4
	}
	sackOK := syn && o.SACKPermitted
	if sackOK && o.HasMSS && o.HasTS && o.HasWScale && o.FastOpen == nil { // as almost all SYNs have it
		w := (*[lenUsualSYN]byte)(b)
		binary.BigEndian.PutUint32(w[0:], wordMSS|uint32(o.MSS))
		binary.BigEndian.PutUint32(w[4:], wordSackOKTS)
		binary.BigEndian.PutUint32(w[8:], o.TSVal)
		binary.BigEndian.PutUint32(w[12:], o.TSEcr)
		binary.BigEndian.PutUint32(w[16:], wordNopWScale|uint32(min(o.WScale, MaxWScale)))
		return lenUsualSYN
	}
	if syn && o.HasMSS {
		put(wordMSS | uint32(o.MSS))
	}
	if o.HasTS {
		if sackOK {
			put(wordSackOKTS)
			sackOK = false
		} else {
			put(wordNopNopTS)
		}
		put(o.TSVal)
		put(o.TSEcr)
	}
	if sackOK {
		put(wordNopSackOK)
	}
	if syn && o.HasWScale {
		put(wordNopWScale | uint32(min(o.WScale, MaxWScale)))
	}
	if syn && o.FastOpen != nil {
		n += o.FastOpen.marshal(b[n:])
	}
	if k := o.nsack(); k > 0 && !syn {
		put(wordNopNopSACK + uint32(k*lenSACKBlock))
		for _, r := range o.SACK[:k] {
			put(uint32(r.Start))
			put(uint32(r.End))
		}
	}
	return n
}
