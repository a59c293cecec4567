package tcp

import "math/bits"

// Linux's receive window depends on the memory that the device puts packets in, and shows it: what waits to be read
// counts with all of its buffer, and the share of SO_RCVBUF that is offered follows how well full segments fill
// theirs (tcp_scaling_ratio). A connection to a peer beyond the wire (Params.Wire) does as Linux does for packets from
// a TUN device, so that its window, and when it acknowledges, are what they are there. Others count bytes and a
// constant for each piece.

// wireBufs accounts for the buffers of a receive queue.
type wireBufs struct {
	bufs  queue[wireBuf]
	total int   // sum of the sizes
	ratio uint8 // share of memory that is text, of 256
}

type wireBuf struct {
	bytes int // text not read
	size  int // memory, Linux's truesize
	room  int // behind the text, for what follows
}

// Sizes of Linux 6.18 on 64 bits, in bytes.
const (
	bufAlign    = 64
	bufTailSize = 320  // struct skb_shared_info
	bufHeadRoom = 64   // NET_SKB_PAD, in front of the packet
	bufStruct   = 256  // struct sk_buff
	bufSmall    = 576  // least size of a head (SKB_SMALL_HEAD)
	bufPage     = 4096 // what is longer lies in pages
)

// bufferFor returns the memory that Linux spends on a packet of n bytes, and how many bytes fit in behind it.
func bufferFor(n int) (size, room int) {
	if bufHeadRoom+n >= bufPage {
		return bufSmall + bufStruct + n, 0 // we differ: Linux rounds up to pages, and drops what the window let in
	}
	head := (bufHeadRoom+n+bufAlign-1)/bufAlign*bufAlign + bufTailSize
	if head <= bufSmall {
		head = bufSmall
	} else {
		head = 1 << bits.Len(uint(head-1))
	}
	return head + bufStruct, head - bufTailSize - bufHeadRoom - n
}

// wireSize is bufferFor for a segment with n bytes of text.
func (t *TCB) wireSize(n int) (size, room int) {
	return bufferFor(ipHeaderLen(t.has(fIPv6)) + MinHeaderLen + t.tsLen() + n)
}

// add takes n bytes of text that came in a buffer of the given size: it is copied to the end of the one before if it
// fits there.
func (w *wireBufs) add(n, size, room int) {
	if k := w.bufs.len(); k > 0 {
		if last := &w.bufs.all()[k-1]; last.room >= n {
			last.bytes += n
			last.room -= n
			return
		}
	}
	w.bufs.push(wireBuf{n, size, room})
	w.total += size
}

// consume notes that n bytes were read: a buffer is free when all of it was.
func (w *wireBufs) consume(n int) {
	for n > 0 && w.bufs.len() > 0 {
		b := &w.bufs.all()[0]
		k := min(n, b.bytes)
		b.bytes -= k
		if n -= k; b.bytes == 0 {
			w.total -= b.size
			w.bufs.pop()
		}
	}
}

// collapse gathers the text in as few buffers of a page as it fits into: what Linux does when the receive buffer is full
// of overhead (tcp_collapse).
func (w *wireBufs) collapse() {
	const size, text = bufPage + bufStruct, bufPage - bufTailSize
	n := 0
	for _, b := range w.bufs.all() {
		n += b.bytes
	}
	if (n+text-1)/text*size >= w.total {
		return
	}
	w.clear()
	for ; n > 0; n -= text {
		k := min(n, text)
		w.bufs.push(wireBuf{k, size, text - k})
		w.total += size
	}
}

func (w *wireBufs) clear() {
	w.bufs.clear()
	w.total = 0
}

// winFromSpace returns how much of space bytes of buffer may be offered.
func (t *TCB) winFromSpace(space int) int {
	if t.wire() == nil {
		return t.env.cfg.winFromSpace(space)
	}
	return int(int64(space) * int64(t.wire().ratio) >> 8)
}

// spaceFromWin is the inverse of winFromSpace.
func (t *TCB) spaceFromWin(win int) int {
	if t.wire() == nil {
		return t.env.cfg.spaceFromWin(win)
	}
	return int(int64(win) << 8 / int64(t.wire().ratio))
}

// measureRatio follows how well segments of n bytes of text fill their buffers.
func (t *TCB) measureRatio(n int) {
	size, _ := t.wireSize(n)
	ratio := uint8(max(min(n<<8/size, 255), 1))
	if ratio == t.wire().ratio {
		return
	}
	t.wire().ratio = ratio
	t.clampWindow(t.winFromSpace(int(t.rcvLimit)))
	t.drs.space = min(t.drs.space, t.rwin.clamp)
}

// segmentSize returns what a segment with n bytes of text takes of the receive buffer.
func (t *TCB) segmentSize(n int) int {
	if t.wire() == nil {
		return n + pieceOverhead
	}
	size, _ := t.wireSize(n)
	return size
}
