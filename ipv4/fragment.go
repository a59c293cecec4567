package ipv4

// FragmentAt returns the header of the fragment of the datagram r that begins
// at the byte off of its payload and is as large as mtu allows (RFC 791 §3.2).
// Its PayloadLen says how much of the payload it takes; the next one begins
// there, until all is taken:
//
//	for off := 0; off < r.PayloadLen; {
//		f, ok := r.FragmentAt(off, mtu)
//		...
//		off += f.PayloadLen
//	}
//
// Cuts are at multiples of 8 bytes; r may be a fragment itself. Fragments other
// than the first carry only the options marked as copied, which costs an
// allocation when there are options. DF is not looked at. ok is false when the
// header leaves no room for 8 bytes of payload, which cannot happen for an mtu
// of MinMTU or more, when off is not a multiple of 8 within the payload, and
// when r is a fragment so far out that the offset would not fit the header.
func (r *Repr) FragmentAt(off, mtu int) (f Repr, ok bool) {
	f = *r
	if off > 0 && len(r.Options) > 0 {
		f.Options = AppendCopied(nil, r.Options)
	}
	room := mtu - f.HeaderLen()
	rest := r.PayloadLen - off
	if off&7 != 0 || off < 0 || rest < 0 || off > 0 && rest == 0 || r.FragmentOffset+off > offsetMask*8 {
		return Repr{}, false
	}
	f.FragmentOffset += off
	f.PayloadLen = rest
	if rest > room {
		f.PayloadLen = room &^ 7
		if f.PayloadLen <= 0 {
			return Repr{}, false
		}
		f.MoreFragments = true
	}
	return f, true
}
