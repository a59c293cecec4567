package device

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// packetOf returns a packet of n bytes that starts with tag, for the given flow.
func packetOf(pool *Pool, n int, tag byte, hash uint32) *Packet {
	p := pool.NewPacket()
	p.SetHead(n)[0] = tag
	p.Hash = hash
	return p
}

// transmit sends packets of 40 bytes, tagged, on flow 0.
func transmit(t *testing.T, n *NIC, tags ...byte) {
	t.Helper()
	for _, tag := range tags {
		require.Equal(t, TxOK, n.Transmit(0, packetOf(n.Pool(), 40, tag, 0)))
	}
}

// collect returns a handler that appends the tags of packets to got and releases them.
func collect(got *[]byte) func(*Packet) {
	return func(p *Packet) {
		*got = append(*got, p.Head[0])
		p.Release()
	}
}

func TestBaton(t *testing.T) {
	n := NewNIC(Config{})
	var got []byte
	h := collect(&got)
	require.True(t, n.Idle(0))
	require.True(t, n.Ring(0), "the first to ring takes the baton")
	require.False(t, n.Idle(0))
	require.False(t, n.Ring(0), "the baton is held")
	require.False(t, n.Ring(0), "and still is")
	require.False(t, n.Rest(0), "the bell was rung since: poll again")
	require.Zero(t, n.Poll(0, 0, 10, h), "nothing there, not even rings")
	require.True(t, n.Rest(0))
	require.True(t, n.Idle(0))

	transmit(t, n, 1, 2, 3)
	require.True(t, n.Idle(0), "nobody rang")
	require.True(t, n.Ring(0))
	require.False(t, n.Rest(0), "there are packets")
	require.Equal(t, 2, n.Poll(0, 0, 2, h), "the budget is 2")
	require.False(t, n.Rest(0), "one is left")
	require.Equal(t, 1, n.Poll(0, 0, 2, h))
	require.True(t, n.Rest(0))
	require.Equal(t, []byte{1, 2, 3}, got)
}

func TestPollBudget(t *testing.T) {
	for _, c := range []struct{ packets, budget, want int }{
		{100, 1, 1}, {100, 31, 31}, {100, 33, 33}, {100, 100, 100}, {100, 1000, 100}, {100, 0, batch}, {100, -5, batch}, {0, 5, 0},
	} {
		n := NewNIC(Config{})
		for range c.packets {
			transmit(t, n, 1)
		}
		require.True(t, n.Ring(0))
		require.Equal(t, c.want, n.Poll(0, 0, c.budget, (*Packet).Release), "%+v", c)
		require.Equal(t, c.packets-c.want, drain(n, 0, (*Packet).Release))
	}
}

// TestPollBudgetOfSends: packets that leave by the wire and never arrive here count, too; else a sender
// could keep the holder of the baton at work for ever.
func TestPollBudgetOfSends(t *testing.T) {
	port := NewPort(1000)
	n := NewNIC(Config{Link: port})
	for range 50 {
		p := packetOf(n.Pool(), 40, 1, 0)
		p.Flags = FlagOutside
		require.Equal(t, TxOK, n.Transmit(0, p))
	}
	require.True(t, n.Ring(0))
	require.Zero(t, n.Poll(0, 0, 10, nil))
	require.Equal(t, 10, port.Len())
	require.False(t, n.Rest(0))
	require.Zero(t, drain(n, 0, nil))
	require.Equal(t, 50, port.Len())
}

// TestHandlerTransmits: what the handler sends is delivered by the same poll.
func TestHandlerTransmits(t *testing.T) {
	n := NewNIC(Config{})
	left := 500
	transmit(t, n, 1)
	require.True(t, n.Ring(0))
	total := drain(n, 0, func(p *Packet) {
		if left--; left == 0 {
			p.Release()
			return
		}
		require.Equal(t, TxOK, n.Transmit(0, p))
		require.False(t, n.Ring(0))
	})
	require.Equal(t, 500, total)
}

// TestSmallestRings: with room for one packet the loopback wire still loses nothing.
func TestSmallestRings(t *testing.T) {
	n := NewNIC(Config{RingSize: 1})
	for i := range byte(5) {
		transmit(t, n, i)
		require.Equal(t, TxFull, n.Transmit(0, packetOf(n.Pool(), 40, 9, 0)))
		require.True(t, n.Ring(0))
		var got []byte
		drain(n, 0, collect(&got))
		require.Equal(t, []byte{i}, got)
	}
	require.Equal(t, uint64(5), n.Counters().TX.Busy)
	require.Zero(t, n.Drops().Total())
}

// TestFullRxKeepsTx: when outsiders filled the RX ring, the loopback wire still loses nothing.
func TestFullRxKeepsTx(t *testing.T) {
	n := NewNIC(Config{RingSize: 4})
	for i := range byte(4) {
		require.True(t, n.Receive(0, packetOf(n.Pool(), 40, i, 0)))
	}
	require.False(t, n.Receive(0, packetOf(n.Pool(), 40, 99, 0)))
	transmit(t, n, 4, 5, 6, 7)
	require.True(t, n.Ring(0))
	var got []byte
	drain(n, 0, collect(&got))
	require.Equal(t, []byte{0, 1, 2, 3, 4, 5, 6, 7}, got)
	require.Equal(t, Drops{DropRxFull: 1}, n.Drops())
}

// TestTurns: neither those who put packets on the RX ring without end nor a handler that always answers keeps
// the other waiting, whatever the budget.
func TestTurns(t *testing.T) {
	for _, budget := range []int{1, 2, 64} {
		n := NewNIC(Config{RingSize: 128})
		var turns [2]int
		refill := func(p *Packet) {
			tag := p.Head[0]
			turns[tag]++
			if tag == 0 {
				require.True(t, n.Receive(0, p))
			} else {
				require.Equal(t, TxOK, n.Transmit(0, p))
			}
		}
		for range 100 {
			require.True(t, n.Receive(0, packetOf(n.Pool(), 40, 0, 0)))
			transmit(t, n, 1)
		}
		require.True(t, n.Ring(0))
		for turns[0]+turns[1] < 1000 {
			n.Poll(0, 0, budget, refill)
		}
		require.Greater(t, turns[0], 300, "budget %d: %v", budget, turns)
		require.Greater(t, turns[1], 300, "budget %d: %v", budget, turns)
	}
}

func TestKick(t *testing.T) {
	var kicked []int
	var n *NIC
	n = NewNIC(Config{Queues: 3, Interrupt: func(q int) {
		kicked = append(kicked, q)
		drain(n, q, (*Packet).Release)
	}})
	n.Kick(2)
	n.Kick(1)
	require.Equal(t, []int{2, 1}, kicked)
	require.True(t, n.Ring(0))
	n.Kick(0)
	require.Equal(t, []int{2, 1}, kicked, "the holder of the baton sees to it")
	require.False(t, n.Rest(0), "because the bell was rung")
	drain(n, 0, nil)

	n = NewNIC(Config{})
	n.Kick(0)
	require.True(t, n.Idle(0), "with nobody to interrupt the owner polls")
	require.True(t, n.Ring(0))
	n.Kick(0)
	n.Kick(0)
	require.False(t, n.Rest(0), "but who holds the baton is told")
	drain(n, 0, nil)
}

// TestNoLostWakeup: whatever is put on a ring before its bell is rung is handled, by one goroutine at a
// time, without anybody looking after it later.
func TestNoLostWakeup(t *testing.T) {
	for name, queues := range map[string]int{"one queue": 1, "three queues": 3} {
		t.Run(name, func(t *testing.T) {
			each := stress(20000)
			const senders = 6
			holders := make([]atomic.Int32, queues)
			var overlaps, handled, tooFull atomic.Int64
			var n *NIC
			poll := func(q int) {
				for {
					if holders[q].Add(1) != 1 {
						overlaps.Add(1)
					}
					n.Poll(q, 0, 16, func(p *Packet) {
						handled.Add(1)
						p.Release()
					})
					holders[q].Add(-1)
					if n.Rest(q) {
						return
					}
				}
			}
			n = NewNIC(Config{Queues: queues, RingSize: 64, Interrupt: poll, Pool: &Pool{Audit: true}})
			var wg sync.WaitGroup
			for s := range senders {
				wg.Go(func() {
					for i := range each {
						p := packetOf(n.Pool(), 40, 0, uint32(i))
						q := i % queues
						if s%2 == 0 { // from outside
							if !n.Receive(0, p) {
								tooFull.Add(1)
							}
							n.Kick(q)
							continue
						}
						for n.Transmit(0, p) != TxOK {
							if n.Ring(q) {
								poll(q)
							}
							runtime.Gosched()
						}
						if n.Ring(q) {
							poll(q)
						}
					}
				})
			}
			wg.Wait()
			require.Zero(t, overlaps.Load(), "two held the baton at once")
			// Outsiders may take the room on the RX ring that the wire was about to use.
			d := n.Drops()
			require.Equal(t, Drops{DropRxFull: d.Total()}, d)
			require.GreaterOrEqual(t, d.Total(), uint64(tooFull.Load()))
			require.EqualValues(t, senders*each, uint64(handled.Load())+d.Total())
			for q := range queues {
				require.True(t, n.Idle(q))
			}
			require.Zero(t, n.Pool().Stats().PacketsOut)
		})
	}
}

// TestCountersBeforeHandler: who is woken by a packet finds it counted.
func TestCountersBeforeHandler(t *testing.T) {
	n := NewNIC(Config{})
	transmit(t, n, 1, 2, 3)
	require.True(t, n.Ring(0))
	drain(n, 0, func(p *Packet) {
		c := n.Counters()
		require.EqualValues(t, 3, c.RX.Packets)
		require.EqualValues(t, 120, c.RX.Bytes)
		require.EqualValues(t, 3, c.TX.Packets)
		p.Release()
	})
}

// TestCountersAgree: at any time, a snapshot's packets are those of its bytes, and nothing runs
// backwards, also where the counters are given a new base.
func TestCountersAgree(t *testing.T) {
	const size = 40
	var tr traffic
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var last uint64
		for {
			packets, bytes := tr.load()
			if packets*size != bytes || packets < last {
				t.Errorf("%d packets of %d bytes each are %d bytes; before, there were %d", packets, size, bytes, last)
				return
			}
			last = packets
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 4000 {
		tr.add(1000, 1000*size) // a new base after each half million
	}
	close(stop)
	wg.Wait()
	packets, bytes := tr.load()
	require.EqualValues(t, 4000*1000, packets)
	require.EqualValues(t, 4000*1000*size, bytes)
	require.NotNil(t, tr.base.Load())
}

// TestTrafficLargest: half a million packets of the largest size, between two bases, do not run over.
func TestTrafficLargest(t *testing.T) {
	var tr traffic
	for i := range 40000 {
		tr.add(batch, batch*MaxPacket)
		packets, bytes := tr.load()
		require.EqualValues(t, (i+1)*batch, packets)
		require.EqualValues(t, (i+1)*batch*MaxPacket, bytes)
	}
}

func TestPollAllocs(t *testing.T) {
	n := NewNIC(Config{Queues: 2})
	payload := n.Pool().Get(1000)
	step := func() {
		for i := range 40 {
			p := n.Pool().NewPacket()
			p.Hash = uint32(i)
			p.SetHead(52)
			payload.Retain()
			p.Frags[0] = Piece{payload.Bytes()[:1000], payload}
			n.Transmit(0, p)
		}
		for q := range 2 {
			if n.Ring(q) {
				drain(n, q, (*Packet).Release)
			}
		}
	}
	if raceEnabled {
		step() // sync.Pool forgets things on purpose
		return
	}
	require.Zero(t, testing.AllocsPerRun(100, step))
}

func TestQueueSteering(t *testing.T) {
	n := NewNIC(Config{Queues: 4})
	for hash := range uint32(16) {
		require.Equal(t, TxOK, n.Transmit(0, packetOf(n.Pool(), 20, byte(hash), hash)))
	}
	for q := range 4 {
		require.True(t, n.Ring(q))
		var got []byte
		drain(n, q, func(p *Packet) {
			require.Equal(t, q, int(p.Queue))
			got = append(got, p.Head[0])
			p.Release()
		})
		require.Equal(t, []byte{byte(q), byte(q + 4), byte(q + 8), byte(q + 12)}, got)
	}
}

// TestTaps: every packet passes each tap once out and once in, in order, with times that do not
// decrease, until the tap is removed.
func TestTaps(t *testing.T) {
	n := NewNIC(Config{})
	type seen struct {
		dir Direction
		now time.Duration
		tag byte
	}
	var a, b []seen
	note := func(to *[]seen) Tap {
		return func(dir Direction, now time.Duration, tapped *NIC, p *Packet) {
			require.Same(t, n, tapped)
			*to = append(*to, seen{dir, now, p.Head[0]})
		}
	}
	removeA := n.AddTap(note(&a))
	removeB := n.AddTap(note(&b))
	send := func(tag byte, sent, polled time.Duration) {
		require.Equal(t, TxOK, n.Transmit(sent, packetOf(n.Pool(), 20, tag, 0)))
		require.True(t, n.Ring(0))
		n.Poll(0, polled, 1, (*Packet).Release)
		require.True(t, n.Rest(0))
	}
	send(1, 5, 7)
	removeB()
	removeB()
	send(2, 6, 9) // sent before the last poll began, seen after it
	require.Equal(t, []seen{{DirTX, 5, 1}, {DirRX, 7, 1}, {DirTX, 7, 2}, {DirRX, 9, 2}}, a)
	require.Equal(t, a[:2], b)
	removeA()
	send(3, 10, 10)
	require.Len(t, a, 4)
	require.Nil(t, n.taps.Load(), "the hot path has nothing to look at")
	require.Equal(t, "RX TX", DirRX.String()+" "+DirTX.String())
}

// TestTapSeesNoRefused: a packet that the TX ring refused did not pass.
func TestTapSeesNoRefused(t *testing.T) {
	n := NewNIC(Config{RingSize: 1})
	count := 0
	n.AddTap(func(dir Direction, _ time.Duration, _ *NIC, _ *Packet) { count++ })
	transmit(t, n, 1)
	require.Equal(t, TxFull, n.Transmit(0, packetOf(n.Pool(), 40, 2, 0)))
	require.True(t, n.Ring(0))
	drain(n, 0, (*Packet).Release)
	require.Equal(t, 2, count)
}

func TestFilter(t *testing.T) {
	n := NewNIC(Config{
		Pool:         &Pool{Audit: true},
		FillChecksum: func(b []byte, start, offset int) { b[start+offset] = 0xcc },
	})
	var tapped, got []byte
	var shown [][]byte
	n.AddTap(func(dir Direction, _ time.Duration, _ *NIC, p *Packet) {
		if dir == DirRX {
			tapped = append(tapped, p.Head[0])
		}
	})
	n.SetFilter(func(b []byte) int {
		shown = append(shown, slices.Clone(b))
		return int(b[0] & 1) // odd ones pass
	})
	transmit(t, n, 1, 2, 3, 4, 5)
	scattered := packetOf(n.Pool(), 3, 7, 0)
	scattered.Frags = [2]Piece{{B: []byte{8}}, {B: []byte{9, 10}}}
	scattered.Flags, scattered.CsumStart, scattered.CsumOffset = FlagCsumPartial, 2, 2
	copy(scattered.Head[1:], []byte{0xa, 0xb})
	require.Equal(t, TxOK, n.Transmit(0, scattered))
	require.True(t, n.Ring(0))
	drain(n, 0, collect(&got))
	require.Equal(t, []byte{1, 3, 5, 7}, got)
	require.Equal(t, got, tapped, "taps come after the filter")
	require.Equal(t, []byte{7, 0xa, 0xb, 8, 0xcc, 10}, shown[5], "in one piece, the checksum filled in")
	c := n.Counters()
	require.Equal(t, RXCounters{Packets: 4, Bytes: 3*40 + 6, Dropped: 2, Filtered: 2}, c.RX)
	require.EqualValues(t, 6, c.TX.Packets)
	require.Equal(t, Drops{DropFiltered: 2}, n.Drops())
	require.Zero(t, n.Pool().Stats().PacketsOut)

	n.SetFilter(nil)
	sendLocal(t, n, 3, 20)
	require.Len(t, shown, 6)
}
