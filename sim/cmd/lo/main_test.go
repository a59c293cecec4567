package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
64 bytes from localhost \(127\.0\.0\.1\): icmp_seq=1 ttl=64 time=\d+\.\d+ ms
64 bytes from localhost \(127\.0\.0\.1\): icmp_seq=2 ttl=64 time=\d+\.\d+ ms
64 bytes from localhost \(127\.0\.0\.1\): icmp_seq=3 ttl=64 time=\d+\.\d+ ms

--- localhost ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time \d+ms
rtt min/avg/max/mdev = \d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3} ms

== The name loopback is unknown, until the hosts table has a line for it
\$ ping -c 1 loopback
ping: loopback: Name or service not known
# echo 127\.0\.0\.1 loopback >> /etc/hosts
\$ ping -c 1 loopback
PING loopback \(127\.0\.0\.1\) 56\(84\) bytes of data\.
64 bytes from loopback \(127\.0\.0\.1\): icmp_seq=1 ttl=64 time=\d+\.\d+ ms

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
TIME-WAIT 0      0          127\.0\.0\.1:\d+    127\.0\.0\.1:22
TIME-WAIT 0      0          127\.0\.0\.1:\d+    127\.0\.0\.1:22
ESTAB     0      0          127\.0\.0\.1:\d+    127\.0\.0\.1:631
`

func TestDemoShowsEverythingAndRecordsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lo.pcapng")
	code, out, diag := lo(t, "-w", file) // demo is the default
	require.Empty(t, diag)
	require.Zero(t, code)
	matches(t, tourPattern, out)
	counters := regexp.MustCompile(`[RT]X (?:packets|bytes):(\d+)`).FindAllStringSubmatch(out, -1)
	require.Equal(t, counters[0][1], counters[1][1], "what lo sends it receives")
	wellFormed(t, file)
	tsharkFindsNothingWrong(t, file)
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

func TestPing(t *testing.T) {
	const rtt = `rtt min/avg/max/mdev = \d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3} ms`
	for _, x := range []struct {
		name, args string
		code       int
		out, diag  string
	}{
		{"a number", "-c 1 127.0.0.9", 0, `
PING 127.0.0.9 \(127.0.0.9\) 56\(84\) bytes of data.
64 bytes from 127.0.0.9: icmp_seq=1 ttl=64 time=\d\.\d+ ms

--- 127.0.0.9 ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time \d+ms
` + rtt, ``},
		{"IPv6", "-c 2 -i 1ms -6 -s 10 localhost", 0, `
PING localhost\(localhost \(::1\)\) 10 data bytes
18 bytes from localhost \(::1\): icmp_seq=1 ttl=64 time=\d\.\d+ ms
18 bytes from localhost \(::1\): icmp_seq=2 ttl=64 time=\d\.\d+ ms

--- localhost ping statistics ---
2 packets transmitted, 2 received, 0% packet loss, time \d+ms
` + rtt, ``},
		{"a name of one's own", "-c 1 --host=127.0.0.7_printer printer", 0, `
PING printer \(127.0.0.7\) 56\(84\) bytes of data.
64 bytes from printer \(127.0.0.7\): icmp_seq=1 ttl=64 time=\d\.\d+ ms

--- printer ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time \d+ms
` + rtt, ``},
		{"a slow network", "-c 1 --delay 30ms 127.0.0.1", 0, `
PING 127.0.0.1 \(127.0.0.1\) 56\(84\) bytes of data.
64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=\d\d\.\d ms

--- 127.0.0.1 ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time \d+ms
` + rtt, ``},
		{"duplicates", "-c 1 --duplicate 1 127.0.0.1 -W 100ms", 0, `
PING 127.0.0.1 \(127.0.0.1\) 56\(84\) bytes of data.
64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=\d\.\d+ ms
64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=\d\.\d+ ms \(DUP!\)
64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=\d\.\d+ ms \(DUP!\)
64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=\d\.\d+ ms \(DUP!\)

--- 127.0.0.1 ping statistics ---
1 packets transmitted, 1 received, \+3 duplicates, 0% packet loss, time \d+ms
` + rtt, ``},
		{"some are lost", "-c 20 -i 1ms -W 20ms --loss 0.5 --seed 1 127.0.0.1", 0, ``, ``},
		{"all are lost", "-c 2 -i 1ms -W 20ms --loss 1 127.0.0.1", 1, `
PING 127.0.0.1 \(127.0.0.1\) 56\(84\) bytes of data.

--- 127.0.0.1 ping statistics ---
2 packets transmitted, 0 received, 100% packet loss, time \d+ms`, ``},
		{"all are corrupted", "-c 1 -W 20ms --corrupt 1 127.0.0.1", 1, `
PING 127.0.0.1 \(127.0.0.1\) 56\(84\) bytes of data.

--- 127.0.0.1 ping statistics ---
1 packets transmitted, 0 received, 100% packet loss, time \d+ms`, ``},
		{"not on this computer", "-c 1 192.0.2.1", 2, `PING 192.0.2.1 \(192.0.2.1\) 56\(84\) bytes of data.`, `ping: sendmsg: Network is unreachable`},
		{"unknown", "-c 1 loopback", 2, ``, `ping: loopback: Name or service not known`},
		{"unknown in IPv4", "-c 1 -4 ::1", 2, ``, `ping: ::1: Name or service not known`},
		{"negative", "--count=-1 127.0.0.1", 2, ``, `lo: ping: a count, .*`},
		{"a bad network", "--loss 2 127.0.0.1", 2, ``, `lo: sim: invalid rule: Loss 2 is not within 0 and 1`},
		{"a bad MTU", "--mtu 10 127.0.0.1", 2, ``, `lo: .*MTU.*`},
	} {
		t.Run(x.name, func(t *testing.T) {
			args := strings.Fields("ping " + x.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "_", " ")
			}
			code, out, diag := lo(t, args...)
			require.Equal(t, x.code, code, "%s%s", out, diag)
			matches(t, x.diag, diag)
			if x.name != "some are lost" {
				matches(t, x.out, out)
			}
		})
	}
}

func TestPingEndsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	r, w := io.Pipe()
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"ping", "-c", "0", "-i", "1h", "127.0.0.1"}, w, io.Discard)
		w.Close()
	}()
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		out.WriteString(scan.Text() + "\n")
		if strings.HasPrefix(scan.Text(), "64 bytes") {
			cancel()
			go func() { _, _ = io.Copy(&out, r) }()
			break
		}
	}
	require.Zero(t, <-done)
}

func TestRoundTripsReadLikePing(t *testing.T) {
	for d, want := range map[time.Duration]string{
		400 * time.Nanosecond: "0.000 ms", 57 * time.Microsecond: "0.057 ms", 999 * time.Microsecond: "0.999 ms",
		1234 * time.Microsecond: "1.23 ms", 12345 * time.Microsecond: "12.3 ms", 123456 * time.Microsecond: "123 ms",
	} {
		require.Equal(t, want, roundTrip(d))
	}
}

func TestGet(t *testing.T) {
	for _, x := range []struct {
		name, args string
		code       int
		out, diag  string
	}{
		{"the page", "http://localhost:631/", 0, "Hello from the loopback computer.\nYou are 127.0.0.1:\\d+, and this is 127.0.0.1:631.", ``},
		{"with header", "-i http://127.0.0.1:631/", 0, "HTTP/1.1 200 OK\r\nContent-Length: \\d+\r\nContent-Type: text/plain; charset=utf-8\r\nDate: .*\r\n\r\nHello from the loopback computer.\nYou are .*", ``},
		{"by service name", "http://localhost:ipp/", 2, ``, `lo: parse "http://localhost:ipp/": invalid port ":ipp" after host`},
		{"refused", "http://127.0.0.2:631/", 1, ``, `lo: Get "http://127.0.0.2:631/": dial tcp 127.0.0.2:631: connect: connection refused`},
		{"bare", "--bare http://localhost:631/", 1, ``, `lo: Get "http://localhost:631/": dial tcp .*: connect: connection refused`},
		{"elsewhere", "http://192.0.2.1/", 1, ``, `lo: Get "http://192.0.2.1/": dial tcp 192.0.2.1:80: connect: network is unreachable`},
		{"unknown", "http://printer/", 1, ``, `lo: Get "http://printer/": dial tcp: lookup printer: no such host`},
		{"another scheme", "gopher://localhost/", 1, ``, `lo: Get "gopher://localhost/": unsupported protocol scheme "gopher"`},
		{"a bad bridge", "--listen nonsense http://localhost/", 2, ``, `lo: "nonsense": want LISTEN=CONNECT with a host and a port each, as in 127.0.0.1:8080=localhost:631`},
		{"a bridge without port", "--listen localhost=127.0.0.1:1 http://localhost/", 2, ``, `lo: "localhost=127.0.0.1:1": want .*`},
		{"a bridge on an address of others", "--listen 192.0.2.1:1=127.0.0.1:1 http://localhost/", 1, ``, `lo: listen tcp 192.0.2.1:1: bind: cannot assign requested address`},
	} {
		t.Run(x.name, func(t *testing.T) {
			code, out, diag := lo(t, append([]string{"get"}, strings.Fields(x.args)...)...)
			require.Equal(t, x.code, code, "%s%s", out, diag)
			matches(t, strings.ReplaceAll(x.out, "\r", `\r`), out)
			matches(t, x.diag, diag)
		})
	}
}

func TestGetReachesAServerOfThisMachine(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/here" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "the real one: "+r.Host)
	}))
	defer server.Close()
	bridge := "server:631=" + server.Listener.Addr().String()
	code, out, diag := lo(t, "get", "http://server:631/here", "--host", "127.0.0.5 server", "--listen", bridge, "--trace")
	require.Zero(t, code, diag)
	require.Equal(t, "the real one: server:631", out)
	require.Contains(t, diag, "IP 127.0.0.1.", "the request went by lo, too")
	require.Regexp(t, `> 127\.0\.0\.5\.631: Flags \[S\], seq \d+, win \d+, options \[mss 16396,sackOK,TS val \d+ ecr 0,nop,wscale \d+\], length 0`, diag)

	code, out, diag = lo(t, "get", "http://server:631/", "--host", "127.0.0.5 server", "--listen", bridge)
	require.Equal(t, 1, code)
	require.Equal(t, "404 page not found\n", out)
	require.Equal(t, "lo: http://server:631/: 404 Not Found\n", diag)

	server.Close()
	code, _, diag = lo(t, "get", "http://server:631/", "--host", "127.0.0.5 server", "--listen", bridge)
	require.Equal(t, 1, code)
	require.Regexp(t, `lo: connection from 127\.0\.0\.1:\d+ to server:631: dial tcp 127\.0\.0\.1:\d+: connect: connection refused`, diag)
}

func TestForwardLetsThisMachineIn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	var diag bytes.Buffer
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"forward", "127.0.0.1:0=localhost:631", "127.0.0.1:0=127.0.0.2:631"}, w, &diag)
	}()
	lines := bufio.NewReader(r)
	var addrs []string
	for range 2 {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		addr, rest, _ := strings.Cut(line, " ")
		require.Contains(t, rest, "of the simulated computer")
		addrs = append(addrs, addr)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addrs[0] + "/")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	require.Regexp(t, `this is 127\.0\.0\.1:631`, string(body))

	_, err = client.Get("http://" + addrs[1] + "/")
	require.Error(t, err, "nobody listens on 127.0.0.2:631 there")

	// A connection that idles does not keep the program from ending.
	idle, err := net.Dial("tcp", addrs[0])
	require.NoError(t, err)
	defer idle.Close()
	cancel()
	require.Zero(t, <-done)
	require.Regexp(t, `^lo: connection from 127\.0\.0\.1:\d+ to 127\.0\.0\.1:0: dial tcp 127\.0\.0\.2:631: connect: connection refused\n$`, diag.String())
	_, err = net.Dial("tcp", addrs[0])
	require.Error(t, err)
}

func TestForwardCarriesMuchDataAndHalfClose(t *testing.T) {
	a, b := socket.New(socket.Config{}), socket.New(socket.Config{})
	defer a.Close()
	defer b.Close()
	l, err := a.Listen("tcp", "127.0.0.1:1000")
	require.NoError(t, err)
	far, err := b.Listen("tcp", "127.0.0.1:2000")
	require.NoError(t, err)
	go func() {
		c, err := far.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, _ := io.ReadAll(c) // until the other side has finished writing
		_, _ = c.Write(bytes.ToUpper(all))
	}()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		(&bridge{from: "a", to: "127.0.0.1:2000", l: l, dial: b.DialContext, diag: io.Discard}).run(ctx)
		close(done)
	}()
	c, err := a.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1000})
	require.NoError(t, err)
	payload := bytes.Repeat([]byte("lo"), 1<<20)
	go func() {
		_, _ = c.Write(payload)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.True(t, bytes.Equal(bytes.ToUpper(payload), got))
	c.Close()
	cancel()
	<-done
}

func TestForwardErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, x := range []struct {
		args string
		code int
		diag string
	}{
		{"", 2, `lo: expected "<listen=connect> ..."\nTry 'lo --help'.\n`},
		{"nonsense", 2, `lo: "nonsense": want LISTEN=CONNECT .*\n`},
		{taken.Addr().String() + "=localhost:631", 1, `lo: listen tcp .*: bind: address already in use\n`},
		{"127.0.0.1:0=localhost:631 --listen x", 2, `lo: "x": want LISTEN=CONNECT .*\n`},
	} {
		code, _, diag := lo(t, append([]string{"forward"}, strings.Fields(x.args)...)...)
		require.Equal(t, x.code, code, diag)
		require.Regexp(t, "^"+x.diag+"$", diag)
	}
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
