package interop_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"example.com/loopback/benchmarks/transport"
	"example.com/loopback/device"
	"example.com/loopback/socket"
)

// patience bounds every wait: with real clocks on both sides, a lost tail costs hundreds of
// milliseconds, a hang costs this.
const patience = 60 * time.Second

const wireMTU = 1500

// lab is our stack and gVisor's on one wire.
type lab struct {
	ours   *socket.Stack
	theirs *stack.Stack
	link   *channel.Endpoint
	start  time.Time
	lost   atomic.Int64
	passed atomic.Int64
	done   context.CancelFunc
	pump   sync.WaitGroup
}

// oursAddr and theirsAddr are the ends of the wire.
func oursAddr() [4]byte   { return [4]byte{10, 1, 0, 1} }
func theirsAddr() [4]byte { return [4]byte{10, 1, 0, 2} }

// newLab joins the two stacks. Each direction loses packets with the given probability, drawn from
// the seed.
func newLab(t *testing.T, loss float64, seed uint64) *lab {
	t.Helper()
	b := &lab{link: channel.New(4096, wireMTU, ""), start: time.Now()}
	var err error
	b.theirs, err = transport.GVisorStack(b.link, theirsAddr(), 24)
	require.NoError(t, err)

	out := newLoss(loss, seed)
	port := device.NewPortFunc(func(_ time.Duration, raw []byte) {
		if b.count(out.drop()) {
			return
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(raw)})
		b.link.InjectInbound(ipv4.ProtocolNumber, p)
		p.DecRef()
	})
	b.ours = socket.New(socket.Config{MTU: wireMTU, Link: port})
	require.NoError(t, b.ours.NIC().AddAddr(netip.PrefixFrom(netip.AddrFrom4(oursAddr()), 32)))

	ctx, cancel := context.WithCancel(context.Background())
	b.done = cancel
	in := newLoss(loss, seed+1)
	b.pump.Go(func() { b.pumpIn(ctx, in) })
	t.Cleanup(func() { b.close(t) })
	return b
}

// pumpIn carries what gVisor sends to our NIC.
func (b *lab) pumpIn(ctx context.Context, in *lossy) {
	for {
		p := b.link.ReadContext(ctx)
		if p == nil {
			return
		}
		view := p.ToView()
		p.DecRef()
		if !b.count(in.drop()) {
			// A full ring loses the packet, as a real one would.
			_ = b.ours.NIC().Inject(time.Since(b.start), view.AsSlice())
		}
		view.Release()
	}
}

func (b *lab) count(dropped bool) bool {
	if dropped {
		b.lost.Add(1)
	} else {
		b.passed.Add(1)
	}
	return dropped
}

// close ends both stacks, and checks what must hold for every packet that crossed the wire.
func (b *lab) close(t *testing.T) {
	t.Helper()
	stats := b.theirs.Stats()
	require.Zero(t, stats.IP.MalformedPacketsReceived.Value(), "gVisor: malformed IP packets")
	require.Zero(t, stats.TCP.InvalidSegmentsReceived.Value(), "gVisor: invalid segments")
	require.Zero(t, stats.TCP.ChecksumErrors.Value(), "gVisor: bad checksums")
	// Packets may be on their way while we look: the balance holds as soon as the rings are empty.
	require.Eventually(t, func() bool { return b.ours.Conservation().Holds() }, patience, time.Millisecond,
		"every packet is delivered or dropped by name")
	require.NoError(t, b.ours.Close())
	b.done()
	b.pump.Wait()
	b.link.Close()
	b.theirs.Destroy()
}

// lossy draws which packets are lost.
type lossy struct {
	mu   sync.Mutex
	rand *rand.Rand
	p    float64
}

func newLoss(p float64, seed uint64) *lossy {
	return &lossy{rand: rand.New(rand.NewPCG(seed, 77)), p: p}
}

func (l *lossy) drop() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.Float64() < l.p
}

// role says who listens.
type role struct {
	name    string
	connect func(t *testing.T, b *lab) (ours *socket.TCPConn, theirs *gvisorConn)
}

func roles() []role {
	return []role{
		{"we dial gVisor", weDial},
		{"gVisor dials us", theyDial},
	}
}

// gvisorConn is a gonet connection with the endpoint behind it, which can be aborted.
type gvisorConn struct {
	*gonet.TCPConn
	ep tcpip.Endpoint
}

const gvisorPort = 7000

func weDial(t *testing.T, b *lab) (*socket.TCPConn, *gvisorConn) {
	t.Helper()
	var wq waiter.Queue
	ep, terr := b.theirs.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &wq)
	require.Nil(t, terr)
	require.Nil(t, ep.Bind(tcpip.FullAddress{Port: gvisorPort}))
	require.Nil(t, ep.Listen(16))
	defer ep.Close()
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)

	a := theirsAddr()
	c, err := b.ours.DialTCP("tcp4", nil, &net.TCPAddr{IP: a[:], Port: gvisorPort})
	require.NoError(t, err)
	for limit := time.After(patience); ; {
		conn, q, terr := ep.Accept(nil)
		if terr == nil {
			return c, deadlined(t, c, &gvisorConn{gonet.NewTCPConn(q, conn), conn})
		}
		select {
		case <-ready:
		case <-limit:
			t.Fatalf("gVisor accepted nothing: %v", terr)
		}
	}
}

func theyDial(t *testing.T, b *lab) (*socket.TCPConn, *gvisorConn) {
	t.Helper()
	l, err := b.ours.ListenTCP("tcp4", &net.TCPAddr{Port: 0})
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, l.SetDeadline(time.Now().Add(patience)))

	var wq waiter.Queue
	ep, terr := b.theirs.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &wq)
	require.Nil(t, terr)
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	terr = ep.Connect(tcpip.FullAddress{
		Addr: tcpip.AddrFrom4(oursAddr()), Port: uint16(l.Addr().(*net.TCPAddr).Port),
	})
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ready:
			terr = ep.LastError()
		case <-time.After(patience):
			t.Fatal("gVisor does not connect")
		}
	}
	require.Nil(t, terr)
	c, err := l.AcceptTCP()
	require.NoError(t, err)
	return c, deadlined(t, c, &gvisorConn{gonet.NewTCPConn(&wq, ep), ep})
}

func deadlined(t *testing.T, c *socket.TCPConn, g *gvisorConn) *gvisorConn {
	t.Helper()
	limit := time.Now().Add(patience)
	require.NoError(t, c.SetDeadline(limit))
	require.NoError(t, g.SetDeadline(limit))
	return g
}

// abort closes gVisor's end with a RST.
func (g *gvisorConn) abort() { g.ep.Abort() }

// settled waits until no connection is left but those in TIME-WAIT, on both stacks.
func (b *lab) settled(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, s := range b.ours.Sockets() {
			if s.Proto == "tcp" && s.State != "TIME-WAIT" {
				return false
			}
		}
		return b.theirs.Stats().TCP.CurrentEstablished.Value() == 0
	}, patience, time.Millisecond, "connections are left")
}

// readAll reads until end of file.
func readAll(t *testing.T, r io.Reader) []byte {
	t.Helper()
	p, err := io.ReadAll(r)
	require.NoError(t, err)
	return p
}
