package packetdrill

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The habits of the places where scripts come from.
func TestDialects(t *testing.T) {
	tests := []struct{ name, script string }{
		{"Linux", `#!/usr/bin/env packetdrill
# SPDX-style first lines and shell comments
` + "`../common/defaults.sh > /dev/null\n./set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=1 \\\n  /proc/sys/net/core/wmem_max=1000`" + `

/* A comment of
   two lines */
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0 // said in words

   +0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
   +0 > S. 0:0(0) ack 1 <...>
  +.1 < . 1:1(0) ack 1 win 257
   +0 accept(3, ..., ...) = 4
   +0 write(4, ..., 1000) = 1000
   +0 > P. 1:1001(1000) ack 1
   +0 %{ print(tcpi_snd_cwnd) }%
   +0 %{
assert tcpi_snd_cwnd == 10, 'cwnd: %d' % tcpi_snd_cwnd
}%
+.1 < . 1:1(0) ack 1001 win 257
   +0 ` + "`nstat -az | grep TcpExtTCPLossProbes`" + `
   +.01...0.011 close(4) = 0
`},
		{"FreeBSD", `--ip_version=ipv4

 0.000 ` + "`kldload -n siftr`" + `
+0.000 ` + "`sysctl kern.timecounter.alloweddeviation=0`" + `
+0.000 ` + "`sysctl net.inet.tcp.functions_default=freebsd net.inet.tcp.rfc1323=1`" + `
// Set up.
+0.000 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0.000 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)
+0.000 fcntl(3, F_SETFL, O_RDWR | O_NONBLOCK) = 0
+0.000 setsockopt(3, IPPROTO_TCP, TCP_FUNCTION_BLK, {function_set_name="freebsd",
                                                    pcbcnt=0}, 36) = 0
+0.000 setsockopt(3, SOL_SOCKET, SO_DEBUG, [1], 4) = 0
+0.000 setsockopt(3, IPPROTO_TCP, TCP_DELACK, [1], 4) = 0
+0.000 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0.000 >  S   0:0(0)        win 4000 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>
+0.050 <  S.  0:0(0) ack  1 win 65535 <mss 1460, nop, wscale 9, sackOK, TS val 500 ecr 100>
+0.000 >   .  1:1(0) ack  1 win 4000 <nop, nop, TS val 150 ecr 500>
+0.000 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
+0.000 send(3, ..., 1000, 0) = 1000
+0.000 >  P.  1:1001(1000) ack 1 win 4000 <nop, nop, TS val 150 ecr 500>
+0.050 <  R.  1:1(0) ack 1001 win 0
+0.000 recv(3, ..., 1000, 0) = -1 ECONNRESET (Connection reset by peer)
+0.000 close(3) = 0
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script, err := Parse(tt.name, tt.script)
			require.NoError(t, err)
			newKernel := func(s Setup) (Kernel, error) {
				s.Sysctls = nil // more than the small kernel knows
				return newFake(s)
			}
			require.NoError(t, script.Run(newKernel, Options{Trailing: true}))
		})
	}
}

// What scripts may ask of calls that goes wrong before the kernel is asked.
func TestBadCalls(t *testing.T) {
	const tcp = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
	tests := []struct{ name, script, want string }{
		{"too few arguments", "0 socket(...) = 3", "socket needs at least 2 arguments"},
		{"address", tcp + "+0 bind(3, 5, 16) = 0", "expected an address"},
		{"IP address", tcp + `+0 bind(3, {sa_family=AF_INET, sin_addr=inet_addr("x")}, 16) = 0`, `"x" is no IP address`},
		{"IP address that is no text", tcp + `+0 bind(3, {sa_family=AF_INET, sin_addr=7}, 16) = 0`, "expected an IP address"},
		{"level", tcp + "+0 setsockopt(3, 77, 1, [1], 4) = 0", "unknown level"},
		{"struct of an option", tcp + "+0 setsockopt(3, SOL_SOCKET, SO_LINGER, {foo=1}, 4) = 0", "unknown struct for SO_LINGER"},
		{"ioctl", tcp + "+0 ioctl(3, 5, [1]) = 0", "unknown ioctl"},
		{"buffer", tcp + "+0 write(3, 5, 1) = 1", "expected \"...\" or a string"},
		{"size", tcp + "+0 write(3, ..., -1) = 1", "size -1 is out of range"},
		{"vector", tcp + "+0 writev(3, 5, 1) = 1", "expected an array of"},
		{"vector element", tcp + "+0 writev(3, [5], 1) = 1", "expected {BUFFER, SIZE}"},
		{"vector of both", tcp + `+0 writev(3, [{"ab", 2}, {..., 5}], 1) = 1`, "either all buffers have a content"},
		{"message", tcp + "+0 sendmsg(3, {msg_flags=0}, 0) = 1", "expected {msg_name"},
		{"poll", tcp + "+0 poll(5, 1, 0) = 1", "expected an array of {fd"},
		{"fcntl", tcp + "+0 fcntl(3, 77) = 0", "fcntl = -1 EINVAL, expected 0"},
		{"epoll of nothing", tcp + "+0 epoll_ctl(3, 1, 3, {events=0}) = 0", "epoll_ctl = -1 EBADF"},
		{"quiet failure", tcp + "+0 close(9) = 0", "close = -1 EBADF, expected 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.ErrorContains(t, play(t, tt.script, Options{}), tt.want)
		})
	}
}

// Names of addresses in every form, in the run that they mean something for.
func TestAddresses(t *testing.T) {
	bind := func(addr string) string {
		return "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, " + addr + ", 16) = 0\n+0 getsockname(3, " + addr + ", [16]) = 0\n"
	}
	for _, addr := range []string{
		`{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.168.0.1")}`,
		`{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}`,
		`{sa_family=AF_INET, sin_port=htons(80), sin_addr=INADDR_LOOPBACK}`,
		`{sa_family=AF_INET, sin_port=htons(80), sin_addr=htonl(INADDR_ANY)}`,
		`{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("INADDR_ANY")}`,
		`{sin_family=AF_INET, sin_port=80, sin_addr="192.168.0.1"}`,
		`{sa_family=AF_INET6, sin6_port=htons(80), sin6_addr=inet_pton(AF_INET6, "::1")}`,
		`{sa_family=AF_INET6, sin6_port=htons(80), sin6_addr=in6addr_any}`,
	} {
		for _, v := range []IPVersion{IPv4, IPv4Mapped, IPv6} {
			require.NoError(t, play(t, bind(addr), Options{IPVersion: v}), "%s over %s", addr, v)
		}
	}
}
