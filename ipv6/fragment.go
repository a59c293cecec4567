package ipv6

// FragmentAt says how the fragmentable part of a packet, n bytes of it, is cut
// at its byte off when mtu is that of the path and unfragmentable the length in
// bytes of what precedes the fragment header in every fragment: HeaderLen, when
// there are no other extension headers (RFC 8200 §4.5). size is what the
// fragment takes, and more whether others follow:
//
//	for off, more := 0, true; more; {
//		var size int
//		size, more, ok = ipv6.FragmentAt(n, off, ipv6.HeaderLen, mtu)
//		...
//		off += size
//	}
//
// Cuts are at multiples of 8 bytes. ok is false when there is no room for 8
// bytes of payload, and when off is not a multiple of 8 within the payload.
func FragmentAt(n, off, unfragmentable, mtu int) (size int, more, ok bool) {
	rest := n - off
	if off&7 != 0 || off < 0 || rest < 0 || off > 0 && rest == 0 {
		return 0, false, false
	}
	room := mtu - unfragmentable - FragmentHeaderLen
	if rest <= room {
		return rest, false, true
	}
	size = room &^ 7
	if size <= 0 {
		return 0, false, false
	}
	return size, true, true
}

// MarshalFragment writes the fixed header of a fragment and the fragment header
// behind it to the start of b and returns their length, 48. r is the header of
// the whole packet, without other extension headers: its NextHeader and the
// fragment's size take their places.
func (r *Repr) MarshalFragment(b []byte, off, size int, more bool, id uint32) int {
	f := *r
	f.NextHeader = ProtoFragment
	f.PayloadLen = FragmentHeaderLen + size
	n := f.Marshal(b)
	return n + MarshalFragmentHeader(b[n:], r.NextHeader, off, more, id)
}
