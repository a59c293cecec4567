package tcp

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// poolAlloc is an allocator that recycles, as the stack's does.
type poolAlloc struct{ pools [3]sync.Pool }

var poolSizes = [3]int{512, 18 << 10, 64 << 10}

type pooledBuf struct {
	b    []byte
	refs int
	pool *sync.Pool
}

func (b *pooledBuf) Retain() { b.refs++ }

func (b *pooledBuf) Release() {
	if b.refs--; b.refs == 0 {
		b.pool.Put(b)
	}
}

func (a *poolAlloc) Get(n int) ([]byte, Buffer) {
	i := 0
	for n > poolSizes[i] {
		i++
	}
	b, _ := a.pools[i].Get().(*pooledBuf)
	if b == nil {
		b = &pooledBuf{b: make([]byte, poolSizes[i]), pool: &a.pools[i]}
	}
	b.refs = 1
	return b.b, b
}

// duo is a client and a server that are connected without a link: what one puts out is put into the other.
type duo struct {
	now          time.Duration
	a, b         TCB
	alloc        poolAlloc
	stats        Stats
	seg          Segment
	fromA, fromB int
}

func newDuo(tb testing.TB, cfg *Config) *duo {
	d := &duo{now: time.Hour}
	cfg = cfg.Defaults()
	p := Params{Config: cfg, Alloc: &d.alloc, Stats: &d.stats, Local: hostA, Remote: hostB, MTU: 16436, ISS: 1}
	q := Params{Config: cfg, Alloc: &d.alloc, Stats: &d.stats, Local: hostB, Remote: hostA, MTU: 16436, ISS: 2}
	d.a.Connect(d.now, &p)
	require.True(tb, d.a.Output(d.now, &d.seg))
	d.b.Passive(d.now, &q, &d.seg)
	d.settle()
	require.Equal(tb, StateEstablished, d.a.State())
	require.Equal(tb, StateEstablished, d.b.State())
	return d
}

// settle carries segments until both are silent.
func (d *duo) settle() {
	for again := true; again; {
		again = false
		for d.a.Output(d.now, &d.seg) {
			d.fromA++
			d.b.Input(d.now, &d.seg)
			d.seg.Payload.Release()
			again = true
		}
		for d.b.Output(d.now, &d.seg) {
			d.fromB++
			d.a.Input(d.now, &d.seg)
			d.seg.Payload.Release()
			again = true
		}
	}
}

// roundTrip sends n bytes there and back.
func (d *duo) roundTrip(msg, buf []byte) {
	d.now += 2 * time.Microsecond
	d.a.Write(d.now, msg)
	d.settle()
	d.b.Read(d.now, buf)
	d.settle()
	d.now += 2 * time.Microsecond
	d.b.Write(d.now, msg)
	d.settle()
	d.a.Read(d.now, buf)
	d.settle()
}

// bulk writes all of msg and has the other end read it.
func (d *duo) bulk(msg, buf []byte) {
	for n := 0; n < len(msg); {
		d.now += time.Microsecond
		n += d.a.Write(d.now, msg[n:])
		d.settle()
		for d.b.Read(d.now, buf) > 0 {
			d.settle()
		}
	}
}

func TestRoundTripSegments(t *testing.T) {
	d := newDuo(t, nil)
	msg, buf := make([]byte, 64), make([]byte, 64)
	for range 10 {
		d.roundTrip(msg, buf)
	}
	d.fromA, d.fromB = 0, 0
	for range 100 {
		d.roundTrip(msg, buf)
	}
	require.Equal(t, 100, d.fromA, "a request and its ACK are one segment each way")
	require.Equal(t, 100, d.fromB)
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	d := newDuo(t, nil)
	msg, buf := make([]byte, 64), make([]byte, 64<<10)
	for range 1000 {
		d.roundTrip(msg, buf)
	}
	require.Zero(t, testing.AllocsPerRun(1000, func() { d.roundTrip(msg, buf) }), "a round trip allocates")
	big := make([]byte, 1<<20)
	for range 20 {
		d.bulk(big, buf)
	}
	require.Less(t, testing.AllocsPerRun(50, func() { d.bulk(big, buf) }), 1.0, "a megabyte allocates")
}

func TestIdleHoldsNothing(t *testing.T) {
	d := newDuo(t, nil)
	require.Nil(t, d.a.x)
	buf := make([]byte, 4096)
	d.roundTrip(make([]byte, 1024), buf)
	d.now += time.Second
	d.a.Timeout(d.now)
	d.b.Timeout(d.now)
	d.settle()
	for _, e := range []*TCB{&d.a, &d.b} {
		require.Nil(t, e.x, "queues")
		require.Nil(t, e.rec, "scoreboard")
		require.Nil(t, e.ooo, "out-of-order queue")
		require.Nil(t, e.alg(), "congestion control")
		require.Equal(t, Never, e.Deadline())
	}
}

func BenchmarkRoundTrip64(b *testing.B) {
	d := newDuo(b, nil)
	msg, buf := make([]byte, 64), make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		d.roundTrip(msg, buf)
	}
}

func BenchmarkBulk1M(b *testing.B) {
	d := newDuo(b, nil)
	msg, buf := make([]byte, 1<<20), make([]byte, 64<<10)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		d.bulk(msg, buf)
	}
}

// BenchmarkOutputInput is what one full segment costs from the sender's Output to the end of the receiver's
// Input and the ACK back, without copies of the text by the user (a byte of each segment is all that is
// there).
func BenchmarkOutputInput(b *testing.B) {
	d := newDuo(b, &Config{Timestamps: On})
	d.a.SetNoDelay(true)
	msg, buf := make([]byte, 1), make([]byte, 64)
	d.fromA, d.fromB = 0, 0
	b.ReportAllocs()
	for b.Loop() {
		d.now += time.Microsecond
		d.a.Write(d.now, msg)
		d.settle()
		d.b.Read(d.now, buf)
	}
	b.ReportMetric(float64(d.fromB)/float64(d.fromA), "acks/segment")
}

func BenchmarkConnectClose(b *testing.B) {
	d := newDuo(b, nil)
	cfg := (*Config)(nil).Defaults()
	p := Params{Config: cfg, Alloc: &d.alloc, Stats: &d.stats, Local: hostA, Remote: hostB, MTU: 16436, ISS: 1}
	q := Params{Config: cfg, Alloc: &d.alloc, Stats: &d.stats, Local: hostB, Remote: hostA, MTU: 16436, ISS: 2}
	b.ReportAllocs()
	for b.Loop() {
		d.a, d.b = TCB{}, TCB{}
		d.a.Connect(d.now, &p)
		d.a.Output(d.now, &d.seg)
		d.b.Passive(d.now, &q, &d.seg)
		d.settle()
		d.a.Close(d.now)
		d.settle()
		d.b.Close(d.now)
		d.settle()
	}
}
