package sim

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
	"example.com/loopback/udp"
)

// brief prints a packet in a line.
type brief struct{ raw []byte }

func (b brief) String() string {
	var i PacketInfo
	i.parseIP(b.raw, len(b.raw))
	return fmt.Sprintf("%v %v %d:%d ack %d", i.Flow, i.Flags, uint32(i.Seq), i.Payload, uint32(i.Ack))
}

// wellFormed looks at a packet that left by the wire.
func (w *whole) wellFormed(raw []byte) {
	bad := func(what string, why any) { w.fatalf("%s: %v: %v\n% x", what, why, brief{raw}, raw) }
	if w.mtu > 0 && len(raw) > w.mtu {
		bad("longer than the MTU", len(raw))
	}
	var src, dst netip.Addr
	var proto uint8
	var body []byte
	if raw[0]>>4 == 4 {
		h, rest, why := ipv4.Parse(raw)
		if why != ipv4.OK {
			bad("IPv4", why.Detail())
		}
		if h.IsFragment() {
			return
		}
		src, dst, proto, body = h.Src(), h.Dst(), h.Protocol(), rest
	} else {
		h, rest, why := ipv6.Parse(raw)
		if why != ipv6.OK {
			bad("IPv6", why.Detail())
		}
		src, dst, proto, body = h.Src(), h.Dst(), h.NextHeader(), rest
	}
	switch proto {
	case ipv4.ProtoTCP:
		var seg tcp.Segment
		if _, why := tcp.ParseHeader(body, &seg); why != tcp.ReasonOK {
			bad("TCP", why)
		}
		if checksum.Fold(checksum.Sum(body, checksum.Pseudo(src, dst, proto, len(body)))) != 0xffff {
			bad("TCP", "checksum")
		}
	case ipv4.ProtoUDP:
		if _, _, why := udp.Parse(body, src, dst); why != udp.OK {
			bad("UDP", why)
		}
	case ipv6.ProtoICMP: // whatever a raw socket sends
		if len(body) >= 4 && checksum.Fold(checksum.Sum(body, checksum.Pseudo(src, dst, proto, len(body)))) != 0xffff {
			bad("ICMPv6", "checksum")
		}
	}
}

// inject delivers a packet by the wire.
func (w *whole) inject(raw []byte) {
	err := w.d.Inject(raw)
	w.note("< %v %v", brief{raw}, err)
	w.injected++ // also when there was no room for it, or lo was down: that is counted
}

// forge makes a packet that somebody beyond the wire might send, and delivers it.
func (w *whole) forge(op byte) {
	switch {
	case op < 180 && len(w.seen) > 0:
		w.answer(w.seen[w.in.n(len(w.seen))])
	case op < 205 && len(w.seen) > 0:
		w.answer(w.seen[(w.left-1)%32]) // the latest
	case op < 215:
		w.syn()
	case op < 222 && len(w.seen) > 0:
		w.complain(w.seen[w.in.n(len(w.seen))])
	case op < 230 && len(w.seen) > 0:
		w.mutate(w.seen[w.in.n(len(w.seen))])
	default:
		w.datagram()
	}
}

// answer turns a packet round: what it says is believed, or nearly.
func (w *whole) answer(raw []byte) {
	var i PacketInfo
	i.parseIP(raw, len(raw))
	f := i.Flow.Reverse()
	if !f.Src.IsValid() || !f.Dst.IsValid() {
		return
	}
	if f.Proto != ipv4.ProtoTCP {
		w.inject(w.packet(f.Src.Addr(), f.Dst.Addr(), f.Proto, w.udp(f, patterned(f.Src, 0, w.in.n(200)))))
		return
	}
	seg := tcp.Segment{SrcPort: f.Src.Port(), DstPort: f.Dst.Port(), Seq: i.Ack, Ack: i.Seq.Add(uint32(i.Payload)), Flags: tcp.ACK}
	if i.Flags&(tcp.SYN|tcp.FIN) != 0 {
		seg.Ack++
	}
	if i.Flags&tcp.SYN != 0 && i.Flags&tcp.ACK == 0 {
		seg.Flags, seg.Seq = of(w.in, tcp.SYN|tcp.ACK, tcp.SYN|tcp.ACK, tcp.SYN, tcp.RST|tcp.ACK), tcp.Seq(w.in.uint16())<<16
	}
	size := 0
	switch c := w.in.byte(); {
	case c < 60:
	case c < 140:
		size = w.in.n(250) * of(w.in, 1, 5)
	case c < 160:
		seg.Flags |= tcp.FIN
	case c < 170:
		seg.Flags = of(w.in, tcp.RST, tcp.RST|tcp.ACK, tcp.SYN, tcp.SYN|tcp.ACK, tcp.Flags(0), tcp.URG|tcp.ACK, tcp.FIN)
	case c < 180:
		seg.Flags |= of(w.in, tcp.ECE, tcp.CWR, tcp.URG, tcp.PSH)
	default:
		size = w.in.n(100)
		seg.Seq += tcp.Seq(int8(w.in.byte())) * of(w.in, tcp.Seq(1), 100, 1<<24)
		seg.Ack += tcp.Seq(int8(w.in.byte())) * of(w.in, tcp.Seq(1), 100, 1<<24)
	}
	seg.Wnd = of(w.in, uint16(65535), 0, 1, 1000, 65535)
	w.segmentOptions(&seg, i)
	w.inject(w.segment(f, &seg, size))
}

// segmentOptions gives a segment options: timestamps that echo those of the packet it answers, and others.
func (w *whole) segmentOptions(seg *tcp.Segment, i PacketInfo) {
	o := w.in.byte()
	if seg.Flags&tcp.SYN != 0 {
		seg.Opts.HasMSS, seg.Opts.MSS = o&1 != 0, of(w.in, uint16(1460), 536, 1, 65535)
		seg.Opts.HasWScale, seg.Opts.WScale = o&2 != 0, uint8(w.in.n(16))
		seg.Opts.SACKPermitted = o&4 != 0
	} else if o&3 == 1 {
		for range 1 + w.in.n(3) {
			at := i.Seq.Add(uint32(w.in.n(4) * 500))
			seg.Opts.SACK[seg.Opts.NSACK] = tcp.Range{Start: at, End: at.Add(uint32(w.in.n(4)) * 250)}
			seg.Opts.NSACK++
		}
	}
	if o&8 != 0 {
		seg.Opts.HasTS, seg.Opts.TSVal, seg.Opts.TSEcr = true, uint32(w.d.Now()/time.Millisecond)+uint32(o>>4), uint32(o>>6)
	}
}

// syn knocks at a port.
func (w *whole) syn() {
	f := Flow{ipv4.ProtoTCP, netip.AddrPortFrom(there4, uint16(1000+w.in.n(8))), netip.AddrPortFrom(here4, of(w.in, fixedPorts...))}
	if w.in.oneIn(2) {
		f.Src, f.Dst = netip.AddrPortFrom(there6, f.Src.Port()), netip.AddrPortFrom(here6, f.Dst.Port())
	}
	seg := tcp.Segment{SrcPort: f.Src.Port(), DstPort: f.Dst.Port(), Seq: tcp.Seq(w.in.uint16()) << 16, Flags: of(w.in, tcp.SYN, tcp.SYN, tcp.SYN|tcp.ECE|tcp.CWR, tcp.ACK), Wnd: 65535}
	w.segmentOptions(&seg, PacketInfo{})
	w.inject(w.segment(f, &seg, w.in.n(2)*10))
}

func (w *whole) segment(f Flow, seg *tcp.Segment, size int) []byte {
	b := make([]byte, seg.HeaderLen()+size)
	seg.MarshalHeader(b)
	copy(b[seg.HeaderLen():], patterned(f.Src, 0, size))
	fillTCP(f, b)
	return w.packet(f.Src.Addr(), f.Dst.Addr(), f.Proto, b)
}

func (w *whole) udp(f Flow, data []byte) []byte {
	b := make([]byte, udp.HeaderLen+len(data))
	copy(b[udp.HeaderLen:], data)
	udp.Marshal(b, f.Src, f.Dst, b[udp.HeaderLen:])
	return b
}

// datagram is one from nowhere, perhaps in fragments.
func (w *whole) datagram() {
	f := Flow{ipv4.ProtoUDP, netip.AddrPortFrom(there4, 7), netip.AddrPortFrom(here4, of(w.in, fixedPorts...))}
	data := w.udp(f, patterned(f.Src, 0, w.in.n(250)))
	switch w.in.n(4) {
	case 0:
		f.Src, f.Dst = netip.AddrPortFrom(there6, 7), netip.AddrPortFrom(here6, f.Dst.Port())
		w.inject(w.packet(f.Src.Addr(), f.Dst.Addr(), f.Proto, w.udp(f, patterned(f.Src, 0, w.in.n(250)))))
	case 1:
		id := uint16(w.in.n(3))
		for range 1 + w.in.n(4) {
			from := min(w.in.n(8)*16, (len(data)-1)&^7)
			to := min(from+8+w.in.n(8)*8, len(data))
			h := ipv4.Repr{TTL: 64, Protocol: f.Proto, ID: id, FragmentOffset: from, MoreFragments: to < len(data), PayloadLen: to - from, Src: f.Src.Addr(), Dst: f.Dst.Addr()}
			b := make([]byte, 20+to-from)
			copy(b[h.Marshal(b):], data[from:to])
			w.inject(b)
		}
	case 2:
		proto := of(w.in, uint8(1), 253, 0, 255)
		w.inject(w.packet(f.Src.Addr(), f.Dst.Addr(), proto, data))
	default:
		w.inject(w.packet(f.Src.Addr(), f.Dst.Addr(), f.Proto, data))
	}
}

// complain is a router's or the peer's ICMP error about a packet.
func (w *whole) complain(about []byte) {
	var i PacketInfo
	i.parseIP(about, len(about))
	if !i.Flow.Src.IsValid() {
		return
	}
	code, mtu := uint8(w.in.n(16)), uint32(w.in.uint16())
	if i.v6 {
		m := ipv6.ICMP{Type: of(w.in, ipv6.ICMPDestUnreachable, ipv6.ICMPPacketTooBig, ipv6.ICMPTimeExceeded, ipv6.ICMPParameterProblem), Code: code, Data: ipv6.Quote(about, 0)}
		if m.Type == ipv6.ICMPPacketTooBig {
			m.MTU = mtu
		}
		b := make([]byte, m.Len())
		m.Marshal(b, there6, i.Flow.Src.Addr())
		w.inject(w.packet(there6, i.Flow.Src.Addr(), ipv6.ProtoICMP, b))
		return
	}
	m := ipv4.ICMP{Type: of(w.in, ipv4.ICMPDestUnreachable, ipv4.ICMPTimeExceeded, ipv4.ICMPParameterProblem), Code: code, Data: ipv4.Quote(about, ipv4.MinHeaderLen)}
	if m.Type == ipv4.ICMPDestUnreachable && code == ipv4.CodeFragmentationNeeded {
		m.MTU = uint16(mtu)
	}
	b := make([]byte, m.Len())
	m.Marshal(b)
	w.inject(w.packet(there4, i.Flow.Src.Addr(), ipv4.ProtoICMP, b))
}

// mutate turns a packet round byte by byte, damages it, and repairs its checksums.
func (w *whole) mutate(raw []byte) {
	b := append([]byte(nil), raw...)
	if len(b) < 40 {
		return
	}
	for range 1 + w.in.n(4) {
		b[w.in.n(len(b))] = w.in.byte()
	}
	h, size := 20, 4
	if b[0]>>4 == 6 {
		h, size = 40, 16
	}
	src, dst := b[h-2*size:h-size], b[h-size:h]
	for i := range src {
		src[i], dst[i] = dst[i], src[i]
	}
	if len(b) >= h+4 {
		b[h], b[h+1], b[h+2], b[h+3] = b[h+2], b[h+3], b[h], b[h+1]
	}
	if w.in.n(4) > 0 {
		repair(b, h)
	}
	w.inject(b)
}

// repair makes the checksums of a packet with a header of h bytes right.
func repair(b []byte, h int) {
	proto, src, dst := b[6], netip.Addr{}, netip.Addr{}
	if h == 20 {
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^checksum.Fold(checksum.Sum(b[:h], 0)))
		proto, src, dst = b[9], netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	} else {
		src, dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	}
	at, known := map[uint8]int{1: 2, 6: 16, 17: 6, 58: 2}[proto]
	if at += h; !known || at+2 > len(b) {
		return
	}
	b[at], b[at+1] = 0, 0
	pseudo := uint32(0)
	if proto != 1 {
		pseudo = checksum.Pseudo(src, dst, proto, len(b)-h)
	}
	binary.BigEndian.PutUint16(b[at:], ^checksum.Fold(checksum.Sum(b[h:], pseudo)))
}

// packet puts an IP header before a body.
func (w *whole) packet(src, dst netip.Addr, proto uint8, body []byte) []byte {
	if src.Is4() {
		b := make([]byte, 20, 20+len(body))
		h := ipv4.Repr{TTL: 64, Protocol: proto, DontFragment: true, PayloadLen: len(body), Src: src, Dst: dst, TOS: w.in.byte() & 3}
		h.Marshal(b)
		return append(b, body...)
	}
	b := make([]byte, 40, 40+len(body))
	h := ipv6.Repr{HopLimit: 64, NextHeader: proto, PayloadLen: len(body), Src: src, Dst: dst, TrafficClass: w.in.byte() & 3}
	h.Marshal(b)
	return append(b, body...)
}

// surroundings changes what the computer stands in.
func (w *whole) surroundings(op byte) {
	s := w.d.Stack()
	switch {
	case op < 248:
		w.impair()
	case op < 250:
		up := w.in.n(3) > 0
		w.note("up: %t", up)
		s.NIC().SetUp(up)
	case op == 250:
		w.mtu = 0
		require.NoError(w.t, s.NIC().SetMTU(of(w.in, device.DefaultMTU, 1500, 1280, 576, 68)))
	case op == 251:
		n := w.in.n(5)
		w.note("filter %d", n)
		s.NIC().SetFilter(func(b []byte) int { return int(b[len(b)-1])%5 - n })
	case op == 252:
		addr := of(w.in, hostA, hostB, here4, here6)
		w.note("forget %v", addr)
		s.Forget(func(a netip.Addr) bool { return a == addr })
	case op == 253:
		_ = s.SetTCP(&tcp.Config{CongestionControl: of(w.in, "reno", "cubic"), ECN: of(w.in, 0, 1, 2), FastOpen: of(w.in, 0, 3, 0x607)})
	}
}

// impair puts other rules on the link, or none.
func (w *whole) impair() {
	w.undo()
	w.undo = func() {}
	var m Impairment
	p := func() float64 { return float64(w.in.n(60)) / 100 }
	for range w.in.n(4) {
		switch w.in.n(10) {
		case 0:
			m.Loss = p()
		case 1:
			m.Duplicate = p()
		case 2:
			m.Corrupt = p()
		case 3:
			m.Delay, m.Jitter = time.Duration(w.in.n(200))*time.Millisecond, time.Duration(w.in.n(100))*time.Millisecond
		case 4:
			m.Reorder = p()
		case 5:
			m.MTU = of(w.in, 1280, 1400, 576, 68)
		case 6:
			m.Cut = Cut{Max: 1 + w.in.n(100), MaxPieces: 4}
		case 7:
			m.Rate, m.Queue.Packets = int64(1+w.in.n(200))*100_000, 1+w.in.n(20)
		case 8:
			m.Reset = Reset{Probability: p() / 10, SeqOffset: of(w.in, uint32(0), 1)}
		case 9:
			m.Blackhole = w.in.oneIn(3)
		}
	}
	w.note("link %+v", m)
	w.flipped = w.flipped || m.Corrupt > 0
	w.rules++
	var err error
	inside := func(i *PacketInfo) bool { return w.d.Stack().NIC().IsLocal(i.Flow.Dst.Addr()) }
	w.undo, err = w.link.AddRule(Rule{Name: fmt.Sprint("rule ", w.rules), Match: inside, Impairment: m})
	require.NoError(w.t, err)
}
