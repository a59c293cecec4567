package device

// A moderation decides how long the consumer of a ring waits before he looks for more, as a network card puts off
// its interrupts. If he is about as quick as a producer on another core, he finds only a few descriptors at each
// look, and each look takes the cache line that the producer is about to write away from him: both spend their
// time on its journeys. If he lets some descriptors come together first, the same journey serves for all of them.
//
// Whether that is so he finds out by trying. A round of looks that found few is followed by rounds with a wait, for as
// long as these find so much more that it pays, and every now and then by one without, to compare. When it does
// not pay, above all when the consumer is his own producer and nothing can come while he waits, he waits
// no more for a number of looks that doubles each time.
//
// The zero value is ready. It belongs to the consumer.
type moderation struct {
	spins uint32 // how long to wait before a look; 0 is not at all
	looks uint32 // of this round
	found uint32 // by them
	alone uint32 // what a round without waiting found
	after uint32 // looks until the next round without waiting, or until the next try
	pause uint32 // what after was when a try failed last
	trust uint32 // what after was when one succeeded
}

const (
	// fewFound is what a look that is worth a wait finds at most. One descriptor alone does not count: it takes no
	// links to find, and most often the consumer put it himself.
	fewFound = 15
	// roundLooks is how many looks are judged together.
	roundLooks = 8
	// firstWait is a third of a cache line's journey, lastWait some more than one.
	firstWait, lastWait = 128, 1024
	// The looks with a wait between two rounds without. It takes several to be sure that it was not chance.
	firstTrust, lastTrust = 32, 1024
	// The looks after a try that failed: the tries together cost less than a thousandth of what the consumer does.
	firstRest, lastRest = 64, 1 << 17
)

// wait lets producers put some more.
func (m *moderation) wait() {
	for range m.spins {
	}
}

// note takes note of what a look found, and judges the round when it is over. Of looks without a wait it need not
// be told when they found none or one.
func (m *moderation) note(n uint64) {
	if m.after > 0 {
		m.after--
	}
	if m.spins == 0 && (m.after > 0 || n > fewFound) {
		m.looks, m.found = 0, 0
		return
	}
	m.looks++
	m.found += uint32(n)
	if m.looks < roundLooks {
		return
	}
	found := m.found
	m.looks, m.found = 0, 0
	switch {
	case m.spins == 0: // few all the time: try
		m.trust = min(max(2*m.trust, firstTrust), lastTrust)
		m.alone, m.spins, m.after = found, firstWait, m.trust
	case found >= 2*m.alone: // it pays
		m.pause = 0
		if found < 2*fewFound*roundLooks {
			m.spins = min(2*m.spins, lastWait)
		}
		if m.after == 0 {
			m.spins = 0
		}
	case m.spins < lastWait && found > m.alone: // somewhat more: a longer wait may find enough
		m.spins *= 2
	default:
		m.pause = min(max(2*m.pause, firstRest), lastRest)
		m.spins, m.after, m.trust = 0, m.pause, 0
	}
}
