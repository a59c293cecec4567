package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

// lo runs the command in this process.
func lo(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, diag bytes.Buffer
	code = run(t.Context(), args, &out, &diag)
	return code, out.String(), diag.String()
}

// matches checks text against a pattern whose lines are regular expressions; every line must match its own.
func matches(t *testing.T, pattern, text string) {
	t.Helper()
	want, got := strings.Split(strings.Trim(pattern, "\n"), "\n"), strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) {
			t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), text)
		}
		if ok, err := regexp.MatchString("^"+want[i]+"$", got[i]); err != nil || !ok {
			t.Fatalf("line %d is %q, want %q (%v):\n%s", i+1, got[i], want[i], err, text)
		}
	}
}

const tourPattern = `
lo is up with MTU 16436, and there is no other interface\.

== A web server on localhost:631, as CUPS has one
\$ curl http://localhost:631/
Hello from the loopback computer\.
You are 127\.0\.0\.1:\d+, and this is 127\.0\.0\.1:631\.

== The server is bound to 127\.0\.0\.1: by another address of lo it is not reached
\$ curl http://127\.0\.0\.2:631/
dial tcp 127\.0\.0\.2:631: connect: connection refused

== An ssh session
\$ ssh bob@localhost whoami
bob
\$ ssh bob@localhost env
USER=bob
SSH_CONNECTION=127\.0\.0\.1 \d+ 127\.0\.0\.1 22

== Echo requests and replies
\$ ping -c 3 localhost
PING localhost \(127\.0\.0\.1\) 56\(84\) bytes of data\.
64 bytes from localhost \(127\.0\.0\.1\): icmp_seq=1 ttl=64 time=[\d.]+ ms
64 bytes from localhost \(127\.0\.0\.1\): icmp_seq=2 ttl=64 time=[\d.]+ ms
64 bytes from localhost \(127\.0\.0\.1\): icmp_seq=3 ttl=64 time=[\d.]+ ms

--- localhost ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time \d+ms
rtt min/avg/max/mdev = \d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3} ms

== The name loopback is unknown, until the hosts table has a line for it
\$ ping -c 1 loopback
ping: loopback: Name or service not known
# echo 127\.0\.0\.1 loopback >> /etc/hosts
\$ ping -c 1 loopback
PING loopback \(127\.0\.0\.1\) 56\(84\) bytes of data\.
64 bytes from loopback \(127\.0\.0\.1\): icmp_seq=1 ttl=64 time=[\d.]+ ms

--- loopback ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time \d+ms
rtt min/avg/max/mdev = \d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3} ms

== The interface, after all that
\$ ifconfig lo
lo        Link encap:Local Loopback  
          inet addr:127\.0\.0\.1  Mask:255\.0\.0\.0
          inet6 addr: ::1/128 Scope:Host
          UP LOOPBACK RUNNING  MTU:16436  Metric:1
          RX packets:(\d+) errors:0 dropped:0 overruns:0 frame:0
          TX packets:\d+ errors:0 dropped:0 overruns:0 carrier:0
          collisions:0 txqueuelen:0 
          RX bytes:\d+ \(\d+\.\d KB\)  TX bytes:\d+ \(\d+\.\d KB\)


== The sockets
\$ ss -tan
State     Recv-Q Send-Q Local Address:Port  Peer Address:Port
LISTEN    0      4096       127\.0\.0\.1:631        0\.0\.0\.0:\*
ESTAB     0      0          127\.0\.0\.1:631      127\.0\.0\.1:\d+
(ESTAB|TIME-WAIT) +0      0          127\.0\.0\.1:\d+    127\.0\.0\.1:(631|22)
(ESTAB|TIME-WAIT) +0      0          127\.0\.0\.1:\d+    127\.0\.0\.1:(631|22)
(ESTAB|TIME-WAIT) +0      0          127\.0\.0\.1:\d+    127\.0\.0\.1:(631|22)
`

func TestDemoShowsEverythingAndRecordsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lo.pcapng")
	code, out, diag := lo(t, "-w", file) // demo is the default
	require.Empty(t, diag)
	require.Zero(t, code)
	matches(t, tourPattern, out)
	require.Equal(t, 2, strings.Count(out, "\nESTAB "), "both ends of the web connection")
	require.Equal(t, 2, strings.Count(out, "\nTIME-WAIT "), "the ssh sessions")
	counters := regexp.MustCompile(`[RT]X (?:packets|bytes):(\d+)`).FindAllStringSubmatch(out, -1)
	require.Equal(t, counters[0][1], counters[1][1], "what lo sends it receives")
	wellFormed(t, file)
	tsharkFindsNothingWrong(t, file)
}

// What --trace prints is what tcpdump prints of the capture, and why segments are sent again.
func TestTraceIsWhatTcpdumpSays(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("tcpdump is not installed")
	}
	file := filepath.Join(t.TempDir(), "lo.pcapng")
	code, _, trace := lo(t, "demo", "--trace", "-w", file, "--loss", "0.05", "--duplicate", "0.05", "--seed", "7")
	require.Zero(t, code, trace)
	out, err := exec.Command(tcpdump, "-n", "-r", file).Output()
	require.NoError(t, err)
	causes := regexp.MustCompile(`(?m) \((retransmit|new|probe|keepalive)[a-z-]*\)$`)
	require.Regexp(t, causes, trace)
	require.Equal(t, strings.Split(string(out), "\n"), strings.Split(causes.ReplaceAllString(trace, ""), "\n"))
}

// wellFormed decodes the capture with gopacket and looks for what the tour was made of.
func wellFormed(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	require.NoError(t, err)
	seen := map[string]bool{}
	for n := 0; ; n++ {
		data, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			require.Greater(t, n, 60)
			break
		}
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), ci.Timestamp, time.Minute, "the wall clock's time")
		p := gopacket.NewPacket(data, layers.LinkTypeEthernet, gopacket.Default)
		require.Nil(t, p.ErrorLayer())
		if h, ok := p.TransportLayer().(*layers.TCP); ok {
			seen["refused"] = seen["refused"] || h.RST && h.SrcPort == 631
			for _, text := range []string{"GET / HTTP/1.1", "HTTP/1.1 200 OK", "SSH-2.0-Go", "SSH-2.0-Loopback"} {
				seen[text] = seen[text] || bytes.HasPrefix(h.Payload, []byte(text))
			}
		}
		if h, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
			seen[h.TypeCode.String()] = true
		}
	}
	for _, want := range []string{"refused", "GET / HTTP/1.1", "HTTP/1.1 200 OK", "SSH-2.0-Go", "SSH-2.0-Loopback", "EchoRequest", "EchoReply"} {
		require.True(t, seen[want], want)
	}
}

func tsharkFindsNothingWrong(t *testing.T, file string) {
	t.Helper()
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		return // gopacket has judged
	}
	bad := "_ws.malformed || ip.checksum.status==0 || tcp.checksum.status==0 || udp.checksum.status==0 || icmp.checksum.status==0 || icmpv6.checksum.status==0"
	out, err := exec.Command(tshark, "-r", file, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-Y", bad).Output()
	require.NoError(t, err)
	require.Empty(t, string(out))
	out, err = exec.Command(tshark, "-r", file, "-Y", "ssh || http", "-T", "fields", "-e", "_ws.col.Protocol").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "HTTP")
	require.Contains(t, string(out), "SSH")
}

func TestIfconfig(t *testing.T) {
	for _, x := range []struct{ format, want string }{
		{"old", "lo        Link encap:Local Loopback  \n          inet addr:127.0.0.1  Mask:255.0.0.0\n          inet6 addr: ::1/128 Scope:Host\n          UP LOOPBACK RUNNING  MTU:16436  Metric:1\n"},
		{"new", "lo: flags=73<UP,LOOPBACK,RUNNING>  mtu 16436\n        inet 127.0.0.1  netmask 255.0.0.0\n"},
		{"ip", "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 16436 "},
	} {
		code, out, diag := lo(t, "ifconfig", "--format", x.format)
		require.Zero(t, code)
		require.Empty(t, diag)
		require.True(t, strings.HasPrefix(out, x.want), out)
	}
	code, out, _ := lo(t, "ifconfig", "--mtu", "9000")
	require.Zero(t, code)
	require.Contains(t, out, "MTU:9000")
}

func TestUsage(t *testing.T) {
	code, out, diag := lo(t, "--help")
	require.Zero(t, code)
	require.Empty(t, diag)
	for _, want := range []string{"Examples:", "lo ping -c 3 127.0.0.1", "Exit status: 0 success", "--write", "forward", "ifconfig"} {
		require.Contains(t, out, want)
	}
	for _, cmd := range []string{"demo", "ping", "get", "forward"} {
		code, out, _ := lo(t, cmd, "--help")
		require.Zero(t, code)
		require.Contains(t, out, "Examples:", cmd)
	}
	for _, args := range [][]string{{"--nonsense"}, {"dance"}, {"ping"}, {"get"}, {"ifconfig", "--format", "x"}, {"ping", "--delay", "soon", "127.0.0.1"}} {
		code, out, diag := lo(t, args...)
		require.Equal(t, 2, code, args)
		require.Empty(t, out)
		require.Regexp(t, "^lo: .*\nTry 'lo --help'.\n$", diag)
	}
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	code, _, diag := lo(t, "ifconfig", "-w", "/nonexistent/x.pcapng")
	require.Equal(t, 2, code)
	require.Equal(t, "lo: open /nonexistent/x.pcapng: no such file or directory\n", diag)
	if _, err := os.Stat("/dev/full"); err == nil {
		code, _, diag = lo(t, "ifconfig", "-w", "/dev/full")
		require.Equal(t, 2, code)
		require.Regexp(t, `^lo: /dev/full: capture: write /dev/full: no space left on device\n$`, diag)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestOutputThatCannotBeWritten(t *testing.T) {
	var diag bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"ifconfig"}, fullDisk{}, &diag))
	require.Equal(t, "lo: disk full\n", diag.String())
}

func TestDemoEndsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, diag bytes.Buffer
	require.Equal(t, 1, run(ctx, nil, &out, &diag))
	require.Contains(t, diag.String(), "canceled")
}

func TestSSHLetsOnlyBobIn(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	key, err := newKey()
	require.NoError(t, err)
	other, err := newKey()
	require.NoError(t, err)
	server, err := serveSSH(s, "127.0.0.1:22", "bob", key.PublicKey())
	require.NoError(t, err)
	defer server.stop()
	out, err := sshRun(t.Context(), s, "127.0.0.1:22", "bob", key, server.host, "echo hello  world")
	require.NoError(t, err)
	require.Equal(t, "hello world\n", out)
	out, err = sshRun(t.Context(), s, "127.0.0.1:22", "bob", key, server.host, "reboot")
	require.EqualError(t, err, "Process exited with status 127")
	require.Equal(t, "sh: reboot: not found\n", out)
	out, err = sshRun(t.Context(), s, "127.0.0.1:22", "bob", key, server.host, " ")
	require.NoError(t, err)
	require.Empty(t, out)
	_, err = sshRun(t.Context(), s, "127.0.0.1:22", "alice", key, server.host, "whoami")
	require.ErrorContains(t, err, "unable to authenticate")
	_, err = sshRun(t.Context(), s, "127.0.0.1:22", "bob", other, server.host, "whoami")
	require.ErrorContains(t, err, "unable to authenticate")
	_, err = sshRun(t.Context(), s, "127.0.0.1:22", "bob", key, other.PublicKey(), "whoami")
	require.ErrorContains(t, err, "host key mismatch")
	_, err = sshRun(t.Context(), s, "127.0.0.2:22", "bob", key, server.host, "whoami")
	require.ErrorContains(t, err, "connection refused")
	_, err = serveSSH(s, "127.0.0.1:22", "bob", key.PublicKey())
	require.ErrorContains(t, err, "address already in use")
}

func TestSocketsReadLikeSS(t *testing.T) {
	addr := netip.MustParseAddrPort
	all := []socket.SocketInfo{
		{Proto: "tcp", State: "ESTABLISHED", RecvQ: 12345678, Local: addr("127.0.0.1:50000"), Remote: addr("127.0.0.1:631")},
		{Proto: "udp", State: "UNCONN", Local: addr("127.0.0.1:53")},
		{Proto: "tcp", State: "LISTEN", SendQ: 128, Local: addr("[::]:80"), Dual: true},
		{Proto: "tcp", State: "LISTEN", SendQ: 128, Local: addr("[::1]:8080")},
		{Proto: "tcp", State: "SYN-RECEIVED", Local: addr("[fd00::2]:22"), Remote: addr("[fd00::1]:5")},
		{Proto: "tcp", State: "LISTEN", SendQ: 4096, Local: addr("0.0.0.0:631")},
		{Proto: "tcp", State: "CLOSED", Local: addr("127.0.0.1:0")},
	}
	var out bytes.Buffer
	printSockets(&out, all)
	require.Equal(t, `
State    Recv-Q   Send-Q Local Address:Port  Peer Address:Port
LISTEN   0        4096         0.0.0.0:631        0.0.0.0:*
LISTEN   0        128                *:80               *:*
LISTEN   0        128            [::1]:8080          [::]:*
UNCONN   0        0          127.0.0.1:*          0.0.0.0:*
ESTAB    12345678 0          127.0.0.1:50000    127.0.0.1:631
SYN-RECV 0        0          [fd00::2]:22       [fd00::1]:5
`, "\n"+out.String())
	require.Len(t, all, 7, "the list is the caller's")
}

// TestStreamIsGivenBack: what is to be traced after the computer was finished is not written any more.
func TestStreamIsGivenBack(t *testing.T) {
	var diag bytes.Buffer
	c, err := (&computerFlags{Trace: true}).start(&diag)
	require.NoError(t, err)
	say := func() {
		_, err := c.says.Write([]byte("said"))
		require.NoError(t, err)
	}
	say()
	require.NoError(t, c.finish(nil))
	say()
	require.Equal(t, "said", diag.String())
}
