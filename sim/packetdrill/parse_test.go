package packetdrill

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// syntaxErrors are scripts that do not parse, and the place to blame.
var syntaxErrors = []struct{ name, src, want string }{
	{"no time", "socket(...) = 3", "p:1:1: expected a time in seconds, found \"socket\""},
	{"no action", "0 7", "p:1:3: expected a packet, a system call, a command or code, found \"7\""},
	{"end of script", "0 ", "p:1:3: expected a packet, a system call, a command or code, found the end of the script"},
	{"second line", "0 close(3) = 0\n+0 clo se(3) = 0", "p:2:8: expected \"(\", found \"se\""},
	{"comment is open", "/* x", "p:1:1: comment is not closed"},
	{"string is open", `0 write(3, "ab`, "p:1:12: string is not closed"},
	{"string with a bad escape", `0 write(3, "a\q", 1) = 1`, "p:1:14: bad escape"},
	{"command is open", "0 `ls", "p:1:4: command is not closed"},
	{"code is open", "%{ assert 1", "p:1:3: code block is not closed"},
	{"code", "\n%{ x = 1\nassert x ==\n }%", "p:3:12: expected a value"},
	{"code on the first line", "%{ assert ) }%", "p:1:11: expected a value, found \")\""},
	{"range is reversed", "+.3~+.1 close(3) = 0", "p:1:2: range of time ends before it begins"},
	{"call ends early", "1...0.5 close(3) = 0", "p:1:1: call ends before it begins"},
	{"blocking packet", "0...1 < udp (1)", "p:1:1: only system calls take a time of completion"},
	{"time is too great", "9999999999 close(3) = 0", "p:1:1: time 9999999999 is greater"},
	{"seq does not fit", "0 > . 1:100(100)", "p:1:7: sequence numbers 1:100 do not span 100 bytes"},
	{"no flags", "0 > 1:1(0)", "p:1:5: expected TCP flags"},
	{"unknown flags", "0 > SX 1:1(0)", "p:1:5: expected TCP flags"},
	{"inbound without window", "0 < . 1:1(0) ack 1", "p:1:5: an inbound TCP segment needs a window"},
	{"inbound with any options", "0 < . 1:1(0) ack 1 win 1 <...>", "needs its options"},
	{"inbound ect01", "0 < [ect01] . 1:1(0) win 1", "p:1:6: an inbound packet is ect0 or ect1"},
	{"window is too great", "0 > . 1:1(0) ack 1 win 65536", "p:1:24: window 65536 is greater than 65535"},
	{"unknown option", "0 > . 1:1(0) ack 1 <foo 1>", "p:1:21: unknown TCP option foo"},
	{"options without comma", "0 > . 1:1(0) ack 1 <nop nop>", `expected "," or ">"`},
	{"options are too long", "0 > . 1:1(0) <TS val 1 ecr 1,TS val 1 ecr 1,TS val 1 ecr 1,TS val 1 ecr 1,nop>", "TCP options take 41 bytes"},
	{"TS without val", "0 > . 1:1(0) <TS 1 ecr 1>", "expected val, found \"1\""},
	{"TS without ecr", "0 > . 1:1(0) <TS val 1>", "expected ecr, found \">\""},
	{"odd cookie", "0 > S 0:0(0) <FO 012>", "no even number of hexadecimal digits"},
	{"IP property", "0 > [foo] . 1:1(0)", "p:1:6: unknown property of the IP header: foo"},
	{"fragment offset", "0 > [frag 4:12] udp (10)", "no multiple of 8"},
	{"empty fragment", "0 > [frag 8:8] udp (10)", "fragment is empty"},
	{"port", "0 > 99999 > 1 . 1:1(0)", "port 99999 is greater than 65535"},
	{"ICMP type", "0 > icmp bogus", "unknown ICMP type \"bogus\""},
	{"encapsulation", "0 > ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0)", "p:1:5: ipv4 is not supported"},
	{"errno", "0 close(3) = -1 EBOGUS (text)", "p:1:17: unknown errno EBOGUS"},
	{"success with errno", "0 close(3) = 0 EINVAL", "a call that succeeds has no errno"},
	{"number", "0 close(0x) = 0", "p:1:9: 0x is no number"},
	{"number is too long", "0 close(99999999999999999999) = 0", "is no number"},
	{"value", "0 close(>) = 0", `expected a value, found ">"`},
	{"list is open", "0 poll([1, 2) = 0", `expected ",", found ")"`},
	{"depth", "0 close(" + strings.Repeat("(", 200) + "1) = 0", "nested too deeply"},
	{"depth of signs", "0 close(" + strings.Repeat("-", 200) + "1) = 0", "nested too deeply"},
	{"long expression", "0 close(1" + strings.Repeat("|1", 200) + ") = 0", "expression is too long"},
	{"define", "--define=X\n", "p:1:1: expected --define=NAME=VALUE"},
	{"short define", "-D X\n", "expected NAME=VALUE"},
	{"option without name", "--=3", "expected the name of an option"},
}

func TestSyntaxErrorsNameThePlace(t *testing.T) {
	for _, tt := range syntaxErrors {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse("p", tt.src)
			require.Nil(t, s)
			require.ErrorContains(t, err, tt.want)
			require.IsType(t, &SyntaxError{}, err)
		})
	}
	_, err := Parse("p", strings.Repeat("x", maxExpanded+1))
	require.ErrorContains(t, err, "script is too long")
	_, err = Parse("p", strings.Repeat("`x`", maxEvents+1))
	require.ErrorContains(t, err, "more than 100000 events")
}

func TestTimes(t *testing.T) {
	ms := time.Millisecond
	tests := []struct {
		src  string
		want timeSpec
	}{
		{"0", timeSpec{kind: timeAbsolute}},
		{".5", timeSpec{kind: timeAbsolute, from: 500 * ms, to: 500 * ms}},
		{"0.000", timeSpec{kind: timeAbsolute}},
		{"+1.25", timeSpec{kind: timeRelative, from: 1250 * ms, to: 1250 * ms}},
		{"*", timeSpec{kind: timeAny}},
		{"+.1~+.3", timeSpec{kind: timeRelative, from: 100 * ms, to: 300 * ms}},
		{"1~1.5", timeSpec{kind: timeAbsolute, from: 1000 * ms, to: 1500 * ms}},
		{"0...0.2", timeSpec{kind: timeAbsolute, blocking: true, end: 200 * ms}},
		{"+.1...0.2", timeSpec{kind: timeRelative, from: 100 * ms, to: 100 * ms, blocking: true, end: 200 * ms}},
		{"+.1 ... +.2", timeSpec{kind: timeRelative, from: 100 * ms, to: 100 * ms, blocking: true, end: 200 * ms}},
		{"+0.0000015", timeSpec{kind: timeRelative, from: 1500, to: 1500}},
	}
	for _, tt := range tests {
		t.Run(tt.src, func(t *testing.T) {
			s, err := Parse("p", tt.src+" close(3) = 0")
			require.NoError(t, err)
			require.Equal(t, tt.want, s.events[0].when)
		})
	}
}

// Packets print as they are written, in the usual form.
func TestPacketsPrintAsWritten(t *testing.T) {
	tests := []struct{ src, want string }{
		{"> S. 0:0(0) ack 1 win 5840 <mss 1460,nop,nop,sackOK,nop,wscale 7>", ""},
		{"< S 0:0(0) win 32792 <mss 1460, sackOK, TS val 100 ecr 0, eol>", "< S 0:0(0) win 32792 <mss 1460,sackOK,TS val 100 ecr 0,eol>"},
		{"> . 1:1(0) ack 1 <nop,nop,sack 101:201 301:401>", ""},
		{"> . 1:1(0) ack 1 <...>", ""},
		{"> .P 1:3(2) ack * <nop,nop,TS val * ecr *>", "> P. 1:3(2) ack * <nop,nop,TS val * ecr *>"},
		{"< - 1:1(0) win 0", ""},
		{"< FSRPEWU. 1:1(0) ack 0 win 0 urg 7", "< SFRPEWU. 1:1(0) ack 0 win 0 urg 7"},
		{"< SA 1:1(0) win 0", ""},
		{"> [ect01, tos 0x4, ttl 3, flowlabel 0x12, id 9, df] R 5:5(0)", ""},
		{"> (nodf) R 5:5(0) // comment", "> [nodf] R 5:5(0)"},
		{"< [noecn] R 5:5(0)", "< [noecn] R 5:5(0) win 0"},
		{"< [ce] . 5:5(0) ack 1 win 9", ""},
		{"< [ect1] . 5:5(0) ack 1 win 9", ""},
		{"> [ect0] . 4294967290:4(10) ack 4294967295", ""},
		{"> [frag 0:8] udp (8)", ""},
		{"< udp 1 > 2 (8)", "< 1 > 2 udp (8)"},
		{"< 1 > 2 udp (8)", ""},
		{"< S 0:0(0) win 1 <FO 0a0b,FOEXP 0c,FO,kind 77 0x01,kind 5 0x,kind 0,kind 254 0x0102>", "< S 0:0(0) win 1 <FO 0a0b,FOEXP 0c,FO,kind 77 0x01,kind 5 0x,eol,kind 254 0x0102>"},
		{"< S 0:0(0) win 1 <mss 9,bytes 0x030001>", ""},
		{"< icmp unreachable frag_needed mtu 1200 [1:1461(1460)]", ""},
		{"< icmp unreachable code 4 mtu 1200 [tcp 1:1461(1460)]", "< icmp unreachable frag_needed mtu 1200 [1:1461(1460)]"},
		{"< icmpv4 type 3 code 77 [udp (5)]", "< icmp unreachable code 77 [udp (5)]"},
		{"< icmp type 99 code 1 [udp (5)]", ""},
		{"< icmp echo id 1 seq 2 (3)", "< icmp echo_request id 1 seq 2 (3)"},
		{"< icmpv6 packet_too_big mtu 1280 [1:1(0)]", ""},
		{"< icmpv6 time_exceeded exceeded_in_transit [1:1(0)]", ""},
		{"< icmp source_quench [1:1(0)]", ""},
	}
	for _, tt := range tests {
		t.Run(tt.src, func(t *testing.T) {
			s, err := Parse("p", "+0 "+tt.src)
			require.NoError(t, err)
			if tt.want == "" {
				tt.want = tt.src
			}
			printed := s.events[0].act.(*packetSpec).String()
			require.Equal(t, tt.want, printed)
			again, err := Parse("p", "+0 "+printed)
			require.NoError(t, err, printed)
			require.Equal(t, tt.want, again.events[0].act.(*packetSpec).String())
		})
	}
}

func TestExpressions(t *testing.T) {
	r := &runner{script: &Script{}, cfg: &config{version: IPv4}}
	for src, want := range map[string]int64{
		"1": 1, "0x10": 16, "010": 8, "-1": -1, "~0": -1, "!0": 1, "!5": 0, "- -3": 3,
		"POLLIN|POLLOUT": 5, "1+2*3": 7, "(1+2)*3": 9, "7/2": 3, "1<<4|1": 17, "256>>4": 16, "7&3": 3, "10-2-3": 5,
		"htons(80)": 80, "[7]": 7, "ECONNRESET": 104, "SO_REUSEADDR": 2, "TCP_USER_TIMEOUT": 18, "SOL_TCP": 6, "TCP_CA_Recovery": 3, "100u": 100,
		"MSG_FASTOPEN": 0x20000000, "O_RDWR | O_NONBLOCK": 0x802,
	} {
		s, err := Parse("p", "0 close("+src+") = 0")
		require.NoError(t, err, src)
		require.Equal(t, want, r.intValue(&s.events[0].act.(*callSpec).args[0]), src)
	}
	for src, want := range map[string]string{
		"FOO": "unknown constant FOO", "1/0": "division by zero", "1<<99": "shift by 99", `"x"`: "expected a number", "[1,2]": "expected a number", "foo(1)": "expected a number",
	} {
		s, err := Parse("p", "0 close("+src+") = 0")
		require.NoError(t, err, src)
		require.Contains(t, failureText(r, s), want)
	}
}

// failureText is the failure of evaluating the first argument of a script.
func failureText(r *runner, s *Script) (text string) {
	defer func() { text = recover().(*Failure).Error() }()
	r.intValue(&s.events[0].act.(*callSpec).args[0])
	return ""
}

func TestDefinitions(t *testing.T) {
	src := "-D PORT=80\n--define=MSS=1000\n0 < S 0:0(0) win WIN <mss MSS>\n+0 close(PORT) = 0\n+0 `echo $PORT ${MSS} $HOME ${X $`\n+0 setsockopt(3, 1, OPT, TEXT, 4) = 0\n"
	s, err := ParseWith("p", src, map[string]string{"WIN": "0x7", "PORT": "81", "OPT": "SO_LINGER", "TEXT": "cubic"})
	require.NoError(t, err)
	require.Equal(t, "< S 0:0(0) win 7 <mss 1000>", s.events[0].act.(*packetSpec).String())
	require.EqualValues(t, 81, s.events[1].act.(*callSpec).args[0].num)
	require.Equal(t, "echo 81 1000 $HOME ${X $", s.events[2].act.(*commandSpec).text)
	require.Equal(t, "SO_LINGER", s.events[3].act.(*callSpec).args[2].text)
	require.Equal(t, "cubic", s.events[3].act.(*callSpec).args[3].text)
	require.Equal(t, "a b\n", expand("$X\n", map[string]string{"X": "a\nb"}))
	_, err = Parse("p", src)
	require.ErrorContains(t, err, "p:3:18: expected window, found \"WIN\"")
}

func TestShell(t *testing.T) {
	tests := []struct {
		name, text string
		want       []sysctlSetting
		sleep      time.Duration
	}{
		{"one", "sysctl -q net.ipv4.tcp_sack=0", []sysctlSetting{{"net.ipv4.tcp_sack", "0"}}, 0},
		{"with blanks", "sysctl -w net.ipv4.tcp_sack = 0", []sysctlSetting{{"net.ipv4.tcp_sack", "0"}}, 0},
		{"quoted", `sysctl -w net.ipv4.tcp_rmem="4096  1 2" 'net.ipv4.tcp_ecn=1'`, []sysctlSetting{{"net.ipv4.tcp_rmem", "4096 1 2"}, {"net.ipv4.tcp_ecn", "1"}}, 0},
		{"only shown", "sysctl net.ipv4.tcp_sack; sysctl -a", nil, 0},
		{"echo", "echo 1 > /proc/sys/net/ipv4/tcp_sack", []sysctlSetting{{"net.ipv4.tcp_sack", "1"}}, 0},
		{"echo without a blank", "echo 1 >/proc/sys/net/ipv4/tcp_sack 2>&1", []sysctlSetting{{"net.ipv4.tcp_sack", "1"}}, 0},
		{"module parameter", "echo 0 > /sys/module/tcp_cubic/parameters/hystart", []sysctlSetting{{"tcp_cubic.hystart", "0"}}, 0},
		{"echo elsewhere", "echo 1 > /dev/null; echo x", nil, 0},
		{"helper", "../../set_sysctls.py /proc/sys/net/ipv4/tcp_ecn=2 /proc/sys/net/ipv4/tcp_sack=1", []sysctlSetting{{"net.ipv4.tcp_ecn", "2"}, {"net.ipv4.tcp_sack", "1"}}, 0},
		{"many lines", "true\n# comment\nsysctl -q \\\n net.ipv4.tcp_sack=1 > /dev/null 2>&1 && nstat | grep x", []sysctlSetting{{"net.ipv4.tcp_sack", "1"}}, 0},
		{"host", "sysctl net.core.rmem_max=1 kernel.x=1; tc qdisc add dev tun0 root fq; ip route flush cache", nil, 0},
		{"FreeBSD", "sysctl net.inet.tcp.rfc1323=0; sysctl net.inet.tcp.sack.enable=1; sysctl net.inet.tcp.hostcache.purgenow=1; kldload -n tcp_rack", []sysctlSetting{
			{"net.ipv4.tcp_timestamps", "0"}, {"net.ipv4.tcp_window_scaling", "0"}, {"net.ipv4.tcp_sack", "1"}}, 0},
		{"FreeBSD's others", "sysctl net.inet.tcp.ecn.enable=1 net.inet.tcp.cc.algorithm=cubic net.inet.tcp.syncookies=0", []sysctlSetting{
			{"net.ipv4.tcp_ecn", "1"}, {"net.ipv4.tcp_congestion_control", "cubic"}, {"net.ipv4.tcp_syncookies", "0"}}, 0},
		{"what a stack does anyway", "sysctl net.ipv4.tcp_reflect_tos=0 net.ipv4.tcp_max_syn_backlog=4096 net.ipv4.icmp_msgs_per_sec=1000 net.ipv6.bindv6only=0", nil, 0},
		{"what it does not", "sysctl net.ipv4.tcp_reflect_tos=1", []sysctlSetting{{"net.ipv4.tcp_reflect_tos", "1"}}, 0},
		{"sleep", "sleep 0.25; usleep 100; sleep 1s", nil, 1250*time.Millisecond + 100*time.Microsecond},
		{"variable", "X=1", nil, 0},
		{"restore", "/tmp/sysctl_restore_${PPID}.sh", nil, 0},
		{"only a redirection", "> /tmp/x", nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fx, err := shell(tt.text)
			require.NoError(t, err)
			require.Equal(t, tt.want, fx.sysctls)
			require.Equal(t, tt.sleep, fx.sleep)
		})
	}
	fx, err := shell("../common/defaults.sh")
	require.NoError(t, err)
	require.Contains(t, fx.sysctls, sysctlSetting{"net.ipv4.tcp_congestion_control", "cubic"})
	for text, want := range map[string]string{
		"frob": `unknown command "frob"`, "sysctl 'x": "quote is not closed", "sleep x": "no time to sleep", "set_sysctls.py x": "expected NAME=VALUE",
		"sysctl =": "without a name", "ip route change default mtu 1300": "mtu is not supported", strings.Repeat("x ", maxShell+2): "command is too long",
		"iptables -A INPUT": "unknown command",
	} {
		_, err := shell(text)
		require.ErrorContains(t, err, want)
	}
}
