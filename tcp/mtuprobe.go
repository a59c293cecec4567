package tcp

import "time"

// Packetization layer path MTU discovery (RFC 4821), by option as on Linux (tcp_mtu_probing): the path MTU is searched for
// with segments of text that are larger than others, because messages that say "packet too big" may be lost on the way
// (RFC 2923), and found to be smaller when timeouts repeat.

// mtuSearch is the state of the search. Sizes are those of IP packets.
type mtuSearch struct {
	low, high  int           // search_low is known to pass, search_high is the most that may
	size       int           // of the probe in flight; 0: none is
	start, end Seq           // its text
	queued     Seq           // what lies before has waited to be sent: a write alone does not make a probe
	began      time.Duration // when the search began
}

// mtuSearch returns the state of the search, nil if there is none.
func (t *TCB) mtuSearch() *mtuSearch {
	if t.env.cfg.MTUProbing == 0 || t.extra == nil {
		return nil
	}
	return t.extra.mtu
}

// startMTUSearch begins the search when the connection opens, if that is wanted.
func (t *TCB) startMTUSearch(now time.Duration) {
	if t.env.cfg.MTUProbing > 1 {
		t.searchMTU(now)
	}
}

// searchMTU begins the search. Linux works out the segment size anew when something changes, and not for this.
func (t *TCB) searchMTU(now time.Duration) {
	t.needExtra().mtu = &mtuSearch{low: t.mssToMTU(t.env.cfg.BaseMSS), high: min(t.mtuClamp(), int(t.mtu)), began: now, queued: t.snd.nxt}
}

// mtuClamp is the greatest packet that the peer takes.
func (t *TCB) mtuClamp() int { return int(t.mssClamp) + MinHeaderLen + ipHeaderLen(t.has(fIPv6)) }

// mtuToMSS returns how much text a packet of mtu bytes carries besides timestamps.
func (t *TCB) mtuToMSS(mtu int) int {
	mss := min(mtu-ipHeaderLen(t.has(fIPv6))-MinHeaderLen, int(t.mssClamp))
	return max(mss, t.env.cfg.MinSndMSS) - t.tsLen()
}

// mssToMTU is the inverse of mtuToMSS.
func (t *TCB) mssToMTU(mss int) int {
	return mss + t.tsLen() + MinHeaderLen + ipHeaderLen(t.has(fIPv6))
}

// boundMSS keeps mss to what is known to pass, and the search to the path MTU that ICMP gave.
func (s *mtuSearch) boundMSS(t *TCB, mss int) int {
	s.high = min(s.high, int(t.mtu))
	return min(mss, t.mtuToMSS(s.low))
}

// blackHole is called when timeouts have repeated (tcp_retries1): large packets may be what is lost. The first time
// the search begins at the base; each further time it begins at half of where it was (RFC 4821 §7.7).
func (t *TCB) blackHole(now time.Duration) {
	cfg := t.env.cfg
	if cfg.MTUProbing == 0 {
		return
	}
	s := t.mtuSearch()
	if s == nil {
		t.searchMTU(now)
		t.syncMSS()
		return
	}
	mss := min(cfg.BaseMSS, t.mtuToMSS(s.low)/2)
	s.low = t.mssToMTU(max(mss, cfg.MTUProbeFloor, cfg.MinSndMSS))
	t.syncMSS()
}

// probeMTU decides on a probe: of n bytes of text, now (ok), or when what is in flight makes room (wait), or none.
func (t *TCB) probeMTU(now time.Duration) (n int, ok, wait bool) {
	s := t.mtuSearch()
	if s == nil || s.size != 0 || t.caState != CAOpen || t.cong.Cwnd < 11 || t.numSACKs() > 0 || t.has(fEOR) {
		return 0, false, false
	}
	n = t.mtuToMSS((s.high + s.low) / 2)
	if n > t.mtuToMSS(s.high) || s.high-s.low < t.env.cfg.ProbeThreshold {
		t.searchAgain(s, now)
		return 0, false, false
	}
	// "The sender must have enough data queued": for the probe, and for duplicate ACKs should it be lost (§7.2).
	need := n + (int(t.reordering)+1)*int(t.mss)
	if int(t.dataEnd().Min(s.queued).Sub(t.snd.nxt)) < need || int(t.snd.wnd) < need {
		return 0, false, false
	}
	if int(t.snd.una.Add(t.snd.wnd).Sub(t.snd.nxt)) < need {
		return 0, false, true
	}
	if flight := t.inFlight(); flight+2 > int(t.cong.Cwnd) {
		return 0, false, flight > 0
	}
	return n, true, false
}

// sendMTUProbe gives the probe.
func (t *TCB) sendMTUProbe(now time.Duration, out *Segment, n int) {
	s := t.extra.mtu
	t.cong.Cwnd-- // it counts as two
	s.size, s.start, s.end = t.mssToMTU(n), t.snd.nxt, t.snd.nxt.Add(uint32(n))
	t.flags &^= fRun
	t.sendNew(now, out, n, false, CauseNewMTUProbe)
}

// searchAgain begins the search anew after a while, in case the path has changed (tcp_probe_interval).
func (t *TCB) searchAgain(s *mtuSearch, now time.Duration) {
	if now-s.began < t.env.cfg.ProbeInterval {
		return
	}
	s.size, s.high, s.low, s.began = 0, t.mtuClamp(), t.mssToMTU(t.currentMSS()), now
}

// mtuProbeAcked takes a probe that got through: its size is what segments have from now on. The window is that of before
// in bytes.
func (t *TCB) mtuProbeAcked(now time.Duration) {
	s := t.mtuSearch()
	if s == nil || s.size == 0 || s.end.After(t.snd.una) {
		return
	}
	t.cong.Cwnd = max(uint32(uint64(t.cong.Cwnd)*uint64(t.mssToMTU(int(t.mss)))/uint64(s.size)), 1)
	t.cong.CwndCnt = 0
	t.cong.Touch(now)
	t.cong.Ssthresh = t.cong.CurrentSsthresh()
	s.low, s.size = s.size, 0
	t.syncMSS()
	t.cwndChanged(now)
	t.env.stats.TCPMTUPSuccess.Add(1)
}

// mtuProbeLost reports whether what was lost is the probe: "the loss of a probe is not congestion" (§7.6.2). It is sent
// again in segments of the present size, at the present window.
func (t *TCB) mtuProbeLost(now time.Duration) bool {
	s := t.mtuSearch()
	if s == nil || s.size == 0 || t.caState >= CACWR || t.snd.una != s.start {
		return false
	}
	s.high, s.size = s.size-1, 0
	t.cong.Cwnd++
	t.env.stats.TCPMTUPFail.Add(1)
	t.simpleRetransmit(now)
	return true
}
