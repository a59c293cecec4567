package capture

import (
	"bytes"
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
		"mptcp", "exp-", "GRE", "igmp", "IGMP", "esp", "sctp", "PIM", "domain", "egp", "pgm", "igrp", "DCCP", "mobility", "router adv", "redirect", "neighbor", "ICMP6, unknown", " multicast listener", "ospf", "[|dccp]", "IP12 (", "ESP(", "ripng", "md5 snap", "IP1 (", "IP0", "OSPF", "EGP", "EIGRP", "scps", "IP0 (inv", "IP4 ", "IP5 ", "IP6 (", "[|ip6]", "PGM", "rsvp", "RSVP", "VRRP", "vrrp",
	} {
		if strings.Contains(line, m) {
			return false
		}
	}
	return true
}

func TestTraceOfBrokenPacketsReadsLikeTcpdump(t *testing.T) {
	packets := mutants(t, mutantCount, 1)
	want, got := tcpdump(t, packets), ours(packets, TraceOptions{})
	require.Len(t, got, len(packets))
	require.Len(t, want, len(packets))
	bad := 0
	for i := range want {
		if got[i] != want[i] && speaks(want[i]) {
			bad++
			if bad < 60 {
				t.Errorf("% x:\n got %s\nwant %s", packets[i][:min(100, len(packets[i]))], got[i], want[i])
			}
		}
	}
	t.Log(bad, "of", len(want))
}

const mutantCount = 60000
