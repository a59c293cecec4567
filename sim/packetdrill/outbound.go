package packetdrill

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// longestWait bounds how long "*" waits for a packet: longer than any timer
// of TCP.
const longestWait = 48 * time.Hour

// expect waits for the packet of the script and compares it with the next
// that leaves.
func (r *runner) expect(spec *packetSpec) {
	w := r.ev.when
	base := r.now()
	from, to := w.from, w.to
	delta := from
	switch w.kind {
	case timeRelative:
		from, to = from+base, to+base
	case timeAbsolute:
		delta = max(from-base, 0)
	case timeAny:
		from, to, delta = 0, base+longestWait, 0
	}
	tol := r.cfg.toleranceAt(delta)
	if w.kind == timeAny {
		tol = 0
	}
	r.capture()
	r.retry()
	for len(r.out) == 0 && r.step(to+tol) {
	}
	if len(r.out) == 0 {
		r.missing(spec, to+tol)
	}
	r.join(spec)
	got := r.out[0]
	r.out = r.out[1:]
	if diffs := r.compare(spec, &got); len(diffs) > 0 {
		r.mismatch(spec, got, "packet differs in "+strings.Join(diffs, "; "))
	}
	if at := got.at; at < from-tol || at > to+tol {
		r.mismatch(spec, got, fmt.Sprintf("packet left at %s, expected at %s", seconds(at), expectedTime(from, to, tol)))
	}
	r.accept(spec, got.p)
}

func expectedTime(from, to, tol time.Duration) string {
	text := seconds(from)
	if to > from {
		text += "~" + seconds(to)
	}
	if tol > 0 {
		text += fmt.Sprintf(" within %v", tol)
	}
	return text
}

func (r *runner) mismatch(spec *packetSpec, got captured, reason string) {
	f := r.failure(reason)
	f.Expected, f.Actual = spec.String(), r.format(got.p)
	panic(f)
}

// missing fails for a packet that did not come, and looks for the one that
// comes instead, for the message.
func (r *runner) missing(spec *packetSpec, limit time.Duration) {
	f := r.failure("no packet left by " + seconds(limit))
	f.Expected = spec.String()
	r.blocked = nil
	const enough = 5000
	for i := 0; i < enough && len(r.out) == 0 && r.step(limit+longestWait); i++ {
	}
	if len(r.out) > 0 {
		f.Actual = r.format(r.out[0].p) + "   // at " + seconds(r.out[0].at)
	}
	panic(f)
}

// accept learns from a packet that matched.
func (r *runner) accept(spec *packetSpec, p *packet) {
	if p.proto != protoTCP || p.frag {
		return
	}
	c := r.findConnOut(p)
	if p.flags&flagSYN != 0 {
		c.learn(spec.tcp.seq.start, p.seq)
	}
	for i, o := range p.opts {
		if o.kind == optTimestamps && i < len(spec.tcp.opts) && !spec.tcp.opts[i].anyVal {
			c.learnStamp(spec.tcp.opts[i].value, o.value)
		}
	}
	if spec.ip.portSrc >= 0 && c.proto != 0 {
		r.setCurrent(c)
	}
}

// compare lists how a packet differs from the script's.
func (r *runner) compare(spec *packetSpec, got *captured) []string {
	p := got.p
	if got.err != nil {
		return []string{got.err.Error()}
	}
	if spec.proto != p.proto {
		return []string{fmt.Sprintf("protocol: %s instead of %s", p.proto, spec.proto)}
	}
	diffs := r.compareIP(spec, p)
	if spec.ip.frag || p.frag {
		return append(diffs, r.compareFragment(spec, p)...)
	}
	switch p.proto {
	case protoTCP:
		diffs = append(diffs, r.compareTCP(spec, p)...)
	case protoUDP:
		diffs = append(diffs, r.compareUDP(spec, p)...)
	default:
		diffs = append(diffs, r.compareICMP(spec, p)...)
	}
	return diffs
}

// differ adds to the differences unless the values are equal.
func differ[T comparable](diffs []string, what string, got, want T) []string {
	if got == want {
		return diffs
	}
	return append(diffs, fmt.Sprintf("%s: %v instead of %v", what, got, want))
}

func (r *runner) compareIP(spec *packetSpec, p *packet) []string {
	var diffs []string
	s := &spec.ip
	ecn := [...]ecnCheck{ecnNone, ecnECT1, ecnECT0, ecnCE}[p.tos&3]
	switch {
	case s.ecn == ecnUnchecked:
	case s.ecn == ecnECT01 && (ecn == ecnECT0 || ecn == ecnECT1):
	default:
		diffs = differ(diffs, "ECN", ecn, s.ecn)
	}
	if s.tos >= 0 {
		diffs = differ(diffs, "TOS", int(p.tos), s.tos)
	}
	if s.ttl >= 0 {
		diffs = differ(diffs, "TTL", int(p.ttl), s.ttl)
	}
	if s.flow >= 0 {
		diffs = differ(diffs, "flow label", int(p.flow), s.flow)
	}
	if s.id >= 0 {
		diffs = differ(diffs, "identification", int(p.id), s.id)
	}
	if s.df >= 0 {
		diffs = differ(diffs, "DF", p.df, s.df == 1)
	}
	if p.frag || p.proto == protoICMP || p.proto == protoICMPv6 {
		return diffs
	}
	if s.portSrc >= 0 {
		diffs = differ(diffs, "source port", int(p.srcPort), s.portSrc)
		diffs = differ(diffs, "destination port", int(p.dstPort), s.portDst)
	}
	return diffs
}

func (r *runner) compareTCP(spec *packetSpec, p *packet) []string {
	c := r.findConnOut(p)
	want, got := &spec.tcp, describeTCP(c, p)
	var diffs []string
	if c.proto == 0 {
		local, remote := p.ends(false)
		diffs = append(diffs, fmt.Sprintf("addresses: %s > %s is no connection of the script", local, remote))
	}
	flags := got.flags
	if r.cfg.lenient {
		flags = flags&^flagPSH | want.flags&flagPSH
	}
	diffs = differ(diffs, "flags", flags, want.flags)
	if !r.startsAt(c, spec, p) {
		diffs = differ(diffs, "sequence number", got.seq.start, want.seq.start)
	}
	diffs = differ(diffs, "length", got.seq.length, want.seq.length)
	if want.flags&flagACK != 0 && !want.ackAny {
		diffs = differ(diffs, "ack", got.ack, want.ack)
	}
	if want.win >= 0 {
		diffs = differ(diffs, "window", got.win, want.win)
	}
	if want.urg >= 0 {
		diffs = differ(diffs, "urgent pointer", int(p.urg), want.urg)
	}
	diffs = append(diffs, r.compareOptions(c, want, &got, p)...)
	return append(diffs, compareContent(c, p)...)
}

// startsAt tells whether a segment has the script's sequence number. The first
// SYN has any, and a reset that answers a segment without ACK has zero
// (RFC 9293 section 3.10.7.1) though the connection counts from elsewhere.
func (r *runner) startsAt(c *conn, spec *packetSpec, p *packet) bool {
	want := spec.tcp.seq.start
	if p.flags&flagSYN != 0 && (!c.localKnown || c.restarted) {
		return true
	}
	if p.flags&(flagRST|flagACK) == flagRST|flagACK && p.seq == 0 && want == 0 {
		return true
	}
	return c.toScript(p.seq, p.flags&flagSYN != 0) == want
}

func (r *runner) compareOptions(c *conn, want, got *tcpSpec, p *packet) []string {
	if want.optsAny {
		return nil
	}
	var diffs []string
	same := len(want.opts) == len(got.opts)
	for i := 0; same && i < len(want.opts); i++ {
		same = want.opts[i].kind == got.opts[i].kind
	}
	if !same {
		return append(diffs, fmt.Sprintf("options: %s instead of %s", formatOptions(got.opts), formatOptions(want.opts)))
	}
	for i := range want.opts {
		w, g := &want.opts[i], &got.opts[i]
		switch w.kind {
		case optTimestamps:
			if !w.anyEcr {
				diffs = differ(diffs, "TS ecr", g.ecr, w.ecr)
			}
			diffs = append(diffs, r.compareStamp(c, w, p.opts[i].value)...)
		case optSACK:
			if !slices.Equal(w.blocks, g.blocks) {
				diffs = append(diffs, fmt.Sprintf("SACK blocks: %s instead of %s", g, w))
			}
		default:
			if w.value != g.value || !slices.Equal(w.data, g.data) {
				diffs = append(diffs, fmt.Sprintf("option: %s instead of %s", g, w))
			}
		}
	}
	return diffs
}

// compareStamp checks a timestamp of the kernel: it may be anything, as it
// starts anywhere and ticks at its own pace, unless --tcp_ts_tick_usecs gives
// the pace.
func (r *runner) compareStamp(c *conn, want *tcpOption, live uint32) []string {
	if want.anyVal || len(c.stamps) == 0 || r.cfg.tsTick == 0 {
		return nil
	}
	first := c.stamps[0]
	off := int64(int32(live-first.live)) - int64(int32(want.value-first.script))
	span := time.Duration(int32(want.value-first.script)) * r.cfg.tsTick
	if d := time.Duration(max(off, -off)) * r.cfg.tsTick; d <= r.cfg.toleranceAt(span) {
		return nil
	}
	return []string{fmt.Sprintf("TS val: %d instead of %d", c.stampToScript(live), want.value)}
}

// compareContent checks the bytes of a segment against what the application
// wrote.
func compareContent(c *conn, p *packet) []string {
	if !c.localKnown || len(p.data) == 0 || c.file == nil {
		return nil
	}
	off := p.seq - c.localLive
	if p.flags&flagSYN == 0 {
		off--
	}
	if int32(off) < 0 {
		return nil // a probe below the window: its content means nothing
	}
	for i, b := range p.data {
		at := off + uint32(i)
		if at >= c.written {
			return []string{fmt.Sprintf("content: sends byte %d, the application wrote %d", at, c.written)}
		}
		if want := c.content(at); b != want {
			return []string{fmt.Sprintf("content: byte %d of the stream is %#x instead of %#x", at, b, want)}
		}
	}
	return nil
}

func (r *runner) compareUDP(spec *packetSpec, p *packet) []string {
	diffs := differ(nil, "length", len(p.data), spec.udpLen)
	if len(diffs) == 0 && !slices.Contains(r.sent, string(p.data)) {
		diffs = append(diffs, "content: the application did not send it")
	}
	return diffs
}

func (r *runner) compareICMP(spec *packetSpec, p *packet) []string {
	want, got := &spec.icmp, r.describeICMP(p)
	v6 := p.proto == protoICMPv6
	var diffs []string
	if want.typ != got.typ || !want.codeAny && want.code != got.code {
		diffs = append(diffs, fmt.Sprintf("type: %s instead of %s", icmpName(v6, got.typ, got.code), icmpName(v6, want.typ, want.code)))
	}
	if want.mtu >= 0 {
		diffs = differ(diffs, "MTU", got.mtu, want.mtu)
	}
	if want.id >= 0 {
		diffs = differ(diffs, "id", got.id, want.id)
	}
	if want.seq >= 0 {
		diffs = differ(diffs, "seq", got.seq, want.seq)
	}
	if icmpEcho(v6, want.typ) {
		diffs = differ(diffs, "length", got.length, want.length)
		if !slices.Equal(p.data, fillPattern(make([]byte, len(p.data)), 0)) {
			diffs = append(diffs, "content: not what the request carried")
		}
	}
	if want.quoteUDP {
		diffs = differ(diffs, "quoted UDP", got.quoteUDP, true)
		diffs = differ(diffs, "quoted length", got.quoteLen, want.quoteLen)
	}
	if want.quoteTCP {
		diffs = differ(diffs, "quoted TCP", got.quoteTCP, true)
		diffs = differ(diffs, "quoted sequence number", got.quoteSeq.start, want.quoteSeq.start)
	}
	return diffs
}

// compareFragment checks one fragment, and with the last the whole datagram.
func (r *runner) compareFragment(spec *packetSpec, p *packet) []string {
	if !spec.ip.frag || !p.frag {
		return differ(nil, "being a fragment", p.frag, spec.ip.frag)
	}
	diffs := differ(nil, "offset", p.fragOff, spec.ip.fragLo)
	diffs = differ(diffs, "end of fragment", p.fragOff+len(p.body), spec.ip.fragHi)
	total := spec.udpLen + udpHeader
	diffs = differ(diffs, "more fragments", p.mf, spec.ip.fragHi < total)
	if len(diffs) > 0 || spec.proto != protoUDP {
		return diffs
	}
	if p.fragOff == 0 {
		r.pieces = r.pieces[:0]
	}
	if len(r.pieces) != p.fragOff {
		return diffs // out of order: each piece was checked
	}
	r.pieces = append(r.pieces, p.body...)
	if p.mf {
		return diffs
	}
	whole := *p
	whole.frag, whole.body = false, r.pieces
	if err := whole.decodeBody(); err != nil {
		return append(diffs, "reassembled: "+err.Error())
	}
	return append(diffs, r.compareUDP(spec, &whole)...)
}

// join makes the oldest packet as long as the script's, in lenient runs: it
// takes bytes from the packets that follow, or leaves what is too much.
func (r *runner) join(spec *packetSpec) {
	want := spec.tcp.seq.length
	if spec.proto != protoTCP || want == 0 || !r.cfg.lenient && !r.offloaded(spec) {
		return
	}
	for {
		p := r.out[0].p
		if !joinable(p) || len(p.data) >= want {
			break
		}
		for len(r.out) < 2 && r.step(r.now()) {
		}
		if len(r.out) < 2 || !p.followedBy(r.out[1].p) {
			return
		}
		next := r.out[1].p
		merged := *p
		merged.data = append(slices.Clone(p.data), next.data...)
		merged.flags |= next.flags
		merged.ack, merged.win, merged.opts = next.ack, next.win, next.opts
		r.out[1].p = &merged
		r.out = r.out[1:]
	}
	if p := r.out[0].p; joinable(p) && len(p.data) > want {
		head, tail := *p, *p
		head.data, tail.data = p.data[:want], p.data[want:]
		head.flags &^= flagFIN
		tail.seq += uint32(want)
		r.out = slices.Insert(r.out, 1, captured{at: r.out[0].at, p: &tail})
		r.out[0].p = &head
	}
}

// offloaded reports whether the script means what the kernel hands to segmentation offload: more than fits into a
// segment. Then it is joined again.
func (r *runner) offloaded(spec *packetSpec) bool {
	c := r.findConnOut(r.out[0].p)
	return !r.cfg.strict && c.mss > 0 && spec.tcp.seq.length > int(c.mss)
}

func joinable(p *packet) bool {
	return p.proto == protoTCP && !p.frag && len(p.data) > 0 && p.flags&(flagSYN|flagRST|flagURG) == 0
}

// followedBy tells whether q continues the data of p.
func (p *packet) followedBy(q *packet) bool {
	return joinable(q) && q.srcPort == p.srcPort && q.dstPort == p.dstPort && q.seq == p.seq+uint32(len(p.data)) && p.flags&flagFIN == 0
}
