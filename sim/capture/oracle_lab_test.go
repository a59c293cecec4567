package capture_test

import (
	"bytes"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/sim"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// A lab is two computers on a wire, in virtual time. What they send is recorded as it leaves them; on its way it can be
// lost or changed.
type lab struct {
	t      *testing.T
	family int
	ends   [2]*sim.Driver
	lose   func(from int, p gopacket.Packet) bool // nil: nothing is lost
	mark   bool                                   // ECN-capable packets are marked: congestion experienced
	flying []flight
	frames []frame
	scene  string
	port   uint16 // the latest that was listened to
	open   []*socket.Socket
}

// frame is a packet that was sent.
type frame struct {
	scene string
	at    time.Duration
	raw   []byte
}

// flight is a packet on the wire.
type flight struct {
	to  int
	due time.Duration
	raw []byte
}

// latency is how long packets are on the wire.
const latency = 5 * time.Millisecond

// Addresses of the two computers, by family, and of a third one that is not there.
var (
	addrs = map[int][2]netip.Addr{
		4: {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
		6: {netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")},
	}
	ghosts = map[int]netip.Addr{4: netip.MustParseAddr("192.0.2.9"), 6: netip.MustParseAddr("2001:db8::9")}
)

// newLab makes a lab. Checksums are left to the NICs, or with software computed by the stacks.
func newLab(t *testing.T, software bool) *lab {
	t.Helper()
	l := &lab{t: t, port: 47000}
	for i := range l.ends {
		var err error
		l.ends[i], err = sim.NewDriver(sim.DriverConfig{
			Stack: socket.Config{MTU: 1500, Seed: uint64(i + 1), VerifyChecksums: software},
			Addrs: []netip.Prefix{netip.PrefixFrom(addrs[4][i], 24), netip.PrefixFrom(addrs[6][i], 64)},
		})
		require.NoError(t, err)
		t.Cleanup(func() { l.ends[i].Close() })
	}
	return l
}

func (l *lab) now() time.Duration { return l.ends[0].Now() }

// run lets time pass.
func (l *lab) run(d time.Duration) {
	for end := l.now() + d; ; {
		l.collect()
		next := min(l.ends[0].Deadline(), l.ends[1].Deadline(), end)
		if len(l.flying) > 0 {
			next = min(next, l.flying[0].due) // all take equally long, so they arrive in order
		}
		next = max(next, l.now())
		l.ends[0].Advance(next)
		l.ends[1].Advance(next)
		l.collect()
		for len(l.flying) > 0 && l.flying[0].due <= next {
			f := l.flying[0]
			l.flying = l.flying[1:]
			require.NoError(l.t, l.ends[f.to].Inject(f.raw))
		}
		l.collect()
		if next >= end && (len(l.flying) == 0 || l.flying[0].due > end) {
			return
		}
	}
}

// collect records what was sent and puts it on the wire.
func (l *lab) collect() {
	for i, d := range l.ends {
		for s, ok := d.Next(); ok; s, ok = d.Next() {
			l.frames = append(l.frames, frame{l.scene, s.At, s.Packet})
			p := decode(s.Packet)
			to, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
			if to == ghosts[4] || to == ghosts[6] || l.lose != nil && l.lose(i, p) {
				continue
			}
			l.flying = append(l.flying, flight{1 - i, s.At + latency, l.changed(s.Packet)})
		}
	}
}

// changed is what arrives of a packet.
func (l *lab) changed(raw []byte) []byte {
	raw = bytes.Clone(raw)
	switch {
	case !l.mark:
	case raw[0]>>4 == 4 && raw[1]&3 == 2:
		raw[1] |= 3
		raw[10], raw[11] = 0, 0
		sum := ^checksum.Fold(checksum.Sum(raw[:20], 0))
		raw[10], raw[11] = byte(sum>>8), byte(sum)
	case raw[0]>>4 == 6 && raw[1]>>4&3 == 2:
		raw[1] |= 3 << 4
	}
	return raw
}

// losing returns a lose function for the n-th to m-th data segments that computer from sends, counted from 1.
func losing(from int, n, m int) func(int, gopacket.Packet) bool {
	k := 0
	return func(who int, p gopacket.Packet) bool {
		t, ok := p.TransportLayer().(*layers.TCP)
		if !ok || who != from || len(t.Payload) == 0 {
			return false
		}
		k++
		return k >= n && k <= m
	}
}

// inject gives computer 0 a packet from the ghost.
func (l *lab) inject(raw []byte) {
	require.NoError(l.t, l.ends[0].Inject(raw))
	l.collect()
}

// socket makes a socket of the lab's family.
func (l *lab) socket(end int, transport string) *socket.Socket {
	l.t.Helper()
	network := map[string]map[int]string{
		"tcp": {4: "tcp4", 6: "tcp6"}, "udp": {4: "udp4", 6: "udp6"}, "icmp": {4: "ip4:icmp", 6: "ip6:ipv6-icmp"},
	}[transport][l.family]
	k, err := l.ends[end].Stack().Socket(network)
	require.NoError(l.t, err)
	l.open = append(l.open, k)
	return k
}

// end ends an act: connections that are still open are reset, under no act's name.
func (l *lab) end() {
	l.lose, l.mark, l.scene = nil, false, ""
	for _, k := range l.open {
		if c := k.Conn(); c != nil {
			_ = c.SetLinger(0) // an error: it is closed already
		}
		_ = k.CloseNow()
	}
	l.open = nil
	l.run(10 * time.Second)
}

// listen makes a TCP socket of computer 1 that listens at a new port. set, if not nil, sets options of it.
func (l *lab) listen(set func(k *socket.Socket)) *socket.Socket {
	l.t.Helper()
	l.port++
	k := l.socket(1, "tcp")
	if set != nil {
		set(k)
	}
	require.NoError(l.t, k.Bind(netip.AddrPortFrom(addrs[l.family][1], l.port)))
	require.NoError(l.t, k.Listen(8))
	return k
}

// connect makes a connection from computer 0 to a new port of computer 1.
func (l *lab) connect() (c, d *socket.Socket) { return l.connectWith(nil, nil) }

func (l *lab) connectWith(setC, setD func(k *socket.Socket)) (c, d *socket.Socket) {
	l.t.Helper()
	listener := l.listen(setD)
	c = l.socket(0, "tcp")
	if setC != nil {
		setC(c)
	}
	require.Equal(l.t, syscall.EINPROGRESS, c.Connect(netip.AddrPortFrom(addrs[l.family][1], l.port)))
	l.run(100 * time.Millisecond)
	d, _, err := listener.Accept()
	require.NoError(l.t, err)
	require.NoError(l.t, listener.Close())
	l.open = append(l.open, d)
	return c, d
}

// send sends n bytes, which all fit the send buffer, and lets time pass.
func (l *lab) send(k *socket.Socket, n int, d time.Duration) {
	l.t.Helper()
	got, err := k.Send(bytes.Repeat([]byte("data"), n/4+1)[:n], 0, netip.AddrPort{})
	require.NoError(l.t, err)
	require.Equal(l.t, n, got)
	l.run(d)
}

// receive reads what there is.
func (l *lab) receive(k *socket.Socket) (n int) {
	l.t.Helper()
	for buf := make([]byte, 1<<16); ; {
		m, _, err := k.Recv(buf, 0)
		if err != nil || m == 0 {
			return n
		}
		n += m
	}
}

// configure changes the parameters of TCP of both computers.
func (l *lab) configure(cfg tcp.Config) {
	for _, d := range l.ends {
		require.NoError(l.t, d.Stack().SetTCP(&cfg))
	}
}

// decode decodes an IP packet by gopacket.
func decode(raw []byte) gopacket.Packet {
	first := layers.LayerTypeIPv4
	if raw[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	return gopacket.NewPacket(raw, first, gopacket.Default)
}

// serialize makes a packet of layers, with lengths and checksums.
func serialize(ls ...gopacket.SerializableLayer) []byte {
	for _, x := range ls[1:] {
		if c, ok := x.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			_ = c.SetNetworkLayerForChecksum(ls[0].(gopacket.NetworkLayer)) // an IP header is one
		}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		panic(err) // the test's own mistake
	}
	return b.Bytes()
}

// fromGhost is an IP header from the ghost to computer 0.
func (l *lab) fromGhost(proto layers.IPProtocol) gopacket.SerializableLayer {
	if l.family == 4 {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, Id: 9, SrcIP: ghosts[4].AsSlice(), DstIP: addrs[4][0].AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: ghosts[6].AsSlice(), DstIP: addrs[6][0].AsSlice()}
}
