package packetdrill

import (
	"net/netip"
	"time"
)

// file is an open descriptor.
type file struct {
	script    int64 // the script's number
	fd        int   // the kernel's
	order     int   // of opening
	domain    Domain
	typ       SocketType
	nonblock  bool
	closed    bool
	listening bool
	bound     netip.AddrPort
	conn      *conn
	linger    time.Duration // SO_LINGER with a time
	timeouts  [2]int64      // SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds
	epoll     []*epollEntry
	plain     *plainFile // a file or the end of a pipe
	inq       bool       // TCP_INQ
	zerocopy  bool       // SO_ZEROCOPY
	calls     uint32     // with MSG_ZEROCOPY
	stamps    stamping   // SO_TIMESTAMPING
	notices   []notice   // of those
	isEpoll   bool
}

// conn is a flow: a TCP connection or the two ends of UDP datagrams. It maps
// what the script writes to what is on the wire.
//
// As in packetdrill, a segment with SYN has the sequence number that the script
// gives it, all others count from the initial one of their side: what follows
// S 123:123(0) is 1:1(0). The script's timestamps are the same in both. What the
// kernel chooses (initial sequence number, timestamps) is learned from its first
// packet.
type conn struct {
	proto         protocol
	file          *file // nil until accept
	local, remote netip.AddrPort
	passive       bool

	localKnown  bool   // the kernel's SYN was seen
	localScript uint32 // its sequence number in the script
	localLive   uint32 // and on the wire
	remoteKnown bool   // the script's SYN was sent
	remoteISN   uint32
	restarted   bool   // another SYN came in: the kernel may choose anew,
	nextISN     uint32 // and then this is the script's number

	mss uint32 // that the script's SYN has; 0: none

	stamps []stamp // timestamps of the kernel, in the script and on the wire

	written  uint32    // bytes that the application wrote
	literals []literal // those whose content the script gave
	read     uint32    // bytes that the application read
	opaque   bool      // contents are not checked: urgent data took bytes out
}

type stamp struct{ script, live uint32 }

// literal is written data with a content of its own.
type literal struct {
	off  uint32
	data string
}

// maxStamps bounds the timestamps remembered per connection.
const maxStamps = 1 << 14

// pattern is the content of the stream at an offset, where the script says
// "...". It has no short period, so that bytes out of place show.
func pattern(off uint32) byte {
	return byte(off) ^ byte(off>>8)*31 ^ byte(off>>16)*57
}

func fillPattern(b []byte, off uint32) []byte {
	for i := range b {
		b[i] = pattern(off + uint32(i))
	}
	return b
}

// toLive maps one of the kernel's sequence numbers from the script.
func (c *conn) toLive(seq uint32) uint32 { return seq + c.localLive }

// toScript maps one of the kernel's sequence numbers from the wire; syn tells
// whether it is that of a SYN.
func (c *conn) toScript(seq uint32, syn bool) uint32 {
	if syn {
		seq += c.localScript
	}
	return seq - c.localLive
}

// remoteToLive maps one of the script's side from the script.
func (c *conn) remoteToLive(seq uint32, syn bool) uint32 {
	if syn {
		return seq
	}
	return seq + c.remoteISN
}

// remoteToScript maps one of the script's side that the kernel sends back. A
// SYN-ACK may answer another SYN than the first.
func (c *conn) remoteToScript(seq uint32, flags tcpFlags) uint32 {
	if c.restarted && flags&flagSYN != 0 {
		return seq - c.nextISN
	}
	return seq - c.remoteISN
}

// learn notes the kernel's initial sequence number when its SYN matched one
// of the script. A retransmitted SYN must not bring another.
func (c *conn) learn(script, live uint32) {
	if !c.localKnown || c.restarted {
		if c.restarted {
			c.remoteISN = c.nextISN
		}
		c.localKnown, c.restarted = true, false
		c.localScript, c.localLive = script, live
	}
}

// learnStamp notes a timestamp of the kernel.
func (c *conn) learnStamp(script, live uint32) {
	if len(c.stamps) < maxStamps {
		c.stamps = append(c.stamps, stamp{script, live})
	}
}

// stampToLive maps a timestamp of the kernel that the script echoes: as the
// one that it saw, else by distance from the first.
func (c *conn) stampToLive(script uint32) uint32 {
	for i := len(c.stamps) - 1; i >= 0; i-- {
		if c.stamps[i].script == script {
			return c.stamps[i].live
		}
	}
	if len(c.stamps) == 0 || script == 0 {
		return script
	}
	return script - c.stamps[0].script + c.stamps[0].live
}

// stampToScript is the inverse, for messages.
func (c *conn) stampToScript(live uint32) uint32 {
	for i := len(c.stamps) - 1; i >= 0; i-- {
		if c.stamps[i].live == live {
			return c.stamps[i].script
		}
	}
	if len(c.stamps) == 0 {
		return live
	}
	return live - c.stamps[0].live + c.stamps[0].script
}

// content gives the byte that the application wrote at an offset.
func (c *conn) content(off uint32) byte {
	for _, l := range c.literals {
		if i := off - l.off; i < uint32(len(l.data)) {
			return l.data[i]
		}
	}
	return pattern(off)
}

// wire gives an address as packets have it: IPv4 unmapped.
func wire(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// findConn finds the flow of a packet by its ends.
func (r *runner) findConn(proto protocol, local, remote netip.AddrPort) *conn {
	for i := len(r.conns) - 1; i >= 0; i-- { // the newest first
		c := r.conns[i]
		if c.proto == proto && c.local == local && c.remote == remote {
			return c
		}
	}
	return nil
}

func (r *runner) addConn(c *conn) *conn {
	r.conns = append(r.conns, c)
	return c
}

// identify gives a connection that is being opened by the application its
// local address, when its first packet shows it.
func (r *runner) identify(p *packet) {
	local, remote := p.ends(false)
	if p.frag || r.findConn(p.proto, local, remote) != nil {
		return
	}
	for i := len(r.conns) - 1; i >= 0; i-- {
		c := r.conns[i]
		if c.proto == p.proto && c.remote == remote && c.local.Port() == 0 {
			c.local = local
			return
		}
	}
}

// ends are the local and the remote end of a packet.
func (p *packet) ends(inbound bool) (local, remote netip.AddrPort) {
	src, dst := netip.AddrPortFrom(p.src, p.srcPort), netip.AddrPortFrom(p.dst, p.dstPort)
	if inbound {
		return dst, src
	}
	return src, dst
}

// nextPort gives out a remote port.
func (r *runner) nextPort() uint16 {
	const base, span = 40000, 10000
	r.ports++
	return base + uint16(r.seed%span) + r.ports%span
}

// peer chooses the flow of a packet of the script, making one when there is
// none: for ports that the script names, for a SYN to a listener, and for
// anything that comes before a connection.
func (r *runner) peer(p *packetSpec, proto protocol) *conn {
	if p.ip.portSrc >= 0 {
		lp, rp := p.ip.portSrc, p.ip.portDst
		if p.inbound {
			lp, rp = rp, lp
		}
		local := netip.AddrPortFrom(r.cfg.local.Addr(), uint16(lp))
		remote := netip.AddrPortFrom(r.cfg.remote.Addr(), uint16(rp))
		c := r.findConn(proto, local, remote)
		if c == nil && p.inbound {
			c = r.addConn(&conn{proto: proto, local: local, remote: remote, passive: true})
		}
		if c != nil {
			r.setCurrent(c)
		}
		return c
	}
	c := r.tcp
	opens := proto == protoTCP && p.proto == protoTCP && p.tcp.flags&(flagSYN|flagACK) == flagSYN && r.listening
	if proto == protoUDP {
		c = r.udp
	}
	if p.inbound && (c == nil || opens || c.remote.Port() == 0) {
		c = r.incoming(c, proto)
	}
	return c
}

// incoming makes the flow of a packet that comes from nowhere yet.
func (r *runner) incoming(old *conn, proto protocol) *conn {
	c := &conn{proto: proto, passive: true,
		local:  netip.AddrPortFrom(r.cfg.local.Addr(), r.cfg.bindPort),
		remote: netip.AddrPortFrom(r.cfg.remote.Addr(), r.nextPort())}
	if proto == protoUDP && old != nil && old.remote.Port() == 0 { // a bound socket
		old.remote = c.remote
		return old
	}
	if proto == protoTCP && r.listener != nil && r.listener.bound.Port() != 0 {
		c.local = netip.AddrPortFrom(c.local.Addr(), r.listener.bound.Port())
	}
	r.setCurrent(c)
	return r.addConn(c)
}

func (r *runner) setCurrent(c *conn) {
	if c.proto == protoUDP {
		r.udp = c
		return
	}
	r.tcp, r.listening = c, false
}
