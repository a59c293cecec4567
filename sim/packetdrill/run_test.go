package packetdrill

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func fake(s Setup) (Kernel, error) { return newFake(s) }

// play runs a script on the fake kernel.
func play(t *testing.T, src string, o Options) error {
	t.Helper()
	script, err := Parse("test.pkt", src)
	require.NoError(t, err)
	return script.Run(fake, o)
}

// The script that the mutations below start from: a passive connection that
// carries data both ways, with timestamps, a retransmission and a close.
const baseScript = `// base
` + "`sysctl -q net.ipv4.tcp_sack=1`" + `
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0

+0 < S 0:0(0) win 32792 <mss 1460,sackOK,TS val 500 ecr 0,nop,wscale 7>
+0 > S. 0:0(0) ack 1 win 4000 <mss 1000,sackOK,TS val 100 ecr 500,nop,wscale 7>
+.1 < . 1:1(0) ack 1 win 257 <nop,nop,TS val 600 ecr 100>
+0 accept(3, ..., ...) = 4
+0 fcntl(4, F_GETFL) = 0x2
+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0

+0 read(4, ..., 100) = -1 EAGAIN (Resource temporarily unavailable)
+.1 < P. 1:101(100) ack 1 win 257 <nop,nop,TS val 700 ecr 100>
+0 > . 1:1(0) ack 101 <nop,nop,TS val 300 ecr 700>
+0 ioctl(4, SIOCINQ, [100]) = 0
+0 read(4, ..., 60) = 60
+0 read(4, ..., 60) = 40
+0 write(4, ..., 1500) = 1500
+0 > . 1:1001(1000) ack 101 <nop,nop,TS val 300 ecr 700>
+0 > P. 1001:1501(500) ack 101 win 4000 <nop,nop,TS val 300 ecr 700>
+.05 < . 101:101(0) ack 1001 win 257 <nop,nop,TS val 750 ecr 300>
+.15 > P. 1001:1501(500) ack 101 <nop,nop,TS val 500 ecr 750>
%{ assert tcpi_snd_cwnd == 10
assert tcpi_unacked == 1, tcpi_unacked }%
+0 < . 101:101(0) ack 1501 win 257 <nop,nop,TS val 900 ecr 500>
+.1 < P. 201:301(100) ack 1501 win 257 <nop,nop,TS val 950 ecr 500>
+0 > . 1501:1501(0) ack 101 <nop,nop,TS val 700 ecr 950,nop,nop,sack 201:301>
+0 close(4) = 0
+0 > F. 1501:1501(0) ack 101 <...>
`

func TestBaseScript(t *testing.T) {
	for _, version := range []IPVersion{IPv4, IPv4Mapped, IPv6} {
		t.Run(string(version), func(t *testing.T) {
			require.NoError(t, play(t, baseScript, Options{IPVersion: version}))
			require.NoError(t, play(t, baseScript, Options{IPVersion: version, Exact: true, Seed: 12345}))
			require.NoError(t, play(t, baseScript, Options{IPVersion: version, Lenient: true}))
		})
	}
}

const synAck = "+0 > S. 0:0(0) ack 1 win 4000 <mss 1000,sackOK,TS val 100 ecr 500,nop,wscale 7>"

// mutations each change one thing of the script above; the failure must say
// what.
var mutations = []struct{ name, old, new, want string }{
	{"flag missing", "> P. 1001:1501(500) ack 101 win", "> . 1001:1501(500) ack 101 win", "flags: P. instead of ."},
	{"flag extra", "> . 1:1001(1000)", "> P. 1:1001(1000)", "flags: . instead of P."},
	{"ECE", "> S. 0:0(0)", "> SE. 0:0(0)", "flags: S. instead of SE."},
	{"sequence number", "> . 1:1001(1000)", "> . 2:1002(1000)", "sequence number: 1 instead of 2"},
	{"length", "> . 1:1001(1000)", "> . 1:1000(999)", "length: 1000 instead of 999"},
	{"ack", "> . 1:1(0) ack 101", "> . 1:1(0) ack 100", "ack: 101 instead of 100"},
	{"window", "ack 101 win 4000", "ack 101 win 4001", "window: 4000 instead of 4001"},
	{"urgent pointer", "> . 1:1001(1000) ack 101", "> . 1:1001(1000) ack 101 urg 3", "urgent pointer: 0 instead of 3"},
	{"option value", "mss 1000", "mss 1001", "option: mss 1000 instead of mss 1001"},
	{"wscale", "ecr 500,nop,wscale 7", "ecr 500,nop,wscale 8", "option: wscale 7 instead of wscale 8"},
	{"option order", "mss 1000,sackOK,TS val 100 ecr 500", "sackOK,mss 1000,TS val 100 ecr 500", "options: <mss 1000,sackOK,TS"},
	{"option missing", "mss 1000,sackOK,TS val 100 ecr 500,nop,wscale 7", "mss 1000,sackOK,TS val 100 ecr 500", "options:"},
	{"options missing", "+0 > . 1:1(0) ack 101 <nop,nop,TS val 300 ecr 700>", "+0 > . 1:1(0) ack 101", "options:"},
	{"option extra", "> . 1:1(0) ack 101 <nop,nop,TS", "> . 1:1(0) ack 101 <nop,nop,nop,nop,TS", "options:"},
	{"TS ecr", "TS val 300 ecr 700>\n+0 ioctl", "TS val 300 ecr 701>\n+0 ioctl", "TS ecr: 700 instead of 701"},
	{"SACK block", "sack 201:301", "sack 201:302", "SACK blocks: sack 201:301 instead of sack 201:302"},
	{"late by the script", "+.15 > P.", "+.13 > P.", "no packet left by 0.396250"},
	{"early by the script", "+.15 > P.", "+.19 > P.", "packet left at 0.400"},
	{"absolute time", "+0 > S.", "0.01 > S.", "packet left at 0.000000"},
	{"packet missing", "+0 > . 1:1(0) ack 101 <nop", "+0 > . 1:1(0) ack 101 <...>\n+0 > . 1:1(0) ack 101 <nop", "no packet left by 0.204"},
	{"order", "", "", ""},
	{"packet extra", "+0 > P. 1001:1501(500) ack 101 win 4000 <nop,nop,TS val 300 ecr 700>\n", "", "TS ecr: 700 instead of 750"},
	{"packet extra at the end", "+0 > F. 1501:1501(0) ack 101 <...>\n", "", "a packet left that the script does not expect"},
	{"protocol", synAck, "+0 > udp (10)", "protocol: tcp instead of udp"},
	{"ECN", "+0 > S.", "+0 > [ect0] S.", "ECN: noecn instead of ect0"},
	{"TOS", "+0 > S.", "+0 > [tos 0x10] S.", "TOS: 0 instead of 16"},
	{"TTL", "+0 > S.", "+0 > [ttl 63] S.", "TTL: 64 instead of 63"},
	{"DF", "+0 > S.", "+0 > [nodf] S.", "DF: true instead of false"},
	{"flow label", "+0 > S.", "+0 > [flowlabel 5] S.", "flow label: 0 instead of 5"},
	{"identification", "+0 > S.", "+0 > [id 5] S.", "identification: 0 instead of 5"},
	{"source port", "+0 > S.", "+0 > 80 > 5000 S.", "source port: 8080 instead of 80"},
	{"being a fragment", "+0 > S.", "+0 > [frag 0:8] S.", "being a fragment: false instead of true"},
	{"errno", "-1 EAGAIN", "-1 EINVAL", "read = -1 EAGAIN, expected -1 EINVAL"},
	{"success instead of errno", "ioctl(4, SIOCINQ, [100]) = 0", "ioctl(4, SIOCINQ, [100]) = -1 EINVAL", "ioctl = 0, expected -1 EINVAL"},
	{"errno instead of success", "= -1 EAGAIN (Resource temporarily unavailable)", "= 5", "read = -1 EAGAIN, expected 5"},
	{"result", "read(4, ..., 60) = 40", "read(4, ..., 60) = 41", "read = 40, expected 41"},
	{"ioctl value", "SIOCINQ, [100]", "SIOCINQ, [99]", "SIOCINQ gives 100, expected 99"},
	{"fcntl", "F_GETFL) = 0x2", "F_GETFL) = 0x802", "fcntl = 2, expected 2050"},
	{"bytes read", "read(4, ..., 60) = 60", `read(4, "abc", 60) = 60`, "read gives"},
	{"assert", "tcpi_snd_cwnd == 10", "tcpi_snd_cwnd == 11", "assert tcpi_snd_cwnd == 11 does not hold (with tcpi_snd_cwnd = 10)"},
	{"assert with message", "tcpi_unacked == 1,", "tcpi_unacked > 1,", "does not hold: 1"},
	{"unknown name in assert", "assert tcpi_snd_cwnd", "assert tcpi_cwnd", "name tcpi_cwnd is not defined"},
	{"unknown sysctl", "net.ipv4.tcp_sack=1", "net.ipv4.tcp_bogus=1", "unknown sysctl"},
	{"unknown command", "sysctl -q", "frobnicate", `unknown command "frobnicate"`},
	{"unknown constant", "SO_REUSEADDR", "SO_REUSEADR", "unknown constant SO_REUSEADR"},
	{"unknown call", "listen(3, 1)", "lisen(3, 1)", "unknown system call lisen"},
	{"descriptor twice", "accept(3, ..., ...) = 4", "accept(3, ..., ...) = 3", "descriptor 3 is open already"},
	{"descriptor closed", "read(4, ..., 60) = 60", "read(5, ..., 60) = 60", "read = -1 EBADF"},
	{"would block", "+0 accept(3, ..., ...) = 4", "+0 accept(3, ..., ...) = 4\n+0 accept(3, ..., ...) = 5", "accept would block"},
	{"late event", "+.15 > P.", "+.15 > P. 1001:1501(500) ack 101 <...>\n0.3 close(4) = 0\n+0 > P.", "event is 100ms late"},
}

// Every kind of wrong expectation must fail, and name the line and the
// difference.
func TestWrongExpectationsFail(t *testing.T) {
	for _, tt := range mutations {
		if tt.name == "order" { // of two packets
			lines := strings.Split(baseScript, "\n")
			for i, line := range lines {
				if strings.HasPrefix(line, "+0 > . 1:1001") {
					lines[i], lines[i+1] = lines[i+1], lines[i]
					break
				}
			}
			tt.old, tt.new, tt.want = baseScript, strings.Join(lines, "\n"), "sequence number: 1 instead of 1001"
		}
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(strings.Replace(baseScript, tt.old, "\x00", 1), "\x00"), "the mutation must change the script")
			src := strings.Replace(baseScript, tt.old, tt.new, 1)
			err := play(t, src, Options{})
			require.ErrorContains(t, err, tt.want)
			if tt.name == "unknown sysctl" {
				return // reported by the kernel's constructor
			}
			var f *Failure
			require.ErrorAs(t, err, &f)
			require.Equal(t, "test.pkt", f.Script)
			require.NotZero(t, f.Line)
			require.Contains(t, err.Error(), fmt.Sprintf("test.pkt:%d:%d: ", f.Line, f.Col))
		})
	}
}

// Packets that are wrong whatever the script says.
func TestWrongPacketsFail(t *testing.T) {
	data := func(p *packet) bool { return p.proto == protoTCP && len(p.data) == 1000 }
	tests := []struct {
		name   string
		mutate func(*packet)
		damage func([]byte)
		want   string
	}{
		{"content", func(p *packet) {
			if data(p) {
				p.data[17] ^= 1
			}
		}, nil, "content: byte 17 of the stream"},
		{"content shifted", func(p *packet) {
			if data(p) {
				p.data = append([]byte{0}, p.data[:999]...)
			}
		}, nil, "content: byte 1 of the stream"},
		{"TCP checksum", nil, func(b []byte) { b[len(b)-1] ^= 1 }, "tcp checksum is wrong"},
		{"IP checksum", nil, func(b []byte) { b[8]-- }, "IPv4 header checksum is wrong"},
		{"IP length", nil, func(b []byte) { b[3]++ }, "IPv4 total length"},
		{"no packet", nil, func(b []byte) { b[0] = 0x75 }, "neither IPv4 nor IPv6"},
		{"other connection", func(p *packet) {
			if data(p) {
				p.srcPort++
			}
		}, nil, "is no connection of the script"},
		{"ISN changes", func(p *packet) {
			if p.flags&flagSYN == 0 {
				p.seq += 7
			}
		}, nil, "sequence number: 8 instead of 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script, err := Parse("test.pkt", baseScript)
			require.NoError(t, err)
			err = script.Run(fakeWith(tt.mutate, tt.damage), Options{})
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestFailureShowsEverything(t *testing.T) {
	src := strings.Replace(baseScript, "> . 1:1(0) ack 101", "> . 1:1(0) ack 102", 1)
	err := play(t, src, Options{})
	var f *Failure
	require.ErrorAs(t, err, &f)
	require.Equal(t, 17, f.Line)
	require.Equal(t, "packet differs in ack: 101 instead of 102", f.Reason)
	require.Equal(t, "> . 1:1(0) ack 102 <nop,nop,TS val 300 ecr 700>", f.Expected)
	require.Equal(t, "> . 1:1(0) ack 101 win 4000 <nop,nop,TS val 300 ecr 700>", f.Actual)
	require.Equal(t, []string{
		"0.000000 0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
		"0.000000 +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0",
		"0.000000 +0 bind(3, ..., ...) = 0",
		"0.000000 +0 listen(3, 1) = 0",
		"0.000000 < S 0:0(0) win 32792 <mss 1460,sackOK,TS val 500 ecr 0,nop,wscale 7>",
		"0.000000 > S. 0:0(0) ack 1 win 4000 <mss 1000,sackOK,TS val 77000 ecr 500,nop,wscale 7>",
		"0.100000 < . 1:1(0) ack 1 win 257 <nop,nop,TS val 600 ecr 100>",
		"0.100000 +0 accept(3, ..., ...) = 4",
		"0.100000 +0 fcntl(4, F_GETFL) = 0x2",
		"0.100000 +0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
		"0.100000 +0 read(4, ..., 100) = -1 EAGAIN (Resource temporarily unavailable)",
		"0.200000 < P. 1:101(100) ack 1 win 257 <nop,nop,TS val 700 ecr 100>",
		"0.200000 > . 1:1(0) ack 101 win 4000 <nop,nop,TS val 300 ecr 700>",
	}, f.Trace)
	text := err.Error()
	require.Contains(t, text, "test.pkt:17:1: packet differs in ack: 101 instead of 102\n    script:   +0 > . 1:1(0) ack 102")
	require.Contains(t, text, "\n    expected: > . 1:1(0) ack 102")
	require.Contains(t, text, "\n    actual:   > . 1:1(0) ack 101")
	require.Contains(t, text, "trace (ipv4):\n      0.000000 0 socket")
}

func TestMissingPacketNamesTheNext(t *testing.T) {
	err := play(t, strings.Replace(baseScript, "+.15 > P.", "+.05 > P.", 1), Options{})
	var f *Failure
	require.ErrorAs(t, err, &f)
	require.Contains(t, f.Reason, "no packet left by 0.306250") // 12.5 % of 50 ms
	require.Contains(t, f.Actual, "// at 0.400000")
}

func TestTolerance(t *testing.T) {
	at := func(when string) string { return strings.Replace(baseScript, "+.15 > P.", when+" > P.", 1) }
	tests := []struct {
		name, when string
		o          Options
		ok         bool
	}{
		{"exact", "+.15", Options{Exact: true}, true},
		{"off by a microsecond", "+.150001", Options{Exact: true}, false},
		{"within 12.5 %", "+.17", Options{}, true},
		{"beyond 12.5 %", "+.172", Options{}, false},
		{"early within 12.5 %", "+.134", Options{}, true},
		{"early beyond", "+.133", Options{}, false},
		{"range", "+.1~+.16", Options{Exact: true}, true},
		{"range without second sign", "+.1~.16", Options{Exact: true}, true},
		{"range too early", "+.16~+.18", Options{Exact: true}, false},
		{"range too late", "+.1~+.14", Options{Exact: true}, false},
		{"any", "*", Options{Exact: true}, true},
		{"absolute", "0.400", Options{Exact: true}, true},
		{"absolute range", "0.3~0.4", Options{Exact: true}, true},
		{"absolute too late", "0.3~0.39", Options{Exact: true}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := play(t, at(tt.when), tt.o)
			require.Equal(t, tt.ok, err == nil, "%v", err)
		})
	}
	wide := "--tolerance_usecs=60000\n" + at("+.2")
	require.NoError(t, play(t, wide, Options{}))
	require.Error(t, play(t, at("+.2"), Options{}))
}

func TestLenient(t *testing.T) {
	joined := strings.Replace(baseScript, "+0 > . 1:1001(1000) ack 101 <nop,nop,TS val 300 ecr 700>\n", "", 1)
	joined = strings.Replace(joined, "+0 > P. 1001:1501(500) ack 101 win 4000", "+0 > P. 1:1501(1500) ack 101 win 4000", 1)
	require.NoError(t, play(t, joined, Options{Lenient: true}))
	require.NoError(t, play(t, joined, Options{}), "more than fits into a segment is meant as it goes to segmentation offload")
	require.ErrorContains(t, play(t, "--strict_segments\n"+joined, Options{}), "length: 1000 instead of 1500")

	split := strings.Replace(baseScript, "+0 > . 1:1001(1000) ack 101 <nop,nop,TS val 300 ecr 700>\n",
		"+0 > . 1:401(400) ack 101 <...>\n+0 > P. 401:1001(600) ack 101 <...>\n", 1)
	require.NoError(t, play(t, split, Options{Lenient: true}))
	require.ErrorContains(t, play(t, split, Options{}), "length: 1000 instead of 400")

	require.Error(t, play(t, strings.Replace(joined, "1:1501(1500)", "1:1502(1501)", 1), Options{Lenient: true}))
	require.NoError(t, play(t, "--strict_segments=0\n"+joined, Options{}))
}

func TestTrailing(t *testing.T) {
	cut := strings.Replace(baseScript, "+0 > F. 1501:1501(0) ack 101 <...>\n", "", 1)
	require.NoError(t, play(t, cut, Options{Trailing: true}))
	require.Error(t, play(t, cut, Options{}))
}

func TestKernelErrorsAreReported(t *testing.T) {
	script, err := Parse("x.pkt", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")
	require.NoError(t, err)
	boom := errors.New("boom")
	require.ErrorIs(t, script.Run(func(Setup) (Kernel, error) { return nil, boom }, Options{}), boom)

	k, err := newFake(Setup{})
	require.NoError(t, err)
	k.closed = true
	require.ErrorContains(t, script.Run(func(Setup) (Kernel, error) { return k, nil }, Options{}), "closed twice")
}

// lyingKernel gives other bytes than those that came.
type lyingKernel struct{ *fakeKernel }

func (k lyingKernel) Recv(fd int, p []byte, flags MsgFlags) (int, netip.AddrPort, MsgFlags, error) {
	n, from, out, err := k.fakeKernel.Recv(fd, p, flags)
	if n > 5 {
		p[5] ^= 0x80
	}
	return n, from, out, err
}

func TestWrongBytesReadFail(t *testing.T) {
	script, err := Parse("x.pkt", baseScript)
	require.NoError(t, err)
	err = script.Run(func(s Setup) (Kernel, error) {
		k, err := newFake(s)
		return lyingKernel{k}, err
	}, Options{})
	require.ErrorContains(t, err, "read gives 0x85 as byte 5 of the stream, the packet carried 0x5")
}

// busyKernel has something due for ever.
type busyKernel struct{ Kernel }

func (busyKernel) Deadline() time.Duration { return fakeEpoch }

func TestBusyKernelFails(t *testing.T) {
	script, err := Parse("x.pkt", "+1 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")
	require.NoError(t, err)
	err = script.Run(func(s Setup) (Kernel, error) {
		k, err := newFake(s)
		return busyKernel{k}, err
	}, Options{})
	require.ErrorContains(t, err, "never gets done")
}
