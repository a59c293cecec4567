package sim

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/sim/capture"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// A Recording is what was sent on a Net: whole packets with checksums filled in, in the order of their times and, of
// those that several goroutines sent at one instant, in the order of their flows. It is safe for concurrent use, and
// the same for equal seeds once the goroutines that send have come to rest (synctest.Wait).
type Recording struct {
	epoch time.Time
	seed  uint64
	limit int

	mu      sync.Mutex
	packets []recorded
	data    []byte
	lost    uint64
	scratch [headRoom]byte
	flows   flowTable // for its memory of fragments alone

	arrivals []landing // for ladders, as seen
	seen     []seen

	link  *Impaired // what decided; nil: nobody did
	hosts *socket.Hosts
}

type recorded struct {
	at      time.Duration
	flow    Flow
	from, n int // in data
	cause   tcp.Cause
}

// recordOverhead is about what a packet takes besides its bytes.
const recordOverhead = 96

// NewRecording returns one for a stack that is not a Net's, whose time 0 is epoch, of at most limit bytes of memory (64 MiB
// if 0). Configure comes before the link and the stack are made, Begin afterwards:
//
//	rec := sim.NewRecording(time.Now(), seed, 0)
//	rec.Configure(&linkConfig, &stackConfig)
//	link, err := sim.NewImpaired(linkConfig)
//	stackConfig.Link = link
//	stack := socket.New(stackConfig)
//	rec.Begin(stack, link)
func NewRecording(epoch time.Time, seed uint64, limit int) *Recording {
	return &Recording{epoch: epoch, seed: seed, limit: cmp.Or(limit, defaultCaptureBytes)}
}

// Configure lets the recording see when packets leave the link and what connections do; observers that are there already
// are told as well.
func (r *Recording) Configure(link *ImpairConfig, stack *socket.Config) {
	user := link.Passed
	link.Passed = func(i *PacketInfo, copy uint32, at time.Duration) {
		r.passed(i, copy, at)
		if user != nil {
			user(i, copy, at)
		}
	}
	stack.Observer = &recordObserver{r, stack.Observer}
}

// Begin records what the stack sends from now on; link is the one it sends by. It is called once, before anything is sent.
func (r *Recording) Begin(stack *socket.Stack, link *Impaired) {
	r.link, r.hosts = link, stack.Hosts()
	stack.NIC().AddTap(r.tap)
}

// tap is a device.Tap.
func (r *Recording) tap(dir device.Direction, now time.Duration, n *device.NIC, p *device.Packet) {
	if dir != device.DirTX {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.data)+len(r.packets)*recordOverhead+p.Len() > r.limit {
		r.lost++
		return
	}
	var i PacketInfo
	i.parse(p, r.scratch[:])
	if i.Fragment {
		r.flows.fragment(&i) // so that later fragments are not sorted apart from the first
	}
	if r.packets == nil {
		// Most recordings are of more than a handful of packets, and the first ones would be copied again and again.
		r.packets, r.data = make([]recorded, 0, 16), make([]byte, 0, 1024)
	}
	from := len(r.data)
	r.data = n.AppendWire(r.data, p)
	r.packets = append(r.packets, recorded{now, i.Flow, from, len(r.data) - from, tcp.Cause(p.Cause)})
}

// Len returns the number of packets.
func (r *Recording) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.packets)
}

// Lost returns how many packets were not recorded because there was no room: the last ones.
func (r *Recording) Lost() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// each calls f for every packet, in order.
func (r *Recording) each(f func(at time.Duration, raw []byte, cause tcp.Cause) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.packets, func(a, b recorded) int {
		return cmp.Or(cmp.Compare(a.at, b.at), a.flow.Compare(b.flow))
	})
	for _, p := range r.packets {
		if err := f(p.at, r.data[p.from:p.from+p.n], p.cause); err != nil {
			return err
		}
	}
	return nil
}

// WritePcapng writes the packets as a pcapng file, which Wireshark and tcpdump open; it names the seed,
// and of each retransmission its cause.
func (r *Recording) WritePcapng(w io.Writer) error {
	pw := capture.NewWriter(w, capture.Options{Epoch: r.epoch, Comment: fmt.Sprintf("seed %d", r.seed)})
	if err := r.each(func(at time.Duration, raw []byte, cause tcp.Cause) error { return pw.WriteSent(at, raw, cause) }); err != nil {
		return err
	}
	return pw.Flush()
}

// WriteText writes the packets as text in the words of `tcpdump -n`, and why segments are sent again.
func (r *Recording) WriteText(w io.Writer) error {
	p := capture.NewPrinter(w, capture.TraceOptions{Epoch: r.epoch, Nano: true, Causes: true})
	return r.each(p.PrintSent)
}

// Hash returns the SHA-256 of what WritePcapng writes: equal for runs that sent the same bytes at the same times.
func (r *Recording) Hash() [sha256.Size]byte {
	h := sha256.New()
	r.WritePcapng(h) // a hash does not fail
	return [sha256.Size]byte(h.Sum(nil))
}
