package sim

import (
	"slices"
	"time"

	"example.com/loopback/tcp"
)

// flowState is what a link remembers of a flow.
type flowState struct {
	flow     Flow
	hash     uint64
	packets  uint64
	segments uint64
	events   uint64  // that were scheduled
	started  bool    // the SYN was seen, and with it where the stream begins
	seq      tcp.Seq // the highest sequence number seen since
	offset   int64   // where in the stream that is
	rules    []*ruleState

	newer, older *flowState // in the order of being seen
}

// count numbers a packet of the flow.
func (f *flowState) count(i *PacketInfo) {
	f.packets++
	i.Number = f.packets
	if i.Data() && !i.later {
		f.segments++
		i.Segment = f.segments
	}
	if i.Flow.Proto != 6 || i.Fragment {
		return
	}
	if i.Flags.Has(tcp.SYN) {
		f.started, f.seq, f.offset = true, i.Seq.Add(1), 0
		i.Offset = 0
	} else if f.started {
		i.Offset = f.offset + int64(i.Seq.Sub(f.seq))
		if i.Offset > f.offset {
			f.seq, f.offset = i.Seq, i.Offset
		}
	}
}

// ruleState is what a rule remembers of a flow.
type ruleState struct {
	r       *rule
	key     uint64 // of the draws
	bad     bool   // Gilbert-Elliott
	loss    uint32 // the last draws, for correlation
	dup     uint32
	reorder uint32
	delay   uint32
	gap     int           // packets since the last one that was reordered
	due     time.Duration // of the latest that was delayed
	pending int           // pieces that have not arrived yet: what follows waits behind them
	line    *line
}

// state returns what r remembers of the flow.
func (f *flowState) state(r *rule) *ruleState {
	for _, s := range f.rules {
		if s.r == r {
			return s
		}
	}
	f.rules = slices.DeleteFunc(f.rules, func(s *ruleState) bool { return s.r.gone })
	s := &ruleState{r: r, key: mix(r.key + f.hash), line: r.line}
	if r.Rate > 0 && s.line == nil {
		s.line = newLine(r)
	}
	f.rules = append(f.rules, s)
	return s
}

// flowTable holds the flows that were seen last.
type flowTable struct {
	m              map[Flow]*flowState
	newest, oldest *flowState
	limit          int
	firsts         []firstFragment // of datagrams in fragments, the latest ones
	nextFirst      int
}

// rememberedFragments is of how many datagrams in fragments at a time a link knows the ports.
const rememberedFragments = 16

// firstFragment remembers the flow that the first fragment of a datagram told.
type firstFragment struct {
	key  Flow // without ports
	id   uint32
	flow Flow
}

// get returns the packet's flow, and gives later fragments the ports that the first one had.
func (t *flowTable) get(i *PacketInfo) *flowState {
	if i.Fragment {
		t.fragment(i)
	}
	if f := t.m[i.Flow]; f != nil {
		if f != t.newest {
			t.unlink(f)
			t.link(f)
		}
		return f
	}
	if t.m == nil {
		t.m = make(map[Flow]*flowState)
	}
	if len(t.m) >= t.limit {
		f := t.oldest
		t.unlink(f)
		delete(t.m, f.flow)
	}
	f := &flowState{flow: i.Flow, hash: i.Flow.hash()}
	t.m[i.Flow] = f
	t.link(f)
	return f
}

func (t *flowTable) fragment(i *PacketInfo) {
	key := i.Flow.withoutPorts()
	if !i.later {
		if t.firsts == nil {
			t.firsts = make([]firstFragment, rememberedFragments)
		}
		t.firsts[t.nextFirst] = firstFragment{key, i.id, i.Flow}
		t.nextFirst = (t.nextFirst + 1) % len(t.firsts)
		return
	}
	for k := range t.firsts {
		if f := &t.firsts[k]; f.id == i.id && f.key == key {
			i.Flow = f.flow
			return
		}
	}
}

func (t *flowTable) link(f *flowState) {
	f.newer, f.older = nil, t.newest
	if t.newest != nil {
		t.newest.newer = f
	} else {
		t.oldest = f
	}
	t.newest = f
}

func (t *flowTable) unlink(f *flowState) {
	if f.newer != nil {
		f.newer.older = f.older
	} else {
		t.newest = f.older
	}
	if f.older != nil {
		f.older.newer = f.newer
	} else {
		t.oldest = f.newer
	}
}
