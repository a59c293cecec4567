package sim

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// A whole is a computer under fuzzing: everything that there is between a system call and the wire. Its sockets are
// opened, bound, connected, used and closed at random; packets between two of them pass a link that loses, repeats,
// delays and damages them; and beyond the open wire somebody forges answers to everything that comes by.
//
// What has to hold: nothing panics or goes on for ever; every packet is accounted for; a stream between two sockets of
// this computer delivers what was written and nothing else; what leaves is well formed; tables keep to their limits;
// and when all sockets are closed and time has passed nothing is left, not a timer, not a buffer, not a port.
type whole struct {
	t     testing.TB
	in    *choices
	d     *Driver
	link  *Impaired
	rules int
	undo  func() // takes the link's rule away

	socks []*descriptor
	names map[[2]netip.AddrPort][]*descriptor // connections by name, of all times
	loose bool                                // the bytes of streams are not what pattern says

	seen     [][]byte // the latest packets that left by the wire
	buf      [1 << 16]byte
	sent     uint64
	left     uint64 // packets that left by the wire
	injected uint64
	maxTW    int         // a limit on connections in TIME-WAIT that is looked at; 0: none
	mtu      int         // what every packet keeps to; 0 when that has changed
	flipped  bool        // datagrams may have been damaged twice, which no checksum can see
	digest   hash.Hash64 // of all packets and their times

	verbose bool
	log     []string
}

// choices is fuzz input read as a sequence of decisions. At its end it gives zeros.
type choices struct{ b []byte }

func (c *choices) byte() byte {
	if len(c.b) == 0 {
		return 0
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x
}

func (c *choices) n(n int) int      { return int(c.byte()) % n }
func (c *choices) uint16() uint16   { return uint16(c.byte())<<8 | uint16(c.byte()) }
func (c *choices) oneIn(n int) bool { return c.n(n) == 1 }

// of returns one of the values.
func of[T any](c *choices, values ...T) T { return values[c.n(len(values))] }

// The addresses of the computer on the wire, and of somebody beyond it.
var (
	here4, here6   = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	there4, there6 = netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")
)

// wholeConfig is a computer with limits so small that they are reached.
func wholeConfig(c *choices) socket.Config {
	ports := of(c, [2]uint16{}, [2]uint16{50000, 50007})
	return socket.Config{
		MTU: of(c, 0, 1500, 1280, 576, 68), RingSize: of(c, 0, 4, 64), Seed: uint64(c.byte()) + 1,
		SynCookies: of(c, tcp.Default, tcp.Off), TWReuse: of(c, tcp.Default, tcp.Off), MaxTWBuckets: of(c, 0, 1, 3),
		SoMaxConn: of(c, 0, 1, 2), EphemeralPorts: ports, UDPRecvBuf: of(c, 0, 3000), VerifyChecksums: c.oneIn(3),
	}
}

func newWhole(t testing.TB, data []byte) *whole {
	w := &whole{t: t, in: &choices{data}, undo: func() {}, names: map[[2]netip.AddrPort][]*descriptor{}, digest: fnv.New64a()}
	cfg := wholeConfig(w.in)
	var err error
	w.d, err = NewDriver(DriverConfig{Stack: cfg, Addrs: []netip.Prefix{netip.PrefixFrom(here4, 24), netip.PrefixFrom(here6, 64)}})
	require.NoError(t, err)
	w.maxTW = cfg.MaxTWBuckets
	nic := w.d.Stack().NIC()
	nic.Pool().Audit = true
	w.link, err = NewImpaired(ImpairConfig{Seed: cfg.Seed, Scheduler: &w.d.q, Inner: nic.Link(), Log: -1, Held: 2000})
	require.NoError(t, err)
	nic.SetLink(w.link)
	w.mtu = max(nic.MTU(), 108) // no MTU makes TCP's segments carry less than 48 bytes (tcp_min_snd_mss)
	var b []byte
	nic.AddTap(func(dir device.Direction, now time.Duration, n *device.NIC, p *device.Packet) {
		if dir != device.DirTX {
			return
		}
		b = n.AppendWire(binary.BigEndian.AppendUint64(b[:0], uint64(now)), p)
		w.digest.Write(b)
		w.sent++
		w.note("> %v", brief{b[8:]})
	})
	return w
}

// note adds a line to what a failure prints.
func (w *whole) note(format string, args ...any) {
	if !w.verbose {
		return
	}
	if len(w.log) == 4000 {
		w.log = append(w.log[:0], w.log[2000:]...)
	}
	w.log = append(w.log, fmt.Sprintf("%v ", w.d.Now())+fmt.Sprintf(format, args...))
}

// A failure is what fatalf panics with.
type failure string

func (w *whole) fatalf(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

// play runs the input. When that fails it does so again, which comes to the same, and prints how it came about.
func play(t testing.TB, data []byte) (digest uint64) {
	t.Helper()
	w := newWhole(t, data)
	if w.run() != nil {
		w = newWhole(t, data)
		w.verbose = true
		why := w.run()
		t.Fatalf("%v\n%s", why, strings.Join(w.log, "\n"))
	}
	return w.digest.Sum64()
}

// run does what the input says, and then what has to be possible after everything. It returns what failed.
func (w *whole) run() (why any) {
	defer func() {
		if why = recover(); why != nil {
			if _, ours := why.(failure); !ours {
				why = fmt.Sprintf("panic: %v\n%s", why, debug.Stack())
			}
		}
	}()
	w.scene()
	for steps := 0; len(w.in.b) > 0 && steps < 400; steps++ {
		before := w.sent
		w.step()
		w.check()
		if w.sent-before > 50000 {
			w.fatalf("%d packets in one step", w.sent-before)
		}
	}
	w.calm()
	w.finish()
	return nil
}

// scene is what is there at the beginning: nothing, or a server and up to three clients of it.
func (w *whole) scene() {
	clients := w.in.n(5)
	if clients == 4 {
		return
	}
	network, any, to := "tcp4", netip.IPv4Unspecified(), hostB
	if w.in.oneIn(2) {
		network, any, to = "tcp6", netip.IPv6Unspecified(), netip.IPv6Loopback()
	}
	server := w.socket(network)
	require.NoError(w.t, server.Bind(netip.AddrPortFrom(any, 80)))
	require.NoError(w.t, server.Listen(3))
	for range clients {
		c := w.socket(network)
		w.connected(c, c.Connect(netip.AddrPortFrom(to, 80)))
		w.accept(server)
	}
}

func (w *whole) step() {
	switch op := w.in.byte(); {
	case op < 130:
		w.call(op)
	case op < 165:
		w.pass()
	case op < 235:
		w.forge(op)
	default:
		w.surroundings(op)
	}
}

// pass lets time pass: a little, a lot, or until something happens.
func (w *whole) pass() {
	var d time.Duration
	switch c := w.in.byte(); {
	case c < 100:
		if due := w.d.Deadline(); due != Never {
			d = due - w.d.Now()
		}
	case c < 170:
		d = time.Duration(w.in.uint16()) * time.Microsecond
	case c < 240:
		d = time.Duration(w.in.byte()) * 40 * time.Millisecond
	default:
		d = time.Duration(w.in.byte()) * 2 * time.Second
	}
	w.advance(d)
}

// advance is Driver.Advance that looks for computers that never come to rest.
func (w *whole) advance(d time.Duration) {
	w.note("time + %v", d)
	until := w.d.Now() + d
	for n := 0; w.d.Deadline() <= until; n++ {
		if n > 200_000 {
			w.fatalf("there is always something to do")
		}
		w.d.q.Step()
	}
	w.d.Advance(until)
}

// check is what holds after every step.
func (w *whole) check() {
	s := w.d.Stack()
	for {
		p, ok := w.d.Next()
		if !ok {
			break
		}
		w.wellFormed(p.Packet)
		if len(w.seen) < 32 {
			w.seen = append(w.seen, p.Packet)
		} else {
			w.seen[w.left%32] = p.Packet
		}
		w.left++
	}
	if c := s.Conservation(); !c.Holds() {
		w.fatalf("packets have vanished: %+v", c)
	}
	l := w.link.Stats()
	if !l.Balanced() {
		w.fatalf("the link has lost packets: %+v", l)
	}
	c, drops := s.NIC().Counters(), s.NIC().Drops()
	if c.TX.Packets != l.In {
		w.fatalf("%d packets were sent, %d are on the link", c.TX.Packets, l.In)
	}
	arrived := l.Passed - w.left + w.injected
	if got := c.RX.Packets + drops[device.DropRxFull] + drops[device.DropRxDown] + drops[device.DropFiltered]; arrived != got {
		w.fatalf("%d packets have arrived, %d are accounted for", arrived, got)
	}
	if events, most := w.d.q.Len(), l.Held+4; uint64(events) > most {
		w.fatalf("%d events to come, %d packets on the link", events, l.Held)
	}
	if n := w.waiting(); n > w.maxTW {
		w.fatalf("%d connections in TIME-WAIT, at most %d may be", n, w.maxTW)
	}
}

// waiting is how many connections are in TIME-WAIT.
func (w *whole) waiting() (n int) {
	if w.maxTW == 0 {
		return 0
	}
	for _, i := range w.d.Stack().Sockets() {
		if i.State == "TIME-WAIT" {
			n++
		}
	}
	return n
}

// calm ends all trouble, reads whatever there is to read, and sees that streams have arrived.
func (w *whole) calm() {
	w.note("calm")
	w.undo()
	nic := w.d.Stack().NIC()
	nic.SetUp(true)
	nic.SetFilter(nil)
	for range 400 {
		w.advance(5 * time.Second)
		for _, k := range w.socks {
			if readable, _, _, _ := k.Ready(); readable && k.Listener() == nil {
				for w.receive(k, 1<<16, 0) {
				}
			}
		}
		w.check()
		if w.d.Deadline() == Never {
			break
		}
	}
	for _, k := range w.socks {
		if p := w.peer(k); p != nil && !k.failed && !p.failed && !p.closed && !k.deaf && k.standing() && p.standing() && k.read != p.wrote {
			w.fatalf("%v → %v: %d bytes were written, %d arrived", p.name[0], p.name[1], p.wrote, k.read)
		}
	}
}

// finish closes everything and looks for what is left.
func (w *whole) finish() {
	w.note("finish")
	for _, k := range w.socks {
		_ = k.CloseNow()
	}
	for hours := 0; w.d.Deadline() != Never; hours++ {
		if hours > 24*30 {
			w.fatalf("something is to happen at %v", w.d.Deadline())
		}
		w.advance(max(time.Hour, w.d.Deadline()-w.d.Now()))
		w.check()
	}
	s := w.d.Stack()
	if left := s.Sockets(); len(left) > 0 {
		w.fatalf("a socket is left: %+v", left)
	}
	if p := s.NIC().Pool().Stats(); p.BufsOut != 0 || p.PacketsOut != 0 {
		w.fatalf("memory is left: %+v", p)
	}
	for _, network := range []string{"tcp4", "udp4"} {
		for _, port := range append(fixedPorts[1:], 50000, 50001, 50002, 50003, 50004, 50005, 50006, 50007) {
			k, err := s.Socket(network)
			require.NoError(w.t, err)
			if err := k.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), port)); err != nil {
				w.fatalf("%s port %d is not free: %v", network, port, err)
			}
			require.NoError(w.t, k.Close())
		}
	}
	require.NoError(w.t, w.d.Close())
}

// FuzzStack drives a whole computer. The same input has to give the same packets at the same times.
func FuzzStack(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(randomInput(seed, 400))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		digest := play(t, data)
		if len(data) > 0 && data[0]&3 == 0 && play(t, data) != digest {
			t.Fatal("two runs of one input differ")
		}
	})
}

func randomInput(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 5))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestWholeStack is a walk longer than the fuzzer's seeds, the same every time; LOOPBACK_LONG=1 makes it a hike.
func TestWholeStack(t *testing.T) {
	n := uint64(150)
	if testing.Short() {
		n = 30
	}
	if os.Getenv("LOOPBACK_LONG") != "" {
		n = 50_000
	}
	at := uint64(0)
	defer func() {
		if t.Failed() {
			t.Log("input", at)
		}
	}()
	for ; at < n; at++ {
		play(t, randomInput(1000+at, 1500))
	}
}
