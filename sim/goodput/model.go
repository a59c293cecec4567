package goodput

import (
	"math"
	"math/rand/v2"
)

// Model is the goodput in bits per second of an ideal sender: its window is that of the RFCs' formulas in real numbers,
// it learns of each loss after exactly one round trip, reduces its window at most once in each, and never times out. The
// formulas take losses to come at equal distances; here they come as they do on the path, which makes the
// windows larger, CUBIC's above all: it grows with the third power of the time without loss.
func (c Cell) Model() float64 {
	if c.Loss == 0 {
		return lineGoodput
	}
	m := model{c: c, rng: rand.New(rand.NewPCG(1, 1)), w: 10, wMax: 0}
	const warm, counted = 50_000, 1_000_000
	m.send(warm)
	from, delivered := m.now, m.delivered
	m.send(counted)
	return float64(m.delivered-delivered) * MSS * 8 / (m.now - from)
}

// A model is an ideal sender, one segment at a time. Times are in seconds, windows in segments.
type model struct {
	c         Cell
	rng       *rand.Rand
	now       float64
	seq       float64 // segments sent
	delivered int

	w      float64 // the window
	detect float64 // when seq gets here, a loss is noticed; 0: none is under way
	high   float64 // losses before this belong to the reduction before
	grow   float64 // recovery, without growth, lasts until here

	wMax, wEst, prior, start float64 // of CUBIC
	begun                    bool

	cnt, credit, lastW, lastTime float64 // of Linux's CUBIC: see tcp.Cubic
}

// send sends n segments.
func (m *model) send(n int) {
	line := float64(Rate) / (MTU * 8)
	rtt := m.c.RTT.Seconds()
	bdp := rtt * line
	for range n {
		m.seq++
		m.now += max(rtt/m.w, 1/line) // with more than one bandwidth-delay product under way the queue fills
		lost := m.rng.Float64() < m.c.Loss
		if !lost {
			m.delivered++
		}
		if m.w >= bdp+Queue {
			lost = true
		}
		if lost && m.seq > m.high && m.detect == 0 {
			m.detect = m.seq + m.w
			m.high = m.detect
		}
		if m.detect != 0 && m.seq >= m.detect {
			m.detect = 0
			m.reduce()
			m.grow = m.seq + m.w
		}
		if m.seq > m.grow {
			m.acknowledge(max(rtt, m.w/line))
		}
	}
}

// reduce is the reaction to a loss (RFC 5681 §3.1, RFC 9438 §4.6, §4.7).
func (m *model) reduce() {
	if m.c.Algorithm == "reno" {
		m.w = max(m.w/2, 2)
		return
	}
	m.prior = m.w
	if m.w < m.wMax {
		m.wMax = m.w * (1 + cubicBeta) / 2
	} else {
		m.wMax = m.w
	}
	m.w = max(m.w*cubicBeta, 2)
	m.begun = false
	if m.c.Algorithm == "cubic" {
		m.w, m.credit = math.Floor(m.w), 0
	}
}

// CUBIC's constants (RFC 9438 §4.1, §4.6).
const (
	cubicC    = 0.4
	cubicBeta = 0.7
)

// acknowledge is growth for one segment (RFC 5681 §3.1, RFC 9438 §4.2 to §4.5).
func (m *model) acknowledge(rtt float64) {
	switch m.c.Algorithm {
	case "reno":
		m.w += 1 / m.w
		return
	case "cubic":
		m.linux()
		return
	}
	m.begin()
	alpha := 3 * (1 - cubicBeta) / (1 + cubicBeta)
	if m.wEst >= m.prior {
		alpha = 1
	}
	m.wEst += alpha / m.w
	k := math.Cbrt((m.wMax - m.w0()) / cubicC)
	at := func(t float64) float64 { return cubicC*math.Pow(t-k, 3) + m.wMax }
	t := m.now - m.start
	if at(t) < m.wEst {
		m.w = max(m.w, m.wEst)
		return
	}
	target := min(max(at(t+rtt), m.w), 1.5*m.w)
	m.w += (target - m.w) / m.w
}

func (m *model) begin() {
	if !m.begun {
		m.begun, m.start, m.wEst = true, m.now, m.w
		m.wMax = max(m.wMax, m.w)
	}
}

// linux is growth for one segment by Linux's CUBIC, in whole segments: by one for each cnt, which is worked out anew
// when the window has moved or has stood still for 32 ms.
func (m *model) linux() {
	m.begin()
	m.wEst += 8.0 / 15 / m.w
	if m.w != m.lastW || m.now-m.lastTime > pause {
		m.lastW, m.lastTime = m.w, m.now
		k := math.Cbrt((m.wMax - m.w0()) / cubicC)
		m.cnt = 100 * m.w
		if above := cubicC*math.Pow(m.now-m.start+m.c.RTT.Seconds()-k, 3) + m.wMax - m.w; above > 0 {
			m.cnt = m.w / above
		}
		if above := m.wEst - m.w; above >= 1 {
			m.cnt = min(m.cnt, m.w/math.Floor(above))
		}
		m.cnt = max(m.cnt, 2)
	}
	if m.credit++; m.credit >= m.cnt {
		m.credit = 0
		m.w++
	}
}

// pause is HZ/32 in seconds.
const pause = 0.031

// w0 is cwnd_epoch: the window at which the present stage began.
func (m *model) w0() float64 { return min(max(m.prior*cubicBeta, 2), m.wMax) }
