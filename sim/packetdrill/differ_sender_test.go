package packetdrill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// senderHeader draws settings of a sender.
func senderHeader(rng *rand.Rand) []string {
	h := []string{"`sysctl -w net.ipv4.tcp_congestion_control=reno`"}
	switch rng.IntN(10) {
	case 0:
		h = append(h, "`sysctl -w net.ipv4.tcp_early_retrans=0`")
	case 1:
		h = append(h, "`sysctl -w net.ipv4.tcp_slow_start_after_idle=0`")
	case 2:
		h = append(h, "`sysctl -w net.ipv4.tcp_congestion_control=cubic`")
	}
	return h
}

// peerModel is a receiver: it acknowledges what was not lost, a round trip
// after it left.
type peerModel struct {
	*gen
	rtt     time.Duration
	every   int // segments per acknowledgement
	owed    int
	lose    func(n int, again bool) bool // whether the nth data segment is lost
	ackLoss int                          // one acknowledgement in so many is lost, 0: none
	jitter  bool
	window  int

	count   int // data segments seen
	numbers int // packets seen
	high    uint32
	nxt     uint32 // received in order up to here
	islands []sackBlock
	dsack   *sackBlock
	due     []delivery
	last    time.Duration // of the moment before
	echo    int
}

// delivery is a segment on its way to the peer.
type delivery struct {
	at     time.Duration
	start  uint32
	end    uint32
	number int // of the packet, for its timestamp
	fin    bool
}

// playSender lets the application write and loses segments.
func playSender(g *gen) {
	g.mss, g.scaled = 1000, true
	g.established()
	m := &peerModel{gen: g, rtt: time.Duration(pick(g, 20, 40, 60, 100)) * time.Millisecond, every: pick(g, 1, 1, 2), nxt: 1, high: 1, window: pick(g, 30000, 60000, 200000)}
	m.losses()
	m.jitter = g.one(6)
	if g.one(6) {
		m.ackLoss = pick(g, 3, 6)
	}
	g.take()
	m.numbers = len(g.stamps)
	m.echo = m.numbers - 1
	g.pause(10)
	g.write(pick(g, 1000, 2500, 5000, 10000, 20000, 40000))
	m.run(6 * time.Second)
	if g.one(2) {
		m.calm()
		m.arrivals()
		g.write(pick(g, 1000, 5000, 20000))
		m.run(4 * time.Second)
	}
}

// losses draws which segments are lost.
func (m *peerModel) losses() {
	g := m.gen
	set := map[int]bool{}
	switch g.rng.IntN(6) {
	case 0: // one in a hundred, at least one
		set[g.rng.IntN(12)] = true
	case 1: // a burst
		at := g.rng.IntN(10)
		for i := range 1 + g.rng.IntN(6) {
			set[at+i] = true
		}
	case 2: // the tail of a window
		for i := range 12 {
			if i >= 10-pick(g, 1, 2, 3) && i < 10 {
				set[i] = true
			}
		}
	case 3: // anything
		for i := range 60 {
			set[i] = g.one(8)
		}
	case 4: // much
		for i := range 60 {
			set[i] = g.one(3)
		}
	case 5: // a whole flight
		for i := range 10 {
			set[i] = true
		}
	}
	again := pick(g, 0, 0, 5, 2) // one retransmission in so many
	m.lose = func(n int, second bool) bool {
		if second {
			return again > 0 && g.one(again)
		}
		return set[n]
	}
}

// run acknowledges until nothing happens any more.
func (m *peerModel) run(limit time.Duration) {
	end := m.at + limit
	const idle = 1200 * time.Millisecond
	for m.at < end {
		wait := idle
		slices.SortStableFunc(m.due, func(a, b delivery) int { return int(a.at - b.at) })
		if len(m.due) > 0 {
			wait = m.due[0].at - m.at
		}
		if m.awaitPacket(wait) {
			m.arrivals()
			continue
		}
		if len(m.due) == 0 {
			return
		}
		d := m.due[0]
		m.due = m.due[1:]
		m.at = max(m.at, d.at)
		m.receive(d)
	}
}

// arrivals takes what left and loses some of it.
func (m *peerModel) arrivals() {
	m.learn()
	for _, c := range m.take() {
		n := m.numbers
		m.numbers++
		if c.p.proto != protoTCP || c.p.flags&(flagSYN|flagRST) != 0 || len(c.p.data) == 0 && c.p.flags&flagFIN == 0 {
			continue
		}
		s := describeTCP(m.r.findConnOut(c.p), c.p)
		end := s.seq.end
		if c.p.flags&flagFIN != 0 {
			end++
		}
		again := int32(end-m.high) <= 0
		if !again {
			m.high = end
			m.count++
		}
		if m.lose(m.count-1, again) {
			continue
		}
		delay := m.rtt + m.patience(c.at-m.last)
		if m.jitter && m.one(5) {
			delay += time.Duration(m.rng.IntN(30)) * time.Millisecond
		}
		m.due = append(m.due, delivery{c.at + delay, s.seq.start, end, n, c.p.flags&flagFIN != 0})
	}
}

// patience is how long the answer to a packet waits that a timer sent, so
// that it comes later even if the timer was.
func (m *peerModel) patience(since time.Duration) time.Duration {
	switch {
	case since < 3*time.Millisecond:
		return 0
	case since < 190*time.Millisecond:
		return 15 * time.Millisecond
	case since < 1800*time.Millisecond:
		return 60 * time.Millisecond
	}
	return 400 * time.Millisecond
}

// receive is what a receiver does with a segment.
func (m *peerModel) receive(d delivery) {
	m.last = m.at
	m.dsack = nil
	at := false // acknowledge at once
	switch {
	case int32(d.end-m.nxt) <= 0:
		m.dsack, at = &sackBlock{d.start, d.end}, true
	case int32(d.start-m.nxt) <= 0:
		m.nxt = d.end
		m.echo = d.number
		at = len(m.islands) > 0
		for len(m.islands) > 0 {
			i := slices.IndexFunc(m.islands, func(b sackBlock) bool { return int32(b.start-m.nxt) <= 0 })
			if i < 0 {
				break
			}
			if int32(m.islands[i].end-m.nxt) > 0 {
				m.nxt = m.islands[i].end
			}
			m.islands = slices.Delete(m.islands, i, i+1)
		}
	default:
		at = true
		m.island(sackBlock{d.start, d.end})
	}
	if m.owed++; m.owed < m.every && !at && len(m.due) > 0 {
		return
	}
	m.owed = 0
	if m.ackLoss > 0 && m.one(m.ackLoss) {
		return
	}
	m.acknowledge()
}

// island adds a block, the most recent first.
func (m *peerModel) island(b sackBlock) {
	for i := 0; i < len(m.islands); {
		o := m.islands[i]
		if int32(o.start-b.end) <= 0 && int32(b.start-o.end) <= 0 {
			if o.start == b.start || int32(o.start-b.start) <= 0 && int32(o.end-b.end) >= 0 {
				m.dsack = &sackBlock{b.start, b.end}
			}
			if int32(o.start-b.start) < 0 {
				b.start = o.start
			}
			if int32(o.end-b.end) > 0 {
				b.end = o.end
			}
			m.islands = slices.Delete(m.islands, i, i+1)
			continue
		}
		i++
	}
	m.islands = slices.Insert(m.islands, 0, b)
}

// acknowledge sends what the peer has.
func (m *peerModel) acknowledge() {
	var opts []string
	if m.ts {
		opts = append(opts, fmt.Sprintf("nop,nop,TS val %d ecr @%d", 100+int(m.at/time.Millisecond), m.echo))
	}
	blocks := slices.Clone(m.islands)
	if m.dsack != nil {
		blocks = slices.Insert(blocks, 0, *m.dsack)
	}
	if n := map[bool]int{true: 3, false: 4}[m.ts]; len(blocks) > n {
		blocks = blocks[:n]
	}
	if m.sack && len(blocks) > 0 {
		opts = append(opts, "nop,nop,"+(&tcpOption{kind: optSACK, blocks: blocks}).String())
	}
	m.segment(".", 0, 0, m.nxt, m.gen.window(m.window), opts...)
	if m.one(3) {
		m.do(lookInfo)
	}
}

// playRounds has no losses: windows grow, the application pauses, acknowledgements
// stretch.
func playRounds(g *gen) {
	g.mss, g.scaled = pick(g, 1000, 1460, 536), true
	g.established()
	m := &peerModel{gen: g, rtt: time.Duration(pick(g, 20, 50, 100)) * time.Millisecond, every: pick(g, 1, 2, 4, 10), nxt: 1, high: 1, window: pick(g, 5000, 30000, 400000)}
	m.lose = func(int, bool) bool { return false }
	if g.one(4) {
		m.ackLoss = 3
	}
	g.take()
	m.numbers = len(g.stamps)
	m.echo = m.numbers - 1
	g.pause(10)
	for range 1 + g.rng.IntN(4) {
		g.write(pick(g, 100, 1000, 4000, 10000, 30000, 60000))
		m.run(time.Duration(pick(g, 60, 150, 3000)) * time.Millisecond)
		m.calm()
		m.arrivals()
		g.pause(0, 20, 300, 900)
		g.do(lookInfo)
	}
}
