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

	arrivals []landing // for ladders, as seen
	seen     []seen
}

type recorded struct {
	at      time.Duration
	flow    Flow
	from, n int // in data
	cause   tcp.Cause
}

// recordOverhead is about what a packet takes besides its bytes.
const recordOverhead = 96

func newRecording(epoch time.Time, seed uint64, limit int) *Recording {
	return &Recording{epoch: epoch, seed: seed, limit: limit}
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
	if err := r.each(pw.WriteSent); err != nil {
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
