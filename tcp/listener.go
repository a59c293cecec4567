package tcp

// ListenInput is RFC 9293 §3.10.7.2: what a listener does with a segment that belongs to no connection. With
// ListenSYN the caller decides by its queues: TCB.Passive, a SYN cookie (MakeCookie), or silence. With
// ListenACK the segment may be the answer to a cookie (CheckCookie, TCB.PassiveCookie); if it is not, it is
// answered with Reset.
func ListenInput(in *Segment) ListenVerdict {
	switch {
	case in.Flags&RST != 0:
		// "First, check for a RST: An incoming RST should be ignored."
		return ListenDrop
	case in.Flags&ACK != 0:
		// "Second, check for an ACK: Any acknowledgment is bad if it arrives on a connection still in the LISTEN
		// state. An acceptable reset segment should be formed for any arriving ACK-bearing segment."
		if in.Flags&SYN != 0 {
			return ListenReset
		}
		return ListenACK
	case in.Flags&SYN != 0:
		// "Third, check for a SYN." Like Linux, none with FIN: nobody honest sends that.
		if in.Flags&FIN != 0 {
			return ListenDrop
		}
		return ListenSYN
	}
	// "Fourth, other data or control: ... Drop the segment and return."
	return ListenDrop
}

// ListenVerdict is what ListenInput says.
type ListenVerdict uint8

// The verdicts.
const (
	ListenDrop  ListenVerdict = iota // ignore it
	ListenReset                      // answer with Reset
	ListenSYN                        // a connection is asked for
	ListenACK                        // an answer to a cookie, or else to be answered with Reset
)

// CookieSYNACK builds in out the SYN-ACK that answers syn with the cookie iss, without a connection. p has
// what Passive would have been given; tsOffset is added to CookieTSVal. Options the cookie cannot remember
// are not offered.
func CookieSYNACK(p *Params, syn *Segment, iss Seq, now uint32, out *Segment) {
	var t TCB
	t.init(0, p)
	t.takeSYNOptions(0, syn)
	if !t.has(fTS) {
		t.flags &^= fSACK | fWScale // only timestamps can carry them
	}
	t.initWindow(t.has(fWScale), int(t.rwin.adv)-t.tsLen())
	*out = Segment{
		SrcPort: t.localPort, DstPort: t.remotePort, Seq: iss, Ack: syn.Seq.Add(1), Flags: SYN | ACK,
		Wnd: uint16(min(t.rcv.wnd, 65535)), Cause: CauseSYNACK,
		Opts: Options{
			MSS: t.advMSS(), HasMSS: true, SACKPermitted: t.has(fSACK),
			HasWScale: t.has(fWScale), WScale: t.rwin.scale, HasTS: t.has(fTS),
		},
	}
	if t.has(fTS) {
		out.Opts.TSVal = CookieTSVal(now, syn) + p.TSOffset
		out.Opts.TSEcr = syn.Opts.TSVal
		if syn.Flags.Has(ECE|CWR) && t.env.cfg.ECN != ECNOff {
			out.Flags |= ECE
		}
	}
	t.env.stats.SyncookiesSent.Add(1)
	t.env.stats.OutSegs.add(t.localPort)
}
