package capture

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"
)

// tcpdump runs the real tcpdump over packets, one a millisecond, and returns one entry per packet: its line with
// the continuation lines of a hex dump.
func tcpdump(t testing.TB, packets [][]byte, args ...string) []string {
	t.Helper()
	path, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("tcpdump is not installed")
	}
	var file bytes.Buffer
	w := pcapgo.NewWriterNanos(&file)
	require.NoError(t, w.WriteFileHeader(0, layers.LinkTypeEthernet))
	for i, raw := range packets {
		frame := appendFrame(nil, raw)
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(0, 0).Add(packetTime(i)), Length: len(frame), CaptureLength: len(frame)}
		require.NoError(t, w.WritePacket(ci, frame))
	}
	name := filepath.Join(t.TempDir(), "x.pcap")
	require.NoError(t, os.WriteFile(name, file.Bytes(), 0o600))
	return runTcpdump(t, path, name, args...)
}

// runTcpdump returns the output of tcpdump -n -r name, one entry per packet.
func runTcpdump(t testing.TB, path, name string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(path, append([]string{"-n", "-r", name}, args...)...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return entries(string(out))
}

// entries splits the output of a trace: lines that begin with a tab belong to the packet before.
func entries(out string) []string {
	var all []string
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "\t") && len(all) > 0 {
			all[len(all)-1] += "\n" + line
			continue
		}
		all = append(all, line)
	}
	return all
}

// packetTime is when the i-th packet of a test is seen.
func packetTime(i int) time.Duration {
	return time.Second + time.Duration(i)*61*time.Second + time.Duration(i)*1234567
}

// ours prints packets with a Printer.
func ours(packets [][]byte, opt TraceOptions) []string {
	var out bytes.Buffer
	p := NewPrinter(&out, opt)
	for i, raw := range packets {
		if err := p.Print(packetTime(i), raw); err != nil {
			panic(err)
		}
	}
	return entries(out.String())
}

// differences are the samples of the corpus on which we print less than tcpdump: protocols that no stack here
// speaks. The package documentation lists them.
var differences = []string{
	"option experiment", "option mptcp", "redis", "rtsp",
	"icmp6 unknown", "protocol IGMP", "protocol IPv4", "protocol IPv6", "protocol GRE", "protocol IPSecESP", "protocol SCTP",
	"next header IGMP", "next header IPv4", "next header IPv6", "next header GRE", "next header IPSecESP", "next header SCTP",
}

func isDifference(name string) bool {
	for _, d := range differences {
		if strings.HasSuffix(name, d) {
			return true
		}
	}
	return false
}

func TestTraceReadsLikeTcpdump(t *testing.T) {
	var names []string
	var packets [][]byte
	for _, s := range corpus(t) {
		names, packets = append(names, s.name), append(packets, s.raw)
	}
	for _, x := range []struct {
		name string
		args []string
		opt  TraceOptions
	}{
		{"default", nil, TraceOptions{}},
		{"-t", []string{"-t"}, TraceOptions{Time: TimeNone}},
		{"-tt", []string{"-tt"}, TraceOptions{Time: TimeEpoch}},
		{"-ttt", []string{"-ttt"}, TraceOptions{Time: TimeDelta}},
		{"-tttt --nano", []string{"-tttt", "--nano"}, TraceOptions{Time: TimeDate, Nano: true}},
		{"-S", []string{"-S"}, TraceOptions{Absolute: true}},
	} {
		t.Run(x.name, func(t *testing.T) {
			want, got := tcpdump(t, packets, x.args...), ours(packets, x.opt)
			require.Len(t, got, len(names))
			require.Len(t, want, len(names))
			for i := range want {
				if isDifference(names[i]) {
					continue
				}
				if got[i] != want[i] {
					t.Errorf("%s:\n got %s\nwant %s", names[i], got[i], want[i])
				}
			}
		})
	}
}

// mutants are packets of the corpus with bytes changed, cut off and lengths set wrong, drawn from a fixed seed.
func mutants(t testing.TB, n int, seed uint64) [][]byte {
	var base [][]byte
	for _, s := range corpus(t) {
		if !isDifference(s.name) && len(s.raw) > 20 {
			base = append(base, s.raw)
		}
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	var all [][]byte
	for len(all) < n {
		b := append([]byte(nil), base[rnd.IntN(len(base))]...)
		for range 1 + rnd.IntN(3) {
			switch rnd.IntN(4) {
			case 0:
				b = b[:1+rnd.IntN(len(b))]
			case 1:
				b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
			case 2:
				b[rnd.IntN(len(b))] = byte(rnd.Uint32())
			case 3:
				at := rnd.IntN(len(b))
				copy(b[at:], []byte{byte(rnd.IntN(36)), byte(rnd.IntN(12))})
			}
		}
		all = append(all, b)
	}
	return all
}

// speaks reports whether tcpdump's line speaks of nothing but what the trace knows.
func speaks(line string) bool {
	for _, m := range []string{
		"mptcp", "exp-", "GRE", "igmp", "IGMP", "esp", "sctp", "PIM", "domain", "egp", "pgm", "igrp", "DCCP", "mobility", "router adv", "redirect", "neighbor", "discovery", "mtrace", " multicast listener", "ospf", "dccp", "ESP(", "ripng", "md5 snap", "OSPF", "EGP", "EIGRP", "scps", "PGM", "rsvp", "RSVP", "VRRP", "vrrp",
	} {
		if strings.Contains(line, m) {
			return false
		}
	}
	return true
}

// Where a broken packet is cut off in the middle of a field, tcpdump's words depend on the order in which it
// happens to look at the fields; we do not follow it into the last of these corners.
func TestTraceOfBrokenPacketsReadsLikeTcpdump(t *testing.T) {
	const count = 20000
	const tolerated = count / 500
	packets := mutants(t, count, 1)
	want, got := tcpdump(t, packets), ours(packets, TraceOptions{})
	require.Len(t, got, len(packets))
	require.Len(t, want, len(packets))
	var report strings.Builder
	bad := 0
	for i := range want {
		if got[i] != want[i] && speaks(want[i]) && !strings.Contains(got[i], "ip-proto-") {
			bad++
			fmt.Fprintf(&report, "% x:\n got %s\nwant %s\n", packets[i], got[i], want[i])
		}
	}
	if bad > tolerated {
		t.Errorf("%d of %d lines differ:\n%s", bad, count, report.String())
	}
}

var update = flag.Bool("update", false, "record the goldens anew")

// The golden is what the real tcpdump printed where it is installed (the test above says so), so that this
// holds on machines that have none.
func TestTraceGolden(t *testing.T) {
	var packets [][]byte
	for _, s := range corpus(t) {
		packets = append(packets, s.raw)
	}
	got := strings.Join(ours(packets, TraceOptions{}), "\n") + "\n"
	golden := filepath.Join("testdata", "trace.golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, strings.Split(string(want), "\n"), strings.Split(got, "\n"))
}

func TestTraceTimes(t *testing.T) {
	raw := udpPacket(t, v4a, v4b, 1, 2, nil)
	const line = "IP 127.0.0.1.1 > 127.0.0.2.2: UDP, length 0"
	at := time.Date(2026, 11, 23, 9, 8, 7, 123456789, time.UTC)
	zone := time.FixedZone("CET", 3600)
	for _, x := range []struct {
		name string
		opt  TraceOptions
		now  time.Duration
		want string
	}{
		{"virtual time", TraceOptions{}, 1500 * time.Millisecond, "00:00:01.500000 "},
		{"virtual time in seconds", TraceOptions{Time: TimeEpoch}, 204 * time.Millisecond, "0.204000 "},
		{"cut, not rounded", TraceOptions{Time: TimeEpoch}, 999999999, "0.999999 "},
		{"wall time", TraceOptions{Epoch: at}, 0, "09:08:07.123456 "},
		{"wall time elsewhere", TraceOptions{Epoch: at, Location: zone}, 0, "10:08:07.123456 "},
		{"date", TraceOptions{Epoch: at, Time: TimeDate, Nano: true}, time.Nanosecond, "2026-11-23 09:08:07.123456790 "},
		{"first delta", TraceOptions{Epoch: at, Time: TimeDelta}, time.Hour, " 00:00:00.000000 "},
		{"none", TraceOptions{Time: TimeNone}, time.Hour, ""},
		{"before the epoch of Unix", TraceOptions{Epoch: time.Unix(-2, 0), Time: TimeEpoch}, 0, "-2.000000 "},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := NewPrinter(nil, x.opt)
			require.Equal(t, x.want+line, string(p.AppendPacket(nil, x.now, raw)))
		})
	}
	p := NewPrinter(nil, TraceOptions{Time: TimeDelta})
	p.AppendPacket(nil, 3*time.Second, raw)
	require.Equal(t, " 26:01:02.000005 "+line, string(p.AppendPacket(nil, 3*time.Second+26*time.Hour+62*time.Second+5*time.Microsecond, raw)))
	require.Equal(t, "-26:01:02.000005 "+line, string(p.AppendPacket(nil, 3*time.Second, raw)), "a clock that goes back")
}

func TestTraceForgetsTheOldestConversation(t *testing.T) {
	p := NewPrinter(nil, TraceOptions{Time: TimeNone})
	line := func(port uint16) string {
		return string(p.AppendPacket(nil, 0, tcpPacket(t, v4a, v4b, port, 9, []byte("x"), func(h *layers.TCP) { h.ACK, h.Seq, h.Ack = true, 100, 200 })))
	}
	const first = "IP 127.0.0.1.10 > 127.0.0.2.9: Flags [.], seq 100:101, ack 200, win 512, length 1"
	const known = "IP 127.0.0.1.10 > 127.0.0.2.9: Flags [.], seq 0:1, ack 1, win 512, length 1"
	require.Equal(t, first, line(10))
	require.Equal(t, known, line(10))
	for i := range maxConversations - 1 {
		k := conversation{loPort: uint16(i), hiPort: 1, lo: [16]byte{byte(i >> 16)}}
		p.convs.put(k, origins{})
		p.convs.put(k, origins{lo: 1})
	}
	require.Equal(t, known, line(10), "the table is full, but nothing had to go")
	p.convs.put(conversation{v6: true}, origins{})
	require.Equal(t, first, line(10), "the oldest was forgotten")
	require.Len(t, p.convs.m, maxConversations)
	require.Len(t, p.convs.ring, maxConversations)
}

// brokenWriter fails after n bytes.
type brokenWriter struct{ n int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.n -= len(b); w.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

var errFull = errors.New("disk full")

func TestPrinterKeepsTheFirstError(t *testing.T) {
	p := NewPrinter(&brokenWriter{n: 100}, TraceOptions{})
	raw := udpPacket(t, v4a, v4b, 1, 2, nil)
	require.NoError(t, p.Print(0, raw))
	require.ErrorIs(t, p.Print(0, raw), errFull)
	require.ErrorIs(t, p.Print(0, raw[:1]), errFull)
	require.ErrorIs(t, p.Err(), errFull)
}

func TestTraceAllocatesNothing(t *testing.T) {
	var packets [][]byte
	for _, s := range corpus(t) {
		packets = append(packets, s.raw)
	}
	p := NewPrinter(io.Discard, TraceOptions{})
	print := func() {
		for _, raw := range packets {
			_ = p.Print(time.Second, raw)
		}
	}
	print()
	require.Zero(t, testing.AllocsPerRun(10, print))
}

func FuzzTrace(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := NewPrinter(nil, TraceOptions{})
		for range 2 {
			line := p.AppendPacket(nil, 0, raw)
			if len(line) > 1000+8*len(raw) {
				t.Errorf("%d bytes for a packet of %d", len(line), len(raw))
			}
			for _, c := range line {
				if c != '\n' && c != '\t' && (c < ' ' || c > '~') {
					t.Fatalf("unprintable byte %#x in %q", c, line)
				}
			}
		}
	})
}
