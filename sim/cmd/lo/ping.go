package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
	"example.com/loopback/ipv6"
)

// pingCmd is lo ping.
type pingCmd struct {
	Addr     string        `arg:"" help:"Address or name."`
	Count    int           `short:"c" default:"3" placeholder:"N" help:"How many echo requests; 0 goes on until interrupted. Default 3."`
	Interval time.Duration `short:"i" default:"1s" help:"Time between them. Default 1s."`
	Size     int           `short:"s" default:"56" placeholder:"BYTES" help:"Bytes of data in each. Default 56."`
	Wait     time.Duration `short:"W" default:"2s" help:"How long to wait for the last reply. Default 2s."`
	Four     bool          `short:"4" help:"IPv4 only."`
	Six      bool          `short:"6" help:"IPv6 only."`
}

// Help implements kong.HelpProvider.
func (x *pingCmd) Help() string {
	return "Examples:\n  lo ping -c 3 localhost\n  lo ping -6 localhost\n  lo ping --loss 0.3 --delay 10ms -c 10 -i 100ms 127.0.0.9"
}

// Run implements the command.
func (x *pingCmd) Run(ctx context.Context, f *computerFlags, out *output, diag *diagnostics) error {
	if x.Count < 0 || x.Size < 0 || x.Size > 65507-8 || x.Interval < 0 || x.Wait < 0 {
		return usageError("ping: a count, interval or wait of less than 0, or a size beyond 65499")
	}
	c, err := f.start(diag)
	if err != nil {
		return err
	}
	return c.finish(x.ping(ctx, c, out, diag))
}

// ping is the program: messages and exit codes are those of ping(8) from iputils.
func (x *pingCmd) ping(ctx context.Context, c *computer, out, diag io.Writer) error {
	network := "ip"
	switch {
	case x.Four && !x.Six:
		network = "ip4"
	case x.Six && !x.Four:
		network = "ip6"
	}
	addrs, err := c.Resolver().LookupNetIP(ctx, network, x.Addr)
	if err != nil {
		fmt.Fprintf(diag, "ping: %s: Name or service not known\n", x.Addr)
		return &exitError{exitUsage, errSilent}
	}
	p := &pinger{pingCmd: x, c: c, out: out, dst: addrs[0].Unmap(), sent: map[uint16]time.Time{}, seen: map[uint16]bool{}, ttl: map[uint16]uint8{}}
	p.id = uint16(os.Getpid())
	if c.seed != 0 {
		p.id = uint16(c.seed)
	}
	p.label = p.dst.String()
	if _, err := netip.ParseAddr(x.Addr); err != nil {
		p.label = fmt.Sprintf("%s (%s)", x.Addr, p.dst)
	}
	return p.run(ctx, diag)
}

// pinger is one run of ping.
type pinger struct {
	*pingCmd
	c     *computer
	dst   netip.Addr
	label string // as replies name it
	id    uint16
	conn  net.PacketConn

	mu       sync.Mutex
	out      io.Writer
	sent     map[uint16]time.Time
	seen     map[uint16]bool
	ttl      map[uint16]uint8 // of the replies
	raw      []byte           // scratch
	count    int              // of requests
	received int
	dups     int
	errors   int
	rtt      rttStatistics
	progress chan struct{} // something was received
}

func (p *pinger) run(ctx context.Context, diag io.Writer) error {
	network, wildcard := "ip4:icmp", "0.0.0.0"
	if p.dst.Is6() {
		network, wildcard = "ip6:ipv6-icmp", "::"
	}
	var err error
	if p.conn, err = p.c.ListenPacket(network, wildcard); err != nil {
		return err
	}
	p.progress = make(chan struct{}, 1)
	remove := p.c.NIC().AddTap(p.watchTTL)
	defer remove()
	var reader sync.WaitGroup
	reader.Go(p.receive)
	if p.dst.Is4() {
		fmt.Fprintf(p.out, "PING %s (%s) %d(%d) bytes of data.\n", p.Addr, p.dst, p.Size, p.Size+28)
	} else {
		fmt.Fprintf(p.out, "PING %s(%s) %d data bytes\n", p.Addr, p.label, p.Size)
	}
	start := time.Now()
	err = p.send(ctx)
	if err == nil {
		p.await(ctx)
	}
	elapsed := time.Since(start)
	p.conn.Close()
	reader.Wait()
	if err != nil {
		fmt.Fprintf(diag, "ping: sendmsg: %s\n", strerror(err))
		return &exitError{exitUsage, errSilent}
	}
	p.statistics(elapsed)
	if p.received == 0 {
		return &exitError{exitFailure, errSilent}
	}
	return nil
}

// strerror returns the text of the system error in err as the C library has it.
func strerror(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	s := errno.Error()
	return strings.ToUpper(s[:1]) + s[1:]
}

// send sends the requests, one an interval.
func (p *pinger) send(ctx context.Context) error {
	for seq := 1; p.Count == 0 || seq <= p.Count; seq++ {
		if seq > 1 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(p.Interval):
			}
		}
		p.mu.Lock()
		p.sent[uint16(seq)] = time.Now()
		delete(p.seen, uint16(seq))
		p.count++
		p.mu.Unlock()
		if _, err := p.conn.WriteTo(p.request(uint16(seq)), &net.IPAddr{IP: p.dst.AsSlice()}); err != nil {
			return err
		}
	}
	return nil
}

// request builds an echo request.
func (p *pinger) request(seq uint16) []byte {
	data := make([]byte, p.Size)
	for i := range data {
		data[i] = byte(i)
	}
	if p.dst.Is4() {
		m := ipv4.ICMP{Type: ipv4.ICMPEchoRequest, ID: p.id, Seq: seq, Data: data}
		b := make([]byte, m.Len())
		m.Marshal(b)
		return b
	}
	m := ipv6.ICMP{Type: ipv6.ICMPEchoRequest, ID: p.id, Seq: seq, Data: data}
	b := make([]byte, m.Len())
	m.Marshal(b, p.dst, p.dst) // raw ICMPv6 sockets get their checksum from the kernel, once the source is known
	return b
}

// await waits for the replies that are still missing: for -W, or for twice the longest round trip if there was one.
func (p *pinger) await(ctx context.Context) {
	wait := p.Wait
	if p.mu.Lock(); p.received > 0 {
		wait = min(wait, max(2*p.rtt.most, time.Second))
	}
	p.mu.Unlock()
	timeout := time.After(wait)
	for {
		p.mu.Lock()
		complete := p.received+p.errors >= p.count
		p.mu.Unlock()
		if complete {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-timeout:
			return
		case <-p.progress:
		}
	}
}

// receive prints what comes until the socket is closed.
func (p *pinger) receive() {
	buf := make([]byte, 65535)
	for {
		n, from, err := p.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.message(buf[:n], from, time.Now())
		p.mu.Unlock()
		select {
		case p.progress <- struct{}{}:
		default:
		}
	}
}

// message handles one ICMP message.
func (p *pinger) message(b []byte, from net.Addr, now time.Time) {
	if p.dst.Is4() {
		if m, why := ipv4.ParseICMP(b, false); why == ipv4.OK {
			switch m.Type {
			case ipv4.ICMPEchoReply:
				p.reply(m.ID, m.Seq, len(m.Data), from, now)
			case ipv4.ICMPDestUnreachable, ipv4.ICMPTimeExceeded:
				if q, ok := ipv4.ParseQuote(m.Data); ok && q.Protocol == ipv4.ProtoICMP && q.EchoID == p.id {
					p.errors++
					fmt.Fprintf(p.out, "From %s icmp_seq=%d %s\n", from, q.EchoSeq, errorText(m))
				}
			}
		}
		return
	}
	if len(b) >= 8 && ipv6.ICMPType(b[0]) == ipv6.ICMPEchoReply {
		p.reply(binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), len(b)-8, from, now)
	}
}

// errorText is what ping says of an ICMP error.
func errorText(m ipv4.ICMP) string {
	if m.Type == ipv4.ICMPTimeExceeded {
		return "Time to live exceeded"
	}
	switch m.Code {
	case ipv4.CodeNetUnreachable:
		return "Destination Net Unreachable"
	case ipv4.CodeHostUnreachable:
		return "Destination Host Unreachable"
	case ipv4.CodeProtocolUnreachable:
		return "Destination Protocol Unreachable"
	case ipv4.CodePortUnreachable:
		return "Destination Port Unreachable"
	case ipv4.CodeFragmentationNeeded:
		return fmt.Sprintf("Frag needed and DF set (mtu = %d)", m.MTU)
	}
	return fmt.Sprintf("Dest Unreachable, Bad Code: %d", m.Code)
}

// reply handles an echo reply.
func (p *pinger) reply(id, seq uint16, size int, from net.Addr, now time.Time) {
	sent, ok := p.sent[seq]
	if id != p.id || !ok {
		return
	}
	rtt := now.Sub(sent)
	source := from.String()
	if source == p.dst.String() {
		source = p.label
	}
	dup := ""
	if p.seen[seq] {
		p.dups++
		dup = " (DUP!)"
	} else {
		p.seen[seq] = true
		p.received++
		p.rtt.add(rtt)
	}
	fmt.Fprintf(p.out, "%d bytes from %s: icmp_seq=%d ttl=%d time=%s%s\n", size+8, source, seq, p.ttl[seq], roundTrip(rtt), dup)
}

// roundTrip prints a time with three significant digits or so, as ping does.
func roundTrip(d time.Duration) string {
	us := d.Microseconds()
	switch {
	case us >= 100000:
		return fmt.Sprintf("%d ms", us/1000)
	case us >= 10000:
		return fmt.Sprintf("%d.%01d ms", us/1000, us%1000/100)
	case us >= 1000:
		return fmt.Sprintf("%d.%02d ms", us/1000, us%1000/10)
	}
	return fmt.Sprintf("%d.%03d ms", us/1000, us%1000)
}

// watchTTL is a tap that notes the hop limit of our echo replies: a raw socket's ReadFrom does not tell it.
func (p *pinger) watchTTL(dir device.Direction, _ time.Duration, _ *device.NIC, pkt *device.Packet) {
	if dir != device.DirRX {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raw = pkt.AppendTo(p.raw[:0])
	b := p.raw
	var ttl uint8
	switch {
	case len(b) >= 28 && b[0] == 0x45 && b[9] == ipv4.ProtoICMP && b[20] == byte(ipv4.ICMPEchoReply):
		ttl, b = b[8], b[20:]
	case len(b) >= 48 && b[0]>>4 == 6 && b[6] == ipv6.ProtoICMP && b[40] == byte(ipv6.ICMPEchoReply):
		ttl, b = b[7], b[40:]
	default:
		return
	}
	if binary.BigEndian.Uint16(b[4:]) == p.id {
		p.ttl[binary.BigEndian.Uint16(b[6:])] = ttl
	}
}

// statistics prints the summary.
func (p *pinger) statistics(elapsed time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "\n--- %s ping statistics ---\n%d packets transmitted, %d received", p.Addr, p.count, p.received)
	if p.dups > 0 {
		fmt.Fprintf(p.out, ", +%d duplicates", p.dups)
	}
	if p.errors > 0 {
		fmt.Fprintf(p.out, ", +%d errors", p.errors)
	}
	fmt.Fprintf(p.out, ", %g%% packet loss, time %dms\n", float32(float64(p.count-p.received)*100/float64(p.count)), elapsed.Milliseconds())
	if p.received == 0 {
		return
	}
	fmt.Fprintf(p.out, "rtt min/avg/max/mdev = %v ms\n", &p.rtt)
}

// rttStatistics are running ones.
type rttStatistics struct {
	n            int
	sum, squares float64 // in milliseconds
	least, most  time.Duration
}

func (s *rttStatistics) add(d time.Duration) {
	if s.n == 0 || d < s.least {
		s.least = d
	}
	s.most = max(s.most, d)
	s.n++
	ms := milliseconds(d)
	s.sum += ms
	s.squares += ms * ms
}

// milliseconds are counted in whole microseconds, as ping does.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// String returns minimum, average, maximum and standard deviation in milliseconds.
func (s *rttStatistics) String() string {
	mean := s.sum / float64(s.n)
	mdev := math.Sqrt(max(0, s.squares/float64(s.n)-mean*mean))
	return fmt.Sprintf("%.3f/%.3f/%.3f/%.3f", milliseconds(s.least), mean, milliseconds(s.most), mdev)
}
