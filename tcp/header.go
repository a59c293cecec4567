package tcp

import "encoding/binary"

// Sizes of a TCP header in bytes (RFC 9293 §3.1).
const (
	MinHeaderLen = 20 // no options
	MaxHeaderLen = 60 // the data offset counts at most fifteen 32-bit words

	tsHeaderLen = MinHeaderLen + 12 // nop, nop, timestamps: almost every segment of a connection
)

// Where the fields of a header are. The checksum's place is exported for those who fill it in.
const (
	ChecksumOffset = 16 // of the checksum field, from the start of the TCP header

	offSrcPort = 0
	offDstPort = 2
	offSeq     = 4
	offAck     = 8
	offDataOff = 12
	offFlags   = 13
	offWnd     = 14
	offUrg     = 18
)

// Reason says why a segment cannot be used. The zero value, ReasonOK, means it can. Each reason
// counts in one place, its own; all of them are part of what Linux counts as InErrs.
type Reason uint8

// The reasons for which a TCP header is refused.
const (
	ReasonOK           Reason = iota
	ReasonTruncated           // fewer bytes than a header, or than its data offset says
	ReasonDataOffset          // data offset below five words
	ReasonOptTruncated        // an option reaches beyond the header, or lacks its length byte
	ReasonOptLength           // an option's length is impossible: below two, or wrong for its kind
	ReasonChecksum            // checksum does not match; found by whoever holds the IP addresses
	NumReasons                // how many there are, for arrays of counters
)

var reasonNames = [NumReasons]string{
	"OK", "InHdrTruncated", "InHdrDataOffset", "InOptTruncated", "InOptLength", "InCsumErrors",
}

// String returns the name of the counter for r.
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "Reason(?)"
}

// ParseHeader reads the TCP header at the start of b into s and returns its length, so that
// b[hdrLen:] is the payload. All fields are set but Payload, ECN and Cause, which are left as they
// were. The checksum is not looked at: that takes the IP addresses. Reserved bits are ignored
// (RFC 9293 §3.1), the urgent pointer and the acknowledgment number are read even when their bit is off.
//
// ReasonTruncated and ReasonDataOffset come with hdrLen 0 and an s that means nothing. The reasons
// about options come with the real hdrLen and an s that holds the fixed fields and the options that
// could be read: RFC 9293 §3.1 (MUST-7) asks to be prepared for them, and a caller that would rather do as
// Linux, which takes the segment, can.
func ParseHeader(b []byte, s *Segment) (hdrLen int, why Reason) {
	if len(b) < MinHeaderLen {
		return 0, ReasonTruncated
	}
	h := (*[MinHeaderLen]byte)(b)
	s.SrcPort = binary.BigEndian.Uint16(h[offSrcPort:])
	s.DstPort = binary.BigEndian.Uint16(h[offDstPort:])
	s.Seq = Seq(binary.BigEndian.Uint32(h[offSeq:]))
	s.Ack = Seq(binary.BigEndian.Uint32(h[offAck:]))
	s.Flags = Flags(h[offFlags])
	s.Wnd = binary.BigEndian.Uint16(h[offWnd:])
	s.Urg = binary.BigEndian.Uint16(h[offUrg:])
	s.Opts = Options{}

	hdrLen = int(h[offDataOff]>>4) * 4
	if hdrLen == MinHeaderLen {
		return MinHeaderLen, ReasonOK
	}
	if hdrLen == tsHeaderLen && len(b) >= tsHeaderLen {
		o := (*[tsHeaderLen]byte)(b)
		if binary.BigEndian.Uint32(o[MinHeaderLen:]) == wordNopNopTS {
			s.Opts.HasTS = true
			s.Opts.TSVal = binary.BigEndian.Uint32(o[MinHeaderLen+4:])
			s.Opts.TSEcr = binary.BigEndian.Uint32(o[MinHeaderLen+8:])
			return tsHeaderLen, ReasonOK
		}
	}
	if hdrLen == MinHeaderLen+lenUsualSYN && len(b) >= MinHeaderLen+lenUsualSYN && s.Flags&SYN != 0 &&
		s.Opts.parseUsualSYN((*[lenUsualSYN]byte)(b[MinHeaderLen:])) {
		return hdrLen, ReasonOK
	}
	switch {
	case hdrLen < MinHeaderLen:
		return 0, ReasonDataOffset
	case hdrLen > len(b):
		return 0, ReasonTruncated
	}
	return hdrLen, s.Opts.parse(b[MinHeaderLen:hdrLen], s.Flags&SYN != 0)
}

// HeaderLen returns the length in bytes of the header that MarshalHeader writes for s: 20 plus the
// options, a multiple of 4, at most 60.
func (s *Segment) HeaderLen() int {
	return MinHeaderLen + s.Opts.marshaledLen(s.Flags&SYN != 0)
}

// TSOnly reports whether timestamps are all the options of s, as of almost all segments: HeaderLen is TSHeaderLen then.
func (s *Segment) TSOnly() bool { return s.Opts.HasTS && s.Opts.NSACK == 0 && s.Flags&SYN == 0 }

// MarshalHeader writes the header of s into b, every byte of it, and returns its length, HeaderLen.
// The checksum field is zero, for the caller to fill in. b must have room for HeaderLen bytes;
// anything shorter is a bug of the caller and panics.
//
// Which options are written depends on SYN, as ParseHeader reads them: MSS, window scale and
// SACK-permitted with it (RFC 9293 MUST-65, RFC 7323 §2.2, RFC 2018 §2), SACK blocks without it.
func (s *Segment) MarshalHeader(b []byte) int {
	h := (*[MinHeaderLen]byte)(b)
	hdrLen := MinHeaderLen
	switch {
	case s.TSOnly():
		o := (*[tsHeaderLen]byte)(b)
		binary.BigEndian.PutUint32(o[MinHeaderLen:], wordNopNopTS)
		binary.BigEndian.PutUint32(o[MinHeaderLen+4:], s.Opts.TSVal)
		binary.BigEndian.PutUint32(o[MinHeaderLen+8:], s.Opts.TSEcr)
		hdrLen = tsHeaderLen
	case s.Opts.NSACK != 0 || s.Flags&SYN != 0:
		hdrLen += s.Opts.marshal(b[MinHeaderLen:], s.Flags&SYN != 0)
	}
	binary.BigEndian.PutUint64(h[offSrcPort:], uint64(s.SrcPort)<<48|uint64(s.DstPort)<<32|uint64(s.Seq))
	binary.BigEndian.PutUint64(h[offAck:], uint64(s.Ack)<<32|uint64(hdrLen)<<26|uint64(s.Flags)<<16|uint64(s.Wnd))
	binary.BigEndian.PutUint32(h[ChecksumOffset:], uint32(s.Urg))
	return hdrLen
}
