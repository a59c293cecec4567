package tcp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// TCP Fast Open (RFC 7413): data on the SYN, for a peer that has proved with a cookie that it is where it says. A
// client that has no cookie yet asks for one with an empty option. Which connections use it is decided by their
// owner: Params.FastOpen.

// A FastOpenCookie is the Fast Open option of a SYN or SYN-ACK (RFC 7413 §4.1.1).
type FastOpenCookie struct {
	B            [16]byte
	N            uint8 // bytes of B: 0 asks for a cookie, else 4 to 16 and even
	Experimental bool  // option kind 254 with magic 0xF989, as before the RFC
}

// Kinds and lengths of the option.
const (
	optFastOpen     = 34
	optExperimental = 254
	fastOpenMagic   = 0xf989

	minFastOpenCookie = 4
	maxFastOpenCookie = 16
	maxOptionSpace    = 40
)

// Bits of Config.FastOpen (tcp_fastopen).
const (
	FastOpenClient         = 0x1   // data on SYNs with MSG_FASTOPEN and TCP_FASTOPEN_CONNECT
	FastOpenServer         = 0x2   // listeners with TCP_FASTOPEN answer cookies and take data
	FastOpenClientNoCookie = 0x4   // data is sent without a cookie
	FastOpenServerNoCookie = 0x200 // data is taken without a cookie
	FastOpenAllListeners   = 0x400 // as if every listener had TCP_FASTOPEN
)

// FastOpen is what a connection is to do about Fast Open.
type FastOpen struct {
	// Of an active open.
	Cookie   FastOpenCookie // to send; N 0 asks for one
	MSS      uint16         // what the peer announced last time; 0: not known
	NoCookie bool           // send Data without one, and no option
	Data     []byte         // to be sent on the SYN as far as it fits, see Sent
	Sent     int            // bytes of Data that Connect has taken

	// Of a passive open: the option of the SYN-ACK, nil: none; and whether the connection begins with the data of the
	// SYN, before its ACK has come.
	Grant  *FastOpenCookie
	Accept bool
}

// fastOpen is the state of a connection that uses Fast Open.
type fastOpen struct {
	option  *FastOpenCookie // of the SYN or SYN-ACK to be sent; repeated ones have none
	asked   bool            // our SYN had the option,
	exp     bool            // in the experimental form
	synData uint16          // bytes of data on our SYN
	acked   bool            // data on a SYN was acknowledged
	learned FastOpenResult
	fail    uint8         // see the FastOpenFail numbers
	sent    time.Duration // when the SYN-ACK left first
}

// Why a client's data did not go with the SYN, or was not taken (tcpi_fastopen_client_fail).
const (
	FastOpenFailNoCookie   = 1 // TFO_COOKIE_UNAVAILABLE
	FastOpenFailNotAcked   = 2 // TFO_DATA_NOT_ACKED
	FastOpenFailRetransmit = 3 // TFO_SYN_RETRANSMITTED
)

// FastOpenResult is what a client learns from the SYN-ACK, for the next time (RFC 7413 §4.1.3).
type FastOpenResult struct {
	MSS      uint16          // that the peer announced
	Cookie   *FastOpenCookie // nil: none
	Lost     bool            // the SYN with data seems to have been dropped on the way
	OtherExp bool            // the option was ignored: try the other form next time
}

// FastOpenResult returns what EvFastOpen announced.
func (t *TCB) FastOpenResult() FastOpenResult {
	if t.opt == nil || t.opt.fast == nil {
		return FastOpenResult{}
	}
	return t.opt.fast.learned
}

// FastOpenCookieFor makes the cookie that a server with the given key gives to the client at remote: Linux's, the
// SipHash of both addresses, 8 bytes.
func FastOpenCookieFor(key [16]byte, local, remote netip.Addr) (c FastOpenCookie) {
	var msg [32]byte
	n := 0
	if remote.Is4() {
		a, b := remote.As4(), local.As4()
		n = copy(msg[:], a[:])
		n += copy(msg[n:], b[:])
	} else {
		a, b := remote.As16(), local.As16()
		n = copy(msg[:], a[:])
		n += copy(msg[n:], b[:])
	}
	binary.LittleEndian.PutUint64(c.B[:], sipHash(&key, msg[:n]))
	c.N = 8
	return c
}

// Equal reports whether two cookies are the same, whatever form they came in.
func (c *FastOpenCookie) Equal(d *FastOpenCookie) bool {
	return c.N == d.N && c.B == d.B
}

// parseFastOpen reads the cookie of an option; one of an impossible length counts as none, which is no request.
func parseFastOpen(b []byte, exp bool) *FastOpenCookie {
	if n := len(b); n > maxFastOpenCookie || n%2 != 0 || n > 0 && n < minFastOpenCookie {
		return nil
	}
	c := &FastOpenCookie{N: uint8(len(b)), Experimental: exp}
	copy(c.B[:], b)
	return c
}

// base is the length of the option without its cookie.
func (c *FastOpenCookie) base() int {
	if c.Experimental {
		return 4
	}
	return 2
}

// marshaledLen counts the NOPs behind the option.
func (c *FastOpenCookie) marshaledLen() int { return (c.base() + int(c.N) + 3) &^ 3 }

func (c *FastOpenCookie) marshal(b []byte) int {
	n := c.base() + int(c.N)
	if c.Experimental {
		b[0], b[1] = optExperimental, uint8(n)
		binary.BigEndian.PutUint16(b[2:], fastOpenMagic)
	} else {
		b[0], b[1] = optFastOpen, uint8(n)
	}
	copy(b[c.base():], c.B[:c.N])
	for ; n%4 != 0; n++ {
		b[n] = optNOP
	}
	return n
}

func (t *TCB) fast() *fastOpen {
	if t.opt == nil {
		return nil
	}
	return t.opt.fast
}

// fastOpenConnect adds option and data to the SYN of an active open. Without a cookie the data waits, and one is asked
// for: "the client ... sends a SYN packet with a Fast Open option with an empty cookie field" (RFC 7413 §3).
func (t *TCB) fastOpenConnect(now time.Duration, f *FastOpen) {
	fo := &fastOpen{}
	t.needOpt().fast = fo
	if !f.NoCookie {
		c := f.Cookie
		fo.option, fo.asked, fo.exp = &c, true, c.Experimental
		if c.N == 0 {
			fo.fail = FastOpenFailNoCookie
			return
		}
	}
	// "The client ... should cache the MSS" (RFC 7413 §4.1.3): no more than that fits, with room for all options.
	t.mssClamp = t.rwin.adv
	if f.MSS != 0 {
		t.mssClamp = f.MSS
	}
	if t.opt.maxSeg != 0 {
		t.mssClamp = min(t.mssClamp, t.opt.maxSeg)
	}
	t.syncMSS()
	n := max(min(int(t.mss)-maxOptionSpace, len(f.Data)), 0)
	f.Sent = t.Write(now, f.Data[:n])
	fo.synData = uint16(f.Sent)
}

// synOption gives the option of the SYN being built, once, if it fits.
func (t *TCB) synOption(out *Segment, again bool) {
	fo := t.fast()
	if fo == nil || fo.option == nil || again || t.state == StateSynReceived && !t.has(fPassive) {
		return
	}
	if out.Opts.marshaledLen(true)+fo.option.marshaledLen() <= maxOptionSpace {
		out.Opts.FastOpen = fo.option
	}
}

// synText puts the data on the SYN being built, once.
func (t *TCB) synText(now time.Duration, out *Segment) {
	fo := t.fast()
	if fo == nil || fo.synData == 0 || t.state != StateSynSent {
		return
	}
	seq, n := t.edge.iss+1, int(fo.synData)
	x := t.queues()
	x.snd.payload(t.env.alloc, seq, n, &out.Payload)
	x.rtx.push(txSeg{seq: seq, end: seq.Add(uint32(n)), sent: now, marks: markPSH})
	t.snd.nxt = seq.Add(uint32(n))
	t.total.dataOut++
	t.lastSend = now
}

// fastOpenAnswered draws the conclusions of the SYN-ACK in, which has been processed as such. It returns true when
// the data of the SYN was not taken and is sent again at once.
func (t *TCB) fastOpenAnswered(now time.Duration, in *Segment) (again bool) {
	fo := t.fast()
	cookie := in.Opts.FastOpen
	if cookie != nil && cookie.N == 0 {
		cookie = nil
	}
	lost := t.packetsOut() > 0 // the data of the SYN
	r := FastOpenResult{}
	if in.Opts.HasMSS {
		r.MSS = in.Opts.MSS
	}
	switch {
	case !fo.asked: // an unsolicited cookie is ignored
	case t.total.retrans > 0:
		r.Cookie, r.Lost = cookie, in.Opts.FastOpen == nil && lost
	default:
		r.Cookie = cookie
		r.OtherExp = in.Opts.FastOpen == nil && fo.synData == 0
	}
	fo.learned = r
	t.events |= EvFastOpen
	if lost {
		fo.fail = FastOpenFailNotAcked
		if t.total.retrans > 0 {
			fo.fail = FastOpenFailRetransmit
		}
		t.env.stats.TCPFastOpenActiveFail.Add(1)
		q := t.txq()
		for i := range q {
			t.markLostTx(now, &q[i], CauseRetransmitSYN)
		}
		t.lostWithoutCongestion(now)
		return true
	}
	if fo.synData > 0 {
		fo.acked = true
		t.env.stats.TCPFastOpenActive.Add(1)
		t.total.delivered-- // SYN and data were one segment
	}
	t.synPayload(now, in)
	return false
}

// synPayload takes the text and the FIN of a SYN or SYN-ACK.
func (t *TCB) synPayload(now time.Duration, in *Segment) {
	if in.Payload.N > 0 {
		t.takeText(&in.Payload, nil)
	}
	if in.Flags&FIN != 0 {
		t.inputFIN(now)
	}
}

// acceptFastOpen makes a connection in SYN-RECEIVED one that its user has already: what the SYN carried can be read,
// and answered before the ACK of the SYN-ACK comes (RFC 7413 §4.2.2).
func (t *TCB) acceptFastOpen(now time.Duration, syn *Segment) {
	fo := t.needOpt().fast
	fo.sent = now
	t.queues().rtx.clear()
	t.snd.una = t.snd.nxt
	t.flags |= fFastOpen
	t.events |= EvConnected | EvWritable
	t.initBuffers(now)
	if syn.Payload.N > 0 {
		fo.acked = true
	}
	t.synPayload(now, syn)
	t.rcv.wup = t.rcv.nxt
	t.rto = RTOFallback // of data: there is no measurement yet. That of the SYN-ACK is synackRTO.
	t.env.stats.TCPFastOpenPassive.Add(1)
}

// synackRTO is how long the SYN-ACK of an accepted connection waits for its ACK, after n times it did so in vain.
func (t *TCB) synackRTO(n uint8) time.Duration {
	d := DefaultRTOInit
	for ; n > 0 && d < t.RTOMax(); n-- {
		d *= 2
	}
	return min(d, t.RTOMax())
}

// fastOpenDone is called when the peer has acknowledged the SYN-ACK.
func (t *TCB) fastOpenDone(now time.Duration) {
	fo := t.fast()
	t.flags &^= fFastOpen
	t.events |= EvFastOpen
	t.total.delivered++
	if !t.rtt.Known() && !t.has(fSynRexmit) {
		t.takeRTT(now, now-fo.sent, -1)
	}
	t.retransmits, t.backoff = 0, 0
	if t.rec != nil {
		t.rec.stamped = false
		t.dropRec()
	}
	t.rearmRTO(now)
}
