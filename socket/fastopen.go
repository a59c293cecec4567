package socket

import (
	"net/netip"
	"sync"
	"syscall"
	"time"

	"example.com/loopback/tcp"
)

// TCP Fast Open (RFC 7413): who may send and take data on a SYN.

// fastOpenState is what a stack remembers: the keys of the cookies that it gives, and the cookies that it
// was given.
type fastOpenState struct {
	mu    sync.Mutex
	keys  [][16]byte // the first makes cookies, all are taken; empty: the stack's secret
	known map[fastOpenPair]*fastOpenPeer
	order []fastOpenPair // of entry: the oldest is given up
}

type fastOpenPair struct{ local, remote ip }

// fastOpenPeer is what is known of a server (Linux's tcp_metrics).
type fastOpenPeer struct {
	cookie tcp.FastOpenCookie
	mss    uint16
	form   uint8 // 0: the option of the RFC; 1: the experimental one is tried; 2: back to the first
}

// maxFastOpenPeers bounds the servers remembered.
const maxFastOpenPeers = 1024

// SetFastOpenKeys sets the keys of TCP Fast Open cookies (net.ipv4.tcp_fastopen_key): cookies are made with
// the first, and taken if they were made with any. Without a key they are made of the stack's secret.
func (s *Stack) SetFastOpenKeys(keys ...[16]byte) {
	s.fastOpen.mu.Lock()
	defer s.fastOpen.mu.Unlock()
	s.fastOpen.keys = append([][16]byte(nil), keys...)
}

// fastOpenKeys returns the keys that a listener uses.
func (l *TCPListener) fastOpenKeys() [][16]byte {
	if len(l.foKeys) > 0 {
		return l.foKeys
	}
	f := &l.s.fastOpen
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.keys) == 0 {
		return [][16]byte{l.s.secret}
	}
	return f.keys
}

// fastOpenAsk is what the SYN to the peer of c is to carry of data.
func (c *TCPConn) fastOpenAsk(data []byte, noCookie bool) *tcp.FastOpen {
	s := c.s
	f := &tcp.FastOpen{Data: data}
	s.fastOpen.mu.Lock()
	defer s.fastOpen.mu.Unlock()
	if p := s.fastOpen.known[fastOpenPair{c.node.key.local, c.node.key.remote}]; p != nil {
		f.Cookie, f.MSS = p.cookie, p.mss
		f.Cookie.Experimental = p.cookie.Experimental || p.cookie.N == 0 && p.form == 1
	}
	f.NoCookie = noCookie || s.tcpConfig.Load().FastOpen&tcp.FastOpenClientNoCookie != 0
	return f
}

// fastOpenKnown reports whether data may go to remote on a SYN.
func (s *Stack) fastOpenKnown(local, remote netip.Addr) bool {
	s.fastOpen.mu.Lock()
	defer s.fastOpen.mu.Unlock()
	p := s.fastOpen.known[fastOpenPair{ipOf(local), ipOf(remote)}]
	return p != nil && p.cookie.N > 0
}

// fastOpenEvent acts on tcp.EvFastOpen; c's lock is held.
func (c *TCPConn) fastOpenEvent(now time.Duration) {
	if c.tcb.IsPassive() {
		if l := c.s.findListener(&c.node.key); l != nil {
			l.fastOpenDone(now, c.tcb.State() == tcp.StateClosed && c.tcb.Err() == tcp.ErrReset)
		}
		return
	}
	f := &c.s.fastOpen
	r := c.tcb.FastOpenResult()
	f.mu.Lock()
	defer f.mu.Unlock()
	pair := fastOpenPair{c.node.key.local, c.node.key.remote}
	p := f.known[pair]
	if p == nil {
		if f.known == nil {
			f.known = map[fastOpenPair]*fastOpenPeer{}
		}
		if len(f.order) >= maxFastOpenPeers {
			delete(f.known, f.order[0])
			f.order = append(f.order[:0], f.order[1:]...)
		}
		p = &fastOpenPeer{}
		f.known[pair] = p
		f.order = append(f.order, pair)
	}
	if r.MSS != 0 {
		p.mss = r.MSS
	}
	switch {
	case r.Cookie != nil:
		p.cookie = *r.Cookie
	case r.OtherExp && p.cookie.N == 0:
		p.form = min(p.form+1, 2)
	}
}

// fastOpenAnswer decides about the Fast Open option and the data of a SYN. The listener's lock is held.
func (l *TCPListener) fastOpenAnswer(now time.Duration, seg *tcp.Segment, flow *flowKey) *tcp.FastOpen {
	s, asked := l.s, seg.Opts.FastOpen
	mode := s.tcpConfig.Load().FastOpen
	data := seg.Payload.N > 0
	if asked == nil && !data {
		return nil
	}
	if asked != nil && asked.N == 0 {
		s.tcpStats.TCPFastOpenCookieReqd.Add(1)
	}
	if mode&tcp.FastOpenServer == 0 || !l.fastOpenRoom(now) {
		return nil
	}
	if mode&tcp.FastOpenServerNoCookie != 0 || l.foNoCookie {
		return &tcp.FastOpen{Accept: true}
	}
	if asked == nil {
		return nil
	}
	keys := l.fastOpenKeys()
	grant := tcp.FastOpenCookieFor(keys[0], flow.local.addr(), flow.remote.addr())
	grant.Experimental = asked.Experimental
	for i, key := range keys {
		c := tcp.FastOpenCookieFor(key, flow.local.addr(), flow.remote.addr())
		if !c.Equal(asked) {
			continue
		}
		if i == 0 {
			return &tcp.FastOpen{Accept: true}
		}
		s.tcpStats.TCPFastOpenPassiveAltKey.Add(1)
		return &tcp.FastOpen{Accept: true, Grant: &grant}
	}
	if asked.N > 0 {
		s.tcpStats.TCPFastOpenPassiveFail.Add(1)
	}
	return &tcp.FastOpen{Grant: &grant}
}

// fastOpenResetTime is how long a connection that ended by a reset before its handshake was done counts as
// pending: one who forges addresses must not go on at once.
const fastOpenResetTime = 60 * time.Second

// fastOpenRoom reports whether another connection may be accepted on its SYN; the lock is held.
func (l *TCPListener) fastOpenRoom(now time.Duration) bool {
	if l.foLimit == 0 {
		return false
	}
	if l.foPending+len(l.foReset) < l.foLimit {
		return true
	}
	if len(l.foReset) > 0 && l.foReset[0] <= now {
		l.foReset = l.foReset[1:]
		return true
	}
	l.s.tcpStats.TCPFastOpenListenOverflow.Add(1)
	return false
}

// fastOpenDone is told when a connection that was accepted on its SYN has done its handshake, or ended.
func (l *TCPListener) fastOpenDone(now time.Duration, reset bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.foPending = max(l.foPending-1, 0)
	if reset {
		l.foReset = append(l.foReset, now+fastOpenResetTime)
	}
}

// SetFastOpen lets a listener take data on SYNs that bring a valid cookie, of at most n connections at a time
// whose handshake is not done (TCP_FASTOPEN). It has an effect where tcp_fastopen has tcp.FastOpenServer.
func (l *TCPListener) SetFastOpen(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.foLimit = min(max(n, 0), l.s.cfg.SoMaxConn)
}

// FastOpenOptions are the socket options of TCP Fast Open. They are set before listen or connect.
type FastOpenOptions struct {
	Queue    int        // TCP_FASTOPEN: see TCPListener.SetFastOpen
	Connect  bool       // TCP_FASTOPEN_CONNECT: connect waits for the first data if a cookie is known
	NoCookie bool       // TCP_FASTOPEN_NO_COOKIE: data is sent and taken without a cookie
	Keys     [][16]byte // TCP_FASTOPEN_KEY: instead of the stack's
}

// FastOpen returns the options of Fast Open.
func (k *Socket) FastOpen() FastOpenOptions { return k.fast }

// SetFastOpen sets the options of Fast Open. Errors are those of setsockopt: EINVAL for a socket that is past
// the state for it, EOPNOTSUPP where tcp_fastopen forbids it.
func (k *Socket) SetFastOpen(o FastOpenOptions) error {
	if k.tcp == nil {
		return syscall.ENOPROTOOPT
	}
	closed := k.ln == nil && !k.tcp.entered() && !k.deferred.IsValid()
	switch {
	case !closed && k.ln == nil, !closed && o.Connect != k.fast.Connect, o.Queue < 0:
		return syscall.EINVAL
	case o.Connect && k.s.tcpConfig.Load().FastOpen&tcp.FastOpenClient == 0:
		return syscall.EOPNOTSUPP
	}
	k.fast = o
	if k.ln != nil {
		k.applyFastOpen()
	}
	return nil
}

// applyFastOpen hands the options to the listener.
func (k *Socket) applyFastOpen() {
	n := k.fast.Queue
	const all = tcp.FastOpenServer | tcp.FastOpenAllListeners
	if n == 0 && k.s.tcpConfig.Load().FastOpen&all == all {
		n = k.ln.backlog
	}
	k.ln.SetFastOpen(n)
	k.ln.mu.Lock()
	defer k.ln.mu.Unlock()
	k.ln.foNoCookie, k.ln.foKeys = k.fast.NoCookie, k.fast.Keys
}

// sendFastOpen is send with MSG_FASTOPEN, or the first after a deferred connect: it connects to a with as much
// of p on the SYN as may be. 0 bytes come with EINPROGRESS.
func (k *Socket) sendFastOpen(p []byte, a netip.AddrPort) (int, error) {
	switch {
	case k.s.tcpConfig.Load().FastOpen&tcp.FastOpenClient == 0:
		return 0, syscall.EOPNOTSUPP
	case k.ln != nil:
		return 0, syscall.EISCONN
	case k.tcp.entered():
		if err := k.connecting(); err != nil {
			return 0, err
		}
		return 0, syscall.EISCONN
	}
	to, err := k.inward(a)
	if err != nil {
		return 0, err
	}
	k.deferred = netip.AddrPort{}
	k.tcp.needOpening().early = &earlyData{data: p, noCookie: k.fast.NoCookie}
	if err := k.openTCP(to); err != nil {
		return 0, errno(err)
	}
	n := k.tcp.earlyData().sent
	k.tcp.opening = nil
	if n == 0 {
		return 0, syscall.EINPROGRESS
	}
	return n, nil
}

// earlyData is what a Send with MsgFastOpen brings along to connect.
type earlyData struct {
	data     []byte
	noCookie bool
	sent     int
}

// earlyData returns what c brings along to connect, nil for nothing.
func (c *TCPConn) earlyData() *earlyData {
	if c.opening == nil {
		return nil
	}
	return c.opening.early
}

// deferConnect reports whether connect waits for data (TCP_FASTOPEN_CONNECT with a cookie).
func (k *Socket) deferConnect(remote netip.AddrPort) bool {
	if !k.fast.Connect {
		return false
	}
	if k.fast.NoCookie || k.s.tcpConfig.Load().FastOpen&tcp.FastOpenClientNoCookie != 0 {
		return true
	}
	r, err := k.s.routeFrom(k.bound.addr.Addr(), remote.Addr())
	return err == nil && k.s.fastOpenKnown(r.src, remote.Addr())
}
