package capture

import (
	"io"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// TimeStyle chooses how a trace line begins; the names of tcpdump's options are in parentheses.
type TimeStyle uint8

// The time styles.
const (
	TimeOfDay TimeStyle = iota // 09:30:01.204000 (default)
	TimeNone                   // nothing (-t)
	TimeEpoch                  // 0.204000: seconds since 1970 (-tt)
	TimeDelta                  // 00:00:00.204000: since the line before (-ttt)
	TimeDate                   // 1970-01-01 00:00:00.204000 (-tttt)
)

// TraceOptions says how a Printer prints. The zero value prints as `tcpdump -n` does in UTC.
type TraceOptions struct {
	Time       TimeStyle
	Nano       bool           // nine digits of a second instead of six (--nano)
	Directions Directions     // which packets Tap prints; zero is TX
	Epoch      time.Time      // the wall time of the stack's time 0; zero is 1970-01-01 00:00 UTC
	Location   *time.Location // of the time of day; nil is UTC, whatever the machine's zone is
	// Absolute prints sequence numbers as they are on the wire (-S).
	Absolute bool
	// Causes says behind each TCP segment that was sent before why it is sent again, as in "(retransmit-rto)", and
	// of probes that they are such. tcpdump cannot know that.
	Causes bool
}

// A Printer prints packets as text, one line a packet, in the words of `tcpdump -n`. It remembers the initial
// sequence numbers of the conversations it saw, at most maxConversations of them, to print relative ones.
// A Printer is not safe for concurrent use, except for the functions that Tap returns.
type Printer struct {
	mu    sync.Mutex // held by taps
	w     io.Writer
	opt   TraceOptions
	err   error
	buf   []byte // the line being built
	raw   []byte // scratch of Tap
	convs conversations
	last  time.Time // of the packet before, for TimeDelta
	begun bool
}

// NewPrinter returns a Printer that writes its lines to w, each with one Write.
func NewPrinter(w io.Writer, opt TraceOptions) *Printer {
	if opt.Epoch.IsZero() {
		opt.Epoch = time.Unix(0, 0)
	}
	if opt.Location == nil {
		opt.Location = time.UTC
	}
	return &Printer{w: w, opt: opt}
}

// Print writes the line of one packet, raw, which starts at its IP header and was seen at now since the epoch.
// It returns the first error of the writer, then and from then on.
func (p *Printer) Print(now time.Duration, raw []byte) error {
	return p.PrintSent(now, raw, tcp.CauseNone)
}

// PrintSent is Print for a packet of which it is known why it was sent. That is printed if the options ask for it.
func (p *Printer) PrintSent(now time.Duration, raw []byte, cause tcp.Cause) error {
	if p.err != nil {
		return p.err
	}
	p.buf = p.AppendPacket(p.buf[:0], now, raw)
	if p.opt.Causes && Notable(cause) {
		p.str(" (" + cause.String() + ")")
	}
	p.buf = append(p.buf, '\n')
	_, p.err = p.w.Write(p.buf)
	return p.err
}

// Notable reports whether a trace names the cause of a segment, because the packet does not tell: it is a
// retransmission or a probe.
func Notable(c tcp.Cause) bool {
	return c.Retransmission() || c == tcp.CauseNewFRTO || c == tcp.CauseNewTLP || c == tcp.CauseProbe || c == tcp.CauseKeepalive
}

// Tap returns a tap that prints the packets of a NIC in the directions that the options say.
func (p *Printer) Tap() device.Tap {
	return func(dir device.Direction, now time.Duration, n *device.NIC, pkt *device.Packet) {
		if !p.opt.Directions.has(dir) {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.raw = n.AppendWire(p.raw[:0], pkt)
		// The error stays: Err gives it.
		_ = p.PrintSent(now, p.raw, tcp.Cause(pkt.Cause))
	}
}

// Err returns the first error of the writer.
func (p *Printer) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// AppendPacket appends the line of one packet to dst, without a newline at its end. (A few packets that tcpdump
// cannot interpret have further lines: a hex dump.) It does not write to the Printer's writer.
func (p *Printer) AppendPacket(dst []byte, now time.Duration, raw []byte) []byte {
	keep := p.buf
	p.buf = dst
	p.timestamp(p.opt.Epoch.Add(now))
	p.packet(raw)
	dst, p.buf = p.buf, keep
	return dst
}

// packet prints what follows the time: the link layer says by its type what it carries, and so does the first
// nibble for everything that our devices carry.
func (p *Printer) packet(raw []byte) {
	if len(raw) > 0 && raw[0]>>4 == 6 {
		p.ip6(raw)
		return
	}
	p.ip4(raw)
}

func (p *Printer) timestamp(t time.Time) {
	switch p.opt.Time {
	case TimeNone:
		return
	case TimeEpoch:
		p.buf = strconv.AppendInt(p.buf, t.Unix(), 10)
		p.fraction(t.Nanosecond())
	case TimeDelta:
		// The difference of two printed times, not of two exact ones.
		if !p.opt.Nano {
			t = t.Truncate(time.Microsecond)
		}
		var d time.Duration
		if p.begun {
			d = t.Sub(p.last)
		}
		p.last, p.begun = t, true
		if d < 0 {
			p.str("-")
			d = -d
		} else {
			p.str(" ")
		}
		p.clock(int(d/time.Hour), int(d/time.Minute)%60, int(d/time.Second)%60, int(d%time.Second))
	default:
		t = t.In(p.opt.Location)
		if p.opt.Time == TimeDate {
			p.buf = t.AppendFormat(p.buf, "2006-01-02 ")
		}
		p.clock(t.Hour(), t.Minute(), t.Second(), t.Nanosecond())
	}
	p.str(" ")
}

func (p *Printer) clock(h, m, s, nano int) {
	p.digits(h, 2)
	p.str(":")
	p.digits(m, 2)
	p.str(":")
	p.digits(s, 2)
	p.fraction(nano)
}

// fraction prints a point and the part of a second, cut off (not rounded) at the precision, as libpcap does.
func (p *Printer) fraction(nano int) {
	p.str(".")
	if p.opt.Nano {
		p.digits(nano, 9)
		return
	}
	p.digits(nano/1000, 6)
}

// digits prints v with at least width digits.
func (p *Printer) digits(v, width int) {
	for limit := 10; width > 1; width-- {
		if v < limit {
			for range width - 1 {
				p.buf = append(p.buf, '0')
			}
			break
		}
		limit *= 10
	}
	p.buf = strconv.AppendInt(p.buf, int64(v), 10)
}

func (p *Printer) str(s string)   { p.buf = append(p.buf, s...) }
func (p *Printer) num(v int)      { p.buf = strconv.AppendInt(p.buf, int64(v), 10) }
func (p *Printer) u32(v uint32)   { p.buf = strconv.AppendUint(p.buf, uint64(v), 10) }
func (p *Printer) hex(v uint32)   { p.buf = strconv.AppendUint(append(p.buf, "0x"...), uint64(v), 16) }
func (p *Printer) cut(of string)  { p.str(" [|"); p.str(of); p.str("]") }
func (p *Printer) addr4(b []byte) { p.buf = netip.AddrFrom4([4]byte(b)).AppendTo(p.buf) }

// addr6 prints an IPv6 address; those that embed one of IPv4 end in dotted form, as inet_ntop has them.
func (p *Printer) addr6(b []byte) {
	if [12]byte(b) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
		p.str("::")
		p.addr4(b[12:16])
		return
	}
	p.buf = netip.AddrFrom16([16]byte(b)).AppendTo(p.buf)
}

const hexDigits = "0123456789abcdef"

func (p *Printer) hexByte(b byte) { p.buf = append(p.buf, hexDigits[b>>4], hexDigits[b&15]) }

// dump prints the bytes of what cannot be interpreted, sixteen a line, as tcpdump -x does.
func (p *Printer) dump(b []byte) {
	for off := 0; off < len(b); off += 16 {
		p.str("\n\t0x")
		p.hexByte(byte(off >> 8))
		p.hexByte(byte(off))
		p.str(": ")
		for i := off; i < min(off+16, len(b)); i++ {
			if i%2 == 0 {
				p.str(" ")
			}
			p.hexByte(b[i])
		}
	}
}
