package packetdrill

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Scripts on our stack that must pass, each with edits that must make it fail.
var stackScripts = []struct {
	name, script string
	edits        []string
}{
	{"timestamps of what was sent", connected + `+0 setsockopt(4, SOL_SOCKET, SO_TIMESTAMPING, [SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_ACK |
	SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID], 4) = 0
+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=0}, MSG_ERRQUEUE) = -1 EAGAIN
+.04 write(4, ..., 2000) = 2000
+0 > . 1:1001(1000) ack 1
+0 > P. 1001:2001(1000) ack 1
+.02 < . 1:1(0) ack 1001 win 1000
+0 poll([{fd=4, events=POLLIN, revents=POLLERR}], 1, 0) = 1
+.01 < . 1:1(0) ack 2001 win 1000
+1 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE|MSG_TRUNC, msg_control=[
	{cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=0, scm_nsec=50000000}},
	{cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data={ee_errno=ENOMSG, ee_origin=SO_EE_ORIGIN_TIMESTAMPING, ee_type=0, ee_code=0,
		ee_info=SCM_TSTAMP_SCHED, ee_data=1999}}]}, MSG_ERRQUEUE) = 0
+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE|MSG_TRUNC, msg_control=[
	{cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=0, scm_nsec=50000000}},
	{cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data={ee_info=SCM_TSTAMP_SND, ee_data=1999}}]}, MSG_ERRQUEUE) = 0
+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE|MSG_TRUNC, msg_control=[
	{cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=0, scm_nsec=80000000}},
	{cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data={ee_info=SCM_TSTAMP_ACK, ee_data=1999}}]}, MSG_ERRQUEUE) = 0
+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=0}, MSG_ERRQUEUE) = -1 EAGAIN
`, []string{
		"scm_nsec=50000000 => scm_nsec=60000000 => the timestamp is 0.050000, expected 0.060000",
		"scm_nsec=80000000 => scm_nsec=70000000 => the timestamp is 0.080000, expected 0.070000",
		"ee_info=SCM_TSTAMP_SCHED => ee_info=SCM_TSTAMP_ACK => ee_info is 1, expected 2",
		"ee_data=1999 => ee_data=2000 => ee_data is 1999, expected 2000",
		"SOF_TIMESTAMPING_TX_SCHED |  => 0 |  => ee_info is 0, expected 1",
		"ee_errno=ENOMSG => ee_errno=0 => ee_errno is 42, expected 0",
		"MSG_ERRQUEUE|MSG_TRUNC, msg_control => MSG_ERRQUEUE, msg_control => msg_flags",
	}},
	{"timestamps of writes in one segment", connected + `+0 setsockopt(4, SOL_SOCKET, SO_TIMESTAMPING, [SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |
	SOF_TIMESTAMPING_OPT_TSONLY], 4) = 0
+0 send(4, ..., 100, MSG_MORE) = 100
+0 send(4, ..., 200, 0) = 200
+0 > P. 1:301(300) ack 1
+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE, msg_control=[
	{cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data={ee_info=SCM_TSTAMP_SND, ee_data=299}}]}, MSG_ERRQUEUE) = 0
+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=0}, MSG_ERRQUEUE) = -1 EAGAIN
`, []string{"ee_data=299 => ee_data=99 => ee_data is 299, expected 99"}},
	{"struct tcp_info", connected + `+0 getsockopt(4, IPPROTO_TCP, TCP_INFO, {tcpi_state=TCPS_ESTABLISHED, tcpi_snd_wscale=7, tcpi_rtt=...}, [104]) = 0
`, []string{
		"TCPS_ESTABLISHED => TCPS_CLOSE_WAIT => tcpi_state is 1",
		"tcpi_snd_wscale=7 => tcpi_snd_wscale=6 => tcpi_snd_wscale is 7",
		"tcpi_snd_wscale => tcpi_foo => no member \"tcpi_foo\"",
	}},
	{"time with a full send buffer", connected + `+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [4000], 4) = 0
+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 write(4, ..., 50000) = 8000
+0 > P. 1:8001(8000) ack 1
+.015 < . 1:1(0) ack 8001 win 1000
+.3 %{ assert tcpi_sndbuf_limited == 15000, tcpi_sndbuf_limited; assert tcpi_busy_time == 15000; assert tcpi_rwnd_limited == 0 }%
`, []string{"+.015 < => +.016 < => assert tcpi_sndbuf_limited"}},
	{"no buffer", connected + `+0 < P. 1:11(10) ack 1 win 1000
+0 > . 1:1(0) ack 11
+0 read(4, NULL, 10) = -1 EFAULT
+0 readv(4, [{NULL, 5}, {..., 5}], 2) = -1 EFAULT
+0 read(4, ..., 10) = 10
`, []string{"NULL, 10) = -1 EFAULT => NULL, 10) = 10 => read = -1 EFAULT, expected 10", "NULL, 5 => NULL, 0 => readv"}},
	{"a comma at the end", connected + `+0 < P. 1:11(10) ack 1 win 1000
+0 > . 1:1(0) ack 11
+0 readv(4, [{..., 5}, {..., 5}, ], 2) = 10
`, []string{"= 10$ => = 5 => readv = 10, expected 5"}},
}

const connected = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000 <mss 1000,nop,nop,sackOK,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <...>
+.01 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4
`

func TestOnStack(t *testing.T) {
	run := func(t *testing.T, src string) error {
		script, err := Parse(t.Name(), src)
		require.NoError(t, err)
		return script.Run(NewStack, Options{Exact: true})
	}
	for _, tt := range stackScripts {
		t.Run(tt.name, func(t *testing.T) { require.NoError(t, run(t, tt.script)) })
		for _, edit := range tt.edits {
			t.Run(tt.name+"/"+edit, func(t *testing.T) {
				parts := strings.Split(edit, " => ")
				require.Len(t, parts, 3)
				old, _ := strings.CutSuffix(parts[0], "$")
				require.Contains(t, tt.script, old)
				src := strings.Replace(tt.script, old, parts[1], 1)
				require.ErrorContains(t, run(t, src), parts[2])
			})
		}
	}
}
