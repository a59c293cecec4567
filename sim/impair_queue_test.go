package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/ipv4"
	"example.com/loopback/tcp"
)

// packetOf returns a segment of exactly n bytes, ECN-capable if ect is set.
func packetOf(t testing.TB, n int, port uint16, ect bool) []byte {
	raw := segment{src: hostA, dst: hostB, sport: port, dport: 631, flags: tcp.ACK, ect: ect, payload: make([]byte, n-52)}.build(t)
	require.Len(t, raw, n)
	return raw
}

func TestLineSendsAtItsRate(t *testing.T) {
	for _, x := range []struct {
		name string
		m    Impairment
		size int
		each time.Duration
	}{
		{"1 Mbit/s", Impairment{Rate: 1e6}, 1000, 8 * time.Millisecond},
		{"with overhead", Impairment{Rate: 1e6, Queue: QueueConfig{Overhead: 250}}, 1000, 10 * time.Millisecond},
		{"rounded up", Impairment{Rate: 3e9}, 100, 267},
		{"a modem", Impairment{Rate: 300}, 75, 2 * time.Second},
		{"CoDel", Impairment{Rate: 1e6, Queue: QueueConfig{Discipline: CoDel, Interval: time.Hour}}, 1000, 8 * time.Millisecond},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t, ImpairConfig{}, Rule{Impairment: x.m})
			raw := packetOf(t, x.size, 1, false)
			for range 100 {
				r.send(raw)
			}
			s := r.l.Stats()
			require.True(t, s.Balanced())
			require.EqualValues(t, 100, s.Held)
			r.settle()
			for k, at := range r.times() {
				require.Equal(t, time.Duration(k+1)*x.each, at)
			}
			require.Len(t, r.got, 100)
			// After a pause the line is free again.
			r.wait(time.Second)
			before := r.q.Now()
			r.send(raw)
			r.settle()
			require.Equal(t, before+x.each, r.got[100].at)
		})
	}
}

func TestTailDrop(t *testing.T) {
	for _, x := range []struct {
		name string
		q    QueueConfig
		want int
	}{
		{"default", QueueConfig{}, 50},
		{"packets", QueueConfig{Packets: 10}, 11}, // one is on the line
		{"bytes", QueueConfig{Bytes: 5500}, 6},
		{"both", QueueConfig{Packets: 3, Bytes: 5500}, 4},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Rate: 1e6, Queue: x.q}})
			for range 50 {
				r.send(packetOf(t, 1000, 1, false))
			}
			r.settle()
			require.Len(t, r.got, x.want)
			require.EqualValues(t, 50-x.want, r.l.Stats().Dropped[ReasonQueueFull])
		})
	}
}

func TestLinesAreSharedOrNot(t *testing.T) {
	for _, perFlow := range []bool{false, true} {
		r := newRig(t, ImpairConfig{}, Rule{Both: true, Proto: 6, From: prefix(hostA), Impairment: Impairment{Rate: 8e6, Queue: QueueConfig{PerFlow: perFlow}}})
		back := segment{src: hostB, dst: hostA, sport: 631, dport: 1, flags: tcp.ACK, payload: make([]byte, 948)}.build(t)
		r.send(packetOf(t, 1000, 1, false), packetOf(t, 1000, 2, false), back)
		r.settle()
		const ms = time.Millisecond
		want := []time.Duration{ms, ms, 2 * ms}
		if perFlow {
			want = []time.Duration{ms, ms, ms}
		}
		require.Equal(t, want, r.times(), "directions have their own")
	}
}

func TestHeldBoundsLinesToo(t *testing.T) {
	r := newRig(t, ImpairConfig{Held: 5}, Rule{Impairment: Impairment{Rate: 1e6}})
	for range 20 {
		r.send(packetOf(t, 1000, 1, false))
	}
	require.EqualValues(t, 5, r.l.Stats().Held)
	require.EqualValues(t, 15, r.l.Stats().Dropped[ReasonHeld])
	r.settle()
}

// overload sends twice what the line carries for a second and returns the delay of each packet that arrived.
func overload(t *testing.T, q QueueConfig, ect bool) (r *rig, delays []time.Duration, marked int) {
	r = newRig(t, ImpairConfig{Seed: 2}, Rule{Impairment: Impairment{Rate: 8e6, Queue: q}})
	raw := packetOf(t, 1000, 1, ect)
	const count = 2000
	var sent []time.Duration
	for range count {
		sent = append(sent, r.q.Now())
		r.send(raw)
		r.wait(500 * time.Microsecond)
	}
	r.settle()
	k := 0
	dropped := map[uint64]bool{}
	for _, d := range r.l.Decisions() {
		if d.Kind == KindDrop {
			dropped[d.Packet] = true
		}
	}
	for number := uint64(1); number <= count; number++ {
		if dropped[number] {
			continue
		}
		delays = append(delays, r.got[k].at-sent[number-1])
		h := header4(r.got[k].raw)
		require.True(t, intact(r.got[k].raw))
		if h.ECN() == ipv4.ECNCE {
			marked++
		}
		k++
	}
	require.Equal(t, k, len(r.got))
	return r, delays, marked
}

func TestREDKeepsTheQueueShort(t *testing.T) {
	q := QueueConfig{Discipline: RED, Bytes: 400000, Min: 20000, Max: 60000, Probability: 0.1, Weight: 5}
	r, delays, _ := overload(t, q, false)
	s := r.l.Stats()
	require.Zero(t, s.Dropped[ReasonQueueFull])
	require.Greater(t, s.Dropped[ReasonRED], uint64(600), "half of the traffic has to go")
	for _, d := range delays[len(delays)/2:] {
		require.Less(t, d, 90*time.Millisecond)
	}
	// Early drops come before the queue is long, and one by one.
	first := r.l.Decisions()[0]
	require.Less(t, first.Packet, uint64(150))
	require.Greater(t, first.Packet, uint64(40))

	q.ECN = true
	r, _, marked := overload(t, q, true)
	require.Greater(t, marked, 600)
	require.GreaterOrEqual(t, r.l.Stats().Decisions[KindMark], uint64(marked), "some are lost to the full queue afterwards")
	require.Zero(t, r.l.Stats().Dropped[ReasonRED], "ECN-capable traffic is marked instead")

	r, _, marked = overload(t, q, false)
	require.Zero(t, marked)
	require.NotZero(t, r.l.Stats().Dropped[ReasonRED], "other traffic is dropped")
}

func TestREDForgetsWhileIdle(t *testing.T) {
	r := newRig(t, ImpairConfig{Seed: 2}, Rule{Name: "red", Impairment: Impairment{Rate: 8e6, Queue: QueueConfig{Discipline: RED, Min: 3000, Max: 9000, Probability: 1, Weight: 2, Packets: 100}}})
	for range 40 {
		r.send(packetOf(t, 1000, 1, false))
	}
	require.NotZero(t, r.l.Stats().Dropped[ReasonRED])
	ln := (*r.l.rules.Load())[0].line
	for r.q.Step() {
	}
	high := ln.red.average
	require.Greater(t, high>>16, uint64(3000))
	r.wait(5 * time.Millisecond)
	drops := r.l.Stats().Drops()
	r.send(packetOf(t, 1000, 1, false))
	require.Less(t, ln.red.average, high/2)
	require.NotZero(t, ln.red.average)
	r.wait(time.Hour)
	r.send(packetOf(t, 1000, 1, false))
	require.Zero(t, ln.red.average)
	require.Equal(t, drops, r.l.Stats().Drops())
	r.settle()
}

func TestREDDefaults(t *testing.T) {
	for _, x := range []struct {
		q         QueueConfig
		low, high uint64
	}{
		{QueueConfig{}, 187500, 562500},
		{QueueConfig{Packets: 80}, 15000, 45000},
		{QueueConfig{Bytes: 8000}, 1000, 3000},
		{QueueConfig{Bytes: 1}, 1, 3},
		{QueueConfig{Min: 5, Max: 3}, 5, 6},
	} {
		low, high := x.q.thresholds()
		require.Equal(t, []uint64{x.low, x.high}, []uint64{low, high}, fmt.Sprintf("%+v", x.q))
	}
	r, _, _ := overload(t, QueueConfig{Discipline: RED}, false)
	require.NotZero(t, r.l.Stats().Dropped[ReasonRED])
}

func TestCoDelKeepsTheDelayNearItsTarget(t *testing.T) {
	// CoDel is made for senders that slow down. This one does, a little with each loss.
	r := newRig(t, ImpairConfig{Seed: 2}, Rule{Impairment: Impairment{Rate: 8e6, Queue: QueueConfig{Discipline: CoDel}}})
	raw := packetOf(t, 1000, 1, false)
	gap, losses := 800*time.Microsecond, uint64(0)
	var sent []time.Duration
	for r.q.Now() < 20*time.Second {
		sent = append(sent, r.q.Now())
		r.send(raw)
		if now := r.l.Stats().Drops(); now > losses {
			losses = now
			gap += 100 * time.Microsecond
		} else {
			gap -= gap / 1000
		}
		r.wait(gap)
	}
	r.settle()
	require.NotZero(t, losses)
	require.EqualValues(t, losses, r.l.Stats().Dropped[ReasonCoDel])
	dropped := map[int]bool{}
	for _, d := range r.l.Decisions() {
		dropped[int(d.Packet)-1] = true
	}
	k, good := 0, 0
	for number, at := range sent {
		if dropped[number] {
			continue
		}
		if r.got[k].at-at < 60*time.Millisecond {
			good++
		}
		k++
	}
	require.Greater(t, float64(good)/float64(k), 0.8, "share of packets below 60 ms")
}

// RFC 8289: the first drop comes when packets were above the target for an interval, then at intervals that shrink by the
// square root of the count.
func TestCoDelDropsByTheControlLaw(t *testing.T) {
	r, _, _ := overload(t, QueueConfig{Discipline: CoDel, Packets: 100000}, false)
	var at []time.Duration
	for _, d := range r.l.Decisions() {
		require.Equal(t, ReasonCoDel, d.Reason)
		at = append(at, d.At-time.Second)
	}
	require.Greater(t, len(at), 20)
	// Above 5 ms from about 10 ms on (the queue grows by 1 ms every 2 ms), so 110 ms; every packet takes 1 ms.
	require.InDelta(t, 110, at[0].Milliseconds(), 3)
	next := at[0]
	for k := 1; k < 12; k++ {
		next += controlLaw(100*time.Millisecond, uint64(k))
		require.InDelta(t, next.Seconds(), at[k].Seconds(), 0.003, "drop %d", k)
	}

	r, _, marked := overload(t, QueueConfig{Discipline: CoDel, ECN: true, Packets: 100000}, true)
	require.Greater(t, marked, 20)
	require.Zero(t, r.l.Stats().Drops())
}

func TestControlLaw(t *testing.T) {
	require.Equal(t, 100*time.Millisecond, controlLaw(100*time.Millisecond, 1))
	require.Equal(t, 50*time.Millisecond, controlLaw(100*time.Millisecond, 4))
	require.InDelta(t, 57735026, int64(controlLaw(100*time.Millisecond, 3)), 2000)
	require.Positive(t, controlLaw(time.Millisecond, 1<<60))
}

func TestMarksOfBothFamilies(t *testing.T) {
	for _, x := range []struct {
		name string
		seg  segment
		mark bool
	}{
		{"IPv4", segment{src: hostA, dst: hostB, ect: true}, true},
		{"IPv6", segment{src: hostA6, dst: hostB6, ect: true}, true},
		{"IPv4 without ECN", segment{src: hostA, dst: hostB}, false},
		{"IPv6 without ECN", segment{src: hostA6, dst: hostB6}, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := newRig(t, ImpairConfig{}, Rule{Impairment: Impairment{Rate: 8e6, Queue: QueueConfig{Discipline: RED, Min: 1, Max: 2, Weight: 1, ECN: true}}})
			x.seg.payload = make([]byte, 100)
			for range 4 {
				r.send(x.seg.build(t))
			}
			r.settle()
			last := r.got[len(r.got)-1].raw
			require.True(t, intact(last))
			p := decode(t, last)
			if !x.mark {
				require.Less(t, len(r.got), 4)
				return
			}
			require.Len(t, r.got, 4)
			if h, ok := p.NetworkLayer().(*layers.IPv6); ok {
				require.EqualValues(t, 3, h.TrafficClass)
			} else {
				require.EqualValues(t, 3, p.NetworkLayer().(*layers.IPv4).TOS)
			}
		})
	}
}
