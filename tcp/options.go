package tcp

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
	SACK          [4]Range // SACK blocks in wire order (RFC 2018 §3)
}
