package reasm

import (
	"math"
	"net/netip"
	"time"
)

// Never is the deadline of an empty table.
const Never time.Duration = math.MaxInt64

// Linux's ipfrag_high_thresh, and limits of our own.
const (
	DefaultMaxBytes     = 4 << 20
	DefaultMaxDatagrams = 1024
	DefaultMaxPerSource = 512
)

// Costs in bytes that a datagram and a fragment are charged beyond their data,
// so that many small ones cannot use more memory than few large ones.
const (
	datagramCost = 256
	fragmentCost = 64
)

// Limits bounds a Table. Zero fields have the defaults above; Timeout has none.
type Limits struct {
	Timeout      time.Duration // from the arrival of a datagram's first fragment to its expiry
	MaxBytes     int           // of memory for fragments, bookkeeping included
	MaxDatagrams int           // incomplete datagrams in all
	MaxPerSource int           // incomplete datagrams from one source address
	// Strict is the policy of RFC 5722 and RFC 8200 §4.5: only a fragment with
	// exactly the extent of an earlier one is a duplicate, and after an
	// overlap the fragments still to come are discarded too, until the
	// timeout. Otherwise a fragment whose bytes have all been received already
	// is a duplicate, however they were cut, and a datagram dropped for an
	// overlap is forgotten, as Linux does.
	Strict bool
}

// Stats counts what became of fragments and datagrams. At any time
//
//	Fragments = Merged + Refused + Discarded + fragments held now.
type Stats struct {
	Fragments uint64 // given to Input (ReasmReqds)
	Merged    uint64 // became part of a complete datagram
	Refused   uint64 // Input's verdict was neither Held nor Complete
	Discarded uint64 // had been held when their datagram was dropped
	Datagrams uint64 // completed (ReasmOKs)
	Fails     uint64 // datagrams dropped for a reason of their own: overlap, end, ECN (ReasmFails)
	TimedOut  uint64 // datagrams dropped by Timeout (ReasmTimeout)
	Evicted   uint64 // datagrams dropped to make room
}

// Verdict is what became of a fragment.
type Verdict uint8

const (
	Held      Verdict = iota // kept; its datagram is not complete yet
	Complete                 // the last one missing
	Duplicate                // dropped: its bytes are there already
	Overlap                  // dropped with its datagram: it overlaps others
	BadEnd                   // dropped with its datagram: it contradicts the datagram's length
	Full                     // dropped: larger than the whole table may be
)

// Key is what the fragments of one datagram have in common.
type Key struct {
	Src, Dst netip.Addr
	ID       uint32
	Proto    uint8 // 0 in IPv6, where it is not part of the key
}

// Fragment is one to be placed.
type Fragment struct {
	Head   []byte   // of the fragment with Offset 0: its headers; else not looked at
	Pieces [][]byte // its payload, in order; Len bytes are copied
	Offset int      // bytes; Offset+Len is at most 65535
	Len    int      // bytes of payload, at least 1 and at most what Pieces hold
	More   bool     // others follow it
	ECN    uint8    // codepoint of its header
}

// Table holds incomplete datagrams. Set Limits before the first Input. The
// zero Table works, its datagrams expiring at once.
type Table struct {
	Limits Limits
	Stats  Stats

	byKey          map[Key]*Datagram
	bySource       map[netip.Addr]int // how many datagrams each source has
	oldest, newest *Datagram          // in the order they were begun
	bytes          int
	fragments      int
	spares         spares
}

// Input places a copy of f in the datagram of key, which it begins if there is
// none. On Complete it returns the datagram, which is then out of the table and
// must be given back by Release.
func (t *Table) Input(now time.Duration, key Key, f *Fragment) (*Datagram, Verdict) {
	t.Stats.Fragments++
	d := t.byKey[key]
	if d == nil {
		if datagramCost+fragmentCost+f.Len+len(f.Head) > t.maxBytes() {
			t.Stats.Refused++
			return nil, Full
		}
		d = t.begin(now, key)
	}
	at, v := d.place(f, t.Limits.Strict)
	switch v {
	case Held:
		if !t.makeRoom(d, fragmentCost+f.Len+len(f.Head)) {
			t.Stats.Refused++
			return nil, Full
		}
		t.store(d, at, f)
		if d.received != d.total {
			return nil, Held
		}
		t.remove(d)
		t.Stats.Merged += uint64(len(d.data))
		t.Stats.Datagrams++
		return d, Complete
	case Overlap, BadEnd:
		t.fail(d)
	}
	t.Stats.Refused++
	return nil, v
}

// Deadline returns when Timeout is to be called next, or Never.
func (t *Table) Deadline() time.Duration {
	if t.oldest == nil {
		return Never
	}
	return t.oldest.begun + t.Limits.Timeout
}

// Timeout drops every datagram whose time is up at now and calls expired, if
// not nil, for each one, the one begun first first. The datagram is valid
// during the call only.
func (t *Table) Timeout(now time.Duration, expired func(d *Datagram)) {
	for d := t.oldest; d != nil && d.begun+t.Limits.Timeout <= now; d = t.oldest {
		t.remove(d)
		t.Stats.Discarded += uint64(len(d.data))
		if !d.failed { // else it was dropped, and counted, when it failed
			t.Stats.TimedOut++
			if expired != nil {
				expired(d)
			}
		}
		t.Release(d)
	}
}

// Held returns what the table holds now; bytes include bookkeeping.
func (t *Table) Held() (datagrams, fragments, bytes int) {
	return len(t.byKey), t.fragments, t.bytes
}

// Reject counts a completed datagram as failed after all, as its wrapper found
// it to be, and takes it back.
func (t *Table) Reject(d *Datagram) {
	n := uint64(len(d.data))
	t.Stats.Datagrams--
	t.Stats.Fails++
	t.Stats.Merged -= n
	t.Stats.Discarded += n - 1
	t.Stats.Refused++ // the fragment that completed it
	t.Release(d)
}

// Release takes back a datagram that Input returned.
func (t *Table) Release(d *Datagram) { t.spares.put(d) }

// begin adds an empty datagram, pushing out others if there are too many.
func (t *Table) begin(now time.Duration, key Key) *Datagram {
	if t.byKey == nil {
		t.byKey = make(map[Key]*Datagram)
		t.bySource = make(map[netip.Addr]int)
	}
	if t.bySource[key.Src] >= orDefault(t.Limits.MaxPerSource, DefaultMaxPerSource) {
		d := t.oldest
		for d.Key.Src != key.Src {
			d = d.newer
		}
		t.evict(d)
	}
	if len(t.byKey) >= orDefault(t.Limits.MaxDatagrams, DefaultMaxDatagrams) {
		t.evict(t.oldest)
	}
	d := t.spares.datagram()
	d.Key, d.begun, d.total = key, now, unknown
	t.byKey[key] = d
	t.bySource[key.Src]++
	if d.older = t.newest; d.older != nil {
		d.older.newer = d
	} else {
		t.oldest = d
	}
	t.newest = d
	t.charge(d, datagramCost)
	t.makeRoom(d, 0)
	return d
}

// store copies f into d, where place found room for it.
func (t *Table) store(d *Datagram, at int, f *Fragment) {
	buf := t.spares.buffer(f.Len)
	for _, p := range f.Pieces {
		buf = append(buf, p[:min(len(p), f.Len-len(buf))]...)
	}
	t.charge(d, fragmentCost+f.Len)
	t.fragments++
	d.insert(at, f, buf)
	if f.Offset == 0 {
		d.head = append(d.head[:0], f.Head...)
		t.charge(d, len(f.Head))
	}
}

// makeRoom pushes out the oldest datagrams other than d until n more bytes fit.
func (t *Table) makeRoom(d *Datagram, n int) bool {
	for t.bytes+n > t.maxBytes() {
		victim := t.oldest
		if victim == d {
			victim = d.newer
		}
		if victim == nil {
			return false
		}
		t.evict(victim)
	}
	return true
}

func (t *Table) evict(d *Datagram) {
	t.remove(d)
	t.Stats.Discarded += uint64(len(d.data))
	t.Stats.Evicted++
	t.Release(d)
}

// fail drops what d holds; with the strict policy d itself stays, to discard
// the fragments still to come.
func (t *Table) fail(d *Datagram) {
	if d.failed {
		return
	}
	t.Stats.Fails++
	t.Stats.Discarded += uint64(len(d.data))
	if !t.Limits.Strict {
		t.remove(d)
		t.Release(d)
		return
	}
	t.fragments -= len(d.data)
	t.charge(d, datagramCost-d.cost)
	t.spares.strip(d)
	d.failed = true
}

// remove takes d out of the table.
func (t *Table) remove(d *Datagram) {
	delete(t.byKey, d.Key)
	if n := t.bySource[d.Key.Src]; n > 1 {
		t.bySource[d.Key.Src] = n - 1
	} else {
		delete(t.bySource, d.Key.Src)
	}
	if d.older != nil {
		d.older.newer = d.newer
	} else {
		t.oldest = d.newer
	}
	if d.newer != nil {
		d.newer.older = d.older
	} else {
		t.newest = d.older
	}
	d.older, d.newer = nil, nil
	t.fragments -= len(d.data)
	t.charge(d, -d.cost)
}

// charge accounts n more bytes to d and the table.
func (t *Table) charge(d *Datagram, n int) {
	d.cost += n
	t.bytes += n
}

func (t *Table) maxBytes() int { return orDefault(t.Limits.MaxBytes, DefaultMaxBytes) }

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return max(n, 1)
}
