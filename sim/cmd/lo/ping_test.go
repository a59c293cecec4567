package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pingCase is a command line and what it prints, as patterns for each line.
type pingCase struct {
	name, args string
	code       int
	out, diag  string
}

func pingCases() []pingCase {
	const rtt = `rtt min/avg/max/mdev = \d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3} ms`
	return []pingCase{
		{"a number", "-c 1 127.0.0.9", 0, `
PING 127.0.0.9 \(127.0.0.9\) 56\(84\) bytes of data.
64 bytes from 127.0.0.9: icmp_seq=1 ttl=64 time=[\d.]+ ms

--- 127.0.0.9 ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time \d+ms
` + rtt, ``},
		{"IPv6", "-c 2 -i 1ms -6 -s 10 localhost", 0, `
PING localhost\(localhost \(::1\)\) 10 data bytes
18 bytes from localhost \(::1\): icmp_seq=1 ttl=64 time=[\d.]+ ms
18 bytes from localhost \(::1\): icmp_seq=2 ttl=64 time=[\d.]+ ms

--- localhost ping statistics ---
2 packets transmitted, 2 received, 0% packet loss, time \d+ms
` + rtt, ``},
		{"a name of one's own", "-c 1 --host=127.0.0.7_printer printer", 0, `
PING printer \(127.0.0.7\) 56\(84\) bytes of data.
64 bytes from printer \(127.0.0.7\): icmp_seq=1 ttl=64 time=[\d.]+ ms

--- printer ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time \d+ms
` + rtt, ``},
		{"a slow network", "-c 1 --delay 30ms 127.0.0.1", 0, `
PING 127.0.0.1 \(127.0.0.1\) 56\(84\) bytes of data.
64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=([6-9]\d\.\d|\d{3,}) ms

--- 127.0.0.1 ping statistics ---
1 packets transmitted, 1 received, 0% packet loss, time \d+ms
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
	}
}

func TestPing(t *testing.T) {
	for _, x := range pingCases() {
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

func TestPingCountsDuplicates(t *testing.T) {
	code, out, diag := lo(t, "ping", "-c", "2", "-i", "50ms", "--duplicate", "1", "127.0.0.1")
	require.Zero(t, code, diag)
	// The request comes twice, and each of its replies.
	require.Len(t, regexp.MustCompile(`(?m)^64 bytes from 127\.0\.0\.1: icmp_seq=1 ttl=64 time=[\d.]+ ms \(DUP!\)$`).FindAllString(out, -1), 3, out)
	require.Regexp(t, `2 packets transmitted, 2 received, \+[3-6] duplicates, 0% packet loss, time \d+ms`, out)
}

func TestWhySaysWhatHappenedToPackets(t *testing.T) {
	code, _, diag := lo(t, "ping", "-c", "1", "-W", "1ms", "--loss", "1", "--why", "127.0.0.1", "--seed", "7")
	require.Equal(t, 1, code)
	require.Regexp(t, `^drop of packet 1 of icmp 127\.0\.0\.1>127\.0\.0\.1 id 7 at 0\.\d+ s by "network": loss\n$`, diag)
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
