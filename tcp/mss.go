package tcp

import "time"

// advMSS returns the MSS we announce: "the maximum datagram size that can be received minus 20 or 40
// for IP and 20 for TCP" (RFC 9293 §3.7.1, MUST-67; RFC 6691), at most what the user asked for.
func (t *TCB) advMSS() uint16 {
	mss := max(int(t.mtu)-ipHeaderLen(t.has(fIPv6))-MinHeaderLen, int(t.env.cfg.MinSndMSS))
	if t.opt != nil && t.opt.maxSeg != 0 {
		mss = min(mss, int(t.opt.maxSeg))
	}
	return uint16(mss)
}

// takeSYNOptions takes over what the options of a SYN say, as far as we want it too.
func (t *TCB) takeSYNOptions(now time.Duration, in *Segment) {
	if in.Opts.HasMSS {
		t.mssClamp = in.Opts.MSS
		if t.opt != nil && t.opt.maxSeg != 0 { // Linux lowers what was offered, not the default
			t.mssClamp = min(t.mssClamp, t.opt.maxSeg)
		}
	}
	t.set(fSACK, in.Opts.SACKPermitted && t.env.cfg.SACK == On)
	t.set(fTS, in.Opts.HasTS && t.env.cfg.Timestamps == On)
	if t.has(fTS) {
		t.storeTSRecent(now, in.Opts.TSVal)
	}
	// "A TCP MAY send the Window Scale option in a SYN-ACK only if it received it in the SYN, and windows
	// are scaled only when both sent it" (RFC 7323 §2.2).
	t.set(fWScale, in.Opts.HasWScale && t.env.cfg.WindowScaling == On)
	if t.has(fWScale) {
		t.snd.scale = min(in.Opts.WScale, MaxWScale)
	} else {
		t.snd.scale = 0
	}
}

// takeSYNWindow takes the window of a SYN: "The window field in a segment where the SYN bit is set MUST
// NOT be scaled" (RFC 7323 §2.2).
func (t *TCB) takeSYNWindow(in *Segment) {
	t.snd.wnd = uint32(in.Wnd)
	t.maxWnd = t.snd.wnd
	t.snd.wl1, t.snd.wl2 = in.Seq, in.Ack
}

// syncMSS works out Eff.snd.MSS: "min (SendMSS + 20, MMS_S) - TCPhdrsize - IPoptionsize" (RFC 9293 §3.7.1,
// MUST-16) less the timestamps every segment carries, and not more than half of the largest window the
// peer ever offered, so that a peer with a small buffer can always take two segments (unless the window
// is as small as that default).
func (t *TCB) syncMSS() {
	mss := t.mtuToMSS(int(t.mtu))
	half := int(t.maxWnd)
	if half > defaultMSS4 {
		half /= 2
	}
	if half > 0 && mss > half {
		mss = max(half, 68-MinHeaderLen-t.tsLen())
	}
	if s := t.mtuSearch(); s != nil {
		mss = s.boundMSS(t, mss)
	}
	t.mss = uint16(max(mss, 1))
}

// currentMSS returns the payload of a full segment sent now: SACK blocks take their part.
func (t *TCB) currentMSS() int {
	mss := int(t.mss)
	if n := t.numSACKs(); n > 0 {
		mss = max(mss-4-lenSACKBlock*n, 1)
	}
	return mss
}

// SendMSS returns how many bytes of payload a full segment carries now (tcpi_snd_mss).
func (t *TCB) SendMSS() int { return t.currentMSS() }

// sizeGoal returns how much data is gathered in one chunk: as much as Linux puts into one buffer for
// segmentation offload, a multiple of the segment size and at most half of the peer's largest window.
func (t *TCB) sizeGoal() int {
	goal := maxChunk
	if m := int(t.maxWnd); m > defaultMSS4 {
		goal = min(goal, m/2)
	}
	mss := max(int(t.mss), 1)
	return max(min(goal/mss, t.env.cfg.GSOMaxSegs), 1) * mss
}
