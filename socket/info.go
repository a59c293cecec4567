package socket

import (
	"net/netip"
	"slices"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv6"
	"example.com/loopback/tcp"
	"example.com/loopback/udp"
)

// SocketInfo is what is known of one socket, as ss(8) shows it.
type SocketInfo struct {
	Proto  string         // "tcp", "udp", "raw"
	State  string         // of TCP, "ESTABLISHED" and so on; else "UNCONN" or "ESTAB"
	RecvQ  int            // bytes waiting to be read; of a listener: connections waiting to be accepted
	SendQ  int            // bytes not yet acknowledged; of a listener: its backlog
	Local  netip.AddrPort // the unspecified address for a wildcard
	Remote netip.AddrPort // the zero AddrPort for a socket without a peer
	Dual   bool           // an IPv6 wildcard that takes IPv4 too
	Orphan bool           // closed by its user, living on for the peer
	TCP    *tcp.Info      // of a connection
}

// Sockets lists all sockets in a stable order: by protocol, local address and
// port, then remote. It is consistent for each socket, not across them.
func (s *Stack) Sockets() []SocketInfo {
	var list []SocketInfo
	ends, rests := sortedEnds(s.tcp.all()), s.timeWaits.keys()
	slices.SortFunc(rests, compareKeys)
	for len(ends) > 0 || len(rests) > 0 {
		if len(ends) == 0 || len(rests) > 0 && rests[0].less(ends[0].timerKey()) {
			list = append(list, timeWaitInfo(&rests[0]))
			rests = rests[1:]
			continue
		}
		switch e := ends[0].(type) {
		case *TCPConn:
			list = append(list, e.info())
		case *TCPListener:
			list = append(list, e.info())
		}
		ends = ends[1:]
	}
	us := s.udp.all()
	slices.SortFunc(us, func(a, b *UDPConn) int { return compareKeys(a.node.key, b.node.key) })
	for _, u := range us {
		list = append(list, u.info())
	}
	for _, c := range s.raw.all() {
		list = append(list, c.info())
	}
	return list
}

// AddrsOf returns the addresses of the connection that t belongs to; ok is false when there is none, as for one that a SYN
// is just making. It is for a tcp.Observer, which may call it although the connection is locked. It looks through all
// connections.
func (s *Stack) AddrsOf(t *tcp.TCB) (local, remote netip.AddrPort, ok bool) {
	for _, e := range s.tcp.all() {
		if c, is := e.(*TCPConn); is && &c.tcb == t {
			return c.node.key.localAddr(), c.node.key.remoteAddr(), true
		}
	}
	return local, remote, false
}

func sortedEnds(ends []tcpEnd) []tcpEnd {
	slices.SortFunc(ends, func(a, b tcpEnd) int { return compareKeys(*a.timerKey(), *b.timerKey()) })
	return ends
}

func compareKeys(a, b flowKey) int {
	switch {
	case a.less(&b):
		return -1
	case b.less(&a):
		return 1
	}
	return 0
}

func (c *TCPConn) info() SocketInfo {
	c.lock()
	defer c.mu.Unlock()
	info := c.tcb.Info(c.s.now())
	return SocketInfo{
		Proto: "tcp", State: c.tcb.State().String(), Orphan: c.closed,
		RecvQ: c.tcb.Readable(), SendQ: c.tcb.Unacked(),
		Local: c.node.key.localAddr(), Remote: c.node.key.remoteAddr(), TCP: &info,
	}
}

func (l *TCPListener) info() SocketInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	return SocketInfo{
		Proto: "tcp", State: tcp.StateListen.String(), RecvQ: l.queue.len(), SendQ: l.backlog,
		Local: l.node.key.localAddr(), Dual: l.node.key.local == anyV6 && !l.how.has(holdOnly6),
	}
}

func timeWaitInfo(k *flowKey) SocketInfo {
	return SocketInfo{
		Proto: "tcp", State: tcp.StateTimeWait.String(), Orphan: true,
		Local: k.localAddr(), Remote: k.remoteAddr(),
	}
}

func (u *UDPConn) info() SocketInfo {
	u.mu.Lock()
	defer u.mu.Unlock()
	i := SocketInfo{
		Proto: "udp", State: "UNCONN", RecvQ: u.bytes,
		Local: u.node.key.localAddr(), Dual: u.node.key.local == anyV6 && !u.how.has(holdOnly6),
	}
	if u.connected {
		i.State, i.Remote = "ESTAB", u.node.key.remoteAddr()
	}
	return i
}

func (c *IPConn) info() SocketInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := SocketInfo{Proto: "raw", State: "UNCONN", RecvQ: c.bytes, Local: netip.AddrPortFrom(c.local.addr(), uint16(c.proto))}
	if c.raddr != nil {
		i.State, i.Remote = "ESTAB", netip.AddrPortFrom(c.remote.addr(), 0)
	}
	return i
}

// OpenSockets returns how many sockets there are, those in TIME-WAIT and
// other orphans left out: what a test for leaks compares.
func (s *Stack) OpenSockets() int {
	n := 0
	for _, i := range s.Sockets() {
		if !i.Orphan {
			n++
		}
	}
	return n
}

// A Counter is one named counter of the stack.
type Counter struct {
	Group string // "Ip", "Ip6", "Icmp", "Tcp", "TcpExt", "Udp", "Lo", "Drop" …
	Name  string // as in Linux's /proc/net/snmp and netstat where there is one
	Value uint64
}

// Counters returns all counters, in a fixed order, zeros too.
func (s *Stack) Counters() []Counter {
	var list []Counter
	add := func(group, name string, n uint64) { list = append(list, Counter{group, name, n}) }
	c := &s.count
	delivered, datagrams := s.deliveries()
	add("Ip", "InReceives", s.received())
	add("Ip", "InDelivers", delivered)
	add("Ip", "OutRequests", s.nic.Transmitted()+c.outRefused.Load())
	add("Ip", "OutDiscards", c.outDiscards.Load())
	add("Ip", "OutNoRoutes", c.outNoRoutes.Load())
	add("Ip", "ReasmReqds", c.fragments.Load()+c.dropped[DropReassembly].Load())
	add("Ip", "ReasmOKs", c.reassembled.Load())
	add("Ip", "FragCreates", c.fragCreates.Load())
	for why := Drop(1); why < numDrops; why++ {
		add("Drop", why.String(), c.dropped[why].Load())
	}
	for r := ipv4.Reason(1); r < ipv4.NumReasons; r++ {
		add("Ip", r.Detail(), c.ipv4[r].Load())
	}
	for r := ipv6.Reason(1); r < ipv6.NumReasons; r++ {
		add("Ip6", r.Detail(), c.ipv6[r].Load())
	}
	add("Icmp", "InMsgs", c.icmpIn.Load())
	add("Icmp", "OutMsgs", c.icmpOut.Load())
	add("Icmp", "OutRateLimitGlobal", c.icmpLimited.Load())
	add("Icmp", "InOrphans", c.icmpOrphans.Load())
	add("Udp", "InDatagrams", datagrams)
	add("Udp", "OutDatagrams", s.datagramsSent())
	add("Udp", "NoPorts", c.dropped[DropUDPNoSocket].Load())
	add("Udp", "RcvbufErrors", c.dropped[DropUDPRecvBuf].Load())
	for r := udp.Reason(1); r < udp.ReasonNoPort; r++ {
		add("Udp", r.String(), c.udp[r].Load())
	}
	add("Raw", "RcvbufErrors", c.rawDrops.Load())
	add("TcpExt", "TCPTimeWaitOverflow", c.twOverflow.Load())
	s.eachTCP(func(group, name string, n uint64) bool {
		add(group, name, n)
		return true
	})
	for why, n := range s.nic.Drops() {
		add("Lo", device.DropReason(why).String(), n)
	}
	return list
}

// Conservation is the balance of packets: every one that the NIC handed to
// the stack was delivered, dropped for a named reason, or used up as a
// fragment of a datagram; every datagram put together counts as handed over.
type Conservation struct {
	Received  uint64 // packets from the NIC, and datagrams put together
	Delivered uint64
	Dropped   uint64
	Fragments uint64 // used for datagrams, complete or not
}

// Holds reports whether nothing got lost unnamed; it holds whenever no
// packet is just being worked on.
func (c Conservation) Holds() bool { return c.Received == c.Delivered+c.Dropped+c.Fragments }

// Conservation returns the balance.
func (s *Stack) Conservation() Conservation {
	c := Conservation{
		Received:  s.received(),
		Fragments: s.count.fragments.Load(),
	}
	c.Delivered, _ = s.deliveries()
	for i := range s.count.dropped {
		c.Dropped += s.count.dropped[i].Load()
	}
	return c
}
