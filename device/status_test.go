package device

import (
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func prefixes(s ...string) (ps []netip.Prefix) {
	for _, s := range s {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// seedStatus is the interface of the sample from which this project started.
func seedStatus() Status {
	return Status{
		Name: "lo", Up: true, MTU: 16436, Metric: 1,
		Addrs: prefixes("127.0.0.1/8", "::1/128"),
		Counters: Counters{
			RX: RXCounters{Packets: 50121, Bytes: 4381349},
			TX: TXCounters{Packets: 50121, Bytes: 4381349},
		},
	}
}

// statuses are the interfaces of the golden files.
func statuses() map[string]Status {
	down := seedStatus()
	down.Up, down.TxQueueLen, down.Metric = false, 1000, 3
	many := seedStatus()
	many.Addrs = prefixes("127.0.0.1/8", "10.0.0.1/32", "::1/128", "2001:db8::1/64", "fe80::5/64", "fec0::5/64",
		"::7.7.7.7/96", "::7/128", "fd00::1/128")
	bare := seedStatus()
	bare.Name, bare.Addrs, bare.MTU = "loopback1234", nil, 65536
	busy := seedStatus()
	busy.Addrs = prefixes("10.1.2.3/20")
	busy.Counters = Counters{
		RX: RXCounters{Packets: 12345678, Bytes: 123456789012, Errors: 1, Dropped: 22, Overruns: 20, Frame: 1},
		TX: TXCounters{Packets: 5, Bytes: 999, Errors: 12345678, Dropped: 6, Overruns: 7, Carrier: 8, Collisions: 9},
	}
	return map[string]Status{"seed": seedStatus(), "down": down, "many": many, "bare": bare, "busy": busy}
}

func TestGolden(t *testing.T) {
	formats := map[string]func(Status) string{
		"ifconfig-old": Status.IfconfigOld, "ifconfig-new": Status.IfconfigNew, "ip": Status.IPLink,
	}
	for name, s := range statuses() {
		for kind, format := range formats {
			t.Run(name+"/"+kind, func(t *testing.T) {
				file := filepath.Join("testdata", name+"."+kind+".golden")
				got := format(s)
				if *update {
					require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				}
				want, err := os.ReadFile(file)
				require.NoError(t, err, "run go test -update once and look at the result")
				require.Equal(t, string(want), got)
			})
		}
	}
}

// TestSeedText holds the sample of the old format in the open: every character but the spaces at the
// ends of lines, which the sample lost and net-tools prints.
func TestSeedText(t *testing.T) {
	const sample = `lo        Link encap:Local Loopback
          inet addr:127.0.0.1  Mask:255.0.0.0
          inet6 addr: ::1/128 Scope:Host
          UP LOOPBACK RUNNING  MTU:16436  Metric:1
          RX packets:50121 errors:0 dropped:0 overruns:0 frame:0
          TX packets:50121 errors:0 dropped:0 overruns:0 carrier:0
          collisions:0 txqueuelen:0
          RX bytes:4381349 (4.3 MB)  TX bytes:4381349 (4.3 MB)

`
	got := seedStatus().IfconfigOld()
	var trimmed []string
	for _, line := range strings.Split(got, "\n") {
		trimmed = append(trimmed, strings.TrimRight(line, " "))
	}
	require.Equal(t, sample, strings.Join(trimmed, "\n"))
	require.Contains(t, got, "Local Loopback  \n")
	require.Contains(t, got, "txqueuelen:0 \n")
}

func TestHumanOld(t *testing.T) {
	for v, want := range map[uint64]string{
		0: "0.0 B", 560: "560.0 B", 1000: "1000.0 B", 1001: "1.0 KB", 1076: "1.0 KB", 999999: "999.9 KB",
		1000000: "1000.0 KB", 1000001: "1.0 MB", 4381349: "4.3 MB", 1234567890: "1.2 GB", 1000000000001: "1.0 TB",
		math.MaxUint64: "18446744.0 TB",
	} {
		require.Equal(t, want, humanOld(v), v)
	}
}

// A NIC's own text: a new one, and after some traffic.
func TestFormatsOfNIC(t *testing.T) {
	n := NewNIC(Config{})
	require.Equal(t, n.Status().IfconfigOld(), IfconfigOld(n))
	require.Equal(t, n.Status().IfconfigNew(), IfconfigNew(n))
	require.Equal(t, n.Status().IPLink(), IPLink(n))
	require.Contains(t, IfconfigOld(n), "UP LOOPBACK RUNNING  MTU:16436  Metric:1\n")
	require.Contains(t, IfconfigOld(n), "inet addr:127.0.0.1  Mask:255.0.0.0\n")
	require.Contains(t, IfconfigOld(n), "inet6 addr: ::1/128 Scope:Host\n")
	sendLocal(t, n, 3, 100)
	require.Contains(t, IfconfigOld(n), "RX bytes:300 (300.0 B)  TX bytes:300 (300.0 B)\n")
	require.Contains(t, IfconfigNew(n), "RX packets 3  bytes 300 (300.0 B)\n")
}

// FuzzFormats: whatever the counters are, the texts carry them, each in its place.
func FuzzFormats(f *testing.F) {
	f.Add("lo", uint64(1), uint64(2), uint64(3), uint64(4), uint8(8), true)
	f.Add("eth0.very-long", uint64(math.MaxUint64), uint64(0), uint64(1000), uint64(1024), uint8(0), false)
	f.Fuzz(func(t *testing.T, name string, a, b, c, d uint64, bits uint8, up bool) {
		s := Status{Name: name, Up: up, MTU: 1500, Metric: 1}
		s.Addrs = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a), byte(b), byte(c), byte(d)}), int(bits)%33)}
		s.Counters.RX = RXCounters{Packets: a, Bytes: b, Errors: c, Dropped: d, Overruns: a % 7, Frame: a + 1}
		s.Counters.TX = TXCounters{Packets: b, Bytes: c, Errors: d, Dropped: a, Overruns: a, Carrier: b + 1, Collisions: c}
		require.Contains(t, s.IfconfigOld(), fmt.Sprintf("\n          RX packets:%d errors:%d dropped:%d overruns:%d frame:%d\n", a, c, d, a%7, a+1))
		require.Contains(t, s.IfconfigOld(), fmt.Sprintf("\n          TX packets:%d errors:%d dropped:%d overruns:%d carrier:%d\n", b, d, a, a, b+1))
		require.Contains(t, s.IfconfigNew(), fmt.Sprintf("\n        RX packets %d  bytes %d (", a, b))
		require.Contains(t, s.IfconfigNew(), fmt.Sprintf("\n        TX errors %d  dropped %d overruns %d  carrier %d  collisions %d\n\n", d, a, a, b+1, c))
		lines := strings.Split(strings.TrimPrefix(s.IPLink(), "1: "+name), "\n")
		require.Len(t, lines, 7)
		require.Equal(t, fmt.Sprint([]uint64{b, a, c, d - a%7, a % 7, 0}), fmt.Sprint(strings.Fields(lines[3])))
		require.Equal(t, fmt.Sprint([]uint64{c, b, d, a, b + 1, c}), fmt.Sprint(strings.Fields(lines[5])))
		require.Len(t, lines[5], len(lines[3]), "columns line up")
	})
}

// inNamespace runs a shell script in network and mount namespaces of its own, where lo is fresh and
// nothing it does is seen elsewhere. It skips the test where that, or a tool, is not to be had.
func inNamespace(t *testing.T, script string, tools ...string) string {
	t.Helper()
	for _, tool := range append(tools, "unshare", "sh", "ip") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("comparison with the real tools: %v", err)
		}
	}
	if err := exec.Command("unshare", "-n", "-m", "true").Run(); err != nil {
		t.Skipf("comparison with the real tools needs namespaces (root): %v", err)
	}
	out, err := exec.Command("unshare", "-n", "-m", "sh", "-ec", script).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// versionOf skips the test when the tool is not the version whose text we print.
func versionOf(t *testing.T, want string, command ...string) {
	t.Helper()
	out, _ := exec.Command(command[0], command[1:]...).CombinedOutput()
	if !strings.Contains(string(out), want) {
		t.Skipf("%s is not %s but %s", command[0], want, strings.TrimSpace(string(out)))
	}
}

// procDev returns the content of /proc/net/dev for an interface with the given counters.
func procDev(s Status) string {
	rx, tx := s.Counters.RX, s.Counters.TX
	return fmt.Sprintf("Inter-| Receive | Transmit\n face |bytes packets errs drop fifo frame compressed multicast|"+
		"bytes packets errs drop fifo colls carrier compressed\n%s: %d %d %d %d %d %d 0 0 %d %d %d %d %d %d %d 0\n", s.Name,
		rx.Bytes, rx.Packets, rx.Errors, rx.Dropped, rx.Overruns, rx.Frame,
		tx.Bytes, tx.Packets, tx.Errors, tx.Dropped, tx.Overruns, tx.Collisions, tx.Carrier)
}

// TestRealIfconfig compares with the real ifconfig, which gets to read the counters from a /proc of ours.
func TestRealIfconfig(t *testing.T) {
	versionOf(t, "net-tools 2.10", "ifconfig", "--version")
	cases := map[string]Status{}
	for i, v := range []uint64{0, 1, 1023, 1024, 1025, 1126, 1 << 20, 1<<20 + 1, 4381349, 1<<30 + 1, 1<<40 + 1, 1<<50 + 1,
		1 << 60, 1<<60 + 1, math.MaxInt64 / 10, math.MaxInt64/10 + 1, math.MaxUint64 / 10, math.MaxUint64/10 + 1, math.MaxInt64, math.MaxUint64} {
		s := seedStatus()
		s.Counters.RX = RXCounters{Packets: v, Bytes: v, Errors: 1, Dropped: 2, Overruns: 3, Frame: 4}
		s.Counters.TX = TXCounters{Packets: 9, Bytes: v / 3, Errors: 5, Dropped: 6, Overruns: 7, Carrier: 8, Collisions: 10}
		cases[fmt.Sprintf("counters %d", v)] = s
		if i == 0 {
			s.Up = false
			cases["down"] = s
			s.Addrs = nil
			cases["down without addresses"] = s
		}
	}
	for _, a := range []string{"2001:db8::1/64", "fe80::5/64", "fec0::5/64", "::7.7.7.7/96", "::1:7/128", "::7/128", "fd00:0:0:1::/128", "10.0.0.1/32"} {
		s := seedStatus()
		s.Addrs = prefixes("127.0.0.1/8", a)
		cases["address "+a] = s
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			s.TxQueueLen = 500
			script := "ip link set lo mtu 16436 txqueuelen 500 up; ip addr flush dev lo\n"
			for _, p := range s.Addrs {
				script += fmt.Sprintf("ip addr add %s dev lo\n", p)
			}
			if !s.Up {
				script += "ip link set lo down\n"
			}
			script += fmt.Sprintf("cp /proc/net/if_inet6 /tmp/if_inet6.$$; mount -t tmpfs none /proc; mkdir -p /proc/net\n"+
				"mv /tmp/if_inet6.$$ /proc/net/if_inet6; cat > /proc/net/dev <<'EOF'\n%sEOF\nifconfig lo", procDev(s))
			require.Equal(t, inNamespace(t, script, "ifconfig"), s.IfconfigNew())
		})
	}
}

// TestRealIP compares with the real ip on a fresh lo, on one that is down, and after traffic.
func TestRealIP(t *testing.T) {
	versionOf(t, "iproute2-6.1", "ip", "-V")
	cases := []struct {
		name, script string
		qlen         int
		up           bool
	}{
		{"fresh", "ip link set lo up", 1000, true},
		{"down", "ip link set lo up; ip link set lo down", 1000, false},
		{"no queue", "ip link set lo txqueuelen 0 up", 0, true},
		{"traffic", "ip link set lo up; for i in 1 2 3 4 5 6 7; do bash -c 'echo hello > /dev/udp/127.0.0.1/9'; done", 1000, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out := inNamespace(t, "ip link set lo mtu 16436\n"+c.script+"\ncat /proc/net/dev; ip -s link show lo", "bash")
			dev, real, found := strings.Cut(out, "1: lo")
			require.True(t, found)
			s := seedStatus()
			s.Up, s.TxQueueLen = c.up, c.qlen
			s.Counters = Counters{}
			var zero int
			rx, tx := &s.Counters.RX, &s.Counters.TX
			_, line, _ := strings.Cut(dev, "lo:")
			_, err := fmt.Sscan(line, &rx.Bytes, &rx.Packets, &zero, &zero, &zero, &zero, &zero, &zero, &tx.Bytes, &tx.Packets)
			require.NoError(t, err)
			require.Equal(t, c.name == "traffic", rx.Packets > 0)
			require.Equal(t, "1: lo"+real, s.IPLink())
		})
	}
}
