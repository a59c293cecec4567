package tcp

import (
	"reflect"
	"sync"
	"sync/atomic"
)

// env is what the connections of a stack have in common, so that each holds one pointer to it. It hangs on
// the stack's Stats (see newEnv) and also recycles transfers.
type env struct {
	cfg      *Config
	given    *Config // what Params had
	alloc    Allocator
	stats    *Stats
	observer Observer
	room     int    // Params.Room
	rtoFloor uint32 // the least RTTVAR, in microseconds

	full bool // no short cuts: for a comparison, or because they do not know of path MTU probes

	transfers sync.Pool
	keepAlive atomic.Pointer[KeepAliveConfig] // the latest that was set
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
		if e := p.Stats.env.Load(); e != nil && e.given == p.Config && same(e.alloc, p.Alloc) && same(e.observer, p.Observer) && e.room == p.Room {
			return e
		}
	}
	e := &env{cfg: p.Config, given: p.Config, alloc: p.Alloc, stats: p.Stats, observer: p.Observer, room: p.Room}
	e.transfers.New = func() any { return newTransfer() }
	if e.cfg == nil || !e.cfg.filled {
		e.cfg = e.cfg.Defaults()
	}
	e.full = e.cfg.MTUProbing != 0
	e.rtoFloor = e.cfg.rtoLimits().floor()
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

// same reports whether two interface values are equal and can be compared at all.
func same(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	t := reflect.TypeOf(a)
	return t == reflect.TypeOf(b) && t.Comparable() && a == b
}

// transfer is what a connection needs only while it carries something: the retransmission queue and the
// send and receive queues. An idle connection has none.
type transfer struct {
	rtx queue[txSeg]
	snd sendBuf
	rcv recvBuf

	small [smallText]byte // text that is lent when it is sent
}

// smallText is the most text that is ever lent, in bytes.
const smallText = 256

// queueKeep is the most room, in items, that queues of a recycled transfer keep.
const queueKeep = 256

// roomy are first rooms of the queues: enough for a dialogue of small messages, and more come with use.
const (
	roomRtx    = 4
	roomChunks = 2
	roomPieces = 2
)

func newTransfer() *transfer {
	x := new(transfer)
	x.rtx.grow(roomRtx)
	x.snd.chunks.grow(roomChunks)
	x.rcv.pieces.grow(roomPieces)
	return x
}

// needX returns t.x, taken from the recycled ones if there was none.
func (t *TCB) needX() *transfer {
	if t.x == nil {
		t.x = t.env.transfers.Get().(*transfer)
	}
	return t.x
}

// idleX gives t.x back if nothing is in it.
func (t *TCB) idleX() {
	x := t.x
	if x == nil || x.rtx.len() > 0 || x.snd.chunks.len() > 0 || x.rcv.pieces.len() > 0 {
		return
	}
	t.x = nil
	x.snd.cur = 0
	x.rcv.private = false
	x.rtx.keep(queueKeep)
	x.snd.chunks.keep(queueKeep)
	x.rcv.pieces.keep(queueKeep)
	t.env.transfers.Put(x)
}

// dropSend empties the send queue and the retransmission queue.
func (t *TCB) dropSend() {
	if t.x != nil {
		t.x.snd.release()
		t.x.rtx.clear()
		t.idleX()
	}
}

// dropReceived empties the receive queue.
func (t *TCB) dropReceived() {
	if t.x != nil {
		t.x.rcv.release()
		if t.wire() != nil {
			t.wire().clear()
		}
		t.idleX()
	}
}

// txq returns the retransmission queue.
func (t *TCB) txq() []txSeg {
	if t.x == nil {
		return nil
	}
	return t.x.rtx.all()
}

// packetsOut returns how many segments were sent and are not cumulatively acknowledged.
func (t *TCB) packetsOut() int {
	if t.x == nil {
		return 0
	}
	return t.x.rtx.len()
}
