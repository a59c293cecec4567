package reasm_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/loopback/ipv4/reasm"
)

// model is the Table once more, as slow and plain as can be: it keeps every
// fragment and a map of the bytes received, and counts everything afresh.
type model struct {
	limits reasm.Limits
	list   []*modelDatagram // in the order they were begun
	stats  reasm.Stats
}

type modelDatagram struct {
	key    reasm.Key
	begun  time.Duration
	frags  []reasm.Fragment
	failed bool
}

func (d *modelDatagram) cost() int {
	n := 256
	for _, f := range d.frags {
		n += 64 + f.Len
		if f.Offset == 0 {
			n += len(f.Head)
		}
	}
	return n
}

// total is the payload length that the last fragment told, or -1.
func (d *modelDatagram) total() int {
	for _, f := range d.frags {
		if !f.More {
			return f.Offset + f.Len
		}
	}
	return -1
}

// bytes lays the fragments out and returns which bytes there are.
func (d *modelDatagram) bytes() (data []byte, have []bool) {
	data, have = make([]byte, 1024), make([]bool, 1024) // script stays below
	for _, f := range d.frags {
		copy(data[f.Offset:], bytes.Join(f.Pieces, nil)[:f.Len])
		for i := range f.Len {
			have[f.Offset+i] = true
		}
	}
	return data, have
}

func (m *model) drop(d *modelDatagram) {
	m.list = slices.DeleteFunc(m.list, func(x *modelDatagram) bool { return x == d })
	m.stats.Discarded += uint64(len(d.frags))
}

func (m *model) used() (n int) {
	for _, d := range m.list {
		n += d.cost()
	}
	return n
}

func (m *model) input(now time.Duration, key reasm.Key, f reasm.Fragment) ([]byte, reasm.Verdict) {
	m.stats.Fragments++
	payload, v := m.decide(now, key, f)
	if v != reasm.Held && v != reasm.Complete {
		m.stats.Refused++
	}
	return payload, v
}

func (m *model) decide(now time.Duration, key reasm.Key, f reasm.Fragment) ([]byte, reasm.Verdict) {
	i := slices.IndexFunc(m.list, func(d *modelDatagram) bool { return d.key == key })
	if i < 0 {
		if 256+64+f.Len+len(f.Head) > m.limits.MaxBytes {
			return nil, reasm.Full
		}
		m.begin(now, key)
		i = len(m.list) - 1
	}
	d := m.list[i]
	if v := m.judge(d, f); v != reasm.Held {
		if (v == reasm.Overlap || v == reasm.BadEnd) && !d.failed {
			m.stats.Fails++
			m.stats.Discarded += uint64(len(d.frags))
			d.frags, d.failed = nil, true
			if !m.limits.Strict {
				m.drop(d)
			}
		}
		return nil, v
	}
	for m.used()+64+f.Len+len(f.Head) > m.limits.MaxBytes {
		j := slices.IndexFunc(m.list, func(x *modelDatagram) bool { return x != d })
		if j < 0 {
			return nil, reasm.Full
		}
		m.stats.Evicted++
		m.drop(m.list[j])
	}
	f.Pieces = [][]byte{bytes.Join(f.Pieces, nil)}
	d.frags = append(d.frags, f)
	data, have := d.bytes()
	if n := d.total(); n >= 0 && !slices.Contains(have[:n], false) {
		m.stats.Merged += uint64(len(d.frags))
		m.stats.Datagrams++
		d.frags = nil
		m.drop(d)
		return data[:n], reasm.Complete
	}
	return nil, reasm.Held
}

func (m *model) begin(now time.Duration, key reasm.Key) {
	var same []*modelDatagram
	for _, d := range m.list {
		if d.key.Src == key.Src {
			same = append(same, d)
		}
	}
	if len(same) >= m.limits.MaxPerSource {
		m.stats.Evicted++
		m.drop(same[0])
	}
	if len(m.list) >= m.limits.MaxDatagrams {
		m.stats.Evicted++
		m.drop(m.list[0])
	}
	d := &modelDatagram{key: key, begun: now}
	m.list = append(m.list, d)
	for m.used() > m.limits.MaxBytes {
		m.stats.Evicted++
		m.drop(m.list[0])
	}
}

func (m *model) judge(d *modelDatagram, f reasm.Fragment) reasm.Verdict {
	if d.failed {
		return reasm.Overlap
	}
	end := f.Offset + f.Len
	if n := d.total(); n >= 0 && (end > n || !f.More && end != n) {
		return reasm.BadEnd
	}
	_, have := d.bytes()
	if !f.More && slices.Contains(have[end:], true) {
		return reasm.BadEnd
	}
	mine := have[f.Offset:end]
	switch {
	case !slices.Contains(mine, true):
		return reasm.Held
	case m.limits.Strict:
		if slices.ContainsFunc(d.frags, func(x reasm.Fragment) bool { return x.Offset == f.Offset && x.Len == f.Len }) {
			return reasm.Duplicate
		}
		return reasm.Overlap
	case !slices.Contains(mine, false):
		return reasm.Duplicate
	}
	return reasm.Overlap
}

func (m *model) timeout(now time.Duration) (expired []reasm.Key) {
	for len(m.list) > 0 && m.list[0].begun+m.limits.Timeout <= now {
		d := m.list[0]
		if !d.failed {
			m.stats.TimedOut++
			expired = append(expired, d.key)
		}
		m.drop(d)
	}
	return expired
}

// script runs the same operations, read from ops, on a Table and on the model
// and compares all that can be seen of them.
func script(t *testing.T, limits reasm.Limits, ops []byte) {
	t.Helper()
	table, m := &reasm.Table{Limits: limits}, &model{limits: limits}
	var now time.Duration
	for len(ops) >= 6 {
		op := ops[:6]
		ops = ops[6:]
		now += time.Duration(op[0]%8) * time.Second
		if op[0]&0x80 != 0 {
			want := m.timeout(now)
			var got []reasm.Key
			table.Timeout(now, func(d *reasm.Datagram) { got = append(got, d.Key) })
			if !slices.Equal(got, want) {
				t.Fatalf("expired %v, want %v", got, want)
			}
			continue
		}
		key := reasm.Key{
			Src: netip.AddrFrom4([4]byte{10, 0, 0, op[1] & 1}), Dst: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
			ID: uint32(op[1] >> 1 & 7), Proto: op[1] >> 4 & 1,
		}
		data := bytes.Repeat([]byte{op[2], op[3], op[4], op[5]}, 64)[:1+int(op[3])%128]
		if op[5]&1 != 0 {
			data = data[:(len(data)+7)&^7&0xff]
		}
		cut := int(op[4]) % (len(data) + 1)
		f := reasm.Fragment{
			Head: bytes.Repeat([]byte{op[2]}, 20), Pieces: [][]byte{data[:cut], data[cut:]},
			Offset: int(op[2]&0x1f) * 8, Len: len(data), More: op[5]&6 != 0, ECN: op[5] >> 4,
		}
		want, wantV := m.input(now, key, f)
		d, v := table.Input(now, key, &f)
		if v != wantV {
			t.Fatalf("verdict %d, want %d, on %+v of %v", v, wantV, f, key)
		}
		if v == reasm.Complete {
			got := make([]byte, d.Len())
			d.CopyPayload(got)
			if !bytes.Equal(got, want) {
				t.Fatalf("payload differs: % x, want % x", got, want)
			}
			table.Release(d)
		}
		compare(t, table, m)
	}
}

func compare(t *testing.T, table *reasm.Table, m *model) {
	t.Helper()
	if table.Stats != m.stats {
		t.Fatalf("stats\n%+v, want\n%+v", table.Stats, m.stats)
	}
	datagrams, fragments, used := table.Held()
	held := 0
	for _, d := range m.list {
		held += len(d.frags)
	}
	if datagrams != len(m.list) || fragments != held || used != m.used() {
		t.Fatalf("holds %d, %d, %d; want %d, %d, %d", datagrams, fragments, used, len(m.list), held, m.used())
	}
	if s := table.Stats; s.Fragments != s.Merged+s.Refused+s.Discarded+uint64(held) {
		t.Fatalf("fragments are not conserved: %+v and %d held", s, held)
	}
	deadline := reasm.Never
	if len(m.list) > 0 {
		deadline = m.list[0].begun + m.limits.Timeout
	}
	if table.Deadline() != deadline {
		t.Fatalf("deadline %v, want %v", table.Deadline(), deadline)
	}
}

var small = reasm.Limits{Timeout: 30 * time.Second, MaxBytes: 3000, MaxDatagrams: 6, MaxPerSource: 4}

func limitsOf(sel byte) reasm.Limits {
	l := small
	l.Strict = sel&1 != 0
	if sel&2 != 0 {
		l.MaxBytes, l.MaxDatagrams, l.MaxPerSource = 1<<20, 100, 100
	}
	if sel&4 != 0 {
		l.MaxBytes = 500
	}
	return l
}

func TestTableAgainstModel(t *testing.T) {
	for sel := range byte(8) {
		for seed := range uint64(40) {
			r := rand.New(rand.NewPCG(seed, uint64(sel)))
			ops := make([]byte, 6*300)
			for i := range ops {
				ops[i] = byte(r.Uint32())
				if i%6 == 0 && r.IntN(10) > 0 {
					ops[i] = 0 // expiry is rarer than fragments
				}
			}
			script(t, limitsOf(sel), ops)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add(byte(0), []byte{0, 0, 0, 7, 0, 7, 0, 0, 1, 7, 0, 1})
	f.Add(byte(1), []byte{0, 0, 0, 7, 0, 7, 0, 0, 0, 15, 0, 7, 0, 0, 2, 7, 0, 1})
	f.Add(byte(4), []byte{0, 0, 0, 127, 0, 7, 0, 1, 0, 127, 0, 7, 0x87, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, sel byte, ops []byte) {
		if len(ops) > 6*200 {
			ops = ops[:6*200]
		}
		script(t, limitsOf(sel), ops)
	})
}
