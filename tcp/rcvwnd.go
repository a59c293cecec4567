package tcp

import (
	"math/bits"
	"time"
)

// The receive window: how much we let the peer send. Linux's way is followed closely, because window
// values show in every segment: a buffer limit (SO_RCVBUF), of which a share may be offered; a slow
// start of the offer (rcv.ssthresh); rounding; and never taking an offer back.

// initWindow chooses the first window and the scale for a connection whose segments carry mss bytes.
func (t *TCB) initWindow(scale bool, mss int) {
	space := max(t.winFromSpace(int(t.rcvLimit)), 0)
	clamp := 65535 << MaxWScale
	if n := t.windowClamp(); n > 0 {
		clamp = n
	}
	if t.has(fRcvLocked) {
		clamp = min(clamp, max(space, 1))
	}
	space = min(space, clamp)
	if space > mss && mss > 0 {
		space -= space % mss
	}
	t.rcv.wnd = uint32(min(space, 65535))
	if n := t.env.cfg.InitRwnd; n > 0 {
		t.rcv.wnd = min(t.rcv.wnd, uint32(n*mss))
	}
	t.rwin.scale = 0
	if scale {
		most := min(max(space, t.env.cfg.Rmem[2]), clamp)
		t.rwin.scale = uint8(min(max(bits.Len32(uint32(most))-16, 0), MaxWScale))
	}
	t.rwin.offered = t.rwin.scale
	t.rwin.clamp = uint32(min(clamp, 65535<<t.rwin.scale))
	t.rwin.ssthresh = t.rcv.wnd
}

// clampWindow changes the most that is ever advertised. A smaller one counts at once, a larger one lets what is
// offered grow again.
func (t *TCB) clampWindow(n int) {
	clamp := uint32(max(n, leastWindowClamp))
	if clamp < t.rwin.clamp {
		t.rwin.ssthresh = min(t.rwin.ssthresh, clamp)
	} else {
		t.rwin.ssthresh = max(t.rwin.ssthresh, min(t.rcv.wnd, clamp))
	}
	t.rwin.clamp = clamp
}

// noScale drops the scales, when the SYN-ACK did not have one.
func (t *TCB) noScale() {
	t.snd.scale, t.rwin.scale = 0, 0
	t.rwin.clamp = min(t.rwin.clamp, 65535)
	t.rwin.ssthresh = min(t.rwin.ssthresh, t.rwin.clamp)
}

// initBuffers sizes buffers and windows once the handshake is complete.
func (t *TCB) initBuffers(now time.Duration) {
	t.expandSndbuf()
	most := uint32(t.fullSpace())
	adv := uint32(t.rwin.adv)
	if t.rwin.clamp >= most {
		t.rwin.clamp = most
		if t.env.cfg.AppWin > 0 && most > 4*adv {
			t.rwin.clamp = max(most-most>>t.env.cfg.AppWin, 4*adv)
		}
	}
	// One segment is kept in reserve, so that the window can close before the buffer is full.
	if t.env.cfg.AppWin > 0 && t.rwin.clamp > 2*adv && t.rwin.clamp+adv > most {
		t.rwin.clamp = uint32(max(2*int(adv), int(most)-int(adv)))
	}
	t.rwin.ssthresh = min(t.rwin.ssthresh, t.rwin.clamp)
	t.rcvRTT, t.drs = 0, rcvSpace{
		seq: t.rcv.read, at: now,
		space: min(t.rwin.ssthresh, t.rcv.wnd, uint32(initialCwndForRcv)*adv),
	}
}

// initialCwndForRcv is the initial window we suppose our peer has, in segments.
const initialCwndForRcv = 10

// charge returns how much of SO_RCVBUF is in use.
func (t *TCB) charge() int {
	if t.wire() != nil {
		n := t.wire().total
		if t.ooo != nil {
			n += t.ooo.size
		}
		return n
	}
	n, pieces := 0, 0
	if t.x != nil {
		q := t.received()
		n, pieces = q.bytes, q.pieces.len()
	}
	if n == 0 && t.ooo == nil {
		return 0
	}
	if t.ooo != nil {
		n += t.ooo.bytes
		pieces += t.ooo.len()
	}
	return t.chargeFor(n, pieces)
}

// roomy reports whether nothing is held, and so nothing but ssthresh limits a window that is scaled and does not shrink.
func (t *TCB) roomy() bool {
	return t.Readable() == 0 && t.ooo == nil && t.wire() == nil && t.rwin.scale > 0 && !t.env.shrinks
}

// chargeFor returns what n bytes in so many pieces count against SO_RCVBUF: as much as is set aside for
// them and their overhead, so that the window closes by what is not read.
func (t *TCB) chargeFor(n, pieces int) int { return t.env.cfg.spaceFromWin(n) + pieces*pieceOverhead }

// fullSpace returns the window an empty buffer allows.
func (t *TCB) fullSpace() int { return t.winFromSpace(int(t.rcvLimit)) }

// space returns the window the buffer allows now; negative when it holds more than it should.
func (t *TCB) space() int { return t.winFromSpace(int(t.rcvLimit) - t.charge()) }

// receiveWindow returns what is left of the window advertised last.
func (t *TCB) receiveWindow() uint32 {
	if owed := uint32(t.rcv.nxt - t.rcv.wup); owed < t.rcv.wnd {
		return t.rcv.wnd - owed
	}
	return 0
}

// offer returns the window we would like to advertise, in bytes: receiver-side silly window avoidance
// (RFC 9293 §3.8.6.2.2, MUST-39). Without scaling, the window moves in whole segments.
func (t *TCB) offer() uint32 {
	allowed := t.fullSpace()
	full := min(int(t.rwin.clamp), allowed)
	if full > 0 && t.roomy() {
		return scaledUp(uint32(min(allowed, int(t.rwin.ssthresh))), t.rwin.scale) // what comes out below
	}
	free := t.space()
	mss := int(t.rwin.mss)
	if mss > full {
		if mss = full; mss <= 0 {
			return 0
		}
	}
	if shrink := t.mayShrink(); shrink || free < full/2 {
		free = free >> t.rwin.scale << t.rwin.scale // scaling must not make the offer grow
		if free < full/2 {
			t.ack.quick = 0
			if free < allowed>>4 || free < mss || shrink && free < 1<<t.rwin.scale {
				return 0
			}
		}
	}
	free = min(free, int(t.rwin.ssthresh))
	if t.rwin.scale > 0 {
		return scaledUp(uint32(free), t.rwin.scale)
	}
	wnd := int(t.rcv.wnd)
	switch {
	case wnd <= free-mss || wnd > free:
		wnd = free - free%mss
	case mss == full && free > wnd+full/2:
		wnd = free
	}
	return uint32(max(wnd, 0))
}

// mayShrink reports whether less may be offered than before. We differ from RFC 9293 §3.8.6 (SHLD-14) there on request:
// the buffer is all that the peer can fill then.
func (t *TCB) mayShrink() bool { return t.env.shrinks && t.rwin.scale > 0 }

// scaledUp rounds wnd up to what can be said with a shift of scale.
func scaledUp(wnd uint32, scale uint8) uint32 {
	scale &= 15
	return (wnd + 1<<scale - 1) >> scale << scale
}

// countZeroWindow counts windows of nothing that begin and end.
func (t *TCB) countZeroWindow(old, wnd uint32) {
	switch {
	case old != 0:
		t.env.stats.TCPToZeroWindowAdv.Add(1)
	case wnd != 0:
		t.env.stats.TCPFromZeroWindowAdv.Add(1)
	}
}

// growWindow raises rcv.ssthresh after a segment with n bytes of text: by two segments when the buffer
// will hold more segments like this one with their overhead, by less when it might not.
func (t *TCB) growWindow(n int) {
	room := min(int(t.rwin.clamp), t.space()) - int(t.rwin.ssthresh)
	if room <= 0 {
		return
	}
	incr := 0
	size := t.segmentSize(n)
	if t.winFromSpace(size) <= n {
		incr = 2 * int(t.rwin.adv)
	} else {
		incr = t.slowGrowth(size, n)
	}
	if incr > 0 {
		incr = max(incr, 2*n)
		t.rwin.ssthresh += uint32(min(room, incr))
		t.ack.quick |= 1
	}
}

// slowGrowth decides on growth for segments whose overhead outweighs their text: it is possible while the
// buffer is much larger than the window.
func (t *TCB) slowGrowth(size, n int) int {
	truesize := t.winFromSpace(size) / 2
	window := t.winFromSpace(t.env.cfg.Rmem[2]) / 2
	for ; int(t.rwin.ssthresh) <= window; window /= 2 {
		if truesize <= n {
			return 2 * int(t.rwin.mss)
		}
		truesize /= 2
		if truesize == 0 {
			break
		}
	}
	return 0
}

// rcvSpace is the state of dynamic right-sizing of the receive buffer.
type rcvSpace struct {
	at    time.Duration // when the present measurement began
	seq   Seq           // rcv.read then
	space uint32        // bytes read in the best round trip so far
}

// measureRcvRTT estimates the RTT from the receiving side: with timestamps by the echo on a full
// segment, otherwise by the time a whole window of data takes.
func (t *TCB) measureRcvRTT(now time.Duration, in *Segment) {
	if t.has(fTS) {
		if in.Opts.HasTS && in.Opts.TSEcr != 0 && in.Payload.N >= int(t.rwin.mss) {
			if d := t.tsNow(now) - in.Opts.TSEcr; int32(d) >= 0 {
				t.sampleRcvRTT(time.Duration(max(d, 1))*time.Millisecond, false)
			}
		}
		return
	}
	x := t.needExtra()
	if x.rttAt != 0 {
		if t.rcv.nxt.Before(x.rttTo) {
			return
		}
		t.sampleRcvRTT(max(now-x.rttAt, time.Microsecond), true)
	}
	x.rttTo = t.rcv.nxt.Add(t.rcv.wnd)
	x.rttAt = max(now, 1)
}

// opens reports whether more than usual may follow from the user's having read n bytes that come next, beyond which left bytes of the window
// are left. The window may be found to have doubled, as afterRead asks: no more than ssthresh is offered, which segments that are
// not small may raise. Or more was read in a round trip than ever.
//
//go:noinline
func (t *TCB) opens(left, n uint32) bool {
	return 2*uint64(left) <= uint64(t.rwin.clamp) && (n >= 128 || uint64(scaledUp(t.rwin.ssthresh, t.rwin.scale)) >= 2*uint64(left)) ||
		t.rcvRTT != 0 && uint32(t.rcv.read.Sub(t.drs.seq))+n > t.drs.space
}

// sampleRcvRTT takes a measurement. One made of whole windows overestimates, so of those the least counts.
func (t *TCB) sampleRcvRTT(m time.Duration, window bool) {
	us := micros(m)
	switch rtt := &t.rcvRTT; {
	case *rtt == 0:
		*rtt = us << 3
	case window:
		*rtt = min(*rtt, us<<3)
	default:
		*rtt = max(uint32(int64(*rtt)+int64(us)-int64(*rtt>>3)), 1)
	}
}

// adjustRcvSpace is called when the user has read: once per round trip it compares what was read
// with the best round trip before, and enlarges buffer and window to twice that and room for slow start.
func (t *TCB) adjustRcvSpace(now time.Duration) {
	rtt := time.Duration(t.rcvRTT>>3) * time.Microsecond
	if rtt == 0 || now-t.drs.at < rtt {
		return
	}
	copied := uint32(t.rcv.read.Sub(t.drs.seq))
	if t.wire() != nil {
		copied -= min(copied, uint32(t.rcv.nxt.Sub(t.rcv.read))) // Linux 6.17: what is not read yet will be next time
	}
	if copied > t.drs.space {
		if t.env.cfg.ModerateRcvbuf == On && !t.has(fRcvLocked) {
			win := uint64(copied) * 2
			if t.wire() == nil {
				win += 16 * uint64(t.rwin.adv)
			}
			grow := win * uint64(copied-t.drs.space) / uint64(max(t.drs.space, 1))
			win += grow * 2
			size := min(t.spaceFromWin(int(min(win, 1<<30))), t.env.cfg.Rmem[2])
			if size > int(t.rcvLimit) {
				t.rcvLimit = int32(size)
				t.rwin.clamp = uint32(min(t.winFromSpace(size), 65535<<t.rwin.scale))
			}
		}
		t.drs.space = copied
	}
	t.drs.seq = t.rcv.read
	t.drs.at = now
}

// expandSndbuf enlarges the send buffer so that it holds two congestion windows of segments.
func (t *TCB) expandSndbuf() {
	if t.has(fSndLocked) {
		return
	}
	per := int(max(t.mssClamp, t.mss)) + 576 // what a segment costs Linux beside its text
	per = 1 << bits.Len(uint(per-1))
	n := max(initialCwndForRcv, int(t.cong.Cwnd), int(t.reordering)+1)
	size := min(2*n*per, t.env.cfg.Wmem[2])
	t.sndLimit = max(t.sndLimit, int32(size))
}

func (t *TCB) tsLenIfRecent() int {
	if t.has(fTSRecent) {
		return 12
	}
	return 0
}
