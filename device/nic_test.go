package device

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// drain polls queue q until it rests and returns how many packets h saw. The caller has rung.
func drain(n *NIC, q int, h func(*Packet)) int {
	total := 0
	for {
		total += n.Poll(q, 0, 64, h)
		if n.Rest(q) {
			return total
		}
	}
}

// sendLocal sends count packets of size bytes over the wire of n and wants all of them back.
func sendLocal(t *testing.T, n *NIC, count, size int) {
	t.Helper()
	for range count {
		p := n.Pool().NewPacket()
		p.SetHead(size)
		require.Equal(t, TxOK, n.Transmit(0, p))
	}
	require.True(t, n.Ring(0))
	require.Equal(t, count, drain(n, 0, (*Packet).Release))
}

func TestConfig(t *testing.T) {
	const most = 1 << 30
	cases := []struct {
		name string
		give Config
		want Config
	}{
		{"zero", Config{}, Config{Name: "lo", MTU: 16436, Metric: 1, Queues: 1, RingSize: 256}},
		{"all set", Config{Name: "x", MTU: 1500, Metric: 2, TxQueueLen: 9, Queues: 4, RingSize: 8},
			Config{Name: "x", MTU: 1500, Metric: 2, TxQueueLen: 9, Queues: 4, RingSize: 8}},
		{"too small", Config{MTU: 1, Metric: -1, TxQueueLen: -1, Queues: -1, RingSize: -1},
			Config{Name: "lo", MTU: 68, Metric: 1, Queues: 1, RingSize: 256}},
		{"too large", Config{MTU: most, Queues: most, RingSize: most},
			Config{Name: "lo", MTU: 65536, Metric: 1, Queues: 256, RingSize: 65536}},
	}
	for _, c := range cases {
		c.give.fill()
		require.Equal(t, Loopback{}, c.give.Link, c.name)
		require.NotNil(t, c.give.Pool, c.name)
		c.give.Link, c.give.Pool = nil, nil
		require.Equal(t, c.want, c.give, c.name)
	}
}

func TestNewNIC(t *testing.T) {
	n := NewNIC(Config{RingSize: 100})
	require.Equal(t, "lo", n.Name())
	require.Equal(t, 16436, n.MTU())
	require.True(t, n.Up())
	require.Equal(t, 1, n.Queues())
	require.Equal(t, prefixes("127.0.0.1/8", "::1/128"), n.Addrs())
	require.Equal(t, Loopback{}, n.Link())
	require.False(t, n.Open())
	require.Equal(t, Counters{}, n.Counters())
	require.Equal(t, 128, n.TxRoom(0), "before the ring is there")
	transmit(t, n, 1, 2, 3)
	require.Equal(t, 125, n.TxRoom(0))

	require.NoError(t, n.SetMTU(65536))
	require.ErrorIs(t, n.SetMTU(67), ErrMTU)
	require.ErrorIs(t, n.SetMTU(65537), ErrMTU)
	require.Equal(t, 65536, n.MTU())
}

// TestNewNICMemory: an unused NIC is small.
func TestNewNICMemory(t *testing.T) {
	pool := new(Pool)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { NewNIC(Config{Pool: pool}) }), 8.0)
	n := NewNIC(Config{})
	require.LessOrEqual(t, unsafe.Sizeof(*n)+unsafe.Sizeof(n.queues[0])+unsafe.Sizeof(addrTable{}), uintptr(1<<10))
	require.Nil(t, n.queues[0].rings.Load(), "rings come at first use")
}

func TestTransmitFull(t *testing.T) {
	n := NewNIC(Config{RingSize: 4, Pool: &Pool{Audit: true}})
	transmit(t, n, 1, 2, 3, 4)
	require.Zero(t, n.TxRoom(0))
	p := packetOf(n.Pool(), 40, 5, 0)
	require.Equal(t, TxFull, n.Transmit(0, p))
	require.Equal(t, byte(5), p.Head[0], "the packet is still the caller's")
	require.EqualValues(t, 1, n.Counters().TX.Busy)
	require.Zero(t, n.Drops().Total(), "nothing is lost")
	require.True(t, n.Ring(0))
	require.Equal(t, 4, drain(n, 0, (*Packet).Release))
	require.Equal(t, TxOK, n.Transmit(0, p))
	require.True(t, n.Ring(0))
	require.Equal(t, 1, drain(n, 0, (*Packet).Release))
	require.Zero(t, n.Pool().Stats().PacketsOut)
}

func TestUpDown(t *testing.T) {
	n := NewNIC(Config{Queues: 2, Pool: &Pool{Audit: true}})
	transmit(t, n, 1, 2)
	require.True(t, n.Receive(0, packetOf(n.Pool(), 40, 3, 1)))
	n.SetUp(true)
	require.Zero(t, n.Drops().Total(), "it was up already")
	n.SetUp(false)
	require.False(t, n.Up())
	require.Equal(t, Drops{DropTxDown: 2, DropRxDown: 1}, n.Drops(), "what waited is lost")
	require.True(t, n.Idle(0))
	require.True(t, n.Idle(1))
	require.Zero(t, n.Pool().Stats().PacketsOut)

	p := packetOf(n.Pool(), 40, 4, 0)
	require.Equal(t, TxDown, n.Transmit(0, p))
	require.Equal(t, byte(4), p.Head[0], "the packet is still the caller's")
	require.False(t, n.Receive(0, p))
	require.ErrorIs(t, n.Inject(0, make([]byte, 20)), ErrDown)
	n.SetUp(false)
	c := n.Counters()
	require.Equal(t, RXCounters{Dropped: 3}, c.RX)
	require.Equal(t, TXCounters{Errors: 1, Carrier: 1, Dropped: 2}, c.TX)

	n.SetUp(true)
	sendLocal(t, n, 3, 40)
	require.EqualValues(t, 3, n.Counters().RX.Packets, "it came back")
}

// TestDownWhileHeld: the holder of the baton finds the NIC down in the middle of its work.
func TestDownWhileHeld(t *testing.T) {
	n := NewNIC(Config{Pool: &Pool{Audit: true}})
	for i := range byte(100) {
		transmit(t, n, i)
	}
	for i := range byte(50) {
		require.True(t, n.Receive(0, packetOf(n.Pool(), 40, i, 0)))
	}
	require.True(t, n.Ring(0))
	var got []byte
	drain(n, 0, func(p *Packet) {
		n.SetUp(false)
		collect(&got)(p)
	})
	require.Len(t, got, batch, "the batch at hand is finished")
	d := n.Drops()
	require.EqualValues(t, 150-batch, d.Total())
	require.EqualValues(t, 100-batch, d[DropTxDown])
	require.Zero(t, n.Pool().Stats().PacketsOut)
	require.True(t, n.Idle(0))
}

func TestInject(t *testing.T) {
	var interrupts []int
	n := NewNIC(Config{Queues: 2, RingSize: 2, Pool: &Pool{Audit: true}, Interrupt: func(q int) { interrupts = append(interrupts, q) }})
	require.ErrorIs(t, n.Inject(0, nil), ErrEmpty)
	require.ErrorIs(t, n.Inject(0, make([]byte, 65536)), ErrTooLong)
	require.EqualError(t, ErrTooLong, "device: packet longer than 65535 bytes")
	require.Equal(t, RXCounters{Errors: 2, Frame: 2}, n.Counters().RX)
	require.Empty(t, interrupts)

	raw := bytes.Repeat([]byte{7}, MaxPacket)
	require.NoError(t, n.Inject(0, raw))
	require.NoError(t, n.Inject(0, raw[:MaxHead]))
	require.Equal(t, []int{0}, interrupts, "the baton is the interrupt's now")
	require.ErrorIs(t, n.Inject(0, raw), ErrRingFull)
	clear(raw) // the NIC has its own copy
	var sizes []int
	drain(n, 0, func(p *Packet) {
		sizes = append(sizes, len(p.Head))
		require.Equal(t, p.Len(), len(p.Head), "in one piece")
		require.Equal(t, FlagFromWire, p.Flags)
		require.Equal(t, byte(7), p.Head[len(p.Head)-1])
		p.Release()
	})
	require.Equal(t, []int{MaxPacket, MaxHead}, sizes)
	stats := n.Pool().Stats()
	require.Zero(t, stats.BufsOut)
	require.Zero(t, stats.PacketsOut)
	require.Equal(t, Drops{DropRxEmpty: 1, DropRxLength: 1, DropRxFull: 1}, n.Drops())
}

func TestAppendWire(t *testing.T) {
	fill := func(b []byte, start, offset int) { b[start+offset], b[start+offset+1] = byte(len(b)), byte(start) }
	for name, f := range map[string]func([]byte, int, int){"with engine": fill, "without": nil} {
		n := NewNIC(Config{FillChecksum: f})
		p := packetOf(n.Pool(), 4, 1, 0)
		copy(p.Head, []byte{1, 2, 3, 4})
		p.Frags = [2]Piece{{B: []byte{5, 6}}, {B: []byte{7}}}
		p.CsumStart, p.CsumOffset = 2, 1
		require.Equal(t, []byte{9, 1, 2, 3, 4, 5, 6, 7}, n.AppendWire([]byte{9}, p), "complete already")
		p.Flags = FlagCsumPartial
		want := []byte{9, 1, 2, 3, 4, 5, 6, 7}
		if f != nil {
			want[4], want[5] = 7, 2
		}
		require.Equal(t, want, n.AppendWire([]byte{9}, p), name)
		require.Equal(t, []byte{1, 2, 3, 4}, p.Head, "the packet itself stays")
	}
}

func TestNames(t *testing.T) {
	require.Equal(t, "TxOK TxFull TxDown TxUnknown", fmt.Sprint(TxOK, TxFull, TxDown, TxResult(9)))
	seen := map[string]bool{}
	for r := range DropReason(NumDropReasons) {
		name := r.String()
		require.NotEqual(t, "Unknown", name)
		require.False(t, seen[name], "%s twice", name)
		seen[name] = true
	}
	require.Equal(t, "Unknown", DropReason(NumDropReasons).String())
}

// TestConservation: whatever happens, packets that went in came out or were dropped for one reason, and
// all memory came back.
func TestConservation(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(11, seed))
		port := NewPort(5)
		link := []Link{Loopback{}, port}[seed%2]
		n := NewNIC(Config{Queues: 1 + rng.IntN(3), RingSize: 1 << rng.IntN(6), Link: link, Pool: &Pool{Audit: true}})
		if seed%3 == 0 {
			n.SetFilter(func(b []byte) int { return int(b[0]) % 5 })
		}
		w := world{n: n, rng: rng, port: port}
		for range 3000 {
			w.step()
		}
		w.finish()
		w.check(t)
	}
}

// world does random things to a NIC and keeps account.
type world struct {
	n    *NIC
	rng  *rand.Rand
	port *Port

	transmitted, refused, received, delivered, left uint64
}

func (w *world) step() {
	switch k := w.rng.IntN(40); {
	case k == 0:
		w.n.SetUp(!w.n.Up())
	case k < 20:
		p := w.packet()
		if w.n.Transmit(0, p) == TxOK {
			w.transmitted++
		} else {
			w.refused++
			p.Release()
		}
	case k < 25:
		w.n.Receive(0, w.packet())
		w.received++
	case k < 30:
		w.n.Inject(0, make([]byte, max(w.rng.IntN(60000)-1000, 0)))
		w.received++
	case k < 31:
		w.n.Inject(0, make([]byte, 65536+w.rng.IntN(10)))
		w.received++
	case k < 33:
		w.left += uint64(w.port.Drain(func([]byte) {}))
	default:
		w.poll(w.rng.IntN(w.n.Queues()), 1+w.rng.IntN(100))
	}
}

func (w *world) packet() *Packet {
	p := packetOf(w.n.Pool(), 1+w.rng.IntN(MaxHead), byte(w.rng.Uint32()), w.rng.Uint32())
	b := w.n.Pool().Get(w.rng.IntN(3000))
	p.Frags[0] = Piece{b.Bytes()[:100], b}
	if w.rng.IntN(4) == 0 {
		p.Flags = FlagOutside
	}
	return p
}

func (w *world) poll(q, budget int) {
	if !w.n.Ring(q) {
		return
	}
	for {
		w.n.Poll(q, 0, budget, func(p *Packet) {
			w.delivered++
			p.Release()
		})
		if w.n.Rest(q) {
			return
		}
	}
}

func (w *world) finish() {
	for q := range w.n.Queues() {
		w.poll(q, 100)
	}
	w.left += uint64(w.port.Drain(func([]byte) {}))
}

func (w *world) check(t *testing.T) {
	t.Helper()
	c, d := w.n.Counters(), w.n.Drops()
	require.Equal(t, w.transmitted+w.received, w.delivered+w.left+d.Total(), "in = delivered + left + dropped")
	require.Equal(t, w.refused, c.TX.Carrier+c.TX.Busy)
	require.Equal(t, w.transmitted, c.TX.Packets+d[DropTxDown])
	require.Equal(t, w.transmitted, w.n.Transmitted())
	require.Equal(t, w.delivered, c.RX.Packets)
	require.Equal(t, d.Total(), c.RX.Dropped+c.RX.Errors+c.TX.Dropped, "each drop counts once in ifconfig")
	require.NotZero(t, d.Total())
	require.NotZero(t, w.delivered)
	s := w.n.Pool().Stats()
	require.Zero(t, s.PacketsOut)
	require.Zero(t, s.BufsOut)
}

// TestConservationConcurrent: the same with everything at the same time, going up and down.
func TestConservationConcurrent(t *testing.T) {
	n := NewNIC(Config{Queues: 2, RingSize: 16, Pool: &Pool{Audit: true}})
	each := stress(5000)
	var mu sync.Mutex
	var total world
	var wg sync.WaitGroup
	for s := range uint64(4) {
		wg.Go(func() {
			w := world{n: n, rng: rand.New(rand.NewPCG(5, s)), port: NewPort(1)}
			for range each {
				w.step()
			}
			mu.Lock()
			defer mu.Unlock()
			total.transmitted += w.transmitted
			total.refused += w.refused
			total.received += w.received
			total.delivered += w.delivered
		})
	}
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			n.Counters()
			n.AddTap(func(Direction, time.Duration, *NIC, *Packet) {})()
			select {
			case <-stop:
				return
			default:
				runtime.Gosched()
			}
		}
	})
	wg.Wait()
	close(stop)
	reader.Wait()
	total.n, total.port = n, NewPort(1)
	total.finish()
	total.check(t)
}

// FuzzInject: any bytes come out as they went in, and are counted.
func FuzzInject(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x45})
	f.Add(bytes.Repeat([]byte{0x60}, 40))
	f.Add(append([]byte{0x45, 0, 0, 24, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2}, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := NewNIC(Config{Queues: 3, Pool: &Pool{Audit: true}})
		err := n.Inject(0, raw)
		require.Equal(t, len(raw) == 0, err == ErrEmpty)
		require.Equal(t, len(raw) > MaxPacket, err == ErrTooLong)
		q := n.QueueOf(FlowHash(raw))
		require.True(t, n.Ring(q))
		var got []byte
		count := drain(n, q, func(p *Packet) {
			got = n.AppendWire(nil, p)
			p.Release()
		})
		if err == nil {
			require.Equal(t, 1, count)
			require.Equal(t, raw, got)
		}
		c := n.Counters()
		require.EqualValues(t, 1, c.RX.Packets+c.RX.Errors)
		require.EqualValues(t, len(got), c.RX.Bytes)
		require.Zero(t, n.Pool().Stats().PacketsOut)
	})
}

// TestTransmittedLaps: the number of packets goes on where the ring's count begins anew.
func TestTransmittedLaps(t *testing.T) {
	n := NewNIC(Config{})
	q := &n.queues[0]
	r := q.open(n)
	const past = claimedLap - 3
	r.tx.word.Store(past * onePosition)
	r.tx.seen.Store(past * onePosition)
	r.tx.head.Store(past * onePosition)
	r.tx.pos, r.tx.ready, r.tx.freed = past*onePosition, past*onePosition, past*onePosition
	q.tx.base.Store(&trafficBase{packets: past})
	for i := range uint64(10) {
		require.Equal(t, past+i, n.Transmitted())
		transmit(t, n, 1)
		require.Equal(t, past+i+1, n.Transmitted())
		if i%3 == 0 {
			require.True(t, n.Ring(0))
			drain(n, 0, (*Packet).Release)
		}
	}
}
