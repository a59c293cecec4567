package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// Directions says which of the packets that pass a NIC are recorded.
type Directions uint8

const (
	// TX records what is sent. On the loopback wire each packet appears once, as in a capture on Linux's lo.
	TX Directions = iota
	// RX records what is received: behind an impaired link, what is left and when it came.
	RX
	// Both records everything; on a loopback wire each packet twice.
	Both
)

// has reports whether packets of direction d are recorded.
func (ds Directions) has(d device.Direction) bool {
	switch ds {
	case TX:
		return d == device.DirTX
	case RX:
		return d == device.DirRX
	}
	return true
}

// LinkType is the link layer that a capture file says its packets have.
type LinkType uint16

const (
	// Ethernet is what a capture on Linux's lo shows: a header of zero addresses and the type.
	Ethernet LinkType = 1
	// RawIP has no link layer: each packet begins with its IP header.
	RawIP LinkType = 101
)

// Options says how a capture file is written. The zero value gives what `tcpdump -i lo -w` would.
type Options struct {
	Link       LinkType   // zero is Ethernet
	Directions Directions // which packets Tap records; zero is TX
	Epoch      time.Time  // the wall time of the stack's time 0; zero is 1970-01-01 00:00 UTC
	Interface  string     // the interface's name; "lo" if empty
	Comment    string     // about the whole file, for instance the seed; Wireshark shows it
}

// A Writer writes packets to a file in pcapng format, with times of a nanosecond's resolution. What it writes
// depends on what it is given alone: two runs with the same packets at the same times give the same bytes.
// It is safe for concurrent use. Flush must be called at the end.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	opt Options
	buf []byte // blocks not yet given to w
	raw []byte // scratch of Tap
	n   uint64
	err error
}

// Block types, options and constants of the format (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6

	optEnd         = 0
	optComment     = 1
	optApplication = 4 // section header: user application
	optName        = 2 // interface description: name
	optResolution  = 9 // interface description: time resolution, a negative power of ten
	optFlags       = 2 // enhanced packet: direction and more

	byteOrderMagic = 0x1a2b3c4d
)

// flushAt is how many bytes a Writer collects before it writes them.
const flushAt = 64 << 10

// maxComment bounds the length of a comment in bytes: an option's length has 16 bits.
const maxComment = 1<<16 - 4

// NewWriter returns a Writer on w. The file's header is written with the first packets, or by Flush.
func NewWriter(w io.Writer, opt Options) *Writer {
	if opt.Epoch.IsZero() {
		opt.Epoch = time.Unix(0, 0)
	}
	if opt.Link == 0 {
		opt.Link = Ethernet
	}
	if opt.Interface == "" {
		opt.Interface = "lo"
	}
	cw := &Writer{w: w, opt: opt}
	cw.header()
	return cw
}

// WritePacket records raw, a packet that starts at its IP header, as seen at now since the epoch. comment, if not
// empty, is kept with the packet, where Wireshark shows it. It returns the first error of the underlying writer,
// then and from then on.
func (w *Writer) WritePacket(dir device.Direction, now time.Duration, raw []byte, comment string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.packet(dir, now, raw, comment)
}

// Tap returns a tap that records the packets of a NIC in the directions that the options say. The cause of a
// retransmission or a probe is its comment.
func (w *Writer) Tap() device.Tap {
	return func(dir device.Direction, now time.Duration, n *device.NIC, p *device.Packet) {
		if !w.opt.Directions.has(dir) {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.raw = n.AppendWire(w.raw[:0], p)
		w.packet(dir, now, w.raw, comment(tcp.Cause(p.Cause)))
	}
}

// comment is what a capture says of a segment's cause.
func comment(c tcp.Cause) string {
	if !Notable(c) {
		return ""
	}
	return c.String()
}

// WriteSent is WritePacket for a packet that was sent because of cause, which its comment names if the packet does
// not tell (see Notable). What else there is to say of it follows in the comment.
func (w *Writer) WriteSent(now time.Duration, raw []byte, cause tcp.Cause, notes ...string) error {
	text := comment(cause)
	if len(notes) > 0 {
		all := strings.Join(notes, "; ")
		if text != "" {
			text += "; "
		}
		text += all
	}
	return w.WritePacket(device.DirTX, now, raw, text)
}

// Packets returns how many packets were recorded.
func (w *Writer) Packets() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// Flush writes what is buffered and returns the first error there was.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	return w.err
}

func (w *Writer) flush() {
	if w.err != nil || len(w.buf) == 0 {
		return
	}
	if _, err := w.w.Write(w.buf); err != nil {
		w.err = fmt.Errorf("capture: %w", err)
	}
	w.buf = w.buf[:0]
}

// header writes the section header and the description of the one interface.
func (w *Writer) header() {
	start := w.begin(blockSection)
	w.u32(byteOrderMagic)
	w.u16(1) // version 1.0
	w.u16(0)
	w.u32(0xffffffff) // the section's length is not known
	w.u32(0xffffffff)
	w.option(optComment, w.opt.Comment)
	w.option(optApplication, "loopback")
	w.end(start)

	start = w.begin(blockInterface)
	w.u16(uint16(w.opt.Link))
	w.u16(0)
	w.u32(0) // packets are not cut
	w.option(optName, w.opt.Interface)
	w.option(optResolution, "\x09")
	w.end(start)
}

func (w *Writer) packet(dir device.Direction, now time.Duration, raw []byte, comment string) error {
	if w.err != nil {
		return w.err
	}
	ts := uint64(w.opt.Epoch.Add(now).UnixNano())
	start := w.begin(blockPacket)
	w.u32(0) // interface
	w.u32(uint32(ts >> 32))
	w.u32(uint32(ts))
	length := len(raw)
	if w.opt.Link == Ethernet {
		length += frameHeader
	}
	w.u32(uint32(length)) // captured
	w.u32(uint32(length)) // on the wire
	if w.opt.Link == Ethernet {
		w.buf = appendFrame(w.buf, raw)
	} else {
		w.buf = append(w.buf, raw...)
	}
	w.pad()
	w.u16(optFlags)
	w.u16(4)
	if dir == device.DirRX {
		w.u32(1)
	} else {
		w.u32(2)
	}
	w.option(optComment, comment)
	w.end(start)
	w.n++
	if len(w.buf) >= flushAt {
		w.flush()
	}
	return w.err
}

func (w *Writer) u16(v uint16) { w.buf = binary.LittleEndian.AppendUint16(w.buf, v) }
func (w *Writer) u32(v uint32) { w.buf = binary.LittleEndian.AppendUint32(w.buf, v) }

// begin starts a block; its length is filled in by end.
func (w *Writer) begin(kind uint32) (start int) {
	start = len(w.buf)
	w.u32(kind)
	w.u32(0)
	return start
}

// end finishes the options and the block that starts at start.
func (w *Writer) end(start int) {
	w.u32(optEnd)
	length := uint32(len(w.buf) - start + 4)
	binary.LittleEndian.PutUint32(w.buf[start+4:], length)
	w.u32(length)
}

// option writes an option, or nothing if its value is empty.
func (w *Writer) option(code uint16, value string) {
	if value == "" {
		return
	}
	value = value[:min(len(value), maxComment)]
	w.u16(code)
	w.u16(uint16(len(value)))
	w.buf = append(w.buf, value...)
	w.pad()
}

// pad fills up to a multiple of four bytes: blocks begin at such, so the buffer's length may be counted.
func (w *Writer) pad() {
	for len(w.buf)%4 != 0 {
		w.buf = append(w.buf, 0)
	}
}

// frameHeader is the length of the Ethernet header.
const frameHeader = 14

// appendFrame appends raw behind the Ethernet header that Linux's lo shows: addresses of zeros and the type.
func appendFrame(dst, raw []byte) []byte {
	var header [frameHeader]byte
	binary.BigEndian.PutUint16(header[12:], 0x0800)
	if len(raw) > 0 && raw[0]>>4 == 6 {
		binary.BigEndian.PutUint16(header[12:], 0x86dd)
	}
	return append(append(dst, header[:]...), raw...)
}
