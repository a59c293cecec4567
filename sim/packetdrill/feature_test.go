package packetdrill

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Beginnings of scripts: a listener, and a connection that it accepted.
const server = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
`
const established = server + `+0 < S 100:100(0) win 1000 <mss 1460>
+0 > S. 0:0(0) ack 1 <...>
+0 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4
`

// featureScripts are scripts of single features that must pass, each with edits that must make
// it fail ("old => new => part of the failure").
var featureScripts = []struct {
	name, script string
	edits        []string
}{
	{"blocking connect", `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...0.1 connect(3, ..., ...) = 0
+0 > S 0:0(0) win 4000 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>
+.1 < S. 0:0(0) ack 1 win 5000 <mss 1000,sackOK,TS val 700 ecr 100>
+0 > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 700>
+0 write(3, "hello", 5) = 5
+0 > P. 1:6(5) ack 1 <...>
`, []string{
		"0...0.1 => 0...0.2 => connect returned at 0.100000, expected at 0.200000",
		"0...0.1 => 0...0.05 => connect returned at 0.100000, expected at 0.050000",
		"+.1 < S. => +3 < S. => no",
		"+0...0.1 connect => +0 connect => connect would block",
		`connect(3, ..., ...) = 0 => connect(3, ..., ...) = -1 ECONNREFUSED => connect = 0, expected -1 ECONNREFUSED`,
	}},
	{"connect is reset", `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...0.1 connect(3, ..., ...) = -1 ECONNRESET (Connection reset)
+0 > S 0:0(0) <...>
+.1 < R. 0:0(0) ack 1 win 0
`, []string{"ECONNRESET (Connection reset) => ECONNREFUSED => connect = -1 ECONNRESET"}},
	{"connect that does not block", `0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0 fcntl(3, F_GETFL) = 0x802 (flags O_RDWR|O_NONBLOCK)
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <...>
+1 > S 0:0(0) <...>
+0 connect(3, ..., ...) = -1 EALREADY
+0 < S. 77:77(0) ack 1 win 5000 <mss 1000>
+0 > . 1:1(0) ack 1 <...>
+0 poll([{fd=3, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1
+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
+0 getpeername(3, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("192.0.2.1")}, [16]) = 0
+0 connect(3, {sa_family=AF_UNSPEC}, 16) = 0
`, []string{
		"revents=POLLOUT => revents=POLLIN => revents is POLLOUT, expected POLLIN",
		"SO_ERROR, [0] => SO_ERROR, [ECONNREFUSED] => SO_ERROR is 0",
		"htons(8080) => htons(8081) => getpeername gives the address",
		"0x802 => O_RDWR => fcntl = 2050, expected 2",
		"+1 > S => +1.2 > S => packet left at 1.000000",
	}},
	{"blocking accept and read", server + `+0...0.2 accept(3, {sa_family=AF_INET, sin_addr=inet_addr("192.0.2.1")}, [16]) = 5
+.1 < S 0:0(0) win 1000 <mss 1460>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 1000
+0...+.3 read(5, ..., 10) = 10
+.3 < P. 1:11(10) ack 1 win 1000
+0 > . 1:1(0) ack 11
`, []string{
		"0...0.2 accept => 0...0.1 accept => accept returned at 0.200000, expected at 0.100000",
		"192.0.2.1 => 192.0.2.2 => accept gives the address",
		"read(5, ..., 10) = 10 => read(5, ..., 10) = 9 => read = 10, expected 9",
	}},
	{"blocking write of more than fits", established + `+0...0.1 write(4, ..., 9000) = 9000
+0 > . 1:1001(1000) ack 1
+0 > . 1001:2001(1000) ack 1
+0 > . 2001:3001(1000) ack 1
+0 > . 3001:4001(1000) ack 1
+.1 < . 1:1(0) ack 4001 win 1000
+0 > . 4001:5001(1000) ack 1
+0 > . 5001:6001(1000) ack 1
+0 > . 6001:7001(1000) ack 1
+0 > P. 7001:8001(1000) ack 1
+0 ioctl(4, SIOCOUTQ, [5000]) = 0
`, []string{"= 9000 => = 8000 => write = 9000, expected 8000", "[5000] => [4000] => SIOCOUTQ gives 5000, expected 4000",
		"+0...0.1 write => +0 write => write would block"}},
	{"MSG_WAITALL", established + `+0...0.2 recv(4, ..., 20, MSG_WAITALL) = 20
+.1 < P. 1:11(10) ack 1 win 1000
+0 > . 1:1(0) ack 11
+.1 < P. 11:21(10) ack 1 win 1000
+0 > . 1:1(0) ack 21
`, []string{"MSG_WAITALL => 0 => recv = 10, expected 20"}},
	{"receive time-out", established + `+0 setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=0, tv_usec=300000}, 16) = 0
+0...0.3 read(4, ..., 20) = -1 EAGAIN
+0 getsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=0, tv_usec=300000}, [16]) = 0
`, []string{"0...0.3 => 0...0.4 => read returned at 0.300000", "300000}, [16] => 400000}, [16] => SO_RCVTIMEO is 300ms"}},
	{"end of file and peek", established + `+0 < FP. 1:11(10) ack 1 win 1000
+0 > . 1:1(0) ack 12
+0 recv(4, ..., 4, MSG_PEEK) = 4
+0 recvfrom(4, ..., 100, 0, NULL, NULL) = 10
+0 read(4, ..., 100) = 0
+0 shutdown(4, SHUT_WR) = 0
+0 > F. 1:1(0) ack 12
+0 < R 12:12(0) win 0
+0 write(4, ..., 5) = -1 ECONNRESET
`, []string{"MSG_PEEK) = 4 => 0) = 4 => recvfrom = 6, expected 10", "ack 12\n+0 recv( => ack 11\n+0 recv( => ack: 12 instead of 11"}},
	{"options of sockets", established + `+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0
+0 getsockopt(4, IPPROTO_TCP, TCP_NODELAY, [1], [4]) = 0
+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=3}, 8) = 0
+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {l_onoff=1, l_linger=3}, [8]) = 0
+0 setsockopt(4, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) = 0
+0 getsockopt(4, IPPROTO_TCP, TCP_CONGESTION, "reno", [16]) = 0
+0 setsockopt(4, 6, 18, [1000], 4) = 0
+0 getsockopt(4, IPPROTO_TCP, TCP_USER_TIMEOUT, [1000], [4]) = 0
+0 setsockopt(4, IPPROTO_TCP, TCP_FUNCTION_BLK, {function_set_name="rack", pcbcnt=0}, 36) = 0
+0 setsockopt(4, IPPROTO_TCP, TCP_MAXSEG, [0], 4) = -1 EINVAL
+0 getsockopt(4, IPPROTO_TCP, TCP_CORK, [0], [4]) = -1 ENOPROTOOPT
+0 getsockopt(4, IPPROTO_TCP, TCP_INFO, ..., [100]) = 0
+0 getsockname(4, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("192.168.0.1")}, [16]) = 0
`, []string{`TCP_NODELAY, [1], [4] => TCP_NODELAY, [0], [4] => TCP_NODELAY is 1`, "l_linger=3 => l_linger=4 => SO_LINGER is {true 3}",
		`"reno", [16] => "cubic", [16] => TCP_CONGESTION is reno`, "TCP_USER_TIMEOUT, [1000] => TCP_USER_TIMEOUT, [999] => TCP_USER_TIMEOUT is 1000",
		"192.168.0.1 => 192.168.0.2 => getsockname gives the address"}},
	{"lingering close", established + `+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {1, 5}, 8) = 0
+0 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 1
+0...0.1 close(4) = 0
+.1 < . 1:1(0) ack 11 win 1000
+0 > F. 11:11(0) ack 1
`, []string{"0...0.1 close => 0...0.15 close => close returned at 0.100000"}},
	{"messages", established + `+0 sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 10}, {..., 20}], msg_flags=0}, 0) = 30
+0 > P. 1:31(30) ack 1
+0 writev(4, [{"abc", 3}, {"de", 2}], 2) = 5
+0 > P. 31:36(5) ack 1
+0 send(4, ..., 5, MSG_NOSIGNAL) = 5
+0 > P. 36:41(5) ack 1
+0 sendto(4, ..., 5, 0, ..., ...) = 5
+0 > P. 41:46(5) ack 1
+0 < P. 1:31(30) ack 46 win 1000
+0 > . 46:46(0) ack 31
+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 20}], msg_flags=0}, 0) = 20
+0 readv(4, [{..., 8}, {..., 8}], 2) = 10
`, []string{"{..., 20}], msg_flags=0}, 0) = 30 => {..., 21}], msg_flags=0}, 0) = 30 => sendmsg = 31, expected 30",
		"msg_flags=0}, 0) = 20 => msg_flags=MSG_TRUNC}, 0) = 20 => recvmsg gives msg_flags 0x0, expected 0x20"}},
	{"UDP server", `0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0 bind(3, ..., ...) = 0
+0 < udp (10)
+0 poll([{fd=3, events=POLLIN, revents=...}], 1, 0) = 1
+0 recvfrom(3, ..., 100, 0, {sa_family=AF_INET, sin_addr=inet_addr("192.0.2.1")}, [16]) = 10
+0 sendto(3, ..., 20, 0, ..., ...) = 20
+0 > udp (20)
+0...0.1 recvmsg(3, {msg_name(...)=..., msg_iov(1)=[{..., 5}], msg_flags=MSG_TRUNC}, 0) = 5
+.1 < udp (10)
+0...0.1 recv(3, ..., 5, MSG_TRUNC) = 10
+.1 < udp (10)
`, []string{"> udp (20) => > udp (21) => length: 20 instead of 21", `inet_addr("192.0.2.1")}, [16] => inet_addr("192.0.2.9")}, [16] => recvfrom gives the address`}},
	{"UDP client", `0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0 connect(3, ..., ...) = 0
+0 write(3, "ping", 4) = 4
+0 > udp (4)
+0 < udp (4)
+0 read(3, ..., 10) = 4
`, []string{`"ping", 4) = 4 => "ping", 3) = 3 => length: 3 instead of 4`}},
	{"UDP to an address", `0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0 sendto(3, ..., 4, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.1")}, ...) = 4
+0 > udp 6000 > 53 (4)
`, []string{"> 53 ( => > 54 ( => destination port: 53 instead of 54"}},
	{"port unreachable for UDP", `0 < udp (100)
+0 > IC unreachable port_unreachable [udp (100)]
`, []string{"port_unreachable => host_unreachable => type", "[udp (100) => [udp (101) => quoted length: 100 instead of 101"}},
	{"ICMP error for UDP", `0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0 connect(3, ..., ...) = 0
+0 write(3, ..., 4) = 4
+0 > udp (4)
+0 < IC unreachable port_unreachable [udp (4)]
+0 read(3, ..., 10) = -1 ECONNREFUSED
`, []string{"[udp (4)] => [1:5(4)] => read would block"}},
	{"SACK blocks that arrive", established + `+0 write(4, ..., 2000) = 2000
+0 > . 1:1001(1000) ack 1
+0 > P. 1001:2001(1000) ack 1
+.01 < . 1:1(0) ack 1 win 1000 <nop,nop,sack 1001:2001>
`, []string{"sack 1001:2001 => sack 1001:2002 => a packet left that the script does not expect"}},
	{"ICMP error for TCP", established + `+0 write(4, ..., 1000) = 1000
+0 > P. 1:1001(1000) ack 1
+0 < BIG mtu 600 [1:1001(1000)]
+0 write(4, ..., 600) = 600
+0 > . 1001:1501(500) ack 1
+0 > P. 1501:1601(100) ack 1
`, []string{"mtu 600 => mtu 601 => write = -1 ECONNREFUSED", "[1:1001( => [2:1002( => write = -1 ECONNREFUSED"}},
	{"ping", `0 < IC echo_request id 7 seq 9 (50)
+0 > IC echo_reply id 7 seq 9 (50)
`, []string{"> IC echo_reply id 7 => > IC echo_reply id 8 => id: 7 instead of 8", "reply id 7 seq 9 => reply id 7 seq 8 => seq: 9 instead of 8",
		"9 (50)\n$ => 9 (51)\n => length: 50 instead of 51", "> IC echo_reply => > IC echo_request => type: echo_reply instead of echo_request"}},
	{"fragments out", `0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0 bind(3, ..., ...) = 0
+0 sendto(3, ..., 3000, 0, ..., ...) = 3000
+0 > [frag 0:1448] udp (3000)
+0 > [frag 1448:2896] udp (3000)
+0 > [frag 2896:3008] udp (3000)
`, []string{"[frag 0:1448] => [frag 0:1440] => end of fragment: 1448 instead of 1440", "[frag 1448:2896] => [frag 1440:2896] => offset: 1448 instead of 1440",
		"[frag 2896:3008] udp (3000) => [frag 2896:3008] udp (3001) => more fragments: false instead of true",
		"[frag 0:1448] udp => udp => being a fragment: true instead of false"}},
	{"fragments in", `0 < [frag 0:8, id 5] udp (100)
+0 < [frag 8:108, id 5] udp (100)
`, []string{"8:108 => 8:109 => fragment ends at 109, the packet has 108 bytes"}},
	{"two connections by port", server + `+0 < 5001 > 8080 S 0:0(0) win 1000
+0 > 8080 > 5001 S. 0:0(0) ack 1 <...>
+0 < 5002 > 8080 S 400:400(0) win 1000
+0 > 8080 > 5002 S. 0:0(0) ack 1 <...>
+0 < 5001 > 8080 . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4
+0 < 5002 > 8080 . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 5
+0 write(4, ..., 10) = 10
+0 > 8080 > 5001 P. 1:11(10) ack 1
+0 write(5, ..., 10) = 10
+0 > 8080 > 5002 P. 1:11(10) ack 1
`, []string{"> 5001 P. => > 5002 P. => destination port: 5001 instead of 5002"}},
	{"two connections by listen", established + `+0 listen(3, 1) = 0
+0 < S 900:900(0) win 1000
+0 > S. 0:0(0) ack 1 <...>
+0 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 5
`, []string{"S. 0:0(0) ack 1 <...>\n+0 < . 1:1(0) ack 1 win 1000\n+0 accept => S. 0:0(0) ack 2 <...>\n+0 < . 1:1(0) ack 1 win 1000\n+0 accept => ack: 1 instead of 2"}},
	{"nobody listens", `0 < S 0:0(0) win 1000
+0 > R. 0:0(0) ack 1
+0 < . 1:1(0) ack 77 win 1000
+0 > R 77:77(0)
`, []string{"R 77:77(0) => R 78:78(0) => sequence number: 77 instead of 78"}},
	{"epoll", established + `+0 epoll_create1(0) = 6
+0 epoll_ctl(6, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0
+0 epoll_ctl(6, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = -1 EEXIST
+0 epoll_wait(6, {events=0, fd=4}, 1, 0) = 0
+0...0.1 epoll_wait(6, {events=EPOLLIN, fd=4}, 1, -1) = 1
+.1 < P. 1:11(10) ack 1 win 1000
+0 > . 1:1(0) ack 11
+0 epoll_ctl(6, EPOLL_CTL_MOD, 4, {events=EPOLLOUT, fd=4}) = 0
+0 epoll_wait(6, [{events=EPOLLOUT, fd=4}], 1, 100) = 1
+0 epoll_ctl(6, EPOLL_CTL_DEL, 4, {events=0, fd=4}) = 0
+0 epoll_ctl(6, EPOLL_CTL_DEL, 4, {events=0, fd=4}) = -1 ENOENT
+0 epoll_ctl(6, 9, 4, {events=0, fd=4}) = -1 ENOENT
+0...0.5 epoll_wait(6, [{events=EPOLLOUT, fd=4}], 1, 500) = 0
+0 close(6) = 0
+0 epoll_wait(6, [], 1, 500) = -1 EBADF
`, []string{"{events=EPOLLIN, fd=4}, 1, -1 => {events=EPOLLOUT, fd=4}, 1, -1 => descriptor 4 has POLLIN, expected 4 with POLLOUT"}},
	{"poll with time-out", established + `+0...0.25 poll([{fd=4, events=POLLIN, revents=0}, {fd=-1, events=0, revents=0}], 2, 250) = 0
+0 poll([{fd=99, events=POLLIN, revents=POLLNVAL}], 1, 0) = 1
`, []string{"2, 250 => 2, 300 => poll has not returned by"}},
	{"any result", `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = ?
+0 bind(3, {sa_family=AF_INET, sin_port=0, sin_addr=INADDR_ANY}, 16) = 0
+0 fcntl(3, F_SETFD, FD_CLOEXEC) = 0
+0 ioctl(3, FIONBIO, [1]) = 0
+0 close(3) = 0
+0 close(3) = -1 EBADF
+0 socket(99, SOCK_STREAM, 0) = -1 EAFNOSUPPORT
`, []string{"socket(99 => socket(2 => socket = 3, expected -1 EAFNOSUPPORT"}},
	{"time passes in a command", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n" + "+0 `sleep 0.5; true`\n0.5 close(3) = 0\n", []string{"0.5 close => 0.4 close => event is 100ms late"}},
	{"sysctl while it runs", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n" + "+0 `sysctl -q net.ipv4.tcp_sack=0`\n", []string{"tcp_sack => tcp_sock => unknown sysctl"}},
	{"raw options", established + `+0 < . 1:1(0) ack 1 win 10 <kind 77 0x0102,nop,kind 3 0x>
+0 < . 1:1(0) ack 1 win 10 <FO 0011223344556677,FOEXP,kind 0>
`, nil},
	{"variables", established + "%{\nx = tcpi_rtt\ny = x // 2; y += 1\n}%\n%{ assert y == 10001 and x == 20000 }%\n", []string{"10001 => 10002 => does not hold"}},
	{"timestamp ticks", "--tcp_ts_tick_usecs=1000\n" + server + `+0 < S 0:0(0) win 1000 <TS val 9 ecr 0>
+0 > S. 0:0(0) ack 1 <mss 1000,sackOK,TS val 100 ecr 9,nop,wscale 7>
+1 < P. 1:2(1) ack 1 win 1000 <nop,nop,TS val 10 ecr 100>
+0 > . 1:1(0) ack 2 <nop,nop,TS val 1100 ecr 10>
`, []string{"val 1100 => val 1300 => TS val: 1100 instead of 1300"}},
	{"wildcards", server + `+0 < S 0:0(0) win 1000 <TS val 9 ecr 0>
+0 > [ttl 64, df] S. 0:0(0) ack * win * <mss 1000,sackOK,TS val * ecr *,nop,wscale 7>
`, []string{"mss 1000 => mss 999 => option"}},
}

func TestFeatures(t *testing.T) {
	for _, tt := range featureScripts {
		for _, version := range []IPVersion{IPv4, IPv4Mapped, IPv6} {
			t.Run(tt.name+"/"+string(version), func(t *testing.T) {
				require.NoError(t, play(t, forVersion(tt.script, version), Options{IPVersion: version, Exact: true}))
			})
		}
		for _, edit := range tt.edits {
			t.Run(tt.name+"/"+edit, func(t *testing.T) {
				parts := strings.Split(edit, " => ")
				require.Len(t, parts, 3)
				src := tt.script
				if old, atEnd := strings.CutSuffix(parts[0], "$"); atEnd {
					src = strings.TrimSuffix(src, old) + parts[1]
				} else {
					src = strings.Replace(src, parts[0], parts[1], 1)
				}
				require.NotEqual(t, tt.script, src)
				require.ErrorContains(t, play(t, forVersion(src, IPv4), Options{}), parts[2])
			})
		}
	}
}

// forVersion writes the ICMP packets of a script for an IP version: IC is the
// name of the protocol, BIG the error about an MTU.
func forVersion(script string, v IPVersion) string {
	if v == IPv6 {
		script = strings.ReplaceAll(script, "BIG", "icmpv6 packet_too_big")
		return strings.ReplaceAll(script, "IC ", "icmpv6 ")
	}
	script = strings.ReplaceAll(script, "BIG", "icmp unreachable frag_needed")
	return strings.ReplaceAll(script, "IC ", "icmp ")
}

func TestVersionsOfAScript(t *testing.T) {
	tests := []struct {
		name, script string
		want         []IPVersion
	}{
		{"any", "0 < udp (1)", []IPVersion{IPv4, IPv4Mapped, IPv6}},
		{"option", "--ip_version=ipv4\n0 < udp (1)", []IPVersion{IPv4}},
		{"option with underscores", "--ip_version=ipv4_mapped_ipv6\n0 < udp (1)", []IPVersion{IPv4Mapped}},
		{"icmp", "0 < icmp echo", []IPVersion{IPv4, IPv4Mapped}},
		{"icmpv6", "0 < icmpv6 echo", []IPVersion{IPv6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse(tt.name, tt.script)
			require.NoError(t, err)
			require.Equal(t, tt.want, s.Versions())
			require.Equal(t, tt.name, s.Name())
		})
	}
	require.ErrorContains(t, play(t, "0 < icmp echo_request", Options{IPVersion: IPv6}), "icmp packet in a run over ipv6")
	require.ErrorContains(t, play(t, "0 < udp (1)", Options{IPVersion: "ipv5"}), `unknown IP version "ipv5"`)
	require.ErrorContains(t, play(t, "0 < icmp unreachable net_unreachable", Options{}), "needs what it quotes")
}

func TestSetupOfAKernel(t *testing.T) {
	src := `--mtu=9000 --local_ip=10.0.0.1 --remote_ip=10.9.0.2/16
--gateway_ip=10.0.0.254 --netmask_ip=255.255.0.0 --speed=100Mbps --local_ip=fd00::1/48
-DX=1 --define=Y=2
` + "`./set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0 /proc/sys/net/core/rmem_max=5`\n0 `sysctl -w net.ipv4.tcp_timestamps=$X`" + `
0 < udp ($Y)
`
	s, err := Parse("setup.pkt", src)
	require.NoError(t, err)
	var got Setup
	newKernel := func(setup Setup) (Kernel, error) {
		got = setup
		return newFake(setup)
	}
	require.NoError(t, s.Run(newKernel, Options{Seed: 9, Trailing: true}))
	require.Equal(t, "setup.pkt", got.Script)
	require.Equal(t, 9000, got.MTU)
	require.Equal(t, "10.0.0.1/16", got.Local[0].String())
	require.Equal(t, "10.9.0.0/16", got.Remote.String())
	require.Equal(t, map[string]string{"net.ipv4.tcp_sack": "0", "net.ipv4.tcp_timestamps": "1"}, got.Sysctls)
	require.EqualValues(t, 9, got.Seed)

	require.NoError(t, s.Run(newKernel, Options{IPVersion: IPv6, Trailing: true, Defines: map[string]string{"X": "0"}}))
	require.Equal(t, "fd00::1/48", got.Local[0].String())
	require.Equal(t, "0", got.Sysctls["net.ipv4.tcp_timestamps"])
}

func TestBadOptions(t *testing.T) {
	for option, want := range map[string]string{
		"--mtu=x":                        "x.pkt:1:1: --mtu: \"x\" is no number up to 65535",
		"--mtu=70000":                    "no number up to 65535",
		"--bogus":                        "--bogus: unknown option",
		"--local_ip=here":                `"here" is no IP address`,
		"--tolerance_usecs=-1":           "no number",
		"--bind_port=0 --connect_port=x": "x.pkt:1:15: --connect_port",
	} {
		t.Run(option, func(t *testing.T) {
			s, err := Parse("x.pkt", option+"\n0 < udp (1)")
			require.NoError(t, err)
			require.ErrorContains(t, s.Run(fake, Options{}), want)
		})
	}
	s, err := Parse("x.pkt", "--bind_port=99 --connect_port=7 --tcp_ts_tick_usecs=10 --tolerance_percent=5 --verbose\n0 < udp (1)\n+0 > 99 > 40001 icmp unreachable")
	require.NoError(t, err)
	require.NoError(t, s.Run(fake, Options{}))
}
