package tcp

import (
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// env is what the connections of a stack have in common, so that each holds one pointer to it. It hangs on
// the stack's Stats (see newEnv) and also recycles transfers.
type env struct {
	// What each packet of a dialogue asks for, most of it Config's, is one cache line (TestSizes).
	observer                     Observer
	rtoMin, rtoMax               time.Duration
	delackMin, delackMax         time.Duration
	minRTTWin                    time.Duration
	rtoFloor                     uint32 // the least RTTVAR, in microseconds
	earlyProbes, shrinks, shared bool   // EarlyRetrans is 3 or more; ShrinkWindow is On; alloc and observer can be compared
	full                         bool   // no short cuts: for a comparison, or because they do not know of path MTU probes

	cfg   *Config
	alloc Allocator
	stats *Stats
	given *Config   // what Params had
	asked Allocator // the same

	transfers sync.Pool
	keepAlive atomic.Pointer[KeepAliveConfig] // the latest that was set
	_         [24]byte                        // whole cache lines: they begin where those of memory do
}

// sharedKeepAlive returns c in memory that connections share: package net gives all of them the same. e may
// be nil.
func (e *env) sharedKeepAlive(c KeepAliveConfig) *KeepAliveConfig {
	if e != nil {
		if last := e.keepAlive.Load(); last != nil && *last == c {
			return last
		}
	}
	fresh := c // c itself must not escape: it would do so at every call
	if e != nil {
		e.keepAlive.Store(&fresh)
	}
	return &fresh
}

// newEnv returns the env for a connection with p: that of the connection before, if it had the same Params.
func newEnv(p *Params) *env {
	if p.Stats != nil {
		// Where e's alloc and observer can be compared, so can any of the same types.
		if e := p.Stats.env.Load(); e != nil && e.given == p.Config && e.shared && e.asked == p.Alloc && e.observer == p.Observer {
			return e
		}
	}
	e := &env{cfg: p.Config, given: p.Config, alloc: p.Alloc, asked: p.Alloc, stats: p.Stats, observer: p.Observer}
	e.shared = canCompare(p.Alloc) && canCompare(p.Observer)
	e.transfers.New = func() any { return newTransfer() }
	if e.cfg == nil || !e.cfg.filled {
		e.cfg = e.cfg.Defaults()
	}
	e.ask()
	if e.alloc == nil {
		e.alloc = HeapAllocator{}
	}
	if e.stats == nil {
		e.stats = new(Stats)
		return e
	}
	e.stats.env.Store(e)
	return e
}

// ask takes from cfg what is asked for often.
func (e *env) ask() {
	c := e.cfg
	e.full = c.MTUProbing != 0
	e.rtoFloor = c.rtoLimits().floor()
	e.rtoMin, e.rtoMax, e.delackMin, e.delackMax, e.minRTTWin = c.RTOMin, c.RTOMax, c.DelackMin, c.DelackMax, c.MinRTTWin
	e.earlyProbes, e.shrinks = c.EarlyRetrans >= 3, c.ShrinkWindow == On
}

// canCompare reports whether values like v can be compared.
func canCompare(v any) bool { return v == nil || reflect.TypeOf(v).Comparable() }

// transfer is what a connection needs only while it carries something: the retransmission queue and the
// send and receive queues. An idle connection has none.
//
// The first rooms of the queues are enough for a dialogue of small messages, and more come with use. As arrays of their own
// they would share cache lines with those of connections that are at work on another processor. What a question and its answer need of
// each lies beside the queue, on cache lines as few as possible (TestSizes); a lone text needs the first of them, and those it lies on.
type transfer struct {
	// Whoever comes for small is at the beginning, too: the compiler sees there that there is one.
	rcv  recvBuf
	next *transfer // in Spares

	small [smallText]byte // where SendLone keeps text that the segment has a copy of, and TakeLone text that was not read yet

	rtx      queue[txSeg]
	firstRtx [9]txSeg
	_        [8]byte // snd begins a line

	snd         sendBuf
	firstChunks [2]chunk
	firstPieces [1]Piece
}

// smallText is the most text that SendLone copies, in bytes.
const smallText = 256

// queueKeep is the most room, in items, that queues of a recycled transfer keep.
const queueKeep = 256

func newTransfer() *transfer {
	x := new(transfer)
	x.rtx.room(x.firstRtx[:])
	x.snd.chunks.room(x.firstChunks[:])
	x.rcv.pieces.room(x.firstPieces[:])
	return x
}

// needX is queues with t.x taken from spare or the recycled ones if there was none. spare may be nil. It is small enough to be
// part of the caller.
func (t *TCB) needX(spare *Spares) *transfer {
	if t.x == nil || t.snd.lone != loneNone {
		t.makeX(spare)
	}
	return t.x
}

func (t *TCB) makeX(spare *Spares) {
	if t.x == nil {
		t.x = t.newX(spare)
	} else {
		t.unfold()
	}
}

func (t *TCB) newX(spare *Spares) *transfer {
	if spare != nil {
		if x := spare.take(); x != nil {
			return x
		}
	}
	return t.env.transfers.Get().(*transfer)
}

// modest reports whether the queues may keep their room.
func (x *transfer) modest() bool {
	return cap(x.rtx.items)+cap(x.snd.chunks.items)+cap(x.rcv.pieces.items) <= queueKeep
}

// trim gives up what large queues there are.
func (x *transfer) trim() {
	x.rtx.keep(queueKeep, x.firstRtx[:])
	x.snd.chunks.keep(queueKeep, x.firstChunks[:])
	x.rcv.pieces.keep(queueKeep, x.firstPieces[:])
}

// Spares is memory that TCBs need only while they carry something, for one who runs many of them, one at a time: a
// dialogue needs it anew for each question and each answer. The zero value is ready. It must not be used by two
// goroutines at once.
//
// It also counts for him: In and Out are segments that TCBs received and sent with his memory, and PureAcks those received that
// only acknowledge, which are not among InSegs, OutSegs and TCPPureAcks of their Stats.
type Spares struct {
	In, Out, PureAcks uint64

	first *transfer // and by next the others
	n     int
}

// take returns a transfer, nil if there is none.
func (s *Spares) take() *transfer {
	x := s.first
	if x != nil {
		s.first, x.next = x.next, nil
		s.n--
	}
	return x
}

// put keeps x, if there is room for it.
func (s *Spares) put(x *transfer) bool {
	if s.n >= maxSpares {
		return false
	}
	x.next, s.first = s.first, x
	s.n++
	return true
}

// countOut counts a segment that is sent by who has spare, which may be nil.
func (t *TCB) countOut(spare *Spares) {
	if spare != nil {
		spare.Out++
	} else {
		t.env.stats.OutSegs.add(t.localPort)
	}
	t.total.segsOut++
}

// countIn counts a segment that was received. What is outstanding is in the queues by now: see unfoldLone.
func (t *TCB) countIn(in *Segment) {
	if in.Spares != nil {
		in.Spares.In++
	} else {
		t.env.stats.InSegs.add(t.localPort)
	}
	t.total.segsIn++
}

// countPureAck counts a segment that was received and only acknowledges.
func (t *TCB) countPureAck(in *Segment) {
	if in.Spares != nil {
		in.Spares.PureAcks++
	} else {
		t.env.stats.TCPPureAcks.Add(1)
	}
}

// maxSpares is how many a Spares keeps at most, about 800 bytes each. Beyond them there is a sync.Pool.
const maxSpares = 16

// flushSend empties the send queue and the retransmission queue. What they were in is for the caller to give back (idleX).
func (t *TCB) flushSend() {
	if t.x != nil {
		x := t.queues()
		x.snd.release()
		x.rtx.clear()
	}
}

// dropReceived empties the receive queue.
func (t *TCB) dropReceived() {
	if t.x != nil {
		t.received().release()
		if t.wire() != nil {
			t.wire().clear()
		}
		t.idleX(nil)
	}
}

// txq returns the retransmission queue.
func (t *TCB) txq() []txSeg {
	if t.x == nil {
		return nil
	}
	return t.queues().rtx.all()
}

// packetsOut returns how many segments were sent and are not cumulatively acknowledged.
func (t *TCB) packetsOut() int {
	if t.x == nil {
		return 0
	}
	if t.snd.lone.out() {
		return 1
	}
	return t.x.rtx.len()
}
